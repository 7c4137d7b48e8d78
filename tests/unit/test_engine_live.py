"""What the engine makes of a real venue's reports: orders taken away, found and refused, money and positions that are not ours."""

from __future__ import annotations

from decimal import Decimal

import pytest

from desk import BTC, INSTRUMENT, Desk, desk_plan
from enigma_core.deciding import at_most
from enigma_core.market import MarketEvent
from enigma_core.model import (
    Blocked,
    Cancel,
    Decision,
    ExternalSeen,
    Fill,
    Funded,
    Order,
    OrderEnded,
    OrderFound,
    OrderSeen,
    Purpose,
    Sizing,
    StateSet,
    StopMissing,
    Trade,
    Transferred,
)
from enigma_core.parts import Note
from enigma_core.reading import fold
from enigma_core.records import BESIDE, Started, decode, encode, key, tag
from enigma_plugins.exits.stop_loss import StopLoss
from enigma_plugins.exits.take_profit import TakeProfit

SYMBOL = BTC


class Silent:
    """A venue that only takes orders: what it tells is told by the test."""

    def __init__(self) -> None:
        self.sent: list[Order] = []
        self.cancelled: list[str] = []

    def submit(self, order: Order) -> None:
        self.sent.append(order)

    def cancel(self, order_id: str) -> None:
        self.cancelled.append(order_id)

    def answers(self) -> list:
        return []

    def match(self, event: MarketEvent) -> list:
        return []


class Live(Desk):
    """A desk whose venue is told by the test."""

    def __init__(self, **settings: object) -> None:
        super().__init__(desk_plan(**settings), venue=Silent())  # type: ignore[arg-type]

    def tell(self, *reports: object) -> list:
        told = []
        for report in reports:
            told += self.engine.step(report)  # type: ignore[arg-type]
        self.records += told
        return told

    def signal(self, side: int = 1, price: float = 50_000.0) -> Order:
        self.bar(price, score=100.0 * side)
        return self.orders(Purpose.ENTRY)[-1]

    def filled(self, order: Order, price: str = "50000.0", quantity: int | None = None, number: int = 1) -> list:
        size = order.quantity if quantity is None else Decimal(quantity)
        fill = Fill(
            id=f"{SYMBOL}#{len(self.records)}-{number}",
            order_id=order.id,
            ts=self.now + 100,
            symbol=SYMBOL,
            side=order.side,
            quantity=size,
            price=Decimal(price),
            fee=Decimal("0.72"),
            reason=order.reason,
        )
        return self.tell(fill)

    def ended(self, order: Order, state: str, reason: str = "by hand") -> list:
        return self.tell(OrderEnded(ts=self.now + 200, order_id=order.id, symbol=SYMBOL, state=state, reason=reason))  # type: ignore[arg-type]

    def stop(self) -> Order:
        return self.orders(Purpose.STOP)[-1]

    def held(self) -> Live:
        self.filled(self.signal())
        return self


def of(kind: type, records: list) -> list:
    return [record for record in records if type(record) is kind]


def test_x25_a_stop_that_somebody_cancels_is_put_back_under_another_id_at_the_same_level() -> None:
    live = Live().held()
    first = live.stop()
    told = live.ended(first, "cancelled")
    (again,) = of(Order, told)
    assert (again.purpose, again.price, again.quantity) == (Purpose.STOP, first.price, first.quantity)
    assert again.id != first.id
    assert any("put back" in note.text for note in of(Note, told))


def test_x25_a_stop_that_is_taken_away_again_and_again_ends_the_position() -> None:
    live = Live().held()
    for _ in range(20):
        told = live.ended(live.stop(), "cancelled")
        (order,) = of(Order, told)
        if order.purpose is Purpose.CLOSE:
            break
    assert order.purpose is Purpose.CLOSE
    assert order.quantity == 24
    assert len({o.id for o in live.of(Order)}) == len(live.of(Order))


def test_x26_a_stop_that_is_refused_is_a_market_exit_at_once() -> None:
    live = Live().held()
    told = live.ended(live.stop(), "rejected", "the price is through already")
    (close,) = of(Order, told)
    assert (close.purpose, close.quantity, close.reason) == (Purpose.CLOSE, 24, "unprotected")


