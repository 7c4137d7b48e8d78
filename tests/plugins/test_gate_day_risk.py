"""The gate that asks what a day could lose, and what an account has at risk."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk import BTC, INSTRUMENT, Contracts, Desk, desk_plan
from enigma_core.book import Book
from enigma_core.model import Fill, Order, Purpose, Side
from enigma_core.plan import Costs
from enigma_core.testing import make_account, make_signal
from enigma_plugins.gates.day_risk import DayRisk
from enigma_plugins.gates.drawdown import Drawdown
from markets import START

ETH = "ETH/USDT:USDT"
FEE = Decimal("0.0006")
SIDES = pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])


def held(side: Side = 1, *, stop: str | None = "49500", mark: str = "50000", fee: str = "0.72") -> Book:
    """24 contracts entered at 50,000 with 200 of margin, and a stop."""
    book = Book(Decimal(10_000), {BTC: INSTRUMENT, ETH: msgspec.structs.replace(INSTRUMENT, symbol=ETH)})
    quantity = Decimal(24)
    order = Order(
        id="d-in",
        decision_id="d",
        ts=START,
        symbol=BTC,
        side=side,
        quantity=quantity,
        purpose=Purpose.ENTRY,
        margin=Decimal(200),
        leverage=6,
        risk=Decimal(12),
    )
    book.apply(order)
    book.apply(
        Fill(id="f", order_id="d-in", ts=START, symbol=BTC, side=side, quantity=quantity, price=Decimal(50_000), fee=Decimal(fee))
    )
    if stop is not None:
        other: Side = -1 if side > 0 else 1
        level = Decimal(stop) if side > 0 else 100_000 - Decimal(stop)
        book.apply(msgspec.structs.replace(order, id="d-sl", side=other, purpose=Purpose.STOP, price=level, risk=Decimal(0)))
    book.mark(BTC, Decimal(mark) if side > 0 else 100_000 - Decimal(mark))
    return book


def then(side: Side, price: str) -> Decimal:
    """The fee of leaving 24 contracts at `price`, given as a long's."""
    exact = Decimal(price) if side > 0 else 100_000 - Decimal(price)
    return FEE * INSTRUMENT.notional(Decimal(24), exact)


@SIDES
def test_a_position_may_lose_the_way_from_its_mark_to_its_stop_and_the_fee_of_leaving(side: Side) -> None:
    assert held(side).open_risk(FEE) == 12 + then(side, "49500")
    assert held(side, mark="50200").open_risk(FEE) == Decimal("16.8") + then(side, "49500"), "what it has gained may go again"
    assert held(side, stop="50100", mark="50200").open_risk(FEE) == Decimal("2.4") + then(side, "50100")


@SIDES
def test_a_price_beyond_the_stop_has_been_lost_already(side: Side) -> None:
    assert held(side, mark="49400").open_risk(FEE) == then(side, "49500")


@SIDES
def test_a_position_without_a_stop_may_lose_what_is_left_of_its_margin(side: Side) -> None:
    assert held(side, stop=None).open_risk(FEE) == 200
    assert held(side, stop=None, mark="49000").open_risk(FEE) == 176
    assert held(side, stop=None, mark="1").open_risk(FEE) == 0


def test_what_still_works_of_an_entry_may_lose_its_part_of_what_was_decided_and_both_fees() -> None:
    book = Book(Decimal(10_000), {BTC: INSTRUMENT})
    order = Order(
        id="d-in",
        decision_id="d",
        ts=START,
        symbol=BTC,
        side=1,
        quantity=Decimal(24),
        purpose=Purpose.ENTRY,
        margin=Decimal(200),
        leverage=6,
        risk=Decimal(12),
    )
    book.apply(order)
    assert book.open_risk(FEE) == 12 + 2 * FEE * 1200
    book.apply(
        Fill(id="f", order_id="d-in", ts=START, symbol=BTC, side=1, quantity=Decimal(6), price=Decimal(50_000), fee=Decimal(0))
    )
    assert book.open_risk(FEE) == 50 + (12 + 2 * FEE * 1200) * Decimal("0.75"), "the part that is held has no stop yet"
    unknown = Book(Decimal(10_000), {BTC: INSTRUMENT})
    unknown.apply(msgspec.structs.replace(order, risk=Decimal(0)))
    assert unknown.open_risk(FEE) == 200


