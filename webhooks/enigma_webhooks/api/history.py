"""What the journal has: decisions, alerts, trades."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from litestar import Router, get
from litestar.exceptions import NotFoundException
from litestar.params import QueryParameter

from enigma_core import report
from enigma_core.alert import Action, Mode, Stance, Standing
from enigma_core.model import Class, Decision, Fill, Trade, Verdict
from enigma_webhooks.api.ledger import AtReads, Ledger
from enigma_webhooks.api.naming import recorded
from enigma_webhooks.api.shapes import (
    REFUSALS,
    AtDesk,
    Before,
    Contracts,
    Id,
    Limit,
    Moment,
    Money,
    OfSymbol,
    Page,
    Price,
    Shape,
    shaped,
    text,
)

OfState = Annotated[Standing | None, QueryParameter(description="only those that stand so")]


class SizeShown(Shape, frozen=True, kw_only=True):
    """How much, and which cap bound it."""

    quantity: Contracts
    leverage: int
    margin: Money
    bound: str


class DecisionShown(Shape, frozen=True, kw_only=True):
    """Why something was done or not done: points, timeframes, gates, size, order."""

    id: str
    ts: Moment
    symbol: str
    timeframe: str
    source: str
    score: float | None
    klass: Class = msgspec.field(name="class")
    confidence: float | None
    agreeing: int
    voting: int
    points: dict[str, float | None]
    scores: dict[str, float | None]
    verdicts: list[Verdict]
    sizing: SizeShown | None
    order_id: str | None
    reason: str
    unfilled: str | None
    """How its order ended where nothing of it filled, such as ``rejected: too small``; null where it works or filled."""
    faults: list[str]


class OrderOf(Shape, frozen=True, kw_only=True):
    """An order that a decision led to."""

    id: str
    ts: Moment
    purpose: str
    side: Literal["buy", "sell"]
    quantity: Contracts
    filled: Contracts
    price: Price | None
    state: str
    reason: str


class FillShown(Shape, frozen=True, kw_only=True):
    """Something traded; the fee is positive when paid."""

    id: str
    order_id: str
    ts: Moment
    side: Literal["buy", "sell"]
    quantity: Contracts
    price: Price
    fee: Money
    reason: str


class TradeShown(Shape, frozen=True, kw_only=True):
    """A position from its first fill to its last; ``net = gross - fees + funding``."""

    symbol: str
    side: Literal["long", "short"]
    entry_ts: Moment
    entry_price: Price
    exit_ts: Moment
    exit_price: Price
    quantity: Contracts
    leverage: int
    gross: Money
    fees: Money
    funding: Money
    net: Money
    exit_reason: str
    decision_id: str


class Story(Shape, frozen=True, kw_only=True):
    """A decision and what followed from it."""

    decision: DecisionShown
    orders: list[OrderOf]
    fills: list[FillShown]
    trade: TradeShown | None


class AlertShown(Shape, frozen=True, kw_only=True):
    """A message from outside and how it stands. One that was refused unread has no mode."""

    id: str
    ts: Moment
    received: Moment
    source: str
    symbol: str
    state: Standing
    reason: str
    decision_id: str | None
    mode: Mode | None
    action: Action | None
    position: Stance | None


class AlertWhole(AlertShown, frozen=True, kw_only=True):
    """The same with everything that stood in it. `body` is as it came, without its secret; `length` is the body's.

    `body`, `warnings` and `request` are whatever strangers wrote: show them as text, never as markup.
    """

    body: str | None
    length: int
    warnings: list[str]
    request: dict[str, Any] | None


@get("/decisions", responses=REFUSALS, opt={"scope": "read"})
async def decisions(
    desk: AtDesk, reads: AtReads, limit: Limit = 50, before: Before = None, symbol: OfSymbol = None
) -> Page[DecisionShown]:
    """Decisions, newest first, those that came to nothing included."""
    wanted = recorded(desk, symbol)

    def read(ledger: Ledger) -> list[tuple[int, DecisionShown]]:
        page = ledger.decisions_page(limit, before, wanted)
        return [(cursor, decision_shown(d, ledger.unfilled(d.order_id) if d.order_id else "")) for cursor, d in page]

    found = await reads(read)
    return Page(items=[shown for _, shown in found], next=_next(found, limit))


@get("/decisions/{decision_id:str}", responses=REFUSALS, opt={"scope": "read"})
async def decision(reads: AtReads, decision_id: Id) -> Story:
    """One decision, or the one behind an order or a fill, with the orders, fills and the trade that followed."""

    def read(ledger: Ledger) -> Story | None:
        found = ledger.found(ledger.decision, decision_id)
        if found is None:
            return None
        trades = ledger.trades(found.id)
        return Story(
            decision=decision_shown(found, ledger.unfilled(found.order_id) if found.order_id else ""),
            orders=[shaped(OrderOf, order | {"side": _side(order["side"])}) for order in ledger.orders(found.id)],
            fills=[_fill(fill) for fill in ledger.fills(found.id)],
            trade=trade_shown(trades[0]) if trades else None,
        )

    story = await reads(read)
    if story is None:
        raise NotFoundException(f"there is no decision {decision_id!r}")
    return story


@get("/alerts", responses=REFUSALS, opt={"scope": "read"})
async def alerts(reads: AtReads, limit: Limit = 50, before: Before = None, outcome: OfState = None) -> Page[AlertShown]:
    """Alerts, newest first, and what became of each."""
    found = await reads(lambda ledger: ledger.alerts(limit, before, outcome))
    return Page(items=[shaped(AlertShown, alert) for alert in found], next=found[-1]["seq"] if len(found) == limit else None)


@get("/alerts/{alert_id:str}", responses=REFUSALS, opt={"scope": "read"})
async def alert(reads: AtReads, alert_id: Id) -> AlertWhole:
    """One alert: what was asked for and what became of it."""
    found = await reads(lambda ledger: ledger.found(ledger.alert, alert_id))
    if found is None:
        raise NotFoundException(f"there is no alert {alert_id!r}")
    return shaped(AlertWhole, found)


@get("/trades", responses=REFUSALS, opt={"scope": "read"})
async def trades(
    desk: AtDesk, reads: AtReads, limit: Limit = 50, before: Before = None, symbol: OfSymbol = None
) -> Page[TradeShown]:
    """Closed trades, newest first."""
    wanted = recorded(desk, symbol)
    found = await reads(lambda ledger: ledger.trades_page(limit, before, wanted))
    return Page(items=[trade_shown(t) for _, t in found], next=_next(found, limit))


def decision_shown(d: Decision, unfilled: str = "") -> DecisionShown:
    """A decision as it is answered; `unfilled` tells how its order ended where nothing of it filled."""
    size = d.sizing
    return DecisionShown(
        **{name: report.ready(getattr(d, name)) for name in ("id", "ts", "symbol", "timeframe", "source", "score", "confidence")},
        klass=d.klass,
        agreeing=d.agreeing,
        voting=d.voting,
        points=report.ready(d.points),
        scores=report.ready(d.scores),
        verdicts=list(d.verdicts),
        sizing=None
        if size is None
        else SizeShown(quantity=text(size.quantity), leverage=size.leverage, margin=text(size.margin), bound=size.bound),
        order_id=d.order_id,
        reason=d.reason,
        unfilled=unfilled or None,
        faults=list(d.faults),
    )


def trade_shown(trade: Trade) -> TradeShown:
    """A trade as it is answered."""
    return shaped(TradeShown, msgspec.structs.asdict(trade))


def _fill(fill: Fill) -> FillShown:
    return shaped(FillShown, msgspec.structs.asdict(fill) | {"side": _side(fill.side)})


def _side(side: int) -> str:
    return "buy" if side > 0 else "sell"


def _next(found: list[tuple[int, Any]], limit: int) -> int | None:
    return found[-1][0] if len(found) == limit else None


def history() -> Router:
    return Router("/", route_handlers=[decisions, decision, alerts, alert, trades], tags=["history"])
