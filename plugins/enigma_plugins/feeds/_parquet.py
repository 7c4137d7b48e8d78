"""Parquet to a table. pyarrow is an extra: without it a sentence says how to get it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from enigma_core.errors import DataError
from enigma_core.lines import Floats
from enigma_plugins.feeds._tables import Columns, Source, Table, pick

HEAD = 1000


def parse(path: Path, wanted: Columns, head: bool = False) -> Table:
    """The `wanted` columns of a Parquet file; `head` stops after a thousand rows. Raises `DataError`."""
    try:
        pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise DataError(f'{path}: Parquet needs pyarrow, which is not installed: pip install "miniature-enigma[data]"') from error
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            chosen = [names[i] for i in pick(path, [str(name).lower() for name in names], wanted)]
            if head:
                batches = list(file.iter_batches(HEAD, columns=chosen))[:1] if file.metadata.num_rows else []
                table = pyarrow.Table.from_batches(batches, None if batches else pyarrow.schema([(c, "f8") for c in chosen]))
            else:
                table = file.read(columns=chosen)
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: not a readable Parquet file ({str(error).splitlines()[0]})") from error
    if not len(table):
        raise DataError(f"{path}: the file has no rows")
    columns = tuple(_column(path, name, table[name]) for name in chosen)
    return Table(columns, (Source(path, range(1, len(table) + 1)),))


def _column(path: Path, name: str, column: Any) -> Floats:
    """A column as float64: dates as ms, missing values as NaN."""
    pyarrow, compute = import_module("pyarrow"), import_module("pyarrow.compute")
    kind = column.type
    if pyarrow.types.is_timestamp(kind):
        column = compute.cast(column, pyarrow.timestamp("ms", kind.tz), safe=False)
        column = compute.cast(column, pyarrow.int64())
    elif pyarrow.types.is_date(kind):
        column = compute.cast(compute.cast(column, pyarrow.timestamp("ms")), pyarrow.int64())
    elif not (pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind) or pyarrow.types.is_decimal(kind)):
        raise DataError(f"{path}: the column {name} holds {kind}, not numbers")
    values = compute.cast(column, pyarrow.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.array(values, np.float64)
