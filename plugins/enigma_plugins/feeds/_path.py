"""Synthetic prices: bar i of a symbol is the same whatever else was asked for.

A price goes through stretches of hours to days: a trend with its pull-backs, a range round a level, or a shock and its
aftermath. Each stretch has its own generator, seeded from the market's seed, the symbol and the stretch's number, and only
the price at its start comes from the one before; so any bar can be made from a short list of starts.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import accumulate
from zlib import crc32

import numpy as np

from enigma_core.lines import Floats
from enigma_core.model import Candles, Instrument
from enigma_core.timeframes import milliseconds
from enigma_plugins.feeds._listed import Listed

EPOCH = 1_735_689_600_000
"""The first bar opens here, ms: 2025-01-01 00:00 UTC."""

HORIZON = 36_525 * 86_400_000
"""The market closes for good after a hundred years."""

SIGMA = 0.0014
"""BTC's usual standard deviation of the log return of five minutes, about 45 % a year."""

DAY, FIVE_MINUTES = 86_400_000, 300_000
FACTOR_BARS = 1024

PRICES, FACTOR, SEEN, RATES = range(4)
"""What a generator is for; a part of its seed."""


def generator(seed: int, symbol: str, purpose: int, number: int) -> np.random.Generator:
    """The source of chance for one thing of one symbol."""
    return np.random.default_rng([seed, crc32(symbol.encode()), purpose, number])


class Path:
    """The prices of one symbol in one timeframe."""

    def __init__(self, seed: int, listed: Listed, timeframe: str) -> None:
        self.seed, self.listed, self.timeframe = seed, listed, timeframe
        self.instrument: Instrument = listed.instrument
        self.length = milliseconds(timeframe)
        self.bars = HORIZON // self.length
        self.sigma = SIGMA * listed.wildness * math.sqrt(self.length / FIVE_MINUTES)
        self._starts = [0]
        self._logs = [math.log(listed.price)]

    def index(self, ts: int) -> int:
        """The first bar that opens at `ts` or later."""
        return -((EPOCH - ts) // self.length)

    def candles(self, first: int, last: int) -> Candles:
        """Bars with ``first <= i < last``."""
        first, last = max(0, first), min(last, self.bars)
        parts = [np.empty((5, 0))]
        if first < last:
            self._reach(last)
            for number in range(bisect_right(self._starts, first) - 1, len(self._starts) - 1):
                start = self._starts[number]
                if start >= last:
                    break
                bars = self._stretch(number)[0]
                parts.append(bars[:, max(0, first - start) : last - start])
        ts = EPOCH + np.arange(first, max(first, last), dtype=np.int64) * self.length
        return Candles.of(self.listed.symbol, self.timeframe, ts, *np.concatenate(parts, axis=1))

    def _reach(self, last: int) -> None:
        """Know the start of every stretch up to the one behind bar `last`."""
        while self._starts[-1] < last:
            bars, log = self._stretch(len(self._starts) - 1)
            self._starts.append(self._starts[-1] + bars.shape[1])
            self._logs.append(log)

    def _stretch(self, number: int) -> tuple[Floats, float]:
        """The bars of a stretch, (5, n) open high low close volume, and the log price it ends at."""
        rng = generator(self.seed, self.listed.symbol, PRICES, number)
        start, log = self._starts[number], self._logs[number]
        day = DAY / self.length
        kind = rng.choice(3, p=(0.55, 0.35, 0.10))
        n = max(8, int(day * (rng.uniform(0.5, 2.0), rng.uniform(0.3, 1.2), rng.uniform(0.15, 0.4))[kind]))
        sigma = self._volatility(rng, start, n) * self.sigma
        if kind == 2:
            sigma *= 1 + 1.5 * np.exp(-np.arange(n) / (0.08 * day))
        pull = self.listed.pull
        steps = sigma * (pull * self._factor(start, n) + math.sqrt(1 - pull * pull) * rng.standard_normal(n))
        # far from where it began a price is likelier to turn back than to go on: it stays a price for a hundred years
        up = rng.random() < 1 / (1 + math.exp(4 * (log - math.log(self.listed.price))))
        side = 1.0 if up else -1.0
        if kind == 0:
            steps += side * rng.uniform(1.0, 2.4) * self.sigma / math.sqrt(day) + self._wave(rng, n, day)
        elif kind == 1:
            steps += self._wave(rng, n, day)
            calm = math.exp(-6 / day)
            steps = np.diff(list(accumulate(steps.tolist(), lambda level, step: level * calm + step)), prepend=0.0)
        else:
            steps[: max(1, int(0.01 * day))] += side * rng.uniform(8.0, 18.0) * self.sigma / max(1, int(0.01 * day))
        logs = log + np.cumsum(steps)
        return self._bars(rng, log, logs, sigma, start), float(logs[-1])

    def _volatility(self, rng: np.random.Generator, start: int, n: int) -> Floats:
        """Of each bar, about 1: livelier in the afternoon of UTC, and some stretches livelier than others."""
        hours = (start + np.arange(n)) * (self.length / 3_600_000)
        return rng.lognormal(0.0, 0.25) * (1 + 0.25 * np.sin((hours - 9) * (2 * math.pi / 24)))  # type: ignore[no-any-return]

    def _wave(self, rng: np.random.Generator, n: int, day: float) -> Floats:
        """Swings of some hours: the pull-backs of a trend."""
        period = day * rng.uniform(0.3, 0.7)
        height = rng.uniform(4.0, 9.0) * self.sigma * math.sqrt(day / 288)
        return np.diff(height * np.sin(np.arange(n + 1) * (2 * math.pi / period)))

    def _factor(self, start: int, n: int) -> Floats:
        """The market's own moves, (n,), common to all symbols."""
        numbers = range(start // FACTOR_BARS, (start + n - 1) // FACTOR_BARS + 1)
        moves = [generator(self.seed, "", FACTOR, number).standard_normal(FACTOR_BARS) for number in numbers]
        offset = start - numbers[0] * FACTOR_BARS
        return np.concatenate(moves)[offset : offset + n]

    def _bars(self, rng: np.random.Generator, log: float, logs: Floats, sigma: Floats, start: int) -> Floats:
        n = len(logs)
        tick = float(self.instrument.tick)
        before = np.concatenate(([log], logs[:-1]))
        # the extremes of a Brownian bridge from open to close: exact in distribution, each by itself
        move = logs - before
        reach = np.sqrt(move * move - 2 * sigma * sigma * np.log1p(-rng.random((2, n))))
        ends = self.instrument.snap(np.maximum(np.exp(np.concatenate(([log], logs))), tick))
        open_, close = ends[:-1], ends[1:]
        high = np.maximum(self.instrument.snap(np.exp((before + logs + reach[0]) / 2)), np.maximum(open_, close))
        low = np.minimum(self.instrument.snap(np.exp((before + logs - reach[1]) / 2)), np.minimum(open_, close))
        lively = 0.4 + 0.8 * np.abs(move) / self.sigma
        value = self.listed.turnover * 1e6 * self.length / DAY * lively * rng.lognormal(-0.05, 0.3, n)
        contract = float(self.instrument.multiplier)
        volume = np.maximum(np.rint(value / close / contract), 1.0) * contract
        return np.stack((open_, high, np.maximum(low, tick), close, volume))
