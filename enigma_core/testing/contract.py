"""The contract as a function: hand it a part, and it answers with every rule the part breaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from enigma_core.errors import ContractError, PluginError
from enigma_core.parts import (
    AccountGate,
    Algorithm,
    Executor,
    Exit,
    Feed,
    Indicator,
    LiveIndicator,
    MarketGate,
    Notifier,
    Part,
    Service,
    Sizer,
    kind_of,
)
from enigma_core.testing import algorithms, exits, feeds, gates, indicators, limits, live, settings, sizers, tasks
from enigma_core.testing.finding import Finding, Inspection

INSPECTORS: dict[type[Part], Callable[[Inspection, Any], None]] = {
    Indicator: indicators.inspect,
    LiveIndicator: live.inspect,
    MarketGate: gates.inspect_market,
    AccountGate: gates.inspect_account,
    Sizer: sizers.inspect,
    Exit: exits.inspect,
    Algorithm: algorithms.inspect,
    Feed: feeds.inspect,
    Executor: tasks.inspect_executor,
    Notifier: tasks.inspect_notifier,
    Service: tasks.inspect_service,
}
"""Which checks belong to which class of part."""

MAY_NEED_SETTINGS = frozenset({"feed", "executor", "notifier", "service"})
"""Kinds that may have settings without a default (a folder, an address). The others must work as they come."""


def check(part: type[Part] | Part) -> list[Finding]:
    """Every rule of its kind's contract that `part` breaks; an empty list when it is sound.

    A class is tried with its default settings, an instance with its own. Feeds, executors, notifiers and services whose
    settings have no default can be checked as a class only as far as their declaration goes.
    """
    cls = part if isinstance(part, type) else type(part)
    if not issubclass(cls, Part):
        name = f"{cls.__module__}.{cls.__qualname__}"
        return [Finding(name, "kind", "it is no part; derive it from Indicator, MarketGate or another kind of part")]
    try:
        kind = kind_of(cls)
    except PluginError as fault:
        return [Finding(cls.__qualname__, "kind", str(fault))]
    inspection = Inspection(f"{kind} {cls.name or cls.__qualname__}", configured=isinstance(part, Part))
    settings.inspect(inspection, cls, every_default=kind not in MAY_NEED_SETTINGS)
    made: Part | None = part if isinstance(part, Part) else None
    if made is None and not settings.without_default(cls):
        answer = inspection.call(f"{cls.__qualname__}() with its default settings", cls)
        made = answer if isinstance(answer, Part) else None
    if made is not None:
        settings.inspect_values(inspection, made)
        for base, inspect in INSPECTORS.items():
            if isinstance(made, base):
                inspect(inspection, made)
        limits.inspect(inspection, made)
    return inspection.findings


def verify(part: type[Part] | Part) -> None:
    """Raise `ContractError` with a sentence for every rule of its kind's contract that `part` breaks."""
    findings = check(part)
    if findings:
        raise ContractError("\n".join(str(finding) for finding in findings))
