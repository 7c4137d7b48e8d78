"""The account in exact decimals: worked numbers, a million fills, and laws that hold after every record."""

from __future__ import annotations

import math
import random
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from desk import BTC, INSTRUMENT
from enigma_core.book import Book, Position, Record
from enigma_core.errors import MoneyError
from enigma_core.model import (
    DayOpened,
    Fill,
    Funded,
    Instrument,
    Marked,
    Order,
    OrderEnded,
    Purpose,
    Side,
    StateSet,
    StreakReset,
    Trade,
    money,
)

ETH = "ETH/USDT:USDT"
INSTRUMENTS = {
    BTC: INSTRUMENT,
    ETH: Instrument(symbol=ETH, tick=Decimal("0.01"), multiplier=Decimal("0.01")),
}
TAKER = Decimal("0.0006")


def order(
    id: str = "d-in", side: Side = 1, quantity: object = 24, purpose: Purpose = Purpose.ENTRY, symbol: str = BTC, **changes: object
) -> Order:
    made = Order(
        id=id,
        decision_id=id.rsplit("-", 1)[0],
        ts=0,
        symbol=symbol,
        side=side,
        quantity=Decimal(str(quantity)),
        purpose=purpose,
        leverage=6,
        margin=Decimal(200) if purpose is Purpose.ENTRY else Decimal(0),
    )
    return msgspec.structs.replace(made, **changes)


def fill(of: Order, price: object, quantity: object = None, ts: int = 1, fee: object = None, id: str = "") -> Fill:
    size, at = of.quantity if quantity is None else Decimal(str(quantity)), Decimal(str(price))
    charged = money(INSTRUMENTS[of.symbol].notional(size, at) * TAKER) if fee is None else Decimal(str(fee))
    name = id or f"{of.id}#{ts}-{size}"
    return Fill(
        id=name, order_id=of.id, ts=ts, symbol=of.symbol, side=of.side, quantity=size, price=at, fee=charged, reason=of.purpose
    )


def new_book(cash: int = 10_000) -> Book:
    return Book(Decimal(cash), INSTRUMENTS)


def round_trip(book: Book, side: Side, entry: object, exit: object, quantity: object = 24, **changes: object) -> Trade:
    """In at one price and out at another."""
    into = order(f"d{book.trades}-in", side, quantity)
    out = order(f"d{book.trades}-out", -side, quantity, Purpose.CLOSE)  # type: ignore[arg-type]
    book.apply(into)
    book.apply(fill(into, entry, **changes))
    book.apply(out)
    trade = book.apply(fill(out, exit, **changes))
    assert trade is not None
    return trade


def state(book: Book) -> dict[str, object]:
    """Everything a book knows, to compare."""
    positions = {s: {n: getattr(p, n) for n in Position.__slots__} for s, p in book.positions.items()}
    for fields in positions.values():
        fields["atr"] = repr(fields["atr"])
    return {
        "cash": book.cash,
        "positions": positions,
        "orders": {i: (w.order.id, w.filled) for i, w in book.orders.items()},
        "entries": {s: o.id for s, o in book.entries.items()},
        "day": (book.day_equity, book.day_end),
        "losses": book.losses_in_row,
        "state": (book.trading_state, book.state_reason),
        "trades": book.trades,
        "exits": {s: book.last_exit(s) for s in INSTRUMENTS},
        "equity": book.equity,
        "margin": book.margin,
    }


# the worked numbers


def test_24_contracts_from_50000_to_51250_make_28_542() -> None:
    book = new_book()
    trade = round_trip(book, 1, "50000.0", "51250.0")
    assert (trade.gross, trade.fees, trade.net) == (Decimal(30), Decimal("1.458"), Decimal("28.542"))
    assert book.cash == book.equity == Decimal("10028.542")
    assert (trade.entry_price, trade.exit_price, trade.quantity, trade.side) == (50000, 51250, 24, "long")


def test_the_same_move_costs_a_short() -> None:
    book = new_book()
    trade = round_trip(book, -1, "50000.0", "51250.0")
    assert (trade.gross, trade.fees, trade.net) == (Decimal(-30), Decimal("1.458"), Decimal("-31.458"))
    assert trade.side == "short"


def test_fees_are_each_on_their_own_notional() -> None:
    book = new_book()
    into = order()
    book.apply(into)
    book.apply(fill(into, "50000.0"))
    assert book.cash == Decimal(10_000) - Decimal("0.72")
    out = order("d-out", -1, 24, Purpose.CLOSE)
    book.apply(out)
    book.apply(fill(out, "51250.0"))
    assert book.cash == Decimal(10_000) - Decimal("0.72") - Decimal("0.738") + 30


