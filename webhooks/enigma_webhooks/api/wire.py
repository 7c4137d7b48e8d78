"""A WebSocket as uvicorn speaks it, that does not keep what nobody reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

GRACE = 2.0
"""Seconds a closed connection is kept for what is still to be read."""


class Wire(WebSocketsSansIOProtocol):
    """Sends the farewell even where the peer reads nothing, and lets go of the connection soon after.

    uvicorn's own waits for the peer with both, for ever: a client that stalls would keep its buffers and its place.
    """

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "websocket.close":
            self.writable.set()
        await super().send(message)

    async def run_asgi(self) -> None:
        await super().run_asgi()
        self.loop.call_later(GRACE, self.transport.abort)
