"""Which messages are the same alert."""

from __future__ import annotations

import string
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from desks import NOW
from enigma_core.alert import Request
from enigma_webhooks.front.identity import WINDOW, digest, identity

BTC = "BTC/USDT:USDT"

texts = st.text(string.ascii_letters + string.digits, max_size=8)
numbers = st.none() | st.decimals(min_value=0, max_value=10**6, places=3)
times = st.none() | st.integers(NOW - 10**9, NOW)
asked = st.fixed_dictionaries(
    {
        "symbol": st.sampled_from([BTC, "ETH/USDT:USDT"]),
        "action": st.sampled_from(["long", "short", "close", None]),
        "order": texts,
        "quantity": numbers,
        "price": numbers,
        "position": st.sampled_from([None, "long", "short", "flat"]),
        "bar": times,
        "sent": times,
    }
)


@given(asked, st.integers(NOW, NOW + 10**9), st.integers(0, 10**6))
def test_the_same_message_has_the_same_key_whenever_it_comes(fields: dict[str, Any], received: int, later: int) -> None:
    request = Request(**fields)
    one, two = identity("tradingview", request, received), identity("tradingview", request, received + later)
    assert one.key == two.key
    assert (one.window is None) == (request.bar is not None or request.sent is not None)
    if one.window is None:
        assert one == two


@given(asked, st.sampled_from(["symbol", "action", "order", "quantity", "price", "position", "bar"]))
def test_each_thing_asked_for_makes_another_alert(fields: dict[str, Any], changed: str) -> None:
    other: dict[str, Any] = {
        "symbol": "SOL/USDT:USDT",
        "action": "reverse",
        "order": "another one",
        "quantity": Decimal("0.0001"),
        "price": Decimal("0.0001"),
        "position": None if fields["position"] else "flat",
        "bar": NOW + 1,
    }
    one = identity("tradingview", Request(**fields), NOW)
    assert one.key != identity("tradingview", Request(**{**fields, changed: other[changed]}), NOW).key


@given(asked, st.text(min_size=1, max_size=40))
def test_an_id_of_the_senders_own_is_the_identity_whatever_else_is_asked(fields: dict[str, Any], key: str) -> None:
    one = identity("tradingview", Request(**fields, key=key), NOW)
    assert one == identity("tradingview", Request(symbol=BTC, key=key), NOW + 10**9)
    assert one.window is None
    assert one != identity("signals", Request(symbol=BTC, key=key), NOW)


@given(asked, st.integers(0, 5))
def test_ids_fit_a_client_order_id(fields: dict[str, Any], copy: int) -> None:
    found = identity("tradingview", Request(**fields), NOW, copy)
    assert len(found.id) == 21
    assert found.id.isascii()
    assert found.id.isalnum()


def test_the_bars_time_wins_over_the_time_of_sending() -> None:
    request = Request(symbol=BTC, action="long", bar=NOW, sent=NOW + 5)
    again = msgspec.structs.replace(request, sent=NOW + 9_000)
    assert identity("tradingview", request, NOW) == identity("tradingview", again, NOW)


def test_without_any_time_a_message_is_known_for_a_minute_and_its_id_is_of_the_moment() -> None:
    request = Request(symbol=BTC, action="long")
    one, two = identity("tradingview", request, NOW), identity("tradingview", request, NOW + 61_000)
    assert one.window == two.window == WINDOW == 60_000
    assert one.key == two.key
    assert one.id != two.id


@given(st.text(max_size=8), times)
def test_a_halt_is_never_a_duplicate_of_one_at_another_time(key: str, bar: int | None) -> None:
    request = Request(symbol="", action="halt", key=key, bar=bar, sent=bar)
    one, two = identity("tradingview", request, NOW), identity("tradingview", request, NOW + 1)
    assert one.id != two.id
    assert one.key != two.key
    assert one.window is not None


def test_orders_alike_in_one_message_are_told_apart_by_their_place() -> None:
    for request in (Request(symbol=BTC, action="long"), Request(symbol=BTC, bar=NOW)):
        assert len({identity("tradingview", request, NOW, copy).key for copy in range(3)}) == 3
    with_id = Request(symbol=BTC, key="a")
    assert len({identity("tradingview", with_id, NOW, copy).key for copy in range(3)}) == 1


def test_a_number_written_otherwise_is_another_message_but_a_blank_at_the_end_is_not() -> None:
    assert digest(b'{"a": 1}\r\n') == digest(b' {"a": 1}')
    assert digest(b'{"a": 1}') != digest(b'{"a": 2}')
