"""What is looked after every minute: the clock, the contracts, margin modes, funding, and the account's money."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Coroutine
from decimal import Decimal
from typing import Any, Protocol, TypeVar

from enigma_core import guards
from enigma_core.book import Book
from enigma_core.chance import maybe
from enigma_core.model import Funded, Instrument, Transferred, money
from enigma_core.parts import Command, Ports, Report
from enigma_exchange.account.blocks import Blocks
from enigma_exchange.account.timing import Timing
from enigma_exchange.port import Account, ExchangeError, Listed, Refused

log = logging.getLogger(__name__)

T = TypeVar("T")

DUST = Decimal("0.01")
"""Less than this much of the quote currency is rounding, not a difference of balances."""

OPENING = "opening"
"""What the booking of an account's first balance is called: there is one in a journal."""

OVERLAP = 3_600_000
"""How far back (ms) settlements are read again: they may be booked late."""

DAY = 86_400_000
"""How far back (ms) transfers are read again, which may take hours, and settlements after a restart."""

LATE = 900_000
"""How long (ms) after a position was left its funding may still be booked."""


class Asking(Protocol):
    """How a look is made: it may be slowed down, and raises `ExchangeError` alone."""

    async def __call__(self, asking: Coroutine[Any, Any, T], /) -> T: ...


class Doing(Protocol):
    """How a request is made that changes something: it is waited for even when nobody waits any more."""

    async def __call__(self, doing: Coroutine[Any, Any, T], /) -> T: ...


