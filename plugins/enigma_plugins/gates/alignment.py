"""Do enough timeframes score on the same side?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.lines import Floats
from enigma_core.parts import MarketGate
from enigma_core.scoring import Evaluation
from enigma_plugins.gates._limits import at_least, at_most


class Alignment(MarketGate, frozen=True, kw_only=True):
    """Passes where at least `min` timeframes, the primary among them, score on the primary's side beyond the dead zone.

    Timeframes the evaluation does not have (finer than the data) count as not aligned.
    """

    name = "alignment"
    judges_score = True

    min: Annotated[int, Meta(ge=0, description="timeframes that must be aligned, the primary included")] = 2
    max: Annotated[int | None, Meta(description="timeframes that may be aligned at most; null for no such limit")] = None
    timeframes: Annotated[tuple[str, ...], Meta(description="timeframes to count; the primary always counts")] = (
        "5m",
        "15m",
        "30m",
        "1h",
    )

    @property
    def limit(self) -> str:
        return f">= {self.min}" if self.max is None else f">= {self.min} and <= {self.max}"

    def passes(self, value: Any) -> Any:
        enough = at_least(value, self.min)
        return enough if self.max is None else enough & at_most(value, self.max)

    def measure(self, evaluation: Evaluation) -> Floats:
        aligned = np.zeros(len(evaluation))
        for timeframe in dict.fromkeys((evaluation.timeframe, *self.timeframes)):
            score = evaluation.scores.get(timeframe)
            if score is not None:
                aligned += score * evaluation.side > evaluation.dead_zone
        return aligned


@hookimpl
def enigma_gates() -> Iterator[type[MarketGate]]:
    yield Alignment
