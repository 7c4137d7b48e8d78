"""Is the score far enough from zero?"""

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


class Score(MarketGate, frozen=True, kw_only=True):
    """Passes where ``|score| >= min``, for longs and shorts alike."""

    name = "score"
    judges_score = True

    min: Annotated[float, Meta(ge=0, description="points the score must reach on either side of zero")] = 75.0

    @property
    def limit(self) -> str:
        return f">= {self.min:g}"

    def passes(self, value: Any) -> Any:
        return at_least(value, self.min)

    def measure(self, evaluation: Evaluation) -> Floats:
        return np.abs(evaluation.score)


@hookimpl
def enigma_gates() -> Iterator[type[MarketGate]]:
    yield Score
