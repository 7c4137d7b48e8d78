"""One simulated world: the exchange, its market, the network, and one engine after another that lives in it."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

from enigma_core.alert import Alert
from enigma_core.alert import Request as Wish
from enigma_core.book import Book
from enigma_core.errors import EnigmaError, HomeError
from enigma_core.journal import Record
from enigma_core.market import BarsClosed, BookSeen, FundingSeen, MarketEvent, MarkSeen
from enigma_core.model import Decision, Marked, StateSet
from enigma_core.parts import Command, Desk, Ports
from enigma_core.plan import Plan
from enigma_core.records import encode
from enigma_core.shells import control
from enigma_core.shells.stream import RunStarted, run
from enigma_exchange.account import LiveAccount
from enigma_sandbox.exchange import Exchange, Reply, Request
from enigma_sandbox.exchange import Rules as ExchangeRules
from enigma_simulation.candles import Candles
from enigma_simulation.moody import Moods
from enigma_simulation.network import Network, Pipes
from enigma_simulation.ports import Clock, WorldHome, WorldJournal
from enigma_simulation.prices import CONTRACTS, STEP, Prices
from enigma_simulation.scenario import Scenario
from enigma_simulation.settings import WorldSettings
from enigma_simulation.truth import Truth
from enigma_simulation.witness import CALM, STORMY, TROUBLED, Rules, Witness

MIDNIGHT = 1_772_323_200_000
"""2026-03-01 00:00 UTC, ms."""

DEPOSIT = Decimal(10_000)
OPEN = 0.5
"""Share of the rare courses that may be taken in a world that has any."""

TRADED = (BarsClosed, MarkSeen, BookSeen)


class Died(BaseException):
    """The process has been killed at this very point."""


class Incarnation:
    """One life of the engine, from its start to its end or its death."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.dead = False
        self.started = False
        self.stop = asyncio.Event()
        self.task: asyncio.Task[Any] | None = None
        self.ports: Ports | None = None
        self.book: Book | None = None
        self.account: LiveAccount | None = None
        self.journal: WorldJournal | None = None

    @property
    def desk(self) -> Desk | None:
        return self.ports.desk if self.ports is not None else None

    @property
    def ready(self) -> bool:
        return not self.dead and self.started and self.desk is not None and self.desk.state == "ready"


