"""A connection that is kept, over a wire whose other end is the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enigma_exchange.stream import line as module
from enigma_exchange.stream.frames import A_FRAME, A_SOCKET, Message, Token, frames, joined, shards, token_of
from enigma_exchange.stream.line import Line

TOPICS = [f"/contractMarket/execution:C{number}" for number in range(200)]


class Server:
    """The other end: welcomes, acknowledges, answers pings, unless told otherwise."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.connections = 0
        self.hello: Any = {"type": "welcome", "id": "1"}
        self.acks = self.pongs = True
        self.unknown: set[str] = set()
        self.code: Any = 404
        self._towards: asyncio.Queue[bytes | Exception] = asyncio.Queue()

    @asynccontextmanager
    async def dial(self, url: str) -> AsyncIterator[Server]:
        self.connections += 1
        self._towards = asyncio.Queue()
        self.push(self.hello)
        yield self

    async def recv(self, decode: bool | None = None) -> bytes:
        frame = await self._towards.get()
        if isinstance(frame, Exception):
            raise frame
        return frame

    async def send(self, text: str) -> None:
        frame = msgspec.json.decode(text)
        self.frames.append(frame)
        if frame["type"] == "ping" and self.pongs:
            self.push({"id": frame["id"], "type": "pong"})
        if frame["type"] in ("subscribe", "unsubscribe") and self.acks:
            names = set(frame["topic"].partition(":")[2].split(","))
            if frame["type"] == "subscribe" and names & self.unknown:
                self.push({"id": frame["id"], "type": "error", "code": self.code, "data": f"topic {frame['topic']} is not found"})
            else:
                self.push({"id": frame["id"], "type": "ack"})

    def push(self, message: Any) -> None:
        self._towards.put_nowait(message if isinstance(message, bytes | Exception) else msgspec.json.encode(message))

    @property
    def subscribed(self) -> list[str]:
        return [frame["topic"] for frame in self.frames if frame["type"] == "subscribe"]


class Kept:
    """A line, and what it said."""

    def __init__(self, server: Server, topics: list[str] = TOPICS[:3], *, ping: float = 9.0, **more: Any) -> None:
        self.seen: list[Message] = []
        self.gaps: list[str] = []
        self.refused: list[str] = []

        async def token() -> Token:
            return Token("ws://nowhere", ping, ping)

        self.line = Line(
            more.pop("token", token),
            topics,
            self.seen.append,
            self.gaps.append,
            refused=lambda topic, why: self.refused.append(topic),
            dial=server.dial,
            chance=lambda: 0.0,
            **more,
        )


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.005)


def lived(work: Callable[[], Awaitable[None]]) -> None:
    async def life() -> None:
        before = asyncio.all_tasks()
        try:
            await work()
        finally:
            for task in asyncio.all_tasks() - before - {asyncio.current_task()}:
                task.cancel()

    asyncio.run(life())


def test_topics_are_subscribed_to_in_few_frames_and_data_is_passed_on():
    async def work() -> None:
        server = Server()
        kept = Kept(server, TOPICS)
        running = asyncio.create_task(kept.line.run())
        await until(lambda: kept.line.up)
        assert kept.gaps == [""]
        assert len(server.subscribed) == 3
        assert sum(topic.count(",") + 1 for topic in server.subscribed) == 200
        server.push({"type": "message", "topic": TOPICS[0], "subject": "match", "data": {"a": 1}})
        await until(lambda: bool(kept.seen))
        assert bytes(kept.seen[0].data) == b'{"a":1}'
        running.cancel()

    lived(work)


def test_a_broken_connection_is_made_again_and_everything_is_subscribed_to_again():
    async def work() -> None:
        server = Server()
        kept = Kept(server)
        running = asyncio.create_task(kept.line.run())
        await until(lambda: kept.line.up)
        server.push(ConnectionResetError("gone"))
        await until(lambda: server.connections >= 2 and kept.line.up)
        assert kept.gaps[0] == ""
        assert "closed" in kept.gaps[1]
        assert kept.gaps[2] == ""
        assert len(server.subscribed) == 2
        running.cancel()

    lived(work)


@pytest.mark.parametrize("code", [404, "404", 415])
def test_an_error_frame_leaves_out_the_topic_it_is_about_and_no_other(code):
    async def work() -> None:
        server = Server()
        server.unknown, server.code = {"C7", "C150"}, code
        kept = Kept(server, TOPICS)
        running = asyncio.create_task(kept.line.run())
        await until(lambda: kept.line.up)
        assert sorted(kept.refused) == ["/contractMarket/execution:C150", "/contractMarket/execution:C7"]
        assert len(kept.line.topics) == 198
        server.push({"type": "message", "topic": TOPICS[0], "data": {}})
        await until(lambda: bool(kept.seen))
        assert server.connections == 1
        running.cancel()

    lived(work)


def test_a_topic_that_was_refused_is_asked_for_again_after_a_while(monkeypatch):
    monkeypatch.setattr(module, "REFUSED_FOR", 0.15)

    async def work() -> None:
        server = Server()
        server.unknown = {"C1"}
        kept = Kept(server)
        running = asyncio.create_task(kept.line.run())
        await until(lambda: kept.line.up)
        assert kept.line.topics == [TOPICS[0], TOPICS[2]]
        server.unknown.clear()
        await until(lambda: kept.line.topics == [TOPICS[0], TOPICS[2], TOPICS[1]])
        await until(lambda: server.subscribed[-1] == TOPICS[1])
        assert server.connections == 1
        running.cancel()

    lived(work)


