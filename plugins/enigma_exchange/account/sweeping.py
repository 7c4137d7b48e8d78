"""Calling orders off: those that nobody counts on any more, one by one, or all of a symbol that is flat by one request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from enigma_core.book import Book
from enigma_core.chance import maybe
from enigma_exchange.account.life import Life
from enigma_exchange.account.lives import Lives
from enigma_exchange.port import Account, ExchangeError

CLEAR = 3
"""So many orders of a symbol that is flat are cancelled by one request."""


class Sweeping:
    """`begin` starts a task, `do` makes a request, `wake` has whoever cares for an order look at it, `now` is seconds."""

    def __init__(
        self,
        api: Account,
        book: Book,
        lives: Lives,
        *,
        begin: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None] | None],
        do: Callable[[Coroutine[Any, Any, None]], Coroutine[Any, Any, None]],
        wake: Callable[[Life], None],
        now: Callable[[], float],
    ) -> None:
        self._api, self._book, self._lives = api, book, lives
        self._begin, self._do, self._wake, self._now = begin, do, wake, now
        self._clearing: dict[str, asyncio.Task[None]] = {}
        self.foreign: dict[str, int] = {}
        """Orders of somebody else, by symbol, as of the last look."""

    def sweep(self, symbol: str) -> None:
        """Call off what nobody counts on any more."""
        if maybe("sweeping: what is left over waits for the next look"):
            return
        leftover = [x for x in self._lives.working(symbol) if not self._lives.wanted(x)]
        self.call_off(leftover, "nothing counts on it any more")

    def call_off(self, lives: Iterable[Life], reason: str) -> None:
        """Have orders end."""
        fresh = [x for x in lives if not x.calling_off and x.state != "over"]
        for life in fresh:
            life.call_off(reason)
        for symbol in dict.fromkeys(x.order.symbol for x in fresh):
            at_work = [x for x in fresh if x.order.symbol == symbol and x.state == "working" and x.open]
            many = len(at_work) >= CLEAR and not maybe("sweeping: many orders are called off one by one")
            if (many or (at_work and maybe("sweeping: a few orders are called off by one request"))) and self._may_clear(
                symbol, at_work
            ):
                clearing = self._begin(self._clear(symbol, at_work))
                if clearing is not None:
                    self._clearing[symbol] = clearing
                    for life in at_work:
                        life.cancel_due = self._now() + 2.0
        for life in fresh:
            self._wake(life)

    async def cleared(self, symbol: str) -> None:
        """Wait until nothing of `symbol` is being cancelled as a whole: what is sent meanwhile would go with it."""
        if (clearing := self._clearing.get(symbol)) is not None:
            await asyncio.wait([clearing])

    def _may_clear(self, symbol: str, lives: Sequence[Life]) -> bool:
        """Whether nothing but `lives` would be cancelled with all of a symbol's orders."""
        flat = symbol not in self._book.positions and symbol not in self._book.entries
        alone = all(x in lives or x.state != "working" or x.settled for x in self._lives.working(symbol))
        return flat and alone and not self.foreign.get(symbol) and symbol not in self._clearing

    async def _clear(self, symbol: str, lives: Sequence[Life]) -> None:
        """Everything of a symbol is called off at once; each order is then looked at."""
        try:
            await self._do(self._api.cancel_all(symbol))
        except ExchangeError:
            # each of them is cancelled by itself then
            pass
        finally:
            del self._clearing[symbol]
        for life in lives:
            life.cancel_due, life.due = self._now() + 0.5, self._now()
            self._wake(life)
