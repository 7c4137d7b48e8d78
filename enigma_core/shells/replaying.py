"""Stored alerts through a run again: the account as it stood before the first of them, the market as it was, their own times.

It is the run itself that goes again, recovery and all. Only its feed is another: between the events of the market it hands in
the alerts, each when it came.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from enigma_core import records
from enigma_core.alert import Alert, AlertWorked
from enigma_core.errors import HomeError
from enigma_core.home import Home
from enigma_core.journal import Journal
from enigma_core.market import BarsClosed, Funding, MarketEvent
from enigma_core.model import Candles, Instrument
from enigma_core.parts import Desk, Feed, Inbox, Ports, Service
from enigma_core.plan import Plan
from enigma_core.reading import Reader
from enigma_core.shells.clock import PacedClock
from enigma_core.shells.stream import Summary, run
from enigma_core.timeframes import milliseconds

APART = 60_000
"""ms by which market and wall differ where the market has a time of its own."""


AFRESH = 3_600_000
"""ms of books, trades, marks and rates that are seen again."""


class Ending(msgspec.Struct, frozen=True):
    """What came of an alert: its outcome, why, and the net of its trade once that is closed."""

    outcome: str
    reason: str
    net: Decimal | None = None


class Replayed(msgspec.Struct, frozen=True):
    """One alert, what came of it then, and what now."""

    alert: Alert
    then: Ending
    now: Ending

    @property
    def differs(self) -> bool:
        """True where something else came of it: another outcome, or another result of its trade."""
        return (self.then.outcome, self.then.net) != (self.now.outcome, self.now.net)


class Past(Reader):
    """The journal of a run, of which a part is to be gone through again."""

    def came(self, since: int, until: float) -> list[Alert]:
        """The alerts received within that time (wall, ms), oldest first."""
        return [alert for alert in self.stored_alerts(since, 2**31) if alert.received < until]

    def symbols(self) -> tuple[str, ...]:
        """Those that the run traded last."""
        found = self._events("started", "WHERE kind = 'started' ORDER BY seq DESC LIMIT 1")
        return tuple(found[0].instruments) if found else ()

    def before(self, alert: Alert) -> Iterable[tuple[int, list[Any]]]:
        """The steps that were written before `alert`, with their times."""
        seq = self._value("SELECT seq FROM event WHERE key = ?", records.key(alert))
        step, at, taken = None, 0, list[Any]()
        for number, ts, kind, payload in self._rows("SELECT step, ts, kind, payload FROM event WHERE seq < ? ORDER BY seq", seq):
            if number != step and taken:
                yield at, taken
                taken = []
            step, at = number, ts
            taken.append(records.decode(kind, payload))
        if taken:
            yield at, taken

    def ending(self, alert: Alert) -> Ending:
        """What came of `alert`."""
        ((state, reason),) = self._rows("SELECT state, reason FROM alert WHERE id = ?", alert.id)
        trades = self.trades(alert.id)
        return Ending(state, reason, trades[0].net if trades else None)

    def end(self, alerts: Sequence[Alert], after: int) -> int:
        """When (ms) all that `alerts` led to was over, at least `after` ms after the last of them, or the run ended."""
        last = int(self._value("SELECT max(ts) FROM event"))
        exits = [alerts[-1].ts + after]
        for alert in alerts:
            trades = self.trades(alert.id)
            if not trades and self.fills(alert.id):
                return max(last, alerts[-1].ts)
            exits += [trade.exit_ts for trade in trades]
        return max(min(last, max(exits)), alerts[-1].ts)


class Stage:
    """The alerts that are still to come, and the run they come to."""

    def __init__(self, alerts: Sequence[Alert], until: int) -> None:
        self.coming = deque(alerts)
        self.until = until
        self.wall = alerts[0].received
        self.begin = alerts[0].ts
        self.desk: Desk | None = None
        self.known: dict[str, str] = {}
        """Alerts that were not new, and what the inbox said of them."""

    async def before(self, ts: float) -> None:
        """Hand in what came before `ts`, one after another, each once the one before it has been worked."""
        while self.coming and self.coming[0].ts < ts:
            alert = self.coming.popleft()
            assert self.desk is not None
            self.wall = alert.received
            (receipt,) = await self.desk.accept([msgspec.structs.replace(alert, ts=self.desk.now())])
            if receipt != "accepted":
                self.known[alert.id] = receipt
            while self.desk.waiting:
                await asyncio.sleep(0)


class Between(Feed, frozen=True, kw_only=True):
    """A market with a time of its own, and between its events the alerts."""

    name = "between"
    simulated: ClassVar[bool] = True

    inner: Any
    stage: Any

    @property
    def speed(self) -> float:
        return float(self.inner.speed)

    def identity(self) -> str:
        return str(self.inner.identity())

    def symbols(self) -> tuple[str, ...]:
        return tuple(self.inner.symbols())

    def instrument(self, symbol: str) -> Instrument:
        found: Instrument = self.inner.instrument(symbol)
        return found

    def base_timeframe(self) -> str:
        return str(self.inner.base_timeframe())

    def history(self, symbol: str, timeframe: str, start: int | None = None, end: int | None = None) -> Candles:
        found: Candles = self.inner.history(symbol, timeframe, start, end)
        return found

    def funding(self, symbol: str) -> Funding | None:
        found: Funding | None = self.inner.funding(symbol)
        return found

    def report(self, symbols: Iterable[str] | None = None) -> Mapping[str, object]:
        told: Mapping[str, object] = self.inner.report(symbols)
        return told

    async def stream(self, symbols: Sequence[str], timeframe: str, since: int | None) -> AsyncIterator[MarketEvent]:
        """What was seen within `AFRESH` before `since` comes first, bars left out: a run that goes on would still know it."""
        stream = self.inner.stream(symbols, timeframe, None if since is None else since - AFRESH)
        try:
            async for event in stream:
                if since is not None and event.ts <= since and isinstance(event, BarsClosed):
                    continue
                await self.stage.before(min(event.ts, self.stage.until + 1))
                if event.ts > self.stage.until:
                    break
                self.see(event)
                yield event
            await self.stage.before(math.inf)
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()

    def see(self, event: MarketEvent) -> None:
        """`event` is the next."""


class BetweenByWall(Between, frozen=True, kw_only=True):
    """A market whose time is the wall's."""

    name = "between_by_wall"
    simulated: ClassVar[bool] = False

    def history(self, symbol: str, timeframe: str, start: int | None = None, end: int | None = None) -> Candles:
        """Without bounds, as a new account asks: what was before the first alert."""
        if start is None and end is None:
            end = int(self.stage.begin) - milliseconds(timeframe) + 1
        return super().history(symbol, timeframe, start, end)

    async def stream(self, symbols: Sequence[str], timeframe: str, since: int | None) -> AsyncIterator[MarketEvent]:
        # a new account knows the bars before the first alert already
        first = self.stage.begin if since is None else since
        async for event in super().stream(symbols, timeframe, first):
            yield event

    def see(self, event: MarketEvent) -> None:
        self.stage.wall = max(self.stage.wall, event.ts)


