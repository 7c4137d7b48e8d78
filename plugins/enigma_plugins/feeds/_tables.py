"""A table of numbers and the place of every row, for the sentence when one is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

import msgspec
import numpy as np

from enigma_core.errors import DataError
from enigma_core.lines import Floats

Columns = Mapping[str, Sequence[str]]
"""Wanted columns, and what else each may be called in a file."""

TIME = ("ts", "timestamp", "time", "date", "datetime", "open_time")
"""What the column `ts_ms` may also be called, the strongest first."""


class Source(msgspec.Struct, frozen=True, eq=False):
    """A stretch of rows of one file, by their line numbers (row numbers in a Parquet file)."""

    path: Path
    numbers: Sequence[int]


class Table(msgspec.Struct, frozen=True, eq=False):
    """Columns of float64, each (n,) and contiguous, and where their rows came from."""

    columns: tuple[Floats, ...]
    sources: tuple[Source, ...]

    def __len__(self) -> int:
        return len(self.columns[0])

    def where(self, row: int) -> str:
        """``file:line`` of a row."""
        for source in self.sources:
            if row < len(source.numbers):
                return f"{source.path}:{source.numbers[row]}"
            row -= len(source.numbers)
        raise IndexError(row)


def join(tables: Sequence[Table]) -> Table:
    """Several tables as one, in the order given."""
    if len(tables) == 1:
        return tables[0]
    columns = tuple(np.concatenate(parts) for parts in zip(*(t.columns for t in tables), strict=True))
    return Table(columns, tuple(chain.from_iterable(t.sources for t in tables)))


def pick(path: Path, names: Sequence[str], wanted: Columns) -> list[int]:
    """Which of a file's columns the wanted ones are. `names` are in lower case. Raises `DataError` naming those missing."""
    found = {want: [n for n in (want, *aliases) if n in names] for want, aliases in wanted.items()}
    if missing := [want for want, hits in found.items() if not hits]:
        there = clip(", ".join(filter(None, names)), 120) or "no names"
        raise DataError(f"{path}: there is no column {' and no column '.join(missing)}; the header has {there}")
    chosen = [hits[0] for hits in found.values()]
    if twice := [name for name in chosen if names.count(name) > 1]:
        raise DataError(f"{path}: there are two columns {twice[0]!r}; leave one of them")
    return [names.index(name) for name in chosen]


def clip(text: str, limit: int = 40) -> str:
    """`text`, shortened to fit into a sentence."""
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= limit else text[: limit - 3] + "..."
