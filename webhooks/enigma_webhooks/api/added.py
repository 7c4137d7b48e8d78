"""What plugins add to the API (hook `enigma_routes`), as far as it fits."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from litestar import Litestar, Router
from litestar.handlers import HTTPRouteHandler

from enigma_webhooks.api.shapes import REFUSALS

log = logging.getLogger("enigma.plugins")


def added(routes: Mapping[str, Sequence[Any]], taken: Iterable[str], given: Mapping[str, Any]) -> list[HTTPRouteHandler]:
    """The handlers of `routes` that can stand beside those whose paths begin with `taken`; the others are told in the log.

    `given` are the dependencies they may ask for. A plugin whose handlers do not fit loses them, and nobody else does.
    """
    heads = set(taken)
    found: list[HTTPRouteHandler] = []
    for source, handlers in routes.items():
        reason = _unfit(handlers, heads, given)
        if reason:
            log.error("plugin %s adds nothing to the API: %s", source, reason)
            continue
        heads |= {head for handler in handlers for head in _heads(handler)}
        found += map(_described, handlers)
    return found


def first(path: str) -> str:
    """The first part of a path."""
    return path.strip("/").partition("/")[0]


def _unfit(handlers: Sequence[Any], taken: set[str], given: Mapping[str, Any]) -> str:
    for handler in handlers:
        if not isinstance(handler, HTTPRouteHandler):
            return f"{handler!r} is no HTTP route handler of Litestar"
        for head in _heads(handler):
            if not head or head.startswith("{"):
                return f"a path must begin with a name, not with {handler.paths}"
            if head in taken:
                return f"/{head} is taken; let its paths begin with a name of its own"
    try:
        # what is wrong in itself shows when an app is made of it
        Litestar([Router("/", route_handlers=[*handlers], dependencies=dict(given))], openapi_config=None, logging_config=None)
    except Exception as error:  # noqa: BLE001 - a plugin's fault stays its own
        return f"{type(error).__name__}: {error}"
    return ""


def _heads(handler: HTTPRouteHandler) -> set[str]:
    return {first(path) for path in handler.paths}


def _described(handler: HTTPRouteHandler) -> HTTPRouteHandler:
    """`handler` with the refusals in its description that every answer of the API may be instead."""
    handler.responses = {**REFUSALS, **(handler.responses or {})}
    return handler
