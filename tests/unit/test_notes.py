"""Telling people beside trading: what comes together goes together, nothing is lost in silence, nothing is waited for."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enigma_core.parts import Note, Notifier
from enigma_core.shells.courier import QUEUE, Courier
from enigma_core.shells.mailbox import CRITICAL, EVENTS, ROUNDS, Mailbox
from enigma_core.shells.notes import Notes


class JumpingLoop(asyncio.SelectorEventLoop):
    """Time stands still while there is work, and jumps to the next timer when there is none."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False
            self._timer_cancelled_count -= 1  # type: ignore[attr-defined]
        if not ready and scheduled:
            self._now = max(self._now, scheduled[0]._when)
        super()._run_once()  # type: ignore[misc]


def jumping(work: Awaitable[Any]) -> Any:
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(_awaited(work))


async def _awaited(work: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(work, 1e6)


Sent = tuple[float, list[Note], dict[str, int]]


class Together:
    """A channel that keeps what it is sent; `faults` are raised, one a try."""

    def __init__(self, group: float = 5.0, limit: int = 10, batch: int = 256, faults: Sequence[Any] = ()) -> None:
        self.group, self.limit, self.batch = group, limit, batch
        self.sent: list[Sent] = []
        self.tries: list[float] = []
        self._faults = list(faults)

    def wants(self, event: str) -> bool:
        return event != "unwanted"

    async def send_all(self, notes: Sequence[Note], missed: Mapping[str, int]) -> None:
        now = asyncio.get_running_loop().time()
        self.tries.append(now)
        fault = self._faults.pop(0) if self._faults else None
        if callable(fault) and not isinstance(fault, type):
            await fault()
        elif fault is not None:
            raise fault
        self.sent.append((now, list(notes), dict(missed)))

    @property
    def events(self) -> Counter[str]:
        """Everything that was told of, one way or the other."""
        told: Counter[str] = Counter()
        for _, notes, missed in self.sent:
            told.update(n.event for n in notes)
            told.update(missed)
        return told


class Post(Notifier, frozen=True, kw_only=True):
    """Channels of a test."""

    name = "post"

    ways: dict[str, Any]

    def channels(self) -> Mapping[str, Any]:
        return self.ways


class Plain(Notifier, frozen=True, kw_only=True):
    """A notifier as plugins write it."""

    name = "plain"

    do: Callable[[Note], Awaitable[None]]

    async def send(self, note: Note) -> None:
        await self.do(note)


def note(event: str = "entry", number: int = 0) -> Note:
    return Note(number, event, f"{event} {number}")


async def told(channel: Together, steps: Sequence[tuple[float, str]], until: float = 600.0) -> Together:
    """Each event at its time, then what waits until `until`, then the end."""
    loop = asyncio.get_running_loop()
    notes = Notes({"post": Post(ways={"way": channel})})
    for number, (at, event) in enumerate(steps):
        await asyncio.sleep(at - loop.time())
        notes.tell(note(event, number))
    await asyncio.sleep(until - loop.time())
    await notes.close()
    return channel


def test_notes_that_come_together_go_together() -> None:
    channel = jumping(told(Together(), [(0, "entry"), (1, "exit"), (4.9, "entry"), (9, "exit")]))
    assert [(at, [n.ts for n in notes]) for at, notes, _ in channel.sent] == [(5, [0, 1, 2]), (14, [3])]


def test_critical_note_goes_at_once_and_takes_what_waits_along() -> None:
    channel = jumping(told(Together(), [(0, "entry"), (1, "halted")]))
    assert [(at, [n.event for n in notes]) for at, notes, _ in channel.sent] == [(1, ["entry", "halted"])]


@pytest.mark.parametrize("event", sorted(CRITICAL))
def test_critical_notes_go_while_ordinary_ones_have_used_up_the_minute(event: str) -> None:
    steps = [(6.0 * i, "entry") for i in range(9)] + [(54.5, event)]
    channel = jumping(told(Together(limit=10), steps))
    assert next(at for at, notes, _ in channel.sent if any(n.event == event for n in notes)) == 54.5


def test_unwanted_events_are_not_sent() -> None:
    assert jumping(told(Together(), [(0, "unwanted"), (1, "entry")])).events == {"entry": 1}


@given(st.lists(st.tuples(st.floats(0, 8), st.sampled_from(["entry", "exit", "halted", "day"])), max_size=120), st.integers(1, 12))
def test_never_more_messages_in_a_minute_than_the_limit_and_nothing_lost(gaps: list[tuple[float, str]], limit: int) -> None:
    at, steps = 0.0, []
    for gap, event in gaps:
        at += gap
        steps.append((at, event))
    channel = jumping(told(Together(limit=limit), steps, until=at + 300))
    times = [moment for moment, _, _ in channel.sent]
    assert all(late - early >= 60 - 1e-6 for early, late in zip(times, times[limit:], strict=False))
    assert channel.events == Counter(event for _, event in steps)


def test_forty_notes_a_minute_are_few_messages_and_none_is_lost() -> None:
    steps = [(1.5 * i, "entry" if i % 2 else "exit") for i in range(200)]
    channel = jumping(told(Together(), steps))
    assert len(channel.sent) <= 60
    assert channel.events == {"entry": 100, "exit": 100}


def test_failed_message_is_sent_again_with_growing_pauses() -> None:
    channel = jumping(told(Together(faults=[OSError("gone"), OSError("gone")]), [(0, "entry")]))
    assert channel.tries == [5, 6, 10]
    assert [[n.ts for n in notes] for _, notes, _ in channel.sent] == [[0]]


def test_p16_message_that_fails_three_times_is_a_log_line_and_counted_in_the_next(caplog: pytest.LogCaptureFixture) -> None:
    faults = [OSError("the line is dead")] * 3
    channel = jumping(told(Together(faults=faults), [(0, "entry"), (0, "exit"), (80, "exit")]))
    assert [record.getMessage() for record in caplog.records] == [
        "notifier post: way could not send 2 notes (entry, exit): the line is dead"
    ]
    assert channel.sent[0][1:] == ([], {"entry": 1, "exit": 1})
    assert channel.events == {"entry": 1, "exit": 2}


def test_p16_critical_note_outlives_an_outage_of_hours() -> None:
    faults = [OSError("gone")] * 40
    channel = jumping(told(Together(faults=faults), [(0, "halted"), (1, "entry")], until=6 * 3600.0))
    assert [[n.event for n in notes] for _, notes, _ in channel.sent] == [["halted"]]
    assert channel.events == {"halted": 1, "entry": 1}
    assert len(channel.tries) == 41


def test_critical_note_that_no_channel_takes_does_not_hold_up_the_others() -> None:
    taken: list[str] = []

    async def do(given: Note) -> None:
        if given.event == "halted":
            raise ValueError("this one is poison")
        taken.append(given.event)

    async def work() -> None:
        notes = Notes({"plain": Plain(do=do)})
        notes.tell(note("halted"))
        for number in range(3):
            notes.tell(note("entry", number))
        await asyncio.sleep(1200)
        await notes.close()

    jumping(work())
    assert taken.count("entry") == 3


def test_notes_that_have_gone_out_are_not_sent_again_with_those_that_have_not() -> None:
    tried: list[tuple[str, int]] = []

    async def do(given: Note) -> None:
        tried.append((given.event, given.ts))
        if given.event == "exit":
            raise ValueError("not this one")

    async def work() -> None:
        notes = Notes({"plain": Plain(do=do)})
        for number, event in enumerate(["entry", "exit", "entry", "exit", "entry"]):
            notes.tell(note(event, number))
        await asyncio.sleep(50)
        await notes.close()

    jumping(work())
    assert Counter(n for n in tried if n[0] != "digest") == {
        ("entry", 0): 1,
        ("entry", 2): 1,
        ("entry", 4): 1,
        ("exit", 1): 3,
        ("exit", 3): 3,
    }


def test_p16_note_that_hangs_does_not_have_those_before_it_sent_again() -> None:
    tried: list[int] = []

    async def do(given: Note) -> None:
        tried.append(given.ts)
        if given.ts == 2:
            await _deaf()

    async def work() -> None:
        notes = Notes({"plain": Plain(do=do)})
        for number in range(5):
            notes.tell(note("entry", number))
        await asyncio.sleep(250)
        await notes.close()
        await asyncio.sleep(6e5)

    jumping(work())
    assert tried == [0, 1, 2, 2, 2]


def test_fresh_critical_note_does_not_wait_for_a_channel_to_rest() -> None:
    channel = jumping(told(Together(group=0, faults=[OSError("gone")] * 3), [(0, "entry"), (20, "halted")]))
    assert [(at, [n.event for n in notes], missed) for at, notes, missed in channel.sent] == [(20, ["halted"], {"entry": 1})]


def test_critical_notes_survive_a_full_queue(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> Together:
        channel = Together(group=100)
        courier = Courier("post", channel)
        for number in range(5):
            courier.tell(note("entry", number))
        for number in range(QUEUE):
            courier.tell(note("journal" if number % 2 else "exit", number))
        courier.tell(note("halted"))
        courier.close()
        await courier.work()
        return channel

    channel = jumping(work())
    ((_, notes, missed),) = channel.sent
    assert len(notes) == QUEUE
    assert Counter(n.event for n in notes) == {"journal": QUEUE // 2, "exit": QUEUE // 2 - 1, "halted": 1}
    assert missed == {"entry": 5, "exit": 1}
    assert len(caplog.records) == 1, "one line, however many give way"


Moves = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(["entry", "exit", "halted", "journal", *(f"own{i}" for i in range(60))])),
        st.tuples(st.just("take"), st.integers(1, 12)),
        st.tuples(st.just("fail"), st.integers(1, 12)),
    ),
    max_size=200,
)


