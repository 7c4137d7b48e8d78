"""The conditions of a points table, over all bars at once or on the newest bar alone.

`rows` gives `AllBars` for a history and `NewestBar` on an open tape. Both know the same words and do the same floating-point
operations, so one definition of an indicator serves both, and they agree to the last bit. What they spare is numpy's cost of
starting: on one bar a comparison of two floats is ten times cheaper than one of two arrays.

What goes in and comes out (a line, a condition, a noise) is an array (n,) on `AllBars`; on `NewestBar` a line is a sequence that
ends with the newest bar and a condition a bool. Treat them as opaque: join conditions with ``&`` and pass lines on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from enigma_core import rules
from enigma_core.lines import Floats, Tape
from enigma_core.model import Candles
from enigma_core.rules import NOISE


def _number(x: Any) -> bool:
    return x.__class__ is float or x.__class__ is int


class AllBars:
    """The words of a points table over a whole history; see `rules` for what they mean."""

    __slots__ = ("candles", "ta")

    def __init__(self, candles: Candles) -> None:
        self.candles = candles
        self.ta: Any = candles.ta

    def price_noise(self) -> Any:
        """How far averages of prices may differ and still count as equal."""
        return rules.price_noise(self.candles.close)

    def volume_noise(self, total: Any, most: Any) -> Any:
        """How far a running total of volumes up to `most` a bar may differ and still count as equal."""
        return rules.volume_noise(total, most)

    def above(self, a: Any, b: Any, noise: Any = NOISE) -> Any:
        """Where ``a > b``; `b` is a line or a number."""
        if _number(b) and _number(noise):
            return rules.above(a, b, noise)
        return rules.positive(a - b, noise)

    def below(self, a: Any, b: Any, noise: Any = NOISE) -> Any:
        """Where ``a < b``; `b` is a line or a number."""
        if _number(b) and _number(noise):
            return rules.below(a, b, noise)
        return rules.negative(a - b, noise)

    def at_least(self, a: Any, level: float) -> Any:
        """Where ``a >= level``."""
        return rules.at_least(a, level)

    def at_most(self, a: Any, level: float) -> Any:
        """Where ``a <= level``."""
        return rules.at_most(a, level)

    def up(self, a: Any, noise: Any = NOISE, *, bars: int = 1) -> Any:
        """Where `a` is above its value `bars` before."""
        return rules.positive(rules.change(a, bars), noise)

    def down(self, a: Any, noise: Any = NOISE, *, bars: int = 1) -> Any:
        """Where `a` is below its value `bars` before."""
        return rules.negative(rules.change(a, bars), noise)

    def was_up(self, a: Any, noise: Any = NOISE) -> Any:
        """Where `a` was up on the bar before."""
        return rules.before(rules.up(a, noise))

    def was_down(self, a: Any, noise: Any = NOISE) -> Any:
        """Where `a` was down on the bar before."""
        return rules.before(rules.down(a, noise))

    def crosses_above(self, a: Any, b: Any, noise: Any = NOISE) -> Any:
        """Where `a` is above `b` and was not on the bar before."""
        return rules.crosses_above(a, b, noise)

    def crosses_below(self, a: Any, b: Any, noise: Any = NOISE) -> Any:
        """Where `a` is below `b` and was not on the bar before."""
        return rules.crosses_below(a, b, noise)

    def place_in_range(self, x: Any, low: Any, high: Any, noise: float = 0.0) -> Any:
        """0 at the low, 100 at the high, 50 where the range is no more than `noise`."""
        return rules.place_in_range(x, low, high, noise)

    def blend(self, a: Any, part_a: float, b: Any, part_b: float) -> Any:
        """``a part_a + b part_b``."""
        return a * part_a + b * part_b

    def wilder_from(self, start: float, x: Any, period: int) -> Any:
        """Wilder's average of `x` that stands at `start` before the first item that is not NaN."""
        # it begins with the mean of its first `period` items: with as many of `start` in front it begins there
        filled = np.where(np.isnan(x), start, x)
        line = self.ta.RMA(np.concatenate((np.full(period, start), filled)), timeperiod=period)
        return line[len(line) - len(x) :]  # a tape's line is no longer than its tail

    def first_match(self, *rows: tuple[Any, float], known: Any, scale: float) -> Floats:
        """The strength of the first row that holds, times `scale`; 0 where none does, NaN where `known` is NaN."""
        return rules.first_match(*rows, known=known, scale=scale)


