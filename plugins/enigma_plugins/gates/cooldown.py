"""Has enough time passed since the symbol's last exit?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.model import Signal
from enigma_core.parts import Account, AccountGate
from enigma_plugins.gates._limits import at_least


class Cooldown(AccountGate, frozen=True, kw_only=True):
    """Passes once `min` seconds lie between the symbol's last exit and the signal.

    A symbol that was never left has served its wait: the measure is then `min` itself.
    """

    name = "cooldown"

    min: Annotated[float, Meta(ge=0, le=31_536_000, description="seconds to wait after an exit")] = 1800.0

    @property
    def limit(self) -> str:
        return f">= {self.min:g}"

    def passes(self, value: Any) -> Any:
        return at_least(value, self.min)

    def measure(self, signal: Signal, account: Account) -> float:
        left = account.last_exit(signal.symbol)
        return float(self.min) if left is None else (signal.ts - left) / 1000

    def until(self, signal: Signal, account: Account) -> int | None:
        left = account.last_exit(signal.symbol)
        return None if left is None else left + math.ceil(self.min * 1000)


@hookimpl
def enigma_gates() -> Iterator[type[AccountGate]]:
    yield Cooldown
