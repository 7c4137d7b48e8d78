"""The proxies that come with the program, real ones, in front of the real server: what passes, what is believed, what is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from posting import SECRET, buy
from proxies import HERE, HOST, Certificates, Proxy, certificates, proxied
from serving import request

PROXIES = ("nginx", "caddy")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=PROXIES)
def through(request: pytest.FixtureRequest, tmp_path: Path, made: Certificates) -> Callable[..., Any]:
    """Does some work with a proxy that runs."""

    def run(work: Callable[[Proxy], Awaitable[Any]], *switches: str, **settings: Any) -> Any:
        async def inside() -> Any:
            async with proxied(request.param, tmp_path, made, *switches, **settings) as proxy:
                return await work(proxy)

        return asyncio.run(inside())

    return run


def post(path: str = "/webhooks/tradingview", *, body: Any = None, method: str = "POST", **headers: str) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(buy(id="one") if body is None else body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return request(method, path, data, {"Host": HOST, "Content-Type": "application/json", "Connection": "close", **named})


def heads(proxy: Proxy, name: str) -> list[bytes]:
    """What the newest request to come through says in a header."""
    return [value for key, value in proxy.seen[-1][2] if key == name.encode()]


def test_an_alert_comes_through_once_and_its_sender_is_known(through: Callable[..., Any]) -> None:
    async def work(proxy: Proxy) -> list[int]:
        statuses = [await proxy.send(post()), await proxy.send(post(), here="127.0.0.3"), await proxy.send(post())]
        assert heads(proxy, "x-forwarded-for") == [HERE.encode()]
        assert len(proxy.desk.alerts) == 1
        return statuses

    assert through(work, allow=(HERE,)) == [200, 403, 200]


def test_i25_what_a_sender_claims_of_himself_does_not_come_through(through: Callable[..., Any]) -> None:
    claimed = {
        "X_Forwarded_For": f"{HERE}, 127.0.0.1",
        "X_Real_IP": HERE,
        "Forwarded": f"for={HERE}",
        "X_Client_Verified": "tradingview",
    }

    async def work(proxy: Proxy) -> int:
        status = await proxy.send(post(**claimed), here="127.0.0.3")
        assert heads(proxy, "x-forwarded-for") == [b"127.0.0.3"]
        for name in ("x-client-verified", "x-real-ip", "forwarded"):
            assert not any(heads(proxy, name))
        return status

    assert through(work, allow=(HERE,)) == 403


def test_a15_a_subject_counts_only_with_a_chain_that_was_verified(through: Callable[..., Any]) -> None:
    async def work(proxy: Proxy) -> None:
        for name in ("tradingview", "tradingview-too"):
            assert await proxy.send(post(X_Client_Verified="nobody"), show=name) == 200
            assert heads(proxy, "x-client-verified") == [b"tradingview"]
        came = len(proxy.seen)
        for name in ("forged", "forged-chain"):
            assert await proxy.send(post(X_Client_Verified="tradingview"), show=name) in (0, 400)
        for name in ("stranger", "deceiver", ""):
            assert await proxy.send(post(X_Client_Verified="tradingview"), show=name) == 403
            assert await proxy.send(post(f"/webhooks/tradingview/{SECRET}"), show=name) == 403
            assert await proxy.send(post("//webhooks/./tradingview"), show=name) in (403, 404)
        assert len(proxy.seen) == came
        # another sender has no certificate of TradingView's, and does not pass for it
        assert await proxy.send(post("/webhooks/signals", X_Client_Verified="tradingview")) == 200
        assert not any(heads(proxy, "x-client-verified"))

    through(work, "client")


def test_only_named_addresses_get_to_the_receiver_where_that_is_switched_on(through: Callable[..., Any]) -> None:
    async def work(proxy: Proxy) -> None:
        assert await proxy.send(post()) == 403
        assert not proxy.seen

    through(work, "addresses")


REFUSED = {
    "the API": post("/api/v1/account", method="GET"),
    "the API by POST": post("/api/v1/close-all"),
    "the health": post("/health", method="GET"),
    "the metrics": post("/metrics", method="GET"),
    "nothing": post("/", method="GET"),
    "the API behind dots": post("/webhooks/../api/v1/close-all"),
    "the API behind hidden dots": post("/webhooks/x/%2e%2e/%2e%2e/api/v1/close-all"),
    "another verb": post(method="GET"),
    "yet another": post(method="PUT"),
    "three parts": post("/webhooks/tradingview/a/b"),
    "a hidden slash": post("/webhooks/tradingview/a%2fb"),
    "large letters": post("/WEBHOOKS/tradingview"),
}


def test_nothing_but_alerts_comes_through(through: Callable[..., Any]) -> None:
    async def work(proxy: Proxy) -> None:
        for what, data in REFUSED.items():
            assert await proxy.send(data) in (403, 404, 405), what
        assert await proxy.send(post(body=b"x" * 16_385)) == 413
        assert not proxy.seen
        # what is passed on is made anew: nothing but the address that was looked at
        assert await proxy.send(post("/api/v1/../../webhooks/tradingview/%2e%2e/x%2fy?z")) == 401
        assert proxy.seen[-1][:2] == ("/webhooks/x/y", b"")
        assert await proxy.send(post(body=buy(id="two"))) == 200

    through(work)


def test_nothing_is_taken_in_the_clear(through: Callable[..., Any]) -> None:
    async def work(proxy: Proxy) -> None:
        assert await proxy.send_plain(post()) in (308, 404)
        assert not proxy.seen

    through(work)


def test_i21_no_secret_is_written_down_whatever_becomes_of_an_alert(through: Callable[..., Any]) -> None:
    async def work(proxy: Proxy) -> None:
        before = await proxy.send(post(f"/webhooks/tradingview/{SECRET}?key={SECRET}", X_Webhook_Secret=SECRET))
        assert before == 200
        assert proxy.seen[-1][:2] == (f"/webhooks/tradingview/{SECRET}", b"")
        assert await proxy.send(post(f"/webhooks/tradingview/{SECRET}/{SECRET}", method="PUT")) in (404, 405)
        assert await proxy.send(post(f"/{SECRET}", body=b"x" * 20_000)) in (404, 413)
        assert b"/webhooks/tradingview" in proxy.written() or b"serving initial configuration" in proxy.written()
        assert SECRET.encode() not in proxy.written()

    through(work)


def test_a_receiver_that_is_down_has_alerts_sent_again_and_writes_no_secret(through: Callable[..., Any]) -> None:
    async def work(proxy: Proxy) -> None:
        assert await proxy.send(post(f"/webhooks/tradingview/{SECRET}", X_Webhook_Secret=SECRET)) == 502
        assert SECRET.encode() not in proxy.written()

    through(work, down=True)
