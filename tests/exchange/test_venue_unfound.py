"""An entry whose answer was lost, and that no look finds for long: what it bought is neither naked nor somebody else's."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from desk import BTC
from live_desk import LiveDesk, live


async def unfound(lag: float, fills_lag: float) -> LiveDesk:
    desk = await LiveDesk().start()
    desk.exchange.silent = True
    desk.exchange.lag, desk.exchange.fills_lag = lag, fills_lag
    desk.exchange.next("place", "lost")
    return desk


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize(("lag", "fills_lag"), [(20, 20), (100, 100), (300, 250)])
def test_x02_a_position_that_has_grown_by_an_order_nobody_finds_is_left(lag: float, fills_lag: float, answered: bool) -> None:
    async def scene() -> None:
        desk = await unfound(lag, fills_lag)
        if answered:
            desk.exchange.script.clear()
        desk.enter()
        await desk.until(lambda: desk.exchange.net() == 24, 5)
        naked = await desk.until(lambda: desk.exchange.net() == 0, 60)
        assert naked < 10
        desk.exchange.lag = 0.0
        await asyncio.sleep(700)
        assert desk.agrees
        assert not desk.book.external
        assert not desk.exchange.at_work()
        assert desk.book.slots == 0
        assert abs(desk.book.cash - desk.exchange.wallet) < Decimal("0.01")
        assert len(desk.fills) == 2
        assert desk.trades

    live(scene)


@pytest.mark.parametrize(("hidden", "bought"), [(0, 24), (500, 30)], ids=["its trade is shown", "its trade is not shown"])
def test_x24_what_a_hand_has_bought_meanwhile_is_not_taken_for_an_order_nobody_finds(hidden: float, bought: int) -> None:
    async def scene() -> None:
        desk = await unfound(0, hidden)
        desk.exchange.script.clear()
        desk.exchange.next("place", "dropped")
        desk.enter()
        await desk.until(lambda: desk.venue.lives.working())
        desk.exchange.by_hand(1, bought)
        await asyncio.sleep(200)
        assert desk.exchange.net() == bought
        assert desk.book.external[BTC].quantity == bought
        assert not desk.trades

    live(scene)


def test_x11_an_order_that_was_given_up_and_taken_for_somebody_elses_is_found_later_and_closed() -> None:
    async def scene() -> None:
        desk = await unfound(200, 0)
        order = desk.enter()
        # its trade is shown, and nothing says whose it is
        await asyncio.sleep(150)
        assert (order.id, "expired") in desk.ends()
        assert desk.book.external[BTC].quantity == 24
        await desk.until(lambda: desk.trades, 120)
        await asyncio.sleep(60)
        assert desk.agrees
        assert desk.exchange.net() == 0
        assert not desk.book.external
        assert len(desk.fills) == 2

    live(scene)
