"""The contract kit catches what it is there to catch, and says it in a sentence that helps."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta

from enigma_core.errors import ConfigError, ContractError, DataError
from enigma_core.lines import Floats
from enigma_core.market import BarsClosed, Market, MarketEvent, TickerSeen
from enigma_core.model import Bar, Candles, Instrument, Signal, Sizing
from enigma_core.parts import (
    Account,
    AccountGate,
    Exit,
    Feed,
    Holding,
    Indicator,
    LiveIndicator,
    MarketGate,
    Note,
    Notifier,
    Part,
    Path,
    Service,
    Sizer,
    Target,
)
from enigma_core.scoring import Evaluation
from enigma_core.testing import (
    REGIMES,
    FakeClock,
    candles,
    check,
    first_bars,
    make_account,
    make_evaluation,
    make_signal,
    markets,
    verify,
)


class Momentum(Indicator, frozen=True, kw_only=True):
    """The sign of the change over the last `period` bars."""

    name = "momentum"

    period: Annotated[int, Meta(ge=1, description="bars")] = 10
    max_points: float = 10.0

    @property
    def warmup(self) -> int:
        return self.period + 1

    def points(self, candles: Candles) -> Floats:
        points = np.full(len(candles), np.nan)
        points[self.period :] = self.max_points * np.sign(candles.close[self.period :] - candles.close[: -self.period])
        return points


class Streamed(Indicator, frozen=True, kw_only=True):
    """Above or below a moving average, one bar at a time."""

    name = "streamed"
    streams = True
    max_points: float = 5.0

    @property
    def warmup(self) -> int:
        return 20

    def points(self, candles: Candles) -> Floats:
        mean = candles.ta.SMA(candles.close, timeperiod=20)
        return np.where(np.isnan(mean), np.nan, self.max_points * np.sign(candles.close - mean))


class Basis(LiveIndicator, frozen=True, kw_only=True):
    """Mark against index."""

    name = "basis"
    max_points: float = 5.0

    def points_now(self, market: Market, now: int) -> float:
        if market.mark is None or not (market.mark.index > 0 and math.isfinite(market.mark.mark)):
            return math.nan
        return self.max_points if market.mark.mark < market.mark.index else 0.0


class Strong(MarketGate, frozen=True, kw_only=True):
    """A strong score."""

    name = "strong"
    min: float = 90.0

    @property
    def limit(self) -> str:
        return f">= {self.min:g}"

    def measure(self, evaluation: Evaluation) -> Floats:
        return np.abs(evaluation.score)

    def passes(self, value: Any) -> Any:
        return np.isfinite(value) & (value >= self.min)


class Slots(AccountGate, frozen=True, kw_only=True):
    """Not too many positions."""

    name = "slots"
    max: int = 3

    @property
    def limit(self) -> str:
        return f"< {self.max}"

    def measure(self, signal: Signal, account: Account) -> float:
        return float(account.slots)

    def passes(self, value: Any) -> Any:
        return np.isfinite(value) & (value < self.max)


class OnePercent(Sizer, frozen=True, kw_only=True):
    """One percent of equity as margin."""

    name = "one_percent"
    share: Decimal = Decimal("0.01")

    def size(self, signal: Signal, instrument: Instrument, account: Account) -> Sizing:
        nothing = Sizing(quantity=Decimal(0), leverage=signal.leverage, margin=Decimal(0), bound="no_price")
        if not (math.isfinite(signal.price) and signal.price > 0 and account.equity > 0):
            return nothing
        price = Decimal(repr(signal.price))
        quantity = instrument.contracts(account.equity * self.share * signal.leverage / price)
        if quantity == 0:
            return msgspec.structs.replace(nothing, bound="min_quantity")
        margin = quantity * instrument.multiplier * price / signal.leverage
        return Sizing(quantity=quantity, leverage=signal.leverage, margin=margin, bound="share")


class Trail(Exit, frozen=True, kw_only=True):
    """A stop a fixed way behind the best close, a target, and out on a strong opposite score."""

    name = "trail"
    distance: float = 0.05

    def first_stop(self, position: Holding) -> Any:
        return position.entry * (1 - position.side * self.distance)

    def stops(self, position: Holding, path: Path) -> Floats | None:
        best: Floats = position.side * np.maximum.accumulate(position.side * path.close, axis=-1)
        return best - position.side * self.distance * position.entry

    def targets(self, position: Holding) -> list[Target]:
        return [Target(position.entry * (1 + position.side * 0.1))]

    def closes(self, position: Holding, path: Path) -> Any:
        return position.side * path.score < -75


class Shelf(Feed, frozen=True, kw_only=True):
    """One made-up market."""

    name = "shelf"
    simulated = True

    def symbols(self) -> tuple[str, ...]:
        return ("BTC/USDT:USDT",)

    def instrument(self, symbol: str) -> Instrument:
        if symbol not in self.symbols():
            raise DataError(f"shelf has no {symbol}; it has BTC/USDT:USDT")
        return Instrument(symbol=symbol)

    def base_timeframe(self) -> str:
        return "30m"

    def history(self, symbol: str, timeframe: str, start: int | None = None, end: int | None = None) -> Candles:
        bars = candles(1, 50)
        kept = (bars.ts >= (start or 0)) & (bars.ts < (end or 2**62))
        return Candles.of(symbol, timeframe, *(getattr(bars, c)[kept] for c in ("ts", "open", "high", "low", "close", "volume")))

    async def stream(self, symbols: Any, timeframe: str, since: int | None) -> AsyncIterator[MarketEvent]:
        for bar in self.bars():
            yield BarsClosed(bar.end, {bar.symbol: bar})

    def bars(self) -> Iterator[Bar]:
        h = self.history("BTC/USDT:USDT", "30m")
        for i in range(len(h)):
            values = (float(column[i]) for column in (h.open, h.high, h.low, h.close, h.volume))
            yield Bar(h.symbol, int(h.ts[i]), int(h.ts[i]) + 1_800_000, *values)


class Silent(Notifier, frozen=True, kw_only=True):
    """Tells nobody."""

    name = "silent"

    async def send(self, note: Note) -> None:
        return None


SOUND: list[type[Part]] = [Momentum, Streamed, Basis, Strong, Slots, OnePercent, Trail, Shelf, Silent]


@pytest.mark.parametrize("part", SOUND, ids=lambda part: part.name)
def test_sound_part_has_no_findings(part: type[Part]) -> None:
    assert check(part) == []
    assert check(part()) == []
    verify(part)


def broken(base: type[Part], label: str, **members: Any) -> type[Part]:
    """`base` with members replaced; `label` names the fault in the test's id."""
    space = {"__doc__": f"{base.__doc__} Broken: {label}.", "__module__": __name__, **members}
    return msgspec.StructMeta(base.__name__, (base,), space, frozen=True, kw_only=True)


