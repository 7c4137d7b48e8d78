"""Whose a fill is, and what the engine is told of it: each trade once, and never more than its book can take.

A trade is known by symbol, the exchange's trade id and our side of it, whatever order it is put down to, so that reading the same
fills again after a restart tells nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

import msgspec

from enigma_core.book import Book, Position
from enigma_core.model import Fill, Instrument, Order, OrderFound, Purpose, money
from enigma_core.parts import Command, Report
from enigma_exchange.account.life import Life
from enigma_exchange.port import Traded

REASONS = {"liquidation": "liquidation", "adl": "adl", "settlement": "venue_closed"}
"""What an exit was that nobody ordered, by the exchange's kind of trade; others were made by hand."""


def key(trade: Traded) -> str:
    """What a trade is known by. Two of our own orders that met have one trade, and each of them its fill."""
    return f"{trade.symbol}#{trade.id}" + ("" if trade.side > 0 else "/s")


class Strange(msgspec.Struct, frozen=True):
    """A report that cannot be: it is not believed, and its symbol is left alone until it agrees again."""

    symbol: str
    reason: str


class Fills:
    """Sorts trades into those of our orders and strays, which may be anybody's."""

    def __init__(self, book: Book, instruments: Mapping[str, Instrument], recorded: Callable[[str, str], bool]) -> None:
        self._book = book
        self._instruments = instruments
        self._recorded = recorded
        self._known: dict[str, int] = {}
        """Trades that were dealt with, by key, and when they were made, ms: what is not here any more is in the journal."""
        self.strays: dict[str, Traded] = {}
        """Trades of no order we know, by key, in the order they were read."""
        self.others: dict[str, Traded] = {}
        """Strays that were taken for somebody else's: an order that turns up late may claim them."""

    def sort(self, trades: Iterable[Traded], owner: Callable[[Traded], Life | None]) -> list[tuple[Life, Traded]]:
        """Trades of our orders that have not been told, oldest first. The others become strays."""
        found: list[tuple[Life, Traded]] = []
        for trade in sorted(trades, key=lambda t: t.ts):
            name = key(trade)
            if name in self._known:
                continue
            life = owner(trade)
            if life is None and name in self.others:
                continue
            self.others.pop(name, None)
            if self._recorded("fill", name):
                self._known[name] = trade.ts
                self.strays.pop(name, None)
                if life is not None and not life.told_filled and trade.quantity <= life.left:
                    # a slice comes without what it has filled
                    life.filled += trade.quantity
                continue
            if life is None:
                self.strays.setdefault(name, trade)
                continue
            self.strays.pop(name, None)
            found.append((life, trade))
        return found

    def claim(self, owner: Callable[[Traded], Life | None]) -> list[tuple[Life, Traded]]:
        """Strays, and what was taken for somebody else's, whose order has become known since."""
        return self.sort([t for t in (*self.strays.values(), *self.others.values()) if owner(t) is not None], owner)

    def leave(self, trade: Traded) -> None:
        """It is somebody else's, as it seems."""
        name = key(trade)
        if self.strays.pop(name, None) is not None:
            self.others[name] = trade

    def done(self, trade: Traded) -> None:
        """It is told, or nobody needs to be."""
        name = key(trade)
        self._known[name] = trade.ts
        self.strays.pop(name, None)

    def forget(self, before: int) -> None:
        """Let go of what was dealt with of before `before` (ms): nobody reads so far back."""
        self._known = {name: ts for name, ts in self._known.items() if ts >= before}
        self.others = {name: trade for name, trade in self.others.items() if trade.ts >= before}

    def is_known(self, trade: Traded) -> bool:
        return key(trade) in self._known

    # what is told

    def wrong(self, life: Life, trade: Traded) -> str:
        """Why `trade` cannot be one of `life`'s; empty when it can."""
        order = life.order
        if trade.symbol != order.symbol:
            return f"a fill of {trade.symbol} was reported for order {order.id} in {order.symbol}"
        if trade.side != order.side:
            return f"a {'buy' if trade.side > 0 else 'sell'} was reported for order {order.id}, which is one on the other side"
        if not trade.quantity > 0 or not trade.price > 0:
            return f"a fill of {trade.quantity} at {trade.price} was reported for order {order.id}"
        if trade.quantity > life.left:
            return f"fills of order {order.id} come to more than its {order.quantity} contracts"
        return ""

    def reports(self, life: Life, trade: Traded) -> list[Report | Command]:
        """What the engine is told of a fill of our own order. Empty where it is none of the book's."""
        order = life.order
        if not life.reduces:
            return self._entered(life, trade)
        position = self._book.positions.get(order.symbol)
        if position is None or position.side == trade.side:
            return []
        quantity = min(trade.quantity, position.quantity)
        for candidate in self._takers(order):
            working = self._book.orders.get(candidate)
            if working is not None and quantity <= working.order.quantity - working.filled:
                return [self._fill(trade, candidate, quantity, order.reason)]
        return self.foreign(position, trade, quantity, order.reason)

    def _takers(self, order: Order) -> Iterable[str]:
        """Orders of the book that a fill of `order` may be put down to: itself, or the stop that has taken its place."""
        yield order.id
        if order.purpose is Purpose.STOP:
            for working in self._book.orders.values():
                other = working.order
                if other.symbol == order.symbol and other.purpose is Purpose.STOP and other.decision_id == order.decision_id:
                    yield other.id

    def _entered(self, life: Life, trade: Traded) -> list[Report | Command]:
        order = life.order
        fill = self._fill(trade, order.id, trade.quantity, order.reason)
        working = self._book.orders.get(order.parent or order.id)
        # a slice that was taken for over has been sent once more: both may not fill as one entry
        if working is not None and trade.quantity <= working.order.quantity - working.filled:
            return [fill]
        # it was given up: taken over as it is, protected, and left
        position = self._book.positions.get(order.symbol)
        if order.symbol in self._book.entries:
            return []
        if position is not None and position.side != order.side:
            return self._netted(position, order, trade)
        if position is not None and position.decision_id != order.decision_id:
            return []
        adopted = msgspec.structs.replace(order, quantity=trade.quantity, parent="")
        return [OrderFound(ts=trade.ts, order=adopted), fill]

    def _netted(self, position: Position, order: Order, trade: Traded) -> list[Report | Command]:
        """A given-up entry that filled against what is held: the exchange has set one off against the other."""
        off = min(trade.quantity, position.quantity)
        found = self.foreign(position, trade, off, "netted")
        if rest := trade.quantity - off:
            fill = msgspec.structs.replace(self._fill(trade, order.id, rest, order.reason), id=f"{key(trade)}/rest")
            found += [OrderFound(ts=trade.ts, order=msgspec.structs.replace(order, quantity=rest, parent="")), fill]
        return found

    def foreign(self, position: Position, trade: Traded, quantity: Decimal, reason: str = "") -> list[Report | Command]:
        """`quantity` of a trade that takes something off our position, and belongs to no order of the book."""
        why = reason or REASONS.get(trade.kind, "by hand")
        order = Order(
            id=f"x-{trade.venue_id}-{trade.id}",
            decision_id=position.decision_id,
            ts=trade.ts,
            symbol=trade.symbol,
            side=trade.side,
            quantity=quantity,
            purpose=Purpose.CLOSE,
            leverage=position.leverage,
            reason=why,
        )
        return [OrderFound(ts=trade.ts, order=order), self._fill(trade, order.id, quantity, why)]

    @staticmethod
    def _fill(trade: Traded, order_id: str, quantity: Decimal, reason: str) -> Fill:
        fee = trade.fee if quantity == trade.quantity else trade.fee * quantity / trade.quantity
        return Fill(
            id=key(trade),
            order_id=order_id,
            ts=trade.ts,
            symbol=trade.symbol,
            side=trade.side,
            quantity=quantity,
            price=trade.price,
            fee=money(fee),
            reason=reason,
        )