class NewestBar:
    """The words of a points table on the newest bar of an open tape."""

    __slots__ = ("candles", "ta")

    def __init__(self, candles: Candles) -> None:
        self.candles = candles
        self.ta: Any = candles.ta.numbers

    def price_noise(self) -> Any:
        close = self.candles.close
        return (close.item(-2) * rules.PRICE_NOISE, close.item(-1) * rules.PRICE_NOISE)

    def volume_noise(self, total: Any, most: Any) -> Any:
        return tuple([(abs(total[i]) + most[i]) * rules.PRICE_NOISE for i in (-2, -1)])

    def above(self, a: Any, b: Any, noise: Any = NOISE) -> Any:
        if not _number(b):
            return a[-1] - b[-1] > (noise if _number(noise) else noise[-1])
        return a[-1] > b + noise if _number(noise) else a[-1] - b > noise[-1]

    def below(self, a: Any, b: Any, noise: Any = NOISE) -> Any:
        if not _number(b):
            return a[-1] - b[-1] < -(noise if _number(noise) else noise[-1])
        return a[-1] < b - noise if _number(noise) else a[-1] - b < -noise[-1]

    def at_least(self, a: Any, level: float) -> Any:
        return a[-1] >= level - NOISE

    def at_most(self, a: Any, level: float) -> Any:
        return a[-1] <= level + NOISE

    def up(self, a: Any, noise: Any = NOISE, *, bars: int = 1) -> Any:
        return a[-1] - a[-1 - bars] > (noise if _number(noise) else noise[-1])

    def down(self, a: Any, noise: Any = NOISE, *, bars: int = 1) -> Any:
        return a[-1] - a[-1 - bars] < -(noise if _number(noise) else noise[-1])

    def was_up(self, a: Any, noise: Any = NOISE) -> Any:
        return a[-2] - a[-3] > (noise if _number(noise) else noise[-2])

    def was_down(self, a: Any, noise: Any = NOISE) -> Any:
        return a[-2] - a[-3] < -(noise if _number(noise) else noise[-2])

    def crosses_above(self, a: Any, b: Any, noise: Any = NOISE) -> Any:
        now, past = (noise, noise) if _number(noise) else (noise[-1], noise[-2])
        if _number(b):
            return a[-1] - b > now and a[-2] - b <= past
        return a[-1] - b[-1] > now and a[-2] - b[-2] <= past

    def crosses_below(self, a: Any, b: Any, noise: Any = NOISE) -> Any:
        now, past = (noise, noise) if _number(noise) else (noise[-1], noise[-2])
        if _number(b):
            return a[-1] - b < -now and a[-2] - b >= -past
        return a[-1] - b[-1] < -now and a[-2] - b[-2] >= -past

    def place_in_range(self, x: Any, low: Any, high: Any, noise: float = 0.0) -> Any:
        return [_place(float(x[i]), low[i], high[i], noise) for i in (-2, -1)]

    def blend(self, a: Any, part_a: float, b: Any, part_b: float) -> Any:
        return (a[-1] * part_a + b[-1] * part_b,)

    def wilder_from(self, start: float, x: Any, period: int) -> Any:
        return self.ta.RMA(x, timeperiod=period)

    def first_match(self, *rows: tuple[Any, float], known: Any, scale: float) -> Floats:
        """As `AllBars.first_match` for the last item; NaN in the others."""
        points = np.empty(len(self.candles))
        points.fill(np.nan)
        if known[-1] == known[-1]:
            points[-1] = 0.0
            for condition, strength in rows:
                if condition:
                    points[-1] = strength * scale
                    break
        return points


def _place(x: float, low: float, high: float, noise: float) -> float:
    under, over = x - low, high - x
    width = under + over
    if width <= noise:
        return 50.0
    return (under - over) / width * 50.0 + 50.0


def rows(candles: Candles) -> AllBars | NewestBar:
    """The words for `candles`: the newest bar alone on an open tape, else all bars."""
    ta = candles.ta
    return NewestBar(candles) if type(ta) is Tape and ta.open else AllBars(candles)
