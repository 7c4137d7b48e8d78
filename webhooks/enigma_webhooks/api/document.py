"""The OpenAPI document."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version

import yaml
from litestar import Litestar, Response, Router
from litestar.enums import OpenAPIMediaType
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, YamlRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme, Tag
from litestar.serialization import encode_json

from enigma_webhooks.api.access import Access
from enigma_webhooks.api.faults import FAULTS, HEADERS, Asked

PATH = "/api/v1/schema"

TAGS = {
    "market": "what the market says now, and what would become of an alert",
    "account": "equity, positions, orders",
    "history": "what the journal has",
    "risk": "how risk stands, and the operator's means",
    "settings": "settings and parts",
    "stream": "events as they happen",
    "health": "whether the run is ready",
}


def openapi(access: Access) -> OpenAPIConfig:
    """The document as JSON and YAML, for admins and for this machine. No page: those load their code from elsewhere."""
    try:
        number = version("miniature-enigma")
    except PackageNotFoundError:
        number = "0"
    router = Router(
        PATH,
        route_handlers=[],
        guards=[access.guard],
        opt={"scope": "admin", "local": True},
        response_headers=HEADERS,
        exception_handlers=FAULTS,
        before_request=_kept(),
        include_in_schema=False,
    )
    return OpenAPIConfig(
        title="Miniature Enigma",
        version=number,
        description="Money is text and exact; times are UTC epoch milliseconds. Every request carries a bearer token.",
        components=Components(security_schemes={"token": SecurityScheme(type="http", scheme="bearer")}),
        security=[{"token": []}],
        tags=[Tag(name=name, description=text) for name, text in TAGS.items()],
        use_handler_docstrings=True,
        openapi_router=router,
        render_plugins=[JsonRenderPlugin(), YamlRenderPlugin()],
    )


def _kept() -> Callable[[Asked], Awaitable[Response[bytes] | None]]:
    """Answers with the document, made once and in a thread: it takes a fifth of a second, and trading has the loop."""
    made: dict[OpenAPIMediaType, bytes] = {}

    async def document(request: Asked) -> Response[bytes] | None:
        kind = _kind(request.url.path.rstrip("/"))
        if kind is None:
            return None
        if kind not in made:
            made[kind] = await asyncio.to_thread(_rendered, request.app, kind)
        return Response(made[kind], media_type=kind)

    return document


def _kind(path: str) -> OpenAPIMediaType | None:
    if path in (PATH, f"{PATH}/openapi.json"):
        return OpenAPIMediaType.OPENAPI_JSON
    return OpenAPIMediaType.OPENAPI_YAML if path in (f"{PATH}/openapi.yaml", f"{PATH}/openapi.yml") else None


def _rendered(app: Litestar, kind: OpenAPIMediaType) -> bytes:
    json = encode_json(app.openapi_schema.to_schema())
    if kind is OpenAPIMediaType.OPENAPI_JSON:
        return json
    # through JSON, so that only what JSON knows is written
    return yaml.safe_dump(yaml.safe_load(json), sort_keys=False).encode()
