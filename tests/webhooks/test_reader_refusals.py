"""What is refused, and the sentence that says why."""

from __future__ import annotations

import base64
import json
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from enigma_webhooks.alerts import MOST_BYTES, Reading, place_of, read
from enigma_webhooks.alerts.reader import understood
from messages import SECRET

KEPT = Path(__file__).parent / "bad" / "inputs.jsonl"


def order(**fields: Any) -> str:
    return json.dumps({"symbol": "BTCUSDT", "action": "buy", **fields})


def refused(body: bytes | str) -> Reading:
    (reading,) = understood(body)
    assert not reading.ok
    assert reading.request is None
    assert reading.error
    assert reading.status in (413, 415, 422)
    return reading


def said(body: bytes | str) -> str:
    return refused(body).error or ""


def kept() -> list[tuple[str, bytes]]:
    rows = [json.loads(line) for line in KEPT.read_text("ascii").splitlines()]
    return [(row["name"], row["text"].encode() if "text" in row else base64.b64decode(row["base64"])) for row in rows]


def test_i09_every_kept_bad_input_is_refused_with_a_sentence_and_quickly() -> None:
    inputs = kept()
    assert len(inputs) >= 300
    began = time.process_time()
    for name, body in inputs:
        readings = understood(body)
        assert any(not r.ok and r.error and len(r.error) > 10 and "\n" not in r.error for r in readings), name
    # generous: 50 ms each would be 25 s; they take about half a millisecond
    assert time.process_time() - began < 0.05 * len(inputs)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            '{"symbol":"BTCUSDT","action":"buy"',
            "line 1, column 35: the text ends inside the object that begins at line 1, column 1",
        ),
        (
            '{\n "symbol":"BTCUSDT",\n "action":"bu',
            "line 3, column 11: the text ends inside the string that begins here; expected a closing",
        ),
        ('{"symbol":"BTCUSDT","action":"buy"}}', "line 1, column 36: found '}', expected the end of the message"),
        ('{"symbol":"BTCUSDT"\n,)"action":"buy"}', "line 2, column 2: found ')\"action\"', expected a key in quotes or }"),
        ('{"symbol" "BTCUSDT"}', "line 1, column 11: found '\"', expected : after the key 'symbol'"),
        ("", "the message is empty"),
        (" \r\n\t", "the message is empty"),
    ],
)
def test_i09_malformed_json_is_refused_with_line_column_and_what_was_expected(text: str, reason: str) -> None:
    assert said(text).startswith(reason)


def test_i09_a_byte_order_mark_is_no_fault() -> None:
    (reading,) = understood(b"\xef\xbb\xbf" + order().encode())
    assert reading.ok


@pytest.mark.parametrize(
    "body", [order().encode("utf-16"), order().encode("utf-16-be"), b"\xff\xfe\x00", b'{"symbol":"B\xff"}', b"\x00\x01"]
)
def test_i09_what_is_no_text_is_named_as_that(body: bytes) -> None:
    assert refused(body).status == 415


def test_i09_half_a_character_is_no_text() -> None:
    assert refused('{"symbol":"\ud800"}').status == 415


MONEY = ("qty", "quantity", "contracts", "price", "leverage", "lev", "stop_loss", "sl", "takeProfit", "tp", "amount")


@pytest.mark.parametrize("field", MONEY)
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", '"NaN"', '"Infinity"', '"-inf"', '"1e999"', "-1"])
def test_i10_no_number_that_is_not_finite_and_positive_gets_into_money(field: str, value: str) -> None:
    assert field in said(f'{{"symbol":"BTCUSDT","action":"buy","{field}":{value}}}') or "1e999" in value


def test_i10_an_indicator_that_is_no_number_is_left_out_with_a_warning() -> None:
    for value in ("NaN", '"NaN"', "Infinity", "-Infinity"):
        (reading,) = understood(f'{{"symbol":"BTCUSDT","action":"buy","indicators":{{"rsi":{value},"adx":20}}}}')
        assert reading.request is not None
        assert reading.request.indicators == {"adx": 20.0}
        assert any("rsi" in warning for warning in reading.warnings)


