"""Trading on a stream: recovery, then one event after another, each written down before the next.

The state is owned by this task alone. What an event leads to is one step of the journal, so a run that is killed goes on
from the last whole step: the same positions, stops, breaker and cool-downs.
"""

from __future__ import annotations

import asyncio
import math
import pathlib
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from decimal import Decimal
from typing import Any, cast

import msgspec

from enigma_core import guards
from enigma_core.alert import Alert, AlertRefused, AlertWorked, Outcome
from enigma_core.alerting import calls_off, too_old
from enigma_core.book import Book, Position
from enigma_core.chance import maybe
from enigma_core.config import masked
from enigma_core.config.kept import Settings
from enigma_core.engine import Engine, Record
from enigma_core.errors import ConfigError, DataError, HomeError, PluginError
from enigma_core.faults import Quarantine
from enigma_core.home import Home
from enigma_core.journal import SHORT, Journal
from enigma_core.live import LiveEvaluator
from enigma_core.market import BarsClosed, FundingSeen, Market, MarketEvent, MarkSeen, Profile, Voted
from enigma_core.matching import since_entry
from enigma_core.model import (
    ZERO,
    Bar,
    Cancel,
    Candles,
    ConfigSet,
    Decision,
    Fill,
    Instrument,
    Marked,
    Order,
    OrderSeen,
    Sliced,
    StateSet,
    Trade,
    Transferred,
)
from enigma_core.parts import Applied, Clock, Command, Feed, Note, Ports, RemoteVenue, Report, Venue
from enigma_core.plan import Plan
from enigma_core.plugins import Catalogue
from enigma_core.reading import Reader
from enigma_core.records import BESIDE, Started
from enigma_core.shells import control
from enigma_core.shells.changing import changed_plan
from enigma_core.shells.clock import PacedClock, WallClock
from enigma_core.shells.desk import RunDesk
from enigma_core.shells.driving import answered, drive, put, sent
from enigma_core.shells.failings import not_made
from enigma_core.shells.governor import Governor
from enigma_core.shells.notes import Notes, note_of
from enigma_core.shells.pulse import Pulse
from enigma_core.shells.waiting import Waiting, unworked
from enigma_core.slicing import Slicer, Slices
from enigma_core.timeframes import milliseconds

Observer = Callable[[Any], None]

WARM_BARS = 1500
"""Bars of the coarsest timeframe that a run asks its feed for before the first event, at least."""


INBOX = 1024
"""Events from services that may wait for the engine."""

TURN = 0.002
"""Seconds that alerts are worked at a stretch before everybody else has a turn."""

KNOWN_FOR = 3 * 86_400_000
"""How far back (wall, ms) a venue is told which orders are ours: it may still know them, or find one that was given up."""

LOOK = 0.25
"""Seconds between two looks at alerts that wait until the account is known again."""

HELD = ": it waited for the account to be reconciled with the venue"
"""What is said of an alert that grew old then."""

TICK = 0.25
"""Seconds between two looks at whether an algorithm's moment has come."""

FILLING = 1.0
"""Seconds that an entry under way may go on filling once a run is to end; then it is called off."""

PARTING = 4.0
"""Seconds for which a run that is to end waits until nothing of it is unprotected."""

REMARK = 5_000
"""Between two looks at what is held, ms of the market's time."""

MARKS_FROM = 86_400_000
"""How far back (wall, ms) a restart asks what alerts have said: older ones put no new one out of order."""

Told = Record | FundingSeen | AlertRefused | ConfigSet
"""What a run writes down."""


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
    alerts: int = 0
    trades: int = 0
    net: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    start_equity: Decimal = Decimal(0)
    equity: Decimal = Decimal(0)
    open_positions: tuple[str, ...] = ()
    rejected: dict[str, int] = {}
    """Signals refused, by gate; "size" where nothing could be sized."""
    reason: str = ""