class Upkeep:
    """Keeps an eye on what changes slowly. `now` is the loop's clock, seconds."""

    def __init__(
        self,
        api: Account,
        ports: Ports,
        book: Book,
        blocks: Blocks,
        timing: Timing,
        ask: Asking,
        do: Doing,
        say: Callable[[Report | Command], object],
        now: Callable[[], float],
    ) -> None:
        self._api, self._ports, self._book, self._blocks, self._timing = api, ports, book, blocks, timing
        self._ask, self._do, self._say, self._now = ask, do, say, now
        self.contracts: dict[str, Listed] = {}
        """Contracts that are traded, as they stand now."""
        self.offset = 0
        """The exchange's clock less ours, ms."""
        self._isolated: dict[str, float] = {}
        self._lately: dict[str, tuple[int, int]] = {}
        """When each position was entered and last seen, by symbol, while funding may still be booked for it."""
        self._funded: dict[str, int] = {}
        """Up to when settlements have been read, by symbol, ms."""
        self._moved = 0
        """Up to when transfers have been read, ms."""
        self._booked: dict[str, int] = {}
        """What has been seen of bookings, by kind and name, and when it was booked: whatever is not here is in the journal."""
        self._proven = False
        # what was booked while nobody ran, or had not been read when the last run ended, may be older than its last step
        self._first = max(ports.opened, ports.since - DAY) if ports.opened else ports.since or ports.wall() + 1
        self.opened = ports.recorded("transferred", OPENING) or bool(ports.since and book.cash)
        """The account's first balance is in the book."""
        self.residual: Decimal | None = None
        """By how much the balance differed at the last look; None for not at all."""

    def instrument(self, symbol: str) -> Instrument | None:
        """The contract of today."""
        listed = self.contracts.get(symbol)
        return listed.instrument if listed is not None else self._ports.instruments.get(symbol)

    async def clock(self) -> None:
        """How far the clocks are apart; half of what the question took is nobody's."""
        if not self.offset or maybe("upkeep: the clock is asked for twice"):
            # what comes first may have more to do than to read a clock
            await self._ask(self._api.time())
        sent, began = self._ports.wall(), self._now()
        there = await self._ask(self._api.time())
        took = (self._now() - began) * 1000
        self.offset = round(there - sent - took / 2)
        off = max(0.0, abs(self.offset) - took / 2) / 1000
        text = f"the clock is {off:.1f} s off the exchange's: set it by NTP" if off > self._timing.drift else ""
        self._blocks.set("", "clock", text)

    async def listed(self) -> None:
        """Contracts that are not traded now, or are not what they were, are not entered."""
        listed = await self._ask(self._api.listed())
        for symbol, ours in self._ports.instruments.items():
            one = listed.get(symbol)
            if one is None or not one.open:
                self._blocks.set(symbol, "contract", f"the exchange does not {'trade' if one else 'list'} it now")
                continue
            before = self.contracts.get(symbol)
            self.contracts[symbol] = one
            now = one.instrument
            text = ""
            if now.multiplier != ours.multiplier:
                text = f"a contract is {now.multiplier} now and was {ours.multiplier} when this run began: restart it"
            elif before is not None and (now.tick, now.lot) != (before.instrument.tick, before.instrument.lot):
                log.warning("%s: its tick is %s and its lot %s from now on", symbol, now.tick, now.lot)
            self._blocks.set(symbol, "contract", text)

    async def rights(self) -> None:
        """With real money, nothing is entered before the key is known to trade and do nothing else."""
        if self._ports.mode != "live" or self._proven:
            return
        try:
            may = await self._ask(self._api.rights())
        except ExchangeError as error:
            self._blocks.set("", "rights", f"what the key may do could not be read: {error}")
            return
        refused, _ = guards.rights(trade=may.trade, withdraw=may.withdraw, transfer=may.transfer, addresses=may.addresses)
        self._proven = not refused
        self._blocks.set("", "rights", "; ".join(refused))

    def recently_isolated(self, symbol: str) -> bool:
        if maybe("upkeep: nobody knows how margin is held"):
            return False
        return self._now() - self._isolated.get(symbol, -math.inf) <= 2 * self._timing.balance

    async def margin_mode(self, symbol: str) -> None:
        """Isolated margin, one way: read, set where nothing is held, read again."""
        try:
            right = await self._ask(self._api.isolated(symbol))
            if not right and symbol not in self._book.positions and symbol not in self._book.external:
                await self._do(self._api.isolate(symbol))
                right = await self._ask(self._api.isolated(symbol))
        except Refused as refused:
            self._blocks.set(symbol, "margin", f"its margin mode cannot be set to isolated: {refused}")
            return
        except ExchangeError as error:
            if not self.recently_isolated(symbol):
                self._blocks.set(symbol, "margin", f"its margin mode could not be read: {error}")
            return
        text = ""
        if right:
            self._isolated[symbol] = self._now()
        else:
            self._isolated.pop(symbol, None)
            text = "it is traded with cross margin or both ways: set isolated margin, one way, at the exchange"
        self._blocks.set(symbol, "margin", text)

    def hold(self) -> None:
        """Remember what is held now: funding is booked a while after it was due."""
        now = self._ports.wall() + self.offset
        for position in self._book.positions.values():
            entered, last = self._lately.get(position.symbol, (position.entry_ts, now))
            # a position that was left and entered anew since may have seen a settlement that is not booked yet
            first = min(entered, position.entry_ts) if now - last <= LATE else position.entry_ts
            self._lately[position.symbol] = (first, now)
        for symbol, (entered, last) in self._lately.items():
            left = self._book.last_exit(symbol)
            if symbol not in self._book.positions and left is not None and left > last:
                # it was held until then, though nobody looked: the process stood still, or the exchange was out of reach
                self._lately[symbol] = (entered, left)

    async def funding(self) -> None:
        """Settlements of what is held, and of what was held a moment ago, each once."""
        self.hold()
        now = self._ports.wall() + self.offset
        for symbol, (entered, last) in list(self._lately.items()):
            read = self._ports.wall() + self.offset
            before = self._funded[symbol] - OVERLAP if symbol in self._funded else (self._ports.since or read) - DAY
            since = entered if maybe("upkeep: all of a position's funding is read again") else max(entered, before)
            for row in await self._ask(self._api.settled(symbol, since)):
                name = f"{symbol}#{row.id}"
                if entered < row.ts <= last and self._is_new("funded", name, row.ts):
                    amount = money(row.amount)
                    self._say(Funded(ts=row.ts, symbol=symbol, rate=row.rate, price=row.price, amount=amount, id=name))
            self._funded[symbol] = read
            if symbol not in self._book.positions and now - last > LATE:
                del self._lately[symbol]
                del self._funded[symbol]

    async def money(self, calm: Callable[[], bool], fills: Callable[[], Awaitable[None]]) -> None:
        """Deposits by their rows; a difference of balances that is left after two calm looks is the account's own booking."""
        await self._moves()
        quiet = calm()
        balance = await self._ask(self._api.balance())
        if abs(money(balance.wallet) - self._book.cash) >= DUST:
            # what has just traded is no difference
            await fills()
        residual = money(balance.wallet) - self._book.cash
        if not (quiet and calm()) or abs(residual) < DUST:
            # a balance of nothing may be an answer without one
            self.opened = self.opened or bool(quiet and abs(residual) < DUST and self._book.cash)
            self.residual = None
        elif self.residual is None or abs(residual - self.residual) >= DUST or maybe("upkeep: money is counted once more"):
            self.residual = residual
        else:
            # by the exchange's clock: ours may be wrong, or just have been set, and what was booked before the first is part of it
            await self.clock()
            self.residual = None
            ts = self._ports.wall() + self.offset
            name, reason = f"balance-{ts}", "what else was traded or booked on this account"
            if not self.opened:
                self.opened, name, reason = True, OPENING, "opening balance"
            self._say(Transferred(ts=ts, id=name, amount=residual, reason=reason))

    async def _moves(self) -> None:
        # what came before the first run is part of what it began with
        self._first = self._first or self._ports.wall() + self.offset
        read = self._ports.wall() + self.offset
        since = self._first if maybe("upkeep: all transfers are read again") else max(self._first, self._moved - DAY)
        for row in await self._ask(self._api.moved(since)):
            if row.ts >= self._first and self._is_new("transferred", row.id, row.ts):
                self._say(Transferred(ts=read, id=row.id, amount=money(row.amount), reason=row.reason))
        self._moved = read
        self._booked = {name: ts for name, ts in self._booked.items() if ts >= read - 2 * DAY}

    def _is_new(self, kind: str, name: str, ts: int) -> bool:
        if f"{kind}:{name}" in self._booked:
            return False
        self._booked[f"{kind}:{name}"] = ts
        return not self._ports.recorded(kind, name)
