"""The live path: one closed bar from indicators to journal, and a scan of many symbols, against windows of bare TA-Lib."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Iterator, Sequence
from itertools import islice

import workload
from floor import floor, windows
from measuring import Finding, Goal, in_turn, seconds

from enigma_core.book import Book
from enigma_core.engine import Engine
from enigma_core.journal import Memory
from enigma_core.live import LiveEvaluator, bar_at
from enigma_core.market import BarsClosed, Market, MarketEvent
from enigma_core.matching import SimulatedVenue
from enigma_core.model import Bar, Decision
from enigma_core.plan import Plan
from enigma_core.scoring import Evaluation
from enigma_core.shells.driving import drive
from enigma_plugins.feeds.synthetic import Synthetic

BLOCK = 100
"""Bars that one subject is measured on before it is the next one\'s turn."""

WARM = 3000
"""Bars of 5 m that an evaluator takes in before anything is measured."""

WINDOW = 300
"""Bars of the windows that bare TA-Lib works over."""

ASKED = (*workload.OPEN, "gates.score.min=0", "gates.liquidity.min=0", "gates.spread.max=1", "gates.exposure.max=0.00001")
"""All market gates pass and all account gates are asked; one refuses, so that no position keeps the next bar from being decided."""

FOUR_HOURS = 48
"""Bars of 5 m."""


class Timed:
    """A scorer that adds up the time spent in it: the indicators as a bar is pushed, the rest of an evaluation."""

    def __init__(self, scorer: LiveEvaluator) -> None:
        self._scorer = scorer
        self.pushing: list[float] = []
        self.evaluating: list[float] = []

    @property
    def primary_closed(self) -> bool:
        return self._scorer.primary_closed

    def push(self, bar: Bar) -> None:
        began = time.perf_counter_ns()
        self._scorer.push(bar)
        self.pushing.append((time.perf_counter_ns() - began) / 1e9)

    def evaluate(self, market: Market | None, now: int) -> Evaluation:
        began = time.perf_counter_ns()
        evaluation = self._scorer.evaluate(market, now)
        self.evaluating.append((time.perf_counter_ns() - began) / 1e9)
        return evaluation


class Tape:
    """The first bars of one symbol of the synthetic market: those to warm up on, and all that is seen after them."""

    def __init__(self, bars: int) -> None:
        self.feed = Synthetic()
        (self.symbol,) = self.feed.symbols()[:1]
        self.candles = self.feed.history(self.symbol, "5m")[: WARM + bars]
        self.events = asyncio.run(self._seen(int(self.candles.ts[WARM]), bars))

    async def _seen(self, since: int, bars: int) -> list[MarketEvent]:
        events: list[MarketEvent] = []
        async for event in self.feed.stream((self.symbol,), "5m", since):
            events.append(event)
            bars -= type(event) is BarsClosed
            if not bars:
                break
        return events


class Desk:
    """The tape traded live; with `trades` on the paper venue, else orders lead nowhere. `blind` shows bars alone."""

    def __init__(self, plan: Plan, tape: Tape, *, trades: bool = False, blind: bool = False) -> None:
        instruments = {tape.symbol: tape.feed.instrument(tape.symbol)}
        evaluator = LiveEvaluator(tape.symbol, "5m", plan)
        evaluator.warm(tape.candles[:WARM])
        self.scorer = Timed(evaluator)
        self.journal = Memory()
        self._tape = tape
        self._market = None if blind else Market(tape.symbol)
        self._venue = SimulatedVenue(instruments, plan.costs, {tape.symbol: None}) if trades else None
        markets = {} if self._market is None else {tape.symbol: self._market}
        self._engine = Engine(plan, Book(plan.account.equity, instruments), instruments, {tape.symbol: self.scorer}, markets)

    def closes(self) -> Iterator[float]:
        """Seconds from each closed bar to its records in the journal."""
        for event in self._tape.events:
            if type(event) is not BarsClosed:
                if self._market is not None:
                    self._market.see(event)
                if self._venue is not None:
                    self.journal.write(drive(self._engine, self._venue, event), event.ts)
                continue
            began = time.perf_counter_ns()
            records = self._engine.step(event) if self._venue is None else drive(self._engine, self._venue, event)
            self.journal.write(records, event.ts)
            yield (time.perf_counter_ns() - began) / 1e9

    @property
    def decisions(self) -> list[Decision]:
        """What was decided, and journaled."""
        return [record for _, step in self.journal.steps for record in step if type(record) is Decision]


