"""The floor: the default strategy's indicators as bare TA-Lib calls, as anybody would write them who wants the lines alone.

No points, no score, no gates, no trades, and nothing of numpy: what remains is TA-Lib's own C.
"""

from __future__ import annotations

import numpy as np
import talib

from enigma_core.lines import Floats
from enigma_core.model import Candles


def floor(candles: Candles, *, adx: bool = False) -> dict[str, Floats | tuple[Floats, ...]]:
    """What TA-Lib answers for each indicator, by its name.

    ADX never votes and is read by the trend gate alone: ask for it where that gate is measured.
    """
    high, low, close, volume = candles.high, candles.low, candles.close, candles.volume
    rsi = talib.RSI(close, 14)
    raw, _ = talib.STOCHF(high, low, close, 9, 1, 0)
    k = talib.RMA(raw, 3)
    obv = talib.OBV(close, volume)
    lines = {
        "stochastic_rsi": talib.STOCH(rsi, rsi, rsi, 14, 3, 0, 3, 0),
        "williams_r": talib.WILLR(high, low, close, 14),
        "macd": talib.MACD(close, 12, 26, 9),
        "awesome_oscillator": talib.AO(high, low, 5, 34),
        "ema_trend": (talib.EMA(close, 10), talib.EMA(close, 25), talib.EMA(close, 50)),
        "stochastic": talib.STOCH(high, low, close, 14, 3, 0, 3, 0),
        "bollinger": talib.BBANDS(close, 20, 2.0, 2.0),
        "kdj": (k, talib.RMA(k, 3)),
        "obv": (obv, talib.SMA(obv, 20)),
        "cci": talib.CCI(high, low, close, 20),
        "atr": talib.ATR(high, low, close, 14),
    }
    if adx:
        lines["adx"] = talib.ADX(high, low, close, 14)
    return lines


def windows(candles: Candles, size: int, count: int) -> list[Candles]:
    """`count` windows of `size` bars at seeded places of `candles`."""
    starts = np.random.default_rng(1).integers(0, len(candles) - size, count, endpoint=True).tolist()
    return [candles[start : start + size] for start in starts]
