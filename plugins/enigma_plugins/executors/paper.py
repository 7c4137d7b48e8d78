"""Paper money: real market data, simulated fills."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.market import BookSeen, FundingSeen, MarketEvent, TradeSeen
from enigma_core.matching import Held, SimulatedVenue, walked
from enigma_core.model import Fill, Instrument, Order, Purpose, Side
from enigma_core.parts import Executor, Ports, Report, Venue


class Paper(Executor, frozen=True, kw_only=True):
    """Fills market orders from the newest book, level by level, where it is fresh, and else at the next bar's open.

    What the book cannot fill waits for the next bar. A limit order takes what a fresh book has within its price, then rests and
    fills as books, trades or bars reach it. Stops and targets fill from bars, liquidation also from mark prices, as
    `enigma_core.matching` says: the same as in a backtest of the same bars.
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
            worked = {order.parent for order in ports.slices}
            for working in ports.account.orders.values():
                # of what is worked in slices, the slices come
                if working.order.id not in worked:
                    left = working.order.quantity - working.filled
                    self.submit(msgspec.structs.replace(working.order, quantity=left))

    def match(self, event: MarketEvent) -> Iterator[Report]:
        if isinstance(event, BookSeen):
            self._books[event.symbol] = event
        elif isinstance(event, FundingSeen) and event.symbol in self._announced:
            self.settlements[event.symbol].expect(event.next_ts, event.rate)
        yield from super().match(event)
        if isinstance(event, BookSeen) and event.symbol in self.held:
            yield from self._shown(self.held[event.symbol], event)
        elif isinstance(event, TradeSeen) and event.symbol in self.held:
            yield from self._traded(self.held[event.symbol], event)

    def _shown(self, held: Held, book: BookSeen) -> Iterator[Report]:
        """Orders that rest where the other side has come to. A book is met once."""
        instrument = self.instruments[book.symbol]
        for order in tuple(held.resting):
            if order not in held.resting or order.ts > book.ts:
                continue
            size, _ = walked(book, order.side, order.quantity, instrument, order.price)
            if size:
                self._books.pop(book.symbol, None)
                yield self.reach(held, order, book.ts, size)
                return

    def _traded(self, held: Held, trade: TradeSeen) -> Iterator[Report]:
        """Orders that rest where somebody has traded, as far as that trade goes."""
        if not 0 < trade.price < math.inf:
            return
        there = self.instruments[trade.symbol].contracts(trade.size)
        for order in tuple(held.resting):
            if order not in held.resting or order.ts > trade.ts or order.side == trade.side or order.price is None:
                continue
            size = min(there, order.quantity)
            if size and order.side * (trade.price - float(order.price)) <= 0:
                there -= size
                yield self.reach(held, order, trade.ts, size)

    def answers(self) -> Iterator[Report]:
        """Market orders that meet a fresh book. A book is met once: what it had is taken then."""
        # in the run's order of symbols: that of first orders would not outlive a restart
        for symbol in self.instruments:
            if symbol not in self.held:
                continue
            held = self.held[symbol]
            waiting, held.market = held.market, []
            for order in waiting:
                book = self._fresh(order)
                if book is None:
                    held.market.append(order)
                    continue
                size, price = walked(book, order.side, order.quantity, self.instruments[symbol])
                if not size or (order.purpose is Purpose.CLOSE and not held.quantity):
                    held.market.append(order)
                    continue
                del self._books[symbol]
                report = self.take(held, order, symbol, order.ts, price, size)
                if type(report) is Fill and report.quantity < order.quantity:
                    # a market that is shown again after a restart may have as much again
                    left = order.quantity - report.quantity
                    report = msgspec.structs.replace(report, id=f"{order.id}#{order.ts}-r{left.normalize():f}")
                if size < order.quantity:
                    # the rest is in its place before anybody hears of the fill, and may call it off
                    held.market.append(msgspec.structs.replace(order, quantity=order.quantity - size))
                yield report
            yield from self._arrived(held, symbol)
        yield from super().answers()

    def _fresh(self, order: Order) -> BookSeen | None:
        """The book that `order` meets; None where there is none new enough."""
        book = self._books.get(order.symbol)
        return book if book is not None and 0 <= order.ts - book.ts <= self._max_age and self._max_age else None

    def _arrived(self, held: Held, symbol: str) -> Iterator[Report]:
        """Limit orders that meet a fresh book; without one they wait for the next open."""
        instrument = self.instruments[symbol]
        for order in tuple(held.arriving):
            book = self._fresh(order)
            if book is None or order not in held.arriving:
                continue
            best = next((p for p, _ in (book.asks if order.side > 0 else book.bids) if math.isfinite(p) and p > 0), None)
            if best is None or order.price is None:
                continue
            held.arriving.remove(order)
            crossed = order.side * (best - float(order.price)) <= 0
            size, price = walked(book, order.side, order.quantity, instrument, order.price)
            if size and not order.post_only:
                del self._books[symbol]
            yield from self.arrive(held, order, order.ts, size, price, crossed=crossed)

    def slips(self, price: float | Decimal, side: Side, instrument: Instrument) -> Decimal:
        """A price out of the book holds its slippage already: only rounded against us."""
        if isinstance(price, Decimal):
            rounding = ROUND_CEILING if side > 0 else ROUND_FLOOR
            return instrument.at(int((price / instrument.tick).to_integral_value(rounding=rounding)))
        return super().slips(price, side, instrument)


@hookimpl
def enigma_executors() -> Iterator[type[Executor]]:
    yield Paper