@pytest.mark.parametrize("field", [*MONEY, "rsi", "position_size"])
@pytest.mark.parametrize("value", ["1E+4000000", "1e13", "1E-19", "9" * 21, "0." + "0" * 18 + "1", "1e" + "9" * 4000])
def test_i11_an_exponent_bomb_takes_no_longer_than_a_long_text(field: str, value: str) -> None:
    for written in (value, f'"{value}"') if field in MONEY else (value,):
        body = f'{{"symbol":"BTCUSDT","action":"buy","{field}":{written}}}'.encode()
        assert ("exponent" in said(body)) or ("digits" in said(body)) or ("decimal places" in said(body))
        plain = f'{{"symbol":"BTCUSDT","action":"buy","comment":"{"x" * len(written)}"}}'.encode()
        assert min(_seconds(body) for _ in range(5)) < 20 * min(_seconds(plain) for _ in range(5))


def _seconds(body: bytes) -> float:
    began = time.process_time()
    understood(body)
    return time.process_time() - began


def test_i12_a_number_of_thousands_of_digits_is_refused() -> None:
    assert "more than 20 digits" in said(order(qty=1).replace(": 1}", f": {'7' * 5000}}}"))
    assert "more than 20 digits" in said(order(qty="7" * 5000))
    assert refused('{"qty":' + "7" * 1_000_000 + "}").status == 413


@pytest.mark.parametrize("depth", [33, 34, 100, 1000, 2500, 100_000, 1_000_000])
def test_i13_deep_nesting_is_refused_without_recursion(depth: int) -> None:
    for body in (
        "[" * depth,
        '{"a":' * depth,
        "[" * depth + "]" * depth,
        '{"symbol":"BTCUSDT","action":"buy","x":' + '{"a":' * depth,
    ):
        reading = refused(body)
        assert (reading.status == 413) == (len(body) > MOST_BYTES)
        assert reading.status == 413 or "nested deeper than 32" in (reading.error or "")


def test_i13_thirty_two_levels_are_read() -> None:
    inner = '{"a":' * 31 + '{"symbol":"BTCUSDT","action":"buy"}' + "}" * 31
    (reading,) = understood(inner)
    assert reading.ok
    assert "deeper" in said('{"a":' + inner + "}")


@pytest.mark.parametrize(
    "field", ["secret", "action", "symbol", "quantity", "price", "leverage", "stop", "tp", "id", "market_position"]
)
def test_i14_a_control_field_given_twice_is_refused(field: str) -> None:
    text = f'{{"{field}":"1","x":1,"{field}" : "2"}}'
    assert f"{field} is given twice" in said(text)
    place = place_of(said(text))
    assert place == (1, text.index('"2"') + 1)


def test_i14_a_field_nobody_reads_may_be_given_twice_with_a_warning() -> None:
    (reading,) = understood('{"symbol":"BTCUSDT","action":"buy","note":1,"note":2}')
    assert reading.ok
    assert any("note is given twice" in warning for warning in reading.warnings)


def test_i14_the_same_key_in_two_objects_is_no_duplicate() -> None:
    (reading,) = understood('{"symbol":"BTCUSDT","action":"buy","bar":{"time":1769860800000},"x":{"time":1}}')
    assert reading.ok


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("symbol", ["BTCUSDT"]),
        ("symbol", {"a": 1}),
        ("symbol", 5),
        ("symbol", True),
        ("action", 1),
        ("action", ["buy"]),
        ("action", {"a": "buy"}),
        ("qty", [1]),
        ("qty", {"a": 1}),
        ("qty", True),
        ("price", [1]),
        ("leverage", {"x": 2}),
        ("secret", ["a"]),
        ("secret", {"a": "b"}),
        ("secret", True),
        ("id", ["a"]),
        ("market_position", ["long"]),
    ],
)
def test_i15_a_value_of_the_wrong_type_is_refused_at_its_place(field: str, value: Any) -> None:
    text = order(**{field: value})
    place = place_of(said(text))
    assert place is not None
    assert text[place[1] - 1 :].startswith(json.dumps(value))
    assert field in said(text)


