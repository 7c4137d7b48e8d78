"""What indicators answer, checked: rubbish abstains and is named, and who keeps failing is switched off."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from enigma_core.lines import Floats

Bools = npt.NDArray[np.bool_]

TOLERANCE = 1e-9
"""How far points may lie beyond max_points, as a share of it: rounding, not an opinion."""

STRIKES = 3
SPELL = 600_000
"""An indicator that fails `STRIKES` times within `SPELL` ms of market time is switched off."""


class Fault(msgspec.Struct, frozen=True, eq=False):
    """An indicator that abstained because its answer was no answer.

    `rows` marks the rows of the evaluation it concerns, (n,) bool; None means all of them.
    """

    name: str
    timeframe: str
    reason: str
    rows: Bools | None = None

    def concerns(self, row: int) -> bool:
        """Whether it made the indicator abstain in `row`."""
        return self.rows is None or bool(self.rows[row])

    def __str__(self) -> str:
        return f"{self.name} on {self.timeframe} {self.reason}"


def raised(error: BaseException) -> str:
    """What an exception says, as the end of a sentence."""
    text = str(error).strip().splitlines()
    return f"raised {type(error).__name__}: {text[0]}" if text else f"raised {type(error).__name__}"


def shape_reason(answer: Any, n: int) -> str | None:
    """Why `answer` is not a (n,) float64 array, as the end of a sentence; None when it is one."""
    if not isinstance(answer, np.ndarray):
        return f"answered with {type(answer).__name__} instead of an array"
    if answer.shape != (n,):
        return f"answered with shape {answer.shape} instead of ({n},)"
    if answer.dtype != np.float64:
        return f"answered with {answer.dtype} instead of float64"
    return None


class Checked(msgspec.Struct, frozen=True, eq=False):
    """Points (n,) in which what is not allowed is NaN.

    `known` (n,) bool marks the bars that vote. `first` is the first of them when all after it vote too, else -1.
    """

    points: Floats
    known: Bools
    first: int
    reason: str | None = None
    rows: Bools | None = None


def checked(answer: Floats, bound: float, warmup: int) -> Checked:
    """`answer` (n,) without points that are infinite or beyond `bound`. Those are faults, and so is NaN from bar `warmup` on."""
    n = len(answer)
    known = answer == answer
    first = int(known.argmax()) if n else 0
    if n and not known[first]:
        first = n
    solid = bool(known[first:].all())
    limit = bound * (1 + TOLERANCE)
    if solid and first <= max(warmup, 0) and (first == n or (answer[first:].max() <= limit and answer[first:].min() >= -limit)):
        return Checked(answer, known, first)
    wild = known & ~(np.abs(answer) <= limit)
    late = ~known
    late[: max(warmup, 0)] = False
    if wild.any():
        reason = f"gave {answer[wild][0]:g} points; its bound is {bound:g}"
        answer = np.where(wild, np.nan, answer)
        known = known & ~wild
        solid = False
    elif late.any():
        reason = f"gave NaN after its warm-up of {warmup} bars"
    else:
        return Checked(answer, known, first if solid else -1)
    return Checked(answer, known, first if solid else -1, reason, wild | late)


def check_one(points: float, bound: float, warm: bool) -> str | None:
    """As `checked`, for one bar's points: why they do not count; None when they do, NaN before the warm-up included."""
    if points != points:
        return "gave NaN after its warm-up" if warm else None
    if math.fabs(points) <= bound * (1 + TOLERANCE):
        return None
    return f"gave {points:g} points; its bound is {bound:g}"


class Quarantine:
    """Counts faults in market time and switches off who fails too often, until the run is started again.

    One for a run. What fails on several symbols and timeframes at one moment has failed once.
    """

    def __init__(self) -> None:
        self.off: dict[str, str] = {}
        """Indicators switched off, and why."""
        self._strikes: dict[str, deque[int]] = {}
        self._news: list[str] = []
        self._counts = True

    @contextmanager
    def asleep(self) -> Iterator[None]:
        """Nothing counts inside: somebody only looks."""
        self._counts = False
        try:
            yield
        finally:
            self._counts = True

    def strike(self, fault: Fault, ts: int) -> None:
        """One more fault at `ts` (ms)."""
        if not self._counts:
            return
        strikes = self._strikes.setdefault(fault.name, deque(maxlen=STRIKES))
        if not strikes or strikes[-1] != ts:
            strikes.append(ts)
        if len(strikes) == STRIKES and ts - strikes[0] <= SPELL and fault.name not in self.off:
            often = f"{STRIKES} times within {SPELL // 60_000} minutes"
            text = f"{fault.name} is switched off: it failed {often}, the last time it {fault.reason}"
            self.off[fault.name] = text
            self._news.append(text)

    def news(self) -> tuple[str, ...]:
        """Who has been switched off since the last call: for the log and the notifiers."""
        news, self._news = tuple(self._news), []
        return news
