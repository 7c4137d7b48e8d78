"""May the engine enter at all?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from enigma_core.hookspecs import hookimpl
from enigma_core.model import Signal
from enigma_core.parts import Account, AccountGate


class TradingState(AccountGate, frozen=True, kw_only=True):
    """Passes while the state is ACTIVE (1). REDUCE_ONLY and HALTED (0) let only exits through."""

    name = "trading_state"

    @property
    def limit(self) -> str:
        return "= 1 (ACTIVE)"

    def passes(self, value: Any) -> Any:
        return value == 1

    def measure(self, signal: Signal, account: Account) -> float:
        return 1.0 if account.trading_state == "ACTIVE" else 0.0


@hookimpl
def enigma_gates() -> Iterator[type[AccountGate]]:
    yield TradingState
