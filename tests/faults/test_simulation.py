"""The engine in simulated worlds: whatever befalls it, the invariants hold."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from decimal import Decimal
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from enigma_core import chance
from enigma_core.journal import Journal
from enigma_core.model import Marked
from enigma_simulation.loop import Stuck, VirtualLoop
from enigma_simulation.running import Outcome, simulate
from enigma_simulation.scenario import Deed, Scenario, scenario

PLAIN = 3
"""A seed whose prices and alerts lead to entries, stops and targets."""

LONG = 118.0
"""Seconds after which its faults are over."""


def story(*deeds: Deed, seed: int = PLAIN, weather: Any = "single", **changes: Any) -> Scenario:
    """A scenario's market and alerts with `deeds` in the place of its faults."""
    base = scenario(seed)
    market = [d for d in base.deeds if d.what in ("alert", "gap", "depth", "reset")]
    values: dict[str, Any] = {
        "weather": weather,
        "faults": (),
        "crash_at": None,
        "rare": 0.0,
        "algorithm": "",
        "ends": LONG,
        **changes,
    }
    every = tuple(sorted([d for d in market if d.at < values["ends"]] + [*deeds], key=lambda d: d.at))
    return msgspec.structs.replace(base, deeds=every, **values)


def run(*deeds: Deed, **changes: Any) -> Outcome:
    told = story(*deeds, **changes)
    outcome = simulate(told.seed, story=told)
    assert not outcome.violations, "\n".join(f"{v.at} {v.invariant} {v.text}" for v in outcome.violations)
    assert outcome.trades, "nothing was traded, so nothing was proven"
    return outcome


# what a world is made of


def test_time_passes_without_waiting() -> None:
    loop = VirtualLoop(Random(1))
    try:
        loop.run_until_complete(asyncio.sleep(86_400))
        assert loop.time() == 86_400
    finally:
        loop.close()


def test_nobody_waits_for_what_never_comes() -> None:
    loop = VirtualLoop()
    try:
        with pytest.raises(Stuck):
            loop.run_until_complete(asyncio.Event().wait())
    finally:
        loop.close()


def test_who_goes_first_is_the_seeds_choice() -> None:
    def order(seed: int) -> list[int]:
        seen: list[int] = []
        loop = VirtualLoop(Random(seed))

        async def go(number: int) -> None:
            seen.append(number)

        async def all_of_them() -> None:
            await asyncio.gather(*(go(n) for n in range(8)))

        try:
            loop.run_until_complete(all_of_them())
        finally:
            loop.close()
        return seen

    assert order(1) == order(1)
    assert {tuple(order(seed)) for seed in range(5)} != {tuple(range(8))}


def test_nothing_is_left_to_chance_outside_a_simulation() -> None:
    assert not chance.maybe("anything")
    with chance.at_mercy_of(lambda label: label == "this"):
        assert chance.maybe("this")
        assert not chance.maybe("that")
    assert not chance.maybe("this")


def test_a_journal_without_a_thread_writes_when_it_is_told_to(tmp_path: Path) -> None:
    later: list[Any] = []
    journal = Journal.open(tmp_path / "j.sqlite", "paper", "here", "OFF", later=later.append)
    first = journal.write([Marked(ts=1, equity=Decimal(1), prices={})], 1)
    second = journal.write([Marked(ts=2, equity=Decimal(2), prices={})], 2)
    assert not first.done()
    assert len(later) == 1
    later[0]()
    assert first.done()
    assert second.done()
    journal.write([Marked(ts=3, equity=Decimal(3), prices={})], 3)
    journal.close()
    with Journal.open(tmp_path / "j.sqlite", "paper", "here", "OFF", later=later.append) as again:
        assert len(list(again.replay())) == 3


# whole worlds


whole = cache(simulate)


# 50247: closes take off at the exchange what the fills of held-up entries have not told yet; 50015: a clock set back by hours
@pytest.mark.parametrize("seed", [2, 4, 50247, 50015])
def test_a_world_of_its_own(seed: int) -> None:
    assert not whole(seed).violations


