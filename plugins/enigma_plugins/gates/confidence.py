"""Is the evaluation confident enough?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.lines import Floats
from enigma_core.parts import MarketGate
from enigma_core.scoring import Evaluation
from enigma_plugins.gates._limits import at_least


class Confidence(MarketGate, frozen=True, kw_only=True):
    """Passes where ``confidence >= min``; confidence runs from 0 to 1."""

    name = "confidence"
    judges_score = True

    min: Annotated[float, Meta(ge=0, le=1, description="confidence the evaluation must have")] = 0.85

    @property
    def limit(self) -> str:
        return f">= {self.min:g}"

    def passes(self, value: Any) -> Any:
        return at_least(value, self.min)

    def measure(self, evaluation: Evaluation) -> Floats:
        return evaluation.confidence


@hookimpl
def enigma_gates() -> Iterator[type[MarketGate]]:
    yield Confidence
