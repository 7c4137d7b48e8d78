"""From one scored row to a decision: gates, leverage, size, order. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec
import numpy as np

from enigma_core.errors import ConfigError
from enigma_core.exiting import Aim, first_stops, tightest
from enigma_core.faults import raised
from enigma_core.gating import Asked, Measured, ask_account, limits
from enigma_core.matching import liquidation_price
from enigma_core.model import ASKED, Decision, Instrument, Order, Purpose, Side, Signal, Sizing, money
from enigma_core.parts import Account, Bools, Holding, Sizer
from enigma_core.plan import LeverageRule, Plan
from enigma_core.scoring import Evaluation, klass

STATE = "trading_state"
"""Who refuses while trading is not ACTIVE, whether or not the gate of that name is on."""

VENUE = "venue"
"""Who refuses while the venue takes no entries."""

LEAST_MARGIN = 0.999
"""Of notional / leverage: a sizer may round, not understate."""


class Terms(NamedTuple):
    """What the market alone says of an entry: side, estimated price, ATR, leverage and first stop; or why there is none."""

    side: Side
    price: float
    atr: float
    leverage: int
    stop: float
    reason: str


class Ask(NamedTuple):
    """What an alert asks of the entry it leads to: all of it wishes, which the limits bound. `quantity` is in base currency."""

    id: str
    source: str
    leverage: Decimal | None = None
    quantity: Decimal | None = None
    stop: Decimal | None = None
    target: Decimal | None = None


class Outcome(NamedTuple):
    """What came of one row: the order or the reason for none, and who refused ("size" when nothing could be sized)."""

    id: str
    order: Order | None
    refused: tuple[str, ...]
    reason: str
    sizing: Sizing | None
    asked: Sequence[Asked]
    faults: tuple[str, ...]


def leverage_for(ratio: float, rule: LeverageRule, instrument: Instrument) -> int:
    """Leverage for a volatility of `ratio` = ATR/close, capped by the rule and the instrument.

    An unknown volatility counts as the wildest.
    """
    steps = rule.steps if ratio == ratio else ()
    wanted = next((step.leverage for step in steps if ratio < step.atr), rule.otherwise)
    return min(wanted, rule.max, instrument.max_leverage)


def decision_id(symbol: str, timeframe: str, ts: int) -> str:
    """The same evaluation has the same id, whoever makes it: ``BTCUSDT-30m-1741257000``."""
    return f"{symbol.split(':')[0].replace('/', '')}-{timeframe}-{ts // 1000}"


def unprotected(rule: str, level: float, side: Side, price: float, liquidation: float) -> str:
    """Why a first stop at `level` (times the side) does not protect an entry at `price`; empty when it does."""
    if not rule:
        return "no exit gives a stop: a position without one is never opened"
    if not side * liquidation < level < side * price:
        return f"the stop at {level * side:g} is not between liquidation at {liquidation:g} and the price {price:g}"
    return ""


def flaw(sizing: Sizing, signal: Signal, instrument: Instrument) -> str:
    """Why a sizer's answer cannot be traded, as the end of a sentence; empty when it can."""
    quantity, leverage = sizing.quantity, sizing.leverage
    if not quantity:
        return ""
    if not (type(leverage) is int and 1 <= leverage <= signal.leverage):
        return f"asked for leverage {leverage}; whole numbers from 1 to {signal.leverage} are allowed here"
    if quantity < instrument.min_quantity or quantity % instrument.lot:
        return f"asked for {quantity} contracts; lots of {instrument.lot} from {instrument.min_quantity} on are traded"
    # the gates limit margin: a sizer that understates it must not get past them
    least = LEAST_MARGIN * float(quantity * instrument.multiplier) * signal.price / leverage
    if float(sizing.margin) < least:
        return f"put a margin of {sizing.margin} on {quantity} contracts, which need {least:.2f}"
    return ""


def asked_stop(wanted: Decimal, side: Side, price: float, instrument: Instrument, faults: list[str]) -> dict[str, float]:
    """The stop an alert asks for, times the side; none, and a fault, where it is not on the losing side of `price`."""
    level = instrument.stop(float(wanted), side)
    if level < side * price:
        return {ASKED: level}
    where = "below" if side > 0 else "above"
    faults.append(f"{ASKED}: a stop at {wanted} was asked for, which is not {where} the price {price:g}; our own stop is used")
    return {}


def asked_aim(entry: Order, side: Side, price: float, instrument: Instrument, faults: list[str]) -> list[Aim]:
    """The target an alert asked for, for the whole position; none, and a fault, where it is not on the winning side of `price`."""
    if entry.target is None:
        return []
    level = float(instrument.price(float(entry.target)))
    if side * (level - price) > 0:
        return [Aim(ASKED, level, 1.0, False)]
    where = "above" if side > 0 else "below"
    faults.append(
        f"{ASKED}: a target at {entry.target} was asked for, which is not {where} the entry {price:g}; our own targets are used"
    )
    return []


