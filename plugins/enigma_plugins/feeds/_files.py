"""Which files are tables, and reading one whatever its format."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import IO, cast

from enigma_core.errors import DataError
from enigma_plugins.feeds import _parquet, _text
from enigma_plugins.feeds._tables import Columns, Table

SUFFIXES = (".csv.gz", ".csv", ".parquet")


def stem(path: Path) -> str | None:
    """The file's name without the suffix, None where it is not one of `SUFFIXES`."""
    suffix = next((s for s in SUFFIXES if path.name.lower().endswith(s)), None)
    return path.name[: -len(suffix)] if suffix else None


def listing(folder: Path) -> list[Path]:
    """The files of a folder by name. Raises `DataError` where it cannot be listed."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror or error})") from error


def place(text: str) -> Path:
    """The file or folder that a setting names, ``~`` and all. Raises `DataError` where it is none that can be looked at."""
    try:
        path = Path(text).expanduser().resolve()
        there = path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"{text}: cannot be looked at ({error})") from error
    if not there:
        raise DataError(f"{path}: there is no such folder or file")
    return path


def read(path: Path, wanted: Columns, head: bool = False) -> Table:
    """The `wanted` columns of a file, with `head` only its first rows. Raises `DataError` naming file, line and value."""
    try:
        if path.name.lower().endswith(".parquet"):
            return _parquet.parse(path, wanted, head)
        with _bytes(path) as stream:
            return _text.parse(path, stream, wanted, head)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the compressed file is damaged ({error}); fetch it again") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def _bytes(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path)) if path.name.lower().endswith(".gz") else path.open("rb")