@pytest.mark.parametrize(
    "symbol",
    [
        "BTC\u202eUSDT",
        "ВTCUSDT",  # a Cyrillic В
        "BTCUſDT",  # upper-cased, ſ is S
        "bıtcoinusdt",  # upper-cased, ı is I
        "ＢＴＣUSDT",
        "BTC\u0000USDT",
        "BTC\nUSDT",
        "BTC\u200bUSDT",
        "BTC USDT",
        "B" * 41,
        "<script>",
        "$(reboot)",
    ],
)
def test_i16_a_symbol_has_plain_letters_only(symbol: str) -> None:
    error = said(order(symbol=symbol))
    assert "is not 1 to 40 of A-Z 0-9 : . _ / ! -" in error
    assert error.isascii()


@pytest.mark.parametrize("text", [order(), "BUY BTCUSDT", "SYMBOL=BTCUSDT;SIGNAL=BUY"])
def test_i26_the_content_decides_how_a_body_is_read(text: str) -> None:
    assert [r.side for r in understood(text.encode())] == ["long"]


@pytest.mark.parametrize(
    "more",
    [
        {"side": "sell"},
        {"signal": "close"},
        {"type": "exit"},
        {"order": {"action": "sell"}},
        {"strategy": {"order_action": "sell"}},
        {"direction": "bearish"},
    ],
)
def test_two_contradicting_actions_are_refused_by_both_names(more: dict[str, Any]) -> None:
    error = said(order(**more))
    assert "two contradicting actions" in error
    assert "'buy'" in error
    (other,) = more.values()
    assert repr(next(iter(other.values())) if isinstance(other, dict) else other) in error


def test_two_actions_that_agree_are_one() -> None:
    (reading,) = understood(order(side="BUY", order={"action": "long"}))
    assert reading.side == "long"


@pytest.mark.parametrize(
    "key", ["api_key", "apiKey", "API-SECRET", "binanceApiKey", "kucoin_api_passphrase", "secretKey", "privateKey"]
)
def test_a_message_with_exchange_keys_is_refused_and_they_are_not_echoed(key: str) -> None:
    for text in (
        order(**{key: "AKIA-canary-123456"}),
        order(exchange={key: "AKIA-canary-123456"}),
        f"symbol=BTCUSDT;{key}=AKIA-canary-123456",
    ):
        reading = refused(text)
        assert "take it out of the alert and renew it" in (reading.error or "")
        assert "canary" not in repr(reading)


def test_a_passphrase_alone_is_the_webhooks_secret() -> None:
    (reading,) = understood(order(passphrase=SECRET))
    assert reading.secret == SECRET


def test_two_different_secrets_are_refused_and_the_same_one_twice_is_not() -> None:
    error = said(order(secret="canary-one-1", token="canary-two-2"))
    assert "two different secrets" in error
    assert "canary" not in error
    (reading,) = understood(order(secret=SECRET, token=SECRET))
    assert reading.secret == SECRET


def test_a_refused_message_still_says_which_secret_it_carried() -> None:
    assert refused(order(secret=SECRET, qty=-1)).secret == SECRET
    assert refused(order(secret=SECRET)[:-1]).secret == SECRET


@pytest.mark.parametrize("text", [order(secret=SECRET, id=f"x{SECRET}"), order(secret=SECRET, comment=SECRET)])
def test_a_secret_in_another_field_is_refused(text: str) -> None:
    reading = refused(text)
    assert "the secret stands in another field" in (reading.error or "")
    assert SECRET not in repr(reading)


