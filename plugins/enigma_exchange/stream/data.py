"""What KuCoin's public messages carry. Numbers may be written as text; more fields than these are there."""

from __future__ import annotations

from typing import Any

import msgspec

Number = float | int | str


class Candle(msgspec.Struct):
    """``[open time in seconds, open, close, high, low, turnover, volume in lots]``, in this order."""

    candles: list[Number]
    time: int = 0


class Match(msgspec.Struct):
    side: str
    size: Number
    price: Number
    tradeId: Any  # noqa: N815 - as it is written there
    ts: int


class Depth(msgspec.Struct):
    bids: list[list[Number]]
    asks: list[list[Number]]
    sequence: int
    timestamp: int = 0
    ts: int = 0


class Head(msgspec.Struct):
    """The sequence number of a book, without reading its levels."""

    sequence: int


class Change(msgspec.Struct):
    """``change`` is ``price,side,size``."""

    sequence: int
    change: str
    timestamp: int = 0


class Ticker(msgspec.Struct):
    sequence: int
    bestBidPrice: Number  # noqa: N815
    bestBidSize: Number  # noqa: N815
    bestAskPrice: Number  # noqa: N815
    bestAskSize: Number  # noqa: N815
    ts: int = 0


class Marks(msgspec.Struct):
    markPrice: Number  # noqa: N815
    indexPrice: Number  # noqa: N815
    timestamp: int


class Rate(msgspec.Struct):
    fundingRate: Number  # noqa: N815
    timestamp: int


class Stats(msgspec.Struct):
    turnover: Number
    ts: int = 0


def milliseconds(ts: int) -> int:
    """A time in ms, us or ns as ms."""
    while ts > 10**14:
        ts //= 1000
    return ts
