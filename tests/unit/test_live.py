"""One closed bar at a time: the same evaluation as over the whole history, and what happens when an indicator fails."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enigma_core.errors import ConfigError, DataError
from enigma_core.faults import Quarantine
from enigma_core.lines import Floats
from enigma_core.live import LiveEvaluator, bar_at
from enigma_core.market import Market
from enigma_core.model import Candles
from enigma_core.parts import Indicator, LiveIndicator, MarketGate
from enigma_core.plan import ConfidenceRule, Plan, Thresholds, Timeframes
from enigma_core.rolling import Rolling
from enigma_core.scoring import Evaluation, evaluate
from enigma_plugins import indicators as shelf
from markets import START, random_candles
from told import NAN, PARTLY, WHOLE, Misbehaving, Rsi, Says, Told, ToldAtr

MINUTE = 60_000
ONE = Timeframes(primary="5m", secondary=None, available=("5m",))
FIELDS = ("ts", "close", "score", "side", "confidence", "agreeing", "voting", "atr")


class Reads(MarketGate, frozen=True, kw_only=True):
    """A gate that reads lines."""

    name = "reads"
    reads = ("adx", "ema_trend", "rsi")

    def measure(self, evaluation: Evaluation) -> Floats:
        return evaluation.score


def built_in() -> dict[str, Indicator]:
    """Every indicator on the shelf, with its defaults."""
    import importlib
    import pkgutil

    parts: dict[str, Indicator] = {}
    for module in pkgutil.iter_modules(shelf.__path__):
        found = importlib.import_module(f"{shelf.__name__}.{module.name}")
        if any(getattr(value, "enigma_impl", None) for value in vars(found).values()):
            for part in found.enigma_indicators():
                parts[part.name] = part()
    return parts


BUILT_IN = built_in()
SMALL: dict[str, Indicator] = {
    "rsi": Rsi(),
    "slow": Rsi(period=14, max_points=70.0),
    "window": Told(table=(50.0, -30.0, 7.3, NAN, 0.0), early=0),
    "atr": ToldAtr(table=(0.03, 0.07, 0.045, 0.01, 0.02)),
}


def said(evaluation: Evaluation, row: int) -> list[Any]:
    """All of one row, as bytes."""
    columns = [getattr(evaluation, field)[row : row + 1] for field in FIELDS]
    columns += [evaluation.points[:, row], *(scores[row : row + 1] for scores in evaluation.scores.values())]
    for timeframe in {evaluation.timeframe, evaluation.secondary or evaluation.timeframe}:
        columns += [
            evaluation.line(name, timeframe)[row : row + 1] for name in ("adx", "ema_trend", "rsi") if name in evaluation.names
        ]
    return [evaluation.names, tuple(evaluation.scores), *(np.ascontiguousarray(column).tobytes() for column in columns)]


def walk(evaluator: LiveEvaluator, candles: Candles) -> Iterator[Evaluation]:
    """Push `candles` one by one; each evaluation as its primary bar closes."""
    for i in range(len(candles)):
        bar = bar_at(candles, i)
        evaluator.push(bar)
        if evaluator.primary_closed:
            yield evaluator.evaluate(None, bar.end)


def assert_equal(base: Candles, plan: Plan, warm: int = 0) -> int:
    """Every row that the live path gives after `warm` bars equals the history's; gives their number."""
    history = evaluate(base, plan)
    evaluator = LiveEvaluator(base.symbol, base.timeframe, plan)
    evaluator.warm(base[:warm])
    warmed = base.ts[warm - 1] + 5 * MINUTE if warm else -1
    left = {int(ts): row for row, ts in enumerate(history.ts) if base.timeframe != "5m" or ts > warmed}
    rows = 0
    for now in walk(evaluator, base[warm:]):
        row = left.pop(int(now.ts[0]))
        assert said(now, 0) == said(history, row), f"row {row} at {now.ts[0]}"
        rows += 1
    assert not left
    return rows


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    gaps=st.sampled_from([0.0, 0.0, 0.3, 0.85]),
    n=st.integers(1, 500),
    warm=st.integers(0, 500),
    primary=st.sampled_from(["5m", "15m", "1h"]),
    secondary=st.sampled_from([None, "30m", "2h"]),
)
def test_live_equals_history_to_the_last_bit(
    seed: int, gaps: float, n: int, warm: int, primary: str, secondary: str | None
) -> None:
    timeframes = Timeframes(primary=primary, secondary=secondary, available=("5m", "30m", "4h"))
    plan = Plan(timeframes=timeframes, indicators=SMALL, confidence=ConfidenceRule(quiet_window=12), market_gates={"r": Reads()})
    base = random_candles("X", n, seed, gaps=gaps)
    assert_equal(base, plan, min(warm, len(base)))


