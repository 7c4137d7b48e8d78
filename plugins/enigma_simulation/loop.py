"""An event loop whose time is virtual: nothing waits, and chance decides who goes first."""

from __future__ import annotations

import asyncio
import heapq
from random import Random
from typing import Any

TURNS = 200_000
"""Turns of the loop without a moment passing, after which somebody is going round in circles."""


class Stuck(RuntimeError):
    """Nothing will ever happen any more, or nothing but the same."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Jumps to the next timer as soon as nobody has anything to do. What is ready at once is done in an order of `random`'s choice.

    No thread and no socket may be waited for.
    """

    def __init__(self, random: Random | None = None) -> None:
        super().__init__()
        self._moment = 0.0
        self._chance = random
        self._standing = 0
        self.turns = 0
        """Callbacks that were run."""

    def time(self) -> float:
        """Seconds since the beginning."""
        return self._moment

    def skip(self, seconds: float) -> None:
        """Let time pass in which nobody here gets to do anything."""
        self._moment += seconds

    def _write_to_self(self) -> None:
        # nobody sleeps who would have to be woken
        pass

    def _run_once(self) -> None:
        scheduled: list[Any] = self._scheduled  # type: ignore[attr-defined]
        ready: Any = self._ready  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False
        if not ready and not self._stopping:  # type: ignore[attr-defined]
            if not scheduled:
                raise Stuck("nobody has anything to do, and nobody waits for a moment")
            if scheduled[0]._when > self._moment:
                self._moment, self._standing = scheduled[0]._when, 0
        while scheduled and scheduled[0]._when <= self._moment:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            ready.append(handle)
        count = len(ready)
        if count > 1 and self._chance is not None:
            mixed = list(ready)
            self._chance.shuffle(mixed)
            ready.clear()
            ready.extend(mixed)
        self._standing += 1
        if self._standing > TURNS:
            raise Stuck(f"the same moment, {self._moment:.3f} s, has gone on for {TURNS} turns")
        self.turns += count
        for _ in range(count):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()
