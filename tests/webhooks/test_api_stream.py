"""The event stream: who may watch, what he sees, and that nobody who watches holds anything up."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from apis import SECRETS, Api, Client, TradedDesk, bearer, running, served
from enigma_core.parts import Note
from enigma_webhooks.api import Access, Stream, Token
from enigma_webhooks.api.stream import LONGEST, QUEUE, STRANGERS, Event
from enigma_webhooks.api.stream import Client as Watcher


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with running(Api(TradedDesk(tmp_path), patience=5.0, recheck=0.05)) as client:
        yield client


def watching(client: Client, headers: dict[str, str] | None = None, **more: Any) -> ClientConnection:
    url = f"ws://127.0.0.1:{client.port}/api/v1/ws"
    made = connect(url, additional_headers=bearer("read") if headers is None else headers, proxy=None, **more)
    return cast(ClientConnection, made)


def handshake(host: str) -> bytes:
    """What opens the stream, byte by byte."""
    lines = (
        "GET /api/v1/ws HTTP/1.1",
        f"Host: {host}",
        f"Authorization: Bearer {SECRETS['read']}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


def ticket(client: Client) -> str:
    return str(client.post("/api/v1/ws-ticket", headers=bearer("read")).json()["ticket"])


def closed(connection: ClientConnection) -> int:
    """The code the server closed with."""
    try:
        while True:
            connection.recv(timeout=5)
    except ConnectionClosed as ended:
        return ended.rcvd.code if ended.rcvd is not None else 0


def test_the_stream_begins_with_the_whole_state_and_goes_on_with_every_record(client: Client) -> None:
    desk = client.api.desk
    with watching(client) as ws:
        first = json.loads(ws.recv(timeout=5))
        assert (first["event"], first["seq"], first["trading_state"], first["state"]) == ("snapshot", 0, "ACTIVE", "ready")
        assert first["portfolio"] == client.get("/api/v1/portfolio").json()
        assert first["positions"] == client.get("/api/v1/positions").json()
        assert first["orders"] == client.get("/api/v1/orders").json()["items"]
        assert first["counts"] == {"positions": 1, "orders": 1, "trades": 1, "alerts_waiting": 0}
        for record in desk.told:  # type: ignore[attr-defined]
            client.call(desk.publish, record)
        seen = [json.loads(ws.recv(timeout=5)) for _ in desk.told]  # type: ignore[attr-defined]
    assert [s["seq"] for s in seen] == list(range(1, len(seen) + 1))
    tags = {s["event"] for s in seen}
    assert {"decision", "order", "fill", "trade", "marked", "alert", "alert_worked", "alert_refused"} <= tags
    fill = next(s["record"] for s in seen if s["event"] == "fill")
    assert (fill["price"], fill["fee"], fill["quantity"]) == ("50000", "0.72", "24")


def test_the_run_is_not_watched_while_nobody_watches(client: Client) -> None:
    desk = client.api.desk
    alone = len(desk._watchers)
    with watching(client) as one, watching(client) as two:
        one.recv(timeout=5)
        two.recv(timeout=5)
        assert len(desk._watchers) == alone + 1
        assert "enigma_stream_clients 2.0" in client.get("/metrics").text
    until(lambda: len(desk._watchers) == alone)


FOREIGN = [
    "http://evil.example",
    "https://evil.example",
    "null",
    "",
    "file://",
    "chrome-extension://abc",
    "http://127.0.0.1",
    "https://127.0.0.1",
    "http://127.0.0.1:1",
    "http://127.0.0.1.evil.example:{port}",
    "http://evil.example:{port}",
    "http://localhost:{port}",
    "ws://127.0.0.1:{port}",
    "http://127.0.0.1:{port}/",
    "http://user@127.0.0.1:{port}",
    "http://127.0.0.1:{port}@evil.example",
    "http://127.0.0.1:{port}.evil.example",
    "http://[::1]:{port}",
    "http://127.0.0.1:{port}, http://evil.example",
    "//127.0.0.1:{port}",
]


def test_a03_a_page_of_another_site_gets_no_stream_even_with_a_token(client: Client) -> None:
    assert len(FOREIGN) == 20
    for origin in FOREIGN:
        with pytest.raises(InvalidStatus) as refused:
            watching(client, bearer("admin", Origin=origin.format(port=client.port)))
        assert refused.value.response.status_code == 403, origin


def test_a03_our_own_page_gets_it_with_a_ticket_in_its_first_message(client: Client) -> None:
    with watching(client, {"Origin": f"http://127.0.0.1:{client.port}"}) as ws:
        ws.send(json.dumps({"ticket": ticket(client)}))
        assert json.loads(ws.recv(timeout=5))["event"] == "snapshot"


def test_a04_a_host_that_is_not_ours_gets_no_stream(client: Client) -> None:
    with socket.create_connection(("127.0.0.1", client.port), 5) as raw:
        raw.sendall(handshake("evil.example"))
        reply = raw.recv(4096)
    assert reply.startswith(b"HTTP/1.1 403")


def test_a06_a_ticket_is_good_once_and_for_thirty_seconds(client: Client) -> None:
    used = ticket(client)
    with watching(client, {}) as ws:
        ws.send(json.dumps({"ticket": used}))
        assert json.loads(ws.recv(timeout=5))["event"] == "snapshot"
    late = ticket(client)
    client.api.moments.seconds += 30.0
    for wrong in (used, late, "x" * 43, ""):
        with watching(client, {}) as ws:
            ws.send(json.dumps({"ticket": wrong}))
            assert closed(ws) == 1008


def test_a06_only_so_many_may_be_without_a_ticket_and_they_keep_nobody_out_who_has_a_token(client: Client) -> None:
    with contextlib.ExitStack() as open_ones:
        for _ in range(STRANGERS):
            open_ones.enter_context(watching(client, {}))
        until(lambda: client.api.stream._strangers == STRANGERS)
        with pytest.raises(InvalidStatus):
            watching(client, {})
        with watching(client) as ws:
            assert json.loads(ws.recv(timeout=5))["event"] == "snapshot"


@pytest.mark.parametrize(
    "opening", ["", "{}", "[]", "hello", '{"ticket": 5}', '{"ticket": "x", "scope": "admin"}', "{" * 5000, b"\x00\xff"]
)
def test_a06_nothing_is_told_before_a_ticket(client: Client, opening: str | bytes) -> None:
    with watching(client, {}) as ws:
        ws.send(opening)
        assert closed(ws) in (1008, 1009)


def test_a06_a_client_that_says_nothing_is_not_kept(tmp_path: Path) -> None:
    with running(Api(TradedDesk(tmp_path), patience=0.1)) as client, watching(client, {}) as ws:
        assert closed(ws) == 1008


def test_a06_wrong_tokens_get_no_stream_and_count_as_failed_logins(client: Client) -> None:
    for token in ("Bearer " + "x" * 40, "Bearer", f"Bearer {SECRETS['expired']}"):
        with pytest.raises(InvalidStatus) as refused:
            watching(client, {"Authorization": token})
        assert refused.value.response.status_code == 403


def test_a06_a_stream_ends_with_its_token(tmp_path: Path) -> None:
    api = Api(TradedDesk(tmp_path), recheck=0.02)
    api.access = Access.of([Token(name="day", token=SECRETS["read"], scope="read", expires="2025-03-06")], now=api.moments.now)
    api.stream._access = api.access
    with running(api) as client, watching(client) as ws:
        assert json.loads(ws.recv(timeout=5))["event"] == "snapshot"
        api.moments.wall += 86_400_000
        assert closed(ws) == 1008


def test_what_a_client_says_changes_nothing_and_too_much_of_it_ends_the_stream(client: Client) -> None:
    before = list(client.api.desk.commands)
    with watching(client) as ws:
        ws.recv(timeout=5)
        ws.send('{"command": "flatten"}')
        ws.send("ping")
        client.call(client.api.desk.publish, Note(1, "x", "still here"))
        assert json.loads(ws.recv(timeout=5))["record"]["title"] == "still here"
        ws.send(b"\x00")
        assert closed(ws) == 1003
    with watching(client) as ws:
        ws.send("x" * (LONGEST + 1))
        assert closed(ws) == 1009
    assert client.api.desk.commands == before


def test_p17_a_client_that_falls_behind_gets_one_snapshot_for_all_it_missed() -> None:
    watcher = Watcher(QUEUE)
    watcher.lost = False
    for n in range(1, QUEUE + 1):
        watcher.put(Event(n, Note(n, "x", "y")))
    assert (len(watcher.events), watcher.lost) == (QUEUE, False)
    watcher.put(Event(QUEUE + 1, Note(0, "x", "y")))
    watcher.put(Event(QUEUE + 2, Note(0, "x", "y")))
    assert (len(watcher.events), watcher.lost) == (0, True)


class Socket:
    """A client's end in memory: takes a message whenever `reads` is set."""

    def __init__(self) -> None:
        self.headers = {"authorization": "Bearer ..."}
        self.got: list[Any] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.came = asyncio.Event()
        self.code = 0
        self.gone = asyncio.Event()

    async def accept(self) -> None: ...

    async def send_text(self, text: str) -> None:
        await self.reads.wait()
        self.got.append(json.loads(text))
        self.came.set()

    async def receive(self) -> Any:
        await self.gone.wait()
        return {"type": "websocket.disconnect"}

    async def close(self, code: int, reason: str) -> None:
        self.code = code


