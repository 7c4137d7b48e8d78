"""Entries worked in slices: never more than was ordered, one end each, and after a restart as before it."""

from __future__ import annotations

import asyncio
import random
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from decimal import Decimal
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desk import BTC, INSTRUMENT, Desk, desk_plan
from enigma_core.book import Book
from enigma_core.market import BarsClosed, BookSeen, Market, MarketEvent, MarkSeen, TradeSeen
from enigma_core.model import (
    Bar,
    Blocked,
    Cancel,
    Fill,
    Order,
    OrderEnded,
    OrderSeen,
    Purpose,
    Side,
    Sliced,
    StateSet,
)
from enigma_core.parts import Advice, Algorithm, Ports, Report, Slice, Work
from enigma_core.shells.driving import put
from enigma_core.slicing import BLIND, MOST_REJECTED, MOST_SLICES, PAUSE, Slicer, Slices, at_venue, flaw
from enigma_plugins.algorithms.market import ToMarket
from enigma_plugins.executors.paper import Paper
from markets import START

BAR = 300_000


class Told(Algorithm, frozen=True, kw_only=True):
    """Answers what the test says, in turn; then that it is over."""

    name = "told"
    answers: ClassVar[list[Any]] = []
    asked: ClassVar[list[Work]] = []

    def advise(self, work: Work, market: Market, now: int) -> Advice:
        self.asked.append(work)
        answer = self.answers.pop(0) if self.answers else Advice(over=True)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]


class There:
    """A venue that does what the test says, when the test says it."""

    def __init__(self) -> None:
        self.orders: dict[str, Order] = {}
        self.cancels: list[str] = []
        self.says: list[Report] = []
        self.writings: list[Future[None]] = []

    def submit(self, order: Order) -> None:
        self.orders[order.id] = order

    def cancel(self, order_id: str) -> None:
        self.cancels.append(order_id)

    def answers(self) -> Iterator[Report]:
        while self.says:
            yield self.says.pop(0)

    def match(self, event: MarketEvent) -> Iterator[Report]:
        yield from ()

    def dispatch(self, written: Future[None]) -> None:
        self.writings.append(written)

    calm = True
    doubted = False

    def doubt(self, reason: str) -> None:
        self.cancels.append(reason)

    async def serve(self, tell: Any, ready: asyncio.Event) -> None:
        ready.set()
        tell([fill_of(self.orders["d-in-s1"], 3), StateSet(ts=START, state="HALTED", reason="told")])

    async def close(self) -> None:
        self.cancels.append("closed")


def entry(quantity: int = 24, name: str = "d-in", ts: int = START, side: Side = 1) -> Order:
    return Order(
        id=name,
        decision_id="d",
        ts=ts,
        symbol=BTC,
        side=side,
        quantity=Decimal(quantity),
        purpose=Purpose.ENTRY,
        margin=Decimal(120),
        leverage=6,
    )


def fill_of(order: Order, quantity: int, name: str = "t1", ts: int = START) -> Fill:
    return Fill(
        id=f"{order.symbol}#{name}",
        order_id=order.id,
        ts=ts,
        symbol=order.symbol,
        side=order.side,
        quantity=Decimal(quantity),
        price=Decimal(100),
        fee=Decimal(0),
    )


def ended(order_id: str, state: Any = "cancelled", reason: str = "") -> OrderEnded:
    return OrderEnded(ts=START, order_id=order_id, symbol=BTC, state=state, reason=reason)


def sends(*quantities: int, price: str | None = None, **advice: Any) -> Advice:
    wanted = tuple(Slice(quantity=Decimal(q), price=None if price is None else Decimal(price)) for q in quantities)
    return Advice(send=wanted, **({"again": None} | advice))


class Worked:
    """A slicer over a venue of the test's, a book that is told everything, and what was said."""

    def __init__(self, *answers: Any, before: Slices | None = None) -> None:
        Told.answers[:] = answers
        Told.asked.clear()
        self.venue = There()
        self.book = Book(Decimal(10_000), {BTC: INSTRUMENT})
        self.slicer = Slicer(self.venue, Told(), {BTC: INSTRUMENT}, {BTC: Market(BTC)}, self.book, before)
        self.said: list[Any] = []

    def enter(self, order: Order | None = None) -> list[Any]:
        order = order or entry()
        self.said.append(order)
        self.book.apply(order)
        self.slicer.submit(order)
        return self.hear()

    def hear(self, *reports: Report) -> list[Any]:
        self.venue.says += reports
        return self._take(self.slicer.answers())

    def tick(self, now: int) -> list[Any]:
        return self._take(self.slicer.tick(now))

    def _take(self, reports: Iterator[Report]) -> list[Any]:
        new = []
        for report in reports:
            new.append(report)
            if not isinstance(report, Sliced | OrderSeen):
                self.book.apply(report)  # type: ignore[arg-type]
        self.said += new
        return new


