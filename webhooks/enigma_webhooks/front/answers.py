"""What a sender is told: a status, a short JSON body, nothing of ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

Headers = list[tuple[bytes, bytes]]

PLAIN: Headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
CLOSE = (b"connection", b"close")
RETRY = (b"retry-after", b"5")

_encode = msgspec.json.Encoder().encode


class Answer:
    """A response, ready to be sent."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: bytes, *extra: tuple[bytes, bytes]) -> None:
        self.status = status
        self.body = body
        self.headers: Headers = [*PLAIN, (b"content-length", str(len(body)).encode()), *extra]

    @property
    def start(self) -> dict[str, Any]:
        """The first ASGI message of it."""
        return {"type": "http.response.start", "status": self.status, "headers": self.headers}

    @property
    def rest(self) -> dict[str, Any]:
        """The second and last."""
        return {"type": "http.response.body", "body": self.body}


def plain(status: int, word: str, *extra: tuple[bytes, bytes], **more: Any) -> Answer:
    """``{"status": word, ...}``."""
    return Answer(status, _encode({"status": word, **more}), *extra)


UNAUTHORIZED = plain(401, "unauthorized")
FORBIDDEN = plain(403, "forbidden")
NOT_ALLOWED = plain(405, "refused", (b"allow", b"POST"), reason="alerts are sent with POST")
UNTRACEABLE = plain(400, "refused", CLOSE, reason="X-Forwarded-For is no list of at most five addresses")
TOO_LARGE = plain(413, "refused", CLOSE, reason="a message has at most 16 KiB")
ENCODED = plain(415, "refused", CLOSE, reason="a message is not compressed: leave out Content-Encoding")
NO_TEXT = plain(415, "refused", CLOSE, reason="a message is text: application/json or text/plain")
TOO_MANY = plain(429, "refused", (b"retry-after", b"60"), reason="too many requests with a wrong secret")
FAULT = plain(500, "error")


def unavailable(reason: str) -> Answer:
    """Send it again, soon."""
    return plain(503, "unavailable", RETRY, reason=reason)


def refused(status: int, reason: str, place: tuple[int, int] | None = None) -> Answer:
    """Not accepted, and why; `place` is line and column of what is at fault."""
    where = {} if place is None else {"line": place[0], "column": place[1]}
    return plain(status, "refused", reason=reason, **where)


def accepted(outcomes: Sequence[dict[str, Any]]) -> Answer:
    """What became of each order of a message; of an array the best of them first."""
    first = outcomes[0]
    if len(outcomes) == 1:
        return Answer(200, _encode(first))
    for word in ("accepted", "duplicate", "ignored"):
        best = next((each for each in outcomes if each["status"] == word), None)
        if best is not None:
            return Answer(200, _encode({**best, "alerts": outcomes}))
    return Answer(200, _encode({**first, "alerts": outcomes}))
