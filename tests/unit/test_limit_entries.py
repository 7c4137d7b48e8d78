"""Limit entries at a simulated venue: what they meet, when they rest, and what reaches them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest

from desk import BTC, INSTRUMENT
from enigma_core.market import BarsClosed, BookSeen, MarketEvent, TradeSeen
from enigma_core.matching import SimulatedVenue, walked
from enigma_core.model import Bar, Fill, Order, OrderEnded, OrderSeen, Purpose, Side
from enigma_core.parts import Ports
from enigma_core.plan import Costs
from enigma_plugins.executors.paper import Paper
from markets import START

STEP = 300_000
COSTS = Costs(taker=Decimal("0.0006"), maker=Decimal("0.0002"), slippage=Decimal("0.0005"))
SIDES = pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])


def limit(side: Side, price: float, *, ts: int = START, quantity: int = 24, name: str = "d-in-s1", **how: Any) -> Order:
    """A limit entry whose price for a short is mirrored at 100."""
    return Order(
        id=name,
        decision_id="d",
        ts=ts,
        symbol=BTC,
        side=side,
        quantity=Decimal(quantity),
        purpose=Purpose.ENTRY,
        price=INSTRUMENT.price(price if side > 0 else 200 - price),
        resting=True,
        leverage=6,
        **how,
    )


def bar(side: Side, begin: int, o: float, h: float, low: float, c: float) -> BarsClosed:
    if side < 0:
        o, h, low, c = 200 - o, 200 - low, 200 - h, 200 - c
    end = begin + STEP
    return BarsClosed(end, {BTC: Bar(BTC, begin, end, o, h, low, c, 1.0)})


def book(side: Side, ts: int, *asks: tuple[float, float]) -> BookSeen:
    """A book whose other side has these levels, for a short mirrored at 100."""
    far = ((90.0 if side > 0 else 110.0, 9.0),)
    levels = tuple((p if side > 0 else round(200 - p, 1), size) for p, size in asks)
    return BookSeen(ts, BTC, far, levels) if side > 0 else BookSeen(ts, BTC, levels, far)


def trade(side: Side, ts: int, price: float, size: float, taker: Side = -1) -> TradeSeen:
    """A trade of others, for a short mirrored at 100; unless said, they trade against us."""
    if side > 0:
        return TradeSeen(ts, BTC, taker, price, size)
    return TradeSeen(ts, BTC, 1 if taker < 0 else -1, round(200 - price, 1), size)


def mirrored(side: Side, fills: Iterable[Any]) -> list[tuple[int, float, str]]:
    """(contracts, price as a long's, "maker" or "taker") of fills."""
    found = []
    for fill in fills:
        notional = INSTRUMENT.notional(fill.quantity, fill.price)
        kind = {COSTS.maker * notional: "maker", COSTS.taker * notional: "taker"}[fill.fee]
        price = float(fill.price)
        found.append((int(fill.quantity), price if side > 0 else round(200 - price, 6), kind))
    return found


class At:
    def __init__(self, side: Side, *, paper: bool = False) -> None:
        self.side = side
        ports = Ports(instruments={BTC: INSTRUMENT}, costs=COSTS, funding={BTC: None})
        self.venue: Any = Paper().open(ports) if paper else SimulatedVenue({BTC: INSTRUMENT}, COSTS, {})
        self.said: list[Any] = []

    def submit(self, order: Order) -> list[Any]:
        self.venue.submit(order)
        return self.hear()

    def hear(self) -> list[Any]:
        new = list(self.venue.answers())
        self.said += new
        return new

    def see(self, event: MarketEvent) -> list[Any]:
        new = list(self.venue.match(event))
        self.said += new
        return new

    @property
    def fills(self) -> list[tuple[int, float, str]]:
        return mirrored(self.side, [r for r in self.said if isinstance(r, Fill)])

    @property
    def ends(self) -> list[tuple[str, str]]:
        return [(r.order_id, r.state) for r in self.said if isinstance(r, OrderEnded)]


@SIDES
def test_an_order_beyond_the_open_trades_there_as_a_taker_and_never_beyond_its_price(side: Side) -> None:
    at = At(side)
    at.submit(limit(side, 100))
    at.see(bar(side, START, 99, 99, 99, 99))
    assert at.fills == [(24, 99.1, "taker")]
    again = At(side)
    again.submit(limit(side, 99))
    again.see(bar(side, START, 99, 99, 99, 99))
    assert again.fills == [(24, 99.0, "taker")], "slippage ends at its price"


@SIDES
def test_an_order_short_of_the_market_rests_and_fills_as_maker_once_a_bar_reaches_it(side: Side) -> None:
    at = At(side)
    at.submit(limit(side, 98))
    (seen,) = at.see(bar(side, START, 100, 101, 98.1, 99))
    assert isinstance(seen, OrderSeen)
    assert seen.state == "working"
    (fill,) = at.see(bar(side, START + STEP, 99, 99, 98, 99))
    assert fill.ts == START + 2 * STEP
    assert at.fills == [(24, 98.0, "maker")]
    assert at.see(bar(side, START + 2 * STEP, 99, 99, 97, 99)) == []


@SIDES
def test_the_range_of_the_bar_that_it_met_at_its_open_counts(side: Side) -> None:
    at = At(side)
    at.submit(limit(side, 98))
    at.see(bar(side, START, 100, 100, 97, 99))
    assert at.fills == [(24, 98.0, "maker")]


@SIDES
def test_an_order_that_is_to_rest_is_rejected_where_it_would_trade(side: Side) -> None:
    at = At(side)
    at.submit(limit(side, 100, post_only=True))
    (end,) = at.see(bar(side, START, 99.9, 100, 99, 100))
    assert (end.state, at.fills) == ("rejected", [])
    rests = At(side)
    rests.submit(limit(side, 99, post_only=True))
    rests.see(bar(side, START, 99.1, 100, 99, 100))
    assert rests.fills == [(24, 99.0, "maker")]


@SIDES
def test_an_order_for_what_is_there_at_once_never_rests(side: Side) -> None:
    at = At(side)
    at.submit(limit(side, 99, lasts="IOC"))
    (end,) = at.see(bar(side, START, 100, 100, 98, 99))
    assert (end.state, at.fills) == ("cancelled", [])
    met = At(side)
    met.submit(limit(side, 100, lasts="IOC"))
    met.see(bar(side, START, 99, 99, 99, 99))
    assert met.fills == [(24, 99.1, "taker")]
    assert met.ends == []


@SIDES
@pytest.mark.parametrize("bars", [0, 1])
def test_a_cancelled_order_ends_once_whether_or_not_it_rests(side: Side, bars: int) -> None:
    at = At(side)
    at.submit(limit(side, 90))
    for number in range(bars):
        at.see(bar(side, START + number * STEP, 100, 100, 99, 100))
    at.venue.cancel("d-in-s1")
    at.venue.cancel("d-in-s1")
    at.hear()
    at.see(bar(side, START + bars * STEP, 80, 80, 80, 80))
    assert at.ends == [("d-in-s1", "cancelled")]
    assert at.fills == []


@SIDES
def test_a_fresh_book_is_met_within_the_price_and_the_rest_waits(side: Side) -> None:
    at = At(side, paper=True)
    at.see(book(side, START, (100.0, 0.01), (100.2, 0.004), (100.4, 9.0)))
    at.submit(limit(side, 100.2))
    assert at.fills == [(14, 100.1, "taker")], "10 at 100 and 4 at 100.2, rounded against us"
    # at its own price now, whatever the book has
    at.see(book(side, START + 1_000, (100.1, 0.006)))
    assert at.fills[1:] == [(6, 100.2, "maker")]
    at.see(book(side, START + 2_000, (100.3, 9.0)))
    at.see(book(side, START + 3_000, (100.2, 9.0)))
    assert at.fills[2:] == [(4, 100.2, "maker")]
    assert len({r.id for r in at.said if isinstance(r, Fill)}) == 3


@SIDES
def test_an_order_for_what_is_there_at_once_takes_that_and_ends(side: Side) -> None:
    at = At(side, paper=True)
    at.see(book(side, START, (100.0, 0.01), (100.2, 9.0)))
    at.submit(limit(side, 100.1, lasts="IOC"))
    assert at.fills == [(10, 100.0, "taker")]
    assert at.ends == [("d-in-s1", "cancelled")]


@SIDES
def test_against_a_book_an_order_that_is_to_rest_is_rejected_or_waits_at_its_price(side: Side) -> None:
    at = At(side, paper=True)
    at.see(book(side, START, (100.0, 0.0005)))
    at.submit(limit(side, 100.0, post_only=True))
    assert at.ends == [("d-in-s1", "rejected")]
    at.submit(limit(side, 99.9, post_only=True, name="d-in-s2"))
    assert [r.order_id for r in at.said if isinstance(r, OrderSeen)] == ["d-in-s2"]


@SIDES
def test_trades_of_others_reach_an_order_as_far_as_they_go(side: Side) -> None:
    at = At(side, paper=True)
    at.see(book(side, START, (100.0, 9.0)))
    at.submit(limit(side, 99.9))
    at.see(trade(side, START, 100.0, 9.0))
    at.see(trade(side, START, 99.9, 9.0, taker=1))
    assert at.fills == [], "not reached, or by those who wait on the same side"
    at.see(trade(side, START + 5, 99.9, 0.005))
    at.see(trade(side, START + 5, 99.9, 0.005))
    at.see(trade(side, START + 5, 99.0, 9.0))
    assert at.fills == [(5, 99.9, "maker"), (5, 99.9, "maker"), (14, 99.9, "maker")]
    assert len({r.id for r in at.said if isinstance(r, Fill)}) == 3


@pytest.mark.parametrize(("price", "size"), [(float("nan"), 9.0), (0.0, 9.0), (-5.0, 9.0), (99.0, float("nan")), (99.0, 0.0)])
def test_trades_that_make_no_sense_reach_nothing(price: float, size: float) -> None:
    at = At(1, paper=True)
    at.see(book(1, START, (100.0, 9.0)))
    at.submit(limit(1, 99.9))
    at.see(TradeSeen(START + 1, BTC, -1, price, size))
    assert at.fills == []


@SIDES
def test_of_a_bar_in_which_an_order_came_only_the_close_is_known_to_be_later(side: Side) -> None:
    at = At(side, paper=True)
    at.see(book(side, START + 1_000, (100.0, 9.0)))
    at.submit(limit(side, 99, ts=START + 1_000))
    at.see(bar(side, START, 100, 100, 98, 99.5))
    assert at.fills == []
    at.see(bar(side, START + STEP, 99.5, 99.5, 98.9, 99.5))
    assert at.fills == [(24, 99.0, "maker")]


@SIDES
def test_without_a_fresh_book_it_waits_for_the_next_open(side: Side) -> None:
    at = At(side, paper=True)
    at.see(book(side, START - 10_000, (98.0, 9.0)))
    assert at.submit(limit(side, 99)) == []
    at.see(bar(side, START, 98, 98, 98, 98))
    assert at.fills == [(24, 98.1, "taker")]


@SIDES
def test_one_that_rested_goes_on_resting_after_a_restart(side: Side) -> None:
    at = At(side, paper=True)
    at.venue.resume(limit(side, 99, post_only=True), Decimal(7), rests=True)
    at.see(bar(side, START, 98, 98, 98, 98))
    assert at.fills == [(7, 99.0, "maker")]


@SIDES
def test_an_entry_that_adds_is_reached_before_the_stop_beyond_it(side: Side) -> None:
    at = At(side)
    at.venue.submit(
        Order(id="a", decision_id="d", ts=START, symbol=BTC, side=side, quantity=Decimal(5), purpose=Purpose.ENTRY, leverage=2)
    )
    at.see(bar(side, START, 100, 100, 100, 100))
    stop = INSTRUMENT.price(95.0 if side > 0 else 105.0)
    at.venue.submit(
        Order(id="sl", decision_id="d", ts=START, symbol=BTC, side=-side, quantity=Decimal(5), purpose=Purpose.STOP, price=stop)  # type: ignore[arg-type]
    )
    at.submit(limit(side, 98, ts=START + STEP))
    said = at.see(bar(side, START + STEP, 100, 100, 94, 96))
    assert [(r.order_id, r.quantity) for r in said if isinstance(r, Fill)] == [("d-in-s1", 24), ("sl", 29)]


def test_a_book_is_walked_no_further_than_a_limit() -> None:
    shown = BookSeen(START, BTC, ((99.9, 1.0),), ((100.0, 0.01), (float("nan"), 5.0), (100.1, 0.01), (101.0, 9.0)))
    assert walked(shown, 1, Decimal(100), INSTRUMENT, Decimal("100.1")) == (20, Decimal("100.05"))
    assert walked(shown, 1, Decimal(100), INSTRUMENT, Decimal("99.9")) == (0, 0)
    assert walked(shown, -1, Decimal(100), INSTRUMENT, Decimal(99)) == (100, Decimal("99.9"))
