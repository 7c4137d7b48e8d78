"""Risk the same share of the equity on every trade, whatever the distance of the stop."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.model import Instrument, Signal, Sizing
from enigma_core.parts import Account, Sizer
from enigma_plugins.sizers._caps import DOWN, capped, exact, no_size, unusable


class AtrRisk(Sizer, frozen=True, kw_only=True):
    """``quantity = equity * risk_per_trade * confidence / stop distance``, then the caps.

    The stop is the signal's tightest initial one. Where it is missing, at the entry or on its wrong side there is no
    distance to divide by, and no trade (bound "stop_distance"); where it is very near, `position_size_max` bounds the size.
    """

    name = "atr_risk"

    risk_per_trade: Annotated[float, Meta(gt=0, le=1, description="share of the equity lost when the stop is hit")] = 0.02
    position_size_max: Annotated[float, Meta(gt=0, le=1, description="share of the equity one position's margin may be")] = 0.05

    def size(self, signal: Signal, instrument: Instrument, account: Account) -> Sizing:
        equity = account.equity
        reason = unusable(signal, equity)
        if reason is not None:
            return no_size(signal, reason)
        if not math.isfinite(signal.stop):
            return no_size(signal, "stop_distance")
        distance = signal.side * (exact(signal.price) - exact(signal.stop))
        if distance <= 0:
            return no_size(signal, "stop_distance")
        risk = DOWN.multiply(DOWN.multiply(equity, exact(self.risk_per_trade)), exact(signal.confidence))
        base = DOWN.divide(risk, distance)
        return capped(base, signal, instrument, equity, self.position_size_max)


@hookimpl
def enigma_sizers() -> Iterator[type[Sizer]]:
    yield AtrRisk