async def run(
    plan: Plan,
    home: Home,
    *,
    stop: asyncio.Event | None = None,
    observer: Observer | None = None,
    catalogue: Catalogue | None = None,
    clock: Clock | None = None,
    wall: Callable[[], int] | None = None,
    settings: Settings | None = None,
    fresh: bool = False,
) -> Summary:
    """Trade `plan` until its feed ends or `stop` is set. `observer` sees `RunStarted` and then every record, after it is written.

    `wall` gives the wall's time (ms), by which alerts grow old; `settings` are those that may be changed meanwhile. Raises
    `ConfigError` for a plan without feed or executor, `HomeError` when the journal cannot be used or written.
    """
    if plan.feed is None or plan.executor is None:
        raise ConfigError("a run needs a feed and an executor: name them, such as {'use': 'synthetic'} and {'use': 'paper'}")
    feed = plan.feed
    symbols = plan.symbols or feed.symbols()
    instruments = {s: plan.instrument(s) for s in symbols}
    session = Session(plan, feed, symbols, instruments, observer or (lambda _: None), catalogue, settings)
    session.wall = wall or WallClock().now
    home.told += [line for service in plan.services.values() for line in service.prepare(home.path, plan.account_mode)]
    home.told += plan.executor.prepare(home.path, plan.account_mode)
    # a real account is one whoever tells of its market
    identity = plan.executor.identity() if plan.executor.remote else feed.identity()
    journal = home.journal(plan.account_mode, identity, fresh=fresh)
    try:
        session.recover(journal, tuple(home.told), home.path)
        await session.trade(stop or asyncio.Event(), clock or (PacedClock(feed.speed) if feed.simulated else WallClock()))
    except BaseException as error:
        session.summary.reason = str(error) or type(error).__name__
        raise
    finally:
        try:
            await session.close()
        finally:
            journal.close()
    return session.summary


