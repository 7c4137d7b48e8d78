"""Gates: each measure, each boundary, and what happens when a number is no number."""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import enigma_plugins.gates
from enigma_core.market import BookSeen, Market
from enigma_core.model import Class, Signal
from enigma_core.parts import AccountGate, Gate, MarketGate
from enigma_core.scoring import Evaluation
from enigma_plugins.gates.alignment import Alignment
from enigma_plugins.gates.circuit_breaker import CircuitBreaker
from enigma_plugins.gates.confidence import Confidence
from enigma_plugins.gates.confluence import Confluence
from enigma_plugins.gates.cooldown import Cooldown
from enigma_plugins.gates.day_risk import DayRisk
from enigma_plugins.gates.drawdown import Drawdown
from enigma_plugins.gates.exposure import Exposure
from enigma_plugins.gates.liquidation_buffer import LiquidationBuffer
from enigma_plugins.gates.liquidity import Liquidity
from enigma_plugins.gates.max_positions import MaxPositions
from enigma_plugins.gates.score import Score
from enigma_plugins.gates.spread import Spread
from enigma_plugins.gates.trading_state import TradingState
from enigma_plugins.gates.trend import Trend
from enigma_plugins.gates.veto import Veto

SYMBOL = "BTC/USDT:USDT"
MARKET_GATES: tuple[type[MarketGate], ...] = (Score, Confluence, Confidence, Alignment, Trend, Spread, Liquidity, Veto)
ACCOUNT_GATES: tuple[type[AccountGate], ...] = (
    Drawdown,
    DayRisk,
    CircuitBreaker,
    Cooldown,
    MaxPositions,
    Exposure,
    LiquidationBuffer,
    TradingState,
)
GATES: tuple[type[Gate], ...] = (*MARKET_GATES, *ACCOUNT_GATES)
NO_NUMBERS = (math.nan, math.inf, -math.inf)


@dataclass
class Books:
    """An account whose every number a test can set."""

    equity: Decimal = Decimal(10_000)
    cash: Decimal = Decimal(10_000)
    margin: Decimal = Decimal(0)
    slots: int = 0
    day_equity: Decimal = Decimal(10_000)
    day_end: int = 1_741_305_600_000
    losses_in_row: int = 0
    trading_state: str = "ACTIVE"
    held: frozenset[str] = frozenset()
    exits: dict[str, int] = field(default_factory=dict)

    def holds(self, symbol: str) -> bool:
        return symbol in self.held

    def open_risk(self, fee: Decimal) -> Decimal:
        return Decimal(0)

    def blocked(self, symbol: str) -> str:
        return ""

    def last_exit(self, symbol: str) -> int | None:
        return self.exits.get(symbol)


def wish(**changes: Any) -> Signal:
    """A long at 50,000 with 6x and its stop at 49,500."""
    given_: dict[str, Any] = {
        "ts": 1_741_257_000_000,
        "symbol": SYMBOL,
        "side": 1,
        "price": 50_000.0,
        "score": 90.0,
        "klass": Class.BUY,
        "confidence": 1.0,
        "atr": 250.0,
        "leverage": 6,
        "stop": 49_500.0,
    }
    return Signal(**(given_ | changes))


def scored(score: Any = (90.0,), **changes: Any) -> Evaluation:
    """An evaluation with these scores; everything else favours an entry unless said."""
    line = np.asarray(score, np.float64)
    n = len(line)
    side = np.sign(np.nan_to_num(line)).astype(np.int8)
    fields: dict[str, Any] = {
        "symbol": SYMBOL,
        "timeframe": "30m",
        "secondary": "1h",
        "dead_zone": 20.0,
        "ts": np.arange(n, dtype=np.int64) * 1_800_000,
        "close": np.full(n, 50_000.0),
        "names": ("rsi",),
        "points": line.reshape(1, n),
        "score": line,
        "side": side,
        "confidence": np.ones(n),
        "agreeing": np.full(n, 5),
        "voting": np.full(n, 6),
        "atr": np.full(n, 250.0),
        "scores": {"30m": line, "1h": line},
        "lines": {("1h", "adx"): np.full(n, 20.0), ("1h", "ema_trend"): side.astype(np.float64)},
    }
    return Evaluation(**(fields | changes))


