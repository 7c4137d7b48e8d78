"""The event stream: everything the run records, as it happens, to whoever watches. Nobody who watches can hold trading up."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any

import msgspec
from litestar import Router, WebSocket, post, websocket
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, WebSocketDisconnect
from litestar.params import SkipValidation
from litestar.status_codes import HTTP_200_OK
from msgspec import Meta

from enigma_core import records, report
from enigma_core.parts import Desk
from enigma_webhooks.api.access import LIFETIME, Access, Grant
from enigma_webhooks.api.account import orders_of, portfolio_of, positions_of
from enigma_webhooks.api.shapes import REFUSALS, Ask, Asker, AtDoor, Shape

QUEUE = 256
"""Events that wait for one client; when more come, a fresh snapshot takes the place of all of them."""

CLIENTS = 128
STRANGERS = 32
"""Connections that may be without a ticket yet."""

PATIENCE = 10.0
"""Seconds a client may leave one message unread before it is closed, and before its ticket must have come."""

RECHECK = 60.0
"""Seconds between two looks at whether a client's token still holds."""

FAREWELL = 1.0
"""Seconds for the closing itself."""

LONGEST = 4096
"""Bytes of what a client may say."""

NORMAL, WRONG, FORBIDDEN, TOO_LONG, LATER = 1000, 1003, 1008, 1009, 1013
"""Codes of RFC 6455 and its registry."""


class Ticket(Shape, frozen=True, kw_only=True):
    """To be sent as the first message of the event stream: ``{"ticket": ...}``. Good once, for `seconds`."""

    ticket: str
    seconds: float


class Opening(Ask, frozen=True, kw_only=True):
    """The first message of a client that cannot set headers."""

    ticket: Annotated[str, Meta(max_length=200)]


class Event:
    """One record with its number; as JSON once somebody wants it, and then for all."""

    __slots__ = ("_text", "record", "seq")

    def __init__(self, seq: int, record: Any) -> None:
        self.seq = seq
        self.record = record
        self._text: str | None = None

    @property
    def text(self) -> str:
        if self._text is None:
            event = {"seq": self.seq, "event": _tag(self.record), "record": report.ready(self.record)}
            self._text = msgspec.json.encode(event).decode()
        return self._text


class Client:
    """What waits for one client. `lost`: more came than it may have waiting, so it needs a snapshot."""

    __slots__ = ("_limit", "events", "lost", "wake")

    def __init__(self, limit: int) -> None:
        self.events: deque[Event] = deque()
        self.lost = True
        self.wake = asyncio.Event()
        self.wake.set()
        self._limit = limit

    def put(self, event: Event) -> None:
        """Take in an event. Returns at once."""
        if self.lost:
            return
        if len(self.events) >= self._limit:
            self.events.clear()
            self.lost = True
        else:
            self.events.append(event)
        self.wake.set()


