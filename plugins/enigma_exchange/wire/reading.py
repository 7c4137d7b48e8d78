"""KuCoin's rows in the port's words. Pure. Raises `LookupError`, `TypeError`, `ValueError` or `ArithmeticError` for nonsense."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

import msgspec

from enigma_core.model import Side
from enigma_exchange.contracts import Contract, exact
from enigma_exchange.port import Balance, Held, KeyRights, Listed, Moved, Nudge, OrderState, Settled, Traded

Row = Mapping[str, Any]
Symbols = Mapping[str, str]
"""Unified symbols by KuCoin's codes."""

KINDS = {"trade": "trade", "liquid": "liquidation", "liquidation": "liquidation", "adl": "adl", "settlement": "settlement"}

BOOKED = {
    "TransferIn": 1,
    "TransferOut": -1,
    "Deposit": 1,
    "Withdrawal": -1,
}
"""Bookings that are no trade's and no funding's, with their direction."""


def number(value: Any) -> Decimal:
    """A number of JSON, 0 for none."""
    return exact(value) if value not in (None, "") else Decimal(0)


def side_of(row: Row) -> Side:
    return {"buy": 1, "sell": -1}[row["side"]]  # type: ignore[return-value]


def order(row: Row, symbols: Symbols) -> OrderState:
    """A row of ``orders``, ``stopOrders`` or ``orders/byClientOid``."""
    opened = row.get("isActive")
    if opened is None:
        opened = row.get("status") == "open"
    waits = bool(row.get("stop")) and not row.get("stopTriggered") and bool(opened)
    price = row.get("stopPrice") if waits else row.get("price")
    filled = number(row.get("filledSize") or row.get("dealSize"))
    return OrderState(
        venue_id=str(row["id"]),
        client_id=str(row.get("clientOid") or ""),
        symbol=symbols.get(str(row["symbol"]), str(row["symbol"])),
        side=side_of(row),
        quantity=number(row["size"]),
        filled=filled,
        open=bool(opened),
        stop=waits,
        ts=int(row.get("createdAt") or 0),
        price=exact(price) if price not in (None, "") else None,
        reduce_only=bool(row.get("reduceOnly") or row.get("closeOrder")),
        cancelled=bool(row.get("cancelExist")),
    )


def trade(row: Row, symbols: Symbols) -> Traded:
    """A row of ``fills``. A fee in another currency than the contract's is worth its rate's share of what was traded."""
    fee, settle = number(row.get("fee")), row.get("settleCurrency")
    paid_in = str(row.get("feeCurrency") or settle or "")
    if settle and paid_in != settle and row.get("value") not in (None, "") and row.get("feeRate") not in (None, ""):
        fee = exact(row["value"]) * exact(row["feeRate"])
    return Traded(
        id=str(row["tradeId"]),
        venue_id=str(row["orderId"]),
        client_id=str(row.get("clientOid") or ""),
        symbol=symbols.get(str(row["symbol"]), str(row["symbol"])),
        side=side_of(row),
        quantity=number(row["size"]),
        price=exact(row["price"]),
        fee=fee,
        ts=int(row["tradeTime"]) // 1_000_000,
        maker=row.get("liquidity") == "maker",
        kind=KINDS.get(str(row.get("tradeType", "trade")), "trade"),
        paid_in=paid_in if settle and paid_in != settle else "",
    )


def held(row: Row, symbols: Symbols) -> Held | None:
    """A row of ``positions``; None for one that is flat. The leverage is that of the entry: the price has no part in it."""
    quantity = number(row.get("currentQty"))
    if not quantity:
        return None
    cost, first = abs(number(row.get("posCost"))), number(row.get("posInit"))
    mode = str(row.get("marginMode") or ("CROSS" if row.get("crossMode") else "ISOLATED"))
    return Held(
        symbol=symbols.get(str(row["symbol"]), str(row["symbol"])),
        side=1 if quantity > 0 else -1,
        quantity=abs(quantity),
        price=number(row.get("avgEntryPrice")),
        leverage=cost / first if cost and first else number(row.get("leverage") or row.get("realLeverage")),
        margin=number(row.get("posMargin") or row.get("posInit")),
        isolated=mode == "ISOLATED" and str(row.get("positionSide") or "BOTH") == "BOTH",
        tops_up=bool(row.get("autoDeposit")) and mode == "ISOLATED",
        mark=number(row.get("markPrice")),
        liquidation=number(row.get("liquidationPrice")),
    )


