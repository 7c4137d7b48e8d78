"""What is wrong with a table of candles: nonsense is refused by line, holes and repeated bars are counted."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import msgspec
import numpy as np

from enigma_core.errors import ConfigError, DataError
from enigma_core.lines import Floats
from enigma_core.model import Candles
from enigma_core.timeframes import Moments, bucket_start, milliseconds
from enigma_plugins.feeds._tables import Table

FIELDS = ("open", "high", "low", "close", "volume")

EARLIEST, LATEST = 315_532_800_000, 4_102_444_800_000
"""1980 and 2100, ms: a time outside is taken for a mistake."""

UNITS = (("seconds", 1e-3), ("milliseconds", 1.0), ("microseconds", 1e3), ("nanoseconds", 1e6))
"""Units a time may be in, as units per ms."""


class DataReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in one symbol's bars. Times are ms; a gap is a stretch of missing bars between two that are there."""

    symbol: str
    timeframe: str
    bars: int
    first_ts: int
    last_ts: int
    gaps: int
    missing: int
    first_gap_ts: int | None
    longest_gap: int
    longest_gap_ts: int | None
    duplicates: int

    def __bool__(self) -> bool:
        return bool(self.gaps or self.duplicates)

    def __str__(self) -> str:
        text = f"{self.symbol} {self.timeframe}: {counted(self.bars, 'bar')}, {day(self.first_ts)} to {day(self.last_ts)}"
        if self.first_gap_ts is not None and self.longest_gap_ts is not None:
            text += f", {counted(self.gaps, 'gap')} ({counted(self.missing, 'bar')} missing, the first at {day(self.first_gap_ts)}"
            text += f", the longest {counted(self.longest_gap, 'bar')} at {day(self.longest_gap_ts)})"
        if self.duplicates:
            text += f", {counted(self.duplicates, 'repeated bar')} dropped"
        return text


def counted(n: int, what: str) -> str:
    """``1 gap``, ``2,000 gaps``."""
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def day(ts: int) -> str:
    """A moment in ms as a person writes it, UTC."""
    return f"{datetime.fromtimestamp(ts / 1000, UTC):%Y-%m-%d %H:%M}"


def times(table: Table) -> Moments:
    """The first column as int64 ms. Its unit follows from the size of the first value. Raises `DataError` by line."""
    raw = table.columns[0]
    first = float(raw[0])
    per_ms = next((per for _, per in UNITS if EARLIEST <= first / per < LATEST), None)
    if per_ms is None:
        value = f"{first:.15g}"
        raise DataError(
            f"{table.where(0)}: the time {value} lies outside 1980 to 2100, be it in seconds, milliseconds, microseconds or "
            "nanoseconds"
        )
    ms = raw / per_ms
    bad = ~((ms >= EARLIEST) & (ms < LATEST))
    if bad.any():
        row = int(np.argmax(bad))
        unit = next(name for name, per in UNITS if per == per_ms)
        raise DataError(f"{table.where(row)}: the time {raw[row]:.15g} lies outside 1980 to 2100 in {unit}, the unit of the first")
    return np.rint(ms).astype(np.int64)


def commonest_step(ts: Moments) -> str | None:
    """The commonest distance between neighbours as a timeframe; None where there are no neighbours or it is no timeframe."""
    steps = np.diff(ts)
    steps = steps[steps > 0]
    if not len(steps):
        return None
    lengths, counts = np.unique(steps, return_counts=True)
    return spelled(int(lengths[np.argmax(counts)]))


