"""The OpenAPI document."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from litestar import Router
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, YamlRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme, Tag

from enigma_webhooks.api.access import Access
from enigma_webhooks.api.faults import FAULTS, HEADERS

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
