"""A live account to trade at in tests: the real engine, book and venue, in virtual time, at an exchange that does as it is told."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from decimal import Decimal
from random import Random
from typing import Any

import msgspec

from desk import BTC, INSTRUMENT, ToldScorer, desk_plan
from enigma_core import records
from enigma_core.book import Book
from enigma_core.engine import Engine, Record
from enigma_core.model import Fill, Instrument, Order, OrderEnded, OrderFound, OrderSeen, Purpose, Side, StateSet, Trade
from enigma_core.parts import Ports, Report
from enigma_core.plan import Plan
from enigma_core.shells.driving import answered, put, sent
from enigma_exchange.account import LiveAccount, Timing
from enigma_exchange.naming import client_id
from enigma_exchange.port import (
    Absent,
    Balance,
    Denied,
    Held,
    KeyRights,
    Known,
    Listed,
    Moved,
    Nudge,
    OrderState,
    Placing,
    Refused,
    Settled,
    Throttled,
    Traded,
    Unclear,
)
from enigma_simulation.loop import VirtualLoop
from markets import START

FEE = Decimal("0.0006")


class Kept(msgspec.Struct):
    """An order as the fake exchange keeps it."""

    id: str
    placing: Placing
    made: float
    filled: Decimal = Decimal(0)
    open: bool = True
    waits: bool = False
    cancelled: bool = False


class FakeExchange:
    """The port `Account`, in memory. Market orders fill at `price` at once; what goes wrong is written into it by the test."""

    def __init__(self, symbols: Mapping[str, Instrument], price: Decimal = Decimal(50_000)) -> None:
        self.symbols = dict(symbols)
        self.price = dict.fromkeys(symbols, price)
        self.orders: dict[str, Kept] = {}
        self.trades: list[tuple[float, Traded]] = []
        self.positions: dict[str, list[Decimal]] = {}
        """Signed contracts and mean price."""
        self.wallet = Decimal(10_000)
        self.latency = 0.02
        self.lag = 0.0
        """Seconds until an order can be seen by a look."""
        self.fills_lag = 0.0
        self.down = False
        self.denied = False
        self.takes: Decimal | None = None
        """How much of the next market order fills; the rest waits."""
        self.script: dict[str, deque[str]] = {}
        """What comes of the next calls of a method, in turn: lost, dropped, late, refused, known, throttled, denied."""
        self.calls: list[tuple[float, str, Any]] = []
        self.cross: set[str] = set()
        self.closed: set[str] = set()
        self.may_withdraw = False
        self.skew = 0
        self.rows: list[Settled] = []
        self.moves: list[Moved] = []
        self.empty_held = 0
        """So many looks at positions show nothing."""
        self.leverage_shown: Decimal | None = None
        self.tops_up = False
        self.nudge: Callable[[Nudge], None] | None = None
        self.silent = False
        """Nothing is pushed."""
        self._n = 0

    # what tests do

    def next(self, method: str, *outcomes: str) -> None:
        self.script.setdefault(method, deque()).extend(outcomes)

    def sent(self, method: str) -> list[Any]:
        return [what for _, name, what in self.calls if name == method]

    def of(self, order_id: str) -> Kept:
        return next(o for o in self.orders.values() if o.placing.client_id == client_id(order_id))

    def at_work(self) -> list[Kept]:
        return [o for o in self.orders.values() if o.open]

    def net(self, symbol: str = BTC) -> Decimal:
        return self.positions.get(symbol, [Decimal(0)])[0]

    def move(self, price: float, symbol: str = BTC) -> None:
        """The mark price moves: stops are triggered, limits filled."""
        self.price[symbol] = p = Decimal(repr(price))
        for order in list(self.orders.values()):
            placing = order.placing
            if not order.open or placing.symbol != symbol or placing.price is None:
                continue
            if order.waits:
                if (p <= placing.price) if placing.falls else (p >= placing.price):
                    order.waits = False
                    self._match(order)
            elif placing.kind == "limit" and (p - placing.price) * placing.side <= 0:
                self._fill(order, placing.quantity - order.filled, placing.price)

    def by_hand(self, side: Side, quantity: int, symbol: str = BTC, kind: str = "trade") -> None:
        """Somebody trades on the same account."""
        order = self._make(Placing(client_id="", symbol=symbol, side=side, quantity=Decimal(quantity), kind="market"))
        self._fill(order, Decimal(quantity), self.price[symbol], kind)

    def cancel_by_hand(self, order: Kept) -> None:
        order.open, order.cancelled = False, True
        self._push(
            Nudge(topic="stop" if order.waits else "order", symbol=order.placing.symbol, venue_id=order.id, state="canceled")
        )

    def fund(self, amount: str, symbol: str = BTC) -> None:
        self._n += 1
        now = self.now()
        self.rows.append(
            Settled(
                id=f"f{self._n}", symbol=symbol, ts=now, rate=Decimal("0.0001"), price=self.price[symbol], amount=Decimal(amount)
            )
        )
        self.wallet += Decimal(amount)

    def deposit(self, amount: str) -> None:
        self._n += 1
        self.moves.append(Moved(id=f"m{self._n}", ts=self.now(), amount=Decimal(amount), reason="deposit"))
        self.wallet += Decimal(amount)

    # inside

    def now(self) -> int:
        return START + round(asyncio.get_running_loop().time() * 1000) + self.skew

    def _push(self, nudge: Nudge) -> None:
        if self.nudge is not None and not self.silent:
            asyncio.get_running_loop().call_later(0.01, self.nudge, nudge)

    def _make(self, placing: Placing) -> Kept:
        self._n += 1
        order = Kept(f"v{self._n}", placing, asyncio.get_running_loop().time(), waits=placing.kind == "stop")
        self.orders[order.id] = order
        return order

    def _match(self, order: Kept) -> None:
        """A market order meets the market."""
        placing = order.placing
        wanted = placing.quantity
        if placing.reduce_only:
            wanted = min(wanted, max(Decimal(0), -placing.side * self.net(placing.symbol)))
            if not wanted:
                order.open, order.cancelled = False, True
                return
        if self.takes is not None:
            part, self.takes = min(self.takes, wanted), None
            if part:
                self._fill(order, part, self.price[placing.symbol])
            return
        self._fill(order, wanted, self.price[placing.symbol])
        if order.filled < placing.quantity:
            order.open, order.cancelled = False, True

    def _fill(self, order: Kept, quantity: Decimal, price: Decimal, kind: str = "trade") -> None:
        placing = order.placing
        instrument = self.symbols[placing.symbol]
        fee = instrument.notional(quantity, price) * FEE
        self._n += 1
        order.filled += quantity
        if order.filled >= placing.quantity:
            order.open = False
        held = self.positions.setdefault(placing.symbol, [Decimal(0), price])
        change = placing.side * quantity
        if held[0] * change < 0:
            closed = min(abs(held[0]), quantity)
            sign = 1 if held[0] > 0 else -1
            self.wallet += sign * instrument.notional(closed, price - held[1])
        if (held[0] + change) * held[0] <= 0:
            held[1] = price
        elif held[0] * change > 0:
            held[1] = (abs(held[0]) * held[1] + quantity * price) / (abs(held[0]) + quantity)
        held[0] += change
        self.wallet -= fee
        trade = Traded(
            id=f"t{self._n}",
            venue_id=order.id,
            client_id="",
            symbol=placing.symbol,
            side=placing.side,
            quantity=quantity,
            price=price,
            fee=fee,
            ts=self.now(),
            kind=kind,
        )
        self.trades.append((asyncio.get_running_loop().time(), trade))
        self._push(Nudge(topic="order", symbol=placing.symbol, client_id=placing.client_id, venue_id=order.id, state="match"))
        self._push(Nudge(topic="position", symbol=placing.symbol))

    async def _call(self, method: str, what: Any, work: Callable[[], Any]) -> Any:
        self.calls.append((asyncio.get_running_loop().time(), method, what))
        await asyncio.sleep(self.latency / 2)
        script = self.script.get(method)
        outcome = script.popleft() if script else ""
        if self.down or outcome == "dropped":
            await asyncio.sleep(1.0)
            raise Unclear("it did not answer in time")
        if self.denied or outcome == "denied":
            raise Denied("the key is not known", "400003")
        if outcome == "refused":
            raise Refused("not like this", "300003")
        if outcome == "known":
            work()
            raise Known("an order of this id exists", "126044")
        if outcome == "throttled":
            raise Throttled("too many requests", "429000", after=2.0)
        if outcome == "late":
            asyncio.get_running_loop().call_later(600, work)
            raise Unclear("it did not answer in time")
        try:
            answer = work()
        finally:
            await asyncio.sleep(self.latency / 2)
        if outcome == "lost":
            raise Unclear("the answer was lost")
        if outcome == "slow":
            await asyncio.sleep(5.0)
        return answer

    # the port

    async def place(self, order: Placing) -> str:
        def work() -> str:
            if any(o.placing.client_id == order.client_id for o in self.orders.values()):
                raise Known("an order of this id exists", "126044")
            most = self.symbols[order.symbol].max_quantity
            if most is not None and order.quantity > most:
                raise Refused("more than one order may be", "300000")
            if order.kind == "stop":
                assert order.price is not None
                now = self.price[order.symbol]
                if (now <= order.price) if order.falls else (now >= order.price):
                    raise Refused("the price is through it", "300012")
            if order.reduce_only and order.kind != "stop" and -order.side * self.net(order.symbol) <= 0:
                raise Refused("there is nothing to close", "300009")
            made = self._make(order)
            if order.kind == "market":
                self._match(made)
            return made.id

        return str(await self._call("place", order, work))

    async def cancel(self, symbol: str, venue_id: str = "", client_id: str = "", *, stop: bool = False) -> None:
        def work() -> None:
            for order in self.orders.values():
                if order.open and (order.id == venue_id or (client_id and order.placing.client_id == client_id)):
                    order.open, order.cancelled = False, True
                    return
            raise Absent("there is none", "100004")

        await self._call("cancel", venue_id or client_id, work)

    async def cancel_all(self, symbol: str | None = None) -> None:
        def work() -> None:
            for order in self.orders.values():
                if order.open and symbol in (None, order.placing.symbol):
                    order.open, order.cancelled = False, True

        await self._call("cancel_all", symbol, work)

    def _state(self, order: Kept) -> OrderState:
        p = order.placing
        return OrderState(
            venue_id=order.id,
            client_id=p.client_id,
            symbol=p.symbol,
            side=p.side,
            quantity=p.quantity,
            filled=order.filled,
            open=order.open,
            stop=order.waits,
            ts=START + round(order.made * 1000),
            price=p.price,
            reduce_only=p.reduce_only,
            cancelled=order.cancelled,
        )

    def _visible(self, order: Kept) -> bool:
        return asyncio.get_running_loop().time() - order.made >= self.lag

    async def find(self, symbol: str, client_id: str, *, stop: bool = False) -> OrderState:
        def work() -> OrderState:
            for order in self.orders.values():
                if order.placing.client_id == client_id and self._visible(order):
                    return self._state(order)
            raise Absent("there is none", "100001")

        return await self._call("find", client_id, work)  # type: ignore[no-any-return]

    async def working(self) -> Sequence[OrderState]:
        seen = lambda: [self._state(o) for o in self.orders.values() if o.open and self._visible(o)]  # noqa: E731
        return await self._call("working", None, seen)  # type: ignore[no-any-return]

    async def fills(self, since: int) -> Sequence[Traded]:
        def work() -> list[Traded]:
            now = asyncio.get_running_loop().time()
            return [t for at, t in self.trades if t.ts >= since and now - at >= self.fills_lag]

        return await self._call("fills", since, work)  # type: ignore[no-any-return]

    async def held(self) -> Sequence[Held]:
        def work() -> list[Held]:
            if self.empty_held:
                self.empty_held -= 1
                return []
            return [
                Held(
                    symbol=s,
                    side=1 if net > 0 else -1,
                    quantity=abs(net),
                    price=price,
                    leverage=self.leverage_shown or Decimal(6),
                    margin=self.symbols[s].notional(abs(net), price) / 6,
                    isolated=s not in self.cross,
                    tops_up=self.tops_up,
                )
                for s, (net, price) in self.positions.items()
                if net
            ]

        return await self._call("held", None, work)  # type: ignore[no-any-return]

    async def balance(self) -> Balance:
        return await self._call(  # type: ignore[no-any-return]
            "balance", None, lambda: Balance(wallet=self.wallet, equity=self.wallet, available=self.wallet)
        )

    async def settled(self, symbol: str, since: int) -> Sequence[Settled]:
        rows = [r for r in self.rows if r.symbol == symbol and r.ts >= since]
        return await self._call("settled", symbol, lambda: rows)  # type: ignore[no-any-return]

    async def moved(self, since: int) -> Sequence[Moved]:
        return await self._call("moved", since, lambda: [m for m in self.moves if m.ts >= since])  # type: ignore[no-any-return]

    async def rights(self) -> KeyRights:
        may = KeyRights(trade=True, withdraw=self.may_withdraw, transfer=False, addresses=("203.0.113.7",))
        return await self._call("rights", None, lambda: may)  # type: ignore[no-any-return]

    async def listed(self) -> Mapping[str, Listed]:
        return await self._call(  # type: ignore[no-any-return]
            "listed",
            None,
            lambda: {
                s: Listed(
                    instrument=i,
                    open=s not in self.closed,
                    mark=self.price[s],
                    index=self.price[s],
                    turnover=Decimal(0),
                    funding=Decimal(0),
                    next_funding=0,
                    funding_hours=8.0,
                )
                for s, i in self.symbols.items()
            },
        )

    async def time(self) -> int:
        return await self._call("time", None, self.now)  # type: ignore[no-any-return]

    async def isolated(self, symbol: str) -> bool:
        return await self._call("isolated", symbol, lambda: symbol not in self.cross)  # type: ignore[no-any-return]

    async def isolate(self, symbol: str) -> None:
        await self._call("isolate", symbol, lambda: self.cross.discard(symbol))

    async def listen(self, nudge: Callable[[Nudge], None]) -> None:
        self.nudge = nudge
        nudge(Nudge(topic="gap"))
        await asyncio.Event().wait()

    async def close(self) -> None:
        pass


class LiveDesk:
    """One account, live. Use within `live`; what was written down outlives `crash`."""

    def __init__(
        self,
        *,
        plan: Plan | None = None,
        exchange: FakeExchange | None = None,
        timing: Timing | None = None,
        journal: list[Record] | None = None,
        instruments: Mapping[str, Instrument] | None = None,
        wall: Callable[[], int] | None = None,
    ) -> None:
        self.plan = plan or desk_plan()
        self.wall = wall or (lambda: START + round(asyncio.get_running_loop().time() * 1000))
        self.timing = timing
        self.instruments = dict(instruments or {BTC: INSTRUMENT})
        self.exchange = exchange or FakeExchange(self.instruments)
        self.records: list[Record] = journal if journal is not None else []
        self.book = Book(Decimal(0), self.instruments)
        for record in self.records:
            if records.TAGS[type(record)] not in records.BESIDE:
                self.book.apply(record)  # type: ignore[arg-type]
        self.engine = Engine(self.plan, self.book, self.instruments, {s: ToldScorer(s) for s in self.instruments})
        for symbol in self.book.positions:
            self.engine.resume(symbol, [])
        self._keys = {records.key(r) for r in self.records} - {None}
        since = max((getattr(r, "ts", 0) for r in self.records), default=0)
        self.ports = Ports(
            instruments=self.instruments,
            costs=self.plan.costs,
            funding={},
            account=self.book,
            since=since,
            mode="live",
            recorded=lambda kind, name: f"{kind}:{name}" in self._keys,
            known=self.known,
            wall=self.wall,
        )
        self.venue = LiveAccount(self.exchange, self.ports, timing)
        self.ready = asyncio.Event()
        self.held_back = False
        """Nothing is on disk yet: what is decided waits."""
        self._unwritten: list[Future[None]] = []
        self._serving: asyncio.Task[None] | None = None
        self._numbers = 0

    # the run

    async def start(self, *, ready: bool = True) -> LiveDesk:
        self._serving = asyncio.create_task(self.venue.serve(self.hear, self.ready))
        if ready:
            await self.until(self.ready.is_set, 120)
        return self

    async def crash(self, *, ready: bool = True) -> LiveDesk:
        """All memory is lost; the journal and the exchange are as they were."""
        await self.stop()
        again = LiveDesk(
            plan=self.plan, exchange=self.exchange, timing=self.timing, journal=self.records, instruments=self.instruments
        )
        again._numbers = self._numbers
        return await again.start(ready=ready)

    async def stop(self) -> None:
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)

    def hear(self, reports: Sequence[Report]) -> Future[None]:
        found: list[Record] = []
        for report in reports:
            found += answered(self.engine, self.venue, sent(self.engine.step(report), self.venue))  # type: ignore[arg-type]
        return self.write(found)

    def write(self, found: Sequence[Record]) -> Future[None]:
        written: Future[None] = Future()
        for record in found:
            key = records.key(record)  # type: ignore[arg-type]
            assert key is None or key not in self._keys, f"{key} was told twice"
            if key is not None:
                self._keys.add(key)
        self.records += found
        if self.held_back:
            self._unwritten.append(written)
        else:
            written.set_result(None)
        self.venue.dispatch(written)
        return written

    def let_go(self) -> None:
        self.held_back = False
        for written in self._unwritten:
            written.set_result(None)
        self._unwritten.clear()

    def command(self, command: Any) -> None:
        self.write(put(self.engine, self.venue, command))

    def halt(self) -> None:
        self.command(StateSet(ts=self.now, state="HALTED", reason="by hand", flatten=True))

    def known(self) -> list[Order]:
        """Orders as they were written first."""
        named: dict[str, Order] = {}
        for record in self.records:
            order = record if type(record) is Order else record.order if type(record) is OrderFound else None
            if order is not None:
                named.setdefault(order.id, order)
        return list(named.values())

    @property
    def now(self) -> int:
        return self.wall()

    # trading

    def enter(self, side: Side = 1, quantity: int = 24, symbol: str = BTC, **changes: Any) -> Order:
        """The engine wants to enter."""
        self._numbers += 1
        name = f"{symbol[:3]}-{self._numbers}"
        settings = {
            "id": f"{name}-in",
            "decision_id": name,
            "ts": self.now,
            "symbol": symbol,
            "side": side,
            "quantity": Decimal(quantity),
            "purpose": Purpose.ENTRY,
            "leverage": 6,
            "margin": Decimal(200),
        }
        order = Order(**(settings | changes))  # type: ignore[arg-type]
        found: list[Record] = []
        self.engine.place(order, found)
        self.write(sent(found, self.venue))
        return order

    async def entered(self, side: Side = 1, quantity: int = 24, symbol: str = BTC) -> Order:
        """In a position that its stop protects."""
        order = self.enter(side, quantity, symbol)
        await self.until(lambda: symbol in self.book.positions and not self.venue.protection.since)
        return order

    async def until(self, fact: Callable[[], object], seconds: float = 60.0) -> float:
        """Wait for a fact; how long it took."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not fact():
            if self._serving is not None and self._serving.done():
                self._serving.result()
            assert loop.time() - began < seconds, f"not within {seconds} s; the records: {[type(r).__name__ for r in self.records]}"
            await asyncio.sleep(0.01)
        return loop.time() - began

    def of(self, kind: type) -> list[Any]:
        return [r for r in self.records if type(r) is kind]

    @property
    def trades(self) -> list[Trade]:
        return self.of(Trade)

    @property
    def fills(self) -> list[Fill]:
        return self.of(Fill)

    def ends(self) -> list[tuple[str, str]]:
        return [(e.order_id, e.state) for e in self.of(OrderEnded)]

    def reasons(self) -> list[str]:
        """Why orders have ended."""
        return [e.reason for e in self.of(OrderEnded)]

    def states(self, order_id: str) -> list[str]:
        return [s.state for s in self.of(OrderSeen) if s.order_id == order_id]

    @property
    def agrees(self) -> bool:
        """The book holds what the exchange holds."""
        ours = {s: p.side * p.quantity for s, p in self.book.positions.items()}
        return all(self.exchange.net(s) == ours.get(s, Decimal(0)) for s in self.instruments)


def live(test: Callable[..., Awaitable[None]], *, seed: int | None = None) -> None:
    """Run a test in virtual time."""
    loop = VirtualLoop(Random(seed) if seed is not None else None)
    try:
        loop.run_until_complete(_whole(test))
    finally:
        loop.close()


async def _whole(test: Callable[..., Awaitable[None]]) -> None:
    try:
        await test()
    finally:
        rest = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
