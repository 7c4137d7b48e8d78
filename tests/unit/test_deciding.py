"""From a scored row to an order: leverage, sides, sizes, ids, and what is written down."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk import BTC, INSTRUMENT, Contracts, desk_plan, leverage, one_row
from enigma_core.book import Book
from enigma_core.deciding import Decider, Outcome, candidates, decision_id, leverage_for, unprotected
from enigma_core.errors import ConfigError
from enigma_core.gating import ask_market
from enigma_core.matching import liquidation_price
from enigma_core.model import Decision, Instrument, Purpose, Side
from enigma_core.parts import Exit, Holding
from enigma_core.plan import LeverageRule, LeverageStep, Plan
from enigma_core.scoring import evaluate
from enigma_core.shells import backtest
from enigma_plugins.exits.atr_stop import AtrStop
from enigma_plugins.exits.stop_loss import StopLoss
from enigma_plugins.gates.confidence import Confidence
from enigma_plugins.gates.exposure import Exposure
from enigma_plugins.gates.score import Score
from enigma_plugins.sizers.fixed_fraction import FixedFraction
from markets import START, plan, random_candles

E = 50_000.0
SIDES = pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])


def ask(plan: Plan, score: float = 100.0, *, price: float = E, **row: Any) -> tuple[Outcome, Decision]:
    decider = Decider(plan, {BTC: INSTRUMENT})
    evaluation = one_row(BTC, START, price, score, **row)
    measured = ask_market(plan.market_gates, evaluation)
    outcome = decider.decide(evaluation, 0, measured, Book(plan.account.equity, {BTC: INSTRUMENT}), START)
    return outcome, decider.record(evaluation, 0, measured, START, outcome)


# leverage


@pytest.mark.parametrize(
    ("ratio", "most"),
    [(0.0, 8), (0.00499, 8), (0.005, 6), (0.01499, 6), (0.015, 4), (0.02999, 4), (0.03, 2), (9.0, 2), (math.nan, 2), (math.inf, 2)],
)
def test_leverage_falls_with_volatility_and_an_unknown_one_gets_the_least(ratio: float, most: int) -> None:
    assert leverage_for(ratio, LeverageRule(), INSTRUMENT) == most


def test_leverage_is_capped_by_rule_and_instrument() -> None:
    bold = LeverageRule(steps=(LeverageStep(atr=0.005, leverage=50),))
    assert leverage_for(0.001, bold, INSTRUMENT) == 10
    assert leverage_for(0.001, bold, Instrument(symbol="X", max_leverage=3)) == 3


@given(ratio=st.one_of(st.floats(allow_nan=True, allow_infinity=True)), most=st.integers(1, 100), own=st.integers(1, 100))
def test_r13_leverage_is_never_above_either_cap(ratio: float, most: int, own: int) -> None:
    found = leverage_for(ratio, LeverageRule(max=most), Instrument(symbol="X", max_leverage=own))
    assert 1 <= found <= min(most, own)


# the stop of an entry


def test_r14_an_entry_without_a_stop_is_refused() -> None:
    outcome, decision = ask(desk_plan(exits={}))
    assert outcome.order is None
    assert outcome.refused == ("size",)
    assert "never opened" in decision.reason


@SIDES
def test_r14_a_stop_beyond_liquidation_is_refused(side: Side) -> None:
    # at 6x liquidation lies 1/6 - 0.005 away: 8,083.3 at 50,000
    outcome, decision = ask(desk_plan(exits={"stop_loss": StopLoss(roi=0.98)}), 100.0 * side)
    assert outcome.order is None
    assert "is not between liquidation" in decision.reason
    outcome, _ = ask(desk_plan(exits={"stop_loss": StopLoss(roi=0.96)}), 100.0 * side)
    assert outcome.order is not None


@SIDES
def test_r14_a_tighter_rule_protects_where_a_wide_one_lies_beyond_liquidation(side: Side) -> None:
    outcome, _ = ask(desk_plan(exits={"wide": StopLoss(roi=0.98), "stop_loss": StopLoss(roi=0.06)}), 100.0 * side)
    assert outcome.order is not None


class Level(Exit, frozen=True, kw_only=True):
    """A first stop at a fixed price."""

    name = "level"

    at: Any = 0.0

    def first_stop(self, position: Holding) -> Any:
        return self.at


@SIDES
@pytest.mark.parametrize("distance", [0.0, 0.1, 500.0, math.inf], ids=["at the price", "a tick", "beyond", "infinity"])
def test_r14_a_stop_on_the_winning_side_is_refused(side: Side, distance: float) -> None:
    outcome, _ = ask(desk_plan(exits={"level": Level(at=E + side * distance)}), 100.0 * side)
    assert outcome.order is None


@given(
    ticks=st.integers(1_000, 10**7),
    side=st.sampled_from([1, -1]),
    most=st.integers(1, 100),
    level=st.floats(allow_nan=True, allow_infinity=True),
)
def test_r14_what_is_entered_has_its_stop_between_liquidation_and_price(ticks: int, side: Side, most: int, level: float) -> None:
    price = float(INSTRUMENT.at(ticks))
    liquidation = liquidation_price(price, side, most, INSTRUMENT)
    if not unprotected("rule", side * level, side, price, liquidation):
        assert math.isfinite(level)
        assert (liquidation < level < price) if side > 0 else (price < level < liquidation)


@pytest.mark.parametrize("atr", [math.nan, 0.0, -1.0, math.inf])
def test_r10_r14_a_stop_from_an_atr_that_is_no_number_is_no_stop(atr: float) -> None:
    outcome, _ = ask(desk_plan(exits={"atr_stop": AtrStop()}), atr=atr)
    assert outcome.order is None


# sizing


def test_the_worked_size_is_24_contracts() -> None:
    outcome, _ = ask(desk_plan(sizer=FixedFraction(position_size=0.02, position_size_max=0.05)))
    assert outcome.order is not None
    assert outcome.order.quantity == 24
    assert (outcome.order.leverage, outcome.order.margin) == (6, 200)


def test_nothing_to_trade_says_what_bound() -> None:
    outcome, decision = ask(desk_plan(sizer=FixedFraction(position_size=0.00001, position_size_max=0.05)))
    assert outcome.order is None
    assert decision.reason == "nothing to trade: min_quantity leaves no whole lot"
    assert outcome.refused == ("size",)


@pytest.mark.parametrize("confidence", [math.nan, 0.0, -1.0, 2.0])
def test_r10_a_confidence_that_is_none_sizes_nothing(confidence: float) -> None:
    outcome, _ = ask(desk_plan(sizer=FixedFraction()), confidence=confidence)
    assert outcome.order is None


def test_a_plan_without_a_sizer_is_refused() -> None:
    with pytest.raises(ConfigError, match="sizer is not set"):
        Decider(desk_plan(sizer=None), {BTC: INSTRUMENT})


# gates and what is written down


def test_a_score_of_zero_has_no_side() -> None:
    outcome, decision = ask(desk_plan(), 0.0)
    assert outcome.order is None
    assert decision.reason == "no side: the score is 0"
    assert outcome.refused == ()


def test_every_gate_that_refuses_is_named_and_all_are_measured() -> None:
    gates = {"score": Score(min=75.0), "confidence": Confidence(min=0.85), "low": Score(min=10.0)}
    outcome, decision = ask(desk_plan(market_gates=gates, account_gates={"exposure": Exposure()}), 50.0, confidence=0.5)
    assert outcome.refused == ("score", "confidence")
    assert decision.reason == "refused by score, confidence"
    assert [(v.gate, v.passed) for v in decision.verdicts] == [("score", False), ("confidence", False), ("low", True)]
    assert decision.verdicts[0].value == 50.0
    assert decision.verdicts[0].limit == ">= 75"


def test_account_gates_are_asked_once_the_market_has_agreed_and_see_the_margin() -> None:
    # 24 contracts are 2 % of the account
    for most, entered in ((0.019, False), (0.02, True)):
        outcome, decision = ask(desk_plan(market_gates={"score": Score()}, account_gates={"exposure": Exposure(max=most)}))
        assert (outcome.order is not None) == entered
        assert [v.gate for v in decision.verdicts] == ["score", "exposure"]
        assert decision.verdicts[1].value == pytest.approx(0.02)
        assert decision.sizing is not None


@SIDES
def test_an_order_says_what_it_reserves_and_whose_it_is(side: Side) -> None:
    outcome, decision = ask(desk_plan(leverage=leverage(5)), 100.0 * side)
    order = outcome.order
    assert order is not None
    assert (order.side, order.purpose, order.leverage, order.margin, order.atr) == (side, Purpose.ENTRY, 5, 240, 100.0)
    assert (order.id, order.decision_id) == (f"{decision.id}-in", decision.id)
    assert decision.order_id == order.id
    assert decision.reason == "entered"


def test_decisions_are_named_by_market_timeframe_and_time() -> None:
    assert decision_id("BTC/USDT:USDT", "30m", 1_741_257_000_000) == "BTCUSDT-30m-1741257000"
    assert decision_id("1000PEPE/USDC:USDC", "1h", 0) == "1000PEPEUSDC-1h-0"


def test_the_same_evaluation_has_the_same_id_whoever_makes_it() -> None:
    candles = {BTC: random_candles(BTC, 800, 2)}
    instruments = {BTC: Instrument(symbol=BTC, multiplier=Decimal("0.01"))}
    one = backtest(plan(), candles, instruments, jump=True).decisions
    other = backtest(plan(), candles, instruments, jump=False).decisions
    assert len(one) > 50
    assert [(d.id, d.order_id) for d in one] == [(d.id, d.order_id) for d in other]
    assert one == other
    assert len({d.id for d in one}) == len(one)


def test_a_decision_survives_being_written_down() -> None:
    _, decision = ask(desk_plan(market_gates={"score": Score()}, account_gates={"exposure": Exposure()}))
    assert msgspec.json.decode(msgspec.json.encode(decision), type=Decision) == decision


def test_candidates_are_the_rows_that_every_market_gate_lets_through() -> None:
    settings = plan(market_gates={"score": Score(min=30.0), "confidence": Confidence(min=0.9)})
    evaluation = evaluate(random_candles(BTC, 500, 3), settings)
    measured = ask_market(settings.market_gates, evaluation)
    found = candidates(evaluation, measured)
    by_hand = (np.abs(evaluation.score) >= 30) & (evaluation.confidence >= 0.9) & (evaluation.side != 0)
    assert found.tolist() == by_hand.tolist()
    assert 0 < found.sum() < len(found)


@SIDES
def test_a_row_decides_alike_alone_and_among_others(side: Side) -> None:
    settings = plan(market_gates={"score": Score(min=30.0)}, sizer=Contracts())
    evaluation = evaluate(random_candles(BTC, 300, 3), settings)
    decider = Decider(settings, {BTC: INSTRUMENT})
    book = Book(settings.account.equity, {BTC: INSTRUMENT})
    whole = ask_market(settings.market_gates, evaluation)
    rows = np.flatnonzero(evaluation.side == side)[:40]
    assert len(rows) > 10
    for row in rows.tolist():
        ts, alone = int(evaluation.ts[row]), evaluation.row(row)
        single = ask_market(settings.market_gates, alone)
        among = decider.decide(evaluation, row, whole, book, ts)
        apart = decider.decide(alone, 0, single, book, ts)
        assert among == apart
        assert decider.record(evaluation, row, whole, ts, among) == decider.record(alone, 0, single, ts, apart)