def test_a_token_at_the_start_of_a_pair_does_not_swallow_the_rest() -> None:
    (reading,) = understood("TOKEN=abc;SIGNAL=BUY;SYMBOL=BTCUSDT")
    assert (reading.secret, reading.side) == ("abc", "long")


def test_more_than_fifty_orders_are_refused_whole() -> None:
    for text in ("[" + ",".join([order()] * 51) + "]", "\n".join(["BUY BTCUSDT"] * 51), "\n".join([order()] * 51)):
        assert "orders" in said(text)
    assert len(understood("[" + ",".join([order()] * 50) + "]")) == 50


def test_one_bad_order_of_an_array_leaves_the_others() -> None:
    good, bad = understood(f"[{order()},{order(qty=-1)}]")
    assert (good.ok, bad.ok) == (True, False)


def test_over_sixteen_kibibytes_is_too_large() -> None:
    assert refused(order(note="x" * MOST_BYTES)).status == 413
    (reading,) = understood(order(note="x" * (MOST_BYTES - 60)))
    assert reading.ok


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (order(action="buuy"), "did you mean 'buy'?"),
        (order(action=""), "action is empty"),
        (order(action="{{strategy.order.action}}"), "arrived unresolved"),
        (order(symbol="{{ticker}}"), "arrived unresolved"),
        (order(qty="{{strategy.order.contracts}}"), "arrived unresolved"),
        (order(action="add"), "which side"),
        (order(qty="0,5"), "can be read in two ways"),
        (order(qty="5 apples"), "in no unit known"),
        (order(qty=1, quantityType="apples"), "expected base, contracts, percent or quote"),
        (order(ticker="ETHUSDT"), "symbol says BTC/USDT:USDT, ticker ETH/USDT:USDT"),
        (order(symbol="BTC"), "names no pair"),
        (order(symbol="BTC1!"), "a dated or a continuous future"),
        (order(qty=1, contracts=2), "say two different things"),
        (order(id="x" * 129), "more than 128 characters"),
        ('{"symbol":"BTCUSDT"}', "neither what to do nor what to hold"),
        ('{"action":"buy"}', "names no symbol"),
        ("BTCUSDT", "neither what to do nor what to hold"),
        ("BUY BTCUSDT SELL", "two contradicting actions"),
        ("[]", "an empty list"),
    ],
)
def test_what_is_missing_or_unclear_is_said(text: str, reason: str) -> None:
    assert reason in said(text)


def test_nothing_in_a_message_keeps_a_halt_from_being_understood() -> None:
    for text in (
        '{"action":"halt","symbol":"?","qty":-1,"price":"NaN","leverage":0}',
        "halt",
        "panic now",
        "SIGNAL=kill;VOLUME=-1",
    ):
        (reading,) = read(text)
        assert reading.request is not None
        assert (reading.request.action, reading.symbol, reading.side, reading.asks) == ("halt", "", None, True)


def test_a_test_alert_asks_for_nothing() -> None:
    for text in (order(test=True), '{"test":true}', "BUY BTCUSDT test=true"):
        (reading,) = read(text)
        assert (reading.ok, reading.test, reading.asks) == (True, True, False)


@pytest.mark.parametrize("action", ["long", "buy"])
def test_an_action_and_a_sentiment_against_it_contradict_each_other(action: str) -> None:
    error = said(order(action=action, sentiment="bearish"))
    assert "two contradicting actions" in error
    assert "'bearish'" in error


def test_a_sentiment_of_flat_makes_a_close() -> None:
    for action, closes in (("sell", "long"), ("exit", None)):
        (reading,) = read(order(action=action, sentiment="flat"))
        assert reading.request is not None
        assert (reading.request.reduces, reading.request.closes) == (True, closes)


@pytest.mark.parametrize("key", ["orderType", "order_type", "type"])
def test_that_a_limit_order_is_traded_at_the_market_is_said(key: str) -> None:
    for text in (order(**{key: "limit", "price": 50000}), f"symbol=BTCUSDT;action=buy;{key}=LIMIT;price=50000"):
        (reading,) = read(text)
        assert reading.ok
        assert any("limit orders are not placed: it is traded at the market" in w for w in reading.warnings)
    (reading,) = read(order(**{key: "market"}))
    assert reading.warnings == ()


