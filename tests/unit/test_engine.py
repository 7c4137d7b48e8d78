"""The step of trading: protection, exits that only tighten, days, streaks, slots; and parts that fail."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desk import BTC, FREE, INSTRUMENT, Contracts, Desk, Prices, around, desk_plan, leverage
from enigma_core.book import Book
from enigma_core.engine import Record
from enigma_core.lines import Floats
from enigma_core.market import MarkSeen
from enigma_core.model import Cancel, DayOpened, Decision, Fill, Instrument, Marked, Order, Purpose, Side, Signal, Sizing, Trade
from enigma_core.parts import Account, AccountGate, Bools, Exit, Holding, MarketGate, Note, Path, Sizer, Target
from enigma_core.plan import Costs, Risk
from enigma_core.scoring import Evaluation
from enigma_core.shells import backtest
from enigma_plugins.exits.break_even import BreakEven
from enigma_plugins.exits.opposite_signal import OppositeSignal
from enigma_plugins.exits.stop_loss import StopLoss
from enigma_plugins.exits.take_profit import TakeProfit
from enigma_plugins.exits.trailing_stop import TrailingStop
from enigma_plugins.gates.circuit_breaker import CircuitBreaker
from enigma_plugins.gates.cooldown import Cooldown
from enigma_plugins.gates.drawdown import Drawdown
from enigma_plugins.gates.exposure import Exposure
from enigma_plugins.gates.max_positions import MaxPositions
from enigma_plugins.sizers.fixed_fraction import FixedFraction
from markets import START, instrument, plan, random_candles

E = 50_000.0
HOUR = 3_600_000
DAY = 24 * HOUR
SIDES = pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])
NAMES = ("AAA/USDT:USDT", "BBB/USDT:USDT", "CCC/USDT:USDT")


def desk_of(*, exits: dict[str, Exit] | None = None, gates: dict[str, AccountGate] | None = None, **changes: object) -> Desk:
    """A desk with these exits beside the stop loss, and these account gates."""
    settings: dict[str, object] = {"exits": {"stop_loss": StopLoss()} | (exits or {}), "account_gates": gates or {}}
    return Desk(desk_plan(**(settings | changes)))


def many(symbols: Sequence[str] = NAMES, **changes: object) -> Desk:
    return Desk(desk_plan(**changes), instruments={s: Instrument(symbol=s) for s in symbols})


def flat(*symbols: str, price: float = E) -> dict[str, Prices]:
    return dict.fromkeys(symbols, (price,) * 4)  # type: ignore[arg-type]


# the worked numbers, through the engine


def test_the_worked_trade_from_signal_to_28_542() -> None:
    desk = desk_of(exits={"take_profit": TakeProfit()}, sizer=FixedFraction(position_size=0.02, position_size_max=0.05))
    desk.enter(E)
    (stop,), (target,) = desk.orders(Purpose.STOP), desk.orders(Purpose.TARGET)
    assert (stop.price, target.price) == (49_500, 51_250)
    assert stop.quantity == target.quantity == 24
    desk.bar(E, 51_250, E, 51_000)
    (trade,) = desk.trades
    assert (trade.gross, trade.fees, trade.net) == (30, Decimal("1.458"), Decimal("28.542"))
    assert trade.exit_reason == "take_profit"
    assert desk.book.equity == Decimal("10028.542")


def test_the_worked_levels_of_a_short_are_mirrored() -> None:
    desk = desk_of(exits={"take_profit": TakeProfit()})
    desk.enter(E, -1)
    (stop,), (target,) = desk.orders(Purpose.STOP), desk.orders(Purpose.TARGET)
    assert (stop.price, target.price) == (50_500, 48_750)
    desk.bar(E, E, 48_750, 49_000)
    (trade,) = desk.trades
    assert (trade.gross, trade.fees, trade.net) == (30, Decimal("0.72") + Decimal("0.702"), Decimal("28.578"))


@SIDES
def test_ten_times_leverage_is_liquidated_where_the_page_says(side: Side) -> None:
    desk = Desk(desk_plan(leverage=leverage(10), exits={"stop_loss": StopLoss(roi=0.94)}))
    desk.enter(E, side)
    desk.bar(*around(side, E, (-4_750, -4_000, -5_000, -4_000))[0])
    (trade,) = desk.trades
    assert (trade.exit_reason, trade.exit_price) == ("liquidation", 45_250 if side > 0 else 54_750)


# protection


@SIDES
def test_the_stop_rests_before_the_range_of_the_entrys_own_bar(side: Side) -> None:
    desk = desk_of()
    desk.bar(E, score=100.0 * side)
    desk.bar(*around(side, E, (0, 0, -600, -600))[0])
    (trade,) = desk.trades
    assert (trade.exit_reason, trade.exit_price) == ("stop_loss", 50_000 - 500 * side)
    assert trade.entry_ts == START + desk.step


def test_levels_follow_the_price_that_was_paid_and_not_the_one_expected() -> None:
    desk = desk_of()
    desk.bar(E, score=100.0)
    desk.bar(40_000.0)
    assert desk.orders(Purpose.STOP)[0].price == 39_600


def test_orders_of_a_position_left_are_called_off() -> None:
    desk = desk_of(exits={"take_profit": TakeProfit(ladder=((0.05, 0.5), (0.15, 0.5)))})
    desk.enter(E)
    desk.bar(E, E, 49_000, 49_000)
    resting = {o.id for o in desk.orders(Purpose.TARGET)}
    assert {c.order_id for c in desk.of(Cancel)} == resting
    assert not desk.book.orders


@SIDES
def test_a_target_that_takes_a_part_shrinks_the_stop(side: Side) -> None:
    desk = desk_of(exits={"take_profit": TakeProfit(ladder=((0.03, 0.3), (0.06, 0.3)))})
    desk.enter(E, side)
    assert [o.quantity for o in desk.orders(Purpose.TARGET)] == [7, 7]
    desk.bar(*around(side, E, (0, 260, -100, 0))[0])
    assert desk.orders(Purpose.STOP)[-1].quantity == 17
    desk.bar(*around(side, E, (0, 510, -100, 0))[0])
    assert desk.orders(Purpose.STOP)[-1].quantity == 10
    desk.bar(*around(side, E, (0, 0, -600, 0))[0])
    (trade,) = desk.trades
    assert trade.quantity == 24
    assert trade.gross == Decimal("0.001") * (7 * 250 + 7 * 500 - 10 * 500)


@pytest.mark.parametrize(
    ("quantity", "ladder", "parts"),
    [
        (24, ((0.03, 0.5), (0.06, 0.5)), [12, 12]),
        (25, ((0.03, 0.5), (0.06, 0.5)), [12, 13]),
        (10, ((0.03, 0.33), (0.06, 0.33), (0.09, 0.34)), [3, 3, 4]),
        (1, ((0.03, 0.5), (0.06, 0.5)), [1]),
        (24, ((0.03, 0.7), (0.06, 0.2), (0.09, 0.1)), [16, 4, 4]),
        (1, ((0.03, 0.5), (0.06, 0.4)), []),
    ],
)
def test_a_ladder_is_cut_in_whole_lots_and_the_last_step_takes_the_rest(
    quantity: int, ladder: tuple[tuple[float, float], ...], parts: list[int]
) -> None:
    desk = desk_of(exits={"take_profit": TakeProfit(ladder=ladder)}, sizer=Contracts(quantity=Decimal(quantity)))
    desk.enter(E)
    assert [o.quantity for o in desk.orders(Purpose.TARGET)] == parts


# stops that follow


@SIDES
def test_the_level_in_force_was_fixed_at_the_close_before(side: Side) -> None:
    desk = desk_of(exits={"trailing_stop": TrailingStop(activation_roi=0.04, distance_roi=0.02)})
    desk.enter(E, side)
    # up 600 activates a stop 166.7 behind the best price; the same bar falls through it, and nothing happens
    desk.bar(*around(side, E, (0, 600, 100, 500))[0])
    assert not desk.trades
    assert desk.orders(Purpose.STOP)[-1].price == Decimal(50_000) + side * Decimal("433.4")
    desk.bar(*around(side, E, (500, 500, 433.4, 450))[0])
    (trade,) = desk.trades
    assert (trade.exit_reason, trade.exit_price) == ("trailing_stop", Decimal(50_000) + side * Decimal("433.4"))


class Wandering(Exit, frozen=True, kw_only=True):
    """Answers whatever stop levels it was made with, bar after bar; rubbish included."""

    name = "wandering"

    distances: tuple[float, ...]

    def stops(self, position: Holding, path: Path) -> Floats | None:
        n = len(path.close)
        return np.array([position.entry + position.side * d for d in self.distances[:n]] + [np.nan] * (n - len(self.distances)))


@settings(max_examples=60)
@given(
    levels=st.lists(st.one_of(st.floats(-450, 400), st.sampled_from([math.nan, -math.inf])), min_size=1, max_size=12),
    side=st.sampled_from([1, -1]),
)
def test_r16_a_stop_only_tightens_whatever_its_rule_says(levels: list[float], side: Side) -> None:
    desk = desk_of(exits={"wandering": Wandering(distances=tuple(levels))})
    desk.enter(E, side)
    for _ in levels:
        desk.bar(*around(side, E, (450, 450, 450, 450))[0])
    stops = [side * order.price for order in desk.orders(Purpose.STOP) if order.price is not None]
    assert stops == sorted(set(stops)), "each stop is tighter than the one before"
    known = [side * 50_000 - 500, *(side * 50_000 + d for d in levels if math.isfinite(d))]
    assert -1e-6 < float(stops[-1]) - max(known) < 0.1, "on the tick with less loss"


@settings(max_examples=60)
@given(
    ticks=st.lists(st.tuples(st.integers(-300, 900), st.integers(0, 3000), st.integers(0, 150)), min_size=1, max_size=15),
    side=st.sampled_from([1, -1]),
)
def test_r16_a_trailing_stop_never_loosens_on_a_bad_tick(ticks: list[tuple[int, int, int]], side: Side) -> None:
    desk = desk_of(exits={"trailing_stop": TrailingStop(), "break_even": BreakEven()})
    desk.enter(E, side)
    for price, above, below in ticks:
        desk.bar(*around(side, E, (price, price + above, price - below, price))[0])
    first = desk.decisions[0].id
    stops = [side * o.price for o in desk.orders(Purpose.STOP) if o.decision_id == first and o.price is not None]
    assert stops == sorted(set(stops))


@settings(max_examples=80)
@given(price=st.integers(200_000, 900_000), side=st.sampled_from([1, -1]), most=st.integers(2, 10))
def test_a_stop_at_break_even_loses_nothing_after_fees(price: int, side: Side, most: int) -> None:
    entry = price / 10
    desk = desk_of(exits={"break_even": BreakEven()}, costs=Costs(), leverage=leverage(most))
    desk.enter(entry, side)
    far, back = entry * (1 + side * 0.03), entry * (1 + side * 0.005)
    desk.bar(entry, max(entry, far), min(entry, far), back)
    level = desk.orders(Purpose.STOP)[-1].price
    assert level is not None
    desk.bar(back, max(back, float(level)), min(back, float(level)), back)
    (trade,) = desk.trades
    assert trade.exit_reason == "break_even"
    assert trade.net >= 0


@SIDES
def test_an_opposite_score_closes_at_the_next_open(side: Side) -> None:
    desk = desk_of(exits={"opposite_signal": OppositeSignal(min=75.0)})
    desk.enter(E, side)
    desk.bar(E, score=-74.9 * side)
    desk.bar(E, score=-75.0 * side)
    assert not desk.trades
    desk.bar(*around(side, E, (-100, 0, -400, 0))[0])
    (trade,) = desk.trades
    assert (trade.exit_reason, trade.exit_price) == ("opposite_signal", 50_000 - 100 * side)


def test_a_wish_to_close_is_sent_once() -> None:
    desk = desk_of(exits={"opposite_signal": OppositeSignal()})
    desk.enter(E)
    desk.bar(E, score=-100.0)
    desk.take(MarkSeen(desk.now + 1, BTC, E, E))
    assert len(desk.orders(Purpose.CLOSE)) == 1
    desk.bar(E, score=-100.0)
    assert len(desk.trades) == 1


@settings(max_examples=120)
@given(
    moves=st.lists(st.tuples(*[st.integers(-400, 400)] * 2, *[st.integers(0, 300)] * 2), min_size=2, max_size=25),
    scores=st.lists(st.sampled_from([math.nan, 100.0, -100.0]), min_size=25, max_size=25),
)
def test_an_account_in_the_mirror_trades_the_same(moves: list[tuple[int, int, int, int]], scores: list[float]) -> None:
    """Longs of a market are the shorts of the mirrored one: the same bars, reasons and gross money, at any stop rule.

    Each market trades once, so that its levels stand around the same entry in both.
    """
    found = []
    for side in (1, -1):
        rules: dict[str, Exit] = {
            "trailing_stop": TrailingStop(activation_roi=0.02, distance_roi=0.01),
            "break_even": BreakEven(),
            "take_profit": TakeProfit(ladder=((0.04, 0.3), (0.08, 0.4))),
            "opposite_signal": OppositeSignal(),
        }
        desk = desk_of(exits=rules, costs=FREE, gates={"cooldown": Cooldown(min=10**6)})
        desk.enter(E, side)
        for (o, c, above, below), score in zip(moves, scores, strict=False):
            bar = around(side, E, (o, max(o, c) + above, min(o, c) - below, c))[0]
            desk.bar(*bar, score=score * side)
        assert all(d.reason == "refused by cooldown" for d in desk.decisions[1:])
        told = [(t.entry_ts, t.exit_ts, t.exit_reason, t.gross, t.quantity) for t in desk.trades]
        stops = [(o.ts, o.reason, side * (o.price - 50_000)) for o in desk.orders(Purpose.STOP) if o.price is not None]
        found.append((told, stops, desk.book.equity))
    assert found[0] == found[1]


# money after every record


@settings(max_examples=40)
@given(
    moves=st.lists(st.tuples(*[st.integers(-900, 900)] * 2, *[st.integers(0, 600)] * 2), min_size=5, max_size=40),
    scores=st.lists(st.sampled_from([math.nan, 100.0, -100.0]), min_size=40, max_size=40),
)
def test_cash_and_unrealised_are_equity_and_the_records_make_the_book_again(
    moves: list[tuple[int, int, int, int]], scores: list[float]
) -> None:
    """INV-01 and INV-05 over whole runs: what the engine gives to the journal is enough to make its book again."""
    rules: dict[str, Exit] = {"trailing_stop": TrailingStop(), "take_profit": TakeProfit(ladder=((0.03, 0.3), (0.06, 0.3)))}
    desk = desk_of(exits=rules, costs=Costs(funding_rate=Decimal("0.0003"), funding_hours=1), gates={"breaker": CircuitBreaker()})
    for (o, c, above, below), score in zip(moves, scores, strict=False):
        desk.bar(E + o, E + max(o, c) + above, E + min(o, c) - below, E + c, score=score)
    again = Book(Decimal(10_000), desk.instruments)
    for record in desk.records:
        if not isinstance(record, Decision | Trade | Cancel | Note):
            again.apply(record)
        if isinstance(record, Marked | DayOpened):
            assert again.equity == again.cash + again.unrealised == record.equity
    assert (again.equity, again.cash, again.margin) == (desk.book.equity, desk.book.cash, desk.book.margin)
    assert (again.slots, again.losses_in_row, again.trades) == (desk.book.slots, desk.book.losses_in_row, desk.book.trades)
    assert list(again.orders) == list(desk.book.orders)
    if not again.positions:
        assert again.cash == 10_000 + sum((t.net for t in desk.trades), Decimal(0))


# parts that fail


class FailingMarketGate(MarketGate, frozen=True, kw_only=True):
    """Answers what it was given, or raises it."""

    name = "failing"
    limit = ">= 0"  # type: ignore[assignment]

    answer: Any = None
    verdict: Any = None

    def measure(self, evaluation: Evaluation) -> Floats:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def passes(self, value: Any) -> Any:
        return np.ones(len(value), np.bool_) if self.verdict is None else self.verdict


class FailingAccountGate(AccountGate, frozen=True, kw_only=True):
    """Answers what it was given, or raises it; everywhere."""

    name = "failing"
    limit = ">= 0"  # type: ignore[assignment]

    answer: Any = None
    verdict: Any = True
    in_clears: bool = False

    def measure(self, signal: Signal, account: Account) -> float:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def passes(self, value: Any) -> Any:
        return self.verdict

    def clears(self, account: Account) -> bool:
        if self.in_clears:
            raise RuntimeError("no")
        return "yes"  # type: ignore[return-value]


class FailingSizer(Sizer, frozen=True, kw_only=True):
    """Answers what it was given, or raises it."""

    name = "failing"

    answer: Any = None

    def size(self, signal: Signal, instrument: Instrument, account: Account) -> Sizing:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class FailingExit(Exit, frozen=True, kw_only=True):
    """Answers what it was given, or raises it, wherever it is asked; silent until `after` bars have passed."""

    name = "failing"

    answer: Any = None
    after: int = 0

    def _told(self, path: Path) -> Any:
        if len(path.close) <= self.after:
            return None
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def stops(self, position: Holding, path: Path) -> Floats | None:
        return self._told(path)

    def closes(self, position: Holding, path: Path) -> Bools | None:
        return self._told(path)


RUBBISH = {
    "raises": RuntimeError("no"),
    "exits": SystemExit(3),
    "None": None,
    "a string": "80",
    "a list": [1.0],
    "too long": np.zeros(10**5),
    "no shape": np.array(1.0),
    "whole numbers": np.ones(1, np.int64),
    "objects": np.array([None]),
}
NO_NUMBERS = [math.nan, math.inf, -math.inf]


def refused(desk: Desk, by: str) -> Decision:
    desk.bar(E, score=100.0)
    (decision,) = desk.decisions
    assert decision.order_id is None
    assert by in decision.reason
    assert not desk.of(Order)
    assert desk.engine.rejected == {by if by != "failing " else "size": 1}
    return decision


@pytest.mark.parametrize("answer", RUBBISH.values(), ids=RUBBISH)
def test_p06_p08_rubbish_from_a_market_gate_means_no_trade_and_is_named(answer: object) -> None:
    decision = refused(Desk(desk_plan(market_gates={"g": FailingMarketGate(answer=answer)})), "g")
    (verdict,) = decision.verdicts
    assert not verdict.passed
    assert verdict.error is not None
    assert verdict.error.startswith("g: ")


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_r10_no_number_passes_a_market_gate_even_where_the_gate_itself_says_yes(value: float) -> None:
    decision = refused(Desk(desk_plan(market_gates={"g": FailingMarketGate(answer=np.array([value]))})), "g")
    assert decision.verdicts[0].value is None


@pytest.mark.parametrize("verdict", ["yes", 1, [True], np.array([1]), np.array([True, True])], ids=repr)
def test_p08_a_gate_that_does_not_answer_yes_or_no_blocks(verdict: object) -> None:
    decision = refused(Desk(desk_plan(market_gates={"g": FailingMarketGate(answer=np.ones(1), verdict=verdict)})), "g")
    assert decision.verdicts[0].error is not None
    decision = refused(desk_of(gates={"g": FailingAccountGate(answer=1.0, verdict=verdict)}), "g")
    assert decision.verdicts[0].error is not None


@pytest.mark.parametrize("answer", [RuntimeError("no"), SystemExit(3), None, "80", b"80", [1.0], np.zeros(2)], ids=repr)
def test_p06_p08_rubbish_from_an_account_gate_means_no_trade_and_is_named(answer: object) -> None:
    decision = refused(desk_of(gates={"g": FailingAccountGate(answer=answer)}), "g")
    assert decision.verdicts[0].error is not None
    assert decision.verdicts[0].error.startswith("g: ")


@pytest.mark.parametrize("value", [*NO_NUMBERS, Decimal("NaN")])
def test_r10_no_number_passes_an_account_gate_even_where_the_gate_itself_says_yes(value: object) -> None:
    refused(desk_of(gates={"g": FailingAccountGate(answer=value)}), "g")


@pytest.mark.parametrize("in_clears", [True, False])
def test_p06_p08_a_gate_that_fails_at_the_turn_of_the_day_clears_nothing(in_clears: bool) -> None:
    desk = desk_of(gates={"g": FailingAccountGate(answer=1.0, in_clears=in_clears)})
    desk.bar(E)
    desk.book.losses_in_row = 3
    desk.now = START + DAY
    desk.bar(E)
    assert [d.streak_cleared for d in desk.of(DayOpened)] == [False, False]
    assert desk.book.losses_in_row == 3


def sized(quantity: object = 24, leverage: object = 6, margin: object = 200) -> Sizing:
    return Sizing(quantity=Decimal(str(quantity)), leverage=leverage, margin=Decimal(str(margin)))  # type: ignore[arg-type]


SIZES = {
    "raises": RuntimeError("no"),
    "exits": SystemExit(3),
    "None": None,
    "a number": 24.0,
    "NaN": sized("NaN"),
    "infinite": sized("Infinity"),
    "negative": sized(-24),
    "margin NaN": sized(24, 6, "NaN"),
    "negative margin": sized(24, 6, -200),
    "no leverage": sized(24, 0),
    "negative leverage": sized(24, -6),
    "leverage beyond the cap": sized(24, 7),
    "leverage no whole number": sized(24, 5.5),
    "leverage NaN": sized(24, math.nan),
    "part of a lot": sized("24.5"),
    "below the minimum": sized("0.5"),
    "a float": msgspec.structs.replace(sized(), quantity=24.0),
}


@pytest.mark.parametrize("answer", SIZES.values(), ids=SIZES)
def test_p06_p08_r10_rubbish_from_a_sizer_means_no_trade_and_is_named(answer: object) -> None:
    refused(Desk(desk_plan(sizer=FailingSizer(answer=answer))), "failing ")


def test_r13_a_sizer_cannot_hide_an_explosion_behind_a_small_margin() -> None:
    decision = refused(desk_of(gates={"exposure": Exposure()}, sizer=FailingSizer(answer=sized(10**6, 6, 200))), "failing ")
    assert "need" in decision.reason


def test_r13_an_explosion_that_is_told_is_stopped_by_the_gates() -> None:
    desk = desk_of(gates={"exposure": Exposure(max=0.5)}, sizer=Contracts(quantity=Decimal(601)))
    desk.bar(E, score=100.0)
    assert desk.engine.rejected == {"exposure": 1}
    desk = desk_of(gates={"exposure": Exposure(max=0.5)}, sizer=Contracts(quantity=Decimal(600)))
    desk.bar(E, score=100.0)
    assert len(desk.orders(Purpose.ENTRY)) == 1


@pytest.mark.parametrize(
    "answer",
    [
        *RUBBISH.values(),
        np.array([math.inf] * 3),
        np.array([math.nan] * 3),
        np.array([-math.inf] * 3),
    ],
    ids=[*RUBBISH, "inf", "nan", "-inf"],
)
@SIDES
def test_p06_p08_an_exit_that_fails_leaves_the_stop_in_force(answer: object, side: Side) -> None:
    desk = desk_of(exits={"failing": FailingExit(answer=answer, after=2)})
    desk.enter(E, side)
    desk.bar(E)
    desk.bar(E)
    assert not desk.trades
    assert [o.price for o in desk.orders(Purpose.STOP)] == [50_000 - 500 * side]
    if answer is not None:
        assert any("failing" in note.text for note in desk.of(Note))
    desk.bar(*around(side, E, (0, 0, -500, 0))[0])
    (trade,) = desk.trades
    assert trade.exit_reason == "stop_loss"


class FirstOnly(Exit, frozen=True, kw_only=True):
    """Has a first stop only for entries at `price`."""

    name = "first_only"

    price: float

    def first_stop(self, position: Holding) -> Any:
        return np.where(position.entry == self.price, position.entry * (1 - 0.01 * position.side), np.nan)


@SIDES
def test_r14_a_position_that_nothing_protects_is_closed_at_once(side: Side) -> None:
    desk = Desk(desk_plan(exits={"first_only": FirstOnly(price=E), "take_profit": TakeProfit()}))
    desk.bar(E, score=100.0 * side)
    desk.bar(*around(side, E, (10, 10, -8_900, 0))[0])
    (trade,) = desk.trades
    assert (trade.exit_reason, trade.entry_price, trade.exit_price) == ("unprotected", 50_000 + 10 * side, 50_000 + 10 * side)
    assert trade.entry_ts == trade.exit_ts


class Targets(Exit, frozen=True, kw_only=True):
    """Targets at these levels."""

    name = "targets"

    levels: tuple[Any, ...]

    def targets(self, position: Holding) -> Sequence[Target]:
        return [Target(level, 1.0) for level in self.levels]


@pytest.mark.parametrize("level", [math.nan, math.inf, -math.inf, 0.0, -5.0, E, E + 5, "high"])
def test_p08_a_target_that_is_no_price_beyond_the_entry_is_not_set(level: object) -> None:
    desk = desk_of(exits={"targets": Targets(levels=(level,))})
    desk.enter(E, -1)
    assert not desk.orders(Purpose.TARGET)
    assert len(desk.orders(Purpose.STOP)) == 1


class Mutating(Exit, frozen=True, kw_only=True):
    """Writes on the path that it is shown."""

    name = "mutating"

    def stops(self, position: Holding, path: Path) -> Floats | None:
        path.high[:] = 0.0
        return None


def test_p09_an_exit_cannot_write_on_the_path() -> None:
    desk = desk_of(exits={"mutating": Mutating(), "trailing_stop": TrailingStop()})
    desk.enter(E)
    desk.bar(E, E + 600, E, E + 600)
    assert desk.orders(Purpose.STOP)[-1].reason == "trailing_stop"
    assert "mutating" in desk.of(Note)[-1].text


@pytest.mark.parametrize("jump", [True, False])
def test_p09_an_exit_that_writes_on_the_path_changes_no_backtest(jump: bool) -> None:
    candles = {BTC: random_candles(BTC, 1500, 4)}
    rules = {"stop_loss": StopLoss(), "trailing_stop": TrailingStop()}
    instruments = {BTC: instrument(BTC)}
    without = backtest(plan(exits=rules), candles, instruments, jump=jump)
    beside = backtest(plan(exits={"mutating": Mutating(), **rules}), candles, instruments, jump=jump)
    assert len(without.trades) > 50
    assert beside.trades == without.trades


class Sometimes(Exit, frozen=True, kw_only=True):
    """A first stop for some entries only."""

    name = "sometimes"

    def first_stop(self, position: Holding) -> Any:
        some = np.rint(np.asarray(position.entry) * 10) % 4 != 0
        return np.where(some, position.entry * (1 - position.side * 0.01), np.nan)


@pytest.mark.parametrize("ladder", [(), ((0.02, 0.5), (0.05, 0.5))])
def test_r14_unprotected_positions_end_alike_in_both_backtests(ladder: tuple[tuple[float, float], ...]) -> None:
    candles = {BTC: random_candles(BTC, 1500, 5)}
    rules = {"sometimes": Sometimes(), "take_profit": TakeProfit(roi=0.05, ladder=ladder)}
    settings = plan(exits=rules, costs=Costs(funding_rate=Decimal("0.0001"), funding_hours=1))
    jumping = backtest(settings, candles, {BTC: instrument(BTC)}, jump=True)
    plainly = backtest(settings, candles, {BTC: instrument(BTC)}, jump=False)
    assert sum(t.exit_reason == "unprotected" for t in plainly.trades) > 20
    assert jumping.trades == plainly.trades
    assert [d.id for d in jumping.decisions] == [d.id for d in plainly.decisions]
    assert jumping.rejected == plainly.rejected


# the streak


def lose(desk: Desk, times: int = 1, side: Side = 1) -> None:
    for _ in range(times):
        desk.bar(E, score=100.0 * side)
        desk.bar(*around(side, E, (0, 0, -600, 0))[0])


@SIDES
def test_r03_the_third_losing_trade_halts_and_the_next_risk_day_clears(side: Side) -> None:
    desk = desk_of(gates={"circuit_breaker": CircuitBreaker(max=3)})
    lose(desk, 3, side)
    assert len(desk.trades) == 3
    desk.bar(E, score=100.0 * side)
    assert desk.engine.rejected == {"circuit_breaker": 1}
    assert desk.decisions[-1].verdicts[0].until == START + DAY
    while desk.now + desk.step < START + DAY:
        desk.bar(E, score=100.0 * side)
    assert len(desk.orders(Purpose.ENTRY)) == 3
    desk.bar(E, score=100.0 * side)
    assert desk.of(DayOpened)[-1].streak_cleared
    assert len(desk.orders(Purpose.ENTRY)) == 4, "the first close of the new day may enter again"


def test_r03_two_losses_are_carried_into_the_next_day() -> None:
    desk = desk_of(gates={"circuit_breaker": CircuitBreaker(max=3)})
    lose(desk, 2)
    desk.now = START + DAY
    desk.bar(E)
    assert not desk.of(DayOpened)[-1].streak_cleared
    lose(desk)
    desk.bar(E, score=100.0)
    assert desk.engine.rejected == {"circuit_breaker": 1}


def test_r03_the_third_loss_in_the_bar_that_decides_on_another_symbol_halts_it() -> None:
    desk = many(account_gates={"circuit_breaker": CircuitBreaker(max=1)})
    a, b, _ = NAMES
    desk.bars(flat(a, b), {a: 100.0})
    desk.bars(flat(a, b))
    desk.bars({b: (E,) * 4, a: (E, E, 49_000.0, E)}, {b: 100.0})
    assert len(desk.trades) == 1
    assert desk.engine.rejected == {"circuit_breaker": 1}


# the day


@pytest.mark.parametrize(("fallen", "blocked"), [("299.9", False), ("300", True), ("300.1", True)])
def test_r03_a_drawdown_of_exactly_the_limit_blocks_unrealised_losses_included(fallen: str, blocked: bool) -> None:
    big = Contracts(quantity=Decimal(1000))
    desk = Desk(
        desk_plan(account_gates={"drawdown": Drawdown(max=0.03)}, sizer=big, costs=FREE, exits={"stop_loss": StopLoss(roi=0.5)}),
        instruments={s: Instrument(symbol=s) for s in NAMES},
    )
    a, b, _ = NAMES
    desk.bars(flat(a, b), {a: 100.0})
    desk.bars(flat(a, b))
    down = E - float(fallen)
    desk.bars({a: (E, E, down, down), b: (E,) * 4}, {b: 100.0})
    assert desk.book.cash == 10_000, "nothing is realised"
    assert desk.book.equity == 10_000 - Decimal(fallen)
    assert desk.engine.rejected == ({"drawdown": 1} if blocked else {})


def test_r03_what_is_lost_before_an_accounts_first_bar_counts_in_its_first_day() -> None:
    desk = desk_of(gates={"circuit_breaker": CircuitBreaker(max=3)})
    desk.book.cash -= 40
    desk.book.losses_in_row = 3
    desk.bar(E, score=100.0)
    (day,) = desk.of(DayOpened)
    assert (day.equity, day.streak_cleared) == (10_000, False)
    assert desk.engine.rejected == {"circuit_breaker": 1}


def test_r01_the_day_turns_at_midnight_utc_with_the_equity_of_that_close() -> None:
    desk = Desk(desk_plan(costs=FREE), start=START + DAY - 3 * 300_000)
    desk.bar(E, score=100.0)
    desk.bar(E)
    assert [d.ts for d in desk.of(DayOpened)] == [START + DAY - 600_000]
    desk.bar(E, E + 100, E, E + 100)
    day = desk.of(DayOpened)[-1]
    assert (day.ts, day.end, day.equity) == (START + DAY, START + 2 * DAY, Decimal("10002.4"))
    assert desk.book.day_equity == day.equity


def test_r01_a_day_that_begins_in_a_gap_opens_with_the_first_close_after_it() -> None:
    desk = desk_of()
    desk.bar(E)
    desk.now = START + 3 * DAY + HOUR
    desk.bar(E)
    assert [(d.ts, d.end) for d in desk.of(DayOpened)] == [
        (START + 300_000, START + DAY),
        (START + 3 * DAY + HOUR + 300_000, START + 4 * DAY),
    ]


@pytest.mark.parametrize(
    ("zone", "first", "lengths"),
    [
        ("UTC", (2025, 3, 29), [24, 24, 24]),
        ("Europe/Berlin", (2025, 3, 29), [24, 23, 24]),
        ("Europe/Berlin", (2025, 10, 25), [24, 25, 24]),
        ("America/New_York", (2025, 3, 8), [24, 23, 24]),
        ("America/New_York", (2025, 11, 1), [24, 25, 24]),
        ("Asia/Kolkata", (2025, 3, 29), [24, 24, 24]),
    ],
)
def test_r01_days_turn_at_midnight_of_the_zone_on_days_of_23_and_25_hours_too(
    zone: str, first: tuple[int, int, int], lengths: list[int]
) -> None:
    place = ZoneInfo(zone)
    midnight = int(datetime(*first, tzinfo=place).timestamp()) * 1000
    desk = Desk(desk_plan(risk=Risk(zone=zone)), start=midnight - 300_000)
    while desk.now < midnight + 80 * HOUR:
        desk.bar(E)
    turns = [d.ts for d in desk.of(DayOpened)]
    assert turns[0] == midnight
    assert [(b - a) // HOUR for a, b in pairwise(turns)] == lengths
    assert all(datetime.fromtimestamp(t / 1000, UTC).astimezone(place).hour == 0 for t in turns)
    assert all(d.end == n for d, n in zip(desk.of(DayOpened), turns[1:], strict=False))


# slots


def test_r12_two_symbols_cannot_take_the_last_slot_in_one_step() -> None:
    desk = many(account_gates={"max_positions": MaxPositions(max=2)})
    desk.bars(flat(*NAMES), 100.0)
    assert [o.symbol for o in desk.orders(Purpose.ENTRY)] == list(NAMES[:2])
    assert desk.engine.rejected == {"max_positions": 1}
    assert desk.book.slots == 2, "entries that have not filled count"


def test_r12_margin_of_pending_entries_counts_for_exposure() -> None:
    # 24 contracts at 50,000 and 6x are 200 of margin: 2 % of the account each
    desk = many(account_gates={"exposure": Exposure(max=0.04)})
    desk.bars(flat(*NAMES), 100.0)
    assert [o.symbol for o in desk.orders(Purpose.ENTRY)] == list(NAMES[:2])
    assert desk.engine.rejected == {"exposure": 1}


def test_r20_a_closing_position_holds_its_slot_until_it_is_flat() -> None:
    a, b, _ = NAMES
    desk = many(
        account_gates={"max_positions": MaxPositions(max=1)},
        exits={"stop_loss": StopLoss(), "opposite_signal": OppositeSignal()},
    )
    desk.bars(flat(a, b), {a: 100.0})
    desk.bars(flat(a, b))
    desk.bars(flat(a, b), {a: -100.0, b: 100.0})
    assert desk.orders(Purpose.CLOSE)
    assert desk.engine.rejected == {"max_positions": 1}, "it is closing, but not flat"
    desk.bars(flat(b), {b: 100.0})
    assert desk.engine.rejected == {"max_positions": 2}, "its next bar is missing: still not flat"
    desk.bars(flat(a, b), {b: 100.0})
    assert [o.symbol for o in desk.orders(Purpose.ENTRY)] == [a, b]


def test_r20_a_symbol_held_is_not_entered_again() -> None:
    desk = desk_of()
    desk.enter(E)
    for _ in range(3):
        desk.bar(E, score=100.0)
    assert len(desk.decisions) == 1
    assert len(desk.orders(Purpose.ENTRY)) == 1


# who makes it


def test_an_engine_given_the_same_events_gives_the_same_records() -> None:
    def made() -> list[Record]:
        desk = desk_of(exits={"trailing_stop": TrailingStop(), "take_profit": TakeProfit(ladder=((0.03, 0.5), (0.06, 0.5)))})
        rng = np.random.default_rng(3)
        for _ in range(300):
            o, c = (float(x) for x in rng.integers(-500, 500, 2))
            desk.bar(E + o, E + max(o, c) + 100, E + min(o, c) - 100, E + c, score=float(rng.choice([100.0, -100.0, 10.0])))
        assert len(desk.trades) > 30
        return desk.records

    first, second = made(), made()
    assert [msgspec.json.encode(r) for r in first] == [msgspec.json.encode(r) for r in second]


def test_every_order_has_an_id_of_its_own_that_derives_from_its_decision() -> None:
    desk = desk_of(exits={"trailing_stop": TrailingStop(), "take_profit": TakeProfit(ladder=((0.03, 0.3), (0.06, 0.3)))})
    rng = np.random.default_rng(5)
    for _ in range(500):
        o, c = (float(x) for x in rng.integers(-400, 400, 2))
        desk.bar(E + o, E + max(o, c) + 100, E + min(o, c) - 100, E + c, score=float(rng.choice([100.0, -100.0, 10.0])))
    orders = desk.of(Order)
    assert len({o.id for o in orders}) == len(orders) > 100
    assert all(o.id.startswith(f"{o.decision_id}-") for o in orders)
    fills = desk.of(Fill)
    assert len({f.id for f in fills}) == len(fills)
    assert desk.decisions[0].id == f"BTCUSDT-5m-{desk.decisions[0].ts // 1000}"
    assert all(len(o.id) <= 64 for o in orders)


def test_everything_that_reduces_is_on_the_other_side_and_no_larger_than_the_position() -> None:
    """INV-14, INV-15, INV-16: stops lie on the losing side of the price, exits only reduce, a stop is as large as its position."""
    desk = desk_of(exits={"trailing_stop": TrailingStop(), "take_profit": TakeProfit(ladder=((0.03, 0.3), (0.06, 0.3)))})
    rng = np.random.default_rng(7)
    for _ in range(400):
        o, c = (float(x) for x in rng.integers(-400, 400, 2))
        desk.bar(E + o, E + max(o, c) + 100, E + min(o, c) - 100, E + c, score=float(rng.choice([100.0, -100.0, 10.0])))
        for position in desk.book.positions.values():
            resting = [w.order for w in desk.book.orders.values()]
            stops = [x for x in resting if x.purpose is Purpose.STOP]
            assert [x.quantity for x in stops] == [position.quantity]
            assert all(x.side == -position.side for x in resting)
            targets = sum((x.quantity for x in resting if x.purpose is Purpose.TARGET), Decimal(0))
            assert targets <= position.quantity
    assert len(desk.trades) > 40


def test_the_symbols_stop_is_the_one_on_record() -> None:
    desk = desk_of(exits={"break_even": BreakEven()})
    desk.enter(E)
    assert desk.book.positions[BTC].stop == 49_500
    desk.bar(E, E + 300, E, E + 200)
    assert desk.book.positions[BTC].stop == INSTRUMENT.price(E * 1.0014)