def _whole_mean(self: Any, candles: Candles) -> Floats:
    return np.where(np.arange(len(candles)) < self.period, np.nan, np.sign(candles.close - candles.close.mean()))


def _shifted(self: Any, candles: Candles) -> Floats:
    points = np.full(len(candles), np.nan)
    points[10:-1] = np.sign(candles.close[11:] - candles.close[10:-1])
    points[-1:] = 0.0
    points[:10] = np.nan
    return points


def _writes(self: Any, candles: Candles) -> Floats:
    candles.close[0] = 0.0
    return np.zeros(len(candles))


def _forces(self: Any, candles: Candles) -> Floats:
    for column in (candles.close, candles.close.base):
        if isinstance(column, np.ndarray):
            column.flags.writeable = True
    if len(candles):
        candles.close[0] *= 2
    return Momentum.points(self, candles)


CALLS = itertools.count()


def _counts(self: Any, candles: Candles) -> Floats:
    return Momentum.points(self, candles) * 0 + float(next(CALLS) % 7)


def _from_start(self: Any, candles: Candles) -> Floats:
    points = np.full(len(candles), np.nan)
    points[10:] = np.sign(candles.close[10:] - candles.close[0])
    return points


def _hole(self: Any, candles: Candles) -> Floats:
    points = Momentum.points(self, candles)
    points[40:41] = np.nan
    return points


class Stubborn(Indicator, frozen=True, kw_only=True):
    """An exponential mean that it keeps itself, though it says that it streams."""

    name = "stubborn"
    streams = True
    max_points: float = 5.0

    @property
    def warmup(self) -> int:
        return 200

    def points(self, candles: Candles) -> Floats:
        points = np.full(len(candles), np.nan)
        for i in range(199, len(candles)):
            points[i] = self.max_points * np.sign(candles.close[i] - candles.close[i - 150])
        return points


