"""What a contract check found, and the notebook it is written into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
import numpy as np


class Finding(msgspec.Struct, frozen=True):
    """One broken rule: the `part` ("indicator rsi"), the rule's short name, and the sentence its author needs."""

    part: str
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.part}: {self.rule}: {self.text}"


class Failed:
    """What `Inspection.call` answers when the part raised."""


FAILED: Final = Failed()


class Inspection:
    """The findings about one part. A rule is reported once, at the first place where it is seen broken.

    `configured`: the part came as an instance, so that its settings are meant to be complete.
    """

    def __init__(self, part: str, *, configured: bool = True) -> None:
        self.part = part
        self.configured = configured
        self.findings: list[Finding] = []
        self._rules: set[str] = set()

    def found(self, rule: str, text: str) -> None:
        """Write down that `rule` is broken; further places of the same rule are left out."""
        if rule not in self._rules:
            self._rules.add(rule)
            self.findings.append(Finding(self.part, rule, text))

    def broken(self, rule: str) -> bool:
        """Whether `rule` is already known to be broken."""
        return rule in self._rules

    def call(self, what: str, method: Callable[..., Any], *arguments: Any) -> Any:
        """The method's answer, or `FAILED` with a finding when it raised. `what` names call and circumstances."""
        try:
            with np.errstate(all="ignore"):
                return method(*arguments)
        except NotImplementedError:
            self.found("missing", f"{method.__name__}() is not defined; write it, as the class it derives from describes")
        except (Exception, SystemExit) as fault:  # noqa: BLE001  (foreign code may raise anything)
            if isinstance(fault, ValueError) and "read-only" in str(fault):
                self.found("mutates", f"{what} writes into its input; inputs are shared and read-only: work on a copy")
            else:
                self.found("raises", f"{what} raised {type(fault).__name__}: {fault}")
        return FAILED


def clip(value: object, width: int = 80) -> str:
    """`value` as a person reads it in a sentence, cut to `width`."""
    text = repr(value)
    return text if len(text) <= width else text[: width - 3] + "..."
