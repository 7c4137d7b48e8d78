"""Asking the exits: the tightest stop, the targets, whether to close. Pure; for one position, or for many at once.

Levels are kept times the side, so that tighter is always larger; they are put on the grid of ticks here, and compared there.
An exit that raises or answers rubbish has no say: the stop in force stays, and the fault is told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from enigma_core.faults import raised
from enigma_core.lines import Floats
from enigma_core.model import Instrument
from enigma_core.parts import Bools, Exit, Holding, Path


class Aim(NamedTuple):
    """One target: which rule set it, where, for how much of the position, and whether its order rests there."""

    rule: str
    level: Any
    fraction: float
    resting: bool


def first_stops(exits: Mapping[str, Exit], position: Holding, instrument: Instrument, faults: list[str]) -> dict[str, Any]:
    """Each rule's stop at the moment of entry, times the side, on the grid; rules without one are left out."""
    found: dict[str, Any] = {}
    for name, rule in exits.items():
        try:
            answer = rule.first_stop(position)
            if type(answer) is float:
                one = instrument.stop(answer, position.side)
                if one < math.inf:  # NaN is no level, nor is one that would tighten without end
                    found[name] = one
                continue
            answer = _of_shape(answer, np.shape(position.entry))
            level = instrument.stops(answer, position.side)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a part's fault stays its own
            faults.append(f"{name}: {raised(error)}")
            continue
        if not np.isnan(level).all():
            found[name] = level
    return found


def _of_shape(answer: Any, shape: tuple[int, ...]) -> Floats:
    """`answer` as an array for positions of `shape`: one level for all of them, or one for each. Raises `ValueError`."""
    level = np.asarray(answer, np.float64)
    if level.shape not in ((), shape):
        raise ValueError(f"a level must be one number for each position, not of shape {level.shape}")
    return level


def tightest(levels: Mapping[str, Any]) -> tuple[str, float]:
    """The tightest of one position's first stops and its rule; NaN where there is none. The first rule named wins a tie."""
    best, name = -math.inf, ""
    for rule, level in levels.items():
        if float(level) > best:
            best, name = float(level), rule
    return name, best if name else math.nan


def stop_lines(
    exits: Mapping[str, Exit], position: Holding, path: Path, instrument: Instrument, faults: list[str]
) -> dict[str, Floats]:
    """Each rule's stop as known at each bar's close, times the side, on the grid: (..., m), NaN for none."""
    found = {}
    shape = path.close.shape
    for name, rule in exits.items():
        try:
            levels = rule.stops(position, path)
            if levels is None:
                continue
            if levels.shape != shape:
                raise ValueError(f"stops() must have the shape {shape} of the path, not {levels.shape}")
            snapped = instrument.stops(levels, position.side)
            # an infinite level is no level; times the side only the one that would tighten without end matters
            found[name] = np.where(snapped < np.inf, snapped, np.nan)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a part's fault stays its own
            faults.append(f"{name}: {raised(error)}")
    return found


def closings(exits: Mapping[str, Exit], position: Holding, path: Path, faults: list[str]) -> dict[str, Bools]:
    """Where each rule wants the position closed at the next open: (..., m)."""
    found = {}
    for name, rule in exits.items():
        try:
            wanted = rule.closes(position, path)
            if wanted is None:
                continue
            if wanted.shape != path.close.shape or wanted.dtype != np.bool_:
                raise ValueError(f"closes() must be bools of the shape {path.close.shape} of the path")
            found[name] = wanted
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a part's fault stays its own
            faults.append(f"{name}: {raised(error)}")
    return found


def aims(
    exits: Mapping[str, Exit], position: Holding, instrument: Instrument, faults: list[str], *, many: bool = False
) -> list[Aim]:
    """All targets, on the grid, without those on the losing side of the entry or without a level.

    With `many` positions each level is (m, 1), and NaN for the positions it is left out for.
    """
    found = []
    for name, rule in exits.items():
        try:
            for target in rule.targets(position):
                if not 0 < target.fraction <= 1:
                    continue
                level = instrument.snap(_of_shape(target.level, np.shape(position.entry)))
                # a price that cannot be is never reached
                wins = (position.side * (level - position.entry) > 0) & (level > 0) & (level < np.inf)
                if many:
                    found.append(Aim(name, np.where(wins, level, np.nan), float(target.fraction), bool(target.resting)))
                elif wins:
                    found.append(Aim(name, level, float(target.fraction), bool(target.resting)))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a part's fault stays its own
            faults.append(f"{name}: {raised(error)}")
    return found


def shares(goals: list[Aim], quantity: Decimal, instrument: Instrument) -> list[Decimal]:
    """How much each target takes of `quantity`, in whole lots; one that completes the whole takes the rest."""
    found, left, taken = [], quantity, 0.0
    for goal in goals:
        taken += goal.fraction
        share = left if taken > 1 - 1e-9 else quantity * Decimal(repr(goal.fraction)) // instrument.lot * instrument.lot
        share = min(share, left)
        left -= share
        found.append(share)
    return found
