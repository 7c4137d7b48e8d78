"""The real run is killed while it answers alerts, and goes on: a short version of `kills.py`."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from kills import Broken, Kills, Run, examine


def killed(home: Path, rounds: int, seed: int) -> Kills:
    try:
        kills = Kills(home, seed, speed=3000, connections=4, pause=0.02)
        for number in range(1, rounds + 1):
            kills.kill(number)
        kills.finish()
        return kills
    finally:
        for run in Run.begun:
            run.kill()


@pytest.fixture(scope="module")
def kills(tmp_path_factory: pytest.TempPathFactory) -> Kills:
    """Three lives under load, and a fourth that works what was left: every promise was checked after each."""
    return killed(tmp_path_factory.mktemp("kills") / "home", 3, 3)


@pytest.mark.timeout(240)
def test_s05_i02_p02_i01_s01_killed_under_load_nothing_is_lost_and_nothing_done_twice(kills: Kills) -> None:
    """Every answer is kept, a copy is a copy over a restart too, no alert is worked and nothing ordered twice, and whoever starts
    again holds what the journal says, stops and all."""
    assert kills.senders.answered > 20
    assert kills.senders.duplicates > 0
    assert kills.found.alerts > 10


def test_s05_the_check_itself_finds_an_alert_that_was_acknowledged_and_is_not_there(kills: Kills) -> None:
    kills.senders.accepted["never-1"] = "Anever"
    with pytest.raises(Broken, match="acknowledged and lost"):
        examine(kills.path, kills.senders)
    del kills.senders.accepted["never-1"]
    examine(kills.path, kills.senders)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_s05_killed_a_hundred_times_under_load(tmp_path: Path) -> None:
    seed = int(time.time())
    for part in range(5):
        killed(tmp_path / str(part), 20, seed + part)
