"""The real server on a free port of this machine, and what it takes to talk to it byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from enigma_webhooks.front.address import Network
from enigma_webhooks.front.deadlines import Limits
from enigma_webhooks.front.server import bound, serving


@contextlib.asynccontextmanager
async def served(app: Any, *, limits: Limits | None = None, trusted: tuple[Network, ...] = ()) -> AsyncIterator[int]:
    """Serve `app` on 127.0.0.1 while inside: the port."""
    listening = bound("127.0.0.1", 0)
    port: int = listening.getsockname()[1]
    async with serving(app, listening, trusted=trusted, limits=limits):
        yield port


def request(method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """One request as it goes over the wire."""
    lines = {"Host": "127.0.0.1", "Content-Length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


async def exchanged(port: int, data: bytes, *, close: bool = True) -> bytes:
    """Everything that is answered to `data` until the other side closes (or, without `close`, to the end of one answer)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            await writer.drain()
            return await (reader.read() if close else one_answer(reader))
        return b""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def one_answer(reader: asyncio.StreamReader) -> bytes:
    """One answer with a content length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    return head + await reader.readexactly(length)


def status_of(answer: bytes) -> int:
    """The status of an answer, 0 where there is none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0
