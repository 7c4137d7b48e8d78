"""One order from the wish to its end: it is sent, looked at, called off. What is to be done next, `life.Life` says."""

from __future__ import annotations

import asyncio
from decimal import ROUND_DOWN
from itertools import chain, repeat

from enigma_core.chance import maybe
from enigma_core.model import OrderSeen, Purpose
from enigma_exchange.account.finishing import Finishing
from enigma_exchange.account.life import Life
from enigma_exchange.account.looking import Looking
from enigma_exchange.account.settling import Settling
from enigma_exchange.account.shared import Shared, until
from enigma_exchange.port import Absent, Denied, ExchangeError, Known, Placing, Refused, Throttled, Unclear

SLOW = (0.5, 1.0, 2.0)
"""Seconds that the answer to an order is waited for before the order is looked for: once, and then again; the last one repeats."""

LEFTOVER = 5.0
"""Seconds that an entry waits for the last orders of an earlier position in its symbol to be gone."""


class Sending:
    """Sends orders and cancels, and asks what came of them."""

    def __init__(self, shared: Shared, settling: Settling, looking: Looking, finishing: Finishing) -> None:
        self._shared, self._settling, self._looking, self._finishing = shared, settling, looking, finishing

    async def care(self, life: Life) -> None:
        """From the wish to the end of one order."""
        shared = self._shared
        wake = shared.wakes[life.order.id]
        while life.state not in ("over", "absent"):
            wake.clear()
            now = shared.now()
            if life.settled or life.hidden(now):
                if maybe("account: nobody sees for a while that an order is over"):
                    await asyncio.sleep(0.2)
                await self._finishing.settle(life)
                continue
            do = life.next(now, fresh=shared.fresh(life))
            if do.what == "send":
                await self._send(life)
            elif do.what == "look":
                await self._looking.at(life)
            elif do.what == "cancel":
                await self._cancel(life)
            elif do.what == "prove":
                await self._finishing.prove(life)
            elif do.what == "end":
                await self._finishing.end(life, do.ending, do.reason)
            else:
                await until(wake, 0.05 if maybe("account: an order is looked after though there is no news") else do.seconds)
        shared.wakes.pop(life.order.id, None)

    async def _send(self, life: Life) -> None:
        shared, order = self._shared, life.order
        if self._is_superseded(life):
            # the fills of one order come by dozens: the exchange is told of the stop that is for all of them
            shared.over(life)
            return
        if maybe("account: an order leaves late"):
            await asyncio.sleep(0.3)
        if not life.reduces:
            refusal = await self._entry_refusal(life)
            if life.calling_off or not shared.fresh(life):
                return
            if refusal:
                await self._finishing.end(life, "rejected", refusal)
                return
        if (pause := shared.asking.pause) > 0:
            life.due = shared.now() + pause
            if life.state == "unknown" or life.reduces:
                await until(shared.wakes[order.id], pause)
                return
        placing = self.placing(life)
        if isinstance(placing, str):
            await self._finishing.end(life, "rejected", placing)
            return
        life.sending(shared.now(), shared.ts())
        shared.touch(order.symbol)
        sending = shared.asking.send(shared.api.place(placing))
        if life.tries == 1:
            # the request leaves first: what is said of it takes its time
            await asyncio.sleep(0)
            shared.say(OrderSeen(ts=shared.ts(), order_id=order.id, symbol=order.symbol, state="sent"))
        try:
            if not await self._wait(life, sending):
                shared.start(self._late(life, sending))
                if life.state == "sent":
                    raise Unclear("it has no answer yet, and a look does not find it")
                return
            venue_id = await shared.asking.answer(asyncio.shield(sending))
        except ExchangeError as error:
            if life.state == "sent":
                # otherwise it was found meanwhile: it is there, whatever this says
                await self._failed(life, error)
        else:
            await self._accepted(life, venue_id)
        shared.touch(order.symbol)

    async def _wait(self, life: Life, sending: asyncio.Task[str]) -> bool:
        """Until the answer is there. An order that waits long for it is looked for beside: a position may depend on it. False where
        it was found before, or is to reduce and should have been found."""
        shared = self._shared
        if maybe("account: an order is looked for before its request is answered"):
            shared.start(self._looking.early(life))
        looks: set[asyncio.Task[None]] = set()
        for seconds in chain(SLOW, repeat(SLOW[-1])):
            until_then = shared.now() + seconds
            while (left := until_then - shared.now()) > 0:
                await asyncio.wait({sending, *looks}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if sending.done():
                    return True
                if life.state != "sent" or (life.overlooked and life.reduces):
                    return False
                looks = {look for look in looks if not look.done()}
            if (look := shared.start(self._looking.early(life))) is not None:
                looks.add(look)
        raise AssertionError("unreachable")

    async def _late(self, life: Life, sending: asyncio.Task[str]) -> None:
        """The answer to a request that was waited for no longer. Where it is another one, looks tell what has come of the order."""
        try:
            venue_id = await self._shared.asking.answer(asyncio.shield(sending))
        except ExchangeError:
            return
        await self._accepted(life, venue_id)

    async def _failed(self, life: Life, error: ExchangeError) -> None:
        """A request to place an order was answered by something else than its id."""
        shared, order, now = self._shared, life.order, self._shared.now()
        if isinstance(error, Known):
            life.known(now)
        elif isinstance(error, Throttled):
            life.throttled(now, error.after)
        elif isinstance(error, Denied) and life.reduces:
            # a position waits for it: it is tried again, slowly
            life.throttled(now, max(1.0, shared.asking.pause))
        elif isinstance(error, Denied | Refused | Absent):
            if life.refuse(str(error), now):
                await self._finishing.end(life, "rejected", str(error))
        else:
            first = not life.doubtful
            life.unclear(now)
            if first:
                reason = f"the answer was unclear: {error}"
                if not life.reduces:
                    reason += "; if it was, nothing protects it yet: look at the position"
                shared.say(OrderSeen(ts=shared.ts(), order_id=order.id, symbol=order.symbol, state="unknown", reason=reason))

    def _is_superseded(self, life: Life) -> bool:
        """A stop that never left, and that another one has taken the place of."""
        order, shared = life.order, self._shared
        if order.purpose is not Purpose.STOP or life.tries or order.id in shared.book.orders:
            return False
        others = (w.order for w in shared.book.orders.values() if w.order.symbol == order.symbol)
        return any(o.purpose is Purpose.STOP and o.decision_id == order.decision_id and o.id in shared.lives for o in others)

    async def _accepted(self, life: Life, venue_id: str) -> None:
        maybe("account: an order was accepted")
        shared, order = self._shared, life.order
        if not venue_id or not shared.lives.name(life, venue_id):
            shared.strange(order.symbol, f"order {order.id} was accepted under the id {venue_id!r}, which is another's")
            life.unclear(shared.now())
            return
        if life.state not in ("sent", "unknown"):
            # it was looked up meanwhile, and all that it takes is under way
            return
        life.acknowledged(venue_id, shared.now())
        shared.say(OrderSeen(ts=shared.ts(), order_id=order.id, symbol=order.symbol, state="working", venue_id=venue_id))
        self._settling.claim()
        if life.in_flight and not life.settled:
            await shared.quietly(self._settling.read())

    def placing(self, life: Life) -> Placing | str:
        """The order on the grids of today, or why there is none."""
        order, instrument = life.order, self._shared.upkeep.instrument(life.order.symbol)
        if instrument is None:
            return life.placing(order.quantity, order.price)
        lots = (order.quantity / instrument.lot).to_integral_value(rounding=ROUND_DOWN)
        quantity = lots * instrument.lot
        if quantity < instrument.min_quantity:
            return f"{order.quantity} contracts are below the smallest order there is now"
        most = instrument.max_quantity
        if most is not None and quantity > most:
            if order.purpose in (Purpose.ENTRY, Purpose.STOP):
                # a stop for a part would leave the rest alone
                return f"{quantity} contracts are more than the {most} of one order there is now"
            # what it leaves is closed by the next one
            quantity = most - most % instrument.lot
        return life.placing(quantity, None if order.price is None else instrument.price(float(order.price)))

    async def _entry_refusal(self, life: Life) -> str:
        """Why an entry must not be sent now."""
        shared, symbol = self._shared, life.order.symbol
        await shared.ready.wait()
        await shared.sweeping.cleared(symbol)
        if not await self._alone(life):
            return "orders of an earlier position are still there: they would reduce this one"
        if shared.now() - shared.asking.heard > shared.timing.silence:
            shared.go_stale("the exchange has not been heard of for a while")
        if reason := shared.blocks.reason(symbol):
            return reason
        if not shared.upkeep.recently_isolated(symbol):
            await shared.upkeep.margin_mode(symbol)
        return shared.blocks.reason(symbol)

    async def _alone(self, life: Life) -> bool:
        """Whether nothing is left at the exchange of what left an earlier position. It is waited for a moment."""
        shared, order = self._shared, life.order
        deadline = shared.now() + LEFTOVER
        while any(x.reduces and x.order.decision_id != order.decision_id for x in shared.lives.working(order.symbol)):
            if shared.now() > deadline or life.calling_off:
                return False
            await asyncio.sleep(0.05)
        return True

    async def _cancel(self, life: Life) -> None:
        shared, order = self._shared, life.order
        if maybe("account: a cancel leaves late"):
            await asyncio.sleep(0.3)
        life.cancel_tried(shared.now())
        try:
            stop = life.is_stop and life.waits
            await shared.asking.do(shared.api.cancel(order.symbol, life.venue_id, life.client_id, stop=stop))
            if maybe("account: a cancel is sent twice"):
                await shared.asking.do(shared.api.cancel(order.symbol, life.venue_id, life.client_id, stop=stop))
        except Throttled as throttled:
            life.cancel_due = shared.now() + throttled.after
        except ExchangeError:
            # whatever came of it, only a look tells
            pass
        shared.touch(order.symbol)
        await self._looking.at(life)
