"""What is so at the exchange, whatever anybody was told: read from its state, never changed."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import accumulate

from enigma_exchange.naming import ours
from enigma_sandbox.exchange import Contract, Exchange
from enigma_sandbox.exchange.state import Order

ANOTHER = "z" * 20
"""What the other engine of a scenario has in the names of its orders."""


class Truth:
    """The exchange's side of one account. Quantities are contracts, signed where they are held."""

    def __init__(self, exchange: Exchange, contracts: tuple[Contract, ...]) -> None:
        self._exchange = exchange
        self.symbols = {c.symbol: c.instrument.symbol for c in contracts}
        self._codes = {c.instrument.symbol: c.symbol for c in contracts}

    def held(self, symbol: str) -> Decimal:
        """Contracts held of `symbol`, below 0 for a short."""
        position = self._exchange.state.positions.get(self._codes[symbol])
        return Decimal(position.size) if position is not None else Decimal(0)

    @property
    def wallet(self) -> Decimal:
        """The account's money without what positions have not realised yet."""
        return self._exchange.state.wallet

    @property
    def wallets(self) -> list[Decimal]:
        """Every amount that the wallet has had."""
        return list(accumulate(row.amount for row in self._exchange.state.rows))

    def order(self, client_id: str) -> Order | None:
        return self._exchange.order_of(client_id)

    def live(self, symbol: str | None = None) -> Iterator[Order]:
        """Orders that something may still come of."""
        yield from self._exchange.working(self._codes[symbol] if symbol else None)

    def our_live(self, symbol: str | None = None) -> list[Order]:
        # the other engine of a scenario names its orders like ours
        return [order for order in self.live(symbol) if ours(order.client_id) and ANOTHER not in order.client_id]

    def covered(self, symbol: str, own: Decimal, *, waiting: bool = False) -> bool:
        """Whether stops of ours at the exchange would take all of `own` (contracts, signed) off. `waiting`: stops that have been
        triggered, and fill or have stalled, do not count."""
        side = 1 if own > 0 else -1
        left = Decimal(0)
        for order in self.our_live(symbol):
            against = order.side == -side and order.reduce_only and order.stop == ("down" if side > 0 else "up")
            if against and not (waiting and order.triggered):
                left += order.left
        return left >= abs(own)

    def last_filled(self, symbol: str) -> str:
        """The client id of the order that filled last in `symbol`, empty where none did or it has none."""
        code, state = self._codes[symbol], self._exchange.state
        for trade in reversed(state.trades):
            if trade.symbol == code:
                order = state.orders.get(trade.order_id)
                return order.client_id if order is not None else ""
        return ""

    def trades(self) -> int:
        return len(self._exchange.state.trades)
