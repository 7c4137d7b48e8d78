"""A backtest with alerts: bar by bar as a run goes, and between the bars the alerts, each at the moment it came."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from enigma_core.alert import Alert, AlertWorked, Receipt
from enigma_core.alerting import too_old
from enigma_core.book import Book
from enigma_core.engine import Engine, Record
from enigma_core.errors import DataError
from enigma_core.faults import Quarantine
from enigma_core.live import LiveEvaluator
from enigma_core.market import BarsClosed, Funding, FundingSeen, Market
from enigma_core.matching import SimulatedVenue
from enigma_core.model import Candles, Fill, Instrument, Order, Purpose, StateSet
from enigma_core.parts import Note
from enigma_core.plan import Plan
from enigma_core.scoring import Evaluation
from enigma_core.shells.driving import drive, put
from enigma_core.shells.failings import Failings
from enigma_core.shells.governor import Governor
from enigma_core.shells.history import Ledger, Progress, Result, batches, finish, moments, opened_from
from enigma_core.timeframes import milliseconds


class Came(msgspec.Struct):
    """One alert and what became of it.

    `outcome` is that of its `AlertWorked`, or ``duplicate`` or ``conflict`` where it was known already, ``outside`` where it came
    before the history or after it, ``waiting`` where its entry still waited for a position to be left when the history ended.
    """

    alert: Alert
    outcome: str = "waiting"
    reason: str = "the history ended before the position was left"
    late: bool = False
    """An order of its filled later than one bar of the data after it came."""


class AlertedResult(Result, kw_only=True):
    """What a backtest with alerts found."""

    came: list[Came]
    """In order of their coming."""

    @property
    def outcomes(self) -> dict[str, int]:
        """How many alerts had each outcome, the most frequent first."""
        return dict(Counter(each.outcome for each in self.came).most_common())

    @property
    def delays(self) -> list[int]:
        """From sending to coming, ms, of the alerts that say when they were sent."""
        return [each.alert.received - each.alert.request.sent for each in self.came if each.alert.request.sent is not None]

    @property
    def late(self) -> int:
        """Alerts of which an order filled later than one bar after they came."""
        return sum(each.late for each in self.came)


class Identities:
    """Which alerts are known already, as the inbox of a run judges it."""

    def __init__(self) -> None:
        self._known: dict[str, Alert] = {}

    def receipt(self, alert: Alert) -> Receipt:
        """Whether `alert` is new; from then on it is known."""
        key = alert.key or alert.id
        known = self._known.get(key)
        if known is None or (alert.window is not None and alert.received - known.received >= alert.window):
            self._known[key] = alert
            return "accepted"
        return "duplicate" if known.digest == alert.digest or not alert.request.key else "conflict"


class Told(LiveEvaluator):
    """An evaluator that has its faults counted."""

    def __init__(self, symbol: str, timeframe: str, plan: Plan, quarantine: Quarantine, failings: Failings) -> None:
        super().__init__(symbol, timeframe, plan, quarantine)
        self._failings = failings

    def evaluate(self, market: Market | None, now: int) -> Evaluation:
        evaluation = super().evaluate(market, now)
        if evaluation.faults:
            self._failings.scored(evaluation)
        return evaluation


class Alerted:
    """One account in a market of bars, and the alerts that are still to come."""

    def __init__(
        self,
        plan: Plan,
        timeframe: str,
        instruments: Mapping[str, Instrument],
        funding: Mapping[str, Funding | None],
        alerts: Iterable[Alert],
        ledger: Ledger,
    ) -> None:
        self.book = Book(plan.account.equity, dict(instruments))
        self.quarantine = Quarantine()
        self.evaluators = {s: Told(s, timeframe, plan, self.quarantine, ledger.failings) for s in instruments}
        self.markets = {s: Market(s) for s in instruments}
        self.venue = SimulatedVenue(instruments, plan.costs, funding)
        self.engine = Engine(plan, self.book, instruments, self.evaluators, self.markets)
        self.came = [Came(alert) for alert in sorted(alerts, key=lambda alert: alert.ts)]
        self._coming = deque(self.came)
        self._known = Identities()
        self._accepted: dict[str, Came] = {}
        self._orders: dict[str, Came] = {}
        """Whose order it is, of those that fill at a market's price."""
        self._governor = Governor(plan.risk)
        self._ledger = ledger
        self._bar = milliseconds(timeframe)

    def take(self, event: BarsClosed | FundingSeen) -> None:
        """One event of the market, after the alerts that came before it."""
        self.hear(event.ts)
        if type(event) is FundingSeen:
            self.markets[event.symbol].see(event)
        records = drive(self.engine, self.venue, event)
        records += (Note(event.ts, "indicator_off", "an indicator is switched off", news) for news in self.quarantine.news())
        self._write(records, event.ts, None)

    def hear(self, ts: int) -> None:
        """Work the alerts that came before `ts`: what came in the moment of a close came after its bars."""
        while self._coming and self._coming[0].alert.ts < ts:
            self._work(self._coming.popleft())

    def _work(self, each: Came) -> None:
        alert = each.alert
        receipt = self._known.receipt(alert)
        if receipt != "accepted":
            each.outcome = receipt
            each.reason = "it came before" if receipt == "duplicate" else "its id is known with another content"
            return
        self._accepted[alert.id] = each
        self._ledger.take([alert], alert.ts)
        records: list[Record]
        if reason := too_old(alert, alert.received):
            symbol = alert.request.symbol
            records = [AlertWorked(ts=alert.ts, id=alert.id, source=alert.source, symbol=symbol, outcome="expired", reason=reason)]
        else:
            records = put(self.engine, self.venue, alert)
        self._write(records, alert.ts, each)

    def _write(self, records: list[Record], ts: int, cause: Came | None) -> None:
        self._ledger.walk(records, ts)
        halt = None
        for record in records:
            if type(record) is AlertWorked:
                worked = self._accepted[record.id]
                worked.outcome, worked.reason = record.outcome, record.reason
            if type(record) is Order or type(record) is StateSet:
                halt = self._governor.see(record) or halt
            if type(record) is Order:
                if record.purpose in (Purpose.ENTRY, Purpose.CLOSE):
                    caused = cause or self._accepted.get(record.decision_id if record.purpose is Purpose.ENTRY else "")
                    if caused is not None:
                        self._orders[record.id] = caused
            elif type(record) is Fill and (caused := self._orders.get(record.order_id)) is not None:
                caused.late |= record.ts - caused.alert.ts > self._bar
        if halt is not None and self.book.trading_state == "ACTIVE":
            self._write(put(self.engine, self.venue, halt), ts, None)


