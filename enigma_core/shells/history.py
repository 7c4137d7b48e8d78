"""Trading over a history: the plain backtest, bar by bar, and the entrance to the jumping one."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec
import numpy as np

from enigma_core.alert import Alert
from enigma_core.book import Book
from enigma_core.engine import Engine, Record
from enigma_core.errors import DataError
from enigma_core.market import BarsClosed, Funding, Market
from enigma_core.matching import Costing, SimulatedVenue, slipped
from enigma_core.model import Bar, Candles, Decision, Instrument, Order, Purpose, Trade
from enigma_core.parts import Note
from enigma_core.plan import Plan
from enigma_core.scoring import Evaluation, evaluate
from enigma_core.shells.driving import drive
from enigma_core.shells.failings import Failings
from enigma_core.timeframes import milliseconds

Progress = Callable[[float], None]


class Result(msgspec.Struct, kw_only=True):
    """What a backtest found. `faults` has what parts did wrong, a sentence each, and how often."""

    trades: list[Trade]
    start_equity: Decimal
    end_equity: Decimal
    bars: int
    rejected: dict[str, int]
    faults: dict[str, int]
    timing: dict[str, float]
    evaluations: dict[str, Evaluation]
    drafts: list[Callable[[], Decision]]
    left_out: tuple[str, ...] = ()
    """Timeframes that the data is too coarse for."""

    @property
    def decisions(self) -> list[Decision]:
        """The decisions that led to an order, in order of time; written out when asked for."""
        return [draft() for draft in self.drafts]


class Ledger:
    """What happens in a backtest, in order: to a journal if there is one, and the parts a report needs."""

    def __init__(self, journal: Any | None, failings: Failings) -> None:
        self.failings = failings
        self.trades: list[Trade] = []
        self.drafts: list[Callable[[], Decision]] = []
        self._journal = journal

    def decide(self, draft: Callable[[], Decision], order: Order, ts: int) -> None:
        """An entry was decided on."""
        self.drafts.append(draft)
        if self._journal is not None:
            self._journal.write([draft(), order], ts)

    def take(self, records: Iterable[Record | Alert], ts: int) -> None:
        """Anything else happened."""
        if self._journal is not None and records:
            self._journal.write(list(records), ts)

    def walk(self, records: list[Record], ts: int) -> None:
        """One step of the engine."""
        for record in records:
            if type(record) is Trade:
                self.trades.append(record)
                self.failings.left(record.symbol)
            elif type(record) is Decision:
                self.failings.decision(record)
                if record.order_id is not None:
                    self.drafts.append(partial(_same, record))
            elif type(record) is Note and record.event == "exit_fault":
                self.failings.held(record.title, (record.text,))
        self.take(records, ts)


def _same(decision: Decision) -> Decision:
    return decision


class Row:
    """A scorer that has scored everything beforehand and hands out one row at a time."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation
        self._rows = {int(ts): i for i, ts in enumerate(evaluation.ts)}
        self._at: int | None = None
        self._bar: tuple[int, int] | None = None

    @property
    def primary_closed(self) -> bool:
        return self._at is not None

    @property
    def ready(self) -> bool:
        return self._at is not None

    @property
    def last_close(self) -> float:
        assert self._at is not None
        return float(self._evaluation.close[self._at])

    @property
    def last_bar(self) -> tuple[int, int] | None:
        return self._bar

    def push(self, bar: Bar) -> None:
        self._bar = (bar.ts, bar.end)
        self._at = self._rows.get(bar.end)

    def evaluate(self, market: Market | None, now: int) -> Evaluation:
        assert self._at is not None
        return self._evaluation.row(self._at)


def batches(candles: Mapping[str, Candles]) -> Iterable[BarsClosed]:
    """Bars that close together, oldest first; symbols in the order given."""
    steps = {s: milliseconds(c.timeframe) for s, c in candles.items()}
    columns = {
        s: list(zip(*(a.tolist() for a in (c.ts, c.open, c.high, c.low, c.close, c.volume)), strict=True))
        for s, c in candles.items()
    }
    at = dict.fromkeys(candles, 0)
    for end in moments(candles).tolist():
        bars = {}
        for symbol, rows in columns.items():
            i = at[symbol]
            if i < len(rows) and rows[i][0] + steps[symbol] == end:
                ts, o, h, low, c, v = rows[i]
                bars[symbol] = Bar(symbol, ts, end, o, h, low, c, v)
                at[symbol] = i + 1
        yield BarsClosed(end, bars)


def moments(candles: Mapping[str, Candles]) -> np.ndarray:
    """When any bar closes, ascending: int64 ms."""
    ends = [c.ts + milliseconds(c.timeframe) for c in candles.values()]
    return ends[0] if len(ends) == 1 else np.unique(np.concatenate(ends))


