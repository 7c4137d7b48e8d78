"""A run is told by files: halted before anything else, for as long as the file lies there, and each command is taken once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from enigma_core.errors import HomeError
from enigma_core.model import CloseWanted, StateSet, StreakReset
from enigma_core.shells.control import FOLDER, HALT, Wanted, ask, asked, halt, halted_by, lift, look


class Run:
    """Obeys, and remembers what it was told."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.told: list[Any] = []
        self.flattening = False

    def look(self) -> list[Any]:
        """What it is told at this look."""
        before = len(self.told)
        look(self.home, self.tell, lambda: 7, lambda: self.flattening)
        return self.told[before:]

    def tell(self, command: Any) -> None:
        self.told.append(command)
        if isinstance(command, StateSet):
            self.flattening = command.state != "ACTIVE" and (self.flattening or command.flatten)


def test_r08_the_file_halts_once_and_for_as_long_as_it_lies_there(tmp_path: Path) -> None:
    run = Run(tmp_path)
    halt(tmp_path, "enough")
    assert run.look() == [StateSet(ts=7, state="HALTED", reason="enough", flatten=True)]
    assert run.look() == []
    # whoever lets it go on without taking the file away does not get far
    run.flattening = False
    assert run.look() == [StateSet(ts=7, state="HALTED", reason="enough", flatten=True)]


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe\x00", b"x" * 10_000])
def test_r08_whatever_stands_in_the_file_it_halts(tmp_path: Path, content: bytes) -> None:
    (tmp_path / HALT).write_bytes(content)
    (found,) = Run(tmp_path).look()
    assert found.flatten
    assert found.reason
    assert found.reason.isprintable()
    assert len(found.reason) <= 200


def test_r08_a_folder_of_that_name_halts_as_well(tmp_path: Path) -> None:
    (tmp_path / HALT).mkdir()
    assert Run(tmp_path).look()[0].flatten


@pytest.mark.parametrize(
    ("wanted", "command"),
    [
        (Wanted(command="reset_breaker", reason="r"), StreakReset(ts=7, reason="r")),
        (Wanted(command="reduce_only", reason="r"), StateSet(ts=7, state="REDUCE_ONLY", reason="r")),
        (Wanted(command="close", reason="r", symbol="A"), CloseWanted(ts=7, symbol="A", reason="r")),
        (Wanted(command="resume", reason="r"), StateSet(ts=7, state="ACTIVE", reason="r")),
    ],
    ids=lambda value: getattr(value, "command", ""),
)
def test_a_command_is_taken_once(tmp_path: Path, wanted: Wanted, command: Any) -> None:
    run = Run(tmp_path)
    ask(tmp_path, wanted)
    assert run.look() == [command]
    assert run.look() == []


def test_commands_are_taken_in_the_order_they_were_given(tmp_path: Path) -> None:
    for n in range(30):
        ask(tmp_path, Wanted(command="close", symbol=str(n)))
    assert [c.symbol for c in Run(tmp_path).look()] == [str(n) for n in range(30)]


def test_what_is_no_command_is_taken_away_and_harms_nothing(tmp_path: Path) -> None:
    ask(tmp_path, Wanted(command="resume"))
    for n, text in enumerate(["", "{", "[]", '{"command":"explode"}', '{"command":"resume","more":1}', "x" * 100_000]):
        (tmp_path / FOLDER / f"{n}.json").write_text(text)
    texts = [wanted for _, wanted in asked(tmp_path) if isinstance(wanted, str)]
    assert len(texts) == 6
    assert all("is no command" in text for text in texts)
    assert len(Run(tmp_path).look()) == 1
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_a_half_written_command_is_not_taken(tmp_path: Path) -> None:
    path = ask(tmp_path, Wanted(command="resume"))
    path.rename(path.with_suffix(".part"))
    assert Run(tmp_path).look() == []


def test_resume_takes_the_file_away(tmp_path: Path) -> None:
    run = Run(tmp_path)
    halt(tmp_path, "enough")
    run.look()
    ask(tmp_path, Wanted(command="resume"))
    assert [c.state for c in run.look()] == ["ACTIVE"]
    assert halted_by(tmp_path) is None
    assert run.look() == []


@pytest.mark.parametrize("by", ["command", "hand"])
def test_r07_a_halt_that_comes_after_resume_was_asked_for_stays(tmp_path: Path, by: str) -> None:
    run = Run(tmp_path)
    ask(tmp_path, Wanted(command="resume"))
    if by == "command":
        halt(tmp_path, "enough")
    else:
        (tmp_path / HALT).touch()
        later = os.stat(tmp_path / HALT).st_mtime_ns + 50_000_000
        os.utime(tmp_path / HALT, ns=(later, later))
    assert [c.state for c in run.look()] == ["HALTED"]
    assert (tmp_path / HALT).exists()


def test_a_command_that_could_not_be_written_down_is_taken_again(tmp_path: Path) -> None:
    def fails(command: Any) -> None:
        raise HomeError("the disk is full")

    ask(tmp_path, Wanted(command="reset_breaker"))
    with pytest.raises(HomeError):
        look(tmp_path, fails, lambda: 7, lambda: False)
    assert len(Run(tmp_path).look()) == 1


def test_trading_does_not_go_on_while_the_file_cannot_be_taken_away(tmp_path: Path) -> None:
    run = Run(tmp_path)
    (tmp_path / HALT).mkdir()
    run.look()
    ask(tmp_path, Wanted(command="resume"))
    assert run.look() == []
    assert run.flattening
    with pytest.raises(HomeError, match=r"HALT cannot be taken away .*halted while it lies there"):
        lift(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeError, match="make that file by other means"):
        halt(tmp_path / "file", "enough")
    with pytest.raises(HomeError, match="cannot be written"):
        ask(tmp_path / "file", Wanted(command="resume"))