def test_a_stop_that_ends_while_the_position_is_being_closed_is_not_put_back() -> None:
    live = Live().held()
    live.tell(StateSet(ts=live.now, state="HALTED", reason="test", flatten=True))
    assert of(Order, live.ended(live.stop(), "cancelled")) == []


def test_an_order_that_was_to_close_and_did_not_is_sent_again_under_another_id() -> None:
    live = Live().held()
    live.tell(StateSet(ts=live.now, state="HALTED", reason="test", flatten=True))
    first = live.orders(Purpose.CLOSE)[-1]
    told = live.ended(first, "rejected", "busy")
    (second,) = of(Order, told)
    assert second.purpose is Purpose.CLOSE
    assert second.id != first.id
    assert any(note.event == "unprotected" for note in of(Note, told))


def test_a_venue_that_never_lets_a_position_be_closed_is_not_asked_for_ever() -> None:
    live = Live().held()
    live.tell(StateSet(ts=live.now, state="HALTED", reason="test", flatten=True))
    for _ in range(30):
        if not of(Order, live.ended(live.orders(Purpose.CLOSE)[-1], "rejected")):
            break
    assert len(live.orders(Purpose.CLOSE)) < 12
    # whoever finds it unprotected later has it tried once more
    assert of(Order, live.tell(StopMissing(ts=live.now, symbol=SYMBOL, reason="no stop")))


def test_a_missing_stop_ends_the_position_and_says_so() -> None:
    live = Live().held()
    told = live.tell(StopMissing(ts=live.now, symbol=SYMBOL, reason="no stop was seen for 5 s"))
    assert [order.purpose for order in of(Order, told)] == [Purpose.CLOSE]
    assert "no stop was seen for 5 s" in of(Note, told)[0].text
    # told once more, nothing more is ordered: the close works
    assert of(Order, live.tell(StopMissing(ts=live.now, symbol=SYMBOL, reason="no stop"))) == []


def test_a_missing_stop_of_a_position_that_is_gone_orders_nothing() -> None:
    live = Live()
    assert of(Order, live.tell(StopMissing(ts=live.now, symbol=SYMBOL, reason="no stop"))) == []


def test_r07_an_entry_that_fills_after_everything_was_called_off_is_closed() -> None:
    live = Live()
    entry = live.signal()
    told = live.tell(StateSet(ts=live.now, state="HALTED", reason="test", flatten=True))
    assert [cancel.order_id for cancel in of(Cancel, told)] == [entry.id]
    told = live.filled(entry)
    assert [order.purpose for order in of(Order, told)] == [Purpose.STOP, Purpose.CLOSE]


def test_x09_an_entry_that_was_called_off_and_fills_all_the_same_is_left_again() -> None:
    live = Live()
    entry = live.signal()
    live.filled(entry, quantity=10)
    live.engine.leave(SYMBOL, live.now, "by hand", live.records)
    closing = live.orders(Purpose.CLOSE)[-1]
    live.filled(closing, quantity=10, number=2)
    assert SYMBOL not in live.book.positions
    told = live.filled(entry, quantity=14, number=3)
    assert [order.purpose for order in of(Order, told)][-1] is Purpose.CLOSE
    assert [order.quantity for order in of(Order, told)][-1] == 14


def test_x07_each_part_of_an_entry_has_a_stop_for_all_that_is_held() -> None:
    live = Live()
    entry = live.signal()
    quantities = []
    for number, size in enumerate((5, 7, 12)):
        live.filled(entry, quantity=size, number=number)
        quantities.append(live.stop().quantity)
    assert quantities == [5, 12, 24]
    assert len({o.id for o in live.orders(Purpose.STOP)}) == 3


def test_the_rest_of_an_entry_ends_and_the_part_stays_protected() -> None:
    live = Live()
    entry = live.signal()
    live.filled(entry, quantity=5)
    live.ended(entry, "cancelled")
    assert live.book.positions[SYMBOL].quantity == 5
    assert SYMBOL not in live.book.entries
    assert live.stop().quantity == 5