def less(sizing: Sizing, signal: Signal, instrument: Instrument) -> Sizing:
    """`sizing`, or the quantity that was asked for where that is less."""
    if signal.requested_quantity is None or not sizing.quantity:
        return sizing
    wanted = instrument.contracts(signal.requested_quantity)
    if wanted >= sizing.quantity:
        return sizing
    margin = sizing.margin * wanted / sizing.quantity
    return msgspec.structs.replace(sizing, quantity=wanted, margin=margin, bound=ASKED)


def at_most(sizing: Sizing, instrument: Instrument) -> Sizing:
    """`sizing`, or the most that the venue takes in one order where that is less."""
    most = instrument.max_quantity
    if most is None or sizing.quantity <= most:
        return sizing
    quantity = instrument.contracts(most * instrument.multiplier)
    margin = sizing.margin * quantity / sizing.quantity
    return msgspec.structs.replace(sizing, quantity=quantity, margin=margin, bound="max_quantity")


class Decider:
    """Decides on rows of evaluations for one plan."""

    def __init__(self, plan: Plan, instruments: Mapping[str, Instrument]) -> None:
        if plan.sizer is None:
            raise ConfigError("sizer is not set: name one, such as {'use': 'atr_risk'}")
        self._plan = plan
        self._sizer: Sizer = plan.sizer
        self._instruments = instruments
        self._market_limits = limits(plan.market_gates)
        self._account_limits = limits(plan.account_gates)
        self._fee = float(plan.costs.taker)

    def holding(self, side: Side, entry: float, leverage: int, atr: float) -> Holding:
        """A position as exits see it."""
        return Holding(side, entry, leverage, atr, self._fee, self._fee)

    def decide(
        self,
        evaluation: Evaluation,
        row: int,
        measured: Sequence[Measured],
        account: Account,
        ts: int,
        terms: Terms | None = None,
        ask: Ask | None = None,
    ) -> Outcome:
        """What to do about `row` of `evaluation`, whose market gates answered `measured`. `terms` may be known beforehand.

        With an `ask` the entry is what an alert asks for, as far as the limits allow.
        """
        identity = decision_id(evaluation.symbol, evaluation.timeframe, ts) if ask is None else ask.id
        if not evaluation.side[row]:
            return Outcome(identity, None, (), "no side: the score is 0", None, (), ())
        # terms are only worked out beforehand for rows that pass
        refused = tuple(m.gate for m in measured if not m.passed[row]) if terms is None else ()
        if refused:
            return Outcome(identity, None, refused, f"refused by {', '.join(refused)}", None, (), ())
        faults: list[str] = []
        if terms is None:
            terms = self.terms(evaluation, row, faults, ask=ask)
        if terms.reason:
            return Outcome(identity, None, ("size",), terms.reason, None, (), tuple(faults))
        score = float(evaluation.score[row])
        signal = Signal(
            ts=ts,
            symbol=evaluation.symbol,
            side=terms.side,
            price=terms.price,
            score=score,
            klass=klass(score, self._plan.thresholds),
            confidence=float(evaluation.confidence[row]),
            atr=terms.atr,
            leverage=terms.leverage,
            stop=terms.stop,
            maintenance_margin_rate=self._instruments[evaluation.symbol].maintenance_margin_rate,
        )
        if ask is not None:
            signal = msgspec.structs.replace(signal, source=ask.source, requested_quantity=ask.quantity)
        sizing, reason = self._size(signal, account)
        if reason or sizing is None:
            # a sizer that answers gives a sizing, if only of nothing
            return Outcome(
                identity, None, ("size",), reason, sizing, (), tuple(faults if sizing is not None else [*faults, reason])
            )
        if sizing.leverage != terms.leverage:
            # less leverage puts the stop elsewhere
            terms = self.terms(evaluation, row, faults, sizing.leverage, ask)
            if terms.reason:
                return Outcome(identity, None, ("size",), terms.reason, sizing, (), tuple(faults))
        signal = msgspec.structs.replace(signal, margin=sizing.margin, leverage=terms.leverage, stop=terms.stop)
        asked, passed = ask_account(self._plan.account_gates, signal, account)
        if not passed:
            refused = tuple(v.gate for v in asked if not v.passed)
            return Outcome(identity, None, refused, f"refused by {', '.join(refused)}", sizing, asked, tuple(faults))
        if account.trading_state != "ACTIVE":
            # a configuration without the gate of that name does not open what was halted
            return Outcome(identity, None, (STATE,), f"refused by {STATE}", sizing, asked, tuple(faults))
        if blocked := account.blocked(evaluation.symbol):
            return Outcome(identity, None, (VENUE,), f"refused by the {VENUE}: {blocked}", sizing, asked, tuple(faults))
        order = self._order(identity, signal, sizing)
        if ask is not None:
            order = msgspec.structs.replace(order, reason=ASKED, stop=ask.stop, target=ask.target)
        return Outcome(identity, order, (), "entered", sizing, asked, tuple(faults))

    @staticmethod
    def nothing(ask: Ask, reason: str) -> Outcome:
        """No entry, though nobody refused one."""
        return Outcome(ask.id, None, (), reason, None, (), ())

    def record(
        self,
        evaluation: Evaluation,
        row: int,
        measured: Sequence[Measured],
        ts: int,
        outcome: Outcome,
        source: str = "engine",
    ) -> Decision:
        """The whole chain from points to order, for the journal."""
        column = evaluation.points[:, row].tolist()
        told = evaluation.faults_at(row) if evaluation.faults else ()
        return Decision(
            id=outcome.id,
            ts=ts,
            symbol=evaluation.symbol,
            timeframe=evaluation.timeframe,
            source=source,
            score=float(evaluation.score[row]),
            klass=klass(float(evaluation.score[row]), self._plan.thresholds),
            confidence=float(evaluation.confidence[row]),
            agreeing=int(evaluation.agreeing[row]),
            voting=int(evaluation.voting[row]),
            points={n: p if p == p else None for n, p in zip(evaluation.names, column, strict=True)},
            scores={t: s if (s := float(line[row])) == s else None for t, line in evaluation.scores.items()},
            verdicts=(
                *(m.verdict(row, self._market_limits[m.gate]) for m in measured),
                *(a.verdict(self._account_limits[a.gate]) for a in outcome.asked),
            ),
            sizing=outcome.sizing,
            order_id=outcome.order.id if outcome.order is not None else None,
            reason=outcome.reason,
            faults=(*told, *outcome.faults),
            side=int(evaluation.side[row]),
        )

    def terms(
        self, evaluation: Evaluation, row: int, faults: list[str], leverage: int | None = None, ask: Ask | None = None
    ) -> Terms:
        """What an entry at the close of `row` would be, at the rule's leverage unless another is given or less is asked for."""
        instrument = self._instruments[evaluation.symbol]
        side: Side = 1 if evaluation.side[row] > 0 else -1
        price, atr = float(evaluation.close[row]), float(evaluation.atr[row])
        if leverage is None:
            leverage = leverage_for(atr / price, self._plan.leverage, instrument)
            if ask is not None and ask.leverage is not None:
                leverage = max(1, min(int(ask.leverage), leverage))
        firsts = first_stops(self._plan.exits, self.holding(side, price, leverage, atr), instrument, faults)
        if ask is not None and ask.stop is not None:
            firsts |= asked_stop(ask.stop, side, price, instrument, faults)
        rule, level = tightest(firsts)
        reason = unprotected(rule, level, side, price, liquidation_price(price, side, leverage, instrument))
        return Terms(side, price, atr, leverage, level * side, reason)

    def _size(self, signal: Signal, account: Account) -> tuple[Sizing | None, str]:
        try:
            instrument = self._instruments[signal.symbol]
            sizing = self._sizer.size(signal, instrument, account)
            if not (sizing.quantity.is_finite() and sizing.margin.is_finite() and sizing.quantity >= 0 <= sizing.margin):
                return None, f"{self._sizer.name} answered {sizing.quantity} contracts on a margin of {sizing.margin}"
            reason = flaw(sizing, signal, instrument)
            if reason:
                return None, f"{self._sizer.name} {reason}"
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a part's fault stays its own: no trade
            return None, f"{self._sizer.name} {raised(error)}"
        sizing = at_most(less(sizing, signal, instrument), instrument)
        return sizing, "" if sizing.quantity else f"nothing to trade: {sizing.bound} leaves no whole lot"

    def _order(self, identity: str, signal: Signal, sizing: Sizing) -> Order:
        instrument = self._instruments[signal.symbol]
        away = instrument.price(signal.price) - instrument.price(signal.stop)
        return Order(
            id=f"{identity}-in",
            decision_id=identity,
            ts=signal.ts,
            symbol=signal.symbol,
            side=signal.side,
            quantity=sizing.quantity,
            purpose=Purpose.ENTRY,
            leverage=sizing.leverage,
            margin=sizing.margin,
            atr=signal.atr if math.isfinite(signal.atr) else math.nan,
            reason="entry",
            risk=money(instrument.notional(sizing.quantity, signal.side * away)),
        )


def candidates(evaluation: Evaluation, measured: Sequence[Measured]) -> Bools:
    """The rows that have a side and pass all market gates: (n,) bool."""
    passed: Bools = (evaluation.side != 0) & np.isfinite(evaluation.score)
    for m in measured:
        passed &= m.passed
    return passed
