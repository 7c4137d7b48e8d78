"""Points to score, class, confidence, agreement: the Evaluation of one symbol's primary bars.

A backtest evaluates all bars at once, the live path the newest one (`live.LiveEvaluator`). Both add votes up in the order of
the configuration and judge them by `judge`, the same floating-point operations in the same order, so a live row equals its
row of the backtest to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from enigma_core.errors import ConfigError
from enigma_core.faults import Checked, Fault, check_one, checked, raised, shape_reason
from enigma_core.lines import Floats, talib
from enigma_core.market import Funding, Market
from enigma_core.model import Candles, Class
from enigma_core.parts import Indicator, LiveIndicator
from enigma_core.plan import ConfidenceRule, Plan, Thresholds, Timeframes
from enigma_core.timeframes import Moments, align, fits, milliseconds, resampled

Ints = npt.NDArray[np.int64]

GRAIN = 1e9
"""Scores and confidences are rounded to 1/GRAIN, so that a sum of decimals meets the threshold it adds up to."""

CLASSES = (
    ("extreme", Class.EXTREME_BUY, Class.EXTREME_SELL),
    ("strong", Class.STRONG_BUY, Class.STRONG_SELL),
    ("plain", Class.BUY, Class.SELL),
    ("weak", Class.BUY_WEAK, Class.SELL_WEAK),
)


class Lines(dict[tuple[str, str], Floats]):
    """Raw lines by (timeframe, indicator), worked out when first read."""

    def __init__(self, find: Callable[[str, str], Floats]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, key: tuple[str, str]) -> Floats:
        self[key] = line = self._find(*key)
        return line


class Evaluation(msgspec.Struct, frozen=True, eq=False):
    """n closed bars of the primary timeframe, scored. Arrays are (n,) unless said; NaN where nothing is known.

    `ts` is when each row became knowable, ms, strictly ascending: the close of the base bar that ended the primary bar. `points`
    is (k, n), a row for each name in `names`.
    `side` is the score's sign. `agreeing` counts the larger camp, `voting` those that did not abstain. `scores` holds each
    timeframe's own score (the primary's included) as of the same moments, from bars closed by then. `market` is the live
    snapshot that belongs to the last row, None in a backtest. `left_out` are the timeframes of the settings that this data is too
    coarse for.
    """

    symbol: str
    timeframe: str
    secondary: str | None
    dead_zone: float
    ts: np.ndarray
    close: Floats
    names: tuple[str, ...]
    points: Floats
    score: Floats
    side: np.ndarray
    confidence: Floats
    agreeing: np.ndarray
    voting: np.ndarray
    atr: Floats
    scores: dict[str, Floats]
    lines: dict[tuple[str, str], Floats]
    market: Market | None = None
    left_out: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()

    def __len__(self) -> int:
        return len(self.ts)

    def line(self, name: str, timeframe: str | None = None) -> Floats:
        """The raw line of indicator `name` on `timeframe` (the primary unless said), as of each row: (n,).

        Raises `ConfigError` when the plan has no such indicator or timeframe, or the indicator offers no line.
        """
        return self.lines[(timeframe or self.timeframe, name)]

    def row(self, i: int) -> Evaluation:
        """Row `i` alone, as an evaluation of one row."""
        return self.rows(slice(i, i + 1))

    def rows(self, part: slice) -> Evaluation:
        """The rows of `part` as an evaluation of their own, with the faults that concern them."""
        told = [
            fault if fault.rows is None else msgspec.structs.replace(fault, rows=fault.rows[part])
            for fault in self.faults
            if fault.rows is None or fault.rows[part].any()
        ]
        return msgspec.structs.replace(
            self,
            ts=self.ts[part],
            close=self.close[part],
            points=self.points[:, part],
            score=self.score[part],
            side=self.side[part],
            confidence=self.confidence[part],
            agreeing=self.agreeing[part],
            voting=self.voting[part],
            atr=self.atr[part],
            scores={timeframe: line[part] for timeframe, line in self.scores.items()},
            lines=Lines(lambda timeframe, name: self.line(name, timeframe)[part]),
            faults=tuple(told),
        )

    def faults_at(self, row: int) -> tuple[str, ...]:
        """Who abstained by fault in `row`, and why, a sentence each."""
        return tuple(str(fault) for fault in self.faults if fault.concerns(row))


def klass(score: float, thresholds: Thresholds) -> Class:
    """What a score is called. NaN is NEUTRAL.

    >>> klass(-65.0, Thresholds())
    <Class.SELL: 'SELL'>
    """
    size = abs(score)
    for name, bullish, bearish in CLASSES:
        if size >= getattr(thresholds, name):
            return bullish if score > 0 else bearish
    return Class.NEUTRAL


def usable(timeframes: Timeframes, base: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The timeframes that data of `base` can serve (primary and secondary included), ascending, and those left out.

    Raises `ConfigError` when the primary or the secondary cannot be built.
    """
    wanted = {*timeframes.available, timeframes.primary}
    for role, timeframe in (("primary", timeframes.primary), ("secondary", timeframes.secondary)):
        if timeframe is None:
            continue
        wanted.add(timeframe)
        if not fits(base, timeframe):
            raise ConfigError(
                f"timeframes.{role} is {timeframe}, which bars of {base} cannot make: use {base} or a whole multiple of it, "
                "or finer data"
            )
    ordered = sorted(wanted, key=milliseconds)
    return tuple(t for t in ordered if fits(base, t)), tuple(t for t in ordered if not fits(base, t))


