"""What is held at the exchange beside what the book says, and whose doing the difference is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from enigma_core.book import Position
from enigma_core.model import ZERO, Side
from enigma_exchange.port import Held, Traded


class Beside(NamedTuple):
    """What is held in a symbol that is not ours; quantity 0: nothing."""

    side: Side
    quantity: Decimal
    price: Decimal
    margin: Decimal


NOTHING = Beside(1, ZERO, ZERO, ZERO)


class Difference(NamedTuple):
    """`gone`: contracts that our position has lost there; `beside`: what is there and not ours, `gone` put right."""

    gone: Decimal
    beside: Beside


def difference(ours: Position | None, there: Sequence[Held], lot: Decimal) -> Difference:
    """How one symbol's positions at the exchange differ from ours. Less than a lot, or one, is the exchange's rounding."""
    net = sum((h.side * h.quantity for h in there), ZERO)
    side: Side = ours.side if ours is not None else 1
    own = ours.quantity if ours is not None else ZERO
    mine = net * side
    gone = max(ZERO, own - max(ZERO, mine))
    rest = mine - (own - gone)
    if ours is not None and ZERO < gone <= lot and mine > 0:
        # so little is explained by a fill or not at all
        rest = ZERO
    if ours is not None and abs(rest) <= lot:
        rest = ZERO
    if not rest:
        return Difference(gone, NOTHING)
    whose = next((h for h in there if h.side * side * rest > 0), None)
    if whose is None:
        return Difference(gone, NOTHING)
    share = abs(rest) / whose.quantity if whose.quantity else ZERO
    other: Side = 1 if rest * side > 0 else -1
    return Difference(gone, Beside(other, abs(rest), whose.price, whose.margin * min(share, Decimal(1))))


def explained(strays: Iterable[Traded], ours: Position, gone: Decimal) -> tuple[list[tuple[Traded, Decimal]], Decimal]:
    """Trades that took `gone` contracts off our position, with how much each took, and what none of them explains."""
    found: list[tuple[Traded, Decimal]] = []
    left = gone
    # the newest are what moved it last: older ones may have been about what was held beside it
    for trade in sorted(strays, key=lambda t: t.ts, reverse=True):
        if left <= 0:
            break
        if trade.symbol != ours.symbol or trade.side == ours.side or trade.ts < ours.entry_ts:
            continue
        took = min(trade.quantity, left)
        found.append((trade, took))
        left -= took
    return found[::-1], max(left, ZERO)
