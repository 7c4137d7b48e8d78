"""WebSockets of the local exchange: welcome, ping, subscriptions, limits, error frames, and clients that do not read."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from served import XBT, Local, local, soon
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from enigma_sandbox import sockets
from enigma_sandbox.markets import Setup


@pytest.fixture(scope="module")
def exchange() -> Iterator[Local]:
    with local(Setup(count=2, days=1)) as running:
        yield running


@pytest.fixture(autouse=True)
def calm(exchange: Local) -> Iterator[None]:
    yield
    exchange.press("clear")


@asynccontextmanager
async def connected(exchange: Local, kind: str = "public") -> AsyncIterator[ClientConnection]:
    address = await asyncio.to_thread(exchange.token, kind)
    async with connect(f"{address}&connectId=c1", close_timeout=0.2) as client:
        assert json.loads(await client.recv()) == {"id": "c1", "type": "welcome"}
        yield client


async def said(client: ClientConnection, kind: str, within: float = 10.0) -> dict[str, Any]:
    """The next frame of a type, or of a subject."""
    while True:
        frame: dict[str, Any] = json.loads(await asyncio.wait_for(client.recv(), within))
        if kind in (frame["type"], frame.get("subject")):
            return frame


async def forever(client: ClientConnection, quiet: float) -> None:
    """Read until there is nothing for `quiet` seconds."""
    while True:
        await asyncio.wait_for(client.recv(), quiet)


async def ask(client: ClientConnection, topic: Any, kind: str = "subscribe", **more: Any) -> None:
    await client.send(json.dumps({"id": "7", "type": kind, "topic": topic, "response": True, **more}))


def test_a_ping_is_answered_by_a_pong_of_its_id(exchange: Local) -> None:
    async def run() -> None:
        async with connected(exchange) as client:
            await client.send('{"id":"42","type":"ping"}')
            assert (await said(client, "pong"))["id"] == "42"

    asyncio.run(run())


def test_several_topics_are_subscribed_in_one_frame_and_given_up_again(exchange: Local) -> None:
    async def run() -> None:
        async with connected(exchange) as client:
            await ask(client, f"/contract/instrument:{XBT},ETHUSDTM")
            assert (await said(client, "ack"))["id"] == "7"
            seen = set()
            while len(seen) < 2:
                frame = await said(client, "mark.index.price")
                seen.add(frame["topic"])
                assert frame["data"]["markPrice"] > 0
            assert seen == {f"/contract/instrument:{XBT}", "/contract/instrument:ETHUSDTM"}
            await ask(client, f"/contract/instrument:{XBT},ETHUSDTM", "unsubscribe")
            await said(client, "ack")
            (server_side,) = [s for s in exchange.sandbox.hub.sockets if s.private is False]
            assert server_side.topics == {}

    asyncio.run(run())


def test_candles_are_pushed_as_they_change_and_agree_with_the_history(exchange: Local) -> None:
    async def run() -> None:
        async with connected(exchange) as client:
            await ask(client, f"/contractMarket/limitCandle:{XBT}_1min")
            first = (await said(client, "candle.stick"))["data"]
            second = (await said(client, "candle.stick"))["data"]
            assert first["symbol"] == XBT
            # the end of a minute is told at once
            assert second["time"] - first["time"] >= 900 or second["time"] // 60_000 > first["time"] // 60_000
            start, open_, close, high, low, _, lots = second["candles"]
            path = f"/fut/api/v1/kline/query?symbol={XBT}&granularity=1&from={int(start) * 1000}"
            rows = (await asyncio.to_thread(exchange.raw, "GET", path))[1]["data"]
            row = next(r for r in rows if r[0] == int(start) * 1000)
            assert float(open_) == row[1]
            assert float(high) <= row[2]
            assert float(low) >= row[3]
            assert float(lots) <= row[5]
            assert float(low) <= float(close) <= float(high)

    asyncio.run(run())


def test_a_book_kept_by_its_deltas_is_the_book(exchange: Local) -> None:
    async def run() -> None:
        async with connected(exchange) as client:
            await ask(client, f"/contractMarket/level2:{XBT}")
            await said(client, "ack")
            snapshot = (await asyncio.to_thread(exchange.raw, "GET", f"/fut/api/v1/level2/snapshot?symbol={XBT}"))[1]["data"]
            book = {"buy": dict(snapshot["bids"]), "sell": dict(snapshot["asks"])}
            at = snapshot["sequence"]
            deadline = time.monotonic() + 2.5
            # one change tells of one level: in the middle of a move the sides may cross
            while time.monotonic() < deadline or max(book["buy"]) >= min(book["sell"]):
                assert time.monotonic() < deadline + 10, "the sides stay crossed"
                change = (await said(client, "level2"))["data"]
                if change["sequence"] <= at:
                    continue
                assert change["sequence"] == at + 1
                at = change["sequence"]
                price, side, size = change["change"].split(",")
                if int(size):
                    book[side][float(price)] = int(size)
                else:
                    book[side].pop(float(price), None)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        ("/contractMarket/nonsense:XBTUSDTM", 404),
        ("/contractMarket/tickerV2:NOSUCHUSDTM", 404),
        ("/contractMarket/limitCandle:XBTUSDTM_7min", 404),
        ("", 404),
        (None, 404),
        (["/contractMarket/tickerV2:XBTUSDTM"], 404),
        ("/contractMarket/tradeOrders", 403),
        ("/contractAccount/wallet", 403),
        ("/contractMarket/tickerV2:" + ",".join(["XBTUSDTM"] * 101), 509),
    ],
)
def test_a_topic_that_cannot_be_is_refused_by_an_error_frame(exchange: Local, topic: Any, code: int) -> None:
    async def run() -> None:
        async with connected(exchange) as client:
            await ask(client, topic)
            frame = await said(client, "error")
            assert (frame["id"], frame["code"]) == ("7", code)
            await client.send('{"id":"1","type":"ping"}')
            assert (await said(client, "pong"))["id"] == "1"

    asyncio.run(run())


def test_a_socket_takes_no_more_topics_than_its_limit(exchange: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "MOST_TOPICS", 3)

    async def run() -> None:
        async with connected(exchange) as client:
            for prefix in ("tickerV2", "execution"):
                await ask(client, f"/contractMarket/{prefix}:{XBT},ETHUSDTM")
            assert "limitation of 3 per session" in (await said(client, "error"))["data"]

    asyncio.run(run())


def test_too_many_frames_are_refused(exchange: Local) -> None:
    async def run() -> None:
        async with connected(exchange) as client:
            for i in range(101):
                await client.send(f'{{"id":"{i}","type":"ping"}}')
            assert (await said(client, "error"))["code"] == 509

    asyncio.run(run())


def test_nonsense_is_answered_and_the_socket_lives_on(exchange: Local) -> None:
    async def run() -> None:
        async with connected(exchange) as client:
            for nonsense, code in (("{", 400), ("[]", 400), ("[" * 100_000, 400), ('{"id":"1","type":"dance"}', 415)):
                await client.send(nonsense)
                assert (await said(client, "error"))["code"] == code
            await client.send('{"id":"1","type":"ping"}')
            await said(client, "pong")

    asyncio.run(run())


def test_a_token_that_is_none_opens_nothing(exchange: Local) -> None:
    async def run() -> None:
        async with connect(f"{exchange.sandbox.addresses['websocket']}?token=nonsense&connectId=x") as client:
            assert json.loads(await client.recv()) == {"id": "x", "type": "error", "code": 401, "data": "token is expired"}
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(client.recv(), 5)

    asyncio.run(run())


def test_buttons_reach_the_sockets(exchange: Local) -> None:
    async def run() -> None:
        async with connected(exchange) as client:
            await ask(client, f"/contractMarket/execution:{XBT}")
            await said(client, "match")
            await asyncio.to_thread(exchange.press, "error_frame", code=415, data="type is not supported")
            assert (await said(client, "error"))["code"] == 415
            await asyncio.to_thread(exchange.press, "stall")
            # what was on its way comes; then there is silence, and a ping is answered all the same
            with pytest.raises(TimeoutError):
                await forever(client, 1.2)
            await client.send('{"id":"1","type":"ping"}')
            await said(client, "pong")
            await asyncio.to_thread(exchange.press, "stall", on=False)
            await said(client, "match")
            await asyncio.to_thread(exchange.press, "drop_sockets")
            with pytest.raises(ConnectionClosed):
                await forever(client, 5)

    asyncio.run(run())


def test_who_does_not_read_is_cut_off_and_delays_nobody(exchange: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "DEAF", 1 << 20)
    host, port = "127.0.0.1", int(exchange.url.rpartition(":")[2])
    path = exchange.token().partition(f":{port}")[2]
    with socket.create_connection((host, port)) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(
            f"GET {path}&connectId=deaf HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert deaf.recv(12) == b"HTTP/1.1 101"

        async def run() -> None:
            async with connected(exchange) as client:
                await ask(client, f"/contractMarket/execution:{XBT}")
                await said(client, "match")
                (silent,) = [s for s in exchange.sandbox.hub.sockets if not s.topics]

                def flood() -> None:
                    for _ in range(64):
                        silent.write(bytes(1 << 18))

                began = time.monotonic()
                await asyncio.to_thread(exchange.do, flood)
                await soon(lambda: silent not in exchange.sandbox.hub.sockets)
                await said(client, "match")
                assert time.monotonic() - began < 5

        asyncio.run(run())


def test_who_never_pings_is_cut_off(exchange: Local) -> None:
    async def run() -> None:
        async with connected(exchange) as client:
            (mine,) = exchange.sandbox.hub.sockets
            mine.heard -= 120_000
            with pytest.raises(ConnectionClosed, match="no ping in time"):
                await asyncio.wait_for(client.recv(), 5)

    asyncio.run(run())


def test_private_pushes_reach_only_private_sockets(exchange: Local) -> None:
    async def run() -> None:
        async with connected(exchange, "private") as mine, connected(exchange) as other:
            await ask(mine, "/contractMarket/tradeOrders", privateChannel=True)
            await said(mine, "ack")
            body = {"symbol": XBT, "type": "market", "side": "buy", "leverage": 2, "size": 1, "marginMode": "ISOLATED"}
            for oid, more in (("p1", {}), ("p2", {"side": "sell", "reduceOnly": True})):
                await asyncio.to_thread(exchange.signed, "POST", "/api/v1/orders", {**body, **more, "clientOid": oid})
            frame = await said(mine, "symbolOrderChange")
            assert frame["data"]["clientOid"] == "p1"
            assert frame["channelType"] == "private"
            await other.send('{"id":"1","type":"ping"}')
            assert json.loads(await other.recv())["type"] == "pong"

    asyncio.run(run())
