"""Have too many trades in a row lost?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.model import Signal
from enigma_core.parts import Account, AccountGate
from enigma_plugins.gates._limits import at_least, below


class CircuitBreaker(AccountGate, frozen=True, kw_only=True):
    """Passes while fewer than `max` trades in a row have lost: with 3, the third loss halts.

    A winning trade resets the count. Once tripped it halts until the risk day ends, and the next day starts from zero.
    """

    name = "circuit_breaker"

    max: Annotated[int, Meta(ge=1, description="losing trades in a row that halt new entries")] = 3

    @property
    def limit(self) -> str:
        return f"< {self.max}"

    def passes(self, value: Any) -> Any:
        return at_least(value, 0.0) & below(value, self.max)

    def measure(self, signal: Signal, account: Account) -> float:
        return float(account.losses_in_row)

    def until(self, signal: Signal, account: Account) -> int | None:
        return account.day_end

    def clears(self, account: Account) -> bool:
        return account.losses_in_row >= self.max


@hookimpl
def enigma_gates() -> Iterator[type[AccountGate]]:
    yield CircuitBreaker
