"""The exchange's state on disk: whole at every moment, of one market, readable by its owner alone."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from enigma_core.errors import HomeError

FORMAT = 1


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept: which market it was and where in its time (`shift`), when it was written (ms), and the account."""

    format: int = FORMAT
    market: str
    shift: int
    symbols: tuple[str, ...]
    saved: int
    account: str
    exchange: msgspec.Raw


def read(file: Path) -> Kept | None:
    """What `file` holds; None where it does not exist. Raises `HomeError` where it cannot be used."""
    try:
        found = msgspec.json.decode(file.read_bytes(), type=Kept)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HomeError(f"{file}: the exchange's state cannot be read ({error.strerror or error})") from None
    except msgspec.DecodeError as error:
        raise HomeError(
            f"{file}: this is no state of a local exchange ({error}); name another file, or remove it to begin anew"
        ) from None
    if found.format != FORMAT:
        raise HomeError(f"{file}: it is of format {found.format}, and this version reads {FORMAT}; name another file")
    return found


def write(file: Path, kept: Kept, *, durable: bool = False) -> None:
    """`kept` in `file`: the old state or the new, never a part. `durable`: on the disk, whatever happens. Raises `HomeError`."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(msgspec.json.encode(kept))
            if durable:
                out.flush()
                os.fsync(out.fileno())
        beside.replace(file)
    except OSError as error:
        raise HomeError(f"{file}: the exchange's state cannot be written ({error.strerror or error})") from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
