"""Who may ask, how often, and what becomes of nonsense."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_exchange import KEY, START, Local

from enigma_sandbox.exchange import Key, Reply, Request, Rules

TARGET = "/api/v1/position?symbol=XBTUSDTM"


def sign(secret: str, text: str) -> str:
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()).decode()


def signed(there: Local, *, version: str = "2", text: str = TARGET, address: str = "127.0.0.1", **changes: str) -> Reply:
    stamp = changes.get("stamp", str(there.now))
    phrase = KEY.passphrase if version == "1" else sign(KEY.secret, KEY.passphrase)
    headers = {
        "kc-api-key": KEY.key,
        "kc-api-sign": sign(KEY.secret, stamp + "GET" + text),
        "kc-api-timestamp": stamp,
        "kc-api-passphrase": phrase,
        "kc-api-key-version": version,
    } | {f"kc-api-{name}": value for name, value in changes.items() if name != "stamp"}
    asked = Request(
        method="GET",
        path="/api/v1/position",
        query={"symbol": "XBTUSDTM"},
        headers={k: v for k, v in headers.items() if v},
        text=TARGET,
        address=address,
    )
    return there.exchange.request(asked)


@pytest.mark.parametrize("version", ["1", "2", "3"])
def test_signed_request_is_answered_in_every_version(version: str) -> None:
    assert signed(Local(), version=version).code == "200000"


@pytest.mark.parametrize(
    ("changes", "code", "status"),
    [
        ({"key": ""}, "400001", 401),
        ({"sign": ""}, "400001", 401),
        ({"stamp": str(START - 5_001)}, "400002", 401),
        ({"stamp": str(START + 5_001)}, "400002", 401),
        ({"stamp": "soon"}, "400002", 401),
        ({"stamp": "9" * 400}, "400002", 401),
        ({"key": "another"}, "400003", 401),
        ({"key": "schlüssel"}, "400003", 401),
        ({"passphrase": "wrong"}, "400004", 401),
        ({"sign": "wrong"}, "400005", 401),
        ({"text": TARGET + "x"}, "400005", 401),
    ],
)
def test_unsigned_or_wrongly_signed_request_is_refused(changes: dict[str, str], code: str, status: int) -> None:
    reply = signed(Local(), **changes)
    assert (reply.code, reply.status) == (code, status)


def test_time_may_be_off_by_five_seconds() -> None:
    for off in (-5_000, 5_000):
        assert signed(Local(), stamp=str(START + off)).code == "200000"


def test_x30_skewed_clock_of_the_exchange_refuses_what_was_in_time() -> None:
    there = Local()
    there.exchange.press("skew", ms=6_000)
    assert signed(there).code == "400002"
    assert there.get("/api/v1/timestamp") == START + 6_000


def test_key_without_the_right_or_the_address_is_refused() -> None:
    poor = Local(Rules(keys=(Key(key=KEY.key, secret=KEY.secret, passphrase=KEY.passphrase, permissions=("General",)),)))
    assert signed(poor).code == "400007"
    bound = Key(key=KEY.key, secret=KEY.secret, passphrase=KEY.passphrase, addresses=("10.0.0.1",))
    assert signed(Local(Rules(keys=(bound,)))).code == "400006"
    assert signed(Local(Rules(keys=(bound,))), address="10.0.0.1").code == "200000"


def test_x31_revoked_key_and_unlisted_address_are_refused_until_they_are_not() -> None:
    there = Local()
    there.exchange.press("revoke_key")
    assert signed(there).code == "400003"
    assert there.ask("GET", "/api/v1/positions").code == "400003"
    there.exchange.press("revoke_key", on=False)
    there.exchange.press("unlist_address")
    assert signed(there).code == "400006"
    there.exchange.press("clear")
    assert signed(there).code == "200000"


def test_a10_a_key_may_be_given_more_than_it_should_have() -> None:
    there = Local()

    def may() -> str:
        return str(there.get("/api/v1/user/api-key", mount="spot")["permission"])

    assert may() == "General,Futures"
    there.exchange.press("grant")
    there.exchange.press("grant", permission="Transfer")
    assert may() == "General,Futures,Withdrawal,Transfer"
    there.exchange.press("grant", on=False)
    assert may() == "General,Futures,Transfer"
    there.exchange.press("clear")
    assert may() == "General,Futures"


def test_public_endpoints_need_no_key_and_private_ones_do() -> None:
    there = Local()
    for path, code in (("/api/v1/timestamp", "200000"), ("/api/v1/contracts/active", "200000"), ("/api/v1/positions", "400001")):
        assert there.exchange.request(Request(method="GET", path=path, text=path)).code == code


def test_the_two_hosts_are_kept_apart() -> None:
    there = Local()
    assert there.ask("GET", "/api/v1/user/api-key", mount="spot").data["permission"] == "General,Futures"
    assert there.ask("GET", "/api/v1/user/api-key").status == 404
    assert there.ask("GET", "/api/v1/positions", mount="spot").code == "404000"


def test_x12_weight_is_counted_in_pools_and_too_much_is_refused() -> None:
    there = Local(Rules(keys=(KEY,), quota=20, quota_window=30_000))
    first = there.ask("GET", "/api/v1/positions")
    assert first.headers == {"gw-ratelimit-limit": "20", "gw-ratelimit-remaining": "18", "gw-ratelimit-reset": "30000"}
    for _ in range(9):
        there.get("/api/v1/positions")
    refused = there.ask("POST", "/api/v1/orders", body=there.body("buy", 1))
    assert (refused.status, refused.code) == (429, "429000")
    assert int(refused.headers["gw-ratelimit-remaining"]) == 0
    assert there.exchange.order_of("order-1") is None
    assert there.get("/api/v1/timestamp") == there.now
    there.now += 30_000
    assert there.place("buy", 1).code == "200000"


def test_weights_are_those_of_the_documents() -> None:
    there = Local(Rules(quota=2_000))
    for method, path, weight in (
        ("DELETE", "/api/v1/orders", 800),
        ("DELETE", "/api/v1/stopOrders", 15),
        ("GET", "/api/v1/account-overview", 5),
        ("GET", "/api/v1/fills", 5),
    ):
        left = int(there.ask("GET", "/api/v1/positions").headers["gw-ratelimit-remaining"])
        reply = there.ask(method, path)
        assert left - int(reply.headers["gw-ratelimit-remaining"]) == weight, path


def test_unknown_path_is_not_found() -> None:
    reply = Local().ask("GET", "/api/v1/nothing")
    assert (reply.status, reply.code) == (404, "404000")


nonsense = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["buy", "sell", "XBTUSDTM", "limit", "market", "up", "1e999", "1E+4000000", "0x1", "٣", "-0"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = ["clientOid", "symbol", "side", "type", "size", "qty", "valueQty", "price", "leverage", "stop", "stopPrice"]
FIELDS += ["stopPriceType", "reduceOnly", "closeOrder", "timeInForce", "postOnly", "marginMode", "margin", "level", "symbols"]
FIELDS += ["triggerStopUpPrice", "withdrawAmount", "bizNo", "orderIdsList", "clientOidsList", "visibleSize", "remark", "status"]
QUERY = ["symbol", "status", "currentPage", "pageSize", "startAt", "endAt", "granularity", "from", "to", "orderId", "clientOid"]
QUERY += ["offset", "maxCount", "limit", "pageId", "price", "leverage", "currency", "totalMargin", "type", "side", "forward"]
WORDS = ["XBTUSDTM", "0", "-1", "1", "9" * 30]
ROUTES = sorted({(r.method, r.path, r.mount) for r in Local().exchange._table.routes})


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(ROUTES),
    st.dictionaries(
        st.sampled_from(QUERY), st.text(max_size=12) | st.sampled_from(["XBTUSDTM", "0", "-1", "1", "9" * 30]), max_size=6
    ),
    nonsense | st.dictionaries(st.sampled_from(FIELDS), nonsense, max_size=8),
    st.text(max_size=8),
)
def test_whatever_a_client_sends_is_answered(route: tuple[str, str, Any], query: dict[str, str], body: Any, value: str) -> None:
    method, path, mount = route
    parts = [(value.replace("/", "") or "XBTUSDTM") if part[:1] == "{" else part for part in path.split("/")]
    there = Local()
    there.placed("buy", 3)
    there.placed("buy", 1, price="59000")
    reply = there.exchange.request(Request(method=method, path="/".join(parts), query=query, body=body, mount=mount))
    assert reply.code != ""
    json.loads(reply.body())


def test_every_answer_is_json_whose_numbers_are_numbers() -> None:
    there = Local()
    there.placed("buy", 3)
    for method, path, mount in ROUTES:
        if method == "GET" and "{" not in path:
            reply = there.ask(
                method, path, {"symbol": "XBTUSDTM", "granularity": 1, "clientOid": "order-1", "currency": "USDT"}, mount=mount
            )
            assert json.loads(reply.body())["code"] in ("200000", "400100"), path
