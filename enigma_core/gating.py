"""Asking the gates. A gate that raises or answers rubbish blocks, and is named: risk fails closed. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from enigma_core.faults import raised, shape_reason
from enigma_core.lines import Floats
from enigma_core.model import Signal, Verdict
from enigma_core.parts import Account, AccountGate, Bools, MarketGate
from enigma_core.scoring import Evaluation


class Measured(NamedTuple):
    """What one market gate measured over an evaluation: `values` and `passed` are (n,)."""

    gate: str
    values: Floats
    passed: Bools
    abstained: bool
    error: str | None

    def verdict(self, row: int, limit: str) -> Verdict:
        """The verdict on one row."""
        value = float(self.values[row])
        return Verdict(
            self.gate, value if math.isfinite(value) else None, limit, bool(self.passed[row]), self.abstained, self.error
        )


_UNKNOWN, _PASSED, _FAILED = np.full(1, math.nan), np.ones(1, np.bool_), np.zeros(1, np.bool_)
for _one in (_UNKNOWN, _PASSED, _FAILED):
    _one.flags.writeable = False


def limits(gates: Mapping[str, MarketGate | AccountGate]) -> dict[str, str]:
    """Each gate's limit as a person reads it; a gate that cannot say has a question mark."""
    told = {}
    for name, gate in gates.items():
        try:
            told[name] = str(gate.limit)
        except (Exception, SystemExit):  # noqa: BLE001 - only the text is lost
            told[name] = "?"
    return told


def ask_market(gates: Mapping[str, MarketGate], evaluation: Evaluation) -> list[Measured]:
    """Every market gate over all n rows of `evaluation`."""
    return [_measured(name, gate, evaluation) for name, gate in gates.items()]


def unasked(name: str, n: int) -> Measured:
    """What a gate that is not asked says of `n` rows: it abstains."""
    return Measured(name, _UNKNOWN.repeat(n), _PASSED.repeat(n), True, None)


def _measured(name: str, gate: MarketGate, evaluation: Evaluation) -> Measured:
    n = len(evaluation)
    try:
        if not gate.applies(evaluation):
            return unasked(name, n)
        values = gate.measure(evaluation)
        reason = shape_reason(values, n)
        if reason is None and n == 1:
            # the live path: a number is asked about several times faster than an array of one
            value = values.item()
            return Measured(name, values, _PASSED if math.isfinite(value) and _said(gate.passes(value)) else _FAILED, False, None)
        if reason is None:
            passed = gate.passes(values)
            if isinstance(passed, np.ndarray) and passed.shape == (n,) and passed.dtype == np.bool_:
                # a gate's own comparison may let NaN through; ours does not
                return Measured(name, values, passed & np.isfinite(values), False, None)
            reason = "passes() must answer a bool for every row"
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a part's fault stays its own
        reason = raised(error)
    return Measured(name, _UNKNOWN.repeat(n), _FAILED.repeat(n), False, f"{name}: {reason}")


def clears_streak(gates: Mapping[str, AccountGate], account: Account) -> bool:
    """Whether a new risk day clears the losing streak. A gate that raises or answers rubbish clears nothing."""
    for gate in gates.values():
        try:
            if _said(gate.clears(account)):
                return True
        except (Exception, SystemExit):  # noqa: BLE001 - a part's fault stays its own: what has tripped stays so
            continue
    return False


def _said(answer: Any) -> bool:
    """A yes or no; anything else that Python would take for one is rubbish."""
    if not isinstance(answer, bool | np.bool_):
        raise TypeError(f"answered {answer!r} where True or False is asked for")
    return bool(answer)


def _number(answer: Any) -> float:
    if isinstance(answer, str | bytes):
        raise TypeError(f"answered {answer!r} where a number is asked for")
    return float(answer)


class Asked(NamedTuple):
    """What one account gate said of one signal."""

    gate: str
    value: float
    passed: bool
    until: int | None
    error: str | None

    def verdict(self, limit: str) -> Verdict:
        """The same, as it is written down."""
        value = self.value if math.isfinite(self.value) else None
        return Verdict(self.gate, value, limit, self.passed, False, self.error, self.until)


def ask_account(gates: Mapping[str, AccountGate], signal: Signal, account: Account) -> tuple[list[Asked], bool]:
    """Every account gate on one signal: what each said, and whether all let it through."""
    asked = []
    all_pass = True
    for name, gate in gates.items():
        try:
            value = gate.measure(signal, account)
            if type(value) is not float:
                value = _number(value)
            # a gate's own comparison may let NaN through; ours does not
            if value - value == 0 and _said(gate.passes(value)):
                asked.append(Asked(name, value, True, None, None))
                continue
            asked.append(Asked(name, value, False, gate.until(signal, account), None))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a part's fault stays its own
            asked.append(Asked(name, math.nan, False, None, f"{name}: {raised(error)}"))
        all_pass = False
    return asked, all_pass
