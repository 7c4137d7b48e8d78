"""Quotas: so much weight a window for each pool, told in every answer's headers."""

from __future__ import annotations

from collections.abc import Mapping

from enigma_sandbox.exchange.refusals import Refusal

SPOT_SHARE = 2
"""Spot's quota in those of the others."""


class Pool:
    """One window after the other; the first request of one begins it."""

    __slots__ = ("_left", "_limit", "_until", "_window")

    def __init__(self, limit: int, window: int) -> None:
        self._limit = limit
        self._window = window
        self._left = limit
        self._until = 0

    def take(self, weight: int, now: int) -> bool:
        """Whether there is room for so much; what is refused costs nothing."""
        if now >= self._until or now < self._until - self._window:
            self._left, self._until = self._limit, now + self._window
        if weight > self._left:
            return False
        self._left -= weight
        return True

    def headers(self, now: int) -> Mapping[str, str]:
        return {
            "gw-ratelimit-limit": str(self._limit),
            "gw-ratelimit-remaining": str(max(0, self._left)),
            "gw-ratelimit-reset": str(max(0, self._until - now)),
        }

    def drain(self, now: int, ms: int) -> None:
        """Nothing is left for so long."""
        self._left, self._until = 0, now + min(ms, self._window)


class Quota:
    """The pools of one account, and the public ones by address."""

    def __init__(self, limit: int, window: int) -> None:
        self._limit = limit
        self._window = window
        self._pools: dict[tuple[str, str], Pool] = {}

    def pool(self, name: str, address: str) -> Pool:
        key = (name, address if name == "Public" else "")
        found = self._pools.get(key)
        if found is None:
            limit = self._limit * (SPOT_SHARE if name == "Spot" else 1)
            found = self._pools[key] = Pool(limit, self._window)
        return found

    def drain(self, name: str, now: int, ms: int) -> None:
        """Have a pool (or with "" all of them) empty for so long."""
        for (each, _), pool in self._pools.items():
            if name in ("", each):
                pool.drain(now, ms)


def throttled() -> Refusal:
    return Refusal("429000", "Too many requests in a short period of time, please retry later--kucoin", 429)
