"""How patient an account is: every interval of its work, in seconds."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from enigma_core.chance import maybe

Brief = Annotated[float, Meta(gt=0, le=60)]
"""What a position may depend on is never put off for long."""


class Timing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When what is asked again, and after how long an answer is no longer waited for. Seconds."""

    in_flight: Annotated[Brief, Meta(description="between looks at an order that should be filling")] = 1.0
    orders: Annotated[Brief, Meta(description="between looks at all open orders")] = 5.0
    positions: Annotated[Brief, Meta(description="between looks at all positions")] = 5.0
    balance: Annotated[
        float, Meta(gt=0, le=600, description="between looks at balance, funding, clock, contracts and margin modes")
    ] = 60.0
    protect: Annotated[Brief, Meta(description="a stop must be seen at the exchange so long after a fill")] = 5.0
    stall: Annotated[Brief, Meta(description="an order that should fill and does not move is called off")] = 10.0
    fresh: Annotated[float, Meta(gt=0, le=600, description="an entry older than this is not sent any more")] = 10.0
    proof: Annotated[
        float, Meta(ge=10, le=600, description="over how long looks must miss an order before it counts as absent")
    ] = 30.0
    looks: Annotated[int, Meta(ge=2, le=100, description="how many looks must miss it")] = 5
    overlap: Annotated[float, Meta(ge=10, le=3_600, description="how far back fills are read again")] = 60.0
    deep: Annotated[float, Meta(ge=60, le=86_400, description="how far back fills are read at the start, and after a gap")] = 600.0
    zombie: Annotated[float, Meta(ge=600, le=86_400, description="how long an order that was absent is watched for")] = 86_400.0
    drift: Annotated[float, Meta(gt=0, le=5, description="how far the clock may be from the exchange's")] = 1.0
    silence: Annotated[Brief, Meta(description="so long without an answer from the exchange, and nothing is entered")] = 10.0
    leave: Annotated[Brief, Meta(description="how long requests under way are waited for at the end")] = 5.0


BACKOFF = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between looks at an order nobody knows the state of; the last one again and again."""


def backoff(tries: int) -> float:
    """How long to wait after the `tries`-th look (from 0) has missed."""
    if maybe("looking: the next look comes soon"):
        return BACKOFF[0]
    return BACKOFF[min(tries, len(BACKOFF) - 1)]
