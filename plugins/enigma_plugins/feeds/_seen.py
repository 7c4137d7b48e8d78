"""What a venue shows beside its bars, made to go with synthetic prices: book, trades, funding, mark and index, turnover.

Made in chunks of bars on a fixed grid, each with its own generator, so that bar i shows the same wherever a stream begins.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from enigma_core.lines import Floats
from enigma_core.market import BookSeen, Funding, FundingSeen, MarketEvent, MarkSeen, TickerSeen, TradeSeen
from enigma_core.model import Bar, Candles
from enigma_plugins.feeds._path import DAY, SEEN, Path, generator

CHUNK = 256
"""Bars made at once."""

LEVELS = 20
LEVEL_SHARE = 2e-5
"""The usual size of a level, as a share of the day's turnover."""

WINDOW = 60_000
"""Trades are shown for this long before each close, ms."""

FEWEST, USUAL, MOST = 10, 60, 90
"""Trades in a window."""

Levels = tuple[tuple[float, float], ...]


class Moment(msgspec.Struct, frozen=True):
    """One bar and what was seen before it closed: trades in order of time, then the rest at the close itself."""

    bar: Bar
    trades: list[TradeSeen]
    rest: tuple[MarketEvent, ...]


def moments(path: Path, funding: Funding, number: int) -> Iterator[Moment]:
    """The moments of chunk `number`, one a bar."""
    symbol, length = path.listed.symbol, path.length
    first = number * CHUNK
    a_day = DAY // length
    candles = path.candles(first - a_day, first + CHUNK)
    turnover = _turnover(candles, a_day)
    skipped = min(first, a_day)
    candles = candles[skipped:]
    rng = generator(path.seed, symbol, SEEN, number)
    move = np.log(candles.close / candles.open) / path.sigma
    books = _books(path, rng, candles.close, move)
    trades = _trades(path, rng, candles, move)
    basis = 1.5e-4 * move + rng.normal(0.0, 3e-4, len(candles))
    index = candles.close / (1 + basis)
    mark = path.instrument.snap(index * (1 + 0.9 * basis))
    upcoming = np.searchsorted(funding.ts, candles.ts + length, side="right")
    columns = (candles.ts, candles.open, candles.high, candles.low, candles.close, candles.volume)
    seen = (index, mark, turnover[skipped:], funding.rate[upcoming], funding.ts[upcoming])
    for *values, at_index, at_mark, traded, rate, next_ts in zip(*(c.tolist() for c in (*columns, *seen)), strict=True):
        ts, *prices = values
        end = ts + length
        bids, asks = next(books)
        rest = (
            BookSeen(end, symbol, bids, asks),
            MarkSeen(end, symbol, at_mark, at_index),
            FundingSeen(end, symbol, rate, next_ts),
            TickerSeen(end, symbol, traded),
        )
        yield Moment(Bar(symbol, ts, end, *prices), next(trades), rest)


def _turnover(candles: Candles, a_day: int) -> Floats:
    """Over the last 24 hours, or as much of them as there is, scaled up."""
    total = np.cumsum(candles.close * candles.volume)
    at = np.arange(len(candles))
    past = np.where(at >= a_day, total[np.maximum(at - a_day, 0)], 0.0)
    return (total - past) * (a_day / np.minimum(at + 1, a_day))


def _books(path: Path, rng: np.random.Generator, close: Floats, move: Floats) -> Iterator[tuple[Levels, Levels]]:
    """Books of one tick's spread; the close is at the bid or at the ask, the sizes lean with the last move and by chance."""
    n = len(close)
    tick = float(path.instrument.tick)
    lean = np.tanh(0.25 * move + rng.normal(0.0, 0.3, n))[:, None]
    usual = LEVEL_SHARE * path.listed.turnover * 1e6 / close[:, None]
    sizes = usual * rng.lognormal(0.0, 0.5, (2, n, LEVELS)) * np.stack((1 + lean, 1 - lean))
    bid = close[:, None] - rng.integers(0, 2, n)[:, None] * tick
    depth = np.arange(LEVELS) * tick
    bids = path.instrument.snap(np.maximum(bid - depth, tick)).tolist()
    asks = path.instrument.snap(bid + tick + depth).tolist()
    for prices, wanted, offers, offered in zip(bids, sizes[0].tolist(), asks, sizes[1].tolist(), strict=True):
        yield tuple(zip(prices, wanted, strict=True)), tuple(zip(offers, offered, strict=True))


def _trades(path: Path, rng: np.random.Generator, candles: Candles, move: Floats) -> Iterator[list[TradeSeen]]:
    """Trades of the last minute of each bar, the last of them at its close."""
    n = len(candles)
    symbol = path.listed.symbol
    counts = np.clip(USUAL * candles.volume / candles.volume.mean(), FEWEST, MOST).astype(np.int64).tolist()
    window = min(WINDOW, path.length)
    when = np.sort(rng.integers(1 - window, 1, (n, MOST))) + (candles.ts + path.length)[:, None]
    share = np.clip(0.5 + 0.05 * move + rng.normal(0.0, 0.12, n), 0.02, 0.98)[:, None]
    sides = np.where(rng.random((n, MOST)) < share, 1, -1)
    tick = float(path.instrument.tick)
    prices = candles.close[:, None] + rng.integers(-3, 4, (n, MOST)) * tick
    prices[:, -1] = candles.close
    prices = path.instrument.snap(np.clip(prices, candles.low[:, None], candles.high[:, None]))
    sizes = (candles.volume / (USUAL * path.length / window))[:, None] * rng.lognormal(-0.3, 0.8, (n, MOST))
    for count, *row in zip(counts, when.tolist(), sides.tolist(), prices.tolist(), sizes.tolist(), strict=True):
        tail = (part[-count:] for part in row)
        yield [TradeSeen(ts, symbol, side, price, size) for ts, side, price, size in zip(*tail, strict=True)]
