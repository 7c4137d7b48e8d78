"""What would become of each possible entry: terms, entry price and exit of many rows at once.

An exit depends on its symbol's bars alone, never on the account, so it can be known for rows that may never be entered.
Everything here is what `deciding.Decider.terms` and `jumping.find_exits` say of one row, over arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from enigma_core.deciding import Decider, Terms, unprotected
from enigma_core.exiting import Aim, aims, closings, first_stops, stop_lines
from enigma_core.lines import Floats
from enigma_core.model import NOISE, Instrument
from enigma_core.parts import Holding, Path
from enigma_core.plan import Plan

if TYPE_CHECKING:
    from enigma_core.shells.jumping import Lane

CHUNK = 256
"""Rows worked out together: enough to pay for the calls, few enough not to work in vain."""

WINDOW = 64
"""Bars after the entry that are looked at; an exit beyond is sought when the entry is made."""


Ending = tuple[int, bool, str, float, bool, bool]
"""Of a `Prospect`: bar, at_open, reason, level, slips, rested."""


class Prospect(NamedTuple):
    """One row: its terms, the ticks its entry would fill at, and how it would end; `bar` is -1 where that is not known here."""

    terms: Terms
    ticks: int
    bar: int
    at_open: bool
    reason: str
    level: float
    slips: bool
    rested: bool


class Prospects:
    """The rows of one lane that pass the market gates, worked out a chunk at a time as they are reached."""

    def __init__(self, plan: Plan, decider: Decider, lane: Lane) -> None:
        self._plan = plan
        self._decider = decider
        self._lane = lane
        self._first = 0
        self._size = 0
        self._able = True
        self._terms: Callable[[int], Terms]
        self._ticks: list[float]
        self._ending: Callable[[int], Ending]
        c = lane.candles
        pad = np.full(WINDOW, np.nan)
        self._windows = [
            sliding_window_view(np.concatenate([line, pad]), WINDOW) for line in (c.open, c.high, c.low, c.close, lane.score)
        ]

    def at(self, number: int) -> Prospect | None:
        """The prospect of candidate `number` of the lane; None where it has to be worked out alone."""
        if self._able and not self._first <= number < self._first + self._size:
            rows = self._lane.entries[number : number + CHUNK]
            self._first, self._size = number, len(rows)
            self._work_out(rows)
        if not self._able:
            return None
        row = number - self._first
        return Prospect(self._terms(row), int(self._ticks[row]), *self._ending(row))

    def _work_out(self, rows: np.ndarray) -> None:
        lane, plan, instrument = self._lane, self._plan, self._lane.instrument
        e = lane.evaluation
        faults: list[str] = []
        side = np.where(e.side[rows] > 0, 1, -1)[:, None]
        price, atr = e.close[rows][:, None], e.atr[rows][:, None]
        leverage = self._leverage(atr / price)
        firsts = first_stops(plan.exits, self._holding(side, price, leverage, atr), instrument, faults)
        first, rules = _tightest(firsts, len(rows))
        columns = (side, price, atr, leverage, first, _liquidation(price, side, leverage, instrument), rules)
        listed: list[list[Any]] = [column.ravel().tolist() for column in columns]
        sides, prices, atrs, leverages, levels, liquidations, named = listed

        def terms(row: int) -> Terms:
            s, p, level = sides[row], prices[row], levels[row]
            reason = unprotected("" if named[row] < 0 else "known", level, s, p, liquidations[row])
            return Terms(s, p, atrs[row], leverages[row], level * s, reason)

        self._terms = terms
        bars = np.minimum(lane.bar_of[rows] + 1, lane.n - 1)
        ticks = _slipped(lane.candles.open[bars][:, None], side, instrument, float(plan.costs.slippage))
        self._ticks = ticks[:, 0].tolist()
        ending = self._ends(self._at_entry(ticks, side, leverage, atr), bars, faults)
        if faults or ending is None:
            # a rule that fails is told of where it fails: row by row
            self._able = False
        else:
            self._ending = ending

    def _leverage(self, ratio: Floats) -> Any:
        rule = self._plan.leverage
        leverage: Any = np.full(ratio.shape, rule.otherwise)
        for step in reversed(rule.steps):
            leverage = np.where(ratio < step.atr, step.leverage, leverage)
        return np.minimum(leverage, min(rule.max, self._lane.instrument.max_leverage))

    def _holding(self, side: Any, entry: Any, leverage: Any, atr: Any) -> Holding:
        return self._decider.holding(side, entry, leverage, atr)

    def _at_entry(self, ticks: Floats, side: np.ndarray, leverage: np.ndarray, atr: Floats) -> Holding:
        steps, scale = self._lane.instrument.grid
        return self._holding(side, ticks * steps / scale, leverage, atr)

    def _ends(self, holding: Holding, bars: np.ndarray, faults: list[str]) -> Callable[[int], Ending] | None:
        """How each position ends that is entered at the open of its bar; None where targets take only a part."""
        plan, instrument, m = self._plan, self._lane.instrument, len(bars)
        goals = aims(plan.exits, holding, instrument, faults, many=True)
        if any(goal.fraction < 1.0 for goal in goals):
            return None
        path = Path(*(window[bars] for window in self._windows))
        for line in (path.open, path.high, path.low, path.close, path.score):
            line.flags.writeable = False
        firsts = first_stops(plan.exits, holding, instrument, faults)
        first, setters = _tightest(firsts, m)
        lines = stop_lines(plan.exits, holding, path, instrument, faults)
        forces = np.empty((m, WINDOW))
        forces[:] = first
        for levels in lines.values():
            np.fmax(forces[:, 1:], np.fmax.accumulate(levels[:, :-1], axis=-1), out=forces[:, 1:])
        liquidation = holding.side * _liquidation(holding.entry, holding.side, holding.leverage, instrument)
        long = holding.side > 0
        worst, best = np.where(long, path.low, -path.high), np.where(long, path.high, -path.low)
        hit = _first(worst <= np.maximum(forces, liquidation))
        wish, wishers = self._wishes(holding, path, faults, m)
        goal_at, goal_level, goal_rule = _goals(goals, holding.side, best, m)
        rows = np.arange(m)
        wished = wish < hit
        over = np.minimum(np.where(wished, wish + 1, hit), WINDOW)
        taken = goal_at < over
        at = np.where(taken, goal_at, over)
        inside = np.minimum(at, WINDOW - 1)
        force, opened = forces[rows, inside], path.open[rows, inside] * holding.side[:, 0]
        liq, side = liquidation[:, 0], holding.side[:, 0]
        liquidated = ~taken & ~wished & ((opened <= liq) | (force <= liq))
        level = np.where(taken, goal_level, side * np.where(wished, opened, np.where(liquidated, liq, np.minimum(force, opened))))
        known = (at < WINDOW) & (bars + at < self._lane.n) & (setters[:, 0] >= 0)
        found = np.where(known, bars + at, -1)
        columns = (found, taken, wished, liquidated, level, goal_rule, wishers)
        where, took, left, gone, met, goal, wisher = (column.tolist() for column in columns)
        named, closers = list(firsts), list(plan.exits)

        def ending(row: int) -> Ending:
            bar = where[row]
            if bar < 0:
                return -1, False, "", 0.0, False, False
            if took[row]:
                return bar, False, goals[goal[row]].rule, met[row], False, goals[goal[row]].resting
            if left[row]:
                return bar, True, closers[wisher[row]], met[row], True, False
            if gone[row]:
                return bar, False, "liquidation", met[row], False, False
            stop, when = force[row], int(inside[row])
            rule = named[setters[row, 0]] if stop == first[row, 0] else _setter(lines, row, stop, when)
            return bar, False, rule, met[row], True, False

        return ending

    def _wishes(self, holding: Holding, path: Path, faults: list[str], m: int) -> tuple[np.ndarray, np.ndarray]:
        """When each position is first wanted closed, and by which exit (its number in the plan)."""
        when, whose = np.full(m, WINDOW), np.zeros(m, np.int64)
        numbers = {name: number for number, name in enumerate(self._plan.exits)}
        for rule, wanted in closings(self._plan.exits, holding, path, faults).items():
            at = _first(wanted)
            whose = np.where(at < when, numbers[rule], whose)
            when = np.minimum(when, at)
        return when, whose


def _first(found: np.ndarray) -> np.ndarray:
    """(m,) the index of the first True along the last axis, WINDOW where there is none."""
    at = found.argmax(axis=-1)
    return np.where(found[np.arange(len(at)), at], at, WINDOW)


def _tightest(levels: dict[str, Any], m: int) -> tuple[Floats, np.ndarray]:
    """(m, 1) the tightest of all first stops and the number of the rule that set it; the first named wins a tie, -1 is none."""
    best, whose = np.full((m, 1), -np.inf), np.full((m, 1), -1)
    for number, level in enumerate(levels.values()):
        whose = np.where(level > best, number, whose)
        best = np.fmax(best, level)
    return np.where(whose < 0, np.nan, best), whose


def _goals(goals: list[Aim], side: np.ndarray, best: Floats, m: int) -> tuple[np.ndarray, Floats, np.ndarray]:
    """When each position's first target is touched, at which level, and which goal it was."""
    when, level, which = np.full(m, WINDOW), np.full(m, np.nan), np.zeros(m, np.int64)
    for number, goal in enumerate(goals):
        at = _first(best >= side * goal.level)
        sooner = at < when
        when = np.where(sooner, at, when)
        level = np.where(sooner, goal.level[:, 0], level)
        which = np.where(sooner, number, which)
    return when, level, which


def _setter(lines: dict[str, Floats], row: int, level: float, before: int) -> str:
    """The rule whose line first reached `level`, at the earliest close; the first named wins a tie."""
    earliest, name = before, ""
    for rule, levels in lines.items():
        equal = levels[row, :before] == level
        at = int(equal.argmax()) if before else 0
        if before and equal[at] and at < earliest:
            earliest, name = at, rule
    return name


def _liquidation(entry: Floats, side: np.ndarray, leverage: np.ndarray, instrument: Instrument) -> Floats:
    return instrument.snap(entry * (1 - side * (1 / leverage - float(instrument.maintenance_margin_rate))))


def _slipped(price: Floats, side: np.ndarray, instrument: Instrument, slippage: float) -> Floats:
    """`matching.slipped` over arrays, in ticks."""
    steps, scale = instrument.grid
    ticks = price * (1 + side * slippage) * scale / steps
    return np.where(side > 0, np.ceil(ticks - NOISE), np.floor(ticks + NOISE))