def test_an_entry_is_taken_on_and_its_slices_are_told_of_before_they_fill() -> None:
    at = Worked(sends(10, again=START + 1_000))
    first, slice_ = at.enter()
    assert (first.order.id, first.order.parent, first.order.quantity) == ("d-in", "d-in", 24)
    assert list(at.venue.orders) == ["d-in-s1"]
    order = slice_.order
    assert (order.id, order.parent, order.quantity, order.margin) == ("d-in-s1", "d-in", 10, Decimal(50))
    assert (order.price, order.resting, order.purpose) == (None, False, Purpose.ENTRY)


def test_a_slices_fill_is_its_entrys_and_keeps_its_id() -> None:
    at = Worked(sends(10, again=START + 1_000), Advice(again=START + 1_000))
    at.enter()
    (fill,) = at.hear(fill_of(at.venue.orders["d-in-s1"], 4))
    assert (fill.id, fill.order_id, fill.slice, fill.quantity) == (f"{BTC}#t1", "d-in", "d-in-s1", 4)
    assert at.book.positions[BTC].quantity == 4
    assert Told.asked[-1].filled == 4
    assert (Told.asked[-1].working, Told.asked[-1].left) == (6, 14)


def test_the_entry_is_over_with_its_last_fill_and_nothing_ends_it_once_more() -> None:
    at = Worked(sends(10, 14, over=True))
    at.enter()
    said = at.hear(fill_of(at.venue.orders["d-in-s1"], 10, "a"), fill_of(at.venue.orders["d-in-s2"], 14, "b"))
    assert [type(r) for r in said] == [Fill, Fill]
    assert not at.book.entries
    assert at.tick(START + 10_000_000) == []
    assert at.slicer.due is None


def test_what_has_not_filled_is_given_up_once_it_is_over_and_nothing_works() -> None:
    at = Worked(sends(10, over=True))
    at.enter()
    at.hear(fill_of(at.venue.orders["d-in-s1"], 4))
    assert at.hear()[-1:] == []
    slice_end, end = at.hear(ended("d-in-s1"))
    assert (slice_end.order_id, end.order_id, end.state) == ("d-in-s1", "d-in", "expired")
    assert not at.book.entries
    assert at.book.positions[BTC].quantity == 4


def test_what_is_unclear_works_and_is_never_sent_again() -> None:
    at = Worked(sends(24, again=START + 1_000), sends(24), sends(24))
    at.enter()
    at.hear(OrderSeen(ts=START, order_id="d-in-s1", symbol=BTC, state="unknown"))
    said = at.tick(START + 1_000)
    assert list(at.venue.orders) == ["d-in-s1"], "an algorithm that sends more than is left is given up instead"
    assert said == []
    assert "24 contracts where 0 are left" in at.hear(ended("d-in-s1"))[-1].reason


def test_calling_an_entry_off_cancels_each_slice_once_and_ends_it_when_they_have_ended() -> None:
    at = Worked(sends(10, 5, price="99", again=START + 1_000))
    at.enter()
    at.slicer.cancel("d-in")
    at.slicer.cancel("d-in")
    assert at.venue.cancels == ["d-in-s1", "d-in-s2"]
    assert at.hear() == []
    at.hear(ended("d-in-s1"))
    at.hear(fill_of(at.venue.orders["d-in-s2"], 5))
    (end,) = [r for r in at.said if isinstance(r, OrderEnded) and r.order_id == "d-in"]
    assert (end.state, end.reason) == ("cancelled", "called off")
    assert at.book.positions[BTC].quantity == 5


def test_an_entry_that_has_sent_nothing_yet_is_called_off_at_once() -> None:
    at = Worked(Advice(again=START + 1_000))
    at.enter()
    at.slicer.cancel("d-in")
    (end,) = at.hear()
    assert (end.order_id, end.state) == ("d-in", "cancelled")