def backtest_alerts(
    plan: Plan,
    candles: Mapping[str, Candles],
    instruments: Mapping[str, Instrument],
    alerts: Sequence[Alert],
    funding: Mapping[str, Funding | None] | None = None,
    *,
    start: int | None = None,
    progress: Progress | None = None,
    journal: Any | None = None,
) -> AlertedResult:
    """Trade `plan` and `alerts` over history, bar by bar; without alerts the trades are those of `backtest`.

    An alert is worked at its `ts` (ms), at the state of the bars that have closed by then, and is as old as `received` and its
    request's `sent` say. An order fills at the first open at or after it. With `start` (ms) only the bars that open from then on
    are traded; those before warm the indicators up. Raises `DataError` when there is nothing to trade on.
    """
    traded = {s: c for s, whole in candles.items() if len(c := opened_from(whole, start))}
    if not traded:
        raise DataError("there is no bar to trade on: widen the timerange or name other symbols")
    began = time.perf_counter()
    timeframe = next(iter(traded.values())).timeframe
    funding = funding or {}
    instruments = {s: instruments[s] for s in traded}
    failings = Failings(())
    ledger = Ledger(journal, failings)
    ends = moments(traded)
    first, last = min(int(c.ts[0]) for c in traded.values()), int(ends[-1])
    within = [alert for alert in alerts if first <= alert.ts < last]
    account = Alerted(plan, timeframe, instruments, funding, within, ledger)
    for symbol, bars in traded.items():
        account.evaluators[symbol].warm(candles[symbol][: len(candles[symbol]) - len(bars)])
    warm = time.perf_counter()
    number = 0
    for event in _market(traded, funding):
        account.take(event)
        if type(event) is BarsClosed:
            number += 1
            if progress is not None and number % 200 == 0:
                progress(number / len(ends))
    finish(plan, account.book, ledger, last, {s: float(c.close[-1]) for s, c in traded.items()})
    outside = [_outside(alert, first) for alert in alerts if not first <= alert.ts < last]
    return AlertedResult(
        trades=ledger.trades,
        drafts=ledger.drafts,
        start_equity=plan.account.equity,
        end_equity=account.book.equity,
        bars=sum(len(c) for c in traded.values()),
        rejected=account.engine.rejected,
        faults=failings.times,
        timing={"indicators_s": warm - began, "simulation_s": time.perf_counter() - warm},
        evaluations={},
        left_out=tuple(dict.fromkeys(name for each in account.evaluators.values() for name in each.left_out)),
        came=sorted([*account.came, *outside], key=lambda each: each.alert.ts),
    )


def _outside(alert: Alert, first: int) -> Came:
    return Came(alert, "outside", "it came before the first bar" if alert.ts < first else "it came after the last bar")


def _market(candles: Mapping[str, Candles], funding: Mapping[str, Funding | None]) -> Iterator[BarsClosed | FundingSeen]:
    """The bars, and before those of a close what has been settled by then, as a recording shows it."""
    settled = {s: f for s in candles if (f := funding.get(s)) is not None}
    at = dict.fromkeys(settled, -1)
    for event in batches(candles):
        for symbol, known in settled.items():
            newest = int(np.searchsorted(known.ts, event.ts, side="right")) - 1
            if newest > at[symbol]:
                at[symbol] = newest
                yield known.seen(symbol, newest, event.ts)
        yield event
