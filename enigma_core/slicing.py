"""Entries worked in slices: between the engine, which knows orders, and a venue, which is sent what an algorithm makes of them.

The life of an entry that is worked:

1. The engine submits it. A `Sliced` record whose order is the entry itself says that it is worked from here on.
2. Its algorithm is asked when it comes, when its market or one of its slices has news, and when it asked to be. Each slice is
   told of by a `Sliced` record in the same step of the journal in which the venue is given it, so it is on disk before it is sent.
3. A slice's fill is reported as the entry's; it keeps its id and says which slice it was. A slice's end is reported as its own.
4. The entry has filled with its last fill, or it is ended once nothing more will be sent and no slice works. What is unclear works.

Exits never come here: they go to the venue as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec

from enigma_core.faults import raised
from enigma_core.market import BarsClosed, FundingSeen, Market, MarketEvent, TickerSeen
from enigma_core.matching import SimulatedVenue
from enigma_core.model import ZERO, Cancel, Fill, Instrument, Order, OrderEnded, OrderSeen, Purpose, Sliced
from enigma_core.parts import Account, Advice, Algorithm, Command, Piece, RemoteVenue, Report, Slice, Tell, Venue, Work

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

MOST_SLICES = 1_000
"""Of one entry: an algorithm that wants more has gone wild, and the rest of the entry is given up."""

MOST_REJECTED = 3
"""Slices that the venue may refuse for another reason than that they would not have rested; then the rest is given up."""

PAUSE = 1_000
"""ms without a new slice after one was refused, or ended by the venue."""


BLIND = 5_000
"""ms for which the venue may take no entries before what waits at a price is called back: it was priced by a market long gone."""


class Sent:
    """A slice and what became of it."""

    __slots__ = ("filled", "leaving", "order", "seen", "working")

    def __init__(self, order: Order) -> None:
        self.order = order
        self.filled = ZERO
        self.working = True
        self.seen = False
        """The venue has said that it works there."""
        self.leaving = False
        """Its cancelling was asked for."""

    @property
    def left(self) -> Decimal:
        return self.order.quantity - self.filled


class Job:
    """An entry that is being worked."""

    __slots__ = ("again", "called_off", "not_before", "order", "over", "parts", "reason", "rejected", "shut")

    def __init__(self, order: Order) -> None:
        self.order = order
        self.parts: dict[str, Sent] = {}
        self.over = False
        """Nothing more is sent."""
        self.called_off = False
        self.again: int | None = None
        self.not_before = 0
        self.shut: int | None = None
        """Since when the venue has taken no entries, ms; None while it takes them."""
        self.rejected = 0
        self.reason = ""

    @property
    def filled(self) -> Decimal:
        return sum((part.filled for part in self.parts.values()), ZERO)

    @property
    def working(self) -> bool:
        return any(part.working for part in self.parts.values())

    def work(self, instrument: Instrument) -> Work:
        """The job as its algorithm sees it."""
        pieces = tuple(Piece(order=p.order, filled=p.filled, working=p.working) for p in self.parts.values())
        return Work(order=self.order, instrument=instrument, pieces=pieces)

    def take(self, order: Order) -> None:
        """Take in a slice."""
        self.parts[order.id] = Sent(order)

    def fill(self, slice_id: str, quantity: Decimal) -> bool:
        """Take in a fill of a slice; True when the entry has filled whole."""
        part = self.parts[slice_id]
        part.filled += quantity
        if part.filled >= part.order.quantity:
            part.working = False
        return self.filled >= self.order.quantity


class Slices:
    """The entries that are worked, as a journal tells of them: show it every record, in order.

    >>> before = Slices()
    >>> for record in []: before.see(record)
    >>> before.orders
    ()
    """

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self._early: dict[str, list[Order]] = {}
        """Slices that were told of before the entry they work."""

    def see(self, record: object) -> None:
        """Take in a record; those that have nothing to do with slices change nothing."""
        if type(record) is Sliced:
            order = record.order
            if order.parent == order.id:
                begun = self.jobs.setdefault(order.id, Job(order))
                for early in self._early.pop(order.id, ()):
                    begun.take(early)
            elif (known := self.jobs.get(order.parent)) is not None:
                known.take(order)
            else:
                self._early.setdefault(order.parent, []).append(order)
        elif type(record) is Fill:
            job = self.jobs.get(record.order_id)
            if job is not None and record.slice in job.parts and job.fill(record.slice, record.quantity):
                del self.jobs[record.order_id]
        elif type(record) is Cancel:
            if (job := self.jobs.get(record.order_id)) is not None:
                job.over = job.called_off = True
        elif type(record) is OrderSeen:
            for job in self.jobs.values():
                if record.order_id in job.parts:
                    job.parts[record.order_id].seen = record.state == "working"
        elif type(record) is OrderEnded:
            if self.jobs.pop(record.order_id, None) is not None:
                return
            for job in self.jobs.values():
                if record.order_id in job.parts:
                    job.parts[record.order_id].working = False

    @property
    def orders(self) -> tuple[Order, ...]:
        """What `Ports.slices` holds: the entries that are worked (each its own parent) and their slices that still work."""
        return tuple(
            order
            for job in self.jobs.values()
            for order in (job.order, *(part.order for part in job.parts.values() if part.working))
        )


def at_venue(working: Sequence[Order], slices: Sequence[Order]) -> list[Order]:
    """Of an account's working orders and `Ports.slices`, those that a venue was given: slices in the place of what they work."""
    worked = {order.parent for order in slices}
    return [order for order in (*working, *slices) if order.id not in worked]


