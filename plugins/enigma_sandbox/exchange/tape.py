"""The market of one contract: book, trades, mark and index, funding, bars of every granularity."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from decimal import Decimal

import msgspec
import numpy as np

from enigma_core.market import BookSeen, Funding, TradeSeen
from enigma_core.matching import slipped
from enigma_core.model import Bar, Candles, Instrument, Side
from enigma_sandbox.exchange.rules import Contract
from enigma_sandbox.exchange.state import MarketState

MINUTE = 60_000
DAY = 86_400_000
GRANULARITIES = (1, 5, 15, 30, 60, 120, 240, 480, 720, 1440, 10080)
"""Minutes. A week begins on a Monday."""
CODES = {
    "1min": 1,
    "5min": 5,
    "15min": 15,
    "30min": 30,
    "1hour": 60,
    "2hour": 120,
    "4hour": 240,
    "8hour": 480,
    "12hour": 720,
    "1day": 1440,
    "1week": 10080,
}
"""Of candle topics, in minutes."""
_MONDAY = 4 * DAY
_ROLL = 512
_DEEP = 1_000_000_000
_SETTLED = 100
"""Settlements that outlive a restart."""

Level = list[float]
"""[price, lots]: mutable, for what is taken out of a book is gone until the next one."""


def opening(ts: int, minutes: int) -> int:
    """The open of the bar that `ts` falls into, ms."""
    step = minutes * MINUTE
    if minutes == 10080:
        return (ts - _MONDAY) // step * step + _MONDAY
    return ts // step * step


class Forming:
    """A bar in the making: `lots` and `turnover` so far."""

    __slots__ = ("close", "fresh", "high", "lots", "low", "open", "ts", "turnover")

    def __init__(self, ts: int, price: float) -> None:
        self.ts = ts
        self.open = self.high = self.low = self.close = price
        self.lots = 0.0
        self.turnover = 0.0
        self.fresh = False
        """Something has changed that nobody was told of."""

    def add(self, price: float, lots: float, turnover: float) -> None:
        if price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        self.close = price
        self.lots += lots
        self.turnover += turnover
        self.fresh = True


class Tape:
    """One contract's market. Sizes that come in are base currency; what goes out is lots."""

    def __init__(
        self, contract: Contract, state: MarketState, history: Candles | None, funding: Funding | None, slippage: float
    ) -> None:
        self.contract = contract
        self.state = state
        self.slippage = slippage
        self.instrument = self._instrument()
        self.book: BookSeen | None = None
        self._book_at = 0
        self.marked = False
        """Mark prices are given; else the last price is the mark."""
        self.trades: deque[TradeSeen] = deque(maxlen=100)
        self.settled_ts: list[int] = [] if funding is None else funding.ts.tolist()
        self.settled: list[float] = [] if funding is None else funding.rate.tolist()
        for ts, rate in state.settled:
            if not self.settled_ts or ts > self.settled_ts[-1]:
                self.settled_ts.append(ts)
                self.settled.append(rate)
        self._bids: list[Level] | None = None
        self._asks: list[Level] | None = None
        self.ticked = 0
        """When the newest tick came, ms."""
        self.minutes = 0
        self._past = np.zeros((0, 6))
        self._tail: list[list[float]] = []
        self.forming: dict[int, Forming] = {}
        self._day: tuple[int, tuple[float, float, float, float, float]] | None = None
        if history is not None and len(history):
            self.minutes = _minutes(history)
            self._past = np.column_stack(
                [history.ts.astype(np.float64), history.open, history.high, history.low, history.close, history.volume]
            )
            if not state.last:
                state.last = float(history.close[-1])
                state.seen = int(history.ts[-1]) + self.minutes * MINUTE
        if not state.mark:
            state.mark = state.index = state.last

    def _instrument(self) -> Instrument:
        base = self.contract.instrument
        tick, lot, multiplier = self.state.tick, self.state.lot, self.state.multiplier
        if tick is None and lot is None and multiplier is None:
            return base
        return msgspec.structs.replace(
            base,
            tick=tick or base.tick,
            lot=Decimal(lot) if lot else base.lot,
            min_quantity=Decimal(lot) if lot else base.min_quantity,
            multiplier=multiplier or base.multiplier,
        )

    def reload(self) -> None:
        """Tick, lot or multiplier have changed."""
        self.instrument = self._instrument()
        self._bids = self._asks = None

    def settle(self, ts: int, rate: float) -> None:
        """A funding settlement took place."""
        self.settled_ts.append(ts)
        self.settled.append(rate)
        state = self.state
        state.settled = [*state.settled[1 - _SETTLED :], (ts, rate)]

    # prices

    @property
    def last(self) -> float:
        return self.state.last

    @property
    def mark(self) -> float:
        return self.state.mark

    @property
    def index(self) -> float:
        return self.state.index

    def exact(self, price: float) -> Decimal:
        """A price as it is told: two more digits than the tick has."""
        places = max(0, -int(self.instrument.tick.normalize().as_tuple().exponent)) + 1
        return Decimal(repr(round(price, places)))

    def sized(self, levels: tuple[tuple[float, float], ...]) -> dict[float, float]:
        """Lots by price."""
        return {level[0]: level[1] for level in self._lots(levels)}

    def full(self, base: float) -> int:
        """The whole lots that an amount of base currency has."""
        return int(base / float(self.instrument.multiplier) + 1e-6)

    def lots(self, base: float) -> int:
        """An amount of base currency in whole lots, rounded."""
        return round(base / float(self.instrument.multiplier))

    def saw_price(self, ts: int, price: float) -> None:
        self.state.last = price
        self.state.seen = max(self.state.seen, ts)
        if not self.marked:
            self.state.mark = self.state.index = price

    # the book

    def saw_book(self, book: BookSeen, now: int) -> None:
        self.book = book
        self._book_at = now
        self._bids = self._asks = None
        if not self.state.last and book.bids and book.asks:
            self.saw_price(book.ts, (book.bids[0][0] + book.asks[0][0]) / 2)

    def drop_book(self) -> None:
        """The book is worth nothing any more: the last price stands for it until the next one."""
        self.book = self._bids = self._asks = None

    def levels(self, side: Side, now: int, max_age: int) -> list[Level]:
        """What someone who buys (+1) or sells (-1) can take, best first: the book, or the last price slipped if none is fresh."""
        book = self.book
        if book is not None and now - self._book_at <= max_age:
            found = self._asks if side > 0 else self._bids
            if found is None:
                found = self._lots(book.asks if side > 0 else book.bids)
                if side > 0:
                    self._asks = found
                else:
                    self._bids = found
            return found
        if not self.state.last:
            return []
        return [[float(slipped(self.state.last, side, self.instrument, self.slippage)), _DEEP]]

    def told(self, side: Side, now: int, max_age: int) -> list[Level]:
        """The levels as they are told: as the last book had them, whatever was taken since."""
        book = self.book
        if book is not None and now - self._book_at <= max_age:
            return self._lots(book.asks if side > 0 else book.bids)
        return [list(level) for level in self.levels(side, now, max_age)]

    def _lots(self, levels: tuple[tuple[float, float], ...]) -> list[Level]:
        found: list[Level] = []
        for price, size in levels:
            # a level that is no number is no level
            if 0 < price < math.inf and 0 < size < math.inf and (lots := self.full(size)):
                found.append([price, lots])
        return found

    def best(self, now: int, max_age: int) -> tuple[Level | None, Level | None]:
        """Best bid and ask."""
        bids, asks = self.told(-1, now, max_age), self.told(1, now, max_age)
        return (bids[0] if bids else None), (asks[0] if asks else None)

    # trades and bars

    def saw_trade(self, trade: TradeSeen) -> list[tuple[int, Forming]]:
        """Take a trade in. Bars that it ended, with their minutes, when somebody has not yet heard how they ended."""
        self.trades.append(trade)
        self.state.prints += 1
        self.ticked = max(self.ticked, trade.ts)
        self.saw_price(trade.ts, trade.price)
        ended = []
        lots = trade.size / float(self.instrument.multiplier)
        turnover = trade.size * trade.price
        if self.minutes:
            self._tick(trade)
        for minutes, forming in self.forming.items():
            start = opening(trade.ts, minutes)
            if start > forming.ts:
                if forming.fresh:
                    ended.append((minutes, forming))
                forming = self.forming[minutes] = Forming(start, trade.price)
            forming.add(trade.price, lots, turnover)
        return ended

    def _tick(self, trade: TradeSeen) -> None:
        start = opening(trade.ts, self.minutes)
        tail = self._tail
        if len(self._past) and start <= self._past[-1, 0]:
            return
        if tail and tail[-1][0] == start:
            row = tail[-1]
            row[2] = max(row[2], trade.price)
            row[3] = min(row[3], trade.price)
            row[4] = trade.price
            row[5] += trade.size
        elif not tail or tail[-1][0] < start:
            tail.append([float(start), trade.price, trade.price, trade.price, trade.price, trade.size])

    def saw_bar(self, bar: Bar) -> list[tuple[int, Forming]]:
        """A closed bar is the last word on its time. As `saw_trade`."""
        minutes = max(1, (bar.end - bar.ts) // MINUTE)
        if not self.minutes:
            self.minutes = minutes
        ended = []
        if minutes == self.minutes:
            self._keep([float(bar.ts), bar.open, bar.high, bar.low, bar.close, bar.volume])
        if self.ticked < bar.ts:
            self.saw_price(bar.end, bar.close)
            lots = bar.volume / float(self.instrument.multiplier)
            for each, forming in self.forming.items():
                start = opening(bar.ts, each)
                if start > forming.ts:
                    if forming.fresh:
                        ended.append((each, forming))
                    forming = self.forming[each] = Forming(start, bar.open)
                for price in (bar.high, bar.low, bar.close):
                    forming.add(price, 0.0, 0.0)
                forming.add(bar.close, lots, bar.volume * bar.close)
        return ended

    def _keep(self, row: list[float]) -> None:
        tail = self._tail
        at = bisect_left(tail, row[0], key=lambda r: r[0])
        if at < len(tail) and tail[at][0] == row[0]:
            tail[at] = row
        elif len(self._past) and row[0] <= self._past[-1, 0]:
            where = int(np.searchsorted(self._past[:, 0], row[0]))
            if self._past[where, 0] == row[0]:
                self._past = self._past.copy()
                self._past[where] = row
        else:
            tail.insert(at, row)
        if len(tail) >= _ROLL:
            # the newest stay in the tail: they may still form
            self._past = np.concatenate([self._past, np.array(tail[:-8])])
            self._tail = tail[-8:]

    def bars(self, minutes: int, start: int | None, end: int | None, most: int) -> np.ndarray:
        """At most `most` bars (ts open high low close volume in lots) whose open is in [start, end], the first of them; without
        `start` the last. Shape (n, 6). Empty for a granularity finer than the base."""
        if not self.minutes or minutes % self.minutes:
            return np.zeros((0, 6))
        whence = start if start is not None else (end or self.state.seen) - (most + 1) * minutes * MINUTE
        rows = self._rows(whence, end, minutes)
        if minutes != self.minutes and len(rows):
            rows = _wider(rows, minutes)
        rows = rows[-most:] if start is None else rows[:most]
        if len(rows):
            rows = rows.copy()
            rows[:, 5] = np.rint(rows[:, 5] / float(self.instrument.multiplier))
        return rows

    def _rows(self, start: int | None, end: int | None, minutes: int) -> np.ndarray:
        first = -np.inf if start is None else float(opening(start + minutes * MINUTE - 1, minutes))
        final = np.inf if end is None else float(opening(end, minutes) + minutes * MINUTE - 1)
        past = self._past
        a, b = np.searchsorted(past[:, 0], first), np.searchsorted(past[:, 0], final, side="right")
        found = past[a:b]
        if self._tail:
            tail = self._tail
            x = bisect_left(tail, first, key=lambda r: r[0])
            y = bisect_left(tail, final, key=lambda r: r[0])
            if x < y:
                found = np.concatenate([found, np.array(tail[x:y])])
        return found

    def follow(self, minutes: int, now: int) -> None:
        """Keep a forming bar of so many minutes from here on."""
        if minutes in self.forming or not self.state.last:
            return
        start = opening(now, minutes)
        rows = self.bars(minutes, start, start, 1)
        forming = Forming(start, self.state.last)
        if len(rows):
            _, forming.open, forming.high, forming.low, forming.close, forming.lots = rows[0].tolist()
            forming.turnover = forming.lots * float(self.instrument.multiplier) * forming.close
        self.forming[minutes] = forming

    def day(self, now: int) -> tuple[float, float, float, float, float]:
        """Of the last 24 h: first, high and low price, turnover in quote currency, volume in base currency; anew each minute."""
        if self._day is None or self._day[0] != now // MINUTE:
            self._day = now // MINUTE, self._of_day(now)
        first, high, low, turnover, volume = self._day[1]
        last = self.state.last
        return first, max(high, last), min(low, last), self.state.turnover or turnover, volume

    def _of_day(self, now: int) -> tuple[float, float, float, float, float]:
        rows = self._rows(now - DAY, None, self.minutes) if self.minutes else np.zeros((0, 6))
        if not len(rows):
            last = self.state.last
            return last, last, last, 0.0, 0.0
        turnover = float((rows[:, 4] * rows[:, 5]).sum())
        return float(rows[0, 1]), float(rows[:, 2].max()), float(rows[:, 3].min()), turnover, float(rows[:, 5].sum())


def _wider(rows: np.ndarray, minutes: int) -> np.ndarray:
    """Bars of a coarser granularity out of finer ones, (n, 6)."""
    ts = rows[:, 0]
    step = minutes * MINUTE
    shift = _MONDAY if minutes == 10080 else 0
    starts = np.floor((ts - shift) / step) * step + shift
    cuts = np.flatnonzero(np.concatenate([[True], starts[1:] != starts[:-1]]))
    ends = np.concatenate([cuts[1:], [len(rows)]]) - 1
    return np.column_stack(
        [
            starts[cuts],
            rows[cuts, 1],
            np.maximum.reduceat(rows[:, 2], cuts),
            np.minimum.reduceat(rows[:, 3], cuts),
            rows[ends, 4],
            np.add.reduceat(rows[:, 5], cuts),
        ]
    )


def _minutes(history: Candles) -> int:
    if len(history) > 1:
        return max(1, int(np.diff(history.ts).min()) // MINUTE)
    return 1
