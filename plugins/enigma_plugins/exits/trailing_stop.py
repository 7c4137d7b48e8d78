"""A stop that follows the best price."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import numpy as np
from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.lines import Floats
from enigma_core.parts import Exit, Holding, Path
from enigma_plugins.exits._best import best, best_roi


class TrailingStop(Exit, frozen=True, kw_only=True):
    """Once the best price since entry made `activation_roi`: a stop ``distance_roi * e / leverage`` behind that price."""

    name = "trailing_stop"

    activation_roi: Annotated[float, Meta(gt=0, description="profit on margin from which the stop follows")] = 0.04
    distance_roi: Annotated[float, Meta(gt=0, description="return on margin that the stop stays behind the best price")] = 0.02

    def stops(self, position: Holding, path: Path) -> Floats | None:
        reached = best(position, path)
        level = position.side * (reached - self.distance_roi * position.entry / position.leverage)
        return np.where(best_roi(position, reached) >= self.activation_roi, level, np.nan)


@hookimpl
def enigma_exits() -> Iterator[type[Exit]]:
    yield TrailingStop