def test_x23_a_position_closed_by_hand_ends_as_a_trade_of_ours_with_its_reason() -> None:
    live = Live(exits={"stop_loss": StopLoss(), "take_profit": TakeProfit()}).held()
    position = live.book.positions[SYMBOL]
    order = Order(
        id="x-77-1",
        decision_id=position.decision_id,
        ts=live.now,
        symbol=SYMBOL,
        side=-1,
        quantity=Decimal(24),
        purpose=Purpose.CLOSE,
        reason="by hand",
    )
    live.tell(OrderFound(ts=live.now, order=order))
    told = live.filled(order, "50100.0", number=9)
    (trade,) = of(Trade, told)
    assert (trade.exit_reason, trade.gross) == ("by hand", Decimal("2.4"))
    assert {cancel.order_id for cancel in of(Cancel, told)} == {o.id for o in live.of(Order) if o.purpose in ("stop", "target")}
    assert not live.book.orders


def test_x24_what_somebody_else_holds_takes_a_slot_and_margin_and_is_left_alone() -> None:
    live = Live()
    seen = ExternalSeen(
        ts=live.now, symbol="ETH/USDT:USDT", side=-1, quantity=Decimal(5), price=Decimal(3000), margin=Decimal("150.5")
    )
    told = live.tell(seen)
    assert told == [seen]
    assert (live.book.slots, live.book.margin, live.book.equity) == (1, Decimal("150.5"), Decimal(10_000))
    assert not live.book.positions
    live.tell(ExternalSeen(ts=live.now, symbol="ETH/USDT:USDT", side=-1, quantity=Decimal(0), price=Decimal(0), margin=Decimal(0)))
    assert (live.book.slots, live.book.margin) == (0, 0)


def test_r18_a_deposit_is_no_profit_and_the_day_begins_with_it() -> None:
    live = Live()
    live.tell(Transferred(ts=live.now, id="d1", amount=Decimal(500), reason="deposit"))
    assert live.book.equity == live.book.day_equity == Decimal(10_500)
    live.tell(Transferred(ts=live.now, id="w1", amount=Decimal(-700), reason="withdrawal"))
    assert live.book.equity == live.book.day_equity == Decimal(9_800)


def test_x28_a_settlement_told_after_its_position_was_left_is_booked_all_the_same() -> None:
    live = Live()
    live.tell(Funded(ts=live.now, symbol=SYMBOL, rate=Decimal("0.0001"), price=Decimal(50_000), amount=Decimal("-0.12"), id="f1"))
    assert live.book.cash == Decimal("9999.88")


@pytest.mark.parametrize("symbol", ["", SYMBOL])
def test_inv09_nothing_is_entered_while_the_venue_takes_no_entries_and_the_decision_says_why(symbol: str) -> None:
    live = Live()
    live.tell(Blocked(ts=live.now, symbol=symbol, reason="it is in maintenance"))
    live.bar(50_000.0, score=100.0)
    (decision,) = live.of(Decision)
    assert (decision.order_id, decision.reason) == (None, "refused by the venue: it is in maintenance")
    live.tell(Blocked(ts=live.now, symbol=symbol, reason=""))
    assert live.signal() is not None


def test_who_blocks_takes_back_only_what_he_said_himself() -> None:
    live = Live()
    live.tell(Blocked(ts=1, symbol=SYMBOL, reason="paused"), Blocked(ts=1, symbol=SYMBOL, reason="silent", by="pulse"))
    live.tell(Blocked(ts=2, symbol=SYMBOL, reason="", by="pulse"))
    assert live.book.blocked(SYMBOL) == "paused"
    assert live.book.blocked("ETH/USDT:USDT") == ""


def test_exits_are_never_blocked() -> None:
    live = Live().held()
    live.tell(Blocked(ts=live.now, symbol="", reason="recovering"))
    live.tell(StateSet(ts=live.now, state="HALTED", reason="test", flatten=True))
    assert live.orders(Purpose.CLOSE)


