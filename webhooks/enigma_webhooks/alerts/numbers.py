"""Numbers of a message. They are bounded as text, before anything is made of them: the integer of ``1E+4000000`` would take
a quarter of an hour.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

from enigma_webhooks.alerts.places import Unreadable, clipped

DIGITS = 20
EXPONENT_MOST, EXPONENT_LEAST = 12, -18

NUMBER = re.compile(r"([+-]?)([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE]([+-]?[0-9]+))?")
THOUSANDS = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?")
_COMMA = re.compile(r"[+-]?[0-9]+(?:,[0-9]*)+(?:\.[0-9]*)?")
NO_NUMBER = frozenset(("nan", "+nan", "-nan", "snan", "na", "infinity", "+infinity", "-infinity", "inf", "+inf", "-inf"))


class Numeral(str):
    """A number of JSON as it was written."""

    __slots__ = ()


def numeral(text: str) -> Numeral:
    """A number with a fraction or an exponent, kept as text. Raises `Unreadable` beyond the bounds."""
    if len(text) > DIGITS or "e" in text or "E" in text:
        bounded(text)
    return Numeral(text)


def bounded(text: str) -> str:
    """`text`, if it is a number within the bounds. Raises `Unreadable`."""
    found = NUMBER.fullmatch(text)
    if found is None:
        raise Unreadable(f"{clipped(text)!r} is no number; write digits and a point, as in 0.5")
    digits, power = found[2], found[3]
    if len(digits) - ("." in digits) > DIGITS:
        raise Unreadable(f"the number {clipped(text, 24)} has more than {DIGITS} digits")
    if power is not None and (len(power) > 4 or not EXPONENT_LEAST <= int(power) <= EXPONENT_MOST):
        raise Unreadable(f"the number {clipped(text, 24)} has an exponent beyond {EXPONENT_LEAST} to {EXPONENT_MOST}")
    places = len(digits.partition(".")[2]) - int(power or 0)
    if -places < EXPONENT_LEAST:
        raise Unreadable(f"the number {clipped(text, 24)} has more than {-EXPONENT_LEAST} decimal places")
    return text


def decimal(value: object) -> Decimal:
    """The exact value of a number or of a text that is one. Raises `Unreadable`; never for want of time."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise Unreadable(f"{clipped(value)} is no number")
    if isinstance(value, int):
        if not -(10**DIGITS) < value < 10**DIGITS:
            raise Unreadable(f"a number has more than {DIGITS} digits")
        return Decimal(value)
    text = value.strip()
    if "," in text:
        if THOUSANDS.fullmatch(text):
            text = text.replace(",", "")
        elif _COMMA.fullmatch(text):
            raise Unreadable(f"{clipped(text)!r} can be read in two ways; write the decimals after a point, as in 0.5")
    if text.lower() in NO_NUMBER:
        raise Unreadable(f"{clipped(text)} is no finite number")
    found = Decimal(bounded(text))
    if found.as_tuple().exponent > 0:  # type: ignore[operator]  # bounded: it is finite
        return Decimal(format(found, "f"))
    return found


def measured(value: object) -> float | None:
    """An indicator's value, None where it is no finite number. Raises `Unreadable` for a number beyond the bounds."""
    if type(value) is int:
        found = float(value)
    elif type(value) is Numeral:
        if value.lower() in NO_NUMBER:
            return None
        found = float(numeral(value))
    elif isinstance(value, str):
        text = value.strip().replace(",", "") if THOUSANDS.fullmatch(value.strip()) else value.strip()
        if not NUMBER.fullmatch(text):
            return None
        found = float(bounded(text))
    else:
        return None
    return found if math.isfinite(found) else None


def thousands(value: object) -> bool:
    """Whether a text writes its thousands with commas."""
    return isinstance(value, str) and "," in value and THOUSANDS.fullmatch(value.strip()) is not None