def balance(row: Row) -> Balance:
    """``account-overview``: the wallet is the equity without what open positions have made."""
    equity = exact(row["accountEquity"])
    return Balance(wallet=equity - number(row.get("unrealisedPNL")), equity=equity, available=number(row.get("availableBalance")))


def settled(row: Row, symbols: Symbols) -> Settled:
    """A row of ``funding-history``."""
    return Settled(
        id=str(row["id"]),
        symbol=symbols.get(str(row["symbol"]), str(row["symbol"])),
        ts=int(row["timePoint"]),
        rate=number(row.get("fundingRate")),
        price=number(row.get("markPrice")),
        amount=exact(row["funding"]),
    )


def moved(row: Row) -> Moved | None:
    """A row of ``transaction-history``; None for what a trade or funding booked."""
    kind = str(row["type"])
    if kind not in BOOKED or str(row.get("status", "Completed")) != "Completed":
        return None
    amount = abs(exact(row["amount"])) * BOOKED[kind]
    return Moved(id=f"{kind}-{row['offset']}", ts=int(row["time"]), amount=amount, reason=kind)


def rights(row: Row) -> KeyRights:
    """``user/api-key``. "Transfer" moves money out of the account; "InnerTransfer" only between the user's own."""
    allowed = {word.strip() for word in str(row.get("permission") or "").split(",")}
    addresses = tuple(a for a in re.split(r"[,\s]+", str(row.get("ipWhitelist") or "")) if a)
    return KeyRights(
        trade="Futures" in allowed,
        withdraw="Withdrawal" in allowed or "Withdraw" in allowed,
        transfer="Transfer" in allowed,
        addresses=addresses,
    )


def listed(contract: Contract) -> Listed:
    """A contract as it stands now."""
    return Listed(
        instrument=contract.instrument,
        open=contract.open,
        mark=_price(contract.mark),
        index=_price(contract.index),
        turnover=_price(contract.turnover),
        funding=_price(contract.funding),
        next_funding=contract.next_funding,
        funding_hours=contract.funding_hours,
        last=_price(contract.last),
    )


def _price(value: float) -> Decimal:
    return exact(value) if value == value else Decimal(0)


class _Pushed(msgspec.Struct):
    symbol: str = ""
    orderId: str = ""  # noqa: N815 - KuCoin's word
    clientOid: str = ""  # noqa: N815
    type: str = ""
    changeReason: str = ""  # noqa: N815


_pushed = msgspec.json.Decoder(_Pushed).decode

Topic = Literal["order", "stop", "position"]

TOPICS: Mapping[str, Topic] = {
    "symbolOrderChange": "order",
    "orderChange": "order",
    "stopOrder": "stop",
    "position.change": "position",
}
"""What a push is about, by its subject. `position.settlement` and the wallet's are found by looking."""


def nudge(subject: str, data: bytes, symbols: Symbols) -> Nudge | None:
    """A push of the private stream as a hint; None for one that says nothing new."""
    topic = TOPICS.get(subject)
    if topic is None:
        return None
    try:
        pushed = _pushed(data)
    except msgspec.MsgspecError:
        return Nudge(topic=topic)
    if topic == "position" and pushed.changeReason == "markPriceChange":
        return None
    if topic == "position" and not pushed.changeReason:
        return None
    return Nudge(
        topic=topic,
        symbol=symbols.get(pushed.symbol, pushed.symbol),
        client_id=pushed.clientOid,
        venue_id=pushed.orderId,
        state=pushed.type,
    )
