"""The best price since entry, which the rules that follow a position are built on."""

from __future__ import annotations

from typing import Any

import numpy as np

from enigma_core.parts import Holding, Path


def best(position: Holding, path: Path) -> Any:
    """(..., m) best price by each bar's close times the side, so that it only ever rises, for longs and shorts alike.

    A bar whose high or low is NaN changes nothing.
    """
    return np.fmax.accumulate(np.where(position.side > 0, path.high, -path.low), axis=-1)


def best_roi(position: Holding, reached: Any) -> Any:
    """(..., m) return on margin at the best price, from `best`. The division comes last: at round prices it is exact."""
    return (reached - position.side * position.entry) * position.leverage / position.entry
