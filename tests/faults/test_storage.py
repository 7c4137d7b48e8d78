"""What disks, kills and other programs do to the journal, and what must be left of it then."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from enigma_core import database
from enigma_core.errors import HomeError
from enigma_core.home import Home
from enigma_core.journal import Journal, replay
from enigma_core.reading import Reader
from ledger import decision, entry, fill, marked

WRITER = Path(__file__).with_name("steps_writer.py")


def written_by(n: int) -> list[object]:
    return [decision(n), entry(n), fill(n), marked(n)]


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, str(WRITER), str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kill_after(process: subprocess.Popen[str], lines: int) -> int:
    """Read so many lines of the writer's, kill it, read the rest; the last step it called safe."""
    last = 0
    for count, line in enumerate(process.stdout, 1):
        if line.strip().isdigit():
            last = int(line)
        if count == lines:
            process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    return last


def test_s05_kill_9_leaves_whole_steps_and_every_acknowledged_one(tmp_path: Path) -> None:
    chance = random.Random(5)
    total = 0
    for _ in range(8):
        process = start(tmp_path)
        safe = kill_after(process, chance.randint(2, 900))
        assert process.returncode == -signal.SIGKILL
        database.verify(tmp_path / "paper.sqlite")
        records = list(replay(tmp_path / "paper.sqlite"))
        assert len(records) % 4 == 0
        steps = len(records) // 4
        assert steps >= safe
        assert steps >= total
        total = steps
    assert total > 100
    assert records == [r for n in range(1, total + 1) for r in written_by(n)]
    with sqlite3.connect(tmp_path / "paper.sqlite") as db:
        for table in ("decision", "orders", "fill", "equity"):
            assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (total,)


def test_s05_the_step_that_a_kill_interrupted_may_be_written_again(tmp_path: Path) -> None:
    kill_after(start(tmp_path), 50)
    with Home.open(tmp_path) as home, home.journal("paper", "m") as journal:
        newest = journal.last_ts
        for n in range(newest - 2, newest + 3):
            journal.write(written_by(n), n)
        journal.flush()
        assert list(journal.replay()) == [r for n in range(1, newest + 3) for r in written_by(n)]


SECOND = """
import sys, time
from enigma_core.errors import HomeError
from enigma_core.home import Home
begun = time.monotonic()
try:
    Home.open(sys.argv[1])
except HomeError as e:
    print(time.monotonic() - begun, e)
"""


def test_p03_a_second_run_on_the_same_folder_is_refused_within_a_second(tmp_path: Path) -> None:
    with Home.open(tmp_path):
        answer = subprocess.run([sys.executable, "-c", SECOND, str(tmp_path)], capture_output=True, text=True, check=True)
    took, sentence = answer.stdout.split(" ", 1)
    assert float(took) < 1
    assert f"{tmp_path} is in use by process {os.getpid()}: stop that run" in sentence


def test_p05_a_lock_left_by_kill_9_is_free(tmp_path: Path) -> None:
    process = start(tmp_path)
    with pytest.raises(HomeError, match="is in use by process"):
        wait_until_ready(process, tmp_path)
    kill_after(process, 1)
    assert (tmp_path / "lock").read_text().strip() == str(process.pid)
    with Home.open(tmp_path) as home:
        assert home.told == []


