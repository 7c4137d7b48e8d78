"""Telling a run by files: what works without a server, without a network, and before the run has begun.

A file ``HALT`` in the run's folder is the kill switch: entries stop, and what is held is closed. It is honoured before the first
event and for as long as it lies there. ``control/*.json`` are commands, each taken once.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from enigma_core.chance import maybe
from enigma_core.errors import HomeError
from enigma_core.model import CloseWanted, StateSet, StreakReset
from enigma_core.parts import Command

LOG = logging.getLogger("enigma.control")

HALT = "HALT"
"""The file that halts a run."""

FOLDER = "control"

EVERY = 0.2
"""Seconds between two looks."""

LONGEST = 4096

_numbers = itertools.count()


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command as it stands in a file."""

    command: Annotated[str, Meta(pattern="^(reset_breaker|resume|reduce_only|close)$")]
    reason: str = ""
    symbol: str = ""

    def at(self, ts: int) -> Command:
        """The command itself, given at `ts`."""
        match self.command:
            case "reset_breaker":
                return StreakReset(ts=ts, reason=self.reason)
            case "resume":
                return StateSet(ts=ts, state="ACTIVE", reason=self.reason)
            case "reduce_only":
                return StateSet(ts=ts, state="REDUCE_ONLY", reason=self.reason)
            case _:
                return CloseWanted(ts=ts, symbol=self.symbol, reason=self.reason)


def halt(home: Path, reason: str) -> None:
    """Lay the file that halts. Raises `HomeError` where that fails."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        (home / HALT).write_text(f"{reason}\n", "utf-8")
        # the file system's own stamp is some ms behind, which would put it before a command that came first
        now = time.time_ns()
        os.utime(home / HALT, ns=(now, now))
    except OSError as error:
        told = f"{home / HALT} cannot be written ({error.strerror}): make that file by other means, it is all it takes"
        raise HomeError(told) from error


def lift(home: Path, asked_at: int | None = None) -> None:
    """Take the file that halts away, unless it was laid after `asked_at` (ns). Raises `HomeError` where it stays."""
    path = home / HALT
    try:
        if asked_at is not None and path.stat().st_mtime_ns > asked_at:
            raise HomeError(f"{path} was laid after it was asked that trading go on: take it away, or ask again")
        path.unlink()
    except FileNotFoundError:
        return
    except OSError as error:
        raise HomeError(f"{path} cannot be taken away ({error.strerror}): trading is halted while it lies there") from error


def halted_by(home: Path) -> str | None:
    """The reason in the file that halts; None where there is no such file."""
    path = home / HALT
    if not path.exists():
        return None
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            said = "".join(c if c.isprintable() else " " for c in file.read(200)).strip()
    except OSError:
        said = ""
    return said or f"a file {HALT} lies in the run's folder"


def ask(home: Path, wanted: Wanted) -> Path:
    """Lay a command down; the run removes the file once it has been obeyed. Raises `HomeError`."""
    folder = home / FOLDER
    name = f"{time.time_ns()}-{os.getpid()}-{next(_numbers)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"{name}.part"
        part.write_bytes(msgspec.json.encode(wanted))
        return part.rename(folder / f"{name}.json")
    except OSError as error:
        raise HomeError(f"{folder} cannot be written: {error.strerror}") from error


def asked(home: Path) -> list[tuple[Path, Wanted | str]]:
    """Commands that lie there, oldest first; a text is what is wrong with one."""
    found: list[tuple[Path, Wanted | str]] = []
    with contextlib.suppress(FileNotFoundError):
        for path in sorted(each for each in (home / FOLDER).glob("*.json") if each.is_file()):
            try:
                with path.open("rb") as file:
                    found.append((path, msgspec.json.decode(file.read(LONGEST), type=Wanted)))
            except (OSError, msgspec.MsgspecError) as error:
                found.append((path, f"{path} is no command: {error}"))
    return found


async def attend(home: Path, tell: Callable[[Command], object], now: Callable[[], int], flattening: Callable[[], bool]) -> None:
    """Look for both until cancelled."""
    while True:
        if not maybe("control: a look at the folder is left out"):
            look(home, tell, now, flattening)
        await asyncio.sleep(EVERY)


def look(home: Path, tell: Callable[[Command], object], now: Callable[[], int], flattening: Callable[[], bool]) -> None:
    """Obey what lies there."""
    for path, wanted in asked(home):
        if isinstance(wanted, str):
            LOG.warning("%s", wanted)
        elif wanted.command != "resume" or _lifted(home, path):
            tell(wanted.at(now()))
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            LOG.warning("%s cannot be removed, so it will be obeyed again: %s", path, error.strerror)
    if not flattening() and (reason := halted_by(home)) is not None:
        tell(StateSet(ts=now(), state="HALTED", reason=reason, flatten=True))


def _lifted(home: Path, command: Path) -> bool:
    """Whether nothing halts any more, so that `command` may have trading go on."""
    given = command.name.split("-")[0]
    try:
        lift(home, int(given) if given.isdecimal() else command.stat().st_mtime_ns)
    except (HomeError, OSError):
        return False
    return True
