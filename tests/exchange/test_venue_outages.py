"""What happened while nobody was there: fills that were not written down, and an exchange that is away for hours."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from desk import BTC
from enigma_core.model import StopMissing
from live_desk import LiveDesk, live


@pytest.mark.parametrize("visible", [0.0, 3.0])
def test_s03_a_fill_that_was_not_written_before_a_crash_is_read_afterwards_and_told_once(visible: float) -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.takes = Decimal(10)
        order = desk.enter()
        await desk.until(lambda: BTC in desk.book.positions)
        assert desk.book.positions[BTC].quantity == 10
        # the rest fills, and the process dies before anybody has told it
        desk.exchange.silent, desk.exchange.fills_lag = True, visible
        kept = desk.exchange.of(order.id)
        desk.exchange._fill(kept, Decimal(14), Decimal(50_000))
        written = len(desk.fills)
        desk = await desk.crash(ready=False)
        await desk.until(lambda: desk.book.positions[BTC].quantity == 24 and not desk.venue.protection.since, 30)
        await desk.until(desk.ready.is_set, 60)
        assert (written, len(desk.fills)) == (1, 2)
        assert len({fill.id for fill in desk.fills}) == 2
        assert sum(o.placing.quantity for o in desk.exchange.at_work() if o.waits) == 24
        assert desk.agrees
        desk = await desk.crash()
        assert len(desk.fills) == 2

    live(scene)


def test_s03_a_fill_older_than_the_newest_record_is_read_all_the_same() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.silent, desk.exchange.fills_lag = True, 3.0
        desk.exchange.next("place", "lost")
        order = desk.enter()
        await desk.until(lambda: desk.exchange.net() == 24)
        filled = desk.exchange.trades[-1][1].ts
        # something newer is written down before the fill can be read
        await desk.until(lambda: "working" in desk.states(order.id))
        assert max(getattr(record, "ts", 0) for record in desk.records) > filled
        assert not desk.fills
        desk = await desk.crash(ready=False)
        await desk.until(lambda: BTC in desk.book.positions and not desk.venue.protection.since, 60)
        assert len(desk.fills) == 1
        assert desk.agrees

    live(scene)


def test_x13_four_hours_of_outage_leave_the_stop_at_work_and_are_caught_up_with() -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        desk = await LiveDesk().start()
        await desk.entered()
        desk.exchange.down = True
        await desk.until(lambda: desk.book.blocked(BTC), 20)
        began, asked = loop.time(), len(desk.exchange.calls)
        await asyncio.sleep(2 * 3600)
        assert not desk.of(StopMissing)
        assert any(o.waits for o in desk.exchange.at_work())
        # the stop works there, whoever can be reached
        desk.exchange.move(49_000)
        assert desk.exchange.net() == 0
        await asyncio.sleep(2 * 3600)
        assert desk.book.blocked(BTC)
        # it is asked again and again, but by nobody who hammers
        times = [at for at, *_ in desk.exchange.calls[asked:] if at > began + 600]
        assert 4 * 3600 / 120 < len(times) < 4 * 3600 * 2
        desk.exchange.down = False
        await desk.until(lambda: desk.trades, 60)
        await desk.until(lambda: not desk.book.blocked(BTC), 60)
        assert [t.exit_reason for t in desk.trades] == ["stop_loss"]
        assert not desk.exchange.at_work()
        assert desk.agrees
        assert desk.book.cash == desk.exchange.wallet

    live(scene)
