"""The one writer. What happened in one engine step is written whole or not at all; state is what replaying it gives.

`Journal` hands steps to a thread that owns the only writing connection and commits whatever waits, up to `GROUP` steps, in one
transaction; whoever has a time of its own, such as a simulation, gives `later` and has no thread. `Memory` has the same face and
keeps everything in a list: backtests use it, and may save it afterwards.

A write that fails is final: the failed journal refuses every further step, so that nobody trades on what is not recorded. A full
disk is final once the reserve is used up that the home holds for it.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec

from enigma_core import database, records
from enigma_core.chance import maybe
from enigma_core.database import Connect, Stamp, Synchronous
from enigma_core.errors import EnigmaError, HomeError, MoneyError
from enigma_core.projection import project

GROUP = 256
"""Steps committed together at most."""

CROWD, PAUSE = 4, 0.002
"""After a commit of so many steps the next waits so long, s, for more of them."""

CAPACITY = 4096
"""Steps that may wait for the disk; then `Journal.write` waits too."""

PATIENCE = 30.0
"""Seconds that anybody waits for a disk or another program's lock before it counts as failed."""

SHORT = "the disk is full, and what was held in reserve is being used: free some space and start the run again"
"""Why nothing may be entered while `Journal.short`."""

Record = msgspec.Struct

Later = Callable[[Callable[[], None]], None]
"""Has something done soon, in the same thread."""


class _Step(NamedTuple):
    ts: int
    records: tuple[Record, ...]
    written: Future[None]


class _Row(NamedTuple):
    seq: int
    step: int
    ts: int
    kind: str
    key: str | None
    payload: str
    hash: bytes


def _link(before: bytes, step: int, ts: int, kind: str, key: str | None, payload: str) -> bytes:
    text = f"{step}\0{ts}\0{kind}\0{key or ''}\0{payload}"
    return blake2b(text.encode(), key=before, digest_size=16).digest()


def _first_link(stamp: Stamp) -> bytes:
    return blake2b(f"{stamp.mode}\0{stamp.identity}\0{stamp.created}".encode(), digest_size=16).digest()


