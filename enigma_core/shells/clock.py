"""Clocks that a run can live by."""

from __future__ import annotations

import asyncio
import time


class WallClock:
    """The machine's UTC time."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    async def until(self, ts: int) -> None:
        await asyncio.sleep(max(0.0, (ts - self.now()) / 1000))


class PacedClock:
    """A market's own time, `speed` times as fast as the wall's; it starts with the first moment waited for.

    Speed 0 never waits, but gives other tasks a turn now and then.
    """

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._origin: tuple[int, float] | None = None
        self._now = 0
        self._turns = 0

    def now(self) -> int:
        return self._now

    async def until(self, ts: int) -> None:
        self._now = max(self._now, ts)
        if self._speed:
            wall = time.monotonic()
            if self._origin is None:
                self._origin = (ts, wall)
            due = self._origin[1] + (ts - self._origin[0]) / 1000 / self._speed
            if due > wall:
                await asyncio.sleep(due - wall)
                return
        self._turns += 1
        if self._turns % 64 == 0:
            await asyncio.sleep(0)
