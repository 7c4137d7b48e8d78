"""The kill switch and its undoing, as typed: with a run and without one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from enigma_core.home import Home
from enigma_core.reading import Reader

ENIGMA = [sys.executable, "-c", "from enigma_core.cli import main; main()"]


def enigma(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*ENIGMA, *args], capture_output=True, text=True, timeout=60, cwd=cwd, check=False)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    done = enigma("run", "--home", "home", "--no-services", "--speed", "0", "--for", "1", "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path / "home"


def state(home: Path) -> str:
    with Reader(home / "paper.sqlite") as reader:
        told = reader.status()
    return str(told["state"])


def test_a_folder_where_nothing_ran_is_refused_and_not_made(tmp_path: Path) -> None:
    done = enigma("close-all", "--home", "nowhere", cwd=tmp_path)
    assert done.returncode == 1
    assert "nothing has run in nowhere yet" in done.stderr
    assert not (tmp_path / "nowhere").exists()


def test_r08_without_a_run_the_next_one_is_halted_before_anything_else_until_it_is_reset(home: Path) -> None:
    done = enigma("close-all", "--home", str(home), "--json", cwd=home.parent)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["file"] == str(home / "HALT")
    told = enigma("status", "--home", str(home), cwd=home.parent).stdout
    assert "ACTIVE, but a file HALT lies here: the next run closes everything" in " ".join(told.split())
    again = enigma("run", "--home", str(home), "--no-services", "--speed", "0", "--for", "1", "--quiet", cwd=home.parent)
    assert again.returncode == 0, again.stderr
    assert state(home) == "HALTED"
    with Reader(home / "paper.sqlite") as reader:
        assert reader.status()["open_positions"] == 0
    assert enigma("reset", "halt", "--home", str(home), cwd=home.parent).returncode == 0
    assert state(home) == "ACTIVE"
    assert not (home / "HALT").exists()


def test_a_halt_laid_by_hand_where_nothing_ran_yet_can_be_taken_away(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "HALT").touch()
    assert enigma("reset", "halt", "--home", "home", cwd=tmp_path).returncode == 0
    assert not (tmp_path / "home" / "HALT").exists()


def test_the_breaker_is_reset_in_a_journal_that_nobody_holds(home: Path) -> None:
    assert enigma("reset", "breaker", "--home", str(home), cwd=home.parent).returncode == 0
    with Home.open(home), Reader(home / "paper.sqlite") as reader:
        assert reader.status()["losses_in_row"] == 0
