"""The evaluation of one symbol as its bars close, one at a time: equal to `scoring.evaluate` over the same bars, bit for bit.

Each timeframe keeps its own bars, built from the base bars as they come. Each indicator that streams keeps a `Tape` a
timeframe, so a bar costs it one step; the others see a window of their warm-up.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from enigma_core.errors import DataError
from enigma_core.faults import Fault, Quarantine, check_one, raised, shape_reason
from enigma_core.lines import TAIL, VECTOR, Floats, Tape
from enigma_core.market import Market
from enigma_core.model import Bar, Candles
from enigma_core.parts import Indicator, LiveIndicator
from enigma_core.plan import Plan
from enigma_core.rolling import Rolling
from enigma_core.scoring import (
    Evaluation,
    Lines,
    judge,
    line_of,
    no_line,
    point_now,
    quiet_below,
    settled,
    tally_one,
    usable,
    voters,
)
from enigma_core.timeframes import Buckets, bucket_start, milliseconds, resampled

NAN = math.nan
ZERO_INDEX = np.zeros(1, np.int64)


class Reader:
    """One method of one indicator (its points, or its line) on one timeframe, a closed bar at a time."""

    __slots__ = ("_tape", "bound", "method", "name", "part", "silent", "value", "warmup")

    def __init__(self, name: str, part: Indicator, *, votes: bool) -> None:
        self.name, self.part = name, part
        self.method: Callable[[Candles], Any] = part.points if votes else part.line
        self.bound = part.max_points if votes else None
        self.warmup = -1
        self.value = NAN
        self.silent = False
        """True for the line of an indicator that offers none."""
        self._tape = Tape() if part.streams else None

    def read(self, bars: Rolling, tail: Candles) -> str | None:
        """Set `value` for the newest bar; gives the reason where it does not count and is NaN. `tail` is the newest bars."""
        tape = self._tape
        try:
            if self.warmup < 0:
                self.warmup = max(self.part.warmup, 0)
            if tape is None:
                candles = bars.newest(max(self.warmup, 1), VECTOR)
                answer = self.method(candles)
            elif tape.open:
                tape.rewind()
                candles = Candles(
                    tail.symbol, tail.timeframe, tail.ts, tail.open, tail.high, tail.low, tail.close, tail.volume, tape
                )
                answer = self.method(candles)
            else:
                tape.rewind()
                candles = bars.newest(bars.held, tape)
                answer = self.method(candles)
                tape.settle(bars.held)
            if answer is None and self.bound is None:
                self.silent, self.value = True, NAN
                return None
            reason = shape_reason(answer, len(candles.ts))
            if reason is None:
                self.value = value = float(answer[-1])
                if self.bound is None:
                    return None
                reason = check_one(value, self.bound, bars.count > self.warmup)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a part's fault stays its own
            reason = raised(error)
            # some of its lines may have moved on and others not: start again from the bars that are held
            if tape is not None:
                tape.close()
        if reason is not None:
            self.value = NAN
        return reason


class Quiet:
    """Whether the newest ATR/close is in the quiet part of its window; `scoring.quiet_bars`, one bar at a time."""

    __slots__ = ("_below", "_n", "_values", "_window")

    def __init__(self, window: int, below: float) -> None:
        self._window, self._below = window, below
        self._values = np.empty(max(1024, 4 * window))
        self._n = 0

    def see(self, atr_ratio: float) -> None:
        """One more bar; NaN before the first number is not counted."""
        if self._n == 0 and atr_ratio != atr_ratio:
            return
        if self._n == len(self._values):
            self._values[: self._window] = self._values[-self._window :]
            self._n = self._window
        self._values[self._n] = atr_ratio
        self._n += 1

    def recall(self, atr_ratios: Floats) -> None:
        """The bars before the first one to be seen."""
        known = np.flatnonzero(atr_ratios == atr_ratios)
        if len(known):
            for value in atr_ratios[max(int(known[0]), len(atr_ratios) - self._window) :].tolist():
                self.see(value)

    def __call__(self, atr_ratio: float) -> bool:
        """True when fewer than `below` bars of the full window lie strictly below the newest."""
        if self._n < self._window or atr_ratio != atr_ratio:
            return False
        return int(np.count_nonzero(self._values[self._n - self._window : self._n] < atr_ratio)) < self._below


class Frame:
    """One timeframe: its bars, the newest points of each voter, its lines in use, and its score."""

    def __init__(self, base: Rolling, timeframe: str, plan: Plan, keep: int, quarantine: Quarantine) -> None:
        self.timeframe = timeframe
        self.length = milliseconds(timeframe)
        self.limit = plan.thresholds.max_score
        self.base = base
        self.is_base = timeframe == base.timeframe
        self.bars = base if self.is_base else Rolling(base.symbol, timeframe, keep)
        self.voters = [Reader(name, part, votes=True) for name, part in voters(plan).items()]
        self.lines: dict[str, Reader] = {}
        self.quarantine = quarantine
        self.score = NAN
        self.known = -1
        self.faults: list[Fault] = []
        self.atr: Reader | None = None
        self.quiet: Quiet | None = None
        """With `atr`, of the primary timeframe only."""
        self.first = 0
        self.opened: int | None = None

    def take(self, bar: Bar, end: int) -> bool:
        """One more base bar, already in `base`, that closes at `end`. True when a bar of this timeframe became known."""
        if self.is_base:
            self.step(end)
            return True
        start = bucket_start(bar.ts, self.timeframe)
        index = self.base.count - 1
        closed = False
        if self.opened is not None and self.opened != start:
            self._close(index, end)
            closed = True
        if self.opened is None:
            self.first, self.opened = index, start
        if end >= start + self.length:
            self._close(index + 1, end)
            closed = True
        return closed

    def _close(self, stop: int, end: int) -> None:
        assert self.opened is not None
        part = self.base.between(self.first, stop, VECTOR)
        # reduceat over the bucket's own bars is what `timeframes.gather` does over all of them
        volume = np.add.reduceat(part.volume, ZERO_INDEX)[0]
        if self.bars.full:
            self.bars.forget()
        self.bars.append(
            self.opened,
            part.open[0],
            np.maximum.reduce(part.high),
            np.minimum.reduce(part.low),
            part.close[-1],
            volume,
        )
        self.opened = None
        self.step(end)

    def step(self, end: int) -> None:
        """Points, score and lines as of the newest bar, which became known at `end`."""
        self.known = end
        self.faults = []
        tail = self.bars.newest(TAIL, VECTOR)
        for reader in self.voters:
            self.read(reader, tail)
        for reader in self.lines.values():
            self.read(reader, tail)
        self.score = settled(tally_one([reader.value for reader in self.voters]).score, self.limit)
        if self.quiet is not None and self.atr is not None:
            self.quiet.see(self.atr.value / self.bars.last_close)

    def read(self, reader: Reader, tail: Candles) -> None:
        """Let `reader` see the newest bar, and name it where it fails."""
        if reader.name in self.quarantine.off:
            reader.value = NAN
            if reader.bound is not None:
                self.faults.append(Fault(reader.name, self.timeframe, "is switched off"))
            return
        reason = reader.read(self.bars, tail)
        if reason is not None:
            fault = Fault(reader.name, self.timeframe, reason)
            self.faults.append(fault)
            self.quarantine.strike(fault, self.known)

    def line(self, name: str, part: Indicator) -> Reader:
        """The line of `part` as of the newest bar; kept up from then on."""
        reader = self.lines.get(name)
        if reader is None:
            reader = self.lines[name] = Reader(name, part, votes=False)
            if self.bars.held:
                self.read(reader, self.bars.newest(TAIL, VECTOR))
        return reader

    def warm(self, history: Candles) -> None:
        """Take in what `history`, already in `base`, makes of this timeframe. Only for a frame without bars."""
        candles, known = resampled(history, self.timeframe)
        if not self.is_base:
            rest = Buckets(history.ts, history.timeframe, self.timeframe).rest
            if rest < len(history):
                self.first, self.opened = rest, bucket_start(int(history.ts[rest]), self.timeframe)
            self.bars.extend(candles)
        if not len(candles):
            return
        if self.quiet is not None and self.atr is not None:
            line = line_of(self.atr.part, candles)
            if line is not None:
                self.quiet.recall((line / candles.close)[:-1])
        self.step(int(known[-1]))


class LiveEvaluator:
    """Scores one symbol as its base bars close.

    >>> evaluator = LiveEvaluator("BTC/USDT:USDT", "5m", plan)          # doctest: +SKIP
    >>> evaluator.warm(history)                                         # doctest: +SKIP
    >>> evaluator.push(bar)                                             # doctest: +SKIP
    >>> if evaluator.primary_closed:                                    # doctest: +SKIP
    ...     evaluation = evaluator.evaluate(market, bar.end)

    `quarantine` counts the faults of indicators; give all symbols of a run the same one. Raises `ConfigError` when the primary or
    secondary timeframe cannot be built from the base.
    """

    def __init__(self, symbol: str, base_timeframe: str, plan: Plan, quarantine: Quarantine | None = None) -> None:
        self.symbol, self.plan = symbol, plan
        self.quarantine = Quarantine() if quarantine is None else quarantine
        settings = plan.timeframes
        self.timeframes, self.left_out = usable(settings, base_timeframe)
        self._step = milliseconds(base_timeframe)
        keep = max([512, *(2 * _warmup(part) for part in plan.indicators.values())])
        self._base = Rolling(symbol, base_timeframe, keep)
        self._frames = {t: Frame(self._base, t, plan, keep, self.quarantine) for t in self.timeframes}
        self._primary = self._frames[settings.primary]
        self._names = tuple(reader.name for reader in self._primary.voters)
        rule = plan.confidence
        self._quiet = self._primary.quiet = Quiet(rule.quiet_window, quiet_below(rule))
        self._last_ts = -1
        self.primary_closed = False
        """True when the bar pushed last completed a primary bar."""
        # the primary's faults first, as over a history
        self._ordered = [self._primary, *(frame for frame in self._frames.values() if frame is not self._primary)]
        wanted = {(settings.primary, "atr")}
        for timeframe in (settings.primary, settings.secondary or settings.primary):
            wanted |= {(timeframe, name) for name in _reads(plan)}
        for timeframe, name in sorted(wanted):
            if name in plan.indicators:
                reader = self._frames[timeframe].line(name, plan.indicators[name])
                if name == "atr" and timeframe == settings.primary:
                    self._primary.atr = reader

    @property
    def ready(self) -> bool:
        """True once a primary bar has closed, so that there is something to evaluate."""
        return self._primary.known >= 0

    @property
    def last_close(self) -> float:
        """The newest price there is; NaN before the first bar."""
        return self._base.last_close if self._base.held else NAN

    @property
    def last_bar(self) -> tuple[int, int] | None:
        """When the newest base bar opened and closed, ms."""
        return (self._last_ts, self._last_ts + self._step) if self._last_ts >= 0 else None

    def warm(self, candles: Candles) -> None:
        """Take in closed base bars at once, oldest first. Nothing counts as just closed afterwards."""
        if self._base.count:
            for i in range(len(candles)):
                self.push(bar_at(candles, i))
            self.primary_closed = False
            return
        if not len(candles):
            return
        self._base.extend(candles)
        self._last_ts = int(candles.ts[-1])
        for frame in self._frames.values():
            frame.warm(candles)
        for frame in self._frames.values():
            if frame.bars is not self._base:
                frame.bars.forget()
        self._base.forget(self._hold())

    def _hold(self) -> int:
        """The first base bar that an unfinished bar still needs."""
        return min([self._base.count, *(frame.first for frame in self._frames.values() if frame.opened is not None)])

    def push(self, bar: Bar) -> None:
        """One closed base bar. Raises `DataError` when it is not newer than the one before."""
        if bar.ts <= self._last_ts:
            raise DataError(f"{self.symbol}: the bar of {bar.ts} came after that of {self._last_ts}; bars must come in order, once")
        self._last_ts = bar.ts
        base = self._base
        if base.full:
            base.forget(self._hold())
        base.append(bar.ts, bar.open, bar.high, bar.low, bar.close, bar.volume)
        end = bar.ts + self._step
        self.primary_closed = False
        for frame in self._frames.values():
            if frame.take(bar, end) and frame is self._primary:
                self.primary_closed = True

    def evaluate(self, market: Market | None, now: int) -> Evaluation:
        """The newest primary bar, as one row; microstructure votes too where there is a `market`, as of `now` (ms).

        The row must be read before the next bar is pushed. Raises `DataError` before the first primary bar has closed.
        """
        primary, plan = self._primary, self.plan
        if primary.known < 0:
            raise DataError(f"{self.symbol}: no bar of {primary.timeframe} has closed yet, so there is nothing to evaluate")
        names, limit = self._names, plan.thresholds.max_score
        points = [reader.value for reader in primary.voters]
        faults = [fault for frame in self._ordered for fault in frame.faults]
        if market is not None and plan.microstructure:
            seen = [self._point_now(name, part, market, now, faults) for name, part in plan.microstructure.items()]
            if any(point == point for point in seen):
                limit = plan.thresholds.max_score_live
            names, points = names + tuple(plan.microstructure), points + seen
        votes = tally_one(points)
        atr = NAN if primary.atr is None else primary.atr.value
        close = primary.bars.last_close
        ratio = atr / close
        verdict = judge(votes, ratio, self._quiet(ratio), plan.confidence, limit)
        score = np.array([verdict.score])
        scores = {t: score if f is primary else np.array([f.score]) for t, f in self._frames.items()}
        return Evaluation(
            symbol=self.symbol,
            timeframe=primary.timeframe,
            secondary=plan.timeframes.secondary,
            dead_zone=plan.timeframes.dead_zone,
            ts=np.array([primary.known]),
            close=np.array([close]),
            names=names,
            points=np.array(points).reshape(-1, 1),
            score=score,
            side=np.sign(score).astype(np.int64),
            confidence=np.array([verdict.confidence]),
            agreeing=np.array([verdict.agreeing]),
            voting=np.array([votes.voting]),
            atr=np.array([atr]),
            scores=scores,
            lines=Lines(partial(self._line, self._base.count)),
            market=market,
            left_out=self.left_out,
            faults=tuple(faults),
        )

    def _point_now(self, name: str, part: LiveIndicator, market: Market, now: int, faults: list[Fault]) -> float:
        """A microstructure part's points, NaN where it abstains, fails or is switched off."""
        timeframe = self._primary.timeframe
        if name in self.quarantine.off:
            faults.append(Fault(name, timeframe, "is switched off"))
            return NAN
        point, reason = point_now(part, market, now)
        if reason is None:
            return point
        fault = Fault(name, timeframe, reason)
        faults.append(fault)
        self.quarantine.strike(fault, now)
        return NAN

    def _line(self, count: int, timeframe: str, name: str) -> Floats:
        if count != self._base.count:
            raise DataError(f"{self.symbol}: the line of {name} was asked for after the next bar; read an evaluation before it")
        part = self.plan.indicators.get(name)
        reader = self._frames[timeframe].line(name, part) if part is not None and timeframe in self._frames else None
        if reader is None or reader.silent:
            raise no_line(self.plan, timeframe, name, self.timeframes)
        return np.array([reader.value])


def _warmup(part: Indicator) -> int:
    try:
        return max(part.warmup, 0)
    except (Exception, SystemExit):  # noqa: BLE001 - named as a fault when it is asked for points
        return 0


def _reads(plan: Plan) -> set[str]:
    """Indicators whose lines the gates of the plan read."""
    return {name for gate in plan.market_gates.values() for name in gate.reads}


def bar_at(candles: Candles, i: int) -> Bar:
    """Bar `i` of `candles` as an event."""
    ts = int(candles.ts[i])
    return Bar(
        candles.symbol,
        ts,
        ts + milliseconds(candles.timeframe),
        float(candles.open[i]),
        float(candles.high[i]),
        float(candles.low[i]),
        float(candles.close[i]),
        float(candles.volume[i]),
    )
