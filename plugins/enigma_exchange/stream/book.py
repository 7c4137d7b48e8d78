"""An order book from a snapshot and the changes after it, in order of their sequence numbers."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from typing import Literal

Levels = tuple[tuple[float, float], ...]

WAITING = 500
"""Changes that may wait for one before them, or for the snapshot, before something is surely lost."""

LATE = 1_000
"""How long (ms) they may wait for one before them."""


class Level2:
    """A book as KuCoin's ``level2`` describes it: each change sets the size of a price, 0 takes it away.

    Changes that come twice or out of order do no harm. One that is missing, or a book that crosses, makes it `broken`: it then
    waits for the next snapshot. `sequence` is that of the newest change in it, -1 before a snapshot.
    """

    def __init__(self) -> None:
        self.sequence = -1
        self.resyncs = 0
        """How often it broke."""
        self.broken = True
        self._bids: dict[float, float] = {}
        self._asks: dict[float, float] = {}
        self._bid: float | None = None
        self._ask: float | None = None
        """The best of each side; None: to be looked for."""
        self._ahead: list[tuple[int, str, float, float]] = []
        self._since: int | None = None
        """Since when something has been waiting for a change that is missing."""

    def begin(self, sequence: int, bids: Iterable[tuple[float, float]], asks: Iterable[tuple[float, float]], now: int) -> None:
        """Take in a snapshot; changes that came meanwhile go on top of it. One that is older than the book is no use."""
        if not self.broken and sequence <= self.sequence:
            return
        self._bids = {price: size for price, size in bids if price > 0 and size > 0}
        self._asks = {price: size for price, size in asks if price > 0 and size > 0}
        self._bid = self._ask = None
        self.sequence, self.broken, self._since = sequence, False, None
        self._apply(now)

    def change(self, sequence: int, price: float, side: Literal["buy", "sell"], size: float, now: int) -> None:
        """Take in one change. `price` 0 tells only of the sequence."""
        if not self.broken and sequence <= self.sequence:
            return
        heapq.heappush(self._ahead, (sequence, side, price, size))
        if self.broken:
            while len(self._ahead) > WAITING:
                # the snapshot to come is newer than the oldest of them
                heapq.heappop(self._ahead)
            return
        self._apply(now)

    def look(self, now: int) -> None:
        """Break where a change has been missing for too long."""
        if not self.broken and self._since is not None and now - self._since > LATE:
            self._break()

    def lose(self) -> None:
        """The stream was interrupted."""
        self._ahead.clear()
        if not self.broken:
            self._break()

    def levels(self, most: int) -> tuple[Levels, Levels]:
        """The best bids and asks, best first."""
        bids = heapq.nlargest(most, self._bids.items())
        asks = heapq.nsmallest(most, self._asks.items())
        return tuple(bids), tuple(asks)

    @property
    def sides(self) -> tuple[Mapping[float, float], Mapping[float, float]]:
        """All of it: sizes by price."""
        return self._bids, self._asks

    def _apply(self, now: int) -> None:
        while self._ahead and self._ahead[0][0] <= self.sequence + 1:
            sequence, side, price, size = heapq.heappop(self._ahead)
            if sequence <= self.sequence:
                continue
            self.sequence = sequence
            if price > 0:
                self._set(side, price, size)
        if self._crossed():
            self._break()
        elif not self._ahead:
            self._since = None
        elif self._since is None:
            self._since = now
        elif len(self._ahead) > WAITING:
            self._break()

    def _set(self, side: str, price: float, size: float) -> None:
        levels = self._bids if side == "buy" else self._asks
        if size > 0:
            levels[price] = size
        else:
            levels.pop(price, None)
        if side == "buy":
            self._bid = None if price == self._bid and size <= 0 else self._bid and max(self._bid, price if size > 0 else 0)
        else:
            self._ask = None if price == self._ask and size <= 0 else self._ask and min(self._ask, price if size > 0 else self._ask)

    def _crossed(self) -> bool:
        if not self._bids or not self._asks:
            return False
        if self._bid is None:
            self._bid = max(self._bids)
        if self._ask is None:
            self._ask = min(self._asks)
        return self._bid >= self._ask

    def _break(self) -> None:
        self.broken = True
        self.resyncs += 1
        self._since = None
