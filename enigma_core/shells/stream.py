"""Trading on a stream: recovery, then one event after another, each written down before the next.

The state is owned by this task alone. What an event leads to is one step of the journal, so a run that is killed goes on
from the last whole step: the same positions, stops, breaker and cool-downs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import msgspec

from enigma_core.book import Book
from enigma_core.engine import Engine, Record
from enigma_core.errors import ConfigError, HomeError
from enigma_core.home import Home
from enigma_core.journal import Journal
from enigma_core.live import LiveEvaluator
from enigma_core.market import BarsClosed, Market, MarketEvent
from enigma_core.model import Bar, Cancel, Candles, Decision, Fill, Instrument, Order, Trade
from enigma_core.parts import Clock, Feed, Ports, Venue
from enigma_core.plan import Plan
from enigma_core.plugins import Catalogue
from enigma_core.records import Started
from enigma_core.shells.clock import PacedClock, WallClock
from enigma_core.shells.driving import drive
from enigma_core.shells.notes import Notes, note_of
from enigma_core.timeframes import milliseconds

Observer = Callable[[Any], None]

WARM_BARS = 1500
"""Bars of the coarsest timeframe that a run asks its feed for before the first event."""


class RunStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A run is about to take its first event. `recovered` is True when it goes on from an earlier one."""

    mode: str
    market: str
    symbols: tuple[str, ...]
    strategy: str
    timeframe: str
    equity: Decimal
    positions: tuple[str, ...]
    recovered: bool
    home: str
    told: tuple[str, ...]


class Summary(msgspec.Struct, kw_only=True):
    """What a run did, from its start or restart to its end."""

    seconds: float = 0.0
    bars: int = 0
    first_ts: int = 0
    last_ts: int = 0
    decisions: int = 0
    orders: int = 0
    trades: int = 0
    net: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    start_equity: Decimal = Decimal(0)
    equity: Decimal = Decimal(0)
    open_positions: tuple[str, ...] = ()
    reason: str = ""


async def run(
    plan: Plan,
    home: Home,
    *,
    stop: asyncio.Event | None = None,
    observer: Observer | None = None,
    catalogue: Catalogue | None = None,
    clock: Clock | None = None,
    fresh: bool = False,
) -> Summary:
    """Trade `plan` until its feed ends or `stop` is set. `observer` sees `RunStarted` and then every record, after it is written.

    Raises `ConfigError` for a plan without feed or executor, `HomeError` when the journal cannot be used or written.
    """
    if plan.feed is None or plan.executor is None:
        raise ConfigError("a run needs a feed and an executor: name them, such as {'use': 'synthetic'} and {'use': 'paper'}")
    feed = plan.feed
    symbols = plan.symbols or feed.symbols()
    instruments = instruments_of(plan, feed, symbols)
    journal = home.journal(plan.mode, feed.identity(), fresh=fresh)
    session = Session(plan, feed, symbols, instruments, journal, observer or (lambda _: None), catalogue)
    try:
        session.recover(tuple(home.told), str(home.path))
        speed = getattr(feed, "speed", 0.0)
        await session.trade(stop or asyncio.Event(), clock or (PacedClock(speed) if feed.simulated else WallClock()))
    finally:
        await session.close()
    return session.summary


def instruments_of(plan: Plan, feed: Feed, symbols: tuple[str, ...]) -> dict[str, Instrument]:
    """The feed's instruments, with what the configuration says of them laid over."""
    found = {}
    for symbol in symbols:
        listed = msgspec.to_builtins(feed.instrument(symbol))
        try:
            found[symbol] = msgspec.convert(listed | dict(plan.instruments.get(symbol, {})), Instrument, strict=False)
        except msgspec.ValidationError as error:
            raise ConfigError(f"instruments.{symbol}: {error}") from error
    return found


