"""How an order comes to its end: it has filled, it was ended there, or everything agrees that it is not there."""

from __future__ import annotations

import asyncio

from enigma_core.chance import maybe
from enigma_core.model import Order, OrderEnded, OrderSeen, Purpose
from enigma_exchange.account.life import Ending, Life
from enigma_exchange.account.looking import Looking
from enigma_exchange.account.settling import Settling
from enigma_exchange.account.shared import Shared
from enigma_exchange.port import Absent, ExchangeError, OrderState

LONG = 1.8
"""So many times as long as a proof takes, looks alone are one."""


PART = 0.25
"""Seconds until the rest of a position is closed, where an order has closed a part."""


class Finishing:
    """Ends orders, and tells the engine."""

    def __init__(self, shared: Shared, settling: Settling, looking: Looking) -> None:
        self._shared, self._settling, self._looking = shared, settling, looking

    async def settle(self, life: Life) -> None:
        """Nothing more can come of it."""
        if life.filled >= life.order.quantity:
            self._shared.over(life)
            self._shared.close_fails.pop(life.order.symbol, None)
        else:
            await self.end(life, "cancelled", life.called_off or "the exchange has ended it")

    async def end(self, life: Life, ending: Ending, reason: str) -> None:
        """It is over without (more) fills."""
        shared, order = self._shared, life.order
        shared.over(life)
        shared.touch(order.symbol)
        if order.purpose is Purpose.CLOSE and life.filled:
            # as much as one order may be: the engine closes the rest
            shared.close_fails.pop(order.symbol, None)
            await asyncio.sleep(PART)
        elif order.purpose is Purpose.CLOSE:
            await self._explain(order)
        if maybe("account: the end of an order is told late"):
            await asyncio.sleep(0.2)
        if order.parent or order.id in shared.book.orders:
            shared.say(OrderEnded(ts=shared.ts(), order_id=order.id, symbol=order.symbol, state=ending, reason=reason))

    async def _explain(self, order: Order) -> None:
        """An order that was to leave a position has failed: perhaps there is nothing to leave. The engine will try again, and
        must not do so all the time."""
        shared = self._shared
        fails = shared.close_fails[order.symbol] = shared.close_fails.get(order.symbol, 0) + 1
        shared.asked["positions"].set()
        if fails > 1:
            await asyncio.sleep(min(0.25 * 2 ** min(fails, 8), 30.0))
        for _ in range(2):
            if order.symbol in shared.book.positions:
                await shared.quietly(self._looking.positions())

    async def prove(self, life: Life) -> None:
        """Looks have missed it for long enough: does everything else agree that it is not there?"""
        shared, order, symbol = self._shared, life.order, life.order.symbol
        was = life.state
        if maybe("account: a proof is put off"):
            life.unanswered(shared.now())
            return
        try:
            state = next((s for s in await shared.asking.look(shared.api.working()) if s.client_id == life.client_id), None)
            if state is None and not life.seen:
                # a last look, for what may have ended in between
                state = await self._last_look(life)
            shared.deep = True
            await self._settling.read()
            there = [h for h in await shared.asking.look(shared.api.held()) if h.symbol == symbol]
        except ExchangeError:
            life.unanswered(shared.now())
            return
        if state is not None:
            await self._looking.found(life, state)
            return
        if self._looking.weigh(life, there):
            return
        strays = any(t.symbol == symbol and t.side == order.side for t in shared.fills.strays.values())
        # what somebody else trades meanwhile must not keep it unknown for ever
        long = life.missed(shared.timing.looks, LONG * shared.timing.proof)
        # but what has filled is not given up before it is left
        long = long and (life.reduces or life.lagging is None)
        if (strays or not shared.comparing.agrees(symbol, there)) and not long:
            # a look has missed it once more
            life.misses.append(shared.now())
            life.due = shared.now() + 1.0
            shared.asked["positions"].set()
            return
        if was == "working":
            # nobody can be sure that one never filled whose position has
            gone: Ending = "expired" if life.guessed else "cancelled"
            await self.end(life, gone, life.called_off or "it is gone from the exchange")
            if life.guessed and life.state == "over":
                # it is looked for all the same
                life.state = "absent"
            return
        shared.say(OrderSeen(ts=shared.ts(), order_id=order.id, symbol=symbol, state="not_placed", reason="proven to be absent"))
        life.doubtful = False
        if not life.reduces and shared.fresh(life) and not life.calling_off:
            life.state, life.due = "noted", shared.now()
            life.misses.clear()
            return
        ending: Ending = "cancelled" if life.calling_off or life.reduces else "expired"
        await self.end(life, ending, life.called_off or "it never reached the exchange")
        if life.state == "over":
            # it may have turned up while its end was told
            life.state = "absent"

    async def _last_look(self, life: Life) -> OrderState | None:
        shared = self._shared
        try:
            return await shared.asking.look(shared.api.find(life.order.symbol, life.client_id, stop=life.is_stop))
        except Absent:
            return None