@SIDES
def test_r15_realised_losses_open_stops_the_new_entry_and_fees_count_together(side: Side) -> None:
    # 150 lost today, stops that may lose 100 more, and an entry of 1,200 whose stop is 1 % away: 150 + 100 + 12 + 1.44
    signal = make_signal(side, margin=Decimal(200), leverage=6, stop=50_000 * (1 - 0.01 * side))
    account = make_account(9_850, day_equity=Decimal(10_000), risk=Decimal(100))
    gate = DayRisk()
    value = gate.measure(signal, account)
    assert value == pytest.approx(0.026344)
    assert gate.passes(value)
    assert Drawdown().passes(Drawdown().measure(signal, account)), "realised losses alone let far more through"
    more = msgspec.structs.replace(account, risk=Decimal(150))
    assert not gate.passes(gate.measure(signal, more))
    assert Drawdown().passes(Drawdown().measure(signal, more))


def test_r15_a_possible_loss_of_exactly_the_limit_blocks() -> None:
    signal = make_signal(margin=Decimal(200), leverage=6, stop=49_500.0)
    account = make_account(10_000, risk=Decimal("286.56"))
    assert DayRisk().measure(signal, account) == 0.03
    assert not DayRisk().passes(DayRisk().measure(signal, account))
    assert DayRisk().passes(DayRisk().measure(signal, make_account(10_000, risk=Decimal("286.55"))))


@SIDES
@pytest.mark.parametrize("stop", [math.nan, math.inf, -math.inf, 50_000.0])
def test_r15_an_entry_without_a_stop_that_limits_its_loss_is_refused(side: Side, stop: float) -> None:
    assert math.isnan(DayRisk().measure(make_signal(side, margin=Decimal(10), stop=stop), make_account()))


@pytest.mark.parametrize("figures", [{"day_equity": Decimal(0)}, {"day_equity": Decimal(-1)}, {"risk": Decimal("NaN")}])
def test_an_account_that_cannot_be_measured_lets_nothing_through(figures: dict[str, Any]) -> None:
    gate = DayRisk()
    assert not gate.passes(gate.measure(make_signal(margin=Decimal(10)), make_account(**figures)))


def test_r15_the_refusal_ends_with_the_risk_day() -> None:
    account = make_account()
    assert DayRisk().until(make_signal(), account) == account.day_end


def desk(*symbols: str, quantity: int, limit: float) -> Desk:
    instruments = {s: msgspec.structs.replace(INSTRUMENT, symbol=s) for s in symbols}
    plan = desk_plan(
        sizer=Contracts(quantity=Decimal(quantity)),
        account_gates={"day_risk": DayRisk(max=limit)},
        costs=Costs(slippage=Decimal(0)),
    )
    return Desk(plan, instruments=instruments)


def test_r15_entries_of_one_moment_count_against_each_other_before_they_have_filled() -> None:
    symbols = [f"C{n}/USDT:USDT" for n in range(10)]
    at = desk(*symbols, quantity=10_000, limit=0.03)
    at.bars(dict.fromkeys(symbols, (50.0, 50.0, 50.0, 50.0)), score=100.0)
    # 500 of notional each, its stop 1 % away: 5 and 0.6 of fees; 300 may be lost
    assert len(at.orders(Purpose.ENTRY)) == 10
    at = desk(*symbols, quantity=100_000, limit=0.03)
    at.bars(dict.fromkeys(symbols, (50.0, 50.0, 50.0, 50.0)), score=100.0)
    entered = at.orders(Purpose.ENTRY)
    assert len(entered) == 5, "56 each: the sixth would make it 336"
    assert {round(float(o.risk)) for o in entered} == {50}


@given(st.lists(st.tuples(st.integers(-30, 30), st.integers(0, 25), st.integers(0, 25)), min_size=1, max_size=60), st.booleans())
def test_r15_stops_that_fill_at_their_price_never_lose_more_than_the_limit(moves: list[tuple[int, int, int]], long: bool) -> None:
    """Bars that meet each other without gaps: every stop fills at its level, so the day's loss stays within the limit."""
    at = desk(BTC, quantity=40_000, limit=0.03)
    price = 100.0
    for move, up, down in moves:
        close = round(max(20.0, price + move / 10), 1)
        high, low = round(max(price, close) + up / 10, 1), round(max(10.0, min(price, close) - down / 10), 1)
        at.bar(price, high, low, close, score=100.0 if long else -100.0)
        price = close
        if not at.book.positions:
            # what is decided at one close fills at the next open, which here is the same price
            assert at.book.day_equity - at.book.equity <= at.book.day_equity * Decimal("0.03")
