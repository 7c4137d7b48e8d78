"""The contract of exits: right side, never looser, never ahead, and the same for one position as for many."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from enigma_core.lines import Floats
from enigma_core.parts import Exit, Holding, Path, Target
from enigma_core.testing.fakes import make_holding
from enigma_core.testing.finding import FAILED, Inspection, clip
from enigma_core.testing.generators import candles

LENGTH = 60
PATH = ("open", "high", "low", "close", "score")


def _cases() -> tuple[Holding, Path]:
    """Positions of both sides, many leverages and markets, as one batch: fields (m, 1), paths (m, k)."""
    fields: dict[str, list[float]] = {"side": [], "entry": [], "leverage": [], "atr": []}
    paths: dict[str, list[Floats]] = {name: [] for name in PATH}
    for number, regime in enumerate(("trend", "range", "shock", "flat", "tiny", "gaps")):
        for begin in (0, 71, 140):
            bars = candles(number + 1, 220, regime)[begin : begin + LENGTH]
            random = np.random.default_rng([number, begin])
            score = np.where(np.arange(LENGTH) % 6 == 5, np.round(random.uniform(-160, 160, LENGTH)), np.nan)
            entry = float(bars.open[0])
            for side, leverage, atr in ((1, 1, 0.01), (-1, 1, 0.01), (1, 6, 0.02), (-1, 6, 0.02), (1, 10, math.nan), (-1, 10, 0.0)):
                for name, value in (("side", side), ("entry", entry), ("leverage", leverage), ("atr", entry * atr)):
                    fields[name].append(value)
                for name in PATH[:4]:
                    paths[name].append(getattr(bars, name))
                paths["score"].append(score)
    columns = {name: np.array(values, np.float64).reshape(-1, 1) for name, values in fields.items()}
    holding = make_holding(columns["side"], columns["entry"], columns["leverage"], columns["atr"])  # type: ignore[arg-type]
    rows = {name: np.array(values) for name, values in paths.items()}
    for array in (*columns.values(), *rows.values()):
        array.flags.writeable = False
    return holding, Path(**rows)


def _one(holding: Holding, i: int) -> Holding:
    values = [getattr(holding, name)[i, 0] for name in ("side", "entry", "leverage", "atr")]
    return Holding(int(values[0]), float(values[1]), int(values[2]), float(values[3]), holding.fee_in, holding.fee_out)


def _row(path: Path, i: int, k: int = LENGTH) -> Path:
    return Path(*(getattr(path, name)[i, :k] for name in PATH))


def _bars(path: Path, k: int) -> Path:
    return Path(*(getattr(path, name)[:, :k] for name in PATH))


def inspect(inspection: Inspection, part: Exit) -> None:
    """Every method of `part`, over many positions at once and one by one."""
    holding, path = _cases()
    _first(inspection, part, holding)
    _stops(inspection, part, holding, path)
    _targets(inspection, part, holding)
    _closes(inspection, part, holding, path)


def _who(holding: Holding, i: int) -> str:
    one = _one(holding, i)
    return f"a {'long' if one.side > 0 else 'short'} from {one.entry} at leverage {one.leverage}"


def _first(inspection: Inspection, part: Exit, holding: Holding) -> None:
    many = inspection.call("first_stop(position) for many positions", part.first_stop, holding)
    if many is FAILED:
        return
    if np.shape(many) != holding.entry.shape:
        inspection.found("shape", f"first_stop(position) for fields of {holding.entry.shape} returned shape {np.shape(many)}")
        return
    for i in range(len(holding.entry)):
        one = _one(holding, i)
        level = inspection.call(f"first_stop(position) for {_who(holding, i)}", part.first_stop, one)
        if level is FAILED:
            return
        if np.ndim(level) != 0 or not isinstance(level, int | float | np.floating):
            inspection.found("type", f"first_stop(position) for one position returned {clip(level)}; it must be a number")
            return
        if not _same(level, many[i, 0]):
            inspection.found(
                "batch",
                f"first_stop for {_who(holding, i)} is {level} alone but {many[i, 0]} among others; both must agree to the bit",
            )
        if not math.isnan(level) and not (math.isfinite(level) and one.side * (one.entry - level) > 0):
            below = "below" if one.side > 0 else "above"
            text = f"first_stop for {_who(holding, i)} is {level}; a stop must lie {below} the entry"
            inspection.found("side", f"{text}: entry * (1 - side * distance)")


def _same(a: Any, b: Any) -> bool:
    return bool(a == b or (np.isnan(a) and np.isnan(b)))


def _levels(inspection: Inspection, what: str, answer: Any, shape: tuple[int, ...], dtype: Any) -> bool:
    if not isinstance(answer, np.ndarray) or answer.dtype != dtype:
        found = f"an array of {answer.dtype}" if isinstance(answer, np.ndarray) else type(answer).__name__
        inspection.found("dtype", f"{what} returned {found}; it must be an array of {np.dtype(dtype)}, or None")
        return False
    if answer.shape != shape:
        inspection.found("shape", f"{what} returned shape {answer.shape}; it must be {shape}: work along the last axis")
        return False
    return True


def _agrees(inspection: Inspection, name: str, method: Any, holding: Holding, path: Path, dtype: Any) -> Any:
    """The method's answer for all positions, once it is known to fit, to be the same one by one, and not to look ahead."""
    many = inspection.call(f"{name}(position, path) for many positions", method, holding, path)
    if many is FAILED or many is None:
        return None
    shape = path.close.shape
    if not _levels(inspection, f"{name}(position, path) for paths of {shape}", many, shape, dtype):
        return None
    for i in range(shape[0]):
        alone = inspection.call(f"{name}(position, path) for {_who(holding, i)}", method, _one(holding, i), _row(path, i))
        if alone is FAILED:
            return None
        if alone is None or not _levels(inspection, f"{name}(position, path) for one path", alone, shape[1:], dtype):
            return None
        if not np.array_equal(alone, many[i], equal_nan=dtype == np.float64):
            j = int(np.argmin((alone == many[i]) | ((alone != alone) & (many[i] != many[i]))))
            inspection.found(
                "batch",
                f"{name} for {_who(holding, i)} at bar {j} is {alone[j]} alone but {many[i, j]} among others; both must agree "
                "to the bit: work along axis -1",
            )
            return None
    for k in (1, 2, 3, 17, LENGTH - 1):
        early = inspection.call(f"{name}(position, path) after {k} bars", method, holding, _bars(path, k))
        if early is FAILED or not _levels(inspection, f"{name} after {k} bars", early, (shape[0], k), dtype):
            return None
        if not np.array_equal(early, many[:, :k], equal_nan=dtype == np.float64):
            same = (early == many[:, :k]) | ((early != early) & (many[:, :k] != many[:, :k]))
            i, j = (int(x) for x in np.unravel_index(np.argmin(same), same.shape))
            inspection.found(
                "look-ahead",
                f"{name} for {_who(holding, i)} at bar {j} was {early[i, j]} when {k} bars were known and became {many[i, j]} "
                "later; item i may use bars 0..i only",
            )
            return None
    return many


