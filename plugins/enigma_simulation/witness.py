"""Who watches a simulated world: after every step of the engine, and whenever something happens at the exchange, the invariants of
trading are looked at. What is wrong is written down and never mended.

It keeps its own account of what the records say, with plain dictionaries and none of the engine's code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from enigma_core.alert import AlertWorked
from enigma_core.book import Book
from enigma_core.model import (
    ZERO,
    Blocked,
    DayOpened,
    ExternalSeen,
    Fill,
    Funded,
    Instrument,
    Order,
    OrderEnded,
    OrderFound,
    OrderSeen,
    Purpose,
    Side,
    Sliced,
    StateSet,
    StreakReset,
    Transferred,
)
from enigma_exchange.naming import client_id, ours

if TYPE_CHECKING:
    from enigma_simulation.truth import Truth

MOST = 40
"""Violations that are written down of one seed."""

CALM = 2.0
"""Seconds that a position may be without a stop while nothing is wrong."""

FRESH = 16_000
"""How old (ms) an entry may be that is still sent: what counts as fresh, and a second look at the clock."""

TROUBLED = 10.0
"""Seconds that it may be while one thing is wrong, but the exchange can be reached."""

STORMY = 30.0
"""Seconds that it may be while several things are, or while an order to leave the position is under way."""


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """Limits that the simulated account trades under."""

    positions: int
    losses: int
    drawdown: Decimal
    leverage: int
    share: Decimal
    """Of the equity that one entry's margin may be."""
    fee: Decimal


class Violation(msgspec.Struct, frozen=True):
    """An invariant that did not hold, at this many seconds."""

    invariant: str
    at: float
    text: str


class Lot:
    """A position as the fills say."""

    __slots__ = ("cost", "net", "quantity", "side")

    def __init__(self, side: Side) -> None:
        self.side = side
        self.quantity = ZERO
        self.cost = ZERO
        self.net = ZERO


