"""How far the perpetual stands from its index."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.market import Market
from enigma_core.parts import LiveIndicator
from enigma_core.rules import MaxPoints, Strength, ascending

NAN = math.nan


class PriceRatio(LiveIndicator, frozen=True, kw_only=True):
    """Bullish while the perpetual trades below its index, more so at a deep discount; mirrored for a premium.

    basis = (mark - index)/index. Abstains without both prices, and with old ones.
    """

    name = "price_ratio"

    plain: Annotated[float, Meta(ge=0, lt=1, description="basis below -this is bullish, above it bearish; below strong")] = 0.0005
    strong: Annotated[float, Meta(gt=0, lt=1, description="basis below -this is bullish most of all")] = 0.0015
    max_age: Annotated[float, Meta(gt=0, description="seconds after which the prices are too old to vote")] = 60.0
    strong_strength: Strength = 0.8
    plain_strength: Strength = 0.4
    max_points: MaxPoints = 15.0

    def __post_init__(self) -> None:
        ascending(self.name, plain=self.plain, strong=self.strong)

    def basis(self, market: Market, now: int) -> float:
        """Below 0 at a discount, above at a premium; NaN where there is nothing to measure."""
        seen = market.mark
        if seen is None or now - seen.ts > self.max_age * 1000 or not (0 < seen.index < math.inf and 0 < seen.mark < math.inf):
            return NAN
        return (seen.mark - seen.index) / seen.index

    def points_now(self, market: Market, now: int) -> float:
        basis = self.basis(market, now)
        if not math.isfinite(basis):
            return NAN
        size = abs(basis) - 1e-12  # a basis that is the threshold to rounding is not beyond it
        strength = self.strong_strength if size > self.strong else self.plain_strength if size > self.plain else 0.0
        return math.copysign(self.max_points * strength, -basis) + 0.0


@hookimpl
def enigma_indicators() -> Iterator[type[LiveIndicator]]:
    yield PriceRatio
