"""Bollinger bands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import numpy as np
from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.lines import Floats
from enigma_core.model import Candles
from enigma_core.parts import Indicator
from enigma_core.rows import rows
from enigma_core.rules import MaxPoints, Strength, price_noise


class Bollinger(Indicator, frozen=True, kw_only=True):
    """Bullish below the lower band, more so once the close turns up, and a little in the upper part of the bands; mirrored.

    The bands lie `deviations` standard deviations (of the population) around SMA(`period`) of the close (John Bollinger).
    `line` is %B: 0 at the lower band, 1 at the upper, 0.5 where the bands have no width.
    """

    name = "bollinger"
    streams = True

    period: Annotated[int, Meta(ge=2, le=1000, description="bars of the average and the deviation")] = 20
    deviations: Annotated[float, Meta(gt=0, le=10, description="half the width of the bands")] = 2.0
    upper_part: Annotated[float, Meta(ge=0.5, le=1, description="%B above this is the upper part, below 1 - this the lower")] = 0.8
    turn_strength: Strength = 1.0
    outside_strength: Strength = 0.5
    part_strength: Strength = 0.25
    max_points: MaxPoints = 20.0

    @property
    def warmup(self) -> int:
        return self.period + 1

    def bands(self, candles: Candles) -> tuple[Floats, Floats, Floats]:
        """The upper band, the average and the lower band, each (n,), in price."""
        upper, middle, lower = candles.ta.BBANDS(
            candles.close, timeperiod=self.period, nbdevup=self.deviations, nbdevdn=self.deviations
        )
        return upper, middle, lower

    def points(self, candles: Candles) -> Floats:
        bars = rows(candles)
        close = candles.close
        upper, _, lower = bars.ta.BBANDS(close, timeperiod=self.period, nbdevup=self.deviations, nbdevdn=self.deviations)
        noise = bars.price_noise()
        under, over = bars.below(close, lower, noise), bars.above(close, upper, noise)
        # %B > part as a price, so that nothing is divided by bands of no width; that price lies above the average already
        rest = 1.0 - self.upper_part
        upper_part = bars.blend(upper, self.upper_part, lower, rest)
        lower_part = bars.blend(lower, self.upper_part, upper, rest)
        return bars.first_match(
            (under & bars.up(close, 0.0), self.turn_strength),
            (over & bars.down(close, 0.0), -self.turn_strength),
            (under, self.outside_strength),
            (over, -self.outside_strength),
            (bars.above(close, upper_part, noise), self.part_strength),
            (bars.below(close, lower_part, noise), -self.part_strength),
            known=upper,
            scale=self.max_points,
        )

    def line(self, candles: Candles) -> Floats:
        upper, middle, lower = self.bands(candles)
        off, width = candles.close - middle, upper - lower
        place = off * 0.0  # NaN where the bands are unknown
        np.divide(off, width, out=place, where=width > price_noise(candles.close))
        return place + 0.5


@hookimpl
def enigma_indicators() -> Iterator[type[Indicator]]:
    yield Bollinger
