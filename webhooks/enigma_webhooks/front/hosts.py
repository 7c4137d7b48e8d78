"""By which names the server may be asked: a page that has its own name point here must get nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from enigma_webhooks.front import answers

LOCAL = ("localhost", "127.0.0.1", "[::1]")

SECURE = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
"""Headers of every answer that does not set them itself."""

WRONG = answers.plain(400, "refused", reason="the server is not known by this name: add it to services.tradingview.allowed_hosts")

_log = logging.getLogger(__name__)


class KnownHosts:
    """Lets through what is asked by a known name, whatever the port, and sees that every answer is closed to other sites."""

    def __init__(self, app: Any, hosts: Iterable[str] = ()) -> None:
        self.app = app
        self.hosts = frozenset(host.lower() for host in (*LOCAL, *hosts))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif not self._known(scope["headers"]):
            if scope["type"] == "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1008})
            else:
                await send(WRONG.start)
                await send(WRONG.rest)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _http(self, scope: Any, receive: Any, send: Any) -> None:
        begun = False

        async def secured(message: Any) -> None:
            nonlocal begun
            begun = True
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message.get("headers", ())}
                message["headers"] = [*message.get("headers", ()), *(h for h in SECURE if h[0] not in there)]
            await send(message)

        try:
            await self.app(scope, receive, secured)
        except Exception:
            if begun:
                raise
            _log.exception("a request has failed")
            await send(answers.FAULT.start)
            await send(answers.FAULT.rest)

    def _known(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        given = [value for name, value in headers if name == b"host"]
        return len(given) == 1 and bare(given[0].decode("latin-1")) in self.hosts


def bare(host: str) -> str:
    """A host without its port, in small letters."""
    host = host.strip().lower()
    if host.startswith("["):
        inner, bracket, port = host.partition("]")
        return inner + bracket if not port or (port[0] == ":" and port[1:].isdecimal()) else host
    name, colon, port = host.partition(":")
    return name if not colon or port.isdecimal() else host
