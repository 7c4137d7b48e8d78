"""Connections that do not get on with it are closed, and those too many are not let in."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from enigma_webhooks.front.address import Network, address, within

try:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as Protocol
except ImportError:
    if not TYPE_CHECKING:
        from uvicorn.protocols.http.h11_impl import H11Protocol as Protocol

TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"

READ_AT_ONCE = 32_768
"""Bytes taken from a socket at a time, so that many senders of much hold little of our memory."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a connection may do. Times in seconds: `idle` between requests, `headers` until they are there, `body` after them.

    `each`: connections of one address; those of this machine and of trusted proxies are everybody's and not counted.
    """

    connections: int = 256
    each: int = 16
    idle: float = 5.0
    headers: float = 5.0
    body: float = 2.0
    header_bytes: int = 16_384


class Ledger:
    """Which connections there are. Of too many the one that has waited longest without asking anything makes room."""

    def __init__(self, limits: Limits, trusted: Sequence[Network] = ()) -> None:
        self.limits = limits
        self.trusted = trusted
        self.open: dict[GuardedProtocol, None] = {}
        self.addresses: Counter[str] = Counter()

    def admit(self, connection: GuardedProtocol, host: str) -> bool:
        """Note a new connection; False where its address has too many."""
        shared = self._shared(host)
        if not shared and self.addresses[host] >= self.limits.each:
            return False
        if len(self.open) >= self.limits.connections:
            stalled = next((each for each in self.open if each.stalled), None)
            if stalled is None:
                return False
            stalled.drop()
        self.open[connection] = None
        if not shared:
            self.addresses[host] += 1
        return True

    def forget(self, connection: GuardedProtocol, host: str) -> None:
        """A connection is over. May be called again."""
        if connection in self.open:
            del self.open[connection]
            if host in self.addresses:
                self.addresses[host] -= 1
                if self.addresses[host] <= 0:
                    del self.addresses[host]

    def _shared(self, host: str) -> bool:
        try:
            here = address(host)
        except ValueError:
            return True
        return here.is_loopback or within(here, self.trusted)


class GuardedProtocol(Protocol):
    """uvicorn's protocol with a deadline for whatever the other side owes: headers, then the body. WebSockets are let go."""

    def __init__(self, *args: Any, ledger: Ledger, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ledger = ledger
        self.timeout_keep_alive = ledger.limits.idle  # type: ignore[assignment]
        self.host = ""
        self._owed: object = None
        self._deadline: asyncio.TimerHandle | None = None
        self._header_bytes = 0

    @property
    def stalled(self) -> bool:
        """True while no request is being worked on."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.host = self.client[0] if self.client else ""
        if not self.ledger.admit(self, self.host):
            transport.abort()
            return
        if hasattr(transport, "max_size"):
            transport.max_size = READ_AT_ONCE
        self._owe("headers", self.ledger.limits.headers, self.drop)

    def connection_lost(self, exc: Exception | None) -> None:
        self._owe(None)
        self.ledger.forget(self, self.host)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.is_closing() or self not in self.ledger.open:
            self._owe(None)
        elif self.stalled:
            self._header_bytes = self._header_bytes + len(data) if self._owed == "headers" else len(data)
            if self._header_bytes > self.ledger.limits.header_bytes:
                self.transport.write(TOO_LONG)
                self.transport.close()
            else:
                self._owe("headers", self.ledger.limits.headers, self.drop)
        elif self.cycle.more_body:
            self._owe(self.cycle, self.ledger.limits.body, self._time_out)
        else:
            self._owe(None)

    def handle_websocket_upgrade(self, *args: Any) -> None:
        """The connection is another protocol's from here on."""
        self._owe(None)
        self.ledger.forget(self, self.host)
        super().handle_websocket_upgrade(*args)

    def drop(self) -> None:
        """Close at once, whatever is still to be said."""
        self._owe(None)
        self.ledger.forget(self, self.host)
        self.transport.abort()

    def _time_out(self) -> None:
        if not self.cycle.response_started:
            self.transport.write(TIMED_OUT)
        self.cycle.keep_alive = False
        self.transport.close()

    def _owe(self, what: object, seconds: float = 0.0, miss: Callable[[], None] | None = None) -> None:
        """The other side owes `what` within `seconds`, else `miss`. The same thing is not given more time."""
        if what is self._owed:
            return
        self._owed = what
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if miss is not None:
            self._deadline = self.loop.call_later(seconds, miss)