def test_open_profit_is_equity_but_not_cash() -> None:
    book = new_book()
    into = order()
    book.apply(into)
    book.apply(fill(into, "50000.0"))
    book.apply(Marked(ts=2, equity=Decimal(0), prices={BTC: Decimal("49000.0")}))
    assert book.unrealised == Decimal(-24)
    assert book.equity == Decimal(10_000) - Decimal("0.72") - 24
    assert book.margin == Decimal(200)


def test_r09_a_million_random_fills_sum_exactly() -> None:
    random.seed(9)
    book = new_book(1_000_000_000)
    cash = 1_000_000_000 * 10**8  # in units of 1e-8: a tick is 1000 units of a contract, its fee at 0.0006 is 6 / 100 of a tick
    fills, parts = 0, 25
    while fills < 1_000_000:
        side: Side = random.choice((1, -1))
        number = str(fills)
        into = order(f"{number}-in", side, 0)
        ticks = [random.randint(1, 1_000_000) for _ in range(2 * parts)]
        sizes = [random.randint(1, 10_000) for _ in range(parts)]
        into = msgspec.structs.replace(into, quantity=Decimal(sum(sizes)))
        out = msgspec.structs.replace(into, id=f"{number}-out", side=-side, purpose=Purpose.CLOSE, margin=Decimal(0))
        trade = None
        for each, prices in ((into, ticks[:parts]), (out, ticks[parts:])):
            book.apply(each)
            for part, (price, size) in enumerate(zip(prices, sizes, strict=True)):
                worth = price * size  # in units of 1e-4 quote: 0.1 a tick times 0.001 a contract
                exact = Fill(
                    id=f"{each.id}{part}",
                    order_id=each.id,
                    ts=fills,
                    symbol=BTC,
                    side=each.side,
                    quantity=Decimal(size),
                    price=Decimal(price).scaleb(-1),
                    fee=Decimal(worth * 6).scaleb(-8),
                )
                cash += -each.side * worth * 10**4 - worth * 6
                trade = book.apply(exact)
        assert trade is not None
        fills += 2 * parts
    assert book.cash == Decimal(cash).scaleb(-8)
    assert book.equity == book.cash


# streaks and losses


@pytest.mark.parametrize("side", [1, -1])
def test_r03_every_losing_trade_counts_and_the_third_is_the_third(side: Side) -> None:
    book = new_book()
    for losses in (1, 2, 3):
        round_trip(book, side, "50000.0", 50000 - 10 * side)
        assert book.losses_in_row == losses


R04 = {
    "a win of a cent resets": ("50060.1", None, 0),
    "a price gain that fees turn into a loss is a loss": ("50000.1", None, 3),
    "a loss counts": ("49999.9", None, 3),
    "exactly zero after fees is neither": ("50000.0", 0, 2),
}


@pytest.mark.parametrize(("price", "fee", "losses"), R04.values(), ids=R04)
def test_r04_what_a_loss_is(price: str, fee: object, losses: int) -> None:
    book = new_book()
    round_trip(book, 1, "50000.0", "49000.0")
    round_trip(book, 1, "50000.0", "49000.0")
    trade = round_trip(book, 1, "50000.0", price, fee=fee)
    assert book.losses_in_row == losses
    assert (trade.net > 0, trade.net < 0) == (losses == 0, losses == 3)


@pytest.mark.parametrize(
    ("first", "rest", "losses"), [("51000.0", "49500.0", 0), ("51000.0", "48900.0", 1), ("49000.0", "51500.0", 0)]
)
def test_r04_a_trade_is_judged_whole_whatever_its_parts_made(first: str, rest: str, losses: int) -> None:
    book = new_book()
    into, one = order(), order("d-tp1", -1, 12, Purpose.TARGET)
    book.apply(into)
    book.apply(fill(into, "50000.0"))
    book.apply(one)
    assert book.apply(fill(one, first)) is None
    assert book.losses_in_row == 0, "a partial close is no trade yet"
    out = order("d-out", -1, 12, Purpose.CLOSE)
    book.apply(out)
    trade = book.apply(fill(out, rest))
    assert trade is not None
    assert trade.quantity == 24
    assert (trade.net < 0) == bool(losses)
    assert book.losses_in_row == losses


