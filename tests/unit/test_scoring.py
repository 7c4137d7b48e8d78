"""Points to score, class, confidence, agreement."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enigma_core.errors import ConfigError
from enigma_core.model import Class
from enigma_core.parts import Indicator
from enigma_core.plan import ConfidenceRule, Plan, Thresholds, Timeframes
from enigma_core.scoring import Evaluation, evaluate, klass, quiet_bars, usable
from markets import START, random_candles
from told import NAN, PARTLY, WHOLE, Misbehaving, Rsi, Told, ToldAtr

MINUTE = 60_000
ONE = Timeframes(primary="5m", secondary=None, available=("5m",))


def told(*tables: tuple[float, ...], atr: tuple[float, ...] | None = None, n: int = 1, **settings: object) -> Evaluation:
    """`n` bars on which each indicator gives the points of its table."""
    parts: dict[str, Indicator] = {f"i{i}": Told(table=table) for i, table in enumerate(tables)}
    if atr is not None:
        parts["atr"] = ToldAtr(table=atr)
    return evaluate(random_candles("X", n, 1), Plan(timeframes=ONE, indicators=parts, **settings))  # type: ignore[arg-type]


def votes(*points: float, atr: float = 0.01) -> Evaluation:
    """One bar with these points."""
    return told(*((p,) for p in points), atr=(atr,))


# class


@pytest.mark.parametrize(
    ("size", "bullish", "bearish"),
    [
        (220, Class.EXTREME_BUY, Class.EXTREME_SELL),
        (130, Class.EXTREME_BUY, Class.EXTREME_SELL),
        (math.nextafter(130, 0), Class.STRONG_BUY, Class.STRONG_SELL),
        (95, Class.STRONG_BUY, Class.STRONG_SELL),
        (math.nextafter(95, 0), Class.BUY, Class.SELL),
        (65, Class.BUY, Class.SELL),
        (math.nextafter(65, 0), Class.BUY_WEAK, Class.SELL_WEAK),
        (40, Class.BUY_WEAK, Class.SELL_WEAK),
        (math.nextafter(40, 0), Class.NEUTRAL, Class.NEUTRAL),
        (0, Class.NEUTRAL, Class.NEUTRAL),
    ],
)
def test_each_class_begins_exactly_at_its_threshold(size: float, bullish: Class, bearish: Class) -> None:
    assert klass(size, Thresholds()) is bullish
    assert klass(-size, Thresholds()) is bearish


def test_classes_follow_the_settings_and_nan_is_neutral() -> None:
    assert klass(12, Thresholds(weak=5, plain=10, strong=20, extreme=30)) is Class.BUY
    assert klass(NAN, Thresholds()) is Class.NEUTRAL


# score


def test_the_score_is_the_sum_of_points() -> None:
    evaluation = votes(40.0, -17.6, 11.88)
    assert evaluation.score.tolist() == [34.28]
    assert evaluation.side.tolist() == [1]
    assert votes(-40.0, 17.6).side.tolist() == [-1]
    assert votes(10.0, -10.0).side.tolist() == [0]


def test_a_sum_of_decimals_meets_the_threshold_it_adds_up_to() -> None:
    parts = [11.88, 5.1, 17.6, 17.47, 13.6, 9.35]
    assert sum(parts) != 75.0
    assert votes(*parts).score.tolist() == [75.0]
    assert math.copysign(1, votes(1e-12, -2e-12).score[0]) == 1.0


def test_the_score_is_clamped_without_microstructure() -> None:
    assert votes(100.0, 61.0).score.tolist() == [160.0]
    assert votes(100.0, 60.0).score.tolist() == [160.0]
    assert votes(-100.0, -61.0).score.tolist() == [-160.0]
    assert told((90.0,), thresholds=Thresholds(max_score=50.0)).score.tolist() == [50.0]


def test_who_abstains_adds_nothing_and_is_no_camp() -> None:
    evaluation = votes(30.0, NAN, 0.0, -5.0)
    assert evaluation.score.tolist() == [25.0]
    assert (evaluation.agreeing[0], evaluation.voting[0]) == (1, 3)
    assert np.isnan(evaluation.points[1, 0])
    assert evaluation.names == ("i0", "i1", "i2", "i3")


@pytest.mark.parametrize(
    ("points", "agreeing", "voting"),
    [
        ((1.0, 2.0, -1.0), 2, 3),
        ((-1.0, -2.0, 1.0), 2, 3),
        ((1.0, -9.0), 1, 2),
        ((0.0, 0.0), 0, 2),
        ((NAN,), 0, 0),
        ((1.0, 1.0, 0.0, NAN), 2, 3),
    ],
)
def test_agreeing_is_the_larger_camp_of_those_that_vote(points: tuple[float, ...], agreeing: int, voting: int) -> None:
    evaluation = votes(*points)
    assert (evaluation.agreeing[0], evaluation.voting[0]) == (agreeing, voting)


def test_indicators_without_points_never_vote() -> None:
    parts: dict[str, Indicator] = {"a": Told(table=(70.0,)), "silent": Told(table=(0.0,), max_points=0.0), "atr": ToldAtr()}
    evaluation = evaluate(random_candles("X", 3, 1), Plan(timeframes=ONE, indicators=parts))
    assert evaluation.names == ("a",)
    assert evaluation.voting.tolist() == [1, 1, 1]


# confidence


def expected_confidence(points: tuple[float, ...], atr: float) -> float:
    """The rule as written, a number at a time, quiet aside."""
    voting = [p for p in points if not math.isnan(p)]
    score, bulls, bears = abs(sum(voting)), sum(p > 0 for p in voting), sum(p < 0 for p in voting)
    hundredths = 100
    hundredths -= 10 if score < 60 else 0
    hundredths -= 6 if atr > 0.06 else 3 if atr > 0.04 else 0
    hundredths -= 2 * min(bulls, bears)
    hundredths -= 5 if not voting or max(bulls, bears) / len(voting) < 0.6 else 0
    return max(0, hundredths) / 100


POINTS = (
    (60.0,),
    (59.99,),
    (30.0, 30.0, 30.0, -20.0, -10.0),
    (90.0, 40.0, -20.0, -10.0),
    (90.0, 0.0),
    (90.0, NAN),
    (-60.0,),
    (-59.0, 1.0),
    (NAN,),
    tuple([90.0, -80.0] * 12),
)


@pytest.mark.parametrize(("points", "atr"), list(product(POINTS, (0.01, 0.04, 0.0401, 0.06, 0.0601, NAN))))
def test_confidence_takes_off_exactly_what_the_table_says(points: tuple[float, ...], atr: float) -> None:
    assert votes(*points, atr=atr).confidence[0] == expected_confidence(points, atr)


def test_confidence_never_falls_below_zero() -> None:
    rule = ConfidenceRule(minority_penalty=0.5)
    parts: dict[str, Indicator] = {f"i{i}": Told(table=(10.0 if i % 2 else -10.0,)) for i in range(8)}
    evaluation = evaluate(random_candles("X", 1, 1), Plan(timeframes=ONE, indicators=parts, confidence=rule))
    assert evaluation.confidence.tolist() == [0.0]
    assert math.copysign(1, evaluation.confidence[0]) == 1.0


def test_a_confidence_of_exactly_the_gates_limit_is_that_number() -> None:
    # 1 - 0.10 - 0.05
    assert votes(30.0, 0.0).confidence.tolist() == [0.85]


@pytest.mark.parametrize(
    ("smaller", "score", "penalty"), [(124, 79.99, 0.05), (125, 79.99, 0.0), (124, 80.0, 0.0), (0, -70.0, 0.05), (499, 70.0, 0.0)]
)
def test_quiet_is_the_lowest_quarter_of_the_last_500_bars(smaller: int, score: float, penalty: float) -> None:
    before = tuple([0.001] * smaller + [0.002] * (499 - smaller))
    evaluation = told((score,), atr=(*before, 0.0015), n=500)
    assert evaluation.confidence[-1] == 1.0 - penalty
    # one bar short of a full window nothing is known
    assert told((score,), atr=(*before[1:], 0.0015), n=499).confidence[-1] == 1.0


def test_the_quiet_window_forgets_what_is_older() -> None:
    # 200 calm bars long ago, then 499 lively ones: today is calm among the last 500
    evaluation = told((70.0,), atr=tuple([0.001] * 200 + [0.003] * 499 + [0.002]), n=700)
    assert evaluation.confidence[-1] == 0.95


@settings(max_examples=40)
@given(
    ratios=st.lists(st.sampled_from([0.001, 0.002, 0.003, 0.004, NAN]), max_size=60),
    window=st.integers(4, 12),
    quarter=st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 1.0]),
)
def test_quiet_agrees_with_counting(ratios: list[float], window: int, quarter: float) -> None:
    first = next((i for i, r in enumerate(ratios) if r == r), len(ratios))
    found = quiet_bars(np.array(ratios), ConfidenceRule(quiet_window=window, quiet_quarter=quarter))
    for i, ratio in enumerate(ratios):
        last = ratios[max(0, i - window + 1) : i + 1]
        full = i - first + 1 >= window
        assert found[i] == (full and ratio == ratio and sum(r < ratio for r in last) < quarter * window)


def test_without_an_atr_indicator_volatility_takes_nothing_off() -> None:
    evaluation = told((70.0,), n=600)
    assert np.isnan(evaluation.atr).all()
    assert (evaluation.confidence == 1.0).all()


# timeframes


def test_a_higher_timeframe_counts_from_the_moment_its_bar_has_closed() -> None:
    parts: dict[str, Indicator] = {"a": Told(table=(10.0, 20.0, 30.0, 40.0, 50.0, 60.0))}
    plan = Plan(timeframes=Timeframes(primary="5m", secondary=None, available=("5m", "15m")), indicators=parts)
    evaluation = evaluate(random_candles("X", 7, 1), plan)
    assert evaluation.ts.tolist() == [START + (i + 1) * 5 * MINUTE for i in range(7)]
    assert evaluation.scores["5m"].tolist() == [10, 20, 30, 40, 50, 60, 60]
    assert evaluation.scores["15m"].tolist()[2:] == [10, 10, 10, 20, 20]
    assert np.isnan(evaluation.scores["15m"][:2]).all()


def test_a_lower_timeframe_is_its_newest_closed_bar() -> None:
    parts: dict[str, Indicator] = {"a": Told(table=tuple(float(i) for i in range(12)))}
    plan = Plan(timeframes=Timeframes(primary="30m", secondary=None, available=("5m",)), indicators=parts)
    evaluation = evaluate(random_candles("X", 14, 1), plan)
    assert evaluation.scores["30m"].tolist() == [0.0, 1.0]
    assert evaluation.scores["5m"].tolist() == [5.0, 11.0]


def test_timeframes_finer_than_the_data_are_left_out_and_that_is_said() -> None:
    plan = Plan(timeframes=Timeframes(primary="30m", secondary="1h"), indicators={"a": Told()})
    evaluation = evaluate(random_candles("X", 9, 1, timeframe="15m"), plan)
    assert evaluation.left_out == ("5m",)
    assert tuple(evaluation.scores) == ("15m", "30m", "1h", "2h", "4h")
    assert usable(Timeframes(), "1m") == (("5m", "15m", "30m", "1h", "2h", "4h"), ())


@pytest.mark.parametrize(("role", "primary"), [("primary", "5m"), ("secondary", "15m")])
def test_a_primary_or_secondary_finer_than_the_data_is_refused(role: str, primary: str) -> None:
    timeframes = Timeframes(primary=primary, secondary="5m")
    with pytest.raises(ConfigError, match=f"timeframes.{role} is 5m, which bars of 15m cannot make"):
        evaluate(random_candles("X", 3, 1, timeframe="15m"), Plan(timeframes=timeframes))


def test_bars_that_become_known_together_have_one_row_the_newest() -> None:
    base = random_candles("X", 12, 1)[np.r_[0:4, 11:12]]
    parts: dict[str, Indicator] = {"a": Told(table=(10.0, 20.0, 30.0))}
    evaluation = evaluate(base, Plan(timeframes=Timeframes(primary="30m", secondary=None, available=()), indicators=parts))
    assert evaluation.ts.tolist() == [START + 60 * MINUTE]
    assert evaluation.score.tolist() == [20.0]


def test_lines_are_read_as_of_each_row() -> None:
    base = random_candles("X", 200, 3)
    plan = Plan(timeframes=Timeframes(primary="5m", secondary="15m", available=()), indicators={"rsi": Rsi(), "atr": ToldAtr()})
    evaluation = evaluate(base, plan)
    assert np.array_equal(evaluation.line("rsi"), Rsi().line(base), equal_nan=True)
    assert evaluation.line("rsi", "15m")[-1] == evaluation.lines[("15m", "rsi")][-1]
    assert len(evaluation.line("rsi", "15m")) == len(evaluation)


@pytest.mark.parametrize(
    ("name", "timeframe", "said"),
    [
        ("adx", None, "'adx' is read by a gate but not among the indicators"),
        ("rsi", "2h", "'2h' is read by a gate but not built"),
        ("told", None, "'told' is read by a gate but offers no line"),
    ],
)
def test_a_line_that_cannot_be_had_is_refused_with_its_name(name: str, timeframe: str | None, said: str) -> None:
    evaluation = evaluate(random_candles("X", 5, 1), Plan(timeframes=ONE, indicators={"rsi": Rsi(), "told": Told()}))
    with pytest.raises(ConfigError, match=said):
        evaluation.line(name, timeframe)


def test_no_bars_make_an_evaluation_of_no_rows() -> None:
    plan = Plan(timeframes=Timeframes(), indicators={"rsi": Rsi(), "atr": ToldAtr()})
    evaluation = evaluate(random_candles("X", 1, 1)[:0], plan)
    assert len(evaluation) == 0
    assert evaluation.points.shape == (1, 0)
    assert evaluation.line("rsi").shape == (0,)


# faults


@pytest.mark.parametrize("what", WHOLE)
def test_p08_rubbish_abstains_and_is_named(what: str) -> None:
    parts: dict[str, Indicator] = {"good": Told(table=(70.0,)), "bad": Misbehaving(what=what)}
    evaluation = evaluate(random_candles("X", 5, 1), Plan(timeframes=ONE, indicators=parts))
    assert evaluation.score.tolist() == [70.0] * 5
    assert evaluation.voting.tolist() == [1] * 5
    assert np.isnan(evaluation.points[1]).all()
    assert [fault.name for fault in evaluation.faults] == ["bad"]
    (sentence,) = evaluation.faults_at(0)
    assert sentence.startswith("bad on 5m ")
    assert "\n" not in sentence


@pytest.mark.parametrize("what", PARTLY)
def test_p08_points_out_of_bounds_or_nan_past_the_warm_up_abstain_on_their_bars(what: str) -> None:
    parts: dict[str, Indicator] = {"bad": Misbehaving(what=what, at=15 * MINUTE), "good": Told(table=(70.0,))}
    evaluation = evaluate(random_candles("X", 5, 1), Plan(timeframes=ONE, indicators=parts))
    assert evaluation.score.tolist() == [75.0, 75.0, 75.0, 70.0, 70.0]
    assert evaluation.voting.tolist() == [2, 2, 2, 1, 1]
    assert evaluation.faults_at(2) == ()
    assert [fault.name for fault in evaluation.faults] == ["bad"]
    assert evaluation.faults_at(3) == evaluation.faults_at(4) != ()


def test_p06_a_raising_indicator_leaves_the_others_and_says_what_it_raised() -> None:
    parts: dict[str, Indicator] = {"bad": Misbehaving(), "good": Told(table=(70.0,))}
    evaluation = evaluate(random_candles("X", 1, 1), Plan(timeframes=ONE, indicators=parts))
    assert evaluation.faults_at(0) == ("bad on 5m raised ValueError: no idea",)
    assert evaluation.score.tolist() == [70.0]


def test_p09_an_indicator_cannot_change_the_candles() -> None:
    base = random_candles("X", 5, 1)
    close = base.close.copy()
    evaluation = evaluate(base, Plan(timeframes=ONE, indicators={"bad": Misbehaving(what="mutate")}))
    assert base.close.tolist() == close.tolist()
    assert "read-only" in evaluation.faults_at(0)[0]


def test_a_fault_on_another_timeframe_names_it_from_then_on() -> None:
    plan = Plan(
        timeframes=Timeframes(primary="5m", secondary=None, available=("15m",)),
        indicators={"bad": Misbehaving(what="beyond", at=15 * MINUTE)},
    )
    evaluation = evaluate(random_candles("X", 7, 1), plan)
    assert [sum("15m" in s for s in evaluation.faults_at(i)) for i in range(7)] == [0, 0, 0, 0, 0, 1, 1]


def test_points_a_rounding_beyond_the_bound_still_count() -> None:
    parts: dict[str, Indicator] = {"a": Told(table=(math.nextafter(10.0, 11),), max_points=10.0)}
    evaluation = evaluate(random_candles("X", 2, 1), Plan(timeframes=ONE, indicators=parts))
    assert evaluation.faults == ()
    assert evaluation.score.tolist() == [10.0, 10.0]


def test_nan_before_the_warm_up_is_no_fault() -> None:
    parts: dict[str, Indicator] = {"a": Told(table=(NAN, 1.0, NAN, 2.0), early=3), "b": Told(table=(NAN, NAN, NAN, 3.0), early=3)}
    evaluation = evaluate(random_candles("X", 4, 1), Plan(timeframes=ONE, indicators=parts))
    assert evaluation.faults == ()
    assert evaluation.score.tolist() == [0.0, 1.0, 0.0, 5.0]
    assert evaluation.voting.tolist() == [0, 1, 0, 2]


# no look-ahead


def rows(evaluation: Evaluation, stop: int) -> bytes:
    """Everything an evaluation says about its first `stop` rows."""
    lines = [evaluation.line("rsi", "15m"), evaluation.line("rsi")]
    arrays = [getattr(evaluation, f) for f in ("ts", "close", "score", "side", "confidence", "agreeing", "voting", "atr")]
    cut = [a[:stop] for a in (*arrays, *evaluation.points, *evaluation.scores.values(), *lines)]
    return b"".join(np.ascontiguousarray(a).tobytes() for a in cut)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    gaps=st.sampled_from([0.0, 0.3, 0.8]),
    cut=st.integers(0, 400),
    primary=st.sampled_from(["5m", "15m", "30m"]),
)
def test_cutting_the_data_leaves_earlier_rows_unchanged(seed: int, gaps: float, cut: int, primary: str) -> None:
    plan = Plan(
        timeframes=Timeframes(primary=primary, secondary="15m", available=("5m", "15m", "1h")),
        indicators={"rsi": Rsi(), "slow": Rsi(period=14, max_points=60.0), "atr": ToldAtr(table=(0.03, 0.05, 0.07, 0.01))},
        confidence=ConfidenceRule(quiet_window=20),
    )
    base = random_candles("X", 400, seed, gaps=gaps)
    whole = evaluate(base, plan)
    part = evaluate(base[:cut], plan)
    assert len(part) <= len(whole)
    if len(part):
        assert part.ts[-1] <= base.ts[min(cut, len(base)) - 1] + 5 * MINUTE
    assert rows(part, len(part)) == rows(whole, len(part))


def test_an_evaluation_of_one_bar_equals_the_first_row_of_many() -> None:
    rng = np.random.default_rng(5)
    tables = [tuple(rng.normal(0, 8, 50).tolist()) for _ in range(11)]
    many, one = told(*tables, n=50), told(*tables, n=1)
    for field in ("score", "confidence", "agreeing", "voting"):
        assert getattr(many, field)[:1].tobytes() == getattr(one, field).tobytes()
