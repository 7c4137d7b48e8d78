"""Would too much of the equity be margin?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.model import Signal
from enigma_core.parts import Account, AccountGate
from enigma_plugins.gates._limits import at_least, at_most, finite


class Exposure(AccountGate, frozen=True, kw_only=True):
    """Passes where ``(margin of positions and pending entries + this one's margin)/equity <= max``. No equity: blocks."""

    name = "exposure"

    max: Annotated[float, Meta(gt=0, le=1, description="share of the equity that may be margin, the new entry included")] = 0.5

    @property
    def limit(self) -> str:
        return f"<= {self.max:g}"

    def passes(self, value: Any) -> Any:
        return at_least(value, 0.0) & at_most(value, self.max)

    def measure(self, signal: Signal, account: Account) -> float:
        equity, held, wanted = account.equity, account.margin, signal.margin
        return float((held + wanted) / equity) if finite(equity, held, wanted) and equity > 0 else math.nan


@hookimpl
def enigma_gates() -> Iterator[type[AccountGate]]:
    yield Exposure
