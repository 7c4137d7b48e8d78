"""An order spread over time as trading usually is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.market import Market
from enigma_core.parts import Advice, Algorithm, Work
from enigma_plugins.algorithms._schedule import scheduled


class Vwap(Algorithm, frozen=True, kw_only=True):
    """Market orders at nearly equal distances, each as large as its time's share of the usual volume.

    The usual volume is that of the same half hours (UTC) of the last 20 days, or of as much history as there is; without any,
    all are equal. How much later than its turn each one comes (`jitter`) follows from the order's id.
    """

    name = "vwap"

    slices: Annotated[int, Meta(ge=1, le=200, description="market orders it is cut into")] = 12
    seconds: Annotated[float, Meta(ge=1, le=86_400, description="from the first to the end of the last one's turn")] = 3600.0
    jitter: Annotated[float, Meta(ge=0, lt=1, description="share of the distance that one may come late")] = 0.3

    def advise(self, work: Work, market: Market, now: int) -> Advice:
        start = work.order.ts
        if market.profile is None:
            shares = [1 / self.slices] * self.slices
        else:
            shares = market.profile.shares(start, start + round(self.seconds * 1000), self.slices)
        return scheduled(work, now, shares, self.seconds, self.jitter)


@hookimpl
def enigma_algorithms() -> Iterator[type[Algorithm]]:
    yield Vwap
