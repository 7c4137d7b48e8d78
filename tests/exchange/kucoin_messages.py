"""KuCoin's messages as tests write them."""

from __future__ import annotations

from typing import Any

import msgspec

from enigma_exchange.contracts import Contract, contract_of
from enigma_exchange.stream.frames import Message, read

T0 = 1_760_000_400_000 // 300_000 * 300_000
"""A close of 5m bars."""

MINUTE, BAR = 60_000, 300_000


def listing(code: str = "XBTUSDTM", base: str = "XBT", *, mark: float = 100.0, **more: Any) -> dict[str, Any]:
    """A row of ``contracts/active``."""
    return {
        "symbol": code,
        "type": "FFWCSX",
        "baseCurrency": base,
        "quoteCurrency": "USDT",
        "settleCurrency": "USDT",
        "isInverse": False,
        "expireDate": None,
        "firstOpenDate": 1_585_555_200_000,
        "lotSize": 1,
        "tickSize": 0.1,
        "multiplier": 0.001,
        "maxOrderQty": 1_000_000,
        "maxLeverage": 125,
        "maintainMargin": 0.004,
        "status": "Open",
        "markPrice": mark,
        "indexPrice": mark,
        "lastTradePrice": mark,
        "turnoverOf24h": 1e9,
        "fundingFeeRate": 0.0001,
        "fundingRateGranularity": 28_800_000,
        "nextFundingRateTime": 3_600_000,
        **more,
    }


def contract(code: str = "XBTUSDTM", base: str = "XBT", now: int = T0, **more: Any) -> Contract:
    found = contract_of(listing(code, base, **more), now)
    assert found is not None
    return found


def message(topic: str, subject: str, data: Any) -> Message:
    return read(msgspec.json.encode({"type": "message", "topic": topic, "subject": subject, "data": data}))


def match(
    price: float | str, size: int = 10, *, number: int = 1, ts: int = T0, side: str = "buy", code: str = "XBTUSDTM"
) -> Message:
    data = {"symbol": code, "sequence": number, "side": side, "size": size, "price": str(price), "tradeId": str(number)}
    return message(f"/contractMarket/execution:{code}", "match", {**data, "ts": ts * 1_000_000})


def marks(mark: float, index: float | None = None, *, ts: int = T0, code: str = "XBTUSDTM") -> Message:
    data = {"markPrice": mark, "indexPrice": mark if index is None else index, "granularity": 1000, "timestamp": ts}
    return message(f"/contract/instrument:{code}", "mark.index.price", data)


def depth(bids: Any, asks: Any, *, sequence: int = 1, ts: int = T0, code: str = "XBTUSDTM", levels: int = 50) -> Message:
    data = {"bids": bids, "asks": asks, "sequence": sequence, "timestamp": ts, "ts": ts}
    return message(f"/contractMarket/level2Depth{levels}:{code}", "level2", data)


def candle(
    ts: int, close: float, lots: int, *, code: str = "XBTUSDTM", high: float | None = None, low: float | None = None
) -> Message:
    top, bottom = max(100.0, close) if high is None else high, min(100.0, close) if low is None else low
    values = [str(ts // 1000), "100", str(close), str(top), str(bottom), "1.0", str(lots)]
    return message(f"/contractMarket/limitCandle:{code}_5min", "candle.stick", {"symbol": code, "candles": values, "time": ts})
