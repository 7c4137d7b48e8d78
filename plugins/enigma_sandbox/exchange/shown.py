"""Orders, fills, positions and contracts as KuCoin writes them: some numbers as text, some not, exactly as in its examples."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from enigma_core.model import ZERO
from enigma_sandbox.exchange.state import Closed, FundingRow, Order, Position, Row, Trade
from enigma_sandbox.exchange.tape import Tape

NANOS = 1_000_000


def plain(number: Decimal) -> str:
    """Without exponent and without trailing zeros."""
    if not number:
        return "0"
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def number(amount: Decimal) -> Decimal:
    """For a place where KuCoin writes a number: without trailing zeros."""
    return Decimal(plain(amount))


def order(order: Order, tape: Tape | None) -> dict[str, Any]:
    multiplier = tape.instrument.multiplier if tape is not None else Decimal(1)
    price = order.price if order.price else (order.value / (order.filled * multiplier) if order.filled else ZERO)
    average = order.value / (order.filled * multiplier) if order.filled else ZERO
    value = plain(order.value)
    stops = order.stop != ""
    return {
        "id": order.id,
        "symbol": order.symbol,
        "type": order.kind,
        "side": "buy" if order.side > 0 else "sell",
        "price": plain(order.price),
        "size": order.size,
        "value": plain(price * order.size * multiplier),
        "dealValue": value,
        "dealSize": order.filled,
        "stp": order.stp,
        "stop": order.stop,
        "stopPriceType": order.stop_type,
        "stopTriggered": order.triggered,
        "stopPrice": plain(order.stop_price) if stops and order.stop_price is not None else None,
        "timeInForce": order.lasts,
        "postOnly": order.post_only,
        "hidden": order.hidden,
        "iceberg": order.iceberg,
        "leverage": plain(order.leverage),
        "forceHold": order.force_hold,
        "closeOrder": order.close,
        "visibleSize": order.visible,
        "clientOid": order.client_id,
        "remark": order.remark,
        "tags": "",
        "isActive": order.active,
        "cancelExist": order.cancelled > 0,
        "createdAt": order.created,
        "updatedAt": order.updated,
        "endAt": order.ended,
        "orderTime": order.created * NANOS,
        "settleCurrency": tape.contract.quote if tape is not None else "USDT",
        "marginMode": order.mode,
        "avgDealPrice": plain(round(average, 12)),
        "filledSize": order.filled,
        "filledValue": value,
        "status": "open" if order.active else "done",
        "reduceOnly": order.reduce_only,
    }


def trade(trade: Trade, currency: str) -> dict[str, Any]:
    fee = plain(trade.fee)
    return {
        "symbol": trade.symbol,
        "tradeId": trade.id,
        "orderId": trade.order_id,
        "side": "buy" if trade.side > 0 else "sell",
        "liquidity": trade.liquidity,
        "forceTaker": False,
        "price": plain(trade.price),
        "size": trade.size,
        "value": plain(trade.value),
        "openFeePay": plain(trade.open_fee),
        "closeFeePay": plain(trade.fee - trade.open_fee),
        "stop": trade.stop,
        "feeRate": format(trade.rate, ".5f"),
        "fixFee": "0",
        "feeCurrency": currency,
        "marginMode": trade.mode,
        "openFeeTaxPay": "0",
        "closeFeeTaxPay": "0",
        "fee": fee,
        "settleCurrency": currency,
        "orderType": trade.order_kind,
        "displayType": trade.order_kind + ("_stop" if trade.stop else ""),
        "tradeType": trade.trade_type,
        "subTradeType": None,
        "tradeTime": trade.ts * NANOS,
        "createdAt": trade.ts,
    }


def share(part: Decimal, whole: Decimal) -> Decimal:
    return round(part / whole, 4) if whole else ZERO


def position(position: Position, tape: Tape, now: int, risk: Decimal, level: int, maintenance: Decimal) -> dict[str, Any]:
    """An open position, or what is shown of a symbol that nothing is held of."""
    contract = tape.contract
    side = position.side
    size = abs(position.size)
    multiplier = tape.instrument.multiplier
    mark = tape.exact(tape.mark)
    marked = mark * size * multiplier
    gain = side * (marked - position.cost) if size else ZERO
    entry = position.cost / (size * multiplier) if size else ZERO
    backing = position.margin + gain
    # what it is worth now to what backs it now: it moves with the price
    real = marked / backing if size and backing > 0 else position.leverage
    shown: dict[str, Any] = {
        "id": f"5000000000{sum(map(ord, position.symbol)):08d}",
        "symbol": position.symbol,
        "autoDeposit": position.auto_deposit,
        "crossMode": position.mode == "CROSS",
        "maintMarginReq": number(maintenance),
        "riskLimit": int(risk),
        "realLeverage": number(round(real, 10)),
        "delevPercentage": Decimal("0.5"),
        "openingTimestamp": position.opened or None,
        "currentTimestamp": now,
        "currentQty": position.size,
        "currentCost": number(side * position.cost - position.realised),
        "currentComm": number(position.fees),
        "unrealisedCost": number(side * position.cost),
        "realisedGrossCost": number(-position.realised),
        "realisedCost": number(position.fees - position.realised),
        "isOpen": size > 0,
        "markPrice": mark,
        "markValue": number(side * marked),
        "posCost": number(side * position.cost),
        "posCross": number(position.margin - position.initial),
        "posCrossMargin": 0,
        "posInit": number(position.initial),
        "posComm": number(round(position.cost * contract.taker, 10)),
        "posCommCommon": number(round(position.cost * contract.taker, 10)),
        "posLoss": number(max(ZERO, -position.funding)),
        "posMargin": number(position.margin),
        "posFunding": number(position.funding),
        "posMaint": number(round(position.cost * (maintenance + contract.taker), 10)),
        "maintMargin": number(position.margin + gain),
        "realisedGrossPnl": number(position.realised),
        "realisedPnl": number(position.realised - position.fees + position.funding),
        "unrealisedPnl": number(gain),
        "unrealisedPnlPcnt": number(share(gain, position.cost)),
        "unrealisedRoePcnt": number(share(gain, position.margin)),
        "avgEntryPrice": number(round(entry, 10)),
        "liquidationPrice": number(position.liquidation),
        "bankruptPrice": number(round(entry - side * position.margin / (size * multiplier), 10)) if size else ZERO,
        "settleCurrency": contract.quote,
        "isInverse": False,
        "maintainMargin": number(maintenance),
        "riskLimitLevel": level,
        "marginMode": position.mode,
        "positionSide": "BOTH",
        "leverage": number(round(real, 10)),
    }
    return shown


def row(row: Row, currency: str) -> dict[str, Any]:
    return {
        "time": row.ts,
        "type": row.kind,
        "amount": number(row.amount),
        "fee": number(row.fee),
        "accountEquity": number(row.equity),
        "status": "Completed",
        "remark": row.remark,
        "offset": row.offset,
        "currency": currency,
    }


def funding(row: FundingRow, currency: str) -> dict[str, Any]:
    return {
        "id": row.id,
        "symbol": row.symbol,
        "timePoint": row.ts,
        "fundingRate": row.rate,
        "markPrice": row.mark,
        "positionQty": row.size,
        "positionCost": number(row.cost),
        "funding": number(row.amount),
        "settleCurrency": currency,
        "context": f'{{"marginMode": "{row.mode}", "positionSide": "BOTH"}}',
        "marginMode": row.mode,
    }


def closed(closed: Closed, user: str, currency: str) -> dict[str, Any]:
    return {
        "closeId": closed.id,
        "userId": user,
        "symbol": closed.symbol,
        "settleCurrency": currency,
        "leverage": plain(closed.leverage),
        "type": closed.how,
        "pnl": plain(closed.realised - closed.fees + closed.funding),
        "realisedGrossCost": plain(-closed.realised),
        "realisedGrossCostNew": plain(-closed.realised),
        "withdrawPnl": "0.0",
        "tradeFee": plain(closed.fees),
        "fundingFee": plain(closed.funding),
        "openTime": closed.opened,
        "closeTime": closed.ended,
        "openPrice": plain(closed.entry),
        "closePrice": plain(closed.exit),
        "marginMode": closed.mode,
        "tax": "0.0",
        "roe": None,
        "liquidAmount": None,
        "liquidPrice": None,
        "side": "LONG" if closed.side > 0 else "SHORT",
    }