@given(Moves, st.integers(1, 8))
def test_p16_mailbox_is_bounded_and_its_counts_are_complete(moves: list[tuple[str, Any]], bound: int) -> None:
    mailbox, put, out = Mailbox(bound), 0, 0
    for move, given_ in moves:
        if move == "put":
            ordinary = len(mailbox) - mailbox.critical
            critical = mailbox.critical
            mailbox.put(note(given_))
            put += 1
            if ordinary:
                assert mailbox.critical >= critical
        else:
            letters, missed = mailbox.take(given_)
            if move == "fail":
                mailbox.give_back(letters, missed)
            else:
                out += len(letters) + missed.total()
        assert len(mailbox) <= bound
        assert 0 <= mailbox.critical <= len(mailbox)
        assert len(mailbox.missed) <= EVENTS + 1
        assert put == out + len(mailbox) + mailbox.missed.total()


def test_note_of_any_length_is_kept_short() -> None:
    mailbox = Mailbox(1)
    mailbox.put(Note(0, "e" * 10**6, "t" * 10**6, "x" * 10**6))
    ((letter,), _) = mailbox.take(1)
    assert sum(map(len, (letter.note.event, letter.note.title, letter.note.text))) <= 6_000


def test_critical_note_is_not_tried_for_ever() -> None:
    mailbox = Mailbox(5)
    mailbox.put(note("halted"))
    for _ in range(ROUNDS + 1):
        mailbox.give_back(*mailbox.take(5))
    assert (len(mailbox), mailbox.missed) == (0, {"halted": 1})


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


