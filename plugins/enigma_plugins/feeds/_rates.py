"""Synthetic funding: a rate for every eight hours until the market's end, known from the seed alone."""

from __future__ import annotations

from itertools import accumulate

import numpy as np

from enigma_core.market import Funding
from enigma_plugins.feeds._path import EPOCH, HORIZON, RATES, generator

EIGHT_HOURS = 28_800_000
USUAL, LARGEST = 1e-4, 3e-3
"""The rate it comes back to, and the limit either way."""


def settlements(seed: int, symbol: str) -> Funding:
    """Settlements at 00:00, 08:00 and 16:00 UTC; the rates wander for some days and come back."""
    n = HORIZON // EIGHT_HOURS
    shocks = generator(seed, symbol, RATES, 0).normal(0.0, 9e-5, n).tolist()
    wander = np.array(list(accumulate(shocks, lambda level, shock: 0.9 * level + shock)), np.float64)
    ts = EPOCH + np.arange(n, dtype=np.int64) * EIGHT_HOURS
    rate = (USUAL + wander).clip(-LARGEST, LARGEST).round(6)
    ts.flags.writeable = rate.flags.writeable = False
    return Funding(ts, rate)
