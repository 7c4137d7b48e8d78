"""Working alerts: the part of the engine's step that begins with what somebody outside asks for. Pure.

An alert goes the way of every signal, from the point that its mode names: it may vote, have the symbol evaluated, be the signal
itself, or only block the other side. What leaves a position comes first and waits for no gate; an entry on the other side
follows once the symbol is flat. Each alert ends with one `AlertWorked`, in the same step as what it led to.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from decimal import Decimal
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from enigma_core.alert import Alert, AlertWorked, Outcome, Request
from enigma_core.alerting import SIDES, Mark, Wish, base_quantity, marked, no_amount, taken_off, wish
from enigma_core.deciding import Ask
from enigma_core.gating import ask_market, unasked
from enigma_core.market import Voted
from enigma_core.model import Cancel, Decision, Side, StateSet
from enigma_core.timeframes import milliseconds

if TYPE_CHECKING:
    from enigma_core.engine import Engine, Record

Sender = tuple[str, str, str, str]
"""Source, strategy, the chart's interval, symbol."""


class Awaited(NamedTuple):
    """An alert, and the side it enters once its symbol is flat."""

    alert: Alert
    side: Side


def sender(alert: Alert) -> Sender:
    """Whose word on which symbol an alert is: messages are put in order among these."""
    return alert.source, alert.request.strategy, alert.request.interval, alert.request.symbol


def _short(name: str) -> str:
    """Six letters for `name`, whatever its end: names may be counted up by several senders."""
    return base64.b32encode(blake2b(name.encode(), digest_size=5).digest())[:6].decode().lower()


