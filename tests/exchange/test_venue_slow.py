"""An exchange that answers correctly, and slowly: it is used as one, and a position has its stop soon all the same."""

from __future__ import annotations

import asyncio
import logging

import pytest

from enigma_core.model import OrderSeen, Purpose
from live_desk import LiveDesk, live


def naked(desk: LiveDesk) -> bool:
    """Whether something is held at the exchange that no stop there protects."""
    return bool(desk.exchange.net()) and not any(o.waits for o in desk.exchange.at_work())


async def longest_naked(desk: LiveDesk, seconds: float) -> float:
    """How long, in one piece, the exchange holds a position without a stop within the next `seconds`."""
    loop, longest, since = asyncio.get_running_loop(), 0.0, None
    end = loop.time() + seconds
    while loop.time() < end:
        if not naked(desk):
            since = None
        elif since is None:
            since = loop.time()
        else:
            longest = max(longest, loop.time() - since)
        await asyncio.sleep(0.02)
    return longest


@pytest.mark.parametrize("wait", [0.0, 0.7, 1.9, 3.1, 4.4])
@pytest.mark.parametrize(("latency", "limit"), [(2.5, 6.0), (3.3, 8.0), (5.0, 12.0), (8.0, 20.0)])
def test_a_position_has_its_stop_soon_though_every_answer_takes_long(latency: float, limit: float, wait: float) -> None:
    async def course() -> None:
        desk = await LiveDesk().start()
        desk.exchange.latency = latency
        await asyncio.sleep(wait)
        desk.enter()
        assert await longest_naked(desk, 90) < limit
        assert desk.agrees
        ids = [p.client_id for p in desk.exchange.sent("place")]
        assert sum(o.placing.client_id == ids[0] for o in desk.exchange.orders.values()) == 1

    live(course)


def test_without_pushes_too() -> None:
    async def course() -> None:
        desk = await LiveDesk().start()
        desk.exchange.latency, desk.exchange.silent = 3.3, True
        desk.enter()
        assert await longest_naked(desk, 90) < 10.0
        assert desk.agrees

    live(course)


def test_that_it_answers_slowly_is_said_once_and_that_it_does_no_longer(caplog: pytest.LogCaptureFixture) -> None:
    async def course() -> None:
        desk = await LiveDesk().start()
        desk.exchange.latency = 3.3
        await asyncio.sleep(30)
        desk.exchange.latency = 0.02
        await asyncio.sleep(30)

    with caplog.at_level(logging.WARNING):
        live(course)
    said = [r.message for r in caplog.records if "answers" in r.message]
    assert [s.split(":")[0] for s in said] == [
        "the exchange answers slowly (3.3 s a request)",
        "the exchange answers at once again",
    ]


def test_a_stop_whose_request_got_lost_is_looked_for_and_sent_again_without_waiting_for_the_answer() -> None:
    async def course() -> None:
        desk = await LiveDesk().start()
        place = desk.exchange.place
        lost: list[str] = []

        async def places(order):  # type: ignore[no-untyped-def]
            if order.kind == "stop" and not lost:
                lost.append(order.client_id)
                await asyncio.sleep(30)
            return await place(order)

        desk.exchange.place = places  # type: ignore[method-assign]
        desk.enter()
        assert await longest_naked(desk, 40) < 5.0
        assert desk.agrees
        assert [o.placing.client_id for o in desk.exchange.at_work()] == lost
        assert not [w for w in desk.book.orders.values() if w.order.purpose is Purpose.CLOSE]

    live(course)


def test_an_answer_that_comes_after_its_order_was_found_changes_nothing() -> None:
    async def course() -> None:
        desk = await LiveDesk().start()
        desk.exchange.next("place", "slow")
        order = desk.enter()
        await desk.until(lambda: desk.book.positions and not desk.venue.protection.since)
        await asyncio.sleep(20)
        assert [s.state for s in desk.of(OrderSeen) if s.order_id == order.id] == ["sent", "working"]
        assert desk.agrees

    live(course)
