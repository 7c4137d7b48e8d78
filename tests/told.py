"""Indicators that say what a test tells them, bar by bar, and those that misbehave."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from enigma_core.lines import Floats
from enigma_core.market import Market
from enigma_core.model import Candles
from enigma_core.parts import Indicator, LiveIndicator
from enigma_core.timeframes import milliseconds
from markets import START

NAN = float("nan")


def pick(table: tuple[float, ...], candles: Candles) -> Floats:
    """The item of `table` for each bar, by its place after START; the last one goes on for ever."""
    place = (candles.ts - START) // milliseconds(candles.timeframe)
    found: Floats = np.array(table)[np.minimum(place, len(table) - 1)]
    return found


class Told(Indicator, frozen=True, kw_only=True):
    """Gives the points in `table`, one for each bar since START."""

    name = "told"

    table: tuple[float, ...] = (0.0,)
    max_points: float = 100.0
    early: int = 1

    @property
    def warmup(self) -> int:
        return self.early

    def points(self, candles: Candles) -> Floats:
        return pick(self.table, candles)


class ToldAtr(Indicator, frozen=True, kw_only=True):
    """A line of `table`, times the close: so that ATR/close is as told."""

    name = "atr"

    table: tuple[float, ...] = (0.01,)

    @property
    def warmup(self) -> int:
        return 1

    def line(self, candles: Candles) -> Floats:
        return pick(self.table, candles) * candles.close


class Rsi(Indicator, frozen=True, kw_only=True):
    """Points and a line that stream; opens only with some history."""

    name = "rsi"
    streams: ClassVar[bool] = True

    period: int = 5
    max_points: float = 17.0

    @property
    def warmup(self) -> int:
        return 40 * self.period

    def points(self, candles: Candles) -> Floats:
        rsi = self.line(candles)
        return np.where(rsi < 35, self.max_points, np.where(rsi > 65, -self.max_points, (50 - rsi) / 7))

    def line(self, candles: Candles) -> Floats:
        found: Floats = candles.ta.RSI(candles.close, timeperiod=self.period)
        return found


class Misbehaving(Indicator, frozen=True, kw_only=True):
    """Does `what`, on bars that open at `at` or later (ms since START)."""

    name = "misbehaving"

    what: str = "raise"
    at: int = 0
    max_points: float = 10.0

    @property
    def warmup(self) -> int:
        return 1

    def points(self, candles: Candles) -> Any:
        n, late = len(candles), candles.ts - START >= self.at
        if not late.any():
            return np.full(n, 5.0)
        match self.what:
            case "raise":
                raise ValueError("no idea\nsecond line")
            case "exit":
                raise SystemExit(3)
            case "none":
                return None
            case "text":
                return "buy"
            case "list":
                return [5.0] * n
            case "short":
                return np.full(n + 1, 5.0)
            case "flat":
                return np.full((n, 1), 5.0)
            case "whole":
                return np.full(n, 5)
            case "single":
                return np.full(n, 5, np.float32)
            case "scalar":
                return np.float64(5.0)
            case "huge":
                return np.full(10_000_000, 5.0)
            case "mutate":
                candles.close[0] = 1.0
                return np.full(n, 5.0)
            case "infinite":
                return np.where(late, np.inf, 5.0)
            case "beyond":
                return np.where(late, -10.1, 5.0)
            case "nan":
                return np.where(late & (np.arange(n) > 0 if n > 1 else late), np.nan, 5.0)
        raise AssertionError(self.what)


WHOLE = ("raise", "exit", "none", "text", "list", "short", "flat", "whole", "single", "scalar", "huge", "mutate")
"""Misdeeds that leave nothing to use."""

PARTLY = ("infinite", "beyond", "nan")
"""Misdeeds of single bars."""


class Says(LiveIndicator, frozen=True, kw_only=True):
    """Votes `points` live; raises where they are None."""

    name = "says"

    points: Any = 5.0
    max_points: float = 15.0

    def points_now(self, market: Market, now: int) -> float:
        if self.points is None:
            raise ValueError("no idea")
        answer: float = self.points
        return answer
