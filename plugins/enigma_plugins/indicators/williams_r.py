"""Williams %R."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.lines import Floats
from enigma_core.model import Candles
from enigma_core.parts import Indicator
from enigma_core.rows import AllBars, NewestBar, rows
from enigma_core.rules import MaxPoints, Strength


class WilliamsR(Indicator, frozen=True, kw_only=True):
    """Bullish while the close stands near the bottom of its range, more so once %R rises; mirrored at the top.

    %R is where the close stands in the range of the last `period` bars, -100 (bottom) to 0 (top); a range of nothing gives -50
    (Larry Williams). `line` is %R.
    """

    name = "williams_r"
    streams = True

    period: Annotated[int, Meta(ge=2, le=500, description="bars in the range")] = 14
    oversold: Annotated[float, Meta(ge=-100, le=-50, description="%R at or below this is low")] = -80.0
    overbought: Annotated[float, Meta(ge=-50, le=0, description="%R at or above this is high")] = -20.0
    turn_strength: Strength = 1.0
    zone_strength: Strength = 0.8
    max_points: MaxPoints = 22.0

    @property
    def warmup(self) -> int:
        return self.period + 1

    def _place(self, bars: AllBars | NewestBar) -> Any:
        lowest = bars.ta.MIN(bars.candles.low, timeperiod=self.period)
        highest = bars.ta.MAX(bars.candles.high, timeperiod=self.period)
        return bars.place_in_range(bars.candles.close, lowest, highest)

    def points(self, candles: Candles) -> Floats:
        bars = rows(candles)
        place = self._place(bars)  # %R + 100
        low, high = bars.at_most(place, self.oversold + 100.0), bars.at_least(place, self.overbought + 100.0)
        return bars.first_match(
            (low & bars.up(place), self.turn_strength),
            (high & bars.down(place), -self.turn_strength),
            (low, self.zone_strength),
            (high, -self.zone_strength),
            known=place,
            scale=self.max_points,
        )

    def line(self, candles: Candles) -> Floats:
        wr: Floats = self._place(AllBars(candles)) - 100.0
        return wr


@hookimpl
def enigma_indicators() -> Iterator[type[Indicator]]:
    yield WilliamsR
