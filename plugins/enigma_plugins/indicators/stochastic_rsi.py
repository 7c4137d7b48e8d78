"""The stochastic of the RSI: how far momentum itself has run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.lines import Floats
from enigma_core.model import Candles
from enigma_core.parts import Indicator
from enigma_core.rows import AllBars, NewestBar, rows
from enigma_core.rules import NOISE, MaxPoints, Strength, bars_to_forget


class StochasticRsi(Indicator, frozen=True, kw_only=True):
    """Bullish while K is low, most of all where it crosses above D there; mirrored at the top.

    RSI after Wilder; its place in the range of its own last `stochastic_period` values, 0 to 100; K and D are simple averages
    of that (Chande and Kroll, 1994). `line` is K.
    """

    name = "stochastic_rsi"
    streams = True

    rsi_period: Annotated[int, Meta(ge=2, le=500, description="bars of the RSI")] = 14
    stochastic_period: Annotated[int, Meta(ge=2, le=500, description="RSI values in the range")] = 14
    k_period: Annotated[int, Meta(ge=1, le=100, description="values averaged into K")] = 3
    d_period: Annotated[int, Meta(ge=1, le=100, description="values of K averaged into D")] = 3
    oversold: Annotated[float, Meta(ge=0, le=50, description="K below this is low")] = 20.0
    overbought: Annotated[float, Meta(ge=50, le=100, description="K above this is high")] = 80.0
    cross_strength: Strength = 1.0
    zone_strength: Strength = 0.5
    max_points: MaxPoints = 40.0

    @property
    def warmup(self) -> int:
        memory = bars_to_forget(1 / self.rsi_period)
        return self.rsi_period + memory + self.stochastic_period + self.k_period + self.d_period

    def _k_and_d(self, bars: AllBars | NewestBar) -> tuple[Any, Any]:
        ta = bars.ta
        rsi = ta.RSI(bars.candles.close, timeperiod=self.rsi_period)
        lowest = ta.MIN(rsi, timeperiod=self.stochastic_period)
        highest = ta.MAX(rsi, timeperiod=self.stochastic_period)
        k = ta.SMA(bars.place_in_range(rsi, lowest, highest, NOISE), timeperiod=self.k_period)
        return k, ta.SMA(k, timeperiod=self.d_period)

    def k_and_d(self, candles: Candles) -> tuple[Floats, Floats]:
        """K and D, each (n,), 0 to 100."""
        return self._k_and_d(AllBars(candles))

    def points(self, candles: Candles) -> Floats:
        bars = rows(candles)
        k, d = self._k_and_d(bars)
        low, high = bars.below(k, self.oversold), bars.above(k, self.overbought)
        return bars.first_match(
            (low & bars.crosses_above(k, d), self.cross_strength),
            (high & bars.crosses_below(k, d), -self.cross_strength),
            (low, self.zone_strength),
            (high, -self.zone_strength),
            known=d,
            scale=self.max_points,
        )

    def line(self, candles: Candles) -> Floats:
        return self.k_and_d(candles)[0]


@hookimpl
def enigma_indicators() -> Iterator[type[Indicator]]:
    yield StochasticRsi
