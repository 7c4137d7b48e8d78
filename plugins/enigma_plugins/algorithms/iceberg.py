"""A large order of which the market sees a little at a time."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.market import Market
from enigma_core.parts import Advice, Algorithm, Work
from enigma_plugins.algorithms._chasing import Chase


class Iceberg(Algorithm, frozen=True, kw_only=True):
    """Shows a part of the order, post-only at the best price of its own side, and the next part once that has filled.

    A part that is outbid moves; where the price runs away the rest is given up. Once its patience is over, the rest goes to the
    market, or is given up. A first book is waited for, for `book_max_age`; where there are none, everything goes to the market.
    """

    name = "iceberg"

    visible: Annotated[float, Meta(gt=0, le=1, description="share of the order that the market sees at once")] = 0.1
    every: Annotated[float, Meta(ge=0.2, le=3600, description="seconds a part stays where it is before it moves")] = 5.0
    patience: Annotated[float, Meta(gt=0, le=86_400, description="seconds after which it no longer waits")] = 300.0
    runaway: Annotated[float, Meta(ge=0, lt=1, description="share of the first price that it follows the market")] = 0.005
    cross: Annotated[bool, Meta(description="the rest goes to the market when patience is over; false gives it up")] = True
    book_max_age: Annotated[float, Meta(gt=0, description="seconds a book may be old to take a price from it")] = 5.0

    def advise(self, work: Work, market: Market, now: int) -> Advice:
        chase = Chase(
            visible=work.order.quantity * Decimal(repr(self.visible)),
            every=self.every,
            patience=self.patience,
            runaway=self.runaway,
            cross=self.cross,
            max_age=self.book_max_age,
        )
        return chase.advise(work, market, now)


@hookimpl
def enigma_algorithms() -> Iterator[type[Algorithm]]:
    yield Iceberg
