"""A market in real time: what a track holds, tick by tick, as the events an exchange takes in.

The same track and the same span give the same events, however often and in whatever pieces they are asked for.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from zlib import crc32

import numpy as np

from enigma_core.market import BarsClosed, Funding, FundingSeen, MarketEvent, TickerSeen
from enigma_core.model import Bar, Candles
from enigma_core.timeframes import milliseconds
from enigma_sandbox.ticks import Ticks, corners
from enigma_sandbox.tracks import FUNDING_RATE, Track, finite

DAY, MINUTE = 86_400_000, 60_000

_BY_TIME = attrgetter("ts")

CHUNK = 512
"""Bars of a symbol that are fetched at once."""

CHUNKS = 1_024
"""Chunks that are kept."""

AHEAD = 3 * DAY
"""How far funding that is still to come is looked up: further than any interval of it."""


class Prices:
    """Events of a track. `step`: ms between two ticks of a symbol; each symbol has its own moment within it."""

    def __init__(self, track: Track, step: int = 1_000, seed: int = 0) -> None:
        self.track = track
        self.step, self.seed = step, seed
        self.length = milliseconds(track.timeframe)
        self._order = sorted((crc32(symbol.encode()) % step, symbol) for symbol in track.symbols)
        self._phases = [phase for phase, _ in self._order]
        self._chunks: OrderedDict[tuple[str, int], Candles] = OrderedDict()
        self._ticks: dict[str, tuple[int, Ticks | None]] = {}
        self._rates: dict[str, tuple[int, Funding]] = {}

    @property
    def symbols(self) -> tuple[str, ...]:
        return self.track.symbols

    def history(self, now: int) -> Mapping[str, Candles]:
        """Closed bars by symbol as of `now`, made when they are asked for."""
        return History(self, now)

    def settled(self, symbol: str, now: int) -> Funding:
        """Settlements before `now`."""
        return self.track.settlements(symbol, self.track.begins, now)

    def bar(self, symbol: str, ts: int) -> Bar | None:
        """The bar that opens at `ts`; None where the track has none."""
        number = (ts - self.track.begins) // self.length
        candles = self._chunk(symbol, number // CHUNK)
        at = int(np.searchsorted(candles.ts, ts))
        if at == len(candles) or int(candles.ts[at]) != ts:
            return None
        columns = (candles.open, candles.high, candles.low, candles.close, candles.volume)
        return Bar(symbol, ts, ts + self.length, *(float(column[at]) for column in columns))

    def opening(self, now: int) -> Iterator[MarketEvent]:
        """How everything stands at `now`: for an exchange that begins."""
        for symbol in self.symbols:
            open_ = self._open(now)
            ticks = self._unfolded(symbol, open_) or self._unfolded(symbol, open_ - self.length)
            if ticks is not None:
                at = max(0, bisect_right(ticks.times, now) - 1)
                trade = ticks.trade(at, symbol)
                yield ticks.mark(at, symbol)
                yield ticks.book(at, symbol)
                if trade is not None:
                    yield trade
            yield from self._slow(symbol, now)

    def between(self, after: int, until: int) -> Iterator[MarketEvent]:
        """Everything of ``after < ts <= until``, in order of time; bars of one close come before the ticks of the next."""
        step = self.step
        for slot in range(after // step * step, until + 1, step):
            if slot % self.length == self.track.begins % self.length and after < slot:
                yield from self._closed(slot)
            first = bisect_left(self._phases, after - slot + 1)
            last = bisect_right(self._phases, until - slot)
            for phase, symbol in self._order[first:last]:
                yield from self._tick(symbol, slot + phase)

    def missed(self, after: int, until: int, symbols: Sequence[str]) -> Iterator[MarketEvent]:
        """What `symbols` did in ``after < ts <= until``, each bar by its corners: for an exchange that was away."""
        for open_ in range(self._open(after), until + 1, self.length):
            bars = [bar for symbol in symbols if (bar := self.bar(symbol, open_)) is not None]
            seen = [event for bar in bars for event in corners(bar, self.track.instrument(bar.symbol))]
            yield from sorted((event for event in seen if after < event.ts <= until), key=_BY_TIME)
            end = open_ + self.length
            if after < end <= until:
                yield from (self._funding(symbol, end) for symbol in symbols)
                yield from self._closed(end)

    def _closed(self, end: int) -> Iterator[MarketEvent]:
        bars = {symbol: bar for symbol in self.symbols if (bar := self.bar(symbol, end - self.length)) is not None}
        if bars:
            yield BarsClosed(end, bars)

    def _tick(self, symbol: str, ts: int) -> Iterator[MarketEvent]:
        ticks = self._unfolded(symbol, self._open(ts))
        if ticks is None:
            return
        at = (ts - ticks.times[0]) // self.step
        if not 0 <= at < len(ticks.times):
            return
        yield ticks.mark(at, symbol)
        yield ticks.book(at, symbol)
        if (trade := ticks.trade(at, symbol)) is not None:
            yield trade
        if ts % MINUTE < self.step:
            yield from self._slow(symbol, ts)

    def _slow(self, symbol: str, ts: int) -> Iterator[MarketEvent]:
        """What changes slowly: funding and turnover."""
        yield self._funding(symbol, ts)
        yield TickerSeen(ts, symbol, self._turnover(symbol, ts))

    def _funding(self, symbol: str, ts: int) -> FundingSeen:
        until, known = self._rates.get(symbol, (0, Funding(np.empty(0, np.int64), np.empty(0))))
        at = int(np.searchsorted(known.ts, ts, side="right"))
        if ts >= until or at == len(known.ts):
            known = self.track.settlements(symbol, ts - AHEAD, ts + AHEAD)
            self._rates[symbol] = ts + DAY, known
            at = int(np.searchsorted(known.ts, ts, side="right"))
        if at == len(known.ts):
            eight = 8 * 60 * MINUTE
            return FundingSeen(ts, symbol, FUNDING_RATE, (ts // eight + 1) * eight)
        hours = (int(known.ts[at]) - int(known.ts[at - 1])) / 3_600_000 if at else 8.0
        return FundingSeen(ts, symbol, finite(float(known.rate[at])), int(known.ts[at]), hours)

    def _turnover(self, symbol: str, ts: int) -> float:
        """Of the last 24 hours, by bars that have closed."""
        end = self._open(ts)
        first = (end - DAY - self.track.begins) // self.length // CHUNK
        last = (end - self.length - self.track.begins) // self.length // CHUNK
        total = 0.0
        for number in range(max(0, first), last + 1):
            candles = self._chunk(symbol, number)
            a, b = np.searchsorted(candles.ts, (end - DAY, end))
            total += float(np.dot(candles.close[a:b], candles.volume[a:b]))
        return total

    def _open(self, ts: int) -> int:
        return ts - (ts - self.track.begins) % self.length

    def _unfolded(self, symbol: str, open_: int) -> Ticks | None:
        known = self._ticks.get(symbol)
        if known is None or known[0] != open_:
            bar = self.bar(symbol, open_)
            ticks = None if bar is None else Ticks(bar, self.track.instrument(symbol), self.step, self.seed)
            self._ticks[symbol] = known = open_, ticks
        return known[1]

    def _chunk(self, symbol: str, number: int) -> Candles:
        key = symbol, number
        if key in self._chunks:
            self._chunks.move_to_end(key)
            return self._chunks[key]
        start = self.track.begins + number * CHUNK * self.length
        found = self._chunks[key] = self.track.bars(symbol, start, start + CHUNK * self.length)
        if len(self._chunks) > CHUNKS:
            self._chunks.popitem(last=False)
        return found


class History(Mapping[str, Candles]):
    """Closed bars as of one moment, by symbol, each made when it is asked for and kept."""

    def __init__(self, prices: Prices, now: int) -> None:
        self._prices, self._now = prices, now
        self._made: dict[str, Candles] = {}

    def __getitem__(self, symbol: str) -> Candles:
        if symbol not in self._prices.symbols:
            raise KeyError(symbol)
        if symbol not in self._made:
            track, length = self._prices.track, self._prices.length
            end = self._now - (self._now - track.begins) % length
            self._made[symbol] = track.bars(symbol, track.begins, end)
        return self._made[symbol]

    def __iter__(self) -> Iterator[str]:
        return iter(self._prices.symbols)

    def __len__(self) -> int:
        return len(self._prices.symbols)
