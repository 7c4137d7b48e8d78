"""Has the risk day lost too much already?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.model import Signal
from enigma_core.parts import Account, AccountGate
from enigma_plugins.gates._limits import below, finite


class Drawdown(AccountGate, frozen=True, kw_only=True):
    """Passes while ``(day's opening equity - equity)/opening equity < max``, unrealised losses included.

    A loss of exactly `max` blocks, and so does a day that opened without equity. The refusal ends with the risk day.
    """

    name = "drawdown"

    max: Annotated[float, Meta(gt=0, le=1, description="share of the day's opening equity; a loss of this much blocks")] = 0.03

    @property
    def limit(self) -> str:
        return f"< {self.max:g}"

    def passes(self, value: Any) -> Any:
        return below(value, self.max)

    def measure(self, signal: Signal, account: Account) -> float:
        opening, equity = account.day_equity, account.equity
        return float((opening - equity) / opening) if finite(opening, equity) and opening > 0 else math.nan

    def until(self, signal: Signal, account: Account) -> int | None:
        return account.day_end


@hookimpl
def enigma_gates() -> Iterator[type[AccountGate]]:
    yield Drawdown
