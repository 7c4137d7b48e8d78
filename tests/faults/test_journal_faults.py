"""What kills, cuts, full disks and flipped bytes leave of a journal that many write alerts to at once.

Run as a program it kills a writer over and over: ``python tests/faults/test_journal_faults.py ROUNDS [SEED]``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import Future
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import pytest

import enigma_core.store  # noqa: F401 - once, and not in every process that is forked
from enigma_core import database
from enigma_core.alert import Action, Alert, AlertWorked, Request
from enigma_core.errors import HomeError
from enigma_core.home import RESERVE, Home
from enigma_core.journal import Journal, replay
from enigma_core.reading import Reader
from enigma_core.shells.waiting import Waiting, unworked
from ledger import SYMBOL, decision, entry, fill, marked


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def alert(name: str, ts: int = 1, action: Action = "long") -> Alert:
    request = Request(symbol=SYMBOL, action=action, key=name, quantity=Decimal("0.5"))
    return Alert(
        id=name, ts=ts, source="tradingview", mode="signal", received=ts, request=request, key=name, digest=f"digest of {name}"
    )


def worked(name: str, ts: int = 1) -> AlertWorked:
    return AlertWorked(ts=ts, id=name, source="tradingview", symbol=SYMBOL, outcome="nothing", reason="nothing is held")


def trading(n: int) -> list[Any]:
    """A step of four records."""
    return [decision(n), entry(n), fill(n), marked(n)]


def identities(path: Path) -> list[tuple[str, str, str]]:
    """Every alert in the table that duplicates are looked up in: id, key, digest."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT id, key, digest FROM alert ORDER BY seq").fetchall()


# a process that is killed in the middle of a group of steps

EACH = 5
"""Kills of one journal: what is checked after each grows with it."""


