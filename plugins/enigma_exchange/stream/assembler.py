"""KuCoin's messages to market events: pure, so that messages may come in any order, twice, or not at all.

Whoever owns it shows it each message, asks what should be fetched by REST and shows it the answers, and takes the events that
come of it. Times are the exchange's, ms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import msgspec

from enigma_core.market import BookSeen, FundingSeen, MarketEvent, MarkSeen, TickerSeen, TradeSeen
from enigma_exchange.contracts import Contract
from enigma_exchange.naming import CANDLES
from enigma_exchange.stream import data
from enigma_exchange.stream.book import Level2, Levels
from enigma_exchange.stream.closing import Asked, Closing, Row
from enigma_exchange.stream.frames import Message
from enigma_exchange.stream.outgoing import Outgoing
from enigma_exchange.stream.sanity import BAND, Sanity

BookKind = Literal["off", "best", "5", "50", "full"]

STALE_MARK = 4_000
"""Marks are pushed every second: silent for so long (ms), they are asked for."""

STALE_BOOK = 20_000
"""A book that is silent for so long (ms) is compared with REST; after three times as long without an answer it is no book."""

BOOKS_AT_ONCE = 10
"""Books that are asked for by one look."""

AGAIN = 30_000
"""Between two subscriptions (ms) to the same topic."""

LOOK = 1_000
"""Between two looks (ms) at what is stale."""

SPARSE = 10_000
"""At either end of a bar (ms): where marks were not seen for longer, they do not say what it can have been."""

REMEMBERED = 512
"""Trades of a symbol that are told apart by their ids."""

CANDLE = "/contractMarket/limitCandle"
EXECUTION = "/contractMarket/execution"
INSTRUMENT = "/contract/instrument"
ANNOUNCEMENT = "/contract/announcement"
SNAPSHOT = "/contractMarket/snapshot"
BOOKS = {
    "best": "/contractMarket/tickerV2",
    "5": "/contractMarket/level2Depth5",
    "50": "/contractMarket/level2Depth50",
    "full": "/contractMarket/level2",
}


class Marks(msgspec.Struct, frozen=True):
    """``contracts/active`` should be asked for: marks, funding and turnover of everything."""


class Depths(msgspec.Struct, frozen=True):
    """The book of a symbol should be asked for; `whole`: all of it."""

    symbol: str
    whole: bool


Wanted = Asked | Marks | Depths


class Dropped(msgspec.Struct):
    """Messages that were not used, by reason."""

    nonsense: int = 0
    """That cannot be read."""
    bad: int = 0
    """Prices that cannot be true: not above 0, far from the mark, a crossed book."""
    old: int = 0
    """That came twice, or after newer ones."""


class _Seen:
    """What is known of one symbol."""

    __slots__ = (
        "asked",
        "book",
        "book_at",
        "contract",
        "emptied",
        "level2",
        "mark_at",
        "mark_ts",
        "marked",
        "pending",
        "ranges",
        "sequence",
        "shown",
        "trades",
    )

    def __init__(self, contract: Contract, now: int, sanity: Sanity) -> None:
        self.contract = contract
        self.marked = sanity
        self.ranges: dict[int, list[float]] = {}
        """By the open of a bar: lowest and highest mark within it, when the first and the last were seen."""
        self.mark_at = self.book_at = now
        self.mark_ts = 0
        self.level2 = Level2()
        self.sequence = -1
        self.book: BookSeen | None = None
        self.shown = 0
        """When a book was last given."""
        self.pending: msgspec.Raw | None = None
        """A newer book that has not been read yet."""
        self.asked = 0
        self.emptied = False
        self.trades: dict[Any, None] = {}


class Assembler:
    """Market events of `contracts` (by symbol, in the order of the run).

    `last` has the open of each symbol's newest bar that is known already. Books are given every `every` ms at most, with
    `levels` levels a side.
    """

    def __init__(
        self,
        contracts: Mapping[str, Contract],
        timeframe: str,
        length: int,
        last: Mapping[str, int],
        now: int,
        *,
        book: BookKind = "50",
        trades: bool = True,
        every: int = 250,
        levels: int = 50,
        band: float = BAND,
    ) -> None:
        self.closing = Closing(length, last, {symbol: contract.unit for symbol, contract in contracts.items()}, now)
        self.dropped = Dropped()
        self._length = length
        self._timeframe = timeframe
        self._book: BookKind = book
        self._trades = trades
        self._every = every
        self._levels = 1 if book == "best" else levels
        self._band = band
        self._seen = {symbol: _Seen(contract, now, Sanity(band)) for symbol, contract in contracts.items()}
        self._by_code = {seen.contract.code: seen for seen in self._seen.values()}
        self._out = Outgoing()
        self._unread: dict[str, None] = {}
        self._marks_wanted = False
        self._marks_at = now
        self._looked = 0
        self._depths: dict[str, None] = {}
        self._again: dict[str, int] = {}
        self._stalled: list[str] = []
        self._readers: dict[str, Callable[[_Seen, Message, int], None]] = {
            CANDLE: self._candle,
            EXECUTION: self._match,
            INSTRUMENT: self._instrument,
            ANNOUNCEMENT: self._announcement,
            SNAPSHOT: self._snapshot,
            BOOKS["best"]: self._best,
            BOOKS["5"]: self._depth,
            BOOKS["50"]: self._depth,
            BOOKS["full"]: self._change,
        }
        self.marks((seen.contract for seen in self._seen.values()), now)

    @property
    def topics(self) -> dict[str, list[str]]:
        """What to subscribe to, by symbol."""
        found = {}
        for symbol, seen in self._seen.items():
            code = seen.contract.code
            topics = [f"{INSTRUMENT}:{code}", f"{ANNOUNCEMENT}:{code}", f"{SNAPSHOT}:{code}"]
            if (name := CANDLES.get(self._timeframe)) is not None:
                topics.append(f"{CANDLE}:{code}_{name}")
            if self._trades:
                topics.append(f"{EXECUTION}:{code}")
            if self._book != "off":
                topics.append(f"{BOOKS[self._book]}:{code}")
            found[symbol] = topics
        return found

    def code(self, symbol: str) -> str:
        """What KuCoin calls a symbol."""
        return self._seen[symbol].contract.code

    # what comes in

    def see(self, message: Message, now: int) -> None:
        """One message of the stream."""
        kind, _, name = message.topic.partition(":")
        reader = self._readers.get(kind)
        if reader is None:
            return
        try:
            if not name:
                name = msgspec.json.decode(message.data)["symbol"]
            seen = self._by_code.get(name.partition("_")[0])
            if seen is not None:
                reader(seen, message, now)
        except (msgspec.MsgspecError, LookupError, TypeError, ValueError, OverflowError):
            self.dropped.nonsense += 1

    def lost(self, symbols: Iterable[str], now: int, *, everything: bool = False) -> None:
        """Messages about `symbols` may have been missed, and none come for the time being."""
        symbols = list(symbols)
        self.closing.lost(symbols)
        for symbol in symbols:
            seen = self._seen[symbol]
            seen.level2.lose()
            seen.pending = None
            # what comes next may count from anywhere
            seen.sequence = -1
        if everything:
            self.closing.down()

    def back(self, symbols: Iterable[str], now: int) -> None:
        """Messages about `symbols` come in again: what was missed is asked for."""
        self.closing.resume(now)
        self._marks_wanted = True
        for symbol in symbols:
            if self._book == "full":
                self._depths[symbol] = None

    def rows(self, asked: Asked, rows: Iterable[Row], now: int) -> None:
        """REST's answer to `Asked`."""
        rows = list(rows)
        ranges = self._seen[asked.symbol].ranges
        sane = [row.ts for row in rows if self._in_range(row, ranges.get(row.ts))]
        self.closing.answered(asked, rows, now, sane=sane)
        for ts in [ts for ts in ranges if ts < now - 3 * self._length]:
            del ranges[ts]

    def marks(self, contracts: Iterable[Contract], now: int) -> None:
        """REST's answer to `Marks`."""
        self._marks_at = now
        for contract in contracts:
            seen = self._seen.get(contract.symbol)
            if seen is None:
                continue
            seen.contract = contract
            self._mark(seen, contract.mark, contract.index, now, now)
            if math.isfinite(contract.funding):
                self._out.put(FundingSeen(now, contract.symbol, contract.funding, contract.next_funding, contract.funding_hours))
            if math.isfinite(contract.turnover):
                self._out.put(TickerSeen(now, contract.symbol, contract.turnover))

    def depth(self, wanted: Depths, answer: data.Depth, now: int) -> None:
        """REST's answer to `Depths`."""
        seen = self._seen[wanted.symbol]
        if self._book == "full":
            pairs = [[(float(price), float(size)) for price, size, *_ in side] for side in (answer.bids, answer.asks)]
            was = seen.level2.sequence
            seen.level2.begin(answer.sequence, pairs[0], pairs[1], now)
            if 0 <= was < answer.sequence and not seen.level2.broken:
                self._stall(seen, now)
            seen.book_at = now
            self._unread[wanted.symbol] = None
            return
        if seen.sequence >= 0 and answer.sequence > seen.sequence and now - seen.book_at > STALE_BOOK:
            # the book has moved, and the stream has not said so
            self._stall(seen, now)
        if answer.sequence >= seen.sequence:
            self._show(seen, answer.bids, answer.asks, now, now)
            seen.book_at = now

    def failed(self, wanted: Wanted, now: int) -> None:
        """REST did not answer."""
        if isinstance(wanted, Asked):
            self.closing.failed(wanted, now)

    # what goes out

    def wanted(self, now: int) -> list[Wanted]:
        """What REST should be asked for. Each is then taken for asked."""
        self._look(now)
        found: list[Wanted] = [*self.closing.wanted(now)]
        if self._marks_wanted:
            self._marks_wanted, self._marks_at = False, now
            found.append(Marks())
        for symbol in self._depths:
            self._seen[symbol].asked = now
            found.append(Depths(symbol, self._book == "full"))
        self._depths.clear()
        return found

    def stalled(self) -> list[str]:
        """Topics to subscribe to anew: their streams stand still."""
        found, self._stalled = self._stalled, []
        return found

    def events(self, now: int, wall: int) -> list[MarketEvent]:
        """What can be told now. While the bars of a close are waited for, nothing that came after it."""
        self._flush(now)
        events: list[MarketEvent] = []
        if self.closing.waits(now):
            events += self._out.take(self.closing.moment, wall)
            for bars in self.closing.closed(now):
                # one with a moment of its own first: what came before its close
                events += self._out.take(bars.ts, wall)
                events.append(bars)
                self._out.over(bars.ts)
        if not self.closing.waits(now):
            late = self.closing.closed(now)
            events += late
            events += self._out.take(None, wall)
        return events

    def due(self, now: int) -> int:
        """When to look again without any news, ms."""
        soon = now + (self._every if self._unread else LOOK)
        return min(soon, self.closing.due(now))

    # messages, by topic

    def _candle(self, seen: _Seen, message: Message, now: int) -> None:
        candle = msgspec.json.decode(message.data, type=data.Candle)
        seconds, open_, close, high, low, _, volume = (float(value) for value in candle.candles[:7])
        row = Row(int(seconds) * 1000, open_, high, low, close, volume)
        if not self._in_range(row, seen.ranges.get(row.ts)) or not all(seen.marked.price(p, now) for p in (high, low)):
            self.dropped.bad += 1
            return
        self.closing.forming(seen.contract.symbol, row)

    def _match(self, seen: _Seen, message: Message, now: int) -> None:
        match = msgspec.json.decode(message.data, type=data.Match)
        if match.tradeId in seen.trades:
            self.dropped.old += 1
            return
        price, size = float(match.price), float(match.size)
        if not seen.marked.price(price, now) or not 0 < size < math.inf or match.side not in ("buy", "sell"):
            self.dropped.bad += 1
            return
        seen.trades[match.tradeId] = None
        if len(seen.trades) > REMEMBERED:
            del seen.trades[next(iter(seen.trades))]
        side: Literal[1, -1] = 1 if match.side == "buy" else -1
        ts = min(data.milliseconds(match.ts), now)
        self._out.put(TradeSeen(ts, seen.contract.symbol, side, price, size * seen.contract.unit))

    def _instrument(self, seen: _Seen, message: Message, now: int) -> None:
        if message.subject == "mark.index.price":
            marks = msgspec.json.decode(message.data, type=data.Marks)
            if marks.timestamp <= seen.mark_ts:
                self.dropped.old += 1
                return
            if self._mark(seen, float(marks.markPrice), float(marks.indexPrice), marks.timestamp, now):
                seen.mark_ts = marks.timestamp
        elif message.subject == "funding.rate":
            rate = msgspec.json.decode(message.data, type=data.Rate)
            self._rate(seen, float(rate.fundingRate), min(rate.timestamp, now), now)

    def _announcement(self, seen: _Seen, message: Message, now: int) -> None:
        # a settlement: the next one's rate and time are in the list of contracts
        self._marks_wanted = True

    def _snapshot(self, seen: _Seen, message: Message, now: int) -> None:
        stats = msgspec.json.decode(message.data, type=data.Stats)
        turnover = float(stats.turnover)
        if not 0 <= turnover < math.inf:
            self.dropped.bad += 1
            return
        self._out.put(TickerSeen(min(data.milliseconds(stats.ts) or now, now), seen.contract.symbol, turnover))

    def _best(self, seen: _Seen, message: Message, now: int) -> None:
        self._newer(seen, message, now)

    def _depth(self, seen: _Seen, message: Message, now: int) -> None:
        self._newer(seen, message, now)

    def _newer(self, seen: _Seen, message: Message, now: int) -> None:
        sequence = msgspec.json.decode(message.data, type=data.Head).sequence
        if sequence <= seen.sequence:
            self.dropped.old += 1
            return
        seen.sequence, seen.book_at, seen.pending = sequence, now, message.data
        self._unread[seen.contract.symbol] = None

    def _change(self, seen: _Seen, message: Message, now: int) -> None:
        change = msgspec.json.decode(message.data, type=data.Change)
        price, side, size = change.change.split(",")
        if side not in ("buy", "sell"):
            raise ValueError(side)
        was = seen.level2.broken
        seen.level2.change(change.sequence, float(price), side, float(size), now)  # type: ignore[arg-type]
        if seen.level2.broken:
            if not was or now - seen.asked > STALE_BOOK:
                self._depths[seen.contract.symbol] = None
            return
        seen.book_at = now
        self._unread[seen.contract.symbol] = None

    # what they come to

    def _mark(self, seen: _Seen, mark: float, index: float, ts: int, now: int) -> bool:
        if not seen.marked.marked(mark, index, now):
            self.dropped.bad += 1
            return False
        seen.mark_at = now
        bar = now // self._length * self._length
        if (known := seen.ranges.get(bar)) is None:
            seen.ranges[bar] = [mark, mark, now, now]
        else:
            known[0], known[1], known[3] = min(known[0], mark), max(known[1], mark), now
        self._out.put(MarkSeen(min(ts, now), seen.contract.symbol, mark, index))
        return True

    def _rate(self, seen: _Seen, rate: float, ts: int, now: int) -> None:
        if not -1 < rate < 1:
            self.dropped.bad += 1
            return
        contract = seen.contract
        settles, hours = contract.next_funding, contract.funding_hours
        if 0 < settles <= now:
            settles += math.ceil((now + 1 - settles) / (hours * 3_600_000)) * int(hours * 3_600_000)
            self._marks_wanted = True
        self._out.put(FundingSeen(ts, contract.symbol, rate, settles, hours))

    def _in_range(self, row: Row, marks: list[float] | None) -> bool:
        """Whether a bar stays near the marks of its time, where they were followed all through it."""
        if marks is None or marks[2] > row.ts + SPARSE or marks[3] < row.ts + self._length - SPARSE:
            return True
        return marks[0] * (1 - self._band) <= row.low and row.high <= marks[1] * (1 + self._band)

    def _flush(self, now: int) -> None:
        """Books that were not told of for a while."""
        for symbol in [s for s in self._unread if now - self._seen[s].shown >= self._every]:
            del self._unread[symbol]
            seen = self._seen[symbol]
            try:
                if self._book == "full":
                    seen.level2.look(now)
                    if seen.level2.broken:
                        self._depths[symbol] = None
                        continue
                    bids, asks = seen.level2.levels(self._levels)
                    self._show(seen, bids, asks, now, now)
                elif seen.pending is not None:
                    pending, seen.pending = seen.pending, None
                    if self._book == "best":
                        best = msgspec.json.decode(pending, type=data.Ticker)
                        bid, ask = [best.bestBidPrice, best.bestBidSize], [best.bestAskPrice, best.bestAskSize]
                        self._show(seen, [bid], [ask], data.milliseconds(best.ts) or now, now)
                    else:
                        depth = msgspec.json.decode(pending, type=data.Depth)
                        self._show(seen, depth.bids, depth.asks, depth.timestamp or data.milliseconds(depth.ts) or now, now)
            except (msgspec.MsgspecError, LookupError, TypeError, ValueError):
                self.dropped.nonsense += 1

    def _show(self, seen: _Seen, bids: Iterable[Any], asks: Iterable[Any], ts: int, now: int) -> None:
        unit = seen.contract.unit
        buys, sells = _side(bids, unit, self._levels, best=max), _side(asks, unit, self._levels, best=min)
        if not buys or not sells or not buys[0][0] < sells[0][0]:
            self.dropped.bad += 1
            return
        if not (seen.marked.price(buys[0][0], now) and seen.marked.price(sells[0][0], now)):
            self.dropped.bad += 1
            return
        seen.shown, seen.emptied = now, False
        seen.book = BookSeen(min(ts, now), seen.contract.symbol, buys, sells)
        self._out.put(seen.book)

    def _look(self, now: int) -> None:
        """What has been silent for too long is asked for by REST, and what cannot be had is no longer held for true."""
        if now - self._looked < LOOK:
            return
        self._looked = now
        stale = [seen for seen in self._seen.values() if now - seen.mark_at > STALE_MARK]
        if stale and now - self._marks_at > STALE_MARK:
            self._marks_wanted = True
        for seen in stale:
            self._subscribe_again(f"{INSTRUMENT}:{seen.contract.code}", now)
        if self._book == "off":
            return
        for symbol, seen in self._seen.items():
            silent = now - seen.book_at
            if self._book == "full":
                seen.level2.look(now)
                if seen.level2.broken and now - seen.asked > 2 * LOOK:
                    self._depths[symbol] = None
            if silent > STALE_BOOK and now - seen.asked > STALE_BOOK and len(self._depths) < BOOKS_AT_ONCE:
                self._depths[symbol] = None
            if silent > 3 * STALE_BOOK and not seen.emptied:
                # an empty book closes the symbol for entries
                seen.emptied = True
                self._out.put(BookSeen(now, symbol, (), ()))

    def _stall(self, seen: _Seen, now: int) -> None:
        self._subscribe_again(f"{BOOKS[self._book]}:{seen.contract.code}", now)

    def _subscribe_again(self, topic: str, now: int) -> None:
        if now - self._again.get(topic, 0) > AGAIN:
            self._again[topic] = now
            self._stalled.append(topic)


def _side(levels: Iterable[Any], unit: float, most: int, *, best: Callable[..., Any]) -> Levels:
    """One side of a book, best first, sizes in base currency; levels that cannot be are left out."""
    found = [(float(level[0]), float(level[1]) * unit) for level in levels]
    found = [level for level in found if 0 < level[0] < math.inf and 0 < level[1] < math.inf]
    found.sort(reverse=best is max)
    return tuple(found[:most])
