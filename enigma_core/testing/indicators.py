"""The contract of indicators that read candles."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from enigma_core.lines import TAIL, Floats, Tape
from enigma_core.model import Candles
from enigma_core.parts import Indicator
from enigma_core.testing.finding import FAILED, Failed, Inspection, clip
from enigma_core.testing.generators import candles, markets

TOLERANCE = 1e-9
"""Of max_points: how far two ways to the same point may differ."""

COLUMNS = ("ts", "open", "high", "low", "close", "volume")
EVERY_BAR = ("range", "shock")
"""Markets that are cut at every bar: a part that peeks one bar ahead may give itself away on few of them."""

MOST_BARS = 5_000
"""Bars of a test market; a part with a longer warm-up is checked for what these bars allow."""


def inspect(inspection: Inspection, part: Indicator) -> None:
    """Shape, dtype, warm-up, bounds, determinism, inputs untouched, no look-ahead, window parity, tape equal to vector."""
    if not (np.isfinite(part.max_points) and part.max_points >= 0):
        inspection.found("max_points", f"max_points is {part.max_points}; it must be a finite number, zero or above")
        return
    warmup = inspection.call("warmup", lambda: part.warmup)
    if isinstance(warmup, Failed):
        return
    if not isinstance(warmup, int) or isinstance(warmup, bool) or warmup < 1:
        inspection.found("warmup", f"warmup is {clip(warmup)}; it must be a whole number of bars, 1 or more")
        return
    answers: dict[str, tuple[Candles, Floats]] = {}
    for name, market in markets(min(warmup + 250, MOST_BARS)).items():
        points = _points(inspection, part, name, market)
        if isinstance(points, Failed):
            continue
        _values(inspection, part, name, points, warmup)
        _repeat(inspection, part, name, market, points)
        _line(inspection, part, name, market)
        if len(market) > 2:
            answers[name] = (market, points)
            _past_only(inspection, part, name, market, points, warmup)
    if inspection.broken("look-ahead"):
        return  # what follows compares with the past, and would be broken for that reason
    for name, (market, points) in answers.items():
        _window(inspection, part, name, market, points, warmup)
        if part.streams:
            _stream(inspection, "points", part.points, name, market, points)
            _stream_line(inspection, part, name, market)


def _digest(market: Candles) -> bytes:
    whole = hashlib.blake2b()
    for column in COLUMNS:
        whole.update(getattr(market, column).tobytes())
    return whole.digest()


def _where(name: str, market: Candles) -> str:
    return f"the market {name!r} ({len(market)} bars)" if " " not in name else f"a history of {name}"


def _points(inspection: Inspection, part: Indicator, name: str, market: Candles) -> Floats | Failed:
    where = f"points(candles) on {_where(name, market)}"
    before = _digest(market)
    points = inspection.call(where, part.points, market)
    if _digest(market) != before:
        inspection.found("mutates", f"{where} changed its candles; inputs are shared: work on a copy")
    return points if points is FAILED else _array(inspection, "points", where, points, len(market))


def _array(inspection: Inspection, what: str, where: str, answer: Any, n: int) -> Floats | Failed:
    if not isinstance(answer, np.ndarray):
        inspection.found("type", f"{where} returned {type(answer).__name__} {clip(answer)}; it must be a numpy array of float64")
    elif answer.dtype != np.float64:
        inspection.found("dtype", f"{where} returned an array of {answer.dtype}; it must be float64")
    elif answer.shape != (n,):
        inspection.found("shape", f"{where} returned shape {answer.shape}; it must be ({n},), one number a bar")
    else:
        return answer
    return FAILED


def _values(inspection: Inspection, part: Indicator, name: str, points: Floats, warmup: int) -> None:
    known = ~np.isnan(points)
    limit = part.max_points * (1 + TOLERANCE)
    beyond = np.flatnonzero(known & ~(np.abs(points) <= limit))
    if len(beyond):
        i = int(beyond[0])
        inspection.found(
            "bounds",
            f"points[{i}] is {points[i]} on the market {name!r}; points must lie within +-max_points ({part.max_points}): "
            "multiply max_points by a strength between -1 and 1",
        )
    after = np.flatnonzero(~known[warmup - 1 :])
    if len(after):
        i = int(after[0]) + warmup - 1
        inspection.found(
            "warmup",
            f"points[{i}] is NaN on the market {name!r} though warmup is {warmup}; from item {warmup - 1} on every point must be "
            "a number (a flat market gives the middle of the scale), or warmup must be larger",
        )
    elif len(known) and known.any() and not known[int(np.argmax(known)) :].all():
        i = int(np.argmax(known)) + int(np.argmin(known[int(np.argmax(known)) :]))
        inspection.found(
            "holes", f"points[{i}] is NaN on the market {name!r} after earlier items were numbers; NaN is for the start"
        )
    if part.max_points and warmup > 1 and len(points) and known[0]:
        inspection.found(
            "warmup",
            f"points[0] is {points[0]} on the market {name!r} though warmup is {warmup}; before there are enough bars "
            "the answer is NaN (abstain)",
        )


def _repeat(inspection: Inspection, part: Indicator, name: str, market: Candles, points: Floats) -> None:
    kept = points.copy()
    twin = msgspec.structs.replace(part)
    # whatever a part remembers between calls shows in its next answer
    inspection.call("points(candles) on the market 'shock' (64 bars)", twin.points, candles(99, 64, "shock"))
    again = inspection.call(f"points(candles) for the second time on {_where(name, market)}", twin.points, market)
    if again is FAILED:
        return
    if not (isinstance(again, np.ndarray) and np.array_equal(kept, again, equal_nan=True)):
        inspection.found(
            "determinism",
            f"points(candles) on {_where(name, market)} gave two answers to the same question; "
            "use no clock, no randomness and nothing remembered between calls",
        )


def _different(a: Floats, b: Floats, tolerance: float) -> int | None:
    same = (np.abs(a - b) <= tolerance) | (np.isnan(a) & np.isnan(b)) | (a == b)
    return None if same.all() else int(np.argmin(same))


def _cuts(name: str, n: int, warmup: int) -> list[int]:
    if name in EVERY_BAR:
        return list(range(max(0, n - 250), n))
    near = [k for k in range(warmup - 2, warmup + 4) if 0 < k < n]
    scattered = np.random.default_rng(7).integers(1, n, 40).tolist()
    return sorted({*range(min(6, n)), *near, *scattered, n - 1})


def _past_only(inspection: Inspection, part: Indicator, name: str, market: Candles, points: Floats, warmup: int) -> None:
    for k in _cuts(name, len(market), warmup):
        early = inspection.call(f"points(candles[:{k}]) on the market {name!r}", part.points, market[:k])
        if early is FAILED or not isinstance(early, np.ndarray) or early.shape != (k,):
            if early is not FAILED:
                _array(inspection, "points", f"points(candles[:{k}]) on the market {name!r}", early, k)
            return
        i = _different(early, points[:k], TOLERANCE * max(part.max_points, 1e-300))
        if i is not None:
            inspection.found(
                "look-ahead",
                f"on the market {name!r} points[{i}] was {early[i]} when {k} bars were known and became {points[i]} later; item i "
                "may use bars 0..i only (no negative shift, no centred window, no mean or maximum of the whole history)",
            )
            return


def _window(inspection: Inspection, part: Indicator, name: str, market: Candles, points: Floats, warmup: int) -> None:
    n = len(market)
    for end in np.unique(np.linspace(min(warmup, n), n, 60).astype(int)).tolist():
        window = market[max(0, end - warmup) : end]
        short = inspection.call(f"points(the last {warmup} bars) on the market {name!r}", part.points, window)
        if short is FAILED:
            return
        if _different(short[-1:], points[end - 1 : end], TOLERANCE * max(part.max_points, 1e-300)) is not None:
            inspection.found(
                "window parity",
                f"on the market {name!r} the point of bar {end - 1} is {points[end - 1]} on all history but {short[-1]} on the "
                f"last {warmup} bars; warmup ({warmup}) is too short for what the lines remember, or the part depends on where "
                "history begins",
            )
            return


def _stream(inspection: Inspection, what: str, method: Callable[[Candles], Any], name: str, market: Candles, lines: Floats) -> None:
    """Bar by bar as the live path does it: whole histories until the tape is open, then tails; equal to the last bit."""
    tape = Tape()
    n = len(market)
    for end in range(min(TAIL, n), n + 1):
        seen = market[end - TAIL if tape.open else 0 : end]
        where = f"{what}(candles) bar by bar on the market {name!r}"
        inspection.call(where, tape.rewind)
        answer = inspection.call(where, method, msgspec.structs.replace(seen, ta=tape))
        if isinstance(answer, Failed) or isinstance(_array(inspection, what, where, answer, len(seen)), Failed):
            return
        if not (answer[-1] == lines[end - 1] or (np.isnan(answer[-1]) and np.isnan(lines[end - 1]))):
            inspection.found(
                "streams",
                f"on the market {name!r} {what}[{end - 1}] is {lines[end - 1]} over the history but {answer[-1]} bar by bar; take "
                "every line with a memory from candles.ta, always in the same order, and look back fewer than "
                f"{TAIL} bars, or leave streams False",
            )
            return
        if not tape.open:
            tape.settle(end)


def _line(inspection: Inspection, part: Indicator, name: str, market: Candles) -> None:
    where = f"line(candles) on {_where(name, market)}"
    line = inspection.call(where, part.line, market)
    if line is FAILED or line is None:
        return
    line = _array(inspection, "line", where, line, len(market))
    if isinstance(line, Failed) or len(market) < 3:
        return
    scale = float(np.nanmax(np.abs(line), initial=0.0))
    for k in (len(market) // 3, len(market) // 2, len(market) - 1):
        early = inspection.call(f"line(candles[:{k}]) on the market {name!r}", part.line, market[:k])
        if early is FAILED:
            return
        i = _different(early, line[:k], TOLERANCE * scale)
        if i is not None:
            inspection.found(
                "look-ahead", f"on the market {name!r} line[{i}] was {early[i]} with {k} bars and became {line[i]} later"
            )
            return


def _stream_line(inspection: Inspection, part: Indicator, name: str, market: Candles) -> None:
    line = inspection.call(f"line(candles) on {_where(name, market)}", part.line, market)
    if isinstance(line, np.ndarray) and line.shape == (len(market),):
        _stream(inspection, "line", part.line, name, market, line)
