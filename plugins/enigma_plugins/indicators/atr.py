"""The average true range."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.lines import Floats
from enigma_core.model import Candles
from enigma_core.parts import Indicator
from enigma_core.rules import bars_to_forget


class Atr(Indicator, frozen=True, kw_only=True):
    """How far the price moves in a bar. Never votes; leverage, sizing, exits and the confidence read it.

    `line` is Wilder's ATR, in price.
    """

    name = "atr"
    streams = True

    period: Annotated[int, Meta(ge=1, le=500, description="bars of Wilder's average")] = 14
    max_points: Annotated[float, Meta(ge=0, le=0, description="0: it never votes")] = 0.0

    @property
    def warmup(self) -> int:
        return self.period + 1 + bars_to_forget(1 / self.period)

    def line(self, candles: Candles) -> Floats:
        atr: Floats = candles.ta.ATR(candles.high, candles.low, candles.close, timeperiod=self.period)
        return atr


@hookimpl
def enigma_indicators() -> Iterator[type[Indicator]]:
    yield Atr