def test_r04_funding_can_turn_a_win_into_a_loss() -> None:
    book = new_book()
    into, out = order(), order("d-out", -1, 24, Purpose.CLOSE)
    book.apply(into)
    book.apply(fill(into, "50000.0"))
    book.apply(Funded(ts=2, symbol=BTC, rate=Decimal("0.03"), price=Decimal("50000.0"), amount=Decimal(-36)))
    book.apply(out)
    trade = book.apply(fill(out, "51250.0"))
    assert trade is not None
    assert trade.net == Decimal("28.542") - 36
    assert book.losses_in_row == 1


def test_r02_a_replayed_book_remembers_the_streak_and_only_day_or_operator_clears_it() -> None:
    records: list[Record] = []
    for number in range(3):
        into, out = order(f"{number}-in"), order(f"{number}-out", -1, 24, Purpose.CLOSE)
        records += [into, fill(into, "50000.0"), out, fill(out, "49000.0")]
    for _ in range(3):
        again = new_book()
        for record in records:
            again.apply(record)
        assert again.losses_in_row == 3
    again.apply(DayOpened(ts=9, equity=again.equity, end=10))
    assert again.losses_in_row == 3
    again.apply(StreakReset(ts=9, reason="by hand"))
    assert again.losses_in_row == 0


# slots and reservations


def test_r12_r20_an_entry_at_work_holds_a_slot_and_margin_until_it_ends() -> None:
    book = new_book()
    book.apply(order())
    assert (book.slots, book.margin, book.holds(BTC)) == (1, 200, True)
    book.apply(OrderEnded(ts=1, order_id="d-in", symbol=BTC, state="expired"))
    assert (book.slots, book.margin, book.holds(BTC)) == (0, 0, False)


def test_r12_a_half_filled_entry_is_counted_as_if_it_had_filled() -> None:
    book = new_book()
    into = order()
    book.apply(into)
    book.apply(fill(into, "50000.0", 12))
    assert book.slots == 1
    assert book.margin == 100 + 100, "half is a position, half is reserved"
    book.apply(fill(into, "50000.0", 12, ts=2))
    assert book.margin == 200


def test_r20_a_position_that_closes_holds_its_slot_until_it_is_flat() -> None:
    book = new_book()
    into, out = order(), order("d-out", -1, 24, Purpose.CLOSE)
    book.apply(into)
    book.apply(fill(into, "50000.0"))
    book.apply(out)
    book.apply(fill(out, "50000.0", 23))
    assert (book.slots, book.holds(BTC)) == (1, True)
    book.apply(fill(out, "50000.0", 1, ts=2))
    assert (book.slots, book.holds(BTC), book.last_exit(BTC)) == (0, False, 2)
    assert not book.orders


def test_a_position_takes_its_exit_orders_with_it() -> None:
    book = new_book()
    into, out = order(), order("d-out", -1, 24, Purpose.CLOSE)
    for each in (into, order("d-sl", -1, 24, Purpose.STOP), order("d-tp", -1, 24, Purpose.TARGET), out):
        book.apply(each)
        if each is into:
            book.apply(fill(into, "50000.0"))
    book.apply(fill(out, "50000.0"))
    assert not book.orders


def test_the_mean_price_of_parts_is_told() -> None:
    book = new_book()
    into, out = order(), order("d-out", -1, 24, Purpose.CLOSE)
    book.apply(into)
    book.apply(fill(into, "50000.0", 6))
    book.apply(fill(into, "50100.0", 18, ts=2))
    assert book.positions[BTC].price == Decimal("50075")
    book.apply(out)
    book.apply(fill(out, "50200.0", 12))
    trade = book.apply(fill(out, "50300.0", 12, ts=3))
    assert trade is not None
    assert (trade.entry_price, trade.exit_price) == (50075, 50250)
    assert trade.gross == Decimal("4.2") == 24 * INSTRUMENT.multiplier * (trade.exit_price - trade.entry_price)


# what cannot be


def test_what_cannot_be_is_refused() -> None:
    book = new_book()
    into = order()
    with pytest.raises(MoneyError, match="does not know"):
        book.apply(fill(into, "50000.0"))
    with pytest.raises(MoneyError, match="no position to protect"):
        book.apply(order("d-sl", -1, 24, Purpose.STOP))
    with pytest.raises(MoneyError, match="no position to belong to"):
        book.apply(Funded(ts=1, symbol=BTC, rate=TAKER, price=Decimal(1), amount=Decimal(1)))
    book.apply(into)
    book.apply(fill(into, "50000.0"))
    for wrong in (order("d-out", 1, 24, Purpose.CLOSE), order("d-out2", -1, 25, Purpose.CLOSE)):
        book.apply(wrong)
        with pytest.raises(MoneyError, match="exceeds the position"):
            book.apply(fill(wrong, "50000.0"))
    other = order("e-in", -1)
    book.apply(other)
    with pytest.raises(MoneyError, match="other side"):
        book.apply(fill(other, "50000.0"))


