"""Funding settlements from NAME_funding files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from enigma_core.errors import DataError
from enigma_core.market import Funding
from enigma_plugins.feeds._check import day, times
from enigma_plugins.feeds._files import listing, read, stem
from enigma_plugins.feeds._symbols import named
from enigma_plugins.feeds._tables import TIME

WANTED = {"ts_ms": TIME, "funding_rate": ("fundingrate", "rate")}
SUFFIX = "_funding"
MINUTE = 60_000


def find(folders: Iterable[Path]) -> dict[str, Path]:
    """Funding files by symbol; where two folders have one, the first folder's counts."""
    found: dict[str, Path] = {}
    for folder in folders:
        for path in listing(folder):
            name = stem(path)
            if name and name.lower().endswith(SUFFIX) and (known := named(name[: -len(SUFFIX)])):
                found.setdefault(known.symbol, path)
    return found


def settlements(path: Path) -> Funding:
    """The settlements in a file, ascending, to the minute: venues note them some milliseconds late.

    Raises `DataError` by line for rates that cannot be and for disorder.
    """
    table = read(path, WANTED)
    ts, rate = np.rint(times(table) / MINUTE).astype(np.int64) * MINUTE, table.columns[1]
    bad = ~(np.abs(rate) < 1)
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(f"{table.where(row)}: the funding rate is {rate[row]}; it must be a fraction between -1 and 1")
    steps = np.diff(ts)
    repeated = (steps == 0) & (rate[1:] == rate[:-1])
    bad = (steps <= 0) & ~repeated
    if bad.any():
        row = int(np.argmax(bad)) + 1
        fault = f"the time {day(int(ts[row]))} is before that of the row above; sort the rows by time, oldest first"
        if steps[row - 1] == 0:
            fault = f"a second, different rate for {day(int(ts[row]))}; keep the right one"
        raise DataError(f"{table.where(row)}: {fault}")
    keep = np.concatenate(([True], ~repeated))
    return Funding(_frozen(ts[keep]), _frozen(rate[keep]))


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