def _points(answer: Any) -> dict[str, Any]:
    return {"points": answer}


INDICATORS: list[tuple[str, dict[str, Any], str, str]] = [
    ("P08 returns None", _points(lambda self, candles: None), "type", "must be a numpy array of float64"),
    ("P08 returns text", _points(lambda self, candles: "buy"), "type", "returned str 'buy'"),
    ("P08 returns a list", _points(lambda self, candles: [0.0] * len(candles)), "type", "returned list"),
    ("P08 float32", _points(lambda self, c: Momentum.points(self, c).astype(np.float32)), "dtype", "array of float32"),
    ("P08 integers", _points(lambda self, candles: np.ones(len(candles), int)), "dtype", "array of int64"),
    ("P08 one too many", _points(lambda self, candles: np.zeros(len(candles) + 1)), "shape", "one number a bar"),
    ("P08 two dimensions", _points(lambda self, candles: np.zeros((len(candles), 2))), "shape", "one number a bar"),
    ("P08 ten million", _points(lambda self, candles: np.zeros(10_000_000)), "shape", "shape (10000000,)"),
    ("P08 only NaN", _points(lambda self, candles: np.full(len(candles), np.nan)), "warmup", "from item 10 on every point"),
    ("P08 infinite", _points(lambda self, c: Momentum.points(self, c) * np.inf), "bounds", "multiply max_points by a strength"),
    ("P08 out of bounds", _points(lambda self, c: Momentum.points(self, c) * 2), "bounds", "within +-max_points (10.0)"),
    ("P08 a hole", _points(_hole), "warmup", "points[40] is NaN"),
    ("P09 writes into candles", _points(_writes), "mutates", "work on a copy"),
    ("P09 forces its way in", _points(_forces), "mutates", "changed its candles"),
    (
        "numbers from the first bar",
        _points(lambda self, c: np.zeros(len(c))),
        "warmup",
        "before there are enough bars the answer is NaN",
    ),
    ("counts its calls", _points(_counts), "determinism", "two answers to the same question"),
    ("mean of all history", _points(_whole_mean), "look-ahead", "item i may use bars 0..i only"),
    ("next bar", _points(_shifted), "look-ahead", "no negative shift"),
    ("anchored at the start", _points(_from_start), "window parity", "depends on where history begins"),
    (
        "raises",
        _points(lambda self, candles: 1 / 0),
        "raises",
        "points(candles) on the market 'trend' (261 bars) raised ZeroDivisionError",
    ),
    ("P12 leaves the program", _points(lambda self, candles: exit(3)), "raises", "raised SystemExit: 3"),
    (
        "warm-up too short",
        {"warmup": property(lambda self: 5)},
        "warmup",
        "points[4] is NaN on the market 'trend' though warmup is 5",
    ),
    ("warm-up of text", {"warmup": property(lambda self: "10")}, "warmup", "a whole number of bars"),
    ("warm-up of zero", {"warmup": property(lambda self: 0)}, "warmup", "1 or more"),
    ("line ahead", {"line": lambda self, c: np.full(len(c), c.close[-1:].sum())}, "look-ahead", "line[0] was"),
    ("line of text", {"line": lambda self, c: "line"}, "type", "line(candles) on"),
]


@pytest.mark.parametrize(("label", "members", "rule", "sentence"), INDICATORS, ids=[row[0] for row in INDICATORS])
def test_p08_p09_broken_indicator_is_caught(label: str, members: dict[str, Any], rule: str, sentence: str) -> None:
    findings = {finding.rule: finding.text for finding in check(broken(Momentum, label, **members))}
    assert rule in findings
    assert sentence in findings[rule]


def test_indicator_without_warmup_is_told_to_write_one() -> None:
    class Bare(Indicator, frozen=True, kw_only=True):
        """Nothing but a name."""

        name = "bare"

    assert [finding.rule for finding in check(Bare)] == ["missing"]


def test_indicator_that_says_it_streams_but_looks_further_back_is_caught() -> None:
    (finding,) = check(Stubborn)
    assert finding.rule == "streams"
    assert "look back fewer than 64 bars, or leave streams False" in finding.text


