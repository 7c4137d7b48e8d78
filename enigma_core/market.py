"""What the market says: events as they arrive, and the snapshot that live indicators and gates read."""

from __future__ import annotations

import math
from collections import deque
from itertools import pairwise

import msgspec
import numpy as np

from enigma_core.lines import Floats
from enigma_core.model import Bar, Candles, Side


class BarsClosed(msgspec.Struct, frozen=True):
    """All bars of the base timeframe that closed at `ts`, by symbol in the order the run names them."""

    ts: int
    bars: dict[str, Bar]


class BookSeen(msgspec.Struct, frozen=True):
    """An order book: levels as (price, size in base currency), best first."""

    ts: int
    symbol: str
    bids: tuple[tuple[float, float], ...]
    asks: tuple[tuple[float, float], ...]


class TradeSeen(msgspec.Struct, frozen=True):
    """A public trade; `side` is the taker's, `size` in base currency."""

    ts: int
    symbol: str
    side: Side
    price: float
    size: float


class FundingSeen(msgspec.Struct, frozen=True):
    """The current funding rate and when it will be settled, ms; `hours` is the interval it is for."""

    ts: int
    symbol: str
    rate: float
    next_ts: int
    hours: float = 8.0


class MarkSeen(msgspec.Struct, frozen=True):
    """Mark and index price."""

    ts: int
    symbol: str
    mark: float
    index: float


class TickerSeen(msgspec.Struct, frozen=True):
    """24 h turnover in quote currency."""

    ts: int
    symbol: str
    turnover: float


MarketEvent = BarsClosed | BookSeen | TradeSeen | FundingSeen | MarkSeen | TickerSeen


FUNDING_HOURS = 8.0
"""The interval of a settlement that none came before."""


class Funding(msgspec.Struct, frozen=True, eq=False):
    """Funding settlements of one symbol: `ts` int64 ms ascending, `rate` float64, both (n,)."""

    ts: np.ndarray
    rate: Floats

    def seen(self, symbol: str, at: int, ts: int) -> FundingSeen:
        """Settlement number `at` as the newest word on funding at `ts`; the next is expected after the same interval."""
        settled = int(self.ts[at])
        hours = (settled - int(self.ts[at - 1])) / 3_600_000 if at else FUNDING_HOURS
        return FundingSeen(ts, symbol, float(self.rate[at]), settled + round(hours * 3_600_000), hours)


class Vote(msgspec.Struct, frozen=True):
    """The newest alert of a symbol: side, when it arrived, and how long it counts, ms."""

    ts: int
    side: Side
    ttl: int


class Voted(msgspec.Struct, frozen=True):
    """An alert has cast its vote on `symbol`, or its veto against the other side."""

    ts: int
    symbol: str
    side: Side
    ttl: int
    veto: bool = False


DAY = 86_400_000
PROFILE_DAYS = 20
SLOT = 1_800_000
"""Half an hour, in ms."""


class Profile(msgspec.Struct):
    """How much is traded at which time of day (UTC), in base currency: sums of half hours over the last days."""

    days: dict[int, list[float]] = {}

    @classmethod
    def of(cls, candles: Candles) -> Profile:
        """The profile of a history of bars."""
        profile = cls()
        last = int(candles.ts[-1]) if len(candles) else 0
        recent = candles[int((candles.ts < last - PROFILE_DAYS * DAY).sum()) :]
        for ts, volume in zip(recent.ts.tolist(), recent.volume.tolist(), strict=True):
            profile.add(ts, volume)
        return profile

    def see(self, bar: Bar) -> None:
        """Take in a bar that has closed."""
        self.add(bar.ts, bar.volume)

    def add(self, ts: int, volume: float) -> None:
        """Take in what was traded in the bar that opened at `ts`, ms. What is no volume is not heard."""
        if not 0 <= volume < math.inf:
            return
        day = ts // DAY
        slots = self.days.get(day)
        if slots is None:
            slots = self.days[day] = [0.0] * (DAY // SLOT)
            while len(self.days) > PROFILE_DAYS:
                del self.days[min(self.days)]
        slots[ts % DAY // SLOT] += volume

    def shares(self, start: int, end: int, parts: int) -> list[float]:
        """What share of what is usually traded from `start` to `end` (ms) falls into each of so many equal stretches of it.

        Within a half hour it is spread evenly, and over all of it where nothing is known.
        """
        slots = [sum(day[i] for day in self.days.values()) for i in range(DAY // SLOT)]
        edges = [start + (end - start) * k // parts for k in range(parts + 1)]
        traded = [_traded(slots, a, b) for a, b in pairwise(edges)]
        total = sum(traded)
        return [t / total for t in traded] if total > 0 else [1 / parts] * parts


def _traded(slots: list[float], start: int, end: int) -> float:
    total, at = 0.0, start
    while at < end:
        until = min(end, (at // SLOT + 1) * SLOT)
        total += slots[at % DAY // SLOT] * (until - at) / SLOT
        at = until
    return total


class Market(msgspec.Struct):
    """The newest of everything about one symbol. Owned by the shell; parts only read it."""

    symbol: str
    book: BookSeen | None = None
    trades: deque[TradeSeen] = msgspec.field(default_factory=lambda: deque(maxlen=5000))
    funding: FundingSeen | None = None
    mark: MarkSeen | None = None
    turnover: float | None = None
    vote: Vote | None = None
    veto: Vote | None = None
    """The newest alert that blocks entries on the other side."""
    profile: Profile | None = None
    """How much is traded at which time of day; None where nobody asked for it."""
    live: bool = False
    """It happens now, so what has not been seen of it yet may be about to come."""

    def cast(self, voted: Voted) -> None:
        """Take in what an alert says."""
        vote = Vote(voted.ts, voted.side, voted.ttl)
        if voted.veto:
            self.veto = vote
        else:
            self.vote = vote

    def see(self, event: MarketEvent) -> None:
        """Take in one event of this symbol."""
        match event:
            case BookSeen():
                self.book = event
            case TradeSeen():
                self.trades.append(event)
            case FundingSeen():
                self.funding = event
            case MarkSeen():
                self.mark = event
            case TickerSeen():
                self.turnover = event.turnover
            case BarsClosed():
                pass

    @property
    def spread(self) -> float:
        """(ask - bid) / mid of the newest book; NaN without one."""
        if self.book is None or not self.book.bids or not self.book.asks:
            return float("nan")
        bid, ask = self.book.bids[0][0], self.book.asks[0][0]
        return (ask - bid) / ((ask + bid) / 2)
