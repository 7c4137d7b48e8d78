"""The local exchange over plain HTTP: what is no request, answers that are late or never come, and its buttons."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator

import pytest
from served import XBT, Local, local

from enigma_core.errors import ConfigError
from enigma_sandbox.markets import Setup
from enigma_sandbox.server import bound


@pytest.fixture(scope="module")
def exchange() -> Iterator[Local]:
    with local(Setup(count=1, days=1)) as running:
        yield running


@pytest.fixture(autouse=True)
def calm(exchange: Local) -> Iterator[None]:
    yield
    exchange.press("clear")


@contextlib.contextmanager
def line(exchange: Local) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", int(exchange.url.rpartition(":")[2])), timeout=5) as made:
        yield made


def read(made: socket.socket) -> tuple[int, bytes]:
    """One answer: its status and body."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = made.recv(65536)
        if not more:
            return 0, data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(row.partition(b":")[2]) for row in head.split(b"\r\n") if row.lower().startswith(b"content-length"))
    while len(body) < length:
        body += made.recv(65536)
    return int(head.split()[1]), body


ASK = b"GET /fut/api/v1/timestamp HTTP/1.1\r\nHost: x\r\n\r\n"


def test_a_connection_carries_one_request_after_the_other_in_order(exchange: Local) -> None:
    with line(exchange) as made:
        made.sendall(ASK + ASK.replace(b"timestamp", b"status"))
        status, body = read(made)
        assert status == 200
        assert isinstance(json.loads(body.partition(b"HTTP/1.1")[0])["data"], int)
    with line(exchange) as made:
        for half in (ASK[:20], ASK[20:]):
            made.sendall(half)
        assert read(made)[0] == 200
        made.sendall(ASK)
        assert read(made)[0] == 200


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /fut HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /fut/api/v1/nothing HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"POST /fut/api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n" + b" " * 1_100_000, 413),
        (b"POST /fut/api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{nope", 400),
        (b"GET /admin HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
        (b"POST /admin/clear HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\n\r\n", 403),
        (b"PUT /admin/clear HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n", 405),
    ],
)
def test_what_is_no_request_is_refused_and_others_go_on(exchange: Local, request_: bytes, status: int) -> None:
    with line(exchange) as made:
        with contextlib.suppress(ConnectionError):
            made.sendall(request_)
        assert read(made)[0] == status
    assert exchange.raw("GET", "/fut/api/v1/timestamp")[0] == 200


def test_an_answer_is_late_lost_half_or_html_as_the_buttons_say(exchange: Local) -> None:
    exchange.press("spell", what="latency", path="/api/v1/timestamp", ms=300, times=1)
    began = time.monotonic()
    assert exchange.raw("GET", "/fut/api/v1/timestamp")[0] == 200
    assert time.monotonic() - began >= 0.3
    exchange.press("spell", what="timeout", path="/api/v1/timestamp", times=1)
    with line(exchange) as made:
        made.settimeout(0.4)
        made.sendall(ASK)
        with pytest.raises(TimeoutError):
            made.recv(1)
    exchange.press("spell", what="half", path="/api/v1/timestamp", times=1)
    with line(exchange) as made:
        made.sendall(ASK)
        status, body = read(made)
        assert status == 200
        with pytest.raises(ValueError, match=r"."):
            json.loads(body)
    exchange.press("spell", what="html", path="/api/v1/timestamp", times=1, status=502)
    with line(exchange) as made:
        made.sendall(ASK)
        status, body = read(made)
        assert status == 502
        assert b"<html" in body.lower()
    assert exchange.raw("GET", "/fut/api/v1/timestamp")[0] == 200


def test_signatures_are_checked_over_the_network(exchange: Local) -> None:
    assert exchange.signed("GET", "/api/v1/account-overview?currency=USDT")[1]["code"] == "200000"
    assert exchange.raw("GET", "/fut/api/v1/account-overview?currency=USDT")[1]["code"] == "400001"
    key = {"KC-API-KEY": "65f2a1c0ffee", "KC-API-TIMESTAMP": "1", "KC-API-SIGN": "x", "KC-API-PASSPHRASE": "x"}
    assert exchange.raw("GET", "/fut/api/v1/account-overview", headers=key)[1]["code"] in ("400002", "400005")


def test_the_buttons_are_listed_shown_and_pressed(exchange: Local) -> None:
    status, buttons = exchange.raw("GET", "/admin/buttons")
    assert status == 200
    assert {"latency", "accept_then_timeout", "hand_trade", "liquidate", "drop_sockets", "clear"} <= set(buttons)
    with line(exchange) as made:
        made.sendall(b"GET /admin HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        status, body = read(made)
        assert status == 200
        assert b"liquidate" in body
    exchange.press("hand_trade", symbol=XBT, side="buy", size=3)
    held = exchange.signed("GET", f"/api/v1/position?symbol={XBT}")[1]["data"]
    assert held["currentQty"] == 3
    exchange.press("hand_close", symbol=XBT)
    status, answer = exchange.raw("POST", "/admin/explode", {})
    assert status == 400
    assert "there is no button 'explode'" in answer["error"]
    status, answer = exchange.raw("POST", "/admin/hand_trade", {"size": 1})
    assert status == 400
    assert "missing" in answer["error"]
    assert exchange.raw("POST", "/admin/clear", [1])[0] == 400
    assert exchange.raw("GET", "/admin/status")[1]["contracts"] == 1


def test_a_port_in_use_is_refused_with_what_to_do(exchange: Local) -> None:
    with pytest.raises(ConfigError, match=r"is in use; .* --port"):
        bound(int(exchange.url.rpartition(":")[2]))
