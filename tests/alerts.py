"""Alerts in tests: a desk that is told them, a venue that fills at once, and senders beside a run."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from desk import BTC, Desk, ToldScorer, desk_plan
from enigma_core.alert import Alert, AlertWorked, Mode, Request
from enigma_core.engine import Engine, Record
from enigma_core.home import Home
from enigma_core.market import Market, MarketEvent
from enigma_core.matching import SimulatedVenue
from enigma_core.model import Bar, Order, Purpose, Signal, StateSet
from enigma_core.parts import Account, AccountGate, Clock, Inbox, MarketGate, Ports, Report, Service, Venue
from enigma_core.parts import Desk as Engaged
from enigma_core.plan import Plan
from enigma_core.scoring import Evaluation
from enigma_core.shells import Summary, run
from enigma_core.shells.driving import put
from markets import START
from runs import Cut, Ran

SOURCE = "strategy"
VOTE = 40.0
"""Points of a fresh vote."""


def alert(
    action: str | None = None,
    *,
    mode: Mode = "signal",
    id: str = "A1",
    ts: int = 0,
    received: int = START,
    symbol: str = BTC,
    source: str = SOURCE,
    key: str | None = None,
    window: int | None = None,
    digest: str = "",
    max_lag: int = 60_000,
    max_lag_exit: int = 900_000,
    ttl: int = 0,
    **request: Any,
) -> Alert:
    """An alert; what is not an alert's own is its request's."""
    asked = Request(symbol=symbol, action=action, **request)  # type: ignore[arg-type]
    return Alert(
        id=id,
        ts=ts,
        source=source,
        mode=mode,
        received=received,
        request=asked,
        key=id if key is None else key,
        window=window,
        digest=digest or id,
        max_lag=max_lag,
        max_lag_exit=max_lag_exit,
        ttl=ttl,
    )


class VotingScorer(ToldScorer):
    """Says what it is told, and adds the newest vote."""

    def __init__(self, symbol: str) -> None:
        super().__init__(symbol)
        self.told = 0.0

    @property
    def ready(self) -> bool:
        return hasattr(self, "_bar")

    @property
    def last_close(self) -> float:
        return self._bar.close

    @property
    def last_bar(self) -> tuple[int, int] | None:
        return (self._bar.ts, self._bar.end) if self.ready else None

    def push(self, bar: Bar) -> None:
        super().push(bar)
        # what an alert has evaluated in between is the last bar's score, though nothing was decided on it
        self.told = 0.0 if math.isnan(self.score) else self.score

    def evaluate(self, market: Market | None, now: int) -> Evaluation:
        evaluation = super().evaluate(market, now)
        vote = market.vote if market is not None else None
        score = self.told + (VOTE * vote.side if vote is not None and now - vote.ts < vote.ttl else 0.0)
        told = np.array([score])
        return msgspec.structs.replace(
            evaluation, score=told, side=np.sign(told).astype(np.int64), points=told.reshape(1, 1), market=market
        )


class AtOnce(SimulatedVenue):
    """Fills market orders the moment they come, at the last close, as a deep book does."""

    def answers(self) -> Iterator[Report]:
        while True:
            found = next(((s, h, o) for s, h in self.held.items() for o in h.market if s in self.closes), None)
            if found is None:
                break
            symbol, held, order = found
            held.market.remove(order)
            yield self.take(held, order, symbol, order.ts, self.closes[symbol])
        yield from super().answers()

    closes: Mapping[str, float] = {}

    def match(self, event: MarketEvent) -> Iterator[Report]:
        yield from super().match(event)
        self.closes = {**self.closes, **{s: bar.close for s, bar in getattr(event, "bars", {}).items()}}


class AlertDesk(Desk):
    """One account that is told alerts. `at_once`: market orders fill when they come, else at the next open."""

    def __init__(self, plan: Plan | None = None, *, at_once: bool = False, **settings: Any) -> None:
        super().__init__(plan or alert_plan(), **settings)
        if at_once:
            self.venue: Venue = AtOnce(self.instruments, self.plan.costs, {})
        self.markets = {s: Market(s) for s in self.instruments}
        self.scorers: dict[str, Any] = {s: VotingScorer(s) for s in self.instruments}
        self.engine = Engine(self.plan, self.book, self.instruments, self.scorers, self.markets)
        self.count = 0

    def told(self, action: str | None = None, *, later: int = 0, **asked: Any) -> list[Record]:
        """Take in an alert, `later` ms after the last close."""
        self.count += 1
        given: dict[str, Any] = {"id": f"A{self.count}", "ts": self.now + later} | asked
        made = alert(action, **given)
        records = put(self.engine, self.venue, made)
        self.records += records
        return records

    def commanded(self, command: Any) -> list[Record]:
        records = put(self.engine, self.venue, command)
        self.records += records
        return records

    def halted(self, flatten: bool = True) -> list[Record]:
        return self.commanded(StateSet(ts=self.now, state="HALTED", reason="told to", flatten=flatten))

    @property
    def side(self) -> int:
        """What is held: 1, -1 or 0."""
        return self.book.positions[BTC].side if BTC in self.book.positions else 0

    @property
    def worked(self) -> dict[str, Any]:
        """What became of each alert, by id."""
        found = {w.id: w for w in self.of(AlertWorked)}
        assert len(found) == len(self.of(AlertWorked)), "an alert is worked once"
        return found

    @property
    def last(self) -> Any:
        """What became of the alert worked last."""
        return self.of(AlertWorked)[-1]

    @property
    def entries(self) -> list[Order]:
        return self.orders(Purpose.ENTRY)


def alert_plan(**changes: Any) -> Plan:
    """The plan of a desk, where a score of 30 is enough."""
    from enigma_plugins.gates.score import Score

    return desk_plan(**({"market_gates": {"score": Score(min=30.0)}} | changes))


class Moments(AccountGate, frozen=True, kw_only=True):
    """Lets entries through in some minutes only."""

    name = "moments"
    limit = "an open minute"

    def measure(self, signal: Signal, account: Account) -> float:
        return float(shut(signal.ts))

    def passes(self, value: Any) -> Any:
        return value == 0


def shut(ts: int) -> bool:
    """Whether `Moments` lets nothing through at `ts`."""
    return (ts // 60_000) % 3 == 1


class Floor(MarketGate, frozen=True, kw_only=True):
    """Passes at prices from `min` on."""

    name = "floor"
    limit = ">= min"

    min: float = 0.0

    def measure(self, evaluation: Evaluation) -> Any:
        return evaluation.close

    def passes(self, value: Any) -> Any:
        return value >= self.min


# beside a run


class Listening(Service, frozen=True, kw_only=True):
    """Puts the desk where a test finds it."""

    name = "listening"

    place: Any

    async def serve(self, inbox: Inbox, ports: Ports) -> None:
        self.place.desk = ports.desk
        await asyncio.Event().wait()


Act = Callable[["Sending"], Any]


class Sending(Clock):
    """A clock that does something before the first event after a moment, and waits until all of it is worked.

    `acts` are (ms, what): an alert is accepted, anything else is called with the clock and awaited. Ends the run after `last`.
    """

    def __init__(self, acts: Sequence[tuple[int, Any]], *, last: float = math.inf, wall: int = START) -> None:
        self.acts = sorted(acts, key=lambda act: act[0])
        self.desk: Engaged | None = None
        self.receipts: list[str] = []
        self.last = last
        self.moment = wall
        self._now = 0

    def now(self) -> int:
        return self._now

    def wall(self) -> int:
        return max(self.moment, self._now)

    async def until(self, ts: int) -> None:
        while self.desk is None:
            await asyncio.sleep(0)
        while self.acts and self.acts[0][0] < ts:
            await self._do(self.acts.pop(0)[1])
        if ts > self.last:
            raise Cut
        self._now = ts

    async def _do(self, act: Any) -> None:
        assert self.desk is not None
        if isinstance(act, Alert):
            self.receipts += await self.desk.accept([act])
        else:
            await act(self)
        await self.settled()

    async def settled(self) -> None:
        """Wait until nothing waits to be worked."""
        assert self.desk is not None
        while self.desk.waiting:
            await asyncio.sleep(0)


def sent(plan: Plan, home: Path, acts: Sequence[tuple[int, Any]] = (), **settings: Any) -> Ran:
    """Trade `plan` in the folder `home`, with `acts` on the way."""
    clock = Sending(acts, **settings)
    records: list[Any] = []
    served = msgspec.structs.replace(plan, services={**plan.services, "listening": Listening(place=clock)})
    with Home.open(home) as held:
        try:
            summary = asyncio.run(run(served, held, observer=records.append, clock=clock, wall=clock.wall))
        except Cut:
            summary = Summary(reason="cut")
    return Ran(summary, records)