def test_exits_go_to_the_venue_as_they_are() -> None:
    at = Worked()
    stop = msgspec.structs.replace(entry(name="d-sl"), purpose=Purpose.STOP, side=-1, price=Decimal(90))
    at.slicer.submit(stop)
    at.slicer.cancel("d-sl")
    assert at.venue.orders == {"d-sl": stop}
    assert at.venue.cancels == ["d-sl"]


def test_an_order_whose_id_is_known_is_taken_on_once() -> None:
    at = Worked(sends(24, over=True))
    at.enter()
    at.slicer.submit(entry())
    assert at.hear() == []
    assert list(at.venue.orders) == ["d-in-s1"]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (ValueError("no"), "ValueError"),
        ("all of it", "answered str"),
        (sends(25), "25 contracts where 24 are left"),
        (sends(0), "must be a Decimal above 0"),
        (Advice(send=(Slice(quantity=Decimal("0.5")),)), "a lot is 1"),
        (Advice(send=(Slice(quantity=Decimal("NaN")),)), "must be a Decimal"),
        (sends(1, price="100.05"), "a tick is 0.1"),
        (sends(1, price="-1"), "a price of"),
        (Advice(cancel=("d-sl",)), "no slice of the order"),
        (Advice(again=START), "not after"),
        (Advice(), "neither sends, ends"),
        (Advice(send=(Slice(quantity=Decimal(1), price=Decimal(1), lasts="IOC", post_only=True),)), "post_only"),
        (Advice(send=(Slice(quantity=Decimal(1), post_only=True),)), "give it a price"),
    ],
)
def test_an_algorithm_that_fails_or_wants_what_cannot_be_ends_its_entry_with_the_reason(wrong: Any, why: str) -> None:
    at = Worked(wrong)
    said = at.enter()
    assert (said[-1].order_id, said[-1].state) == ("d-in", "expired")
    assert why in said[-1].reason
    assert said[-1].reason.startswith("algorithm told ")
    assert at.venue.orders == {}
    assert not at.book.entries


def test_an_algorithm_that_fails_later_has_its_slices_cancelled() -> None:
    at = Worked(sends(10, price="99", again=START + 1_000), RuntimeError("book"))
    at.enter()
    assert at.tick(START + 1_000) == []
    assert at.venue.cancels == ["d-in-s1"]
    assert "RuntimeError" in at.hear(ended("d-in-s1"))[-1].reason


def test_refused_slices_pause_and_too_many_of_them_end_the_entry() -> None:
    at = Worked(*[sends(24, again=START + 86_400_000)] * 10)
    at.enter()
    now = START
    for number in range(1, MOST_REJECTED):
        at.hear(ended(f"d-in-s{number}", "rejected", "no balance"))
        assert len(at.venue.orders) == number, "not again before the pause is over"
        assert at.tick(now + PAUSE - 1) == []
        now += PAUSE
        at.tick(now)
        assert len(at.venue.orders) == number + 1
    said = at.hear(ended(f"d-in-s{MOST_REJECTED}", "rejected", "no balance"))
    assert (said[-1].order_id, said[-1].state) == ("d-in", "rejected")
    assert "no balance" in said[-1].reason


def test_a_slice_that_the_venue_ended_by_itself_is_not_followed_at_once() -> None:
    at = Worked(sends(24, price="99", again=START + 86_400_000), sends(24, price="99", again=START + 86_400_000))
    at.enter()
    at.hear(ended("d-in-s1"))
    assert list(at.venue.orders) == ["d-in-s1"]
    assert at.slicer.due == START + PAUSE
    at.tick(START + PAUSE)
    assert list(at.venue.orders) == ["d-in-s1", "d-in-s2"]


def test_refusals_of_orders_that_were_to_rest_do_not_end_the_entry() -> None:
    wanted = Advice(send=(Slice(quantity=Decimal(24), price=Decimal(99), post_only=True),), again=START + 86_400_000)
    at = Worked(*[wanted] * 20)
    at.enter()
    now = START
    for number in range(1, 10):
        at.hear(ended(f"d-in-s{number}", "rejected", "would trade"))
        now += PAUSE
        at.tick(now)
    assert len(at.venue.orders) == 10
    assert at.book.entries


