"""A live account: what comes of an order, whatever the exchange answers."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from desk import BTC
from enigma_core.model import Blocked, Cancel, Fill, Order, OrderEnded, OrderFound, Purpose, StateSet, StopMissing
from enigma_exchange.account import Timing
from enigma_exchange.naming import client_id
from live_desk import LiveDesk, live


def test_an_entry_is_filled_and_its_stop_is_seen_within_two_seconds() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        order = desk.enter()
        took = await desk.until(lambda: BTC in desk.book.positions and not desk.venue.protection.since)
        assert took < 2
        assert desk.states(order.id) == ["sent", "working"]
        stop = next(o for o in desk.exchange.at_work() if o.waits)
        assert (stop.placing.reduce_only, stop.placing.falls, stop.placing.quantity) == (True, True, Decimal(24))
        assert desk.agrees

    live(scene)


def test_a_short_is_protected_by_a_stop_above_and_left_when_it_is_met() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered(side=-1)
        stop = next(o for o in desk.exchange.at_work() if o.waits)
        assert not stop.placing.falls
        desk.exchange.move(51_000)
        await desk.until(lambda: desk.trades)
        assert desk.trades[0].exit_reason == "stop_loss"
        assert desk.agrees
        assert not desk.exchange.at_work()

    live(scene)


def test_nothing_is_sent_before_it_is_on_disk() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.held_back = True
        desk.enter()
        await asyncio.sleep(3)
        assert not desk.exchange.sent("place")
        desk.let_go()
        await desk.until(lambda: BTC in desk.book.positions)

    live(scene)


def test_an_order_submitted_twice_is_sent_once() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        order = desk.enter()
        desk.venue.submit(order)
        desk.write([])
        await desk.until(lambda: BTC in desk.book.positions)
        await asyncio.sleep(5)
        assert len([p for p in desk.exchange.sent("place") if not p.reduce_only]) == 1

    live(scene)


@pytest.mark.parametrize("seed", range(5))
def test_x01_an_order_whose_answer_was_lost_is_found_and_makes_one_position(seed: int) -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.next("place", "lost")
        order = desk.enter()
        await desk.until(lambda: "unknown" in desk.states(order.id))
        assert desk.book.slots == 1
        await desk.until(lambda: BTC in desk.book.positions, 10)
        assert desk.exchange.net() == 24
        assert len([p for p in desk.exchange.sent("place") if not p.reduce_only]) == 1
        await desk.until(lambda: not desk.venue.protection.since, 5)

    live(scene, seed=seed)


def test_x02_an_order_that_never_arrived_is_absent_only_after_thirty_seconds_and_five_looks() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.next("place", "dropped")
        order = desk.enter()
        began = asyncio.get_running_loop().time()
        await desk.until(lambda: "not_placed" in desk.states(order.id), 60)
        assert asyncio.get_running_loop().time() - began >= 30
        assert len(desk.exchange.sent("find")) >= 5
        assert (order.id, "expired") in desk.ends()
        assert desk.book.slots == 0
        assert len(desk.exchange.sent("place")) == 1

    live(scene)


def test_x02_a_look_that_gets_no_answer_proves_nothing() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.next("place", "dropped")
        desk.exchange.next("find", *["dropped"] * 40)
        order = desk.enter()
        await asyncio.sleep(45)
        assert "not_placed" not in desk.states(order.id)
        assert desk.book.slots == 1

    live(scene)


def test_x05_an_order_id_that_is_known_means_the_order_is_there() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.next("place", "known")
        desk.enter()
        await desk.until(lambda: BTC in desk.book.positions, 5)
        assert desk.exchange.net() == 24

    live(scene)


def test_x06_a_refusal_frees_the_slot_once_and_is_not_tried_again() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.next("place", "refused")
        order = desk.enter()
        await desk.until(lambda: desk.ends())
        await asyncio.sleep(30)
        assert desk.ends() == [(order.id, "rejected")]
        assert desk.book.slots == 0
        assert len(desk.exchange.sent("place")) == 1

    live(scene)


def test_x07_what_has_filled_of_an_entry_is_protected_at_once_and_the_rest_called_off() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.takes = Decimal(10)
        order = desk.enter()
        await desk.until(lambda: BTC in desk.book.positions and not desk.venue.protection.since, 5)
        stop = next(o for o in desk.exchange.at_work() if o.waits)
        assert stop.placing.quantity == 10
        await desk.until(lambda: (order.id, "cancelled") in desk.ends(), 20)
        assert not desk.exchange.of(order.id).open
        assert desk.book.positions[BTC].quantity == 10
        assert desk.agrees

    live(scene)


def test_x08_a_fill_that_comes_before_the_answer_is_applied_once() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.next("place", "slow")
        desk.enter()
        # nobody waits for the answer: the order is looked for, and what it holds is protected
        assert await desk.until(lambda: BTC in desk.book.positions and not desk.venue.protection.since, 2.5) < 2.5
        await asyncio.sleep(20)
        assert len([f for f in desk.fills if f.side > 0]) == 1
        assert not desk.of(OrderFound)

    live(scene)


def test_x15_a_stop_waits_for_no_answer_about_fills() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.next("fills", "slow")
        desk.enter()
        assert await desk.until(lambda: BTC in desk.book.positions and not desk.venue.protection.since, 2.5) < 2.5

    live(scene)


def test_x09_a_cancel_that_a_fill_was_faster_than_cancels_nothing() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        order = desk.enter(price=Decimal(49_000), resting=True)
        await desk.until(lambda: "working" in desk.states(order.id))
        desk.write([Cancel(ts=desk.now, order_id=order.id, symbol=BTC)])
        desk.venue.cancel(order.id)
        desk.exchange.move(48_990)
        desk.write([])
        await desk.until(lambda: BTC in desk.book.positions)
        assert desk.ends() == []
        assert desk.book.positions[BTC].quantity == 24

    live(scene)


@pytest.mark.parametrize("lag", [0.5, 3.0, 12.0])
def test_x10_not_being_found_just_after_placing_ends_nothing(lag: float) -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.lag = lag
        order = desk.enter(price=Decimal(49_000), resting=True)
        await asyncio.sleep(25)
        assert desk.ends() == []
        assert desk.states(order.id) == ["sent", "working"]
        assert order.id in desk.book.orders

    live(scene)


def test_x11_an_order_that_turns_up_ten_minutes_later_is_taken_over_and_left() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.next("place", "late")
        order = desk.enter()
        await desk.until(lambda: (order.id, "expired") in desk.ends(), 60)
        await desk.until(lambda: desk.exchange.net() != 0, 700)
        await desk.until(lambda: desk.exchange.net() == 0, 15)
        await desk.until(lambda: len(desk.trades) == 1, 10)
        assert desk.agrees
        await asyncio.sleep(10)
        assert not desk.exchange.at_work()

    live(scene)


def test_x11_an_order_that_turns_up_resting_is_cancelled() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.next("place", "late")
        order = desk.enter(price=Decimal(49_000), resting=True)
        await desk.until(lambda: (order.id, "expired") in desk.ends(), 60)
        await desk.until(lambda: desk.exchange.orders, 700)
        await desk.until(lambda: not desk.exchange.at_work(), 15)
        assert not desk.book.positions

    live(scene)


def test_x12_a_request_too_many_is_made_again_when_the_quota_begins_anew() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.next("place", "throttled")
        desk.enter()
        await desk.until(lambda: BTC in desk.book.positions, 5)
        assert desk.exchange.net() == 24

    live(scene)


def test_x13_an_exchange_that_is_down_stops_entries_and_leaves_stops_alone() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered()
        desk.exchange.down = True
        await desk.until(lambda: desk.book.blocked(BTC), 20)
        await asyncio.sleep(3600)
        assert not desk.of(StopMissing)
        assert any(o.waits for o in desk.exchange.at_work())
        desk.exchange.down = False
        await desk.until(lambda: not desk.book.blocked(BTC), 60)
        assert desk.agrees
        assert not desk.trades

    live(scene)


def test_x15_what_happened_while_nothing_was_pushed_is_read() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered()
        desk.exchange.silent = True
        desk.exchange.move(49_000)
        await desk.until(lambda: desk.trades, 10)
        assert desk.agrees
        assert len(desk.fills) == 2

    live(scene)


def test_an_entry_that_is_too_old_is_not_sent() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        order = desk.enter(ts=desk.now - 31_000)
        await desk.until(lambda: desk.ends())
        assert desk.ends() == [(order.id, "expired")]
        assert not desk.exchange.sent("place")

    live(scene)


def test_a_stop_takes_the_place_of_another_without_a_naked_moment() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered()
        old = next(o for o in desk.exchange.at_work() if o.waits)
        position = desk.book.positions[BTC]
        found: list = []
        track = desk.engine._tracks[BTC]
        track.level = 49_800.0
        desk.engine.place(desk.engine._stop(position, track, desk.now + 60_000), found)
        for record in found:
            desk.venue.submit(record)
        naked = []

        async def watch() -> None:
            while True:
                naked.append(not any(o.waits for o in desk.exchange.at_work()))
                await asyncio.sleep(0.001)

        watching = asyncio.create_task(watch())
        desk.write(found)
        await desk.until(lambda: not old.open, 5)
        watching.cancel()
        assert not any(naked)
        new = next(o for o in desk.exchange.at_work() if o.waits)
        assert new.placing.price == Decimal("49800.0")
        assert desk.exchange.calls.index(next(c for c in desk.exchange.calls if c[1] == "cancel")) > 0

    live(scene)


def test_a_fill_of_the_stop_that_was_replaced_counts_for_the_one_in_the_book() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered()
        position, track = desk.book.positions[BTC], desk.engine._tracks[BTC]
        found: list = []
        track.level = 49_800.0
        desk.engine.place(desk.engine._stop(position, track, desk.now + 60_000), found)
        desk.venue.submit(found[0])
        desk.exchange.next("place", "dropped")
        desk.write(found)
        desk.exchange.move(49_000)
        await desk.until(lambda: desk.trades, 10)
        assert desk.fills[-1].order_id == found[0].id
        await asyncio.sleep(40)
        assert not desk.exchange.at_work()
        assert desk.agrees

    live(scene)


def test_s01_an_entry_that_was_written_and_not_sent_before_a_crash_is_not_sent_after_it() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.held_back = True
        order = desk.enter()
        await asyncio.sleep(0.1)
        desk = await desk.crash()
        assert (order.id, "expired") in desk.ends()
        assert not desk.exchange.sent("place")
        assert desk.book.slots == 0

    live(scene)


@pytest.mark.parametrize("answer", ["", "lost", "slow"])
def test_s02_an_entry_that_was_sent_before_a_crash_is_adopted_and_protected(answer: str) -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.next("place", answer)
        order = desk.enter()
        await desk.until(lambda: desk.exchange.net() == 24)
        assert not desk.book.positions
        desk = await desk.crash()
        await desk.until(lambda: BTC in desk.book.positions and not desk.venue.protection.since, 10)
        assert desk.agrees
        assert [p.client_id for p in desk.exchange.sent("place") if not p.reduce_only] == [
            desk.exchange.of(order.id).placing.client_id
        ]

    live(scene)


def test_s03_fills_are_told_once_however_often_they_are_read() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered()
        for _ in range(3):
            desk = await desk.crash()
        assert len(desk.fills) == 1
        assert desk.agrees
        assert desk.book.positions[BTC].quantity == 24

    live(scene)


def test_s04_a_position_whose_stop_was_not_sent_before_a_crash_is_protected_before_anything_else() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.next("place", "", "dropped")
        desk.enter()
        await desk.until(lambda: BTC in desk.book.positions)
        began = asyncio.get_running_loop().time()
        desk = await desk.crash(ready=False)
        await desk.until(lambda: any(o.waits for o in desk.exchange.at_work()), 10)
        assert asyncio.get_running_loop().time() - began < 5
        assert not desk.ready.is_set()
        await desk.until(desk.ready.is_set, 60)

    live(scene)


def test_a_second_recovery_finds_nothing_left_to_do() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered()
        desk = await desk.crash()
        before = len([r for r in desk.records if isinstance(r, Order | Fill | OrderEnded)])
        desk = await desk.crash()
        await asyncio.sleep(120)
        assert len([r for r in desk.records if isinstance(r, Order | Fill | OrderEnded)]) == before

    live(scene)


def test_a_symbol_with_an_entry_of_an_earlier_run_keeps_its_slot_until_it_is_known() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.next("place", "dropped")
        desk.enter()
        await asyncio.sleep(0.5)
        desk = await desk.crash(ready=False)
        await asyncio.sleep(15)
        assert desk.book.slots == 1
        assert not desk.ready.is_set()
        await desk.until(desk.ready.is_set, 60)
        assert desk.book.slots == 0

    live(scene)


def test_r07_a_halt_while_an_order_is_unknown_ends_flat_with_nothing_working() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.next("place", "lost")
        desk.enter()
        await asyncio.sleep(0.05)
        desk.halt()
        took = await desk.until(lambda: desk.trades and not desk.exchange.at_work(), 10)
        assert took < 5
        assert desk.exchange.net() == 0
        assert desk.agrees

    live(scene)


def test_r07_an_entry_that_fills_after_a_halt_is_closed() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        desk.exchange.next("place", "slow")
        desk.enter()
        await asyncio.sleep(0.05)
        desk.halt()
        await desk.until(lambda: desk.trades and not desk.exchange.at_work(), 15)
        assert desk.exchange.net() == 0

    live(scene)


def test_r07_a_halt_in_calm_is_flat_within_five_seconds() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered()
        desk.halt()
        took = await desk.until(lambda: desk.trades and not desk.exchange.at_work(), 10)
        assert took < 5
        desk.halt()
        await asyncio.sleep(5)
        assert len(desk.trades) == 1

    live(scene)


def test_r08_a_halt_before_everything_is_known_is_honoured() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        await desk.entered()
        desk = await desk.crash(ready=False)
        desk.halt()
        await desk.until(lambda: desk.trades and not desk.exchange.at_work(), 10)
        assert desk.exchange.net() == 0

    live(scene)


def test_r06_what_is_wanted_of_one_symbol_happens_in_order() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        first = await desk.entered()
        desk.command(StateSet(ts=desk.now, state="REDUCE_ONLY", reason="by hand", flatten=True))
        desk.command(StateSet(ts=desk.now, state="ACTIVE", reason="by hand"))
        await desk.until(lambda: desk.trades)
        desk.enter(side=-1)
        await desk.until(lambda: BTC in desk.book.positions)
        assert desk.book.positions[BTC].side == -1
        assert desk.agrees
        assert desk.trades[0].decision_id == first.decision_id

    live(scene)


def test_all_orders_of_a_symbol_that_is_flat_are_cancelled_by_one_request() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        entry = await desk.entered()
        found: list = []
        for n in range(3):
            target = Order(
                id=f"{entry.decision_id}-tp{n}",
                decision_id=entry.decision_id,
                ts=desk.now,
                symbol=BTC,
                side=-1,
                quantity=Decimal(8),
                purpose=Purpose.TARGET,
                price=Decimal(52_000 + n),
                resting=True,
                leverage=6,
            )
            desk.engine.place(target, found)
            desk.venue.submit(target)
        desk.write(found)
        await desk.until(lambda: len(desk.exchange.at_work()) == 4)
        desk.halt()
        await desk.until(lambda: desk.trades and not desk.exchange.at_work(), 5)
        assert desk.exchange.sent("cancel_all") == [BTC]

    live(scene)


def test_the_run_is_blocked_until_all_is_known() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        blocks = desk.of(Blocked)
        assert [(b.symbol, b.reason) for b in blocks] == [("", "")]

    live(scene)


def test_p01_what_a_resting_entry_filled_while_nobody_ran_is_protected_before_anything_else() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        order = desk.enter(price=Decimal(49_900), resting=True)
        await desk.until(lambda: desk.states(order.id)[-1:] == ["working"])
        await desk.stop()
        desk.exchange.move(49_890)
        assert desk.exchange.net() == 24
        await asyncio.sleep(3)
        again = await desk.crash(ready=False)
        took = await again.until(lambda: BTC in again.book.positions and not again.venue.protection.since, 5)
        assert took < 1
        assert not again.ready.is_set()
        await again.until(again.ready.is_set)
        assert again.agrees
        assert [o.waits for o in again.exchange.at_work()] == [True]

    live(scene)


def test_p01_what_a_resting_entry_fills_after_a_restart_is_protected_as_before() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        order = desk.enter(price=Decimal(49_900), resting=True)
        await desk.until(lambda: desk.states(order.id)[-1:] == ["working"])
        again = await desk.crash()
        assert len(again.exchange.sent("place")) == 1
        again.exchange.move(49_890)
        assert await again.until(lambda: BTC in again.book.positions and not again.venue.protection.since, 10) < 6
        assert again.agrees

    live(scene)


def test_what_was_dealt_with_is_forgotten_and_told_once_all_the_same() -> None:
    async def scene() -> None:
        brief = Timing(zombie=5.0, deep=5.0, overlap=5.0, balance=5.0)
        desk = await LiveDesk(timing=brief).start()
        for _ in range(6):
            await desk.entered()
            desk.exchange.move(49_000)
            await desk.until(lambda: not desk.book.positions)
            desk.exchange.move(50_000)
            await asyncio.sleep(5)
        await asyncio.sleep(60)
        lives, fills = desk.venue.lives, desk.venue.shared.fills
        assert len(desk.fills) == 12
        assert not list(lives)
        assert not lives.working()
        assert not fills._known
        assert not desk.venue.shared.ended
        # everything is read once more, from the beginning
        trades = await desk.exchange.fills(0)
        desk.venue.settling.apply(fills.sort(trades, desk.venue.settling.owner))
        await asyncio.sleep(30)
        assert len(desk.fills) == 12
        assert desk.book.trading_state == "ACTIVE"
        assert desk.agrees

    live(scene)


def test_names_of_orders_are_known_for_days_and_then_forgotten() -> None:
    async def scene() -> None:
        desk = LiveDesk()
        day = 86_400_000
        life = desk.venue.lives.add(
            Order(id="a", decision_id="a", ts=0, symbol=BTC, side=1, quantity=Decimal(1), purpose=Purpose.ENTRY)
        )
        lives, name = desk.venue.lives, client_id("a")
        assert lives.forget(day, day) == []
        life.state = "over"
        assert lives.forget(day, day) == ["a"]
        assert not lives.foreign(name)
        assert lives.forget(3 * day, 4 * day) == []
        assert not lives.foreign(name)
        lives.forget(4 * day, 4 * day + 1)
        assert lives.foreign(name)

    live(scene)


def test_only_orders_that_something_may_still_come_of_are_looked_through() -> None:
    async def scene() -> None:
        desk = await LiveDesk().start()
        order = await desk.entered()
        desk.exchange.move(49_000)
        await desk.until(lambda: desk.trades and not desk.venue.lives.working())
        lives = desk.venue.lives
        entry = lives.get(order.id)
        assert entry is not None
        assert len(list(lives)) == 2
        desk.venue.settling.revive(entry, "it has turned up")
        assert lives.working(BTC) == [entry]

    live(scene)
