"""What all who work at a live account have in common: what is known of it, how the engine is told, what is looked at again."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from decimal import Decimal
from typing import Any

from enigma_core.chance import maybe
from enigma_core.model import Fill, StateSet
from enigma_core.parts import Command, Ports, Report, Tell
from enigma_exchange.account.asking import PATIENCE, Asking
from enigma_exchange.account.blocks import Blocks
from enigma_exchange.account.comparing import Comparing
from enigma_exchange.account.fills import Fills
from enigma_exchange.account.life import Life
from enigma_exchange.account.lives import Lives
from enigma_exchange.account.protection import Protection
from enigma_exchange.account.sweeping import Sweeping
from enigma_exchange.account.timing import Timing
from enigma_exchange.account.upkeep import Upkeep
from enigma_exchange.port import Account, ExchangeError

log = logging.getLogger(__name__)


class Shared:
    """One account behind the port `api`, and what is known of it. Times are seconds of the loop's clock unless they say ms."""

    def __init__(self, api: Account, ports: Ports, timing: Timing, jitter: Callable[[], float]) -> None:
        assert ports.account is not None, "a live account is one of somebody's book"
        self.api, self.ports, self.book, self.timing, self.jitter = api, ports, ports.account, timing, jitter
        self.lives = Lives(self.book, timing)
        self.fills = Fills(self.book, ports.instruments, ports.recorded)
        self.protection = Protection(self.book)
        self.blocks = Blocks()
        self.asking = Asking(self.blocks, self.publish)
        self.upkeep = Upkeep(api, ports, self.book, self.blocks, timing, self.asking.look, self.asking.do, self.say, self.now)
        self.sweeping = Sweeping(api, self.book, self.lives, begin=self.start, do=self.asking.do, wake=self.wake, now=self.now)
        self.comparing = Comparing(
            self.book,
            self.fills,
            self.lives,
            self.blocks,
            say=self.say,
            again=self.again,
            lot=self.lot,
            halt=self.halt,
            ts=self.ts,
        )
        self.tell: Tell | None = None
        self.group: asyncio.TaskGroup | None = None
        """Where work is done beside; None where nobody serves."""
        self.ready = asyncio.Event()
        """Entries are possible."""
        self.care: Callable[[Life], Coroutine[Any, Any, None]] | None = None
        """What leads an order from the wish to its end."""
        self.wakes: dict[str, asyncio.Event] = {}
        """Of orders that somebody cares for, by id: news of one."""
        self.waiting: list[Life] = []
        """Lives that may begin once somebody serves."""
        self.asked: dict[str, asyncio.Event] = {name: asyncio.Event() for name in ("fills", "orders", "positions", "balance")}
        """What is to be looked at now."""
        self.deep = True
        """The next reading of fills goes far back."""
        self.touched: dict[str, int] = {}
        """How often something has happened in a symbol that changes what is held."""
        self.ended: dict[str, float] = {}
        """When orders were over, by id."""
        self.close_fails: dict[str, int] = {}
        """How often in a row an order that was to leave a symbol has failed."""
        self.halted = False
        self._stale: dict[str, float] = {}
        """What is to be read again, and since when: what was asked for before may tell of before."""

    # time

    @staticmethod
    def now() -> float:
        """The loop's clock, seconds."""
        return asyncio.get_running_loop().time()

    def ts(self) -> int:
        """The wall's clock, ms."""
        return self.ports.wall()

    def there(self) -> int:
        """The exchange's clock, ms."""
        return self.ports.wall() + self.upkeep.offset

    def fresh(self, life: Life) -> bool:
        """Whether an entry is young enough to be sent."""
        if maybe("account: an entry is thought to be too old"):
            return False
        return self.ts() - life.order.ts <= self.timing.fresh * 1000

    async def pause(self, tries: int) -> None:
        """Wait before the exchange is tried to be reached once more."""
        await asyncio.sleep(PATIENCE[min(tries, len(PATIENCE) - 1)] * (0.5 + self.jitter()))

    # who works

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        """Have something done beside; None where nobody serves."""
        if self.group is None:
            work.close()
            return None
        return self.group.create_task(work)

    def begin(self, life: Life) -> None:
        """Have somebody care for an order, once."""
        if life.order.id in self.wakes:
            self.wake(life)
        elif self.group is None:
            self.waiting.append(life)
        else:
            assert self.care is not None, "an account that serves cares for its orders"
            self.wakes[life.order.id] = asyncio.Event()
            self.group.create_task(self.care(life))

    def wake(self, life: Life) -> None:
        """There is news of an order."""
        event = self.wakes.get(life.order.id)
        if event is not None:
            event.set()

    def over(self, life: Life) -> None:
        """Nothing more comes of an order."""
        life.state = "over"
        self.ended[life.order.id] = self.now()
        self.sweeping.sweep(life.order.symbol)

    # what the engine is told

    def say(self, *reports: Report | Command) -> Future[None] | None:
        """Have the engine take reports in, as one step; what it no longer wants then is called off."""
        if not reports or self.tell is None:
            return None
        maybe("account: the engine is about to be told")
        self.upkeep.hold()
        for report in reports:
            if isinstance(report, Fill):
                self.touch(report.symbol)
        written = self.tell(list(reports))
        for symbol in dict.fromkeys(getattr(r, "symbol", "") or getattr(getattr(r, "order", None), "symbol", "") for r in reports):
            if symbol:
                self.sweeping.sweep(symbol)
        self.protection.look(self.lives.working(), self.now())
        return written

    def publish(self) -> None:
        """Tell of blocks that have come or gone."""
        self.say(*self.blocks.news(self.ts()))

    def halt(self, reason: str) -> None:
        """Nothing is entered until a person has looked."""
        if not self.halted:
            self.halted = True
            log.error("halting: %s", reason)
            self.say(StateSet(ts=self.ts(), state="HALTED", reason=reason))

    def another(self, client: str) -> None:
        """An order with a name of ours is not in the journal."""
        self.halt(f"another instance trades this account: order {client} is not in this journal; let one of them trade")

    def strange(self, symbol: str, reason: str) -> None:
        """Nothing is entered in a symbol of which something is reported that cannot be."""
        log.error("%s: %s", symbol, reason)
        self.blocks.set(symbol, "strange", f"the exchange reported what cannot be: {reason}; look at the account, then restart")
        self.publish()

    # what is looked at

    def touch(self, symbol: str) -> None:
        """What is held of a symbol may have changed."""
        self.touched[symbol] = self.touched.get(symbol, 0) + 1

    def again(self, seconds: float) -> None:
        """Look at positions again soon, and at fills of longer ago."""
        self.deep = True
        asyncio.get_running_loop().call_later(seconds, self.asked["positions"].set)

    @property
    def stale(self) -> bool:
        """Whether something may have happened that has not been read yet."""
        return bool(self._stale)

    def go_stale(self, reason: str) -> None:
        """Nothing is entered before orders and positions have been read again."""
        if not self._stale:
            self._stale = dict.fromkeys(("orders", "positions"), self.now())
            self.blocks.set("", "stale", reason)
            self.publish()
        self.deep = True
        for name in ("orders", "positions"):
            self.asked[name].set()

    def freshen(self, name: str, began: float) -> None:
        """Orders, or positions, have been read; they were asked for at `began`."""
        self.asking.accepted()
        if began >= self._stale.get(name, math.inf):
            del self._stale[name]
        if not self._stale and self.blocks.has("", "stale"):
            self.blocks.set("", "stale", "")
            self.publish()

    async def quietly(self, asking: Coroutine[Any, Any, None]) -> None:
        """A look that is made again anyway."""
        try:
            await asking
        except ExchangeError as error:
            log.debug("%s", error)

    def lot(self, symbol: str) -> Decimal:
        """A symbol's lot of today, contracts."""
        instrument = self.upkeep.instrument(symbol)
        return instrument.lot if instrument is not None else Decimal(1)


async def until(event: asyncio.Event, seconds: float | None) -> None:
    """Wait for `event`, `seconds` at most."""
    if seconds is None or seconds == math.inf:
        await event.wait()
        return
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            await event.wait()
    except TimeoutError:
        pass
