"""The contract of sizers: whatever is asked, never more than the account can carry."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from enigma_core.model import Instrument, Signal, Sizing
from enigma_core.parts import Sizer
from enigma_core.testing.fakes import FakeAccount, make_account, make_instrument, make_signal
from enigma_core.testing.finding import FAILED, Inspection, clip


def signals() -> dict[str, Signal]:
    """Wishes to enter, sound and unsound."""
    found = {
        "a long signal": make_signal(),
        "a short signal": make_signal(side=-1),
        "a signal at a price of 0.00001": make_signal(price=1e-5),
        "a signal at leverage 1": make_signal(leverage=1),
        "a signal at leverage 100": make_signal(leverage=100),
        "a stop at the entry": make_signal(stop=50_000.0),
        "a stop a hair from the entry": make_signal(stop=50_000.0 * (1 - 1e-15)),
        "a stop on the wrong side": make_signal(stop=60_000.0),
        "a stop below zero": make_signal(stop=-1.0),
        "an ATR of zero": make_signal(atr=0.0),
        "a tiny ATR": make_signal(atr=5e-324),
        "confidence 0": make_signal(confidence=0.0),
        "confidence 1": make_signal(confidence=1.0),
        "confidence 50": make_signal(confidence=50.0),
        "confidence -1": make_signal(confidence=-1.0),
    }
    for field in ("price", "stop", "atr", "confidence", "score"):
        for value in (math.nan, math.inf, -math.inf):
            wrong: dict[str, Any] = {field: value}
            found[f"{field} {value}"] = make_signal(**wrong)
    for price in (0.0, -1.0, 1e-300, 1e300):
        found[f"price {price}"] = make_signal(price=price)
    for text in ("0", "-5", "3", "1e30", "0.0000001", "NaN", "Infinity"):
        found[f"a requested quantity of {text}"] = make_signal(requested_quantity=Decimal(text))
    for text in ("0", "100", "1e15"):
        found[f"a margin of {text}"] = make_signal(margin=Decimal(text))
    return found


def purses() -> dict[str, FakeAccount]:
    """Accounts to size for."""
    return {f"equity {text}": make_account(text) for text in ("10000", "0", "-5", "0.01", "100", "1e15")} | {
        "all margin in use": make_account(100, margin=Decimal(100)),
    }


def listings() -> dict[str, Instrument]:
    """Instruments of any grain."""
    return {
        "contracts of 0.001": make_instrument(),
        "lots of 0.01 of one coin": make_instrument(lot=Decimal("0.01"), multiplier=Decimal(1), min_quantity=Decimal("0.05")),
        "lots of 7 contracts": make_instrument(lot=Decimal(7), min_quantity=Decimal(21)),
        "contracts of 1000 coins": make_instrument(multiplier=Decimal(1000), tick=Decimal("0.0000001")),
        "leverage up to 3": make_instrument(max_leverage=3),
    }


def inspect(inspection: Inspection, sizer: Sizer) -> None:
    """An exact quantity on the lot, margin within the equity, rubbish answered with no quantity and a reason."""
    for wish, signal in signals().items():
        for purse, account in purses().items():
            for listing, instrument in listings().items():
                where = f"size(signal, instrument, account) with {wish}, {purse} and {listing}"
                sizing = inspection.call(where, sizer.size, signal, instrument, account)
                if sizing is FAILED:
                    return
                if not isinstance(sizing, Sizing):
                    inspection.found("type", f"{where} returned {type(sizing).__name__} {clip(sizing)}; it must be a Sizing")
                    return
                _sound(inspection, where, sizing, signal, instrument, account)
                if sizer.size(signal, instrument, account) != sizing:
                    inspection.found("determinism", f"{where} gave two answers to the same question")


def _sound(inspection: Inspection, where: str, sizing: Sizing, signal: Signal, instrument: Instrument, account: Any) -> None:
    quantity, margin, leverage = sizing.quantity, sizing.margin, sizing.leverage
    for name, value in (("quantity", quantity), ("margin", margin)):
        if not isinstance(value, Decimal):
            inspection.found("money", f"{where}: {name} is {type(value).__name__} {clip(value)}; money and quantities are Decimal")
            return
        if not value.is_finite() or value < 0:
            inspection.found(name, f"{where}: {name} is {value}; it must be finite and not below zero")
            return
    if not isinstance(sizing.bound, str) or not sizing.bound:
        inspection.found("bound", f"{where}: bound is {clip(sizing.bound)}; name the cap that bound, or 'none'")
    if quantity == 0:
        if sizing.bound == "none":
            inspection.found("bound", f"{where}: the quantity is 0 and bound is 'none'; bound must say why nothing is bought")
        return
    # beyond 27 digits no exact quantity exists: such a size is only asked not to raise
    if quantity.adjusted() < 27 and (quantity % instrument.lot or quantity < instrument.min_quantity):
        inspection.found(
            "lot",
            f"{where}: {quantity} contracts with a lot of {instrument.lot} and a minimum of {instrument.min_quantity}; "
            "round with instrument.contracts(base)",
        )
    if not (math.isfinite(signal.price) and signal.price > 0):
        inspection.found("rubbish", f"{where}: {quantity} contracts at a price of {signal.price}; without a price there is no size")
        return
    if not isinstance(leverage, int) or not 1 <= leverage <= signal.leverage:
        inspection.found("leverage", f"{where}: leverage is {clip(leverage)}; it must be 1 to the signal's {signal.leverage}")
        return
    notional = quantity * instrument.multiplier * Decimal(repr(signal.price))
    if margin > account.equity:
        inspection.found("margin", f"{where}: a margin of {margin} on an equity of {account.equity}; it must not exceed the equity")
    grain = quantity * instrument.multiplier * instrument.tick
    if abs(margin * leverage - notional) > notional * Decimal("1e-6") + grain:
        inspection.found(
            "margin",
            f"{where}: a margin of {margin} at leverage {leverage} carries {margin * leverage}, but the contracts are worth "
            f"{notional}; margin is quantity * multiplier * price / leverage",
        )