def test_a_fill_is_booked_once_and_never_beyond_its_order() -> None:
    book = new_book()
    into = order()
    book.apply(into)
    first = fill(into, "50000.0", 12)
    book.apply(first)
    before = state(book)
    with pytest.raises(MoneyError, match="twice"):
        book.apply(first)
    with pytest.raises(MoneyError, match="more than"):
        book.apply(fill(into, "50000.0", 13, ts=2))
    assert state(book) == before


def test_the_same_order_again_is_the_same_order() -> None:
    book = new_book()
    into = order()
    book.apply(into)
    book.apply(fill(into, "50000.0", 12))
    book.apply(order())
    assert book.orders["d-in"].filled == 12
    assert book.margin == 200


# laws


class Account(RuleBasedStateMachine):
    """Random records on two symbols, held against a model of integers and of signed fills."""

    def __init__(self) -> None:
        super().__init__()
        self.book = new_book()
        self.records: list[Record] = []
        self.number = 0
        self.flows = Decimal(10_000)  # what the fills alone did to the purse: bought for, sold for, fees, funding
        self.signed = dict.fromkeys(INSTRUMENTS, Decimal(0))
        self.marks: dict[str, Decimal] = {}
        self.nets: list[Decimal] = []

    def give(self, record: Record) -> None:
        self.records.append(record)
        trade = self.book.apply(record)
        if isinstance(record, Fill):
            instrument = INSTRUMENTS[record.symbol]
            self.flows -= record.side * instrument.notional(record.quantity, record.price) + record.fee
            if not self.signed[record.symbol]:
                self.marks[record.symbol] = record.price
            self.signed[record.symbol] += record.side * record.quantity
        if trade is not None:
            assert trade.net == trade.gross - trade.fees + trade.funding
            self.nets.append(trade.net)

    def name(self) -> str:
        self.number += 1
        return str(self.number)

    @rule(
        symbol=st.sampled_from(list(INSTRUMENTS)),
        side=st.sampled_from([1, -1]),
        quantity=st.integers(1, 50),
        most=st.integers(1, 10),
    )
    def enter(self, symbol: str, side: Side, quantity: int, most: int) -> None:
        if not self.book.holds(symbol):
            self.give(order(f"{self.name()}-in", side, quantity, symbol=symbol, leverage=most))

    @precondition(lambda self: self.book.entries)
    @rule(data=st.data(), ticks=st.integers(1, 10_000_000), share=st.integers(1, 3))
    def fill_entry(self, data: st.DataObject, ticks: int, share: int) -> None:
        symbol = data.draw(st.sampled_from(sorted(self.book.entries)))
        into = self.book.entries[symbol]
        left = into.quantity - self.book.orders[into.id].filled
        part = max(Decimal(1), left // share)
        self.give(fill(into, INSTRUMENTS[symbol].at(ticks), part, ts=self.number, id=self.name()))

    @precondition(lambda self: self.book.entries)
    @rule(data=st.data())
    def end_entry(self, data: st.DataObject) -> None:
        symbol = data.draw(st.sampled_from(sorted(self.book.entries)))
        self.give(OrderEnded(ts=1, order_id=self.book.entries[symbol].id, symbol=symbol, state="cancelled"))

    @precondition(lambda self: self.book.positions)
    @rule(data=st.data(), purpose=st.sampled_from([Purpose.STOP, Purpose.TARGET]), ticks=st.integers(1, 10_000_000))
    def rest(self, data: st.DataObject, purpose: Purpose, ticks: int) -> None:
        p = self.book.positions[data.draw(st.sampled_from(sorted(self.book.positions)))]
        price = INSTRUMENTS[p.symbol].at(ticks)
        side: Side = -1 if p.side > 0 else 1
        self.give(order(f"{self.name()}-x", side, p.quantity, purpose, p.symbol, price=price))

    @precondition(lambda self: self.book.positions)
    @rule(data=st.data(), ticks=st.integers(1, 10_000_000), share=st.integers(1, 3))
    def leave(self, data: st.DataObject, ticks: int, share: int) -> None:
        p = self.book.positions[data.draw(st.sampled_from(sorted(self.book.positions)))]
        part = max(Decimal(1), p.quantity // share)
        side: Side = -1 if p.side > 0 else 1
        out = order(f"{self.name()}-out", side, part, Purpose.CLOSE, p.symbol)
        self.give(out)
        self.give(fill(out, INSTRUMENTS[p.symbol].at(ticks), ts=self.number))

    @precondition(lambda self: self.book.positions)
    @rule(data=st.data(), rate=st.decimals(Decimal("-0.01"), Decimal("0.01"), places=8))
    def fund(self, data: st.DataObject, rate: Decimal) -> None:
        p = self.book.positions[data.draw(st.sampled_from(sorted(self.book.positions)))]
        amount = money(-p.side * INSTRUMENTS[p.symbol].notional(p.quantity, p.mark) * rate)
        self.give(Funded(ts=1, symbol=p.symbol, rate=rate, price=p.mark, amount=amount))
        self.flows += amount

    @rule(ticks=st.integers(1, 10_000_000))
    def mark(self, ticks: int) -> None:
        prices = {s: INSTRUMENTS[s].at(ticks) for s in self.book.positions}
        self.give(Marked(ts=1, equity=Decimal(0), prices=prices))
        self.marks |= prices

    @rule(clears=st.booleans())
    def turn_the_day(self, clears: bool) -> None:
        self.give(DayOpened(ts=self.number, equity=self.book.equity, end=self.number + 5, streak_cleared=clears))

    @rule(to=st.sampled_from(["ACTIVE", "REDUCE_ONLY", "HALTED"]))
    def set_state(self, to: str) -> None:
        self.give(StateSet(ts=1, state=to, reason="told"))  # type: ignore[arg-type]
        self.give(StreakReset(ts=1, reason="told"))

    @invariant()
    def inv_01_cash_and_unrealised_are_equity(self) -> None:
        assert self.book.cash + self.book.unrealised == self.book.equity
        # the same from the fills alone, as if every contract had been bought and sold for cash
        worth = sum((INSTRUMENTS[s].notional(q, self.marks[s]) for s, q in self.signed.items() if q), Decimal(0))
        assert self.book.equity == self.flows + worth

    @invariant()
    def inv_02_a_position_is_the_sum_of_its_fills(self) -> None:
        held = {s: p.side * p.quantity for s, p in self.book.positions.items()}
        assert held == {s: q for s, q in self.signed.items() if q}
        for p in self.book.positions.values():
            assert p.cost == pytest.approx(INSTRUMENTS[p.symbol].notional(p.quantity, p.price), abs=Decimal("1e-6"))

    @invariant()
    def slots_and_margin_are_what_is_open_and_at_work(self) -> None:
        open_or_wanted = {*self.book.positions, *self.book.entries}
        assert self.book.slots == len(open_or_wanted)
        assert all(self.book.holds(s) == (s in open_or_wanted) for s in INSTRUMENTS)
        assert self.book.margin >= 0
        stops = [w.order.symbol for w in self.book.orders.values() if w.order.purpose is Purpose.STOP]
        assert len(stops) == len(set(stops)), "a stop replaces the earlier one"

    @invariant()
    def trades_are_counted(self) -> None:
        assert self.book.trades == len(self.nets)

    def teardown(self) -> None:
        """INV-05: the records alone make the same book again, also after they were written down."""
        again, read = new_book(), new_book()
        for record in self.records:
            again.apply(record)
            read.apply(msgspec.json.decode(msgspec.json.encode(record), type=type(record)) if not _has_nan(record) else record)
        assert state(again) == state(read) == state(self.book)


def _has_nan(record: Record) -> bool:
    return isinstance(record, Order) and math.isnan(record.atr)


TestAccountInv01Inv02Inv05 = Account.TestCase
TestAccountInv01Inv02Inv05.settings = settings(max_examples=60, stateful_step_count=40)


@given(st.lists(st.tuples(st.integers(1, 10**7), st.integers(1, 99)), min_size=2, max_size=20), st.sampled_from([1, -1]))
def test_how_a_position_is_cut_up_does_not_change_what_it_made(parts: list[tuple[int, int]], side: Side) -> None:
    total = sum(size for _, size in parts)
    book = new_book()
    into = order("d-in", side, total)
    book.apply(into)
    book.apply(fill(into, "50000.0"))
    trade = None
    for number, (ticks, size) in enumerate(parts):
        out = order(f"d-{number}", -side, size, Purpose.CLOSE)  # type: ignore[arg-type]
        book.apply(out)
        trade = book.apply(fill(out, INSTRUMENT.at(ticks)))
        assert (trade is None) == (number < len(parts) - 1)
    assert trade is not None
    exact = sum((INSTRUMENT.notional(Decimal(size), INSTRUMENT.at(ticks) - 50000) for ticks, size in parts), Decimal(0)) * side
    assert trade.gross == exact
    assert book.cash == 10_000 + trade.net