@settings(max_examples=6)
@given(seed=st.integers(0, 10_000), gaps=st.sampled_from([0.0, 0.2]), warm=st.sampled_from([0, 700]))
def test_live_equals_history_with_every_built_in_indicator(seed: int, gaps: float, warm: int) -> None:
    timeframes = Timeframes(primary="15m", secondary="1h", available=("5m", "15m", "1h"))
    plan = Plan(timeframes=timeframes, indicators=BUILT_IN, confidence=ConfidenceRule(quiet_window=60), market_gates={"r": Reads()})
    assert assert_equal(random_candles("X", 1300, seed, gaps=gaps), plan, warm) > 100


def test_live_equals_history_long_after_old_bars_are_forgotten() -> None:
    plan = Plan(timeframes=ONE, indicators=SMALL)
    evaluator = LiveEvaluator("X", "5m", plan)
    base = random_candles("X", 4000, 7)
    history = evaluate(base, plan)
    for row, now in enumerate(walk(evaluator, base)):
        assert now.score[0] == history.score[row]
        assert now.confidence[0] == history.confidence[row]
    assert evaluator._base.held < 2000


@pytest.mark.parametrize(
    ("file", "timeframe", "bars"),
    [("binance_usdm_5m/BTCUSDT", "5m", 2600), ("binance_usdm_5m/XRPUSDT", "5m", 2600), ("gaps/UNITTESTBTC-1m", "1m", 2000)],
)
def test_live_equals_history_on_real_candles(market_data: Path, file: str, timeframe: str, bars: int) -> None:
    with gzip.open(market_data / "candles" / f"{file}.csv.gz", "rt") as lines:
        rows = np.loadtxt(lines, delimiter=",", skiprows=1, max_rows=bars)
    base = Candles.of("X", timeframe, *rows.T)
    timeframes = Timeframes(primary="15m", secondary="1h", available=("5m", "15m", "1h", "4h"))
    plan = Plan(timeframes=timeframes, indicators=BUILT_IN, market_gates={"r": Reads()})
    assert assert_equal(base, plan) > 100
    if timeframe == "5m":
        assert assert_equal(base, plan, warm=2000) == 200


# what has just closed


def test_primary_closed_tells_whether_the_last_bar_completed_one() -> None:
    evaluator = LiveEvaluator("X", "5m", Plan(timeframes=Timeframes(primary="15m", secondary=None), indicators=SMALL))
    base = random_candles("X", 8, 1)
    told = []
    for i in range(8):
        evaluator.push(bar_at(base, i))
        told.append(evaluator.primary_closed)
    assert told == [False, False, True, False, False, True, False, False]


def test_after_warming_nothing_counts_as_just_closed_and_bars_go_on() -> None:
    evaluator = LiveEvaluator("X", "5m", Plan(timeframes=ONE, indicators=SMALL))
    base = random_candles("X", 20, 1)
    evaluator.warm(base[:10])
    assert evaluator.ready
    assert not evaluator.primary_closed
    evaluator.warm(base[10:15])
    assert not evaluator.primary_closed
    (now,) = walk(evaluator, base[15:16])
    assert said(now, 0) == said(evaluate(base, Plan(timeframes=ONE, indicators=SMALL)), 15)


def test_before_the_first_primary_bar_there_is_nothing_to_evaluate() -> None:
    evaluator = LiveEvaluator("X", "5m", Plan(timeframes=Timeframes(primary="1h"), indicators=SMALL))
    evaluator.warm(random_candles("X", 5, 1))
    assert not evaluator.ready
    with pytest.raises(DataError, match="no bar of 1h has closed yet"):
        evaluator.evaluate(None, START)


@pytest.mark.parametrize("again", [4, 3])
def test_a_bar_that_is_not_newer_is_refused(again: int) -> None:
    evaluator = LiveEvaluator("X", "5m", Plan(timeframes=ONE, indicators=SMALL))
    base = random_candles("X", 5, 1)
    evaluator.warm(base)
    with pytest.raises(DataError, match="bars must come in order, once"):
        evaluator.push(bar_at(base, again))


def test_an_impossible_primary_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match=r"timeframes\.primary is 5m"):
        LiveEvaluator("X", "15m", Plan(timeframes=ONE))


