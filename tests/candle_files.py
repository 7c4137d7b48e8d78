"""Candle files for the tests of feeds."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from pathlib import Path

HEADER = "ts_ms,open,high,low,close,volume"
START, STEP = 1_741_257_000_000, 300_000


def rows(n: int, start: int = START, step: int = STEP) -> list[list[object]]:
    """Plain bars that rise by one a bar."""
    return [[start + i * step, 100.5 + i, 102.5 + i, 99.5 + i, 101.5 + i, 10.25] for i in range(n)]


def write(path: Path, lines: Iterable[Sequence[object]], header: str | None = HEADER) -> Path:
    """A csv (or csv.gz) file of these cells."""
    text = "".join(",".join(map(str, line)) + "\n" for line in lines)
    data = ((header + "\n" if header is not None else "") + text).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path
