"""What a live account needs of an exchange, in the engine's words: the port between the logic of an account and the wire.

Two things stand behind it: ccxt (`enigma_exchange.wire`) and, in a simulation, the local exchange itself. Quantities are contracts,
prices exact decimals, times ms. Each call is one request, made once: nothing here tries again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Literal, Protocol

import msgspec

from enigma_core.model import Instrument, Lasting, Side

# what may come of a request


class ExchangeError(Exception):
    """A request did not do what was asked. `code` is the exchange's own, "" where there is none; the text is for people."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


class Unclear(ExchangeError):
    """Nobody knows whether it was done: a time-out, a broken connection, a 5xx, an answer that makes no sense."""


class Refused(ExchangeError):
    """The exchange has definitely not done it, and says why."""


class Known(ExchangeError):
    """An order of this client order id exists already."""


class Absent(ExchangeError):
    """There is no such order, as far as this one look-up can tell."""


class Throttled(ExchangeError):
    """Too many requests. `done` False: it was definitely not done. `after` says when the quota begins anew, seconds."""

    def __init__(self, text: str, code: str = "", *, after: float = 1.0) -> None:
        super().__init__(text, code)
        self.after = after


class Denied(ExchangeError):
    """The key is wrong, lacks a permission, or its address is not allowed: nothing more will work until a person mends it."""


# what an exchange says

Kind = Literal["market", "limit", "stop"]


class Placing(msgspec.Struct, frozen=True, kw_only=True):
    """An order on its way: `client_id` is ours and unique, at most 40 characters.

    market: at once. limit: at `price`, `lasts` and `post_only` as in `Order`. stop: a market order once the mark price has
    crossed `price` in the direction `falls` (True: down). `reduce_only` orders never open or flip a position.
    """

    client_id: str
    symbol: str
    side: Side
    quantity: Decimal
    kind: Kind
    price: Decimal | None = None
    falls: bool = False
    lasts: Lasting = "GTC"
    post_only: bool = False
    reduce_only: bool = False
    leverage: int = 1


class OrderState(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the exchange has it. `stop`: it still waits for its trigger. `ours`: what client id it bears, "" for none."""

    venue_id: str
    client_id: str
    symbol: str
    side: Side
    quantity: Decimal
    filled: Decimal
    open: bool
    stop: bool
    ts: int
    price: Decimal | None = None
    reduce_only: bool = False
    cancelled: bool = False
    kind: str = ""
    """The exchange's word for where it came from: "" for ordinary ones, "liquidation", "adl"..."""


class Traded(msgspec.Struct, frozen=True, kw_only=True):
    """One fill: `fee` in the quote currency, positive when paid, whatever it was paid in. `kind`: trade, liquidation, adl,
    settlement."""

    id: str
    venue_id: str
    client_id: str
    """"" where the exchange does not say it: then `venue_id` tells whose it is."""
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    ts: int
    maker: bool = False
    kind: str = "trade"
    paid_in: str = ""
    """The currency of the fee where that is not the quote currency: then `fee` is what it was worth."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A position at the exchange. `quantity` > 0; `mark` and `liquidation` 0 where it does not say."""

    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    leverage: Decimal
    margin: Decimal
    isolated: bool
    tops_up: bool = False
    """The exchange adds to its margin from the rest of the account before it is liquidated."""
    mark: Decimal = Decimal(0)
    liquidation: Decimal = Decimal(0)


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """The account in its quote currency: `wallet` is without unrealised profit, `equity` with it, `available` what may be used."""

    wallet: Decimal
    equity: Decimal
    available: Decimal


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """Funding that was paid (`amount` below 0) or received."""

    id: str
    symbol: str
    ts: int
    rate: Decimal
    price: Decimal
    amount: Decimal


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """Money that came or went without a trade: a deposit, a withdrawal, a transfer between accounts."""

    id: str
    ts: int
    amount: Decimal
    reason: str


class KeyRights(msgspec.Struct, frozen=True, kw_only=True):
    """What the API key may do."""

    trade: bool
    withdraw: bool
    transfer: bool
    addresses: tuple[str, ...] = ()
    """Addresses it may be used from; empty: from anywhere."""


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A contract as it stands now. `open` False: paused, in settlement or delisted, and no entry is possible."""

    instrument: Instrument
    open: bool
    mark: Decimal
    index: Decimal
    turnover: Decimal
    funding: Decimal
    next_funding: int
    funding_hours: float
    last: Decimal = Decimal(0)


# what an exchange pushes: a hint that something has changed, never the truth itself


class Nudge(msgspec.Struct, frozen=True, kw_only=True):
    """The private stream says that something about an order or a position has changed. What, is asked for by REST.

    `topic`: order, stop, position, balance, or "gap" when the stream was interrupted and anything may have happened.
    """

    topic: Literal["order", "stop", "position", "balance", "gap"]
    symbol: str = ""
    client_id: str = ""
    venue_id: str = ""
    state: str = ""
    """The exchange's own word, such as open, match, filled, canceled."""


class Account(Protocol):
    """One account at one exchange. Every method but `close` may raise any `ExchangeError`; a read is never `Unclear` twice over:
    whatever it cannot answer it raises."""

    async def place(self, order: Placing) -> str:
        """Send an order; the exchange's id of it. `Known`, `Refused`, `Throttled`, `Denied`, `Unclear` say what else came of it."""
        ...

    async def cancel(self, symbol: str, venue_id: str = "", client_id: str = "", *, stop: bool = False) -> None:
        """Have one order end. `Absent` where there is none that could."""
        ...

    async def cancel_all(self, symbol: str | None = None) -> None:
        """Have every order end, stops too, by the light endpoints."""
        ...

    async def find(self, symbol: str, client_id: str, *, stop: bool = False) -> OrderState:
        """Look one order up by our id. `Absent` where the exchange does not know it (now). A triggered stop is found too."""
        ...

    async def working(self) -> Sequence[OrderState]:
        """Every open order and every stop that waits."""
        ...

    async def fills(self, since: int) -> Sequence[Traded]:
        """Fills since `since`, oldest first, all pages."""
        ...

    async def held(self) -> Sequence[Held]:
        """Every open position."""
        ...

    async def balance(self) -> Balance: ...

    async def settled(self, symbol: str, since: int) -> Sequence[Settled]:
        """Funding of one symbol since `since`, oldest first."""
        ...

    async def moved(self, since: int) -> Sequence[Moved]:
        """Deposits, withdrawals and transfers since `since`, oldest first."""
        ...

    async def rights(self) -> KeyRights: ...

    async def listed(self) -> Mapping[str, Listed]:
        """Contracts by symbol, as they stand now: those that are settled in the account's currency."""
        ...

    async def time(self) -> int:
        """The exchange's clock, ms."""
        ...

    async def isolated(self, symbol: str) -> bool:
        """Whether `symbol` is traded with isolated margin, one way: read back before an entry."""
        ...

    async def isolate(self, symbol: str) -> None:
        """Have `symbol` traded with isolated margin from here on."""
        ...

    async def listen(self, nudge: Callable[[Nudge], None]) -> None:
        """Follow the private stream until cancelled, reconnecting by itself; a "gap" is said whenever something may be missing,
        once at the beginning too."""
        ...

    async def close(self) -> None: ...
