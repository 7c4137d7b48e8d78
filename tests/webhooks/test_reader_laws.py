"""Laws of the reader, over anything that can be sent."""

from __future__ import annotations

import json
import re
import time
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enigma_webhooks.alerts import MOST_BYTES, Reading, blanked, json_of
from enigma_webhooks.alerts.reader import understood
from enigma_webhooks.alerts.repair import repaired
from messages import ALL, SECRET

ANY = st.one_of(st.binary(max_size=400), st.text(max_size=400), st.text(alphabet="{}[]\":,'/*\\ \n0eE.-+x%$@=;&", max_size=200))
PIECES = (
    *(
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        '"',
        "'",
        "\\",
        "\n",
        "\r\n",
        "//",
        "/*",
        "{{",
        "}}",
        "{{close}}",
        "NaN",
        "1e999",
        "1E+4000000",
        "=",
        ";",
        "&",
        "|",
    ),
    *(
        "9" * 25,
        "“",
        "\u202e",
        "\x00",
        "\ufeff",
        "buy",
        "SELL",
        "BTCUSDT",
        "x5",
        "100$",
        "2%",
        "pos",
        "api_key=",
        '"apiKey":"k",',
        '"a":1,',
    ),
    *(
        f'"secret":"{SECRET}"',
        f"token={SECRET}",
        '"test":true',
        '"orders":[{"symbol":"BTCUSDT","action":"buy"}]',
        '"message":"BUY BTCUSDT"',
    ),
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from([message.text for message in ALL]))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        match draw(st.integers(0, 3)):
            case 0:
                text = text[:at] + draw(st.sampled_from(PIECES)) + text[at:]
            case 1:
                text = text[:at] + text[at + draw(st.integers(1, 8)) :]
            case 2:
                other = draw(st.sampled_from([message.text for message in ALL]))
                text = text[:at] + other[draw(st.integers(0, len(other))) :]
            case _:
                text = text[:at] + text[at : at + 20] * draw(st.integers(2, 9)) + text[at:]
    return text


def holds(body: bytes | str) -> None:
    """All laws for one body."""
    began = time.process_time()
    readings = understood(body)
    # one slow measurement on a busy machine is no proof: the best of three is
    took = time.process_time() - began
    for _ in range(2):
        if took > 0.05:
            began = time.process_time()
            understood(body)
            took = min(took, time.process_time() - began)
    assert took < 0.05
    assert readings
    for reading in readings:
        sound(reading)
    json.loads(json_of(readings))
    repaired(body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass"))


def sound(reading: Reading) -> None:
    assert reading.ok != bool(reading.error)
    assert reading.ok or (reading.status in (413, 415, 422) and reading.request is None)
    assert reading.ok is False or reading.status == 200
    if reading.secret == SECRET:
        assert SECRET not in repr(reading)
        assert SECRET not in str(reading.shown())
    request = reading.request
    if request is None:
        return
    assert request.symbol or request.action == "halt"
    assert request.symbol.isascii()
    for value in (request.quantity, request.price, request.leverage, request.stop, request.take_profit):
        assert value is None or (isinstance(value, Decimal) and value.is_finite() and value > 0)
    assert request.key.isprintable()
    assert len(request.key) <= 140
    assert all(abs(value) < float("inf") for value in request.indicators.values())


@settings(max_examples=600)
@given(ANY)
def test_i09_anything_at_all_gets_an_answer(body: bytes | str) -> None:
    holds(body)


@settings(max_examples=1400)
@given(mutated())
def test_i09_a_mutated_message_gets_an_answer(text: str) -> None:
    holds(text)


@pytest.mark.soak
@settings(max_examples=100_000)
@given(st.one_of(ANY, mutated()))
def test_i09_a_hundred_thousand_bodies_get_an_answer(body: bytes | str) -> None:
    holds(body)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)
FIELDS = (
    *(
        "symbol",
        "action",
        "side",
        "qty",
        "price",
        "leverage",
        "sl",
        "tp",
        "id",
        "secret",
        "market_position",
        "position_size",
        "timenow",
    ),
    *(
        "time",
        "bar",
        "indicators",
        "conditions",
        "order",
        "strategy",
        "orders",
        "message",
        "test",
        "max_lag",
        "quantityType",
        "exchange",
    ),
)


@settings(max_examples=500)
@given(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4))
def test_i15_any_value_in_any_field_is_read_or_refused(fields: dict[str, object]) -> None:
    holds(json.dumps({"symbol": "BTCUSDT", "action": "buy", **fields}))


@settings(max_examples=300)
@given(st.text(max_size=45))
def test_i16_whatever_stands_for_a_symbol_only_plain_letters_get_through(symbol: str) -> None:
    for reading in understood(json.dumps({"symbol": symbol, "action": "buy"})):
        assert not reading.ok or re.fullmatch(r"[A-Z0-9]+/[A-Z]+:[A-Z0-9]+", reading.symbol)


HARD = (
    '""";',
    "$=",
    "=:",
    "[",
    '{"a":',
    "[1,",
    '{"a":1,',
    '"',
    "'",
    "“",
    "\\",
    "//\n",
    "/*",
    "{{",
    "9",
    "9 ",
    "$",
    " ",
    ",",
    ";",
    "&a=",
    "a:b ",
    "x5 ",
    "a\n",
    "qty 1 ",
)


@pytest.mark.parametrize("before", ["", '{"a":', "BUY ", '{"symbol":"BTCUSDT","action":"buy","c":', '"'])
def test_sixteen_kibibytes_of_anything_repeated_are_answered_in_time(before: str) -> None:
    for piece in HARD:
        holds((before + piece * MOST_BYTES).encode()[:MOST_BYTES])


@settings(max_examples=150)
@given(st.text(min_size=1, max_size=30), st.text(max_size=20), st.text(max_size=20))
def test_no_form_of_a_secret_survives_blanking(secret: str, before: str, after: str) -> None:
    from urllib.parse import quote, quote_plus

    for form in (
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(secret, safe=""),
        quote_plus(secret),
    ):
        left = blanked(f"{before}\n{form}\n{after}", [secret])
        assert "***" in left
        assert f"\n{form}\n" not in left or form in "***"


@settings(max_examples=200)
@given(st.decimals(min_value="0.000000000001", max_value="999999", allow_nan=False, allow_infinity=False, places=12))
def test_numbers_pass_through_exactly(number: Decimal) -> None:
    text = format(number, "f")
    for body in (f'{{"symbol":"BTCUSDT","action":"buy","qty":{text}}}', f'{{"symbol":"BTCUSDT","action":"buy","qty":"{text}"}}'):
        (reading,) = understood(body)
        assert reading.request is not None
        assert reading.request.quantity == number
        assert json.loads(json_of([reading]), parse_float=Decimal, parse_int=Decimal)["quantity"] == number
