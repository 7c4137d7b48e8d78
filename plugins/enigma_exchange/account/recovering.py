"""The start: how everything stands is found out, what is held is protected, what is unknown resolved; then entries are possible."""

from __future__ import annotations

import asyncio
import logging

from enigma_core.chance import maybe
from enigma_core.slicing import at_venue
from enigma_exchange.account.looking import Looking
from enigma_exchange.account.settling import Settling
from enigma_exchange.account.shared import Shared
from enigma_exchange.account.watching import Watching
from enigma_exchange.port import ExchangeError

log = logging.getLogger(__name__)


class Recovering:
    """A start and a restart after a crash are the same thing."""

    def __init__(self, shared: Shared, settling: Settling, looking: Looking, watching: Watching) -> None:
        self._shared, self._settling, self._looking, self._watching = shared, settling, looking, watching

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Find out how everything stands, protect what is held, resolve what is unknown; then trade."""
        shared = self._shared
        self._adopt()
        await self._reach(group)
        for life in [x for x in shared.lives.working() if x.state == "unknown"]:
            life.due = shared.now()
        lives = shared.lives.working()
        for life in reversed(lives) if maybe("recovery: the newest orders are cared for first") else lives:
            if life.state in ("unknown", "working"):
                shared.begin(life)
        waiting, shared.waiting = shared.waiting, []
        for life in waiting:
            shared.begin(life)
        shared.protection.look(shared.lives.working(), shared.now())
        group.create_task(self._watching.watch())
        await self._compare()
        shared.blocks.set("", "start", "")
        shared.publish()
        shared.ready.set()

    def _adopt(self) -> None:
        """Orders of the book, and slices: after a crash nobody knows how any of them stands."""
        shared = self._shared
        lives, book = shared.lives, shared.book
        lives.remember(shared.ports.known())
        for order in at_venue([w.order for w in book.orders.values()], shared.ports.slices):
            if order.id in lives or order.id.startswith("x-"):
                continue
            life = lives.add(order)
            life.state, life.doubtful, life.sent_ts, life.moved = "unknown", True, order.ts, shared.now()
            if (working := book.orders.get(order.id)) is not None:
                life.filled = working.filled
            else:
                # what a slice has filled is known by its fills alone
                life.told_filled = False

    async def _reach(self, group: asyncio.TaskGroup) -> None:
        """Read fills and orders, as long as it takes."""
        shared, tries = self._shared, 0
        while True:
            try:
                if shared.group is None:
                    await shared.upkeep.clock()
                    await shared.upkeep.listed()
                    shared.group = group
                await self._settling.read()
                await self._looking.orders()
                if not maybe("recovery: fills and orders are read once more"):
                    return
            except ExchangeError as error:
                log.warning("the exchange cannot be reached yet: %s", error)
                await shared.pause(tries)
                tries += 1

    async def _compare(self) -> None:
        """Positions and money, until nothing is unknown."""
        shared, tries = self._shared, 0
        while True:
            try:
                await self._looking.positions()
                unknown = [x for x in shared.lives.working() if x.state in ("unknown", "sent")]
                settled = shared.comparing.complete and not unknown and not shared.comparing.pending
                if settled and not maybe("recovery: positions are compared once more"):
                    await self._watching.upkeep()
                    if shared.upkeep.residual is not None and not shared.upkeep.opened:
                        await asyncio.sleep(1.0)
                        await self._watching.upkeep()
                    return
                await asyncio.sleep(0.5)
            except ExchangeError as error:
                log.warning("recovery goes on: %s", error)
                await shared.pause(tries)
                tries += 1
