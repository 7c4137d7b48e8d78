"""Runs on paper in tests: a feed of given bars, a run to its end or to any moment, and what its journal says."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np

from enigma_core.book import Book
from enigma_core.home import Home
from enigma_core.journal import Journal, replay
from enigma_core.market import BarsClosed, Funding, FundingSeen, MarketEvent
from enigma_core.model import Bar, Candles, Decision, Instrument, Trade
from enigma_core.parts import Clock, Feed
from enigma_core.plan import Plan
from enigma_core.reading import fold
from enigma_core.records import decode
from enigma_core.shells import Summary, run
from enigma_core.timeframes import milliseconds
from enigma_plugins.executors.paper import Paper


class Given(Feed, frozen=True, kw_only=True):
    """A recording: `candles`, `instruments` and `settled` funding by symbol, and `seen`, what else was seen.

    Taken up again it first says what funding has been announced, as a venue does.
    """

    name = "given"
    simulated: ClassVar[bool] = True

    candles: Any
    instruments: Any
    settled: Any = {}
    seen: Any = ()

    def symbols(self) -> tuple[str, ...]:
        return tuple(self.candles)

    def instrument(self, symbol: str) -> Instrument:
        found: Instrument = self.instruments[symbol]
        return found

    def base_timeframe(self) -> str:
        return str(next(iter(self.candles.values())).timeframe)

    def history(self, symbol: str, timeframe: str, start: int | None = None, end: int | None = None) -> Candles:
        candles: Candles = self.candles[symbol]
        first = 0 if start is None else int((candles.ts < start).sum())
        return candles[first : len(candles) if end is None else int((candles.ts < end).sum())]

    def funding(self, symbol: str) -> Funding | None:
        return self.settled.get(symbol)  # type: ignore[no-any-return]

    async def stream(self, symbols: Sequence[str], timeframe: str, since: int | None) -> AsyncIterator[MarketEvent]:
        length = milliseconds(timeframe)
        closed: dict[int, dict[str, Bar]] = {}
        for symbol in symbols:
            c = self.candles[symbol]
            for ts, *values in zip(*(a.tolist() for a in (c.ts, c.open, c.high, c.low, c.close, c.volume)), strict=True):
                closed.setdefault(ts + length, {})[symbol] = Bar(symbol, ts, ts + length, *values)
        bars = [BarsClosed(end, closed[end]) for end in sorted(closed)]
        announced = {e.symbol: e for e in self.seen if type(e) is FundingSeen and since is not None and e.ts <= since}
        for known in announced.values():
            yield known
        # sorted() keeps the order of equals: what is seen at a close comes before the bars
        told: dict[str, int] = {}
        for event in sorted([*self.seen, *bars], key=lambda e: e.ts):
            if since is not None and event.ts <= since:
                continue
            for symbol, funding in self.settled.items() if type(event) is BarsClosed else ():
                newest = -1 if funding is None else int((funding.ts <= event.ts).sum()) - 1
                if newest > told.get(symbol, -1):
                    told[symbol] = newest
                    yield funding.seen(symbol, newest, event.ts)
            yield event


class Cut(Exception):
    """A run was ended from outside."""


class Ending(Clock):
    """Never waits; ends the run when it would wait once more than `events` times, or for a moment after `last`."""

    def __init__(self, events: float = math.inf, last: float = math.inf) -> None:
        self._left = events
        self._last = last
        self._now = 0

    def now(self) -> int:
        return self._now

    async def until(self, ts: int) -> None:
        if not self._left or ts > self._last:
            raise Cut
        self._left -= 1
        self._now = ts


def on(plan: Plan, feed: Feed) -> Plan:
    """`plan` on paper over `feed`, all its symbols."""
    return msgspec.structs.replace(plan, feed=feed, executor=plan.executor or Paper(), symbols=feed.symbols())


class Ran(msgspec.Struct):
    """A run, and everything that was told of it."""

    summary: Summary
    records: list[Any]

    def of(self, kind: type) -> list[Any]:
        return [r for r in self.records if type(r) is kind]

    @property
    def trades(self) -> list[Trade]:
        return self.of(Trade)

    @property
    def decisions(self) -> list[Decision]:
        return self.of(Decision)


def ran(plan: Plan, home: Path, *, clock: Clock | None = None) -> Ran:
    """Trade `plan` in the folder `home` until its feed or its clock ends it."""
    records: list[Any] = []
    with Home.open(home) as held:
        try:
            summary = asyncio.run(run(plan, held, observer=records.append, clock=clock))
        except Cut:
            summary = Summary(reason="cut")
    return Ran(summary, records)


def assert_same(told: Sequence[Any], expected: Sequence[Any]) -> None:
    """Two long lists are the same. What pytest makes of two that differ takes it minutes; the first difference says as much."""
    for number, (one, other) in enumerate(zip(told, expected, strict=False)):
        assert one == other, f"number {number} of {len(told)}"
    assert len(told) == len(expected)


def facts(home: Path) -> list[tuple[int, str, str]]:
    """Everything in the journal but the starts: time, kind, content."""
    with closing(sqlite3.connect(home / "paper.sqlite")) as db:
        return db.execute("SELECT ts, kind, payload FROM event WHERE kind <> 'started' ORDER BY seq").fetchall()


def steps(home: Path, mode: str = "paper") -> list[tuple[int, list[Any]]]:
    """The steps of a mode's journal, each with its time."""
    found: dict[int, tuple[int, list[Any]]] = {}
    with closing(sqlite3.connect(home / f"{mode}.sqlite")) as db:
        for step, ts, kind, payload in db.execute("SELECT step, ts, kind, payload FROM event ORDER BY seq"):
            found.setdefault(step, (ts, []))[1].append(decode(kind, payload))
    return list(found.values())


def begun(home: Path, identity: str, taken: Sequence[tuple[int, list[Any]]]) -> Path:
    """A folder whose journal ends with the steps `taken`, as a process that died after them leaves it."""
    with Home.open(home) as held, Journal.open(held.paper, "paper", identity, "OFF") as journal:
        for ts, records in taken:
            journal.write(records, ts)
    return home


def account(home: Path) -> dict[str, Any]:
    """The account as the journal has it: money, positions with their stops, orders, and what the risk rules remember."""
    book = fold(replay(home / "paper.sqlite"))
    assert book is not None
    return standing(book)


def standing(book: Book) -> dict[str, Any]:
    """Everything a book knows, to be compared."""
    return {
        "cash": book.cash,
        "equity": book.equity,
        "positions": {s: {name: getattr(p, name) for name in type(p).__slots__} for s, p in book.positions.items()},
        "orders": {i: (w.order, w.filled) for i, w in book.orders.items()},
        "entries": dict(book.entries),
        "day": (book.day_equity, book.day_end),
        "losses in a row": book.losses_in_row,
        "last exits": {s: book.last_exit(s) for s in book.instruments},
        "state": book.trading_state,
        "trades": book.trades,
    }


def csv_files(folder: Path, candles: Mapping[str, Candles]) -> Path:
    """One csv file a symbol, as an exchange's history has it."""
    for symbol, c in candles.items():
        name = symbol.split(":")[0].replace("/", "")
        columns = np.column_stack([c.open, c.high, c.low, c.close, c.volume]).tolist()
        lines = (f"{ts},{','.join(map(repr, row))}\n" for ts, row in zip(c.ts.tolist(), columns, strict=True))
        (folder / f"{name}-{c.timeframe}.csv").write_text("ts_ms,open,high,low,close,volume\n" + "".join(lines))
    return folder
