"""The newest bars of one symbol and timeframe, in arrays that grow at the end and forget at the front."""

from __future__ import annotations

import numpy as np

from enigma_core.lines import Floats, Tape, Vector
from enigma_core.model import Candles

SMALLEST = 256


class Rolling:
    """Bars by index since the first one ever appended; at least the newest `keep` of them are held.

    Views handed out are read-only and stay as they are: forgetting moves to fresh memory.
    """

    __slots__ = ("_columns", "_n", "_shown", "_ts", "_ts_shown", "keep", "offset", "symbol", "timeframe")

    def __init__(self, symbol: str, timeframe: str, keep: int) -> None:
        self.symbol, self.timeframe, self.keep = symbol, timeframe, keep
        self.offset = 0
        """How many bars have been forgotten."""
        self._n = 0
        self._allocate(SMALLEST)

    def _allocate(self, capacity: int) -> None:
        self._ts = np.empty(capacity, np.int64)
        self._columns = np.empty((5, capacity))
        self._ts_shown = self._ts.view()
        self._ts_shown.flags.writeable = False
        shown = self._columns.view()
        shown.flags.writeable = False
        self._shown: tuple[Floats, ...] = tuple(shown)

    @property
    def count(self) -> int:
        """How many bars were ever appended."""
        return self.offset + self._n

    @property
    def held(self) -> int:
        """How many bars are held."""
        return self._n

    @property
    def last_close(self) -> float:
        """The newest close; there must be a bar."""
        return float(self._columns[3, self._n - 1])

    def append(self, ts: int, open_: float, high: float, low: float, close: float, volume: float) -> None:
        """One more bar."""
        n = self._n
        self._ts[n] = ts
        self._columns[:, n] = (open_, high, low, close, volume)
        self._n = n + 1

    def extend(self, candles: Candles) -> None:
        """All of `candles` at once; nothing is forgotten until the next `forget`."""
        n, m = self._n, len(candles)
        if n + m >= len(self._ts):
            self._move(0, 2 * (n + m))
        self._ts[n : n + m] = candles.ts
        for column, values in zip(
            self._columns, (candles.open, candles.high, candles.low, candles.close, candles.volume), strict=True
        ):
            column[n : n + m] = values
        self._n = n + m

    @property
    def full(self) -> bool:
        """True when `forget` must make room before the next bar."""
        return self._n == len(self._ts)

    def forget(self, hold: int | None = None) -> None:
        """Forget all but the newest `keep` bars, and none from index `hold` on; make room for as many more."""
        drop = max(0, self._n - self.keep)
        if hold is not None:
            drop = min(drop, hold - self.offset)
        self._move(drop, max(SMALLEST, 2 * (self._n - drop)))

    def _move(self, drop: int, capacity: int) -> None:
        ts, columns, n = self._ts, self._columns, self._n - drop
        self._allocate(capacity)
        self._ts[:n] = ts[drop : drop + n]
        self._columns[:, :n] = columns[:, drop : drop + n]
        self._n = n
        self.offset += drop

    def newest(self, count: int, ta: Vector | Tape) -> Candles:
        """The newest `count` bars, fewer where there are fewer."""
        n = self._n
        return self._view(max(0, n - count), n, ta)

    def between(self, start: int, stop: int, ta: Vector | Tape) -> Candles:
        """Bars from index `start` up to `stop` (exclusive); both must be held."""
        return self._view(start - self.offset, stop - self.offset, ta)

    def _view(self, a: int, b: int, ta: Vector | Tape) -> Candles:
        o, h, low, c, v = self._shown
        return Candles(self.symbol, self.timeframe, self._ts_shown[a:b], o[a:b], h[a:b], low[a:b], c[a:b], v[a:b], ta)
