"""Notes in the log."""

from __future__ import annotations

import asyncio
import logging

import msgspec
import pytest

from enigma_core.parts import Note
from enigma_plugins.notifiers.log import Log


def test_note_becomes_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    note = Note(1, "closed", "BTC long closed", "net 28.542\nat 51,250")
    with caplog.at_level(logging.INFO, "enigma.notes"):
        asyncio.run(Log().send(note))
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("enigma.notes", "INFO")
    assert record.getMessage() == "closed: BTC long closed - net 28.542 at 51,250"
    assert record.note is note  # type: ignore[attr-defined]


def test_percent_signs_are_only_text(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "enigma.notes"):
        asyncio.run(Log().send(Note(1, "halted", "drawdown 3 %s %d")))
    assert caplog.records[0].getMessage() == "halted: drawdown 3 %s %d"


def test_level_is_a_setting(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "enigma.notes"):
        asyncio.run(msgspec.convert({"level": "warning"}, Log).send(Note(1, "halted", "by hand")))
    assert caplog.records[0].levelname == "WARNING"
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"level": "loud"}, Log)