def test_indicator_that_asks_for_different_lines_on_different_bars_is_caught() -> None:
    def points(self: Any, candles: Candles) -> Floats:
        mean = candles.ta.SMA(candles.close, timeperiod=20)
        if len(candles) and candles.close[-1] > candles.open[-1]:
            candles.ta.EMA(candles.close, timeperiod=5)
        return np.where(np.isnan(mean), np.nan, 0.0)

    rules = {finding.rule: finding.text for finding in check(broken(Streamed, "moody", points=points))}
    assert "make the same calls of ta on every bar" in rules["raises"]


LIVE: list[tuple[str, Any, str, str]] = [
    ("does not abstain", lambda self, market, now: 0.0, "abstain", "with an empty market returned 0.0"),
    ("P08 returns None", lambda self, market, now: None, "type", "it must be a float, NaN to abstain"),
    ("P08 out of bounds", lambda self, market, now: 6.0 if market.mark else math.nan, "bounds", "within +-max_points (5.0)"),
    ("P08 infinite", lambda self, market, now: math.inf if market.mark else math.nan, "bounds", "returned inf"),
    (
        "trusts the book",
        lambda self, market, now: market.book.bids[0][0] * 0,
        "raises",
        "'NoneType' object has no attribute 'bids'",
    ),
    ("divides", lambda self, m, now: 0.0 if m.mark and m.mark.mark / m.mark.index else math.nan, "raises", "index zero"),
    ("P09 empties the trades", lambda self, market, now: market.trades.clear() or math.nan, "mutates", "only read it"),
    ("counts", lambda self, market, now: float(next(CALLS) % 5) if market.mark else math.nan, "determinism", "the time is `now`"),
]


@pytest.mark.parametrize(("label", "points_now", "rule", "sentence"), LIVE, ids=[row[0] for row in LIVE])
def test_p08_p09_broken_live_indicator_is_caught(label: str, points_now: Any, rule: str, sentence: str) -> None:
    findings = {finding.rule: finding.text for finding in check(broken(Basis, label, points_now=points_now))}
    assert sentence in findings[rule]


def _mean_score(self: Any, evaluation: Evaluation) -> Floats:
    return np.abs(evaluation.score - (evaluation.score.mean() if len(evaluation) else 0))


def _zeroes(self: Any, evaluation: Evaluation) -> Floats:
    evaluation.score[:] = 0
    return evaluation.score


GATES: list[tuple[type[Part], str, dict[str, Any], str, str]] = [
    (
        Strong,
        "R10 lets NaN through",
        {"passes": lambda self, value: ~(value < self.min)},
        "NaN passes",
        "np.isfinite(value) & (value >= limit)",
    ),
    (
        Strong,
        "R10 lets infinity through",
        {"passes": lambda self, value: value >= self.min},
        "infinity passes",
        "infinity must never pass",
    ),
    (Slots, "R10 lets NaN through", {"passes": lambda self, value: ~(value >= self.max)}, "NaN passes", "(value < limit)"),
    (
        Strong,
        "one answer for all",
        {"passes": lambda self, v: bool(np.all(v >= 90)) and np.isfinite(v).all()},
        "passes",
        "of the array's shape",
    ),
    (Strong, "limit of no text", {"limit": property(lambda self: 90)}, "limit", "such as '>= 75'"),
    (Strong, "P08 measures None", {"measure": lambda self, evaluation: None}, "type", "returned NoneType"),
    (Strong, "P08 measures once", {"measure": lambda self, evaluation: np.array([90.0])}, "shape", "one value a bar"),
    (Strong, "P08 measures text", {"measure": lambda self, e: np.array(["a"] * len(e))}, "type", "an array of numbers"),
    (Strong, "looks ahead", {"measure": _mean_score}, "look-ahead", "item i may use bars 0..i only"),
    (Strong, "P09 writes", {"measure": _zeroes}, "mutates", "work on a copy"),
    (Strong, "needs a bar", {"measure": lambda self, e: np.abs(e.score) + 0 * e.score[-1]}, "raises", "an evaluation of no bars"),
    (Slots, "P08 measures None", {"measure": lambda self, signal, account: None}, "type", "it must be a float"),
    (Slots, "P08 measures yes", {"measure": lambda self, signal, account: True}, "type", "returned bool True"),
    (Slots, "divides by equity", {"measure": lambda self, s, a: float(a.margin / a.equity)}, "raises", "equity zero"),
    (Slots, "random", {"measure": lambda self, s, a: float(next(CALLS))}, "determinism", "the time is signal.ts"),
    (Slots, "until tomorrow", {"until": lambda self, s, a: "tomorrow"}, "until", "a time in ms or None"),
]


