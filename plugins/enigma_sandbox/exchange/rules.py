"""What the local exchange is set up with: its contracts, its keys, and its habits."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from enigma_core.model import Instrument


class RiskLevel(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a contract's risk limits: positions worth up to `most` (quote currency) at up to `leverage`."""

    most: Decimal
    leverage: int
    maintenance: Decimal


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """A perpetual as KuCoin lists it. `symbol` is KuCoin's (XBTUSDTM); market events may also come under `instrument.symbol`."""

    symbol: str
    base: str
    instrument: Instrument
    quote: str = "USDT"
    maker: Decimal = Decimal("0.0002")
    taker: Decimal = Decimal("0.0006")
    funding_hours: Annotated[float, Meta(gt=0)] = 8.0
    levels: tuple[RiskLevel, ...] = ()
    """Ascending. Empty: one ladder for all, from the instrument's leverage and maintenance margin rate."""
    listed: int = 1_585_555_200_000
    """When trading began, ms."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key of the account. `addresses` empty: it may be used from anywhere."""

    key: str
    secret: str
    passphrase: str
    permissions: tuple[str, ...] = ("General", "Futures")
    addresses: tuple[str, ...] = ()


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The exchange's habits. Times in ms, money in the quote currency."""

    keys: tuple[Key, ...] = ()
    deposit: Decimal = Decimal(10_000)
    currency: str = "USDT"
    slippage: Decimal = Decimal("0.0002")
    """What a market order pays where no fresh book is known."""
    book_max_age: int = 5_000
    """How old a book may be that orders are filled from."""
    quota: int = 2_000
    """Weight per `quota_window`, for each pool but spot, which has twice as much."""
    quota_window: int = 30_000
    skew_allowed: int = 5_000
    ping_interval: int = 18_000
    ping_timeout: int = 10_000
    token_life: int = 86_400_000
    most_orders: int = 200
    """Open orders of a symbol, and as many stops."""
    kept: int = 5_000
    """Done orders, fills and ledger rows that are kept."""
    user: str = "633559791e1cbc0001f319bc"
    endpoint: str = "ws://127.0.0.1:9000/ws"
    """Of the WebSocket, told by bullet-public and bullet-private. The server sets its own."""