def voters(plan: Plan) -> dict[str, Indicator]:
    """The indicators that vote, in the order of the configuration."""
    return {name: part for name, part in plan.indicators.items() if part.max_points > 0}


class Tally(msgspec.Struct, eq=False):
    """The votes of each bar: sum of points, how many are positive, negative, and not abstaining. Arrays (n,), or numbers."""

    score: Any
    bulls: Any
    bears: Any
    voting: Any

    @classmethod
    def empty(cls, n: int) -> Tally:
        """No votes yet, for n bars."""
        return cls(np.zeros(n), *np.zeros((3, n), np.int16))

    def add(self, answer: Checked) -> None:
        """One indicator's votes on top. Sums depend on the order to the last bit: it is that of the configuration."""
        points = answer.points
        if answer.first >= 0:
            self.score[answer.first :] += points[answer.first :]
        else:
            self.score += np.where(answer.known, points, 0.0)
        self.bulls += points > 0
        self.bears += points < 0
        self.voting += answer.known


def tally_one(points: Iterable[float]) -> Tally:
    """All votes on one bar: NaN abstains."""
    score, bulls, bears, voting = 0.0, 0, 0, 0
    for point in points:
        if point == point:
            score += point
            bulls += point > 0
            bears += point < 0
            voting += 1
    return Tally(score, bulls, bears, voting)


class Judgement(msgspec.Struct, eq=False):
    """What the votes amount to; each a number, or an array of them."""

    score: Any
    agreeing: Any
    confidence: Any


def rounded(x: Any) -> Any:
    """`x`, a number or an array, rounded half to even to the grain; never -0.0."""
    if isinstance(x, float):
        return round(x * GRAIN) / GRAIN
    grains = x * GRAIN
    np.rint(grains, grains)
    grains += 0.0
    grains /= GRAIN
    return grains


def clamped(x: Any, low: float, high: float) -> Any:
    """`x`, a number or an array, no less than `low` and no more than `high`."""
    if isinstance(x, float):
        return min(max(x, low), high)
    return np.minimum(np.maximum(x, low), high)


def settled(score: Any, limit: float) -> Any:
    """A sum of points (a number or an array), rounded to the grain and clamped to +-limit."""
    return clamped(rounded(score), -limit, limit)


def judge(votes: Tally, atr_ratio: Any, quiet: Any, rule: ConfidenceRule, limit: float) -> Judgement:
    """Score, agreement and confidence of bars (arrays) or of one bar (numbers).

    `atr_ratio` is ATR/close, NaN where unknown; `quiet` is true where it is in the quiet part of its window; `limit` is the
    clamp of the score. Plain operators only: what they do to an array's item they do to a number.
    """
    score = settled(votes.score, limit)
    size = abs(score)
    bulls, bears = votes.bulls, votes.bears
    more_bears = bears > bulls
    agreeing = bulls + more_bears * (bears - bulls)
    minority = bears - more_bears * (bears - bulls)
    # agreeing / voting < low_share, written so that no vote at all counts as low
    low = (agreeing / (votes.voting + (votes.voting == 0))) < rule.low_share
    wild = atr_ratio > rule.wild_atr
    penalty = (size < rule.weak_score) * rule.weak_penalty
    penalty = penalty + wild * rule.wild_penalty
    penalty = penalty + ((atr_ratio > rule.lively_atr) & (atr_ratio <= rule.wild_atr)) * rule.lively_penalty
    penalty = penalty + minority * rule.minority_penalty
    penalty = penalty + low * rule.low_share_penalty
    penalty = penalty + (quiet & (size < rule.quiet_score)) * rule.quiet_penalty
    return Judgement(score, agreeing, clamped(rounded(1.0 - penalty), 0.0, 1.0))


