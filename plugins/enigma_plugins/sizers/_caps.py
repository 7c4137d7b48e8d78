"""What all sizers have in common: what cannot be sized at all, and the caps on what can. Exact decimals throughout."""

from __future__ import annotations

from decimal import ROUND_DOWN, Context, Decimal
from functools import lru_cache

from enigma_core.model import ZERO, Instrument, Signal, Sizing, money

DOWN = Context(prec=28, rounding=ROUND_DOWN)
"""Arithmetic whose every step rounds towards less."""

MOST_EQUITY = Decimal(10) ** 15
"""Above this, money no longer has its twelve decimals: such an account is not sized."""


@lru_cache(4096)
def exact(number: float) -> Decimal:
    """The shortest decimal that reads back as `number`; NaN and infinity become decimals of that name."""
    return Decimal(repr(float(number)))


def no_size(signal: Signal, bound: str) -> Sizing:
    """Nothing, because of `bound`."""
    return Sizing(quantity=ZERO, leverage=signal.leverage, margin=ZERO, bound=bound)


def unusable(signal: Signal, equity: Decimal) -> str | None:
    """What makes every size zero: "equity", "price", "leverage" or "confidence"; None when nothing does."""
    if not (equity.is_finite() and 0 < equity <= MOST_EQUITY):
        return "equity"
    if not 0 < signal.price < float("inf"):
        return "price"
    if signal.leverage < 1:
        return "leverage"
    if not 0 < signal.confidence <= 1:
        return "confidence"
    return None


def capped(base: Decimal, signal: Signal, instrument: Instrument, equity: Decimal, position_size_max: float) -> Sizing:
    """`base` units of the base currency as a `Sizing`: margin at most `position_size_max` of the equity, whole lots.

    The name of what bound: "position_size_max"; "lot" where only the rounding took something off; "min_quantity" where less
    than the instrument's minimum is left, which is no trade; else "none". Every step rounds down, so the cap holds exactly.
    """
    price = exact(signal.price)
    most = DOWN.divide(DOWN.multiply(DOWN.multiply(equity, exact(position_size_max)), Decimal(signal.leverage)), price)
    wanted = min(base, most)
    quantity = instrument.contracts(wanted)
    if quantity <= 0:
        return no_size(signal, "min_quantity")
    bound = "none"
    if base > most:
        bound = "position_size_max"
    elif quantity * instrument.multiplier < wanted:
        bound = "lot"
    margin = money(instrument.notional(quantity, price) / signal.leverage)
    return Sizing(quantity=quantity, leverage=signal.leverage, margin=margin, bound=bound)