@pytest.mark.parametrize(("base", "label", "members", "rule", "sentence"), GATES, ids=[f"{row[0].name} {row[1]}" for row in GATES])
def test_p08_p09_r10_broken_gate_is_caught(base: type[Part], label: str, members: Any, rule: str, sentence: str) -> None:
    findings = {finding.rule: finding.text for finding in check(broken(base, label, **members))}
    assert rule in findings
    assert sentence in findings[rule]


def _sized(**changes: Any) -> Any:
    def size(self: Any, signal: Signal, instrument: Instrument, account: Account) -> Sizing:
        sizing = OnePercent.size(self, signal, instrument, account)
        return msgspec.structs.replace(sizing, **{k: v(sizing, account) for k, v in changes.items()}) if sizing.quantity else sizing

    return size


def _by_atr(self: Any, signal: Signal, instrument: Instrument, account: Account) -> Sizing:
    quantity = Decimal(repr(float(account.equity) * 0.02 / signal.atr)).to_integral_value()
    return Sizing(quantity=quantity, leverage=signal.leverage, margin=Decimal(1))


SIZERS: list[tuple[str, Any, str, str]] = [
    ("P08 returns None", lambda self, *a: None, "type", "it must be a Sizing"),
    ("floats for money", _sized(margin=lambda s, a: float(s.margin)), "money", "money and quantities are Decimal"),
    ("a crumb more", _sized(quantity=lambda s, a: s.quantity + Decimal("0.5")), "lot", "round with instrument.contracts(base)"),
    ("P08 NaN", _sized(quantity=lambda s, a: Decimal("NaN")), "quantity", "must be finite and not below zero"),
    ("short by sign", _sized(quantity=lambda s, a: -s.quantity), "quantity", "not below zero"),
    ("more leverage", _sized(leverage=lambda s, a: s.leverage + 1), "leverage", "it must be 1 to the signal's"),
    ("margin for nothing", _sized(margin=lambda s, a: Decimal(0)), "margin", "quantity * multiplier * price / leverage"),
    (
        "a thousandfold",
        _sized(quantity=lambda s, a: s.quantity * 1000, margin=lambda s, a: s.margin * 1000),
        "margin",
        "exceed the equity",
    ),
    ("no reason", _sized(bound=lambda s, a: ""), "bound", "name the cap that bound"),
    ("R13 explodes with a small ATR", _by_atr, "raises", "ZeroDivisionError"),
    ("counts", _sized(bound=lambda s, a: str(next(CALLS))), "determinism", "two answers"),
    (
        "silent about nothing",
        lambda self, s, i, a: Sizing(quantity=Decimal(0), leverage=1, margin=Decimal(0)),
        "bound",
        "must say why nothing is bought",
    ),
]


@pytest.mark.parametrize(("label", "size", "rule", "sentence"), SIZERS, ids=[row[0] for row in SIZERS])
def test_p08_r13_broken_sizer_is_caught(label: str, size: Any, rule: str, sentence: str) -> None:
    findings = {finding.rule: finding.text for finding in check(broken(OnePercent, label, size=size))}
    assert rule in findings
    assert sentence in findings[rule]


def _follows(self: Any, position: Holding, path: Path) -> Floats:
    return path.close - position.side * self.distance * position.entry


def _whole_best(self: Any, position: Holding, path: Path) -> Floats:
    best = position.side * np.max(position.side * path.close, axis=-1, keepdims=True)
    return best - position.side * self.distance * position.entry + 0 * path.close


def _first_axis(self: Any, position: Holding, path: Path) -> Floats:
    return position.side * np.maximum.accumulate(position.side * path.close, axis=0) - position.side * 0.05 * position.entry


