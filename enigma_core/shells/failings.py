"""What parts did wrong in a backtest, a sentence each, and how often. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from enigma_core.gating import Asked, Measured
from enigma_core.model import Decision, Verdict
from enigma_core.scoring import Evaluation

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*(?:e[+-]?\d+)?")


def _alike(sentence: str) -> str:
    """Sentences that differ in their numbers only are one fault that came again."""
    return _NUMBER.sub("#", sentence)


def not_made(timeframes: Iterable[str]) -> list[str]:
    """The sentence about timeframes of the settings that the data is too coarse for; none where there are none."""
    names = ", ".join(dict.fromkeys(timeframes))
    return [f"{names}: the data cannot make bars of that length, so timeframes.available goes without"] if names else []


class Failings:
    """Counts them. `times` has each sentence as it was first said, and how often it held."""

    def __init__(self, evaluations: Iterable[Evaluation]) -> None:
        self.times: dict[str, int] = {}
        self._first: dict[str, str] = {}
        self._told: set[str] = set()
        self._exits: dict[str, set[str]] = {}
        for evaluation in evaluations:
            self.scored(evaluation)

    def scored(self, evaluation: Evaluation) -> None:
        """Indicators over the rows of one evaluation."""
        for fault in evaluation.faults:
            bars = len(evaluation) if fault.rows is None else int(fault.rows.sum())
            self._told.add(str(fault))
            self._add(f"indicator {fault}; it did not vote", bars)

    def measured(self, answers: Iterable[Measured], refusals: Mapping[str, int]) -> None:
        """Market gates over a history, and how many signals each refused."""
        for answer in answers:
            if answer.error is not None:
                self._gate(answer.error, refusals[answer.gate])

    def asked(self, answers: Iterable[Asked | Verdict]) -> None:
        """Gates on one signal."""
        for answer in answers:
            if answer.error is not None:
                self._gate(answer.error, 1)

    def decided(self, faults: Iterable[str], reason: str) -> None:
        """What went wrong while an entry was sized and its stop was looked for; a sizer's fault is the reason as well."""
        for fault in faults:
            if fault == reason:
                self._add(f"sizer {fault}; nothing was traded")
            else:
                self._exit(fault)

    def decision(self, decision: Decision) -> None:
        """One decision of the engine. The faults of indicators have been counted."""
        if decision.score:
            self.asked(decision.verdicts)
        self.decided((fault for fault in decision.faults if fault not in self._told), decision.reason)

    def held(self, position: str, faults: Iterable[str]) -> None:
        """Exits while `position` was held: each fault counts once for it."""
        known = self._exits.setdefault(position, set())
        for fault in faults:
            if _alike(fault) not in known:
                known.add(_alike(fault))
                self._exit(fault)

    def left(self, symbol: str) -> None:
        """The position of `symbol` is no more."""
        for position in [name for name in self._exits if name == symbol or name.startswith(f"{symbol}: ")]:
            del self._exits[position]

    def _gate(self, error: str, times: int) -> None:
        self._add(f"gate {error}; nothing got past it", times)

    def _exit(self, fault: str) -> None:
        self._add(f"exit {fault}; it had no say")

    def _add(self, sentence: str, times: int = 1) -> None:
        if times:
            first = self._first.setdefault(_alike(sentence), sentence)
            self.times[first] = self.times.get(first, 0) + times
