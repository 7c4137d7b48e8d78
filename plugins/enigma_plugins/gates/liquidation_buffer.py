"""Is liquidation far enough away, and does the margin fit?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.model import Signal
from enigma_core.parts import Account, AccountGate
from enigma_plugins.gates._limits import at_least, finite


class LiquidationBuffer(AccountGate, frozen=True, kw_only=True):
    """Passes where liquidation is at least `min` of the price away, the margin fits, and the stop comes before liquidation.

    The measure is ``|e - liquidation|/e``, which for an isolated position is ``1/leverage - mmr``. It is negative where
    something is missing: by the share of the equity that ``margin in use + this one's + reserve * equity`` exceeds the
    equity, or by the share of the price that the stop lies beyond liquidation. Without equity or price it is NaN.
    """

    name = "liquidation_buffer"

    min: Annotated[float, Meta(gt=0, lt=1, description="distance from entry to liquidation, of the price")] = 0.05
    reserve: Annotated[float, Meta(ge=0, lt=1, description="share of the equity that stays free of margin")] = 0.05

    @property
    def limit(self) -> str:
        return f">= {self.min:g}, with {self.reserve:g} of the equity free and the stop before liquidation"

    def passes(self, value: Any) -> Any:
        return at_least(value, self.min)

    def measure(self, signal: Signal, account: Account) -> float:
        equity, held, wanted = account.equity, account.margin, signal.margin
        if not (finite(equity, held, wanted) and equity > 0 and 0 < signal.price < math.inf and signal.leverage >= 1):
            return math.nan
        spare = equity - held - wanted - Decimal(repr(self.reserve)) * equity
        if spare < 0:
            return float(spare / equity)
        # in decimals, so that a limit of exactly 1/leverage - mmr is met exactly
        buffer = float(Decimal(1) / signal.leverage - signal.maintenance_margin_rate)
        room = buffer - signal.side * (signal.price - signal.stop) / signal.price
        return room if room <= 0 else buffer


@hookimpl
def enigma_gates() -> Iterator[type[AccountGate]]:
    yield LiquidationBuffer
