"""Events on their way out: in order of time, the newest of each kind only, none after the bars of its moment."""

from __future__ import annotations

from collections import deque
from operator import attrgetter

import msgspec

from enigma_core.market import BarsClosed, MarketEvent, TradeSeen

MOST_TRADES = 50_000
"""That may wait; beyond it the oldest go."""

_BY_TIME = attrgetter("ts")


class Outgoing:
    """What waits to be taken. Of books, marks, rates and turnovers only the newest of a symbol is kept.

    Times only ascend, but for bars that come late: they bear the close they belong to.
    """

    def __init__(self) -> None:
        self._trades: deque[TradeSeen] = deque(maxlen=MOST_TRADES)
        self._newest: dict[tuple[type, str], MarketEvent] = {}
        self._least = 0

    def put(self, event: MarketEvent) -> None:
        """Any event but bars."""
        if type(event) is TradeSeen:
            self._trades.append(event)
        elif not isinstance(event, BarsClosed):
            self._newest[type(event), event.symbol] = event

    def take(self, until: int | None, wall: int) -> list[MarketEvent]:
        """What happened up to `until` (None: everything). No time lies beyond `wall`."""
        if not self._trades and not self._newest:
            return []
        events: list[MarketEvent] = [*self._trades, *self._newest.values()]
        self._trades.clear()
        self._newest.clear()
        if until is not None:
            kept = [event for event in events if event.ts > until]
            events = [event for event in events if event.ts <= until]
            for event in kept:
                self.put(event)
        events.sort(key=_BY_TIME)
        return [self._stamped(event, wall) for event in events]

    def over(self, moment: int) -> None:
        """The moment of a close has been given its bars."""
        self._least = max(self._least, moment + 1)

    def _stamped(self, event: MarketEvent, wall: int) -> MarketEvent:
        ts = max(self._least, min(event.ts, wall))
        self._least = ts
        return event if ts == event.ts else msgspec.structs.replace(event, ts=ts)
