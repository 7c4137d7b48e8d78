"""An example of a local plugin: a file in strategies/ is loaded as it is, no package needed.

It votes only where the configuration names it: `enigma run --set indicators.donchian.max_points=20`.
`enigma plugins check donchian` says whether it keeps an indicator's contract.
"""

from typing import Annotated

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.lines import Floats
from enigma_core.model import Candles
from enigma_core.parts import Indicator
from enigma_core.rules import ago, first_match


class Donchian(Indicator, frozen=True, kw_only=True):
    """Bullish where the close breaks out above the highest high of the `period` bars before, bearish below the lowest low."""

    name = "donchian"
    streams = True

    period: Annotated[int, Meta(ge=2, le=500, description="bars whose range must be left")] = 20
    max_points: Annotated[float, Meta(gt=0, le=1000, description="points of a breakout")] = 20.0

    @property
    def warmup(self) -> int:
        return self.period + 1

    def points(self, candles: Candles) -> Floats:
        upper = ago(candles.ta.MAX(candles.high, timeperiod=self.period), 1)
        lower = ago(candles.ta.MIN(candles.low, timeperiod=self.period), 1)
        return self.max_points * first_match((candles.close > upper, 1.0), (candles.close < lower, -1.0), known=upper)


@hookimpl
def enigma_indicators():
    yield Donchian
