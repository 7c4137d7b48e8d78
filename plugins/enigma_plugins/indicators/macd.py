"""Moving average convergence divergence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.lines import Floats
from enigma_core.model import Candles
from enigma_core.parts import Indicator
from enigma_core.rows import rows
from enigma_core.rules import MaxPoints, Strength, ascending, bars_to_forget


class Macd(Indicator, frozen=True, kw_only=True):
    """Bullish while the histogram is above zero, more so while it rises; mirrored below.

    MACD = EMA(`fast`) - EMA(`slow`) of the close; the histogram is MACD less its own EMA(`signal`) (Gerald Appel; EMAs start
    as TA-Lib's do). `line` is the histogram, in price.
    """

    name = "macd"
    streams = True

    fast: Annotated[int, Meta(ge=2, le=500, description="bars of the fast average; below slow")] = 12
    slow: Annotated[int, Meta(ge=3, le=1000, description="bars of the slow average")] = 26
    signal: Annotated[int, Meta(ge=1, le=500, description="bars of the signal's average")] = 9
    rising_strength: Strength = 1.0
    plain_strength: Strength = 0.66
    max_points: MaxPoints = 18.0

    def __post_init__(self) -> None:
        ascending(self.name, fast=self.fast, slow=self.slow)

    @property
    def warmup(self) -> int:
        memory = bars_to_forget(2 / (self.slow + 1)) + bars_to_forget(2 / (self.signal + 1))
        return self.slow + self.signal + memory

    def lines(self, candles: Candles) -> tuple[Floats, Floats, Floats]:
        """MACD, signal and histogram, each (n,), in price."""
        macd, signal, histogram = candles.ta.MACD(
            candles.close, fastperiod=self.fast, slowperiod=self.slow, signalperiod=self.signal
        )
        return macd, signal, histogram

    def points(self, candles: Candles) -> Floats:
        bars = rows(candles)
        _, _, histogram = bars.ta.MACD(candles.close, fastperiod=self.fast, slowperiod=self.slow, signalperiod=self.signal)
        noise = bars.price_noise()
        bullish, bearish = bars.above(histogram, 0.0, noise), bars.below(histogram, 0.0, noise)
        return bars.first_match(
            (bullish & bars.up(histogram, noise), self.rising_strength),
            (bearish & bars.down(histogram, noise), -self.rising_strength),
            (bullish, self.plain_strength),
            (bearish, -self.plain_strength),
            known=histogram,
            scale=self.max_points,
        )

    def line(self, candles: Candles) -> Floats:
        return self.lines(candles)[2]


@hookimpl
def enigma_indicators() -> Iterator[type[Indicator]]:
    yield Macd
