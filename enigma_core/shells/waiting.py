"""Alerts between their acknowledgement and their working: written down first, each worked once.

What makes this safe is in the order: an alert's identity is looked up and reserved, the alert is committed to the journal, and
only then its sender is answered and the engine may have it. Whoever is cancelled while he waits changes nothing about that.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

from enigma_core import database
from enigma_core.alert import Alert, Receipt
from enigma_core.chance import maybe
from enigma_core.errors import Busy, EnigmaError, HomeError
from enigma_core.journal import SHORT, Journal

CAPACITY = 10_000
"""Alerts that may wait for the engine."""

BACKLOG = 2_048
"""Steps that may wait for the disk while alerts are still accepted: the journal itself makes whoever comes wait at twice as many,
and that would hold up everything."""

REMEMBERED = 100_000
"""Newest identities kept in memory; older ones are looked up in the journal."""


class Writing:
    """Alerts on their way to the disk, and everybody who waits for them to be there: each by a future of his own, so that one
    who gives up takes nothing from the others."""

    __slots__ = ("alerts", "done", "waiters")

    def __init__(self, alerts: list[Alert]) -> None:
        self.alerts = alerts
        self.waiters: list[asyncio.Future[None]] = []
        self.done: Future[None] | None = None
        """The journal's answer, once it is there."""

    def settle(self, error: BaseException | None) -> None:
        for waiter in self.waiters:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error if isinstance(error, EnigmaError) else HomeError(str(error)))


class Seen(NamedTuple):
    """An identity that was accepted: when (wall, ms), with which content, and the writing that is still under way."""

    received: int
    digest: str
    writing: Writing | None


