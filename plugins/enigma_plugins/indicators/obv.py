"""On-balance volume."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.lines import TAIL, Floats
from enigma_core.model import Candles
from enigma_core.parts import Indicator
from enigma_core.rows import rows
from enigma_core.rules import MaxPoints, Strength


class Obv(Indicator, frozen=True, kw_only=True):
    """Bullish where price and volume rise together, and where volume rises though the price is lower than a while ago; mirrored.

    OBV adds a bar's volume when it closes up and takes it off when it closes down (Joseph Granville); where it starts means
    nothing. `line` is OBV, in base volume.
    """

    name = "obv"
    streams = True

    average_period: Annotated[int, Meta(ge=2, le=500, description="bars of OBV's simple average")] = 20
    look_back: Annotated[int, Meta(ge=1, le=TAIL - 4, description="bars back to which price and OBV are compared")] = 14
    together_strength: Strength = 1.0
    divergence_strength: Strength = 0.55
    max_points: MaxPoints = 18.0

    @property
    def warmup(self) -> int:
        return max(self.average_period, self.look_back) + 2

    def line(self, candles: Candles) -> Floats:
        obv: Floats = candles.ta.OBV(candles.close, candles.volume)
        return obv

    def points(self, candles: Candles) -> Floats:
        bars = rows(candles)
        close = candles.close
        obv = bars.ta.OBV(close, candles.volume)
        average = bars.ta.SMA(obv, timeperiod=self.average_period)
        back = self.look_back
        noise = bars.volume_noise(obv, bars.ta.MAX(candles.volume, timeperiod=max(self.average_period, back)))
        return bars.first_match(
            (bars.up(close, 0.0) & bars.up(obv, noise) & bars.above(obv, average, noise), self.together_strength),
            (bars.down(close, 0.0) & bars.down(obv, noise) & bars.below(obv, average, noise), -self.together_strength),
            (bars.down(close, 0.0, bars=back) & bars.up(obv, noise, bars=back), self.divergence_strength),
            (bars.up(close, 0.0, bars=back) & bars.down(obv, noise, bars=back), -self.divergence_strength),
            known=average,
            scale=self.max_points,
        )


@hookimpl
def enigma_indicators() -> Iterator[type[Indicator]]:
    yield Obv