def test_a_server_that_refuses_everything_is_asked_for_everything_again():
    async def work() -> None:
        server = Server()
        server.unknown = {"C0", "C1", "C2"}
        kept = Kept(server)
        running = asyncio.create_task(kept.line.run())
        await until(lambda: server.connections == 2)
        assert "the server refuses every topic" in kept.gaps
        server.unknown.clear()
        await until(lambda: kept.line.up)
        assert sorted(kept.line.topics) == TOPICS[:3]
        running.cancel()

    lived(work)


def test_an_error_frame_that_belongs_to_nothing_makes_nobody_deaf():
    async def work() -> None:
        server = Server()
        kept = Kept(server)
        running = asyncio.create_task(kept.line.run())
        await until(lambda: kept.line.up)
        server.push({"id": "x", "type": "error", "code": 500, "data": "internal"})
        server.push({"type": "message", "topic": TOPICS[0], "data": {}})
        await until(lambda: bool(kept.seen))
        assert server.connections == 1
        running.cancel()

    lived(work)


def test_an_expired_token_has_a_new_one_fetched():
    async def work() -> None:
        server = Server()
        tokens = []

        async def token() -> Token:
            tokens.append(1)
            return Token("ws://nowhere", 9.0, 9.0)

        kept = Kept(server, token=token)
        running = asyncio.create_task(kept.line.run())
        await until(lambda: kept.line.up)
        server.push({"id": "x", "type": "error", "code": 401, "data": "token is expired"})
        await until(lambda: len(tokens) == 2 and kept.line.up)
        running.cancel()

    lived(work)


def test_x14_a_line_whose_pings_are_answered_but_brings_no_data_is_made_anew():
    async def work() -> None:
        server = Server()
        kept = Kept(server, ping=0.02, silent=0.3)
        running = asyncio.create_task(kept.line.run())
        await until(lambda: server.connections >= 2 and kept.line.up)
        assert "no data" in kept.gaps[1]
        assert any(frame["type"] == "ping" for frame in server.frames)
        running.cancel()

    lived(work)


def test_a_ping_that_is_not_answered_ends_the_connection():
    async def work() -> None:
        server = Server()
        server.pongs = False
        kept = Kept(server, ping=0.05)
        running = asyncio.create_task(kept.line.run())
        await until(lambda: server.connections >= 2)
        assert "ping" in kept.gaps[1]
        running.cancel()

    lived(work)


@pytest.mark.parametrize("hello", [{"type": "error", "code": 401, "data": "token is expired"}, b"<html>502</html>", b"\xff\xfe"])
def test_a_server_that_does_not_welcome_is_tried_again(hello):
    async def work() -> None:
        server = Server()
        server.hello = hello
        kept = Kept(server)
        running = asyncio.create_task(kept.line.run())
        await until(lambda: server.connections >= 3)
        server.hello = {"type": "welcome"}
        await until(lambda: kept.line.up)
        running.cancel()

    lived(work)


def test_a_subscription_without_an_answer_is_not_believed_in(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.05)

    async def work() -> None:
        server = Server()
        server.acks = False
        kept = Kept(server)
        running = asyncio.create_task(kept.line.run())
        await until(lambda: server.connections >= 2)
        assert "not answered" in kept.gaps[0]
        running.cancel()

    lived(work)


def test_some_topics_alone_are_subscribed_to_anew():
    async def work() -> None:
        server = Server()
        kept = Kept(server)
        running = asyncio.create_task(kept.line.run())
        await until(lambda: kept.line.up)
        await kept.line.again([TOPICS[1], "/nobody:knows"])
        assert [(frame["type"], frame["topic"]) for frame in server.frames[-2:]] == [
            ("unsubscribe", TOPICS[1]),
            ("subscribe", TOPICS[1]),
        ]
        running.cancel()

    lived(work)


def test_no_more_frames_are_sent_than_the_server_takes(monkeypatch):
    monkeypatch.setattr(module, "FRAMES", 5)
    monkeypatch.setattr(module, "FRAMES_WINDOW", 0.2)

    async def work() -> None:
        server = Server()
        kept = Kept(server, [f"/kind{number}:A" for number in range(12)])
        loop = asyncio.get_running_loop()
        began = loop.time()
        running = asyncio.create_task(kept.line.run())
        await until(lambda: kept.line.up)
        assert loop.time() - began >= 0.4
        running.cancel()

    lived(work)


@given(st.lists(st.integers(0, 999), unique=True, max_size=700), st.integers(1, 6))
def test_no_frame_and_no_socket_holds_too_much_and_none_is_lost(numbers, kinds):
    topics = {str(number): [f"/kind{kind}:C{number}" for kind in range(kinds)] for number in numbers}
    found = []
    for shard in shards(topics):
        assert len(shard) <= A_SOCKET
        for batch in frames(shard):
            assert len(batch) <= A_FRAME
            kind, _, names = joined(batch).partition(":")
            found += [f"{kind}:{name}" for name in names.split(",")]
    assert sorted(found) == sorted(topic for members in topics.values() for topic in members)


def test_a_token_names_the_server_and_its_pings():
    server = {"endpoint": "wss://ws-api-futures.kucoin.com/", "pingInterval": 18000, "pingTimeout": 10000}
    token = token_of({"token": "secret==", "instanceServers": [server]}, "me")
    assert token == Token("wss://ws-api-futures.kucoin.com/?token=secret==&connectId=me", 18.0, 10.0)
    with pytest.raises(LookupError):
        token_of({"token": "x", "instanceServers": []}, "me")
