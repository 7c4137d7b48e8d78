"""Markets, plans and indicators that tests trade on."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from enigma_core.lines import Floats
from enigma_core.model import Candles, Instrument
from enigma_core.parts import Indicator
from enigma_core.plan import Costs, Plan, Timeframes
from enigma_core.timeframes import milliseconds

START = 1_741_219_200_000
"""2025-03-06 00:00 UTC."""


class Momentum(Indicator, frozen=True, kw_only=True):
    """Points by the sign and size of the move over `period` bars."""

    name = "momentum"

    period: int = 3
    max_points: float = 40.0

    @property
    def warmup(self) -> int:
        return self.period + 1

    def points(self, candles: Candles) -> Floats:
        n, close = len(candles), candles.close
        out = np.full(n, np.nan)
        if n > self.period:
            move = close[self.period :] / close[: -self.period] - 1
            out[self.period :] = self.max_points * np.clip(np.round(move * 400) / 2, -1, 1)
        return out


class Range(Indicator, frozen=True, kw_only=True):
    """The true range of the last bar, as the line named atr."""

    name = "atr"

    @property
    def warmup(self) -> int:
        return 1

    def line(self, candles: Candles) -> Floats | None:
        return candles.high - candles.low


def random_candles(
    symbol: str, n: int, seed: int, *, volatility: float = 0.004, gaps: float = 0.0, timeframe: str = "5m"
) -> Candles:
    """`n` bars of a random walk on a tick of 0.1; each bar is missing with probability `gaps`."""
    rng = np.random.default_rng(seed)
    step = rng.normal(0, volatility, n) * rng.choice([1, 1, 1, 4], n)
    close = np.round(100 * np.exp(np.cumsum(step)) + 20, 1)
    open_ = np.roll(close, 1)
    open_[0] = 120.0
    jump = rng.random(n) < 0.05
    open_[jump] = np.round(open_[jump] * (1 + rng.normal(0, 0.01, jump.sum())), 1)
    high = np.round(np.maximum(open_, close) * (1 + np.abs(rng.normal(0, volatility / 2, n))), 1)
    low = np.round(np.minimum(open_, close) * (1 - np.abs(rng.normal(0, volatility / 2, n))), 1)
    ts = START + np.arange(n, dtype=np.int64) * milliseconds(timeframe)
    kept = rng.random(n) >= gaps
    kept[0] = True
    high, low = np.maximum(high, np.maximum(open_, close)), np.minimum(low, np.minimum(open_, close))
    return Candles.of(symbol, timeframe, *(a[kept] for a in (ts, open_, high, low, close, rng.random(n) * 10)))


def instrument(symbol: str, **changes: object) -> Instrument:
    """A contract of 0.01 base units on a tick of 0.1."""
    return Instrument(symbol=symbol, tick=Decimal("0.1"), multiplier=Decimal("0.01"), **changes)  # type: ignore[arg-type]


def plan(**changes: object) -> Plan:
    """A plan on the 5 m timeframe that trades often on `random_candles`."""
    from enigma_plugins.exits.break_even import BreakEven
    from enigma_plugins.exits.stop_loss import StopLoss
    from enigma_plugins.exits.take_profit import TakeProfit
    from enigma_plugins.exits.trailing_stop import TrailingStop
    from enigma_plugins.gates.score import Score
    from enigma_plugins.sizers.atr_risk import AtrRisk

    settings: dict[str, object] = {
        "timeframes": Timeframes(primary="5m", secondary=None, available=("5m",)),
        "costs": Costs(),
        "indicators": {"a": Momentum(), "b": Momentum(period=7), "c": Momentum(period=1), "atr": Range()},
        "market_gates": {"score": Score(min=30.0)},
        "account_gates": {},
        "sizer": AtrRisk(),
        "exits": {"stop_loss": StopLoss(), "take_profit": TakeProfit(), "break_even": BreakEven(), "trailing_stop": TrailingStop()},
    }
    return Plan(**(settings | changes))  # type: ignore[arg-type]