async def _for_ever() -> None:
    await asyncio.Event().wait()


async def _deaf() -> None:
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            if asyncio.get_running_loop().time() > 5e5:
                raise


FAULTS = st.sampled_from(
    [None, OSError("gone"), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), Unspeakable(), GeneratorExit(), _for_ever]
)


@given(st.lists(FAULTS, max_size=30), st.lists(st.sampled_from(["entry", "halted", "unwanted"]), max_size=30))
def test_p16_whatever_a_channel_does_nothing_is_raised_and_the_end_comes_in_time(faults: list[Any], events: list[str]) -> None:
    async def work() -> float:
        loop = asyncio.get_running_loop()
        notes = Notes({"post": Post(ways={"way": Together(faults=faults), "other": Together(batch=1, faults=faults)})})
        for number, event in enumerate(events):
            notes.tell(note(event, number))
            await asyncio.sleep(3)
        before = loop.time()
        await notes.close(2.0)
        return loop.time() - before

    logging.disable(logging.CRITICAL)
    try:
        assert jumping(work()) <= 2.2
    finally:
        logging.disable(logging.NOTSET)


def test_p16_channels_that_cannot_be_had_or_asked_cost_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Together):
        def wants(self, event: str) -> bool:
            raise ZeroDivisionError("cannot say")

    class Unopened(Post, frozen=True, kw_only=True):
        def channels(self) -> Mapping[str, Any]:
            raise ValueError("no way")

    async def work() -> Together:
        sound = Together(group=0)
        notes = Notes({"a": Unopened(ways={}), "b": Post(ways={"x": Broken()}), "c": Post(ways={"y": sound})})
        notes.tell(note())
        await asyncio.sleep(1)
        await notes.close()
        return sound

    assert jumping(work()).events == {"entry": 1}
    assert [record.getMessage() for record in caplog.records] == [
        "notifier a cannot be used: no way",
        "notifier b: x cannot take a note: cannot say",
    ]


