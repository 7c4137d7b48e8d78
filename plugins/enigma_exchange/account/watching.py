"""What goes on all the time: unprotected positions, an exchange that is silent, hints of the private stream, looks now and then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from enigma_core.chance import maybe
from enigma_core.model import StopMissing
from enigma_exchange.account.leaving import Leaving
from enigma_exchange.account.looking import Looking
from enigma_exchange.account.settling import Settling
from enigma_exchange.account.shared import Shared, until
from enigma_exchange.port import ExchangeError, Nudge, Throttled

log = logging.getLogger(__name__)

TICK = 0.25
"""Seconds between looks at what is held and unprotected."""

STEADY = 60.0
"""Seconds after which a private stream that ends was a good one: the next is asked for at once."""

FROZEN = 5.0
"""Seconds between two ticks after which this process must have slept: nothing it knows is fresh."""


class Watching:
    """Asks nobody for more than a look; what it finds is others' to deal with."""

    def __init__(self, shared: Shared, settling: Settling, looking: Looking, leaving: Leaving) -> None:
        self._shared, self._settling, self._looking, self._leaving = shared, settling, looking, leaving
        self._ticked = 0.0

    # the private stream

    async def listen(self) -> None:
        """Follow the private stream; without it everything is only found later."""
        shared, tries = self._shared, 0
        while True:
            began = shared.now()
            try:
                await shared.api.listen(self._nudged)
            except ExchangeError as error:
                log.warning("the private stream: %s", error)
            tries = 0 if shared.now() - began > STEADY else tries
            await shared.pause(tries)
            tries += 1

    def _nudged(self, nudge: Nudge) -> None:
        """The private stream hints at something."""
        shared = self._shared
        if maybe("account: a push is lost"):
            return
        if nudge.topic == "gap" or maybe("account: a push has everything looked at"):
            shared.deep = True
            for name in ("fills", "orders", "positions"):
                shared.asked[name].set()
            return
        if shared.lives.foreign(nudge.client_id) and shared.group is not None and not shared.halted:
            shared.group.create_task(self._suspect(nudge))
        life = shared.lives.of_ids(nudge.client_id, nudge.venue_id)
        if life is not None and life.state in ("working", "unknown"):
            life.due = min(life.due, shared.now())
            shared.wake(life)
        if nudge.topic in ("order", "stop"):
            shared.asked["fills"].set()
            if nudge.topic == "order" and shared.group is not None:
                # a stop may wait for it: not behind a reading that is slow
                shared.start(shared.quietly(self._settling.read()))
            if life is None:
                shared.asked["orders"].set()
        elif nudge.topic == "position":
            shared.asked["positions"].set()
        else:
            shared.asked["balance"].set()

    async def _suspect(self, nudge: Nudge) -> None:
        """An order that an engine sent, and not this one: is it there? It may be over before any list of orders has it."""
        shared = self._shared
        try:
            await shared.asking.look(shared.api.find(nudge.symbol, nudge.client_id, stop=nudge.topic == "stop"))
        except ExchangeError:
            return
        shared.another(nudge.client_id)

    # positions without a stop, fills nobody shows, an exchange that is silent, a process that slept

    async def watch(self) -> None:
        """Look every moment, without asking anybody."""
        shared = self._shared
        self._ticked, wall = shared.now(), shared.ts()
        while True:
            now = shared.now()
            # a machine that sleeps may stop the loop's clock, but not the wall's
            before, wall = wall, shared.ts()
            jumped = (wall - before) / 1000 - (now - self._ticked)
            if maybe("account: this process is thought to have slept"):
                shared.go_stale("this process may have slept")
            if now - self._ticked > FROZEN:
                shared.go_stale(f"this process stood still for {now - self._ticked:.0f} s")
            elif abs(jumped) > FROZEN:
                shared.go_stale(f"the clock has moved by {jumped:.0f} s, or this machine has slept")
                shared.asked["balance"].set()
            elif now - shared.asking.heard > shared.timing.silence:
                shared.go_stale(f"the exchange has not answered for {now - shared.asking.heard:.0f} s")
            self._ticked = now
            shared.protection.look(shared.lives.working(), now)
            for symbol in shared.protection.overdue(now, shared.timing.protect):
                reason = f"no stop has been seen at the exchange for {now - shared.protection.since[symbol]:.1f} s"
                if shared.asking.slow:
                    reason += f"; it answers slowly, {shared.asking.slow:.1f} s a request"
                shared.say(StopMissing(ts=shared.ts(), symbol=symbol, reason=reason))
            self._leaving.look(now)
            await asyncio.sleep(1.0 if maybe("account: nobody watches for a second") else TICK)

    # looks now and then

    async def every(self, name: str, seconds: float, look: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Look now and then, and whenever somebody asks."""
        shared = self._shared
        asked, fails = shared.asked[name], 0
        while True:
            wait = seconds if not fails else min(seconds, 0.5 * 2 ** min(fails, 6))
            if maybe("account: a look comes early"):
                wait = 0.1
            await until(asked, wait * (0.9 + 0.2 * shared.jitter()))
            asked.clear()
            if maybe("account: a look is left out"):
                continue
            try:
                await look()
                fails = 0
            except Throttled as throttled:
                await asyncio.sleep(throttled.after)
                fails += 1
            except ExchangeError as error:
                log.debug("%s: %s", name, error)
                fails += 1
            if name != "fills":
                await asyncio.sleep(0.2)

    async def upkeep(self) -> None:
        """Money, contracts, the clock."""
        shared, upkeep = self._shared, self._shared.upkeep
        before = upkeep.offset
        await upkeep.clock()
        if abs(upkeep.offset - before) > 1000 * shared.timing.drift:
            # what was read by the clock of before was read of another time
            shared.deep = True
            shared.asked["fills"].set()
        await upkeep.listed()
        await upkeep.rights()
        for symbol in shared.ports.instruments:
            await upkeep.margin_mode(symbol)
        await upkeep.funding()
        touched = dict(shared.touched)
        await upkeep.money(lambda: self._is_calm(touched), self._settling.read)
        now, zombie = shared.ts(), round(shared.timing.zombie * 1000)
        for order_id in shared.lives.forget(now - zombie, now):
            shared.ended.pop(order_id, None)
        shared.fills.forget(now - 2 * zombie - round(shared.timing.deep * 1000))
        shared.publish()

    def _is_calm(self, touched: dict[str, int]) -> bool:
        """Nothing moves that would make a difference of balances."""
        shared = self._shared
        still = shared.touched == touched and not shared.comparing.gone and not shared.fills.strays
        return still and not any(life.unsettled for life in shared.lives.working())
