"""The one writer: whole steps, in order, once."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enigma_core import database, records
from enigma_core.errors import HomeError, MoneyError
from enigma_core.journal import GROUP, Journal, Memory
from enigma_core.model import Sizing
from ledger import decision, entry, fill, marked, started, stop


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "paper.sqlite"


def opened(path: Path, **options: object) -> Journal:
    return Journal.open(path, "paper", "market", **options)


def step(n: int) -> list[object]:
    return [decision(n), entry(n), marked(n)]


def test_what_was_written_is_replayed_in_order(path: Path) -> None:
    with opened(path) as journal:
        for n in range(600):
            journal.write(step(n), n)
        journal.flush()
        assert list(journal.replay()) == [r for n in range(600) for r in step(n)]
    with opened(path) as journal:
        assert list(journal.replay()) == [r for n in range(600) for r in step(n)]
        assert journal.last_ts == 599


def test_a_future_is_done_when_its_step_is_on_disk(path: Path) -> None:
    with opened(path) as journal:
        assert journal.write(step(1), 1).result(5) is None
        with sqlite3.connect(path) as reader:
            assert reader.execute("SELECT count(*), count(DISTINCT step) FROM event").fetchone() == (3, 1)


def test_a_new_journal_has_no_last_time_and_no_records(path: Path) -> None:
    with opened(path) as journal:
        assert journal.last_ts is None
        assert journal.failed is None
        assert list(journal.replay()) == []
        assert journal.write([], 7).done()
        assert journal.last_ts is None


def test_that_a_run_started_is_no_moment_to_go_on_from(path: Path) -> None:
    memory = Memory()
    with opened(path) as journal:
        for each in (journal, memory):
            each.write([started(5)], 5)
            assert each.last_ts is None
    with opened(path) as journal:
        assert journal.last_ts is None
        for each in (journal, memory):
            each.write([marked(6)], 6)
            each.write([started(7)], 7)
            assert each.last_ts == 6
    with opened(path) as journal:
        assert journal.last_ts == 6


def test_kinds_can_be_left_out_of_a_replay(path: Path) -> None:
    with opened(path) as journal:
        journal.write(step(1), 1)
        journal.flush()
        assert list(journal.replay(without={"decision", "marked"})) == [entry(1)]


def test_a_step_written_again_is_passed_over(path: Path) -> None:
    with opened(path) as journal:
        for n in (1, 2):
            journal.write(step(n), n)
        journal.write([fill(1)], 2)
    with opened(path) as journal:
        for n in (1, 2):
            journal.write(step(n), n)
        journal.write([fill(1)], 2)
        journal.write(step(3), 3)
        journal.flush()
        assert list(journal.replay()) == [*step(1), *step(2), fill(1), *step(3)]


def test_a_fill_id_that_comes_back_with_other_content_stops_everything(path: Path) -> None:
    journal = opened(path)
    journal.write([fill(1)], 2).result(5)
    good = journal.write(step(5), 5)
    bad = journal.write([fill(1, quantity=Decimal(25))], 6)
    with pytest.raises(MoneyError, match="fill:BTCUSDT-30m-1-in-1 at 6 was written before with other content"):
        bad.result(5)
    assert good.result(5) is None
    assert isinstance(journal.failed, MoneyError)
    with pytest.raises(HomeError, match="written before"):
        journal.write(step(7), 7)
    with pytest.raises(HomeError):
        journal.close()
    assert list(journal.replay()) == [fill(1), *step(5)]


def test_s14_money_that_is_not_finite_is_never_written(path: Path) -> None:
    journal = opened(path)
    with pytest.raises(MoneyError, match="NaN is no amount of money"):
        journal.write([fill(1, fee=Decimal("NaN"))], 2).result(5)
    with pytest.raises(HomeError):
        journal.close()
    assert list(journal.replay()) == []


def test_a_struct_that_is_no_record_is_refused_before_anything_is_written(path: Path) -> None:
    with opened(path) as journal:
        with pytest.raises(TypeError, match="Sizing"):
            journal.write([entry(), Sizing(quantity=Decimal(1), leverage=1, margin=Decimal(1))], 1)
        assert journal.last_ts is None
        assert journal.failed is None


def test_a_closed_journal_takes_no_more(path: Path) -> None:
    journal = opened(path)
    journal.write(step(1), 1)
    journal.close()
    journal.close()
    with pytest.raises(HomeError, match="is closed"):
        journal.write(step(2), 2)
    assert not database.sidecar(path, "-wal").exists()
    assert len(list(journal.replay())) == 3


class Slow(sqlite3.Connection):
    """A connection whose commits wait until they are let go."""

    go = threading.Event()
    commits = 0

    def execute(self, sql: str, *rest: object) -> sqlite3.Cursor:  # type: ignore[override]
        if sql == "COMMIT":
            Slow.go.wait(10)
            Slow.commits += 1
        return super().execute(sql, *rest)  # type: ignore[arg-type]


def slowly(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=Slow)


@pytest.fixture
def slow(path: Path) -> Journal:
    opened(path).close()
    Slow.go.clear()
    Slow.commits = 0
    return opened(path, connect=slowly, capacity=8, patience=0.2)


def test_what_waits_is_committed_together(path: Path) -> None:
    opened(path).close()
    Slow.go.clear()
    Slow.commits = 0
    with opened(path, connect=slowly) as journal:
        for n in range(1 + 2 * GROUP):
            journal.write([marked(n)], n)
        Slow.go.set()
        journal.flush()
        assert Slow.commits <= 4
        assert len(list(journal.replay())) == 1 + 2 * GROUP


def test_a_full_queue_waits_and_then_says_so(slow: Journal) -> None:
    taken: list[object] = []

    def hand_over() -> None:
        for n in range(8 + 8 + 1):  # so many may be in the transaction, so many wait, and one is too many
            slow.write([marked(n)], n)
            taken.append(marked(n))

    with pytest.raises(HomeError, match=r"has not finished within 0\.2 s"):
        hand_over()
    assert slow.failed is None
    Slow.go.set()
    slow.flush()
    slow.close()
    assert list(slow.replay()) == taken


def test_whoever_stops_waiting_does_not_stop_the_writing(slow: Journal) -> None:
    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(slow.write(step(1), 1)), 0.01)

    asyncio.run(impatient())
    Slow.go.set()
    slow.flush()
    slow.write(step(2), 2).result(5)
    slow.close()
    assert list(slow.replay()) == [*step(1), *step(2)]


def test_another_mode_or_market_is_refused(path: Path) -> None:
    opened(path).close()
    with pytest.raises(HomeError, match="belongs to the mode 'paper', and this run is of 'live'"):
        Journal.open(path, "live", "market")
    with pytest.raises(HomeError, match="belongs to the market 'market', and this run is of 'other'"):
        Journal.open(path, "paper", "other")
    assert database.stamp(path).identity == "market"


def test_a_newer_format_is_refused(path: Path) -> None:
    opened(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(HomeError, match="format 99"):
        opened(path)


@pytest.mark.parametrize(
    "harm",
    [
        """UPDATE event SET payload = replace(payload, '"leverage":6', '"leverage":7') WHERE seq = 2""",
        "UPDATE event SET ts = ts + 1 WHERE seq = 2",
        "UPDATE event SET step = 9 WHERE seq = 3",
        "DELETE FROM event WHERE seq = 2",
        "DELETE FROM event WHERE seq = 5",
        "UPDATE meta SET value = value + 1 WHERE key = 'created'",
    ],
)
def test_a_row_changed_by_hand_is_found_on_replay(path: Path, harm: str) -> None:
    with opened(path) as journal:
        for n in range(3):
            journal.write(step(n), n)
    with sqlite3.connect(path) as db:
        db.execute(harm)
        db.commit()
    with opened(path) as journal, pytest.raises(HomeError, match="was altered or removed"):
        list(journal.replay())


def test_an_unknown_kind_of_record_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(path) as journal:
        journal.write(step(1), 1)
    monkeypatch.delitem(records.TYPES, "marked")
    monkeypatch.setattr(records, "_decoders", {})
    with opened(path) as journal, pytest.raises(HomeError, match="'marked' is unknown here"):
        list(journal.replay())


def test_the_ledger_is_flushed_to_the_disk_at_every_commit(path: Path) -> None:
    with opened(path) as journal:
        assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert journal._db.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_memory_has_the_same_face(path: Path) -> None:
    memory = Memory()
    assert memory.last_ts is None
    with memory:
        assert memory.write(step(1), 1).done()
        memory.write([], 2)
        memory.write(step(3), 3)
        memory.flush()
    assert memory.last_ts == 3
    assert memory.failed is None
    assert list(memory.replay({"marked"})) == [*step(1)[:2], *step(3)[:2]]
    public = {name for name in vars(Journal) if not name.startswith("_")} - {"open"}
    assert public <= set(dir(memory))


def test_memory_can_be_saved_and_read(path: Path) -> None:
    memory = Memory()
    memory.write([started(), *step(1)], 1)
    memory.save(path, "backtest", "csv")
    with Journal.open(path, "backtest", "csv") as journal:
        assert list(journal.replay()) == list(memory.replay())
    with pytest.raises(HomeError, match="exists already"):
        memory.save(path, "backtest", "csv")


@settings(max_examples=15)
@given(st.lists(st.lists(st.sampled_from([entry(1), stop(1), marked(3), started()]), max_size=4), max_size=12), st.integers(0, 9))
def test_any_steps_come_back_whole_across_a_restart(
    tmp_path_factory: pytest.TempPathFactory, steps: list[list[object]], cut: int
) -> None:
    path = tmp_path_factory.mktemp("law") / "paper.sqlite"
    for part in (steps[:cut], steps[cut:]):
        with opened(path, synchronous="OFF") as journal:
            for n, records_ in enumerate(part):
                journal.write(records_, n)
    with sqlite3.connect(path) as db:
        groups = [n for (n,) in db.execute("SELECT count(*) FROM event GROUP BY step ORDER BY step")]
    assert groups == [len(s) for s in steps if s]
    with opened(path) as journal:
        assert [records.encode(r) for r in journal.replay()] == [records.encode(r) for s in steps for r in s]
