"""What the engine does with an alert: modes, requests, target positions, closes in every state."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any, cast

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from alerts import AlertDesk, Floor, Moments, alert, alert_plan, shut
from desk import BTC, INSTRUMENT, Contracts, leverage
from enigma_core.alert import Mode
from enigma_core.deciding import leverage_for
from enigma_core.exiting import first_stops, tightest
from enigma_core.model import Cancel, CloseWanted, Decision, Fill, Order, Purpose, StateSet, Verdict
from enigma_core.parts import Holding, Note
from enigma_plugins.exits.stop_loss import StopLoss
from enigma_plugins.exits.take_profit import TakeProfit
from enigma_plugins.gates.confluence import Confluence
from enigma_plugins.gates.max_positions import MaxPositions
from enigma_plugins.gates.score import Score
from enigma_plugins.gates.veto import Veto

E = 50_000.0
MODES: tuple[Mode, ...] = ("vote", "trigger", "signal", "veto")
AT_ONCE = pytest.mark.parametrize("at_once", [False, True], ids=["next bar", "at once"])
BOTH = pytest.mark.parametrize("side", ["long", "short"])
SIDES = {"long": 1, "short": -1}


def opened(*, at_once: bool = False, held: str | None = None, **changes: Any) -> AlertDesk:
    """A desk after its first bar, with a position on the side `held`."""
    desk = AlertDesk(alert_plan(**changes), at_once=at_once)
    desk.bar(E)
    desk.records.clear()
    if held is not None:
        desk.told(held, source="before")
        desk.bar(E)
        assert desk.side == SIDES[held]
    return desk


def verdict(desk: AlertDesk, gate: str) -> Verdict:
    decision: Decision = desk.of(Decision)[-1]
    return next(v for v in decision.verdicts if v.gate == gate)


# modes


def test_a_vote_casts_points_and_the_next_evaluation_counts_them() -> None:
    desk = opened()
    desk.told("long", mode="vote")
    assert desk.last.outcome == "voted"
    assert not desk.decisions
    assert not desk.entries
    desk.bar(E, score=0.0)
    (decision,) = desk.decisions
    assert decision.score == 40.0
    assert decision.order_id is not None


def test_a_vote_fades_with_its_ttl() -> None:
    desk = opened()
    desk.told("long", mode="vote", ttl=desk.step)
    desk.bar(E, score=0.0)
    assert desk.decisions[-1].score == 0.0


def test_a_trigger_casts_its_vote_and_evaluates_this_symbol_now() -> None:
    desk = opened()
    desk.told("long", mode="trigger", later=60_000)
    (decision,) = desk.decisions
    assert (decision.id, decision.ts, decision.score, decision.source) == ("A1", desk.now + 60_000, 40.0, "strategy")
    assert desk.last.outcome == "entered"
    assert desk.last.decision_id == "A1"


def test_a_trigger_against_the_score_enters_nothing() -> None:
    desk = opened()
    desk.bar(E, score=-29.0)
    desk.scorers[BTC].told = -100.0
    desk.told("long", mode="trigger")
    assert desk.last.outcome == "refused"
    assert "not on the alert's side" in desk.last.reason
    assert not desk.entries


def test_a_trigger_below_the_score_asked_for_is_refused_by_that_gate() -> None:
    desk = opened(market_gates={"score": Score(min=41.0)})
    desk.told("long", mode="trigger")
    assert desk.last.reason == "refused by score"


@BOTH
def test_a_signal_is_the_signal_gates_that_judge_the_score_abstain_and_every_other_is_asked(side: str) -> None:
    gates = {"score": Score(min=100.0), "confluence": Confluence(min=5), "floor": Floor(min=E)}
    desk = opened(market_gates=gates, account_gates={"moments": Moments()})
    while shut(desk.now):
        desk.bar(E)
    desk.told(side, mode="signal")
    assert desk.last.outcome == "entered"
    assert [o.side for o in desk.entries] == [SIDES[side]]
    assert verdict(desk, "score").abstained
    assert verdict(desk, "confluence").abstained
    assert not verdict(desk, "floor").abstained
    assert not verdict(desk, "moments").abstained
    assert desk.markets[BTC].vote is None


@pytest.mark.parametrize("mode", MODES)
def test_no_mode_goes_round_a_gate_that_does_not_judge_the_score(mode: Mode) -> None:
    desk = opened(market_gates={"floor": Floor(min=E + 1)})
    desk.scorers[BTC].told = 100.0
    desk.told("long", mode=mode)
    desk.bar(E, score=100.0)
    assert not desk.entries


@BOTH
def test_a_veto_blocks_the_other_side_by_the_gate_of_that_name_for_its_ttl(side: str) -> None:
    other = -SIDES[side]
    desk = opened(market_gates={"veto": Veto()})
    desk.told(side, mode="veto", ttl=2 * desk.step)
    assert desk.last.outcome == "vetoed"
    assert not desk.entries
    desk.bar(E, score=100.0 * other)
    assert desk.decisions[-1].reason == "refused by veto"
    desk.told("short" if other < 0 else "long", mode="signal")
    assert desk.last.reason == "refused by veto"
    desk.bar(E, score=100.0 * other)
    assert desk.decisions[-1].reason == "entered"


@BOTH
def test_a_veto_lets_its_own_side_through(side: str) -> None:
    desk = opened(market_gates={"veto": Veto()})
    desk.told(side, mode="veto")
    desk.told(side, mode="signal")
    assert desk.last.outcome == "entered"


def test_an_alert_before_the_first_bar_is_refused() -> None:
    desk = AlertDesk()
    desk.told("long")
    assert desk.last.outcome == "refused"
    assert "no bar of 5m has closed yet" in desk.last.reason


def test_i28_a_symbol_that_is_not_traded_is_refused_by_name() -> None:
    desk = opened()
    desk.told("long", symbol="DOGE/USDT:USDT")
    assert desk.last.reason == "DOGE/USDT:USDT is not traded by this run"


# requests


@pytest.mark.parametrize(("asked", "given"), [("2", 2), ("2.9", 2), ("6", 6), ("100", 6), ("0.3", 1)])
def test_less_leverage_is_taken_and_more_is_capped(asked: str, given: int) -> None:
    desk = opened()
    desk.told("long", leverage=Decimal(asked))
    assert [o.leverage for o in desk.entries] == [given]


@pytest.mark.parametrize(
    ("quantity", "unit", "contracts"),
    [
        ("0.01", "base", 10),
        ("0.0105", "base", 10),
        ("1", "base", 24),
        ("7", "contracts", 7),
        ("25", "contracts", 24),
        ("5", "percent", 10),
        ("100", "percent", 24),
        ("500", "quote", 10),
        ("5000", "quote", 24),
    ],
)
def test_less_quantity_is_taken_in_each_unit_and_more_is_not(quantity: str, unit: str, contracts: int) -> None:
    desk = opened()
    desk.told("long", quantity=Decimal(quantity), unit=unit)
    assert [o.quantity for o in desk.entries] == [contracts]
    assert desk.entries[0].margin == contracts * Decimal(50) / 6 or contracts == 24


def test_less_than_the_smallest_order_is_refused_and_never_rounded_up() -> None:
    desk = opened()
    desk.told("long", quantity=Decimal("0.0009"))
    assert desk.last.outcome == "refused"
    assert "leaves no whole lot" in desk.last.reason


@BOTH
@AT_ONCE
def test_a_tighter_stop_holds(side: str, at_once: bool) -> None:
    s = SIDES[side]
    desk = opened(at_once=at_once)
    desk.told(side, stop=Decimal(50_000 - 200 * s))
    desk.bar(E)
    assert desk.book.positions[BTC].stop == 50_000 - 200 * s
    assert desk.orders(Purpose.STOP)[-1].reason == "alert"


@BOTH
@AT_ONCE
def test_a_looser_stop_changes_nothing(side: str, at_once: bool) -> None:
    s = SIDES[side]
    desk = opened(at_once=at_once)
    desk.told(side, stop=Decimal(50_000 - 5_000 * s))
    desk.bar(E)
    assert desk.book.positions[BTC].stop == 50_000 - 500 * s


@BOTH
def test_a_stop_on_the_wrong_side_is_told_and_ours_holds(side: str) -> None:
    s = SIDES[side]
    desk = opened()
    desk.told(side, stop=Decimal(50_000 + 200 * s))
    desk.bar(E)
    assert desk.book.positions[BTC].stop == 50_000 - 500 * s
    assert any("a stop at" in fault for fault in desk.decisions[-1].faults)


@BOTH
def test_a_stop_that_the_entry_gapped_beyond_is_told_and_ours_holds(side: str) -> None:
    s = SIDES[side]
    desk = opened()
    desk.told(side, stop=Decimal(50_000 - 200 * s))
    desk.bar(E - 300 * s)
    stop = desk.book.positions[BTC].stop
    assert stop is not None
    assert s * (stop - Decimal(50_000 - 300 * s)) < 0
    assert any("a stop at" in note.text for note in desk.of(Note))


@BOTH
def test_a_target_on_the_right_side_replaces_ours(side: str) -> None:
    s = SIDES[side]
    desk = opened(exits={"stop_loss": StopLoss(), "take_profit": TakeProfit(ladder=((0.05, 0.5), (0.15, 0.5)))})
    desk.told(side, take_profit=Decimal(50_000 + 700 * s))
    desk.bar(E)
    assert [(o.price, o.quantity) for o in desk.orders(Purpose.TARGET)] == [(Decimal(50_000 + 700 * s), Decimal(24))]


@BOTH
def test_a_target_on_the_wrong_side_is_told_and_ours_hold(side: str) -> None:
    s = SIDES[side]
    desk = opened(exits={"stop_loss": StopLoss(), "take_profit": TakeProfit(roi=0.15)})
    desk.told(side, take_profit=Decimal(50_000 - 700 * s))
    desk.bar(E)
    assert [o.price for o in desk.orders(Purpose.TARGET)] == [50_000 + 1250 * s]
    assert any("a target at" in note.text for note in desk.of(Note))


@pytest.mark.parametrize("name", ["quantity", "leverage", "stop", "take_profit"])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "-5", "0"])
def test_i10_a_request_that_is_no_amount_is_refused_and_harms_nothing(name: str, value: str) -> None:
    desk = opened()
    asked: dict[str, Any] = {name: Decimal(value)}
    desk.told("long", **asked)
    assert desk.last.outcome == "refused"
    assert name in desk.last.reason
    assert not desk.entries


# closes


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("state", ["ACTIVE", "REDUCE_ONLY", "HALTED"])
@pytest.mark.parametrize("word", [{"action": "close"}, {"position": "flat"}, {"action": "long", "position": "flat"}])
@AT_ONCE
def test_a_close_is_obeyed_in_every_mode_and_state(mode: Mode, state: Any, word: dict[str, Any], at_once: bool) -> None:
    desk = opened(held="long", at_once=at_once, account_gates={"moments": Moments()})
    desk.commanded(StateSet(ts=desk.now, state=state, reason="told to"))
    desk.told(**word, mode=mode)
    assert desk.last.outcome == "closed"
    desk.bar(E)
    assert desk.side == 0


def test_close_long_while_short_does_nothing() -> None:
    desk = opened(held="short")
    desk.told("close", closes="long")
    desk.bar(E)
    assert (desk.side, desk.last.outcome) == (-1, "nothing")
    assert "a short is held" in desk.last.reason


def test_a_close_calls_off_an_entry_that_is_still_working() -> None:
    desk = opened()
    desk.told("long")
    desk.told("close")
    assert [c.order_id for c in desk.of(Cancel)] == ["A1-in"]
    desk.bar(E)
    assert desk.side == 0
    assert not desk.book.entries


def test_cancel_calls_off_a_working_entry_and_nothing_else() -> None:
    desk = opened()
    desk.told("cancel")
    assert desk.last.outcome == "nothing"
    desk.told("long")
    desk.told("cancel")
    assert desk.last.outcome == "cancelled"
    desk.bar(E)
    assert desk.side == 0
    desk.told("long")
    desk.bar(E)
    desk.told("cancel")
    desk.bar(E)
    assert desk.side == 1


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        ({"quantity": Decimal("0.01")}, 14),
        ({"quantity": Decimal(10), "unit": "contracts"}, 14),
        ({"quantity": Decimal(50), "unit": "percent"}, 12),
        ({"quantity": Decimal("0.3"), "position_size": Decimal("0.1")}, 6),
        ({"position_size": Decimal("0.01")}, 10),
        ({"quantity": Decimal(500), "unit": "quote"}, 14),
        ({"quantity": Decimal(9)}, 0),
        ({}, 0),
    ],
)
@AT_ONCE
def test_reduce_takes_that_much_off_and_the_stop_shrinks_with_it(asked: dict[str, Any], left: int, at_once: bool) -> None:
    desk = opened(held="long", at_once=at_once)
    desk.told("reduce", **asked)
    desk.bar(E)
    assert (desk.book.positions[BTC].quantity if BTC in desk.book.positions else 0) == left
    assert desk.last.outcome == ("reduced" if left else "closed")
    if left:
        assert desk.orders(Purpose.STOP)[-1].quantity == left


@AT_ONCE
def test_a_sale_that_leaves_a_long_takes_some_off_and_opens_nothing_where_none_is_held(at_once: bool) -> None:
    part = {"position": "long", "previous": "long", "quantity": Decimal(1), "position_size": Decimal(1)}
    desk = opened(held="long", at_once=at_once)
    desk.told("short", **part)
    desk.bar(E)
    assert desk.book.positions[BTC].quantity == 12
    flat = opened(held=None, at_once=at_once)
    flat.told("short", **part)
    flat.bar(E)
    assert flat.last.outcome == "nothing"
    assert not flat.book.holds(BTC)


def test_a_position_smaller_than_what_is_held_takes_the_rest_off() -> None:
    desk = opened(held="long")
    desk.told(None, position="long", position_size=Decimal("0.02"))
    desk.bar(E)
    assert desk.book.positions[BTC].quantity == 20


def test_two_reductions_take_off_both() -> None:
    desk = opened(held="long")
    # ids that end alike are two alerts all the same
    desk.told("reduce", quantity=Decimal(5), unit="contracts", id="first-000001")
    desk.told("reduce", quantity=Decimal(6), unit="contracts", id="second000001")
    desk.bar(E)
    assert desk.book.positions[BTC].quantity == 13


def test_reductions_of_more_than_is_held_end_flat_and_never_beyond() -> None:
    desk = opened(held="long")
    for _ in range(3):
        desk.told("reduce", quantity=Decimal(10), unit="contracts")
    desk.bar(E)
    desk.bar(E)
    assert desk.side == 0
    assert sum(f.quantity for f in desk.fills if f.side < 0) == 24


@AT_ONCE
def test_halt_stops_entries_and_closes_what_is_held(at_once: bool) -> None:
    desk = opened(held="long", at_once=at_once)
    desk.told("halt", mode="vote")
    assert desk.last.outcome == "halted"
    desk.bar(E)
    assert desk.side == 0
    desk.told("long")
    desk.bar(E, score=100.0)
    assert not desk.book.holds(BTC)
    assert desk.book.trading_state == "HALTED"


# target positions


@AT_ONCE
@pytest.mark.parametrize("mode", ["trigger", "signal"])
def test_the_position_wins_over_the_word(at_once: bool, mode: Mode) -> None:
    desk = opened(held="long", at_once=at_once)
    desk.scorers[BTC].told = -100.0
    desk.told("long", position="short", mode=mode)
    desk.bar(E)
    desk.bar(E)
    assert desk.side == -1


CLOSE_LONG = {"action": "short", "position": "flat"}
TO_SHORT = {"action": "short", "position": "short"}


@AT_ONCE
@pytest.mark.parametrize("reverse", [False, True], ids=["in order", "reversed"])
@pytest.mark.parametrize("times", [{"sent": 1000}, {"bar": 500, "sent": 1000}, {"bar": 500}], ids=str)
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (CLOSE_LONG | {"previous": "long"}, TO_SHORT | {"previous": "flat"}),
        (CLOSE_LONG | {"previous": "long"}, TO_SHORT),
        (CLOSE_LONG, TO_SHORT | {"previous": "flat"}),
        ({"action": "close", "closes": "long"}, {"action": "short"}),
        ({"action": "close", "closes": "long"}, TO_SHORT | {"previous": "flat"}),
    ],
    ids=["both", "first", "second", "words", "word and position"],
)
def test_a_flip_ends_right_whichever_half_comes_first(
    at_once: bool, reverse: bool, times: dict[str, Any], first: dict[str, Any], second: dict[str, Any]
) -> None:
    desk = opened(held="long", at_once=at_once)
    halves = [first | times, second | times]
    for half in reversed(halves) if reverse else halves:
        desk.told(**half)
    for _ in range(3):
        desk.bar(E)
    assert desk.side == -1
    assert len(desk.worked) == 3


@AT_ONCE
@pytest.mark.parametrize("reverse", [False, True], ids=["in order", "reversed"])
@pytest.mark.parametrize("times", [{}, {"sent": 1000}], ids=str)
def test_a_flip_that_does_not_say_what_it_closes_is_never_left_on_the_old_side(
    at_once: bool, reverse: bool, times: dict[str, Any]
) -> None:
    desk = opened(held="long", at_once=at_once)
    halves = [CLOSE_LONG | times, TO_SHORT | times]
    for half in reversed(halves) if reverse else halves:
        desk.told(**half)
    for _ in range(3):
        desk.bar(E)
    assert desk.side == (0 if reverse else -1)


@AT_ONCE
def test_a_flip_in_one_message_leaves_first_and_enters_once_flat(at_once: bool) -> None:
    desk = opened(held="long", at_once=at_once)
    desk.told("short", position="short", previous="long")
    for _ in range(2):
        desk.bar(E)
    sides = [f.side for f in desk.fills]
    assert sides == [1, -1, -1]
    assert desk.trades[0].exit_reason == "alert"
    assert desk.last.outcome == "entered"


@AT_ONCE
@BOTH
def test_reverse_turns_what_is_held(at_once: bool, side: str) -> None:
    desk = opened(held=side, at_once=at_once)
    desk.told("reverse")
    for _ in range(2):
        desk.bar(E)
    assert desk.side == -SIDES[side]


def test_reverse_with_nothing_held_does_nothing() -> None:
    desk = opened()
    desk.told("reverse")
    assert desk.last.outcome == "nothing"
    assert not desk.entries


def test_the_entry_half_of_a_flip_is_asked_of_the_gates_once_the_symbol_is_flat() -> None:
    desk = opened(held="long", market_gates={"floor": Floor(min=E)})
    desk.told("short", position="short")
    assert not desk.decisions[1:], "nothing is asked while a long is held"
    desk.bar(E - 1)
    desk.bar(E - 1)
    assert desk.side == -1, "the price that counts is that of the moment"
    desk = opened(held="long", market_gates={"floor": Floor(min=E)})
    desk.told("short", position="short", later=60_000)
    desk.bar(E - 1)
    desk.bar(E - 1)
    assert desk.side == 0
    assert desk.last.reason == "refused by floor"


def test_the_entry_half_expires_after_a_primary_bar() -> None:
    desk = opened(held="long")
    desk.told("short", position="short", later=1)
    desk.wait(2)
    desk.bar(E)
    desk.bar(E)
    assert desk.side == 0
    assert desk.last.outcome == "expired"


def test_the_entry_half_is_superseded_by_a_newer_alert() -> None:
    desk = opened(held="long")
    desk.told("short", position="short", sent=1000)
    desk.told(position="flat", sent=2000)
    desk.bar(E)
    desk.bar(E)
    assert desk.side == 0
    assert {i: w.outcome for i, w in desk.worked.items()} == {"A1": "entered", "A2": "superseded", "A3": "closed"}


def test_a_flip_that_is_taken_back_before_the_close_ends_on_the_old_side_again() -> None:
    desk = opened(held="long")
    desk.told("short", position="short", sent=1000)
    desk.told("long", position="long", sent=2000)
    for _ in range(3):
        desk.bar(E)
    assert desk.side == 1
    assert desk.worked["A2"].outcome == "superseded"
    assert desk.worked["A3"].outcome == "entered"


def test_cancel_calls_off_the_entry_half_that_waits() -> None:
    desk = opened(held="long")
    desk.told("short", position="short")
    desk.told("cancel")
    desk.bar(E)
    desk.bar(E)
    assert desk.side == 0
    assert desk.worked["A2"].outcome == "superseded"
    assert desk.worked["A3"].outcome == "cancelled"


def test_a_close_by_hand_ends_the_flip_too() -> None:
    desk = opened(held="long")
    desk.told("short", position="short")
    desk.commanded(CloseWanted(ts=desk.now, symbol=BTC, reason="by hand"))
    desk.bar(E)
    desk.bar(E)
    assert desk.side == 0
    assert desk.worked["A2"].outcome == "refused"


def test_a_halt_ends_the_flip_too() -> None:
    desk = opened(held="long")
    desk.told("short", position="short")
    desk.halted()
    desk.bar(E)
    desk.bar(E)
    assert desk.side == 0
    assert desk.worked["A2"].outcome == "refused"


# order of messages

WORDS = st.sampled_from(
    [
        {"action": "long", "position": "long"},
        {"action": "short", "position": "short"},
        {"action": "long"},
        {"action": "short"},
        {"position": "flat"},
        {"action": "close"},
        {"action": "close", "closes": "long"},
        {"action": "close", "closes": "short"},
        {"action": "reduce", "quantity": Decimal(10), "unit": "contracts"},
    ]
)


def ended(
    words: list[dict[str, Any]], order: tuple[int, ...], at_once: bool, bars: list[bool], held: str | None
) -> tuple[int, Decimal]:
    """The position that the words, sent a second apart and delivered in this `order`, end with."""
    desk = opened(at_once=at_once)
    if held is not None:
        desk.told(held, sent=0)
        desk.bar(E)
    for i in order:
        desk.told(**words[i], sent=1000 * (i + 1))
        if bars[i]:
            desk.bar(E)
    for _ in range(4):
        desk.bar(E)
    assert len(desk.worked) == len(words) + (held is not None)
    position = desk.book.positions.get(BTC)
    return (position.side, position.quantity) if position is not None else (0, Decimal(0))


@settings(max_examples=50)
@given(
    words=st.lists(WORDS, min_size=4, max_size=4),
    at_once=st.booleans(),
    bars=st.lists(st.booleans(), min_size=4, max_size=4),
    held=st.sampled_from([None, "long", "short"]),
)
def test_i05_in_all_24_orders_of_four_alerts_the_position_is_that_of_the_right_order_or_flat(
    words: list[dict[str, Any]], at_once: bool, bars: list[bool], held: str | None
) -> None:
    """Of words that say what is to be held; what a cancellation or a reversal meets depends on when it comes."""
    # a reduction calls off an entry that has not filled
    assume(at_once or not any(word.get("action") == "reduce" for word in words))
    side, quantity = ended(words, (0, 1, 2, 3), at_once, bars, held)
    for order in itertools.permutations(range(4)):
        found = ended(words, order, at_once, bars, held)
        assert found[0] in (side, 0), f"{order} ends {found} and the right order ends {(side, quantity)}"


@pytest.mark.parametrize("word", ["reverse", "reduce", "cancel"])
def test_i05_what_came_before_the_entry_it_was_about_leaves_it_out(word: str) -> None:
    desk = opened()
    desk.told(word, sent=2000)
    desk.told("long", sent=1000)
    assert desk.last.outcome == "superseded"


def test_i05_an_entry_older_than_the_newest_word_is_superseded() -> None:
    desk = opened()
    desk.told("close", sent=2000)
    desk.told("long", sent=1000)
    assert desk.last.outcome == "superseded"
    desk.told("long", sent=1000, source="another")
    assert desk.last.outcome == "entered", "senders are put in order among themselves"


def test_i05_a_newer_bar_counts_before_the_time_of_sending() -> None:
    desk = opened()
    desk.told("close", bar=2000, sent=5000)
    desk.told("long", bar=1000, sent=6000)
    assert desk.last.outcome == "superseded"


# whatever is asked

REQUESTS = st.fixed_dictionaries(
    {
        "action": st.sampled_from([None, "long", "short", "close", "reverse", "reduce", "cancel"]),
        "position": st.sampled_from([None, None, "long", "short", "flat"]),
        "mode": st.sampled_from(MODES),
        "quantity": st.none() | st.decimals(-10, 10**6, allow_nan=True, places=4),
        "unit": st.sampled_from(["base", "contracts", "percent", "quote"]),
        "leverage": st.none() | st.decimals(-10, 200, places=1),
        "stop": st.none() | st.decimals(48_000, 52_000, places=1),
        "take_profit": st.none() | st.decimals(48_000, 52_000, places=1),
        "sent": st.none() | st.integers(0, 5),
        "later": st.integers(0, 299_999),
    }
)
EVENTS = st.one_of(
    REQUESTS,
    st.tuples(st.integers(-600, 600), st.sampled_from([100.0, -100.0, 10.0])),
    st.sampled_from(["ACTIVE", "REDUCE_ONLY", "HALTED"]),
)


@settings(max_examples=150)
@given(events=st.lists(EVENTS, min_size=1, max_size=14), at_once=st.booleans())
def test_no_alert_gets_round_a_gate_the_cap_the_sizer_our_stop_or_a_halt(events: list[Any], at_once: bool) -> None:
    """Whatever is asked for in whatever mode and state; the plan has no gate `trading_state`."""
    gates = {"score": Score(min=30.0), "floor": Floor(min=E - 300)}
    desk = opened(at_once=at_once, market_gates=gates, account_gates={"moments": Moments()}, sizer=Contracts(quantity=Decimal(24)))
    cap = leverage_for(100.0 / E, leverage(6), INSTRUMENT)
    close = E
    allowed: set[str] = set()
    for event in events:
        active = desk.book.trading_state == "ACTIVE"
        if isinstance(event, dict):
            records = desk.told(**event)
        elif isinstance(event, str):
            records = desk.commanded(StateSet(ts=desk.now, state=cast(Any, event), reason="told to", flatten=False))
        else:
            records, close = desk.bar(E, max(E, E + event[0]), min(E, E + event[0]), E + event[0], score=event[1]), E + event[0]
        for order in (r for r in records if type(r) is Order and r.purpose is Purpose.ENTRY):
            assert active
            assert not shut(order.ts)
            assert order.leverage <= cap
            assert order.quantity <= 24
            allowed.add(order.decision_id)
        for decision in (r for r in records if type(r) is Decision):
            assert (decision.order_id is not None) == (decision.id in allowed)
            assert decision.order_id is None or all(v.passed for v in decision.verdicts)
        for stop in (r for r in records if type(r) is Order and r.purpose is Purpose.STOP):
            position = desk.book.positions.get(BTC)
            if position is None or position.decision_id != stop.decision_id:
                continue
            holding = Holding(position.side, float(position.price), position.leverage, position.atr, 0.0, 0.0)
            _, level = tightest(first_stops(desk.plan.exits, holding, INSTRUMENT, []))
            assert stop.price is not None
            assert position.side * float(stop.price) >= level
        for reducing in (r for r in records if type(r) is Fill and not r.order_id.endswith("-in")):
            assert reducing.quantity > 0
    desk.bar(close)
    desk.wait(3)
    desk.bar(close)
    desk.bar(close)
    assert len(desk.worked) == sum(isinstance(event, dict) for event in events)


def test_r05_the_last_slot_goes_to_one_alert() -> None:
    names = ("AAA/USDT:USDT", "BBB/USDT:USDT")
    from enigma_core.model import Instrument

    plan = alert_plan(account_gates={"max_positions": MaxPositions(max=1)})
    desk = AlertDesk(plan, instruments={s: Instrument(symbol=s) for s in names})
    desk.bars(dict.fromkeys(names, (E, E, E, E)))
    for name in names:
        desk.told("long", symbol=name)
    assert [w.outcome for w in desk.worked.values()] == ["entered", "refused"]


def test_p04_the_same_alert_gives_the_same_client_order_ids_on_two_hosts() -> None:
    found = []
    for early in (0, 90_000):
        desk = opened()
        desk.told("long", id="Axyz", later=early)
        desk.bar(E)
        desk.bar(E)
        found.append([o.id for o in desk.entries])
    assert found[0] == found[1] == ["Axyz-in"]


def test_what_is_asked_of_an_alert_never_shows_in_its_identity() -> None:
    assert alert("long", id="A1") == alert("long", id="A1")


def test_charts_of_different_intervals_are_senders_of_their_own() -> None:
    desk = opened()
    desk.told("close", bar=2000, sent=5000, interval="5")
    desk.told("long", bar=1000, sent=6000, interval="60")
    assert desk.last.outcome == "entered"


def test_nothing_is_entered_on_a_market_that_has_been_silent() -> None:
    desk = opened()
    length = desk.now - desk.engine.scorers[BTC].last_bar[0]  # type: ignore[index]
    desk.told("long", later=2 * length + 1)
    assert desk.last.outcome == "refused"
    assert "silent" in desk.last.reason


def test_an_entry_that_no_bar_has_opened_for_in_time_is_not_made() -> None:
    desk = opened()
    desk.told("long", later=1)
    assert desk.book.entries
    for _ in range(4):
        desk.now += 300_000_000
    desk.bar(E)
    assert not desk.book.holds(BTC)


def test_a_veto_that_names_a_side_leaves_what_is_held() -> None:
    desk = opened(held="long")
    desk.told(position="short", mode="veto")
    assert desk.last.outcome == "vetoed"
    assert desk.side == 1
