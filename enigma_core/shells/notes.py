"""Telling people, beside trading: bounded queues, and a dead channel costs a log line."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from enigma_core.model import DayOpened, Order, Purpose, StateSet, Trade
from enigma_core.parts import Note, Notifier

LOG = logging.getLogger("enigma.notes")

QUEUE = 256
"""Notes that may wait for one notifier."""


class Notes:
    """One task and one bounded queue a notifier."""

    def __init__(self, notifiers: Mapping[str, Notifier]) -> None:
        self._queues = {name: asyncio.Queue[Note](QUEUE) for name in notifiers}
        self._tasks = [asyncio.create_task(self._deliver(name, part)) for name, part in notifiers.items()]

    def tell(self, note: Note) -> None:
        """Hand over a note; one too many for a notifier is dropped, with a log line."""
        for name, queue in self._queues.items():
            try:
                queue.put_nowait(note)
            except asyncio.QueueFull:
                LOG.warning("notifier %s is behind by %d notes: %s is not sent", name, QUEUE, note.title)

    async def close(self, patience: float = 2.0) -> None:
        """Give what waits a moment to go out, then stop."""
        if self._queues:
            waiting = asyncio.gather(*(queue.join() for queue in self._queues.values()))
            await asyncio.wait([waiting], timeout=patience)
            waiting.cancel()
        for task in self._tasks:
            task.cancel()

    async def _deliver(self, name: str, notifier: Notifier) -> None:
        queue = self._queues[name]
        while True:
            note = await queue.get()
            try:
                await notifier.send(note)
            except Exception as error:  # noqa: BLE001 - a channel's fault never matters to trading
                LOG.warning("notifier %s could not send %r: %s", name, note.title, error)
            finally:
                queue.task_done()


def note_of(record: object) -> Note | None:
    """What a person would want to be told of `record`; None for the most."""
    match record:
        case Order(purpose=Purpose.ENTRY):
            side = "long" if record.side > 0 else "short"
            return Note(record.ts, "entry", f"{record.symbol} {side}", f"{record.quantity} contracts at {record.leverage}x")
        case Trade():
            return Note(record.exit_ts, "exit", f"{record.symbol} {record.side} closed", f"net {record.net} ({record.exit_reason})")
        case StateSet():
            return Note(record.ts, "state", f"trading is {record.state}", record.reason)
        case DayOpened(streak_cleared=True):
            return Note(record.ts, "day", "a new risk day: the circuit breaker is closed again", f"equity {record.equity}")
        case Note():
            return record
        case _:
            return None
