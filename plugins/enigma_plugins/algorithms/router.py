"""The algorithm that an order's size calls for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from enigma_core.errors import ConfigError
from enigma_core.hookspecs import hookimpl
from enigma_core.market import Market
from enigma_core.parts import Advice, Algorithm, Work
from enigma_plugins.algorithms._quotes import bookless, fresh, slippage
from enigma_plugins.algorithms.iceberg import Iceberg
from enigma_plugins.algorithms.limit_chase import LimitChase
from enigma_plugins.algorithms.market import ToMarket
from enigma_plugins.algorithms.twap import Twap
from enigma_plugins.algorithms.vwap import Vwap

AGAIN = 1_000
"""ms between two looks for the first book."""


class Router(Algorithm, frozen=True, kw_only=True):
    """Walks the book with the whole order: where that costs little it goes to the market, else `limit_chase` or `beyond` work it.

    What it would cost is measured from the middle of the book to the mean price. What was begun is gone on with, whatever the
    book says later. A first book is waited for, for `book_max_age`. Where a feed has none there is nothing to choose by, and the
    order goes to the market; where the book is only late, nobody knows what it would cost, and `beyond` works it.
    Raises `ConfigError` unless ``at_market <= at_rest``.
    """

    name = "router"

    at_market: Annotated[float, Meta(ge=0, lt=1, description="expected slippage up to which it goes to the market")] = 0.0005
    at_rest: Annotated[float, Meta(ge=0, lt=1, description="expected slippage up to which limit_chase works it")] = 0.002
    beyond: Annotated[Literal["twap", "vwap", "iceberg"], Meta(description="what works an order that would cost more")] = "twap"
    book_max_age: Annotated[float, Meta(gt=0, description="seconds a book may be old to choose by")] = 5.0
    limit_chase: Annotated[LimitChase, Meta(description="its settings")] = LimitChase()
    twap: Annotated[Twap, Meta(description="its settings")] = Twap()
    vwap: Annotated[Vwap, Meta(description="its settings")] = Vwap()
    iceberg: Annotated[Iceberg, Meta(description="its settings")] = Iceberg()

    def __post_init__(self) -> None:
        if self.at_market > self.at_rest:
            raise ConfigError(
                f"algorithm router: at_market is {self.at_market:g} and at_rest {self.at_rest:g}; at_market must not be the larger"
            )

    def advise(self, work: Work, market: Market, now: int) -> Advice:
        if work.pieces:
            return self._begun(work).advise(work, market, now)
        if market.book is None and not bookless(market, now, work.order.ts, self.book_max_age):
            return Advice(again=now + AGAIN)
        return self._chosen(work, market, now).advise(work, market, now)

    def _chosen(self, work: Work, market: Market, now: int) -> Algorithm:
        book = fresh(market, now, self.book_max_age)
        if market.book is None:
            return ToMarket()
        cost = slippage(book, work.order.side, work.order.quantity, work.instrument) if book is not None else math.inf
        if cost <= self.at_market:
            return ToMarket()
        return self.limit_chase if cost <= self.at_rest else self._large()

    def _begun(self, work: Work) -> Algorithm:
        """What the first slice shows: each of them begins in its own way."""
        first = work.pieces[0].order
        part = first.quantity < work.order.quantity
        if first.resting:
            return self.iceberg if part else self.limit_chase
        return self._large() if part and self.beyond != "iceberg" else ToMarket()

    def _large(self) -> Algorithm:
        chosen: dict[str, Algorithm] = {"twap": self.twap, "vwap": self.vwap, "iceberg": self.iceberg}
        return chosen[self.beyond]


@hookimpl
def enigma_algorithms() -> Iterator[type[Algorithm]]:
    yield Router
