"""One connection of a client: HTTP requests one after the other, or a WebSocket.

A protocol of our own, so that an answer may be late, half, or never come, and so that no client can make the server wait: whatever
is written goes into the transport's buffer, and who does not read is cut off.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import parse_qsl

import httptools
import msgspec

MOST_BODY = 1 << 20
MOST_HEAD = 64 << 10

_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class Asked(msgspec.Struct, frozen=True):
    """A request as it came in: `target` with its query, header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    peer: str

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))


class Answer(msgspec.Struct, frozen=True):
    """What goes back, `delay` ms from now; `lost`: nothing ever does."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}
    delay: int = 0
    lost: bool = False


def told(status: int, payload: Any, headers: Mapping[str, str] = {}) -> Answer:
    """`payload` as JSON."""
    return Answer(status, json.dumps(payload).encode(), headers)


class Talking(Protocol):
    """The WebSocket side of a connection."""

    def receive(self, data: bytes) -> None: ...
    def gone(self) -> None: ...


class Line(asyncio.Protocol):
    """One connection. `answer` takes a request; `upgrade` takes the bytes of a handshake and gives who talks from then on."""

    def __init__(
        self,
        answer: Callable[[Asked], Answer],
        upgrade: Callable[[Line, bytes], Talking],
        lines: dict[Line, None],
    ) -> None:
        self._answer, self._upgrade, self._lines = answer, upgrade, lines
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self.peer = ""
        self._parser: Any = httptools.HttpRequestParser(self)
        self._handshake: Asked | None = None
        self._socket: Talking | None = None
        self._queue: list[tuple[Asked, bool]] = []
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._begin()

    def _begin(self) -> None:
        self._url, self._body, self._size = b"", b"", 0
        self._headers: dict[str, str] = {}

    # what the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if peer else ""
        self._lines[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._lines.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
        if self._socket is not None:
            self._socket.gone()

    def data_received(self, data: bytes) -> None:
        if self._socket is not None:
            self._socket.receive(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as handshake:
            self._talk(data[handshake.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse(400, f"this is no HTTP request: {error}")

    def _talk(self, rest: bytes) -> None:
        """From the request just read on this is a WebSocket, perhaps after others on the same connection."""
        asked, self._handshake = self._handshake, None
        if asked is None or self._busy:
            self._refuse(400, "a WebSocket is opened by GET, once every answer has come")
            return
        lines = (f"GET {asked.target} HTTP/1.1", *(f"{name}: {value}" for name, value in asked.headers.items()), "\r\n")
        self._socket = self._upgrade(self, "\r\n".join(lines).encode("latin-1") + rest)

    # what the parser tells

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._size += len(name) + len(value)
        if self._size > MOST_HEAD:
            self._refuse(431, "the head of a request has at most 64 KiB")
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        if len(self._body) + len(body) > MOST_BODY:
            self._refuse(413, "a request has at most 1 MiB")
            return
        self._body += body

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode()
        asked = Asked(method, self._url.decode("latin-1"), self._headers, self._body, self.peer)
        keeps = self._parser.should_keep_alive()
        self._begin()
        if self._parser.should_upgrade():
            self._handshake = asked if method == "GET" else None
        elif self._busy:
            # answers go out in the order of their requests
            self._queue.append((asked, keeps))
        else:
            self._work(asked, keeps)

    # answering

    def _work(self, asked: Asked, keeps: bool) -> None:
        answer = self._answer(asked)
        if answer.lost:
            # it hangs, as it does where an answer is lost on its way: the client ends it
            self._busy = True
            return
        if answer.delay > 0:
            self._busy = True
            self._timer = asyncio.get_running_loop().call_later(answer.delay / 1000, self._late, answer, keeps)
            return
        self._send(answer, keeps)

    def _late(self, answer: Answer, keeps: bool) -> None:
        self._busy = False
        self._send(answer, keeps)
        while self._queue and not self._busy:
            self._work(*self._queue.pop(0))

    def _send(self, answer: Answer, keeps: bool) -> None:
        if self.transport.is_closing():
            return
        head = [f"HTTP/1.1 {answer.status} {_PHRASES.get(answer.status, 'Unknown')}"]
        headers = {"Content-Type": "application/json", "Connection": "keep-alive" if keeps else "close", **answer.headers}
        headers["Content-Length"] = str(len(answer.body))
        head += [f"{name}: {value}" for name, value in headers.items()]
        self.transport.write("\r\n".join((*head, "\r\n")).encode("latin-1") + answer.body)
        if not keeps:
            self.transport.close()

    def _refuse(self, status: int, why: str) -> None:
        self._send(told(status, {"code": "400000", "msg": why}), keeps=False)