def quiet_below(rule: ConfidenceRule) -> float:
    """A bar is quiet when fewer bars than this, of the window's, have a smaller ATR/close."""
    return rule.quiet_quarter * rule.quiet_window


def quiet_bars(atr_ratio: Floats, rule: ConfidenceRule) -> npt.NDArray[np.bool_]:
    """True where ATR/close is in the quiet part of the last `quiet_window` bars, the bar itself included: (n,).

    In the lowest quarter means that fewer than a quarter of these bars lie strictly below. False until the window is full.
    """
    if not len(atr_ratio):
        return np.zeros(0, np.bool_)
    others = rule.quiet_window - 1
    # PERCENTRANK is the percentage of the `others` bars before that lie strictly below this one
    below = np.rint(talib().PERCENTRANK(atr_ratio, timeperiod=others) * (others / 100))
    quiet: npt.NDArray[np.bool_] = (below < quiet_below(rule)) & (atr_ratio == atr_ratio)
    return quiet


def answer_of(part: Indicator, name: str, candles: Candles) -> Checked | Fault:
    """An indicator's points over `candles`, checked; a `Fault` when there is nothing to use."""
    try:
        answer = part.points(candles)
        warmup = part.warmup
        reason = shape_reason(answer, len(candles))
        if reason is None:
            return checked(answer, part.max_points, warmup)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a part's fault stays its own
        reason = raised(error)
    return Fault(name, candles.timeframe, reason)


def score_timeframe(candles: Candles, parts: dict[str, Indicator], points: Floats | None = None) -> tuple[Tally, list[Fault]]:
    """The votes on all bars of one timeframe, and the faults. Fills `points` (k, n), a row for each part, where given."""
    votes = Tally.empty(len(candles))
    faults: list[Fault] = []
    for i, (name, part) in enumerate(parts.items() if len(candles) else ()):
        answer = answer_of(part, name, candles)
        if isinstance(answer, Fault):
            faults.append(answer)
            if points is not None:
                points[i] = math.nan
            continue
        if answer.reason is not None:
            faults.append(Fault(name, candles.timeframe, answer.reason, answer.rows))
        votes.add(answer)
        if points is not None:
            points[i] = answer.points
    return votes, faults


def line_of(part: Indicator, candles: Candles) -> Floats | None:
    """The raw line of an indicator over `candles`: (n,) float64. NaN when it fails; None when it offers none."""
    try:
        line = part.line(candles) if len(candles) else np.empty(0)
    except (Exception, SystemExit):  # noqa: BLE001 - what reads the line sees NaN, and NaN never passes a gate
        return np.full(len(candles), math.nan)
    if line is None:
        return None
    return line if shape_reason(line, len(candles)) is None else np.full(len(candles), math.nan)


def no_line(plan: Plan, timeframe: str, name: str, timeframes: Iterable[str]) -> ConfigError:
    """The sentence for a line that cannot be had."""
    if name not in plan.indicators:
        lines = ", ".join(plan.indicators) or "none"
        return ConfigError(f"indicator {name!r} is read by a gate but not among the indicators of this plan ({lines}): add it")
    if timeframe not in timeframes:
        return ConfigError(f"timeframe {timeframe!r} is read by a gate but not built here ({', '.join(timeframes)}): add it")
    return ConfigError(f"indicator {name!r} is read by a gate but offers no line")


def _aligned(fault: Fault, ends: Moments, moments: Moments) -> Fault:
    if fault.rows is None:
        return fault
    rows = align(fault.rows.astype(np.float64), ends, moments) == 1.0
    return Fault(fault.name, fault.timeframe, fault.reason, rows)


def point_now(part: LiveIndicator, market: Market, now: int) -> tuple[float, str | None]:
    """What a live indicator says of `market` at `now` (ms), NaN where it abstains; and why it does not count, if it does not."""
    try:
        answer = part.points_now(market, now)
        if not isinstance(answer, float | int):
            return math.nan, f"answered with {type(answer).__name__} instead of a number"
        reason = check_one(answer, part.max_points, warm=False)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a part's fault stays its own
        reason = raised(error)
    return (float(answer), None) if reason is None else (math.nan, reason)


