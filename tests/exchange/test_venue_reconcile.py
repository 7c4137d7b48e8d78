"""A live account: whose doing a difference is, what is protected, and what must be waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk import BTC, INSTRUMENT
from enigma_core.book import Book, Position
from enigma_core.model import (
    CloseWanted,
    ExternalSeen,
    Fill,
    Funded,
    Order,
    OrderFound,
    Purpose,
    StateSet,
    StopMissing,
    Transferred,
)
from enigma_exchange.account import Timing
from enigma_exchange.account.blocks import Blocks
from enigma_exchange.account.fills import Fills
from enigma_exchange.account.life import Life
from enigma_exchange.account.positions import difference, explained
from enigma_exchange.naming import PREFIX, client_id
from enigma_exchange.port import Balance, Held, Nudge, OrderState, Placing, Traded, Unclear
from enigma_simulation.loop import VirtualLoop
from live_desk import FakeExchange, LiveDesk, live
from markets import START

ETH = "ETH/USDT:USDT"


def test_the_first_start_takes_over_the_balance_as_it_is_there() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        assert desk.book.cash == Decimal(10_000)
        assert [t.reason for t in desk.of(Transferred)] == ["opening balance"]
        assert desk.book.day_equity == desk.book.cash

    live(scene)


def test_a10_nothing_is_entered_before_the_key_is_known_to_do_nothing_but_trade() -> None:
    async def scene() -> None:
        desk = LiveDesk()
        desk.exchange.next("rights", "dropped", "dropped", "dropped")
        await desk.start()
        assert "could not be read" in desk.book.blocked(BTC)
        await desk.until(lambda: not desk.book.blocked(BTC), 130)
        worse = LiveDesk()
        worse.exchange.may_withdraw = True
        await worse.start()
        assert "withdraw" in worse.book.blocked(BTC)
        await worse.stop()

    live(scene)


def test_the_books_cash_is_the_exchanges_wallet_after_trades() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        for side in (1, -1):
            await desk.entered(side=side)
            desk.exchange.move(50_000 - side * 900)
            await desk.until(lambda: not desk.book.positions)
            desk.exchange.move(50_000)
        await asyncio.sleep(200)
        assert desk.book.cash == desk.exchange.wallet
        assert len(desk.of(Transferred)) == 1

    live(scene)


def test_x20_a_contract_that_is_paused_is_not_entered_and_traded_again_when_it_is_open() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.closed.add(BTC)
        await desk.until(lambda: desk.book.blocked(BTC), 100)
        order = desk.enter()
        await desk.until(lambda: desk.ends())
        assert desk.ends() == [(order.id, "rejected")]
        assert not desk.exchange.sent("place")
        desk.exchange.closed.clear()
        await desk.until(lambda: not desk.book.blocked(BTC), 100)

    live(scene)


def test_x20_a_position_of_a_delisted_contract_is_closed_by_the_venue() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered()
        desk.exchange.by_hand(-1, 24, kind="settlement")
        await desk.until(lambda: desk.trades, 10)
        assert desk.trades[0].exit_reason == "venue_closed"

    live(scene)


def test_x21_a_larger_lot_rounds_orders_down_and_what_is_below_the_least_is_left_out() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        changed = msgspec.structs.replace(INSTRUMENT, lot=Decimal(10), min_quantity=Decimal(10), tick=Decimal("0.5"))
        desk.exchange.symbols[BTC] = changed
        await desk.until(lambda: desk.venue.upkeep.instrument(BTC) == changed, 100)
        first = desk.enter(quantity=24)
        await desk.until(lambda: (first.id, "cancelled") in desk.ends())
        assert desk.exchange.of(first.id).placing.quantity == 20
        assert desk.book.positions[BTC].quantity == 20
        stop = next(o for o in desk.exchange.at_work() if o.waits)
        assert stop.placing.price is not None
        assert stop.placing.price % Decimal("0.5") == 0
        desk.halt()
        await desk.until(lambda: not desk.book.positions)
        desk.command(StateSet(ts=desk.now, state="ACTIVE", reason="by hand"))
        small = desk.enter(quantity=9)
        await desk.until(lambda: (small.id, "rejected") in desk.ends())

    live(scene)


def test_x21_a_contract_of_another_size_is_not_entered() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.symbols[BTC] = msgspec.structs.replace(INSTRUMENT, multiplier=Decimal("0.01"))
        await desk.until(lambda: "restart" in desk.book.blocked(BTC), 100)

    live(scene)


@given(
    lot=st.sampled_from(["1", "5", "10", "0.1"]),
    quantity=st.integers(1, 500),
)
def test_x21_what_is_sent_is_never_more_than_what_was_ordered(lot: str, quantity: int) -> None:
    async def scene() -> None:
        desk = LiveDesk()
        desk.venue.upkeep.contracts = {}
        order = Order(id="a", decision_id="a", ts=0, symbol=BTC, side=1, quantity=Decimal(quantity), purpose=Purpose.ENTRY)
        desk.instruments[BTC] = msgspec.structs.replace(INSTRUMENT, lot=Decimal(lot), min_quantity=Decimal(lot))
        placing = desk.venue.sending.placing(desk.venue.lives.add(order))
        if isinstance(placing, str):
            assert order.quantity < Decimal(lot)
        else:
            assert placing.quantity <= order.quantity
            assert placing.quantity % Decimal(lot) == 0
            assert order.quantity - placing.quantity < Decimal(lot)

    live(scene)


def test_x22_a_symbol_with_cross_margin_is_set_to_isolated_before_it_is_entered() -> None:
    async def scene() -> None:
        desk = LiveDesk()
        desk.exchange.cross.add(BTC)
        await desk.start()
        assert desk.exchange.sent("isolate") == [BTC]
        assert not desk.book.blocked(BTC)

    live(scene)


def test_x22_a_symbol_that_stays_on_cross_margin_is_not_entered() -> None:
    async def scene() -> None:
        desk = LiveDesk()
        desk.exchange.cross.add(BTC)
        desk.exchange.next("isolate", *["refused"] * 50)
        await desk.start()
        assert "isolated" in desk.book.blocked(BTC)
        order = desk.enter()
        await desk.until(lambda: desk.ends())
        assert desk.ends() == [(order.id, "rejected")]
        assert not desk.exchange.sent("place")

    live(scene)


def test_x22_a_position_held_at_another_leverage_blocks_its_symbol() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.leverage_shown = Decimal(20)
        await desk.entered()
        await desk.until(lambda: "20.00x" in desk.book.blocked(BTC), 10)

    live(scene)


@pytest.mark.parametrize("silent", [False, True])
def test_x23_a_position_closed_by_hand_is_noticed_within_ten_seconds_and_its_stop_cancelled(silent: bool) -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered()
        desk.exchange.silent = silent
        desk.exchange.by_hand(-1, 24)
        await desk.until(lambda: desk.trades, 10)
        assert desk.trades[0].exit_reason == "by hand"
        await desk.until(lambda: not desk.exchange.at_work(), 5)
        await asyncio.sleep(130)
        assert desk.book.cash == desk.exchange.wallet

    live(scene)


def test_x23_a_position_reduced_by_hand_keeps_a_stop_of_its_size() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered()
        desk.exchange.by_hand(-1, 10)
        await desk.until(lambda: desk.book.positions[BTC].quantity == 14, 10)
        await desk.until(lambda: [o.placing.quantity for o in desk.exchange.at_work()] == [Decimal(14)], 5)

    live(scene)


def test_x23_a_position_flipped_by_hand_is_closed_and_the_rest_is_not_ours() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered()
        desk.exchange.by_hand(-1, 30)
        await desk.until(lambda: desk.trades, 10)
        await desk.until(lambda: BTC in desk.book.external, 10)
        seen = desk.book.external[BTC]
        assert (seen.side, seen.quantity) == (-1, 6)
        assert not desk.book.positions
        await asyncio.sleep(30)
        assert desk.exchange.net() == -6

    live(scene)


def test_x24_a_position_of_somebody_else_is_counted_and_left_alone() -> None:
    async def scene() -> None:
        both = {BTC: INSTRUMENT, ETH: msgspec.structs.replace(INSTRUMENT, symbol=ETH)}
        desk = await LiveDesk(instruments=both).start()
        desk.exchange.by_hand(1, 7, ETH)
        await desk.until(lambda: ETH in desk.book.external, 10)
        assert desk.book.slots == 1
        assert desk.book.margin > 0
        assert desk.book.blocked(ETH)
        assert not desk.book.blocked(BTC)
        await asyncio.sleep(60)
        assert desk.exchange.net(ETH) == 7
        desk.exchange.by_hand(-1, 7, ETH)
        await desk.until(lambda: ETH not in desk.book.external, 10)
        assert not desk.book.blocked(ETH)
        assert [s.quantity for s in desk.of(ExternalSeen)] == [7, 0]

    live(scene)


def test_x24_orders_of_somebody_else_are_left_alone() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        theirs = desk.exchange._make(
            Placing(client_id="hand", symbol=BTC, side=1, quantity=Decimal(3), kind="limit", price=Decimal(40_000))
        )
        await desk.entered()
        desk.halt()
        await desk.until(lambda: desk.trades)
        await asyncio.sleep(60)
        assert theirs.open

    live(scene)


@pytest.mark.parametrize("silent", [False, True])
def test_x25_a_stop_cancelled_by_hand_is_placed_anew_within_ten_seconds(silent: bool) -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered()
        desk.exchange.silent = silent
        desk.exchange.cancel_by_hand(next(o for o in desk.exchange.at_work() if o.waits))
        await desk.until(lambda: [o for o in desk.exchange.at_work() if o.waits], 10)
        assert not desk.trades

    live(scene)


def test_x26_a_stop_that_the_price_is_through_already_becomes_a_market_exit() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        entry = desk.enter()
        await desk.until(lambda: desk.exchange.net() == 24)
        desk.exchange.move(49_000)
        await desk.until(lambda: desk.trades, 5)
        assert desk.trades[0].exit_reason == "unprotected"
        assert desk.exchange.of(entry.id).filled == 24
        assert desk.exchange.net() == 0

    live(scene)


def test_a_stop_that_is_accepted_and_never_seen_flattens_the_position_after_five_seconds() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.lag = 1_000.0
        desk.enter()
        await desk.until(lambda: BTC in desk.book.positions)
        took = await desk.until(lambda: desk.of(StopMissing), 10)
        assert 4.5 <= took <= 6
        desk.exchange.lag = 0.0
        await desk.until(lambda: desk.exchange.net() == 0, 5)

    live(scene)


def test_a_stop_that_cannot_be_placed_is_tried_again_with_the_same_id() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.next("place", "", "dropped", "dropped")
        desk.enter()
        await desk.until(lambda: any(o.waits for o in desk.exchange.at_work()), 10)
        stops = [p.client_id for p in desk.exchange.sent("place") if p.kind == "stop"]
        assert len(stops) == 3
        assert len(set(stops)) == 1

    live(scene)


@pytest.mark.parametrize("kind", ["liquidation", "adl"])
def test_x27_a_liquidation_is_recorded_with_its_cause_and_halts(kind: str) -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered()
        desk.exchange.by_hand(-1, 24, kind=kind)
        await desk.until(lambda: desk.trades, 10)
        assert desk.trades[0].exit_reason == kind
        assert desk.book.trading_state == "HALTED"

    live(scene)


def test_x28_funding_is_booked_once_however_often_it_is_read() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered()
        desk.exchange.fund("-0.12")
        await desk.until(lambda: desk.of(Funded), 130)
        desk = await desk.crash()
        await asyncio.sleep(200)
        assert [f.amount for f in desk.of(Funded)] == [Decimal("-0.12")]
        assert len(desk.of(Transferred)) == 1

    live(scene)


def test_x28_funding_of_a_position_that_has_just_been_left_is_booked_too() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered()
        await asyncio.sleep(61)
        desk.exchange.fund("-0.12")
        desk.halt()
        await desk.until(lambda: desk.trades)
        await asyncio.sleep(150)
        assert [f.amount for f in desk.of(Funded)] == [Decimal("-0.12")]
        assert desk.book.cash == desk.exchange.wallet

    live(scene)


def test_x28_funding_before_a_hands_close_while_the_process_stood_still_and_its_clock_was_set_back_is_funding() -> None:
    async def scene() -> None:
        loop, jump = asyncio.get_running_loop(), [0]
        assert isinstance(loop, VirtualLoop)
        desk = await LiveDesk(wall=lambda: START + round(loop.time() * 1000) + jump[0]).start()
        await desk.entered()
        await asyncio.sleep(62)
        loop.skip(10)
        desk.exchange.fund("-0.12")
        loop.skip(10)
        desk.exchange.by_hand(-1, 24)
        jump[0] = -3_600_000
        await desk.until(lambda: desk.trades, 60)
        await asyncio.sleep(150)
        assert [f.amount for f in desk.of(Funded)] == [Decimal("-0.12")]
        assert [t.reason for t in desk.of(Transferred)] == ["opening balance"]

    live(scene)


def test_x30_an_opening_that_is_booked_just_after_the_clock_was_set_is_booked_by_the_exchanges_clock() -> None:
    async def scene() -> None:
        loop, jump = asyncio.get_running_loop(), [0]
        desk = LiveDesk(wall=lambda: START + round(loop.time() * 1000) + jump[0])
        asked = desk.exchange.balance

        async def balance() -> Balance:
            found = await asked()
            jump[0] -= 28_800_000
            return found

        desk.exchange.balance = balance  # type: ignore[method-assign]
        await desk.start(ready=False)
        await desk.until(lambda: desk.of(Transferred), 120)
        assert abs(desk.of(Transferred)[0].ts - desk.exchange.now()) < 2_000

    live(scene)


@pytest.mark.parametrize(("fee", "paid_in"), [("0.72", ""), ("-0.1", ""), ("0", ""), ("0.7", "KCS")])
def test_x29_the_fee_is_what_the_exchange_says(fee: str, paid_in: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        trade = desk.exchange._fill

        def fill(order: object, quantity: Decimal, price: Decimal, kind: str = "trade") -> None:
            trade(order, quantity, price, kind)  # type: ignore[arg-type]
            at, last = desk.exchange.trades[-1]
            desk.exchange.trades[-1] = (at, msgspec.structs.replace(last, fee=Decimal(fee), paid_in=paid_in))

        desk.exchange._fill = fill  # type: ignore[method-assign, assignment]
        await desk.entered()
        assert desk.fills[0].fee == Decimal(fee)
        desk.exchange.move(49_000)
        await desk.until(lambda: desk.trades)
        assert sum("fees are paid in KCS" in r.getMessage() for r in caplog.records) == bool(paid_in)

    live(scene)


def test_x30_a_clock_that_drifts_blocks_entries_until_it_is_right() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.skew = 1_500
        await desk.until(lambda: "clock" in desk.book.blocked(BTC), 130)
        desk.exchange.skew = 900
        await desk.until(lambda: not desk.book.blocked(BTC), 130)

    live(scene)


def test_x31_a_key_that_is_refused_blocks_entries_and_is_not_hammered() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered()
        desk.exchange.denied = True
        await desk.until(lambda: "key" in desk.book.blocked(BTC), 10)
        before = len(desk.exchange.calls)
        await asyncio.sleep(600)
        assert len(desk.exchange.calls) - before < 200
        desk.exchange.denied = False
        await desk.until(lambda: not desk.book.blocked(BTC), 120)
        assert desk.agrees
        assert not desk.trades

    live(scene)


def test_x32_one_look_that_shows_nothing_flattens_nothing() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered()
        desk.exchange.empty_held = 1
        await asyncio.sleep(30)
        assert BTC in desk.book.positions
        assert not desk.trades

    live(scene)


def test_x32_looks_that_show_nothing_and_no_fill_to_say_why_block_and_flatten_nothing() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered()
        desk.exchange.empty_held = 20
        await desk.until(lambda: "no fill says why" in desk.book.blocked(BTC), 30)
        assert BTC in desk.book.positions
        await desk.until(lambda: not desk.book.blocked(BTC), 120)
        assert not desk.trades

    live(scene)


def test_x32_a_first_balance_that_is_shown_as_nothing_is_not_what_an_account_begins_with() -> None:
    async def scene() -> None:
        desk = LiveDesk()
        real, desk.exchange.wallet = desk.exchange.wallet, Decimal(0)
        await desk.start(ready=False)
        await desk.until(lambda: desk.exchange.sent("balance"))
        desk.exchange.wallet = real
        await asyncio.sleep(200)
        assert [(t.id, t.amount) for t in desk.of(Transferred)] == [("opening", real)]

    live(scene)


def test_x32_a_balance_that_is_shown_as_nothing_once_is_not_believed() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        real, desk.exchange.wallet = desk.exchange.wallet, Decimal(0)
        seen = len(desk.exchange.sent("balance"))
        await desk.until(lambda: len(desk.exchange.sent("balance")) > seen, 100)
        await asyncio.sleep(1)
        desk.exchange.wallet = real
        await asyncio.sleep(200)
        assert desk.book.cash == real

    live(scene)


@pytest.mark.parametrize(
    "change",
    [{"symbol": ETH}, {"side": -1}, {"client_id": f"{PREFIX}other"}],
    ids=["symbol", "side", "id"],
)
def test_x33_a_report_of_another_order_is_not_believed_and_blocks_the_symbol(change: dict[str, object]) -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        real = desk.exchange._state

        def state(order: object) -> OrderState:
            return msgspec.structs.replace(real(order), **change)  # type: ignore[arg-type]

        desk.exchange._state = state  # type: ignore[method-assign, assignment]
        desk.enter(price=Decimal(49_000), resting=True)
        await desk.until(lambda: "cannot be" in desk.book.blocked(BTC) or desk.book.trading_state == "HALTED", 10)
        assert not desk.book.positions

    live(scene)


@given(
    symbol=st.sampled_from([BTC, ETH]),
    side=st.sampled_from([1, -1]),
    quantity=st.integers(-5, 60),
    known=st.booleans(),
)
def test_x33_only_fills_that_an_order_can_have_are_told_of_it(symbol: str, side: int, quantity: int, known: bool) -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        order = desk.enter(price=Decimal(49_000), resting=True)
        await desk.until(lambda: "working" in desk.states(order.id))
        life = desk.venue.lives.get(order.id)
        assert life is not None
        trade = Traded(
            id="t",
            venue_id=life.venue_id if known else "v-nobody",
            client_id="",
            symbol=symbol,
            side=side,  # type: ignore[arg-type]
            quantity=Decimal(quantity),
            price=Decimal(49_000),
            fee=Decimal(0),
            ts=desk.now,
        )
        desk.venue.settling.apply(desk.venue.shared.fills.sort([trade], desk.venue.settling.owner))
        possible = known and symbol == BTC and side == 1 and 0 < quantity <= 24
        assert len(desk.fills) == possible
        assert bool("cannot be" in desk.book.blocked(BTC)) == (known and not possible)

    live(scene)


def held(quantity: int, side: int = 1) -> Held:
    return Held(
        symbol=BTC,
        side=side,
        quantity=Decimal(quantity),
        price=Decimal(50_000),
        leverage=Decimal(6),
        margin=Decimal(200),
        isolated=True,  # type: ignore[arg-type]
    )


def position(quantity: int, side: int = 1) -> Position:
    book = Book(Decimal(10_000), {BTC: INSTRUMENT})
    order = Order(
        id="a",
        decision_id="d",
        ts=0,
        symbol=BTC,
        side=side,
        quantity=Decimal(quantity),
        purpose=Purpose.ENTRY,
        leverage=6,  # type: ignore[arg-type]
    )
    book.apply(order)
    book.apply(
        Fill(
            id="f",
            order_id="a",
            ts=START,
            symbol=BTC,
            side=side,
            quantity=Decimal(quantity),
            price=Decimal(50_000),
            fee=Decimal(0),  # type: ignore[arg-type]
        )
    )
    return book.positions[BTC]


@pytest.mark.parametrize(("there", "gone", "beside"), [(24, 0, 0), (23, 1, 0), (22, 2, 0), (25, 0, 0), (26, 0, 2), (0, 24, 0)])
def test_x34_one_lot_is_rounding_and_two_are_a_difference(there: int, gone: int, beside: int) -> None:
    found = difference(position(24), [held(there)] if there else [], Decimal(1))
    assert (found.gone, found.beside.quantity) == (gone, beside)


def test_x34_a_lot_that_no_fill_explains_changes_nothing_and_two_block() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered()
        desk.exchange.positions[BTC][0] = Decimal(23)
        await asyncio.sleep(30)
        assert not desk.book.blocked(BTC)
        assert desk.book.positions[BTC].quantity == 24
        desk.exchange.positions[BTC][0] = Decimal(22)
        await desk.until(lambda: desk.book.blocked(BTC), 20)
        assert desk.book.positions[BTC].quantity == 24

    live(scene)


@given(ours=st.integers(0, 50), side=st.sampled_from([1, -1]), net=st.integers(-80, 80))
def test_what_is_ours_and_what_is_beside_make_up_what_is_there(ours: int, side: int, net: int) -> None:
    there = [held(abs(net), 1 if net > 0 else -1)] if net else []
    found = difference(position(ours, side) if ours else None, there, Decimal(1))
    left = side * (ours - found.gone)
    assert 0 <= found.gone <= ours
    assert abs(left + found.beside.side * found.beside.quantity - net) <= (1 if ours else 0)


@given(
    fills=st.lists(st.tuples(st.sampled_from([1, -1]), st.integers(1, 20)), max_size=6),
    gone=st.integers(1, 24),
)
def test_no_trade_explains_more_than_it_took(fills: list[tuple[int, int]], gone: int) -> None:
    trades = [
        Traded(
            id=str(n),
            venue_id="v",
            client_id="",
            symbol=BTC,
            side=side,  # type: ignore[arg-type]
            quantity=Decimal(q),
            price=Decimal(50_000),
            fee=Decimal(0),
            ts=START + n,
        )
        for n, (side, q) in enumerate(fills)
    ]
    found, missing = explained(trades, position(24), Decimal(gone))
    assert sum((took for _, took in found), Decimal(0)) + missing == gone
    assert all(0 < took <= trade.quantity and trade.side == -1 for trade, took in found)


def test_p04_an_order_of_another_instance_halts() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange._make(
            Placing(client_id=f"{PREFIX}abc", symbol=BTC, side=1, quantity=Decimal(1), kind="limit", price=Decimal(40_000))
        )
        await desk.until(lambda: desk.book.trading_state == "HALTED", 10)
        assert "another instance" in desk.book.state_reason

    live(scene)


def test_p04_an_order_of_another_instance_that_fills_at_once_halts_too() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        order = desk.exchange._make(Placing(client_id=f"{PREFIX}abc", symbol=BTC, side=1, quantity=Decimal(1), kind="market"))
        desk.exchange._match(order)
        await desk.until(lambda: desk.book.trading_state == "HALTED", 10)

    live(scene)


def test_a_fill_whose_order_ended_before_a_crash_is_put_down_to_it() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered()
        desk.exchange.fills_lag = 30.0
        desk.exchange.move(49_000)
        await asyncio.sleep(1)
        desk = await desk.crash(ready=False)
        await desk.until(lambda: desk.trades, 90)
        assert desk.trades[0].exit_reason == "stop_loss"
        assert not desk.of(OrderFound)
        assert desk.agrees

    live(scene)


def test_an_entry_whose_fills_are_not_shown_is_sold_again() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.fills_lag = 60.0
        desk.enter()
        took = await desk.until(lambda: desk.exchange.orders and desk.exchange.net() == 0, 20)
        assert took < 10
        await desk.until(lambda: desk.trades, 100)
        await asyncio.sleep(100)
        assert desk.agrees
        assert not desk.exchange.at_work()
        assert desk.trades[0].exit_reason == "unprotected"

    live(scene)


def test_an_entry_whose_fills_are_not_shown_is_sold_however_often_that_is_refused() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.fills_lag = 200.0
        desk.enter()
        await desk.until(lambda: desk.exchange.net() == 24)
        desk.exchange.next("place", "refused", "throttled", "refused", "lost", "refused", "refused")
        took = await desk.until(lambda: desk.exchange.net() == 0, 90)
        assert took < 60
        assert desk.book.trading_state == "HALTED"
        await desk.until(lambda: desk.trades, 300)
        await asyncio.sleep(100)
        assert desk.agrees
        assert not desk.exchange.at_work()

    live(scene)


def test_nothing_more_is_entered_where_fills_are_not_shown_until_they_are() -> None:
    async def scene() -> None:
        desk = await LiveDesk(instruments={BTC: INSTRUMENT, ETH: msgspec.structs.replace(INSTRUMENT, symbol=ETH)}).start()
        desk.exchange.fills_lag = 60.0
        desk.enter()
        await desk.until(lambda: "not shown" in desk.book.blocked(BTC), 10)
        assert not desk.book.blocked(ETH)
        await desk.until(lambda: desk.trades, 100)
        await desk.until(lambda: not desk.book.blocked(BTC), 10)

    live(scene)


def test_what_is_sold_again_by_hand_is_not_sold_once_more() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.fills_lag = 500.0
        desk.enter()
        await desk.until(lambda: desk.exchange.net() == 24)
        desk.exchange.next("place", *["refused"] * 4)
        await desk.until(lambda: len(desk.exchange.sent("place")) == 4, 60)
        desk.exchange.by_hand(-1, 24)
        await asyncio.sleep(60)
        asked = len(desk.exchange.sent("place"))
        await asyncio.sleep(300)
        assert len(desk.exchange.sent("place")) == asked <= 6
        assert desk.exchange.net() == 0

    live(scene)


def test_an_entry_whose_fills_are_not_shown_is_sold_after_a_crash_too() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.fills_lag = 200.0
        desk.enter()
        await desk.until(lambda: desk.exchange.net() == 24)
        desk.exchange.next("place", "refused")
        await desk.until(lambda: len(desk.exchange.sent("place")) == 2, 60)
        desk = await desk.crash(ready=False)
        await desk.until(lambda: desk.exchange.net() == 0, 30)
        await desk.until(lambda: desk.trades, 300)
        await asyncio.sleep(100)
        assert "another instance" not in desk.book.state_reason
        assert desk.agrees

    live(scene)


def test_a_deposit_is_no_profit() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await asyncio.sleep(5)
        desk.exchange.deposit("500")
        await desk.until(lambda: desk.book.cash == 10_500, 130)
        await asyncio.sleep(200)
        desk = await desk.crash()
        await asyncio.sleep(200)
        assert [t.reason for t in desk.of(Transferred)] == ["opening balance", "deposit"]

    live(scene)


def test_an_exchange_that_cannot_be_reached_is_waited_for() -> None:
    async def scene() -> None:
        desk = LiveDesk()
        desk.exchange.down = True
        await desk.start(ready=False)
        await asyncio.sleep(300)
        assert not desk.ready.is_set()
        assert desk.book.blocked(BTC) or not desk.of(StopMissing)
        desk.exchange.down = False
        await desk.until(desk.ready.is_set, 90)

    live(scene)


def test_after_a_doubt_nothing_is_entered_before_all_was_read_again() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.venue.doubt("the machine slept")
        order = desk.enter()
        await desk.until(lambda: desk.ends())
        assert desk.ends() == [(order.id, "rejected")]
        await desk.until(lambda: not desk.book.blocked(BTC), 10)
        await desk.entered()

    live(scene)


def test_the_account_is_in_doubt_until_what_was_closed_by_hand_meanwhile_is_in_the_book() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered()
        assert not desk.venue.doubted
        desk.exchange.silent = True
        desk.exchange.by_hand(-1, 24)
        desk.venue.doubt("the machine stood still for 55 s")
        assert desk.venue.doubted
        await desk.until(lambda: not desk.venue.doubted, 10)
        assert BTC not in desk.book.positions

    live(scene)


def test_what_was_asked_for_before_a_doubt_does_not_end_it() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await asyncio.sleep(5)
        desk.exchange.latency = 0.6
        for name in ("orders", "positions"):
            desk.venue.shared.asked[name].set()
        await asyncio.sleep(0.4)
        before = desk.exchange.calls[:]
        assert {"working", "held"} <= {method for at, method, _ in before if at > 4.9}
        desk.venue.doubt("the machine stood still for 55 s")
        await desk.until(lambda: not desk.venue.doubted, 20)
        assert {"working", "held"} <= {method for _, method, _ in desk.exchange.calls[len(before) :]}

    live(scene)


def test_a_process_that_stood_still_reads_everything_again_first() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        asyncio.get_running_loop().skip(300)  # type: ignore[attr-defined]
        order = desk.enter()
        await desk.until(lambda: desk.ends() or BTC in desk.book.positions, 10)
        assert desk.ends() == [(order.id, "rejected")]
        await desk.until(lambda: not desk.book.blocked(BTC), 10)

    live(scene)


def test_requests_under_way_are_waited_for_at_the_end() -> None:
    async def scene() -> None:
        desk = await LiveDesk(timing=Timing(leave=4.0)).start()
        desk.exchange.next("place", "slow")
        desk.enter()
        await asyncio.sleep(0.1)
        began = asyncio.get_running_loop().time()
        await desk.stop()
        assert desk.exchange.net() == 24
        await desk.venue.close()
        assert asyncio.get_running_loop().time() - began <= 4.1

    live(scene)


def test_causes_of_a_block_come_and_go_one_by_one() -> None:
    blocks = Blocks()
    blocks.set("", "start", "")
    assert [b.reason for b in blocks.news(1)] == [""]
    blocks.set(BTC, "a", "one")
    blocks.set(BTC, "b", "two")
    assert [b.reason for b in blocks.news(2)] == ["one; two"]
    blocks.set(BTC, "a", "")
    assert [b.reason for b in blocks.news(3)] == ["two"]
    assert not list(blocks.news(4))
    blocks.set("", "c", "all")
    assert blocks.reason(BTC) == "all; two"


def test_a_fake_exchange_keeps_its_books() -> None:
    async def scene() -> None:
        exchange = FakeExchange({BTC: INSTRUMENT})
        exchange.by_hand(1, 10)
        exchange.move(51_000)
        exchange.by_hand(-1, 10)
        fees = sum((t.fee for _, t in exchange.trades), Decimal(0))
        assert exchange.wallet == 10_000 + 10 - fees

    live(scene)


def test_x13_x23_what_was_closed_by_hand_in_an_outage_of_half_an_hour_is_explained_once_it_is_over() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered()
        desk.exchange.down = True
        await asyncio.sleep(600)
        desk.exchange.by_hand(-1, 24)
        await asyncio.sleep(1200)
        desk.exchange.down = False
        await desk.until(lambda: desk.trades, 60)
        assert desk.trades[0].exit_reason == "by hand"
        await desk.until(lambda: not desk.book.blocked(BTC), 60)

    live(scene)


def test_x30_a_clock_that_jumps_is_noticed_at_once_and_hides_no_fill() -> None:
    async def scene() -> None:
        loop, jump = asyncio.get_running_loop(), [0]
        desk = await LiveDesk(wall=lambda: START + round(loop.time() * 1000) + jump[0]).start()
        await desk.entered()
        jump[0] = 3_600_000
        desk.exchange.by_hand(-1, 24)
        await desk.until(lambda: desk.book.blocked(BTC), 1)
        await desk.until(lambda: desk.trades, 10)
        assert "clock" in desk.book.blocked(BTC)

    live(scene)


def test_r07_a_kill_switch_goes_on_for_as_long_as_the_exchange_refuses_to_close() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered()
        desk.exchange.next("place", *["refused"] * 10)
        desk.halt()
        await desk.until(lambda: not desk.book.positions, 200)
        assert desk.agrees
        closes = [o for o in desk.of(Order) if o.purpose is Purpose.CLOSE]
        assert len({o.id for o in closes}) == len(closes) == 11

    live(scene)


def test_inv18_slices_that_together_fill_more_than_their_entry_do_not_reach_the_book() -> None:
    book = Book(Decimal(10_000), {BTC: INSTRUMENT})
    entry = Order(
        id="BTC-1-in", decision_id="BTC-1", ts=1, symbol=BTC, side=1, quantity=Decimal(24), purpose=Purpose.ENTRY, leverage=6
    )
    book.apply(entry)
    fills = Fills(book, {BTC: INSTRUMENT}, lambda kind, name: False)

    def filled(number: int, quantity: int) -> list[object]:
        part = msgspec.structs.replace(entry, id=f"BTC-1-in-s{number}", parent=entry.id, quantity=Decimal(quantity))
        life = Life(part, client_id(part.id), Timing())
        trade = Traded(
            id=f"t{number}",
            venue_id=f"v{number}",
            client_id="",
            symbol=BTC,
            side=1,
            quantity=Decimal(quantity),
            price=Decimal(50_000),
            fee=Decimal(0),
            ts=number,
        )
        return list(fills.reports(life, trade))

    (first,) = filled(1, 10)
    assert isinstance(first, Fill)
    book.apply(msgspec.structs.replace(first, order_id=entry.id))
    assert len(filled(2, 14)) == 1
    assert filled(3, 15) == []


class Interrupted(FakeExchange):
    """Its private stream ends every hour."""

    async def listen(self, nudge: Callable[[Nudge], None]) -> None:
        self.calls.append((asyncio.get_running_loop().time(), "listen", None))
        await asyncio.sleep(3600)
        raise Unclear("the stream has ended")


def test_a_stream_that_was_steady_is_asked_for_again_at_once_however_often_it_has_ended() -> None:
    async def scene() -> None:
        desk = await LiveDesk(exchange=Interrupted({BTC: INSTRUMENT})).start()
        await asyncio.sleep(12 * 3600)
        times = [at for at, method, _ in desk.exchange.calls if method == "listen"]
        assert len(times) == 12
        assert max(after - before for before, after in pairwise(times)) < 3602

    live(scene)


class Crumbs(FakeExchange):
    """An entry meets many small orders."""

    def _match(self, order: Any) -> None:
        if order.placing.reduce_only:
            super()._match(order)
            return
        for _ in range(int(order.placing.quantity)):
            self._fill(order, Decimal(1), self.price[order.placing.symbol])


def test_an_entry_that_fills_in_forty_parts_has_one_stop_sent_for_all_of_them() -> None:
    async def scene() -> None:
        desk = await LiveDesk(exchange=Crumbs({BTC: INSTRUMENT})).start()
        desk.enter(quantity=40)
        await desk.until(lambda: desk.book.positions and desk.venue.calm, 5)
        assert desk.book.positions[BTC].quantity == 40
        assert [o.quantity for o in desk.exchange.sent("place") if o.kind == "stop"] == [40]
        desk = await desk.crash()
        await asyncio.sleep(30)
        assert [o.placing.quantity for o in desk.exchange.at_work()] == [40]

    live(scene)


def test_inv13_an_account_is_calm_once_nothing_can_open_a_position_and_what_is_held_is_protected() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        assert desk.venue.calm
        desk.enter()
        assert not desk.venue.calm
        await desk.until(lambda: desk.book.positions)
        assert not desk.venue.calm
        await desk.until(lambda: desk.venue.calm, 5)
        (stop,) = [o for o in desk.exchange.at_work() if o.waits]
        assert stop.placing.quantity == desk.exchange.net()

    live(scene)


def test_two_of_our_own_orders_that_met_have_a_fill_each() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered()
        (entered,) = [t.id for _, t in desk.exchange.trades]
        fill = desk.exchange._fill

        def meeting(order: object, quantity: Decimal, price: Decimal, kind: str = "trade") -> None:
            fill(order, quantity, price, kind)  # type: ignore[arg-type]
            at, last = desk.exchange.trades[-1]
            desk.exchange.trades[-1] = (at, msgspec.structs.replace(last, id=entered))

        desk.exchange._fill = meeting  # type: ignore[method-assign, assignment]
        desk.command(CloseWanted(ts=desk.now, symbol=BTC, reason="by hand"))
        await desk.until(lambda: desk.trades, 10)
        await asyncio.sleep(60)
        desk = await desk.crash()
        assert len(desk.fills) == 2
        assert desk.agrees
        assert not desk.book.blocked(BTC)

    live(scene)


def test_r10_a_margin_that_the_exchange_adds_to_by_itself_is_told_of() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.tops_up = True
        await desk.entered()
        await desk.until(lambda: "auto-deposit" in desk.book.blocked(BTC), 20)
        assert desk.book.positions[BTC].stop is not None

    live(scene)


def test_an_entry_waits_until_the_orders_of_the_position_before_are_gone() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered()
        desk.exchange.next("cancel", "dropped", "dropped")
        desk.command(CloseWanted(ts=desk.now, symbol=BTC, reason="by hand"))
        await desk.until(lambda: desk.trades)
        old = [o for o in desk.exchange.at_work() if o.waits]
        assert old
        order = desk.enter()
        await desk.until(lambda: any(o.placing.client_id == client_id(order.id) for o in desk.exchange.orders.values()), 20)
        assert not any(o.open for o in old)
        await desk.until(lambda: BTC in desk.book.positions and not desk.venue.protection.since)

    live(scene)


def test_an_entry_is_refused_while_orders_of_the_position_before_cannot_be_called_off() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered()
        desk.exchange.next("cancel", *["refused"] * 40)
        desk.command(CloseWanted(ts=desk.now, symbol=BTC, reason="by hand"))
        await desk.until(lambda: desk.trades)
        order = desk.enter()
        await desk.until(lambda: desk.ends(), 20)
        assert (order.id, "rejected") in desk.ends()
        assert any("earlier position" in reason for reason in desk.reasons())

    live(scene)
