"""What the market says now, and what would become of an alert."""

from __future__ import annotations

import asyncio
import math
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from litestar import Router, get, post
from litestar.exceptions import HTTPException
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK
from msgspec import Meta

from enigma_core.alert import Action, Mode, Outcome, Request, Stance, Unit
from enigma_core.gating import ask_market, limits
from enigma_core.model import Class, Verdict
from enigma_core.parts import Desk
from enigma_core.scoring import Evaluation, klass
from enigma_webhooks import alerts
from enigma_webhooks.alerts.symbols import UnknownSymbol, match, rescaled
from enigma_webhooks.api.history import DecisionShown, decision_shown
from enigma_webhooks.api.naming import known
from enigma_webhooks.api.shapes import REFUSALS, Ask, AtDesk, Moment, OfSymbol, Shape

Amount = Annotated[str, Meta(pattern=r"^[0-9]{1,20}(\.[0-9]{1,18})?$", max_length=40)]
Word = Annotated[str, Meta(max_length=200)]
Written = Annotated[str, Meta(min_length=1, max_length=40)]

LONGEST = 16_384
"""Characters of an alert's message."""


class SignalShown(Shape, frozen=True, kw_only=True):
    """The newest closed bar of a symbol's primary timeframe, scored as of now. `agreeing` of `voting` indicators agree.

    `aligned` are the timeframes that score on its side beyond the dead zone. `passed` of `asked` market gates let it through.
    """

    symbol: str
    timeframe: str
    ts: Moment
    close: float | None
    score: float | None
    klass: Class = msgspec.field(name="class")
    side: Literal["long", "short", "none"]
    confidence: float | None
    agreeing: int
    voting: int
    points: dict[str, float | None]
    scores: dict[str, float | None]
    aligned: list[str]
    passed: int
    asked: int
    verdicts: list[Verdict]
    faults: list[str]


class SignalTest(Ask, frozen=True, kw_only=True):
    """An alert to be thought through: its `message` as it would be sent, or its fields. Amounts are text."""

    message: Annotated[str, Meta(max_length=LONGEST)] | None = None
    mode: Mode = "signal"
    symbol: Written | None = None
    action: Action | None = None
    position: Stance | None = None
    previous: Stance | None = None
    closes: Literal["long", "short"] | None = None
    quantity: Amount | None = None
    unit: Unit = "base"
    price: Amount | None = None
    leverage: Amount | None = None
    stop: Amount | None = None
    take_profit: Amount | None = None
    order: Word = ""
    strategy: Word = ""


class Tested(Shape, frozen=True, kw_only=True):
    """What would become of one alert at this moment: gate by gate in `decision`, where it would come to one."""

    symbol: str
    outcome: Outcome
    reason: str
    warnings: list[str]
    decision: DecisionShown | None


class Tests(Shape, frozen=True, kw_only=True):
    """One for each order that the message asks for. Nothing was changed."""

    tests: list[Tested]


@get("/signals", responses=REFUSALS, opt={"scope": "read"})
async def signals(desk: AtDesk, symbol: OfSymbol = None) -> list[SignalShown]:
    """How each symbol scores now: class, confidence, who agrees, and what every market gate measures."""
    names = list(desk.instruments) if symbol is None else [known(desk, symbol)]
    found = []
    for name in names:
        evaluation = desk.evaluation(name)
        if evaluation is not None:
            found.append(_shown(desk, evaluation))
        await asyncio.sleep(0)  # trading goes first, however many symbols there are
    return found


@post("/signal-test", responses=REFUSALS, opt={"scope": "read"}, status_code=HTTP_200_OK)
async def signal_test(desk: AtDesk, data: JSONBody[SignalTest]) -> Tests:
    """What would become of an alert, gate by gate, if it came now. Changes nothing."""
    if data.message is not None:
        if any(getattr(data, name) != default for name, default in _DEFAULTS.items()):
            raise HTTPException(status_code=422, detail="give the message or its fields, not both")
        return Tests(tests=[_read(desk, reading, data.mode) for reading in alerts.read(data.message)])
    if data.symbol is None:
        raise HTTPException(status_code=422, detail="name a symbol, or give a message")
    given = {name: getattr(data, name) for name in _DEFAULTS}
    for name in ("quantity", "price", "leverage", "stop", "take_profit"):
        if given[name] is not None:
            given[name] = Decimal(given[name])
            if not given[name]:
                raise HTTPException(status_code=422, detail=f"{name} is 0: leave it out, or give an amount above 0")
    return Tests(tests=[_rehearsed(desk, Request(**given), data.mode, ())])


_DEFAULTS: dict[str, Any] = {
    field.name: field.default for field in msgspec.structs.fields(SignalTest) if field.name not in ("message", "mode")
}


def _read(desk: Desk, reading: alerts.Reading, mode: Mode) -> Tested:
    if not reading.ok or reading.request is None:
        reason = reading.error or "the message asks for nothing"
        return Tested(symbol=reading.symbol, outcome="nothing", reason=reason, warnings=list(reading.warnings), decision=None)
    return _rehearsed(desk, reading.request, mode, reading.warnings)


def _rehearsed(desk: Desk, request: Request, mode: Mode, warnings: tuple[str, ...]) -> Tested:
    try:
        request = rescaled(request, *match(request.symbol, desk.instruments))
    except UnknownSymbol as error:
        raise HTTPException(status_code=422, detail=str(error)) from None
    worked, decision = desk.rehearse(request, mode)
    return Tested(
        symbol=request.symbol,
        outcome=worked.outcome,
        reason=worked.reason,
        warnings=list(warnings),
        decision=decision_shown(decision) if decision is not None else None,
    )


def _shown(desk: Desk, evaluation: Evaluation) -> SignalShown:
    plan, row = desk.plan, len(evaluation) - 1
    told = limits(plan.market_gates)
    verdicts = [m.verdict(row, told[m.gate]) for m in ask_market(plan.market_gates, evaluation)]
    side = int(evaluation.side[row])
    scores = {t: _number(line[row]) for t, line in evaluation.scores.items()}
    return SignalShown(
        symbol=evaluation.symbol,
        timeframe=evaluation.timeframe,
        ts=int(evaluation.ts[row]),
        close=_number(evaluation.close[row]),
        score=_number(evaluation.score[row]),
        klass=klass(float(evaluation.score[row]), plan.thresholds),
        side="long" if side > 0 else "short" if side < 0 else "none",
        confidence=_number(evaluation.confidence[row]),
        agreeing=int(evaluation.agreeing[row]),
        voting=int(evaluation.voting[row]),
        points=dict(zip(evaluation.names, map(_number, evaluation.points[:, row]), strict=True)),
        scores=scores,
        aligned=[t for t, s in scores.items() if s is not None and s * side > evaluation.dead_zone],
        passed=sum(v.passed for v in verdicts),
        asked=len(verdicts),
        verdicts=verdicts,
        faults=list(evaluation.faults_at(row)) if evaluation.faults else [],
    )


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def market() -> Router:
    return Router("/", route_handlers=[signals, signal_test], tags=["market"])