def points_on_record(plan: Plan, symbol: str, timeframe: str, funding: Funding, moments: Moments) -> tuple[Floats, list[Fault]]:
    """The points of the live indicators (k, n) at n moments of which no more is on record than settled funding; and the faults."""
    market = Market(symbol)
    points = np.full((len(plan.microstructure), len(moments)), math.nan)
    wrong: dict[tuple[str, str], list[int]] = {}
    newest = np.searchsorted(funding.ts, moments, side="right") - 1
    for row, (at, now) in enumerate(zip(newest.tolist(), moments.tolist(), strict=True)):
        if at >= 0 and (market.funding is None or at != newest[row - 1]):
            market.see(funding.seen(symbol, at, now))
        for i, (name, part) in enumerate(plan.microstructure.items()):
            points[i, row], reason = point_now(part, market, now)
            if reason is not None:
                wrong.setdefault((name, reason), []).append(row)
    faults = []
    for (name, reason), rows in wrong.items():
        concerned = np.zeros(len(moments), np.bool_)
        concerned[rows] = True
        faults.append(Fault(name, timeframe, reason, concerned))
    return points, faults


def evaluate(base: Candles, plan: Plan, funding: Funding | None = None) -> Evaluation:
    """Every closed primary bar that `base` (n bars of the data's own timeframe) makes, scored.

    Live indicators vote where the history has what they read: of its `funding`, if any, the newest settlement is known.
    Where a gap in the data makes several primary bars knowable at one moment, only the newest has a row. Raises `ConfigError`
    when the primary or secondary timeframe cannot be built from the data.
    """
    settings = plan.timeframes
    used, left_out = usable(settings, base.timeframe)
    built = {timeframe: resampled(base, timeframe) for timeframe in used}
    parts = voters(plan)
    candles, known = built[settings.primary]
    last = np.append(known[1:] != known[:-1], True) if len(known) else np.zeros(0, np.bool_)
    kept: slice | Ints = slice(None) if last.all() else np.flatnonzero(last)
    ts: Moments = known[kept]

    def find(timeframe: str, name: str) -> Floats:
        part = plan.indicators.get(name)
        line = line_of(part, built[timeframe][0]) if part is not None and timeframe in built else None
        if line is None:
            raise no_line(plan, timeframe, name, used)
        return line[kept] if timeframe == settings.primary else align(line, built[timeframe][1], ts)

    lines = Lines(find)
    n = len(candles)
    atr = line_of(plan.indicators["atr"], candles) if "atr" in plan.indicators else None
    if atr is None:
        atr = np.full(n, math.nan)
    points = np.empty((len(parts), n))
    votes, found = score_timeframe(candles, parts, points)
    limit: Any = plan.thresholds.max_score
    names = tuple(parts)
    live: list[Fault] = []
    if funding is not None and plan.microstructure:
        names += tuple(plan.microstructure)
        seen, live = points_on_record(plan, base.symbol, settings.primary, funding, known)
        for line in seen:
            votes.add(Checked(line, line == line, -1))
        limit = np.where((seen == seen).any(axis=0), plan.thresholds.max_score_live, limit)
        points = np.concatenate([points, seen])
    ratio = atr / candles.close
    verdict = judge(votes, ratio, quiet_bars(ratio, plan.confidence), plan.confidence, limit)
    scores: dict[str, Floats] = {}
    faults = [_aligned(fault, known, ts) for fault in found]
    for timeframe in used:
        if timeframe == settings.primary:
            scores[timeframe] = verdict.score[kept]
            continue
        other, found = score_timeframe(built[timeframe][0], parts)
        scores[timeframe] = align(settled(other.score, plan.thresholds.max_score), built[timeframe][1], ts)
        faults += [_aligned(fault, built[timeframe][1], ts) for fault in found]
    faults += [_aligned(fault, known, ts) for fault in live]
    return Evaluation(
        symbol=base.symbol,
        timeframe=settings.primary,
        secondary=settings.secondary,
        dead_zone=settings.dead_zone,
        ts=ts,
        close=candles.close[kept],
        names=names,
        points=points[:, kept],
        score=scores[settings.primary],
        side=np.sign(verdict.score[kept]).astype(np.int64),
        confidence=verdict.confidence[kept],
        agreeing=verdict.agreeing[kept].astype(np.int64),
        voting=votes.voting[kept].astype(np.int64),
        atr=atr[kept],
        scores=scores,
        lines=lines,
        left_out=left_out,
        faults=tuple(faults),
    )
