"""How fast an exchange may be asked."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enigma_exchange.quota import CUT, LEAST_USED, LIMIT, RECOVERY, RESERVE, USED, WINDOW, Bucket, Lane, Quota, weight
from enigma_simulation.loop import VirtualLoop


def drained(lane: Lane, weight: float = 3) -> Bucket:
    bucket = Bucket()
    while bucket.wait(lane, weight, 0.0) == 0:
        bucket.take(weight, 0.0)
    return bucket


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from(Lane), st.integers(1, 20), st.floats(0, 2)), min_size=50, max_size=250))
def test_no_window_ever_sees_more_than_the_limit(requests):
    bucket, now = Bucket(), 0.0
    window: deque[tuple[float, float]] = deque()
    for lane, cost, pause in requests:
        now += pause / 20
        now += bucket.wait(lane, cost, now)
        bucket.take(cost, now)
        window.append((now, cost))
        while window[0][0] <= now - WINDOW:
            window.popleft()
        assert sum(cost for _, cost in window) <= LIMIT


def test_in_the_long_run_seventy_percent_of_the_limit_are_used():
    bucket, now, spent = Bucket(), 0.0, 0
    while now < 10 * WINDOW:
        now += bucket.wait(Lane.EXIT, 2, now)
        bucket.take(2, now)
        spent += 2
    assert spent / (10 * LIMIT) == pytest.approx(USED, rel=0.05)


@pytest.mark.parametrize("lane", [Lane.ORDER, Lane.ACCOUNT, Lane.MARKET])
def test_x12_the_reserve_is_left_to_the_first_lane(lane):
    bucket = drained(lane)
    assert bucket.tokens >= RESERVE * bucket.size
    spent = 0.0
    while bucket.wait(Lane.EXIT, 1, 0.0) == 0:
        bucket.take(1, 0.0)
        spent += 1
    assert spent >= int(RESERVE * bucket.size)


def test_a_429_lowers_what_is_used_and_minutes_raise_it_again():
    bucket = Bucket()
    bucket.throttled(0.0, after=2.0)
    assert bucket.used == pytest.approx(USED - CUT)
    assert bucket.wait(Lane.EXIT, 1, 0.0) >= 2.0
    bucket.throttled(0.0)
    bucket.throttled(0.0)
    assert bucket.used == LEAST_USED
    bucket.wait(Lane.EXIT, 1, 60.0)
    assert bucket.used == pytest.approx(LEAST_USED + RECOVERY)
    bucket.wait(Lane.EXIT, 1, 3600.0)
    assert bucket.used == USED


@pytest.mark.parametrize("after", [float("inf"), 1e9, -5.0])
def test_no_exchange_can_silence_us_for_more_than_a_minute(after):
    bucket = Bucket()
    bucket.throttled(0.0, after=after)
    assert bucket.wait(Lane.EXIT, 1, 0.0) <= 61


def test_others_who_draw_on_the_same_pool_are_counted():
    bucket = Bucket()
    bucket.told(0.0, remaining=4)
    assert bucket.wait(Lane.EXIT, 4, 0.0) == 0
    assert bucket.wait(Lane.ORDER, 4, 0.0) > 0


def test_a_larger_limit_of_the_account_is_used():
    bucket = Bucket()
    bucket.told(0.0, limit=4000)
    assert bucket.size == pytest.approx(4000 * (1 - USED))


def test_a_request_heavier_than_the_bucket_goes_once_it_is_full():
    bucket = Bucket()
    assert bucket.wait(Lane.ORDER, 800, 0.0) == 0
    bucket.take(800, 0.0)
    assert bucket.wait(Lane.EXIT, 1, 0.0) > 0


def test_weights_are_those_of_the_longest_path_that_fits():
    assert weight("GET", "/api/v1/orders/byClientOid") == 5
    assert weight("DELETE", "/api/v1/orders/client-order/x") == 1
    assert weight("DELETE", "/api/v1/orders") == 800
    assert weight("DELETE", "/api/v3/orders") == 10
    assert weight("GET", "/api/v1/mark-price/XBTUSDTM/current") == 3
    assert weight("GET", "/api/v9/unheard-of") == 5


def test_x12_an_exit_in_a_storm_of_data_goes_at_once():
    async def storm() -> tuple[float, int]:
        quota = Quota()
        loop = asyncio.get_running_loop()
        crowd = [asyncio.create_task(quota.take(Lane.MARKET, 3)) for _ in range(400)]
        await asyncio.sleep(0)
        waiting = quota.waiting
        began = loop.time()
        for _ in range(20):
            await quota.take(Lane.EXIT, 2)
        took = loop.time() - began
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)
        return took, waiting

    took, waiting = asyncio.run(storm())
    assert waiting > 200
    assert took < 1


def test_who_waits_is_served_by_lane_and_then_in_turn():
    async def served() -> list[str]:
        now = 0.0
        quota = Quota(limit=100, window=1.0, clock=lambda: now)
        order: list[str] = []

        async def ask(name: str, lane: Lane) -> None:
            await quota.take(lane, 10)
            order.append(name)

        await quota.take(Lane.EXIT, 30)
        tasks = [
            asyncio.create_task(ask(*one))
            for one in (("m1", Lane.MARKET), ("m2", Lane.MARKET), ("o", Lane.ORDER), ("x", Lane.EXIT))
        ]
        await asyncio.sleep(0)
        for _ in range(10):
            now += 0.2
            await asyncio.sleep(0.05)
        await asyncio.gather(*tasks)
        return order

    assert asyncio.run(served()) == ["x", "o", "m1", "m2"]


def test_one_who_gives_up_costs_nothing():
    async def left() -> float:
        quota = Quota(clock=lambda: 0.0)
        await quota.take(Lane.EXIT, 600)
        task = asyncio.create_task(quota.take(Lane.EXIT, 100))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert quota.bucket is not None
        return quota.bucket.tokens

    assert asyncio.run(left()) == pytest.approx(0.0)


def test_x12_an_exit_waits_behind_no_crowd_of_looks_and_looks_may_have_the_reserve():
    loop = VirtualLoop(None)

    async def scene() -> float:
        quota = Quota()
        looks = [asyncio.ensure_future(quota.take(Lane.LOOK, 11)) for _ in range(120)]
        await asyncio.sleep(0)
        began = asyncio.get_running_loop().time()
        await quota.take(Lane.EXIT, 2)
        for look in looks:
            look.cancel()
        return asyncio.get_running_loop().time() - began

    assert loop.run_until_complete(scene()) < 1
    loop.close()
    bucket = drained(Lane.ORDER)
    assert bucket.wait(Lane.LOOK, 5, 0.0) == 0
