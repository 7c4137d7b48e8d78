"""Settings from the environment and the command line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from enigma_core.config.sources import value_of
from enigma_core.config.tree import Layer

PREFIX = "ENIGMA__"
"""``ENIGMA__GATES__SCORE__MIN=60`` sets ``gates.score.min``: two underscores where the path has a dot, any case."""

OWN_NAMES: dict[str, str] = {
    "BOT_MODE": "mode",
    "KUCOIN_SANDBOX": "sandbox",
    "TRADING_SYMBOLS": "symbols",
    "SYMBOLS": "symbols",
    "PRIMARY_TIMEFRAME": "timeframes.primary",
    "SECONDARY_TIMEFRAME": "timeframes.secondary",
    "LEVERAGE_MAX": "leverage.max",
    "MAX_DAILY_DRAWDOWN": "gates.drawdown.max",
    "MAX_CONSECUTIVE_LOSSES": "gates.circuit_breaker.max",
    "MAX_POSITIONS": "gates.max_positions.max",
    "COOLDOWN_SECONDS": "gates.cooldown.min",
    "MIN_SCORE": "gates.score.min",
    "MIN_CONFIDENCE": "gates.confidence.min",
    "RISK_PER_TRADE": "sizer.risk_per_trade",
    "POSITION_SIZE_MAX": "sizer.position_size_max",
    "STOP_LOSS_ROI": "exits.stop_loss.roi",
    "TAKE_PROFIT_ROI": "exits.take_profit.roi",
    "INITIAL_EQUITY": "account.equity",
}
"""Names of the environment that need no prefix, and the setting each gives. All numbers are fractions, never percent.

Where both are set, ``ENIGMA__...`` is the stronger, and TRADING_SYMBOLS is stronger than SYMBOLS. Keys of a venue
(``KUCOIN_API_KEY`` and the like) are not settings: a part refers to them by ``{"env": NAME}``.
"""


def from_environment(environment: Mapping[str, str]) -> tuple[Layer, list[str]]:
    """The environment's layer, and what is wrong in it. An empty variable counts as not set."""
    layer, problems = Layer("environment"), []
    given = [(name, path) for name, path in reversed(OWN_NAMES.items())]
    given += [(name, ".".join(name[len(PREFIX) :].lower().split("__"))) for name in sorted(environment) if _prefixed(name)]
    for name, path in given:
        if text := environment.get(name, "").strip():
            problems.append(layer.put(path, value_of(text), name, text))
    return layer, [problem for problem in problems if problem]


def from_command_line(sets: Iterable[str], flags: Mapping[str, Any]) -> tuple[Layer, list[str]]:
    """The command line's layer: `sets` as ``PATH=VALUE``, `flags` as path to value; and what is wrong in it."""
    layer, problems = Layer("command line"), []
    for path, value in flags.items():
        problems.append(layer.put(path, value, "command line"))
    for given in sets:
        path, equals, text = given.partition("=")
        if not equals:
            problems.append(f"--set {given}: write PATH=VALUE, as in --set gates.score.min=60")
        else:
            problems.append(layer.put(path.strip(), value_of(text), "--set", text.strip()))
    return layer, [problem for problem in problems if problem]


def _prefixed(name: str) -> bool:
    return name.upper().startswith(PREFIX)


def near(word: str, known: Iterable[str], prefix: str = "") -> str:
    """The remedy's half of a sentence: the nearest of the known words, else all of them if they are few."""
    words = list(dict.fromkeys(known))
    if found := difflib.get_close_matches(word, words, n=1):
        return f'; did you mean "{prefix}{found[0]}"?'
    return f"; there are: {', '.join(words)}" if 0 < len(words) <= 24 else ""
