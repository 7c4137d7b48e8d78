"""Risk: how it stands, and what an operator may do about it."""

from __future__ import annotations

from typing import Annotated, Literal

from litestar import Router, get, post
from litestar.exceptions import HTTPException, PermissionDeniedException
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK
from msgspec import Meta

from enigma_core.gating import limits
from enigma_core.model import StateSet, StreakReset
from enigma_core.parts import Desk
from enigma_webhooks.api.account import Breaker, Drawdown, Reason, Slots, breaker, drawdown, placed, slots
from enigma_webhooks.api.shapes import REFUSALS, Ask, Asker, AtDesk, Moment, Money, Shape, by, text

State = Literal["ACTIVE", "REDUCE_ONLY", "HALTED"]
LOOSE = {"HALTED": 0, "REDUCE_ONLY": 1, "ACTIVE": 2}
"""How much a trading state allows."""


class Governor(Shape, frozen=True, kw_only=True):
    """So many entries halt a run that has gone wild."""

    entries_per_minute_symbol: int
    entries_per_minute: int
    entries_per_day: int


class Block(Shape, frozen=True, kw_only=True):
    """Why the venue takes no entries now, in `symbol`, or in any where that is empty."""

    symbol: str
    reason: str


class Risk(Shape, frozen=True, kw_only=True):
    """How risk stands. `limits` has every gate of the account with its limit, as a person reads it."""

    ts: Moment
    state: str
    reason: str
    equity: Money
    day_equity: Money
    day_end: Moment
    margin: Money
    drawdown: Drawdown
    breaker: Breaker
    slots: Slots
    blocked: list[Block]
    limits: dict[str, str]
    governor: Governor


class Reset(Ask, frozen=True, kw_only=True):
    """What is to begin anew: the losing streak, or trading after a halt. `confirm` is the word "reset", typed."""

    what: Literal["breaker", "halt"]
    confirm: Literal["reset"]
    reason: Reason = ""


class Wanted(Ask, frozen=True, kw_only=True):
    """The trading state that is wanted. To loosen it needs the scope admin and its name again in `confirm`."""

    state: State
    confirm: Annotated[str, Meta(max_length=20)] = ""
    reason: Reason = ""


class Emergency(Ask, frozen=True, kw_only=True):
    """Why everything is closed."""

    reason: Reason = ""


class Halted(Shape, frozen=True, kw_only=True):
    """Trading is halted and what is held is being closed. `closing` are the symbols not flat yet."""

    state: str
    closing: list[str]
    orders: list[str]
    cancelled: list[str]


@get("/risk", responses=REFUSALS, opt={"scope": "read"})
async def risk(desk: AtDesk) -> Risk:
    """The trading state, the losing streak, the day's loss, and every limit."""
    return _risk(desk)


@post("/risk/reset", responses=REFUSALS, opt={"scope": "admin"}, status_code=HTTP_200_OK)
async def reset(desk: AtDesk, request: Asker, data: JSONBody[Reset]) -> Risk:
    """Close the circuit breaker again, or trade again after a halt."""
    reason = by(request, data.reason)
    ts = desk.now()
    await desk.tell(StreakReset(ts=ts, reason=reason) if data.what == "breaker" else StateSet(ts=ts, state="ACTIVE", reason=reason))
    return _risk(desk)


@post("/risk/state", responses=REFUSALS, opt={"scope": "trade"}, status_code=HTTP_200_OK)
async def state(desk: AtDesk, request: Asker, data: JSONBody[Wanted]) -> Risk:
    """Set the trading state. REDUCE_ONLY and HALTED let only exits through; what is held keeps its stops."""
    if LOOSE[data.state] > LOOSE[desk.account.trading_state]:
        if not request.auth.covers("admin"):
            raise PermissionDeniedException(f"{data.state} is looser than what is set: that needs the scope 'admin'")
        if data.confirm != data.state:
            raise HTTPException(status_code=422, detail=f"{data.state} lets more through: say so with confirm = {data.state!r}")
    await desk.tell(StateSet(ts=desk.now(), state=data.state, reason=by(request, data.reason)))
    return _risk(desk)


@post("/admin/emergency-close", responses=REFUSALS, opt={"scope": "trade"}, status_code=HTTP_200_OK)
async def emergency_close(desk: AtDesk, request: Asker, data: JSONBody[Emergency | None] = None) -> Halted:
    """The kill switch: halt, cancel every entry, close everything held. To press it again is harmless."""
    reason = by(request, (data.reason if data is not None else "") or "emergency close")
    records = await desk.tell(StateSet(ts=desk.now(), state="HALTED", reason=reason, flatten=True))
    book = desk.account
    return Halted(state=book.trading_state, closing=sorted({*book.positions, *book.entries}), **placed(records))


def _risk(desk: Desk) -> Risk:
    book, rule = desk.account, desk.plan.risk
    return Risk(
        ts=desk.now(),
        state=book.trading_state,
        reason=book.state_reason,
        equity=text(book.equity),
        day_equity=text(book.day_equity),
        day_end=book.day_end,
        margin=text(book.margin),
        drawdown=drawdown(desk),
        breaker=breaker(desk),
        slots=slots(desk),
        blocked=[Block(symbol=symbol, reason=reason) for (symbol, _), reason in book.blocks.items()],
        limits=limits(desk.plan.account_gates),
        governor=Governor(
            entries_per_minute_symbol=rule.entries_per_minute_symbol,
            entries_per_minute=rule.entries_per_minute,
            entries_per_day=rule.entries_per_day,
        ),
    )


def operating() -> Router:
    return Router("/", route_handlers=[risk, reset, state, emergency_close], tags=["risk"])
