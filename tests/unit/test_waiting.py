"""Alerts between acknowledgement and working: each once, none lost, whoever is cancelled and whatever fails."""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts import alert
from enigma_core.alert import Alert, AlertWorked
from enigma_core.database import connect
from enigma_core.errors import Busy, HomeError
from enigma_core.journal import Journal
from enigma_core.shells.waiting import Waiting, unworked

T = 1_741_219_200_000


class Slow:
    """A journal whose disk answers when the test says so."""

    backlog, short = 0, False

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.path = journal.path
        self.held: list[tuple[Any, int, Future[None]]] = []

    def write(self, step: Any, ts: int) -> Future[None]:
        written: Future[None] = Future()
        written.set_running_or_notify_cancel()
        self.held.append((step, ts, written))
        return written

    def answer(self, error: Exception | None = None) -> None:
        """The oldest step is on disk, or is not."""
        step, ts, written = self.held.pop(0)
        if error is not None:
            written.set_exception(error)
            return
        self.journal.write(step, ts).result()
        written.set_result(None)


@contextlib.contextmanager
def journal(folder: Path, **options: Any) -> Iterator[Journal]:
    with Journal.open(folder / "paper.sqlite", "paper", "given", "OFF", **options) as opened:
        yield opened


def told(waiting: Waiting) -> list[str]:
    """The ids to be worked, taken off."""
    found = []
    while (one := waiting.next()) is not None:
        found.append(one.id)
    return found


def on(folder: Path, work: Any, **options: Any) -> Any:
    """What `work(waiting, journal)` gives, on a real journal."""

    async def done() -> Any:
        with journal(folder) as opened:
            waiting = Waiting(opened, lambda: T, **options)
            try:
                return await work(waiting, opened)
            finally:
                await asyncio.sleep(0)
                waiting.close()

    return asyncio.run(done())


def test_i01_a_copy_is_a_duplicate_and_is_not_worked_again(tmp_path: Path) -> None:
    async def work(waiting: Waiting, _: Journal) -> None:
        assert await waiting.accept([alert("long")]) == ["accepted"]
        assert await waiting.accept([alert("long")]) == ["duplicate"]
        assert told(waiting) == ["A1"]
        assert await waiting.accept([alert("long")]) == ["duplicate"]
        assert told(waiting) == []

    on(tmp_path, work)


@settings(max_examples=25)
@given(copies=st.lists(st.integers(1, 6), min_size=1, max_size=12), seed=st.integers(0, 2**31))
def test_i01_copies_in_any_interleaving_give_exactly_one_each(copies: list[int], seed: int) -> None:
    rng = random.Random(seed)
    sent = [alert("long", id=f"A{n}-{copy}", key=f"k{n}", digest="d") for n, often in enumerate(copies) for copy in range(often)]
    rng.shuffle(sent)

    async def late(waiting: Waiting, one: Alert, turns: int) -> str:
        for _ in range(turns):
            await asyncio.sleep(0)
        (receipt,) = await waiting.accept([one])
        return receipt

    async def work(waiting: Waiting, opened: Journal) -> None:
        receipts = await asyncio.gather(*(late(waiting, one, rng.randrange(5)) for one in sent))
        assert receipts.count("accepted") == len(copies)
        assert receipts.count("duplicate") == len(sent) - len(copies)
        worked = told(waiting)
        assert sorted(w.split("-")[0] for w in worked) == sorted(f"A{n}" for n in range(len(copies)))
        opened.flush()
        assert sorted(a.id for a in unworked(opened.path)) == sorted(worked)

    with tempfile.TemporaryDirectory() as folder:
        on(Path(folder), work)


def test_i02_a_copy_that_comes_while_the_first_is_being_written_waits_for_the_disk_too(tmp_path: Path) -> None:
    async def work(waiting: Waiting, opened: Journal) -> None:
        slow = waiting._journal = Slow(opened)  # type: ignore[assignment]
        first = asyncio.create_task(waiting.accept([alert("long")]))
        second = asyncio.create_task(waiting.accept([alert("long")]))
        await asyncio.sleep(0.001)
        assert not first.done()
        assert not second.done()
        assert told(waiting) == []
        slow.answer()
        assert (await first, await second) == (["accepted"], ["duplicate"])
        assert told(waiting) == ["A1"]

    on(tmp_path, work)


@pytest.mark.parametrize(("seconds", "receipt"), [(26, "duplicate"), (59, "duplicate"), (60, "accepted"), (61, "accepted")])
@pytest.mark.parametrize("restarted", [False, True])
def test_i03_without_a_time_an_alert_is_known_for_60_seconds(tmp_path: Path, seconds: int, receipt: str, restarted: bool) -> None:
    first = alert("long", key="k", digest="d", window=60_000, received=T)
    again = msgspec.structs.replace(first, id="A2", received=T + seconds * 1000)

    async def once(waiting: Waiting, _: Journal) -> Any:
        return await waiting.accept([first])

    async def both(waiting: Waiting, _: Journal) -> Any:
        if not restarted:
            await waiting.accept([first])
        return await waiting.accept([again])

    if restarted:
        on(tmp_path, once)
    assert on(tmp_path, both) == [receipt]


