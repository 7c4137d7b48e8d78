"""A live account as the engine's venue: sends what is durable, finds out what came of it, and keeps the book and the exchange one.

Nothing is taken from the private stream but the hint to look; what is believed was read by REST. Every decision about an order
is `life.Life`'s, about a fill `fills.Fills`', about a position `positions.difference`'s. Here the engine is answered; the work is
done by those who are put together here.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from enigma_core.chance import maybe
from enigma_core.market import MarketEvent
from enigma_core.model import Order, OrderEnded
from enigma_core.parts import Ports, Report, Tell
from enigma_exchange.account.finishing import Finishing
from enigma_exchange.account.leaving import Leaving
from enigma_exchange.account.life import Life
from enigma_exchange.account.looking import Looking
from enigma_exchange.account.recovering import Recovering
from enigma_exchange.account.sending import Sending
from enigma_exchange.account.settling import Settling
from enigma_exchange.account.shared import Shared
from enigma_exchange.account.timing import Timing
from enigma_exchange.account.watching import Watching
from enigma_exchange.port import Account


class LiveAccount:
    """The `RemoteVenue` of one account behind the port `Account`.

    `jitter` gives numbers in [0, 1) that spread repeated attempts.
    """

    def __init__(
        self,
        api: Account,
        ports: Ports,
        timing: Timing | None = None,
        *,
        jitter: Callable[[], float] = lambda: 0.5,
    ) -> None:
        self.timing = timing or Timing()
        self.shared = Shared(api, ports, self.timing, jitter)
        self.lives, self.protection, self.upkeep = self.shared.lives, self.shared.protection, self.shared.upkeep
        self.settling = Settling(self.shared)
        self.looking = Looking(self.shared, self.settling)
        self.finishing = Finishing(self.shared, self.settling, self.looking)
        self.sending = Sending(self.shared, self.settling, self.looking, self.finishing)
        self.watching = Watching(self.shared, self.settling, self.looking, Leaving(self.shared, self.submit, self.dispatch))
        self.recovering = Recovering(self.shared, self.settling, self.looking, self.watching)
        self.shared.care = self.sending.care
        self._noted: list[tuple[str, Life]] = []
        self._batches: deque[tuple[list[tuple[str, Life]], Future[None]]] = deque()

    # what the engine decides

    def submit(self, order: Order) -> None:
        known = self.lives.get(order.id)
        if known is not None:
            if known.state in ("over", "absent"):
                # whoever asks for it once more has forgotten it
                self._noted.append(("over", known))
            return
        before = self.lives.before(order.id)
        life = self.lives.add(order)
        if before is not None:
            # an earlier run had sent it: what it filled then is written down
            life.told_filled, life.sent_ts = False, before.ts
        self._noted.append(("order", life))

    def cancel(self, order_id: str) -> None:
        life = self.lives.get(order_id)
        if life is not None:
            self._noted.append(("cancel", life))

    def answers(self) -> Iterator[Report]:
        return iter(())

    def match(self, event: MarketEvent) -> Iterator[Report]:
        return iter(())

    def doubt(self, reason: str) -> None:
        self.shared.go_stale(reason)

    @property
    def doubted(self) -> bool:
        return self.shared.stale or self.shared.comparing.pending

    @property
    def calm(self) -> bool:
        entering = any(not life.reduces for life in self.lives.working())
        return not (entering or self._noted or self._batches or self.protection.since)

    # what is written down

    def dispatch(self, written: Future[None]) -> None:
        if not self._noted:
            return
        self._batches.append((self._noted, written))
        self._noted = []
        if written.done():
            self._release()
        else:
            loop = asyncio.get_running_loop()
            written.add_done_callback(lambda _: loop.call_soon_threadsafe(self._release))

    def _release(self) -> None:
        """Begin what is on disk by now, in the order it was decided."""
        shared = self.shared
        if maybe("account: what is on disk begins late"):
            asyncio.get_running_loop().call_later(0.2, self._release)
            return
        while self._batches and self._batches[0][1].done():
            batch, written = self._batches.popleft()
            if written.cancelled() or written.exception() is not None:
                continue
            for what, life in batch:
                if what == "order":
                    shared.begin(life)
                elif what == "over" and life.order.id in shared.book.orders:
                    order, reason = life.order, "an order of this id is over"
                    shared.say(OrderEnded(ts=shared.ts(), order_id=order.id, symbol=order.symbol, state="cancelled", reason=reason))
            shared.sweeping.call_off([life for what, life in batch if what == "cancel"], "")

    # the run

    async def serve(self, tell: Tell, ready: asyncio.Event) -> None:
        shared, every = self.shared, self.watching.every
        shared.tell, shared.ready = tell, ready
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.watching.listen())
                await self.recovering.run(group)
                group.create_task(every("fills", math.inf, self.settling.read))
                group.create_task(every("orders", self.timing.orders, self.looking.orders))
                group.create_task(every("positions", self.timing.positions, self.looking.positions))
                group.create_task(every("balance", self.timing.balance, self.watching.upkeep))
        except BaseExceptionGroup as several:
            # what went wrong first is what is told
            raise several.exceptions[0] from None
        finally:
            shared.group = None
            self.settling.stop()

    async def close(self) -> None:
        await self.shared.asking.finish(self.timing.leave)
        await self.shared.api.close()