@pytest.mark.parametrize("key", ["timenow", "timestamp", "sent", "sentAt"])
@pytest.mark.parametrize("value", ["yesterday", "{{timenow}}", "12:00", 5])
def test_an_entry_whose_time_of_sending_cannot_be_read_is_refused_and_an_exit_is_warned_of(key: str, value: Any) -> None:
    error = said(order(**{key: value}))
    assert f"{key} '{value}' is no time" in error
    assert "2026-01-31T12:00:00Z, or seconds or milliseconds since 1970" in error
    part = {"action": "sell", "market_position": "long", "prev_market_position": "long"}
    for exit_ in ({"action": "close"}, {"action": "sell", "market_position": "flat"}, {"action": "cancel"}, part):
        (reading,) = read(order(**{key: value, **exit_}))
        assert reading.ok
        assert any("is no time" in warning for warning in reading.warnings)


def test_timenow_left_as_it_was_under_time_is_the_time_of_sending() -> None:
    assert "is no time" in said(order(time="{{timenow}}"))


def test_a_position_without_a_word_is_no_action() -> None:
    for text, side in (
        ("BTCUSDT pos 0.1", "long"),
        ("BTCUSDT pos 0", "close"),
        ('{"symbol":"BTCUSDT","position":"short"}', "short"),
    ):
        (reading,) = read(text)
        assert reading.request is not None
        assert (reading.request.action, reading.side, reading.asks) == (None, side, True)


@pytest.mark.parametrize(
    ("text", "held"),
    [
        (order(market_position="long", market_position_size="0.5", contracts="0.1"), "0.5"),
        (order(action="sell", market_position="short", position_size=-0.75), "0.75"),
        (order(action="sell", market_position="flat", market_position_size=0), "0"),
        ("BTCUSDT pos 0.1", "0.1"),
        ("BTCUSDT pos -0.1", "0.1"),
        ("BTCUSDT pos 50%", None),
        ("BTCUSDT pos 3@", None),
        (order(market_position="long"), None),
        (order(market_position_size="{{strategy.market_position_size}}", contracts=1), None),
    ],
)
def test_how_much_is_held_afterwards_is_read_without_its_sign(text: str, held: str | None) -> None:
    (reading,) = read(text)
    assert reading.request is not None
    assert reading.request.position_size == (None if held is None else Decimal(held))


@pytest.mark.parametrize(
    ("message", "asked"),
    [
        ('{"symbol":"BTCUSDT","action":"sell","reduceOnly":"true"}', ("close", "long", None)),
        ('{"symbol":"BTCUSDT","action":"buy","qty":"0.1","reduce_only":true}', ("reduce", "short", "0.1")),
        ('{"symbol":"BTCUSDT","side":"sell","closePosition":true}', ("close", "long", None)),
        ("SYMBOL=BTCUSDT;SIGNAL=SELL;REDUCE_ONLY=true", ("close", "long", None)),
        ('{"symbol":"BTCUSDT","action":"buy","reduceOnly":false}', ("long", None, None)),
    ],
)
def test_an_order_that_may_only_reduce_enters_nothing(message: str, asked: tuple[str, str | None, str | None]) -> None:
    (reading,) = read(message)
    assert reading.ok, reading.error
    assert reading.request is not None
    quantity = reading.request.quantity
    assert (reading.request.action, reading.request.closes, None if quantity is None else str(quantity)) == asked


def test_the_interval_of_the_chart_is_read() -> None:
    for message in ('{"symbol":"BTCUSDT","action":"buy","interval":"60"}', "SYMBOL=BTCUSDT;SIGNAL=BUY;TIMEFRAME=60"):
        (reading,) = read(message)
        assert reading.request is not None
        assert reading.request.interval == "60"
