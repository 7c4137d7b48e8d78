"""Market orders spread over time."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from decimal import ROUND_FLOOR, Decimal
from itertools import accumulate

from enigma_core.model import ZERO
from enigma_core.parts import Advice, Slice, Work
from enigma_plugins.algorithms._resting import resting

HAIR = 1e-9

GRACE = 600_000
"""ms after its last slice in which a schedule is still made up for; later (after a long pause) nobody wants the rest any more."""


def moments(work: Work, count: int, seconds: float, jitter: float) -> list[int]:
    """When each of `count` slices is due, ms: the first at once, the others up to `jitter` of their stretch later than its start.

    The delays come from the order's id, so they are the same after a restart and for nobody else.
    """
    stretch = seconds * 1000 / count
    delays = (zlib.crc32(f"{work.order.id} {k}".encode()) / 2**32 for k in range(count))
    return [work.order.ts + (round((k + jitter * delay) * stretch) if k else 0) for k, delay in enumerate(delays)]


def scheduled(work: Work, now: int, shares: Sequence[float], seconds: float, jitter: float) -> Advice:
    """Send what is due by now and neither filled nor at work. `shares` has each slice's part of the whole, 1 in total."""
    waiting = resting(work)
    if waiting:
        # another algorithm's, from before a restart
        return Advice(cancel=waiting)
    when = moments(work, len(shares), seconds, jitter)
    last = work.order.ts + round(seconds * 1000)
    if not work.left or now > last + max(GRACE, round(seconds * 1000 / len(shares))):
        return Advice(over=True)
    reached = sum(moment <= now for moment in when)
    quantity = _due(work, shares, reached) - (work.order.quantity - work.left)
    least = work.instrument.min_quantity
    if ZERO < work.left - quantity < least:
        quantity = work.left
    finished = reached == len(when)
    send = (Slice(quantity=quantity),) if quantity >= least else ()
    if finished:
        return Advice(send=send, over=True)
    return Advice(send=send, again=when[reached])


def _due(work: Work, shares: Sequence[float], reached: int) -> Decimal:
    whole = work.order.quantity
    if reached >= len(shares):
        return whole
    share = min(1.0, list(accumulate(shares))[reached - 1]) if reached else 0.0
    # a third and two thirds may add up to a hair less than one
    lots = (whole * Decimal(repr(share + HAIR)) / work.instrument.lot).to_integral_value(rounding=ROUND_FLOOR)
    return min(whole, lots * work.instrument.lot)
