"""How a bar came about: its trades one by one, and the book and the marks that go with them, the same on every run.

A bar is unfolded into ticks of `step` ms. Their first price is its open, their last its close, they reach its high and its low and
go beyond neither, and their lots add up to its volume: whoever makes bars of them gets the bar back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from zlib import crc32

import numpy as np
import numpy.typing as npt

from enigma_core.lines import Floats
from enigma_core.market import BookSeen, MarkSeen, TradeSeen
from enigma_core.model import Bar, Instrument, Side

Ints = npt.NDArray[np.int64]

LEVELS = 50
"""Levels of a book, each side."""

LEVEL_SHARE = 2e-5
"""The usual size of the best level, as a share of the day's volume."""

BASIS = 2e-4
"""How far the index strays from the price, as a share of it."""

RENEWED = 8_000
"""How long a level's size lasts, ms."""

_SIZES = np.exp(np.random.default_rng(2025).normal(0.0, 0.5, 1024))


class Ticks:
    """One bar, unfolded. Times in ms, prices float64 on the grid, `lots` whole contracts, `buys` who took; all (n,)."""

    __slots__ = ("buys", "instrument", "lots", "prices", "share", "times")

    def __init__(self, bar: Bar, instrument: Instrument, step: int, seed: int = 0) -> None:
        phase = crc32(bar.symbol.encode()) % step
        n = max(1, (bar.end - bar.ts) // step)
        rng = np.random.default_rng([seed, crc32(bar.symbol.encode()), bar.ts // 1000])
        self.instrument = instrument
        self.times = (bar.ts + phase + step * np.arange(n)).tolist()
        places, prices = _way(bar, instrument, n, rng)
        self.prices = prices.tolist()
        total = round(bar.volume / float(instrument.multiplier))
        self.lots = _shares(total, n, places, rng).tolist()
        rises = np.diff(prices, prepend=bar.open)
        self.buys = np.where(rises == 0, rng.random(n) < 0.5, rises > 0).tolist()
        self.share = max(1.0, LEVEL_SHARE * total * 86_400_000 / (bar.end - bar.ts))

    def trade(self, i: int, symbol: str) -> TradeSeen | None:
        """The trade of tick `i`; None where nothing was traded."""
        lots = self.lots[i]
        if not lots:
            return None
        side: Side = 1 if self.buys[i] else -1
        return TradeSeen(self.times[i], symbol, side, self.prices[i], lots * float(self.instrument.multiplier))

    def book(self, i: int, symbol: str) -> BookSeen:
        """The book just after tick `i`: one tick wide, the price at the side that was taken."""
        price, ts = self.prices[i], self.times[i]
        instrument = self.instrument
        at = instrument.ticks(price)
        bid = max(1, at - 1 if self.buys[i] else at)
        down = bid - np.arange(min(LEVELS, bid))
        up = bid + 1 + np.arange(LEVELS)
        slot, salt = ts // RENEWED, crc32(symbol.encode())
        return BookSeen(ts, symbol, self._levels(down, slot, salt), self._levels(up, slot, salt + 1))

    def _levels(self, at: Ints, slot: int, salt: int) -> tuple[tuple[float, float], ...]:
        # a level keeps its size for some seconds, each until its own moment
        mixed = (at * 2_654_435_761 + (slot + at % 7) * 40_503 + salt) & 0x7FFFFFFF
        far = 1 + 0.1 * np.arange(len(at))
        lots = np.maximum(1.0, np.rint(self.share * far * _SIZES[(mixed >> 5) % 1024]))
        steps, scale = self.instrument.grid
        prices = at * steps / scale
        return tuple(zip(prices.tolist(), (lots * float(self.instrument.multiplier)).tolist(), strict=True))

    def mark(self, i: int, symbol: str) -> MarkSeen:
        """Mark and index at tick `i`: the mark is nearer to the price than the index is."""
        price, ts = self.prices[i], self.times[i]
        turn = 2 * math.pi * (ts % 600_000) / 600_000 + crc32(symbol.encode()) % 7
        decimals = max(0, -int(self.instrument.tick.normalize().as_tuple().exponent)) + 1
        index = price * (1 + BASIS * math.sin(turn))
        return MarkSeen(ts, symbol, round(price * 0.9 + index * 0.1, decimals), round(index, decimals))

    def minutes(self, length: int) -> Iterator[tuple[int, float, float, float, float, int]]:
        """Bars of `length` ms made of the ticks: (open time, open, high, low, close, lots), those without a trade left out."""
        made: list[float] | None = None
        start, lots = 0, 0
        for ts, price, size in zip(self.times, self.prices, self.lots, strict=True):
            if not size:
                continue
            bucket = ts // length * length
            if made is not None and bucket != start:
                yield start, made[0], made[1], made[2], made[3], lots
                made = None
            if made is None:
                made, start, lots = [price] * 4, bucket, 0
            made[1], made[2], made[3] = max(made[1], price), min(made[2], price), price
            lots += size
        if made is not None:
            yield start, made[0], made[1], made[2], made[3], lots


def corners(bar: Bar, instrument: Instrument) -> Iterator[MarkSeen | TradeSeen]:
    """A bar in four trades with their marks: open, the two extremes, close, a quarter of its volume each."""
    contract = float(instrument.multiplier)
    quarter = max(1, round(bar.volume / contract / 4)) * contract
    rises = bar.close >= bar.open
    prices = (bar.open, bar.low, bar.high, bar.close) if rises else (bar.open, bar.high, bar.low, bar.close)
    for i, price in enumerate(prices):
        ts = bar.ts + i * (bar.end - bar.ts - 1) // 3
        yield MarkSeen(ts, bar.symbol, price, price)
        yield TradeSeen(ts, bar.symbol, 1 if rises else -1, price, quarter)


def _way(bar: Bar, instrument: Instrument, n: int, rng: np.random.Generator) -> tuple[tuple[int, ...], Floats]:
    """The corners' places (open, the two extremes, close) and the price of every tick, (n,)."""
    if n < 4:
        prices = np.array([bar.open, bar.high, bar.close] if n == 3 else [bar.open, bar.close][-n:])
        return tuple(range(n)), prices
    first, second = sorted(rng.choice(np.arange(1, n - 1), 2, replace=False).tolist())
    low_first = (bar.close >= bar.open) == (rng.random() < 0.7)
    extremes = (bar.low, bar.high) if low_first else (bar.high, bar.low)
    corners = (0, first, second, n - 1)
    levels = (bar.open, *extremes, bar.close)
    straight = np.interp(np.arange(n), corners, levels)
    noise = np.cumsum(rng.normal(0.0, (bar.high - bar.low) / (2 * math.sqrt(n)) + 1e-300, n))
    # a bridge between corners: it begins and ends each stretch where it has to
    noise -= np.interp(np.arange(n), corners, noise[list(corners)])
    prices = instrument.snap(np.clip(straight + noise, bar.low, bar.high))
    prices = np.clip(prices, bar.low, bar.high)
    prices[list(corners)] = levels
    return corners, prices


def _shares(total: int, n: int, corners: tuple[int, ...], rng: np.random.Generator) -> Ints:
    """`total` lots over n ticks, at the corners first."""
    lots = np.zeros(n, np.int64)
    order = (0, len(corners) - 1, *range(1, len(corners) - 1)) if len(corners) > 1 else (0,)
    for at in order[: max(0, total)]:
        lots[corners[at]] += 1
    left = total - int(lots.sum())
    if left > 0:
        weights = np.cumsum(rng.exponential(1.0, n))
        upto = np.rint(weights / weights[-1] * left).astype(np.int64)
        lots += np.diff(upto, prepend=0)
    return lots