class Stream:
    """The clients of one run. It watches the run while somebody watches it."""

    def __init__(
        self,
        desk: Desk,
        access: Access,
        *,
        counted: Callable[[float], object] = lambda _: None,
        queue: int = QUEUE,
        patience: float = PATIENCE,
        recheck: float = RECHECK,
    ) -> None:
        self._desk = desk
        self._access = access
        self._counted = counted
        self._queue = queue
        self._patience = patience
        self._recheck = recheck
        self._clients: set[Client] = set()
        self._strangers = 0
        self._end: Callable[[], None] | None = None
        self.seq = 0

    def see(self, record: Any) -> None:
        """Pass a record on. Returns at once: it is written as JSON only when somebody is sent it."""
        self.seq += 1
        event = Event(self.seq, record)
        for client in self._clients:
            client.put(event)

    def snapshot(self) -> str:
        """The whole state at event `seq`, as one line."""
        book = self._desk.account
        state = {
            "seq": self.seq,
            "event": "snapshot",
            "state": self._desk.state,
            "trading_state": book.trading_state,
            "portfolio": portfolio_of(self._desk),
            "positions": positions_of(self._desk),
            "orders": orders_of(self._desk),
            "counts": {
                "positions": len(book.positions),
                "orders": len(book.orders),
                "trades": book.trades,
                "alerts_waiting": self._desk.waiting,
            },
        }
        return msgspec.json.encode(state).decode()

    async def serve(self, socket: WebSocket[Any, Any, Any]) -> None:
        """One client, from its handshake to its end."""
        known = "authorization" in socket.headers
        if len(self._clients) >= CLIENTS or (not known and self._strangers >= STRANGERS):
            await socket.close(LATER, "too many watch already")
            return
        try:
            if known:
                grant = self._access.login(socket)
                await socket.accept()
            else:
                grant = await self._introduced(socket)
        except HTTPException as error:
            await self._close(socket, FORBIDDEN, error.detail)
            return
        except (TimeoutError, msgspec.MsgspecError):
            await self._close(socket, FORBIDDEN, "the first message must be a ticket")
            return
        except WebSocketDisconnect:
            return
        await self._watched(socket, grant)

    async def _introduced(self, socket: WebSocket[Any, Any, Any]) -> Grant:
        self._strangers += 1
        try:
            await socket.accept()
            return await self._ticket(socket)
        finally:
            self._strangers -= 1

    async def _ticket(self, socket: WebSocket[Any, Any, Any]) -> Grant:
        async with asyncio.timeout(self._patience):
            said = await self._said(socket)
        opening = msgspec.json.decode(said[:LONGEST], type=Opening)
        return self._access.redeem(socket, opening.ticket)

    async def _watched(self, socket: WebSocket[Any, Any, Any], grant: Grant) -> None:
        client = Client(self._queue)
        self._join(client)
        tasks = [
            asyncio.ensure_future(each) for each in (self._tell(socket, client), self._listen(socket), self._watch_over(grant))
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            code, reason = next((task.result() for task in tasks if task.done() and not task.exception()), (NORMAL, ""))
        finally:
            self._leave(client)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._close(socket, code, reason)

    async def _tell(self, socket: WebSocket[Any, Any, Any], client: Client) -> tuple[int, str]:
        while True:
            await client.wake.wait()
            client.wake.clear()
            while client.lost or client.events:
                if client.lost:
                    text, client.lost = self.snapshot(), False
                else:
                    text = client.events.popleft().text
                try:
                    async with asyncio.timeout(self._patience):
                        await socket.send_text(text)
                except TimeoutError:
                    return LATER, "nothing was read for too long"

    async def _listen(self, socket: WebSocket[Any, Any, Any]) -> tuple[int, str]:
        """What a client says is not listened to, but for its end and what no client of ours sends."""
        while True:
            try:
                said = await self._said(socket)
            except WebSocketDisconnect:
                return NORMAL, ""
            if isinstance(said, bytes):
                return WRONG, "only text is read here"
            if len(said) > LONGEST:
                return TOO_LONG, f"{LONGEST} characters are the most"

    async def _watch_over(self, grant: Grant) -> tuple[int, str]:
        while self._access.alive(grant):
            await asyncio.sleep(self._recheck)
        return FORBIDDEN, "the token has expired"

    @staticmethod
    async def _said(socket: WebSocket[Any, Any, Any]) -> str | bytes:
        event = await socket.receive()
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(detail="gone")
        text, data = event.get("text"), event.get("bytes")
        return text if isinstance(text, str) else data if isinstance(data, bytes) else b""

    @staticmethod
    async def _close(socket: WebSocket[Any, Any, Any], code: int, reason: str) -> None:
        # a client that is gone, or reads nothing, is not waited for
        with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
            async with asyncio.timeout(FAREWELL):
                await socket.close(code, reason)

    def _join(self, client: Client) -> None:
        self._clients.add(client)
        self._counted(len(self._clients))
        if self._end is None:
            self._end = self._desk.watch(self.see)

    def _leave(self, client: Client) -> None:
        self._clients.discard(client)
        self._counted(len(self._clients))
        if not self._clients and self._end is not None:
            self._end()
            self._end = None


def _tag(record: Any) -> str:
    try:
        return records.tag(record)
    except TypeError:
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(record).__name__).lower()


AtStream = NamedDependency[SkipValidation[Stream]]


@websocket("/api/v1/ws")
async def events(socket: WebSocket[Any, Any, Any], stream: AtStream) -> None:
    """A snapshot, then every record of the run: ``{"seq", "event", "record"}``, a line each."""
    await stream.serve(socket)


@post("/ws-ticket", responses=REFUSALS, opt={"scope": "read"}, status_code=HTTP_200_OK, tags=["stream"])
async def ws_ticket(access: AtDoor, request: Asker) -> Ticket:
    """A ticket for the event stream at /api/v1/ws, where no header can be set: in a browser."""
    return Ticket(ticket=access.ticket(request.auth), seconds=LIFETIME)


def streaming(access: Access) -> Router:
    return Router("/", route_handlers=[events], guards=[access.guard_origin])
