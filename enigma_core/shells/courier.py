"""One channel's deliveries: together what comes together, no more messages than it bears, again what failed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections import Counter, deque
from typing import Protocol

from enigma_core.chance import maybe
from enigma_core.parts import Note, Notifier
from enigma_core.secrecy import redacted
from enigma_core.shells.mailbox import CRITICAL, Mailbox

LOG = logging.getLogger("enigma.notes")

QUEUE = 256
"""Notes that may wait for one channel."""

TRIES = 3
PAUSES = (1.0, 4.0)
"""Seconds between the tries of one message."""

REST, LONGEST_REST = 60.0, 960.0
"""Seconds a channel that failed is left alone, doubled each time; a new critical note does not wait for it."""

PATIENCE = 60.0
"""Seconds one try may take, whatever the channel's own limit."""

DEAD = 3
"""Notes in one go that a plain notifier may refuse before the others are not tried."""

STUCK = 3
"""Tries that may hang in one channel, deaf to their end, before no more are begun."""


class Channel(Protocol):
    """A way to people that takes several notes as one message.

    `group`: seconds within which notes are one message; `limit`: messages a minute, 0 for any number; `batch`: notes a message
    may carry. `send_all` raises where the message did not go out; `missed` counts notes by event that had to give way before.
    What went out all the same it takes off `notes` and `missed`: the rest is tried again.
    """

    @property
    def group(self) -> float: ...
    @property
    def limit(self) -> int: ...
    @property
    def batch(self) -> int: ...
    def wants(self, event: str) -> bool: ...
    async def send_all(self, notes: list[Note], missed: Counter[str]) -> None: ...


class One:
    """A notifier that takes its notes one by one, as soon as they come; what has heaped up meanwhile in one go."""

    group, limit, batch = 0.0, 0, 64

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier

    def wants(self, event: str) -> bool:
        return True

    async def send_all(self, notes: list[Note], missed: Counter[str]) -> None:
        if missed:
            counts = ", ".join(f"{count} {event}" for event, count in missed.items())
            ts = notes[0].ts if notes else 0
            await self._notifier.send(Note(ts, "digest", f"{missed.total()} notes could not be sent", counts))
            missed.clear()
        fault: BaseException | None = None
        refused = 0
        # one note may be what it cannot take; after a few it is the channel
        while refused < min(len(notes), DEAD):
            try:
                await self._notifier.send(notes[refused])
            except asyncio.CancelledError:
                raise
            except BaseException as error:  # noqa: BLE001 - whatever it is, the next note is another
                fault = error
                refused += 1
            else:
                del notes[refused]
        if fault is not None:
            raise fault


