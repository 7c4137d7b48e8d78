"""Paper money: orders meet books, and what books cannot fill waits for bars."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
from desk import BTC, FREE, INSTRUMENT, Contracts, Desk, desk_plan, leverage
from hypothesis import given
from hypothesis import strategies as st
from markets import START

from enigma_core.market import BookSeen, Funding, FundingSeen, MarkSeen
from enigma_core.model import Cancel, Fill, Funded, OrderEnded, Purpose, Side
from enigma_core.parts import Exit, Holding, Ports
from enigma_core.plan import Costs
from enigma_plugins.executors.paper import Paper, PaperVenue, walked
from enigma_plugins.exits.opposite_signal import OppositeSignal
from enigma_plugins.exits.stop_loss import StopLoss
from enigma_plugins.exits.take_profit import TakeProfit

E = 50_000.0
BAR = 300_000
SIDES = pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])


class OnlyAt(Exit, frozen=True, kw_only=True):
    """Has a stop only for entries at `price`."""

    name = "only_at"

    price: float

    def first_stop(self, position: Holding) -> Any:
        return np.where(position.entry == self.price, position.entry * (1 - 0.01 * position.side), np.nan)


def paper(desk: Desk, *, age: int = 5_000, funding: Funding | None = None, resumed: bool = False, since: int = 0) -> PaperVenue:
    """A paper venue for `desk`; `resumed` takes over its account."""
    ports = Ports(
        instruments=desk.instruments,
        costs=desk.plan.costs,
        funding={BTC: funding},
        account=desk.book if resumed else None,
        since=since,
        seen={BTC: since} if resumed else {},
    )
    venue = Paper(book_max_age=age).open(ports)
    assert isinstance(venue, PaperVenue)
    return venue


def paper_desk(*, age: int = 5_000, funding: Funding | None = None, **changes: object) -> Desk:
    desk = Desk(desk_plan(**changes))
    desk.venue = paper(desk, age=age, funding=funding)
    return desk


def book(ts: int, *levels: tuple[float, float]) -> BookSeen:
    """Asks upward from 50,000 and bids downward from 49,990, by distance and BTC."""
    return BookSeen(ts, BTC, tuple((E - 10 - d, s) for d, s in levels), tuple((E + d, s) for d, s in levels))


def decide(desk: Desk, side: Side = 1, *levels: tuple[float, float], old: int = 0) -> None:
    """A bar whose close decides to enter, with a book `old` ms before it."""
    if levels:
        desk.take(book(desk.now + BAR - old, *levels))
    desk.bar(E, score=100.0 * side)


# books


@SIDES
def test_a_fresh_book_fills_at_once_at_its_mean_price(side: Side) -> None:
    desk = paper_desk()
    decide(desk, side, (0.0, 0.012), (20.0, 0.006), (100.0, 5.0))
    (fill,) = desk.fills
    # 12 at the best, 6 at 20 and 6 at 100 beyond it: 30 beyond it in the mean
    assert (fill.ts, fill.quantity) == (START + BAR, 24)
    assert fill.price == (50_030 if side > 0 else 49_960)
    assert desk.orders(Purpose.STOP)[0].ts == START + BAR


@SIDES
def test_a_mean_price_is_rounded_to_the_tick_against_us(side: Side) -> None:
    desk = paper_desk()
    decide(desk, side, (0.0, 0.023), (0.1, 5.0))
    (fill,) = desk.fills
    assert fill.price == (Decimal("50000.1") if side > 0 else Decimal("49989.9"))


@given(
    levels=st.lists(st.tuples(st.floats(0, 500), st.floats(0, 0.02)), max_size=8),
    side=st.sampled_from([1, -1]),
    wanted=st.integers(1, 200),
)
def test_a_book_gives_no_more_than_it_has_and_no_better_than_its_best(
    levels: list[tuple[float, float]], side: Side, wanted: int
) -> None:
    shown = book(START, *sorted(levels))
    filled, price = walked(shown, side, Decimal(wanted), INSTRUMENT)
    there = sum(INSTRUMENT.contracts(size) for _, size in levels)
    assert filled == min(Decimal(wanted), there)
    if filled:
        best, worst = (shown.asks[0][0], shown.asks[-1][0]) if side > 0 else (shown.bids[0][0], shown.bids[-1][0])
        assert side * Decimal(repr(best)) <= side * price + Decimal("1e-9")
        assert side * price <= side * Decimal(repr(worst)) + Decimal("1e-9")


@pytest.mark.parametrize(
    "level", [(math.nan, 1.0), (math.inf, 1.0), (0.0, 1.0), (-5.0, 1.0), (E, math.nan), (E, math.inf), (E, -1.0)]
)
def test_r10_a_level_that_is_no_number_fills_nothing(level: tuple[float, float]) -> None:
    shown = BookSeen(START, BTC, (level,), (level,))
    assert walked(shown, 1, Decimal(24), INSTRUMENT)[0] == 0
    assert walked(shown, -1, Decimal(24), INSTRUMENT)[0] == 0


@SIDES
def test_what_a_book_cannot_fill_waits_for_the_next_open(side: Side) -> None:
    desk = paper_desk()
    decide(desk, side, (0.0, 0.010))
    assert [f.quantity for f in desk.fills] == [10]
    assert desk.book.positions[BTC].quantity == 10
    assert desk.book.slots == 1
    assert desk.orders(Purpose.STOP)[-1].quantity == 10, "what has filled is protected at once"
    desk.bar(E + 100)
    assert [(f.quantity, f.ts) for f in desk.fills] == [(10, START + BAR), (14, START + BAR)]
    assert desk.fills[1].price == 50_100
    assert not desk.book.entries
    assert desk.orders(Purpose.STOP)[-1].quantity == 24
    assert len({o.id for o in desk.orders(Purpose.STOP)}) == 2


def test_a_book_is_met_once() -> None:
    desk = paper_desk()
    decide(desk, 1, (0.0, 0.010))
    assert list(desk.venue.answers()) == []
    desk.bars({})
    assert [f.quantity for f in desk.fills] == [10]


@pytest.mark.parametrize(("old", "age", "at_once"), [(0, 5000, True), (5000, 5000, True), (5001, 5000, False), (0, 0, False)])
def test_a_stale_book_is_left_and_the_next_open_fills(old: int, age: int, at_once: bool) -> None:
    desk = paper_desk(age=age)
    decide(desk, 1, (0.0, 5.0), old=old)
    assert bool(desk.fills) == at_once
    desk.bar(E + 200)
    (fill,) = desk.fills
    assert fill.price == (50_000 if at_once else 50_200)


@SIDES
def test_an_empty_book_and_none_at_all_wait_for_the_next_open(side: Side) -> None:
    for levels in ((), ((0.0, 0.0),)):
        desk = paper_desk(costs=Costs())
        decide(desk, side, *levels)
        assert not desk.fills
        desk.bar(E)
        (fill,) = desk.fills
        assert fill.price == 50_000 + 5 * side, "from bars it slips"


def test_a_close_meets_a_book_too_and_never_flips() -> None:
    desk = paper_desk(exits={"stop_loss": StopLoss(), "opposite_signal": OppositeSignal()})
    desk.enter(E)
    decide(desk, -1, (0.0, 0.010))
    assert [f.quantity for f in desk.fills] == [24, 10]
    assert desk.book.positions[BTC].quantity == 14
    assert desk.orders(Purpose.STOP)[-1].quantity == 14
    desk.bar(E)
    (trade,) = desk.trades
    assert (trade.quantity, trade.exit_reason) == (24, "opposite_signal")
    assert not desk.book.orders


# marks


@SIDES
def test_a_mark_beyond_liquidation_takes_the_position_between_bars(side: Side) -> None:
    desk = paper_desk(leverage=leverage(10))
    desk.enter(E, side)
    desk.take(MarkSeen(desk.now + 1, BTC, E - side * 4_749, E))
    assert not desk.trades
    desk.take(MarkSeen(desk.now + 2, BTC, E - side * 4_750, E))
    (trade,) = desk.trades
    assert (trade.exit_reason, trade.exit_price, trade.exit_ts) == ("liquidation", 50_000 - side * 4_750, desk.now + 2)
    assert not desk.book.orders


def test_r20_the_rest_of_an_entry_is_called_off_when_its_position_is_liquidated() -> None:
    desk = paper_desk(leverage=leverage(10))
    decide(desk, 1, (0.0, 0.010))
    desk.take(MarkSeen(desk.now + 1, BTC, 40_000.0, E))
    assert len(desk.trades) == 1
    assert [c.order_id for c in desk.of(Cancel)][-1] == desk.orders(Purpose.ENTRY)[0].id
    assert isinstance(desk.records[-1], OrderEnded)
    assert (desk.book.slots, desk.book.margin) == (0, 0)
    desk.bar(E)
    assert len(desk.fills) == 2


# funding


def test_announced_funding_is_charged_at_its_time_and_the_last_word_counts() -> None:
    desk = paper_desk(costs=FREE)
    desk.enter(E)
    due = desk.now + 2 * BAR
    desk.take(FundingSeen(desk.now, BTC, 0.005, due))
    desk.take(FundingSeen(desk.now + 1, BTC, 0.001, due))
    desk.take(FundingSeen(desk.now + 2, BTC, math.nan, due))
    desk.bar(E)
    desk.bar(E)
    assert not desk.of(Funded)
    desk.bar(E)
    (funded,) = desk.of(Funded)
    assert (funded.ts, funded.amount) == (due, Decimal("-1.2"))
    assert desk.book.cash == Decimal("9998.8")


def test_a_feed_with_settlements_of_its_own_is_not_charged_twice() -> None:
    due = START + 3 * BAR
    desk = paper_desk(costs=FREE, funding=Funding(np.array([due]), np.array([0.001])))
    desk.take(FundingSeen(START, BTC, 0.001, due))
    desk.enter(E)
    desk.bar(E)
    desk.bar(E)
    assert [f.ts for f in desk.of(Funded)] == [due]


def test_who_enters_through_a_book_in_the_moment_of_a_settlement_has_no_part_in_it() -> None:
    desk = paper_desk(costs=FREE)
    desk.take(FundingSeen(START, BTC, 0.001, START + BAR))
    decide(desk, 1, (0.0, 5.0))
    assert desk.fills[0].ts == START + BAR
    desk.bar(E)
    assert not desk.of(Funded)
    desk.venue = paper(desk, resumed=True, since=START + BAR)
    desk.take(FundingSeen(START, BTC, 0.001, START + BAR))
    desk.bar(E)
    assert not desk.of(Funded), "nor after a restart"


# protection, and going on


def test_r14_what_a_book_has_filled_without_a_stop_is_closed_and_the_rest_called_off() -> None:
    desk = paper_desk(exits={"only_at": OnlyAt(price=E + 1)})
    desk.take(book(desk.now + BAR, (0.0, 0.010)))
    desk.bar(E, E + 1, E, E + 1, score=100.0)
    assert [f.quantity for f in desk.fills] == [10]
    assert not desk.book.entries
    desk.take(MarkSeen(desk.now + 1, BTC, E, E))
    desk.bar(E)
    (trade,) = desk.trades
    assert (trade.exit_reason, trade.quantity) == ("unprotected", 10)


@SIDES
@pytest.mark.parametrize("gap", [False, True])
def test_a_venue_that_takes_over_goes_on_like_the_one_before(side: Side, gap: bool) -> None:
    def told(resumed: bool) -> list[Any]:
        desk = paper_desk(
            exits={"stop_loss": StopLoss(), "take_profit": TakeProfit(ladder=((0.03, 0.3), (0.12, 0.7)))},
            costs=Costs(funding_rate=Decimal("0.0001"), funding_hours=1),
            sizer=Contracts(quantity=Decimal(25)),
        )
        desk.enter(E, side)
        up = E + side * 260
        desk.bar(E, max(E, up), min(E, up), E)
        if resumed:
            desk.venue = paper(desk, resumed=True, since=desk.now)
        desk.wait(30 if gap else 0)
        for _ in range(15):
            desk.bar(E)
        down = E - side * 600
        desk.bar(E, max(E, down), min(E, down), E)
        return [msgspec.to_builtins(r) for r in desk.records if isinstance(r, Fill | Funded)]

    assert told(True) == told(False)
    assert len(told(True)) >= 4


def test_an_order_known_from_the_account_is_not_taken_twice() -> None:
    desk = paper_desk()
    desk.bar(E, score=100.0)
    desk.venue = paper(desk, resumed=True, since=desk.now)
    desk.venue.submit(desk.orders(Purpose.ENTRY)[0])
    desk.bar(E)
    assert [f.quantity for f in desk.fills] == [24]
