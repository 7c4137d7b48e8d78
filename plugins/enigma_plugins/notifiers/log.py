"""Notes as lines of the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.parts import Note, Notifier

LOGGER = "enigma.notes"


class Log(Notifier, frozen=True, kw_only=True):
    """Writes each note to the logger ``enigma.notes``, one line a note; the note itself is the record's attribute `note`."""

    name = "log"

    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="the level notes are logged at")] = "info"

    async def send(self, note: Note) -> None:
        logger, level = logging.getLogger(LOGGER), logging.getLevelNamesMapping()[self.level.upper()]
        if not logger.isEnabledFor(level):
            return
        text = f"{note.event}: {note.title}" + (f" - {note.text}" if note.text else "")
        line = "".join(c if c.isprintable() else " " for c in text)
        logger.log(level, "%s", line, extra={"note": note})


@hookimpl
def enigma_notifiers() -> Iterator[type[Notifier]]:
    yield Log
