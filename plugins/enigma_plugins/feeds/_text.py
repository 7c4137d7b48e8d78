"""csv text to a table.

A block of lines is made into a JSON array and decoded by msgspec, which holds each row to its shape and is three times as
fast as numpy's own readers. A block that is no such array (dates, quotes, blank lines, words, mistakes) is read cell by
cell, which either makes sense of it or says what is wrong and where.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np

from enigma_core.errors import DataError
from enigma_core.lines import Floats
from enigma_plugins.feeds._tables import Columns, Source, Table, clip, pick

BLOCK = 1 << 18
"""Bytes of text read at once; no line may be longer."""

KLINE_COLUMNS = 12
"""Columns of Binance's kline files, which have no header; their first six are the usual ones."""

_DATED = re.compile(rb"^(\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)?)(?:Z|\+00:00)?(?=,)", re.MULTILINE)
"""A line that begins with an ISO date in UTC."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def parse(path: Path, stream: IO[bytes], wanted: Columns, head: bool = False) -> Table:
    """The `wanted` columns of csv text; `head` stops after the first block of rows. Raises `DataError` by line."""
    first = stream.readline(BLOCK)
    if not first:
        raise DataError(f"{path}: the file is empty; it should have a header and a line for each row")
    if not first.strip():
        raise DataError(f"{path}:1: the line is blank; the first line should be a header")
    if re.search(rb"[\x00-\x08\x0e-\x1f]", first):
        raise DataError(f"{path}: this is no text; candles are csv, csv.gz or Parquet files, named by what they are")
    delimiter = next((chr(d) for d in b",;\t" if d in first), ",")
    cells = [cell.strip().strip('"').lower() for cell in first.decode("utf-8-sig", "replace").split(delimiter)]
    blocks, line = _blocks(path, stream), 2
    if any(_number(cell) is not None for cell in cells):
        cells, line, blocks = _usual(path, len(cells), wanted), 1, chain((first.removeprefix(b"\xef\xbb\xbf"),), blocks)
    shape = _Shape(path, len(cells), pick(path, cells, wanted), delimiter)
    pieces: list[Floats] = []
    sources: list[Source] = []
    for block in blocks:
        values, numbers = shape.fast(block, line) or shape.dated(block, line) or shape.slow(block, line)
        line += block.count(b"\n")
        pieces.append(values)
        sources.append(Source(path, numbers))
        if head and sum(map(len, pieces)) > 2:
            break
    if not any(map(len, pieces)):
        raise DataError(f"{path}: the file has a header and no rows")
    return Table(tuple(np.concatenate([piece[:, i] for piece in pieces]) for i in range(len(wanted))), tuple(sources))


def _blocks(path: Path, stream: IO[bytes]) -> Iterator[bytes]:
    """The rest of the stream in blocks of whole lines, the first one small."""
    rest, size = b"", BLOCK // 4
    while block := stream.read(size):
        block = rest + block
        cut = block.rfind(b"\n") + 1
        if cut:
            yield block[:cut]
        rest, size = block[cut:], BLOCK
        if len(rest) > BLOCK:
            raise DataError(f"{path}: a line is longer than {BLOCK:,} bytes; this is no table of numbers")
    if rest:
        yield rest


def _usual(path: Path, width: int, wanted: Columns) -> list[str]:
    """The names of the columns of a file that has no header."""
    usual = list(wanted)
    if width != len(usual) and (width, len(usual)) != (KLINE_COLUMNS, 6):
        raise DataError(
            f"{path}:1: {_columns(width)} and no header; without a header there must be {len(usual)}: {', '.join(usual)}"
        )
    return usual + [""] * (width - len(usual))


class _Shape:
    """How the rows of one csv file are read."""

    def __init__(self, path: Path, width: int, picked: list[int], delimiter: str) -> None:
        self.path, self.width, self.picked, self.delimiter = path, width, picked, delimiter
        self.whole = picked == list(range(width))
        self.numbers: msgspec.json.Decoder[list[tuple[float, ...]]] = _rows_of((float,) * width)
        self.dates: msgspec.json.Decoder[list[tuple[Any, ...]]] = _rows_of((str, *(float,) * (width - 1)))

    def fast(self, block: bytes, line: int) -> tuple[Floats, Sequence[int]] | None:
        """A block of nothing but numbers in the right shape; None for any other."""
        body = self._body(block)
        rows = _decoded(self.numbers, body)
        if rows is None:
            return None
        values = np.fromiter(chain.from_iterable(rows), np.float64, len(rows) * self.width).reshape(-1, self.width)
        return values if self.whole else values[:, self.picked], range(line, line + len(rows))

    def dated(self, block: bytes, line: int) -> tuple[Floats, Sequence[int]] | None:
        """A block of numbers but for the first column, which holds ISO dates in UTC; None for any other."""
        if self.picked[0] != 0 or not block[:1].isdigit():
            return None
        body, dates = _DATED.subn(rb'"\1"', self._body(block))
        rows = _decoded(self.dates, body)
        if rows is None or len(rows) != dates:
            return None
        columns = list(zip(*rows, strict=True))
        try:
            columns[0] = tuple(np.array(columns[0], "datetime64[ms]").astype(np.int64))
        except ValueError:
            return None
        return np.array([columns[i] for i in self.picked], np.float64).T, range(line, line + len(rows))

    def _body(self, block: bytes) -> bytes:
        body = block.removesuffix(b"\n")
        return body if self.delimiter == "," else body.replace(self.delimiter.encode(), b",")

    def slow(self, block: bytes, line: int) -> tuple[Floats, Sequence[int]]:
        """A block of anything, cell by cell."""
        text = block.decode("utf-8", "replace").replace("\r", "").replace("\0", "\N{REPLACEMENT CHARACTER}")
        values: list[list[float]] = []
        numbers: list[int] = []
        for number, row in enumerate(text.split("\n"), line):
            if not row.strip():
                continue
            cells = row.split(self.delimiter) if '"' not in row else next(csv.reader((row,), delimiter=self.delimiter))
            if len(cells) != self.width:
                raise DataError(f"{self.path}:{number}: {_columns(len(cells))} instead of {self.width}")
            values.append([self._value(cells[i].strip(), i == self.picked[0], number) for i in self.picked])
            numbers.append(number)
        return np.array(values, np.float64).reshape(-1, len(self.picked)), numbers

    def _value(self, cell: str, time: bool, line: int) -> float:
        value = _number(cell)
        if value is None and time:
            value = _date(cell)
        if value is None:
            fault = f"{clip(cell)!r} is {'neither a number nor a date' if time else 'not a number'}" if cell else "a cell is empty"
            raise DataError(f"{self.path}:{line}: {fault}")
        return value


def _rows_of(cells: tuple[type, ...]) -> Any:
    return msgspec.json.Decoder(list[tuple.__class_getitem__(cells)])  # type: ignore[misc]


def _decoded(decoder: msgspec.json.Decoder[list[tuple[Any, ...]]], body: bytes) -> list[tuple[Any, ...]] | None:
    """The lines of `body` as rows; None where they are none of the decoder's."""
    try:
        rows = decoder.decode(b"[[" + body.replace(b"\n", b"],[") + b"]]")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return rows if len(rows) == body.count(b"\n") + 1 else None


def _columns(n: int) -> str:
    return "1 column" if n == 1 else f"{n} columns"


def _number(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _date(cell: str) -> float | None:
    """An ISO date as ms; one without an offset is UTC."""
    try:
        moment = datetime.fromisoformat(cell)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return float((aware - _EPOCH) // _MS)