def test_x21_a_size_above_the_most_of_one_order_is_rounded_down_to_it() -> None:
    import msgspec

    instrument = msgspec.structs.replace(INSTRUMENT, max_quantity=Decimal("10.5"))
    sizing = Sizing(quantity=Decimal(24), leverage=6, margin=Decimal(200))
    capped = at_most(sizing, instrument)
    assert (capped.quantity, capped.bound) == (10, "max_quantity")
    assert capped.margin == Decimal(200) * 10 / 24
    assert at_most(sizing, INSTRUMENT) is sizing


def test_an_order_seen_changes_no_account() -> None:
    live = Live()
    entry = live.signal()
    before = live.book.margin
    told = live.tell(OrderSeen(ts=live.now, order_id=entry.id, symbol=SYMBOL, state="unknown", reason="timed out"))
    assert [type(record) for record in told] == [OrderSeen]
    # x01: what nobody knows keeps its slot and its margin
    assert (live.book.slots, live.book.margin) == (1, before)
    assert live.book.margin > 0


def test_inv05_what_a_venue_told_makes_the_same_book_again_from_its_records() -> None:
    live = Live().held()
    live.tell(
        Transferred(ts=1, id="d1", amount=Decimal("3.5"), reason="deposit"),
        ExternalSeen(ts=2, symbol="ETH/USDT:USDT", side=1, quantity=Decimal(1), price=Decimal(3000), margin=Decimal(30)),
        Funded(ts=3, symbol=SYMBOL, rate=Decimal("0.0001"), price=Decimal(50_000), amount=Decimal("-0.12"), id="f1"),
    )
    live.ended(live.stop(), "cancelled")
    read = [decode(tag(record), encode(record)) for record in live.records]  # type: ignore[arg-type]
    begun = Started(ts=0, cash=Decimal(10_000), instruments={SYMBOL: INSTRUMENT})
    book = fold([begun, *(record for record in read if tag(record) not in BESIDE)])
    assert book is not None
    assert (book.cash, book.margin, book.slots) == (live.book.cash, live.book.margin, live.book.slots)
    assert {i: w.order for i, w in book.orders.items()} == {i: w.order for i, w in live.book.orders.items()}


def test_what_a_venue_booked_is_unique_in_a_journal_by_its_id() -> None:
    assert key(Transferred(ts=1, id="d1", amount=Decimal(1), reason="deposit")) == "transferred:d1"
    funded = Funded(ts=1, symbol=SYMBOL, rate=Decimal(0), price=Decimal(1), amount=Decimal(0), id="f1")
    assert key(funded) == "funded:f1"
    assert key(Funded(ts=1, symbol=SYMBOL, rate=Decimal(0), price=Decimal(1), amount=Decimal(0))) is None


def test_x25_a_target_that_somebody_cancels_is_told_and_the_stop_stays() -> None:
    live = Live(exits={"stop_loss": StopLoss(), "take_profit": TakeProfit()}).held()
    told = live.ended(live.orders(Purpose.TARGET)[-1], "cancelled")
    assert of(Order, told) == []
    (note,) = of(Note, told)
    assert (note.event, live.stop().id in live.book.orders) == ("target_off", True)


def test_an_entry_of_many_fills_has_one_set_of_targets_once_it_is_whole() -> None:
    live = Live(exits={"stop_loss": StopLoss(), "take_profit": TakeProfit()})
    entry = live.signal()
    for number in range(23):
        live.filled(entry, quantity=1, number=number)
    assert live.orders(Purpose.TARGET) == []
    live.filled(entry, quantity=1, number=23)
    assert [target.quantity for target in live.orders(Purpose.TARGET)] == [24]


def test_an_entry_whose_rest_has_ended_has_the_targets_of_what_has_filled() -> None:
    live = Live(exits={"stop_loss": StopLoss(), "take_profit": TakeProfit(ladder=((0.1, 0.5), (0.2, 0.5)))})
    entry = live.signal()
    live.filled(entry, quantity=10)
    assert live.orders(Purpose.TARGET) == []
    live.ended(entry, "expired")
    assert [target.quantity for target in live.orders(Purpose.TARGET)] == [5, 5]