def test_a_slice_that_may_still_fill_though_it_has_expired_is_not_replaced() -> None:
    at = Worked(sends(10, again=START + 1_000), sends(14), sends(14))
    at.enter()
    said = at.hear(ended("d-in-s1", "expired", "not found"))
    assert [r.order_id for r in said] == ["d-in-s1", "d-in"]
    assert said[-1].reason == "not found"
    assert list(at.venue.orders) == ["d-in-s1"]


def test_nothing_is_sent_while_the_venue_takes_no_entries() -> None:
    at = Worked(sends(4, again=START + 1_000), sends(4, over=True))
    at.enter()
    at.book.apply(Blocked(ts=START, symbol=BTC, reason="maintenance"))
    at.tick(START + 1_000)
    assert list(at.venue.orders) == ["d-in-s1"]
    assert at.slicer.due == START + 1_000 + PAUSE
    at.book.apply(Blocked(ts=START, symbol=BTC, reason=""))
    at.tick(START + 1_000 + PAUSE)
    assert list(at.venue.orders) == ["d-in-s1", "d-in-s2"]


def test_x14_what_waits_at_a_price_is_called_back_while_the_venue_takes_no_entries() -> None:
    at = Worked(sends(4, price="99", again=START + 60_000), sends(4, price="99", again=START + 90_000))
    at.enter()
    at.tick(START + 100)
    at.book.apply(Blocked(ts=START, symbol=BTC, reason="its stream is silent"))
    # nobody stirs it but the clock, which looks at what is due
    assert at.slicer.due is not None
    assert at.slicer.due <= START + 1_000
    at.tick(START + 1_000)
    assert at.slicer.due == START + 1_000 + PAUSE
    at.tick(START + 1_000 + BLIND - 1)
    assert not at.venue.cancels
    at.tick(START + 1_000 + BLIND)
    at.tick(START + 9_000)
    assert at.venue.cancels == ["d-in-s1"]
    at.hear(ended("d-in-s1"))
    at.tick(START + 20_000)
    assert list(at.venue.orders) == ["d-in-s1"]
    at.book.apply(Blocked(ts=START, symbol=BTC, reason=""))
    at.tick(START + 21_000)
    assert list(at.venue.orders) == ["d-in-s1", "d-in-s2"]


def test_a_short_block_leaves_what_waits_where_it_is() -> None:
    at = Worked(sends(4, price="99", again=START + 60_000))
    at.enter()
    for start in (1_000, 5_000, 9_000):
        at.book.apply(Blocked(ts=START, symbol=BTC, reason="a look is overdue"))
        at.tick(START + start)
        at.tick(START + start + 2_000)
        at.book.apply(Blocked(ts=START, symbol=BTC, reason=""))
        Told.answers[:] = [Advice(again=START + 60_000)]
        at.tick(START + start + 3_500)
    assert not at.venue.cancels


def test_an_algorithm_gone_wild_is_stopped() -> None:
    at = Worked(*[sends(1, again=START + 10**9)] * (MOST_SLICES + 5))
    at.enter(entry(10**6))
    for number in range(1, MOST_SLICES + 2):
        if f"d-in-s{number}" not in at.venue.orders:
            break
        at.hear(ended(f"d-in-s{number}"))
        at.tick(START + number * PAUSE)
    assert len(at.venue.orders) == MOST_SLICES
    assert f"more than {MOST_SLICES} slices" in at.said[-1].reason


def test_a_remote_venue_is_heard_in_the_words_of_the_engine() -> None:
    at = Worked(sends(10, again=START + 1_000))
    at.enter()
    told: list[Sequence[Any]] = []
    ready = asyncio.Event()
    asyncio.run(at.slicer.serve(told.append, ready))  # type: ignore[arg-type]
    ((fill, halt),) = told
    assert (fill.order_id, fill.slice, type(halt)) == ("d-in", "d-in-s1", StateSet)
    written: Future[None] = Future()
    at.slicer.dispatch(written)
    at.slicer.doubt("slept")
    asyncio.run(at.slicer.close())
    assert at.venue.writings == [written]
    assert at.venue.cancels == ["slept", "closed"]


