"""What would become of each possible entry: terms, entry price and exit of many rows at once.

An exit depends on its symbol's bars alone, never on the account, so it can be known for rows that may never be entered.
Everything here is what `deciding.Decider.terms` and `jumping.find_exits` say of one row, over arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from enigma_core.deciding import Decider, Terms, unprotected
from enigma_core.exiting import Aim, aims, closings, first_stops, stop_lines
from enigma_core.lines import Floats
from enigma_core.matching import NOISE
from enigma_core.model import Instrument
from enigma_core.parts import Holding, Path
from enigma_core.plan import Plan

if TYPE_CHECKING:
    from enigma_core.shells.jumping import Lane

CHUNK = 384
"""Rows worked out together: enough to pay for the calls, few enough not to work in vain."""

WINDOW = 24
"""Bars after the entry that are looked at; an exit beyond is sought when the entry is made."""


class Prospect(NamedTuple):
    """One row: its terms, the ticks its entry would fill at, and how it would end; `bar` is -1 where that is not known here."""

    terms: Terms
    ticks: int
    bar: int
    at_open: bool
    reason: str
    level: float
    slips: bool


class Prospects:
    """The rows of one lane that pass the market gates, worked out a chunk at a time as they are reached."""

    def __init__(self, plan: Plan, decider: Decider, lane: Lane) -> None:
        self._plan = plan
        self._decider = decider
        self._lane = lane
        self._known: list[Prospect] = []
        self._first = 0
        self._able = True
        c = lane.candles
        pad = np.full(WINDOW, np.nan)
        self._windows = [
            sliding_window_view(np.concatenate([line, pad]), WINDOW) for line in (c.open, c.high, c.low, c.close, lane.score)
        ]

    def at(self, number: int) -> Prospect | None:
        """The prospect of candidate `number` of the lane; None where it has to be worked out alone."""
        if not self._able:
            return None
        if not self._first <= number < self._first + len(self._known):
            self._first = number
            self._known = self._work_out(self._lane.entries[number : number + CHUNK])
        return self._known[number - self._first] if self._able else None

    def _work_out(self, rows: np.ndarray) -> list[Prospect]:
        lane, plan, instrument = self._lane, self._plan, self._lane.instrument
        e = lane.evaluation
        faults: list[str] = []
        side = np.where(e.side[rows] > 0, 1, -1)[:, None]
        price, atr = e.close[rows][:, None], e.atr[rows][:, None]
        leverage = self._leverage(atr / price)
        first, rules = _tightest(first_stops(plan.exits, self._holding(side, price, leverage, atr), instrument, faults), len(rows))
        liquidation = _liquidation(price, side, leverage, instrument)
        terms = [
            Terms(*term, unprotected(rule, level, term[0], term[1], liq))  # type: ignore[arg-type]
            for *term, rule, level, liq in zip(
                side[:, 0].tolist(),
                price[:, 0].tolist(),
                atr[:, 0].tolist(),
                leverage[:, 0].tolist(),
                (first * side)[:, 0].tolist(),
                rules,
                first[:, 0].tolist(),
                liquidation[:, 0].tolist(),
                strict=True,
            )
        ]
        bars = np.minimum(lane.bar_of[rows] + 1, lane.n - 1)
        ticks = _slipped(lane.candles.open[bars][:, None], side, instrument, float(plan.costs.slippage))
        ends = self._ends(self._at_entry(ticks, side, leverage, atr), bars, faults)
        if faults or ends is None:
            # a rule that fails is told of where it fails: row by row
            self._able = False
            return []
        return [Prospect(t, k, *end) for t, k, end in zip(terms, ticks[:, 0].astype(np.int64).tolist(), ends, strict=True)]

    def _leverage(self, ratio: Floats) -> np.ndarray:
        rule = self._plan.leverage
        leverage = np.full(ratio.shape, rule.otherwise)
        for step in reversed(rule.steps):
            leverage = np.where(ratio < step.atr, step.leverage, leverage)
        return np.minimum(leverage, min(rule.max, self._lane.instrument.max_leverage))

    def _holding(self, side: Any, entry: Any, leverage: Any, atr: Any) -> Holding:
        return self._decider.holding(side, entry, leverage, atr)

    def _at_entry(self, ticks: Floats, side: np.ndarray, leverage: np.ndarray, atr: Floats) -> Holding:
        steps, scale = self._lane.instrument.grid
        return self._holding(side, ticks * steps / scale, leverage, atr)

    def _ends(self, holding: Holding, bars: np.ndarray, faults: list[str]) -> list[tuple[int, bool, str, float, bool]] | None:
        """The exit of each position entered at the open of its bar, None where targets take only a part."""
        plan, instrument, m = self._plan, self._lane.instrument, len(bars)
        goals = aims(plan.exits, holding, instrument, faults, many=True)
        if any(goal.fraction < 1.0 for goal in goals):
            return None
        path = Path(*(window[bars] for window in self._windows))
        firsts = first_stops(plan.exits, holding, instrument, faults)
        first, first_rules = _tightest(firsts, m)
        lines = stop_lines(plan.exits, holding, path, instrument, faults)
        forces = np.empty((m, WINDOW))
        forces[:] = first
        for levels in lines.values():
            np.fmax(forces[:, 1:], np.fmax.accumulate(levels[:, :-1], axis=-1), out=forces[:, 1:])
        liquidation = holding.side * _liquidation(holding.entry, holding.side, holding.leverage, instrument)
        long = holding.side > 0
        worst, best = np.where(long, path.low, -path.high), np.where(long, path.high, -path.low)
        hit = _first(worst <= np.maximum(forces, liquidation))
        wish, wish_rule = self._wishes(holding, path, faults, m)
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
        known = (at < WINDOW) & (bars + at < self._lane.n)
        ends = []
        zipped = zip(
            np.where(known, bars + at, -1).tolist(),
            (wished & ~taken).tolist(),
            taken.tolist(),
            liquidated.tolist(),
            level.tolist(),
            inside.tolist(),
            force.tolist(),
            strict=True,
        )
        for row, (bar, at_open, took, gone, price, when, stop) in enumerate(zipped):
            if bar < 0:
                ends.append((-1, False, "", 0.0, False))
            elif took:
                ends.append((bar, False, goals[goal_rule[row]].rule, price, False))
            elif at_open:
                ends.append((bar, True, wish_rule[row], price, True))
            elif gone:
                ends.append((bar, False, "liquidation", price, False))
            else:
                rule = first_rules[row] if stop == first[row, 0] else _setter(lines, row, stop, when)
                ends.append((bar, False, rule, price, True))
        return ends

    def _wishes(self, holding: Holding, path: Path, faults: list[str], m: int) -> tuple[np.ndarray, list[str]]:
        earliest, names = np.full(m, WINDOW), [""] * m
        for rule, wanted in closings(self._plan.exits, holding, path, faults).items():
            at = _first(wanted)
            for row in np.flatnonzero(at < earliest).tolist():
                names[row] = rule
            earliest = np.minimum(earliest, at)
        return earliest, names


def _first(found: np.ndarray) -> np.ndarray:
    """(m,) the index of the first True along the last axis, WINDOW where there is none."""
    at = found.argmax(axis=-1)
    return np.where(found[np.arange(len(at)), at], at, WINDOW)


def _tightest(levels: dict[str, Any], m: int) -> tuple[Floats, list[str]]:
    """(m, 1) the tightest of all first stops and the rule that set it; the first rule named wins a tie."""
    best, names = np.full((m, 1), -np.inf), [""] * m
    for rule, level in levels.items():
        for row in np.flatnonzero(level[:, 0] > best[:, 0]).tolist():
            names[row] = rule
        best = np.fmax(best, level)
    return np.where(np.isinf(best), np.nan, best), names


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
