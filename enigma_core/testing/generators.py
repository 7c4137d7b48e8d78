"""Seeded markets: the same seed, length and regime give the same candles on every machine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from enigma_core.lines import Floats
from enigma_core.model import Candles

MINUTE = 60_000
DAWN = 1_735_689_600_000
"""2025-01-01 00:00 UTC in ms: where generated history begins unless said otherwise."""

Closes = Callable[[np.random.Generator, int], Floats]


def _walk(drift: float, noise: float, start: float = 50_000.0) -> Closes:
    def closes(random: np.random.Generator, n: int) -> Floats:
        values: Floats = start * np.exp(np.cumsum(random.normal(drift, noise, n)))
        return values

    return closes


def _trend(random: np.random.Generator, n: int) -> Floats:
    # up and down in turns, so that neither side of an indicator stays untried
    wave = np.sign(np.sin(np.arange(n) * (2 * np.pi / 160) + random.uniform(0, 6)))
    values: Floats = 50_000.0 * np.exp(np.cumsum(wave * 0.0015 + random.normal(0, 0.003, n)))
    return values


def _range(random: np.random.Generator, n: int) -> Floats:
    wave = np.sin(np.arange(n) * (2 * np.pi / 37) + random.uniform(0, 6))
    values: Floats = 50_000.0 * (1 + 0.01 * wave + random.normal(0, 0.001, n))
    for start in range(60, n, 131):  # a market that stands still for a while
        values[start : start + int(random.integers(3, 25))] = values[start]
    return values


def _shock(random: np.random.Generator, n: int) -> Floats:
    moves = random.normal(0, 0.004, n)
    jumps = random.random(n) < 0.02
    moves[jumps] += random.choice([-0.25, -0.1, 0.1, 0.3], int(jumps.sum()))
    return 50_000.0 * np.exp(np.cumsum(moves))


def _flat(random: np.random.Generator, n: int) -> Floats:
    return np.full(n, 50_000.0)


REGIMES: dict[str, Closes] = {
    "trend": _trend,
    "range": _range,
    "shock": _shock,
    "flat": _flat,
    "tiny": _walk(0.0, 0.004, start=1e-5),
    "gaps": _walk(0.0, 0.006),
}
"""Kinds of market: `tiny` has prices near 0.00001, `gaps` misses bars and opens away from the last close, `flat` never moves."""


def candles(
    seed: int = 1,
    n: int = 500,
    regime: str = "trend",
    *,
    symbol: str = "BTC/USDT:USDT",
    timeframe: str = "30m",
    step: int = 30 * MINUTE,
    start: int = DAWN,
) -> Candles:
    """`n` bars of a made-up market, `step` ms apart from `start` on. Raises `KeyError` for an unknown regime."""
    random = np.random.default_rng([seed, sorted(REGIMES).index(regime)])
    close = REGIMES[regime](random, n)
    ts = start + step * np.arange(n, dtype=np.int64)
    open_ = np.concatenate([close[:1], close[:-1]])
    if regime == "gaps":
        ts = ts + step * np.cumsum(random.random(n) < 0.05) * 3
        open_ = open_ * np.where(random.random(n) < 0.1, np.exp(random.normal(0, 0.03, n)), 1.0)
    top, bottom = np.maximum(open_, close), np.minimum(open_, close)
    if regime == "flat":
        high, low, volume = top, bottom, np.zeros(n)
    else:
        still = open_ == close
        high = np.where(still, top, top * (1 + random.exponential(0.001, n)))
        low = np.where(still, bottom, bottom * (1 - np.minimum(random.exponential(0.001, n), 0.5)))
        volume = np.where(still, 0.0, random.exponential(100.0, n))
    return Candles.of(symbol, timeframe, ts, open_, high, low, close, volume)


def markets(n: int = 500, seed: int = 1) -> dict[str, Candles]:
    """One market of each regime, and three that are too short for almost everything."""
    found = {regime: candles(seed, n, regime) for regime in REGIMES}
    return found | {f"{k} bars": candles(seed, k) for k in (0, 1, 2)}