def _trace(seed: int, hash_seed: str) -> str:
    code = "import sys; from enigma_simulation.running import simulate; print(simulate(int(sys.argv[1])).trace)"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", code, str(seed)], capture_output=True, text=True, check=True, env=environment, timeout=120
    )
    return done.stdout.strip()


def test_p23_the_same_seed_takes_the_same_course_under_two_hash_seeds() -> None:
    assert _trace(2, "1") == _trace(2, "2") == whole(2).trace


def test_p23_another_seed_takes_another_course() -> None:
    assert whole(2).trace != whole(4).trace


# single faults, by their rows


def every(spell: dict[str, Any], until: float = 200.0) -> Deed:
    return Deed(1.0, "spell", {"lasts": until, **spell})


ORDERS = {"method": "POST", "path": "/api/v1/orders"}


def test_x01_a_time_out_after_the_order_was_taken_leaves_one_position() -> None:
    run(every({"what": "timeout", "chance": 0.3, **ORDERS}))


def test_x02_a_time_out_before_it_arrived_is_told_from_one_after() -> None:
    run(every({"what": "drop", "chance": 0.3, **ORDERS}))


def test_x03_an_answer_that_makes_no_sense_is_no_failure() -> None:
    run(*(every({"what": what, "chance": 0.12, **ORDERS}) for what in ("error", "error_after", "html", "half")))


def test_x07_what_has_filled_of_an_entry_is_protected_and_the_rest_called_off() -> None:
    run(every({"what": "partial", "share": 0.4, "chance": 0.5}))


@pytest.mark.parametrize("ms", [3_000, 20_000])
def test_x10_not_found_just_after_placing_says_nothing(ms: int) -> None:
    run(every({"what": "late", "ms": ms, "chance": 0.5}))


def test_x11_an_order_that_arrives_minutes_late_is_called_off_or_closed() -> None:
    run(Deed(30.0, "clog", {"channel": "orders"}), Deed(100.0, "free", {"channel": "orders"}))


def test_x13_an_outage_of_minutes_is_waited_for() -> None:
    run(Deed(40.0, "outage", {"maintenance": True}), Deed(105.0, "outage", {"maintenance": False}))


def test_x15_a_stream_that_breaks_is_caught_up_with_by_rest() -> None:
    run(Deed(1.0, "fault", {"lose": 0.6, "duplicate": 0.3, "reorder": 0.3}))


def test_x23_closed_by_hand_is_seen() -> None:
    run(*(Deed(at, "hand_close", {"symbol": "BTC/USDT:USDT"}) for at in (40.0, 70.0, 100.0)))


def test_x25_a_stop_taken_away_is_put_back() -> None:
    run(*(Deed(at, "hand_cancel_stop", {"symbol": "BTC/USDT:USDT"}) for at in (30.0, 50.0, 70.0, 90.0)))


def test_x28_funding_at_midnight_is_booked_once() -> None:
    run(start=1)


def test_x32_an_empty_list_of_positions_closes_nothing() -> None:
    run(*(Deed(at, "fault", {"empty_positions": 2}) for at in (30.0, 60.0, 90.0)))


def test_s13_the_clock_jumps_by_an_hour_and_back() -> None:
    hour = 3_600_000
    run(*(Deed(at, "jump", {"ms": ms}) for at, ms in ((35.0, hour), (60.0, -hour), (75.0, -hour), (100.0, hour))))


def test_s13_asleep_for_eight_hours() -> None:
    run(Deed(60.0, "freeze", {"seconds": 28_800.0}), ends=28_900.0, over=29_000.0)


def test_p22_stopped_for_five_minutes_and_continued() -> None:
    run(Deed(60.0, "freeze", {"seconds": 300.0}), ends=400.0, over=500.0)


def test_s04_killed_again_and_again_every_position_keeps_or_gets_its_stop() -> None:
    run(*(Deed(float(at), "crash") for at in range(20, 120, 9)))


