"""Parts that fail in a backtest: which, what they did and how often is said, and both shells say the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from enigma_core.lines import Floats
from enigma_core.model import Candles, Instrument, Signal, Sizing
from enigma_core.parts import Account, AccountGate, Bools, Exit, Holding, Indicator, MarketGate, Sizer
from enigma_core.parts import Path as Bars
from enigma_core.plan import Timeframes
from enigma_core.scoring import Evaluation
from enigma_core.shells import Result, backtest
from enigma_core.shells.stream import RunStarted
from enigma_plugins.exits.stop_loss import StopLoss
from enigma_plugins.gates.score import Score
from markets import Momentum, Range, instrument, plan, random_candles
from runs import Given, on, ran

AAA = "AAA/USDT:USDT"


class Raising(Indicator, frozen=True, kw_only=True):
    """Never answers."""

    name = "raising"
    max_points: float = 10.0

    def points(self, candles: Candles) -> Floats:
        raise ZeroDivisionError("by zero")


class Wild(Indicator, frozen=True, kw_only=True):
    """Beyond its bound on the rows 50 and 60."""

    name = "wild"
    max_points: float = 10.0

    @property
    def warmup(self) -> int:
        return 1

    def points(self, candles: Candles) -> Floats:
        points = Momentum().points(candles) * 0
        points[:10] = 0.0
        points[[50, 60]] = 12.5, 13.5
        return points


class BrokenMarket(MarketGate, frozen=True, kw_only=True):
    """Measures nothing."""

    name = "broken_market"

    @property
    def limit(self) -> str:
        return "none"

    def measure(self, evaluation: Evaluation) -> Floats:
        raise ValueError("no measure")


class BrokenAccount(AccountGate, frozen=True, kw_only=True):
    """Measures nothing."""

    name = "broken_account"

    @property
    def limit(self) -> str:
        return "none"

    def measure(self, signal: Signal, account: Account) -> float:
        raise ValueError("no account")


class BrokenSizer(Sizer, frozen=True, kw_only=True):
    """Sizes nothing; its words have another number each time."""

    name = "broken_sizer"

    def size(self, signal: Signal, instrument: Instrument, account: Account) -> Sizing:
        raise ValueError(f"no size at {signal.price}")


class BrokenStop(Exit, frozen=True, kw_only=True):
    """No first stop."""

    name = "broken_stop"

    def first_stop(self, position: Holding) -> Any:
        raise ValueError("no first")


class BrokenClose(Exit, frozen=True, kw_only=True):
    """Never knows whether to close."""

    name = "broken_close"

    def closes(self, position: Holding, path: Bars) -> Bools | None:
        raise ValueError("no wish")


def traded(jump: bool, start: int | None = None, **changes: Any) -> Result:
    return backtest(plan(**changes), {AAA: random_candles(AAA, 600, 3)}, {AAA: instrument(AAA)}, start=start, jump=jump)


SOUND = {"a": Momentum(), "b": Momentum(period=7), "c": Momentum(period=1), "atr": Range()}
CASES: list[tuple[dict[str, Any], str]] = [
    ({"indicators": {**SOUND, "raising": Raising()}}, "indicator raising on 5m raised ZeroDivisionError: by zero; it did not vote"),
    ({"market_gates": {"broken": BrokenMarket()}}, "gate broken: raised ValueError: no measure; nothing got past it"),
    ({"account_gates": {"broken": BrokenAccount()}}, "gate broken: raised ValueError: no account; nothing got past it"),
    ({"exits": {"broken": BrokenStop(), "stop_loss": StopLoss()}}, "exit broken: raised ValueError: no first; it had no say"),
    ({"exits": {"broken": BrokenClose(), "stop_loss": StopLoss()}}, "exit broken: raised ValueError: no wish; it had no say"),
]


@pytest.mark.parametrize(("changes", "sentence"), CASES, ids=["indicator", "market gate", "account gate", "stop", "close"])
def test_a_part_that_fails_is_named_alike_by_both_shells(changes: dict[str, Any], sentence: str) -> None:
    jumping, plain = (traded(jump, **changes) for jump in (True, False))
    assert jumping.faults == plain.faults
    assert list(jumping.faults) == [sentence]
    assert jumping.trades == plain.trades


def test_a_fault_counts_for_each_bar_signal_or_position_it_concerned() -> None:
    (indicator, market, account, _, close) = (traded(True, **changes) for changes, _ in CASES)
    assert sum(indicator.faults.values()) == 600
    assert sum(market.faults.values()) == market.rejected["broken"] > 50
    assert sum(account.faults.values()) == account.rejected["broken"] > 50
    assert sum(close.faults.values()) == len(close.trades) > 5


@pytest.mark.parametrize("jump", [True, False])
def test_words_that_differ_in_numbers_only_are_one_fault(jump: bool) -> None:
    failing = traded(jump, sizer=BrokenSizer())
    ((sentence, times),) = failing.faults.items()
    assert sentence.startswith("sizer broken_sizer raised ValueError: no size at ")
    assert times == failing.rejected["size"] > 50
    assert failing.trades == []
    ((sentence, times),) = traded(jump, indicators={**SOUND, "wild": Wild()}).faults.items()
    assert (sentence, times) == ("indicator wild on 5m gave 12.5 points; its bound is 10; it did not vote", 2)


@pytest.mark.parametrize("jump", [True, False])
def test_faults_before_the_start_are_not_counted(jump: bool) -> None:
    candles = random_candles(AAA, 600, 3)
    indicators = {**SOUND, "wild": Wild()}
    assert sum(traded(jump, int(candles.ts[55]), indicators=indicators).faults.values()) == 1
    assert traded(jump, int(candles.ts[300]), indicators=indicators).faults == {}


def test_a_run_says_what_its_data_cannot_make(tmp_path: Path) -> None:
    feed = Given(candles={AAA: random_candles(AAA, 30, 3, timeframe="15m")}, instruments={AAA: instrument(AAA)})
    settings = plan(timeframes=Timeframes(primary="30m", secondary=None, available=("5m", "15m", "30m")))
    (begun,) = ran(on(settings, feed), tmp_path).of(RunStarted)
    assert begun.told[-1:] == ("5m: the data cannot make bars of that length, so timeframes.available goes without",)


def test_a_feed_need_not_know_of_speed_and_reports() -> None:
    feed = Given(candles={}, instruments={})
    assert (feed.speed, feed.report(), feed.report(["X"])) == (0.0, {}, {})


@pytest.mark.parametrize("jump", [True, False])
def test_parts_that_work_are_not_named(jump: bool) -> None:
    assert traded(jump, market_gates={"score": Score(min=30.0)}).faults == {}