class Session:
    """One run: the account, its evaluators, its venue."""

    def __init__(
        self,
        plan: Plan,
        feed: Feed,
        symbols: tuple[str, ...],
        instruments: dict[str, Instrument],
        journal: Journal,
        observer: Observer,
        catalogue: Catalogue | None,
    ) -> None:
        self.plan = plan
        self.feed = feed
        self.symbols = symbols
        self.summary = Summary()
        self._journal = journal
        self._observer = observer
        self._catalogue = catalogue
        self._timeframe = feed.base_timeframe()
        self._instruments = instruments
        self._book = Book(plan.account.equity, instruments)
        self._markets = {s: Market(s) for s in symbols}
        self._evaluators = {s: LiveEvaluator(s, self._timeframe, plan) for s in symbols}
        self._engine = Engine(plan, self._book, instruments, self._evaluators, self._markets)
        self._venue: Venue | None = None
        self._notes: Notes | None = None
        self._since: int | None = None
        self._pending: list[Record] = []
        self._began = time.monotonic()

    # recovery

    def recover(self, told: tuple[str, ...], home: str) -> None:
        """Fold the journal, warm the evaluators, take over positions and orders."""
        assert self.plan.executor is not None
        known = False
        for record in self._journal.replay(without=("decision", "trade", "note", "cancel")):
            if type(record) is not Started:
                self._book.apply(record)
            elif not known:
                known = True
                self._book.cash = self._book.day_equity = record.cash
        self._since = self._journal.last_ts or None
        self._journal.write([Started(ts=self._since or 0, cash=self._book.cash, instruments=self._instruments)], self._since or 0)
        unknown = [s for s in (*self._book.positions, *self._book.entries) if s not in self._evaluators]
        if unknown:
            raise HomeError(
                f"{home} holds a position in {', '.join(sorted(set(unknown)))}, which this run does not trade: "
                "add it with --pairs, or use another --home"
            )
        for symbol, evaluator in self._evaluators.items():
            history = self._history(symbol)
            if history is not None:
                evaluator.warm(history)
                if symbol in self._book.positions:
                    self._engine.resume(symbol, _bars_since(history, self._book.positions[symbol].entry_ts))
        funding = {s: self.feed.funding(s) for s in self.symbols}
        ports = Ports(
            instruments=self._instruments,
            costs=self.plan.costs,
            funding=funding,
            account=self._book,
            since=self._since or 0,
        )
        self._venue = self.plan.executor.open(ports)
        self.summary.start_equity = self._book.equity
        self._observer(
            RunStarted(
                mode=self.plan.mode,
                market=self.feed.identity(),
                symbols=self.symbols,
                strategy=self.plan.strategy,
                timeframe=self.plan.timeframes.primary,
                equity=self._book.equity,
                positions=tuple(self._book.positions),
                recovered=self._since is not None,
                home=home,
                told=told,
            )
        )

    def _history(self, symbol: str) -> Candles | None:
        """Bars before the first event: a fresh run on a recording starts at its first bar and has none."""
        coarsest = max(milliseconds(t) for t in (*self.plan.timeframes.available, self.plan.timeframes.primary))
        if self._since is not None:
            entered = self._book.positions[symbol].entry_ts if symbol in self._book.positions else self._since
            start = min(self._since - WARM_BARS * coarsest, entered)
            history = self.feed.history(symbol, self._timeframe, start, self._since)
            # a bar that opened before but closes after the last step is yet to come
            return history[: int((history.ts + milliseconds(self._timeframe) <= self._since).sum())]
        return None if self.feed.simulated else self.feed.history(symbol, self._timeframe)

    # trading

    async def trade(self, stop: asyncio.Event, clock: Clock) -> None:
        """One event after another."""
        self._notes = Notes(self.plan.notifiers)
        self._tell("enigma_started", mode=self.plan.mode, symbols=self.symbols)
        stopping = asyncio.create_task(stop.wait())
        try:
            async for event in self._events(stop):
                if await _sooner(clock.until(event.ts), stopping):
                    self.summary.reason = "stopped"
                    break
                self.take(event)
            else:
                self.summary.reason = "stopped" if stop.is_set() else "the feed has ended"
        finally:
            stopping.cancel()
            self._write()

    async def _events(self, stop: asyncio.Event) -> AsyncIterator[MarketEvent]:
        stream = self.feed.stream(self.symbols, self._timeframe, self._since)
        async for event in stream:
            if stop.is_set():
                return
            yield event

    def take(self, event: MarketEvent) -> None:
        """One market event: what it leads to is decided, and written with the bars it came with."""
        assert self._venue is not None
        if type(event) is BarsClosed:
            self.summary.bars += len(event.bars)
            self.summary.first_ts = self.summary.first_ts or event.ts
            self.summary.last_ts = event.ts
        else:
            self._markets[event.symbol].see(event)
        self._pending += drive(self._engine, self._venue, event)
        if type(event) is BarsClosed:
            self._since = event.ts
            self._write()

    def _write(self) -> None:
        """The records of one moment, as one step."""
        if self._journal.failed is not None:
            raise HomeError(str(self._journal.failed)) from self._journal.failed
        records, self._pending = self._pending, []
        if not records or self._since is None:
            return
        self._journal.write(records, self._since)
        for record in records:
            self._count(record)
            self._observer(record)
            self._announce(record)

    def _count(self, record: Record) -> None:
        summary = self.summary
        if type(record) is Decision:
            summary.decisions += 1
        elif type(record) is Order:
            summary.orders += 1
        elif type(record) is Trade:
            summary.trades += 1
            summary.net += record.net
            summary.fees += record.fees

    def _announce(self, record: Record) -> None:
        if type(record) is Decision:
            self._tell("enigma_decided", decision=record)
        elif type(record) is Order:
            self._tell("enigma_ordered", order=record)
        elif type(record) is Fill:
            self._tell("enigma_filled", fill=record)
        elif type(record) is Trade:
            self._tell("enigma_closed", trade=record)
        if self._notes is not None and type(record) is not Cancel and (note := note_of(record)) is not None:
            self._notes.tell(note)

    def _tell(self, hook: str, **facts: Any) -> None:
        if self._catalogue is not None:
            self._catalogue.notify(hook, **facts)

    async def close(self) -> None:
        """Write what is left, and say what was done."""
        self.summary.seconds = time.monotonic() - self._began
        self.summary.equity = self._book.equity
        self.summary.open_positions = tuple(self._book.positions)
        self._tell("enigma_stopped", reason=self.summary.reason)
        if self._notes is not None:
            await self._notes.close()
        self._journal.close()


def _bars_since(history: Candles, ts: int) -> list[Bar]:
    length = milliseconds(history.timeframe)
    part = history[int((history.ts < ts).sum()) :]
    columns = (a.tolist() for a in (part.ts, part.open, part.high, part.low, part.close, part.volume))
    return [Bar(history.symbol, t, t + length, o, h, low, c, v) for t, o, h, low, c, v in zip(*columns, strict=True)]


async def _sooner(waiting: Any, stopping: asyncio.Task[Any]) -> bool:
    """Wait for `waiting`; True when `stopping` was done first."""
    task = asyncio.ensure_future(waiting)
    await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
        return False
    task.cancel()
    return True
