"""What the market says: events as they arrive, and the snapshot that live indicators and gates read."""

from __future__ import annotations

from collections import deque

import msgspec
import numpy as np

from enigma_core.lines import Floats
from enigma_core.model import Bar, Side


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
