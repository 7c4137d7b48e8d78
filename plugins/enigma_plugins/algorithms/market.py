"""The whole order at once, to the market."""

from __future__ import annotations

from collections.abc import Iterator

from enigma_core.hookspecs import hookimpl
from enigma_core.market import Market
from enigma_core.parts import Advice, Algorithm, Slice, Work


class ToMarket(Algorithm, frozen=True, kw_only=True):
    """Everything at once, to the market: what it costs is the spread and the depth of the book."""

    name = "market"
    whole = True

    def advise(self, work: Work, market: Market, now: int) -> Advice:
        if not work.left:
            return Advice(over=True)
        return Advice(send=(Slice(quantity=work.left),), over=True)


@hookimpl
def enigma_algorithms() -> Iterator[type[Algorithm]]:
    yield ToMarket