def live(quick: bool) -> Finding:
    """One closed bar of one symbol, from all indicators and gates to the journal."""
    n = 200 if quick else 5000
    tape = Tape(n)
    asked = workload.plan(*ASKED)
    desks = {
        "all": Desk(asked, tape),
        "candles": Desk(asked, tape, blind=True),
        "trading": Desk(workload.plan(*workload.OPEN), tape, trades=True),
        "defaults": Desk(workload.plan(), tape, trades=True),
    }
    times: dict[str, list[float]] = {name: [] for name in ("bare", *desks)}
    gc.collect()
    gc.freeze()  # the tape is the benchmark's own: a run does not hold its future, and need not look through it for garbage
    # in turn, a block of bars each: all meet the same disturbances, and none is measured in another's leavings
    turns = {name: desk.closes() for name, desk in desks.items()}
    for first in range(WARM + 1, WARM + 1 + n, BLOCK):
        last = min(first + BLOCK, WARM + 1 + n)
        for name, turn in turns.items():
            times[name] += islice(turn, last - first)
        for i in range(first, last):
            window = tape.candles[i - WINDOW : i]
            began = time.perf_counter_ns()
            floor(window, adx=True)
            times["bare"].append((time.perf_counter_ns() - began) / 1e9)
    gc.unfreeze()
    found = Finding("live", "a closed bar of 5m: indicators, microstructure, gates, sizing, decision, journal in memory", n)
    medians = {name: statistics.median(each) for name, each in times.items()}
    found.figures |= {f"{name}_median_s": median for name, median in medians.items()}
    found.figures |= {f"{name}_p99_s": p99(each) for name, each in times.items()}
    full = sum(len(d.verdicts) == len(asked.market_gates) + len(asked.account_gates) for d in desks["all"].decisions)
    indicators, evaluation = (statistics.median(t) for t in (desks["all"].scorer.pushing, desks["all"].scorer.evaluating))
    found.figures |= {"bars": n, "decisions_by_all_gates": full, "indicators_s": indicators, "evaluation_s": evaluation}
    found.lines += [
        row(f"every gate asked, on {full:,} of {n:,} bars", times["all"]),
        row("  the same on candles alone", times["candles"]),
        row(f"bare TA-Lib over windows of {WINDOW} bars", times["bare"]),
        row("trading on the paper venue", times["trading"]),
        row("the defaults: six timeframes, signals of 30m", times["defaults"]),
        f"ratio of the first to bare TA-Lib: median {medians['all'] / medians['bare']:.2f}; of it, indicators "
        f"{seconds(indicators)}, microstructure and score {seconds(evaluation)}, gates, sizing, decision, journal "
        f"{seconds(medians['all'] - indicators - evaluation)}",
    ]
    found.goals.append(Goal("a closed bar, median:", medians["all"] * 1e6, 250, " us"))
    return found


def scan(quick: bool) -> Finding:
    """The newest bar of 100 symbols on six timeframes."""
    symbols, repeats = (5, 2) if quick else (100, 7)
    warm = 200 * FOUR_HOURS
    plan = workload.plan()
    markets = workload.markets(symbols, warm + repeats * FOUR_HOURS)
    evaluators = {symbol: LiveEvaluator(symbol, "5m", plan) for symbol in markets}
    for symbol, evaluator in evaluators.items():
        evaluator.warm(markets[symbol][:warm])
    seen = [warm]

    def push(count: int) -> None:
        for symbol, evaluator in evaluators.items():
            for i in range(seen[0], seen[0] + count):
                evaluator.push(bar_at(markets[symbol], i))
        seen[0] += count

    bars = []

    def approach() -> None:
        """Up to the last bar before a moment at which bars of all six timeframes close."""
        push(FOUR_HOURS - 1)
        bars[:] = [bar_at(candles, seen[0]) for candles in markets.values()]
        seen[0] += 1

    def whole() -> None:
        for evaluator, bar in zip(evaluators.values(), bars, strict=True):
            evaluator.push(bar)
            evaluator.evaluate(None, bar.end)

    frames = len(next(iter(evaluators.values())).timeframes)
    pieces = windows(next(iter(markets.values())), WINDOW, symbols * frames)

    def bare() -> None:
        for window in pieces:
            floor(window)

    times = in_turn(repeats, {"scan": whole, "floor": bare}, before=approach)
    found = Finding("scan", f"the newest bars of {symbols} symbols x {frames} timeframes, all closing at once", repeats)
    found.tell(times, "scan", "floor")
    each = times["scan"].median / (symbols * frames)
    found.figures |= {"symbols": symbols, "timeframes": frames, "s_a_bar": each}
    found.lines.append(f"the floor is bare TA-Lib over {len(pieces)} windows of {WINDOW} bars; a bar of the scan {seconds(each)}")
    found.goals.append(Goal("a scan, median:", times["scan"].median, 0.25, " s"))
    return found


def p99(times: Sequence[float]) -> float:
    """What 99 of 100 stay below."""
    return statistics.quantiles(times, n=100)[98]


def row(what: str, times: Sequence[float]) -> str:
    """One line of the table."""
    return f"{what:<48} median {seconds(statistics.median(times)):>8}   p99 {seconds(p99(times)):>8}"
