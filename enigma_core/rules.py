"""The words a points table is written in: comparisons that rounding cannot tip, crossings, and "the first row that holds".

All work on arrays of shape (n,), one item a bar, item i from bars 0..i. Comparisons with NaN are False. `noise` is how far
two numbers may differ and still count as equal, a number or an array (n,): sums that TA-Lib keeps over a whole history end
in other last digits than the same sums over a window, and no vote may hang on those.

>>> k = np.array([np.nan, 10.0, 15.0, 60.0])
>>> first_match((below(k, 20) & up(k), 1.0), (below(k, 20), 0.5), known=k)
array([nan, 0.5, 1. , 0. ])
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Annotated

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from enigma_core.errors import ConfigError
from enigma_core.lines import Floats

Bools = npt.NDArray[np.bool_]

NOISE = 1e-9
"""The noise of lines on a scale of about 0 to 100."""

PRICE_NOISE = 1e-11
"""The noise of sums and averages of prices, as a part of the price."""

Strength = Annotated[float, Meta(ge=0, le=1, description="part of max_points given where the row holds")]
"""A setting: how much of an indicator's points a row gives."""

MaxPoints = Annotated[float, Meta(ge=0, le=1000, description="points of the strongest vote")]
"""A setting: the weight of an indicator."""

_NAN = np.array(np.nan)
_TINY = np.array(1e-300)


@lru_cache(4096)
def _constant(value: float) -> Floats:
    # numpy takes twice as long over 64 bars when it must first make an array of a Python float
    constant = np.array(value, np.float64)
    constant.flags.writeable = False
    return constant


def above(x: Floats, level: float, noise: float = NOISE) -> Bools:
    """Where ``x > level``."""
    return np.greater(x, _constant(level + noise))


def below(x: Floats, level: float, noise: float = NOISE) -> Bools:
    """Where ``x < level``."""
    return np.less(x, _constant(level - noise))


def at_least(x: Floats, level: float, noise: float = NOISE) -> Bools:
    """Where ``x >= level``."""
    return np.greater_equal(x, _constant(level - noise))


def at_most(x: Floats, level: float, noise: float = NOISE) -> Bools:
    """Where ``x <= level``."""
    return np.less_equal(x, _constant(level + noise))


def price_noise(price: Floats) -> Floats:
    """How far averages of such prices may differ and still count as equal: (n,)."""
    return np.multiply(price, _constant(PRICE_NOISE))


def volume_noise(total: Floats, most: Floats) -> Floats:
    """How far a running total of volumes up to `most` a bar may differ and still count as equal: (n,)."""
    noise = np.abs(total)
    return np.multiply(np.add(noise, most, noise), _constant(PRICE_NOISE), noise)


def _number(noise: float | Floats) -> Floats:
    return noise if isinstance(noise, np.ndarray) else _constant(noise)


def ago(x: Floats, bars: int) -> Floats:
    """`x` as it was `bars` bars before: NaN for the first `bars` items."""
    past = np.empty(len(x))
    past[:bars] = _NAN
    past[bars:] = x[: max(len(x) - bars, 0)]
    return past


def before(holds: Bools) -> Bools:
    """Whether it held on the bar before; False on the first bar."""
    past = np.zeros(len(holds), np.bool_)
    past[1:] = holds[:-1]
    return past


def change(x: Floats, bars: int = 1) -> Floats:
    """``x - ago(x, bars)``, NaN for the first `bars` items."""
    moved = np.empty(len(x))
    moved[:bars] = _NAN
    if len(x) > bars:
        np.subtract(x[bars:], x[:-bars], moved[bars:])
    return moved


def positive(x: Floats, noise: float | Floats = NOISE) -> Bools:
    """Where ``x > 0``."""
    return np.greater(x, _number(noise))


def negative(x: Floats, noise: float | Floats = NOISE) -> Bools:
    """Where ``x < 0``."""
    return np.less(x, np.negative(_number(noise)))


def up(x: Floats, noise: float | Floats = NOISE) -> Bools:
    """Where `x` is above its value on the bar before; False on the first bar."""
    return positive(change(x), noise)


