"""Who may do what: every route, every scope, every wrong way in."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import Litestar, Router, get
from litestar.routes import HTTPRoute
from litestar.testing import TestClient
from rich.pretty import pretty_repr

from apis import SECRETS, Api, Client, TradedDesk, bearer, running
from enigma_core.errors import ConfigError
from enigma_core.model import CloseWanted, StateSet
from enigma_webhooks.api import Access, Token
from enigma_webhooks.api.access import RANK, Grant, Scope
from enigma_webhooks.api.throttle import LONGEST, MOST_IN_ALL, Throttle

OPEN = {"/health", "/health/live", "/health/ready"}
"""Routes that need no token."""

SCOPES: tuple[Scope, ...] = ("read", "trade", "admin")

ELSEWHERE = {"X-Forwarded-For": "203.0.113.9"}
"""Somebody who asks through a proxy is not on this machine."""

VALUES = {
    "{symbol:str}": "BTCUSDT",
    "{base:str}": "BTC",
    "{rest:str}": "USDT:USDT",
    "{decision_id:str}": "x",
    "{alert_id:str}": "x",
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with running(Api(TradedDesk(tmp_path_factory.mktemp("run")))) as client:
        client.headers.pop("Authorization")
        yield client


def routes_of(app: Any) -> list[tuple[str, str, str]]:
    """(method, path, scope) of every HTTP route but the open ones, path parameters filled in."""
    found = []
    for route in app.routes:
        if not isinstance(route, HTTPRoute) or route.path in OPEN:
            continue
        path = route.path.replace("{path:str}", "x")
        for name, value in VALUES.items():
            path = path.replace(name, value)
        assert "{" not in path, f"{path}: give its parameters a value here"
        for handler in route.route_handlers:
            found += [(str(m), path, str(handler.opt.get("scope", "admin"))) for m in handler.http_methods]
    return sorted(found)


def ask(client: Client, method: str, path: str, headers: dict[str, str]) -> httpx.Response:
    # each failure is one of its own minute, so that none is refused for the ones before
    client.api.moments.seconds += 2 * LONGEST
    return client.request(method, path, headers=ELSEWHERE | headers)


def test_a01_every_route_but_health_refuses_whoever_has_no_right_token(client: Client) -> None:
    routes = routes_of(client.api.litestar)
    assert len(routes) > 40
    constant = set()
    for method, path, _ in routes:
        for wrong in (
            {},
            {"Authorization": "Bearer " + "wrong" * 8},
            bearer("expired"),
            {"Authorization": f"Basic {SECRETS['admin']}"},
        ):
            answer = ask(client, method, path, wrong)
            assert answer.status_code == 401, (method, path, wrong, answer.text)
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            constant.add(answer.content)
    assert len(constant) == 1


def test_a01_every_route_refuses_a_scope_below_its_own_and_names_the_one_it_needs(client: Client) -> None:
    below = [(m, p, s, lower) for m, p, s in routes_of(client.api.litestar) for lower in RANK if RANK[lower] < RANK[s]]
    assert below
    for method, path, scope, lower in below:
        answer = ask(client, method, path, bearer(lower))
        assert answer.status_code == 403, (method, path, lower)
        assert f"'{scope}'" in answer.json()["detail"]


def test_a01_a_scope_is_enough_for_all_below_it(client: Client) -> None:
    for method, path, scope in routes_of(client.api.litestar):
        if method == "GET":
            for higher in (name for name in RANK if RANK[name] >= RANK[scope]):
                assert ask(client, method, path, bearer(higher)).status_code not in (401, 403, 500), (path, higher)


def test_a01_a_route_that_says_nothing_of_a_scope_needs_admin() -> None:
    @get("/new")
    async def new() -> str:
        return "secret"

    access = Access.of([Token(name=name, token=SECRETS[name], scope=name) for name in SCOPES])
    with TestClient(Litestar([Router("/", route_handlers=[new], guards=[access.guard])])) as client:
        assert client.get("/new").status_code == 401
        assert client.get("/new", headers=bearer("trade")).status_code == 403
        assert client.get("/new", headers=bearer("admin")).status_code == 200


def test_a02_a_page_of_another_site_can_change_nothing(client: Client) -> None:
    before = list(client.api.desk.commands)
    foreign = [
        "http://evil.example",
        "null",
        f"http://127.0.0.1.evil.example:{client.port}",
        f"https://127.0.0.1:{client.port + 1}",
        "file://",
        "",
    ]
    for method, path, _ in routes_of(client.api.litestar):
        if method in ("POST", "PUT", "DELETE", "PATCH"):
            for origin in foreign:
                answer = ask(client, method, path, bearer("admin", Origin=origin))
                assert answer.status_code == 403, (method, path, origin)
    assert client.api.desk.commands == before


def test_a02_our_own_page_may(client: Client) -> None:
    own = {"Origin": f"http://127.0.0.1:{client.port}"}
    assert ask(client, "POST", "/api/v1/ws-ticket", bearer("read", **own)).status_code == 200


def test_a02_cookies_and_query_parameters_log_nobody_in(client: Client) -> None:
    token = SECRETS["admin"]
    for headers, query in (
        ({"Cookie": f"token={token}; session={token}; Authorization=Bearer {token}"}, ""),
        ({}, f"?token={token}&access_token={token}&authorization=Bearer%20{token}"),
        ({"X-Api-Key": token, "Proxy-Authorization": f"Bearer {token}"}, ""),
    ):
        assert ask(client, "GET", f"/api/v1/portfolio{query}", headers).status_code == 401
    assert "set-cookie" not in ask(client, "GET", "/api/v1/portfolio", bearer("read")).headers


def test_two_authorization_headers_are_one_too_many(client: Client) -> None:
    headers = [("Authorization", f"Bearer {SECRETS['read']}"), ("Authorization", f"Bearer {SECRETS['admin']}")]
    assert client.get("/api/v1/portfolio", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "169.254.169.254", "localhost.evil.example:80", "0.0.0.0", "[::2]", "a@127.0.0.1"],
)
def test_a04_a_name_that_is_not_ours_is_not_answered_even_with_a_token(client: Client, host: str) -> None:
    for path in ("/api/v1/portfolio", "/health", "/metrics"):
        answer = client.get(path, headers=bearer("admin", Host=host))
        assert answer.status_code == 400
        assert "equity" not in answer.text


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "LOCALHOST:1", "[::1]:9"])
def test_a04_our_own_names_are(client: Client, host: str) -> None:
    assert client.get("/api/v1/portfolio", headers=bearer("read", Host=host)).status_code == 200


def test_a05_the_sixth_failed_login_of_a_minute_waits_and_each_further_wait_is_twice_as_long(tmp_path: Path) -> None:
    with running(Api(TradedDesk(tmp_path))) as client:
        moments = client.api.moments
        wrong = {"Authorization": "Bearer " + "x" * 40}
        waits = []
        for _ in range(4):
            for _ in range(5):
                assert client.get("/api/v1/risk", headers=wrong).status_code == 401
            refused = client.get("/api/v1/risk", headers=wrong)
            assert refused.status_code == 429
            waits.append(int(refused.headers["Retry-After"]))
            # a right token from where none has come before waits too
            assert client.get("/api/v1/risk", headers=bearer("admin")).status_code == 429
            moments.seconds += waits[-1]
        assert waits == [60, 120, 240, 480]
        assert client.get("/api/v1/risk", headers=bearer("read")).status_code == 200


def test_a05_who_has_logged_in_before_is_let_in_while_others_behind_the_same_address_guess(tmp_path: Path) -> None:
    with running(Api(TradedDesk(tmp_path))) as client:
        assert client.get("/api/v1/risk").status_code == 200
        for n in range(8):
            answer = client.get("/api/v1/risk", headers={"Authorization": f"Bearer {n:040}"})
        assert answer.status_code == 429
        assert client.post("/admin/emergency-close", headers=bearer("trade")).status_code == 200


def test_a05_guesses_from_many_addresses_are_slowed_down_together() -> None:
    now = 0.0
    throttle = Throttle(lambda: now)
    throttle.succeeded("192.0.2.7")
    for n in range(MOST_IN_ALL):
        assert not throttle.wait(f"198.51.{n}.1")
        throttle.failed(f"198.51.{n}.1")
    assert throttle.wait("203.0.113.1") == 60
    assert throttle.knows("192.0.2.7")
    now = 60.0
    assert not throttle.wait("203.0.113.1")


def test_a05_an_ipv6_customer_is_one_address() -> None:
    throttle = Throttle(lambda: 0.0)
    for n in range(5):
        throttle.failed(f"2001:db8:1:2::{n:x}")
    assert throttle.wait("2001:db8:1:2:ffff::1")
    assert not throttle.wait("2001:db8:1:3::1")


def test_requests_without_a_token_are_no_failed_logins(client: Client) -> None:
    for _ in range(20):
        assert client.get("/api/v1/risk").status_code == 401
    assert client.get("/api/v1/risk", headers=bearer("read")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/v1/risk/reset", {"what": "halt", "confirm": "reset", "scope": "admin"}),
        ("POST", "/api/v1/risk/reset", {"what": "halt", "confirm": "yes"}),
        ("POST", "/api/v1/risk/reset", {"what": "halt"}),
        ("POST", "/api/v1/risk/state", {"state": "HALTED", "flatten": True}),
        ("POST", "/api/v1/risk/state", {"state": "LIVE"}),
        ("POST", "/api/v1/positions/BTCUSDT/close", {"reason": "x", "quantity": "1000"}),
        ("POST", "/api/v1/positions/BTCUSDT/close", {"reason": "x" * 201}),
        ("POST", "/api/v1/admin/emergency-close", {"ts": 1}),
        ("POST", "/api/v1/signal-test", {"symbol": "BTCUSDT", "action": "long", "id": "A1"}),
        ("POST", "/api/v1/signal-test", {"symbol": "BTCUSDT", "action": "long", "quantity": 5}),
        ("POST", "/api/v1/signal-test", {"symbol": "BTCUSDT", "action": "long", "quantity": "1E+4000000"}),
        ("PUT", "/api/v1/config", ["gates.score.min"]),
    ],
)
def test_a07_a_body_says_what_is_asked_for_and_nothing_else(client: Client, method: str, path: str, body: Any) -> None:
    before = list(client.api.desk.commands)
    answer = client.request(method, path, json=body, headers=bearer("admin"))
    assert answer.status_code == 400, answer.text
    assert answer.json()["detail"]
    assert client.api.desk.commands == before


def test_a07_trade_may_tighten_and_only_admin_may_loosen(client: Client) -> None:
    url = "/api/v1/risk/state"

    def state() -> str:
        return str(client.get("/api/v1/risk", headers=bearer("read")).json()["state"])

    assert client.post(url, json={"state": "REDUCE_ONLY"}, headers=bearer("trade")).status_code == 200
    assert client.post(url, json={"state": "HALTED"}, headers=bearer("trade")).status_code == 200
    for looser in ("ACTIVE", "REDUCE_ONLY"):
        assert client.post(url, json={"state": looser, "confirm": looser}, headers=bearer("trade")).status_code == 403
    assert client.post(url, json={"state": "ACTIVE"}, headers=bearer("admin")).status_code == 422
    assert state() == "HALTED"
    assert client.post(url, json={"state": "ACTIVE", "confirm": "ACTIVE"}, headers=bearer("admin")).status_code == 200
    assert state() == "ACTIVE"


def test_what_is_told_the_engine_names_the_token_and_cannot_break_a_line(client: Client) -> None:
    client.post("/api/v1/positions/BTCUSDT/close", json={"reason": "enough\n2026-01-01 forged"}, headers=bearer("trade"))
    told = client.api.desk.commands[-1]
    assert isinstance(told, CloseWanted)
    assert told.reason == "API, token trade: enough 2026-01-01 forged"
    client.post("/admin/emergency-close", headers=bearer("trade"))
    told = client.api.desk.commands[-1]
    assert isinstance(told, StateSet)
    assert (told.state, told.flatten, told.reason) == ("HALTED", True, "API, token trade: emergency close")


@pytest.mark.parametrize(
    "token",
    [
        "",
        "short",
        "a" * 64,
        "password" * 6,
        "changeme" * 5,
        "0123456789" * 4,
        "your-secret-token-goes-here-please",
        "ü" * 20 + "abcdefghijkl",
    ],
)
def test_a08_a_weak_token_is_refused_at_the_start_without_being_shown(token: str) -> None:
    with pytest.raises(ConfigError, match="'mine'") as raised:
        Access.of([Token(name="mine", token=token)])
    assert not token or token not in str(raised.value).replace("mine", "")


def test_a_token_is_given_to_one_name_and_ends_on_a_day() -> None:
    with pytest.raises(ConfigError, match="are the same"):
        Access.of([Token(name="a", token=SECRETS["read"]), Token(name="b", token=SECRETS["read"])])
    with pytest.raises(ConfigError, match="give a day"):
        Access.of([Token(name="a", token=SECRETS["read"], expires="soon")])
    with pytest.raises(ConfigError, match="give a day"):
        Access.of([Token(name="a", token=SECRETS["read"], expires="9999-12-31")])


def test_the_last_day_of_a_token_counts_to_its_end() -> None:
    now = 0
    access = Access.of([Token(name="a", token=SECRETS["read"], expires="1970-01-01")], now=lambda: now)
    grant = Grant("a", "read", 86_400_000)
    now = 86_399_999
    assert access.alive(grant)
    now = 86_400_000
    assert not access.alive(grant)


def test_no_token_is_kept_or_shown() -> None:
    token = Token(name="a", token=SECRETS["read"])
    assert SECRETS["read"] not in repr(token) + str(token) + pretty_repr(token)
    assert SECRETS["read"].encode() not in pickle.dumps(Access.of([token])._grants)