def verdicts(gate: MarketGate, evaluation: Evaluation) -> list[bool]:
    with np.errstate(all="raise"):
        return [bool(x) for x in np.atleast_1d(gate.passes(gate.measure(evaluation)))]


def allows(gate: AccountGate, account: Books, signal: Signal | None = None) -> bool:
    return bool(gate.passes(gate.measure(signal or wish(), account)))


# what holds for every gate


def test_every_file_offers_one_gate_named_after_it() -> None:
    files = {f.stem for f in Path(enigma_plugins.gates.__path__[0]).glob("*.py") if not f.stem.startswith("_")}
    offered = {stem: list(importlib.import_module(f"enigma_plugins.gates.{stem}").enigma_gates()) for stem in files}
    assert {stem: [gate.name for gate in gates] for stem, gates in offered.items()} == {stem: [stem] for stem in files}
    assert files == {gate.name for gate in GATES}


@pytest.mark.parametrize("gate", GATES, ids=lambda g: g.name)
@pytest.mark.parametrize("value", NO_NUMBERS)
def test_r10_no_gate_passes_nan_or_infinity(gate: type[Gate], value: float) -> None:
    assert not gate().passes(value)
    assert not np.any(gate().passes(np.full(3, value)))


@pytest.mark.parametrize("gate", GATES, ids=lambda g: g.name)
@given(value=st.floats())
def test_r10_a_gate_judges_a_number_and_an_array_alike(gate: type[Gate], value: float) -> None:
    assert bool(gate().passes(value)) == bool(gate().passes(np.array([value]))[0])


@pytest.mark.parametrize("gate", GATES, ids=lambda g: g.name)
def test_a_gate_states_its_limit_in_one_line(gate: type[Gate]) -> None:
    assert gate().limit
    assert "\n" not in gate().limit


def test_an_infinite_limit_still_refuses_infinity() -> None:
    assert not Spread(max=math.inf).passes(math.inf)
    assert not Score(min=-math.inf).passes(-math.inf)


@pytest.mark.parametrize("gate", MARKET_GATES, ids=lambda g: g.name)
def test_a_market_gate_measures_one_value_a_bar_and_none_without_bars(gate: type[MarketGate]) -> None:
    market = Market(SYMBOL, book=BookSeen(0, SYMBOL, ((99.0, 1.0),), ((101.0, 1.0),)), turnover=1e7)
    for n in (0, 1, 7):
        measured = gate().measure(scored(np.linspace(-90.0, 90.0, n), market=market))
        assert measured.shape == (n,)
        assert measured.dtype == np.float64


@pytest.mark.parametrize("settings", [{"min": "75"}, {"min": -1}, {"min": math.nan}, {"mni": 75}])
def test_a_wrong_setting_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(settings, Score)


# market gates


def test_score_counts_both_sides_alike_and_its_limit_is_met_by_equality() -> None:
    assert verdicts(Score(), scored([75.0, -75.0, 74.999, -74.999, 0.0, math.nan])) == [True, True, False, False, False, False]


def test_confluence_counts_the_larger_camp() -> None:
    assert verdicts(Confluence(), scored([90.0] * 3, agreeing=np.array([3, 4, 5]))) == [False, True, True]


def test_confidence_limit_is_met_by_equality() -> None:
    confidence = np.array([0.85, np.nextafter(0.85, 0), 1.0, math.nan])
    assert verdicts(Confidence(), scored([90.0] * 4, confidence=confidence)) == [True, False, True, False]


def test_alignment_counts_timeframes_on_the_primarys_side_beyond_the_dead_zone() -> None:
    scores = {
        "30m": np.array([80.0, -80.0, 80.0, -80.0]),
        "1h": np.array([20.0, -20.0, 20.1, -20.1]),
        "15m": np.array([-90.0, 90.0, math.nan, math.nan]),
        "4h": np.array([90.0, -90.0, 90.0, -90.0]),
    }
    evaluation = scored(scores["30m"], scores=scores)
    assert Alignment().measure(evaluation).tolist() == [1, 1, 2, 2]
    assert verdicts(Alignment(), evaluation) == [False, False, True, True]