class Answering:
    """What alerts have said, and those whose entry waits for a position to be left."""

    def __init__(self, engine: Engine) -> None:
        self.awaited: dict[str, Awaited] = {}
        """By symbol: the alert whose entry half waits until it is flat."""
        self._engine = engine
        self._marks: dict[Sender, Mark] = {}

    def remember(self, alerts: Iterable[Alert]) -> None:
        """Take in what was said before a restart, oldest first."""
        for alert in alerts:
            before = self._marks.get(sender(alert))
            held = SIDES.get(before.stance, 0) if before is not None else 0
            if (mark := marked(alert.request, held, before)) is not None:
                self._marks[sender(alert)] = mark

    def work(self, alert: Alert, ts: int) -> list[Record]:
        """All that `alert` leads to at `ts`, with its outcome last unless its entry has to wait."""
        out: list[Record] = []
        request = alert.request
        if request.action == "halt":
            out += self._engine.step(StateSet(ts=ts, state="HALTED", reason=f"alert {alert.id} asked for it", flatten=True))
            return self._done(alert, ts, out, "halted", "entries are stopped, and what is held is closed")
        if request.symbol not in self._engine.instruments:
            return self._done(alert, ts, out, "refused", f"{request.symbol} is not traded by this run")
        held, before = self._held(request.symbol), self._marks.get(sender(alert))
        what = wish(request, alert.mode, held, before)
        if (mark := marked(request, held, before)) is not None:
            self._marks[sender(alert)] = mark
        if what.outcome == "superseded":
            if what.leave:
                self._engine.leave(request.symbol, ts, "alert", out)
            waits = self.awaited.get(request.symbol)
            if waits is not None and wish(request, alert.mode, waits.side, before).leave:
                self._supersede(alert, ts, out)
            return self._done(alert, ts, out, what.outcome, what.reason)
        if what.cancel:
            return self._cancel(alert, ts, out)
        if what.reduce:
            return self._reduce(alert, ts, out)
        if what.outcome == "held" and what.enter == held and self._engine.leaving(request.symbol):
            # it is on its way out: who wants it held means once more
            what = Wish(leave=True, enter=what.enter)
        if not self._apart(request):
            self._supersede(alert, ts, out)
        if not what.enter:
            if not what.leave:
                return self._done(alert, ts, out, what.outcome, what.reason)
            filled = request.symbol in self._engine.book.positions
            self._engine.leave(request.symbol, ts, "alert", out)
            if not filled:
                return self._done(alert, ts, out, "cancelled", "an entry that had not filled yet is called off")
            return self._done(alert, ts, out, "closed", "what is held is being closed")
        self._cast(alert, what.enter, ts, out)
        if what.leave:
            self._engine.leave(request.symbol, ts, "alert", out)
            if alert.mode == "vote":
                return self._done(alert, ts, out, "closed", "what is held is being closed; the next evaluation counts the vote")
            if self._engine.book.holds(request.symbol):
                self.awaited[request.symbol] = Awaited(alert, what.enter)
                return out
        elif what.outcome == "held":
            rest = request.position_size
            if request.action is None and rest is not None and what.enter == held and self._more_than(request.symbol, rest):
                return self._reduce(alert, ts, out)
            return self._done(alert, ts, out, "held", what.reason)
        return self._enter(alert, what.enter, ts, out)

    def _more_than(self, symbol: str, rest: Decimal) -> bool:
        """True where more than `rest`, in base currency, is held."""
        position = self._engine.book.positions.get(symbol)
        return position is not None and position.quantity > self._engine.instruments[symbol].contracts(rest)

    def _apart(self, request: Request) -> bool:
        """True where `request` closes one side only, and an entry on the other waits: it says nothing of that."""
        waits = self.awaited.get(request.symbol)
        return waits is not None and request.position is None and request.closes is not None and SIDES[request.closes] != waits.side

    def _supersede(self, alert: Alert, ts: int, out: list[Record]) -> bool:
        """End the alert whose entry half waits, if one does: `alert` has come in between."""
        earlier = self.awaited.pop(alert.request.symbol, None)
        if earlier is None or earlier.alert.id == alert.id:
            return False
        self._done(earlier.alert, ts, out, "superseded", f"alert {alert.id} came before the symbol was flat")
        return True

    def flat(self, symbol: str, ts: int, out: list[Record]) -> None:
        """`symbol` is flat: the entry that waited for it may follow."""
        waits = self.awaited.pop(symbol, None)
        if waits is None:
            return
        # a venue may tell of the end with the time of its last event: nothing is decided before the alert came
        ts = max(ts, waits.alert.ts)
        if ts - waits.alert.ts > milliseconds(self._engine.plan.timeframes.primary):
            self._done(waits.alert, ts, out, "expired", "the position was left, but too late for a new one")
        else:
            self._enter(waits.alert, waits.side, ts, out)

    def drop(self, ts: int, out: list[Record], reason: str, symbol: str | None = None) -> None:
        """No entry follows any more, in `symbol` or anywhere."""
        for name in [name for name in self.awaited if symbol in (None, name)]:
            self._done(self.awaited.pop(name).alert, ts, out, "refused", reason)

    def _held(self, symbol: str) -> int:
        book = self._engine.book
        if symbol in book.positions:
            return book.positions[symbol].side
        return book.entries[symbol].side if symbol in book.entries else 0

    def _cast(self, alert: Alert, side: Side, ts: int, out: list[Record]) -> None:
        if alert.mode == "signal":
            return
        ttl = alert.ttl or 2 * milliseconds(self._engine.plan.timeframes.primary)
        voted = Voted(ts, alert.request.symbol, side, ttl, alert.mode == "veto")
        market = self._engine.markets.get(alert.request.symbol)
        if market is not None:
            market.cast(voted)
        out.append(voted)

    def _enter(self, alert: Alert, side: Side, ts: int, out: list[Record]) -> list[Record]:
        if alert.mode == "vote":
            return self._done(alert, ts, out, "voted", "the next evaluation counts it")
        if alert.mode == "veto":
            return self._done(alert, ts, out, "vetoed", "it blocks entries on the other side")
        symbol, plan = alert.request.symbol, self._engine.plan
        if reason := no_amount(alert.request):
            return self._done(alert, ts, out, "refused", reason)
        if silence := self._engine.silence(symbol, ts):
            return self._done(alert, ts, out, "refused", f"the market has been silent for {silence / 1000:.0f} s")
        evaluation = self._engine.evaluation(symbol, ts)
        if evaluation is None:
            return self._done(alert, ts, out, "refused", f"no bar of {plan.timeframes.primary} has closed yet")
        # what grows old, such as a veto, is as old as it is now: the bar may have closed long ago
        evaluation = msgspec.structs.replace(evaluation, ts=np.array([ts]))
        signal = alert.mode == "signal"
        if signal:
            # nobody doubts it; what its confidence scales is as it would be for a signal without a flaw
            evaluation = msgspec.structs.replace(evaluation, side=np.array([side], np.int64), confidence=np.ones(1))
        asked = {name: gate for name, gate in plan.market_gates.items() if not (signal and gate.judges_score)}
        answers = {m.gate: m for m in ask_market(asked, evaluation)}
        measured = [answers[name] if name in answers else unasked(name, 1) for name in plan.market_gates]
        ask = self._ask(alert, float(evaluation.close[0]))
        decider = self._engine.decider
        if evaluation.side[0] == side:
            outcome = decider.decide(evaluation, 0, measured, self._engine.book, ts, ask=ask)
        else:
            outcome = decider.nothing(ask, f"the score of {float(evaluation.score[0]):+.1f} is not on the alert's side")
        for gate in outcome.refused:
            self._engine.rejected[gate] = self._engine.rejected.get(gate, 0) + 1
        decision: Decision = decider.record(evaluation, 0, measured, ts, outcome, alert.source)
        out.append(decision)
        if outcome.order is None:
            return self._done(alert, ts, out, "refused", outcome.reason, decision.id)
        self._engine.place(outcome.order, out)
        return self._done(alert, ts, out, "entered", outcome.reason, decision.id)

    def _ask(self, alert: Alert, price: float) -> Ask:
        request = alert.request
        instrument = self._engine.instruments[request.symbol]
        return Ask(
            id=alert.id,
            source=alert.source,
            leverage=request.leverage,
            quantity=base_quantity(request, price, self._engine.book.equity, instrument),
            stop=request.stop,
            target=request.take_profit,
        )

    def _cancel(self, alert: Alert, ts: int, out: list[Record]) -> list[Record]:
        awaited = self._supersede(alert, ts, out)
        entry = self._engine.book.entries.get(alert.request.symbol)
        if entry is None and awaited:
            return self._done(alert, ts, out, "cancelled", "the entry that waited for the symbol to be flat is called off")
        if entry is None:
            return self._done(alert, ts, out, "nothing", "no entry is working")
        out.append(Cancel(ts=ts, order_id=entry.id, symbol=entry.symbol))
        return self._done(alert, ts, out, "cancelled", f"entry {entry.id} is called off")

    def _reduce(self, alert: Alert, ts: int, out: list[Record]) -> list[Record]:
        symbol = alert.request.symbol
        position = self._engine.book.positions.get(symbol)
        if position is None:
            return self._cancel(alert, ts, out)
        if reason := no_amount(alert.request):
            return self._done(alert, ts, out, "refused", reason)
        instrument = self._engine.instruments[symbol]
        held, equity = position.quantity, self._engine.book.equity
        off = taken_off(alert.request, held, float(position.mark), equity, instrument)
        if off is not None and not off:
            return self._done(alert, ts, out, "nothing", "what it takes off is less than the smallest order, or off already")
        if off is None or off >= held:
            self._engine.leave(symbol, ts, "alert", out)
            return self._done(alert, ts, out, "closed", "all of what is held is closed")
        self._engine.cut(symbol, off, _short(alert.id), ts, out)
        return self._done(alert, ts, out, "reduced", f"{off.normalize():f} contracts of {position.quantity.normalize():f}")

    @staticmethod
    def _done(
        alert: Alert, ts: int, out: list[Record], outcome: Outcome, reason: str, decision_id: str | None = None
    ) -> list[Record]:
        out.append(
            AlertWorked(
                ts=ts,
                id=alert.id,
                source=alert.source,
                symbol=alert.request.symbol,
                outcome=outcome,
                reason=reason,
                decision_id=decision_id,
            )
        )
        return out
