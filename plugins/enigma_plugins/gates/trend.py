"""Does the secondary timeframe trend against the signal?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

import numpy as np
from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.lines import Floats
from enigma_core.parts import MarketGate
from enigma_core.scoring import Evaluation
from enigma_plugins.gates._limits import below


class Trend(MarketGate, frozen=True, kw_only=True):
    """Passes where the secondary timeframe's ADX is below `max`, or its EMA trend has the signal's side.

    The measure is the strength of the opposing trend: ADX where the EMA trend does not have the signal's side, else 0. It is
    NaN, and blocks, while ADX is not known. Without a secondary timeframe the gate abstains.
    """

    name = "trend"
    reads: ClassVar[tuple[str, ...]] = ("adx", "ema_trend")

    max: Annotated[float, Meta(gt=0, le=100, description="ADX from which a trend against the signal blocks it")] = 25.0

    @property
    def limit(self) -> str:
        return f"< {self.max:g} (ADX against the signal)"

    def passes(self, value: Any) -> Any:
        return below(value, self.max)

    def applies(self, evaluation: Evaluation) -> bool:
        return evaluation.secondary is not None

    def measure(self, evaluation: Evaluation) -> Floats:
        adx = evaluation.line("adx", evaluation.secondary)
        ema = evaluation.line("ema_trend", evaluation.secondary)
        supports = np.isfinite(ema) & (np.sign(ema) == evaluation.side)
        # a product, not a choice: an ADX of NaN stays NaN on both sides
        against: Floats = adx * ~supports
        return against


@hookimpl
def enigma_gates() -> Iterator[type[MarketGate]]:
    yield Trend