def test_r08_halted_while_it_starts() -> None:
    run(Deed(60.0, "crash"), Deed(60.1, "halt_by_file", {"symbol": "BTC/USDT:USDT"}), weather="single")


# who comes first


def alert(at: float, symbol: str, action: str, key: str) -> Deed:
    return Deed(at, "alert", {"symbol": symbol, "action": action, "key": key, "age": 0})


def test_r05_many_signals_at_one_moment_never_take_more_than_the_slots() -> None:
    symbols = ("BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT")
    run(*(alert(at, symbol, "long", f"r{at}{symbol}") for at in (40.0, 60.0, 80.0, 100.0) for symbol in symbols))


def test_r06_opposite_signals_at_one_moment_leave_one_position() -> None:
    both = ("long", "short")
    run(*(alert(at, "ETH/USDT:USDT", action, f"o{at}{action}") for at in (40.0, 60.0, 80.0, 100.0) for action in both))


def test_r07_halted_while_an_entry_is_on_its_way_it_is_left_again() -> None:
    slow = every({"what": "latency", "ms": 400, "chance": 0.5, **ORDERS})
    deeds = [slow]
    for number, after in enumerate((0.0, 0.02, 0.06, 0.5)):
        at = 25.0 + 24.0 * number
        deeds.append(alert(at, "SOL/USDT:USDT", "long", f"r07-{number}"))
        deeds.append(Deed(at + after, "halt", {"symbol": "SOL/USDT:USDT"}))
        deeds.append(Deed(at + 12.0, "resume"))
    run(*deeds[:-1])


# money


@pytest.mark.parametrize("deposit", [20.2, 45.0, 99.5])
def test_a_deposit_while_the_process_is_dead_is_booked_as_one(deposit: float) -> None:
    # before the first bar, while it is dead, and so shortly before it dies that nobody has read of it
    run(Deed(20.0, "crash"), Deed(deposit, "deposit", {"symbol": "BTC/USDT:USDT"}), Deed(100.0, "crash"))


def test_what_an_account_began_with_is_booked_once_though_the_clock_was_an_hour_off() -> None:
    run(Deed(0.1, "jump", {"ms": -3_600_000}), Deed(30.0, "jump", {"ms": 3_600_000}), Deed(60.0, "crash"))


# parts that fail, settings that change, bars in disorder


def in_a_mood(mood: str, *parts: str) -> list[Deed]:
    return [Deed(at, "mood", {"part": part, "mood": mood if at < 100.0 else None}) for part in parts for at in (8.0, 110.0)]


@pytest.mark.parametrize("mood", ["raises", "nonsense"])
def test_p06_p08_parts_that_fail_cost_trades_and_nothing_else(mood: str) -> None:
    # what decides fails for a while, then what watches over positions, and nobody is told of it
    decides = [d for d in in_a_mood(mood, "indicator", "gate", "account gate", "sizer") if d.at < 100.0]
    well = [Deed(45.0, "mood", {"part": part, "mood": None}) for part in ("indicator", "gate", "account gate", "sizer")]
    run(*decides, *well, *in_a_mood(mood, "exit", "trailing exit", "target", "notifier"))


def test_p07_a_part_that_hangs_costs_the_time_it_hangs_for() -> None:
    run(*in_a_mood("hangs", "gate", "exit", "notifier"))


def test_settings_may_change_while_it_runs() -> None:
    changes = ({"gates.max_positions.max": 1}, {"leverage.max": 3, "exits.stop_loss.roi": 0.03}, {"gates.max_positions.max": 3})
    run(*(Deed(20.0 + 25.0 * n, "configure", change) for n, change in enumerate(changes)), Deed(80.0, "crash"))


@pytest.mark.parametrize(
    "disorders", [("late", "corrected", "missing"), ("twice", "shuffled", "lost"), ("wrong", "unanswered", "")]
)
def test_x17_x18_bars_that_come_late_twice_in_another_order_or_not_at_all(disorders: tuple[str, str, str]) -> None:
    run(*(Deed(5.0 + 40.0 * n, "disorder", {"disorder": what}) for n, what in enumerate(disorders)), candles=True)
