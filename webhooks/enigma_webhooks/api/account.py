"""The account as it is: equity, positions, orders, and what trading has come to."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from litestar import Router, get, post
from litestar.exceptions import HTTPException
from litestar.params import JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK
from msgspec import Meta

from enigma_core import report
from enigma_core.book import Position, Working
from enigma_core.model import ZERO, CloseWanted, Purpose
from enigma_core.parts import AccountGate, Desk
from enigma_webhooks.api.ledger import AtReads, Ledger
from enigma_webhooks.api.naming import known, recorded
from enigma_webhooks.api.shapes import (
    REFUSALS,
    Ask,
    Asker,
    AtDesk,
    Before,
    Contracts,
    Limit,
    Moment,
    Money,
    Named,
    OfSymbol,
    Page,
    Price,
    Shape,
    by,
    maybe,
    shaped,
    text,
)

Which = Annotated[Literal["working", "all"], QueryParameter(name="state", description="those that work now, or all")]
Points = Annotated[int, QueryParameter(ge=2, le=2000, description="how many points of the equity curve at most")]
Reason = Annotated[str, Meta(max_length=200, description="kept in the journal")]


class OrderShown(Shape, frozen=True, kw_only=True):
    """An order and how it stands. Without a `price`: a market order. `left` may still fill: of an exit, at most what is held."""

    id: str
    decision_id: str
    ts: Moment
    symbol: str
    side: Literal["buy", "sell"]
    purpose: str
    quantity: Contracts
    filled: Contracts
    left: Contracts
    price: Price | None
    leverage: int
    state: str
    reason: str


class PositionShown(Shape, frozen=True, kw_only=True):
    """What is held in one symbol, valued at `mark`."""

    symbol: str
    side: Literal["long", "short"]
    quantity: Contracts
    leverage: int
    entry_ts: Moment
    entry_price: Price
    mark: Price
    stop: Price | None
    margin: Money
    unrealised: Money
    fees: Money
    funding: Money
    decision_id: str


class Drawdown(Shape, frozen=True, kw_only=True):
    """The risk day's loss as a share of its opening equity, negative for a gain. At `limit` entries end for the day."""

    day: float | None
    limit: str | None
    tripped: bool


class Breaker(Shape, frozen=True, kw_only=True):
    """Losing trades in a row, and how many of them end entries for the day."""

    losses_in_row: int
    limit: str | None
    tripped: bool


class Slots(Shape, frozen=True, kw_only=True):
    """Positions and pending entries, and how many may be."""

    used: int
    limit: str | None
    free: bool


class Portfolio(Shape, frozen=True, kw_only=True):
    """``cash + unrealised = equity``. `day` is what the risk day has brought so far; it ends at `day_end`. `external` are symbols
    in which somebody else holds a position on the account."""

    mode: str
    ts: Moment
    equity: Money
    cash: Money
    margin: Money
    unrealised: Money
    day: Money
    day_equity: Money
    day_end: Moment
    drawdown: Drawdown
    slots: Slots
    breaker: Breaker
    trading_state: str
    state_reason: str
    open_positions: int
    working_orders: int
    external: list[str]
    trades: int
    alerts_waiting: int


class Metrics(Shape, frozen=True, kw_only=True):
    """The figures of the account since it began. Fractions, not percent; null where there is nothing to say."""

    trades: int
    win_rate: float | None
    profit_factor: float | None
    sharpe: float | None
    sortino: float | None
    calmar: float | None
    max_drawdown: float | None
    expectancy: Money | None
    exposure: float | None
    fees: Money
    funding: Money
    total_return: float | None


class Row(Shape, frozen=True, kw_only=True):
    """The trades that share `key`."""

    key: str
    trades: int
    wins: int
    win_rate: float
    profit_factor: float | None
    fees: Money
    funding: Money
    net: Money
    mean_hours: float


class Point(Shape, frozen=True, kw_only=True):
    """The account's worth at a moment."""

    ts: Moment
    equity: Money


class Performance(Shape, frozen=True, kw_only=True):
    """What trading has come to. The curve has an entry for each bar with a position, thinned out evenly to `points`."""

    start_ts: Moment
    end_ts: Moment
    start_equity: Money
    end_equity: Money
    metrics: Metrics
    by_symbol: list[Row]
    by_exit_reason: list[Row]
    equity: list[Point]


class Close(Ask, frozen=True, kw_only=True):
    """Why a position is closed by hand."""

    reason: Reason = ""


class Closing(Shape, frozen=True, kw_only=True):
    """What asking for the end of a position led to: orders placed and cancelled. `closed` False: nothing was held."""

    symbol: str
    closing: bool
    orders: list[str]
    cancelled: list[str]


