"""The relative strength index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import numpy as np
from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.lines import Floats
from enigma_core.model import Candles
from enigma_core.parts import Indicator
from enigma_core.rules import MaxPoints, at_least, at_most, bars_to_forget, first_match


class Rsi(Indicator, frozen=True, kw_only=True):
    """Bullish at or below `oversold`, from half the points there to all of them at 0; mirrored at the top.

    Wilder's RSI, 0 to 100; a market that did not move for `period` bars gives 50. `line` is the RSI.
    """

    name = "rsi"
    streams = True

    period: Annotated[int, Meta(ge=2, le=500, description="bars of Wilder's average")] = 14
    oversold: Annotated[float, Meta(ge=1, le=50, description="RSI at or below this is low")] = 30.0
    overbought: Annotated[float, Meta(ge=50, le=99, description="RSI at or above this is high")] = 70.0
    max_points: MaxPoints = 17.0

    @property
    def warmup(self) -> int:
        return 2 * self.period + 1 + bars_to_forget(1 / self.period)

    def line(self, candles: Candles) -> Floats:
        # CMO/2 + 50 is TA-Lib's RSI, except that where there was never gain nor loss it is 50 and not 0. In a market that stops
        # moving both averages fade together and the RSI would stay where it was for ever: it is 50 there too.
        ta, close = candles.ta, candles.close
        moving = ta.MAX(close, timeperiod=self.period + 1) > ta.MIN(close, timeperiod=self.period + 1)
        rsi: Floats = ta.CMO(close, timeperiod=self.period) * (moving * 0.5) + 50.0
        return rsi

    def points(self, candles: Candles) -> Floats:
        rsi = self.line(candles)
        bullish = 1.0 - np.maximum(rsi, 0.0) / (2.0 * self.oversold)
        bearish = np.maximum(100.0 - rsi, 0.0) / (2.0 * (100.0 - self.overbought)) - 1.0
        return first_match(
            (at_most(rsi, self.oversold), bullish),
            (at_least(rsi, self.overbought), bearish),
            known=rsi,
            scale=self.max_points,
        )


@hookimpl
def enigma_indicators() -> Iterator[type[Indicator]]:
    yield Rsi
