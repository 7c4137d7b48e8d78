"""What a broken connection is called in a sentence for a person."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator

DEEP = 8
"""Errors that wrap one another, at most."""


def why(error: BaseException) -> str:
    """Why there was no answer. The libraries between us and the network wrap what happened: the innermost that says it counts."""
    chain = list(_chain(error))
    if said := next(filter(None, map(_said, chain)), ""):
        return said
    for each in chain:
        if isinstance(each, OSError) and each.strerror:
            return each.strerror[0].lower() + each.strerror[1:]
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(DEEP):
        if error is None:
            return
        yield error
        inner = getattr(error, "os_error", None)  # aiohttp's
        if inner is None and type(error).__module__.startswith("urllib"):
            inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        error = inner


def _said(error: BaseException) -> str:
    match error:
        case socket.gaierror():
            return "its name cannot be looked up"
        case ConnectionRefusedError():
            return "nothing listens there"
        case TimeoutError():
            return "no answer in time"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not accepted: {error.verify_message}"
        case ConnectionError() | http.client.IncompleteRead():
            return "the connection was closed"
        case http.client.HTTPException():
            return "its answer is no HTTP"
    return ""
