"""Paper fills: from a fresh book level by level, else at the next open."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from desk import BTC, INSTRUMENT, Contracts, Desk, desk_plan
from enigma_core.market import BookSeen, Funding, FundingSeen
from enigma_core.model import Funded, Purpose
from enigma_core.parts import Ports
from enigma_core.plan import Costs
from enigma_plugins.executors.paper import Paper
from markets import START

BAR = 300_000
LEVELS = ((100.0, 0.01), (100.1, 0.01), (100.4, 0.004), (101.0, 9.0))
"""10, 10, 4 and 9,000 contracts, away from the middle upwards."""


def desk(max_age: int = 5_000, funding: Funding | None = None, **changes: Any) -> Desk:
    plan = desk_plan(**changes)
    ports = Ports(instruments={BTC: INSTRUMENT}, costs=plan.costs, funding={BTC: funding})
    return Desk(plan, venue=Paper(book_max_age=max_age).open(ports))


def book(ts: int, side: int = 1, levels: tuple[tuple[float, float], ...] = LEVELS) -> BookSeen:
    """A book that has `levels` for who buys, or their mirror at 100 for who sells."""
    if side > 0:
        return BookSeen(ts, BTC, ((99.9, 9.0),), levels)
    return BookSeen(ts, BTC, tuple((round(200 - price, 1), size) for price, size in levels), ((100.1, 9.0),))


@pytest.mark.parametrize("side", [1, -1])
def test_an_entry_takes_the_book_level_by_level_at_the_moment_it_is_decided(side: int) -> None:
    at = desk()
    at.take(book(START + BAR, side))
    at.bar(100.0, score=100.0 * side)
    (fill,) = at.fills
    # (10 * 100 + 10 * 100.1 + 4 * 100.4) / 24 = 100.1083: on the next tick against us
    assert (fill.ts, fill.quantity, fill.price) == (START + BAR, 24, Decimal("100.2") if side > 0 else Decimal("99.8"))
    assert fill.fee == 24 * INSTRUMENT.multiplier * fill.price * at.plan.costs.taker
    at.bar(100.0)
    assert len(at.fills) == 1


@pytest.mark.parametrize("side", [1, -1])
def test_slippage_is_not_put_on_top_of_a_price_from_the_book(side: int) -> None:
    at = desk(costs=Costs(slippage=Decimal("0.01")))
    at.take(book(START + BAR, side, ((100.0, 1.0),)))
    at.bar(100.0, score=100.0 * side)
    assert at.fills[0].price == 100


@pytest.mark.parametrize(
    ("age", "max_age", "fresh"), [(0, 5_000, True), (5_000, 5_000, True), (5_001, 5_000, False), (-1, 5_000, False), (0, 0, False)]
)
def test_a_book_that_is_stale_or_of_later_or_unwanted_is_not_met(age: int, max_age: int, fresh: bool) -> None:
    at = desk(max_age)
    at.take(book(START + BAR - age, 1, ((100.3, 1.0),)))
    at.bar(100.0, score=100.0)
    assert [f.price for f in at.fills] == ([Decimal("100.3")] if fresh else [])
    at.bar(100.5)
    assert [f.price for f in at.fills] == [Decimal("100.3") if fresh else Decimal("100.5")]


@pytest.mark.parametrize(
    "levels", [(), ((100.0, 0.0),), ((100.0, 0.0009),), ((float("nan"), 5.0), (float("inf"), 5.0), (-1.0, 5.0))]
)
def test_an_empty_or_senseless_book_leaves_the_order_to_the_next_open(levels: tuple[tuple[float, float], ...]) -> None:
    at = desk()
    at.take(book(START + BAR, 1, levels))
    at.bar(100.0, score=100.0)
    assert at.fills == []
    at.bar(100.0)
    assert [f.quantity for f in at.fills] == [24]


def test_x07_what_a_thin_book_leaves_fills_at_the_next_open_and_stops_cover_each_part_at_once() -> None:
    at = desk()
    at.take(book(START + BAR, 1, ((100.0, 0.005), (100.2, 0.002))))
    at.bar(100.0, score=100.0)
    assert [(f.quantity, f.price) for f in at.fills] == [(7, Decimal("100.1"))]
    assert [o.quantity for o in at.orders(Purpose.STOP)] == [7]
    assert at.book.slots == 1
    at.bar(100.4)
    assert [f.quantity for f in at.fills] == [7, 17]
    assert [o.quantity for o in at.orders(Purpose.STOP)] == [7, 24]
    assert at.book.orders.keys() == {at.orders(Purpose.STOP)[-1].id}
    assert at.book.positions[BTC].quantity == 24


def test_r16_a_second_part_does_not_loosen_the_stop_of_the_first() -> None:
    at = desk()
    at.take(book(START + BAR, 1, ((110.0, 0.005),)))
    at.bar(110.0, score=100.0)
    first = at.orders(Purpose.STOP)[-1].price
    at.bar(109.8, 109.9, 109.5, 109.6)
    assert at.book.positions[BTC].quantity == 24
    assert at.orders(Purpose.STOP)[-1].price == first


def test_a_book_is_met_once() -> None:
    at = desk(max_age=10 * BAR, sizer=Contracts(quantity=Decimal(3)))
    at.take(book(START + BAR, 1, ((100.0, 0.003),)))
    at.bar(100.0, score=100.0)
    assert len(at.fills) == 1
    at.bar(100.0, 100.0, 98.0, 100.0, score=100.0)
    assert [t.exit_reason for t in at.trades] == ["stop_loss"]
    assert len(at.orders(Purpose.ENTRY)) == 2
    assert len(at.fills) == 2, "what the book had went to the first entry"
    at.bar(100.0)
    assert len(at.fills) == 3


def test_announced_funding_is_settled_where_the_feed_knows_no_settlements() -> None:
    due = START + 4 * BAR
    said = [FundingSeen(START, BTC, 0.01, due), FundingSeen(START + 1, BTC, 0.002, due)]
    at = desk()
    known = desk(funding=Funding(np.array([due]), np.array([0.005])))
    for each in (at, known):
        for event in said:
            each.take(event)
        each.enter(100.0)
        each.bar(100.0)
        each.bar(100.0)
        each.bar(100.0)
    assert [(f.ts, f.rate) for f in at.of(Funded)] == [(due, Decimal("0.002"))]
    assert [(f.ts, f.rate) for f in known.of(Funded)] == [(due, Decimal("0.005"))]
