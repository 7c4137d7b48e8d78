"""Could this risk day lose too much if everything went wrong from here?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.model import Signal
from enigma_core.parts import Account, AccountGate
from enigma_plugins.gates._limits import below, finite


class DayRisk(AccountGate, frozen=True, kw_only=True):
    """Passes where the day, with every stop filled and this entry stopped out as well, loses less than `max` of its equity.

    The measure is ``(day's opening equity - equity + open risk + this entry's risk)/opening equity``. Open risk is what positions
    and entries still working lose from here to their stops, this entry's what it loses from its price to its stop; fees of all
    that is yet to be traded are in both. A loss of exactly `max` blocks, and so does an entry without a stop. The refusal ends
    with the risk day. What a price that jumps over a stop costs beyond it is not in.
    """

    name = "day_risk"

    max: Annotated[float, Meta(gt=0, le=1, description="share of the day's opening equity; to risk this much blocks")] = 0.03
    fee: Annotated[Decimal, Meta(description="fee of a market order, of its notional")] = Decimal("0.0006")

    @property
    def limit(self) -> str:
        return f"< {self.max:g}, with every stop filled"

    def passes(self, value: Any) -> Any:
        return below(value, self.max)

    def measure(self, signal: Signal, account: Account) -> float:
        opening, equity, open_risk = account.day_equity, account.equity, account.open_risk(self.fee)
        if not (finite(opening, equity, open_risk, signal.margin) and opening > 0 and signal.leverage >= 1):
            return math.nan
        distance = signal.side * (signal.price - signal.stop) / signal.price if 0 < signal.price < math.inf else math.nan
        if not 0 < distance < math.inf:
            return math.nan
        notional = signal.margin * signal.leverage
        new = notional * (Decimal(repr(distance)) + 2 * self.fee)
        return float((opening - equity + open_risk + new) / opening)

    def until(self, signal: Signal, account: Account) -> int | None:
        return account.day_end


@hookimpl
def enigma_gates() -> Iterator[type[AccountGate]]:
    yield DayRisk
