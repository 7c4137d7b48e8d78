"""One market as trading would see it: the same evaluation, gates and sizes, as an `Opportunity`. Pure."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping

from enigma_core.deciding import Decider, leverage_for
from enigma_core.errors import EnigmaError
from enigma_core.gating import ask_account, ask_market
from enigma_core.model import Instrument, Side, Signal
from enigma_core.parts import Account, Listing
from enigma_core.plan import Plan
from enigma_core.scoring import Evaluation, klass
from enigma_screener.ranking import Opportunity, rank

COOLDOWN = "cooldown"
"""The part whose refusal is a cool-down, whatever it is called in the configuration."""


log = logging.getLogger("enigma.screener")


class Look:
    """Looks at markets for one plan."""

    def __init__(self, plan: Plan, instruments: Mapping[str, Instrument]) -> None:
        self.plan = plan
        self.instruments = instruments
        self._decider = Decider(plan, instruments)
        self._cooldowns = {name: gate for name, gate in plan.account_gates.items() if gate.name == COOLDOWN}

    def __call__(self, evaluation: Evaluation, listing: Listing, account: Account, now: int) -> Opportunity | None:
        """The newest row of `evaluation` at `now` (ms), None where it has no side.

        Every gate is asked: trading asks those of the account only where the market's have let an entry through.
        """
        row = len(evaluation) - 1
        score, side = float(evaluation.score[row]), int(evaluation.side[row])
        if score != score or not side:
            return None
        measured = ask_market(self.plan.market_gates, evaluation)
        outcome = self._decider.decide(evaluation, row, (), account, now)
        refused = [m.gate for m in measured if not m.passed[row]]
        passed = len(measured) - len(refused) + sum(asked.passed for asked in outcome.asked)
        kind = klass(score, self.plan.thresholds)
        agreeing, voting = int(evaluation.agreeing[row]), int(evaluation.voting[row])
        confidence = float(evaluation.confidence[row])
        spread, turnover, funding, hours = _facts(evaluation, listing)
        scores = {timeframe: float(line[row]) for timeframe, line in evaluation.scores.items()}
        return Opportunity(
            symbol=evaluation.symbol,
            rank=rank(score, confidence, agreeing / voting if voting else 0.0, turnover, spread, kind),
            side="long" if side > 0 else "short",
            score=score,
            klass=kind,
            confidence=confidence,
            agreeing=agreeing,
            voting=voting,
            aligned=tuple(t for t, s in scores.items() if s * side > evaluation.dead_zone),
            scored=tuple(t for t, s in scores.items() if s == s),
            passed=passed,
            asked=len(measured) + len(self.plan.account_gates),
            refused=(*refused, *outcome.refused),
            spread=_number(spread),
            turnover=_number(turnover),
            funding=_number(funding),
            funding_hours=hours,
            cooldown_until=self._cooling(evaluation, row, account, now),
            held=account.holds(evaluation.symbol),
            price=_number(float(evaluation.close[row])),
            ts=int(evaluation.ts[row]),
            faults=(*evaluation.faults_at(row), *outcome.faults),
        )

    def _cooling(self, evaluation: Evaluation, row: int, account: Account, now: int) -> int | None:
        """Until when the symbol is on cool-down, whatever else is against an entry; None where it is not."""
        if not self._cooldowns or account.last_exit(evaluation.symbol) is None:
            return None
        asked, _ = ask_account(self._cooldowns, self._signal(evaluation, row, now), account)
        until = [one.until for one in asked if not one.passed and one.until is not None and one.until > now]
        return max(until, default=None)

    def _signal(self, evaluation: Evaluation, row: int, now: int) -> Signal:
        score, price, atr = float(evaluation.score[row]), float(evaluation.close[row]), float(evaluation.atr[row])
        side: Side = 1 if score > 0 else -1
        return Signal(
            ts=now,
            symbol=evaluation.symbol,
            side=side,
            price=price,
            score=score,
            klass=klass(score, self.plan.thresholds),
            confidence=float(evaluation.confidence[row]),
            atr=atr,
            leverage=leverage_for(atr / price, self.plan.leverage, self.instruments[evaluation.symbol]),
            stop=math.nan,
        )


def traded_as(plan: Plan, listings: Iterable[Listing]) -> dict[str, Instrument]:
    """The instruments of `listings`; a market whose contract cannot be had is left out, and that is said in the log."""
    found = {}
    for listing in listings:
        try:
            found[listing.symbol] = plan.instrument(listing.symbol)
        except EnigmaError as error:
            log.warning("the screener leaves %s out: %s", listing.symbol, error)
    return found


def _facts(evaluation: Evaluation, listing: Listing) -> tuple[float, float, float, float]:
    """Spread, turnover, funding rate and its hours: as the stream says them, else as they were listed."""
    market = evaluation.market
    if market is None:
        return listing.spread, listing.turnover, listing.funding, listing.funding_hours
    spread = market.spread if market.book is not None else listing.spread
    turnover = listing.turnover if market.turnover is None else market.turnover
    if market.funding is None:
        return spread, turnover, listing.funding, listing.funding_hours
    return spread, turnover, market.funding.rate, market.funding.hours


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