def _through(self: Any, position: Holding, path: Path) -> Floats:
    return position.side * np.maximum.accumulate(position.side * path.close, axis=-1) + position.side * position.entry


EXITS: list[tuple[str, dict[str, Any], str, str]] = [
    ("R16 loosens", {"stops": _follows}, "loosens", "a stop only ever tightens"),
    ("knows the best price to come", {"stops": _whole_best}, "look-ahead", "item i may use bars 0..i only"),
    ("works along the wrong axis", {"stops": _first_axis}, "batch", "work along axis -1"),
    ("beyond the best price", {"stops": _through}, "side", "would be hit before it is placed"),
    ("R14 same side for shorts", {"first_stop": lambda self, p: p.entry * (1 - 0.06)}, "side", "a stop must lie above the entry"),
    ("R14 at the entry", {"first_stop": lambda self, p: p.entry * 1.0}, "side", "a stop must lie below the entry"),
    ("P08 no number", {"first_stop": lambda self, p: None}, "shape", "returned shape ()"),
    ("P08 a list", {"stops": lambda self, p, path: [1.0]}, "dtype", "an array of float64"),
    ("P08 short", {"stops": lambda self, p, path: path.close[..., 1:]}, "shape", "work along the last axis"),
    ("P08 closes by number", {"closes": lambda self, p, path: path.close}, "dtype", "an array of bool"),
    (
        "closes by the last score",
        {"closes": lambda self, p, path: (path.score == path.score) & (path.close > path.close[..., -1:])},
        "look-ahead",
        "closes for",
    ),
    ("R14 target on the wrong side", {"targets": lambda self, p: [Target(p.entry * 1.1)]}, "side", "it must lie below the entry"),
    (
        "sells more than it has",
        {"targets": lambda self, p: [Target(p.entry * (1 + p.side * 0.1), 0.7)] * 2},
        "targets",
        "sum at most 1",
    ),
    ("P08 targets of text", {"targets": lambda self, p: "moon"}, "targets", "a list or tuple of Target"),
    ("P09 writes", {"stops": lambda self, p, path: np.maximum(path.high, 0, out=path.high)}, "mutates", "work on a copy"),
    (
        "one at a time",
        {"first_stop": lambda self, p: float(p.entry) * (1 - p.side * 0.1)},
        "raises",
        "for many positions raised TypeError",
    ),
]


@pytest.mark.parametrize(("label", "members", "rule", "sentence"), EXITS, ids=[row[0] for row in EXITS])
def test_p08_p09_r14_r16_broken_exit_is_caught(label: str, members: dict[str, Any], rule: str, sentence: str) -> None:
    findings = {finding.rule: finding.text for finding in check(broken(Trail, label, **members))}
    assert rule in findings
    assert sentence in findings[rule]


def _backwards(self: Any, symbol: str, timeframe: str, start: int | None = None, end: int | None = None) -> Candles:
    return Shelf.history(self, symbol, timeframe, start, end)[::-1]


def _upside_down(self: Any, symbol: str, timeframe: str, start: int | None = None, end: int | None = None) -> Candles:
    bars = Shelf.history(self, symbol, timeframe, start, end)
    return msgspec.structs.replace(bars, high=bars.low, low=bars.high)


def _all(self: Any, symbol: str, timeframe: str, start: int | None = None, end: int | None = None) -> Candles:
    return Shelf.history(self, symbol, timeframe)


def _told(change: Any) -> Any:
    async def stream(self: Any, symbols: Any, timeframe: str, since: int | None) -> AsyncIterator[MarketEvent]:
        for bar in self.bars():
            yield change(bar)

    return stream


async def _twice(self: Any, symbols: Any, timeframe: str, since: int | None) -> AsyncIterator[MarketEvent]:
    for bar in self.bars():
        yield BarsClosed(bar.end, {bar.symbol: bar})
        yield TickerSeen(bar.end, bar.symbol, 1e6)


