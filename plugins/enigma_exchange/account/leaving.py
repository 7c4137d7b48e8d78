"""Entries that have filled and whose fills nobody shows: no stop can be placed, so what they bought is sold again, until it is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from decimal import Decimal
from itertools import count

from enigma_core.chance import maybe
from enigma_core.model import Order, OrderFound, Purpose
from enigma_exchange.account.life import Life
from enigma_exchange.account.shared import Shared
from enigma_exchange.port import ExchangeError

log = logging.getLogger(__name__)

MOMENT = 0.25
"""Seconds between looks whether the order that sells is over."""

LONGEST = 30.0
"""Seconds between two orders that sell, at most."""

FLAT_LOOKS = 2
"""So many looks at positions in a row must find nothing more than the book has: one proves nothing."""


class Leaving:
    """`submit` and `dispatch` are those of the venue, for orders that the engine has been told of."""

    def __init__(self, shared: Shared, submit: Callable[[Order], None], dispatch: Callable[[Future[None]], None]) -> None:
        self._shared = shared
        self._submit: Callable[[Order], None] = submit
        self._dispatch: Callable[[Future[None]], None] = dispatch
        self._done: dict[str, Decimal] = {}
        """How much of an entry was being left, or has been, by the entry's id."""
        self._blocked: set[str] = set()
        """Symbols that are not entered meanwhile."""

    def look(self, now: float) -> None:
        """Begin to leave what has been unprotected for too long."""
        shared, limit = self._shared, self._shared.timing.protect
        entries = [x for x in shared.lives.working() if not x.reduces]
        late = [x for x in entries if x.lagging is not None and now - x.lagging > limit]
        self._block({life.order.symbol for life in late})
        for life in late:
            if maybe("leaving: fills are waited for a moment more"):
                continue
            if self._done.get(life.order.id) != life.venue_filled:
                self._done[life.order.id] = life.venue_filled
                life.call_off("its fills are not shown")
                shared.start(self._leave(life, life.venue_filled))

    def _block(self, symbols: set[str]) -> None:
        """What is worked in slices is not worked on while nobody sees what they do."""
        if symbols == self._blocked:
            return
        for symbol in sorted(symbols ^ self._blocked):
            self._shared.blocks.set(symbol, "unseen", "fills of an entry are not shown there" if symbol in symbols else "")
        self._blocked = symbols
        self._shared.publish()

    async def _leave(self, life: Life, bought: Decimal) -> None:
        """Sell until the fills are shown (then the engine protects or closes what they made), or until nothing is held."""
        shared, order = self._shared, life.order
        tries = flat = 0
        while life.lagging is not None and life.venue_filled == bought:
            closes = [x for x in shared.lives if x.order.id.startswith(f"{order.id}-unseen")]
            if any(x.state not in ("over", "absent") for x in closes):
                await asyncio.sleep(MOMENT)
                continue
            left = bought - life.filled - sum((max(x.filled, x.venue_filled) for x in closes), Decimal(0))
            if left <= 0:
                return
            if tries:
                shared.halt(f"{order.symbol}: the fills of {order.id} are not shown, and it could not be sold again: look at it")
                await asyncio.sleep(min(MOMENT * 2**tries, LONGEST))
                flat = flat + 1 if await self._is_flat(order.symbol) else 0
                if flat >= FLAT_LOOKS:
                    log.warning("%s: nothing is held there of what order %s has bought", order.symbol, order.id)
                    return
                if flat:
                    continue
            tries += 1
            self._sell(order, left)

    async def _is_flat(self, symbol: str) -> bool:
        shared = self._shared
        try:
            held = await shared.asking.look(shared.api.held())
        except ExchangeError:
            return False
        return shared.comparing.agrees(symbol, [h for h in held if h.symbol == symbol])

    def _sell(self, order: Order, quantity: Decimal) -> None:
        shared, lives = self._shared, self._shared.lives
        names = (f"{order.id}-unseen" + (f"-r{n}" if n else "") for n in count())
        name = next(n for n in names if n not in lives and lives.before(n) is None)
        close = Order(
            id=name,
            decision_id=order.decision_id,
            ts=shared.ts(),
            symbol=order.symbol,
            side=-1 if order.side > 0 else 1,
            quantity=quantity,
            purpose=Purpose.CLOSE,
            leverage=order.leverage,
            reason="unprotected",
        )
        written = shared.say(OrderFound(ts=shared.ts(), order=close))
        self._submit(close)
        if written is not None:
            self._dispatch(written)
