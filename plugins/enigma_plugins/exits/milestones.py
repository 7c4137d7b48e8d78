"""Profit locked in step by step."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated

import numpy as np
from msgspec import Meta

from enigma_core.errors import ConfigError
from enigma_core.hookspecs import hookimpl
from enigma_core.lines import Floats
from enigma_core.parts import Exit, Holding, Path
from enigma_plugins.exits._best import best, best_roi

Reached = Annotated[float, Meta(gt=0)]
Locked = Annotated[float, Meta(ge=0)]


class Milestones(Exit, frozen=True, kw_only=True):
    """Once the best price since entry made a step's first return on margin: a stop that keeps its second.

    Raises `ConfigError` unless both columns rise and each return that is locked is below the one reached.
    """

    name = "milestones"

    steps: Annotated[
        tuple[tuple[Reached, Locked], ...], Meta(min_length=1, description="steps of (roi reached, roi locked), rising")
    ] = ((0.01, 0.002), (0.02, 0.008), (0.03, 0.015), (0.04, 0.025), (0.06, 0.04), (0.08, 0.06))

    def __post_init__(self) -> None:
        for reached, locked in self.steps:
            if not locked < reached:
                raise ConfigError(f"exit milestones: steps lock {locked:g} at {reached:g}; they must lock less than was reached")
        for (reached, locked), (further, more) in pairwise(self.steps):
            if not (reached < further and locked <= more):
                raise ConfigError(
                    f"exit milestones: step ({further:g}, {more:g}) follows ({reached:g}, {locked:g}); both numbers must rise"
                )

    def stops(self, position: Holding, path: Path) -> Floats | None:
        reached = np.array([step[0] for step in self.steps])
        locked = np.array([np.nan, *(step[1] for step in self.steps)])
        roi = best_roi(position, best(position, path))
        # NaN sorts behind every step; it has reached none
        passed = np.where(np.isnan(roi), 0, np.searchsorted(reached, roi, side="right"))
        level: Floats = position.entry * (1 + position.side * locked[passed] / position.leverage)
        return level


@hookimpl
def enigma_exits() -> Iterator[type[Exit]]:
    yield Milestones
