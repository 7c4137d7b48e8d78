"""Is enough traded?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.lines import Floats
from enigma_core.parts import MarketGate
from enigma_core.scoring import Evaluation
from enigma_plugins.gates._limits import at_least


class Liquidity(MarketGate, frozen=True, kw_only=True):
    """Passes where the last 24 hours' turnover is at least `min`. Abstains where the turnover is not known."""

    name = "liquidity"

    min: Annotated[float, Meta(ge=0, description="24 h turnover, in the quote currency")] = 5_000_000.0

    @property
    def limit(self) -> str:
        return f">= {self.min:,.0f}"

    def passes(self, value: Any) -> Any:
        return at_least(value, self.min)

    def applies(self, evaluation: Evaluation) -> bool:
        return evaluation.market is not None and evaluation.market.turnover is not None

    def measure(self, evaluation: Evaluation) -> Floats:
        turnover = np.full(len(evaluation), np.nan)
        if evaluation.market is not None and evaluation.market.turnover is not None:
            # the snapshot belongs to the last row; what the turnover was before is not known
            turnover[-1:] = evaluation.market.turnover
        return turnover


@hookimpl
def enigma_gates() -> Iterator[type[MarketGate]]:
    yield Liquidity
