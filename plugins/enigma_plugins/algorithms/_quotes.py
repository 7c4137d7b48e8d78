"""What a book says to somebody with an order: the price to wait at, and what it costs not to wait."""

from __future__ import annotations

import math
from decimal import Decimal

from enigma_core.market import BookSeen, Market
from enigma_core.matching import walked
from enigma_core.model import NOISE, Instrument, Side

Levels = tuple[tuple[float, float], ...]


def fresh(market: Market, now: int, max_age: float) -> BookSeen | None:
    """The newest book, unless it is older than `max_age` seconds, crossed, or empty on one side."""
    book = market.book
    if book is None or now - book.ts > max_age * 1000:
        return None
    bid, ask = best(book.bids), best(book.asks)
    return book if bid is not None and ask is not None and bid < ask else None


def bookless(market: Market, now: int, since: int, max_age: float) -> bool:
    """Whether a market has no books: none has come, though it was waited for since `since` (ms) for `max_age` seconds.

    Of a recording nothing is waited for: what it has before an order it has shown.
    """
    return market.book is None and (not market.live or now >= since + max_age * 1000)


def best(levels: Levels) -> float | None:
    """The price of the first level that can be one."""
    return next((price for price, size in levels if 0 < price < math.inf and 0 < size < math.inf), None)


def own_side(book: BookSeen, side: Side, instrument: Instrument) -> Decimal | None:
    """The best price of those who wait on our side, on the grid of ticks, away from the other side."""
    price = best(book.bids if side > 0 else book.asks)
    if price is None:
        return None
    steps, scale = instrument.grid
    ticks = price * scale / steps
    exact = instrument.at(math.floor(ticks + NOISE) if side > 0 else math.ceil(ticks - NOISE))
    return exact if exact > 0 else None


def slippage(book: BookSeen, side: Side, quantity: Decimal, instrument: Instrument) -> float:
    """What `quantity` contracts pay at once beyond the middle of the book, of the price; infinite where it is not deep enough."""
    bid, ask = best(book.bids), best(book.asks)
    filled, price = walked(book, side, quantity, instrument)
    if bid is None or ask is None or filled < quantity:
        return math.inf
    middle = (bid + ask) / 2
    return side * (float(price) - middle) / middle
