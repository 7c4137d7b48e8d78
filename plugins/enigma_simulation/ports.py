"""The doors by which a simulated world comes into a run: its feed, its executor, its clock, its journal, its folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from enigma_core import database
from enigma_core.chance import maybe
from enigma_core.database import Connect, Synchronous
from enigma_core.home import Home
from enigma_core.journal import Journal, Record
from enigma_core.market import BarsClosed, FundingSeen, MarketEvent
from enigma_core.model import Candles, Instrument
from enigma_core.parts import Executor, Feed, Ports, Venue
from enigma_exchange.account import LiveAccount, Timing
from enigma_simulation.candles import followed
from enigma_simulation.prices import TIMEFRAME
from enigma_simulation.wire import Wire

if TYPE_CHECKING:
    from enigma_simulation.world import Incarnation, World

SILENT = 10.0
"""Seconds within which the feed promises news of every symbol."""


class Clock:
    """The simulated wall's time."""

    def __init__(self, wall: Callable[[], int]) -> None:
        self.now = wall

    async def until(self, ts: int) -> None:
        # what a feed tells has happened
        await asyncio.sleep(0)


class WorldFeed(Feed, frozen=True, kw_only=True):
    """The market of a simulated world, as it arrives."""

    name: ClassVar[str] = "simulation"

    world: Any

    def symbols(self) -> tuple[str, ...]:
        return tuple(self.world.prices.lines)

    def instrument(self, symbol: str) -> Instrument:
        found: Instrument = self.world.prices.instruments[symbol]
        return found

    def base_timeframe(self) -> str:
        return TIMEFRAME

    @property
    def pulse(self) -> float | None:
        return SILENT

    def history(self, symbol: str, timeframe: str, start: int | None = None, end: int | None = None) -> Candles:
        found: Candles = self.world.prices.candles(symbol, start, end)
        return found

    async def stream(self, symbols: Sequence[str], timeframe: str, since: int | None) -> AsyncIterator[MarketEvent]:
        world: World = self.world
        if world.scenario.candles:
            async for event in followed(world, since if since is not None else world.prices.now):
                yield event
            return
        inbox = world.subscribe()
        closed = since if since is not None else world.prices.now
        for moment in world.prices.bars(closed):
            closed = max(closed, moment.ts)
            yield moment
        while True:
            event = await inbox.get()
            if isinstance(event, BarsClosed):
                if event.ts <= closed:
                    continue
                # what a stalled stream has not told is asked for
                for moment in world.prices.bars(closed):
                    if moment.ts < event.ts:
                        yield moment
                closed = event.ts
            elif isinstance(event, FundingSeen):
                continue
            yield event


class WorldExecutor(Executor, frozen=True, kw_only=True):
    """The live account, on a wire that ends in the same process."""

    name: ClassVar[str] = "simulation"
    remote: ClassVar[bool] = True

    world: Any
    timing: Timing = Timing()

    def open(self, ports: Ports) -> Venue:
        world: World = self.world
        now: Incarnation = world.current
        now.ports, now.book = ports, ports.account
        jitter = world.randoms("jitter").random
        wire = Wire(now.network, world.contracts)
        account = now.account = LiveAccount(wire, ports, self.timing, jitter=jitter)
        return account


class WorldJournal(Journal):
    """A journal without a thread, whose every step is looked at."""

    see: Callable[[Sequence[Record], int], None]
    keep: Callable[[Sequence[Record]], None]

    def write(self, step: Sequence[Record], ts: int) -> Future[None]:
        written = super().write(step, ts)
        self.see(step, ts)
        maybe("journal: a step waits for the disk")
        return written

    def _save(self, batch: Any) -> None:
        super()._save(batch)
        for step in batch:
            self.keep(step.records)

    def abandon(self) -> None:
        """The process has died: what was not on disk never was."""
        self._waiting.clear()
        self._closing = True
        self._db.close()


class WorldHome(Home):
    """A run's folder in a simulated world. It holds no reserve."""

    world: World

    @classmethod
    def make(cls, path: Path, world: World) -> WorldHome:
        for each in (path, path / "candles", path / "logs"):
            each.mkdir(parents=True, exist_ok=True)
        home = cls(path, -1)
        home.world = world
        return home

    def close(self) -> None:
        """It is nobody else's."""

    def journal(
        self,
        mode: str,
        identity: str,
        *,
        fresh: bool = False,
        synchronous: Synchronous = "OFF",
        connect: Connect = database.connect,
    ) -> Journal:
        journal = WorldJournal.open(self.path / "sandbox.sqlite", mode, identity, "OFF", connect=connect, later=self.world.later)
        self.world.opened(journal)
        return journal
