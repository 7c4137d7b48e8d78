"""Names at the edge to an exchange: orders by client id, contracts by symbol, timeframes by their codes."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from enigma_core.timeframes import milliseconds

PREFIX = "enigma-"
"""What the client id of every order of ours begins with."""

CURRENCIES = {
    "XBT": "BTC",
    "BCHSV": "BSV",
    "BIFI": "BIFIF",
    "VAI": "VAIOT",
    "WAX": "WAXP",
    "ALT": "APTOSLAUNCHTOKEN",
    "KALT": "ALT",
    "FUD": "FTX Users' Debt",
}
"""KuCoin's code of a currency to ccxt's unified one, where they differ: both must call a contract the same."""

CANDLES = {
    "1m": "1min",
    "5m": "5min",
    "15m": "15min",
    "30m": "30min",
    "1h": "1hour",
    "2h": "2hour",
    "4h": "4hour",
    "8h": "8hour",
    "12h": "12hour",
    "1d": "1day",
    "1w": "1week",
}
"""Timeframes that KuCoin has candles of, and what its topics call them."""


def client_id(order_id: str) -> str:
    """The client id an order has at the exchange, 33 characters of ``[a-z0-9-]``: the same on every host and every retry."""
    digest = hashlib.sha256(order_id.encode()).digest()
    return PREFIX + base64.b32encode(digest)[:26].decode().lower()


def ours(client: str | None) -> bool:
    """Whether an order of this client id was sent by an engine such as this one."""
    return client is not None and client.startswith(PREFIX)


def currency(code: str) -> str:
    """The unified code of a currency: ``XBT`` is ``BTC``."""
    return CURRENCIES.get(code, code)


def symbol_of(contract: Mapping[str, Any]) -> str:
    """The unified symbol of a contract as ``contracts/active`` lists it: ``BTC/USDT:USDT``."""
    base, quote, settle = (currency(str(contract[name])) for name in ("baseCurrency", "quoteCurrency", "settleCurrency"))
    return f"{base}/{quote}:{settle}"


def granularity(timeframe: str) -> int:
    """A timeframe as ``kline/query`` takes it: minutes."""
    return milliseconds(timeframe) // 60_000
