"""Which side pays to hold its positions."""

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
HOUR = 3_600_000


class FundingRate(LiveIndicator, frozen=True, kw_only=True):
    """Bullish while shorts pay longs: the crowd is short. Mirrored.

    The newest rate, brought to 8 hours where it is for another interval. Abstains without one, and once it is a whole interval past
    its settlement.
    """

    name = "funding_rate"

    slight: Annotated[float, Meta(gt=0, lt=1, description="rate at or below -this is bullish, at or above it bearish")] = 0.00015
    plain: Annotated[float, Meta(gt=0, lt=1, description="rate at or below -this counts more; above slight")] = 0.0003
    strong: Annotated[float, Meta(gt=0, lt=1, description="rate at or below -this counts in full; above plain")] = 0.0005
    strong_strength: Strength = 1.0
    plain_strength: Strength = 0.6
    slight_strength: Strength = 0.3
    max_points: MaxPoints = 15.0

    def __post_init__(self) -> None:
        ascending(self.name, slight=self.slight, plain=self.plain, strong=self.strong)

    def rate(self, market: Market, now: int) -> float:
        """The rate per 8 hours, positive where longs pay; NaN where it is not known."""
        seen = market.funding
        if seen is None or not 0 < seen.hours < math.inf or now > seen.next_ts + seen.hours * HOUR:
            return NAN
        return seen.rate * 8 / seen.hours

    def points_now(self, market: Market, now: int) -> float:
        rate = self.rate(market, now)
        if not math.isfinite(rate):
            return NAN
        size = abs(rate) + 1e-12  # a rate that is the threshold to rounding has reached it
        strength = 0.0
        for level, reached in (
            (self.strong, self.strong_strength),
            (self.plain, self.plain_strength),
            (self.slight, self.slight_strength),
        ):
            if size >= level:
                strength = reached
                break
        return math.copysign(self.max_points * strength, -rate) + 0.0


@hookimpl
def enigma_indicators() -> Iterator[type[LiveIndicator]]:
    yield FundingRate
