"""No order is larger than the exchange takes, and what is held is protected whole or left whole."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from desk import BTC
from enigma_core.model import CloseWanted, Instrument
from live_desk import LiveDesk, live


def limited(desk: LiveDesk, most: int) -> None:
    """One order may be no more from here on."""
    desk.exchange.symbols[BTC] = msgspec.structs.replace(desk.exchange.symbols[BTC], max_quantity=Decimal(most))


def sizes(desk: LiveDesk) -> list[int]:
    """Of orders at the market, as they came."""
    return [int(o.placing.quantity) for o in desk.exchange.orders.values() if o.placing.kind == "market"]


@settings(max_examples=8, deadline=None)
@given(quantity=st.integers(2, 30), most=st.integers(3, 29))
def test_x21_a_position_larger_than_one_order_may_be_now_is_closed_in_parts(quantity: int, most: int) -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered(quantity=quantity)
        limited(desk, most)
        await asyncio.sleep(70)
        # the stop of before is still there
        assert [o.placing.quantity for o in desk.exchange.at_work()] == [quantity]
        before = len(sizes(desk))
        desk.command(CloseWanted(ts=desk.now, symbol=BTC, reason="by hand"))
        await desk.until(lambda: desk.trades, 60)
        closes = sizes(desk)[before:]
        assert "unprotected" not in {o.reason for o in desk.known()}
        assert sum(closes) >= quantity
        assert max(closes) <= most
        assert len(closes) == -(-quantity // most)
        assert desk.agrees
        await desk.until(lambda: not desk.exchange.at_work())

    live(scene)


def test_x21_a_stop_that_may_not_be_as_large_as_the_position_has_it_closed() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered(quantity=24)
        limited(desk, 10)
        await asyncio.sleep(70)
        desk.exchange.cancel_by_hand(desk.exchange.at_work()[0])
        took = await desk.until(lambda: desk.trades, 30)
        assert took < 10
        assert desk.trades[0].exit_reason == "unprotected"
        assert desk.agrees
        assert any("more than the 10 of one order" in reason for reason in desk.reasons())

    live(scene)


def test_x21_an_entry_larger_than_one_order_may_be_now_is_refused_by_name() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        limited(desk, 10)
        await asyncio.sleep(70)
        order = desk.enter(quantity=24)
        await desk.until(lambda: desk.ends())
        assert desk.ends() == [(order.id, "rejected")]
        assert any("more than the 10 of one order" in reason for reason in desk.reasons())
        assert not desk.exchange.orders
        assert desk.book.slots == 0

    live(scene)


@settings(max_examples=12, deadline=None)
@given(quantity=st.integers(1, 40), parts=st.lists(st.integers(1, 40), max_size=3), most=st.integers(40, 60))
def test_inv16_what_the_stops_at_the_exchange_come_to_is_what_is_held(quantity: int, parts: list[int], most: int) -> None:
    async def scene() -> None:
        desk = LiveDesk()
        limited(desk, most)
        await desk.start()
        # the rest waits until its time is over
        desk.exchange.takes = Decimal(min([quantity, *parts]))
        desk.enter(quantity=quantity)
        await desk.until(lambda: BTC in desk.book.positions and not desk.venue.protection.since)
        for part in parts:
            held = desk.book.positions[BTC].quantity
            if part < held:
                desk.exchange.by_hand(-1, part)
                await desk.until(lambda left=held - part: desk.book.positions[BTC].quantity == left, 30)
        await asyncio.sleep(30)
        stops = sum(o.placing.quantity for o in desk.exchange.at_work() if o.waits)
        assert stops == desk.book.positions[BTC].quantity == desk.exchange.net()
        assert max(o.placing.quantity for o in desk.exchange.orders.values()) <= most

    live(scene)


def test_a_contract_may_be_ordered_as_largely_as_it_may_be_left() -> None:
    from kucoin_messages import listing

    from enigma_exchange.contracts import contract_of

    def most(**more: object) -> Decimal | None:
        contract = contract_of(listing("XBTUSDTM", "XBT") | more, 0)
        assert contract is not None
        instrument: Instrument = contract.instrument
        return instrument.max_quantity

    assert most() == 1_000_000
    assert most(marketMaxOrderQty=30_000) == 30_000
    assert most(maxOrderQty=None, marketMaxOrderQty=None) is None