def test_the_journal_gives_back_what_was_worked() -> None:
    at = Worked(sends(10, 4, price="99", again=START + 1_000))
    at.enter()
    at.hear(fill_of(at.venue.orders["d-in-s1"], 3), ended("d-in-s2"))
    before = Slices()
    for record in at.said:
        before.see(record)
    assert [o.id for o in before.orders] == ["d-in", "d-in-s1"]
    assert [o.id for o in at_venue([at.book.orders["d-in"].order, entry(name="other")], before.orders)] == ["other", "d-in-s1"]
    again = Worked(sends(5, again=START + 9_000), before=before)
    assert again.venue.orders == {}, "a venue that is somewhere else still has them"
    again.book.apply(entry())
    assert again.tick(START) == [], "no news, no advice"
    again.tick(START + 1)
    (work,) = Told.asked
    assert [(p.order.id, p.filled, p.working) for p in work.pieces] == [("d-in-s1", 3, True), ("d-in-s2", 0, False)]
    assert list(again.venue.orders) == ["d-in-s3"]
    (fill,) = again.hear(fill_of(at.venue.orders["d-in-s1"], 7, "t2"))
    assert (fill.order_id, fill.slice) == ("d-in", "d-in-s1")


def test_an_entry_begun_by_another_algorithm_is_brought_to_its_end_by_the_market_one() -> None:
    at = Worked(sends(10, price="99", again=START + 1_000))
    at.enter()
    before = Slices()
    for record in at.said:
        before.see(record)
    slicer = Slicer(at.venue, ToMarket(), {BTC: INSTRUMENT}, {BTC: Market(BTC)}, at.book, before)
    assert list(slicer.tick(START + 5)) == []
    assert at.venue.cancels == ["d-in-s1"]
    at.venue.says.append(ended("d-in-s1"))
    assert [r.order_id for r in slicer.answers()] == ["d-in-s1", "d-in"]  # type: ignore[union-attr]
    fresh = entry(name="e-in")
    slicer.submit(fresh)
    assert at.venue.orders["e-in"] == fresh


def test_advice_that_can_be_done_has_no_flaw() -> None:
    work = Work(order=entry(), instrument=INSTRUMENT)
    assert flaw(sends(10, 14, price="99.9"), work, START) == ""
    assert flaw(Advice(over=True), work, START) == ""
    assert flaw(Advice(again=START + 1), work, START) == ""


# laws


class Whims(Algorithm, frozen=True, kw_only=True):
    """Does anything that may be done, by chance that comes from the order, its slices and the moment."""

    name = "whims"

    seed: int = 0

    def advise(self, work: Work, market: Market, now: int) -> Advice:
        rng = random.Random(zlib.crc32(f"{self.seed} {work.order.id} {work.pieces!r} {now}".encode()))
        send = []
        left = int(work.left)
        for _ in range(rng.randint(0, 2)):
            if left < 1:
                break
            quantity = rng.randint(1, left)
            left -= quantity
            price = None if rng.random() < 0.4 else INSTRUMENT.at(rng.randint(950, 1050))
            rests = price is not None
            lasts: Any = "IOC" if rests and rng.random() < 0.3 else "GTC"
            post_only = rests and lasts == "GTC" and rng.random() < 0.5
            send.append(Slice(quantity=Decimal(quantity), price=price, lasts=lasts, post_only=post_only))
        cancel = tuple(p.order.id for p in work.pieces if rng.random() < 0.2)
        over = rng.random() < 0.05
        return Advice(send=tuple(send), cancel=cancel, over=over, again=now + rng.randint(1, 100_000))


def _events(rng: random.Random, count: int) -> Iterator[MarketEvent]:
    """A market within a few ticks of 100, seen by bars, books, trades and marks."""
    ts = START
    for _ in range(count):
        end = ts + BAR
        for at in sorted(rng.randint(ts, end) for _ in range(rng.randint(0, 6))):
            middle = 100 + rng.randint(-20, 20) / 10
            kind = rng.random()
            if kind < 0.5:
                sizes = [rng.choice([0.0, 0.002, 0.009, 1.0]) for _ in range(4)]
                bids = ((round(middle - 0.1, 1), sizes[0]), (round(middle - 0.3, 1), sizes[1]))
                yield BookSeen(at, BTC, bids, ((round(middle + 0.1, 1), sizes[2]), (round(middle + 0.3, 1), sizes[3])))
            elif kind < 0.9:
                yield TradeSeen(at, BTC, rng.choice([1, -1]), round(middle, 1), rng.choice([0.001, 0.003, 0.1]))
            else:
                yield MarkSeen(at, BTC, middle, middle)
        prices = [100 + rng.randint(-30, 30) / 10 for _ in range(2)]
        high, low = max(prices) + rng.randint(0, 9) / 10, min(prices) - rng.randint(0, 9) / 10
        yield BarsClosed(end, {BTC: Bar(BTC, ts, end, prices[0], round(high, 1), round(low, 1), prices[1], 1.0)})
        ts = end


