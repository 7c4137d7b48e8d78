"""Whether the run is alive, and whether it is ready: for load balancers and supervisors, without a token."""

from __future__ import annotations

import msgspec
from litestar import Response, Router, get

from enigma_core.parts import Desk
from enigma_core.timeframes import milliseconds
from enigma_webhooks.api.faults import FAULTS, HEADERS
from enigma_webhooks.api.shapes import AtDesk

SILENCE = 120.0
"""Seconds a feed may be silent at least before that counts; or two bars of it, where those are longer."""


class Health(msgspec.Struct, frozen=True):
    """`reasons` says why not."""

    status: str
    reasons: list[str] = []


def health_of(desk: Desk) -> Health:
    """How the run is. Tells nothing of money, settings or secrets."""
    reasons = []
    if desk.state != "ready":
        reasons.append(f"the run is {desk.state}")
    limit = _silence(desk)
    if desk.lag > limit:
        reasons.append(f"the feed has been silent for {desk.lag:.0f} s; {limit:.0f} s are allowed")
    return Health("unready" if reasons else "ready", reasons)


def answered(desk: Desk) -> Response[Health]:
    """The same as an answer: 200 or 503."""
    health = health_of(desk)
    return Response(health, status_code=503 if health.reasons else 200, media_type="application/json")


@get("/health/live")
async def live() -> Health:
    """The server answers."""
    return Health("live")


@get(["/health", "/health/ready"])
async def ready(desk: AtDesk) -> Response[Health]:
    """200 while alerts are worked and the feed is heard; else 503 with the reasons."""
    return answered(desk)


def _silence(desk: Desk) -> float:
    feed = desk.plan.feed
    try:
        return max(SILENCE, 2 * milliseconds(feed.base_timeframe()) / 1000) if feed is not None else SILENCE
    except Exception:  # noqa: BLE001 - a feed that cannot say has the least
        return SILENCE


def health() -> Router:
    return Router("/", route_handlers=[live, ready], response_headers=HEADERS, exception_handlers=FAULTS, include_in_schema=False)