def _stops(inspection: Inspection, part: Exit, holding: Holding, path: Path) -> None:
    levels = _agrees(inspection, "stops", part.stops, holding, path, np.float64)
    if levels is None:
        return
    side = holding.side
    tight = levels * side
    kept = np.fmax.accumulate(tight, axis=-1)
    # what the engine keeps anyway; an exit that lets go says something else than it will get
    looser = ~np.isnan(kept) & (np.isnan(tight) | (tight < kept))
    if looser.any():
        i, j = (int(x) for x in np.unravel_index(np.argmax(looser), looser.shape))
        inspection.found(
            "loosens",
            f"stops for {_who(holding, i)} goes from {kept[i, j] * side[i, 0]} to {levels[i, j]} at bar {j}; a stop only ever "
            "tightens: side * np.fmax.accumulate(side * levels, axis=-1)",
        )
    best = np.where(side > 0, np.maximum.accumulate(path.high, axis=-1), np.minimum.accumulate(path.low, axis=-1)) * side
    wrong = np.isinf(levels) | (tight > best * (1 + 1e-12 * np.sign(best)))
    if wrong.any():
        i, j = (int(x) for x in np.unravel_index(np.argmax(wrong), wrong.shape))
        inspection.found(
            "side",
            f"stops for {_who(holding, i)} is {levels[i, j]} at bar {j}, beyond the best price since entry "
            f"({best[i, j] * side[i, 0]}); such a stop would be hit before it is placed",
        )


def _targets(inspection: Inspection, part: Exit, holding: Holding) -> None:
    many = inspection.call("targets(position) for many positions", part.targets, holding)
    if many is FAILED:
        return
    if not isinstance(many, list | tuple) or not all(isinstance(target, Target) for target in many):
        inspection.found("targets", f"targets(position) returned {clip(many)}; it must be a list or tuple of Target")
        return
    fractions = [target.fraction for target in many]
    if any(not 0 < fraction <= 1 for fraction in fractions) or sum(fractions) > 1 + 1e-9:
        inspection.found(
            "targets", f"targets(position) takes the fractions {fractions}; each must be above 0 and their sum at most 1"
        )
    for i in range(len(holding.entry)):
        one = _one(holding, i)
        alone = inspection.call(f"targets(position) for {_who(holding, i)}", part.targets, one)
        if alone is FAILED:
            return
        if len(alone) != len(many):
            inspection.found(
                "batch", f"targets gives {len(alone)} levels for {_who(holding, i)} alone but {len(many)} among others"
            )
            return
        for target, among in zip(alone, many, strict=True):
            level = np.broadcast_to(among.level, holding.entry.shape)[i, 0]
            if not _same(target.level, level):
                inspection.found(
                    "batch",
                    f"a target of {_who(holding, i)} is {target.level} alone but {level} among others; both must agree to the bit",
                )
            if not (math.isfinite(target.level) and one.side * (target.level - one.entry) > 0):
                above = "above" if one.side > 0 else "below"
                inspection.found("side", f"a target of {_who(holding, i)} is {target.level}; it must lie {above} the entry")


def _closes(inspection: Inspection, part: Exit, holding: Holding, path: Path) -> None:
    _agrees(inspection, "closes", part.closes, holding, path, np.bool_)
