"""Which markets are looked at, and what an opportunity is worth beside the others. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

from enigma_core.model import Class
from enigma_core.parts import Listing

SCORE, CONFIDENCE, SHARE = 100.0, 50.0, 30.0
"""What the strongest score, a full confidence and indicators that all agree add to a rank."""

STRONGEST = 220.0
"""The score that earns all of `SCORE`."""

TURNOVER = ((100e6, 20.0), (50e6, 15.0), (10e6, 10.0), (5e6, 5.0))
"""What a 24 h turnover above so much adds; the first that fits."""

SPREAD = ((0.0008, 20.0), (0.0005, 10.0))
"""What a spread above so much takes off; the first that fits."""

CLASS = {Class.EXTREME_BUY: 15.0, Class.EXTREME_SELL: 15.0, Class.STRONG_BUY: 10.0, Class.STRONG_SELL: 10.0}


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """Markets that are looked at: the `most` traded ones, with this turnover of 24 h at least and this spread at most."""

    most: int = 100
    min_turnover: float = 5e6
    max_spread: float = 0.001
    quote: str = "USDT"

    def admits(self, turnover: float | None, spread: float | None) -> bool:
        """Whether a market of this turnover and spread is looked at. What is not known (None, NaN) keeps nobody out."""
        return not (turnover is not None and turnover < self.min_turnover) and not (spread is not None and spread > self.max_spread)


def universe(listings: Iterable[Listing], bounds: Bounds) -> tuple[Listing, ...]:
    """The listings within `bounds`, the most traded first, those of unknown turnover last as they came.

    What is not known (NaN) leaves nobody out.
    """
    fit = [
        listing
        for listing in listings
        if listing.active
        and listing.symbol.endswith(f"/{bounds.quote}:{bounds.quote}")
        and bounds.admits(listing.turnover, listing.spread)
    ]
    once = {listing.symbol: listing for listing in fit}.values()
    return tuple(sorted(once, key=lambda listing: -_known(listing.turnover, -1.0))[: bounds.most])


def rank(score: float, confidence: float, share: float, turnover: float, spread: float, klass: Class) -> float:
    """what an opportunity is worth: 215 at the most. An unknown turnover adds nothing, an unknown spread takes nothing off.

    `share` is of the indicators that vote the part that agrees, `turnover` of 24 h in quote currency, `spread` (ask - bid) / mid.

    >>> rank(-110.0, 0.9, 1.0, 60e6, 0.0006, Class.STRONG_SELL)
    140.0
    """
    worth = SCORE * abs(score) / STRONGEST + CONFIDENCE * confidence + SHARE * share
    worth += next((bonus for above, bonus in TURNOVER if turnover > above), 0.0)
    worth -= next((penalty for above, penalty in SPREAD if spread > above), 0.0)
    return round(worth + CLASS.get(klass, 0.0), 6)


class Opportunity(msgspec.Struct, frozen=True, kw_only=True):
    """One market as trading would score it. What is not known is None.

    `ts` is when its newest primary bar closed, `price` its newest close. `aligned` are the timeframes on the score's side,
    beyond the dead zone, of all that are `scored`. `passed` of `asked` gates let an entry through, `refused` names the others
    ("size": there is nothing to size). `turnover` is of 24 h in quote currency, `spread` (ask - bid) / mid, `funding` the
    current rate of `funding_hours`. Until `cooldown_until` (ms) the symbol is on cool-down; `held` when the account has it.
    """

    symbol: str
    rank: float
    side: str
    score: float
    klass: Class = msgspec.field(name="class")
    confidence: float
    agreeing: int
    voting: int
    aligned: tuple[str, ...]
    scored: tuple[str, ...]
    passed: int
    asked: int
    refused: tuple[str, ...]
    spread: float | None
    turnover: float | None
    funding: float | None
    funding_hours: float
    cooldown_until: int | None
    held: bool
    price: float | None
    ts: int
    faults: tuple[str, ...] = ()


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """The markets at `ts` (ms, the market's time), the best first.

    `opportunities` may be entered, `cooling` are on cool-down. `universe` markets are looked at; of those `unscored` have no
    score (yet). `took` is how long it took, s.
    """

    ts: int
    universe: int
    unscored: int
    opportunities: tuple[Opportunity, ...]
    cooling: tuple[Opportunity, ...] = ()
    took: float = 0.0

    def top(self, count: int) -> Scan:
        """The best `count`, and of those on cool-down the ones that would be among them."""
        best = self.opportunities[:count]
        cooling = self.cooling
        if len(best) == count and best:
            cooling = tuple(one for one in cooling if one.rank >= best[-1].rank)
        return msgspec.structs.replace(self, opportunities=best, cooling=cooling[:count])


def ranked(found: Sequence[Opportunity], ts: int, looked_at: int, took: float = 0.0, bounds: Bounds | None = None) -> Scan:
    """What was found as a `Scan`: by rank, equal ones by symbol. Who has left the `bounds` since it was listed is out of it."""
    within = [one for one in found if bounds is None or bounds.admits(one.turnover, one.spread)]
    ordered = sorted(within, key=lambda one: (-one.rank, one.symbol))
    return Scan(
        ts=ts,
        universe=looked_at - (len(found) - len(within)),
        unscored=looked_at - len(found),
        opportunities=tuple(one for one in ordered if one.cooldown_until is None),
        cooling=tuple(one for one in ordered if one.cooldown_until is not None),
        took=took,
    )


def _known(value: float, otherwise: float) -> float:
    return otherwise if math.isnan(value) else value
