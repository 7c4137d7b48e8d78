"""A stop as far away as the market usually moves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.parts import Exit, Holding


class AtrStop(Exit, frozen=True, kw_only=True):
    """A stop at ``e - side * k * ATR``, with the ATR at entry. None where that ATR or that level is no positive number."""

    name = "atr_stop"

    k: Annotated[float, Meta(gt=0, le=100, description="multiples of the ATR at entry")] = 1.5

    def first_stop(self, position: Holding) -> Any:
        level = position.entry - position.side * self.k * position.atr
        known = (position.atr > 0) & (level > 0) & (level < np.inf)
        return np.where(known, level, np.nan)[()]


@hookimpl
def enigma_exits() -> Iterator[type[Exit]]:
    yield AtrStop