def spelled(length: int) -> str | None:
    """A length in ms as a timeframe; None where there is none of that length."""
    for unit, ms in (("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000)):
        if length % ms == 0:
            try:
                milliseconds(text := f"{length // ms}{unit}")
            except ConfigError:
                continue
            return text
    return None


def checked(table: Table, symbol: str, timeframe: str) -> tuple[Candles, DataReport]:
    """The bars of a table whose columns are time, open, high, low, close, volume. Raises `DataError` by line."""
    ts, values = times(table), table.columns[1:]
    _sound(table, values)
    keep = _ordered(table, ts, values)
    _aligned(table, ts, timeframe)
    duplicates = 0 if keep is None else len(ts) - int(keep.sum())
    if duplicates:
        ts, values = ts[keep], tuple(v[keep] for v in values)
    return Candles.of(symbol, timeframe, ts, *values), found_in(symbol, timeframe, ts, duplicates)


def _sound(table: Table, values: tuple[Floats, ...]) -> None:
    """Refuse a bar that cannot be: every comparison is written so that NaN fails it."""
    open_, high, low, close, volume = values
    sound = (low > 0) & (low <= open_) & (low <= close) & (high >= open_) & (high >= close) & (high < math.inf)
    sound &= (volume >= 0) & (volume < math.inf)
    if not sound.all():
        row = int(np.argmin(sound))
        raise DataError(f"{table.where(row)}: {_fault(dict(zip(FIELDS, (float(v[row]) for v in values), strict=True)))}")


def _fault(bar: dict[str, float]) -> str:
    for name, value in bar.items():
        if not math.isfinite(value):
            return f"{name} is {value}; it must be a number"
        if name == "volume" and value < 0:
            return f"volume is {value}; it must not be negative"
        if name != "volume" and value <= 0:
            return f"{name} is {value}; a price must be above 0"
    if bar["high"] < bar["low"]:
        return f"high {bar['high']} is below low {bar['low']}"
    for name in ("open", "close"):
        if bar["high"] < bar[name]:
            return f"high {bar['high']} is below {name} {bar[name]}"
        if bar["low"] > bar[name]:
            return f"low {bar['low']} is above {name} {bar[name]}"
    raise AssertionError("a sound bar was called unsound")


def _ordered(table: Table, ts: Moments, values: tuple[Floats, ...]) -> np.ndarray | None:
    """(n,) False where a bar repeats the one before it exactly, None where none does; other disorder is refused."""
    steps = np.diff(ts)
    if (steps > 0).all():
        return None
    back = steps < 0
    same = steps == 0
    differs = np.zeros(len(steps), np.bool_)
    for column in values:
        differs |= same & (column[1:] != column[:-1])
    bad = back | differs
    if bad.any():
        row = int(np.argmax(bad)) + 1
        if back[row - 1]:
            raise DataError(
                f"{table.where(row)}: the time {day(int(ts[row]))} is before that of the row above, {day(int(ts[row - 1]))}; "
                "sort the rows by time, oldest first"
            )
        raise DataError(f"{table.where(row)}: a second, different bar for {day(int(ts[row]))}; keep the right one")
    return np.concatenate(([True], ~same))


def _aligned(table: Table, ts: Moments, timeframe: str) -> None:
    off = bucket_start(ts, timeframe) != ts
    if off.any():
        row = int(np.argmax(off))
        seen = commonest_step(ts)
        hint = f"; the bars are {seen} apart" if seen and seen != timeframe else "; a bar's time is its open"
        moment = datetime.fromtimestamp(ts[row] / 1000, UTC)
        raise DataError(f"{table.where(row)}: the time {moment:%Y-%m-%d %H:%M:%S.%f} opens no {timeframe} bar (UTC){hint}")
    steps = np.diff(ts)
    if len(ts) > 2 and (steps > milliseconds(timeframe)).all() and (seen := commonest_step(ts)):
        raise DataError(f"{table.sources[0].path}: its name says {timeframe}, but its bars are {seen} apart; rename it")


def found_in(symbol: str, timeframe: str, ts: Moments, duplicates: int = 0) -> DataReport:
    """The report on bars that open at `ts`, ascending."""
    step = milliseconds(timeframe)
    steps = np.diff(ts)
    after = np.flatnonzero(steps > step)
    lengths = steps[after] // step - 1
    longest = int(np.argmax(lengths)) if len(after) else None
    return DataReport(
        symbol=symbol,
        timeframe=timeframe,
        bars=len(ts),
        first_ts=int(ts[0]),
        last_ts=int(ts[-1]),
        gaps=len(after),
        missing=int(lengths.sum()),
        first_gap_ts=int(ts[after[0]]) + step if len(after) else None,
        longest_gap=0 if longest is None else int(lengths[longest]),
        longest_gap_ts=None if longest is None else int(ts[after[longest]]) + step,
        duplicates=duplicates,
    )
