"""Which prices can be true: those near the mark, and marks near the index."""

from __future__ import annotations

import math

BAND = 0.10
"""How far a price may be from the mark, and a mark from the index, as a share."""

FRESH = 60_000
"""How long (ms) a mark says where prices are."""

AGAIN = 3
"""So many marks in a row beyond the band of the one before, and near each other, are a market that has moved."""


class Sanity:
    """The reference of one symbol: its newest mark. Without a fresh one every positive, finite price is taken."""

    __slots__ = ("_at", "_strange", "_times", "band", "mark")

    def __init__(self, band: float = BAND) -> None:
        self.band = band
        self.mark = math.nan
        self._at = 0
        self._strange = math.nan
        self._times = 0

    def price(self, price: float, now: int) -> bool:
        """Whether a trade or a quote can have been at `price`."""
        # written so that NaN fails
        if not 0 < price < math.inf:
            return False
        return now - self._at > FRESH or not self.mark > 0 or self._near(price, self.mark)

    def marked(self, mark: float, index: float, now: int) -> bool:
        """Take a mark in, if it can be true."""
        if not (0 < mark < math.inf and 0 < index < math.inf and self._near(mark, index)):
            return False
        if now - self._at <= FRESH and self.mark > 0 and not self._near(mark, self.mark):
            same = self._near(mark, self._strange)
            self._strange, self._times = mark, self._times + 1 if same else 1
            if self._times < AGAIN:
                return False
        self.mark, self._at, self._strange, self._times = mark, now, math.nan, 0
        return True

    def fresh(self, now: int) -> bool:
        """Whether there is a mark to go by."""
        return self.mark > 0 and now - self._at <= FRESH

    def _near(self, price: float, reference: float) -> bool:
        return abs(price - reference) <= self.band * reference


def crossed(bid: float, ask: float) -> bool:
    """Whether the best bid is not below the best ask: a book that cannot stand."""
    return not bid < ask