def write_until_killed(folder: Path, number: int, acknowledged: int) -> None:
    """Four senders at one journal; a line in the file `acknowledged` for whatever the journal has called safe."""
    with Home.open(folder) as home, home.journal("paper", "m") as journal:
        first = number * 1_000_000

        def send(sender: int) -> None:
            chance = random.Random(number * 10 + sender)
            n = first + sender * 100_000
            while True:
                waiting: list[tuple[str, Future[None]]] = []
                for _ in range(chance.randint(1, 40)):
                    n += 1
                    waiting.append((f"a{n}", journal.write([alert(f"a{n}", n)], n)))
                    if sender == 0:
                        waiting.append((f"t{n}", journal.write(trading(n), n)))
                for name, written in waiting:
                    written.result()
                    os.write(acknowledged, f"{name}\n".encode())

        senders = [threading.Thread(target=send, args=(i,)) for i in range(4)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()


def killed_round(folder: Path, number: int, chance: random.Random) -> set[str]:
    """Fork a writer, kill it within a few hundredths of a second of its first acknowledgement; what it had called safe."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            write_until_killed(folder, number, writing)
        finally:
            os._exit(3)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        text = said.readline()
        time.sleep(chance.random() * 0.04)
        os.kill(child, signal.SIGKILL)
        text += said.read()
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"round {number}: the writer ended by itself, status {status}"
    # a line that was cut off in the middle was never acknowledged to anybody
    return set(text.decode().split("\n")[:-1])


def kill_over_and_over(rounds: int, seed: int) -> tuple[int, int]:
    """So many kills; (steps acknowledged, steps found). Raises `AssertionError` where one is missing or half there."""
    chance = random.Random(seed)
    acknowledged: set[str] = set()
    found: set[str] = set()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "0"
        total = safe = 0
        for number in range(rounds):
            if number % EACH == 0:
                folder = Path(name) / str(number)
                acknowledged, found = set(), set()
            acknowledged |= killed_round(folder, number, chance)
            path = folder / "paper.sqlite"
            database.verify(path)
            kinds: dict[str, list[Any]] = {}
            for record in replay(path):
                kinds.setdefault(type(record).__name__, []).append(record)
            numbers = [d.ts for d in kinds.get("Decision", [])]
            assert kinds.get("Alert", []) + numbers, f"round {number}: nothing was written"
            for kind in ("Order", "Fill", "Marked"):
                assert len(kinds.get(kind, [])) == len(numbers), f"round {number}: a step is there in part"
            names = [a.id for a in kinds.get("Alert", [])]
            assert len(names) == len(set(names)), f"round {number}: an alert is there twice"
            assert identities(path) == [(n, n, f"digest of {n}") for n in names], f"round {number}: the table differs"
            before, found = found, {*names, *(f"t{n}" for n in numbers)}
            assert before <= found, f"round {number}: what was there once is gone: {sorted(before - found)[:5]}"
            lost = acknowledged - found
            assert not lost, f"round {number}: {len(lost)} acknowledged steps are lost: {sorted(lost)[:5]}"
            if number % EACH == EACH - 1 or number == rounds - 1:
                total, safe = total + len(found), safe + len(acknowledged)
    return safe, total


def in_a_process(rounds: int, seed: int, timeout: float) -> tuple[int, int]:
    """`kill_over_and_over` where forking disturbs nobody."""
    command = [sys.executable, __file__, str(rounds), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr
    safe, found = done.stdout.split()
    return int(safe), int(found)


def test_s05_kill_9_in_the_middle_of_a_group_of_alerts_loses_none_that_was_acknowledged() -> None:
    safe, found = in_a_process(30, 5, 120)
    assert safe > 1000
    assert found >= safe


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_s05_hundreds_of_kills_lose_nothing() -> None:
    safe, found = in_a_process(600, int(time.time()), 800)
    assert found >= safe > 20_000


# a -wal that is cut or flipped


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of 60 steps as a loss of power leaves it: 20 in the file itself, 40 in its -wal."""
    folder = tmp_path_factory.mktemp("unfinished")
    path = folder / "paper.sqlite"
    with Journal.open(path, "paper", "m", "OFF") as journal:
        for n in range(1, 21):
            journal.write(step(n), n)
    journal = Journal.open(path, "paper", "m", "FULL")
    for n in range(21, 61):
        # each is its own commit, so that the -wal holds forty of them
        journal.write(step(n), n).result(10)
    left = folder / "left"
    left.mkdir()
    for name in ("paper.sqlite", "paper.sqlite-wal"):
        shutil.copy(folder / name, left / name)
    journal.close()
    assert database.sidecar(left / "paper.sqlite", "-wal").stat().st_size > 100_000
    return left


def step(n: int) -> list[Any]:
    return trading(n) if n % 3 else [alert(f"a{n}", n), worked(f"a{n}", n)]


STEPS = [step(n) for n in range(1, 61)]


def prefix(path: Path) -> int:
    """How many of the steps are there: the first so many, whole, or the test fails. Raises `HomeError`."""
    with Journal.open(path, "paper", "m") as journal:
        found = list(journal.replay())
        last = journal.last_ts
    said: list[Any] = []
    count = 0
    while len(said) < len(found) and count < len(STEPS):
        said += STEPS[count]
        count += 1
    assert found == said, "what is left is no beginning of what was written"
    assert last == (count or None)
    alerts = [r.id for r in said if type(r) is Alert]
    assert [i for i, _, _ in identities(path)] == alerts
    assert unworked(path) == []
    return count


def copied(left: Path, target: Path) -> Path:
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(left, target)
    return target / "paper.sqlite"


def test_s06_wherever_the_wal_is_cut_what_opens_is_the_beginning_of_what_was_written(unfinished: Path, tmp_path: Path) -> None:
    size = database.sidecar(unfinished / "paper.sqlite", "-wal").stat().st_size
    chance = random.Random(6)
    cuts = sorted({0, 1, 31, 32, size - 1, size, *(chance.randrange(size) for _ in range(90))})
    left = []
    for cut in cuts:
        path = copied(unfinished, tmp_path / "cut")
        os.truncate(database.sidecar(path, "-wal"), cut)
        left.append(prefix(path))
    assert left == sorted(left)
    assert left[0] == 20
    assert left[-1] == 60
    assert len(set(left)) > 20


@pytest.mark.soak
def test_s06_at_every_offset_of_the_last_pages_the_wal_may_be_cut(unfinished: Path, tmp_path: Path) -> None:
    size = database.sidecar(unfinished / "paper.sqlite", "-wal").stat().st_size
    for cut in range(max(0, size - 12_000), size, 7):
        path = copied(unfinished, tmp_path / "cut")
        os.truncate(database.sidecar(path, "-wal"), cut)
        assert 20 <= prefix(path) <= 60


def test_s06_a_page_of_the_wal_that_never_arrived_ends_what_is_left_and_makes_no_hole(unfinished: Path, tmp_path: Path) -> None:
    """Disks write in any order: a page in the middle may be missing while later ones are there."""
    wal = database.sidecar(unfinished / "paper.sqlite", "-wal").read_bytes()
    chance = random.Random(66)
    seen = set()
    for _ in range(60):
        path = copied(unfinished, tmp_path / "torn")
        at, length = chance.randrange(32, len(wal)), chance.choice([1, 512, 4096, 4120])
        gap = bytes(len(wal[at : at + length])) if chance.random() < 0.7 else os.urandom(len(wal[at : at + length]))
        database.sidecar(path, "-wal").write_bytes(wal[:at] + gap + wal[at + length :])
        seen.add(prefix(path))
    assert len(seen) > 10
    assert min(seen) >= 20


def test_s06_after_a_torn_end_the_lost_steps_may_be_written_again(unfinished: Path, tmp_path: Path) -> None:
    path = copied(unfinished, tmp_path / "again")
    wal = database.sidecar(path, "-wal")
    os.truncate(wal, wal.stat().st_size // 2)
    left = prefix(path)
    assert 20 < left < 60
    with Journal.open(path, "paper", "m") as journal:
        for n in range(left - 1, 61):
            journal.write(step(n), n)
    assert prefix(path) == 60


def test_s06_a_step_missing_in_the_middle_is_refused_though_sqlite_finds_nothing_wrong(unfinished: Path, tmp_path: Path) -> None:
    for n in (1, 2, 33, 58, 59):
        path = copied(unfinished, tmp_path / "hole")
        with closing(sqlite3.connect(path)) as db:
            for table in ("alert", "decision"):
                db.execute(f"DELETE FROM {table} WHERE seq IN (SELECT seq FROM event WHERE step = ?)", (n,))
            db.execute("DELETE FROM event WHERE step = ?", (n,))
            db.commit()
        database.verify(path)
        with pytest.raises(HomeError, match=r"event \d+ was altered or removed"):
            list(replay(path))


# a disk that is full


def test_s07_on_a_full_disk_an_alert_is_refused_and_forgotten_and_taken_when_there_is_room(tmp_path: Path) -> None:
    """The kernel's own limit on a file's size stands for the disk: in a process of its own."""
    code = f"""
import asyncio, resource, sys
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parent.parent)]!r}
from pathlib import Path
from test_journal_faults import on_a_full_disk
asyncio.run(on_a_full_disk(Path({str(tmp_path / "paper.sqlite")!r})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    accepted = done.stdout.split()
    assert accepted
    path = tmp_path / "paper.sqlite"
    database.verify(path)
    assert [a.id for a in unworked(path)] == accepted
    assert asyncio.run(taken_again(path, accepted[-1], "never")) == [["duplicate"], ["accepted"]]


async def on_a_full_disk(path: Path) -> None:
    """Alerts until the disk is full; says the ids of those that were accepted."""
    journal = Journal.open(path, "paper", "m")
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    waiting = Waiting(journal, lambda: 0)
    for n in range(100_000):
        try:
            assert await waiting.accept([alert(f"a{n}")]) == ["accepted"]
        except HomeError:
            break
        say(f"a{n}")
    # it stays so, for those that only reduce too, and nothing of it is remembered as accepted
    for name in ("never", "neither", f"a{n}"):
        with pytest.raises(HomeError, match=r"cannot be written.*trading stops"):
            await waiting.accept([alert(name)])
    assert len(waiting) == n


async def taken_again(path: Path, *names: str) -> list[list[Any]]:
    with Journal.open(path, "paper", "m") as journal:
        waiting = Waiting(journal, lambda: 0)
        return [list(await waiting.accept([alert(name)])) for name in names]


def test_s07_whoever_waited_when_the_disk_became_full_is_told_and_so_is_whoever_comes_later(tmp_path: Path) -> None:
    path = tmp_path / "paper.sqlite"
    Full.room = 1_000_000
    journal = Journal.open(path, "paper", "m", connect=full)
    Full.room = 10
    told = []
    for n in range(200):
        try:
            told.append(journal.write([alert(f"a{n}")], n))
        except HomeError:
            break
    outcomes = [written.exception(5) for written in told]
    first = next(i for i, e in enumerate(outcomes) if e is not None)
    assert all(isinstance(e, HomeError) for e in outcomes[first:])
    assert [r.id for r in replay(path)] == [f"a{n}" for n in range(first)]
    with pytest.raises(HomeError, match="trading stops"):
        journal.close()


class Full(sqlite3.Connection):
    """A connection to a disk with room for so many rows."""

    room = 1_000_000

    def executemany(self, sql: str, rows: Any) -> sqlite3.Cursor:
        Full.room -= len(rows)
        if Full.room < 0:
            raise sqlite3.OperationalError("database or disk is full")
        return super().executemany(sql, rows)


def full(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=Full)


class OutOfRoom(sqlite3.Connection):
    """A connection to a disk that is full for as long as `reserve` lies on it."""

    reserve = Path()

    def executemany(self, sql: str, rows: Any) -> sqlite3.Cursor:
        if OutOfRoom.reserve.exists():
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return super().executemany(sql, rows)


def out_of_room(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=OutOfRoom)


def test_s07_a_full_disk_is_given_the_reserve_back_and_the_step_is_written(tmp_path: Path) -> None:
    with Home.open(tmp_path) as home:
        assert home.reserve.stat().st_blocks * 512 >= RESERVE
        home.journal("paper", "m").close()
        OutOfRoom.reserve = home.reserve
        with home.journal("paper", "m", connect=out_of_room) as journal:
            assert not journal.short
            journal.write(trading(1), 1).result(10)
            assert journal.short
            assert journal.failed is None
            journal.write(trading(2), 2)
        assert list(replay(home.paper)) == [*trading(1), *trading(2)]
        assert not home.reserve.exists()
    # the next run has one again, and gives it up when it ends
    with Home.open(tmp_path) as home:
        assert home.reserve.exists()
        assert home.told == []
    assert not home.reserve.exists()


ON_A_SMALL_DISK = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parent.parent)]!r}
from pathlib import Path
from test_journal_faults import fill_a_small_disk
fill_a_small_disk(Path(sys.argv[1]))
"""


def test_s07_on_a_disk_that_is_really_full_there_is_room_for_thousands_of_exits(tmp_path: Path) -> None:
    """A file system of 14 MiB in a namespace of its own; where that may not be made, the test above has to do."""
    mounted = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    shell = 'mount -t tmpfs -o size=14m tmpfs "$1" && shift && exec "$@"'
    small = tmp_path / "small"
    small.mkdir()
    if not shutil.which("unshare") or subprocess.run([*mounted, shell, "sh", str(small), "true"], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    command = [*mounted, shell, "sh", str(small), sys.executable, "-c", ON_A_SMALL_DISK, str(small)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    written, sentence = done.stdout.split(" ", 1)
    assert int(written) > 500
    assert "database or disk is full" in sentence
    assert "trading stops" in sentence


def fill_up(path: Path, size: int) -> None:
    """Write until there is no room for so many bytes."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(bytes(size)) == size:
            pass


def fill_a_small_disk(folder: Path) -> None:
    """Fill the disk, then write steps until the reserve is used up as well; says how many, and how it ended."""
    with Home.open(folder) as home:
        journal = home.journal("paper", "m", synchronous="OFF")
        journal.write(trading(0), 0).result(10)
        for size in (100_000, 1):
            fill_up(folder / f"full{size}", size)
        n = 0
        while True:
            try:
                journal.write(trading(n + 1), n + 1).result(10)
            except HomeError as error:
                told = str(error)
                break
            n += 1
            assert journal.short or n < 100
        with pytest.raises(HomeError):
            journal.close()
        assert list(replay(home.paper)) == [r for i in range(n + 1) for r in trading(i)]
    with Home.open(folder) as home:
        assert "8 MiB cannot be set aside" in home.told[0]
    say(n, told)


# bytes that are not what they were


def recovered(path: Path) -> tuple[list[Any], list[Alert], list[tuple[str, str, str]], list[Alert]]:
    """All that a start takes from a journal: its records, the alerts to be worked, the identities, what alerts said."""
    with Journal.open(path, "paper", "m") as journal:
        records = list(journal.replay())
        with Reader(path) as reader:
            stored = reader.stored_alerts()
        return records, unworked(path), identities(path), stored


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed journal: trades, alerts that were worked, alerts that wait."""
    path = tmp_path_factory.mktemp("ledger") / "paper.sqlite"
    with Journal.open(path, "paper", "m", "OFF") as journal:
        for n in range(1, 121):
            journal.write(step(n), n)
            journal.write([alert(f"w{n}", n)], n)
    return path


@pytest.mark.parametrize("how", ["flipped", "zeros", "elsewhere"])
def test_s10_of_hundreds_of_damaged_regions_none_begins_a_run_in_silence(ledger: Path, tmp_path: Path, how: str) -> None:
    """Whatever a start would go on from is exactly what was written, or the start is refused with a sentence."""
    assert damaged_in_silence(ledger, tmp_path / "paper.sqlite", how, 130, 10) > 60


@pytest.mark.soak
@pytest.mark.parametrize("how", ["flipped", "zeros", "elsewhere", "bit"])
def test_s10_of_thousands_of_damaged_regions_none_begins_a_run_in_silence(ledger: Path, tmp_path: Path, how: str) -> None:
    damaged_in_silence(ledger, tmp_path / "paper.sqlite", how, 3000, 1010)


def damaged_in_silence(ledger: Path, path: Path, how: str, times: int, seed: int) -> int:
    whole = ledger.read_bytes()
    chance = random.Random(seed)
    path.write_bytes(whole)
    said = recovered(path)
    refused = 0
    for _ in range(times):
        at = chance.randrange(len(whole))
        length = 1 if how == "bit" else min(chance.choice([1, 8, 60, 600, 4096]), len(whole) - at)
        match how:
            case "flipped":
                put = bytes(b ^ 0xFF for b in whole[at : at + length])
            case "bit":
                put = bytes([whole[at] ^ (1 << chance.randrange(8))])
            case "zeros":
                put = bytes(length)
            case _:
                other = chance.randrange(len(whole) - length)
                put = whole[other : other + length]
        path.write_bytes(whole[:at] + put + whole[at + length :])
        for suffix in ("-wal", "-shm"):
            database.sidecar(path, suffix).unlink(missing_ok=True)
        try:
            found = recovered(path)
        except HomeError:
            refused += 1
        else:
            where = f"{how} at {at}, {length} bytes (page {at // 4096 + 1})"
            for what, ours, theirs in zip(("records", "waiting alerts", "identities", "alerts"), found, said, strict=True):
                assert ours == theirs, f"{where}: the {what} of a damaged file were believed"
    return refused


NO_JOURNAL = {"empty": b"", "head": b"SQLite format 3\0", "noise": random.Random(0).randbytes(4096), "zeros": bytes(20_000)}


@pytest.mark.parametrize("content", NO_JOURNAL.values(), ids=NO_JOURNAL)
def test_s10_what_is_no_journal_is_refused_and_left_as_it_was(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "paper.sqlite"
    path.write_bytes(content)
    says = r"is damaged or not ours .*put back a copy, or start with --fresh"
    with Home.open(tmp_path) as home, pytest.raises(HomeError, match=says):
        home.journal("paper", "m")
    assert path.read_bytes() == content


# whoever waits is cancelled


def test_s11_thousands_of_cancelled_waiters_never_disturb_the_writer(tmp_path: Path) -> None:
    path = tmp_path / "paper.sqlite"
    total = 10_000

    async def cancelled_at_random(journal: Journal) -> int:
        chance = random.Random(11)

        async def one(n: int) -> None:
            await asyncio.wrap_future(journal.write([alert(f"a{n}")], n))

        cancelled = 0
        for start in range(0, total, 200):
            tasks = [asyncio.create_task(one(n)) for n in range(start, start + 200)]
            await asyncio.sleep(0 if chance.random() < 0.5 else chance.random() * 0.002)
            for task in tasks:
                if chance.random() < 0.8:
                    task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(e is None or isinstance(e, asyncio.CancelledError) for e in ended)
            cancelled += sum(e is not None for e in ended)
        return cancelled

    with Journal.open(path, "paper", "m", "OFF") as journal:
        assert asyncio.run(cancelled_at_random(journal)) > total // 10
        journal.flush()
        assert journal.failed is None
        with closing(sqlite3.connect(path, timeout=0)) as other:
            # nobody was left inside a transaction
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")
        journal.write([alert("last")], total)
    assert [r.id for r in replay(path)] == [f"a{n}" for n in range(total)] + ["last"]


def test_s12_a_step_whose_waiter_is_gone_is_committed_and_its_future_says_so(tmp_path: Path) -> None:
    path = tmp_path / "paper.sqlite"
    journal = Journal.open(path, "paper", "m")
    other = sqlite3.connect(path, isolation_level=None)
    # the writer is in the middle of it: another program holds the file
    other.execute("BEGIN IMMEDIATE")
    written = journal.write([alert("a1")], 1)

    async def given_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(written), 0.05)

    asyncio.run(given_up())
    assert not written.cancel()
    assert not written.done()
    other.execute("ROLLBACK")
    other.close()
    assert written.result(10) is None
    journal.close()
    assert [r.id for r in replay(path)] == ["a1"]


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]] or [100]
    say(*kill_over_and_over(given[0], given[1] if given[1:] else random.randrange(2**31)))