def test_p16_deaf_notifier_is_left_alone_after_a_few_messages() -> None:
    begun = 0

    async def do(_: Note) -> None:
        nonlocal begun
        begun += 1
        await _deaf()

    async def work() -> None:
        notes = Notes({"plain": Plain(do=do)})
        for number in range(QUEUE):
            notes.tell(note("halted", number))
        await asyncio.sleep(20_000)
        await notes.close()
        # what hangs ends only so that the test can
        await asyncio.sleep(6e5)

    logging.disable(logging.CRITICAL)
    try:
        jumping(work())
    finally:
        logging.disable(logging.NOTSET)
    assert begun == 3


def test_end_sends_what_waits_in_one_message_without_waiting_for_the_group() -> None:
    async def work() -> tuple[Together, float]:
        channel = Together(group=30)
        notes = Notes({"post": Post(ways={"way": channel})})
        for number in range(7):
            notes.tell(note("exit", number))
        await notes.close()
        return channel, asyncio.get_running_loop().time()

    channel, now = jumping(work())
    assert [len(notes) for _, notes, _ in channel.sent] == [7]
    assert now == 0


def test_end_tells_how_many_notes_were_not_sent(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        notes = Notes({"post": Post(ways={"way": Together(faults=[_for_ever])})})
        for number in range(7):
            notes.tell(note("exit", number))
        await notes.close()

    jumping(work())
    assert [r.getMessage() for r in caplog.records] == ["notifier post: way: 7 notes were not sent before the end"]


def test_plain_notifier_is_told_one_note_after_another_at_once() -> None:
    seen: list[tuple[float, str]] = []

    async def do(given: Note) -> None:
        seen.append((asyncio.get_running_loop().time(), given.title))

    async def work() -> None:
        notes = Notes({"plain": Plain(do=do)})
        notes.tell(note("entry", 1))
        notes.tell(note("exit", 2))
        await asyncio.sleep(1)
        await notes.close()

    jumping(work())
    assert seen == [(0, "entry 1"), (0, "exit 2")]


def test_plain_notifier_is_told_of_what_it_missed() -> None:
    seen: list[Note] = []
    broken = True

    async def do(given: Note) -> None:
        if broken:
            raise OSError("gone")
        seen.append(given)

    async def work() -> None:
        nonlocal broken
        notes = Notes({"plain": Plain(do=do)})
        notes.tell(note("entry", 1))
        await asyncio.sleep(30)
        broken = False
        notes.tell(note("exit", 2))
        await asyncio.sleep(100)
        await notes.close()

    jumping(work())
    assert seen == [Note(2, "digest", "1 notes could not be sent", "1 entry"), note("exit", 2)]


def test_p16_dead_channel_does_not_hold_up_another() -> None:
    async def work() -> Together:
        sound = Together(group=0)
        notes = Notes({"post": Post(ways={"dead": Together(group=0, faults=[_for_ever] * 9), "sound": sound})})
        notes.tell(note())
        await asyncio.sleep(1)
        await notes.close(0)
        return sound

    assert [at for at, _, _ in jumping(work()).sent] == [0]


def test_i30_names_of_events_cannot_break_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    channel = Together(group=0, faults=[OSError("two\nlines")] * 3)
    jumping(told(channel, [(0, "own\nERROR forged: line")], until=20))
    assert [record.getMessage() for record in caplog.records] == [
        "notifier post: way could not send 1 notes (own ERROR forged: line): two lines"
    ]
