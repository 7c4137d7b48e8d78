"""Once in profit, do not lose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import numpy as np
from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.lines import Floats
from enigma_core.parts import Exit, Holding, Path
from enigma_plugins.exits._best import best, best_roi


class BreakEven(Exit, frozen=True, kw_only=True):
    """Once the best price since entry made `activation_roi`: a stop at ``e (1 + side (fee_in + fee_out + buffer))``.

    The level stays where it is: a stop filled there pays both fees, and the buffer covers the slippage.
    """

    name = "break_even"

    activation_roi: Annotated[float, Meta(gt=0, description="profit on margin from which the stop protects the entry")] = 0.02
    buffer: Annotated[float, Meta(ge=0, lt=1, description="distance beyond entry and fees, of the price")] = 0.0002

    def stops(self, position: Holding, path: Path) -> Floats | None:
        level = position.entry * (1 + position.side * (position.fee_in + position.fee_out + self.buffer))
        return np.where(best_roi(position, best(position, path)) >= self.activation_roi, level, np.nan)


@hookimpl
def enigma_exits() -> Iterator[type[Exit]]:
    yield BreakEven
