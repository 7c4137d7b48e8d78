"""What an alert comes to, by itself: order of messages, age, amounts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts import alert
from enigma_core.alert import Request
from enigma_core.alerting import Mark, base_quantity, marked, no_amount, order_of, stance_of, taken_off, too_old, wish
from enigma_core.model import Instrument
from markets import START

A = "BTC/USDT:USDT"
TIMES = st.none() | st.integers(0, 3)
WORDS: Any = st.sampled_from([None, "long", "short", "close", "reverse", "reduce", "cancel"])
STANCES: Any = st.sampled_from([None, "long", "short", "flat"])
SIDES: Any = st.sampled_from([None, "long", "short"])
REQUESTS = st.builds(
    Request, symbol=st.just(A), action=WORDS, position=STANCES, previous=STANCES, closes=SIDES, bar=TIMES, sent=TIMES
)
MARKS = st.none() | st.builds(Mark, TIMES, TIMES, st.sampled_from(["long", "short", "flat"]), STANCES)
HELD = st.sampled_from([-1, 0, 1])
MODES: Any = st.sampled_from(["vote", "trigger", "signal", "veto"])


def asked(**request: Any) -> Request:
    return Request(symbol=A, **request)


@pytest.mark.parametrize(
    ("ours", "theirs", "found"),
    [
        ({"bar": 1}, (2, None), -1),
        ({"bar": 2}, (1, None), 1),
        ({"bar": 1, "sent": 9}, (2, 5), -1),
        ({"bar": 2, "sent": 3}, (2, 5), -1),
        ({"sent": 5}, (2, 5), 0),
        ({"bar": 2}, (2, 5), 0),
        ({"sent": 5}, (2, None), 1),
        ({}, (2, 5), 1),
    ],
)
def test_i05_the_bar_counts_before_the_time_of_sending(ours: dict[str, int], theirs: tuple[Any, Any], found: int) -> None:
    assert order_of(asked(**ours), Mark(*theirs, "long", None)) == found


def test_i05_the_first_word_is_newer_than_nothing() -> None:
    assert order_of(asked(sent=0), None) == 1


@given(REQUESTS, HELD, MARKS)
def test_i05_the_newest_word_never_grows_older(request: Request, held: int, mark: Mark | None) -> None:
    after = marked(request, held, mark)
    if mark is None or after is mark or after is None:
        return
    assert order_of(Request(symbol=A, bar=after.bar, sent=after.sent), mark) >= 0


@given(REQUESTS, MODES, HELD, MARKS)
def test_only_a_word_for_a_side_enters_and_only_that_side(request: Request, mode: Any, held: int, mark: Mark | None) -> None:
    found = wish(request, mode, held, mark)
    stance = stance_of(request, held)
    if found.enter:
        assert {1: "long", -1: "short"}[found.enter] == stance
    if request.reduces:
        assert not found.enter
    if found.leave:
        assert held, "only what is held is left"
        assert found.enter != held
    if not (found.enter or found.leave or found.reduce or found.cancel):
        assert found.reason


@given(REQUESTS, MODES, HELD, MARKS)
def test_i05_an_entry_older_than_the_newest_word_never_enters(request: Request, mode: Any, held: int, mark: Mark | None) -> None:
    if mark is not None and order_of(request, mark) < 0:
        assert not wish(request, mode, held, mark).enter


@pytest.mark.parametrize("about", [{"closes": "long"}, {"previous": "long"}])
def test_what_closes_one_side_leaves_the_other_alone(about: dict[str, Any]) -> None:
    request = asked(action="close", **about)
    assert wish(request, "signal", 1, None).leave
    assert not wish(request, "signal", -1, None).leave


def test_the_position_wins_over_the_word() -> None:
    assert stance_of(asked(action="long", position="flat"), 1) == "flat"
    assert stance_of(asked(action="close", position="short"), 1) == "short"


@pytest.mark.parametrize(
    ("word", "own", "age", "old"),
    [
        ("long", None, 60_000, False),
        ("long", None, 60_001, True),
        ("close", None, 900_000, False),
        ("close", None, 900_001, True),
        ("long", 5_000, 5_001, True),
        ("long", 900_000, 60_001, True),
        ("close", 5_000, 5_001, True),
        ("long", None, -3_600_000, False),
    ],
)
def test_i06_how_old_is_too_old(word: str, own: int | None, age: int, old: bool) -> None:
    one = alert(word, sent=START, max_lag=60_000)
    request = Request(symbol=A, action=one.request.action, sent=START, max_lag=own)
    from msgspec.structs import replace

    assert bool(too_old(replace(one, request=request), START + age)) is old


def test_i06_without_a_time_of_its_own_it_grows_old_from_its_coming() -> None:
    one = alert("long", received=START)
    assert not too_old(one, START + 60_000)
    assert too_old(one, START + 60_001) == "it is 60 s old, and 60 s are allowed"


@given(
    quantity=st.decimals("0.0001", "100000", places=4),
    unit=st.sampled_from(["base", "contracts", "percent", "quote"]),
    price=st.floats(0.0001, 200_000),
    equity=st.decimals(-1000, 100_000, places=2),
)
def test_amounts_become_base_currency_exactly(quantity: Decimal, unit: Any, price: float, equity: Decimal) -> None:
    instrument = Instrument(symbol=A)
    found = base_quantity(asked(quantity=quantity, unit=unit), price, equity, instrument)
    exact = Decimal(repr(price))
    wanted = {
        "base": quantity,
        "contracts": quantity * instrument.multiplier,
        "percent": equity * quantity / 100 / exact,
        "quote": quantity / exact,
    }
    assert found == wanted[unit]
    assert base_quantity(asked(unit=unit), price, equity, instrument) is None


@pytest.mark.parametrize("name", ["quantity", "leverage", "stop", "take_profit"])
@pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity", "-Infinity", "-1", "0", "-0", "0E+5"])
def test_i10_what_is_no_amount_is_named(name: str, text: str) -> None:
    assert f"its {name} of" in no_amount(asked(**{name: Decimal(text)}))


def test_amounts_that_are_some_are_not_doubted() -> None:
    one = Decimal("0.0000001")
    assert no_amount(asked(quantity=one, leverage=one, stop=one, take_profit=one)) == ""
    assert no_amount(asked()) == ""


@given(
    st.decimals(min_value="1e-18", max_value="1e32", allow_nan=False),
    st.none() | st.decimals(min_value=0, max_value="1e32", allow_nan=False),
    st.sampled_from(["base", "contracts", "percent", "quote"]),
)
def test_what_is_taken_off_is_whole_lots_of_what_is_held_however_much_is_asked(
    quantity: Decimal, rest: Decimal | None, unit: Any
) -> None:
    request = Request(symbol=A, action="reduce", quantity=quantity, unit=unit, position_size=rest)
    found = taken_off(request, Decimal(20), 50_000.0, Decimal(10_000), Instrument(symbol=A))
    assert found is not None
    assert 0 <= found <= 20
    assert found % 1 == 0