@get("/portfolio", responses=REFUSALS, opt={"scope": "read"})
async def portfolio(desk: AtDesk) -> Portfolio:
    """Equity, cash, margin, the risk day, and how near its limits the account is."""
    return portfolio_of(desk)


@get("/positions", responses=REFUSALS, opt={"scope": "read"})
async def positions(desk: AtDesk) -> list[PositionShown]:
    """What is held."""
    return positions_of(desk)


@get("/orders", responses=REFUSALS, opt={"scope": "read"})
async def orders(
    desk: AtDesk,
    reads: AtReads,
    which: Which = "working",
    limit: Limit = 50,
    before: Before = None,
    symbol: OfSymbol = None,
) -> Page[OrderShown]:
    """Orders that work now; with ``state=all`` every order of the account, newest first. `limit` is for those."""
    wanted = recorded(desk, symbol)
    if which == "working":
        return Page(items=[o for o in orders_of(desk) if wanted in (None, o.symbol)], next=None)
    found = await reads(lambda ledger: ledger.orders_page(limit, before, wanted))
    works = desk.account.orders
    items = [
        shaped(OrderShown, order | {"side": side(order["side"]), "left": _left(desk, works.get(order["id"]))}) for _, order in found
    ]
    return Page(items=items, next=found[-1][0] if len(found) == limit else None)


@get("/performance", responses=REFUSALS, opt={"scope": "read"})
async def performance(desk: AtDesk, reads: AtReads, points: Points = 200) -> Performance:
    """The figures of the account since it began, by symbol and by way out, and its equity over time."""
    now, end = desk.now(), desk.account.equity
    return await reads(lambda ledger: _performance(ledger, now, end, points))


@post("/positions/{symbol:str}/close", responses=REFUSALS, opt={"scope": "trade"}, status_code=HTTP_200_OK)
async def close(desk: AtDesk, request: Asker, symbol: Named, data: JSONBody[Close | None] = None) -> Closing:
    """Close the position of a symbol and cancel what still works of its entry. To ask again is harmless.

    The symbol in any spelling: `BTCUSDT`, or `BTC/USDT:USDT` with its slash as %2F.
    """
    return await _close(desk, request, symbol, data)


@post(
    "/positions/{base:str}/{rest:str}/close",
    responses=REFUSALS,
    opt={"scope": "trade"},
    status_code=HTTP_200_OK,
    include_in_schema=False,
)
async def close_unified(desk: AtDesk, request: Asker, base: Named, rest: Named, data: JSONBody[Close | None] = None) -> Closing:
    """The same where the slash of a symbol has reached us as a slash: %2F is decoded before paths are told apart."""
    return await _close(desk, request, f"{base}/{rest}", data)


async def _close(desk: Desk, request: Asker, text: str, data: Close | None) -> Closing:
    symbol = known(desk, text)
    if not desk.account.holds(symbol):
        return Closing(symbol=symbol, closing=False, orders=[], cancelled=[])
    reason = by(request, data.reason if data is not None else "")
    records = await desk.tell(CloseWanted(ts=desk.now(), symbol=symbol, reason=reason))
    return Closing(symbol=symbol, closing=True, **placed(records))


def placed(records: Any) -> dict[str, list[str]]:
    """The orders that records place and cancel, by id."""
    names = [(type(r).__name__, r) for r in records]
    return {"orders": [r.id for n, r in names if n == "Order"], "cancelled": [r.order_id for n, r in names if n == "Cancel"]}


def portfolio_of(desk: Desk) -> Portfolio:
    """The account as it is answered."""
    book = desk.account
    return Portfolio(
        mode=desk.plan.account_mode,
        ts=desk.now(),
        equity=text(book.equity),
        cash=text(book.cash),
        margin=text(book.margin),
        unrealised=text(book.unrealised),
        day=text(book.equity - book.day_equity),
        day_equity=text(book.day_equity),
        day_end=book.day_end,
        drawdown=drawdown(desk),
        slots=slots(desk),
        breaker=breaker(desk),
        trading_state=book.trading_state,
        state_reason=book.state_reason,
        open_positions=len(book.positions),
        working_orders=len(book.orders),
        external=sorted(book.external),
        trades=book.trades,
        alerts_waiting=desk.waiting,
    )


def positions_of(desk: Desk) -> list[PositionShown]:
    """What is held, as it is answered."""
    return [_position(desk, p) for p in desk.account.positions.values()]


def orders_of(desk: Desk) -> list[OrderShown]:
    """What works now, as it is answered."""
    return [_order(desk, working) for working in desk.account.orders.values()]


