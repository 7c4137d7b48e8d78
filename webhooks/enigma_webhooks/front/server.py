"""The HTTP server: uvicorn in the loop that runs already, on a socket that is ours."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import uvicorn

from enigma_core.errors import ConfigError, PluginError
from enigma_webhooks.front.address import Network
from enigma_webhooks.front.deadlines import GuardedProtocol, Ledger, Limits

BACKLOG = 1024
LAST_ANSWERS = 2
"""Seconds that answers under way are given when the server stops."""


class Server(uvicorn.Server):
    """uvicorn that leaves signals to whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bound(host: str, port: int) -> socket.socket:
    """A socket bound to `host` and `port` (0 for any that is free). Raises `ConfigError` where that is not to be had."""
    host = host.strip("[]")
    try:
        family, kind, proto, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise ConfigError(f"services.tradingview.host is {host!r}, which is no address of this machine: {error.strerror}") from None
    made = socket.socket(family, kind, proto)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(where)
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        remedy = "stop what listens there, or set services.tradingview.port to another (0 takes any)"
        if error.errno in (13, 1):
            remedy = "ports below 1024 need more rights: take another, such as 8080, and let a proxy listen there"
        elif error.errno == 99:
            remedy = "set services.tradingview.host to an address of this machine"
        what = "is in use" if error.errno == 98 else f"cannot be listened on ({error.strerror})"
        raise ConfigError(f"{host}:{port} {what}; {remedy}") from None
    made.setblocking(False)
    return made


def url(listening: socket.socket) -> str:
    """``http://127.0.0.1:8080``: by which this machine itself reaches it."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.asynccontextmanager
async def serving(
    app: Any,
    listening: socket.socket,
    *,
    trusted: Sequence[Network] = (),
    limits: Limits | None = None,
    websockets: Any = "websockets-sansio",
) -> AsyncIterator[asyncio.Task[None]]:
    """Serve `app` on a bound socket while inside; the task ends early only where serving fails. `websockets`: see uvicorn's `ws`.

    Leaving lets answers under way be given for `LAST_ANSWERS` seconds. Raises `PluginError` where the app does not start.
    """
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    ledger = Ledger(limits or Limits(), trusted)
    config = uvicorn.Config(
        app,
        http=functools.partial(GuardedProtocol, ledger=ledger),  # type: ignore[arg-type]
        ws=websockets,
        ws_max_size=4096,
        ws_per_message_deflate=False,
        lifespan="on",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        backlog=BACKLOG,
        timeout_graceful_shutdown=LAST_ANSWERS,
        timeout_keep_alive=5,
    )
    server = Server(config)
    task = asyncio.ensure_future(_served(server, listening))
    try:
        while not server.started and not task.done():
            await asyncio.sleep(0.01)
        if task.done():
            task.result()
            raise PluginError("the server ended before it began; the log says why")
        yield task
    finally:
        server.should_exit = True
        await _ended(task)
        listening.close()


async def _served(server: Server, listening: socket.socket) -> None:
    try:
        await server.serve(sockets=[listening])
    except SystemExit:
        raise PluginError("the server does not start; the log says why") from None


async def _ended(task: asyncio.Task[None]) -> None:
    """Wait for `task` though cancelled again: an answer that was begun is worth two seconds."""
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            if cancelled:
                task.cancel()
                raise
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error