FEEDS: list[tuple[str, dict[str, Any], str, str]] = [
    ("backwards", {"history": _backwards}, "order", "does not come after"),
    ("high below low", {"history": _upside_down}, "bars", "which no market traded"),
    ("deaf to the range", {"history": _all}, "range", "start <= ts < end"),
    (
        "knows every symbol",
        {"instrument": lambda self, symbol: Instrument(symbol=symbol)},
        "unknown symbol",
        "naming the nearest known",
    ),
    ("KeyError", {"instrument": lambda self, symbol: {}[symbol]}, "raises", "instrument() of an unknown symbol raised KeyError"),
    ("no symbols", {"symbols": lambda self: ()}, "symbols", "at least one symbol"),
    (
        "forming bars",
        {"stream": _told(lambda bar: BarsClosed(bar.ts + 1, {bar.symbol: bar}))},
        "closed bars",
        "a bar is told at its close",
    ),
    (
        "another price",
        {"stream": _told(lambda bar: BarsClosed(bar.end, {bar.symbol: msgspec.structs.replace(bar, close=bar.low)}))},
        "stream",
        "in the stream but",
    ),
    (
        "after the moment is over",
        {"stream": _twice},
        "moment",
        "with the bars of a close its moment is over",
    ),
    ("backwards in time", {"stream": _told(lambda bar: BarsClosed(-bar.end, {}))}, "order", "events come in order of time"),
]


@pytest.mark.parametrize(("label", "members", "rule", "sentence"), FEEDS, ids=[row[0] for row in FEEDS])
def test_broken_feed_is_caught(label: str, members: dict[str, Any], rule: str, sentence: str) -> None:
    findings = {finding.rule: finding.text for finding in check(broken(Shelf, label, **members))}
    assert rule in findings
    assert sentence in findings[rule]


def test_notifier_must_be_async() -> None:
    (finding,) = check(broken(Silent, "blocks", send=lambda self, note: None))
    assert finding.rule == "async"
    assert "write async def send(...)" in finding.text


def test_service_without_serve_is_told_so() -> None:
    class Idle(Service, frozen=True, kw_only=True):
        """Does nothing."""

        name = "idle"

    (finding,) = check(Idle)
    assert (finding.part, finding.rule) == ("service idle", "missing")


def test_part_must_have_a_proper_name_and_a_docstring() -> None:
    class Shouting(Momentum, frozen=True, kw_only=True):
        name = "My-Part"

    findings = {finding.rule: finding.text for finding in check(Shouting)}
    assert set(findings) == {"name", "docstring"}
    assert "name is 'My-Part'" in findings["name"]


def test_settings_without_default_are_refused_for_a_pure_kind() -> None:
    class Needy(Momentum, frozen=True, kw_only=True):
        """Wants a length."""

        name = "needy"
        length: int

    assert [finding.rule for finding in check(Needy)] == ["defaults"]
    assert check(Needy(length=3)) == check(Needy)


def test_default_beyond_its_own_limit_is_caught() -> None:
    class Wide(Momentum, frozen=True, kw_only=True):
        """Its default breaks its own rule."""

        name = "wide"
        period: Annotated[int, Meta(ge=20)] = 10

    (finding,) = check(Wide)
    assert finding.rule == "limits"
    assert ">= 20" in finding.text


def test_setting_at_a_limit_that_does_not_work_is_caught() -> None:
    class Thin(Streamed, frozen=True, kw_only=True):
        """Allows an RSI of one bar, which TA-Lib does not."""

        name = "thin"
        period: Annotated[int, Meta(ge=1, le=100)] = 14

        def points(self, candles: Candles) -> Floats:
            rsi = candles.ta.RSI(candles.close, timeperiod=self.period)
            return np.where(np.isnan(rsi), np.nan, 0.0)

    (finding,) = check(Thin)
    assert finding.text.startswith("with period=1, which its limits allow, the part raised")


def test_setting_at_a_limit_that_is_refused_in_a_sentence_is_sound() -> None:
    class Careful(Momentum, frozen=True, kw_only=True):
        """Refuses a long period."""

        name = "careful"
        period: Annotated[int, Meta(ge=1, le=1000)] = 10

        def __post_init__(self) -> None:
            if self.period > 50:
                raise ConfigError(f"careful: period is {self.period}; at most 50 bars make sense")

    assert check(Careful) == []


def test_constructor_that_changes_a_setting_is_caught() -> None:
    class Eager(Momentum, frozen=True, kw_only=True):
        """Doubles what it is given."""

        name = "eager"

        def __post_init__(self) -> None:
            msgspec.structs.force_setattr(self, "period", self.period + 1)

    findings = {finding.rule: finding.text for finding in check(Eager)}
    assert "store settings as given" in findings["constructor"]