def down(x: Floats, noise: float | Floats = NOISE) -> Bools:
    """Where `x` is below its value on the bar before; False on the first bar."""
    return negative(change(x), noise)


def turns_positive(x: Floats, noise: float | Floats = NOISE) -> Bools:
    """Where ``x > 0`` and on the bar before ``x <= 0``; False where that bar is unknown."""
    level = _number(noise)
    turns = np.zeros(len(x), np.bool_)
    if len(x) > 1:
        higher, not_before = np.greater(x, level), np.less_equal(x, level)
        np.logical_and(higher[1:], not_before[:-1], turns[1:])
    return turns


def turns_negative(x: Floats, noise: float | Floats = NOISE) -> Bools:
    """Where ``x < 0`` and on the bar before ``x >= 0``; False where that bar is unknown."""
    level = np.negative(_number(noise))
    turns = np.zeros(len(x), np.bool_)
    if len(x) > 1:
        lower, not_before = np.less(x, level), np.greater_equal(x, level)
        np.logical_and(lower[1:], not_before[:-1], turns[1:])
    return turns


def crosses_above(a: Floats, b: Floats | float, noise: float | Floats = NOISE) -> Bools:
    """Where `a` is above `b` and was not on the bar before; False where that bar is unknown."""
    return turns_positive(a - b, noise)


def crosses_below(a: Floats, b: Floats | float, noise: float | Floats = NOISE) -> Bools:
    """Where `a` is below `b` and was not on the bar before; False where that bar is unknown."""
    return turns_negative(a - b, noise)


def place_in_range(x: Floats, low: Floats, high: Floats, noise: float = 0.0) -> Floats:
    """Where `x` stands between `low` and `high`: 0 at the low, 100 at the high, 50 where the range is no more than `noise`."""
    # measured from the middle, so that 0/tiny gives the middle without asking whether the range is empty
    under, over = np.subtract(x, low), np.subtract(high, x)
    width = np.add(under, over)
    middle = np.subtract(under, over, over)
    if noise:
        np.multiply(middle, np.greater(width, _constant(noise)), middle)
    np.divide(middle, np.maximum(width, _TINY, out=width), middle)
    np.multiply(middle, _constant(50.0), middle)
    return np.add(middle, _constant(50.0), middle)


def first_match(*rows: tuple[Bools, float | Floats], known: Floats, scale: float = 1.0) -> Floats:
    """The strength of the first row whose condition holds, times `scale`; 0 where none does, NaN where `known` is NaN.

    A row is ``(condition, strength)``; a strength is a number or an array (n,).
    """
    if any(isinstance(strength, np.ndarray) for _, strength in rows):
        points = np.zeros(len(known))
        for condition, strength in reversed(rows):
            np.copyto(points, np.multiply(strength, scale), where=condition)
        points[np.isnan(known)] = _NAN
        return points
    # The rank of the first row that holds, from the last row (1) up to the first, NaN above all; then one look into a table.
    # Setting the points under a mask instead takes three times as long on a history: its branches cannot be predicted.
    top = len(rows) + 1
    rank = np.isnan(known).view(np.int8)
    np.multiply(rank, np.int8(top), rank)
    for place, (condition, _) in enumerate(rows):
        np.maximum(rank, condition.view(np.int8) * np.int8(top - 1 - place), out=rank)
    table = np.array([0.0, *[float(strength) * scale for _, strength in reversed(rows)], np.nan])
    return table[rank]


def ascending(part: str, **settings: float) -> None:
    """Raises `ConfigError` unless the settings, in the order given, are each below the next."""
    named = list(settings.items())
    for (lower, a), (upper, b) in pairwise(named):
        if not a < b:
            raise ConfigError(f"{part}: {lower} is {a} and {upper} is {b}; {lower} must be below {upper}")


def bars_to_forget(weight: float) -> int:
    """Bars until a value that counts `weight` (0..1) on its bar, and ``1 - weight`` of itself less each bar, is below rounding.

    An exponential average never quite forgets its first value. After this many bars what is left of it is smaller than
    the last digit of a float (2**-53), so an average over these bars equals one over all history.
    """
    return int(np.ceil(-53 * np.log(2) / np.log1p(-weight))) if weight < 1 else 0