def test_i03_a_wall_clock_that_goes_back_makes_no_copy_new(tmp_path: Path) -> None:
    async def work(waiting: Waiting, _: Journal) -> Any:
        await waiting.accept([alert("long", window=60_000, received=T)])
        return await waiting.accept([alert("long", window=60_000, received=T - 3_600_000)])

    assert on(tmp_path, work) == ["duplicate"]


def test_i04_an_explicit_id_with_another_content_is_a_conflict_and_nothing_of_the_message_is_worked(tmp_path: Path) -> None:
    async def work(waiting: Waiting, opened: Journal) -> None:
        first = alert("long", id="A1", key="k1", digest="one")
        await waiting.accept([msgspec.structs.replace(first, request=msgspec.structs.replace(first.request, key="theirs"))])
        other = alert("short", id="A1", key="k1", digest="two")
        other = msgspec.structs.replace(other, request=msgspec.structs.replace(other.request, key="theirs"))
        new = alert("long", id="A9", key="k9")
        assert await waiting.accept([new, other]) == ["conflict", "conflict"]
        assert told(waiting) == ["A1"]
        opened.flush()
        assert [a.id for a in unworked(opened.path)] == ["A1"]

    on(tmp_path, work)


def test_two_orders_of_one_message_are_written_together(tmp_path: Path) -> None:
    async def work(waiting: Waiting, opened: Journal) -> None:
        assert await waiting.accept([alert("close", id="A1"), alert("long", id="A2"), alert("long", id="A2")]) == [
            "accepted",
            "accepted",
            "duplicate",
        ]
        assert told(waiting) == ["A1", "A2"]
        opened.flush()
        with contextlib.closing(connect(opened.path)) as db:
            assert db.execute("SELECT count(DISTINCT step) FROM event WHERE kind = 'alert'").fetchone() == (1,)

    on(tmp_path, work)


@pytest.mark.parametrize("waits", ["first", "copy"])
def test_s12_a_sender_who_stops_waiting_changes_nothing(tmp_path: Path, waits: str) -> None:
    async def work(waiting: Waiting, opened: Journal) -> None:
        slow = waiting._journal = Slow(opened)  # type: ignore[assignment]
        first = asyncio.create_task(waiting.accept([alert("long")]))
        copy = asyncio.create_task(waiting.accept([alert("long")]))
        await asyncio.sleep(0.001)
        gone, stays = (first, copy) if waits == "copy" else (copy, first)
        gone.cancel()
        await asyncio.sleep(0)
        slow.answer()
        await stays
        assert gone.cancelled()
        assert told(waiting) == ["A1"]
        assert await waiting.accept([alert("long")]) == ["duplicate"]

    on(tmp_path, work)


