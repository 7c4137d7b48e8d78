"""An order spread evenly over time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.market import Market
from enigma_core.parts import Advice, Algorithm, Work
from enigma_plugins.algorithms._schedule import scheduled


class Twap(Algorithm, frozen=True, kw_only=True):
    """Equal market orders at nearly equal distances, the first at once: the price comes near the average over the time.

    How much later than its turn each one comes (`jitter`) follows from the order's id. Slices below the venue's minimum are sent
    together. After a pause what is due is made up for, unless the end is more than ten minutes past.
    """

    name = "twap"

    slices: Annotated[int, Meta(ge=1, le=200, description="market orders it is cut into")] = 5
    seconds: Annotated[float, Meta(ge=1, le=86_400, description="from the first to the end of the last one's turn")] = 300.0
    jitter: Annotated[float, Meta(ge=0, lt=1, description="share of the distance that one may come late")] = 0.3

    def advise(self, work: Work, market: Market, now: int) -> Advice:
        return scheduled(work, now, [1 / self.slices] * self.slices, self.seconds, self.jitter)


@hookimpl
def enigma_algorithms() -> Iterator[type[Algorithm]]:
    yield Twap
