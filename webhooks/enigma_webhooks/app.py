"""The one application: alerts under ``/webhooks``, the API beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from litestar import Litestar

from enigma_webhooks.front.hosts import KnownHosts
from enigma_webhooks.front.receiver import PREFIX, Receive, Receiver, Scope, Send


class Application:
    """ASGI: what is under ``/webhooks/`` goes straight to the receiver, by whatever name it was asked, the rest to the API."""

    def __init__(self, receiver: Receiver, api: KnownHosts) -> None:
        self.receiver = receiver
        self.api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(PREFIX):
            await self.receiver(scope, receive, send)
        else:
            await self.api(scope, receive, send)


def application(receiver: Receiver, routes: Sequence[Any] = (), *, hosts: Iterable[str] = (), **settings: Any) -> Application:
    """The application of `receiver` and of the API's `routes`, which answer only where they are asked by one of `hosts`.

    `settings` go to Litestar: the exception handlers and the description of the API, say.
    """
    return Application(receiver, KnownHosts(Litestar([*routes], debug=False, logging_config=None, **settings), hosts))