class Everybody(Access):
    def login(self, connection: Any) -> Any:
        from enigma_webhooks.api import Grant

        return Grant("somebody", "read")


def test_p17_after_a_pause_the_numbers_go_on_from_the_snapshot_without_a_gap(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = TradedDesk(tmp_path)
        stream, ws = Stream(desk, Everybody({})), Socket()
        task = asyncio.ensure_future(stream.serve(ws))  # type: ignore[arg-type]
        await ws.came.wait()
        ws.reads.clear()
        for n in range(1000):
            desk.publish(Note(n, "x", "y"))
            if n % 100 == 0:
                await asyncio.sleep(0)
        ws.reads.set()
        while not ws.got or ws.got[-1]["seq"] < 1000:
            ws.came.clear()
            await ws.came.wait()
        desk.publish(Note(0, "x", "last"))
        while ws.got[-1]["seq"] < 1001:
            ws.came.clear()
            await ws.came.wait()
        kinds = [(g["event"], g["seq"]) for g in ws.got]
        assert kinds[0] == ("snapshot", 0)
        for (_, before), (kind, seq) in itertools.pairwise(kinds):
            assert seq == before + 1 or kind == "snapshot", kinds
        assert len(kinds) < 1000
        ws.gone.set()
        await asyncio.wait_for(task, 5)

    asyncio.run(scene())


def test_p17_a_client_that_reads_nothing_is_closed_with_1013(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = TradedDesk(tmp_path)
        stream, ws = Stream(desk, Everybody({}), patience=0.05), Socket()
        ws.reads.clear()
        await asyncio.wait_for(stream.serve(ws), 5)  # type: ignore[arg-type]
        assert ws.code == 1013
        assert not desk._watchers

    asyncio.run(scene())


def until(true: Callable[[], bool]) -> None:
    """Wait for something that another thread brings about."""
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, "it has not come about"
        time.sleep(0.01)


FAREWELL = (1013).to_bytes(2, "big") + b"nothing was read"


async def stalled(port: int) -> socket.socket:
    """A client that shakes hands and never reads again."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, ("127.0.0.1", port))
    await loop.sock_sendall(raw, handshake(f"127.0.0.1:{port}"))
    assert (await loop.sock_recv(raw, 12)).startswith(b"HTTP/1.1 101")
    return raw


def test_p17_fifty_stalled_clients_are_let_go_and_nobody_waits_for_them(tmp_path: Path) -> None:
    from websockets.asyncio.client import connect as watched

    async def scene() -> None:
        api = Api(TradedDesk(tmp_path), patience=0.5)
        async with served(api) as port:
            asleep = [await stalled(port) for _ in range(50)]
            async with watched(
                f"ws://127.0.0.1:{port}/api/v1/ws", additional_headers=bearer("read"), proxy=None, max_size=None
            ) as ws:
                assert json.loads(await ws.recv())["event"] == "snapshot"
                slowest, last = 0.0, 0
                heavy = "x" * 8000
                for n in range(700):
                    began = time.perf_counter()
                    api.desk.publish(Note(n, "x", heavy))
                    slowest = max(slowest, time.perf_counter() - began)
                    last = json.loads(await ws.recv())["seq"]
                assert last == 700
                # what the engine gives away costs it next to nothing, whoever watches
                assert slowest < 0.05
                async with asyncio.timeout(20):
                    while len(api.stream._clients) > 1:
                        await asyncio.sleep(0.02)
                api.desk.publish(Note(0, "x", "after"))
                assert json.loads(await ws.recv())["record"]["title"] == "after"
            left = await asyncio.gather(*map(ended, asleep))
        # the farewell waits for a client that reads again, though not for long
        assert any(FAREWELL in each for each in left)

    asyncio.run(scene())


async def ended(raw: socket.socket) -> bytes:
    """What there still is to read of a connection that has been given up."""
    loop, read = asyncio.get_running_loop(), b""
    with contextlib.closing(raw), contextlib.suppress(ConnectionError):
        async with asyncio.timeout(10):
            while data := await loop.sock_recv(raw, 1 << 20):
                read = (read + data)[-200:]
    return read
