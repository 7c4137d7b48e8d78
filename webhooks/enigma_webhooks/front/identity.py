"""What makes two messages the same alert."""

from __future__ import annotations

import hashlib

import msgspec

from enigma_core.alert import Request

_encode = msgspec.json.Encoder().encode

WINDOW = 60_000
"""For so long, ms, a message without any time is taken for the same as an earlier one that reads alike."""


class Identity(msgspec.Struct, frozen=True):
    """An alert's `id` for good, the `key` it is known by, and for how long (`window`, ms; None for ever)."""

    id: str
    key: str
    window: int | None = None


def identity(source: str, request: Request, received: int, copy: int = 0) -> Identity:
    """The identity of `request` from `source`, which came at `received` (ms, wall clock).

    An id of the sender's own makes it; else what is asked for and the time in the message. A message without a time is known for
    `WINDOW` only, and its id has the time it came in it. `copy` counts orders of one message that would else be the same: two
    orders alike in one array are two orders, unless they carry one id.

    A halt is never a duplicate, whatever it carries: to obey one twice does no harm, to swallow one does.
    """
    if request.action == "halt":
        key = _hashed("halt", *_asked(source, request), request.key, received, copy)
        return Identity(f"A{key}", key, WINDOW)
    if request.key:
        key = _hashed("key", source, request.key)
        return Identity(f"A{key}", key)
    time = request.sent if request.bar is None else request.bar
    key = _hashed("message", *_asked(source, request), time, copy)
    if time is not None:
        return Identity(f"A{key}", key)
    return Identity(f"A{_hashed('came', key, received)}", key, WINDOW)


def same(source: str, request: Request) -> tuple[object, ...]:
    """What orders of one message without an id have in common when only their place tells them apart."""
    return (*_asked(source, request), request.sent, request.bar)


def digest(body: bytes) -> str:
    """SHA-256 of a message whose secret is blanked out; blanks around it do not count."""
    return hashlib.sha256(body.strip()).hexdigest()


def _asked(source: str, request: Request) -> tuple[object, ...]:
    return (
        source,
        request.strategy,
        request.symbol,
        request.action,
        request.closes,
        request.order,
        request.quantity,
        request.unit,
        request.price,
        request.position,
        request.previous,
    )


def _hashed(*parts: object) -> str:
    """Twenty letters and digits, fit for a client order id."""
    return hashlib.sha256(_encode(parts)).hexdigest()[:20]