def test_alignment_counts_the_primary_even_when_the_list_does_not_name_it() -> None:
    evaluation = scored([90.0], timeframe="2h", scores={"2h": np.array([90.0]), "1h": np.array([90.0])})
    assert Alignment().measure(evaluation).tolist() == [2]


def test_alignment_blocks_above_its_maximum() -> None:
    both = scored([-90.0])
    assert verdicts(Alignment(min=1, max=2), both) == [True]
    assert verdicts(Alignment(min=1, max=1), both) == [False]


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize(
    ("adx", "ema", "passed"),
    [
        (24.999, -1.0, True),
        (25.0, -1.0, False),
        (60.0, -0.001, False),
        (60.0, 0.001, True),
        (25.0, 0.0, False),
        (10.0, 0.0, True),
        (math.nan, 1.0, False),
        (math.nan, -1.0, False),
        (30.0, math.nan, False),
        (30.0, math.inf, False),
        (math.inf, 1.0, False),
    ],
)
def test_trend_blocks_a_strong_trend_against_the_side(side: float, adx: float, ema: float, passed: bool) -> None:
    lines = {("1h", "adx"): np.array([adx]), ("1h", "ema_trend"): np.array([ema * side])}
    gate = Trend()
    with np.errstate(invalid="ignore"):
        assert bool(gate.passes(gate.measure(scored([90.0 * side], lines=lines)))[0]) is passed


def test_trend_names_the_lines_it_reads_and_abstains_without_a_secondary_timeframe() -> None:
    assert Trend.reads == ("adx", "ema_trend")
    assert Trend().applies(scored())
    assert not Trend().applies(scored(secondary=None))


def book(bid: float, ask: float) -> Market:
    return Market(SYMBOL, book=BookSeen(0, SYMBOL, ((bid, 1.0),), ((ask, 1.0),)))


@pytest.mark.parametrize(
    ("bid", "ask", "passed"),
    [(99.99, 100.01, True), (99.97, 100.03, False), (100.0, 100.0, True), (100.01, 99.99, False), (math.nan, 100.0, False)],
)
def test_spread_judges_the_last_row_by_the_book_and_refuses_a_crossed_one(bid: float, ask: float, passed: bool) -> None:
    evaluation = scored([90.0, 90.0], market=book(bid, ask))
    assert Spread().applies(evaluation)
    assert verdicts(Spread(), evaluation) == [False, passed]


def test_spread_blocks_a_book_with_an_empty_side() -> None:
    market = Market(SYMBOL, book=BookSeen(0, SYMBOL, ((99.0, 1.0),), ()))
    assert Spread().applies(scored(market=market))
    assert verdicts(Spread(), scored(market=market)) == [False]


@pytest.mark.parametrize(("turnover", "passed"), [(5e6, True), (4_999_999.99, False), (math.nan, False), (math.inf, False)])
def test_liquidity_judges_the_last_row_by_the_turnover(turnover: float, passed: bool) -> None:
    assert verdicts(Liquidity(), scored([90.0, 90.0], market=Market(SYMBOL, turnover=turnover))) == [False, passed]


@pytest.mark.parametrize("gate", [Spread(), Liquidity()], ids=lambda g: g.name)
def test_a_live_gate_abstains_where_its_data_does_not_exist(gate: MarketGate) -> None:
    assert not gate.applies(scored())
    assert not gate.applies(scored(market=Market(SYMBOL)))


# account gates


@pytest.mark.parametrize(
    ("equity", "passed"),
    [
        ("9700.000000000001", True),
        ("9700", False),
        ("9699.999999999999", False),
        ("10500", True),
        ("0", False),
        ("-5", False),
        ("NaN", False),
        ("-Infinity", False),
        ("Infinity", False),
    ],
)
def test_r03_a_drawdown_of_exactly_the_maximum_blocks(equity: str, passed: bool) -> None:
    assert allows(Drawdown(), Books(equity=Decimal(equity))) is passed


