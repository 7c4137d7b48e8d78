"""Bill Williams' awesome oscillator."""

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


class AwesomeOscillator(Indicator, frozen=True, kw_only=True):
    """Bullish above zero, more so on a saucer (it fell, then rises) and most where it crosses zero; mirrored below.

    SMA(`fast`) - SMA(`slow`) of the bars' middles, (high + low)/2. `line` is that, in price.
    """

    name = "awesome_oscillator"
    streams = True

    fast: Annotated[int, Meta(ge=2, le=500, description="bars of the fast average; below slow")] = 5
    slow: Annotated[int, Meta(ge=3, le=1000, description="bars of the slow average")] = 34
    cross_strength: Strength = 1.0
    saucer_strength: Strength = 0.7
    plain_strength: Strength = 0.3
    max_points: MaxPoints = 17.0

    def __post_init__(self) -> None:
        ascending(self.name, fast=self.fast, slow=self.slow)

    @property
    def warmup(self) -> int:
        return self.slow + 2

    def line(self, candles: Candles) -> Floats:
        ao: Floats = candles.ta.AO(candles.high, candles.low, fastperiod=self.fast, slowperiod=self.slow)
        return ao

    def points(self, candles: Candles) -> Floats:
        bars = rows(candles)
        ao = bars.ta.AO(candles.high, candles.low, fastperiod=self.fast, slowperiod=self.slow)
        noise = bars.price_noise()
        bullish, bearish = bars.above(ao, 0.0, noise), bars.below(ao, 0.0, noise)
        return bars.first_match(
            (bars.crosses_above(ao, 0.0, noise), self.cross_strength),
            (bars.crosses_below(ao, 0.0, noise), -self.cross_strength),
            (bullish & bars.up(ao, noise) & bars.was_down(ao, noise), self.saucer_strength),
            (bearish & bars.down(ao, noise) & bars.was_up(ao, noise), -self.saucer_strength),
            (bullish, self.plain_strength),
            (bearish, -self.plain_strength),
            known=ao,
            scale=self.max_points,
        )


@hookimpl
def enigma_indicators() -> Iterator[type[Indicator]]:
    yield AwesomeOscillator