class GivenUp(Algorithm, frozen=True, kw_only=True):
    """Where no algorithm is set any more: entries go to the venue as they are, and those that were worked are given up."""

    name = "none"
    whole = True

    def advise(self, work: Work, market: Market, now: int) -> Advice:
        return Advice(cancel=tuple(piece.order.id for piece in work.pieces if piece.working), over=True)


class Slicer:
    """A venue that works entries in slices at the venue it is laid over (`parts.RemoteVenue`, as far as that one is remote)."""

    def __init__(
        self,
        venue: Venue,
        algorithm: Algorithm | None,
        instruments: Mapping[str, Instrument],
        markets: Mapping[str, Market],
        account: Account,
        before: Slices | None = None,
    ) -> None:
        """`before`: entries that are worked already. A simulated venue is given their slices again; another one knows them."""
        self._venue = venue
        self._algorithm = algorithm or GivenUp()
        self._instruments = instruments
        self._markets = markets
        self._account = account
        self._now = 0
        self._jobs: dict[str, Job] = before.jobs if before is not None else {}
        self._parents: dict[str, str] = {part: name for name, job in self._jobs.items() for part in job.parts}
        self._stirred: dict[str, None] = {}
        """Jobs with news, in the order they came."""
        self._told: list[Report] = []
        for job in self._jobs.values():
            last = max([job.order.ts, *(part.order.ts for part in job.parts.values())])
            self._now = max(self._now, last)
            job.again = last + 1
            for part in job.parts.values():
                if part.working and isinstance(venue, SimulatedVenue):
                    venue.resume(part.order, part.left, rests=part.seen)

    # what the engine wants

    def submit(self, order: Order) -> None:
        """Take an entry on to work it; anything else, and any entry where the algorithm sends everything at once, goes on."""
        self._now = max(self._now, order.ts)
        if order.purpose is not Purpose.ENTRY or self._algorithm.whole:
            if order.id not in self._jobs:
                self._venue.submit(order)
            return
        if order.id in self._jobs:
            return
        self._jobs[order.id] = job = Job(msgspec.structs.replace(order, parent=order.id))
        self._told.append(Sliced(ts=self._now, order=job.order))
        self._stirred[order.id] = None

    def cancel(self, order_id: str) -> None:
        """Call a worked entry off: its slices are cancelled, and it ends once none works."""
        job = self._jobs.get(order_id)
        if job is None:
            self._venue.cancel(order_id)
            return
        job.over = job.called_off = True
        self._stirred[order_id] = None
        self._clear(job)

    # what the venue tells

    def answers(self) -> Iterator[Report]:
        """What algorithms send now, and what the venue answers to that at once."""
        while True:
            told, self._told = self._told, []
            yield from told
            while self._stirred:
                # whoever was told a moment ago may have given another entry: it is told of before its slices are
                told, self._told = self._told, []
                yield from told
                if not self._stirred:
                    break
                name = next(iter(self._stirred))
                del self._stirred[name]
                if name in self._jobs:
                    yield from self._go_on(self._jobs[name])
            for report in self._venue.answers():
                yield self._hear(report)
            if not self._stirred and not self._told:
                return

    def match(self, event: MarketEvent) -> Iterator[Report]:
        """The venue's answers to a market event, then what algorithms make of it; funding and turnover are no news to them."""
        self._now = max(self._now, event.ts)
        for report in self._venue.match(event):
            yield self._hear(report)
        if isinstance(event, FundingSeen | TickerSeen):
            return
        symbols = event.bars.keys() if isinstance(event, BarsClosed) else {event.symbol}
        if isinstance(event, BarsClosed):
            for symbol, bar in event.bars.items():
                market = self._markets.get(symbol)
                if market is not None and market.profile is not None:
                    market.profile.see(bar)
        for name, job in self._jobs.items():
            if job.order.symbol in symbols or self._due(job):
                self._stirred[name] = None
        if self._stirred or self._told:
            yield from self.answers()

    def tick(self, now: int) -> Iterator[Report]:
        """Have algorithms asked whose time has come; `now` in ms. Cheap while nothing is worked."""
        self._now = max(self._now, now)
        for name, job in self._jobs.items():
            if self._due(job):
                self._stirred[name] = None
        if self._stirred or self._told:
            yield from self.answers()

    @property
    def due(self) -> int | None:
        """When `tick` is next needed, ms; None while nothing waits for a moment."""
        times = [self._now if self._shuts(job) else job.again for job in self._jobs.values()]
        return min((time for time in times if time is not None), default=None)

    def hear(self, reports: Sequence[Report | Command]) -> list[Report | Command]:
        """What a remote venue tells, in the words of the engine: slices' fills are their entries'. Anything else stays as it is."""
        return [report if isinstance(report, Command) else self._hear(report) for report in reports]

    # of a remote venue

    def dispatch(self, written: Future[None]) -> None:
        """Slices leave as orders do: once the step that tells of them is on disk."""
        cast(RemoteVenue, self._venue).dispatch(written)

    async def serve(self, tell: Tell, ready: asyncio.Event) -> None:
        """The venue's own work; what it tells is translated. Whoever is told asks for `answers` in the same step."""
        await cast(RemoteVenue, self._venue).serve(lambda reports: tell(self.hear(reports)), ready)

    def doubt(self, reason: str) -> None:
        cast(RemoteVenue, self._venue).doubt(reason)

    @property
    def doubted(self) -> bool:
        return cast(RemoteVenue, self._venue).doubted

    @property
    def calm(self) -> bool:
        return cast(RemoteVenue, self._venue).calm

    async def close(self) -> None:
        await cast(RemoteVenue, self._venue).close()

    # the work

    def _hear(self, report: Report) -> Report:
        self._now = max(self._now, report.ts)
        if type(report) is Fill and (name := self._parents.get(report.order_id)) is not None:
            job = self._jobs[name]
            if job.fill(report.order_id, report.quantity):
                self._drop(job)
            else:
                self._stirred[name] = None
            return msgspec.structs.replace(report, order_id=name, slice=report.order_id)
        if type(report) is OrderEnded and (name := self._parents.get(report.order_id)) is not None:
            job = self._jobs[name]
            self._ended(job, job.parts[report.order_id], report)
        return report

    def _ended(self, job: Job, part: Sent, ended: OrderEnded) -> None:
        part.working = False
        self._stirred[job.order.id] = None
        if ended.state == "expired":
            # nobody can be sure that it never fills: what it was to do is not sent again
            self._give_up(job, ended.reason)
        if not part.leaving:
            # whatever it met there, the next would meet it too
            job.not_before = self._now + PAUSE
        if ended.state != "rejected":
            return
        job.reason = ended.reason
        if not part.order.post_only:
            job.rejected += 1
        if job.rejected >= MOST_REJECTED:
            self._give_up(job, f"{job.rejected} slices were rejected: {ended.reason}")

    def _due(self, job: Job) -> bool:
        return self._shuts(job) or (job.again is not None and job.again <= self._now)

    def _shuts(self, job: Job) -> bool:
        """The venue has just stopped taking entries: what waits at a price has to hear of it, though its market is silent."""
        return job.shut is None and not job.over and bool(self._account.blocked(job.order.symbol))

    def _go_on(self, job: Job) -> Iterator[Report]:
        """Ask about `job`, and do what is answered; end it when nothing more comes."""
        job.again = None
        if job.called_off:
            # after a restart nobody knows whether the venue has heard of it
            self._clear(job)
        if not job.over:
            if self._account.blocked(job.order.symbol):
                self._wait(job)
            elif self._now < job.not_before:
                job.shut, job.again = None, job.not_before
            else:
                job.shut = None
                yield from self._do(job, self._asked(job))
        if job.over and not job.working and job.order.id in self._jobs:
            yield self._end(job)

    def _wait(self, job: Job) -> None:
        """The venue takes no entries: nothing is sent, and what waits at a price does not wait for long."""
        if job.shut is None:
            job.shut = self._now
        if self._now - job.shut >= BLIND:
            for part in job.parts.values():
                if part.order.resting:
                    self._withdraw(part)
        job.again = self._now + PAUSE

    def _asked(self, job: Job) -> Advice:
        """The algorithm's advice; one that fails, or asks for what cannot be, is not asked again and its entry given up."""
        symbol = job.order.symbol
        work = job.work(self._instruments[symbol])
        try:
            advice = self._algorithm.advise(work, self._markets.get(symbol) or Market(symbol), self._now)
            wrong = flaw(advice, work, self._now)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a part's fault stays its own
            wrong, advice = raised(error), Advice()
        if not wrong and len(job.parts) + len(advice.send) > MOST_SLICES:
            wrong = f"wants more than {MOST_SLICES} slices"
        if wrong:
            self._give_up(job, f"algorithm {self._algorithm.name} {wrong}")
            return Advice()
        return advice

    def _do(self, job: Job, advice: Advice) -> Iterator[Report]:
        for name in advice.cancel:
            self._withdraw(job.parts[name])
        for wanted in advice.send:
            order = self._slice(job, wanted)
            job.take(order)
            self._parents[order.id] = job.order.id
            self._venue.submit(order)
            yield Sliced(ts=self._now, order=order)
        # what was just told may have had the engine call it off
        if job.over:
            self._clear(job)
            return
        job.again = advice.again
        if advice.over:
            job.over = True
            job.reason = job.reason or f"{self._algorithm.name} has ended"

    def _slice(self, job: Job, wanted: Slice) -> Order:
        parent = job.order
        return msgspec.structs.replace(
            parent,
            id=f"{parent.id}-s{len(job.parts) + 1}",
            parent=parent.id,
            ts=self._now,
            quantity=wanted.quantity,
            margin=parent.margin * wanted.quantity / parent.quantity,
            price=wanted.price,
            resting=wanted.price is not None,
            lasts=wanted.lasts,
            post_only=wanted.post_only,
        )

    def _give_up(self, job: Job, reason: str) -> None:
        job.over, job.reason, job.again = True, reason, None
        self._clear(job)

    def _clear(self, job: Job) -> None:
        for part in job.parts.values():
            self._withdraw(part)

    def _withdraw(self, part: Sent) -> None:
        if part.working and not part.leaving:
            part.leaving = True
            self._venue.cancel(part.order.id)

    def _end(self, job: Job) -> OrderEnded:
        self._drop(job)
        state: Literal["cancelled", "rejected", "expired"]
        if job.called_off:
            state, reason = "cancelled", "called off"
        elif job.rejected and not job.filled:
            state, reason = "rejected", job.reason
        else:
            state, reason = "expired", job.reason
        return OrderEnded(ts=self._now, order_id=job.order.id, symbol=job.order.symbol, state=state, reason=reason)

    def _drop(self, job: Job) -> None:
        self._jobs.pop(job.order.id, None)
        for name in job.parts:
            del self._parents[name]
        self._stirred.pop(job.order.id, None)


