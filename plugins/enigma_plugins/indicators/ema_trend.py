"""The order of three exponential averages."""

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


class EmaTrend(Indicator, frozen=True, kw_only=True):
    """Bullish where the fast EMA crosses above the slow, while fast > middle > slow, and a little above the slow one; mirrored.

    `line` is EMA(`fast`) - EMA(`slow`) of the close, in price: its sign is the trend's side.
    """

    name = "ema_trend"
    streams = True

    fast: Annotated[int, Meta(ge=1, le=500, description="bars of the fast average; below middle")] = 10
    middle: Annotated[int, Meta(ge=2, le=1000, description="bars of the middle average; below slow")] = 25
    slow: Annotated[int, Meta(ge=3, le=2000, description="bars of the slow average")] = 50
    cross_strength: Strength = 1.0
    order_strength: Strength = 0.75
    plain_strength: Strength = 0.25
    max_points: MaxPoints = 19.0

    def __post_init__(self) -> None:
        ascending(self.name, fast=self.fast, middle=self.middle, slow=self.slow)

    @property
    def warmup(self) -> int:
        return self.slow + 1 + bars_to_forget(2 / (self.slow + 1))

    def points(self, candles: Candles) -> Floats:
        bars = rows(candles)
        ta, close = bars.ta, candles.close
        fast = ta.EMA(close, timeperiod=self.fast)
        middle = ta.EMA(close, timeperiod=self.middle)
        slow = ta.EMA(close, timeperiod=self.slow)
        noise = bars.price_noise()
        return bars.first_match(
            (bars.crosses_above(fast, slow, noise), self.cross_strength),
            (bars.crosses_below(fast, slow, noise), -self.cross_strength),
            (bars.above(fast, middle, noise) & bars.above(middle, slow, noise), self.order_strength),
            (bars.below(fast, middle, noise) & bars.below(middle, slow, noise), -self.order_strength),
            (bars.above(close, slow, noise), self.plain_strength),
            (bars.below(close, slow, noise), -self.plain_strength),
            known=slow,
            scale=self.max_points,
        )

    def line(self, candles: Candles) -> Floats:
        fast: Floats = candles.ta.EMA(candles.close, timeperiod=self.fast)
        slow: Floats = candles.ta.EMA(candles.close, timeperiod=self.slow)
        return fast - slow


@hookimpl
def enigma_indicators() -> Iterator[type[Indicator]]:
    yield EmaTrend