def wait_until_ready(process: subprocess.Popen[str], folder: Path) -> None:
    process.stdout.readline()
    Home.open(folder)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A closed journal of two hundred steps."""
    path = tmp_path / "paper.sqlite"
    with Journal.open(path, "paper", "m", "OFF") as journal:
        for n in range(200):
            journal.write(written_by(n), n)
    return path


def refused(path: Path) -> str:
    """The sentence with which `path` is refused; the file and the folder must be as they were."""
    before = path.read_bytes()
    with pytest.raises(HomeError) as caught:
        Journal.open(path, "paper", "m")
    assert path.read_bytes() == before
    sentence = str(caught.value)
    assert str(path) in sentence
    return sentence


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "it is empty"),
        (b"SQLite", "no SQLite file"),
        (b"a,b,c\n1,2,3\n" * 400, "no SQLite file"),
        (b"\0" * 8192, "no SQLite file"),
    ],
    ids=["empty", "half a header", "csv", "zeros"],
)
def test_s10_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "paper.sqlite"
    path.write_bytes(content)
    sentence = refused(path)
    assert says in sentence
    assert "put back a copy, or start with --fresh" in sentence


def test_s10_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "paper.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE trades (id INTEGER)")
        db.execute("INSERT INTO trades VALUES (1)")
    assert "another program made it" in refused(path)
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT * FROM trades").fetchall() == [(1,)]


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.9, 0.999])
def test_s10_a_truncated_file_is_refused(ledger: Path, share: float) -> None:
    whole = ledger.read_bytes()
    ledger.write_bytes(whole[: int(len(whole) * share)])
    refused(ledger)


def test_s10_no_flipped_region_passes_in_silence(ledger: Path) -> None:
    """Either the file is refused, or its replay is, or what it says is what was written."""
    whole = ledger.read_bytes()
    said = [r for n in range(200) for r in written_by(n)]
    chance = random.Random(10)
    found = 0
    for _ in range(60):
        at, length = chance.randrange(len(whole)), chance.randint(1, 600)
        ledger.write_bytes(whole[:at] + bytes(b ^ 0xFF for b in whole[at : at + length]) + whole[at + length :])
        try:
            database.verify(ledger)
            assert list(replay(ledger)) == said
        except HomeError:
            found += 1
    assert found > 30


class Failing(sqlite3.Connection):
    """A connection on a disk that fails at the n-th statement from now, and ever after."""

    left = 1_000_000
    error: Exception = sqlite3.OperationalError("database or disk is full")

    def _count(self) -> None:
        Failing.left -= 1
        if Failing.left < 0:
            raise Failing.error

    def execute(self, sql: str, *rest: object) -> sqlite3.Cursor:  # type: ignore[override]
        self._count()
        return super().execute(sql, *rest)  # type: ignore[arg-type]

    def executemany(self, sql: str, rows: object) -> sqlite3.Cursor:  # type: ignore[override]
        self._count()
        return super().executemany(sql, rows)  # type: ignore[arg-type]


def failing(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=Failing)


FULL = sqlite3.OperationalError("database or disk is full")
READ_ONLY = sqlite3.OperationalError("attempt to write a readonly database")
EIO = OSError(5, "Input/output error")


@pytest.mark.parametrize("error", [FULL, READ_ONLY, EIO], ids=["full", "read-only", "EIO"])
@pytest.mark.parametrize("at", range(9))
def test_s08_a_failing_disk_stops_the_journal_at_whichever_statement(ledger: Path, error: Exception, at: int) -> None:
    Failing.left, Failing.error = 1_000_000, error
    journal = Journal.open(ledger, "paper", "m", connect=failing)
    Failing.left = at
    written = journal.write(written_by(200), 200)
    with pytest.raises(HomeError, match=r"cannot be written .*: trading stops; free or mend the disk") as caught:
        written.result(5)
    assert str(error) in str(caught.value)
    assert isinstance(journal.failed, HomeError)
    for refuse in (lambda: journal.write(written_by(201), 201), journal.flush, journal.close):
        with pytest.raises(HomeError, match="cannot be written"):
            refuse()
    assert list(replay(ledger)) == [r for n in range(200) for r in written_by(n)]


def test_s08_after_the_disk_is_mended_a_new_start_goes_on(ledger: Path) -> None:
    Failing.left, Failing.error = 1_000_000, FULL
    journal = Journal.open(ledger, "paper", "m", connect=failing)
    Failing.left = 3
    with pytest.raises(HomeError):
        journal.write(written_by(200), 200).result(5)
    with pytest.raises(HomeError):
        journal.close()
    with Journal.open(ledger, "paper", "m") as journal:
        assert journal.last_ts == 199
        journal.write(written_by(200), 200)
    assert list(replay(ledger)) == [r for n in range(201) for r in written_by(n)]


def test_s07_no_room_for_a_new_database_leaves_nothing_behind(tmp_path: Path) -> None:
    Failing.left, Failing.error = 4, FULL
    with Home.open(tmp_path) as home:
        with pytest.raises(HomeError, match=r"cannot make the database .*disk is full"):
            home.journal("paper", "m", connect=failing)
        assert not home.paper.exists()
        home.journal("paper", "m").close()


def test_s07_a_real_full_disk_stops_the_journal_and_keeps_the_past(ledger: Path) -> None:
    """The kernel's own limit on a file's size stands for the disk that is full."""
    code = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from ledger import decision
from enigma_core.errors import HomeError
from enigma_core.journal import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal.open(Path(sys.argv[1]), "paper", "m")
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
written = 0
try:
    for n in range(1000, 3000):
        journal.write([decision(n)], n).result()
        written += 1
except HomeError as e:
    print(written, e)
"""
    arguments = [sys.executable, "-c", code, str(ledger), str(WRITER.parent.parent)]
    answer = subprocess.run(arguments, capture_output=True, text=True, check=True)
    written, sentence = answer.stdout.split(" ", 1)
    assert "trading stops" in sentence
    assert int(written) > 0
    database.verify(ledger)
    assert len(list(replay(ledger))) == 800 + int(written)


