"""The commodity channel index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.lines import Floats
from enigma_core.model import Candles
from enigma_core.parts import Indicator
from enigma_core.rows import rows
from enigma_core.rules import MaxPoints, Strength, ascending

# CCI divides by a mean deviation that a quiet market makes small beside the price, which magnifies rounding
NOISE = 1e-6


class Cci(Indicator, frozen=True, kw_only=True):
    """Bullish where the price is far below its average, and where it crosses above it; mirrored.

    CCI = (typical price - its SMA) / (0.015 mean absolute deviation), over `period` bars (Donald Lambert). `line` is CCI.
    """

    name = "cci"
    streams = True

    period: Annotated[int, Meta(ge=2, le=500, description="bars of the average and the deviation")] = 20
    far: Annotated[float, Meta(ge=0, description="below -far is bullish, above far bearish; below extreme")] = 100.0
    extreme: Annotated[float, Meta(gt=0, description="below -extreme is bullish most of all, above extreme bearish")] = 200.0
    extreme_strength: Strength = 1.0
    far_strength: Strength = 0.6
    cross_strength: Strength = 0.3
    max_points: MaxPoints = 16.0

    def __post_init__(self) -> None:
        ascending(self.name, far=self.far, extreme=self.extreme)

    @property
    def warmup(self) -> int:
        return self.period + 1

    def line(self, candles: Candles) -> Floats:
        cci: Floats = candles.ta.CCI(candles.high, candles.low, candles.close, timeperiod=self.period)
        return cci

    def points(self, candles: Candles) -> Floats:
        bars = rows(candles)
        cci = bars.ta.CCI(candles.high, candles.low, candles.close, timeperiod=self.period)
        return bars.first_match(
            (bars.below(cci, -self.extreme, NOISE), self.extreme_strength),
            (bars.above(cci, self.extreme, NOISE), -self.extreme_strength),
            (bars.below(cci, -self.far, NOISE), self.far_strength),
            (bars.above(cci, self.far, NOISE), -self.far_strength),
            (bars.crosses_above(cci, 0.0, NOISE), self.cross_strength),
            (bars.crosses_below(cci, 0.0, NOISE), -self.cross_strength),
            known=cci,
            scale=self.max_points,
        )


@hookimpl
def enigma_indicators() -> Iterator[type[Indicator]]:
    yield Cci