def drawdown(desk: Desk) -> Drawdown:
    """How much of the day's equity is lost."""
    book = desk.account
    day = float((book.day_equity - book.equity) / book.day_equity) if book.day_equity > 0 else None
    limit, within = _judged(desk, "drawdown", day)
    return Drawdown(day=day, limit=limit, tripped=not within)


def breaker(desk: Desk) -> Breaker:
    """How the losing streak stands."""
    losses = desk.account.losses_in_row
    limit, within = _judged(desk, "circuit_breaker", float(losses))
    return Breaker(losses_in_row=losses, limit=limit, tripped=not within)


def slots(desk: Desk) -> Slots:
    """How many positions may still be opened."""
    used = desk.account.slots
    limit, within = _judged(desk, "max_positions", float(used))
    return Slots(used=used, limit=limit, free=within)


def side(number: int) -> Literal["buy", "sell"]:
    return "buy" if number > 0 else "sell"


def _judged(desk: Desk, name: str, value: float | None) -> tuple[str | None, bool]:
    """The limit of the account gate `name` and whether `value` is within it; None and True where the plan has no such gate."""
    gate: AccountGate | None = desk.plan.account_gates.get(name)
    if gate is None:
        return None, True
    return gate.limit, value is not None and bool(gate.passes(value))


def _position(desk: Desk, p: Position) -> PositionShown:
    notional = desk.account.instruments[p.symbol].notional(p.quantity, p.mark)
    return PositionShown(
        symbol=p.symbol,
        side="long" if p.side > 0 else "short",
        quantity=text(p.quantity),
        leverage=p.leverage,
        entry_ts=p.entry_ts,
        entry_price=text(p.price),
        mark=text(p.mark),
        stop=maybe(p.stop),
        margin=text(p.margin),
        unrealised=text(p.side * (notional - p.cost)),
        fees=text(p.fees),
        funding=text(p.funding),
        decision_id=p.decision_id,
    )


def _left(desk: Desk, working: Working | None) -> Decimal:
    """What may still fill, in contracts; 0 of an order that works no more."""
    if working is None:
        return ZERO
    order, left = working.order, working.order.quantity - working.filled
    if order.purpose is Purpose.ENTRY:
        return left
    held = desk.account.positions.get(order.symbol)
    return min(left, held.quantity) if held is not None else ZERO


def _order(desk: Desk, working: Working) -> OrderShown:
    o = working.order
    return OrderShown(
        id=o.id,
        decision_id=o.decision_id,
        ts=o.ts,
        symbol=o.symbol,
        side=side(o.side),
        purpose=str(o.purpose),
        quantity=text(o.quantity),
        filled=text(working.filled),
        left=text(_left(desk, working)),
        price=maybe(o.price),
        leverage=o.leverage,
        state="working",
        reason=o.reason,
    )


def _performance(ledger: Ledger, now: int, end: Decimal, points: int) -> Performance:
    began = ledger.began()
    if began is None:
        raise HTTPException(status_code=404, detail="the account has not begun yet: there is nothing to report")
    trades = ledger.trades()
    curve = ledger.equity()
    first = ledger.first()
    first = now if first is None else first
    span = first, max((first, now, *(ts for ts, _ in curve[-1:])))
    sampled = np.array([ts for ts, _ in curve], np.int64), np.array([float(equity) for _, equity in curve])
    figures = report.metrics(trades, began.cash, end, sampled, span, {})
    found = {name: getattr(figures, name) for name in Metrics.__struct_fields__}
    return Performance(
        start_ts=span[0],
        end_ts=span[1],
        start_equity=text(began.cash),
        end_equity=text(end),
        metrics=shaped(Metrics, found),
        by_symbol=_rows(report.by_symbol(trades)),
        by_exit_reason=_rows(report.by_exit_reason(trades)),
        equity=[Point(ts=ts, equity=text(equity)) for ts, equity in thinned(curve, points)],
    )


def _rows(rows: list[report.Row]) -> list[Row]:
    return [shaped(Row, msgspec.structs.asdict(row)) for row in rows]


def thinned(curve: list[tuple[int, Decimal]], points: int) -> list[tuple[int, Decimal]]:
    """At most `points` of `curve`, evenly spaced, the first and the last among them."""
    if len(curve) <= points:
        return curve
    return [curve[i] for i in dict.fromkeys(np.linspace(0, len(curve) - 1, points).astype(int).tolist())]


def account() -> Router:
    return Router("/", route_handlers=[portfolio, positions, orders, performance, close, close_unified], tags=["account"])
