"""Is the book's spread narrow enough?"""

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


class Spread(MarketGate, frozen=True, kw_only=True):
    """Passes where ``0 <= (ask - bid)/mid <= max`` in the live book. Abstains where there is no book.

    A crossed book (negative spread) and a book with an empty side block: both are signs of bad data or no market.
    """

    name = "spread"

    max: Annotated[float, Meta(ge=0, description="(ask - bid)/mid that is still accepted")] = 0.0005

    @property
    def limit(self) -> str:
        return f"<= {self.max:g}"

    def passes(self, value: Any) -> Any:
        return at_least(value, 0.0) & at_most(value, self.max)

    def applies(self, evaluation: Evaluation) -> bool:
        return evaluation.market is not None and evaluation.market.book is not None

    def measure(self, evaluation: Evaluation) -> Floats:
        spread = np.full(len(evaluation), np.nan)
        if evaluation.market is not None:
            # the snapshot belongs to the last row; what the book was before is not known
            spread[-1:] = evaluation.market.spread
        return spread


@hookimpl
def enigma_gates() -> Iterator[type[MarketGate]]:
    yield Spread