class Account:
    """What the records come to."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self.instruments = instruments
        self.cash = ZERO
        self.lots: dict[str, Lot] = {}
        self.orders: dict[str, Order] = {}
        self.filled: dict[str, Decimal] = {}
        self.fills: set[str] = set()
        self.booked: set[str] = set()
        self.worked: set[str] = set()
        self.entries: Counter[str] = Counter()
        self.external: set[str] = set()
        self.state = "ACTIVE"
        self.losses = 0
        self.stops: dict[str, tuple[str, Decimal]] = {}
        """The stop in force by symbol, and of which decision."""
        self.unknown: set[str] = set()

    def apply(self, record: Any) -> str:
        """Take a record in; what is impossible about it, empty where nothing is."""
        if isinstance(record, Order):
            return self._place(record)
        if isinstance(record, OrderFound):
            if record.order.id not in self.orders:
                # an order that was given up and has filled after all is taken over fill by fill
                self.filled[record.order.id] = ZERO
            return self._place(record.order)
        if isinstance(record, Fill):
            return self._fill(record)
        if isinstance(record, OrderEnded):
            self.orders.pop(record.order_id, None)
            self.unknown.discard(record.order_id)
        elif isinstance(record, Transferred | Funded):
            if record.id and record.id in self.booked:
                return f"INV-03 {record.id} was booked twice"
            self.booked.add(record.id)
            self.cash += record.amount
            if isinstance(record, Funded) and record.symbol in self.lots:
                self.lots[record.symbol].net += record.amount
        elif isinstance(record, StateSet):
            self.state = record.state
        elif isinstance(record, StreakReset):
            self.losses = 0
        elif isinstance(record, DayOpened):
            if record.streak_cleared:
                self.losses = 0
        elif isinstance(record, ExternalSeen):
            (self.external.add if record.quantity else self.external.discard)(record.symbol)
        elif isinstance(record, AlertWorked):
            if record.id in self.worked:
                return f"INV-06 alert {record.id} was worked twice"
            self.worked.add(record.id)
        elif isinstance(record, OrderSeen):
            if record.state == "unknown":
                self.unknown.add(record.order_id)
            elif record.state in ("working", "not_placed", "triggered"):
                self.unknown.discard(record.order_id)
        return ""

    def _place(self, order: Order) -> str:
        if order.id in self.orders:
            return ""
        wrong = ""
        if order.purpose is Purpose.STOP:
            for other in [o for o in self.orders.values() if o.symbol == order.symbol and o.purpose is Purpose.STOP]:
                del self.orders[other.id]
            if order.price is not None:
                self.stops[order.symbol] = (order.decision_id, order.price)
        elif order.purpose is Purpose.ENTRY:
            self.entries[order.decision_id] += 1
        self.orders[order.id] = order
        self.filled.setdefault(order.id, ZERO)
        return wrong

    def _fill(self, fill: Fill) -> str:
        if fill.id in self.fills:
            return f"INV-03 fill {fill.id} was applied twice"
        self.fills.add(fill.id)
        order = self.orders.get(fill.order_id)
        if order is None:
            return f"INV-17 fill {fill.id} belongs to order {fill.order_id}, which is not working"
        self.filled[order.id] += fill.quantity
        if self.filled[order.id] > order.quantity:
            return f"INV-18 order {order.id} of {order.quantity} contracts has filled {self.filled[order.id]}"
        if self.filled[order.id] == order.quantity:
            del self.orders[order.id]
            self.unknown.discard(order.id)
        self.cash -= fill.fee
        worth = (fill.quantity * self.instruments[fill.symbol].multiplier * fill.price).quantize(Decimal("1e-12"))
        lot = self.lots.get(fill.symbol)
        if order.purpose is Purpose.ENTRY:
            if lot is None:
                lot = self.lots[fill.symbol] = Lot(fill.side)
            if lot.side != fill.side:
                return f"INV-15 entry {order.id} filled against the position"
            lot.quantity += fill.quantity
            lot.cost += worth
            lot.net -= fill.fee
            return ""
        if lot is None or fill.side == lot.side or fill.quantity > lot.quantity:
            return f"INV-15 exit {order.id} of {fill.quantity} contracts exceeds what is held"
        whole = fill.quantity == lot.quantity
        cost = lot.cost if whole else (lot.cost * fill.quantity / lot.quantity).quantize(Decimal("1e-12"))
        gross = lot.side * (worth - cost)
        self.cash += gross
        lot.net += gross - fill.fee
        lot.cost -= cost
        lot.quantity -= fill.quantity
        if whole:
            del self.lots[fill.symbol]
            self.stops.pop(fill.symbol, None)
            for gone in [o.id for o in self.orders.values() if o.symbol == fill.symbol and o.purpose is not Purpose.ENTRY]:
                del self.orders[gone]
            self.losses = 0 if lot.net > 0 else self.losses + (lot.net < 0)
        return ""


class Witness:
    """Looks at one world."""

    def __init__(self, rules: Rules, instruments: Mapping[str, Instrument], truth: Truth) -> None:
        self.rules = rules
        self.instruments = instruments
        self.truth = truth
        self.account = Account(instruments)
        self.kept: list[Any] = []
        """Records that are on disk."""
        self.durable: dict[str, Order] = {}
        """Orders that are on disk, by client id."""
        self.blocks: dict[tuple[str, str], str] = {}
        self.violations: list[Violation] = []
        self.counts: Counter[str] = Counter()
        self.now = 0.0
        self.foreign: dict[str, Decimal] = {}
        """Contracts of each symbol that somebody else holds there, signed."""
        self.patience = CALM
        """Seconds that a position may be without a stop in this weather."""
        self.reach = True
        """The engine runs, and could get something done at the exchange."""
        self.paused: set[str] = set()
        """Symbols in which the exchange takes no orders."""
        self._since: dict[str, float] = {}
        self._exposed: dict[str, float] = {}
        self._looked = 0.0
        self._told: set[str] = set()
        self._sent: set[str] = set()
        self.must_halt = ""
        """Why the engine has to have halted by itself; empty where it need not."""
        self._held: dict[str, Decimal] = {}
        self.longest = 0.0
        """The longest that any position was without a stop, whatever the reason."""
        self.longest_in_reach = 0.0
        """The same, of the time in which something could have been done about it."""

    def fail(self, invariant: str, text: str, *, once: str = "") -> None:
        """Write a violation down; with `once` that one only once."""
        key = f"{invariant} {once or text}"
        if key in self._told or len(self.violations) >= MOST:
            return
        self._told.add(key)
        self.violations.append(Violation(invariant, round(self.now, 3), text))

    # the engine's steps

    def begin(self, book: Book) -> None:
        """An engine has recovered: what it knows is what the disk says."""
        self.account = Account(self.instruments)
        for record in self.kept:
            self._check(self.account.apply(record))
        self.blocks = {("", "venue"): "recovering"}
        self._compare(book, "INV-05")

    def step(self, records: Sequence[Any], book: Book) -> None:
        """What an engine has just decided, its book being at the end of it."""
        for record in records:
            self.counts[type(record).__name__] += 1
            if isinstance(record, Order):
                self._wanted(record, book)
            elif isinstance(record, Blocked):
                self._block(record)
            elif isinstance(record, OrderEnded):
                self._ended(record)
            self._check(self.account.apply(record))
            self._money(record)
        self._compare(book, "INV-01")

    def keep(self, records: Iterable[Any]) -> None:
        """These are on disk now."""
        for record in records:
            self.kept.append(record)
            order = record if isinstance(record, Order) else record.order if isinstance(record, OrderFound | Sliced) else None
            if order is not None:
                self.durable[client_id(order.id)] = order

    def _check(self, wrong: str) -> None:
        if wrong:
            invariant, _, text = wrong.partition(" ")
            self.fail(invariant, text)

    def _block(self, blocked: Blocked) -> None:
        if blocked.reason:
            self.blocks[blocked.symbol, blocked.by] = blocked.reason
        else:
            self.blocks.pop((blocked.symbol, blocked.by), None)

    def _wanted(self, order: Order, book: Book) -> None:
        lot = self.account.lots.get(order.symbol)
        if order.purpose is not Purpose.ENTRY:
            if lot is None or order.side == lot.side:
                self.fail("INV-15", f"exit {order.id} has nothing to reduce")
            elif order.quantity > lot.quantity:
                self.fail("INV-16", f"exit {order.id} of {order.quantity} contracts is more than the {lot.quantity} that are held")
            if order.purpose is Purpose.STOP and lot is not None and order.price is not None:
                self._stop(order, lot)
            return
        account, rules = self.account, self.rules
        if account.state != "ACTIVE":
            self.fail("INV-09", f"entry {order.id} while trading is {account.state}")
        for (symbol, by), reason in self.blocks.items():
            if symbol in ("", order.symbol):
                self.fail("INV-09", f"entry {order.id} though {by} blocks {symbol or 'everything'}: {reason}")
        if account.losses >= rules.losses:
            self.fail("INV-10", f"entry {order.id} after {account.losses} losses in a row")
        if account.entries[order.decision_id]:
            self.fail("INV-06", f"decision {order.decision_id} is entered a second time by {order.id}")
        if lot is not None or any(o.symbol == order.symbol and o.purpose is Purpose.ENTRY for o in account.orders.values()):
            self.fail("INV-07", f"entry {order.id} in a symbol that is held already")
        taken = {*account.lots, *account.external, *(o.symbol for o in account.orders.values() if o.purpose is Purpose.ENTRY)}
        if len(taken | {order.symbol}) > rules.positions:
            self.fail("INV-07", f"entry {order.id} takes more than {rules.positions} slots")
        if order.leverage > rules.leverage:
            self.fail("INV-08", f"entry {order.id} at {order.leverage}x")
        equity = book.equity
        if order.margin > equity * rules.share * Decimal("1.001"):
            self.fail("INV-08", f"entry {order.id} has a margin of {order.margin} on an equity of {equity}")
        gross = sum((abs(p.cost) for p in book.positions.values()), ZERO)
        gross += sum((e.margin * e.leverage for e in book.entries.values()), ZERO)
        if gross > rules.leverage * equity:
            self.fail("INV-08", f"after entry {order.id} {gross:.0f} are at work on an equity of {equity:.0f}")
        if book.day_equity > 0 and (book.day_equity - equity) / book.day_equity >= rules.drawdown:
            self.fail("INV-11", f"entry {order.id} after a day's loss of {book.day_equity - equity:.2f}")

    def _stop(self, order: Order, lot: Lot) -> None:
        assert order.price is not None
        before = self.account.stops.get(order.symbol)
        if before is not None and before[0] == order.decision_id and (order.price - before[1]) * lot.side < 0:
            self.fail("INV-14", f"stop {order.id} at {order.price} is looser than the one before at {before[1]}")
        size = lot.quantity * self.instruments[order.symbol].multiplier
        # a trailing stop may be in profit; one that is looser than the margin is beyond liquidation
        if lot.cost and (lot.cost - order.price * size) * lot.side > lot.cost / max(1, order.leverage):
            self.fail("INV-14", f"stop {order.id} at {order.price} is beyond liquidation")

    def _ended(self, ended: OrderEnded) -> None:
        order = self.account.orders.get(ended.order_id)
        known = self.truth.order(client_id(ended.order_id))
        if known is None:
            return
        if known.active:
            self.fail(
                "INV-20", f"order {ended.order_id} is said to have {ended.state} and is open at the exchange ({ended.reason})"
            )
        elif order is not None and order.purpose is Purpose.ENTRY and known.filled > self.account.filled[order.id]:
            told = self.account.filled[order.id]
            self.fail("INV-20", f"entry {order.id} ended {ended.state} with {told} of its {known.filled} filled contracts told")

    def _money(self, record: Any) -> None:
        amounts = [v for v in (getattr(record, name, None) for name in _MONEY) if v is not None]
        for value in amounts:
            if not isinstance(value, Decimal) or not value.is_finite():
                self.fail("INV-04", f"{type(record).__name__} holds {value!r} where money belongs")

    def _compare(self, book: Book, invariant: str) -> None:
        account = self.account
        if book.cash != account.cash:
            self.fail(invariant, f"cash is {book.cash} and its records come to {account.cash}", once="cash")
        mine = {s: (lot.side, lot.quantity, lot.cost) for s, lot in account.lots.items()}
        theirs = {s: (p.side, p.quantity, p.cost) for s, p in book.positions.items()}
        if mine != theirs:
            self.fail("INV-02" if invariant == "INV-01" else invariant, f"held is {theirs}, and fills come to {mine}", once="held")
        if account.orders.keys() != book.orders.keys():
            odd = sorted(account.orders.keys() ^ book.orders.keys())
            self.fail("INV-17" if invariant == "INV-01" else invariant, f"orders at work differ by {odd}", once="orders")
        elif any(account.filled[name] != w.filled for name, w in book.orders.items()):
            self.fail("INV-02", "what has filled of an order differs", once="filled")
        if account.losses != book.losses_in_row:
            text = f"{book.losses_in_row} losses in a row are counted, and there were {account.losses}"
            self.fail("INV-10", text, once=f"losses {invariant}")
        if account.state != book.trading_state:
            self.fail(invariant, f"trading is {book.trading_state}, and was set to {account.state}", once="state")

    # the exchange

    def leaves(self, body: Any, wall: int) -> None:
        """A request is about to leave the engine, whose clock is `wall`."""
        client = str(body.get("clientOid", "")) if isinstance(body, dict) else ""
        order = self.durable.get(client)
        if order is None or order.purpose is not Purpose.ENTRY or client in self._sent:
            return
        self._sent.add(client)
        if wall - order.ts > FRESH:
            self.fail("INV-09", f"entry {order.id} was sent {(wall - order.ts) / 1000:.0f} s after it was decided")

    def before_cancel(self) -> set[str]:
        """Symbols whose position is protected, and not being left. A stop that was triggered and has stalled protects no more: it
        has to go before another can take its place."""
        held = [(symbol, own) for symbol in self.instruments if (own := self._own(symbol)) and not self._leaving(symbol)]
        return {symbol for symbol, own in held if self.truth.covered(symbol, own, waiting=True)}

    def after_cancel(self, before: set[str]) -> None:
        """A cancel of ours has been done: nobody may have lost his stop by it."""
        for symbol in before:
            own, lot = self._own(symbol), self.account.lots.get(symbol)
            if lot is not None and abs(own) > lot.quantity:
                # what has only just filled is nobody's fault yet
                own = lot.quantity if own > 0 else -lot.quantity
            if own and not self.truth.covered(symbol, own) and not self._leaving(symbol):
                self.fail("INV-13", f"{symbol}: the stop was cancelled before another was there", once=f"naked {symbol} {self.now}")

    def _own(self, symbol: str) -> Decimal:
        return self.truth.held(symbol) - self.foreign.get(symbol, ZERO)

    def _leaving(self, symbol: str) -> bool:
        """A way out is on its way, or nothing is held any more as far as the engine knows."""
        orders = self.account.orders.values()
        return symbol not in self.account.lots or any(o.symbol == symbol and o.purpose is Purpose.CLOSE for o in orders)

    def asked(self, method: str, path: str, body: Any) -> None:
        """A request has reached the exchange."""
        if method != "POST" or path != "/api/v1/orders" or not isinstance(body, dict):
            return
        client = str(body.get("clientOid", ""))
        if not ours(client):
            return
        order = self.durable.get(client)
        if order is None:
            self.fail("INV-19", f"order {client} reached the exchange before it was on disk")
            return
        if order.purpose is not Purpose.ENTRY and not (body.get("reduceOnly") or body.get("closeOrder")):
            self.fail("INV-15", f"{order.purpose} {order.id} was sent without reduce-only")
        if order.purpose is Purpose.STOP and body.get("stop") != ("up" if order.side > 0 else "down"):
            self.fail("INV-14", f"stop {order.id} waits for the price to go {body.get('stop')}")
        if Decimal(str(body.get("size", 0))) > order.quantity:
            self.fail("INV-18", f"order {order.id} was sent with {body.get('size')} contracts")

    def look(self, now: float) -> None:
        """Something may have changed at the exchange."""
        passed, self._looked = now - self._looked, now
        self.now = now
        for symbol in self.instruments:
            held = self.truth.held(symbol)
            before = self._held.get(symbol, ZERO)
            if held != before:
                self._held[symbol] = held
                if held * before < 0 and not self.foreign.get(symbol) and not self._entered(symbol):
                    self.fail("INV-15", f"{symbol} went from {before} to {held} contracts: a close has flipped the position")
            own = held - self.foreign.get(symbol, ZERO)
            if not held or not own or self.truth.covered(symbol, own):
                self._since.pop(symbol, None)
                self._exposed.pop(symbol, None)
                continue
            since = self._since.setdefault(symbol, now)
            self.longest = max(self.longest, now - since)
            if now - since <= 0:
                continue
            if self.reach and symbol not in self.paused:
                exposed = self._exposed[symbol] = self._exposed.get(symbol, 0.0) + min(passed, now - since)
                self.longest_in_reach = max(self.longest_in_reach, exposed)
                limit = STORMY if self._leaving(symbol) else self.patience
                if exposed > limit:
                    text = f"{symbol}: {own} contracts had no stop at the exchange for {limit:g} s in which it could be reached"
                    self.fail("INV-13", text, once=f"{symbol} {since}")

    def _entered(self, symbol: str) -> bool:
        """What filled last was an entry, which had been held up for long."""
        order = self.durable.get(self.truth.last_filled(symbol))
        return order is not None and order.purpose is Purpose.ENTRY

    def uncovered(self) -> list[str]:
        return list(self._since)


_MONEY = ("quantity", "price", "fee", "amount", "margin", "equity", "gross", "net", "fees")