class Courier:
    """The mailbox of one channel, and the task that empties it. Time is the loop's."""

    def __init__(self, name: str, channel: Channel) -> None:
        self.name = name
        self._channel = channel
        self._mailbox = Mailbox(1 if maybe("notes: one note fills a mailbox") else QUEUE)
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._closing = False
        self._first = 0.0
        """When the oldest waiting note came, or will be tried again."""
        self._urgent = False
        """A critical note has come since the last message."""
        self._sent: deque[float] = deque(maxlen=max(channel.limit, 1))
        self._rest, self._rest_until = REST, -math.inf
        self._full = False
        self._underway: list[Note] = []
        self._stuck: set[asyncio.Task[str | None]] = set()

    def tell(self, note: Note) -> None:
        """Take a note in, at once."""
        if not self._channel.wants(note.event):
            return
        if not len(self._mailbox):
            self._first = self._loop.time()
        if not self._mailbox.put(note) and not self._full:
            self._full = True
            LOG.warning("notifier %s is behind by %d notes: the oldest give way and are counted", self.name, QUEUE)
        if note.event in CRITICAL:
            self._urgent = True
        self._news.set()

    def close(self) -> None:
        """From here on: one more try for what waits, then the end of `work`."""
        self._closing = True
        self._news.set()

    @property
    def unsent(self) -> int:
        """Notes that wait or are under way."""
        return len(self._mailbox) + len(self._underway) + self._mailbox.missed.total()

    async def work(self) -> None:
        """Deliver until `close`, and then what is left."""
        while await self._due():
            self._urgent = self._full = False
            letters, missed = self._mailbox.take(max(self._channel.batch, 1))
            self._underway = notes = [letter.note for letter in letters]
            self._first = self._loop.time()
            fault = await self._tried(notes, missed)
            if fault is None:
                self._rest, self._rest_until = REST, -math.inf
            else:
                left = {id(note) for note in notes}
                self._mailbox.give_back([letter for letter in letters if id(letter.note) in left], missed)
                self._rest_until = self._loop.time() + self._rest
                self._rest = min(2 * self._rest, LONGEST_REST)
                self._log_failure(notes, missed, fault)
            self._underway = []
            if fault is not None and self._closing:
                return

    def _log_failure(self, notes: list[Note], missed: Counter[str], fault: str) -> None:
        events = ", ".join(sorted({*(note.event[:40] for note in notes), *missed}))
        named = "".join(c if c.isprintable() else " " for c in events)
        LOG.warning("notifier %s could not send %d notes (%s): %s", self.name, len(notes) + missed.total(), named, fault)

    async def _due(self) -> bool:
        """Wait until a message is due: True; False at the end."""
        while True:
            if not len(self._mailbox) and not self._mailbox.missed:
                if self._closing:
                    return False
                await self._pause(None)
                continue
            wait = 0.0 if self._closing else self._when() - self._loop.time()
            if wait <= 0:
                return True
            await self._pause(wait)

    def _when(self) -> float:
        """When what waits may go out, in the loop's time."""
        critical = self._mailbox.critical
        when = -math.inf if critical else self._first + self._channel.group
        if not self._urgent:
            when = max(when, self._rest_until)
        if self._channel.limit > 0:
            # a part of the limit is kept for what is critical
            allowed = self._channel.limit if critical else max(self._channel.limit - self._channel.limit // 5, 1)
            if len(self._sent) >= allowed:
                when = max(when, self._sent[-allowed] + 60.0)
        return when

    async def _pause(self, seconds: float | None) -> None:
        """Until there is news, and no longer than `seconds`."""
        self._news.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), seconds)

    async def _tried(self, notes: list[Note], missed: Counter[str]) -> str | None:
        """None once the message went out, else why it did not."""
        fault: str | None = None
        for number in range(TRIES):
            if number:
                await self._until_closing(PAUSES[number - 1])
                if self._closing:
                    return fault
            self._sent.append(self._loop.time())
            if maybe("notes: a message goes out late"):
                await asyncio.sleep(1.0)
            fault = await self._attempt(notes, missed)
            if fault is None:
                return None
        return fault

    async def _until_closing(self, seconds: float) -> None:
        end = self._loop.time() + seconds
        while not self._closing and (left := end - self._loop.time()) > 0:
            await self._pause(left)

    async def _attempt(self, notes: list[Note], missed: Counter[str]) -> str | None:
        self._stuck = {task for task in self._stuck if not task.done()}
        if len(self._stuck) >= STUCK:
            return f"{STUCK} earlier messages are still on their way"
        # one that goes on although it was called off must not change what is tried next
        left, uncounted = list(notes), Counter(missed)
        task = asyncio.create_task(self._guarded(left, uncounted))
        try:
            done, _ = await asyncio.wait({task}, timeout=PATIENCE)
        except asyncio.CancelledError:
            task.cancel()
            raise
        notes[:] = left
        missed.clear()
        missed.update(uncounted)
        if not done:
            task.cancel()
            self._stuck.add(task)
            return f"it has not come to an end within {PATIENCE:.0f} s"
        return "it was called off" if task.cancelled() else task.result()

    async def _guarded(self, notes: list[Note], missed: Counter[str]) -> str | None:
        try:
            await self._channel.send_all(notes, missed)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - a channel's fault never matters to trading, sys.exit() included
            return fault_of(error)
        return None


def fault_of(error: BaseException) -> str:
    """What `error` says, on one line, without secrets. Never raises."""
    kind = type(error).__name__
    try:
        text = " ".join(redacted(str(error)).split())[:300]
    except BaseException:  # noqa: BLE001 - an error whose text cannot be had
        text = ""
    return text or kind
