"""Looks at orders and positions, and what they mean for what is known."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterable
from decimal import Decimal

from enigma_core.chance import maybe
from enigma_core.model import OrderSeen, Purpose
from enigma_exchange.account.life import Life
from enigma_exchange.account.settling import Settling
from enigma_exchange.account.shared import Shared
from enigma_exchange.port import Absent, ExchangeError, Held, OrderState, Throttled

log = logging.getLogger(__name__)

GROWN = 2
"""So many looks at positions must show that one has grown by the size of an order that nobody finds."""

OVERLOOKED = 3.0
"""Seconds after which a look should find an order that has left."""

SEEK = 15.0
"""Seconds between two looks for an order that was proven to be absent."""


class Looking:
    """Asks for one order, all orders, all positions."""

    def __init__(self, shared: Shared, settling: Settling) -> None:
        self._shared, self._settling, self._lives, self._book = shared, settling, shared.lives, shared.book

    # one order

    async def at(self, life: Life) -> None:
        """Look one order up."""
        shared, symbol = self._shared, life.order.symbol
        if maybe("account: a look at an order is left out"):
            life.unanswered(shared.now())
            return
        try:
            state = await shared.asking.soonest(lambda: shared.api.find(symbol, life.client_id, stop=life.is_stop))
        except Absent:
            life.missing(shared.now())
        except Throttled as throttled:
            life.due = shared.now() + throttled.after
        except ExchangeError:
            life.unanswered(shared.now())
        else:
            await self.found(life, state)
            if maybe("account: an order is looked at once more"):
                life.due = min(life.due, shared.now())

    async def early(self, life: Life) -> None:
        """Look up an order whose request has no answer yet. That it cannot be found says nothing of one that left just now."""
        shared, tries = self._shared, life.tries
        left = shared.now() - life.moved
        try:
            state = await shared.asking.look(shared.api.find(life.order.symbol, life.client_id, stop=life.is_stop))
        except Absent:
            life.overlooked = life.overlooked or (left >= OVERLOOKED and life.tries == tries)
        except ExchangeError:
            return
        else:
            if life.state in ("sent", "unknown") or (life.state == "working" and not life.seen):
                await self.found(life, state)

    async def found(self, life: Life, state: OrderState) -> None:
        """A look has found what it looked for, or something else."""
        shared, order = self._shared, life.order
        if (state.symbol, state.side) != (order.symbol, order.side) or state.client_id not in ("", life.client_id):
            shared.strange(order.symbol, f"a look for order {order.id} found {state.venue_id} in {state.symbol}")
            life.unanswered(shared.now())
            return
        if not self._lives.name(life, state.venue_id):
            shared.strange(order.symbol, f"order {order.id} was found under the id {state.venue_id}, which is another's")
            life.unanswered(shared.now())
            return
        self._take(life, state)
        if life.venue_filled > life.filled:
            await shared.quietly(self._settling.read())

    def _take(self, life: Life, state: OrderState) -> None:
        """What a look said, or the list of all that is open."""
        shared = self._shared
        order, was, waited, seen = life.order, life.state, life.waits, life.seen
        life.found(state, shared.now())
        if was != "working" or (waited and not life.waits) or life.venue_filled > life.filled:
            shared.touch(order.symbol)
        if was in ("unknown", "sent"):
            venue_id = life.venue_id
            shared.say(OrderSeen(ts=shared.ts(), order_id=order.id, symbol=order.symbol, state="working", venue_id=venue_id))
        if waited and not life.waits and life.open:
            shared.say(OrderSeen(ts=shared.ts(), order_id=order.id, symbol=order.symbol, state="triggered"))
        self._settling.claim()
        if not seen and order.purpose is Purpose.STOP:
            shared.protection.look(self._lives.working(), shared.now())
            shared.sweeping.sweep(order.symbol)

    # all orders

    async def orders(self) -> None:
        """Look at all that is open."""
        shared, lives = self._shared, self._lives
        began = shared.now()
        before = {x.order.id for x in lives.working() if x.state == "working"}
        states = await shared.asking.soonest(shared.api.working)
        if maybe("account: the list of orders is old"):
            await asyncio.sleep(0.3)
        there: set[str] = set()
        foreign: dict[str, int] = {}
        for state in states:
            if lives.foreign(state.client_id):
                shared.another(state.client_id)
                continue
            life = lives.of_state(state)
            if life is None:
                foreign[state.symbol] = foreign.get(state.symbol, 0) + 1
                continue
            there.add(life.order.id)
            self._see(life, state, began)
        shared.sweeping.foreign = foreign
        for order_id in sorted(before - there):
            missed = lives.get(order_id)
            if missed is not None and missed.state == "working" and missed.open and missed.due > shared.now():
                missed.due = shared.now()
                shared.wake(missed)
        for symbol in dict.fromkeys(x.order.symbol for x in lives.working()):
            shared.sweeping.sweep(symbol)
        shared.freshen("orders", began)

    def _see(self, life: Life, state: OrderState, began: float) -> None:
        """One of our orders is in the list of those that are open."""
        shared, order = self._shared, life.order
        if (state.symbol, state.side) != (order.symbol, order.side) or not self._lives.name(life, state.venue_id):
            shared.strange(order.symbol, f"order {order.id} is listed as {state.venue_id} in {state.symbol}")
        elif life.state in ("over", "absent"):
            if shared.ended.get(order.id, -math.inf) >= began:
                return
            life.venue_id = state.venue_id
            if self._lives.wanted(life) and order.id not in shared.ended:
                # it was there before this run
                life.state, life.doubtful = "unknown", True
                if (working := self._book.orders.get(order.id)) is not None:
                    life.filled, life.told_filled = working.filled, True
                self._take(life, state)
                shared.begin(life)
            else:
                self._settling.revive(life, "it was over, and is open at the exchange")
        elif life.state in ("working", "unknown") and life.open and not maybe("account: an order in the list is passed over"):
            self._take(life, state)
            shared.wake(life)

    # positions

    def weigh(self, life: Life, held: Iterable[Held]) -> bool:
        """Whether an entry that no look finds has filled all the same: its position has grown by exactly its size, twice, and no
        trade says that somebody else did it. Then what it bought is left, as where fills are not shown."""
        shared, order = self._shared, life.order
        hidden = life.state == "unknown" or (life.state == "working" and not life.seen and life.lagging is None)
        if not hidden or life.reduces or not life.misses:
            return False
        if any(x is not life and not x.reduces and x.unsettled for x in self._lives.working(order.symbol)):
            return False
        strays = sum((t.side * t.quantity for t in shared.fills.strays.values() if t.symbol == order.symbol), Decimal(0))
        if (shared.comparing.excess(order.symbol, held) - strays) * order.side != life.left:
            life.grown = 0
            return False
        life.grown += 1
        if life.grown < GROWN or shared.now() - life.moved <= shared.timing.protect:
            shared.again(1.0)
            return False
        reason = f"no look finds it, and the position has grown by its {life.left} contracts"
        log.error("%s: order %s: %s", order.symbol, order.id, reason)
        life.guess(shared.now())
        shared.say(OrderSeen(ts=shared.ts(), order_id=order.id, symbol=order.symbol, state="working", reason=reason))
        shared.wake(life)
        return True

    async def _seek(self) -> None:
        """Orders that were proven to be absent, where something is held or has traded that might be theirs: are they there after
        all?"""
        shared, now = self._shared, self._shared.now()
        odd = {(e.symbol, e.side) for e in self._book.external.values()}
        odd |= {(t.symbol, t.side) for t in shared.fills.strays.values()}
        for life in [x for x in self._lives if x.state == "absent" and (x.order.symbol, x.order.side) in odd and now >= x.due]:
            life.due = now + SEEK
            try:
                state = await shared.asking.look(shared.api.find(life.order.symbol, life.client_id, stop=life.is_stop))
            except ExchangeError:
                continue
            if life.state == "absent":
                self._see(life, state, now)

    async def positions(self) -> None:
        """Compare what is held with the book."""
        shared = self._shared
        began = shared.now()
        before, strays = dict(shared.touched), list(shared.fills.strays)
        held = await shared.asking.soonest(shared.api.held)
        if maybe("account: the list of positions is old"):
            await asyncio.sleep(0.3)
        await self._settling.read()
        for life in self._lives.working():
            self.weigh(life, held)
        await self._seek()

        def moving(symbol: str) -> bool:
            changed = shared.touched.get(symbol, 0) != before.get(symbol, 0)
            return changed or any(life.unsettled for life in self._lives.working(symbol))

        shared.comparing.all(held, strays, moving, shared.ports.instruments)
        shared.publish()
        shared.freshen("positions", began)
