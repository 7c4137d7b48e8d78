"""The average directional index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.lines import Floats
from enigma_core.model import Candles
from enigma_core.parts import Indicator
from enigma_core.rules import bars_to_forget


class Adx(Indicator, frozen=True, kw_only=True):
    """How strongly the market trends, either way. Never votes; the trend gate reads it.

    `line` is Wilder's ADX, 0 to 100.
    """

    name = "adx"
    streams = True

    period: Annotated[int, Meta(ge=2, le=500, description="bars of Wilder's averages")] = 14
    max_points: Annotated[float, Meta(ge=0, le=0, description="0: it never votes")] = 0.0

    @property
    def warmup(self) -> int:
        return 2 * self.period + 2 * bars_to_forget(1 / self.period)

    def line(self, candles: Candles) -> Floats:
        adx: Floats = candles.ta.ADX(candles.high, candles.low, candles.close, timeperiod=self.period)
        return adx


@hookimpl
def enigma_indicators() -> Iterator[type[Indicator]]:
    yield Adx