def test_a_line_no_gate_announced_is_kept_up_once_read() -> None:
    plan = Plan(timeframes=ONE, indicators=SMALL)
    base = random_candles("X", 120, 1)
    evaluator = LiveEvaluator("X", "5m", plan)
    history = evaluate(base, plan).line("rsi")
    for row, now in enumerate(walk(evaluator, base)):
        if row >= 90:
            assert now.line("rsi")[0] == history[row]


def test_a_line_is_read_before_the_next_bar_or_not_at_all() -> None:
    evaluator = LiveEvaluator("X", "5m", Plan(timeframes=ONE, indicators=SMALL))
    first, _ = walk(evaluator, random_candles("X", 2, 1))
    with pytest.raises(DataError, match="after the next bar"):
        first.line("rsi")


@pytest.mark.parametrize(("name", "timeframe"), [("adx", None), ("rsi", "2h"), ("window", None)])
def test_a_line_that_cannot_be_had_is_refused_live_too(name: str, timeframe: str | None) -> None:
    evaluator = LiveEvaluator("X", "5m", Plan(timeframes=ONE, indicators=SMALL))
    (now,) = walk(evaluator, random_candles("X", 1, 1))
    with pytest.raises(ConfigError, match="is read by a gate but"):
        now.line(name, timeframe)


# microstructure


def live(points: float, market: Market | None, **says: LiveIndicator) -> Evaluation:
    """One bar with `points`, and live indicators."""
    plan = Plan(timeframes=ONE, indicators={"a": Told(table=(points,), max_points=300.0)}, microstructure=says)
    evaluator = LiveEvaluator("X", "5m", plan)
    evaluator.push(bar_at(random_candles("X", 1, 1), 0))
    return evaluator.evaluate(market, START + 5 * MINUTE)


def test_microstructure_votes_where_there_is_a_market() -> None:
    now = live(50.0, Market("X"), book=Says(points=15.0), trades=Says(points=-5.0), rate=Says(points=NAN))
    assert now.names == ("a", "book", "trades", "rate")
    assert now.score.tolist() == [60.0]
    assert (now.agreeing[0], now.voting[0]) == (2, 3)
    assert now.scores["5m"].tolist() == [60.0]
    assert now.market is not None


def test_without_a_market_microstructure_is_not_asked() -> None:
    now = live(50.0, None, book=Says(points=None))
    assert (now.names, now.score.tolist(), now.faults) == (("a",), [50.0], ())


def test_the_clamp_is_wider_only_where_microstructure_voted() -> None:
    assert live(230.0, Market("X"), book=Says(points=0.0)).score.tolist() == [Thresholds().max_score_live]
    assert live(-230.0, Market("X"), book=Says(points=-1.0)).score.tolist() == [-220.0]
    assert live(230.0, Market("X"), book=Says(points=NAN)).score.tolist() == [Thresholds().max_score]
    assert live(230.0, None, book=Says()).score.tolist() == [160.0]


@pytest.mark.parametrize("points", [None, "buy", float("inf"), 15.1, -15.1])
def test_p08_a_live_indicator_that_answers_rubbish_abstains_and_is_named(points: Any) -> None:
    now = live(50.0, Market("X"), book=Says(points=points), trades=Says(points=5.0))
    assert now.score.tolist() == [55.0]
    assert [fault.name for fault in now.faults] == ["book"]
    assert np.isnan(now.points[1, 0])


# faults


@pytest.mark.parametrize("what", [*WHOLE, *PARTLY])
def test_p08_rubbish_abstains_live_and_is_named(what: str) -> None:
    parts: dict[str, Indicator] = {"good": Told(table=(70.0,)), "bad": Misbehaving(what=what, at=10 * MINUTE)}
    evaluator = LiveEvaluator("X", "5m", Plan(timeframes=ONE, indicators=parts))
    seen = [(float(now.score[0]), [f.name for f in now.faults]) for now in walk(evaluator, random_candles("X", 4, 1))]
    assert seen == [(75.0, []), (75.0, []), (70.0, ["bad"]), (70.0, ["bad"])]


def test_p06_three_faults_in_ten_minutes_switch_an_indicator_off_and_are_told() -> None:
    quarantine = Quarantine()
    parts: dict[str, Indicator] = {"good": Told(table=(70.0,)), "bad": Misbehaving(at=10 * MINUTE)}
    evaluator = LiveEvaluator("X", "5m", Plan(timeframes=ONE, indicators=parts), quarantine)
    news, faults = [], []
    for now in walk(evaluator, random_candles("X", 7, 1)):
        news.append(len(quarantine.news()))
        faults.append(now.faults_at(0))
        assert now.score[0] == (75.0 if len(news) <= 2 else 70.0)
    # bars 3, 4, 5 fail, ten minutes from first to last
    assert news == [0, 0, 0, 0, 1, 0, 0]
    assert faults[4] == ("bad on 5m raised ValueError: no idea",)
    assert faults[5] == ("bad on 5m is switched off",)
    assert quarantine.off["bad"].startswith("bad is switched off: it failed 3 times within 10 minutes, the last time it raised")