def test_setting_of_a_type_no_file_can_hold_is_caught() -> None:
    class Odd(Momentum, frozen=True, kw_only=True):
        """Has a function for a setting."""

        name = "odd"
        rule: Any = len
        kernel: np.ndarray | None = None

    assert [finding.rule for finding in check(Odd)] == ["schema"]


def test_what_is_no_part_is_said_to_be_none() -> None:
    assert "derive it from Indicator" in check(int)[0].text  # type: ignore[arg-type]

    class Loose(Part, frozen=True, kw_only=True):
        """Of no kind."""

    assert "derives from no kind of part" in check(Loose)[0].text


def test_p08_verify_raises_every_sentence() -> None:
    both = broken(Momentum, "two faults", points=lambda self, c: np.full(len(c), 99.0))
    with pytest.raises(ContractError) as caught:
        verify(both)
    assert "indicator momentum: bounds: " in str(caught.value)
    assert "indicator momentum: warmup: " in str(caught.value)


@given(
    st.one_of(
        st.none(),
        st.text(max_size=5),
        st.floats(),
        st.binary(max_size=3),
        st.lists(st.floats(), max_size=3),
        st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
        st.integers(0, 3).map(lambda d: np.zeros((2,) * d)),
        st.sampled_from([np.float32, np.int64, np.bool_, np.complex128, object, "U3"]).map(lambda t: np.zeros(700, t)),
        st.floats().map(lambda x: np.full(700, x)),
    )
)
@settings(max_examples=60)
def test_p08_no_rubbish_an_indicator_returns_breaks_the_kit(rubbish: Any) -> None:
    assert check(broken(Momentum, "rubbish", points=lambda self, candles: rubbish))


def test_generated_markets_are_the_same_each_time_and_sound() -> None:
    for regime in REGIMES:
        one, two = candles(3, 300, regime), candles(3, 300, regime)
        assert all(np.array_equal(getattr(one, c), getattr(two, c)) for c in ("ts", "open", "high", "low", "close", "volume"))
        assert (np.diff(one.ts) > 0).all()
        assert (one.low > 0).all()
        assert (one.high >= np.maximum(one.open, one.close)).all()
        assert (one.low <= np.minimum(one.open, one.close)).all()
        assert not one.close.flags.writeable
    assert candles(1, 300).close[-1] != candles(2, 300).close[-1]
    assert [len(market) for name, market in markets(50).items() if name.endswith("bars")] == [0, 1, 2]


def test_generated_gaps_miss_bars_and_open_away_from_the_close() -> None:
    bars = candles(1, 300, "gaps")
    assert len(np.unique(np.diff(bars.ts))) > 1
    assert (bars.open[1:] != bars.close[:-1]).any()


def test_fake_clock_jumps_to_the_moment_asked_for_and_never_back() -> None:
    clock = FakeClock(now=1_000)
    asyncio.run(clock.until(5_000))
    asyncio.run(clock.until(2_000))
    assert clock.now() == 5_000
    clock.advance(10)
    assert clock.now() == 5_010


def test_fake_account_has_the_figures_it_was_given() -> None:
    account = make_account(500, slots=2, held=frozenset({"ETH/USDT:USDT"}), exits={"BTC/USDT:USDT": 7})
    assert (account.equity, account.cash, account.day_equity, account.slots) == (500, 500, 500, 2)
    assert account.holds("ETH/USDT:USDT")
    assert not account.holds("BTC/USDT:USDT")
    assert account.last_exit("BTC/USDT:USDT") == 7
    assert account.last_exit("ETH/USDT:USDT") is None


def test_first_bars_of_an_evaluation_are_what_was_known_then() -> None:
    whole = make_evaluation(seed=4, n=50)
    early = first_bars(whole, 20)
    assert len(early) == 20
    assert early.points.shape == (6, 20)
    assert np.array_equal(early.line("adx", "1h"), whole.line("adx", "1h")[:20])
    assert np.array_equal(early.scores["1h"], whole.scores["1h"][:20])


def test_made_signal_has_its_stop_on_the_losing_side() -> None:
    assert make_signal().stop < make_signal().price
    assert make_signal(side=-1).stop > make_signal(side=-1).price
