"""Exits: levels and targets to the worked numbers, for both sides; stops that only tighten; batches equal to single positions."""

from __future__ import annotations

import importlib
import math
from pathlib import Path as File
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import enigma_plugins.exits
from enigma_core.errors import ConfigError
from enigma_core.parts import Exit, Holding, Path
from enigma_plugins.exits.atr_stop import AtrStop
from enigma_plugins.exits.break_even import BreakEven
from enigma_plugins.exits.milestones import Milestones
from enigma_plugins.exits.opposite_signal import OppositeSignal
from enigma_plugins.exits.stop_loss import StopLoss
from enigma_plugins.exits.take_profit import TakeProfit
from enigma_plugins.exits.trailing_stop import TrailingStop

EXITS: tuple[type[Exit], ...] = (StopLoss, TakeProfit, BreakEven, TrailingStop, AtrStop, Milestones, OppositeSignal)
FOLLOWING: tuple[Exit, ...] = (BreakEven(), TrailingStop(), TrailingStop(activation_roi=0.01, distance_roi=0.5), Milestones())
SIDES = pytest.mark.parametrize("side", [1, -1])


def held(side: int = 1, leverage: float = 10, entry: float = 50_000.0, atr: float = 250.0) -> Holding:
    return Holding(side=side, entry=entry, leverage=leverage, atr=atr, fee_in=0.0006, fee_out=0.0006)


def walked(side: int, *gains: float, entry: float = 50_000.0) -> Path:
    """A path whose bars reach `gains` in price on the position's side, and 10 on the other side of the bar."""
    best = entry + side * np.array(gains)
    worst = best - side * 10
    return Path(
        open=worst, high=np.maximum(best, worst), low=np.minimum(best, worst), close=worst, score=np.full(len(best), math.nan)
    )


def levels(rule: Exit, position: Holding, path: Path) -> npt.NDArray[np.float64]:
    with np.errstate(all="raise"):
        found = rule.stops(position, path)
    assert found is not None
    return found


def test_every_file_offers_one_exit_named_after_it() -> None:
    files = {f.stem for f in File(enigma_plugins.exits.__path__[0]).glob("*.py") if not f.stem.startswith("_")}
    offered = {stem: list(importlib.import_module(f"enigma_plugins.exits.{stem}").enigma_exits()) for stem in files}
    assert {stem: [rule.name for rule in rules] for stem, rules in offered.items()} == {stem: [stem] for stem in files}
    assert files == {rule.name for rule in EXITS}


# levels fixed at entry


def test_stop_and_target_are_the_worked_numbers() -> None:
    assert StopLoss().first_stop(held(leverage=6)) == pytest.approx(49_500, abs=1e-9)
    assert StopLoss().first_stop(held(side=-1, leverage=6)) == pytest.approx(50_500, abs=1e-9)
    (long,), (short,) = TakeProfit().targets(held(leverage=6)), TakeProfit().targets(held(side=-1, leverage=6))
    assert (long.level, long.fraction) == (pytest.approx(51_250, abs=1e-9), 1.0)
    assert (short.level, short.fraction) == (pytest.approx(48_750, abs=1e-9), 1.0)


@SIDES
@given(entry=st.floats(1e-6, 1e6), leverage=st.integers(1, 100), atr=st.floats(1e-9, 1e3))
def test_r14_a_first_stop_is_on_the_losing_side_and_before_liquidation(side: int, entry: float, leverage: int, atr: float) -> None:
    position = held(side=side, leverage=leverage, entry=entry, atr=atr)
    liquidation = entry * (1 - side * (1 / leverage - 0.005))
    stop = StopLoss().first_stop(position)
    assert side * (entry - stop) > 0
    assert side * (stop - liquidation) > 0
    volatile = AtrStop().first_stop(position)
    assert math.isnan(volatile) or side * (entry - volatile) >= 0
    assert side * (TakeProfit().targets(position)[0].level - entry) > 0


