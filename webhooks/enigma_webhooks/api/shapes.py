"""What the answers are made of: money as text, times in ms, and how a handler is given what it needs."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from litestar import Request
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter, QueryParameter, SkipValidation
from msgspec import Meta

from enigma_core import report
from enigma_core.parts import Desk
from enigma_webhooks.api.access import Access, Grant
from enigma_webhooks.api.faults import Fault

NUMBER = r"^-?\d+(\.\d+)?$"

Money = Annotated[str, Meta(description="exact, in the quote currency", pattern=NUMBER)]
Price = Annotated[str, Meta(description="exact, in the quote currency", pattern=NUMBER)]
Contracts = Annotated[str, Meta(description="exact, in contracts", pattern=NUMBER)]
Moment = Annotated[int, Meta(description="UTC, epoch milliseconds")]

Limit = Annotated[int, QueryParameter(ge=1, le=500, description="how many at most")]
Before = Annotated[int | None, QueryParameter(ge=0, le=2**53, description="the `next` of the page before")]
OfSymbol = Annotated[str | None, QueryParameter(min_length=1, max_length=40, description="of this symbol only")]
Id = Annotated[str, PathParameter(max_length=200)]
Named = Annotated[str, PathParameter(max_length=40, description="a symbol in any spelling, such as BTCUSDT")]

AtDesk = NamedDependency[SkipValidation[Desk]]
AtDoor = NamedDependency[SkipValidation[Access]]
Asker = Request[Any, Grant, Any]

REFUSALS = {
    401: ResponseSpec(Fault, description="no valid token", generate_examples=False),
    403: ResponseSpec(Fault, description="the token's scope does not do, or a page of another site asks", generate_examples=False),
    404: ResponseSpec(Fault, description="there is no such thing", generate_examples=False),
    422: ResponseSpec(Fault, description="what is asked for does not fit", generate_examples=False),
    429: ResponseSpec(Fault, description="too many failed logins", generate_examples=False),
    503: ResponseSpec(Fault, description="the journal cannot be read or written now", generate_examples=False),
}
"""What may be answered instead, wherever a token is needed."""

T = TypeVar("T")


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, or a part of one."""


class Ask(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a body may say, and nothing else."""


class Page(Shape, Generic[T], frozen=True, kw_only=True):
    """Newest first. `next`, given as `before`, leads to the page after this; null where there is none."""

    items: list[T]
    next: int | None


def text(value: Decimal) -> str:
    """Money as it is answered."""
    return report.plain(value)


def maybe(value: Decimal | None) -> str | None:
    return None if value is None else report.plain(value)


def shaped(kind: type[T], given: Mapping[str, Any]) -> T:
    """`given` as a `kind`: exact numbers become text."""
    return msgspec.convert(report.ready(dict(given)), kind)


def by(asker: Asker, reason: str) -> str:
    """Who did something and why, for the journal."""
    said = "".join(c if c.isprintable() else " " for c in reason).strip()
    return f"API, token {asker.auth.name}" + (f": {said}" if said else "")