def _agree(path: Path, db: sqlite3.Connection) -> None:
    """Check that the table of alerts says what the events say: it tells which alerts were worked, and which ones are duplicates,
    and the chain of hashes does not cover it. Raises `HomeError` where it does not."""
    try:
        wrong = db.execute(_DISAGREEING).fetchone()
        (alerts,) = db.execute("SELECT count(*) FROM alert").fetchone()
        (told,) = db.execute("SELECT count(*) FROM event WHERE kind IN ('alert', 'alert_refused')").fetchone()
    except database.FAULTS as e:
        if getattr(e, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            raise
        raise database.damaged(path, str(e)) from e
    if wrong is not None or alerts != told:
        raise database.damaged(path, "its table of alerts is not what its events say")


_DISAGREEING = """
SELECT 1 FROM alert a LEFT JOIN event e ON e.seq = a.seq WHERE NOT CASE e.kind
    WHEN 'alert' THEN a.id IS json_extract(e.payload, '$.id') AND a.received IS json_extract(e.payload, '$.received')
        AND a.key IS coalesce(json_extract(e.payload, '$.key'), '')
        AND a.digest IS coalesce(json_extract(e.payload, '$.digest'), '')
        AND (a.state = 'waiting') IS NOT EXISTS (SELECT 1 FROM event w WHERE w.key = 'alert_worked:' || a.id)
    WHEN 'alert_refused' THEN a.key IS '' AND a.state IS 'rejected'
    ELSE 0 END LIMIT 1
"""


class Journal:
    """An open journal. Made by `Journal.open`; one process holds one on a file (`home.Home` sees to that)."""

    def __init__(
        self,
        path: Path,
        stamp: Stamp,
        db: sqlite3.Connection,
        capacity: int,
        patience: float,
        release: Callable[[], bool],
        later: Later | None = None,
    ) -> None:
        self.path = path
        self.stamp = stamp
        self.short = False
        """True once the disk was full and the reserve was given up: what is written from here on should be exits."""
        self._release = release
        self._db = db
        self._capacity = capacity
        self._patience = patience
        last = db.execute("SELECT seq, step, hash FROM event ORDER BY seq DESC LIMIT 1").fetchone()
        self._seq: int = last[0] if last else 0
        self._step: int = last[1] if last else 0
        self._hash: bytes = last[2] if last else _first_link(stamp)
        moment = db.execute("SELECT ts FROM event WHERE kind <> 'started' ORDER BY seq DESC LIMIT 1").fetchone()
        self._last_ts: int | None = moment[0] if moment else None
        self._waiting: deque[_Step] = deque()
        self._busy = False
        self._closing = False
        self._failed: EnigmaError | None = None
        self._later = later
        self._called = False
        """Somebody will come and commit what waits, where there is no thread."""
        lock = threading.Lock()
        self._work = threading.Condition(lock)
        self._done = threading.Condition(lock)
        self._thread = threading.Thread(target=self._run, name=f"journal {path.name}", daemon=True)

    @classmethod
    def open(
        cls,
        path: Path,
        mode: str,
        identity: str,
        synchronous: Synchronous = "FULL",
        *,
        capacity: int = CAPACITY,
        patience: float = PATIENCE,
        connect: Connect = database.connect,
        release: Callable[[], bool] = lambda: False,
        later: Later | None = None,
    ) -> Self:
        """The journal at `path`, made where there is none, checked where there is one.

        When the disk is full, `release` is called to make room, once; it says whether there is any. With `later` there is no
        thread: what waits is committed by what `later` is given to do.

        Raises `HomeError` when the file is damaged, foreign, of another mode or of another market, or cannot be written.
        """
        if path.exists():
            stamp = database.verify(path)
        else:
            stamp = Stamp(mode, identity, time.time_ns() // 1_000_000)
            database.create(path, stamp, connect)
        for what, ours, theirs in (("mode", mode, stamp.mode), ("market", identity, stamp.identity)):
            if ours != theirs:
                raise HomeError(f"{path} belongs to the {what} {theirs!r}, and this run is of {ours!r}: use another --home")
        try:
            db = connect(path)
            db.execute(f"PRAGMA synchronous = {synchronous}")
            database.upgrade(path, db)
            _agree(path, db)
            journal = cls(path, stamp, db, capacity, patience, release, later)
        except (OSError, sqlite3.Error) as e:
            raise HomeError(f"cannot open {path} for writing: {e}; check its rights and the free space of its disk") from e
        if later is None:
            journal._thread.start()
        return journal

    @property
    def last_ts(self) -> int | None:
        """Time of the newest step, written or waiting, ms; None while nothing has happened (that a run started does not count)."""
        return self._last_ts

    @property
    def backlog(self) -> int:
        """Steps that wait for the disk."""
        return len(self._waiting)

    @property
    def failed(self) -> Exception | None:
        """What made the journal unable to write; None while all is well."""
        return self._failed

    def write(self, step: Sequence[Record], ts: int) -> Future[None]:
        """Hand over the records of one step. The future is done when they are on disk.

        Returns at once, unless `capacity` steps wait already: then it waits for room. A step whose decisions and fills are all
        written already, with the same content, is passed over. Raises `HomeError` once the journal has failed or is closed,
        `TypeError` for a struct that is no record.
        """
        for record in step:
            records.tag(record)
        maybe("journal: a step is about to be written")
        written: Future[None] = Future()
        written.set_running_or_notify_cancel()  # whoever stops waiting does not stop the writing
        with self._work:
            self._check()
            if not step:
                written.set_result(None)
                return written
            if len(self._waiting) >= self._capacity:
                if self._later is not None:
                    raise self._stuck()
                room = self._done.wait_for(lambda: self._failed or len(self._waiting) < self._capacity, self._patience)
                self._check()
                if not room:
                    raise self._stuck()
            self._waiting.append(_Step(ts, tuple(step), written))
            if type(step[0]) is not records.Started:
                self._last_ts = ts
            self._work.notify()
        if self._later is not None and not self._called:
            self._called = True
            self._later(self._empty)
        return written

    def _empty(self) -> None:
        """Write what waits, here and now: for a journal without a thread."""
        self._called = False
        while self._waiting and not self._failed:
            most = 1 if maybe("journal: steps are committed one by one") else GROUP
            batch = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
            if self._kept(batch):
                for step in batch:
                    step.written.set_result(None)

    def flush(self) -> None:
        """Wait until everything handed over is on disk. Raises `HomeError` where that fails."""
        if self._later is not None:
            self._empty()
        with self._work:
            idle = self._done.wait_for(lambda: self._failed or not (self._waiting or self._busy), self._patience)
            if self._failed:
                raise HomeError(str(self._failed)) from self._failed
            if not idle:
                raise self._stuck()

    def close(self) -> None:
        """Write what waits and close the file. May be called again. Raises `HomeError` where something could not be written."""
        with self._work:
            closed, self._closing = self._closing, True
            self._work.notify()
        if self._later is None:
            self._thread.join(self._patience)
            if self._thread.is_alive():
                raise self._stuck()
        elif not closed:
            self._empty()
            self._shut()
        if self._failed:
            raise HomeError(str(self._failed)) from self._failed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.close()
        except HomeError:
            if error is None:
                raise

    def replay(self, without: Container[str] = ()) -> Iterator[Any]:
        """Every record on disk in the order it was written, kinds in `without` left out (a book needs no ``decision``).

        Checks the chain of hashes on the way. Raises `HomeError` for a row that was altered, removed or cannot be read.
        """
        return replay(self.path, without)

    def _check(self) -> None:
        if self._failed:
            raise HomeError(str(self._failed)) from self._failed
        if self._closing:
            raise HomeError(f"{self.path} is closed: this step came too late to be written")

    def _stuck(self) -> HomeError:
        return HomeError(f"{self.path}: the disk has not finished within {self._patience:g} s; trading stops")

    # the writer's thread, and its alone where there is one, from here on

    def _run(self) -> None:
        while True:
            with self._work:
                self._work.wait_for(lambda: self._waiting or self._closing)
                batch = [self._waiting.popleft() for _ in range(min(GROUP, len(self._waiting)))]
                self._busy = bool(batch)
            if not batch:
                break
            if not self._kept(batch):
                break
            for step in batch:
                step.written.set_result(None)
            with self._work:
                self._busy = False
                self._done.notify_all()
            if len(batch) >= CROWD and not self._closing:
                # many come: together they cost the disk and the interpreter's lock less; who comes alone never waits
                time.sleep(PAUSE)
        self._shut()

    def _kept(self, batch: list[_Step]) -> bool:
        try:
            self._save(batch)
        except BaseException as e:  # noqa: BLE001 whatever it is, nobody may believe that these steps are safe
            self._fail(e, batch)
            return False
        return True

    def _shut(self) -> None:
        with suppress(sqlite3.Error):
            if not self._failed and not maybe("journal: the file is closed without tidying up"):
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with suppress(sqlite3.Error):
            self._db.close()

    def _fail(self, error: BaseException, batch: list[_Step]) -> None:
        if isinstance(error, EnigmaError):
            failed: EnigmaError = error
        else:
            what = f"{error}" if isinstance(error, OSError | sqlite3.Error) else f"{type(error).__name__}: {error}"
            failed = HomeError(f"{self.path} cannot be written ({what}): trading stops; free or mend the disk and start again")
            failed.__cause__ = error
        with self._work:
            self._failed = failed
            lost = [*batch, *self._waiting]
            self._waiting.clear()
            self._busy = False
            self._done.notify_all()
        for step in lost:
            if not step.written.done():
                step.written.set_exception(failed)

    def _save(self, batch: Sequence[_Step]) -> None:
        try:
            self._commit(batch)
        except sqlite3.OperationalError as e:
            # of all faults of a disk only this one leaves no doubt about what is on it: nothing of the batch
            if getattr(e, "sqlite_errorcode", None) != sqlite3.SQLITE_FULL or not self._release():
                raise
            self.short = True
            self._commit(batch)

    def _commit(self, batch: Sequence[_Step]) -> None:
        before = self._seq, self._step, self._hash
        self._begin()
        whole = 0
        try:
            for step in batch:
                self._append(step)
                whole += 1
            self._db.execute("COMMIT")
        except BaseException as e:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            self._seq, self._step, self._hash = before
            if not isinstance(e, OSError | sqlite3.Error) and whole:
                # the fault lies in that one step: those before it did happen
                self._commit(batch[:whole])
                for step in batch[:whole]:
                    step.written.set_result(None)
            raise

    def _begin(self) -> None:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as e:
                # another program holds the file (each try has waited busy_timeout); nothing is lost by trying again
                if getattr(e, "sqlite_errorcode", None) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise

    def _append(self, step: _Step) -> None:
        rows = self._rows(step)
        if self._written(step, rows):
            return
        self._db.executemany("INSERT INTO event VALUES (?,?,?,?,?,?,?)", rows)
        for row, record in zip(rows, step.records, strict=True):
            project(self._db, row.seq, record)
        self._seq, self._step, self._hash = rows[-1].seq, rows[-1].step, rows[-1].hash

    def _rows(self, step: _Step) -> list[_Row]:
        rows = []
        link = self._hash
        for seq, record in enumerate(step.records, self._seq + 1):
            kind, key, payload = records.tag(record), records.key(record), records.encode(record).decode()
            link = _link(link, self._step + 1, step.ts, kind, key, payload)
            rows.append(_Row(seq, self._step + 1, step.ts, kind, key, payload, link))
        return rows

    def _written(self, step: _Step, rows: list[_Row]) -> bool:
        """Whether this very step is on disk already. Raises `MoneyError` where one of its keys stands for something else."""
        for row in rows:
            if row.key is None:
                continue
            found = self._db.execute("SELECT step FROM event WHERE key = ?", (row.key,)).fetchone()
            if found is not None:
                stored = self._db.execute("SELECT ts, kind, payload FROM event WHERE step = ? ORDER BY seq", found).fetchall()
                if stored == [(r.ts, r.kind, r.payload) for r in rows]:
                    return True
                raise MoneyError(f"{self.path}: {row.key} at {step.ts} was written before with other content; trading stops")
        return False


class Memory:
    """A journal that is forgotten: the same face, no disk. Steps are kept as given, repeated ones too."""

    path = None
    failed: Exception | None = None
    short = False
    backlog = 0

    def __init__(self) -> None:
        self.steps: list[tuple[int, Sequence[Record]]] = []

    @property
    def last_ts(self) -> int | None:
        return next((ts for ts, step in reversed(self.steps) if type(step[0]) is not records.Started), None)

    def write(self, step: Sequence[Record], ts: int) -> Future[None]:
        """Keep one step."""
        if step:
            self.steps.append((ts, step))
        return _WRITTEN

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def replay(self, without: Container[str] = ()) -> Iterator[Any]:
        """Every record in order, kinds in `without` left out."""
        return (r for _, step in self.steps for r in step if records.tag(r) not in without)

    def save(self, path: Path, mode: str, identity: str) -> None:
        """Write everything to a new file that `enigma why` can read. Raises `HomeError` when one is there already."""
        if path.exists():
            raise HomeError(f"{path} exists already; a journal is not overwritten: name another file")
        with Journal.open(path, mode, identity, "OFF") as journal:
            for ts, step in self.steps:
                journal.write(step, ts)


_WRITTEN: Future[None] = Future()
_WRITTEN.set_result(None)


def replay(path: Path, without: Container[str] = (), db: sqlite3.Connection | None = None) -> Iterator[Any]:
    """The records in the journal at `path`, oldest first. See `Journal.replay`."""
    own = db is None
    connection = db or database.connect_for_reading(path)
    try:
        link = _first_link(database.stamp(path))
        rows: Iterable[tuple[Any, ...]] = connection.execute(
            "SELECT seq, step, ts, kind, key, payload, hash FROM event ORDER BY seq"
        )
        for expected, raw in enumerate(rows, 1):
            row = _Row(*raw)
            link = _link(link, row.step, row.ts, row.kind, row.key, row.payload)
            if row.seq != expected or link != row.hash:
                raise database.damaged(path, f"event {expected} was altered or removed")
            if row.kind not in without:
                yield records.decode(row.kind, row.payload)
    except database.FAULTS as e:
        raise database.damaged(path, str(e)) from e
    finally:
        if own:
            connection.close()