def test_a_ladder_takes_the_position_in_steps() -> None:
    ladder = TakeProfit(ladder=((0.05, 0.5), (0.10, 0.3)))
    assert [(t.level, t.fraction) for t in ladder.targets(held())] == [(pytest.approx(50_250), 0.5), (pytest.approx(50_500), 0.3)]
    assert [t.level for t in ladder.targets(held(side=-1))] == [pytest.approx(49_750), pytest.approx(49_500)]


def test_a_ladder_of_the_whole_position_is_accepted_and_more_is_refused() -> None:
    assert TakeProfit(ladder=((0.05, 0.7), (0.1, 0.2), (0.15, 0.1))).ladder[0] == (0.05, 0.7)
    with pytest.raises(ConfigError, match=r"ladder add up to 1\.1"):
        TakeProfit(ladder=((0.05, 0.7), (0.1, 0.4)))
    for step in ((-0.05, 0.5), (0.05, 0.0), (0.05, 1.5), (math.nan, 0.5)):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"ladder": [step]}, TakeProfit)


@pytest.mark.parametrize("atr", [math.nan, math.inf, -math.inf, 0.0, -1.0])
@SIDES
def test_no_atr_no_atr_stop(side: int, atr: float) -> None:
    assert math.isnan(AtrStop().first_stop(held(side=side, atr=atr)))


def test_an_atr_stop_below_zero_is_none() -> None:
    assert math.isnan(AtrStop().first_stop(held(atr=50_000.0)))


def test_atr_stop_stands_k_atr_behind_the_entry() -> None:
    assert AtrStop().first_stop(held()) == 49_625
    assert AtrStop().first_stop(held(side=-1)) == 50_375


@pytest.mark.parametrize("rule", [TakeProfit(), BreakEven(), TrailingStop(), Milestones(), OppositeSignal()], ids=lambda r: r.name)
def test_rules_that_wait_have_no_first_stop(rule: Exit) -> None:
    assert math.isnan(rule.first_stop(held()))
    several = Holding(side=np.array([[1], [-1]]), entry=np.full((2, 1), 9.0), leverage=5, atr=1.0, fee_in=0.0, fee_out=0.0)
    assert rule.first_stop(several).shape == (2, 1)


@pytest.mark.parametrize("rule", [StopLoss(), TakeProfit(), AtrStop(), OppositeSignal()], ids=lambda r: r.name)
def test_rules_fixed_at_entry_do_not_follow(rule: Exit) -> None:
    assert rule.stops(held(), walked(1, 0, 100)) is None


# stops that follow


@SIDES
def test_break_even_waits_for_its_roi_and_then_stays(side: int) -> None:
    # ROI 0.02 at 10x is a move of 100
    found = levels(BreakEven(), held(side=side), walked(side, 99.9, 100, 500, -300))
    assert math.isnan(found[0])
    assert found[1:] == pytest.approx([50_000 * (1 + side * 0.0014)] * 3)


@SIDES
@given(entry=st.floats(1e-3, 1e6), leverage=st.integers(1, 50), fee_in=st.floats(0, 0.001), fee_out=st.floats(0, 0.001))
def test_a_stop_at_break_even_loses_nothing_after_fees_and_slippage(
    side: int, entry: float, leverage: int, fee_in: float, fee_out: float
) -> None:
    position = Holding(side=side, entry=entry, leverage=leverage, atr=1.0, fee_in=fee_in, fee_out=fee_out)
    level = levels(BreakEven(), position, walked(side, entry * 0.05, entry=entry))[0]
    filled = level * (1 - side * 0.0001)
    assert side * (filled - entry) - fee_in * entry - fee_out * filled >= 0


@SIDES
def test_trailing_stop_follows_the_best_price_from_its_activation_on(side: int) -> None:
    # ROI 0.04 at 10x is a move of 200, the distance 0.02 one of 100
    found = levels(TrailingStop(), held(side=side), walked(side, 0, 199.9, 200, 260, 100, 250))
    assert np.isnan(found[:2]).all()
    assert found[2:] == pytest.approx([50_000 + side * gain for gain in (100, 160, 160, 160)], abs=1e-8)


