"""Limits on how often something may go wrong."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable


class TokenBucket:
    """Holds up to `capacity` tokens and gains `rate` a second. `now` is a clock in seconds."""

    __slots__ = ("_at", "_level", "_now", "capacity", "rate")

    def __init__(self, capacity: float, rate: float, now: Callable[[], float]) -> None:
        self.capacity = capacity
        self.rate = rate
        self._now = now
        self._level = capacity
        self._at = now()

    @property
    def level(self) -> float:
        """Tokens there now."""
        now = self._now()
        self._level = min(self.capacity, self._level + max(0.0, now - self._at) * self.rate)
        self._at = now
        return self._level

    @property
    def empty(self) -> bool:
        return self.level < 1

    def take(self) -> None:
        """One token less, if one is there."""
        if self.level >= 1:
            self._level -= 1


class Failures:
    """Wrong secrets, counted by sender and over all: who has had too many is `suspect`.

    Senders beyond `most` are forgotten, the longest silent first; the count over all holds for them too.
    """

    def __init__(self, now: Callable[[], float], *, each: int = 10, overall: int = 600, most: int = 10_000) -> None:
        self.each = each
        self.most = most
        self.total = 0
        self._now = now
        self._all = TokenBucket(overall, overall / 60, now)
        self._senders: OrderedDict[Hashable, TokenBucket] = OrderedDict()

    def suspect(self, sender: Hashable) -> bool:
        """True when `sender`, or everybody together, has failed too often within the last minute."""
        bucket = self._senders.get(sender)
        return (bucket is not None and bucket.empty) or self._all.empty

    def count(self, sender: Hashable) -> None:
        """`sender` has failed once more."""
        self.total += 1
        bucket = self._senders.get(sender)
        if bucket is None:
            bucket = self._senders[sender] = TokenBucket(self.each, self.each / 60, self._now)
            if len(self._senders) > self.most:
                self._senders.popitem(last=False)
        else:
            self._senders.move_to_end(sender)
        bucket.take()
        self._all.take()
