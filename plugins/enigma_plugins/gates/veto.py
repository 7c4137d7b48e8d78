"""Has an alert spoken against this side?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from enigma_core.hookspecs import hookimpl
from enigma_core.lines import Floats
from enigma_core.parts import MarketGate
from enigma_core.scoring import Evaluation


class Veto(MarketGate, frozen=True, kw_only=True):
    """Blocks while an alert of a source in mode `veto` on the other side is younger than its `ttl`; the measure is 1 then, else 0.

    Abstains where no such alert has come.
    """

    name = "veto"

    @property
    def limit(self) -> str:
        return "= 0 (alerts against the side)"

    def passes(self, value: Any) -> Any:
        return value == 0

    def applies(self, evaluation: Evaluation) -> bool:
        return evaluation.market is not None and evaluation.market.veto is not None

    def measure(self, evaluation: Evaluation) -> Floats:
        against = np.zeros(len(evaluation))
        veto = evaluation.market.veto if evaluation.market is not None else None
        if veto is not None:
            # it belongs to the last row; what alerts said before is not known here
            speaks = evaluation.side[-1] == -veto.side and evaluation.ts[-1] - veto.ts < veto.ttl
            against[-1:] = float(speaks)
        return against


@hookimpl
def enigma_gates() -> Iterator[type[MarketGate]]:
    yield Veto
