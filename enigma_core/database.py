"""One SQLite file: its settings, its stamp, its integrity. A file is made whole under another name and then moved into place,
so that a file of no length is damage and never a beginning.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import msgspec

from enigma_core.errors import HomeError

APPLICATION_ID = 0x454E474D
"""``ENGM``, in the file's header."""

FAULTS = (sqlite3.Error, UnicodeError)
"""What sqlite3 raises for a damaged file: its message may hold bytes of it that are no text."""

FORMAT = 2
"""The version of the tables. A file of a newer format is refused, one of an older is brought up to it. 2: alerts."""

Synchronous = Literal["FULL", "NORMAL", "OFF"]
Connect = Callable[[Path], sqlite3.Connection]

SMALLEST = 512
"""Bytes of the smallest SQLite file there can be, one page."""

NO_DATABASE = "it is no SQLite file"


class Stamp(msgspec.Struct, frozen=True):
    """Whose file it is: `mode` (paper, live, backtest), the market's `identity`, and when it was made, ms."""

    mode: str
    identity: str
    created: int


def connect(path: Path) -> sqlite3.Connection:
    """The writer's connection, in autocommit: transactions are begun by hand."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    for pragma in (
        "busy_timeout = 5000",
        "journal_mode = WAL",
        "foreign_keys = ON",
        "wal_autocheckpoint = 1000",
        "journal_size_limit = 67108864",
        "mmap_size = 0",
        # ids come in no order: the indexes they go into should fit
        "cache_size = -65536",
        "trusted_schema = OFF",
        "cell_size_check = ON",
        "fullfsync = ON",
    ):
        db.execute(f"PRAGMA {pragma}")
    return db


def connect_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, beside a run or after it. Raises `HomeError` where there is nothing to read."""
    if not path.is_file():
        raise HomeError(f"there is no database at {path}")
    options = "mode=ro"
    if not os.access(path.parent, os.W_OK) and not sidecar(path, "-wal").exists():
        options += "&immutable=1"  # WAL needs its -shm file, which cannot be made in a folder that is read-only
    try:
        db = sqlite3.connect(f"file:{quote(str(path))}?{options}", uri=True, isolation_level=None, timeout=5.0)
        db.execute("PRAGMA query_only = ON")
        db.execute("PRAGMA trusted_schema = OFF")
        db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except FAULTS as e:
        raise damaged(path, NO_DATABASE if "not a database" in str(e) else str(e)) from e
    return db


def damaged(path: Path, what: str) -> HomeError:
    """The error for a file that cannot be trusted."""
    anew = ", or start with --fresh, which keeps this file under another name and begins a new one"
    return HomeError(
        f"{path} is damaged or not ours ({what}); nothing in it was changed: put back a copy"
        # files that --fresh puts aside; it never does that to real money
        + (anew if path.name in ("paper.sqlite", "sandbox.sqlite") else "")
    )


def sidecar(path: Path, suffix: str) -> Path:
    """The file that SQLite keeps beside `path`: suffix ``-wal``, ``-shm`` or ``-journal``."""
    return path.with_name(path.name + suffix)


def create(path: Path, stamp: Stamp, connect: Connect = connect) -> None:
    """Make a new database at `path`, where there must be none. Raises `HomeError` when the disk refuses."""
    from enigma_core.store import statements

    new = path.with_name(path.name + ".new")
    try:
        for leftover in (new, *(sidecar(new, s) for s in ("-wal", "-shm", "-journal"))):
            leftover.unlink(missing_ok=True)
        db = connect(new)
        try:
            db.execute("BEGIN IMMEDIATE")
            for statement in statements():
                db.execute(statement)
            db.executemany("INSERT INTO meta VALUES (?, ?)", [(k, str(v)) for k, v in msgspec.structs.asdict(stamp).items()])
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {FORMAT}")
            db.execute("COMMIT")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            db.close()
        # it holds positions and what people have sent
        os.chmod(new, 0o600)
        # a -wal left behind by a file that was taken away would be played into the new one
        set_aside(path)
        os.rename(new, path)
        _sync(path.parent)
    except (OSError, sqlite3.Error) as e:
        raise HomeError(f"cannot make the database {path}: {e}; check the folder's rights and the free space of its disk") from e