@pytest.mark.parametrize("opening", ["0", "-1", "NaN", "Infinity"])
def test_r10_a_day_that_opened_without_equity_blocks(opening: str) -> None:
    assert not allows(Drawdown(), Books(day_equity=Decimal(opening)))


def test_drawdown_ends_with_the_risk_day() -> None:
    assert Drawdown().until(wish(), Books(day_end=7)) == 7


@pytest.mark.parametrize(("losses", "passed"), [(0, True), (2, True), (3, False), (4, False), (-1, False)])
def test_r03_the_third_loss_halts(losses: int, passed: bool) -> None:
    assert allows(CircuitBreaker(max=3), Books(losses_in_row=losses)) is passed


def test_r03_the_breaker_ends_with_the_risk_day_and_clears_only_what_it_halted() -> None:
    gate = CircuitBreaker(max=3)
    assert gate.until(wish(), Books(day_end=7)) == 7
    assert [gate.clears(Books(losses_in_row=n)) for n in (0, 2, 3, 4)] == [False, False, True, True]
    assert not Drawdown().clears(Books(losses_in_row=99))


@pytest.mark.parametrize(("seconds", "passed"), [(1_799.999, False), (1_800.0, True), (0.0, False), (-5.0, False)])
def test_cooldown_counts_from_the_symbols_last_exit(seconds: float, passed: bool) -> None:
    signal = wish()
    left = signal.ts - round(seconds * 1000)
    account = Books(exits={SYMBOL: left, "ETH/USDT:USDT": signal.ts})
    assert allows(Cooldown(), account, signal) is passed
    assert Cooldown().until(signal, account) == left + 1_800_000


@given(wait=st.floats(0, 31_536_000), left=st.integers(0, 2**41))
def test_the_end_of_a_cooldown_is_the_first_moment_that_passes(wait: float, left: int) -> None:
    gate, account = Cooldown(min=wait), Books(exits={SYMBOL: left})
    end = gate.until(wish(), account)
    assert end is not None
    assert allows(gate, account, wish(ts=end))
    assert end == left or not allows(gate, account, wish(ts=end - 1))


def test_a_symbol_never_left_has_no_cooldown() -> None:
    assert allows(Cooldown(), Books(), wish(ts=0))
    assert Cooldown().until(wish(), Books()) is None


@pytest.mark.parametrize(("slots", "passed"), [(0, True), (4, True), (5, False), (6, False)])
def test_r20_every_slot_counts_until_it_is_flat(slots: int, passed: bool) -> None:
    assert allows(MaxPositions(max=5), Books(slots=slots)) is passed


def test_a_symbol_that_is_held_has_no_free_slot() -> None:
    assert not allows(MaxPositions(), Books(slots=1, held=frozenset({SYMBOL})))
    assert allows(MaxPositions(), Books(slots=1, held=frozenset({"ETH/USDT:USDT"})))
    assert MaxPositions(max=5).measure(wish(), Books(slots=7, held=frozenset({SYMBOL}))) == 7


def test_r12_exposure_counts_working_entries_and_the_one_asked_for() -> None:
    account = Books(margin=Decimal(4_500))
    assert allows(Exposure(), account, wish(margin=Decimal(500)))
    assert not allows(Exposure(), account, wish(margin=Decimal("500.00000001")))