@SIDES
def test_milestones_lock_each_step_as_it_is_reached(side: int) -> None:
    found = levels(Milestones(), held(side=side), walked(side, 49.9, 50, 100, 99, 150, 200, 300, 399.9, 400, 5_000))
    locked = [math.nan, 0.002, 0.008, 0.008, 0.015, 0.025, 0.04, 0.04, 0.06, 0.06]
    assert found == pytest.approx([50_000 + side * 5_000 * roi for roi in locked], abs=1e-8, nan_ok=True)


@pytest.mark.parametrize("rule", FOLLOWING, ids=lambda r: r.name)
@SIDES
def test_the_activation_is_met_by_equality_at_every_leverage(rule: Exit, side: int) -> None:
    roi = getattr(rule, "activation_roi", 0.01)
    for leverage in (1, 2, 4, 5, 8, 10):
        move = round(roi * 50_000 / leverage, 6)
        found = levels(rule, held(side=side, leverage=leverage), walked(side, move - 0.001, move))
        assert np.isnan(found).tolist() == [True, False], leverage


@pytest.mark.parametrize(
    "steps", [((0.02, 0.01), (0.01, 0.005)), ((0.01, 0.005), (0.02, 0.001)), ((0.01, 0.01),), ((0.01, math.nan),)]
)
def test_milestones_that_would_loosen_or_lock_too_much_are_refused(steps: Any) -> None:
    with pytest.raises(ConfigError, match="exit milestones"):
        Milestones(steps=steps)


@SIDES
def test_opposite_signal_closes_on_the_other_sides_score_only(side: int) -> None:
    score = -side * np.array([75.0, 74.9, -75.0, math.nan, 160.0])
    path = msgspec.structs.replace(walked(side, 0, 0, 0, 0, 0), score=score)
    found = OppositeSignal().closes(held(side=side), path)
    assert found is not None
    assert found.tolist() == [True, False, False, False, True]


@pytest.mark.parametrize(
    "rule", [StopLoss(), TakeProfit(), BreakEven(), TrailingStop(), AtrStop(), Milestones()], ids=lambda r: r.name
)
def test_the_other_rules_close_nothing(rule: Exit) -> None:
    assert rule.closes(held(), walked(1, 0, 1)) is None


# laws

WALKS = st.lists(st.lists(st.floats(0.9, 1.1), min_size=3, max_size=3), min_size=1, max_size=12)


@st.composite
def journeys(draw: st.DrawFn) -> tuple[Holding, Path]:
    """A position of either side and a path that may hold bad ticks (NaN)."""
    entry = draw(st.floats(0.001, 100_000))
    rows = np.array(draw(WALKS)).T * entry
    high, low, close = rows.max(axis=0), rows.min(axis=0), rows[0]
    for i in draw(st.lists(st.integers(0, len(close) - 1), max_size=2)):
        high[i] = low[i] = math.nan
    score = np.array(draw(st.lists(st.floats(-160, 160) | st.just(math.nan), min_size=len(close), max_size=len(close))))
    position = held(draw(st.sampled_from([1, -1])), draw(st.integers(1, 100)), entry, draw(st.floats(0, entry / 10)))
    return position, Path(open=close, high=high, low=low, close=close, score=score)


@pytest.mark.parametrize("rule", FOLLOWING, ids=lambda r: r.name)
@given(journey=journeys())
def test_r16_a_stop_never_loosens_and_never_disappears(rule: Exit, journey: tuple[Holding, Path]) -> None:
    position, path = journey
    found = levels(rule, position, path)
    there = ~np.isnan(found)
    assert there.tolist() == sorted(there.tolist())
    assert (np.diff(position.side * found[there]) >= 0).all()


