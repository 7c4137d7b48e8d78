"""Trade what the alert asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.model import Instrument, Signal, Sizing
from enigma_core.parts import Account, Sizer
from enigma_plugins.sizers._caps import capped, no_size, unusable


class AlertQuantity(Sizer, frozen=True, kw_only=True):
    """The signal's `requested_quantity`, in base currency, under the same caps as every size.

    A signal that asks for nothing, or for no positive number, gets no trade (bound "alert").
    """

    name = "alert_quantity"

    position_size_max: Annotated[float, Meta(gt=0, le=1, description="share of the equity one position's margin may be")] = 0.05

    def size(self, signal: Signal, instrument: Instrument, account: Account) -> Sizing:
        equity = account.equity
        reason = unusable(signal, equity)
        if reason is not None:
            return no_size(signal, reason)
        asked = signal.requested_quantity
        if asked is None or not asked.is_finite() or asked <= 0:
            return no_size(signal, "alert")
        return capped(asked, signal, instrument, equity, self.position_size_max)


@hookimpl
def enigma_sizers() -> Iterator[type[Sizer]]:
    yield AlertQuantity
