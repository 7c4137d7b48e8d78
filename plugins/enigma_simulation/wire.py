"""The port `Account` onto the local exchange in this very process: the same requests and answers as over HTTP, each of which takes
its time, may be held up and may be lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from enigma_core.model import Instrument, Side
from enigma_exchange.port import (
    Absent,
    Balance,
    Denied,
    Held,
    KeyRights,
    Known,
    Listed,
    Moved,
    Nudge,
    OrderState,
    Placing,
    Refused,
    Settled,
    Throttled,
    Traded,
    Unclear,
)
from enigma_exchange.quota import Lane, Quota, weight
from enigma_exchange.wire.clients import WAITS
from enigma_sandbox.exchange import Contract, Reply, Request

if TYPE_CHECKING:
    from enigma_simulation.network import Channel, Network

PATIENCE = 5.0
"""Seconds that an answer is waited for."""

DENIED = frozenset({"400001", "400003", "400004", "400005", "400006", "400007", "411100"})
UNCLEAR = frozenset({"400002", "500000", "503000", "900001"})
KNOWN = frozenset({"300018", "126044"})
QUOTE = "USDT"


class Wire:
    """One account as `network` reaches it. `contracts` as the engine knew them when it began."""

    def __init__(self, network: Network, contracts: Sequence[Contract]) -> None:
        self._network = network
        self._quota = Quota()
        self._codes = {c.instrument.symbol: c.symbol for c in contracts}
        self._symbols = {c.symbol: c.instrument.symbol for c in contracts}
        self._lots = {c.symbol: c.instrument.lot for c in contracts}
        self._contracts = {c.symbol: c for c in contracts}

    # orders

    async def place(self, order: Placing) -> str:
        body: dict[str, Any] = {
            "clientOid": order.client_id,
            "symbol": self._codes[order.symbol],
            "side": "buy" if order.side > 0 else "sell",
            "type": "limit" if order.kind == "limit" else "market",
            "size": int(order.quantity / self._lots[self._codes[order.symbol]]),
            "leverage": order.leverage,
            "marginMode": "ISOLATED",
        }
        if order.kind == "limit":
            body |= {"price": format(order.price or Decimal(0), "f"), "timeInForce": order.lasts}
            if order.post_only:
                body["postOnly"] = True
        if order.kind == "stop":
            stop = "down" if order.falls else "up"
            body |= {"stop": stop, "stopPrice": format(order.price or Decimal(0), "f"), "stopPriceType": "MP"}
        if order.reduce_only:
            body["reduceOnly"] = True
        lane = Lane.EXIT if order.reduce_only else Lane.ORDER
        data = await self._ask("POST", "/api/v1/orders", body=body, lane=lane, channel="orders")
        return str(data["orderId"])

    async def cancel(self, symbol: str, venue_id: str = "", client_id: str = "", *, stop: bool = False) -> None:
        if venue_id:
            path, query = f"/api/v1/orders/{venue_id}", {}
        else:
            path, query = f"/api/v1/orders/client-order/{client_id}", {"symbol": self._codes[symbol]}
        data = await self._ask("DELETE", path, query=query, lane=Lane.EXIT, channel="orders", absent=True)
        if isinstance(data, dict) and data.get("cancelledOrderIds") == []:
            raise Absent("there is no such order")

    async def cancel_all(self, symbol: str | None = None) -> None:
        query = {"symbol": self._codes[symbol]} if symbol else {}
        await self._ask("DELETE", "/api/v3/orders", query=query, lane=Lane.EXIT, channel="orders")
        await self._ask("DELETE", "/api/v1/stopOrders", query=query, lane=Lane.EXIT, channel="orders")

    async def find(self, symbol: str, client_id: str, *, stop: bool = False) -> OrderState:
        path = "/api/v1/orders/byClientOid"
        data = await self._ask("GET", path, query={"clientOid": client_id}, lane=Lane.LOOK, absent=True)
        if not data:
            raise Absent("there is no such order")
        return self._order(data)

    async def working(self) -> Sequence[OrderState]:
        found = [self._order(row) for row in await self._pages("/api/v1/orders", {"status": "active"})]
        stops = [self._order(row) for row in await self._pages("/api/v1/stopOrders", {})]
        known = {state.venue_id for state in found}
        return [*found, *(state for state in stops if state.venue_id not in known)]

    async def fills(self, since: int) -> Sequence[Traded]:
        rows = await self._pages("/api/v1/fills", {"startAt": str(since), "endAt": str(self._network.there() + 60_000)})
        return sorted((self._trade(row) for row in rows), key=lambda t: (t.ts, t.id))

    async def held(self) -> Sequence[Held]:
        rows = await self._ask("GET", "/api/v1/positions", lane=Lane.ACCOUNT)
        return [self._held(row) for row in rows if row["isOpen"] and row["currentQty"]]

    # money

    async def balance(self) -> Balance:
        data = await self._ask("GET", "/api/v1/account-overview", query={"currency": QUOTE}, lane=Lane.ACCOUNT)
        # what positions tie up is the account's all the same
        wallet = exact(data["accountEquity"]) - exact(data["unrealisedPNL"])
        return Balance(wallet=wallet, equity=exact(data["accountEquity"]), available=exact(data["availableBalance"]))

    async def settled(self, symbol: str, since: int) -> Sequence[Settled]:
        query = {"symbol": self._codes[symbol], "startAt": str(since)}
        data = await self._ask("GET", "/api/v1/funding-history", query=query, lane=Lane.ACCOUNT)
        found = [
            Settled(
                id=str(row["id"]),
                symbol=self._symbols[row["symbol"]],
                ts=int(row["timePoint"]),
                rate=exact(row["fundingRate"]),
                price=exact(row["markPrice"]),
                amount=exact(row["funding"]),
            )
            for row in data["dataList"]
        ]
        return sorted(found, key=lambda s: s.ts)

    async def moved(self, since: int) -> Sequence[Moved]:
        query = {"startAt": str(since), "endAt": str(self._network.there() + 60_000), "currency": QUOTE}
        data = await self._ask("GET", "/api/v1/transaction-history", query=query, lane=Lane.ACCOUNT)
        found = [
            Moved(id=str(row["offset"]), ts=int(row["time"]), amount=exact(row["amount"]), reason=str(row["remark"] or row["type"]))
            for row in data["dataList"]
            if row["type"] in ("Deposit", "Withdrawal", "TransferIn", "TransferOut")
        ]
        return sorted(found, key=lambda m: m.ts)

    async def rights(self) -> KeyRights:
        return KeyRights(trade=True, withdraw=False, transfer=False, addresses=("127.0.0.1",))

    # contracts

    async def listed(self) -> Mapping[str, Listed]:
        rows = await self._ask("GET", "/api/v1/contracts/active", lane=Lane.ACCOUNT)
        return {one.instrument.symbol: one for one in (self._listed(row) for row in rows if row["symbol"] in self._symbols)}

    async def time(self) -> int:
        return int(await self._ask("GET", "/api/v1/timestamp", lane=Lane.ACCOUNT))

    async def isolated(self, symbol: str) -> bool:
        query = {"symbol": self._codes[symbol]}
        mode = await self._ask("GET", "/api/v2/position/getMarginMode", query=query, lane=Lane.ORDER)
        way = await self._ask("GET", "/api/v2/position/getPositionMode", lane=Lane.ORDER)
        return bool(mode["marginMode"] == "ISOLATED" and str(way["positionMode"]) == "0")

    async def isolate(self, symbol: str) -> None:
        body = {"symbol": self._codes[symbol], "marginMode": "ISOLATED"}
        await self._ask("POST", "/api/v2/position/changeMarginMode", body=body, lane=Lane.ORDER)

    # hints

    async def listen(self, nudge: Callable[[Nudge], None]) -> None:
        while True:
            nudge(Nudge(topic="gap"))
            await self._network.hear(lambda push: self._nudge(push.topic, push.data, nudge))

    def _nudge(self, topic: str, data: Any, nudge: Callable[[Nudge], None]) -> None:
        kinds = {"tradeOrders": "order", "advancedOrders": "stop", "position": "position", "positionAll": "position"}
        name = topic.split(":")[0].rsplit("/", 1)[-1]
        kind: Any = kinds.get(name, "balance" if name == "wallet" else "")
        if not kind or not isinstance(data, dict):
            return
        symbol = self._symbols.get(str(data.get("symbol", "")), "")
        client, venue = str(data.get("clientOid") or ""), str(data.get("orderId") or "")
        nudge(Nudge(topic=kind, symbol=symbol, client_id=client, venue_id=venue, state=str(data.get("type") or "")))

    async def close(self) -> None:
        """Nothing is open."""

    # requests

    async def _pages(self, path: str, query: Mapping[str, str]) -> list[Any]:
        rows: list[Any] = []
        page = 1
        while True:
            asked = {**query, "currentPage": str(page), "pageSize": "200"}
            # fills are what a position's protection waits for
            lane = Lane.LOOK if path.endswith("/fills") else Lane.ACCOUNT
            data = await self._ask("GET", path, query=asked, lane=lane)
            rows += data["items"]
            if page >= int(data["totalPage"]):
                return rows
            page += 1

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        lane: Lane = Lane.ACCOUNT,
        channel: Channel = "data",
        absent: bool = False,
    ) -> Any:
        try:
            async with asyncio.timeout(WAITS[lane]):
                await self._quota.take(lane, weight(method, path))
        except TimeoutError:
            raise Throttled("the quota leaves no room for it now") from None
        request = Request(method=method, path=path, query=query or {}, body=body, headers=self._network.headers())
        try:
            async with asyncio.timeout(PATIENCE):
                reply = await self._network.carry(request, channel)
        except TimeoutError:
            raise Unclear(f"{method} {path}: no answer within {PATIENCE:g} s") from None
        return self._data(reply, absent)

    def _data(self, reply: Reply, absent: bool) -> Any:
        """What an answer holds, or what it says no with."""
        code = reply.code
        text = str(reply.payload.get("msg", "")) or f"status {reply.status}"
        if reply.status == 429 or code == "429000":
            after = float(reply.headers.get("gw-ratelimit-reset", 1000)) / 1000
            self._quota.throttled(after)
            self._network.wait_for(after)
            raise Throttled(text, code, after=min(max(after, 0.1), 60.0))
        if not code or reply.status >= 500 or code in UNCLEAR:
            raise Unclear(text, code)
        if code == "200000":
            return reply.payload.get("data")
        if code in DENIED:
            raise Denied(text, code)
        if code in KNOWN:
            raise Known(text, code)
        if absent and (code == "100004" or "notexist" in text.lower().replace(" ", "")):
            raise Absent(text, code)
        raise Refused(text, code)

    # rows

    def _order(self, row: Mapping[str, Any]) -> OrderState:
        code = str(row["symbol"])
        waits = bool(row["stop"]) and not row["stopTriggered"] and bool(row["isActive"])
        price = row["stopPrice"] if row["stop"] else row["price"]
        return OrderState(
            venue_id=str(row["id"]),
            client_id=str(row["clientOid"] or ""),
            symbol=self._symbols.get(code, code),
            side=side_of(row["side"]),
            quantity=exact(row["size"]) * self._lots.get(code, Decimal(1)),
            filled=exact(row["filledSize"]) * self._lots.get(code, Decimal(1)),
            open=bool(row["isActive"]),
            stop=waits,
            ts=int(row["createdAt"]),
            price=exact(price) if price not in (None, "", "0") else None,
            reduce_only=bool(row["reduceOnly"] or row["closeOrder"]),
            cancelled=bool(row["cancelExist"]),
        )

    def _trade(self, row: Mapping[str, Any]) -> Traded:
        code = str(row["symbol"])
        kind = {"liquid": "liquidation", "liquidation": "liquidation", "adl": "adl", "settlement": "settlement"}
        return Traded(
            id=str(row["tradeId"]),
            venue_id=str(row["orderId"]),
            client_id="",
            symbol=self._symbols.get(code, code),
            side=side_of(row["side"]),
            quantity=exact(row["size"]) * self._lots.get(code, Decimal(1)),
            price=exact(row["price"]),
            fee=exact(row["fee"]),
            ts=int(row["tradeTime"]) // 1_000_000,
            maker=row["liquidity"] == "maker",
            kind=kind.get(str(row["tradeType"]), "trade"),
        )

    def _held(self, row: Mapping[str, Any]) -> Held:
        code, signed = str(row["symbol"]), exact(row["currentQty"])
        return Held(
            symbol=self._symbols.get(code, code),
            side=1 if signed > 0 else -1,
            quantity=abs(signed) * self._lots.get(code, Decimal(1)),
            price=exact(row["avgEntryPrice"]),
            # the leverage of the row moves with the price
            leverage=abs(exact(row["posCost"])) / exact(row["posInit"]),
            margin=exact(row["posMargin"]),
            isolated=row["marginMode"] == "ISOLATED",
            mark=exact(row["markPrice"]),
            liquidation=exact(row["liquidationPrice"]),
        )

    def _listed(self, row: Mapping[str, Any]) -> Listed:
        was = self._contracts[str(row["symbol"])].instrument
        instrument = Instrument(
            symbol=was.symbol,
            tick=exact(row["tickSize"]),
            lot=exact(row["lotSize"]),
            multiplier=exact(row["multiplier"]),
            min_quantity=exact(row["lotSize"]),
            max_leverage=int(row["maxLeverage"]),
            maintenance_margin_rate=exact(row["maintainMargin"]),
            max_quantity=exact(row["maxOrderQty"]),
        )
        now = self._network.there()
        return Listed(
            instrument=instrument,
            open=row["status"] == "Open",
            mark=exact(row["markPrice"]),
            index=exact(row["indexPrice"]),
            turnover=exact(row["turnoverOf24h"] or 0),
            funding=exact(row["fundingFeeRate"] or 0),
            next_funding=now + int(row["nextFundingRateTime"] or 0),
            funding_hours=float(row["fundingRateGranularity"] or 28_800_000) / 3_600_000,
        )


def exact(number: Any) -> Decimal:
    """A number as the exchange writes it."""
    return number if isinstance(number, Decimal) else Decimal(str(number))


def side_of(word: str) -> Side:
    return 1 if word == "buy" else -1
