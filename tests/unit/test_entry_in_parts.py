"""An entry that fills in parts while its position is taken off in parts: every order has an id of its own, and all is protected."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from desk import BTC, Desk, desk_plan
from enigma_core.market import MarketEvent
from enigma_core.model import Cancel, Fill, Order, OrderEnded, Purpose
from enigma_core.parts import Report
from enigma_plugins.exits.stop_loss import StopLoss
from enigma_plugins.exits.take_profit import TakeProfit


class Silent:
    """A venue that is told, and says nothing."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def submit(self, order: Order) -> None:
        assert order.id not in self.ids, "a venue takes an id once: this order would never reach it"
        self.ids.append(order.id)

    def cancel(self, order_id: str) -> None:
        pass

    def answers(self) -> Iterator[Report]:
        yield from ()

    def match(self, event: MarketEvent) -> Iterator[Report]:
        yield from ()


class Parts:
    """A desk at such a venue; the test fills what works, a part at a time, all within one second."""

    def __init__(self) -> None:
        self.at = Desk(desk_plan(exits={"stop_loss": StopLoss(), "take_profit": TakeProfit()}), venue=Silent())
        self.at.bar(100.0, score=100.0)
        self.entry = next(iter(self.at.book.entries.values()))
        self._number = 0

    def fill(self, order: Order, quantity: int) -> None:
        self._number += 1
        made = Fill(
            id=f"{BTC}#{self._number}",
            order_id=order.id,
            ts=self.at.now,
            symbol=BTC,
            side=order.side,
            quantity=Decimal(quantity),
            price=Decimal(100),
            fee=Decimal(0),
            reason=order.reason,
        )
        self.hear(made)

    def hear(self, report: Report) -> None:
        for record in self.at.engine.step(report):
            self.at.records.append(record)
            if isinstance(record, Order):
                self.at.venue.submit(record)

    @property
    def held(self) -> Decimal:
        position = self.at.book.positions.get(BTC)
        return position.quantity if position is not None else Decimal(0)

    def left(self, order: Order) -> int:
        working = self.at.book.orders.get(order.id)
        return int(order.quantity - working.filled) if working is not None else 0

    def exits(self, purpose: Purpose) -> list[Order]:
        return [w.order for w in self.at.book.orders.values() if w.order.purpose is purpose]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), max_size=40))
def test_x07_no_id_comes_twice_however_an_entry_fills_and_its_position_is_taken_off(moves: list[tuple[int, int]]) -> None:
    parts = Parts()
    for which, size in moves:
        works = [w.order for w in parts.at.book.orders.values()]
        if not works:
            break
        order = works[which % len(works)]
        most = parts.left(order) if order.purpose is Purpose.ENTRY else min(parts.left(order), int(parts.held))
        if most:
            parts.fill(order, min(size, most))
        if parts.held:
            protected = sum(parts.left(o) for o in parts.exits(Purpose.STOP)) == parts.held
            assert protected or parts.at.engine.leaving(BTC)


def test_a_position_that_shrinks_and_grows_to_the_same_size_within_a_second_has_a_stop_of_its_own_each_time() -> None:
    parts = Parts()
    parts.fill(parts.entry, 8)
    parts.fill(parts.entry, 4)
    parts.at.engine.cut(BTC, Decimal(4), "an alert", parts.at.now, out := [])
    (cut,) = [o for o in out if isinstance(o, Order)]
    parts.fill(cut, 4)
    parts.fill(parts.entry, 4)
    assert parts.held == 12
    assert [o.quantity for o in parts.exits(Purpose.STOP)] == [12]


def test_what_still_fills_of_an_entry_whose_position_has_been_closed_is_closed_by_another_order() -> None:
    parts = Parts()
    parts.fill(parts.entry, 8)
    parts.at.engine.leave(BTC, parts.at.now, "told to", out := [])
    parts.at.records += out
    (close,) = [o for o in out if isinstance(o, Order)]
    assert [c.order_id for c in out if isinstance(c, Cancel)] == [parts.entry.id]
    parts.at.venue.submit(close)
    parts.fill(close, 8)
    assert parts.held == 0
    parts.fill(parts.entry, 4)
    (again,) = parts.exits(Purpose.CLOSE)
    assert again.quantity == 4
    assert again.id != close.id


def test_what_fills_of_an_entry_while_a_part_of_its_position_has_been_closed_is_closed_too() -> None:
    parts = Parts()
    parts.fill(parts.entry, 8)
    parts.at.engine.leave(BTC, parts.at.now, "told to", out := [])
    parts.at.records += out
    (close,) = [o for o in out if isinstance(o, Order)]
    parts.at.venue.submit(close)
    parts.fill(close, 5)
    parts.fill(parts.entry, 4)
    assert parts.held == 7
    assert sum(parts.left(o) for o in parts.exits(Purpose.CLOSE)) >= 7


def test_a_journal_brings_back_what_was_called_off_and_which_ids_are_used_up() -> None:
    parts = Parts()
    parts.fill(parts.entry, 8)
    parts.at.engine.leave(BTC, parts.at.now, "told to", out := [])
    parts.at.records += out
    (close,) = [o for o in out if isinstance(o, Order)]
    parts.fill(close, 8)
    after = Desk(parts.at.plan, venue=Silent())
    for record in parts.at.records:
        after.engine.remember(record)
        if isinstance(record, Order | Fill | OrderEnded):
            after.book.apply(record)
    late = Fill(
        id=f"{BTC}#late",
        order_id=parts.entry.id,
        ts=parts.at.now,
        symbol=BTC,
        side=parts.entry.side,
        quantity=Decimal(4),
        price=Decimal(100),
        fee=Decimal(0),
    )
    left = [r for r in after.engine.step(late) if isinstance(r, Order) and r.purpose is Purpose.CLOSE]
    assert [(o.quantity, o.reason) for o in left] == [(4, "called off")]
    assert left[0].id != close.id
