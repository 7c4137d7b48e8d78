"""WebSockets: welcome, ping, subscriptions with KuCoin's limits and error frames, and what the exchange pushes to whom.

Nothing here waits for a client: frames go into its buffer, and one that does not read is cut off.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.exceptions import ProtocolError
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.server import ServerProtocol

from enigma_sandbox.exchange import Exchange, Push, encode
from enigma_sandbox.wire import Line

MOST_TOPICS = 300
"""Subscriptions of one socket."""

MOST_IN_FRAME = 100
"""Topics of one subscribe frame."""

MOST_FRAMES, WINDOW = 100, 10_000
"""Frames a client may send in a window, ms."""

DEAF = 8 << 20
"""Bytes that wait for a client before it is cut off."""

PRIVATE = (
    "/contractMarket/tradeOrders",
    "/contractMarket/advancedOrders",
    "/contractAccount/wallet",
    "/contract/position",
    "/contract/marginMode",
    "/contract/crossLeverage",
)
"""Topics that need a private token, by their beginning."""


class Hub:
    """Every socket, and who hears what. `clock` in ms of the wall: limits are about the network, not the market."""

    def __init__(self, exchange: Exchange, clock: Any, ping_interval: int, ping_timeout: int) -> None:
        self.exchange, self.clock = exchange, clock
        self.ping_interval, self.ping_timeout = ping_interval, ping_timeout
        self.sockets: dict[Socket, None] = {}
        self._hearers: dict[str, dict[Socket, None]] = {}
        self.sent = 0
        exchange.listen(self.push)

    def upgrade(self, line: Line, data: bytes) -> Socket:
        socket = Socket(self, line)
        self.sockets[socket] = None
        socket.receive(data)
        return socket

    def push(self, push: Push) -> None:
        """Have everybody hear `push` who is to: a frame is made once."""
        if push.kind == "close":
            for socket in [s for s in self.sockets if s.private == push.private]:
                socket.line.transport.abort()
            return
        if push.kind == "error":
            hearers = dict.fromkeys(s for s in self.sockets if s.private == push.private)
        else:
            hearers = {}
            for channel in push.channels:
                hearers.update(self._hearers.get(channel, {}))
        frame = b""
        for socket in hearers:
            if push.private and not socket.private:
                continue
            frame = frame or _framed(encode(push.frame()))
            socket.write(frame)
            self.sent += 1

    def subscribe(self, socket: Socket, topic: str) -> bool:
        if not self.exchange.watch(topic):
            return False
        self._hearers.setdefault(topic, {})[socket] = None
        return True

    def unsubscribe(self, socket: Socket, topic: str) -> None:
        hearers = self._hearers.get(topic, {})
        if hearers.pop(socket, _ABSENT) is None:
            self.exchange.unwatch(topic)
            if not hearers:
                del self._hearers[topic]

    def sweep(self) -> None:
        """Cut off who has not pinged for too long."""
        oldest = self.clock() - self.ping_interval - 2 * self.ping_timeout
        for socket in [s for s in self.sockets if s.heard < oldest]:
            socket.close(1000, "no ping in time")

    def drop(self) -> None:
        """Break every socket without a word, as a network does."""
        for socket in list(self.sockets):
            socket.line.transport.abort()


_ABSENT = object()


class Socket:
    """One WebSocket, from its handshake on."""

    def __init__(self, hub: Hub, line: Line) -> None:
        self.hub, self.line = hub, line
        self.topics: dict[str, None] = {}
        self.private = False
        self.heard = hub.clock()
        self._frames: deque[int] = deque()
        self._protocol = ServerProtocol(max_size=1 << 20)
        self._out: list[bytes] = []
        self._scheduled = False
        self._text = b""

    # frames in

    def receive(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Handshake):
                self._opened(event)
            elif isinstance(event, Frame):
                self._frame(event)
        self._flush_protocol()

    def gone(self) -> None:
        self.hub.sockets.pop(self, None)
        for topic in self.topics:
            self.hub.unsubscribe(self, topic)
        self.topics.clear()

    def _opened(self, handshake: Handshake) -> None:
        self._protocol.send_response(self._protocol.accept(handshake))
        self._flush_protocol()
        if self._protocol.handshake_exc is not None:
            return
        query = parse_qs(urlsplit(handshake.path).query)
        kind = self.hub.exchange.admits(query.get("token", [""])[0])
        connection = query.get("connectId", ["welcome"])[0]
        if kind is None:
            self.say({"id": connection, "type": "error", "code": 401, "data": "token is expired"})
            self.close(1000, "token is expired")
            return
        self.private = kind == "private"
        self.say({"id": connection, "type": "welcome"})

    def _frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.TEXT:
            self._text = bytes(frame.data)
        elif frame.opcode is Opcode.CONT:
            self._text += bytes(frame.data)
        else:
            return  # ping, pong and close are the protocol's own
        if not frame.fin:
            return
        now = self.hub.clock()
        self.heard = now
        self._frames.append(now)
        while self._frames and self._frames[0] <= now - WINDOW:
            self._frames.popleft()
        if len(self._frames) > MOST_FRAMES:
            self._error("", 509, f"exceed max message limitation of {MOST_FRAMES} per {WINDOW // 1000} seconds")
            return
        self._message()

    def _message(self) -> None:
        try:
            said = json.loads(self._text)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            self._error("", 400, "the message is no JSON object")
            return
        id_, kind = str(said.get("id", "")), said.get("type")
        if kind == "ping":
            self.say({"id": id_, "type": "pong", "timestamp": self.hub.clock() * 1000})
        elif kind in ("subscribe", "unsubscribe"):
            self._topics(id_, said, subscribe=kind == "subscribe")
        elif kind not in ("openTunnel", "closeTunnel"):
            self._error(id_, 415, f"type {kind} is not supported")

    def _topics(self, id_: str, said: dict[str, Any], *, subscribe: bool) -> None:
        whole = said.get("topic")
        topics = split(whole) if isinstance(whole, str) else []
        if not topics:
            self._error(id_, 404, f"topic {whole} is not found")
            return
        if len(topics) > MOST_IN_FRAME:
            self._error(id_, 509, f"exceed max topic limitation of {MOST_IN_FRAME} per message")
            return
        if not subscribe:
            for topic in topics:
                if topic in self.topics:
                    del self.topics[topic]
                    self.hub.unsubscribe(self, topic)
            self._ack(id_, said)
            return
        if not self.private and any(topic.startswith(PRIVATE) for topic in topics):
            self._error(id_, 403, f"topic {whole} needs a private token")
            return
        fresh = [topic for topic in dict.fromkeys(topics) if topic not in self.topics]
        if len(self.topics) + len(fresh) > MOST_TOPICS:
            self._error(id_, 509, f"exceed max subscription count limitation of {MOST_TOPICS} per session")
            return
        taken: list[str] = []
        for topic in fresh:
            if not self.hub.subscribe(self, topic):
                for other in taken:
                    self.hub.unsubscribe(self, other)
                self._error(id_, 404, f"topic {topic} is not found")
                return
            taken.append(topic)
        self.topics.update(dict.fromkeys(taken))
        self._ack(id_, said)

    # frames out

    def _ack(self, id_: str, said: dict[str, Any]) -> None:
        if said.get("response"):
            self.say({"id": id_, "type": "ack"})

    def _error(self, id_: str, code: int, text: str) -> None:
        self.say({"id": id_, "type": "error", "code": code, "data": text})

    def say(self, message: dict[str, Any]) -> None:
        self.write(_framed(json.dumps(message).encode()))

    def write(self, frame: bytes) -> None:
        """A ready frame; those of one turn of the loop leave together."""
        self._out.append(frame)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def close(self, code: int, why: str) -> None:
        self._flush()
        with contextlib.suppress(ProtocolError):
            self._protocol.send_close(code, why)
        self._flush_protocol()
        self.line.transport.close()

    def _flush(self) -> None:
        self._scheduled = False
        out, self._out = self._out, []
        transport = self.line.transport
        if not out or transport.is_closing():
            return
        transport.write(b"".join(out))
        if transport.get_write_buffer_size() > DEAF:
            transport.abort()

    def _flush_protocol(self) -> None:
        transport = self.line.transport
        for data in self._protocol.data_to_send():
            if data:
                transport.write(data)
            else:
                transport.close()


def split(topic: str) -> list[str]:
    """A topic with several symbols as single topics: ``/x:A,B`` is ``/x:A`` and ``/x:B``."""
    prefix, colon, symbols = topic.partition(":")
    if not colon:
        return [topic]
    return [f"{prefix}:{symbol}" for symbol in symbols.split(",") if symbol]


def _framed(payload: bytes) -> bytes:
    """One unmasked text frame."""
    size = len(payload)
    if size < 126:
        return b"\x81" + size.to_bytes(1, "big") + payload
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload
