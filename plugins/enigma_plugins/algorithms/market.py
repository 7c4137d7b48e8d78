"""The whole order at once, to the market."""

from __future__ import annotations

from collections.abc import Iterator

from enigma_core.hookspecs import hookimpl
from enigma_core.market import Market
from enigma_core.parts import Advice, Algorithm, Slice, Work
from enigma_plugins.algorithms._resting import resting


class ToMarket(Algorithm, frozen=True, kw_only=True):
    """Everything at once, to the market: what it costs is the spread and the depth of the book.

    Of an entry that another algorithm has begun before a restart it gives up the rest.
    """

    name = "market"
    whole = True

    def advise(self, work: Work, market: Market, now: int) -> Advice:
        if work.pieces or not work.left:
            return Advice(cancel=resting(work), over=True)
        return Advice(send=(Slice(quantity=work.left),), over=True)


@hookimpl
def enigma_algorithms() -> Iterator[type[Algorithm]]:
    yield ToMarket
