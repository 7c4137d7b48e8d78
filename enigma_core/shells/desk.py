"""A run as the services beside it see it: asked at any time, told through the engine's own steps."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from enigma_core.alert import Alert, AlertRefused, AlertWorked, Mode, Receipt, Request
from enigma_core.book import Book
from enigma_core.chance import maybe
from enigma_core.engine import Engine
from enigma_core.errors import ConfigError, HomeError
from enigma_core.model import Decision, Instrument, StateSet
from enigma_core.parts import Applied, Command
from enigma_core.plan import Plan
from enigma_core.scoring import Evaluation
from enigma_core.shells.control import lift
from enigma_core.shells.waiting import Waiting

if TYPE_CHECKING:
    from enigma_core.shells.stream import Session

REFUSALS = 60
"""Refused messages that are written down within a minute; more are only counted."""


class RunDesk:
    """`enigma_core.parts.Desk` of one session."""

    def __init__(self, session: Session, home: Path, journal: Path, waiting: Waiting) -> None:
        self.home = home
        self.journal = journal
        self.state: Literal["recovering", "ready", "stopping"] = "recovering"
        self._session = session
        self._waiting = waiting
        self._refusals: list[float] = []

    @property
    def plan(self) -> Plan:
        return self._session.plan

    @property
    def account(self) -> Book:
        return self._session.book

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        return self._session.engine.instruments

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def lag(self) -> float:
        return time.monotonic() - self._session.fed

    def now(self) -> int:
        return self._session.now()

    async def accept(self, alerts: Sequence[Alert]) -> list[Receipt]:
        if self.state == "stopping":
            raise HomeError("the run is ending: it takes no more alerts")
        if maybe("desk: an alert is accepted late"):
            await asyncio.sleep(0.3)
        return await self._waiting.accept(alerts)

    async def refuse(self, refusal: AlertRefused) -> None:
        now = time.monotonic()
        self._refusals = [t for t in self._refusals if now - t < 60.0]
        if len(self._refusals) < REFUSALS:
            self._refusals.append(now)
            self._session.write([refusal])

    async def tell(self, command: Command) -> Sequence[Any]:
        if isinstance(command, StateSet) and command.state == "ACTIVE":
            lift(self.home)
        records, written = self._session.command(command)
        await asyncio.shield(asyncio.wrap_future(written))
        if maybe("desk: whoever gave a command is told late that it is obeyed"):
            await asyncio.sleep(0.5)
        return records

    def rehearse(self, request: Request, mode: Mode) -> tuple[AlertWorked, Decision | None]:
        engine = self._session.engine
        book = copy.deepcopy(engine.book, {id(engine.book.instruments): engine.book.instruments})
        markets = {symbol: copy.copy(market) for symbol, market in engine.markets.items()}
        again = Engine(engine.plan, book, engine.instruments, engine.scorers, markets)
        alert = Alert(id="rehearsal", ts=self.now(), source="rehearsal", mode=mode, received=self._session.wall(), request=request)
        with self._session.quarantine.asleep():
            records = again.step(alert)
        decision = next((r for r in records if type(r) is Decision), None)
        for record in records:
            if type(record) is AlertWorked:
                return record, decision
        reason = "what is held is closed first; the entry is asked for once the symbol is flat"
        return AlertWorked(
            ts=alert.ts, id=alert.id, source=alert.source, symbol=request.symbol, outcome="closed", reason=reason
        ), decision

    def evaluation(self, symbol: str) -> Evaluation | None:
        with self._session.quarantine.asleep():
            return self._session.engine.evaluation(symbol, self.now())

    def routes(self) -> Mapping[str, Sequence[Any]]:
        return self._session.routes()

    def watch(self, see: Callable[[Any], None]) -> Callable[[], None]:
        watchers = self._session.watchers
        watchers.append(see)

        def end() -> None:
            if see in watchers:
                watchers.remove(see)

        return end

    def settings(self) -> dict[str, Any]:
        return {} if self._session.settings is None else self._session.settings.shown()

    async def configure(self, changes: Mapping[str, Any], by: str) -> Applied:
        if self._session.settings is None:
            raise ConfigError("this run was started without settings that can be changed: start it with `enigma run`")
        applied, written = self._session.reconfigure(changes, by)
        await asyncio.shield(asyncio.wrap_future(written))
        return applied
