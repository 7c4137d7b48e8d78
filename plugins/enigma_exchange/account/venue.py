"""A live account as the engine's venue: sends what is durable, finds out what came of it, and keeps the book and the exchange one.

Nothing is taken from the private stream but the hint to look; what is believed was read by REST. Every decision about an order
is `life.Life`'s, about a fill `fills.Fills`', about a position `positions.difference`'s: this only asks, tells and waits.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future
from decimal import ROUND_DOWN, Decimal
from typing import Any, TypeVar

from enigma_core.chance import maybe
from enigma_core.market import MarketEvent
from enigma_core.model import (
    CloseWanted,
    Fill,
    Order,
    OrderEnded,
    OrderFound,
    OrderSeen,
    Purpose,
    StateSet,
    StopMissing,
)
from enigma_core.parts import Command, Ports, Report, Tell
from enigma_core.slicing import at_venue
from enigma_exchange.account.asking import PATIENCE, Asking
from enigma_exchange.account.blocks import Blocks
from enigma_exchange.account.comparing import Comparing
from enigma_exchange.account.fills import Fills
from enigma_exchange.account.life import Ending, Life, is_stop
from enigma_exchange.account.lives import Lives
from enigma_exchange.account.protection import Protection
from enigma_exchange.account.sweeping import Sweeping
from enigma_exchange.account.timing import Timing
from enigma_exchange.account.upkeep import Upkeep
from enigma_exchange.naming import client_id
from enigma_exchange.port import (
    Absent,
    Account,
    Denied,
    ExchangeError,
    Known,
    Nudge,
    OrderState,
    Placing,
    Refused,
    Throttled,
    Traded,
)

log = logging.getLogger(__name__)

T = TypeVar("T")

TICK = 0.25
"""Seconds between looks at what is held and unprotected."""

STEADY = 60.0
"""Seconds after which a private stream that ends was a good one: the next is asked for at once."""

FROZEN = 5.0
"""Seconds between two ticks after which this process must have slept: nothing it knows is fresh."""

LONG = 1.8
"""So many times as long as a proof takes, looks alone are one."""

NAMELESS = 20
"""So many orders of a symbol are asked for, the newest first, when a fill belongs to none that is known."""


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
        assert ports.account is not None, "a live account is one of somebody's book"
        self.timing = timing or Timing()
        self._api, self._ports, self._book = api, ports, ports.account
        self._jitter = jitter
        self.lives = Lives(self._book, self.timing)
        self.fills = Fills(self._book, ports.instruments, ports.recorded)
        self.protection = Protection(self._book)
        self.blocks = Blocks()
        self.asking = Asking(self.blocks, self._publish)
        self.upkeep = Upkeep(
            api, ports, self._book, self.blocks, self.timing, self.asking.look, self.asking.do, self._say, self._now
        )
        self.sweeping = Sweeping(api, self._book, self.lives, begin=self._start, do=self.asking.do, wake=self._wake, now=self._now)
        self.comparing = Comparing(
            self._book,
            self.fills,
            self.lives,
            self.blocks,
            say=self._say,
            again=self._again,
            lot=self._lot,
            halt=self._halt,
            ts=self._ts,
        )
        self._wakes: dict[str, asyncio.Event] = {}
        self._noted: list[tuple[str, Life]] = []
        self._batches: deque[tuple[list[tuple[str, Life]], Future[None]]] = deque()
        self._waiting: list[Life] = []
        """Lives that may begin once somebody serves."""
        self._tell: Tell | None = None
        self._group: asyncio.TaskGroup | None = None
        self._ready = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._next_reading: asyncio.Task[None] | None = None
        self._deep = True
        self._asked: dict[str, asyncio.Event] = {name: asyncio.Event() for name in ("fills", "orders", "positions", "balance")}
        self._touched: dict[str, int] = {}
        self._close_fails: dict[str, int] = {}
        self._ticked = 0.0
        self._stale: set[str] = set()
        self._halted = False
        self._crowded: set[str] = set()
        """Orders that were given up and have filled beside a position."""
        self._read_to = ports.since
        """Fills up to here (ms) have been read: what came while nobody could read is read with the next reading."""
        self._begun = 0
        self._ended: dict[str, float] = {}

    # the engine's side: `RemoteVenue`

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
        self._go_stale(reason)

    @property
    def calm(self) -> bool:
        entering = any(not life.reduces for life in self.lives.working())
        return not (entering or self._noted or self._batches or self.protection.since)

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
        while self._batches and self._batches[0][1].done():
            batch, written = self._batches.popleft()
            if written.cancelled() or written.exception() is not None:
                continue
            for what, life in batch:
                if what == "order":
                    self._begin(life)
                elif what == "over" and life.order.id in self._book.orders:
                    order, reason = life.order, "an order of this id is over"
                    self._say(OrderEnded(ts=self._ts(), order_id=order.id, symbol=order.symbol, state="cancelled", reason=reason))
            self.sweeping.call_off([life for what, life in batch if what == "cancel"], "")

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        """Have something done beside; None where nobody serves."""
        if self._group is None:
            work.close()
            return None
        return self._group.create_task(work)

    def _begin(self, life: Life) -> None:
        """Have somebody care for it, once."""
        if life.order.id in self._wakes:
            self._wake(life)
        elif self._group is None:
            self._waiting.append(life)
        else:
            self._wakes[life.order.id] = asyncio.Event()
            self._group.create_task(self._live(life))

    async def serve(self, tell: Tell, ready: asyncio.Event) -> None:
        self._tell, self._ready = tell, ready
        self._begun = self._ports.wall()
        self._ticked = self._now()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen())
                await self._recover(group)
                group.create_task(self._every("fills", math.inf, self._read_fills))
                group.create_task(self._every("orders", self.timing.orders, self._orders))
                group.create_task(self._every("positions", self.timing.positions, self._positions))
                group.create_task(self._every("balance", self.timing.balance, self._upkeep))
        except BaseExceptionGroup as several:
            # what went wrong first is what is told
            raise several.exceptions[0] from None
        finally:
            self._group = None
            for reading in (self._reading, self._next_reading):
                if reading is not None:
                    reading.cancel()

    async def _listen(self) -> None:
        """Follow the private stream; without it everything is only found later."""
        tries = 0
        while True:
            began = self._now()
            try:
                await self._api.listen(self._nudged)
            except ExchangeError as error:
                log.warning("the private stream: %s", error)
            tries = 0 if self._now() - began > STEADY else tries
            await self._pause(tries)
            tries += 1

    async def close(self) -> None:
        await self.asking.finish(self.timing.leave)
        await self._api.close()

    # small words

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _ts(self) -> int:
        return self._ports.wall()

    def _there(self) -> int:
        """The exchange's time, ms."""
        return self._ports.wall() + self.upkeep.offset

    def _wake(self, life: Life) -> None:
        event = self._wakes.get(life.order.id)
        if event is not None:
            event.set()

    def _touch(self, symbol: str) -> None:
        self._touched[symbol] = self._touched.get(symbol, 0) + 1

    def _say(self, *reports: Report | Command) -> Future[None] | None:
        """Have the engine take reports in, as one step; what it no longer wants then is called off."""
        if not reports or self._tell is None:
            return None
        self.upkeep.hold()
        for report in reports:
            if isinstance(report, Fill):
                self._touch(report.symbol)
        written = self._tell(list(reports))
        for symbol in dict.fromkeys(getattr(r, "symbol", "") or getattr(getattr(r, "order", None), "symbol", "") for r in reports):
            if symbol:
                self.sweeping.sweep(symbol)
        self.protection.look(self.lives, self._now())
        return written

    def _publish(self) -> None:
        self._say(*self.blocks.news(self._ts()))

    def _halt(self, reason: str) -> None:
        """Nothing is entered until a person has looked."""
        if not self._halted:
            self._halted = True
            log.error("halting: %s", reason)
            self._say(StateSet(ts=self._ts(), state="HALTED", reason=reason))

    def _strange(self, symbol: str, reason: str) -> None:
        log.error("%s: %s", symbol, reason)
        self.blocks.set(symbol, "strange", f"the exchange reported what cannot be: {reason}; look at the account, then restart")
        self._publish()

    def _lot(self, symbol: str) -> Decimal:
        instrument = self.upkeep.instrument(symbol)
        return instrument.lot if instrument is not None else Decimal(1)

    # one order

    async def _live(self, life: Life) -> None:
        """From the wish to the end of one order."""
        wake = self._wakes[life.order.id]
        while life.state not in ("over", "absent"):
            wake.clear()
            now = self._now()
            if life.settled or life.hidden(now):
                await self._settle(life)
                continue
            do = life.next(now, fresh=self._fresh(life))
            if do.what == "send":
                await self._send(life)
            elif do.what == "look":
                await self._look(life)
            elif do.what == "cancel":
                await self._cancel(life)
            elif do.what == "prove":
                await self._prove(life)
            elif do.what == "end":
                await self._end(life, do.ending, do.reason)
            else:
                await _until(wake, do.seconds)
        self._wakes.pop(life.order.id, None)

    def _fresh(self, life: Life) -> bool:
        return self._ts() - life.order.ts <= self.timing.fresh * 1000

    async def _send(self, life: Life) -> None:
        order = life.order
        if self._is_superseded(life):
            # the fills of one order come by dozens: the exchange is told of the stop that is for all of them
            self._over(life)
            return
        if maybe("account: an order leaves late"):
            await asyncio.sleep(0.3)
        if not life.reduces:
            refusal = await self._entry_refusal(life)
            if life.calling_off or not self._fresh(life):
                return
            if refusal:
                await self._end(life, "rejected", refusal)
                return
        if (pause := self.asking.pause) > 0:
            life.due = self._now() + pause
            if life.state == "unknown" or life.reduces:
                await _until(self._wakes[order.id], pause)
                return
        placing = self._placing(life)
        if placing is None:
            await self._end(life, "rejected", f"{order.quantity} contracts are below the smallest order there is now")
            return
        life.sending(self._now(), self._ts())
        self._touch(order.symbol)
        sending = self.asking.send(self._api.place(placing))
        if life.tries == 1:
            # the request leaves first: what is said of it takes its time
            await asyncio.sleep(0)
            self._say(OrderSeen(ts=self._ts(), order_id=order.id, symbol=order.symbol, state="sent"))
        try:
            venue_id = await self.asking.answer(asyncio.shield(sending))
        except Known:
            life.known(self._now())
        except Throttled as throttled:
            life.throttled(self._now(), throttled.after)
        except Denied as denied:
            if life.reduces:
                # a position waits for it: it is tried again, slowly
                life.throttled(self._now(), max(1.0, self.asking.pause))
            elif life.refuse(str(denied), self._now()):
                await self._end(life, "rejected", str(denied))
        except (Refused, Absent) as refused:
            if life.refuse(str(refused), self._now()):
                await self._end(life, "rejected", str(refused))
        except ExchangeError as unclear:
            first = not life.doubtful
            life.unclear(self._now())
            if first:
                reason = f"the answer was unclear: {unclear}"
                self._say(OrderSeen(ts=self._ts(), order_id=order.id, symbol=order.symbol, state="unknown", reason=reason))
        else:
            await self._accepted(life, venue_id)
        self._touch(order.symbol)

    def _is_superseded(self, life: Life) -> bool:
        """A stop that never left, and that another one has taken the place of."""
        order = life.order
        if order.purpose is not Purpose.STOP or life.tries or order.id in self._book.orders:
            return False
        others = (w.order for w in self._book.orders.values() if w.order.symbol == order.symbol)
        return any(o.purpose is Purpose.STOP and o.decision_id == order.decision_id and o.id in self.lives for o in others)

    async def _accepted(self, life: Life, venue_id: str) -> None:
        maybe("account: an order was accepted")
        if not venue_id or not self.lives.name(life, venue_id):
            self._strange(life.order.symbol, f"order {life.order.id} was accepted under the id {venue_id!r}, which is another's")
            life.unclear(self._now())
            return
        life.acknowledged(venue_id, self._now())
        order = life.order
        self._say(OrderSeen(ts=self._ts(), order_id=order.id, symbol=order.symbol, state="working", venue_id=venue_id))
        self._apply(self.fills.claim(self._owner))
        if life.in_flight and not life.settled:
            await self._quietly(self._read_fills())

    def _placing(self, life: Life) -> Placing | None:
        """The order on the grids of today; None where nothing is left of it."""
        order, instrument = life.order, self.upkeep.instrument(life.order.symbol)
        if instrument is None:
            return life.placing(order.quantity, order.price)
        lots = (order.quantity / instrument.lot).to_integral_value(rounding=ROUND_DOWN)
        quantity = lots * instrument.lot
        if quantity < instrument.min_quantity:
            return None
        return life.placing(quantity, None if order.price is None else instrument.price(float(order.price)))

    async def _entry_refusal(self, life: Life) -> str:
        """Why an entry must not be sent now."""
        await self._ready.wait()
        symbol = life.order.symbol
        await self.sweeping.cleared(symbol)
        if self._now() - self.asking.heard > self.timing.silence:
            self._go_stale("the exchange has not been heard of for a while")
        if reason := self.blocks.reason(symbol):
            return reason
        if not self.upkeep.recently_isolated(symbol):
            await self.upkeep.margin_mode(symbol)
        return self.blocks.reason(symbol)

    async def _look(self, life: Life) -> None:
        symbol = life.order.symbol
        try:
            state = await self.asking.look(self._api.find(symbol, life.client_id, stop=life.is_stop))
        except Absent:
            life.missing(self._now())
        except Throttled as throttled:
            life.due = self._now() + throttled.after
        except ExchangeError:
            life.unanswered(self._now())
        else:
            await self._found(life, state)

    async def _found(self, life: Life, state: OrderState) -> None:
        order = life.order
        if (state.symbol, state.side) != (order.symbol, order.side) or state.client_id not in ("", life.client_id):
            self._strange(order.symbol, f"a look for order {order.id} found {state.venue_id} in {state.symbol}")
            life.unanswered(self._now())
            return
        if not self.lives.name(life, state.venue_id):
            self._strange(order.symbol, f"order {order.id} was found under the id {state.venue_id}, which is another's")
            life.unanswered(self._now())
            return
        self._take_state(life, state)
        if life.venue_filled > life.filled:
            await self._quietly(self._read_fills())

    def _take_state(self, life: Life, state: OrderState) -> None:
        """What a look said, or the list of all that is open."""
        order, was, waited, seen = life.order, life.state, life.waits, life.seen
        life.found(state, self._now())
        if was != "working" or (waited and not life.waits) or life.venue_filled > life.filled:
            self._touch(order.symbol)
        if was == "unknown":
            venue_id = life.venue_id
            self._say(OrderSeen(ts=self._ts(), order_id=order.id, symbol=order.symbol, state="working", venue_id=venue_id))
        if waited and not life.waits and life.open:
            self._say(OrderSeen(ts=self._ts(), order_id=order.id, symbol=order.symbol, state="triggered"))
        self._apply(self.fills.claim(self._owner))
        if not seen and order.purpose is Purpose.STOP:
            self.protection.look(self.lives, self._now())
            self.sweeping.sweep(order.symbol)

    async def _cancel(self, life: Life) -> None:
        life.cancel_tried(self._now())
        order = life.order
        try:
            stop = life.is_stop and life.waits
            await self.asking.do(self._api.cancel(order.symbol, life.venue_id, life.client_id, stop=stop))
        except Throttled as throttled:
            life.cancel_due = self._now() + throttled.after
        except ExchangeError:
            # whatever came of it, only a look tells
            pass
        self._touch(order.symbol)
        await self._look(life)

    async def _prove(self, life: Life) -> None:
        """Looks have missed it for long enough: does everything else agree that it is not there?"""
        order, symbol = life.order, life.order.symbol
        was = life.state
        try:
            state = next((s for s in await self.asking.look(self._api.working()) if s.client_id == life.client_id), None)
            if state is None and not life.seen:
                # a last look, for what may have ended in between
                state = await self._last_look(life)
            self._deep = True
            await self._read_fills()
            there = [h for h in await self.asking.look(self._api.held()) if h.symbol == symbol]
        except ExchangeError:
            life.unanswered(self._now())
            return
        if state is not None:
            await self._found(life, state)
            return
        strays = any(t.symbol == symbol and t.side == order.side for t in self.fills.strays.values())
        # what somebody else trades meanwhile must not keep it unknown for ever
        long = life.missed(self.timing.looks, LONG * self.timing.proof)
        if (strays or not self.comparing.agrees(symbol, there)) and not long:
            # a look has missed it once more
            life.misses.append(self._now())
            life.due = self._now() + 1.0
            self._asked["positions"].set()
            return
        if was == "working":
            await self._end(life, "cancelled", life.called_off or "it is gone from the exchange")
            return
        self._say(OrderSeen(ts=self._ts(), order_id=order.id, symbol=symbol, state="not_placed", reason="proven to be absent"))
        life.doubtful = False
        if not life.reduces and self._fresh(life) and not life.calling_off:
            life.state, life.due = "noted", self._now()
            life.misses.clear()
            return
        ending: Ending = "cancelled" if life.calling_off or life.reduces else "expired"
        await self._end(life, ending, life.called_off or "it never reached the exchange")
        if life.state == "over":
            # it may have turned up while its end was told
            life.state = "absent"

    async def _last_look(self, life: Life) -> OrderState | None:
        try:
            return await self.asking.look(self._api.find(life.order.symbol, life.client_id, stop=life.is_stop))
        except Absent:
            return None

    async def _settle(self, life: Life) -> None:
        if life.filled >= life.order.quantity:
            self._over(life)
            self._close_fails.pop(life.order.symbol, None)
        else:
            await self._end(life, "cancelled", life.called_off or "the exchange has ended it")

    async def _end(self, life: Life, ending: Ending, reason: str) -> None:
        """It is over without (more) fills."""
        order = life.order
        self._over(life)
        self._touch(order.symbol)
        if order.purpose is Purpose.CLOSE:
            await self._explain(order)
        if order.parent or order.id in self._book.orders:
            self._say(OrderEnded(ts=self._ts(), order_id=order.id, symbol=order.symbol, state=ending, reason=reason))

    def _over(self, life: Life) -> None:
        life.state = "over"
        self._ended[life.order.id] = self._now()
        self.sweeping.sweep(life.order.symbol)

    async def _explain(self, order: Order) -> None:
        """An order that was to leave a position has failed: perhaps there is nothing to leave. The engine will try again, and
        must not do so all the time."""
        fails = self._close_fails[order.symbol] = self._close_fails.get(order.symbol, 0) + 1
        self._asked["positions"].set()
        if fails > 1:
            await asyncio.sleep(min(0.25 * 2 ** min(fails, 8), 30.0))
        for _ in range(2):
            if order.symbol in self._book.positions:
                await self._quietly(self._positions())

    async def _quietly(self, asking: Coroutine[Any, Any, None]) -> None:
        """A look that is made again anyway."""
        try:
            await asking
        except ExchangeError as error:
            log.debug("%s", error)

    # fills

    def _owner(self, trade: Traded) -> Life | None:
        if self.lives.foreign(trade.client_id):
            self._another(trade.client_id)
            return None
        return self.lives.of_trade(trade)

    def _another(self, client: str) -> None:
        self._halt(f"another instance trades this account: order {client} is not in this journal; let one of them trade")

    async def _read_fills(self) -> None:
        """Read fills, from now on: whoever asks while one reading is under way shares the next."""
        if self._next_reading is None or self._next_reading.done():
            self._next_reading = asyncio.ensure_future(self._reads(self._reading))
        await asyncio.shield(self._next_reading)

    async def _reads(self, before: asyncio.Task[None] | None) -> None:
        if before is not None and not before.done():
            await asyncio.wait([before])
        self._reading, self._next_reading = self._next_reading, None
        deep, self._deep = self._deep, False
        now = self._there()
        since = min(now, self._read_to or now) - round((self.timing.deep if deep else self.timing.overlap) * 1000)
        for life in self.lives.working():
            if life.lagging is not None or life.state == "unknown":
                since = min(since, (life.sent_ts or life.order.ts) - 10_000)
        try:
            trades = await self.asking.look(self._api.fills(since))
        except BaseException:
            self._deep = self._deep or deep
            raise
        self._read_to = now
        known = set(self.fills.strays)
        self._apply(self.fills.sort(trades, self._owner))
        if strange := [t for name, t in self.fills.strays.items() if name not in known]:
            await self._attribute(dict.fromkeys(t.symbol for t in strange))
        if self.fills.strays.keys() - known:
            self._asked["positions"].set()

    async def _attribute(self, symbols: Iterable[str]) -> None:
        """Fills of orders that are over, and whose id at the exchange nobody has learnt: a look by client id tells it."""
        for symbol in symbols:
            for order in self.lives.nameless(symbol)[:NAMELESS]:
                try:
                    state = await self.asking.look(self._api.find(symbol, client_id(order.id), stop=is_stop(order)))
                except Absent:
                    self.lives.nobody(order)
                    continue
                life = self.lives.of_state(state)
                if life is not None and (state.symbol, state.side) == (order.symbol, order.side):
                    life.venue_id = state.venue_id
                    self.lives.name(life, state.venue_id)
        self._apply(self.fills.claim(self._owner))

    def _apply(self, owned: Sequence[tuple[Life, Traded]]) -> None:
        """Tell the engine of fills of our orders, one after another: each changes what the next one means."""
        for life, trade in owned:
            maybe("account: a fill is about to be told")
            if self.fills.is_known(trade) or self._is_early(life):
                continue
            if wrong := self.fills.wrong(life, trade):
                self.fills.done(trade)
                self._strange(life.order.symbol, wrong)
                continue
            reports = self.fills.reports(life, trade)
            if not reports and not life.reduces:
                # what is held is left first, so that this can be taken over and left too: it is read again
                why = f"order {life.order.id} was given up and has filled while {trade.symbol} is held"
                self._halt(f"{why}: look at the account")
                if life.order.id not in self._crowded:
                    self._crowded.add(life.order.id)
                    self._say(CloseWanted(ts=self._ts(), symbol=trade.symbol, reason=why))
                continue
            self.fills.done(trade)
            life.fill(trade.quantity, self._now())
            self._touch(trade.symbol)
            gone = life.state in ("over", "absent")
            if any(isinstance(r, OrderFound) and r.order.purpose is Purpose.ENTRY for r in reports):
                why = f"order {life.order.id} was given up and has filled after all"
                log.error("%s: it is closed", why)
                reports.append(CloseWanted(ts=self._ts(), symbol=trade.symbol, reason=why))
            elif not life.reduces and any(isinstance(r, OrderFound) for r in reports):
                why = f"order {life.order.id} was given up and has filled against {trade.symbol}"
                self._halt(f"{why}: look at the account")
                if trade.quantity < self._book.positions[trade.symbol].quantity:
                    reports.append(CloseWanted(ts=self._ts(), symbol=trade.symbol, reason=why))
            self._say(*reports)
            if gone and life.left > 0:
                self._revive(life, "it was over, and has filled after all")
            self._wake(life)

    def _is_early(self, life: Life) -> bool:
        """A fill that leaves a position whose own fills are still to come: it is read again."""
        symbol = life.order.symbol
        entering = any(not x.reduces and x.unsettled for x in self.lives.working(symbol))
        return life.reduces and entering and symbol not in self._book.positions

    def _revive(self, life: Life, reason: str) -> None:
        """An order that was over, or proven to be absent, is there: it is called off."""
        log.warning("order %s: %s", life.order.id, reason)
        life.state, life.open, life.calling_off = "working", True, False
        life.due, life.moved = self._now(), self._now()
        life.misses.clear()
        life.call_off(reason)
        self._touch(life.order.symbol)
        self._begin(life)

    # all orders

    async def _orders(self) -> None:
        began = self._now()
        before = {x.order.id for x in self.lives.working() if x.state == "working"}
        states = await self.asking.look(self._api.working())
        there: set[str] = set()
        foreign: dict[str, int] = {}
        for state in states:
            if self.lives.foreign(state.client_id):
                self._another(state.client_id)
                continue
            life = self.lives.of_state(state)
            if life is None:
                foreign[state.symbol] = foreign.get(state.symbol, 0) + 1
                continue
            there.add(life.order.id)
            self._see(life, state, began)
        self.sweeping.foreign = foreign
        for order_id in before - there:
            missed = self.lives.get(order_id)
            if missed is not None and missed.state == "working" and missed.open and missed.due > self._now():
                missed.due = self._now()
                self._wake(missed)
        for symbol in dict.fromkeys(x.order.symbol for x in self.lives.working()):
            self.sweeping.sweep(symbol)
        self._freshen("orders")

    def _see(self, life: Life, state: OrderState, began: float) -> None:
        """One of our orders is in the list of those that are open."""
        order = life.order
        if (state.symbol, state.side) != (order.symbol, order.side) or not self.lives.name(life, state.venue_id):
            self._strange(order.symbol, f"order {order.id} is listed as {state.venue_id} in {state.symbol}")
        elif life.state in ("over", "absent"):
            if self._ended.get(order.id, -math.inf) >= began:
                return
            life.venue_id = state.venue_id
            if self.lives.wanted(life) and order.id not in self._ended:
                # it was there before this run
                life.state, life.doubtful = "unknown", True
                if (working := self._book.orders.get(order.id)) is not None:
                    life.filled, life.told_filled = working.filled, True
                self._take_state(life, state)
                self._begin(life)
            else:
                self._revive(life, "it was over, and is open at the exchange")
        elif life.state in ("working", "unknown") and life.open:
            self._take_state(life, state)
            self._wake(life)

    # positions

    async def _positions(self) -> None:
        before, strays = dict(self._touched), list(self.fills.strays)
        held = await self.asking.look(self._api.held())
        await self._read_fills()

        def moving(symbol: str) -> bool:
            changed = self._touched.get(symbol, 0) != before.get(symbol, 0)
            return changed or any(life.unsettled for life in self.lives.working(symbol))

        self.comparing.all(held, strays, moving, self._ports.instruments)
        self._publish()
        self._freshen("positions")

    def _again(self, seconds: float) -> None:
        """Look at positions again soon, and at fills of longer ago."""
        self._deep = True
        asyncio.get_running_loop().call_later(seconds, self._asked["positions"].set)

    # money, contracts, the clock

    async def _upkeep(self) -> None:
        before = self.upkeep.offset
        await self.upkeep.clock()
        if abs(self.upkeep.offset - before) > 1000 * self.timing.drift:
            # what was read by the clock of before was read of another time
            self._deep = True
            self._asked["fills"].set()
        await self.upkeep.listed()
        await self.upkeep.rights()
        for symbol in self._ports.instruments:
            await self.upkeep.margin_mode(symbol)
        await self.upkeep.funding()
        touched = dict(self._touched)
        await self.upkeep.money(lambda: self._is_calm(touched), self._read_fills)
        for order_id in self.lives.forget(self._ts() - round(self.timing.zombie * 1000)):
            self._ended.pop(order_id, None)
        self._publish()

    def _is_calm(self, touched: dict[str, int]) -> bool:
        """Nothing moves that would make a difference of balances."""
        still = self._touched == touched and not self.comparing.gone and not self.fills.strays
        return still and not any(life.unsettled for life in self.lives.working())

    # the start

    async def _recover(self, group: asyncio.TaskGroup) -> None:
        """Find out how everything stands, protect what is held, resolve what is unknown; then trade."""
        tries = 0
        self._adopt()
        while True:
            try:
                if self._group is None:
                    await self.upkeep.clock()
                    await self.upkeep.listed()
                    self._group = group
                await self._read_fills()
                await self._orders()
                break
            except ExchangeError as error:
                log.warning("the exchange cannot be reached yet: %s", error)
                await self._pause(tries)
                tries += 1
        for life in [x for x in self.lives.working() if x.state == "unknown"]:
            life.due = self._now()
        for life in self.lives.working():
            if life.state in ("unknown", "working"):
                self._begin(life)
        waiting, self._waiting = self._waiting, []
        for life in waiting:
            self._begin(life)
        self.protection.look(self.lives, self._now())
        group.create_task(self._watch())
        tries = 0
        while True:
            try:
                await self._positions()
                unknown = [x for x in self.lives.working() if x.state in ("unknown", "sent")]
                if self.comparing.complete and not unknown and not self.comparing.pending:
                    await self._upkeep()
                    if self.upkeep.residual is not None and not self.upkeep.opened:
                        await asyncio.sleep(1.0)
                        await self._upkeep()
                    break
                await asyncio.sleep(0.5)
            except ExchangeError as error:
                log.warning("recovery goes on: %s", error)
                await self._pause(tries)
                tries += 1
        self.blocks.set("", "start", "")
        self._publish()
        self._ready.set()

    async def _pause(self, tries: int) -> None:
        await asyncio.sleep(PATIENCE[min(tries, len(PATIENCE) - 1)] * (0.5 + self._jitter()))

    def _adopt(self) -> None:
        """Orders of the book, and slices: after a crash nobody knows how any of them stands."""
        self.lives.remember(self._ports.known())
        for order in at_venue([w.order for w in self._book.orders.values()], self._ports.slices):
            if order.id in self.lives or order.id.startswith("x-"):
                continue
            life = self.lives.add(order)
            life.state, life.doubtful, life.sent_ts = "unknown", True, order.ts
            if (working := self._book.orders.get(order.id)) is not None:
                life.filled = working.filled
            else:
                # what a slice has filled is known by its fills alone
                life.told_filled = False

    # what goes on all the time

    async def _watch(self) -> None:
        """Positions without a stop, fills nobody shows, an exchange that is silent, a process that slept."""
        self._ticked, wall = self._now(), self._ts()
        while True:
            now = self._now()
            # a machine that sleeps may stop the loop's clock, but not the wall's
            before, wall = wall, self._ts()
            jumped = (wall - before) / 1000 - (now - self._ticked)
            if now - self._ticked > FROZEN:
                self._go_stale(f"this process stood still for {now - self._ticked:.0f} s")
            elif abs(jumped) > FROZEN:
                self._go_stale(f"the clock has moved by {jumped:.0f} s, or this machine has slept")
                self._asked["balance"].set()
            elif now - self.asking.heard > self.timing.silence:
                self._go_stale(f"the exchange has not answered for {now - self.asking.heard:.0f} s")
            self._ticked = now
            self.protection.look(self.lives, now)
            for symbol in self.protection.overdue(now, self.timing.protect):
                reason = f"no stop has been seen at the exchange for {now - self.protection.since[symbol]:.1f} s"
                self._say(StopMissing(ts=self._ts(), symbol=symbol, reason=reason))
            for life in self.lives.working():
                if not life.reduces and life.lagging is not None and now - life.lagging > self.timing.protect:
                    self._leave_unseen(life)
            await asyncio.sleep(TICK)

    def _leave_unseen(self, life: Life) -> None:
        """An entry has filled and its fills are not shown: nobody can place its stop, so what it bought is sold again."""
        order, quantity = life.order, life.venue_filled - life.filled
        life.lagging = math.inf
        life.call_off("its fills are not shown")
        close = Order(
            id=f"{order.id}-unseen",
            decision_id=order.decision_id,
            ts=self._ts(),
            symbol=order.symbol,
            side=-1 if order.side > 0 else 1,
            quantity=quantity,
            purpose=Purpose.CLOSE,
            leverage=order.leverage,
            reason="unprotected",
        )
        if close.id in self.lives:
            return
        written = self._say(OrderFound(ts=self._ts(), order=close))
        self.submit(close)
        if written is not None:
            self.dispatch(written)

    def _go_stale(self, reason: str) -> None:
        """Nothing is entered before orders and positions have been read again."""
        if not self._stale:
            self._stale = {"orders", "positions"}
            self.blocks.set("", "stale", reason)
            self._publish()
        self._deep = True
        for name in ("orders", "positions"):
            self._asked[name].set()

    def _freshen(self, name: str) -> None:
        self.asking.accepted()
        self._stale.discard(name)
        if not self._stale and self.blocks.has("", "stale"):
            self.blocks.set("", "stale", "")
            self._publish()

    async def _every(self, name: str, seconds: float, look: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Look now and then, and whenever somebody asks."""
        asked, fails = self._asked[name], 0
        while True:
            await _until(asked, (seconds if not fails else min(seconds, 0.5 * 2 ** min(fails, 6))) * (0.9 + 0.2 * self._jitter()))
            asked.clear()
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

    def _nudged(self, nudge: Nudge) -> None:
        """The private stream hints at something."""
        if nudge.topic == "gap":
            self._deep = True
            for name in ("fills", "orders", "positions"):
                self._asked[name].set()
            return
        if self.lives.foreign(nudge.client_id) and self._group is not None and not self._halted:
            self._group.create_task(self._suspect(nudge))
        life = self.lives.of_ids(nudge.client_id, nudge.venue_id)
        if life is not None and life.state in ("working", "unknown"):
            life.due = min(life.due, self._now())
            self._wake(life)
        if nudge.topic in ("order", "stop"):
            self._asked["fills"].set()
            if life is None:
                self._asked["orders"].set()
        elif nudge.topic == "position":
            self._asked["positions"].set()
        else:
            self._asked["balance"].set()

    async def _suspect(self, nudge: Nudge) -> None:
        """An order that an engine sent, and not this one: is it there? It may be over before any list of orders has it."""
        try:
            await self.asking.look(self._api.find(nudge.symbol, nudge.client_id, stop=nudge.topic == "stop"))
        except ExchangeError:
            return
        self._another(nudge.client_id)


async def _until(event: asyncio.Event, seconds: float | None) -> None:
    """Wait for `event`, `seconds` at most."""
    if seconds is None or seconds == math.inf:
        await event.wait()
        return
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            await event.wait()
    except TimeoutError:
        pass
