"""What a request asks for, read with limits: numbers are bounded before they are numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from enigma_sandbox.exchange.refusals import parameter

_NUMBER = re.compile(r"^[+-]?(\d{1,20}(\.\d{0,18})?|\.\d{1,18})([eE][+-]?\d{1,2})?$")
MOST = 1_000
"""Rows of a page."""


def decimal(value: Any, name: str) -> Decimal | None:
    """A number, given as text or number; None where it is not given."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        raise parameter(f"{name} is no number")
    if isinstance(value, float) and not math.isfinite(value):
        raise parameter(f"{name} is no number")
    text = repr(value) if isinstance(value, float) else str(value)
    if len(text) > 45 or not _NUMBER.match(text):
        raise parameter(f"{name} is no number")
    try:
        found = Decimal(text)
    except InvalidOperation:
        raise parameter(f"{name} is no number") from None
    if found and not -18 <= found.adjusted() <= 18:
        raise parameter(f"{name} is out of range")
    return found


def whole(value: Any, name: str) -> int | None:
    """A whole number; None where it is not given."""
    found = decimal(value, name)
    if found is None:
        return None
    if found != found.to_integral_value():
        raise parameter(f"{name} must be a whole number")
    return int(found)


def number(query: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    """A whole number of the query within limits."""
    found = whole(query.get(name), name)
    if found is None:
        return default
    if not low <= found <= high:
        raise parameter(f"{name} must be between {low} and {high}")
    return found


def word(given: Mapping[str, Any], name: str, *allowed: str, default: str | None = None) -> str:
    """A text, one of `allowed` where any are named. Without default it must be there."""
    found = given.get(name)
    if found is None or found == "":
        if default is None:
            raise parameter(f"{name} is required")
        return default
    if not isinstance(found, str) or len(found) > 200:
        raise parameter(f"{name} must be a short text")
    if allowed and found not in allowed:
        raise parameter(f"{name} must be one of {', '.join(allowed)}")
    return found


def flag(given: Mapping[str, Any], name: str) -> bool:
    found = given.get(name)
    if found is None:
        return False
    if isinstance(found, bool):
        return found
    if found in ("true", "false"):
        return bool(found == "true")
    raise parameter(f"{name} must be true or false")


def fields(body: Any) -> Mapping[str, Any]:
    """The body as an object."""
    if not isinstance(body, Mapping):
        raise parameter("the body must be a JSON object")
    return body


def page(query: Mapping[str, str], rows: list[Any], size: int = 50, most: int = MOST) -> dict[str, Any]:
    """One page of `rows`, with KuCoin's counts; `items` are the rows themselves."""
    current = number(query, "currentPage", 1, 1, 1_000_000)
    size = number(query, "pageSize", size, 1, most)
    total = len(rows)
    return {
        "currentPage": current,
        "pageSize": size,
        "totalNum": total,
        "totalPage": -(-total // size),
        "items": rows[(current - 1) * size : current * size],
    }


def span(query: Mapping[str, str], start: str = "startAt", end: str = "endAt") -> tuple[int, int]:
    """The time a query is about, ms."""
    first = number(query, start, 0, 0, 10**14)
    last = number(query, end, 10**14, 0, 10**14)
    if first > last:
        raise parameter(f"{start} must not be after {end}")
    return first, last
