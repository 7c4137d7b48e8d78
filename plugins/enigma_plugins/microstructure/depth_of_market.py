"""Which side of the order book is heavier."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.market import Market
from enigma_core.parts import LiveIndicator
from enigma_core.rules import NOISE, MaxPoints, Strength, ascending

NAN = math.nan


class DepthOfMarket(LiveIndicator, frozen=True, kw_only=True):
    """Bullish while more is bid than asked, more so where much more is; mirrored.

    imbalance = (bid - ask)/(bid + ask), the sizes of the best `levels` of each side. Abstains without a book, with an old one, and
    where either side is missing.
    """

    name = "depth_of_market"

    levels: Annotated[int, Meta(ge=1, le=500, description="levels of each side that count")] = 20
    plain: Annotated[float, Meta(ge=0, lt=1, description="imbalance beyond which it is bullish or bearish; below strong")] = 0.1
    strong: Annotated[float, Meta(gt=0, lt=1, description="imbalance above this counts in full")] = 0.3
    max_age: Annotated[float, Meta(gt=0, description="seconds after which a book is too old to vote")] = 60.0
    strong_strength: Strength = 1.0
    plain_strength: Strength = 0.55
    max_points: MaxPoints = 15.0

    def __post_init__(self) -> None:
        ascending(self.name, plain=self.plain, strong=self.strong)

    def imbalance(self, market: Market, now: int) -> float:
        """From -1 (all asked) to 1 (all bid); NaN where there is nothing to measure."""
        book = market.book
        if book is None or now - book.ts > self.max_age * 1000 or not book.bids or not book.asks:
            return NAN
        bid = sum(size for _, size in book.bids[: self.levels])
        ask = sum(size for _, size in book.asks[: self.levels])
        total = bid + ask
        return (bid - ask) / total if 0 < total < math.inf else NAN

    def points_now(self, market: Market, now: int) -> float:
        imbalance = self.imbalance(market, now)
        if not math.isfinite(imbalance):
            return NAN
        size = abs(imbalance) - NOISE  # an imbalance that is the threshold to rounding is not beyond it
        strength = self.strong_strength if size > self.strong else self.plain_strength if size > self.plain else 0.0
        return math.copysign(self.max_points * strength, imbalance) + 0.0


@hookimpl
def enigma_indicators() -> Iterator[type[LiveIndicator]]:
    yield DepthOfMarket
