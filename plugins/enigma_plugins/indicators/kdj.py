"""KDJ: a stochastic whose third line runs ahead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.lines import Floats
from enigma_core.model import Candles
from enigma_core.parts import Indicator
from enigma_core.rows import AllBars, NewestBar, rows
from enigma_core.rules import MaxPoints, Strength, bars_to_forget


class Kdj(Indicator, frozen=True, kw_only=True):
    """Bullish where J is below zero, where K crosses above D low in the range, and while K is low; mirrored at the top.

    RSV is the place of the close in the range of the last `period` bars, 0 to 100. K = 2/3 K' + 1/3 RSV and D = 2/3 D' + 1/3 K
    (for smoothings of 3), both from 50; J = 3K - 2D. `line` is J.
    """

    name = "kdj"
    streams = True

    period: Annotated[int, Meta(ge=2, le=500, description="bars in the range")] = 9
    k_period: Annotated[int, Meta(ge=1, le=100, description="RSV counts one part in so many of K")] = 3
    d_period: Annotated[int, Meta(ge=1, le=100, description="K counts one part in so many of D")] = 3
    oversold: Annotated[float, Meta(ge=0, le=50, description="K below this is low")] = 20.0
    overbought: Annotated[float, Meta(ge=50, le=100, description="K above this is high")] = 80.0
    j_oversold: Annotated[float, Meta(ge=-200, le=50, description="J below this is spent")] = 0.0
    j_overbought: Annotated[float, Meta(ge=50, le=300, description="J above this is spent")] = 100.0
    spent_strength: Strength = 1.0
    cross_strength: Strength = 0.9
    zone_strength: Strength = 0.6
    max_points: MaxPoints = 17.0

    @property
    def warmup(self) -> int:
        return self.period + 1 + bars_to_forget(1 / self.k_period) + bars_to_forget(1 / self.d_period)

    def _k_d_and_rsv(self, bars: AllBars | NewestBar) -> tuple[Any, Any, Any]:
        ta, candles = bars.ta, bars.candles
        lowest = ta.MIN(candles.low, timeperiod=self.period)
        highest = ta.MAX(candles.high, timeperiod=self.period)
        rsv = bars.place_in_range(candles.close, lowest, highest)
        k = bars.wilder_from(50.0, rsv, self.k_period)
        return k, bars.wilder_from(50.0, k, self.d_period), rsv

    def k_d_and_j(self, candles: Candles) -> tuple[Floats, Floats, Floats]:
        """K, D and J, each (n,); K and D from 0 to 100."""
        k, d, rsv = self._k_d_and_rsv(AllBars(candles))
        unknown = np.isnan(rsv)
        k, d = np.where(unknown, np.nan, k), np.where(unknown, np.nan, d)
        return k, d, 3.0 * k - 2.0 * d

    def points(self, candles: Candles) -> Floats:
        bars = rows(candles)
        k, d, rsv = self._k_d_and_rsv(bars)
        j = bars.blend(k, 3.0, d, -2.0)
        low, high = bars.below(k, self.oversold), bars.above(k, self.overbought)
        return bars.first_match(
            (bars.below(j, self.j_oversold), self.spent_strength),
            (bars.above(j, self.j_overbought), -self.spent_strength),
            (low & bars.crosses_above(k, d), self.cross_strength),
            (high & bars.crosses_below(k, d), -self.cross_strength),
            (low, self.zone_strength),
            (high, -self.zone_strength),
            known=rsv,
            scale=self.max_points,
        )

    def line(self, candles: Candles) -> Floats:
        return self.k_d_and_j(candles)[2]


@hookimpl
def enigma_indicators() -> Iterator[type[Indicator]]:
    yield Kdj