class Handed(Service, frozen=True, kw_only=True):
    """Takes the desk of a run."""

    name = "handed"

    stage: Any

    async def serve(self, inbox: Inbox, ports: Ports) -> None:
        self.stage.desk = ports.desk


def replay_alerts(
    plan: Plan,
    past: Past,
    alerts: Sequence[Alert],
    home: Path,
    *,
    speed: float = 0.0,
    observer: Callable[[Any], None] | None = None,
) -> tuple[list[Replayed], Summary]:
    """Trade `plan` from where the account of `past` stood before the first of `alerts`, in the new folder `home`.

    `alerts` are of `past`, oldest first, at least one. `speed` is times real time, 0 as fast as possible. Raises `HomeError` where
    `home` has an account already.
    """
    assert plan.feed is not None
    stage = Stage(alerts, past.end(alerts, 2 * milliseconds(plan.timeframes.primary)))
    own = any(abs(alert.ts - alert.received) > APART for alert in alerts)
    feed = (Between if own else BetweenByWall)(inner=plan.feed, stage=stage)
    going = msgspec.structs.replace(plan, feed=feed, services={"handed": Handed(stage=stage)}, notifiers={})
    with Home.open(home) as held:
        if held.paper.exists():
            raise HomeError(f"{home} has an account already: name a folder that is new")
        with Journal.open(held.paper, plan.mode, feed.identity(), "OFF") as journal:
            for ts, taken in past.before(alerts[0]):
                journal.write(taken, ts)
        worked: dict[str, AlertWorked] = {}

        def see(record: Any) -> None:
            if type(record) is AlertWorked:
                worked[record.id] = record
            if observer is not None:
                observer(record)

        summary = asyncio.run(run(going, held, observer=see, clock=PacedClock(speed), wall=lambda: stage.wall))
        with Past(held.paper) as again:
            found = [Replayed(alert, past.ending(alert), _now(again, stage, alert)) for alert in alerts]
    return found, summary


def _now(again: Past, stage: Stage, alert: Alert) -> Ending:
    if alert.id in stage.known:
        return Ending(stage.known[alert.id], "the inbox knew it already")
    return again.ending(alert)
