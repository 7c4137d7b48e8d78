"""Settings that somebody changes while a simulated run is on, and those that the next run is started with."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from enigma_core.plan import Plan
from enigma_simulation.witness import Rules

if TYPE_CHECKING:
    from enigma_simulation.world import World

CHANGES: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("gates.max_positions.max", (1, 2, 3)),
    ("gates.circuit_breaker.max", (1, 2, 3, 5)),
    ("gates.drawdown.max", (0.0008, 0.0012, 0.03)),
    ("gates.cooldown.min", (0.0, 8.0, 40.0)),
    ("gates.score.min", (2.0, 8.0, 60.0)),
    ("sizer.position_size", (0.02, 0.06)),
    ("sizer.position_size_max", (0.03, 0.08)),
    ("leverage.max", (3, 5, 10)),
    ("exits.stop_loss.roi", (0.03, 0.05, 0.09)),
    ("exits.trailing_stop.distance_roi", (0.008, 0.02)),
    ("exits.take_profit.roi", (0.04, 0.08)),
    ("exits.take_profit.resting", (False, True)),
    ("indicators.rsi.period", (4, 9)),
)
"""Settings that are changed, and to what. The last of them waits for the next start."""

LIMITS = {
    "gates.max_positions.max": "positions",
    "gates.circuit_breaker.max": "losses",
    "gates.drawdown.max": "drawdown",
    "leverage.max": "leverage",
    "sizer.position_size_max": "share",
}
"""What of them the witness holds every entry to."""

SECTIONS = {"gates": ("market_gates", "account_gates"), "exits": ("exits",), "indicators": ("indicators",)}


class WorldSettings:
    """`enigma_core.config.kept.Settings` of a simulated world: what is kept is in force for every later start."""

    def __init__(self, world: World) -> None:
        self._world = world

    def shown(self) -> dict[str, Any]:
        return {}

    def changed(self, changes: Mapping[str, Any]) -> tuple[Plan, Mapping[str, Any], Plan]:
        """The plan that `changes` by path would give. Changes nothing yet."""
        plan = self._world.plan
        for path, value in changes.items():
            plan = put(plan, path, value)
        return plan, changes, plan

    def keep(self, changes: Mapping[str, Any], plan: Plan) -> None:
        """Have them in force."""
        self._world.plan = plan
        self._world.witness.rules = ruled(self._world.witness.rules, changes)


def put(plan: Plan, path: str, value: Any) -> Plan:
    """`plan` with one setting at `path` changed."""
    section, *names = path.split(".")
    if section in ("sizer", "leverage"):
        return msgspec.structs.replace(plan, **{section: msgspec.structs.replace(getattr(plan, section), **{names[0]: value})})
    part, name = names
    for field in SECTIONS[section]:
        parts = getattr(plan, field)
        if part in parts:
            changed = parts | {part: msgspec.structs.replace(parts[part], **{name: value})}
            return msgspec.structs.replace(plan, **{field: changed})
    raise KeyError(path)


def ruled(rules: Rules, changes: Mapping[str, Any]) -> Rules:
    """`rules` as they are after `changes` of settings."""
    found = {LIMITS[path]: value for path, value in changes.items() if path in LIMITS}
    exact = {name: Decimal(str(value)) if name in ("drawdown", "share") else value for name, value in found.items()}
    return msgspec.structs.replace(rules, **exact)
