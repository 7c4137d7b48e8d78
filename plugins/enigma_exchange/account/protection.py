"""Which positions no stop at the exchange protects, and since when. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from enigma_core.book import Book
from enigma_core.chance import maybe
from enigma_core.model import Purpose
from enigma_exchange.account.life import Life

HASTY = 1.0
"""Seconds that a stop is waited for at least, where chance has it that it is not waited for as long as was said."""


def protects(life: Life, side: int) -> bool:
    """A stop that the exchange has been seen to hold, and that nobody is calling off."""
    return (
        life.order.purpose is Purpose.STOP
        and life.order.side == -side
        and life.state == "working"
        and life.seen
        and life.open
        and not life.calling_off
    )


class Protection:
    """Watches over the positions of `book`."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self.since: dict[str, float] = {}
        """Symbols without enough of a stop, and since when (seconds)."""
        self.longest = 0.0
        """The longest a position has been without, seconds."""
        self._told: dict[str, float] = {}

    def look(self, lives: Iterable[Life], now: float) -> None:
        """Take stock: `lives` are those at work."""
        stops: dict[str, list[Life]] = {}
        for life in lives:
            if life.order.purpose is Purpose.STOP:
                stops.setdefault(life.order.symbol, []).append(life)
        for symbol, position in self._book.positions.items():
            covered = any(protects(s, position.side) and s.left >= position.quantity for s in stops.get(symbol, ()))
            if not covered:
                self.since.setdefault(symbol, now)
                self.longest = max(self.longest, now - self.since[symbol])
            elif symbol in self.since:
                self.longest = max(self.longest, now - self.since.pop(symbol))
                self._told.pop(symbol, None)
        for symbol in [s for s in self.since if s not in self._book.positions]:
            self.longest = max(self.longest, now - self.since.pop(symbol))
            self._told.pop(symbol, None)

    def overdue(self, now: float, limit: float) -> list[str]:
        """Symbols that have been without a stop for `limit` seconds and are not being left; each again after as long."""
        found = []
        for symbol, since in self.since.items():
            hasty = now - since >= HASTY and symbol not in self._told and maybe("protection: a stop is waited for no longer")
            due = now - since >= limit and now - self._told.get(symbol, since - limit) >= limit
            if (due or hasty) and not self._leaving(symbol):
                self._told[symbol] = now
                found.append(symbol)
        return found

    def _leaving(self, symbol: str) -> bool:
        position = self._book.positions[symbol]
        return any(
            w.order.purpose is Purpose.CLOSE and w.order.symbol == symbol and w.order.quantity - w.filled >= position.quantity
            for w in self._book.orders.values()
        )
