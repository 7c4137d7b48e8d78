"""Our orders by every name they have: the engine's id, the client id, the exchange's id."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from enigma_core.book import Book
from enigma_core.model import Order, Purpose
from enigma_exchange.account.life import Life
from enigma_exchange.account.protection import protects
from enigma_exchange.account.timing import Timing
from enigma_exchange.naming import client_id, ours
from enigma_exchange.port import OrderState, Traded

KNOWN_FOR = 3 * 86_400_000
"""How long (ms) the name of an order is known after it was forgotten: as long as a journal is asked for at a start."""


class Past(NamedTuple):
    """An order that is over, and since when (ms) only its name is known."""

    order: Order
    since: int


class Lives:
    """Orders of this run, those it took over, and the names of those of the last days."""

    def __init__(self, book: Book, timing: Timing) -> None:
        self._book = book
        self._timing = timing
        self._by_order: dict[str, Life] = {}
        self._at_work: dict[str, Life] = {}
        self._by_client: dict[str, Life] = {}
        self._by_venue: dict[str, Life] = {}
        self._past: dict[str, Past] = {}
        self._nobody: set[str] = set()

    def __iter__(self) -> Iterator[Life]:
        return iter(self._by_order.values())

    def __contains__(self, order_id: str) -> bool:
        return order_id in self._by_order

    def get(self, order_id: str) -> Life | None:
        return self._by_order.get(order_id)

    def working(self, symbol: str | None = None) -> list[Life]:
        """Those that something may still come of."""
        return [x for x in self._at_work.values() if symbol in (None, x.order.symbol)]

    def add(self, order: Order) -> Life:
        life = Life(order, client_id(order.id), self._timing, self._at_work)
        self._by_order[order.id] = self._by_client[life.client_id] = life
        return life

    def remember(self, orders: Iterable[Order]) -> None:
        """Orders of the last days: one of them may turn up again."""
        for order in orders:
            # what others have done has a name of ours in the book alone
            if not order.id.startswith("x-"):
                self._past[client_id(order.id)] = Past(order, order.ts)

    def nameless(self, symbol: str) -> list[Order]:
        """Orders in `symbol` that are over and that nobody knows the exchange's id of, the newest first."""
        over = [x.order for x in self if x.order.symbol == symbol and x.state in ("over", "absent") and x.tries and not x.venue_id]
        past = [p.order for c, p in reversed(self._past.items()) if p.order.symbol == symbol and c not in self._by_client]
        return [*over[::-1], *(o for o in past if o.id not in self._nobody)]

    def nobody(self, order: Order) -> None:
        """The exchange knows nothing of an order of an earlier run."""
        if order.id not in self._by_order:
            self._nobody.add(order.id)

    def before(self, order_id: str) -> Order | None:
        """The order of this id of an earlier run."""
        past = self._past.get(client_id(order_id))
        return past.order if past is not None else None

    def name(self, life: Life, venue_id: str) -> bool:
        """Learn what the exchange calls an order. False where it calls another one so."""
        if not venue_id:
            return True
        other = self._by_venue.setdefault(venue_id, life)
        return other is life

    def of_state(self, state: OrderState) -> Life | None:
        """The life of an order the exchange has, made where it is one of the last days."""
        return self._find(state.client_id, state.venue_id)

    def of_trade(self, trade: Traded) -> Life | None:
        return self._find(trade.client_id, trade.venue_id)

    def of_ids(self, client: str, venue_id: str) -> Life | None:
        return self._by_client.get(client) or self._by_venue.get(venue_id)

    def _find(self, client: str, venue_id: str) -> Life | None:
        found = self.of_ids(client, venue_id)
        if found is None and client in self._past:
            # it was over; what it does now is seen anyway
            found = self.add(self._past[client].order)
            found.state, found.told_filled = "over", False
        return found

    def foreign(self, client: str) -> bool:
        """True for an order that an engine such as this one sent, and not this one."""
        return ours(client) and client not in self._by_client and client not in self._past

    def wanted(self, life: Life) -> bool:
        """Whether the engine still counts on the order, or the exchange on the stop that another one is to take the place of."""
        order = life.order
        if (order.parent or order.id) in self._book.orders:
            return True
        if order.purpose is not Purpose.STOP:
            return False
        position = self._book.positions.get(order.symbol)
        if position is None or position.decision_id != order.decision_id or position.side == order.side:
            return False
        return not any(
            protects(other, position.side) and other.order.id in self._book.orders and other.left >= position.quantity
            for other in self.working(order.symbol)
        )

    def forget(self, before: int, now: int) -> list[str]:
        """Let go of orders that are of before `before` (ms) and over; their ids. Their names are known for some days more."""
        gone = [x for x in self if x.state in ("over", "absent") and x.order.ts < before]
        for life in gone:
            del self._by_order[life.order.id]
            self._by_client.pop(life.client_id, None)
            # a name that is known is not another instance's
            self._past[life.client_id] = Past(life.order, now)
        if gone:
            self._by_venue = {name: life for name, life in self._by_venue.items() if life.order.id in self._by_order}
        for client in [c for c, p in self._past.items() if now - p.since > KNOWN_FOR]:
            self._nobody.discard(self._past.pop(client).order.id)
        return [life.order.id for life in gone]