def flaw(advice: Any, work: Work, now: int) -> str:
    """What of an algorithm's advice cannot be done; empty when all of it can."""
    if not isinstance(advice, Advice):
        return f"answered {type(advice).__name__}; it must answer Advice"
    instrument = work.instrument
    names = {piece.order.id for piece in work.pieces}
    for name in advice.cancel:
        if name not in names:
            return f"cancels {name!r}, which is no slice of the order"
    total = ZERO
    for wanted in advice.send:
        quantity, price = wanted.quantity, wanted.price
        if not isinstance(quantity, Decimal) or not quantity.is_finite() or quantity <= 0:
            return f"sends {quantity!r} contracts; it must be a Decimal above 0"
        if quantity % instrument.lot:
            return f"sends {quantity} contracts; a lot is {instrument.lot}"
        if quantity < instrument.min_quantity:
            return f"sends {quantity} contracts; the least is {instrument.min_quantity}"
        total += quantity
        if price is None:
            if wanted.post_only or wanted.lasts != "GTC":
                return "sends a market order that is to rest; give it a price"
            continue
        if not isinstance(price, Decimal) or not price.is_finite() or price <= 0:
            return f"sends a price of {price!r}; it must be a Decimal above 0"
        if price % instrument.tick:
            return f"sends a price of {price}; a tick is {instrument.tick}"
        if wanted.post_only and wanted.lasts == "IOC":
            return "sends an order that is to rest (post_only) and to end at once (IOC)"
    if total > work.left:
        return f"sends {total} contracts where {work.left} are left"
    if advice.again is not None and (not isinstance(advice.again, int) or advice.again <= now):
        return f"wants to be asked again at {advice.again!r}, which is not after {now}"
    if not advice.send and not advice.cancel and not advice.over and advice.again is None and not work.working and work.left:
        return "neither sends, ends, nor says when to be asked again"
    return ""