@settings(max_examples=60)
@given(st.integers(0, 10**9))
def test_the_fills_of_slices_are_the_fills_of_their_entry_and_no_slice_sells_more_than_is_left(seed: int) -> None:
    rng = random.Random(seed)
    plan = desk_plan()
    at = Desk(plan, venue=Paper().open(Ports(instruments={BTC: INSTRUMENT}, costs=plan.costs, funding={BTC: None})))
    market = Market(BTC)
    slicer = Slicer(at.venue, Whims(seed=seed), at.instruments, {BTC: market}, at.book)
    at.venue = slicer
    scorer = at.scorers[BTC]
    for event in _events(rng, 40):
        scorer.score = rng.choice([100.0, -100.0, 0.0])
        market.see(event)
        # the book refuses a fill too many, a fill told twice, and one that flips
        at.take(event)
        if rng.random() < 0.1:
            at.records += _told(at, StateSet(ts=event.ts, state="HALTED", reason="test", flatten=rng.random() < 0.5))
            at.records += _told(at, StateSet(ts=event.ts, state="ACTIVE", reason="test"))
    _check(at, slicer)


def _told(at: Desk, command: Any) -> list[Any]:
    return put(at.engine, at.venue, command)


def _check(at: Desk, slicer: Slicer) -> None:
    entries = {o.id: o for o in at.orders(Purpose.ENTRY)}
    slices = {r.order.id: r.order for r in at.of(Sliced) if r.order.parent != r.order.id}
    assert all(slices[name].parent in entries for name in slices)
    filled: dict[str, Decimal] = {}
    ends: dict[str, str] = {}
    working: dict[str, Decimal] = {}
    before = Slices()
    for record in at.records:
        before.see(record)
        if isinstance(record, Sliced) and record.order.parent != record.order.id:
            parent = record.order.parent
            assert parent not in ends, "a slice after the end of its entry"
            working[record.order.id] = record.order.quantity
            at_work = sum((q for name, q in working.items() if slices[name].parent == parent), Decimal(0))
            assert filled.get(parent, Decimal(0)) + at_work <= entries[parent].quantity
        elif isinstance(record, Fill) and record.order_id in entries:
            assert slices[record.slice].parent == record.order_id
            filled[record.order_id] = filled.get(record.order_id, Decimal(0)) + record.quantity
            working[record.slice] -= record.quantity
            assert working[record.slice] >= 0
        elif isinstance(record, OrderEnded):
            assert record.order_id not in ends, "ended twice"
            ends[record.order_id] = record.state
            working.pop(record.order_id, None)
    for name, order in entries.items():
        whole = filled.get(name, Decimal(0)) == order.quantity
        assert [whole, name in ends, name in at.book.orders].count(True) == 1
    assert len({f.id for f in at.fills}) == len(at.fills)
    assert {n: {k: (p.filled, p.working) for k, p in j.parts.items()} for n, j in before.jobs.items()} == {
        n: {k: (p.filled, p.working) for k, p in j.parts.items()} for n, j in slicer._jobs.items()
    }
    assert all(c.order_id in {o.id for o in at.of(Order)} for c in at.of(Cancel)), "the engine knows nothing of slices"


def test_an_entry_given_while_others_are_told_of_is_told_of_before_its_slices() -> None:
    at = Worked(sends(4, again=START + 10**6), sends(4, again=START + 10**6))
    at.slicer.submit(entry(name="a-in"))
    told = []
    for report in at.slicer.answers():
        told.append(report.order.id)  # type: ignore[union-attr]
        if told[-1] == "a-in-s1":
            # what somebody makes of the first leads to another
            at.slicer.submit(entry(name="b-in"))
    assert told == ["a-in", "a-in-s1", "b-in", "b-in-s1"]


def test_a_journal_that_tells_of_a_slice_before_its_entry_counts_it_all_the_same() -> None:
    first = msgspec.structs.replace(entry(4), id="d-in-s1", parent="d-in")
    slices = Slices()
    for order in (first, msgspec.structs.replace(entry(), parent="d-in")):
        slices.see(Sliced(ts=START, order=order))
    assert list(slices.jobs["d-in"].parts) == ["d-in-s1"]