class Session:
    """One run: the account, its evaluators, its venue."""

    def __init__(
        self,
        plan: Plan,
        feed: Feed,
        symbols: tuple[str, ...],
        instruments: dict[str, Instrument],
        observer: Observer,
        catalogue: Catalogue | None,
        settings: Settings | None = None,
    ) -> None:
        self.plan = plan
        self.feed = feed
        self.symbols = symbols
        self.settings = settings
        self.summary = Summary()
        self.watchers: list[Observer] = []
        self.wall: Callable[[], int] = WallClock().now
        self.fed = time.monotonic()
        """When the feed last gave something."""
        self._journal: Journal | None = None
        self._observer = observer
        self._catalogue = catalogue
        self._timeframe = feed.base_timeframe()
        self._instruments = instruments
        self._listed = dict(instruments)
        """With those of symbols that only the journal knows."""
        # what a real account holds is for its venue to say
        remote = plan.executor is not None and plan.executor.remote
        self.book = Book(ZERO if remote else plan.account.equity, self._listed)
        self._markets = {s: Market(s, live=not feed.simulated) for s in symbols}
        self.quarantine = Quarantine()
        self._evaluators = {s: LiveEvaluator(s, self._timeframe, plan, self.quarantine) for s in symbols}
        self.engine = Engine(plan, self.book, instruments, self._evaluators, self._markets)
        self._governor = Governor(plan.risk)
        self._venue: Venue | None = None
        self._ports: Ports | None = None
        self._remote: RemoteVenue | None = None
        """The venue, where it is somewhere else."""
        self._ready = asyncio.Event()
        """Set once the account is what the venue says it is, and protected."""
        self._pulse = Pulse(symbols, feed.pulse)
        self._remarked = 0
        self._inbox: asyncio.Queue[MarketEvent | Command] = asyncio.Queue(INBOX)
        self._notes: Notes | None = None
        self._retired: list[asyncio.Task[None]] = []
        """Notifiers that others have taken the place of, with what they still had to send."""
        self._waiting: Waiting | None = None
        self._desk: RunDesk | None = None
        self._since: int | None = None
        self._goes_on = False
        """The journal holds an account already."""
        self._opened = 0
        """When its first money was written down (ms), 0 for not yet."""
        self._seen = 0
        """The market's time of the newest event."""
        self._worked = Slices()
        """Entries that an algorithm works, as the journal has them."""
        self._slicer: Slicer | None = None
        self._announced: dict[str, FundingSeen | None] = {}
        """Of the symbols whose settlements the feed does not know beforehand: what the journal holds of the next one."""
        self._began = time.monotonic()

    # recovery

    def recover(self, journal: Journal, told: tuple[str, ...], home: pathlib.Path) -> None:
        """Fold the journal, warm the evaluators, take over positions and orders, find the alerts that nobody has worked yet."""
        self._journal = journal
        self._waiting = Waiting(journal, lambda: self._since or 0)
        self._desk = RunDesk(self, home, journal.path, self._waiting)
        announced = self._fold(journal)
        unknown = [s for s in (*self.book.positions, *self.book.entries) if s not in self._evaluators]
        if unknown:
            raise HomeError(
                f"{home} holds a position in {', '.join(sorted(set(unknown)))}, which this run does not trade: "
                "add it with --pairs, or use another --home"
            )
        journal.write([Started(ts=self._since or 0, cash=self.book.cash, instruments=self._instruments)], self._since or 0)
        seen = self._warm()
        self._seen = self._since or 0
        self._open(seen, announced)
        self._recall(journal)
        self.summary.start_equity = self.book.equity
        self._observer(
            RunStarted(
                mode=self.plan.account_mode,
                market=self.feed.identity(),
                symbols=self.symbols,
                strategy=self.plan.strategy,
                timeframe=self.plan.timeframes.primary,
                equity=self.book.equity,
                positions=tuple(self.book.positions),
                recovered=self._goes_on,
                home=str(home),
                told=(*told, *not_made(t for e in self._evaluators.values() for t in e.left_out)),
            )
        )

    def _fold(self, journal: Journal) -> dict[str, FundingSeen]:
        """The account as the journal has it; the newest word on each symbol's funding."""
        announced = {}
        for record in journal.replay(without=[kind for kind in BESIDE if kind not in ("voted", "sliced", "order_seen", "cancel")]):
            self._worked.see(record)
            if type(record) is FundingSeen:
                announced[record.symbol] = record
            elif type(record) is Voted:
                if record.symbol in self._markets:
                    self._markets[record.symbol].cast(record)
            elif type(record) is Cancel:
                self.engine.remember(record)
            elif type(record) in (Sliced, OrderSeen):
                continue
            elif type(record) is not Started:
                self.engine.remember(record)
                self.book.apply(record)
                if type(record) is Transferred:
                    self._opened = self._opened or record.ts
                if type(record) is Order or type(record) is StateSet:
                    self._governor.see(record)
            else:
                # what was traded is worth what it was worth then
                self._listed |= record.instruments
                if not self._goes_on:
                    self._goes_on = True
                    self.book.cash = self.book.day_equity = record.cash
        self._listed |= self._instruments
        # 0: a command, before the first bar
        self._since = journal.last_ts or None
        return announced

    def _recall(self, journal: Journal) -> None:
        """What alerts have said lately, and those that were acknowledged and not worked."""
        assert self._waiting is not None
        with Reader(journal.path) as reader:
            # what was not worked has put nothing out of order
            said = reader.stored_alerts(self.wall() - MARKS_FROM, without=("waiting", "expired"))
            self.engine.answering.remember(said)
        for alert in unworked(journal.path):
            self._waiting.add(alert)

    def _warm(self) -> dict[str, int]:
        """Show the evaluators what was before the first event, and the exits their bars; when each symbol's last bar closed."""
        seen = {}
        for symbol, evaluator in self._evaluators.items():
            history = self._history(symbol)
            if history is None:
                continue
            evaluator.warm(history)
            if self.plan.algorithm is not None and not self.plan.algorithm.whole:
                self._markets[symbol].profile = Profile.of(history)
            if len(history):
                seen[symbol] = int(history.ts[-1]) + milliseconds(self._timeframe)
            if symbol in self.book.positions:
                self.engine.resume(symbol, _seen_by(self.book.positions[symbol], history))
        return seen

    def _open(self, seen: dict[str, int], announced: dict[str, FundingSeen]) -> None:
        """The venue, with the account's positions and orders, and the funding that had been announced to it."""
        assert self.plan.executor is not None
        funding = {s: self.feed.funding(s) for s in self.symbols}
        self._ports = Ports(
            instruments=self._instruments,
            costs=self.plan.costs,
            funding=funding,
            account=self.book,
            since=self._since or 0,
            seen=seen,
            opened=self._opened,
            desk=self._desk,
            mode=self.plan.account_mode,
            recorded=self._recorded,
            known=self._known,
            slices=self._worked.orders,
            wall=self.wall,
        )
        self._venue = self._sliced(self.plan.executor.open(self._ports))
        if self.plan.executor.remote:
            self._remote = cast(RemoteVenue, self._venue)
            self.book.blocks["", "venue"] = "the account is being reconciled with the venue"
        self._announced = {s: announced.get(s) for s in self.symbols if funding[s] is None}
        for event in filter(None, self._announced.values()):
            self._markets[event.symbol].see(event)
            drive(self.engine, self._venue, event)

    def _sliced(self, venue: Venue) -> Venue:
        """`venue`, with an algorithm before it where entries are worked."""
        algorithm = self.plan.algorithm
        if (algorithm is None or algorithm.whole) and not self._worked.jobs:
            return venue
        assert self.plan.executor is not None
        for market in self._markets.values():
            market.profile = market.profile or Profile()
        self._slicer = Slicer(venue, algorithm, self._instruments, self._markets, self.book, self._worked)
        return self._slicer

    def _recorded(self, kind: str, name: str) -> bool:
        assert self._journal is not None
        with Reader(self._journal.path) as reader:
            return reader.recorded(kind, name)

    def _known(self) -> Sequence[Order]:
        assert self._journal is not None
        with Reader(self._journal.path) as reader:
            return reader.known_orders(self.wall() - KNOWN_FOR)

    def _history(self, symbol: str) -> Candles | None:
        """Bars before the first event: a fresh run on a recording starts at its first bar and has none."""
        coarsest = max(milliseconds(t) for t in (*self.plan.timeframes.available, self.plan.timeframes.primary))
        if self._since is not None:
            entered = self.book.positions[symbol].entry_ts if symbol in self.book.positions else self._since
            back = self._warm_bars() * coarsest
            # what comes from afar is asked for as far back as a first start asks, not as far as everything could use
            start = min(self._since - (back if self.feed.reach is None else min(back, self.feed.reach)), entered)
            history = self.feed.history(symbol, self._timeframe, start, self._since)
            # a bar that opened before but closes after the last step is yet to come
            return history[: int((history.ts + milliseconds(self._timeframe) <= self._since).sum())]
        return None if self.feed.simulated else self.feed.history(symbol, self._timeframe)

    def _warm_bars(self) -> int:
        """As many bars as anything here looks back on."""
        longest = max((part.warmup for part in self.plan.indicators.values()), default=0)
        return max(WARM_BARS, longest + self.plan.confidence.quiet_window)

    # trading

    async def trade(self, stop: asyncio.Event, clock: Clock) -> None:
        """One event after another, until the feed ends or `stop` is set."""
        self._notes = Notes(self.plan.notifiers)
        self._tell("enigma_started", mode=self.plan.mode, symbols=self.symbols)
        assert self._desk is not None
        # a halt that came while nobody ran, or that a run did not live to finish, is honoured before anything else
        control.look(self._desk.home, self.command, self.now, lambda: self.book.flattening)
        self._flatten()
        assert self._waiting is not None
        if self._remote is None:
            self._ready.set()
            # no event comes between an alert that was acknowledged and its working
            while (alert := self._waiting.next()) is not None:
                self.work(alert)
        stopping = asyncio.create_task(stop.wait())
        # services begin before the first event
        beside = [
            *(asyncio.create_task(self._serve(name)) for name in self.plan.services),
            asyncio.create_task(self._listen()),
            asyncio.create_task(self._work()),
            asyncio.create_task(control.attend(self._desk.home, self.command, self.now, lambda: self.book.flattening)),
        ]
        following = asyncio.create_task(self._follow(clock))
        there: asyncio.Task[None] | None = None
        if self._remote is None:
            self._desk.state = "ready"
        else:
            there = asyncio.create_task(self._trade_there(self._remote))
            beside += [there, asyncio.create_task(self._become_ready())]
        if not self.feed.simulated:
            beside.append(asyncio.create_task(self._feel_pulse()))
            if self._slicer is not None:
                beside.append(asyncio.create_task(self._tick(self._slicer)))
        waiting = {stopping, *beside, following}
        try:
            while not (following.done() or stopping.done()):
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    if task.cancelled():
                        raise PluginError("a task beside the engine was cancelled from outside: the run ends")
                    task.result()
            self.summary.reason = "the feed has ended" if following.done() else "stopped"
            if there is not None:
                await self._ended(waiting - {there})
                waiting = {there}
                await self._part(there)
        finally:
            await self._ended(waiting)
        if not following.cancelled():
            following.result()

    async def _ended(self, tasks: set[asyncio.Task[Any]]) -> None:
        """All of them wait between two events, where nothing is half done."""
        assert self._desk is not None
        self._desk.state = "stopping"
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _part(self, there: asyncio.Task[None]) -> None:
        """Leave nothing at a venue that could open a position while nobody is there to protect it, nor one without its stop."""
        assert self._remote is not None
        assert self._venue is not None
        if not self._ready.is_set():
            return
        loop = asyncio.get_running_loop()
        began, called_off = loop.time(), False
        while not self._remote.calm and (waited := loop.time() - began) < PARTING:
            if there.done():
                there.result()
            if maybe("session: nobody is waited for at the end"):
                break
            if not called_off and (waited >= FILLING or maybe("session: entries under way are called off at once")):
                called_off = True
                self.write(answered(self.engine, self._venue, sent(self.engine.withdraw(self.now()), self._venue)))
            await asyncio.sleep(0.02)
        if not self._remote.calm:
            self.summary.reason += ", before all that is held or ordered was seen to be safe at the venue: start again soon"

    async def _listen(self) -> None:
        while True:
            self.take(await self._inbox.get())

    async def _trade_there(self, venue: RemoteVenue) -> None:
        """What a venue that is somewhere else does by itself, for as long as the run lasts."""
        await venue.serve(self.hear, self._ready)
        raise PluginError(f"executor {self.plan.executor.name if self.plan.executor else ''} has ended by itself: the run ends")

    async def _become_ready(self) -> None:
        await self._ready.wait()
        assert self._desk is not None
        if maybe("session: alerts are told late that all is ready"):
            await asyncio.sleep(0.2)
        self._desk.state = "ready"
        await asyncio.Event().wait()

    async def _feel_pulse(self) -> None:
        """Take no entries in what nobody has heard of for too long; nor before all is reconciled after a sleep."""
        while True:
            slept = await self._pulse.second()
            if maybe("session: the machine is thought to have slept"):
                slept = slept or 1.0
            if slept and self._remote is not None:
                self._remote.doubt(f"the machine stood still for {slept:.0f} s")
            # what is found and told to nobody would never be told
            if self._ready.is_set() and (blocks := self._pulse.news(self.now(), self.book.positions)):
                self.hear(blocks)

    async def _tick(self, slicer: Slicer) -> None:
        """Ask algorithms whose moment has come, whether or not the market moves."""
        await self._ready.wait()
        while True:
            await asyncio.sleep(TICK)
            if slicer.due is None or slicer.due > self.now() or maybe("session: an algorithm's moment is missed"):
                continue
            records: list[Record] = []
            for report in slicer.tick(self.now()):
                records += sent(self.engine.step(report), slicer)
            self.write(records)

    def hear(self, reports: Sequence[Report | Command]) -> Future[None]:
        """What reports of the venue lead to, as one step."""
        assert self._venue is not None
        records: list[Record] = []
        for report in reports:
            records += answered(self.engine, self._venue, sent(self.engine.step(report), self._venue))
        return self.write(records)

    async def _work(self) -> None:
        """Alerts, one after another; everybody else has a turn in between."""
        assert self._waiting is not None
        await self._ready.wait()
        while True:
            # those held grow old, or the account is known again
            await until(self._waiting.ready, LOOK if self._waiting.held else None)
            if maybe("session: alerts wait for a turn"):
                await asyncio.sleep(0.05)
            turn = time.monotonic() + (0.0 if maybe("session: a turn is too short for an alert") else TURN)
            if self._waiting.held:
                self._look_at_held()
            while time.monotonic() < turn and (alert := self._waiting.next()) is not None:
                self._take_alert(alert)
            await asyncio.sleep(0)

    @property
    def _doubted(self) -> bool:
        """Whether the book may be of before: the machine stood still, say, and the account is still being looked at."""
        return self._remote is not None and (self._remote.doubted or self._pulse.late)

    def _look_at_held(self) -> None:
        """Those that have grown too old are told so; all have their turn once the account is known again."""
        assert self._waiting is not None
        if not self._doubted:
            self._waiting.release()
            return
        now = self.wall()
        for alert in self._waiting.drop(lambda alert: bool(too_old(alert, now))):
            self.work(alert, HELD)

    def _take_alert(self, alert: Alert) -> None:
        """Work an alert. While the account is in doubt only what reduces is: the rest is held, and called off by that.

        What was held stays in the journal as not worked: a run taken up again finds it there.
        """
        assert self._waiting is not None
        if self._doubted and not alert.request.reduces:
            self._waiting.held.append(alert)
            return
        if self._waiting.held and alert.request.reduces and not too_old(alert, self.wall()):
            for earlier in self._waiting.drop(lambda held: calls_off(alert.request, held.request)):
                self._end(earlier, "superseded", f"alert {alert.id} came while it waited for the account to be reconciled")
        self.work(alert)

    def work(self, alert: Alert, waited: str = "") -> None:
        """What an alert leads to, as one step of the journal; nothing if it has waited too long, for what `waited` says."""
        assert self._venue is not None
        if reason := too_old(alert, self.wall()):
            self._end(alert, "expired", reason + waited)
            return
        self.summary.alerts += 1
        self.write(put(self.engine, self._venue, msgspec.structs.replace(alert, ts=self.now())))

    def _end(self, alert: Alert, outcome: Outcome, reason: str) -> None:
        """Nothing comes of an alert."""
        self.summary.alerts += 1
        symbol = alert.request.symbol
        self.write([AlertWorked(ts=self.now(), id=alert.id, source=alert.source, symbol=symbol, outcome=outcome, reason=reason)])

    def command(self, command: Command) -> tuple[Sequence[Told], Future[None]]:
        """What an operator's command leads to, and the writing of it."""
        assert self._venue is not None
        records = put(self.engine, self._venue, command)
        return records, self.write(records)

    def _flatten(self) -> None:
        """Go on closing what was to be closed when the last run ended."""
        assert self._venue is not None
        if self.book.flattening:
            self.write(answered(self.engine, self._venue, sent(self.engine.flatten(self.now()), self._venue)))

    def reconfigure(self, changes: Mapping[str, Any], by: str) -> tuple[Applied, Future[None]]:
        """Change settings: those that may are in force from here on. Raises `ConfigError`."""
        assert self.settings is not None
        plan, tree, values = self.settings.changed(changes)
        plan, applied = changed_plan(self.plan, plan, changes)
        if self.plan.account_mode == "live" and (faults := list(guards.limits(plan))):
            # what would have kept the run from starting is not let in afterwards
            raise ConfigError("; ".join(faults))
        self.settings.keep(tree, values)
        self.plan = plan
        self.engine.reconfigure(plan)
        if self._notes is not None and any(path.startswith("notifiers") for path in applied.now):
            self._retired.append(asyncio.create_task(self._notes.close()))
            self._notes = Notes(self.plan.notifiers)
        told = {path: _shown(path, value) for path, value in changes.items()}
        return applied, self.write([ConfigSet(ts=self.now(), by=by, changes=told, restart=applied.restart)])

    def now(self) -> int:
        """The market's time, ms."""
        return self._seen if self.feed.simulated else max(self._seen, self.wall())

    def routes(self) -> Mapping[str, Sequence[Any]]:
        """What plugins add to the API, by who brings it."""
        return {} if self._catalogue is None else self._catalogue.routes()

    async def _serve(self, name: str) -> None:
        assert self._ports is not None
        try:
            await self.plan.services[name].serve(self._inbox, self._ports)
        except Exception as error:
            raise PluginError(
                f"service {name} failed ({type(error).__name__}: {error}): the run ends, mend or leave it out"
            ) from error

    async def _follow(self, clock: Clock) -> None:
        await self._ready.wait()
        stream = self.feed.stream(self.symbols, self._timeframe, self._since)
        try:
            async for event in stream:
                await clock.until(event.ts)
                if maybe("session: an event of the market is taken late"):
                    await asyncio.sleep(0.2)
                self.fed = time.monotonic()
                self.take(event)
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()

    def take(self, event: MarketEvent | Command) -> None:
        """One event: what it leads to is decided, and written.

        A moment is over with its bars. What happens before, such as a liquidation by a mark, is written as belonging to the
        last one, so that a run taken up again misses nothing of the next.
        """
        assert self._venue is not None
        if isinstance(event, Command):
            self.command(event)
            return
        self._seen = max(self._seen, event.ts)
        strange = (
            event.bars.keys() - self._markets.keys() if isinstance(event, BarsClosed) else {event.symbol} - self._markets.keys()
        )
        if strange:
            raise DataError(f"feed {self.feed.name} told of {', '.join(sorted(strange))}, which this run does not trade")
        if not isinstance(event, BarsClosed):
            self._pulse.feel(event.symbol)
            self._markets[event.symbol].see(event)
            self.write([*drive(self.engine, self._venue, event), *self._marks(event)])
            return
        for bar in event.bars.values():
            if not _possible(bar):
                raise DataError(f"feed {self.feed.name} gave a bar that cannot be: {bar}")
        self.summary.bars += len(event.bars)
        self.summary.first_ts = self.summary.first_ts or event.ts
        self.summary.last_ts = event.ts
        records: list[Record | FundingSeen] = [*drive(self.engine, self._venue, event)]
        records += (Note(event.ts, "indicator_off", "an indicator is switched off", n) for n in self.quarantine.news())
        if self._announced:
            records += self._news_of_funding()
        # a feed may tell of a bar that it had to wait for after the bars of later moments
        self._since = max(self._since or 0, event.ts)
        self.write(records)

    def _marks(self, event: MarketEvent) -> Iterator[Marked]:
        """What is held is worth what its mark says, every few seconds: a day's loss does not wait for a bar to close."""
        if type(event) is not MarkSeen or self.feed.simulated or event.ts - self._remarked < REMARK or not self.book.positions:
            return
        self._remarked = event.ts
        if maybe("session: a moment's marks are not written"):
            return
        for symbol in self.book.positions:
            seen = self._markets[symbol].mark if symbol in self._markets else None
            if seen is not None and 0 < seen.mark < math.inf:
                self.book.mark(symbol, self._listed[symbol].price(seen.mark))
        prices = {symbol: position.mark for symbol, position in self.book.positions.items()}
        yield Marked(ts=event.ts, equity=self.book.equity, prices=prices)

    def _news_of_funding(self) -> Iterator[FundingSeen]:
        """What is announced for positions and not yet in the journal: a settlement may fall due while nobody runs."""
        for symbol in self.book.positions:
            event = self._markets[symbol].funding
            before = self._announced.get(symbol)
            if symbol not in self._announced or event is None:
                continue
            if before is None or (before.rate, before.next_ts) != (event.rate, event.next_ts):
                self._announced[symbol] = event
                yield event

    def write(self, records: Sequence[Told]) -> Future[None]:
        """The records of one event, as one step. Raises `HomeError` once the journal has failed."""
        assert self._journal is not None
        written = self._journal.write(records, self._since or 0)
        if self._remote is not None:
            # nothing leaves before it is on disk
            self._remote.dispatch(written)
        halt = None
        for record in records:
            self._count(record)
            self._observer(record)
            self._announce(record)
            for see in tuple(self.watchers):
                see(record)
            if type(record) is Order or type(record) is StateSet:
                halt = self._governor.see(record) or halt
        if halt is None and self._journal.short:
            halt = StateSet(ts=self.now(), state="REDUCE_ONLY", reason=SHORT)
        if halt is not None and self.book.trading_state == "ACTIVE":
            self.command(halt)
        return written

    def _count(self, record: Told) -> None:
        summary = self.summary
        if type(record) is Decision:
            summary.decisions += 1
        elif type(record) is Order:
            summary.orders += 1
        elif type(record) is Transferred:
            # what comes in from outside was not earned
            summary.start_equity += record.amount
        elif type(record) is Trade:
            summary.trades += 1
            summary.net += record.net
            summary.fees += record.fees

    def _announce(self, record: Told) -> None:
        if type(record) is Decision:
            self._tell("enigma_decided", decision=record)
        elif type(record) is Order:
            self._tell("enigma_ordered", order=record)
        elif type(record) is Fill:
            self._tell("enigma_filled", fill=record)
        elif type(record) is Trade:
            self._tell("enigma_closed", trade=record)
        elif type(record) is StateSet and record.state != "ACTIVE":
            self._tell("enigma_halted", reason=record.reason)
        elif type(record) is Note and record.event == "halted":
            self._tell("enigma_halted", reason=record.text)
        if self._notes is not None and type(record) is not Cancel and (note := note_of(record)) is not None:
            self._notes.tell(note)

    def _tell(self, hook: str, **facts: Any) -> None:
        if self._catalogue is not None:
            self._catalogue.notify(hook, **facts)

    async def close(self) -> None:
        """Say what was done."""
        self.summary.seconds = time.monotonic() - self._began
        self.summary.equity = self.book.equity
        self.summary.open_positions = tuple(self.book.positions)
        self.summary.rejected = dict(self.engine.rejected)
        self._tell("enigma_stopped", reason=self.summary.reason)
        if self._remote is not None:
            await self._remote.close()
        if self._waiting is not None:
            self._waiting.close()
        if self._notes is not None:
            await self._notes.close()
        await asyncio.gather(*self._retired)


async def until(event: asyncio.Event, seconds: float | None) -> None:
    """Wait for `event`, `seconds` at most."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


def _shown(path: str, value: Any) -> str:
    """A changed setting as it may be written down."""
    return msgspec.json.encode(masked(path, value)).decode()


def _possible(bar: Bar) -> bool:
    # written so that NaN fails
    prices = 0 < bar.low <= bar.open <= bar.high < math.inf and bar.low <= bar.close <= bar.high
    return prices and 0 <= bar.volume < math.inf


def _seen_by(position: Position, history: Candles) -> list[Bar]:
    """The bars that `position` has seen the end of, as it has seen them."""
    length = milliseconds(history.timeframe)
    part = history[int((history.ts + length <= position.entry_ts).sum()) :]
    columns = (a.tolist() for a in (part.ts, part.open, part.high, part.low, part.close, part.volume))
    bars = (Bar(history.symbol, t, t + length, o, h, low, c, v) for t, o, h, low, c, v in zip(*columns, strict=True))
    seen = (since_entry(bar, position.entry_ts, float(position.price)) for bar in bars)
    return [bar for bar in seen if bar is not None]
