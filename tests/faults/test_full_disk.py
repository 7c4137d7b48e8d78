"""A run on a disk that becomes full: nothing is entered any more, and what is held is still followed to its exit."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from test_journal_faults import OutOfRoom, alert, out_of_room

from enigma_core.errors import HomeError
from enigma_core.home import Home
from enigma_core.journal import SHORT, Journal
from enigma_core.model import Order, Purpose, StateSet, Trade
from enigma_core.shells import run
from enigma_core.shells.waiting import Waiting
from enigma_plugins.gates.trading_state import TradingState
from markets import instrument, plan, random_candles
from runs import Ending, Given, account, on

SYMBOL = "BTC/USDT:USDT"


class FullHome(Home):
    """A folder on a disk that is full once its journal is made."""

    opened: Journal

    def journal(self, mode: str, identity: str, **options: Any) -> Journal:
        if not self.paper.exists():
            super().journal(mode, identity).close()
        OutOfRoom.reserve = Path("/nowhere")
        self.opened = super().journal(mode, identity, connect=out_of_room, **options)
        return self.opened


def test_s07_when_the_disk_is_full_nothing_is_entered_and_what_is_held_is_closed_as_ever(tmp_path: Path) -> None:
    candles = {SYMBOL: random_candles(SYMBOL, 600, 1)}
    feed = Given(candles=candles, instruments={SYMBOL: instrument(SYMBOL)})
    settings = on(plan(account_gates={"trading_state": TradingState()}), feed)
    records: list[Any] = []

    async def until_it_ends() -> str:
        with FullHome.open(tmp_path) as home:

            def see(record: Any) -> None:
                records.append(record)
                entered = type(record) is Order and record.purpose is Purpose.STOP
                if entered and len(records) > 200 and not home.opened.short:
                    OutOfRoom.reserve = home.reserve
                if OutOfRoom.reserve == home.reserve:
                    # the disk answers before the next event comes
                    home.opened.flush()

            return (await run(settings, home, observer=see, clock=Ending())).reason

    assert asyncio.run(until_it_ends()) == "the feed has ended"
    states = [(r.state, r.reason) for r in records if type(r) is StateSet]
    assert states == [("REDUCE_ONLY", SHORT)]
    after = records[next(i for i, r in enumerate(records) if type(r) is StateSet) :]
    assert not [r for r in after if type(r) is Order and r.purpose is Purpose.ENTRY]
    assert [r for r in after if type(r) is Trade]
    assert account(tmp_path)["positions"] == {}


def test_s07_when_the_disk_is_full_an_entry_is_asked_for_again_later_and_an_exit_is_taken(tmp_path: Path) -> None:
    async def both(journal: Journal) -> None:
        waiting = Waiting(journal, lambda: 0)
        assert await waiting.accept([alert("first")]) == ["accepted"]
        assert journal.short
        with pytest.raises(HomeError, match="the disk is full"):
            await waiting.accept([alert("second")])
        assert await waiting.accept([alert("way out", action="close")]) == ["accepted"]

    with FullHome.open(tmp_path) as home:
        journal = home.journal("paper", "m")
        OutOfRoom.reserve = home.reserve
        with journal:
            asyncio.run(both(journal))
