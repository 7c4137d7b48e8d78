"""The contract of indicators that read the live market."""

from __future__ import annotations

import copy
import math
from collections import deque

from enigma_core.market import BookSeen, FundingSeen, Market, MarkSeen, TradeSeen, Vote
from enigma_core.model import Side
from enigma_core.parts import LiveIndicator
from enigma_core.testing.finding import FAILED, Inspection, clip
from enigma_core.testing.generators import DAWN

SYMBOL = "BTC/USDT:USDT"
SECOND = 1_000


def _market(book: BookSeen | None = None, trades: list[TradeSeen] | None = None, **seen: object) -> Market:
    return Market(SYMBOL, book=book, trades=deque(trades or [], maxlen=5000), **seen)  # type: ignore[arg-type]


def _book(bid: float, ask: float, bid_size: float, ask_size: float, levels: int = 20) -> BookSeen:
    bids = tuple((bid - i * 0.1, bid_size) for i in range(levels))
    return BookSeen(DAWN, SYMBOL, bids, tuple((ask + i * 0.1, ask_size) for i in range(levels)))


def _trades(price: float, size: float, side: Side, count: int = 200) -> list[TradeSeen]:
    return [TradeSeen(DAWN - i * 100, SYMBOL, side, price, size) for i in reversed(range(count))]


def moments() -> dict[str, Market]:
    """Markets as a live run may show them, the unpleasant ones included."""
    nan, inf = math.nan, math.inf
    found = {
        "an empty market": _market(),
        "a book of bids only": _market(BookSeen(DAWN, SYMBOL, ((50_000.0, 1.0),), ())),
        "a book of asks only": _market(BookSeen(DAWN, SYMBOL, (), ((50_000.0, 1.0),))),
        "an empty book": _market(BookSeen(DAWN, SYMBOL, (), ())),
        "a book of zero sizes": _market(_book(50_000, 50_001, 0.0, 0.0)),
        "a book of NaN": _market(_book(nan, nan, nan, nan)),
        "a book of infinite size": _market(_book(50_000, 50_001, inf, 1.0)),
        "a heavy bid": _market(_book(50_000, 50_001, 900.0, 1.0)),
        "a heavy ask": _market(_book(50_000, 50_001, 1.0, 900.0)),
        "one trade": _market(trades=_trades(50_000, 1.0, 1, 1)),
        "trades of size zero": _market(trades=_trades(50_000, 0.0, 1)),
        "trades of NaN": _market(trades=_trades(nan, nan, -1)),
        "buying only": _market(trades=_trades(50_000, 1.0, 1)),
        "selling only": _market(trades=_trades(50_000, 1.0, -1)),
        "index zero": _market(mark=MarkSeen(DAWN, SYMBOL, 50_000.0, 0.0)),
        "index NaN": _market(mark=MarkSeen(DAWN, SYMBOL, 50_000.0, nan)),
    }
    for rate in (nan, inf, -inf, 0.0, 0.03, -0.03, 0.0001):
        for hours in (8.0, 1.0, 0.0, nan):
            found[f"funding {rate} for {hours} hours"] = _market(funding=FundingSeen(DAWN, SYMBOL, rate, DAWN, hours))
    for mark in (50_000.0, 40_000.0, 60_000.0, 0.0, inf):
        found[f"mark {mark}"] = _market(mark=MarkSeen(DAWN, SYMBOL, mark, 50_000.0))
    sides: tuple[Side, ...] = (1, -1)
    for side in sides:
        for ts, ttl in ((DAWN, 3_600_000), (DAWN - 3_600_000, 3_600_000), (DAWN + SECOND, 3_600_000), (DAWN, 0), (DAWN - 1, 0)):
            found[f"an alert of side {side} {(DAWN - ts) // SECOND} s old, ttl {ttl}"] = _market(vote=Vote(ts, side, ttl))
    return found


def inspect(inspection: Inspection, part: LiveIndicator) -> None:
    """Bounds, abstaining without data, rubbish survived, determinism, the market untouched."""
    for name, market in moments().items():
        where = f"points_now(market, now) with {name}"
        before = copy.deepcopy(market)
        points = inspection.call(where, part.points_now, market, DAWN)
        if points is FAILED:
            continue
        if repr(market) != repr(before):
            inspection.found("mutates", f"{where} changed the market; it is shared: only read it")
        if not isinstance(points, float):  # numpy's float64 is one
            inspection.found("type", f"{where} returned {type(points).__name__} {clip(points)}; it must be a float, NaN to abstain")
            continue
        if math.isnan(points):
            continue
        if name == "an empty market":
            inspection.found("abstain", f"{where} returned {points}; without its data the part must return NaN")
        if not abs(points) <= part.max_points * (1 + 1e-9):
            inspection.found("bounds", f"{where} returned {points}; points must lie within +-max_points ({part.max_points})")
        again = inspection.call(where, part.points_now, before, DAWN)
        if again is not FAILED and again != points:
            inspection.found("determinism", f"{where} returned {points} and then {again}; the time is `now`, and nothing is random")
