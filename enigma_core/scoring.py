"""Points to score, class, confidence, agreement: the Evaluation of one symbol's primary bars (being built)."""

from __future__ import annotations

import msgspec
import numpy as np

from enigma_core.lines import Floats
from enigma_core.market import Market


class Evaluation(msgspec.Struct, frozen=True, eq=False):
    """n closed bars of the primary timeframe, scored. Arrays are (n,) unless said; NaN where nothing is known.

    `ts` is each bar's close in ms, the moment the row became knowable. `points` is (k, n), a row for each name in `names`.
    `side` is the score's sign. `agreeing` counts the larger camp, `voting` those that did not abstain. `scores` holds each
    timeframe's own score (the primary's included) as of the same moments, from bars closed by then. `market` is the live
    snapshot that belongs to the last row, None in a backtest.
    """

    symbol: str
    timeframe: str
    secondary: str | None
    dead_zone: float
    ts: np.ndarray
    close: Floats
    names: tuple[str, ...]
    points: Floats
    score: Floats
    side: np.ndarray
    confidence: Floats
    agreeing: np.ndarray
    voting: np.ndarray
    atr: Floats
    scores: dict[str, Floats]
    lines: dict[tuple[str, str], Floats]
    market: Market | None = None

    def __len__(self) -> int:
        return len(self.ts)

    def line(self, name: str, timeframe: str | None = None) -> Floats:
        """The raw line of indicator `name` on `timeframe` (the primary unless said), as of each row: (n,)."""
        return self.lines[(timeframe or self.timeframe, name)]
