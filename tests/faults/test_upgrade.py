"""A journal that an earlier version wrote, with a position open: the next version goes on with it."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from enigma_core import config
from enigma_core.home import Home
from enigma_core.plugins import Catalogue
from enigma_core.reading import Reader
from enigma_core.shells import Summary, run
from enigma_core.shells.stream import RunStarted

JOURNALS = Path(__file__).parents[1] / "fixtures" / "journals"

SETTINGS = (
    "feed.count=1",
    "feed.speed=0",
    "services.*=false",
    "indicators.*=false",
    "indicators.macd.enabled=true",
    "indicators.atr.enabled=true",
    "microstructure.*=false",
    "gates.*=false",
    "gates.score.min=15",
    "gates.max_positions.max=5",
    "gates.cooldown.min=1800",
)
"""What the journals were written by."""


def restored(name: str, home: Path) -> Path:
    home.mkdir()
    path = home / "paper.sqlite"
    with sqlite3.connect(path) as db:
        db.executescript((JOURNALS / name).read_text())
    return path


class Standing:
    """A clock in which the next event never comes; `stop` ends the run once it waits for it."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop

    def now(self) -> int:
        return 0

    async def until(self, ts: int) -> None:
        self._stop.set()
        await asyncio.Event().wait()


def go_on(home: Path) -> tuple[Summary, list[object]]:
    """Take the account up, and end before the next bar."""
    seen: list[object] = []

    async def session() -> Summary:
        stop = asyncio.Event()
        with Home.open(home) as held:
            return await run(plan, held, stop=stop, observer=seen.append, clock=Standing(stop))

    plan = config.resolve(config.load(None, None, SETTINGS, flags={}), Catalogue.built_in())
    return asyncio.run(session()), seen


@pytest.mark.parametrize("name", sorted(path.name for path in JOURNALS.glob("*.sql")))
def test_p24_a_journal_of_an_earlier_version_goes_on_with_its_position_and_stop(name: str, tmp_path: Path) -> None:
    path = restored(name, tmp_path / "home")
    with Reader(path) as reader:
        before = reader.status()
    assert [position["symbol"] for position in before["held"]] == ["BTC/USDT:USDT"]
    assert before["held"][0]["stop"] is not None
    _, seen = go_on(tmp_path / "home")
    assert [type(record) for record in seen] == [RunStarted]
    with Reader(path) as reader:
        after = reader.status()
    assert {**after, "last_ts": None} == {**before, "last_ts": None}


def test_p24_a_journal_of_a_version_to_come_is_refused(tmp_path: Path) -> None:
    from enigma_core.errors import HomeError

    path = restored("format-2.sql", tmp_path / "home")
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 999")
    with pytest.raises(HomeError, match="999"):
        go_on(tmp_path / "home")
