"""The folder that everything a run writes is under, and the lock that keeps it for one run at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from enigma_core import database
from enigma_core.database import Connect, Synchronous
from enigma_core.errors import HomeError
from enigma_core.journal import Journal

DEFAULT = "enigma_data"

RESERVE = 8 * 1024 * 1024
"""Bytes that a run holds on its disk and gives back when it is full: exits can still be written then."""


def home_path(given: str | os.PathLike[str] | None = None) -> Path:
    """The run's folder: `given` (``--home``), else ``ENIGMA_HOME``, else ``enigma_data`` in the working directory."""
    return Path(given or os.environ.get("ENIGMA_HOME") or DEFAULT).expanduser()


class Home:
    """A run's folder, held. `told` collects what a person should know, such as a database put aside."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self.told: list[str] = []
        self._lock: int | None = lock

    @classmethod
    def open(cls, path: str | os.PathLike[str] | None = None) -> Home:
        """Make the folder where it is missing, take its lock, check that it can be written.

        Raises `HomeError` when another run holds it (naming its process) or it cannot be written.
        """
        folder = home_path(path)
        try:
            for each in (folder, folder / "candles", folder / "logs"):
                each.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as e:
            raise _unwritable(folder, e) from e
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
            os.close(lock)
            holder = f"process {pid}" if pid else "another process"
            raise HomeError(f"{folder} is in use by {holder}: stop that run, or give this one its own folder with --home") from None
        try:
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as e:
            os.close(lock)
            raise _unwritable(folder, e) from e
        home = cls(folder, lock)
        try:
            _allocate(home.reserve, RESERVE)
        except OSError as e:
            home.release()
            room = (
                f"{RESERVE >> 20} MiB cannot be set aside in {folder} ({e.strerror}): once the disk is full no exit can be written"
            )
            home.told.append(f"{room}; free some space and start again")
        return home

    @property
    def paper(self) -> Path:
        """The database of paper money."""
        return self.path / "paper.sqlite"

    @property
    def sandbox(self) -> Path:
        """The database of a rehearsal on a local exchange."""
        return self.path / "sandbox.sqlite"

    @property
    def live(self) -> Path:
        """The database of real money."""
        return self.path / "live.sqlite"

    @property
    def reserve(self) -> Path:
        """A file that is there to be given up."""
        return self.path / "reserve"

    def release(self) -> bool:
        """Give up the reserve; False where there is none any more."""
        try:
            self.reserve.unlink()
        except OSError:
            return False
        return True

    @property
    def candles(self) -> Path:
        return self.path / "candles"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def journal(
        self,
        mode: str,
        identity: str,
        *,
        fresh: bool = False,
        synchronous: Synchronous = "FULL",
        connect: Connect = database.connect,
    ) -> Journal:
        """The journal of this `mode` for the market `identity`.

        A paper account belongs to one market: where the file is another market's, it is kept under a name with the time in it,
        and the account of this market that was last put aside goes on, a new one where there is none; with `fresh` a new one
        begins in any case. `told` says so. Real money is never put aside: that raises `HomeError`, as a damaged file does.
        """
        path = {"live": self.live, "sandbox": self.sandbox}.get(mode, self.paper)
        if path.exists() and mode != "live":
            if fresh:
                self._put_aside(path, "a fresh start was asked for")
            elif (stamp := database.stamp(path)).mode == mode and stamp.identity != identity:
                earlier = _kept(path, mode, identity)
                self._put_aside(path, f"it belongs to the market {stamp.identity!r}", earlier)
        elif fresh and path.exists():
            raise HomeError(f"{path} is the record of real money and is not begun anew: move it away by hand if you mean it")
        return Journal.open(path, mode, identity, synchronous, connect=connect, release=self.release)

    def close(self) -> None:
        """Give the folder back. May be called again."""
        if self._lock is not None:
            self.release()
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _put_aside(self, path: Path, why: str, earlier: Path | None = None) -> None:
        """Keep `path` under another name; `earlier`, an account that had been kept so, takes its place."""
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        names = [f"{path.stem}-{stamp}{n}{path.suffix}" for n in ("", *(f"-{i}" for i in range(2, 100)))]
        name = next(n for n in names if not path.with_name(n).exists())
        source, target = path, name
        try:
            database.set_aside(path, name)
            if earlier is not None:
                source, target = earlier, path.name
                database.set_aside(earlier, path.name)
        except OSError as e:
            raise HomeError(f"cannot rename {source} to {target}: {e.strerror}; check the folder's rights") from e
        goes_on = "a new one begins" if earlier is None else f"the account of this market goes on, which was kept as {earlier.name}"
        self.told.append(f"{path.name} is kept as {name}, because {why}; {goes_on}")


def _allocate(path: Path, size: int) -> None:
    """Make `path` take `size` bytes of the disk."""
    with path.open("ab") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.write(bytes(max(0, size - file.tell())))


def _kept(path: Path, mode: str, identity: str) -> Path | None:
    """The account of `mode` and `identity` that was put aside last, None where there is none. Damaged ones are passed over."""
    named = re.compile(rf"{re.escape(path.stem)}-(\d{{8}}T\d{{6}})(?:-(\d+))?{re.escape(path.suffix)}")
    found = [(m[1], int(m[2] or 1), each) for each in path.parent.iterdir() if (m := named.fullmatch(each.name))]
    for _, _, each in sorted(found, reverse=True):
        with contextlib.suppress(HomeError):
            stamp = database.stamp(each)
            if (stamp.mode, stamp.identity) == (mode, identity):
                return each
    return None


def holder(path: Path) -> int | None:
    """The process that holds the folder `path`, None where nobody does. A glance, not a lock: it may change at once."""
    try:
        pid = int((path / "lock").read_text("ascii"))
        os.kill(pid, 0)
    except PermissionError:
        return pid
    except (OSError, ValueError):
        return None
    return pid


def _unwritable(folder: Path, e: OSError) -> HomeError:
    return HomeError(f"{folder} cannot be written: {e.strerror}; give another folder with --home or ENIGMA_HOME")