def test_p06_faults_further_apart_do_not_switch_off() -> None:
    quarantine = Quarantine()
    parts: dict[str, Indicator] = {"bad": Misbehaving()}
    evaluator = LiveEvaluator(
        "X", "5m", Plan(timeframes=Timeframes(primary="15m", secondary=None, available=()), indicators=parts), quarantine
    )
    assert sum(len(now.faults) for now in walk(evaluator, random_candles("X", 30, 1))) == 10
    assert quarantine.news() == ()


def test_p06_failing_on_many_symbols_at_one_moment_is_one_failure_and_all_are_spared_the_fourth() -> None:
    quarantine = Quarantine()
    plan = Plan(timeframes=ONE, indicators={"bad": Misbehaving()})
    evaluators = [LiveEvaluator(symbol, "5m", plan, quarantine) for symbol in "ABCD"]
    walks = [walk(e, random_candles(e.symbol, 4, 1)) for e in evaluators]
    faults = [[now.faults_at(0)[0] for now in moment] for moment in zip(*walks, strict=True)]
    assert faults[:2] == [["bad on 5m raised ValueError: no idea"] * 4] * 2
    assert faults[3] == ["bad on 5m is switched off"] * 4
    assert len(quarantine.news()) == 1


def test_p06_an_indicator_that_recovers_streams_on_from_the_true_history() -> None:
    class Hiccup(Rsi, frozen=True, kw_only=True):
        """Fails on one bar, half-way through its lines."""

        name = "hiccup"

        def points(self, candles: Candles) -> Floats:
            answer = super().points(candles)
            if len(candles) and candles.ts[-1] == START + 100 * 5 * MINUTE:
                raise ValueError("hiccup")
            return answer

    base = random_candles("X", 160, 2)
    evaluator = LiveEvaluator("X", "5m", Plan(timeframes=ONE, indicators={"a": Hiccup()}))
    history = evaluate(base, Plan(timeframes=ONE, indicators={"a": Rsi()}))
    scores = [float(now.score[0]) for now in walk(evaluator, base)]
    assert scores[100] == 0.0
    assert scores[:100] + scores[101:] == history.score[:100].tolist() + history.score[101:].tolist()


def test_p06_a_warm_up_that_raises_is_a_fault_like_any_other() -> None:
    class Broken(Told, frozen=True, kw_only=True):
        name = "broken"

        @property
        def warmup(self) -> int:
            raise ValueError("how should I know")

    plan = Plan(timeframes=ONE, indicators={"a": Broken(), "b": Told(table=(5.0,))})
    base = random_candles("X", 1, 1)
    (now,) = walk(LiveEvaluator("X", "5m", plan), base)
    assert now.faults_at(0) == evaluate(base, plan).faults_at(0) == ("a on 5m raised ValueError: how should I know",)
    assert now.score.tolist() == [5.0]


# the bars held


def test_rolling_bars_keep_what_is_needed_and_forget_the_rest() -> None:
    rolling = Rolling("X", "5m", keep=100)
    base = random_candles("X", 1000, 1)
    early = None
    for i in range(1000):
        if rolling.full:
            rolling.forget()
        bar = bar_at(base, i)
        rolling.append(bar.ts, bar.open, bar.high, bar.low, bar.close, bar.volume)
        if i == 200:
            early = rolling.newest(50, base.ta)
    assert rolling.count == 1000
    assert 100 <= rolling.held <= 300
    assert rolling.newest(100, base.ta).volume.tolist() == base.volume[-100:].tolist()
    assert rolling.between(950, 960, base.ta).ts.tolist() == base.ts[950:960].tolist()
    assert early is not None
    # a view handed out does not change, and cannot be changed
    assert early.close.tolist() == base.close[151:201].tolist()
    assert not early.close.flags.writeable


def test_rolling_bars_never_forget_what_is_held() -> None:
    rolling = Rolling("X", "5m", keep=10)
    rolling.extend(random_candles("X", 500, 1))
    rolling.forget(hold=120)
    assert rolling.offset == 120
    rolling.forget()
    assert rolling.offset == 490
