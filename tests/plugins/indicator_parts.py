"""The built-in bar indicators with their defaults, and markets to try them on."""

from __future__ import annotations

from importlib import import_module

import numpy as np

from enigma_core.model import Candles
from enigma_core.parts import Indicator, LiveIndicator

VOTERS = (
    "stochastic_rsi",
    "williams_r",
    "macd",
    "awesome_oscillator",
    "ema_trend",
    "stochastic",
    "bollinger",
    "kdj",
    "obv",
    "cci",
    "rsi",
    "cmf",
)
SILENT = ("adx", "atr")
LIVE = ("depth_of_market", "buy_sell_ratio", "price_ratio", "funding_rate", "tradingview")


def part(name: str) -> Indicator:
    """The indicator of that name with its defaults."""
    (offered,) = import_module(f"enigma_plugins.indicators.{name}").enigma_indicators()
    made = offered()
    assert isinstance(made, Indicator)
    assert made.name == name
    return made


def live_part(name: str) -> LiveIndicator:
    """The live indicator of that name with its defaults."""
    (offered,) = import_module(f"enigma_plugins.microstructure.{name}").enigma_indicators()
    made = offered()
    assert isinstance(made, LiveIndicator)
    assert made.name == name
    return made


def market(close: np.ndarray, wick: np.ndarray | float = 0.001, volume: np.ndarray | None = None, seed: int = 0) -> Candles:
    """Candles along `close`, each opening at the last close, with random wicks of up to `wick` of the price."""
    random = np.random.default_rng(seed)
    n = len(close)
    start = np.concatenate((close[:1], close[:-1]))
    high = np.maximum(start, close) * (1 + wick * random.random(n))
    low = np.minimum(start, close) * (1 - wick * random.random(n))
    if volume is None:
        volume = random.random(n) * 100
    return Candles.of("BTC/USDT:USDT", "5m", np.arange(n) * 300_000, start, high, low, close, volume)


def walk(n: int, seed: int = 1, start: float = 100.0, noise: float = 0.004) -> np.ndarray:
    """A random walk of closes."""
    return start * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, noise, n)))
