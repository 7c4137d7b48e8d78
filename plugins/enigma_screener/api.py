"""``/api/v1/screener/scan``: the newest scan of the screener beside a run."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import QueryParameter, SkipValidation

from enigma_core.parts import Desk
from enigma_screener.ranking import Opportunity
from enigma_screener.service import screener_of

Count = Annotated[int | None, QueryParameter(ge=1, le=500, description="how many of the best; as set for the service without it")]


class ScanShown(msgspec.Struct, frozen=True, kw_only=True):
    """The markets at `ts` (ms, the market's time; null before the first scan), the best first; those on cool-down apart.

    `universe` markets are looked at; `unscored` of them have no score yet, `waiting` not even their history; `left_out` says of
    which nothing can be had, and why. `trouble`: what keeps new scans from being made, empty when nothing does. `age` is how
    much later (ms) it is now.
    """

    ts: int | None
    age: int | None
    universe: int
    unscored: int
    waiting: int
    took: float
    trouble: str
    opportunities: list[Opportunity]
    cooling: list[Opportunity]
    left_out: dict[str, str]


@get("/screener/scan", opt={"scope": "read"}, tags=["market"])
async def scan(desk: NamedDependency[SkipValidation[Desk]], top: Count = None) -> ScanShown:
    """The best opportunities of the market: rank, score, class, aligned timeframes, gates, spread, turnover, funding, cool-down."""
    screener: Any = screener_of(desk.plan)
    if screener is None:
        raise NotFoundException("this run has no screener: start it with --service screener, or switch services.screener on")
    board = screener.board
    if board.scan is None:
        return ScanShown(
            ts=None,
            age=None,
            universe=0,
            unscored=0,
            waiting=board.waiting,
            took=0.0,
            trouble=board.trouble,
            opportunities=[],
            cooling=[],
            left_out=board.left_out,
        )
    found = board.scan.top(top or screener.top)
    return ScanShown(
        ts=found.ts,
        age=max(0, desk.now() - found.ts),
        universe=found.universe,
        unscored=found.unscored,
        waiting=board.waiting,
        took=found.took,
        trouble=board.trouble,
        opportunities=list(found.opportunities),
        cooling=list(found.cooling),
        left_out=board.left_out,
    )
