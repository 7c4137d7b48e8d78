"""Chaikin money flow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.lines import Floats
from enigma_core.model import Candles
from enigma_core.parts import Bools, Indicator
from enigma_core.rows import rows
from enigma_core.rules import MaxPoints, Strength


class Cmf(Indicator, frozen=True, kw_only=True):
    """Bullish while volume comes with closes near the high, more so when much of it does; mirrored.

    Over `period` bars: the sum of volume times the close's place in its bar (-1 low, +1 high), divided by the sum of volume
    (Marc Chaikin). No volume, or bars without a range, give 0. `line` is CMF, -1 to 1.
    """

    name = "cmf"
    streams = True

    period: Annotated[int, Meta(ge=2, le=500, description="bars in the sums")] = 20
    strong: Annotated[float, Meta(gt=0, lt=1, description="CMF above this is bullish most of all, below -this bearish")] = 0.1
    strong_strength: Strength = 1.0
    plain_strength: Strength = 0.5
    max_points: MaxPoints = 19.0

    @property
    def warmup(self) -> int:
        return self.period + 1

    def line(self, candles: Candles) -> Floats:
        ta, volume = candles.ta, candles.volume
        cmf: Floats = ta.CMF(candles.high, candles.low, candles.close, volume, timeperiod=self.period)
        traded: Bools = ta.MAX(volume, timeperiod=self.period) > 0.0
        return cmf * traded

    def points(self, candles: Candles) -> Floats:
        bars = rows(candles)
        ta, volume = bars.ta, candles.volume
        cmf = ta.CMF(candles.high, candles.low, candles.close, volume, timeperiod=self.period)
        # where nothing traded at all, TA-Lib divides what rounding left in one running sum by what it left in the other
        traded = bars.above(ta.MAX(volume, timeperiod=self.period), 0.0, 0.0)
        return bars.first_match(
            (traded & bars.above(cmf, self.strong), self.strong_strength),
            (traded & bars.below(cmf, -self.strong), -self.strong_strength),
            (traded & bars.above(cmf, 0.0), self.plain_strength),
            (traded & bars.below(cmf, 0.0), -self.plain_strength),
            known=cmf,
            scale=self.max_points,
        )


@hookimpl
def enigma_indicators() -> Iterator[type[Indicator]]:
    yield Cmf