def upgrade(path: Path, db: sqlite3.Connection) -> None:
    """Bring the tables of an older format up to this one, in one transaction."""
    if db.execute("PRAGMA user_version").fetchone() == (FORMAT,):
        return
    # slow to import, and seldom needed
    from enigma_core.store import statements

    there = {name for (name,) in db.execute("SELECT name FROM sqlite_schema")}
    db.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements():
            # CREATE TABLE name (...) or CREATE INDEX name ON ...
            if statement.split()[2].strip('"') not in there:
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {FORMAT}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def set_aside(path: Path, name: str | None = None) -> Path:
    """Rename `path` and what SQLite keeps beside it to `name` (by default a free name with the suffix ``.old``)."""
    target = path.with_name(name) if name else _free(path.with_name(path.name + ".old"))
    for suffix in ("", "-wal", "-shm", "-journal"):
        if (source := sidecar(path, suffix)).exists():
            os.rename(source, sidecar(target, suffix))
    return target


def _free(path: Path) -> Path:
    tries = [path, *(path.with_name(f"{path.name}{n}") for n in range(2, 1000))]
    return next(p for p in tries if not any(sidecar(p, s).exists() for s in ("", "-wal")))


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def verify(path: Path) -> Stamp:
    """Read the stamp and check the whole file, changing nothing. Raises `HomeError` naming what is wrong and what to do."""
    stamp(path)
    db = connect_for_reading(path)
    try:
        answer = [row[0] for row in db.execute("PRAGMA integrity_check(3)")]
        broken = db.execute("PRAGMA foreign_key_check").fetchone()
    except FAULTS as e:
        raise damaged(path, str(e)) from e
    finally:
        db.close()
    if answer != ["ok"]:
        raise damaged(path, f"SQLite's check says: {'; '.join(answer)}")
    if broken is not None:
        raise damaged(path, f"table {broken[0]} refers to a row of {broken[2]} that is gone")
    return stamp(path)


def _waits(path: Path) -> bool:
    """Whether SQLite has work of `path` left in its -wal."""
    wal = sidecar(path, "-wal")
    return wal.exists() and wal.stat().st_size > 0


def stamp(path: Path) -> Stamp:
    """Whose file it is. Raises `HomeError` for a file that is empty, foreign, or of a newer format."""
    # by SQLite alone: closing any other descriptor of a file gives up the locks that SQLite holds on it for the whole process,
    # and the next program to look into it would take away the -wal that a run is writing
    try:
        size = path.stat().st_size
    except OSError as e:
        raise HomeError(f"cannot read {path}: {e.strerror}") from e
    if not os.access(path, os.R_OK):
        raise HomeError(f"cannot read {path}: {os.strerror(errno.EACCES)}")
    if size < SMALLEST:
        raise damaged(path, NO_DATABASE if size else "it is empty")
    db = connect_for_reading(path)
    try:
        # SQLite takes the missing end of a last page for zeros and is content; with work left in the -wal it may mend it itself
        (page,) = db.execute("PRAGMA page_size").fetchone()
        if size % page and not _waits(path):
            raise damaged(path, "its end is missing")
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION_ID:
            raise damaged(path, "another program made it")
        if version > FORMAT:
            raise HomeError(
                f"{path} has format {version}, and this version reads up to {FORMAT}: use the newer version that made it"
            )
        meta = dict(db.execute("SELECT key, value FROM meta"))
        return Stamp(meta["mode"], meta["identity"], int(meta["created"]))
    except (sqlite3.Error, KeyError, ValueError) as e:
        raise damaged(path, str(e)) from e
    finally:
        db.close()
