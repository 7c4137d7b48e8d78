"""The journal, read beside the run: a page at a time, in threads, a few at once and none for long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any, TypeVar

from litestar.di import NamedDependency
from litestar.exceptions import ServiceUnavailableException
from litestar.params import SkipValidation

from enigma_core.errors import HomeError
from enigma_core.model import Decision, Trade
from enigma_core.parts import Desk
from enigma_core.reading import Reader
from enigma_core.records import Started

AT_ONCE = 2
WAITING = 32
"""Reads that may wait or run; more are refused."""

PATIENCE = 5.0
"""Seconds a read may take, its waiting included."""

_STEPS = 20_000
"""SQLite's steps between two looks at the clock."""

ORDER = ("id", "decision_id", "ts", "symbol", "side", "quantity", "filled", "purpose", "price", "leverage", "state", "reason")

T = TypeVar("T")


class Ledger(Reader):
    """A journal whose pages go back from the newest. A cursor is the number of a row: what comes before it is asked for."""

    def until(self, deadline: float) -> None:
        """End whatever is read at `deadline`, seconds of the monotonic clock."""
        self._db.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)

    def decisions_page(self, limit: int, before: int | None, symbol: str | None) -> list[tuple[int, Decision]]:
        """(cursor, decision), newest first."""
        return self._page("decision", "d.symbol", limit, before, symbol)

    def trades_page(self, limit: int, before: int | None, symbol: str | None) -> list[tuple[int, Trade]]:
        """(cursor, closed trade), newest first."""
        return self._page("trade", "d.symbol", limit, before, symbol)

    def orders_page(self, limit: int, before: int | None, symbol: str | None) -> list[tuple[int, dict[str, Any]]]:
        """(cursor, order and how it stands), newest first. Money is `Decimal`."""
        sql = f"SELECT rowid, {', '.join(ORDER)} FROM orders WHERE (?1 IS NULL OR rowid < ?1) AND (?2 IS NULL OR symbol = ?2)"
        found = []
        for rowid, *row in self._rows(f"{sql} ORDER BY rowid DESC LIMIT ?3", before, symbol, limit):
            order = dict(zip(ORDER, row, strict=True))
            order |= {name: Decimal(order[name]) for name in ("quantity", "filled", "price") if order[name] is not None}
            found.append((rowid, order))
        return found

    def found(self, read: Callable[[str], T], name: str) -> T | None:
        """What `read` answers for `name`, None where the journal holds no such thing."""
        try:
            return read(name)
        except HomeError:
            self._rows("SELECT 1")  # a damaged file says so here
            return None

    def began(self) -> Started | None:
        """With what the account began; None where nothing did."""
        found = self._events("started", "WHERE kind = 'started' ORDER BY seq LIMIT 1")
        return found[0] if found else None

    def first(self) -> int | None:
        """The market's time of the first thing that happened, ms; an account that begins does not know it yet."""
        found = self._value("SELECT ts FROM event WHERE kind <> 'started' ORDER BY seq LIMIT 1")
        return None if found is None else int(found)

    def _page(self, kind: str, column: str, limit: int, before: int | None, symbol: str | None) -> list[tuple[int, Any]]:
        seqs = f"SELECT d.seq FROM {kind} d WHERE (?1 IS NULL OR d.seq < ?1) AND (?2 IS NULL OR {column} = ?2)"
        wanted = [seq for (seq,) in self._rows(f"{seqs} ORDER BY d.seq DESC LIMIT ?3", before, symbol, limit)]
        return [(seq, *self._events(kind, "WHERE seq = ?", seq)) for seq in wanted]


class Reads:
    """Reads of a desk's journal, off the loop."""

    def __init__(self, desk: Desk, *, patience: float = PATIENCE) -> None:
        self._desk = desk
        self._patience = patience
        self._waiting = 0
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="reading")

    async def __call__(self, read: Callable[[Ledger], T]) -> T:
        """What `read` makes of the journal. Raises 503 when too many read, or it takes too long."""
        if self._waiting >= WAITING:
            raise ServiceUnavailableException(f"{WAITING} reads of the journal wait already: try again soon")
        deadline = time.monotonic() + self._patience
        future = self._pool.submit(self._read, read, deadline)
        self._waiting += 1
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: self._over(loop))
        try:
            async with asyncio.timeout(self._patience):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise ServiceUnavailableException(f"reading the journal took more than {self._patience:g} s: ask for less") from None

    def _over(self, loop: asyncio.AbstractEventLoop) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._left)

    def _left(self) -> None:
        self._waiting -= 1

    def _read(self, read: Callable[[Ledger], T], deadline: float) -> T:
        with Ledger(self._desk.journal) as ledger:
            ledger.until(deadline)
            try:
                return read(ledger)
            except HomeError:
                # what was ended at its deadline looks like a file that cannot be read
                if time.monotonic() > deadline:
                    raise TimeoutError from None
                raise


AtReads = NamedDependency[SkipValidation[Reads]]