@pytest.mark.parametrize("equity", ["0", "-10", "NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("gate", [Exposure(), LiquidationBuffer(), Drawdown()], ids=lambda g: g.name)
def test_r10_an_account_without_equity_is_blocked(gate: AccountGate, equity: str) -> None:
    assert not allows(gate, Books(equity=Decimal(equity)))


@pytest.mark.parametrize("margin", ["NaN", "Infinity"])
@pytest.mark.parametrize("gate", [Exposure(), LiquidationBuffer()], ids=lambda g: g.name)
def test_r10_a_margin_that_is_no_number_is_blocked(gate: AccountGate, margin: str) -> None:
    assert not allows(gate, Books(margin=Decimal(margin)))
    assert not allows(gate, Books(), wish(margin=Decimal(margin)))


@pytest.mark.parametrize(("side", "liquidation"), [(1, 45_250.0), (-1, 54_750.0)])
def test_liquidation_buffer_is_the_distance_of_the_liquidation_price(side: Any, liquidation: float) -> None:
    signal = wish(side=side, leverage=10, stop=50_000.0 - side * 300)
    measured = LiquidationBuffer().measure(signal, Books())
    assert measured == abs(50_000 - liquidation) / 50_000
    assert LiquidationBuffer(min=0.095).passes(measured)
    assert not LiquidationBuffer(min=0.0951).passes(measured)


@pytest.mark.parametrize(("leverage", "passed"), [(1, True), (18, True), (19, False), (100, False), (200, False), (500, False)])
def test_liquidation_too_near_blocks(leverage: int, passed: bool) -> None:
    near = wish(leverage=leverage, stop=49_999.0)
    assert allows(LiquidationBuffer(), Books(), near) is passed


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize(("distance", "passed"), [(0.094, True), (0.095, False), (0.2, False)])
def test_r14_a_stop_beyond_liquidation_blocks(side: Any, distance: float, passed: bool) -> None:
    signal = wish(side=side, leverage=10, stop=50_000.0 * (1 - side * distance))
    gate = LiquidationBuffer()
    assert allows(gate, Books(), signal) is passed
    assert (gate.measure(signal, Books()) > 0) is passed


def test_a_signal_without_a_stop_is_judged_by_its_liquidation_alone() -> None:
    assert allows(LiquidationBuffer(), Books(), wish(stop=math.nan))


@pytest.mark.parametrize(("used", "passed"), [("9400", True), ("9400.00000001", False), ("20000", False)])
def test_r12_margin_that_leaves_no_reserve_blocks_and_the_measure_is_what_is_missing(used: str, passed: bool) -> None:
    gate, account, signal = LiquidationBuffer(), Books(margin=Decimal(used)), wish(margin=Decimal(100))
    assert allows(gate, account, signal) is passed
    assert (gate.measure(signal, account) < 0) is not passed
    assert not passed or gate.measure(signal, account) == pytest.approx(1 / 6 - 0.005)


@pytest.mark.parametrize(("price", "leverage"), [(0.0, 6), (-1.0, 6), (math.nan, 6), (math.inf, 6), (50_000.0, 0), (50_000.0, -3)])
def test_r10_an_impossible_entry_blocks(price: float, leverage: int) -> None:
    assert not allows(LiquidationBuffer(), Books(), wish(price=price, leverage=leverage))


@pytest.mark.parametrize(("state", "passed"), [("ACTIVE", True), ("REDUCE_ONLY", False), ("HALTED", False), ("", False)])
def test_only_an_active_engine_enters(state: str, passed: bool) -> None:
    assert allows(TradingState(), Books(trading_state=state)) is passed


ODD_MONEY = st.decimals(9_000, 11_000, places=2) | st.decimals(allow_nan=True, allow_infinity=True)
ODD_PRICES = st.floats(45_000, 55_000) | st.floats()


@given(
    equity=ODD_MONEY,
    opening=ODD_MONEY,
    margin=st.decimals(0, 11_000, places=2) | ODD_MONEY,
    price=ODD_PRICES,
    stop=ODD_PRICES,
    leverage=st.integers(1, 20) | st.integers(-5, 1_000),
)
def test_r10_whatever_the_numbers_an_allowed_entry_is_within_every_limit(
    equity: Decimal, opening: Decimal, margin: Decimal, price: float, stop: float, leverage: int
) -> None:
    if any(x.is_snan() for x in (equity, opening, margin)):
        return
    account = Books(equity=equity, day_equity=opening, margin=margin)
    signal = wish(price=price, stop=stop, leverage=leverage)
    if allows(Drawdown(), account):
        assert equity > opening * Decimal("0.969999")
    if allows(Exposure(), account):
        assert 0 <= margin <= equity * Decimal("0.500001")
    if allows(LiquidationBuffer(), account, signal):
        assert equity > 0
        assert margin <= equity
        assert 1 <= leverage <= 18
        assert 0 < price < math.inf
