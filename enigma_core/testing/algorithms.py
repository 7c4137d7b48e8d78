"""The contract of order algorithms: never more than is left, always the same, whatever the book says, and over some time."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from enigma_core.market import BookSeen, Market, MarketEvent
from enigma_core.model import Fill, Instrument, Order, OrderEnded, Purpose, Side
from enigma_core.parts import Algorithm, Piece, Report, Work
from enigma_core.slicing import Slicer, flaw
from enigma_core.testing.fakes import make_account, make_instrument
from enigma_core.testing.finding import FAILED, Inspection, clip
from enigma_core.testing.generators import DAWN
from enigma_core.testing.live import moments

LONGEST = 7 * 86_400_000
"""ms after which every order must have come to an end."""

MOST_ASKS = 5_000


def listings() -> dict[str, Instrument]:
    """Instruments of any grain."""
    return {
        "lots of one contract": make_instrument(),
        "lots of 0.01 and a minimum of 0.05": make_instrument(lot=Decimal("0.01"), min_quantity=Decimal("0.05")),
        "lots of 7 and a minimum of 21": make_instrument(lot=Decimal(7), min_quantity=Decimal(21)),
    }


def entry(instrument: Instrument, lots: int = 6, side: Side = 1) -> Order:
    """An entry of so many times the minimum."""
    return Order(
        id=f"BTCUSDT-30m-1735689600-{side}{lots}-in",
        decision_id=f"BTCUSDT-30m-1735689600-{side}{lots}",
        ts=DAWN,
        symbol=instrument.symbol,
        side=side,
        quantity=instrument.min_quantity * lots,
        purpose=Purpose.ENTRY,
        leverage=6,
        margin=Decimal(100),
    )


def works(instrument: Instrument) -> Iterator[tuple[str, Work]]:
    """An entry at all stages of its life."""
    sides: tuple[Side, ...] = (1, -1)
    for side in sides:
        for lots in (1, 6, 1_000):
            order = entry(instrument, lots, side)
            yield f"a fresh order of {order.quantity}, side {side}", Work(order=order, instrument=instrument)
            part = msgspec.structs.replace(
                order, id=f"{order.id}-s1", parent=order.id, quantity=order.quantity // 2 // instrument.lot * instrument.lot
            )
            if part.quantity < instrument.min_quantity:
                continue
            rests = msgspec.structs.replace(part, price=Decimal(50_000), resting=True, post_only=True)
            for what, piece in (
                ("half of it filled", Piece(order=part, filled=part.quantity, working=False)),
                ("half of it at the market", Piece(order=part, filled=Decimal(0), working=True)),
                ("half of it resting", Piece(order=rests, filled=Decimal(0), working=True)),
                ("a slice that was refused", Piece(order=rests, filled=Decimal(0), working=False)),
                ("a lot of it filled", Piece(order=rests, filled=instrument.lot, working=True)),
            ):
                yield (
                    f"an order of {order.quantity}, side {side}, {what}",
                    Work(order=order, instrument=instrument, pieces=(piece,)),
                )


def inspect(inspection: Inspection, part: Algorithm) -> None:
    """What is advised can be done, at any stage and in any market; nothing is changed; and each order comes to its end."""
    for name, market in moments().items():
        before, twin = repr(market), copy.deepcopy(market)
        for listing, instrument in listings().items():
            # the grain of an instrument and the state of a market have little to do with each other
            if listing != "lots of one contract" and name not in ("an empty market", "a heavy bid"):
                continue
            for stage, work in works(instrument):
                for later in (0, 1_000, 60_000, 86_400_000):
                    where = f"advise(work, market, now) with {stage}, {listing}, {name}, {later // 1000} s after it came"
                    if not _sound(inspection, part, where, work, market, twin, DAWN + later):
                        return
        if repr(market) != before:
            inspection.found("mutates", f"advise(work, market, now) with {name} changed the market; it is shared: only read it")
    for what, fills in (("nothing fills", False), ("every market order fills", True)):
        for listing, instrument in listings().items():
            for books in (True, False):
                _ends(inspection, part, f"{what}, {listing}, {'with' if books else 'without'} books", instrument, fills, books)


def _sound(inspection: Inspection, part: Algorithm, where: str, work: Work, market: Market, twin: Market, now: int) -> bool:
    advice = inspection.call(where, part.advise, work, market, now)
    if advice is FAILED:
        return False
    wrong = flaw(advice, work, now)
    if wrong:
        inspection.found("advice", f"{where}: it {wrong}")
        return False
    again = inspection.call(where, part.advise, work, twin, now)
    if again is not FAILED and again != advice:
        inspection.found("determinism", f"{where} answered {clip(advice)} and then {clip(again)}; chance comes from the order's id")
    return True


class _Quiet:
    """A venue where limit orders never fill, and market orders only if it is told so."""

    def __init__(self, fills: bool) -> None:
        self._fills = fills
        self._told: list[Report] = []

    def submit(self, order: Order) -> None:
        if self._fills and not order.resting:
            fill = Fill(
                id=f"{order.id}#1",
                order_id=order.id,
                ts=order.ts,
                symbol=order.symbol,
                side=order.side,
                quantity=order.quantity,
                price=Decimal(50_000),
                fee=Decimal(0),
            )
            self._told.append(fill)

    def cancel(self, order_id: str) -> None:
        self._told.append(OrderEnded(ts=DAWN, order_id=order_id, symbol="BTC/USDT:USDT", state="cancelled"))

    def answers(self) -> Iterator[Report]:
        while self._told:
            yield self._told.pop(0)

    def match(self, event: MarketEvent) -> Iterator[Report]:
        yield from ()


def _ends(inspection: Inspection, part: Algorithm, where: str, instrument: Instrument, fills: bool, books: bool) -> None:
    """Work one order by the real `Slicer` until nothing more can come."""
    order = entry(instrument, 20)
    market = Market(order.symbol)
    slicer = Slicer(_Quiet(fills), part, {order.symbol: instrument}, {order.symbol: market}, make_account())
    now = order.ts
    reports: list[Any] = []
    for _ in range(MOST_ASKS):
        if books:
            # a market that climbs slowly, so that whoever waits is outbid
            price = 50_000.0 + (now - DAWN) // 10_000
            market.see(BookSeen(now, order.symbol, ((price, 9.0),), ((price + 1, 9.0),)))
        if now == order.ts and not reports:
            slicer.submit(order)
            reports += slicer.answers()
        else:
            reports += slicer.tick(now)
        if _finished(order, reports):
            return
        if slicer.due is None:
            # what is at work may rest for ever: that is the market's doing
            break
        now = slicer.due
        if now > DAWN + LONGEST:
            break
    if slicer.due is not None or fills:
        inspection.found("ends", f"where {where}, an order has not come to its end after {(now - DAWN) // 1000} s")


def _finished(order: Order, reports: Sequence[Any]) -> bool:
    filled = sum((r.quantity for r in reports if isinstance(r, Fill)), Decimal(0))
    return filled == order.quantity or any(isinstance(r, OrderEnded) and r.order_id == order.id for r in reports)