class World:
    """What `scenario` is about. `plan_of` makes the plan that the engine trades by in it."""

    contracts = CONTRACTS

    def __init__(
        self,
        scenario: Scenario,
        loop: Any,
        folder: Path,
        plan_of: Callable[[World], Plan],
        rules: Rules,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.scenario, self.loop, self.folder = scenario, loop, folder
        self.origin = MIDNIGHT - scenario.start * 60_000
        self._tell = tell
        self.offset = 0
        """How far the engine's clock is off, ms."""
        self.prices = Prices(self.contracts, self.randoms("prices"), self.origin)
        self.pipes = Pipes(self.randoms("pipes"))
        history = {symbol: self.prices.candles(symbol) for symbol in self.prices.lines}
        rules_there = ExchangeRules(deposit=DEPOSIT)
        self.exchange = Exchange(self.contracts, rules_there, self.there, self.randoms("exchange"), history)
        self.exchange.listen(lambda push: self.current.network.push(push) if push.private else None)
        for symbol in self.prices.lines:
            due = MIDNIGHT if self.origin < MIDNIGHT else MIDNIGHT + 28_800_000
            self.exchange.see(FundingSeen(self.origin, symbol, self.randoms(f"funding/{symbol}").choice((0.0003, -0.0002)), due))
        self.truth = Truth(self.exchange, self.contracts)
        self.witness = Witness(rules, self.prices.instruments, self.truth)
        self.witness.patience = {"calm": CALM, "single": TROUBLED, "storm": STORMY}[scenario.weather]
        self._chance = self.randoms("chance")
        self._rare: dict[str, float] = {}
        self._fate = self.randoms("fate")
        self._crashed = False
        self._disk = self.randoms("disk")
        self._feed = self.randoms("feed")
        self.own: set[asyncio.Task[Any]] = set()
        self.labels: Counter[str] = Counter()
        """How often each labelled point was come to."""
        self.taken: Counter[str] = Counter()
        """How often the rare course was taken there."""
        self.calm = False
        """Nothing goes wrong any more."""
        self.over = False
        self.stalled = False
        self.frozen = False
        self.outages: set[str] = set()
        self.lives = 0
        self.kills: list[tuple[float, float | None]] = []
        """When the kill switch was pulled, and how long it took until all was flat."""
        self.disk_full = False
        self.acknowledged: list[Alert] = []
        self._inbox: asyncio.Queue[MarketEvent] | None = None
        self._hash = hashlib.blake2b(digest_size=16)
        self.events = 0
        self.moods = Moods(self, self.randoms("moods"))
        self.candles = Candles(self, self.randoms("candles"))
        self.settings = WorldSettings(self)
        self.plan = plan_of(self)
        self.current = Incarnation(Network(self, self.randoms("network/0")))

    # time and chance

    def randoms(self, name: str) -> Random:
        """The source of chance for one thing, the same for every run of this seed."""
        return Random(f"{self.scenario.seed}/{name}")

    def there(self) -> int:
        """The exchange's time, ms."""
        return self.origin + round(1000 * float(self.loop.time()))

    def wall(self) -> int:
        """The engine's clock, ms."""
        return self.there() + self.offset

    def chance(self, label: str) -> bool:
        """What `enigma_core.chance.maybe` answers in this world; at one point the process dies."""
        self.labels[label] += 1
        if self.calm:
            return False
        if self._ends_here(label):
            self.trace("dies", label)
            self.die()
            raise Died(label)
        if not self.scenario.rare:
            return False
        share = self._rare.get(label)
        if share is None:
            # some courses are rare in a world, the others are not to be had
            share = self._rare[label] = self.scenario.rare if self.randoms(f"rare/{label}").random() < OPEN else 0.0
        if not share or self._chance.random() >= share:
            return False
        self.taken[label] += 1
        return True

    def _ends_here(self, label: str) -> bool:
        """Whether the process is killed at this point: the likelier, the more seldom it comes there."""
        at, now = self.scenario.crash_at, self.current
        if at is None or self._crashed or now.dead or now.task is None or self.loop.time() < at:
            return False
        self._crashed = self._fate.random() * 4 * self.labels[label] < 1
        return self._crashed

    def trace(self, *what: object) -> None:
        """Something has happened that two runs of one seed must agree on."""
        self.events += 1
        self._hash.update(f"{self.loop.time():.6f} {what}\n".encode())
        if self._tell is not None:
            self._tell(f"{self.loop.time():10.3f}  {' '.join(map(str, what))}")

    @property
    def hash(self) -> str:
        return self._hash.hexdigest()

    # the exchange

    def ask_exchange(self, request: Request) -> Reply:
        """A request has arrived there."""
        self.witness.now = self.loop.time()
        self.witness.asked(request.method, request.path, request.body)
        protected = self.witness.before_cancel() if request.method == "DELETE" else set()
        reply = self.exchange.request(request)
        self.witness.after_cancel(protected)
        self.trace(request.method, request.path, _asked(request), reply.status, reply.code, "lost" if reply.lost else "")
        self.look()
        return reply

    def by_hand(self, method: str, path: str, query: dict[str, str] | None = None, body: Any = None) -> Reply:
        """Somebody does something at the exchange himself, and no fault is in his way."""
        faults = self.exchange.faults
        spells, faults.spells = faults.spells, []
        flags = {name: getattr(faults, name) for name in ("maintenance", "revoked", "unlisted")}
        for name in flags:
            setattr(faults, name, False)
        try:
            return self.exchange.request(Request(method=method, path=path, query=query or {}, body=body))
        finally:
            faults.spells = spells
            for name, value in flags.items():
                setattr(faults, name, value)

    def look(self) -> None:
        """The invariants that concern the exchange."""
        witness = self.witness
        clogged = any(self.pipes.clogged(channel) for channel in ("orders", "data", "disk"))
        now = self.current
        away = self.outages or clogged or self.loop.time() < now.network.closed_until
        witness.reach = not (away or self.frozen or now.dead or not now.started)
        witness.look(self.loop.time())
        if self.kills and self.kills[-1][1] is None and self.flat():
            at = self.kills[-1][0]
            self.kills[-1] = (at, self.loop.time() - at)

    def flat(self) -> bool:
        """Nothing of ours is held there and nothing works."""
        held = (self.truth.held(s) - self.witness.foreign.get(s, Decimal(0)) for s in self.prices.lines)
        return not any(held) and not self.truth.our_live()

    # the market

    async def market(self) -> None:
        """Prices move."""
        while True:
            due = (self.prices.now + STEP - self.origin) / 1000
            if due > self.loop.time():
                await asyncio.sleep(due - self.loop.time())
            self.tick()

    def tick(self) -> None:
        """The next moment of the market."""
        events = self.prices.step()
        for event in events:
            self.exchange.see(event)
        self.exchange.advance(self.there())
        self.look()
        if self.frozen or self.stalled or self._inbox is None:
            return
        books = (self.prices.now // STEP) % 3 == 0
        told = [e for e in events if isinstance(e, TRADED) and (books or not isinstance(e, BookSeen))]
        inbox = self._inbox
        delay = self._feed.uniform(0.01, 0.08)

        def arrive() -> None:
            for event in told:
                inbox.put_nowait(event)

        self.loop.call_later(delay, self.pipes.pass_on, "public", arrive)
        if self.scenario.candles:
            self.candles.push(lambda row: self.pipes.pass_on("public", lambda: inbox.put_nowait(row)))

    def subscribe(self) -> asyncio.Queue[MarketEvent]:
        """An engine begins to listen to the market."""
        self._inbox = asyncio.Queue()
        return self._inbox

    # the engine's lives

    def spawn(self, doing: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task of the world itself: it outlives every engine."""
        task: asyncio.Task[Any] = self.loop.create_task(doing)
        self.own.add(task)
        task.add_done_callback(self.own.discard)
        return task

    async def live(self) -> None:
        """One engine after another, as a supervisor would have it."""
        pause = self.randoms("supervisor")
        while not self.over:
            self.lives += 1
            self.current = now = Incarnation(Network(self, self.randoms(f"network/{self.lives}")))
            now.task = self.loop.create_task(self._run(now))
            await asyncio.wait([now.task])
            self._inbox = None
            await self._bury(now)
            self._judge(now)
            now.dead = True
            if not self.over:
                await asyncio.sleep(pause.uniform(0.5, 4.0))

    async def _run(self, now: Incarnation) -> None:
        home = WorldHome.make(self.folder, self)
        clock = Clock(self.wall)
        settings: Any = self.settings
        await run(
            self.plan,
            home,
            stop=now.stop,
            observer=lambda record: self._observe(now, record),
            clock=clock,
            wall=self.wall,
            settings=settings,
        )

    def _observe(self, now: Incarnation, record: Any) -> None:
        if isinstance(record, RunStarted) and now.book is not None:
            self.witness.now = self.loop.time()
            self.witness.begin(now.book)
            now.started = True
            self.trace("started", len(now.book.positions), len(now.book.orders))

    def _judge(self, now: Incarnation) -> None:
        """Why a life has ended."""
        assert now.task is not None
        if now.dead or now.task.cancelled():
            return
        error = now.task.exception()
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if error is None:
            if not now.stop.is_set():
                self.witness.fail("P18", "the run has ended by itself")
            return
        if isinstance(error, HomeError) and self.disk_full:
            self.disk_full = False
            return
        trouble = error if isinstance(error, EnigmaError) else f"{type(error).__name__}: {error}"
        self.witness.fail("P18", f"the run has ended: {trouble}", once=type(error).__name__ + str(error)[:40])

    def die(self) -> None:
        """The process is killed: what was in memory is gone, what was not on disk never was, what is on the wire arrives."""
        now = self.current
        if now.dead:
            return
        self.trace("died")
        now.dead = now.network.dead = True
        if now.journal is not None:
            now.journal.abandon()
        if now.task is not None:
            now.task.cancel()

    async def _bury(self, now: Incarnation) -> None:
        """End what a life has left behind."""
        now.network.dead = True
        while True:
            left = [t for t in asyncio.all_tasks() if t not in self.own and not t.done()]
            if not left:
                return
            for task in left:
                task.cancel()
            await asyncio.wait(left)

    def opened(self, journal: Any) -> None:
        """A life has opened its journal."""
        now = self.current
        now.journal = journal
        journal.see = lambda step, ts: self._see(now, step)
        journal.keep = self._keep

    def later(self, commit: Callable[[], None]) -> None:
        """When the disk gets to it."""
        seconds = self._disk.uniform(0.0005, 0.004) * (40.0 if self._disk.random() < 0.01 else 1.0)
        self.loop.call_later(seconds, self.pipes.pass_on, "disk", commit)

    def _keep(self, records: Sequence[Record]) -> None:
        self.witness.keep(records)

    def _see(self, now: Incarnation, step: Sequence[Record]) -> None:
        if now.dead or now.book is None or not step:
            return
        self.witness.now = self.loop.time()
        for record in step:
            self.events += 1
            self._hash.update(encode(record))
            if self._tell is not None and not isinstance(record, Marked | Decision):
                self._tell(f"{self.loop.time():10.3f}  {type(record).__name__} {encode(record).decode()}")
        if now.started:
            self.witness.step(step, now.book)

    # what befalls it

    async def alert(self, values: dict[str, Any]) -> None:
        """Somebody's chart sends an alert, and sends it again until it is acknowledged."""
        price = self.prices.lines[values["symbol"]].price
        side = {"long": 1, "short": -1}.get(values["action"], 0)
        stop = Decimal(str(round(price * (1 - side * values["stop"]), 3))) if side and "stop" in values else None
        asked = {"symbol": values["symbol"], "stop": stop, "key": values["key"]}
        wish = Wish(
            action=values["action"] if values["action"] != "reverse" else "reverse",
            quantity=Decimal(50) if values["action"] == "reduce" else None,
            unit="percent" if values["action"] == "reduce" else "base",
            **asked,
        )
        digest = hashlib.blake2b(repr(sorted(values.items())).encode(), digest_size=8).hexdigest()
        alert = Alert(
            id=f"sim-{values['key']}",
            ts=0,
            source="simulation",
            mode="signal",
            received=self.wall() - 1000 * values["age"],
            request=wish,
            key=values["key"],
            digest=digest,
        )
        for _ in range(6):
            desk = self.current.desk
            if desk is not None and not self.current.dead:
                # whoever takes it may die in between
                accepting = self.loop.create_task(desk.accept([alert]))
                done, _ = await asyncio.wait([accepting], timeout=3.0)
                if done and not accepting.cancelled() and accepting.exception() is None:
                    if accepting.result() == ["accepted"]:
                        self.acknowledged.append(alert)
                    return
                if not done:
                    accepting.cancel()
            await asyncio.sleep(5.0)

    async def tell(self, command: Callable[[int], Command]) -> bool:
        """An operator tells the engine, if there is one; whether it has said that it obeys."""
        now = self.current
        if now.desk is None or now.dead:
            return False
        telling = self.loop.create_task(now.desk.tell(command(now.desk.now())))
        await asyncio.wait([telling], timeout=10.0)
        return not now.dead and telling.done() and not telling.cancelled() and telling.exception() is None

    async def configure(self, changes: dict[str, Any]) -> None:
        """An operator changes settings of the engine, if there is one."""
        now = self.current
        if now.desk is not None and not now.dead:
            changing = self.loop.create_task(now.desk.configure(changes, "an operator"))
            await asyncio.wait([changing], timeout=10.0)

    async def halt(self, by_file: bool = False, by_command: bool = False) -> None:
        """The kill switch: a file, a command, or both as `enigma halt` does."""
        self.kills.append((self.loop.time(), None))
        self.trace("halt")
        if by_file:
            control.halt(self.folder, "a file was laid")
        else:
            heard = await self.tell(lambda ts: StateSet(ts=ts, state="HALTED", reason="the kill switch", flatten=True))
            if not (by_command and heard):
                control.halt(self.folder, "the kill switch")

    async def resume(self) -> None:
        control.lift(self.folder)
        self.trace("resume")
        if self.kills and self.kills[-1][1] is None:
            self.kills.pop()
        await self.tell(lambda ts: StateSet(ts=ts, state="ACTIVE", reason="go on"))

    def freeze(self, seconds: float) -> None:
        """The engine's machine stands still; the rest of the world does not."""
        self.frozen = True
        self.trace("frozen", seconds)
        until = self.loop.time() + seconds
        while self.prices.now + STEP <= self.origin + until * 1000:
            moment = (self.prices.now + STEP - self.origin) / 1000
            self.loop.skip(max(0.0, moment - self.loop.time()))
            self.tick()
        self.loop.skip(max(0.0, until - self.loop.time()))
        self.frozen = False

    def fill_disk(self) -> None:
        """Nothing can be written any more: the run has to end, and the next one finds room again."""
        journal = self.current.journal
        if journal is None or self.current.dead:
            return
        self.disk_full = True
        self.trace("disk full")

        def full(batch: Any) -> None:
            raise OSError(28, "No space left on device")

        journal._save = full  # type: ignore[method-assign]


def _asked(request: Request) -> str:
    """What a request says beside its path."""
    said = request.body if isinstance(request.body, dict) else request.query
    return " ".join(f"{key}={value}" for key, value in said.items() if key not in ("startAt", "endAt", "pageSize", "currentPage"))
