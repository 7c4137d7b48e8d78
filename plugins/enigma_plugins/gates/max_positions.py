"""Is a slot free?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.model import Signal
from enigma_core.parts import Account, AccountGate
from enigma_plugins.gates._limits import at_least, below


class MaxPositions(AccountGate, frozen=True, kw_only=True):
    """Passes while open positions and pending entries together are fewer than `max`, at most one a symbol.

    To a symbol that is held already every slot is taken: the measure is then at least `max`.
    """

    name = "max_positions"

    max: Annotated[int, Meta(ge=1, description="open positions and pending entries that are allowed at once")] = 5

    @property
    def limit(self) -> str:
        return f"< {self.max}, one a symbol"

    def passes(self, value: Any) -> Any:
        return at_least(value, 0.0) & below(value, self.max)

    def measure(self, signal: Signal, account: Account) -> float:
        taken = account.slots
        return float(max(taken, self.max) if account.holds(signal.symbol) else taken)


@hookimpl
def enigma_gates() -> Iterator[type[AccountGate]]:
    yield MaxPositions
