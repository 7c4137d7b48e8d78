"""What the market does to orders: fills from bars, fees, slippage, gaps, funding, liquidation. Pure; backtest and paper share it.

One bar, in order: funding due by its open, market orders and new limit orders at its open, funding within the bar, limit orders
that its range reaches, then its range against the levels in force. Where a bar touches stop and target the stop counts; one
that opens beyond a stop fills at its open.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from decimal import Decimal

import msgspec

from enigma_core.market import BarsClosed, BookSeen, Funding, MarketEvent, MarkSeen
from enigma_core.model import ASKED, NOISE, ZERO, Bar, Fill, Funded, Instrument, Order, OrderEnded, OrderSeen, Purpose, Side, money
from enigma_core.parts import Report
from enigma_core.plan import Costs


def slipped(price: float, side: Side, instrument: Instrument, slippage: float) -> Decimal:
    """`price` made worse by `slippage` for someone who buys (+1) or sells (-1), on the next tick against him."""
    steps, scale = instrument.grid
    ticks = price * (1 + side * slippage) * scale / steps
    return instrument.at(math.ceil(ticks - NOISE) if side > 0 else math.floor(ticks + NOISE))


def liquidation_price(entry: float, side: Side, leverage: int, instrument: Instrument) -> float:
    """Where an isolated position is liquidated: e (1 - s (1/L - mmr)), on the grid of ticks."""
    exact = entry * (1 - side * (1 / leverage - float(instrument.maintenance_margin_rate)))
    return float(instrument.price(exact))


def walked(
    book: BookSeen, side: Side, quantity: Decimal, instrument: Instrument, limit: Decimal | None = None
) -> tuple[Decimal, Decimal]:
    """How many contracts of `quantity` the book fills, in whole lots and within `limit`, and at which mean price; zero where it
    has none."""
    wanted = quantity
    filled, paid = ZERO, ZERO
    for price, size in book.asks if side > 0 else book.bids:
        if not (math.isfinite(price) and price > 0):
            continue
        exact = Decimal(repr(price))
        if limit is not None and side * (exact - limit) > 0:
            continue
        there = instrument.contracts(size) if math.isfinite(size) else ZERO
        taken = min(there, wanted - filled)
        filled += taken
        paid += taken * exact
        if filled == wanted:
            break
    return filled, paid / filled if filled else ZERO


class Settlements:
    """Funding settlements of one symbol: the feed's, or a constant rate every so many hours."""

    def __init__(self, funding: Funding | None, costs: Costs) -> None:
        self._rate = costs.funding_rate
        self._step = costs.funding_hours * 3_600_000
        self._ts: list[int] | None = None
        self._rates: list[float] = []
        if funding is not None:
            self._ts, self._rates = funding.ts.tolist(), funding.rate.tolist()

    def __bool__(self) -> bool:
        return bool(self._ts) if self._ts is not None else self._rate != 0

    def expect(self, ts: int, rate: float) -> None:
        """A settlement announced for `ts`; a later word on the same moment replaces the earlier. What is no rate is not heard."""
        if not math.isfinite(rate):
            return
        if self._ts is None:
            self._ts, self._rates = [], []
        at = bisect_left(self._ts, ts)
        if at < len(self._ts) and self._ts[at] == ts:
            self._rates[at] = rate
        else:
            self._ts.insert(at, ts)
            self._rates.insert(at, rate)

    def between(self, start: int, end: int) -> list[tuple[int, Decimal]]:
        """Settlements with ``start <= ts < end`` as (ts, rate)."""
        if self._ts is not None:
            a, b = bisect_left(self._ts, start), bisect_left(self._ts, end)
            return [(self._ts[i], Decimal(repr(self._rates[i]))) for i in range(a, b)]
        if not self._rate:
            return []
        first = -(-start // self._step) * self._step
        return [(ts, self._rate) for ts in range(first, end, self._step)]


class Costing:
    """Fees and funding of one account, exact."""

    def __init__(self, costs: Costs) -> None:
        self.taker = costs.taker
        self.maker = costs.maker
        self.slippage = float(costs.slippage)

    def fill(
        self,
        order: Order,
        ts: int,
        quantity: Decimal,
        price: Decimal,
        instrument: Instrument,
        reason: str,
        *,
        maker: bool | None = None,
    ) -> Fill:
        """A fill of `order`: the maker's fee where it rested, unless `maker` says otherwise, else the taker's."""
        rested = order.resting if maker is None else maker
        return Fill(
            id=f"{order.id}#{ts}" if quantity == order.quantity else f"{order.id}#{ts}-{quantity.normalize():f}",
            order_id=order.id,
            ts=ts,
            symbol=order.symbol,
            side=order.side,
            quantity=quantity,
            price=price,
            fee=money(instrument.notional(quantity, price) * (self.maker if rested else self.taker)),
            reason=reason,
        )

    @staticmethod
    def fund(symbol: str, ts: int, rate: Decimal, side: Side, quantity: Decimal, price: Decimal, instrument: Instrument) -> Funded:
        """One settlement: -s * notional * rate."""
        amount = money(-side * instrument.notional(quantity, price) * rate)
        return Funded(ts=ts, symbol=symbol, rate=rate, price=price, amount=amount)


def since_entry(bar: Bar, entered: int, price: float) -> Bar | None:
    """What of `bar` a position entered at `entered` (ms) has seen; None where it closed before.

    Of a bar that was entered midway only its end is known to be later: it counts as the way from the entry's price to the close.
    """
    if entered <= bar.ts:
        return bar
    if entered >= bar.end:
        return None
    high, low = max(price, bar.close), min(price, bar.close)
    return Bar(bar.symbol, bar.ts, bar.end, price, high, low, bar.close, bar.volume)


LATE_BARS = 2
"""An entry that an alert asked for is not filled later than so many bars after it came."""


class Held:
    """What a simulated venue knows of one symbol: the position and the orders at work."""

    __slots__ = (
        "arriving",
        "entered",
        "leverage",
        "liquidation",
        "marked",
        "market",
        "price",
        "quantity",
        "resting",
        "side",
        "stop",
        "targets",
        "until",
    )

    def __init__(self) -> None:
        self.side: Side = 1
        self.quantity = Decimal(0)
        self.price = Decimal(0)
        self.leverage = 1
        self.liquidation = math.nan
        self.market: list[Order] = []
        self.arriving: list[Order] = []
        """Limit entries that have met no price yet."""
        self.resting: list[Order] = []
        """Limit entries that wait at their price, with the quantity that is left of them."""
        self.stop: Order | None = None
        self.targets: list[Order] = []
        self.until = 0
        self.entered = 0
        """When the position began, ms."""
        self.marked = False
        """A mark beyond liquidation was seen since the last bar."""

    @property
    def protected(self) -> bool:
        """A stop rests before liquidation."""
        return self.stop is not None and self.stop.price is not None and self.side * (float(self.stop.price) - self.liquidation) > 0


class SimulatedVenue:
    """An exchange made of bars. Orders with a known id are taken once; a stop replaces the symbol's earlier stop."""

    def __init__(self, instruments: Mapping[str, Instrument], costs: Costs, funding: Mapping[str, Funding | None]) -> None:
        self.instruments = instruments
        self.costing = Costing(costs)
        self.settlements = {s: Settlements(funding.get(s), costs) for s in instruments}
        self.held: dict[str, Held] = {}
        self._known: set[str] = set()
        self._now = 0
        self._ended: list[OrderEnded] = []

    def submit(self, order: Order) -> None:
        """Take an order in. Market orders fill at the next open; limit orders meet it and rest, or end; the others rest."""
        if order.id in self._known:
            return
        self._known.add(order.id)
        held = self.held.setdefault(order.symbol, Held())
        match order.purpose:
            case Purpose.ENTRY if order.resting:
                held.arriving.append(order)
            case Purpose.ENTRY | Purpose.CLOSE:
                held.market.append(order)
            case Purpose.STOP:
                held.stop = order
            case Purpose.TARGET:
                held.targets.append(order)

    def cancel(self, order_id: str) -> None:
        """End a working order; nothing happens when there is none of that id. The end of an entry is reported: it frees a slot."""
        for held in self.held.values():
            for order in (*held.market, *held.arriving, *held.resting):
                if order.id == order_id and order.purpose is Purpose.ENTRY:
                    self._ended.append(OrderEnded(ts=self._now, order_id=order_id, symbol=order.symbol, state="cancelled"))
            held.market = [o for o in held.market if o.id != order_id]
            held.arriving = [o for o in held.arriving if o.id != order_id]
            held.resting = [o for o in held.resting if o.id != order_id]
            held.targets = [o for o in held.targets if o.id != order_id]
            if held.stop is not None and held.stop.id == order_id:
                held.stop = None

    def restore(
        self, symbol: str, side: Side, quantity: Decimal, price: Decimal, leverage: int, since: int, entered: int = 0
    ) -> None:
        """Take over a position from a journal; its orders are submitted again after this."""
        held = self.held.setdefault(symbol, Held())
        held.side, held.quantity, held.price, held.leverage, held.until = side, quantity, price, leverage, since
        held.entered = entered
        held.liquidation = liquidation_price(float(price), side, leverage, self.instruments[symbol])

    def resume(self, order: Order, left: Decimal, *, rests: bool) -> None:
        """Take over an entry from a journal, with what is left of it; `rests`: it has met the market already, and waits."""
        self._known.add(order.id)
        held = self.held.setdefault(order.symbol, Held())
        waiting = held.resting if rests else held.arriving if order.resting else held.market
        waiting.append(msgspec.structs.replace(order, quantity=left))

    def answers(self) -> Iterator[Report]:
        """What submitted orders and cancels met at once: no fills here, where they come from bars."""
        while self._ended:
            yield self._ended.pop(0)

    def match(self, event: MarketEvent) -> Iterator[Report]:
        """What `event` does to the orders, one report at a time; orders submitted in between count at once."""
        self._now = event.ts
        if isinstance(event, BarsClosed):
            for symbol, bar in event.bars.items():
                if (held := self.held.get(symbol)) is not None:
                    yield from self._open(held, bar)
            for symbol, bar in event.bars.items():
                if (held := self.held.get(symbol)) is not None:
                    if held.resting:
                        yield from self._reached(held, bar)
                    if held.quantity:
                        yield from self._range(held, bar)
                    held.until = bar.end
            for symbol, held in self.held.items():
                if held.marked:
                    # its bar is missing, so the mark has the last word: nothing waits beyond its moment
                    yield from self._settle(held, symbol, held.liquidation, held.until, event.ts + 1)
                    yield self._liquidate(held, symbol, event.ts)
        elif isinstance(event, MarkSeen):
            held = self.held.get(event.symbol)
            if held is not None and held.quantity and held.side * (event.mark - held.liquidation) <= 0:
                if held.protected:
                    # on its way there the price may have met the stop: the bar will tell
                    held.marked = True
                else:
                    # what was due before comes first: no later bar will charge it
                    yield from self._settle(held, event.symbol, event.mark, held.until, event.ts + 1)
                    yield self._liquidate(held, event.symbol, event.ts)
        while self._ended:
            yield self._ended.pop(0)

    def _open(self, held: Held, bar: Bar) -> Iterator[Report]:
        settlements = self.settlements[bar.symbol]
        if held.quantity and settlements:
            yield from self._settle(held, bar.symbol, bar.open, held.until, bar.ts + 1)
        # an order that came after this open has to wait for the next
        while (order := next((o for o in held.market if o.ts <= bar.ts), None)) is not None:
            held.market.remove(order)
            if order.purpose is Purpose.ENTRY and order.reason == ASKED and bar.ts - order.ts > LATE_BARS * (bar.end - bar.ts):
                why = "no bar has opened in time"
                yield OrderEnded(ts=bar.ts, order_id=order.id, symbol=order.symbol, state="expired", reason=why)
                continue
            yield self.take(held, order, bar.symbol, bar.ts, bar.open)
        while (order := next((o for o in held.arriving if o.ts <= bar.ts), None)) is not None:
            held.arriving.remove(order)
            crossed = order.price is not None and order.side * (bar.open - float(order.price)) <= 0
            yield from self.arrive(held, order, bar.ts, order.quantity if crossed else ZERO, bar.open, crossed=crossed)
        if held.quantity and settlements:
            yield from self._settle(held, bar.symbol, bar.open, max(held.until, bar.ts + 1), bar.end)

    def _settle(self, held: Held, symbol: str, price: float, start: int, end: int) -> Iterator[Report]:
        instrument = self.instruments[symbol]
        exact = instrument.price(price)
        for ts, rate in self.settlements[symbol].between(start, end):
            yield self.costing.fund(symbol, ts, rate, held.side, held.quantity, exact, instrument)

    def slips(self, price: float | Decimal, side: Side, instrument: Instrument) -> Decimal:
        """What a market order pays that meets `price`."""
        return slipped(float(price), side, instrument, self.costing.slippage)

    def take(
        self, held: Held, order: Order, symbol: str, ts: int, price: float | Decimal, quantity: Decimal | None = None
    ) -> Report:
        """A market order meets `price`: the fill, of the whole order unless `quantity` says less."""
        instrument = self.instruments[symbol]
        if order.purpose is Purpose.CLOSE and not held.quantity:
            return OrderEnded(ts=ts, order_id=order.id, symbol=symbol, state="cancelled", reason="nothing left to close")
        size = quantity if quantity is not None else order.quantity
        if order.purpose is Purpose.CLOSE:
            size = min(size, held.quantity)
        fill = self.costing.fill(order, ts, size, self.slips(price, order.side, instrument), instrument, order.reason)
        self._filled(held, order, fill)
        return fill

    def arrive(
        self, held: Held, order: Order, ts: int, size: Decimal, price: float | Decimal, *, crossed: bool
    ) -> Iterator[Report]:
        """A limit entry meets the market: `size` of it trades at once at `price`, the rest waits, or ends with it (IOC).

        `crossed`: the market is within its price. One that is to rest (post-only) is then rejected.
        """
        if crossed and order.post_only:
            why = "it would have traded at once"
            yield OrderEnded(ts=ts, order_id=order.id, symbol=order.symbol, state="rejected", reason=why)
            return
        left = order.quantity - size
        if left and order.lasts != "IOC":
            # in its place before anybody hears of the fill, and may call it off
            held.resting.append(msgspec.structs.replace(order, quantity=left))
            yield OrderSeen(ts=ts, order_id=order.id, symbol=order.symbol, state="working")
        if size:
            assert order.price is not None
            worse = self.slips(price, order.side, self.instruments[order.symbol])
            met = min(worse, order.price) if order.side > 0 else max(worse, order.price)
            yield self._part(held, order, ts, size, met, maker=False)
        if left and order.lasts == "IOC":
            why = "nothing more at its price"
            yield OrderEnded(ts=ts, order_id=order.id, symbol=order.symbol, state="cancelled", reason=why)

    def reach(self, held: Held, order: Order, ts: int, size: Decimal) -> Report:
        """The market has come to a limit entry that waits: so much of it fills at its price, for the maker's fee."""
        assert order.price is not None
        at = held.resting.index(order)
        left = order.quantity - size
        held.resting[at : at + 1] = [msgspec.structs.replace(order, quantity=left)] if left else []
        return self._part(held, order, ts, size, order.price, maker=True)

    def _part(self, held: Held, order: Order, ts: int, size: Decimal, price: Decimal, *, maker: bool) -> Fill:
        fill = self.costing.fill(order, ts, size, price, self.instruments[order.symbol], order.reason, maker=maker)
        if size != order.quantity:
            # several parts of one size may fill within one moment: what is left tells them apart
            left = order.quantity - size
            fill = msgspec.structs.replace(fill, id=f"{order.id}#{ts}-r{left.normalize():f}")
        self._filled(held, order, fill)
        return fill

    def _reached(self, held: Held, bar: Bar) -> Iterator[Report]:
        for order in tuple(held.resting):
            if order not in held.resting or order.price is None or order.ts >= bar.end:
                continue
            # of a bar in which it came only the close is known to be later
            extreme = bar.close if order.ts > bar.ts else bar.low if order.side > 0 else bar.high
            if order.side * (extreme - float(order.price)) <= 0:
                yield self.reach(held, order, bar.end, order.quantity)

    def _filled(self, held: Held, order: Order, fill: Fill) -> None:
        if order.purpose is Purpose.ENTRY:
            if not held.quantity:
                held.entered = fill.ts
            total = held.quantity + fill.quantity
            held.price = fill.price if not held.quantity else (held.price * held.quantity + fill.price * fill.quantity) / total
            held.side, held.quantity, held.leverage = order.side, total, order.leverage
            held.liquidation = liquidation_price(float(held.price), held.side, held.leverage, self.instruments[order.symbol])
            # who enters in the moment of a settlement does not take part in it
            held.until = max(held.until, fill.ts + 1)
            return
        held.quantity -= fill.quantity
        if not held.quantity:
            held.marked = False
            held.stop, held.targets, held.market = None, [], [o for o in held.market if o.purpose is Purpose.ENTRY]

    def _range(self, held: Held, whole: Bar) -> Iterator[Report]:
        bar = since_entry(whole, held.entered, float(held.price))
        if bar is None:
            return
        instrument = self.instruments[bar.symbol]
        side = held.side
        worst, best = (bar.low, bar.high) if side > 0 else (bar.high, bar.low)
        if side * (bar.open - held.liquidation) <= 0:
            yield self._liquidate(held, bar.symbol, bar.end)
            return
        stop = held.stop
        if stop is not None and stop.price is not None:
            level = float(stop.price)
            if side * (level - held.liquidation) > 0 and side * (worst - level) <= 0:
                met = min(level, bar.open) if side > 0 else max(level, bar.open)
                price = slipped(met, stop.side, instrument, self.costing.slippage)
                fill = self.costing.fill(stop, bar.end, held.quantity, price, instrument, stop.reason)
                self._filled(held, stop, fill)
                yield fill
                return
        if held.marked or side * (worst - held.liquidation) <= 0:
            yield self._liquidate(held, bar.symbol, bar.end)
            return
        for target in list(held.targets):
            assert target.price is not None
            if held.quantity and side * (best - float(target.price)) >= 0:
                held.targets.remove(target)
                size = min(target.quantity, held.quantity)
                fill = self.costing.fill(target, bar.end, size, target.price, instrument, target.reason)
                self._filled(held, target, fill)
                yield fill

    def _liquidate(self, held: Held, symbol: str, ts: int) -> Fill:
        """The venue takes an isolated position at its liquidation price: the margin is the most that can be lost."""
        order = held.stop or next((o for o in held.market if o.purpose is Purpose.CLOSE), None)
        assert order is not None, "every position has a stop or is being closed"
        instrument = self.instruments[symbol]
        fill = self.costing.fill(order, ts, held.quantity, instrument.price(held.liquidation), instrument, "liquidation")
        self._filled(held, order, fill)
        return fill
