"""Whether the market is still heard of, symbol by symbol, and whether this machine stood still."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

from enigma_core.chance import maybe
from enigma_core.model import Blocked

STILL = 5.0
"""Seconds between two looks, of which there is one a second, after which the machine is said to have slept."""

BY = "pulse"

ALL = ""
"""Stands for every symbol."""


class Pulse:
    """When each symbol was last heard of. `within` is how many seconds that may be ago; None: nobody promised anything."""

    def __init__(self, symbols: Sequence[str], within: float | None, clock: Callable[[], float] | None = None) -> None:
        self._within = within
        self._clock = clock
        self._felt: dict[str, float] = dict.fromkeys(symbols, 0.0)
        self._looked: float | None = None
        self._begun = False
        self._blocked: set[str] = set()

    def _now(self) -> float:
        # the loop's time where there is one: a simulation has its own
        if self._clock is not None:
            return self._clock()
        try:
            return asyncio.get_running_loop().time()
        except RuntimeError:
            return time.monotonic()

    def feel(self, symbol: str) -> None:
        """There is news of `symbol`."""
        if self._within is not None:
            self._felt[symbol] = self._now()

    async def second(self) -> float:
        """Wait a second; how long it took where that was much longer, else 0."""
        before = self._looked = self._now()
        await asyncio.sleep(1.0)
        took = self._now() - before
        return took if took > STILL else 0.0

    @property
    def late(self) -> bool:
        """Whether this machine stood still just now, and whoever waits for a second has not seen it yet."""
        return self._looked is not None and self._now() - self._looked > STILL

    def news(self, ts: int, held: Iterable[str] = ()) -> list[Blocked]:
        """Symbols that have fallen silent, and those that are heard of again, as of `ts` (ms).

        Where one that is `held` is silent nobody knows what the account is worth: nothing at all is entered.
        """
        if self._within is None:
            return []
        now = self._now()
        if not self._begun:
            # nobody is late before the first look
            self._begun = True
            self._felt = {symbol: felt or now for symbol, felt in self._felt.items()}
        found = []
        for symbol, felt in self._felt.items():
            silent = now - felt
            if maybe("pulse: a symbol is thought to be silent"):
                silent += self._within
            if silent > self._within and symbol not in self._blocked:
                self._blocked.add(symbol)
                found.append(Blocked(ts=ts, symbol=symbol, reason=f"its price has not been heard of for {silent:.0f} s", by=BY))
            elif silent <= self._within and symbol in self._blocked:
                self._blocked.discard(symbol)
                found.append(Blocked(ts=ts, symbol=symbol, reason="", by=BY))
        unknown = next((symbol for symbol in held if symbol in self._blocked), None)
        if unknown is not None and ALL not in self._blocked:
            self._blocked.add(ALL)
            found.append(Blocked(ts=ts, symbol=ALL, reason=f"{unknown} is held and its price has not been heard of", by=BY))
        elif unknown is None and ALL in self._blocked:
            self._blocked.discard(ALL)
            found.append(Blocked(ts=ts, symbol=ALL, reason="", by=BY))
        return found