def backtest(
    plan: Plan,
    candles: Mapping[str, Candles],
    instruments: Mapping[str, Instrument],
    funding: Mapping[str, Funding | None] | None = None,
    *,
    start: int | None = None,
    jump: bool = True,
    progress: Progress | None = None,
    journal: Any | None = None,
) -> Result:
    """Trade `plan` over history. With `jump` only the bars where something can happen are visited; the trades are the same.

    With `start` (ms) only the bars that open from then on are traded; those before warm the indicators up. `progress` is told
    the share done, 0 to 1. Raises `DataError` when there is nothing to trade on.
    """
    traded = {s: c for s, whole in candles.items() if len(c := opened_from(whole, start))}
    if not traded:
        raise DataError("there is no bar to trade on: widen the timerange or name other symbols")
    with _uncollected():
        return _traded(plan, {s: candles[s] for s in traded}, traded, instruments, funding or {}, jump, progress, journal)


def opened_from(candles: Candles, start: int | None) -> Candles:
    """The bars that open at `start` (ms) or later; all of them without it."""
    return candles if start is None else candles[int(np.searchsorted(candles.ts, start)) :]


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the garbage collector: a backtest makes no cycles, and looking for them among its records costs a tenth of it."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _traded(
    plan: Plan,
    known: Mapping[str, Candles],
    candles: Mapping[str, Candles],
    instruments: Mapping[str, Instrument],
    funding: Mapping[str, Funding | None],
    jump: bool,
    progress: Progress | None,
    journal: Any | None,
) -> Result:
    from enigma_core.shells.jumping import jump_through

    began = time.perf_counter()
    evaluations = {}
    for number, (symbol, base) in enumerate(known.items(), 1):
        whole = evaluate(base, plan, funding.get(symbol))
        # a row belongs to the bar whose close made it known
        before = len(base) - len(candles[symbol])
        first = int(np.searchsorted(whole.ts, base.ts[before] + milliseconds(base.timeframe))) if before else 0
        evaluations[symbol] = whole.rows(slice(first, None)) if first else whole
        if progress is not None:
            progress(0.5 * number / len(candles))
    scored = time.perf_counter()
    book = Book(plan.account.equity, instruments)
    ledger = Ledger(journal, Failings(evaluations.values()))
    told = (lambda share: progress(0.5 + share / 2)) if progress is not None else None
    loop = jump_through if jump else walk_through
    rejected = loop(plan, candles, instruments, funding, evaluations, book, ledger, told)
    return Result(
        trades=ledger.trades,
        drafts=ledger.drafts,
        start_equity=plan.account.equity,
        end_equity=book.equity,
        bars=sum(len(c) for c in candles.values()),
        rejected=rejected,
        faults=ledger.failings.times,
        timing={"indicators_s": scored - began, "simulation_s": time.perf_counter() - scored},
        evaluations=evaluations,
        left_out=tuple(dict.fromkeys(name for evaluation in evaluations.values() for name in evaluation.left_out)),
    )


def walk_through(
    plan: Plan,
    candles: Mapping[str, Candles],
    instruments: Mapping[str, Instrument],
    funding: Mapping[str, Funding | None],
    evaluations: Mapping[str, Evaluation],
    book: Book,
    ledger: Ledger,
    progress: Progress | None,
) -> dict[str, int]:
    """The plain backtest, bar by bar: the reference that the jumping one is held against. Returns refusals by gate."""
    venue = SimulatedVenue(instruments, plan.costs, funding)
    engine = Engine(plan, book, instruments, {s: Row(e) for s, e in evaluations.items()})
    total = max(1, len(moments(candles)))
    ts = 0
    for number, event in enumerate(batches(candles)):
        records = drive(engine, venue, event)
        ts = event.ts
        ledger.walk(records, ts)
        if progress is not None and number % 1000 == 0:
            progress(number / total)
    finish(plan, book, ledger, ts, {s: float(c.close[-1]) for s, c in candles.items()})
    return engine.rejected


def finish(plan: Plan, book: Book, ledger: Ledger, ts: int, closes: Mapping[str, float]) -> None:
    """Close what is open at the last bar's close, reason `end`."""
    costing = Costing(plan.costs)
    for symbol in [s for s in closes if s in book.positions]:
        position = book.positions[symbol]
        instrument = book.instruments[symbol]
        order = Order(
            id=f"{position.decision_id}-end",
            decision_id=position.decision_id,
            ts=ts,
            symbol=symbol,
            side=-1 if position.side > 0 else 1,
            quantity=position.quantity,
            purpose=Purpose.CLOSE,
            leverage=position.leverage,
            reason="end",
        )
        price = slipped(closes[symbol], order.side, instrument, costing.slippage)
        fill = costing.fill(order, ts, order.quantity, price, instrument, "end")
        book.apply(order)
        trade = book.apply(fill)
        assert trade is not None
        ledger.walk([order, fill, trade], ts)