class Waiting:
    """The alerts of one run that are not worked yet, and the identities of all that ever came.

    `moment` gives the time (ms) of the journal's step that an alert is written with.
    """

    def __init__(self, journal: Journal, moment: Callable[[], int], capacity: int = CAPACITY, remembered: int = REMEMBERED) -> None:
        self.alerts: deque[Alert] = deque()
        self.ready = asyncio.Event()
        """Set while something waits to be worked."""
        self.held: deque[Alert] = deque()
        """Those that have had their turn and wait until the account is known again, oldest first."""
        self._journal = journal
        self._moment = moment
        self._capacity = capacity
        self._remembered = remembered
        self._writing = 0
        self._finished: deque[tuple[Writing, Future[None]]] = deque()
        self._called = False
        """The loop has been told that something is finished."""
        self._seen: OrderedDict[str, Seen] = OrderedDict()
        self._db = database.connect_for_reading(journal.path)
        self._known = 0
        """Identities in the journal that memory does not hold, if any."""
        self._recall()

    def __len__(self) -> int:
        return len(self.alerts) + len(self.held) + self._writing

    def add(self, alert: Alert) -> None:
        """An alert that is written down is to be worked."""
        self.alerts.append(alert)
        self.ready.set()

    def next(self) -> Alert | None:
        """The alert that has waited longest."""
        if not self.alerts:
            self.ready.clear()
            return None
        first = self.alerts[0].request.symbol
        if len(self.alerts) > 1 and first != self.alerts[1].request.symbol and maybe("alerts: one of another symbol goes first"):
            # only those of one symbol have an order
            self.alerts.rotate(-1)
            second = self.alerts.popleft()
            self.alerts.rotate(1)
            return second
        return self.alerts.popleft()

    def release(self) -> None:
        """Those that were held have their turn, before all that came after them."""
        self.alerts.extendleft(reversed(self.held))
        self.held.clear()
        self.ready.set()

    def drop(self, which: Callable[[Alert], bool]) -> list[Alert]:
        """Those held that are `which`, oldest first: they are held no longer."""
        gone = [alert for alert in self.held if which(alert)]
        self.held = deque(alert for alert in self.held if not which(alert))
        return gone

    async def accept(self, alerts: Sequence[Alert]) -> list[Receipt]:
        """See `enigma_core.parts.Desk.accept`."""
        receipts: list[Receipt] = []
        new: list[Alert] = []
        under_way: list[Writing] = []
        fresh: dict[str, Seen] = {}
        for alert in alerts:
            known = fresh.get(alert.key) or self._look_up(alert.key)
            if known is None or (alert.window is not None and alert.received - known.received >= alert.window):
                receipts.append("accepted")
                new.append(alert)
                fresh[alert.key] = Seen(alert.received, alert.digest, None)
                continue
            same = known.digest == alert.digest or not alert.request.key
            receipts.append("duplicate" if same else "conflict")
            if known.writing is not None:
                under_way.append(known.writing)
        # of one message all or nothing is accepted
        if "conflict" in receipts:
            return ["conflict" if r == "accepted" else r for r in receipts]
        if new:
            under_way.append(self._write(new))
        loop = asyncio.get_running_loop()
        for writing in under_way:
            if writing.done is None:
                waiter = loop.create_future()
                writing.waiters.append(waiter)
                await waiter
            elif (error := writing.done.exception()) is not None:
                raise HomeError(str(error)) from error
        return receipts

    def _write(self, new: list[Alert]) -> Writing:
        full = maybe("alerts: the queue is full")
        if full or len(self) + len(new) > self._capacity or self._journal.backlog >= BACKLOG:
            raise Busy(f"{len(self)} alerts wait already, and {self._capacity} may: send it again in a few seconds")
        if self._journal.short and not all(alert.request.reduces for alert in new):
            raise HomeError(SHORT)
        loop = asyncio.get_running_loop()
        writing = Writing(new)
        done = self._journal.write(new, self._moment())
        self._writing += len(new)
        for alert in new:
            self._remember(alert.key, Seen(alert.received, alert.digest, writing))

        def finished(answer: Future[None]) -> None:
            # in the writer's thread, for each step of a commit: the loop is woken once for all that it finds there then
            self._finished.append((writing, answer))
            if not self._called:
                self._called = True
                loop.call_soon_threadsafe(self._collect)

        done.add_done_callback(finished)
        return writing

    def _collect(self) -> None:
        """Take in what has been written since the last time."""
        self._called = False
        while self._finished:
            writing, done = self._finished.popleft()
            writing.done = done
            error = done.exception()
            self._writing -= len(writing.alerts)
            for alert in writing.alerts:
                if error is not None:
                    self._seen.pop(alert.key, None)
                else:
                    self._seen[alert.key] = Seen(alert.received, alert.digest, None)
                    self.add(alert)
            writing.settle(error)

    def _remember(self, key: str, seen: Seen) -> None:
        self._seen[key] = seen
        self._seen.move_to_end(key)
        while len(self._seen) > self._remembered:
            oldest, dropped = self._seen.popitem(last=False)
            if dropped.writing is not None:
                self._seen[oldest] = dropped
                break
            self._known += 1

    def _recall(self) -> None:
        newest = "SELECT key, received, digest FROM alert WHERE key <> '' ORDER BY seq DESC LIMIT ?"
        few = maybe("alerts: few identities are remembered")
        rows = self._db.execute(newest, (1 if few else self._remembered,))
        for key, received, digest in reversed(rows.fetchall()):
            self._seen[key] = Seen(received, digest, None)
            self._seen.move_to_end(key)
        (self._known,) = self._db.execute("SELECT count(*) FROM alert WHERE key <> ''").fetchone()
        self._known -= len(self._seen)

    def _look_up(self, key: str) -> Seen | None:
        seen = self._seen.get(key)
        forgotten = seen is not None and seen.writing is None and maybe("alerts: an identity is looked up on disk")
        if not forgotten and (seen is not None or not self._known):
            return seen
        try:
            row = self._db.execute(
                "SELECT received, digest FROM alert WHERE key = ? ORDER BY received DESC LIMIT 1", (key,)
            ).fetchone()
        except sqlite3.Error as error:
            raise HomeError(f"{self._journal.path} cannot be read ({error}): no alert is accepted") from error
        return Seen(row[0], row[1], None) if row else None

    def close(self) -> None:
        """Nothing more is looked up."""
        self._db.close()


def unworked(path: Path) -> list[Alert]:
    """The alerts in the journal at `path` that were acknowledged and never worked, those of one symbol in the order they came.

    Symbols whose first only reduces come first. No exit overtakes an entry that it was meant for.
    """
    from enigma_core.reading import Reader

    with Reader(path) as reader:
        waiting = reader.waiting_alerts()
    exits: dict[str, bool] = {}
    for alert in waiting:
        exits.setdefault(alert.request.symbol, alert.request.reduces)
    return sorted(waiting, key=lambda alert: not exits[alert.request.symbol])