@pytest.mark.parametrize("rule", [BreakEven(), TrailingStop(), Milestones()], ids=lambda r: r.name)
@given(journey=journeys())
def test_r14_a_stop_that_follows_locks_a_profit_short_of_the_best_price(rule: Exit, journey: tuple[Holding, Path]) -> None:
    position, path = journey
    found = levels(rule, msgspec.structs.replace(position, leverage=min(position.leverage, 10)), path)
    side = position.side
    best = np.fmax.accumulate(side * (path.high if side > 0 else path.low))
    there = ~np.isnan(found)
    assert (side * found[there] > side * position.entry).all()
    assert (side * found[there] < best[there]).all()


@pytest.mark.parametrize("rule", [*FOLLOWING, OppositeSignal()], ids=lambda r: r.name)
@given(journey=journeys())
def test_no_bar_is_known_before_it_closes(rule: Exit, journey: tuple[Holding, Path]) -> None:
    position, path = journey
    for answer in (rule.stops, rule.closes):
        whole = answer(position, path)
        for m in range(1, len(path.close) + 1):
            part = answer(position, Path(path.open[:m], path.high[:m], path.low[:m], path.close[:m], path.score[:m]))
            assert (part is None) == (whole is None)
            assert part is None or whole is None or part.tobytes() == whole[:m].tobytes()


def together(journeys_: list[tuple[Holding, Path]]) -> tuple[Holding, Path]:
    """Several positions as one batch: (m, 1) fields and (m, k) arrays, paths cut to the shortest."""
    k = min(len(path.close) for _, path in journeys_)
    column = {
        name: np.array([[getattr(position, name)] for position, _ in journeys_]) for name in ("side", "entry", "leverage", "atr")
    }
    rows = [np.stack([getattr(path, name)[:k] for _, path in journeys_]) for name in ("open", "high", "low", "close", "score")]
    return Holding(**column, fee_in=0.0006, fee_out=0.0006), Path(*rows)


@pytest.mark.parametrize("rule", [rule() for rule in EXITS], ids=lambda r: r.name)
@given(several=st.lists(journeys(), min_size=1, max_size=4))
def test_a_batch_of_positions_equals_each_on_its_own_to_the_bit(rule: Exit, several: list[tuple[Holding, Path]]) -> None:
    position, path = together(several)
    k = path.close.shape[-1]
    first, stops, targets, closes = (
        rule.first_stop(position),
        rule.stops(position, path),
        rule.targets(position),
        rule.closes(position, path),
    )
    assert first.shape == (len(several), 1)
    assert stops is None or stops.shape == path.close.shape
    for i, (one, its) in enumerate(several):
        alone = Path(its.open[:k], its.high[:k], its.low[:k], its.close[:k], its.score[:k])
        assert np.array_equal(first[i, 0], rule.first_stop(one), equal_nan=True)
        own_stops, own_closes = rule.stops(one, alone), rule.closes(one, alone)
        assert (stops is None) == (own_stops is None)
        assert (closes is None) == (own_closes is None)
        if stops is not None and own_stops is not None:
            assert np.array_equal(stops[i], own_stops, equal_nan=True)
        if closes is not None and own_closes is not None:
            assert closes[i].tolist() == own_closes.tolist()
        assert [(t.level[i, 0], t.fraction) for t in targets] == [(t.level, t.fraction) for t in rule.targets(one)]


@pytest.mark.parametrize("rule", [rule() for rule in EXITS], ids=lambda r: r.name)
def test_an_exit_leaves_its_inputs_as_they_were(rule: Exit) -> None:
    path = msgspec.structs.replace(walked(1, 0, 300, 100), score=np.array([1.0, -90.0, math.nan]))
    before = [np.copy(getattr(path, name)) for name in ("open", "high", "low", "close", "score")]
    for array in (path.open, path.high, path.low, path.close, path.score):
        array.flags.writeable = False
    rule.stops(held(), path)
    rule.closes(held(), path)
    after = [getattr(path, name) for name in ("open", "high", "low", "close", "score")]
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(before, after, strict=True))
