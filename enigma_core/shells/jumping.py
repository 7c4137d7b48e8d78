"""The backtest that jumps: it visits only the moments when something can happen, and gives the trades of the plain one.

A flat symbol is next heard of at its next row that passes the market gates; a held one at its exit, which its own bars
alone decide. Funding and the turn of the risk day are charged lazily, in their place, before anything later is looked at.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from enigma_core.book import Book, Position
from enigma_core.deciding import Decider, candidates
from enigma_core.exiting import Aim, aims, closings, first_stops, shares, stop_lines, tightest
from enigma_core.gating import ask_market, clears_streak
from enigma_core.market import Funding
from enigma_core.matching import Costing, Settlements, liquidation_price, slipped
from enigma_core.model import Candles, DayOpened, Instrument, Order, Purpose
from enigma_core.parts import Holding, Path
from enigma_core.plan import Plan
from enigma_core.scoring import Evaluation
from enigma_core.shells.prospects import Prospect, Prospects
from enigma_core.timeframes import day_end, milliseconds

if TYPE_CHECKING:
    from enigma_core.shells.history import Ledger

OPEN, RANGE, CLOSE = 0, 1, 4
"""The phases of one moment, in the order of `matching` and `engine`: opens, ranges, (marks and the day between), decisions."""
DAY = 2

WINDOW = 32
"""Bars looked at first when an exit is sought; four times as many each time there is none."""


class Leave(NamedTuple):
    """One exit fill to come: the bar, its phase, what it is, the level met, how much (None: all that is left).

    `slips`: a market order met the level; `rested`: a limit order waited there.
    """

    bar: int
    phase: int
    reason: str
    level: float
    slips: bool
    quantity: Decimal | None
    rested: bool = False


class Lane:
    """One symbol: its bars, its rows, and where it stands."""

    def __init__(
        self, plan: Plan, candles: Candles, evaluation: Evaluation, instrument: Instrument, settlements: Settlements
    ) -> None:
        self.symbol = candles.symbol
        self.candles = candles
        self.evaluation = evaluation
        self.instrument = instrument
        self.settlements = settlements
        self.starts = candles.ts
        self.ends = candles.ts + milliseconds(candles.timeframe)
        self.n = len(candles)
        self._length = milliseconds(candles.timeframe)
        self._first_end = int(self.ends[0])
        self._whole = int(self.ends[-1]) - self._first_end == (self.n - 1) * self._length
        self.bar_of = np.searchsorted(self.ends, evaluation.ts)
        """The base bar at whose close each row became known."""
        self.measured = ask_market(plan.market_gates, evaluation)
        sided = (evaluation.side != 0) & np.isfinite(evaluation.score)
        self.entries = np.flatnonzero(candidates(evaluation, self.measured))
        self.refusals = {m.gate: np.concatenate([[0], np.cumsum(sided & ~m.passed)]) for m in self.measured}
        """How many rows before each row a gate has refused."""
        self.score = np.full(self.n, np.nan)
        self.score[self.bar_of] = evaluation.score
        self.score.flags.writeable = False
        self._rows = self.entries.tolist()
        self._bars = self.bar_of.tolist()
        self._spells: tuple[list[int], list[int]] = ([], [])
        self.flat_since = 0
        """The first row of the present flat spell."""
        self.next_entry = 0
        self.leaving: list[Leave] = []
        self.held: tuple[Holding, int] | None = None
        """The position as exits see it, and the bar at whose open it was entered."""
        self._stops: np.ndarray | None = None
        self.entering: tuple[Order, int, Prospect | None]

    def last_bar(self, ts: int) -> int:
        """The bar that closed last by `ts`, which is not before the first."""
        if self._whole:
            return min((ts - self._first_end) // self._length, self.n - 1)
        return int(np.searchsorted(self.ends, ts, side="right")) - 1

    def hold(self, holding: Holding, bar: int) -> None:
        """A position was entered at the open of `bar`."""
        self.held, self._stops = (holding, bar), None

    def stop_at(self, plan: Plan, bar: int) -> Decimal | None:
        """The stop as it is known at the close of `bar`; worked out once a position, for as long as it will be held."""
        assert self.held is not None
        holding, first_bar = self.held
        if self._stops is None:
            over = self.leaving[-1].bar if self.leaving and self.leaving[-1].quantity is None else self.n - 1
            self._stops = known_stops(plan, self, holding, first_bar, over)
        level = float(self._stops[min(bar - first_bar, len(self._stops) - 1)])
        return self.instrument.price(level * holding.side) if np.isfinite(level) else None

    def end_spell(self, until_row: int) -> None:
        """The symbol was flat in the rows before `until_row`, and is not from there on."""
        self._spells[0].append(self.flat_since)
        self._spells[1].append(until_row)
        self.flat_since = len(self.evaluation)

    def begin_spell(self, bar: int) -> None:
        """The symbol is flat at the close of `bar`: rows known from then on are looked at again."""
        self.flat_since = bisect_left(self._bars, bar)
        self.next_entry = bisect_left(self._rows, self.flat_since)

    def refused(self) -> dict[str, int]:
        """How often each market gate refused while the symbol was flat."""
        since, until = (np.array(side, np.int64) for side in self._spells)
        return {gate: int((sums[until] - sums[since]).sum()) for gate, sums in self.refusals.items()}

    @property
    def row(self) -> int | None:
        """The next row that passes the market gates."""
        return self._rows[self.next_entry] if self.next_entry < len(self._rows) else None


def find_exits(plan: Plan, lane: Lane, holding: Holding, quantity: Decimal, first_bar: int, faults: list[str]) -> list[Leave]:
    """How a position entered at the open of `first_bar` ends: partial targets first, then the fill that closes it.

    Empty (or partial targets only) when it is still open at the end of the data. `faults` takes what exits do wrong.
    """
    side, instrument = holding.side, lane.instrument
    firsts = first_stops(plan.exits, holding, instrument, faults)
    protector, first = tightest(firsts)
    liquidation = side * liquidation_price(holding.entry, side, holding.leverage, instrument)
    goals = aims(plan.exits, holding, instrument, faults)
    parts = shares(goals, quantity, instrument)
    c, size = lane.candles, WINDOW
    while True:
        part = slice(first_bar, min(first_bar + size, lane.n))
        path = Path(c.open[part], c.high[part], c.low[part], c.close[part], lane.score[part])
        lines = stop_lines(plan.exits, holding, path, instrument, faults)
        forces = _in_force(lines, first, len(path.close))
        worst, best = (path.low, path.high) if side > 0 else (-path.high, -path.low)
        hits = worst <= np.maximum(forces, liquidation)
        hit = int(hits.argmax())
        if not hits[hit]:
            hit = lane.n
        wish, rule = _first_wish(closings(plan.exits, holding, path, faults)) if protector else (-1, "unprotected")
        last = part.stop - first_bar
        complete = part.stop == lane.n
        if wish is not None and wish < hit:
            over = wish + 1
        elif hit < last:
            over = hit
        else:
            over = lane.n
        leaves = _taken(goals, parts, quantity, best, side, min(over, last), first_bar)
        if leaves and leaves[-1].quantity is None:
            return leaves
        if over < last:
            if wish is not None and over == wish + 1 and wish < hit:
                leaves.append(Leave(first_bar + over, OPEN, rule, float(path.open[over]), True, None))
            else:
                leaves.append(_stopped(lines, firsts, forces, hit, path, side, liquidation, first_bar))
            return leaves
        if complete:
            return leaves
        size *= 4


def known_stops(plan: Plan, lane: Lane, holding: Holding, first_bar: int, last_bar: int) -> np.ndarray:
    """The stop as it is known at the close of each bar from `first_bar` to `last_bar`, times the side."""
    part = slice(first_bar, last_bar + 1)
    c = lane.candles
    path = Path(c.open[part], c.high[part], c.low[part], c.close[part], lane.score[part])
    # what is wrong with an exit was told when the way out was sought
    faults: list[str] = []
    _, first = tightest(first_stops(plan.exits, holding, lane.instrument, faults))
    known = np.full(len(path.close), first)
    for levels in stop_lines(plan.exits, holding, path, lane.instrument, faults).values():
        np.fmax(known, np.fmax.accumulate(levels), out=known)
    return known


def _in_force(lines: Mapping[str, np.ndarray], first: float, n: int) -> np.ndarray:
    """The stop in force during each bar, times the side: what was known at the close before it."""
    forces = np.full(n, first)
    if n > 1:
        for levels in lines.values():
            np.fmax(forces[1:], np.fmax.accumulate(levels[:-1]), out=forces[1:])
    return forces


def _first_wish(wishes: Mapping[str, np.ndarray]) -> tuple[int | None, str]:
    found: int | None = None
    name = ""
    for rule, wanted in wishes.items():
        at = int(wanted.argmax())
        if wanted[at] and (found is None or at < found):
            found, name = at, rule
    return found, name


def _taken(
    goals: list[Aim], parts: list[Decimal], quantity: Decimal, best: np.ndarray, side: int, before: int, first_bar: int
) -> list[Leave]:
    """Targets touched in bars before index `before`, in order of time; the one that takes the last lot closes the position."""
    touched = []
    for number, (goal, part) in enumerate(zip(goals, parts, strict=True)):
        level = float(goal.level)
        reached = best[:before] >= side * level
        if part and before > 0 and reached[at := int(reached.argmax())]:
            touched.append((at, number, goal.rule, level, part, goal.resting))
    leaves = []
    for at, _, rule, level, part, resting in sorted(touched):
        quantity -= part
        leaves.append(Leave(first_bar + at, RANGE, rule, level, False, part if quantity else None, resting))
    return leaves


def _stopped(
    lines: Mapping[str, np.ndarray],
    firsts: Mapping[str, float],
    forces: np.ndarray,
    hit: int,
    path: Path,
    side: int,
    liquidation: float,
    first_bar: int,
) -> Leave:
    """The bar that reached the stop, or liquidation."""
    opened, level = side * float(path.open[hit]), float(forces[hit])
    if opened <= liquidation or level <= liquidation:
        return Leave(first_bar + hit, RANGE, "liquidation", side * liquidation, False, None)
    return Leave(first_bar + hit, RANGE, _rule(lines, firsts, level, hit), side * min(level, opened), True, None)


def _rule(lines: Mapping[str, np.ndarray], firsts: Mapping[str, float], level: float, hit: int) -> str:
    """The rule that first set `level`: at entry, else at the earliest close before bar `hit`; the first named wins a tie."""
    for rule, first in firsts.items():
        if float(first) == level:
            return rule
    earliest, name = hit, ""
    for rule, levels in lines.items():
        equal = levels[:hit] == level
        at = int(equal.argmax())
        if equal[at] and at < earliest:
            earliest, name = at, rule
    return name


def jump_through(
    plan: Plan,
    candles: Mapping[str, Candles],
    instruments: Mapping[str, Instrument],
    funding: Mapping[str, Funding | None],
    evaluations: Mapping[str, Evaluation],
    book: Book,
    ledger: Ledger,
    progress: Callable[[float], None] | None,
) -> dict[str, int]:
    """Trade the account from visit to visit. Returns refusals by gate."""
    lanes = [Lane(plan, c, evaluations[s], instruments[s], Settlements(funding.get(s), plan.costs)) for s, c in candles.items()]
    return Jumps(plan, lanes, book, ledger).run(progress)


class Jumps:
    """The visits of one backtest, in order of time, phase and symbol."""

    def __init__(self, plan: Plan, lanes: list[Lane], book: Book, ledger: Ledger) -> None:
        from enigma_core.shells.history import moments

        self.plan = plan
        self.lanes = lanes
        self.book = book
        self.ledger = ledger
        self.rejected: dict[str, int] = {}
        self._decider = Decider(plan, book.instruments)
        self._costing = Costing(plan.costs)
        self._prospects = [Prospects(plan, self._decider, lane) for lane in lanes]
        self._visits: list[tuple[int, int, int, int, Callable[[Lane, int, int], None]]] = []
        self._number = count()
        self._by_symbol = {lane.symbol: i for i, lane in enumerate(lanes)}
        self._moments = moments({lane.symbol: lane.candles for lane in lanes})
        self._last = int(self._moments[-1])

    def run(self, progress: Callable[[float], None] | None) -> dict[str, int]:
        for number in range(len(self.lanes)):
            self._await_entry(number)
        first, visits = int(self._moments[0]), 0
        while self._visits:
            ts, phase, number, _, act = heappop(self._visits)
            self._turn_days(ts, phase)
            act(self.lanes[number], number, ts)
            visits += 1
            if progress is not None and visits % 500 == 0:
                progress((ts - first) / max(1, self._last - first))
        self._finish()
        return self.rejected

    def _visit(self, ts: int, phase: int, number: int, act: Callable[[Lane, int, int], None]) -> None:
        heappush(self._visits, (ts, phase, number, next(self._number), act))

    # flat

    def _await_entry(self, number: int) -> None:
        """Go to the symbol's next row that passes the market gates."""
        lane = self.lanes[number]
        row = lane.row
        if row is not None:
            self._visit(int(lane.evaluation.ts[row]), CLOSE, number, self._decide)

    def _decide(self, lane: Lane, number: int, ts: int) -> None:
        self._mark(ts)
        row = lane.row
        assert row is not None
        prospect = self._prospects[number].at(lane.next_entry)
        lane.next_entry += 1
        terms = prospect.terms if prospect is not None else None
        outcome = self._decider.decide(lane.evaluation, row, lane.measured, self.book, ts, terms)
        order = outcome.order
        if outcome.faults:
            self.ledger.failings.decided(outcome.faults, outcome.reason)
        if order is None:
            self.ledger.failings.asked(outcome.asked)
            for gate in outcome.refused:
                self.rejected[gate] = self.rejected.get(gate, 0) + 1
            self._await_entry(number)
            return
        lane.end_spell(row + 1)
        self.book.apply(order)
        self.ledger.decide(lambda: self._decider.record(lane.evaluation, row, lane.measured, ts, outcome), order, ts)
        bar = int(lane.bar_of[row]) + 1
        if bar < lane.n:
            lane.entering = (order, bar, prospect)
            self._visit(int(lane.ends[bar]), OPEN, number, self._enter)

    # held

    def _enter(self, lane: Lane, number: int, _: int) -> None:
        order, bar, prospect = lane.entering
        ts = int(lane.starts[bar])
        if prospect is not None:
            price = lane.instrument.at(prospect.ticks)
        else:
            price = slipped(float(lane.candles.open[bar]), order.side, lane.instrument, self._costing.slippage)
        fill = self._costing.fill(order, ts, order.quantity, price, lane.instrument, order.reason)
        self.book.apply(fill)
        self.ledger.take((fill,), ts)
        holding = self._decider.holding(order.side, float(price), order.leverage, order.atr)
        lane.hold(holding, bar)
        # a prospect is one of the rule's leverage
        if prospect is not None and prospect.bar >= 0 and order.leverage == prospect.terms.leverage:
            phase = OPEN if prospect.at_open else RANGE
            lane.leaving = [Leave(prospect.bar, phase, prospect.reason, prospect.level, prospect.slips, None, prospect.rested)]
        else:
            faults: list[str] = []
            lane.leaving = find_exits(self.plan, lane, holding, order.quantity, bar, faults)
            self.ledger.failings.held(lane.symbol, faults)
        if lane.settlements:
            self._fund(lane, number, bar, ts + 1)
        self._await_exit(lane, number)

    def _await_exit(self, lane: Lane, number: int) -> None:
        if lane.leaving:
            leave = lane.leaving[0]
            self._visit(int(lane.ends[leave.bar]), leave.phase, number, self._leave)

    def _leave(self, lane: Lane, number: int, _: int) -> None:
        leave = lane.leaving.pop(0)
        position = self.book.positions[lane.symbol]
        ts = int(lane.starts[leave.bar]) if leave.phase == OPEN else int(lane.ends[leave.bar])
        order = self._exit_order(lane, position, leave, ts)
        price = (
            slipped(leave.level, order.side, lane.instrument, self._costing.slippage)
            if leave.slips
            else lane.instrument.price(leave.level)
        )
        fill = self._costing.fill(order, ts, order.quantity, price, lane.instrument, leave.reason)
        self.book.apply(order)
        trade = self.book.apply(fill)
        self.ledger.take((order, fill) if trade is None else (order, fill, trade), ts)
        if trade is not None:
            self.ledger.trades.append(trade)
            self.ledger.failings.left(lane.symbol)
        else:
            self._await_exit(lane, number)
            return
        lane.begin_spell(leave.bar)
        self._await_entry(number)

    @staticmethod
    def _exit_order(lane: Lane, position: Position, leave: Leave, ts: int) -> Order:
        return Order(
            id=f"{position.decision_id}-{leave.reason}-{ts // 1000}",
            decision_id=position.decision_id,
            ts=ts,
            symbol=lane.symbol,
            side=-1 if position.side > 0 else 1,
            quantity=position.quantity if leave.quantity is None else leave.quantity,
            purpose=Purpose.CLOSE,
            leverage=position.leverage,
            resting=leave.rested,
            reason=leave.reason,
        )

    # funding, marks and the turn of the day

    def _fund(self, lane: Lane, number: int, bar: int, since: int) -> None:
        """Charge the settlements of the position from `since` on, each at its place."""
        position = self.book.positions[lane.symbol]
        last = lane.leaving[-1] if lane.leaving and lane.leaving[-1].quantity is None else None
        stop_bar = last.bar if last is not None else lane.n - 1
        until = int(lane.ends[stop_bar])
        for ts, rate in lane.settlements.between(since, until):
            at = max(int(np.searchsorted(lane.ends, ts, side="right")), bar)
            inside = ts > int(lane.starts[at])
            if last is not None and at == last.bar and last.phase == OPEN and inside:
                continue
            self._visit(
                int(lane.ends[at]),
                OPEN,
                number,
                partial(self._charge, position, ts, rate, at),
            )

    def _charge(self, position: Position, ts: int, rate: Decimal, bar: int, lane: Lane, _number: int, _ts: int) -> None:
        price = lane.instrument.price(float(lane.candles.open[bar]))
        funded = self._costing.fund(lane.symbol, ts, rate, position.side, position.quantity, price, lane.instrument)
        self.book.apply(funded)
        self.ledger.take([funded], ts)

    def _mark(self, ts: int) -> None:
        """The last prices and stops of what is held, as they are known at `ts`."""
        for symbol, position in self.book.positions.items():
            lane = self.lanes[self._by_symbol[symbol]]
            bar = lane.last_bar(ts)
            self.book.mark(symbol, lane.instrument.price(float(lane.candles.close[bar])))
            position.stop = lane.stop_at(self.plan, bar)

    def _turn_days(self, ts: int, phase: int) -> None:
        """Open every risk day whose first moment comes before this visit."""
        book = self.book
        while (ts, phase) > (book.day_end, DAY):
            at = int(self._moments[np.searchsorted(self._moments, book.day_end)])
            if (at, DAY) >= (ts, phase):
                return
            self._mark(at)
            cleared = clears_streak(self.plan.account_gates, book)
            day = DayOpened(ts=at, equity=book.equity, end=day_end(at, self.plan.risk.zone), streak_cleared=cleared)
            book.apply(day)
            self.ledger.take([day], at)

    def _finish(self) -> None:
        from enigma_core.shells.history import finish

        for lane in self.lanes:
            if not self.book.holds(lane.symbol):
                lane.end_spell(len(lane.evaluation))
            refused = lane.refused()
            for gate, times in refused.items():
                if times:
                    self.rejected[gate] = self.rejected.get(gate, 0) + times
            self.ledger.failings.measured(lane.measured, refused)
        self._mark(self._last)
        finish(self.plan, self.book, self.ledger, self._last, {lane.symbol: float(lane.candles.close[-1]) for lane in self.lanes})
