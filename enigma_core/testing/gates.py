"""The contract of gates: measure anything, and never let a NaN through."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np

from enigma_core.market import Market
from enigma_core.parts import AccountGate, Gate, MarketGate
from enigma_core.scoring import Evaluation
from enigma_core.testing.fakes import FakeAccount, first_bars, make_account, make_evaluation, make_signal
from enigma_core.testing.finding import FAILED, Inspection, clip
from enigma_core.testing.generators import DAWN
from enigma_core.testing.live import moments
from enigma_core.testing.sizers import signals

EXTREMES = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1e308, -1e308, 5e-324)


def inspect_market(inspection: Inspection, gate: MarketGate) -> None:
    """A value a bar, from bars up to it; extremes survived; NaN and infinity refused; limit readable."""
    _verdict(inspection, gate)
    sound = make_evaluation(n=120)
    whole = _measure(inspection, gate, "a sound evaluation", sound)
    if whole is not None:
        for k in (1, 2, 59, 60, 119):
            early = _measure(inspection, gate, f"the first {k} bars of an evaluation", first_bars(sound, k))
            if early is not None and not np.array_equal(early, whole[:k], equal_nan=True):
                i = int(np.argmin((early == whole[:k]) | (np.isnan(early) & np.isnan(whole[:k]))))
                inspection.found(
                    "look-ahead",
                    f"measure(evaluation)[{i}] was {early[i]} when {k} bars were known and became {whole[i]} later; "
                    "item i may use bars 0..i only",
                )
    _measure(inspection, gate, "an evaluation of no bars", first_bars(sound, 0))
    for value in EXTREMES:
        _measure(inspection, gate, f"an evaluation full of {value}", _filled(value))
    for name, market in moments().items():
        _measure(inspection, gate, name, make_evaluation(n=3, market=market))
    turnovers: tuple[float | None, ...] = (None, math.nan, 0.0, math.inf)
    for turnover in turnovers:
        market = Market("BTC/USDT:USDT", turnover=turnover)
        _measure(inspection, gate, f"a turnover of {turnover}", make_evaluation(n=3, market=market))


def _filled(value: float, n: int = 5) -> Evaluation:
    sound = make_evaluation(n=n)
    full = np.full(n, value)
    fields: dict[str, Any] = dict.fromkeys(("close", "score", "confidence", "atr"), full)
    fields["points"] = np.full((len(sound.names), n), value)
    fields["scores"] = dict.fromkeys(sound.scores, full)
    fields["lines"] = _Constant(full)
    return make_evaluation(n=n, **fields)


class _Constant(dict[tuple[str, str], Any]):
    """Every line is the same array."""

    def __init__(self, values: Any) -> None:
        super().__init__()
        self._values = values

    def __missing__(self, key: tuple[str, str]) -> Any:
        return self._values


def _measure(inspection: Inspection, gate: MarketGate, name: str, evaluation: Evaluation) -> Any:
    applies = inspection.call(f"applies(evaluation) with {name}", gate.applies, evaluation)
    if applies is FAILED or not applies:
        return None
    where = f"measure(evaluation) with {name}"
    before = [getattr(evaluation, field).copy() for field in ("score", "points", "close", "confidence", "atr")]
    values = inspection.call(where, gate.measure, evaluation)
    if values is FAILED:
        return None
    after = [getattr(evaluation, field) for field in ("score", "points", "close", "confidence", "atr")]
    if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(before, after, strict=True)):
        inspection.found("mutates", f"{where} changed the evaluation; it is shared: work on a copy")
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
        kind = f"an array of {values.dtype}" if isinstance(values, np.ndarray) else type(values).__name__
        inspection.found("type", f"{where} returned {kind}; it must be an array of numbers")
        return None
    if values.shape != (len(evaluation),):
        inspection.found("shape", f"{where} returned shape {values.shape}; it must be ({len(evaluation)},), one value a bar")
        return None
    _passes(inspection, gate, values.astype(np.float64))
    return values.astype(np.float64)


def _verdict(inspection: Inspection, gate: Gate) -> None:
    """`limit` is text, and `passes` answers for numbers and arrays alike, never with yes for NaN or infinity."""
    limit = inspection.call("limit", lambda: gate.limit)
    if limit is not FAILED and (not isinstance(limit, str) or not limit.strip()):
        inspection.found("limit", f"limit is {clip(limit)}; it must be the limit as a person reads it, such as '>= 75'")
    for value in (math.nan, math.inf, -math.inf):
        passed = inspection.call(f"passes({value})", gate.passes, value)
        if passed is not FAILED and bool(np.all(passed)):
            name = "NaN" if math.isnan(value) else "infinity"
            rule = "NaN passes" if math.isnan(value) else "infinity passes"
            inspection.found(
                rule,
                f"passes({value}) is {passed}; {name} must never pass: write np.isfinite(value) & (value {_sign(limit)} limit)",
            )
    _passes(inspection, gate, np.array([*EXTREMES, 1.0, -1.0, 0.5, 75.0, 1e6]))


def _sign(limit: object) -> str:
    first = str(limit).split(" ")[0]
    return first if first in {"<", "<=", ">", ">="} else ">="


def _passes(inspection: Inspection, gate: Gate, values: Any) -> None:
    answer = inspection.call("passes(array)", gate.passes, values)
    if answer is FAILED:
        return
    if np.shape(answer) != values.shape or np.asarray(answer).dtype != np.bool_:
        found = f"{type(answer).__name__} of shape {np.shape(answer)} and type {np.asarray(answer).dtype}"
        inspection.found("passes", f"passes(array of {values.shape}) returned {found}; it must be booleans of the array's shape")
        return
    for i in range(min(len(values), 20)):
        single = inspection.call(f"passes({values[i]})", gate.passes, float(values[i]))
        if single is FAILED:
            return
        if bool(single) != bool(answer[i]):
            inspection.found("passes", f"passes({values[i]}) is {single} alone but {answer[i]} in an array; both must agree")
            return


def accounts() -> dict[str, FakeAccount]:
    """Accounts as a bad day leaves them."""
    symbol = "BTC/USDT:USDT"
    return {
        "a healthy account": make_account(),
        "equity zero": make_account(0),
        "equity below zero": make_account(-5, day_equity=Decimal(10_000)),
        "a tiny equity": make_account("0.000000000001"),
        "a huge equity": make_account(10**15),
        "a day that began with nothing": make_account(100, day_equity=Decimal(0)),
        "a day that began below zero": make_account(100, day_equity=Decimal(-1)),
        "margin above equity": make_account(100, margin=Decimal(1_000)),
        "many losses": make_account(losses_in_row=1_000),
        "a thousand slots": make_account(slots=1_000),
        "a halt": make_account(trading_state="HALTED"),
        "an unknown trading state": make_account(trading_state="?"),
        "a position in the symbol": make_account(held=frozenset({symbol}), slots=1, margin=Decimal(500)),
        "an exit just now": make_account(exits={symbol: DAWN}),
        "an exit in the future": make_account(exits={symbol: DAWN + 10_000}),
        "an exit long ago": make_account(exits={symbol: 0}),
    }


def inspect_account(inspection: Inspection, gate: AccountGate) -> None:
    """Any signal against any account gives a number, the same each time; NaN and infinity are refused; limit readable."""
    _verdict(inspection, gate)
    for kind, signal in signals().items():
        for name, account in accounts().items():
            where = f"measure(signal, account) with {kind} and {name}"
            value = inspection.call(where, gate.measure, signal, account)
            if value is FAILED:
                return
            if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
                inspection.found("type", f"{where} returned {type(value).__name__} {clip(value)}; it must be a float")
                return
            again = inspection.call(where, gate.measure, signal, account)
            if again is not FAILED and again != value and not (math.isnan(again) and math.isnan(value)):
                inspection.found("determinism", f"{where} returned {value} and then {again}; the time is signal.ts")
            verdict = inspection.call(f"passes({value})", gate.passes, value)
            if verdict is not FAILED and not isinstance(verdict, bool | np.bool_):
                inspection.found("passes", f"passes({value}) returned {type(verdict).__name__}; it must be True or False")
            until = inspection.call(f"until(signal, account) with {kind} and {name}", gate.until, signal, account)
            if until is not FAILED and until is not None and (isinstance(until, bool) or not isinstance(until, int)):
                inspection.found("until", f"until(signal, account) returned {clip(until)}; it must be a time in ms or None")
    healthy = inspection.call("measure(signal, account)", gate.measure, make_signal(), make_account())
    if healthy is not FAILED and inspection.call("passes(value)", gate.passes, healthy) is FAILED:
        return
