"""How much of the trading is buying."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.market import Market
from enigma_core.parts import LiveIndicator
from enigma_core.rules import NOISE, MaxPoints, Strength, ascending

NAN = math.nan


class BuySellRatio(LiveIndicator, frozen=True, kw_only=True):
    """Bullish while takers mostly buy, more so where almost all do; mirrored.

    ratio = buy value / all value of the trades of the last `window` seconds, value = price times size, sides the takers'. Abstains
    below `min_trades` of them.
    """

    name = "buy_sell_ratio"

    window: Annotated[float, Meta(gt=0, le=3600, description="seconds back that trades count")] = 60.0
    min_trades: Annotated[int, Meta(ge=1, le=5000, description="fewer trades than this say nothing")] = 50
    plain: Annotated[float, Meta(gt=0.5, lt=1, description="ratio from which on it is bullish, mirrored bearish; below strong")] = (
        0.7
    )
    strong: Annotated[float, Meta(gt=0.5, le=1, description="ratio from here on counts in full")] = 0.8
    strong_strength: Strength = 1.0
    plain_strength: Strength = 0.8
    max_points: MaxPoints = 15.0

    def __post_init__(self) -> None:
        ascending(self.name, plain=self.plain, strong=self.strong)

    def ratio(self, market: Market, now: int) -> float:
        """From 0 (all sold) to 1 (all bought); NaN where there is too little to measure."""
        since = now - self.window * 1000
        bought = total = 0.0
        count = 0
        for trade in reversed(market.trades):
            if trade.ts <= since:
                break
            value = trade.price * trade.size
            total += value
            count += 1
            if trade.side > 0:
                bought += value
        return bought / total if count >= self.min_trades and 0 < total < math.inf else NAN

    def points_now(self, market: Market, now: int) -> float:
        ratio = self.ratio(market, now)
        if not math.isfinite(ratio):
            return NAN
        share = max(ratio, 1 - ratio) + NOISE  # of the side that trades more
        strength = self.strong_strength if share >= self.strong else self.plain_strength if share >= self.plain else 0.0
        return math.copysign(self.max_points * strength, ratio - 0.5) + 0.0


@hookimpl
def enigma_indicators() -> Iterator[type[LiveIndicator]]:
    yield BuySellRatio
