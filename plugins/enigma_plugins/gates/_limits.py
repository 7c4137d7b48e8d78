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


def finite(*amounts: Decimal) -> bool:
    """True when none of `amounts` is NaN or infinite, so that they may be added and compared."""
    for amount in amounts:  # noqa: SIM110 - a generator costs three times as much here, on the hot path
        if not amount.is_finite():
            return False
    return True
