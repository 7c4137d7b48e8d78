"""What goes wrong, as the sender of a request sees it: a status and a sentence in JSON, never a trace."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from enigma_core.errors import Busy, ConfigError, DataError, HomeError

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
"""Of every answer of the API: it is data, for whoever asked and nobody else."""

PLAIN = {
    400: "the request cannot be read",
    404: "there is nothing at this address",
    405: "this address does not take this method",
    413: "the body is too large",
}
"""For what Litestar refuses with two words."""

LONGEST = 2000
"""Characters of a sentence."""

Asked = Request[Any, Any, Any]

_log = logging.getLogger(__name__)


class Fault(msgspec.Struct, frozen=True):
    """What is answered instead of what was asked for."""

    status_code: int
    detail: str


def fault(status: int, detail: str, headers: dict[str, str] | None = None) -> Response[Fault]:
    """The answer that says what is wrong."""
    body = Fault(status, detail[:LONGEST] or HTTPStatus(status).phrase)
    return Response(body, status_code=status, media_type="application/json", headers=HEADERS | (headers or {}))


def refused(_: Asked, error: HTTPException) -> Response[Fault]:
    """A request that is wrong in itself, or a `HTTPException` of our own."""
    if error.status_code >= 500 and error.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
        return failed(_, error)
    detail = "; ".join(_places(error.extra)) or error.detail
    if detail == HTTPStatus(error.status_code).phrase:
        detail = PLAIN.get(error.status_code, detail)
    return fault(error.status_code, detail, error.headers)


def unfit(_: Asked, error: Exception) -> Response[Fault]:
    """Settings or data that do not fit."""
    return fault(422, str(error))


def unwritten(_: Asked, error: Exception) -> Response[Fault]:
    """The journal cannot be read or written, or there is too much to do. The text may name paths: it goes to the log."""
    _log.error("%s", error)
    return fault(503, "the journal cannot be read or written at the moment; the log says why", {"Retry-After": "5"})


def busy(_: Asked, error: Exception) -> Response[Fault]:
    return fault(503, str(error), {"Retry-After": "5"})


def too_deep(_: Asked, error: Exception) -> Response[Fault]:
    return fault(400, "the body is nested too deeply")


def failed(request: Asked, error: Exception) -> Response[Fault]:
    """A defect of ours."""
    _log.error("%s %s has failed", request.method, request.scope.get("path_template", ""), exc_info=error)
    return fault(500, "this has failed for a reason of ours; the log says more")


def _places(extra: Any) -> list[str]:
    """What Litestar found wrong, and where, as the beginnings of a sentence."""
    found = extra if isinstance(extra, list) else []
    return [": ".join(str(e[k]) for k in ("key", "message") if e.get(k)) for e in found if isinstance(e, dict)]


FAULTS: ExceptionHandlersMap = {
    HTTPException: refused,
    ConfigError: unfit,
    DataError: unfit,
    HomeError: unwritten,
    Busy: busy,
    RecursionError: too_deep,
    Exception: failed,
}
"""For the app as well as for our routers: what the routing itself refuses looks the same."""
