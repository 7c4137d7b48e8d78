"""The API: REST under /api/v1, an event stream, health and metrics.

How it is put into an app::

    access = Access.of(tokens)
    metrics = Metrics(desk)
    Litestar(
        route_handlers=[*routes(desk, access, metrics)],
        openapi_config=openapi(access),
        middleware=[metrics.middleware],
        exception_handlers=FAULTS,
    )

uvicorn takes ``ws=Wire``, ``ws_max_size=4096`` and ``ws_per_message_deflate=False``. `Metrics.answered` is for the receiver.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from litestar import Response, Router, get
from litestar.di import Provide
from litestar.types import ControllerRouterHandler, ExceptionHandler

from enigma_core.errors import HomeError
from enigma_core.parts import Desk
from enigma_webhooks.api.access import Access, Grant, Token
from enigma_webhooks.api.account import account
from enigma_webhooks.api.added import added, first
from enigma_webhooks.api.document import openapi
from enigma_webhooks.api.faults import FAULTS, HEADERS, Asked, Fault, unwritten
from enigma_webhooks.api.health import Health, answered, health
from enigma_webhooks.api.history import history
from enigma_webhooks.api.ledger import Reads
from enigma_webhooks.api.market import market
from enigma_webhooks.api.metrics import Metrics, measuring
from enigma_webhooks.api.risk import emergency_close, operating
from enigma_webhooks.api.settings import settings
from enigma_webhooks.api.shapes import AtDesk
from enigma_webhooks.api.stream import Stream, streaming, ws_ticket
from enigma_webhooks.api.wire import Wire

LARGEST = 65_536
"""Bytes of a body."""

__all__ = ["FAULTS", "HEADERS", "Access", "Grant", "Metrics", "Stream", "Token", "Wire", "openapi", "routes"]


def routes(
    desk: Desk, access: Access, metrics: Metrics | None = None, *, stream: Stream | None = None
) -> list[ControllerRouterHandler]:
    """Everything of the API, what plugins add to it included. Whatever is added under /api/v1 needs a token of the scope admin
    unless it says otherwise."""
    metrics = metrics or Metrics(desk)
    stream = stream or Stream(desk, access, counted=metrics.clients.set)
    given: dict[str, Any] = {"desk": desk, "access": access, "metrics": metrics, "stream": stream, "reads": Reads(desk)}
    guarded: dict[str, Any] = {
        "guards": [access.guard],
        "response_headers": HEADERS,
        "exception_handlers": {**FAULTS, HomeError: _counted(metrics)},
        "request_max_body_size": LARGEST,
    }
    own: list[Any] = [market(), account(), history(), operating(), settings(), ws_ticket, api_health]
    dependencies = {name: _given(thing) for name, thing in given.items()}
    taken = {first(path) for each in own for path in _paths(each)} | {"schema", "ws"}
    api = Router("/api/v1", route_handlers=[*own, *added(desk.routes(), taken, dependencies)], **guarded)
    alias = Router("/", route_handlers=[emergency_close], include_in_schema=False, **guarded)
    metered = Router("/", route_handlers=[measuring()], guards=[access.guard], include_in_schema=False)
    return [
        Router(
            "/",
            route_handlers=[api, alias, metered, health(), streaming(access)],
            dependencies=dependencies,
        )
    ]


@get("/health", opt={"scope": "read"}, tags=["health"])
async def api_health(desk: AtDesk) -> Response[Health]:
    """200 while alerts are worked and the feed is heard; else 503 with the reasons."""
    return answered(desk)


def _paths(handler: Any) -> Iterator[str]:
    """Every path of a handler or a router."""
    if isinstance(handler, Router):
        for route in handler.routes:
            yield route.path
    else:
        yield from handler.paths


def _counted(metrics: Metrics) -> ExceptionHandler[HomeError]:
    def counted(request: Asked, error: HomeError) -> Response[Fault]:
        metrics.unwritten()
        return unwritten(request, error)

    return counted


def _given(thing: Any) -> Provide:
    return Provide(lambda: thing, sync_to_thread=False)
