"""Put the same share of the equity into every trade."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.model import Instrument, Signal, Sizing
from enigma_core.parts import Account, Sizer
from enigma_plugins.sizers._caps import DOWN, capped, exact, no_size, unusable


class FixedFraction(Sizer, frozen=True, kw_only=True):
    """``margin = equity * position_size * confidence``, then the caps."""

    name = "fixed_fraction"

    position_size: Annotated[float, Meta(gt=0, le=1, description="share of the equity that is one position's margin")] = 0.02
    position_size_max: Annotated[float, Meta(gt=0, le=1, description="share of the equity one position's margin may be")] = 0.05

    def size(self, signal: Signal, instrument: Instrument, account: Account) -> Sizing:
        equity = account.equity
        reason = unusable(signal, equity)
        if reason is not None:
            return no_size(signal, reason)
        margin = DOWN.multiply(DOWN.multiply(equity, exact(self.position_size)), exact(signal.confidence))
        base = DOWN.divide(DOWN.multiply(margin, Decimal(signal.leverage)), exact(signal.price))
        return capped(base, signal, instrument, equity, self.position_size_max)


@hookimpl
def enigma_sizers() -> Iterator[type[Sizer]]:
    yield FixedFraction
