"""Records survive the way to JSON and back."""

from __future__ import annotations

import math
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enigma_core import model, records
from enigma_core.errors import HomeError
from enigma_core.model import Sizing, Verdict
from enigma_core.parts import Note
from ledger import decision, entry, fill, marked, started, stop, trade

amounts = st.decimals(allow_nan=False, allow_infinity=False, min_value=Decimal("-1e24"), max_value=Decimal("1e24"))


@pytest.mark.parametrize(
    "record",
    [decision(), entry(), stop(), fill(), trade(), marked(5), started(), Note(1, "halted", "Halted", "why")],
    ids=records.tag,
)
def test_every_record_comes_back_equal(record: msgspec.Struct) -> None:
    back = records.decode(records.tag(record), records.encode(record))
    assert type(back) is type(record)
    assert records.encode(back) == records.encode(record)


@given(quantity=amounts, price=amounts, fee=amounts)
def test_s14_decimals_come_back_digit_for_digit(quantity: Decimal, price: Decimal, fee: Decimal) -> None:
    made = fill(quantity=quantity, price=price, fee=fee)
    back = records.decode("fill", records.encode(made))
    assert [d.as_tuple() for d in (back.quantity, back.price, back.fee)] == [d.as_tuple() for d in (quantity, price, fee)]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_come_back_to_the_last_bit(value: float) -> None:
    made = decision(score=value, points={"macd": value, "cci": None})
    assert records.decode("decision", records.encode(made)) == made


def test_nan_becomes_null_and_null_becomes_nan_where_the_field_is_a_float() -> None:
    made = entry(atr=math.nan)
    assert b'"atr":null' in records.encode(made)
    back = records.decode("order", records.encode(made))
    assert math.isnan(back.atr)
    assert back.price is None


def test_none_stays_none_where_none_is_allowed_also_inside() -> None:
    made = decision(
        score=math.nan,
        points={"macd": None, "cci": 1.0},
        verdicts=(Verdict("spread", None, "<= 1", True, abstained=True),),
        sizing=Sizing(quantity=Decimal(0), leverage=1, margin=Decimal(0), bound="minimum"),
        order_id=None,
    )
    back = records.decode("decision", records.encode(made).decode())
    assert math.isnan(back.score)
    assert back.points == made.points
    assert back.verdicts == made.verdicts
    assert back.order_id is None
    assert records.decode("decision", records.encode(decision(sizing=None))).sizing is None


def test_every_fact_of_the_book_is_a_record() -> None:
    from typing import get_args

    from enigma_core.book import Record

    assert set(get_args(Record)) <= set(records.TAGS)
    assert {model.Decision, model.Trade, records.Started, Note} <= set(records.TAGS)


def test_a_struct_that_is_no_record_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="Sizing is no record"):
        records.tag(Sizing(quantity=Decimal(1), leverage=1, margin=Decimal(1)))


def test_two_kinds_cannot_share_a_tag() -> None:
    class Fill(msgspec.Struct, frozen=True):
        id: str

    with pytest.raises(TypeError, match="'fill'"):
        records.register(Fill)


def test_a_new_kind_of_record_needs_only_to_be_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "TYPES", dict(records.TYPES))
    monkeypatch.setattr(records, "TAGS", dict(records.TAGS))

    class AlertTaken(msgspec.Struct, frozen=True):
        ts: int
        levels: list[float]

    records.register(AlertTaken)
    made = AlertTaken(3, [1.5, math.nan])
    back = records.decode("alert_taken", records.encode(made))
    assert back.levels[0] == 1.5
    assert math.isnan(back.levels[1])


@pytest.mark.parametrize(
    ("tag", "payload", "says"),
    [
        ("dividend", "{}", "'dividend' is unknown"),
        ("fill", "{", "'fill' cannot be read"),
        ("fill", '{"id":1}', "'fill' cannot be read"),
        ("order", '{"id":null}', "'order' cannot be read"),
        ("order", "[null]", "'order' cannot be read"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(tag: str, payload: str, says: str) -> None:
    with pytest.raises(HomeError, match=says):
        records.decode(tag, payload)
