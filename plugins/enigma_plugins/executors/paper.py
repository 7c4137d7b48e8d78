"""Paper money: real market data, simulated fills."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.market import BookSeen, FundingSeen, MarketEvent
from enigma_core.matching import SimulatedVenue
from enigma_core.model import ZERO, Instrument, Purpose, Side
from enigma_core.parts import Executor, Ports, Report, Venue


class Paper(Executor, frozen=True, kw_only=True):
    """Fills market orders from the newest book, level by level, where it is fresh, and else at the next bar's open.

    What the book cannot fill waits for the next bar. Stops and targets fill from bars, liquidation also from mark prices,
    as `enigma_core.matching` says: the same as in a backtest of the same bars.
    """

    name = "paper"

    book_max_age: Annotated[int, Meta(ge=0, description="ms a book may be old when an order meets it; 0 never uses books")] = 5_000

    def open(self, ports: Ports) -> Venue:
        return PaperVenue(ports, self.book_max_age)


class PaperVenue(SimulatedVenue):
    """A simulated venue that also reads books and announced funding, and takes over the positions of the account."""

    def __init__(self, ports: Ports, book_max_age: int) -> None:
        super().__init__(ports.instruments, ports.costs, ports.funding)
        self._books: dict[str, BookSeen] = {}
        self._max_age = book_max_age
        self._announced = {symbol for symbol in ports.instruments if ports.funding.get(symbol) is None}
        if ports.account is not None:
            for position in ports.account.positions.values():
                symbol = position.symbol
                until = max(ports.seen.get(symbol, ports.since), position.entry_ts + 1)
                price, entered = position.price, position.entry_ts
                self.restore(symbol, position.side, position.quantity, price, position.leverage, until, entered)
            for working in ports.account.orders.values():
                left = working.order.quantity - working.filled
                self.submit(msgspec.structs.replace(working.order, quantity=left))

    def match(self, event: MarketEvent) -> Iterator[Report]:
        if isinstance(event, BookSeen):
            self._books[event.symbol] = event
        elif isinstance(event, FundingSeen) and event.symbol in self._announced:
            self.settlements[event.symbol].expect(event.next_ts, event.rate)
        yield from super().match(event)

    def answers(self) -> Iterator[Report]:
        """Market orders that meet a fresh book. A book is met once: what it had is taken then."""
        # in the run's order of symbols: that of first orders would not outlive a restart
        for symbol in self.instruments:
            if symbol not in self.held:
                continue
            held = self.held[symbol]
            waiting, held.market = held.market, []
            for order in waiting:
                book = self._books.get(symbol)
                if book is None or not 0 <= order.ts - book.ts <= self._max_age or self._max_age == 0:
                    held.market.append(order)
                    continue
                size, price = walked(book, order.side, order.quantity, self.instruments[symbol])
                if not size or (order.purpose is Purpose.CLOSE and not held.quantity):
                    held.market.append(order)
                    continue
                del self._books[symbol]
                report = self.take(held, order, symbol, order.ts, price, size)
                if size < order.quantity:
                    # the rest is in its place before anybody hears of the fill, and may call it off
                    held.market.append(msgspec.structs.replace(order, quantity=order.quantity - size))
                yield report
        yield from super().answers()

    def slips(self, price: float | Decimal, side: Side, instrument: Instrument) -> Decimal:
        """A price out of the book holds its slippage already: only rounded against us."""
        if isinstance(price, Decimal):
            rounding = ROUND_CEILING if side > 0 else ROUND_FLOOR
            return instrument.at(int((price / instrument.tick).to_integral_value(rounding=rounding)))
        return super().slips(price, side, instrument)


def walked(book: BookSeen, side: Side, quantity: Decimal, instrument: Instrument) -> tuple[Decimal, Decimal]:
    """How many contracts of `quantity` the book fills, in whole lots, and at which mean price; zero where it is empty."""
    wanted = quantity
    filled, paid = ZERO, ZERO
    for price, size in book.asks if side > 0 else book.bids:
        if not (math.isfinite(price) and price > 0):
            continue
        there = instrument.contracts(size) if math.isfinite(size) else ZERO
        taken = min(there, wanted - filled)
        filled += taken
        paid += taken * Decimal(repr(price))
        if filled == wanted:
            break
    return filled, paid / filled if filled else ZERO


@hookimpl
def enigma_executors() -> Iterator[type[Executor]]:
    yield Paper
