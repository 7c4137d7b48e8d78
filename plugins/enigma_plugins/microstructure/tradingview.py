"""How an alert votes."""

from __future__ import annotations

import math
from collections.abc import Iterator

from enigma_core.hookspecs import hookimpl
from enigma_core.market import Market
from enigma_core.parts import LiveIndicator
from enigma_core.rules import MaxPoints


class TradingView(LiveIndicator, frozen=True, kw_only=True):
    """The newest alert of the symbol: long is bullish, short bearish, fading evenly to nothing over the alert's `ttl`.

    Abstains without an alert, and from the moment it has faded.
    """

    name = "tradingview"

    max_points: MaxPoints = 40.0

    def points_now(self, market: Market, now: int) -> float:
        vote = market.vote
        if vote is None or vote.ttl <= 0:
            return math.nan
        age = max(now - vote.ts, 0)
        return vote.side * self.max_points * (1 - age / vote.ttl) if age < vote.ttl else math.nan


@hookimpl
def enigma_indicators() -> Iterator[type[LiveIndicator]]:
    yield TradingView
