"""A limit on how often entries may be ordered at all: what runs away is stopped, whoever drives it."""

from __future__ import annotations

from collections import deque

from enigma_core.model import Order, Purpose, StateSet
from enigma_core.plan import Risk

MINUTE, DAY = 60_000, 86_400_000


class Governor:
    """Counts entries by the market's time."""

    def __init__(self, risk: Risk) -> None:
        self.risk = risk
        self._entries: deque[tuple[int, str]] = deque()

    def see(self, order: Order | StateSet) -> StateSet | None:
        """Take in an order; the halt it leads to, if it was one too many. Who lets trading go on has it count anew."""
        if isinstance(order, StateSet):
            if order.state == "ACTIVE":
                self._entries.clear()
            return None
        if order.purpose is not Purpose.ENTRY:
            return None
        self._entries.append((order.ts, order.symbol))
        while self._entries[0][0] <= order.ts - DAY:
            self._entries.popleft()
        recent = [symbol for ts, symbol in self._entries if ts > order.ts - MINUTE]
        counts = (
            (recent.count(order.symbol), self.risk.entries_per_minute_symbol, f"entries in {order.symbol} within a minute"),
            (len(recent), self.risk.entries_per_minute, "entries within a minute"),
            (len(self._entries), self.risk.entries_per_day, "entries within a day"),
        )
        for count, most, what in counts:
            if count >= most:
                reason = f"governor: {count} {what}, and {most} stop trading; `enigma reset halt` once the cause is known"
                return StateSet(ts=order.ts, state="HALTED", reason=reason)
        return None