def test_s09_a_file_held_by_another_program_is_waited_for(ledger: Path) -> None:
    other = sqlite3.connect(ledger, isolation_level=None)
    impatient = lambda p: sqlite3.connect(p, isolation_level=None, check_same_thread=False, timeout=0.05)  # noqa: E731
    journal = Journal.open(ledger, "paper", "m", connect=impatient, patience=20)
    other.execute("BEGIN IMMEDIATE")
    written = journal.write(written_by(200), 200)
    with pytest.raises(TimeoutError):
        written.result(0.2)
    other.execute("COMMIT")
    other.close()
    assert written.result(10) is None
    journal.close()


def test_s09_a_file_held_for_too_long_is_a_failure(ledger: Path) -> None:
    other = sqlite3.connect(ledger, isolation_level=None)
    impatient = lambda p: sqlite3.connect(p, isolation_level=None, check_same_thread=False, timeout=0.05)  # noqa: E731
    journal = Journal.open(ledger, "paper", "m", connect=impatient, patience=0.2)
    other.execute("BEGIN IMMEDIATE")
    begun = time.monotonic()
    with pytest.raises(HomeError, match="database is locked"):
        journal.write(written_by(200), 200).result(10)
    assert time.monotonic() - begun < 5
    other.execute("ROLLBACK")
    other.close()
    with pytest.raises(HomeError):
        journal.close()


def test_s10_whoever_looks_at_the_file_of_a_run_leaves_it_its_wal(tmp_path: Path) -> None:
    """SQLite's locks belong to the process: one plain descriptor of the file that is closed there gives all of them up."""
    path = tmp_path / "paper.sqlite"
    with Journal.open(path, "paper", "m", "OFF") as journal:
        journal.write(written_by(0), 1).result(10)
        database.verify(path)
        with Reader(path) as reader:
            assert reader.stamp.identity == "m"
        wal = database.sidecar(path, "-wal").stat().st_ino
        look = f"import sqlite3; db = sqlite3.connect({str(path)!r}); db.execute('SELECT * FROM event').fetchall(); db.close()"
        subprocess.run([sys.executable, "-c", look], check=True)
        assert database.sidecar(path, "-wal").stat().st_ino == wal
        journal.write(written_by(1), 2).result(10)
        assert len(list(replay(path))) == 8
