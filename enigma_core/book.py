"""The account: orders, fills, positions and cash in exact decimals. Pure: it changes only by the records it is given.

``cash + unrealised = equity`` after every record, and replaying the records of a journal gives the same book again.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from enigma_core.errors import MoneyError
from enigma_core.model import (
    ZERO,
    Blocked,
    DayOpened,
    ExternalSeen,
    Fill,
    Funded,
    Instrument,
    Marked,
    Order,
    OrderEnded,
    OrderFound,
    Purpose,
    Side,
    StateSet,
    StreakReset,
    Trade,
    Transferred,
    money,
)

Record = (
    Order
    | Fill
    | Funded
    | OrderEnded
    | DayOpened
    | Marked
    | StateSet
    | StreakReset
    | OrderFound
    | ExternalSeen
    | Transferred
    | Blocked
)
"""What changes a book."""


class Working:
    """An order at the venue and how much of it has filled."""

    __slots__ = ("filled", "fills", "order")

    def __init__(self, order: Order) -> None:
        self.order = order
        self.filled = ZERO
        self.fills: tuple[str, ...] = ()
        """The ids of its fills so far."""


class Position:
    """An open position. Money fields are in the quote currency; `cost` is the notional of what is still open, at entry prices."""

    __slots__ = (
        "atr",
        "cost",
        "decision_id",
        "entered",
        "entry_ts",
        "exit_notional",
        "fees",
        "funding",
        "gross",
        "leverage",
        "mark",
        "paid",
        "price",
        "quantity",
        "side",
        "stop",
        "symbol",
    )

    def __init__(self, order: Order, fill: Fill, notional: Decimal) -> None:
        self.symbol = order.symbol
        self.side: Side = order.side
        self.decision_id = order.decision_id
        self.leverage = order.leverage
        self.atr = order.atr
        self.entry_ts = fill.ts
        self.quantity = fill.quantity
        self.entered = fill.quantity
        self.price = fill.price
        self.cost = notional
        self.paid = notional
        self.mark = fill.price
        self.stop: Decimal | None = None
        self.gross = ZERO
        self.fees = fill.fee
        self.funding = ZERO
        self.exit_notional = ZERO

    @property
    def margin(self) -> Decimal:
        """What the position ties up, isolated."""
        return self.cost / self.leverage


class Book:
    """Cash, positions and working orders of one account, and what the risk rules remember."""

    def __init__(self, cash: Decimal, instruments: Mapping[str, Instrument]) -> None:
        self.cash = money(cash)
        self.instruments = instruments
        self.positions: dict[str, Position] = {}
        self.orders: dict[str, Working] = {}
        self.entries: dict[str, Order] = {}
        """Entries still working, by symbol."""
        self.day_equity = self.cash
        self.day_end = 0
        self.losses_in_row = 0
        self.trading_state = "ACTIVE"
        self.state_reason = ""
        self.flattening = False
        """The account is to be flat and to stay so: whatever still fills is closed."""
        self.trades = 0
        self.external: dict[str, ExternalSeen] = {}
        """What is held at the venue beside our own positions, by symbol: it takes slots and margin, and nobody touches it."""
        self.blocks: dict[tuple[str, str], str] = {}
        """Why no entries are taken, by symbol ("" stands for all of them) and by who says so."""
        self._last_exit: dict[str, int] = {}
        # asked for several times a decision, worked out once after each change
        self._unrealised: Decimal | None = None
        self._margin: Decimal | None = None

    # what gates and sizers read: `parts.Account`

    @property
    def unrealised(self) -> Decimal:
        """Profit of the open positions at their marks."""
        if self._unrealised is None:
            total = ZERO
            for p in self.positions.values():
                total += p.side * (self.instruments[p.symbol].notional(p.quantity, p.mark) - p.cost)
            self._unrealised = money(total)
        return self._unrealised

    @property
    def equity(self) -> Decimal:
        return self.cash + self.unrealised if self.positions else self.cash

    @property
    def margin(self) -> Decimal:
        """Margin of open positions and of entries still working."""
        if self._margin is None:
            total = ZERO
            for position in self.positions.values():
                total += position.margin
            for order in self.entries.values():
                filled = self.orders[order.id].filled
                total += order.margin if not filled else order.margin * (order.quantity - filled) / order.quantity
            for other in self.external.values():
                total += other.margin
            self._margin = total
        return self._margin

    @property
    def slots(self) -> int:
        """Symbols with a position or an entry still working, or held by somebody else; a closing position holds its slot until it
        is flat."""
        return len(self.positions) + len({*self.entries, *self.external} - self.positions.keys())

    def holds(self, symbol: str) -> bool:
        """True while `symbol` has a position or an entry still working."""
        return symbol in self.positions or symbol in self.entries

    def open_risk(self, fee: Decimal) -> Decimal:
        """What the equity loses from here when every stop fills at its price, at a `fee` of each notional yet to be traded.

        A position without a stop, and an entry whose stop nobody knows yet, may lose their margin: isolated, it is the most.
        """
        total = ZERO
        for p in self.positions.values():
            instrument = self.instruments[p.symbol]
            now = instrument.notional(p.quantity, p.mark)
            if p.stop is None:
                total += max(ZERO, p.margin + p.side * (now - p.cost))
                continue
            then = instrument.notional(p.quantity, p.stop)
            total += max(ZERO, p.side * (now - then)) + fee * then
        for order in self.entries.values():
            share = (order.quantity - self.orders[order.id].filled) / order.quantity
            risk = order.risk + 2 * fee * order.margin * order.leverage if order.risk else order.margin
            total += risk * share
        return total

    def blocked(self, symbol: str) -> str:
        """Why the venue takes no entry in `symbol` now; empty when it does."""
        if not self.blocks:
            return ""
        return next((reason for (where, _), reason in self.blocks.items() if where in ("", symbol)), "")

    def last_exit(self, symbol: str) -> int | None:
        """When the symbol's last position became flat, ms."""
        return self._last_exit.get(symbol)

    # what changes it

    def apply(self, record: Record) -> Trade | None:
        """Take in one record; the trade it completed, if it did. Raises `MoneyError` for what cannot be."""
        self._unrealised = self._margin = None
        kind = type(record)
        if kind is Fill:
            return self._fill(record)  # type: ignore[arg-type]
        if kind is Order:
            self._place(record)  # type: ignore[arg-type]
        elif kind is Marked:
            self._mark(record)  # type: ignore[arg-type]
        elif kind is Funded:
            self._fund(record)  # type: ignore[arg-type]
        elif kind is OrderEnded:
            self._end(record)  # type: ignore[arg-type]
        elif kind is DayOpened:
            self._open_day(record)  # type: ignore[arg-type]
        elif kind is StateSet:
            self.trading_state, self.state_reason = record.state, record.reason  # type: ignore[union-attr]
            # once flattening, only trading again ends it
            self.flattening = record.state != "ACTIVE" and (self.flattening or record.flatten)  # type: ignore[union-attr]
        elif kind is StreakReset:
            self.losses_in_row = 0
        elif kind is OrderFound:
            self._place(record.order)  # type: ignore[union-attr]
        elif kind is ExternalSeen:
            self._beside(record)  # type: ignore[arg-type]
        elif kind is Transferred:
            self.cash += record.amount  # type: ignore[union-attr]
            self.day_equity += record.amount  # type: ignore[union-attr]
        elif kind is Blocked:
            self._block(record)  # type: ignore[arg-type]
        return None

    def mark(self, symbol: str, price: Decimal) -> None:
        """The last price of a symbol held."""
        self.positions[symbol].mark = price
        self._unrealised = None

    def _place(self, order: Order) -> None:
        if order.id in self.orders:
            return
        if order.purpose is Purpose.ENTRY:
            self.entries[order.symbol] = order
        elif order.purpose is Purpose.STOP:
            position = self.positions.get(order.symbol)
            if position is None:
                raise MoneyError(f"{order.symbol}: stop {order.id} has no position to protect")
            position.stop = order.price
            for other in [w.order for w in self.orders.values() if w.order.symbol == order.symbol]:
                if other.purpose is Purpose.STOP:
                    del self.orders[other.id]
        self.orders[order.id] = Working(order)

    def _fill(self, fill: Fill) -> Trade | None:
        working = self.orders.get(fill.order_id)
        if working is None:
            raise MoneyError(f"{fill.symbol}: fill {fill.id} belongs to order {fill.order_id}, which the book does not know")
        order = working.order
        position = self.positions.get(fill.symbol)
        # nothing is changed before all of it is known to be possible
        self._check(fill, working, position)
        working.filled += fill.quantity
        working.fills += (fill.id,)
        if working.filled == order.quantity:
            del self.orders[order.id]
            if order.purpose is Purpose.ENTRY:
                del self.entries[order.symbol]
        notional = money(self.instruments[fill.symbol].notional(fill.quantity, fill.price))
        self.cash -= fill.fee
        if order.purpose is Purpose.ENTRY:
            self._enter(order, fill, position, notional)
            return None
        assert position is not None
        return self._reduce(fill, position, notional)

    @staticmethod
    def _check(fill: Fill, working: Working, position: Position | None) -> None:
        order = working.order
        if fill.id in working.fills:
            raise MoneyError(f"{fill.symbol}: fill {fill.id} of order {order.id} was reported twice")
        if working.filled + fill.quantity > order.quantity:
            raise MoneyError(f"{fill.symbol}: fill {fill.id} makes more than the {order.quantity} contracts of order {order.id}")
        if order.purpose is Purpose.ENTRY:
            if position is not None and position.side != fill.side:
                raise MoneyError(f"{fill.symbol}: entry {fill.id} is on the other side of the open position")
        elif position is None or fill.side == position.side or fill.quantity > position.quantity:
            raise MoneyError(f"{fill.symbol}: exit {fill.id} of {fill.quantity} contracts exceeds the position")

    def _enter(self, order: Order, fill: Fill, position: Position | None, notional: Decimal) -> None:
        if position is None:
            self.positions[fill.symbol] = Position(order, fill, notional)
            return
        position.quantity += fill.quantity
        position.entered += fill.quantity
        position.cost += notional
        position.paid += notional
        position.fees += fill.fee
        position.price = position.cost / (position.quantity * self.instruments[fill.symbol].multiplier)

    def _reduce(self, fill: Fill, position: Position, notional: Decimal) -> Trade | None:
        whole = fill.quantity == position.quantity
        cost = position.cost if whole else money(position.cost * fill.quantity / position.quantity)
        gross = position.side * (notional - cost)
        self.cash += gross
        position.cost -= cost
        position.quantity -= fill.quantity
        position.gross += gross
        position.fees += fill.fee
        position.exit_notional += notional
        return self._close(fill, position) if whole else None

    def _close(self, fill: Fill, position: Position) -> Trade:
        symbol = position.symbol
        del self.positions[symbol]
        for order_id in [i for i, w in self.orders.items() if w.order.symbol == symbol and w.order.purpose is not Purpose.ENTRY]:
            del self.orders[order_id]
        self._last_exit[symbol] = fill.ts
        self.trades += 1
        net = position.gross - position.fees + position.funding
        if net > 0:
            self.losses_in_row = 0
        elif net < 0:
            self.losses_in_row += 1
        size = position.entered * self.instruments[symbol].multiplier
        alone = position.exit_notional == money(size * fill.price)
        return Trade(
            symbol=symbol,
            side="long" if position.side > 0 else "short",
            entry_ts=position.entry_ts,
            entry_price=position.price if position.paid == money(size * position.price) else money(position.paid / size),
            exit_ts=fill.ts,
            exit_price=fill.price if alone else money(position.exit_notional / size),
            quantity=position.entered,
            leverage=position.leverage,
            gross=position.gross,
            fees=position.fees,
            funding=position.funding,
            net=net,
            exit_reason=fill.reason,
            decision_id=position.decision_id,
        )

    def _fund(self, funded: Funded) -> None:
        position = self.positions.get(funded.symbol)
        if position is None and not funded.id:
            raise MoneyError(f"{funded.symbol}: funding of {funded.amount} has no position to belong to")
        self.cash += funded.amount
        # a venue may tell of a settlement after its position has been left
        if position is not None:
            position.funding += funded.amount

    def _beside(self, seen: ExternalSeen) -> None:
        if seen.quantity:
            self.external[seen.symbol] = seen
        else:
            self.external.pop(seen.symbol, None)

    def _block(self, blocked: Blocked) -> None:
        if blocked.reason:
            self.blocks[blocked.symbol, blocked.by] = blocked.reason
        else:
            self.blocks.pop((blocked.symbol, blocked.by), None)

    def _end(self, ended: OrderEnded) -> None:
        working = self.orders.pop(ended.order_id, None)
        if working is not None and self.entries.get(ended.symbol) is working.order:
            del self.entries[ended.symbol]

    def _open_day(self, day: DayOpened) -> None:
        self.day_equity = day.equity
        self.day_end = day.end
        if day.streak_cleared:
            self.losses_in_row = 0

    def _mark(self, marked: Marked) -> None:
        for symbol, price in marked.prices.items():
            if symbol in self.positions:
                self.positions[symbol].mark = price