def test_s11_s12_thousands_of_cancelled_senders_lose_and_double_nothing_and_the_writer_is_idle_after(tmp_path: Path) -> None:
    rng = random.Random(11)
    count = 3000

    async def work(waiting: Waiting, opened: Journal) -> None:
        tasks = []
        for n in range(count):
            one = alert("long", id=f"A{n}", key=f"k{n // 2}", digest="d")
            tasks.append(asyncio.create_task(waiting.accept([one])))
            if rng.random() < 0.5:
                rng.choice(tasks[-20:]).cancel()
            if rng.random() < 0.2:
                await asyncio.sleep(0)
        told_of = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [t for t in told_of if isinstance(t, BaseException) and not isinstance(t, asyncio.CancelledError)]
        await asyncio.to_thread(opened.flush)
        await asyncio.sleep(0.01)
        worked = told(waiting)
        keys = [int(w[1:]) // 2 for w in worked]
        assert len(set(keys)) == len(keys), "no key twice"
        assert sorted(worked) == sorted(a.id for a in unworked(opened.path)), "what is on disk is worked, and nothing else"
        known = {n // 2 for n, t in enumerate(told_of) if not isinstance(t, BaseException)}
        assert known <= set(keys), "whoever was answered is among them"
        assert not waiting._writing
        assert not opened._busy
        assert not opened._waiting

    on(tmp_path, work)


class Broken:
    """A connection that fails from the n-th row on."""

    def __init__(self, path: Path, room: int) -> None:
        self._db = connect(path)
        self._room = room

    def executemany(self, sql: str, rows: list[Any]) -> Any:
        self._room -= len(rows)
        if self._room < 0:
            raise OSError(28, "No space left on device")
        return self._db.executemany(sql, rows)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


def test_s07_what_cannot_be_written_is_refused_and_never_worked(tmp_path: Path) -> None:
    async def work() -> None:
        opened = Journal.open(tmp_path / "paper.sqlite", "paper", "given", "OFF", connect=lambda path: Broken(path, 3))  # type: ignore[arg-type,return-value]
        waiting = Waiting(opened, lambda: T)
        receipts = await asyncio.gather(*(waiting.accept([alert("long", id=f"A{n}")]) for n in range(3)))
        assert receipts == [["accepted"]] * 3
        for _ in range(2):
            # the second is no duplicate of what was never written
            with pytest.raises(HomeError, match="No space left"):
                await waiting.accept([alert("long", id="A3")])
        assert told(waiting) == ["A0", "A1", "A2"]
        assert not waiting._writing
        waiting.close()
        with pytest.raises(HomeError):
            opened.close()

    asyncio.run(work())
    assert [a.id for a in unworked(tmp_path / "paper.sqlite")] == ["A0", "A1", "A2"]


def test_s12_a_copy_under_way_hears_of_the_failure_too(tmp_path: Path) -> None:
    async def work(waiting: Waiting, opened: Journal) -> None:
        slow = waiting._journal = Slow(opened)  # type: ignore[assignment]
        tasks = [asyncio.create_task(waiting.accept([alert("long")])) for _ in range(3)]
        await asyncio.sleep(0.001)
        slow.answer(HomeError("the disk is gone"))
        for found in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(found, HomeError)
        assert told(waiting) == []

    on(tmp_path, work)


def test_i23_more_than_may_wait_is_refused_and_is_new_when_it_comes_again(tmp_path: Path) -> None:
    async def work(waiting: Waiting, _: Journal) -> None:
        await waiting.accept([alert("long", id="A1"), alert("long", id="A2")])
        with pytest.raises(Busy, match=r"2 alerts wait already, and 2 may"):
            await waiting.accept([alert("long", id="A3")])
        assert await waiting.accept([alert("long", id="A2")]) == ["duplicate"]
        assert waiting.next() is not None
        assert await waiting.accept([alert("long", id="A3")]) == ["accepted"]
        assert told(waiting) == ["A2", "A3"]

    on(tmp_path, work, capacity=2)


def test_i23_what_is_still_being_written_counts_as_waiting(tmp_path: Path) -> None:
    async def work(waiting: Waiting, opened: Journal) -> None:
        slow = waiting._journal = Slow(opened)  # type: ignore[assignment]
        tasks = [asyncio.create_task(waiting.accept([alert("long", id=f"A{n}")])) for n in range(2)]
        await asyncio.sleep(0.001)
        with pytest.raises(Busy):
            await waiting.accept([alert("long", id="A3")])
        for _ in tasks:
            slow.answer()
        await asyncio.gather(*tasks)

    on(tmp_path, work, capacity=2)


@pytest.mark.parametrize("restarted", [False, True])
def test_i08_an_identity_beyond_those_remembered_is_found_in_the_journal(tmp_path: Path, restarted: bool) -> None:
    names = [f"A{n}" for n in range(20)]

    async def first(waiting: Waiting, _: Journal) -> None:
        for name in names:
            assert await waiting.accept([alert("long", id=name)]) == ["accepted"]
            assert len(waiting._seen) <= 4
        if not restarted:
            await second(waiting, _)

    async def second(waiting: Waiting, _: Journal) -> None:
        told(waiting)
        for name in names:
            assert await waiting.accept([alert("long", id=name)]) == ["duplicate"]
        assert told(waiting) == []

    on(tmp_path, first, remembered=3)
    if restarted:
        on(tmp_path, second, remembered=3)


def test_i08_a_thousand_messages_of_yesterday_are_duplicates_after_a_restart(tmp_path: Path) -> None:
    sent = [alert("long", id=f"A{n}", received=T) for n in range(1000)]

    async def first(waiting: Waiting, _: Journal) -> None:
        for at in range(0, 1000, 100):
            await waiting.accept(sent[at : at + 100])

    async def again(waiting: Waiting, _: Journal) -> None:
        late = [msgspec.structs.replace(a, received=T + 86_400_000) for a in sent]
        assert set(await waiting.accept(late)) == {"duplicate"}

    on(tmp_path, first)
    on(tmp_path, again)


def test_what_was_not_worked_is_found_again_exits_first_but_none_before_the_entry_it_was_meant_for(tmp_path: Path) -> None:
    words = [("long", "BTC"), ("close", "SOL"), ("short", "XRP"), ("close", "BTC"), ("reduce", "ETH"), ("long", "ETH")]

    async def work(waiting: Waiting, opened: Journal) -> None:
        for n, (word, base) in enumerate(words):
            await waiting.accept([alert(word, id=f"{n} {word}", symbol=f"{base}/USDT:USDT")])
        done = AlertWorked(ts=T, id="1 close", source="s", symbol="", outcome="closed", reason="")
        opened.write([done], T).result()

    on(tmp_path, work)
    found = [a.id for a in unworked(tmp_path / "paper.sqlite")]
    assert found == ["4 reduce", "5 long", "0 long", "2 short", "3 close"]


def test_an_alert_is_never_written_as_worked_twice(tmp_path: Path) -> None:
    done = AlertWorked(ts=T, id="A1", source="s", symbol="", outcome="closed", reason="")

    async def work(waiting: Waiting, opened: Journal) -> None:
        await waiting.accept([alert("long")])
        opened.write([done], T).result()
        with pytest.raises(Exception, match="written before with other content"):
            opened.write([msgspec.structs.replace(done, outcome="entered")], T).result()

    with pytest.raises(HomeError):
        on(tmp_path, work)
