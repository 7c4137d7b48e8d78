"""The comparisons gates are made of. Each holds for a float and for an array of them, and never for NaN or infinity."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any


def at_least(value: Any, minimum: float) -> Any:
    """True where `value` is finite and not below `minimum`."""
    return (value >= minimum) & (value > -math.inf) & (value < math.inf)


def at_most(value: Any, maximum: float) -> Any:
    """True where `value` is finite and not above `maximum`."""
    return (value <= maximum) & (value > -math.inf) & (value < math.inf)


def below(value: Any, maximum: float) -> Any:
    """True where `value` is finite and less than `maximum`."""
    return (value < maximum) & (value > -math.inf)


def ratio(part: Decimal, whole: Decimal) -> float:
    """The float nearest to `part` / `whole`; NaN unless both are finite and `whole` is above zero."""
    if part.is_finite() and whole.is_finite() and whole > 0:
        return float(part / whole)
    return math.nan
