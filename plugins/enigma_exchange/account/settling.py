"""Fills: reading them, finding out whose they are, and telling the engine of each once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence

from enigma_core.chance import maybe
from enigma_core.model import CloseWanted, OrderFound, Purpose
from enigma_exchange.account.life import Life, is_stop
from enigma_exchange.account.shared import Shared
from enigma_exchange.naming import client_id
from enigma_exchange.port import Absent, Traded

log = logging.getLogger(__name__)

NAMELESS = 20
"""So many orders of a symbol are asked for, the newest first, when a fill belongs to none that is known."""

SLOW = 1.0
"""Seconds that fills are waited for before they are asked for a second time, beside."""


LATE = 900_000
"""How long (ms) after it was sent fills of an order that was proven to be absent are looked for."""


class Settling:
    """Fills of one account."""

    def __init__(self, shared: Shared) -> None:
        self._shared, self._fills, self._lives, self._book = shared, shared.fills, shared.lives, shared.book
        self._reading: asyncio.Task[None] | None = None
        self._next_reading: asyncio.Task[None] | None = None
        self._under: set[asyncio.Task[None]] = set()
        self._read_to = shared.ports.since
        """Fills up to here (ms) have been read: what came while nobody could read is read with the next reading."""
        self._crowded: set[str] = set()
        """Orders that were given up and have filled beside a position."""
        self._odd: set[str] = set()
        """Currencies of fees that are not the account's, once they were told of."""

    async def read(self) -> None:
        """Read fills, from now on: whoever asks while one reading is under way shares the next."""
        if self._next_reading is None or self._next_reading.done():
            self._next_reading = asyncio.ensure_future(self._reads(self._reading))
            self._under.add(self._next_reading)
            self._next_reading.add_done_callback(self._under.discard)
        await asyncio.shield(self._next_reading)

    def stop(self) -> None:
        """Nobody waits for a reading any more."""
        for reading in self._under:
            reading.cancel()

    async def _reads(self, before: asyncio.Task[None] | None) -> None:
        if before is not None and not before.done():
            # a stop may wait for what this one finds: it does not wait long for one that is slow
            await asyncio.wait([before], timeout=SLOW)
        self._reading, self._next_reading = self._next_reading, None
        shared = self._shared
        if maybe("account: fills wait to be read"):
            await asyncio.sleep(0.2)
        deep, shared.deep = shared.deep or maybe("account: fills of long ago are read"), False
        now = shared.there()
        since = min(now, self._read_to or now) - round((shared.timing.deep if deep else shared.timing.overlap) * 1000)
        for life in self._lives.working():
            if life.lagging is not None or life.state == "unknown":
                since = min(since, (life.sent_ts or life.order.ts) - 10_000)
        for life in self._lives:
            # its fills may be shown long after everything else has missed it
            if life.state == "absent" and 0 < now - life.sent_ts <= LATE:
                since = min(since, life.sent_ts - 10_000)
        try:
            # a position's protection may wait for it
            trades = await shared.asking.soonest(lambda: shared.api.fills(since), SLOW)
        except BaseException:
            shared.deep = shared.deep or deep
            raise
        self._read_to = now
        known = set(self._fills.strays)
        self.apply(self._fills.sort(trades, self.owner))
        if maybe("account: fills are taken in twice"):
            self.apply(self._fills.sort(trades, self.owner))
        if strange := [t for name, t in self._fills.strays.items() if name not in known]:
            await self._attribute(dict.fromkeys(t.symbol for t in strange))
        if self._fills.strays.keys() - known:
            shared.asked["positions"].set()

    async def _attribute(self, symbols: Iterable[str]) -> None:
        """Fills of orders that are over, and whose id at the exchange nobody has learnt: a look by client id tells it."""
        shared = self._shared
        for symbol in symbols:
            for order in self._lives.nameless(symbol)[:NAMELESS]:
                try:
                    state = await shared.asking.look(shared.api.find(symbol, client_id(order.id), stop=is_stop(order)))
                except Absent:
                    self._lives.nobody(order)
                    continue
                life = self._lives.of_state(state)
                if life is not None and (state.symbol, state.side) == (order.symbol, order.side):
                    life.venue_id = state.venue_id
                    self._lives.name(life, state.venue_id)
        self.claim()

    def owner(self, trade: Traded) -> Life | None:
        """The order of ours that a trade belongs to; None where it is anybody's."""
        if self._lives.foreign(trade.client_id):
            self._shared.another(trade.client_id)
            return None
        return self._lives.of_trade(trade)

    def claim(self) -> None:
        """Tell of fills whose order has become known since."""
        self.apply(self._fills.claim(self.owner))

    def apply(self, owned: Sequence[tuple[Life, Traded]]) -> None:
        """Tell the engine of fills of our orders, one after another: each changes what the next one means."""
        shared, fills = self._shared, self._fills
        for life, trade in owned:
            if fills.is_known(trade):
                continue
            if self._is_early(life, trade) or maybe("account: a fill is left for the next reading"):
                self._read_again(trade)
                continue
            if wrong := fills.wrong(life, trade):
                fills.done(trade)
                shared.strange(life.order.symbol, wrong)
                continue
            reports = fills.reports(life, trade)
            if not reports and not life.reduces:
                # what is held is left first, so that this can be taken over and left too: it is read again
                why = f"order {life.order.id} was given up and has filled while {trade.symbol} is held"
                shared.halt(f"{why}: look at the account")
                if life.order.id not in self._crowded:
                    self._crowded.add(life.order.id)
                    shared.say(CloseWanted(ts=shared.ts(), symbol=trade.symbol, reason=why))
                self._read_again(trade)
                continue
            self._see_fee(trade)
            fills.done(trade)
            life.fill(trade.quantity, shared.now())
            shared.touch(trade.symbol)
            gone = life.state in ("over", "absent")
            if any(isinstance(r, OrderFound) and r.order.purpose is Purpose.ENTRY for r in reports):
                why = f"order {life.order.id} was given up and has filled after all"
                log.error("%s: it is closed", why)
                reports.append(CloseWanted(ts=shared.ts(), symbol=trade.symbol, reason=why))
            elif not life.reduces and any(isinstance(r, OrderFound) for r in reports):
                why = f"order {life.order.id} was given up and has filled against {trade.symbol}"
                shared.halt(f"{why}: look at the account")
                if trade.quantity < self._book.positions[trade.symbol].quantity:
                    reports.append(CloseWanted(ts=shared.ts(), symbol=trade.symbol, reason=why))
            shared.say(*reports)
            if gone and life.left > 0:
                self.revive(life, "it was over, and has filled after all")
            shared.wake(life)

    def _read_again(self, trade: Traded) -> None:
        """The next reading begins before `trade`."""
        self._read_to = min(self._read_to, trade.ts)

    def _see_fee(self, trade: Traded) -> None:
        if trade.paid_in and trade.paid_in not in self._odd:
            self._odd.add(trade.paid_in)
            text = "%s: fees are paid in %s; each is booked as what it was worth, and balances differ by it: switch that off there"
            log.error(text, trade.symbol, trade.paid_in)

    def _is_early(self, life: Life, trade: Traded) -> bool:
        """A fill that takes off more than the book holds while fills of an entry are still to come: it is read again."""
        symbol = life.order.symbol
        position = self._book.positions.get(symbol)
        entering = any(not x.reduces and x.unsettled for x in self._lives.working(symbol))
        return life.reduces and entering and (position is None or trade.quantity > position.quantity)

    def revive(self, life: Life, reason: str) -> None:
        """An order that was over, or proven to be absent, is there: it is called off."""
        log.warning("order %s: %s", life.order.id, reason)
        now = self._shared.now()
        life.state, life.open, life.calling_off = "working", True, False
        life.due, life.moved = now, now
        life.misses.clear()
        life.call_off(reason)
        self._shared.touch(life.order.symbol)
        self._shared.begin(life)
