"""Do enough indicators point the same way?"""

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


class Confluence(MarketGate, frozen=True, kw_only=True):
    """Passes where the larger camp of indicators counts at least `min`."""

    name = "confluence"
    judges_score = True

    min: Annotated[int, Meta(ge=0, description="indicators that must point the same way")] = 4

    @property
    def limit(self) -> str:
        return f">= {self.min}"

    def passes(self, value: Any) -> Any:
        return at_least(value, self.min)

    def measure(self, evaluation: Evaluation) -> Floats:
        return evaluation.agreeing.astype(np.float64)


@hookimpl
def enigma_gates() -> Iterator[type[MarketGate]]:
    yield Confluence
