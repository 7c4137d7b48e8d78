"""Which settings a run may take up while it is on, and which wait for the next. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from enigma_core.parts import Applied
from enigma_core.plan import Plan

SAFE = {
    "gates": ("market_gates", "account_gates"),
    "sizer": ("sizer",),
    "exits": ("exits",),
    "leverage": ("leverage",),
    "notifiers": ("notifiers",),
}
"""Sections that decide on the next entry or exit only, and the fields of the plan that hold them.

What is left out shapes scores, streams or the account: indicators with a memory, timeframes, symbols, feeds, executors, services.
"""


def changed_plan(old: Plan, new: Plan, changes: Iterable[str]) -> tuple[Plan, Applied]:
    """`old` with the safe sections of `new`; and which of the changed paths that puts in force."""
    paths = list(changes)
    now = tuple(path for path in paths if path.split(".")[0] in SAFE)
    fields = {field: getattr(new, field) for path in now for field in SAFE[path.split(".")[0]]}
    return msgspec.structs.replace(old, **fields), Applied(now, tuple(path for path in paths if path not in now))
