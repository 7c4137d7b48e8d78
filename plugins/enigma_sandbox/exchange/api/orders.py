"""Orders: placing, calling off, looking up, fills."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import ROUND_DOWN, Decimal
from typing import Any

from enigma_core.model import ZERO, Side
from enigma_sandbox.exchange import shown
from enigma_sandbox.exchange.api.route import Route
from enigma_sandbox.exchange.asked import decimal, fields, flag, page, span, whole, word
from enigma_sandbox.exchange.faults import Spell
from enigma_sandbox.exchange.floor import Floor
from enigma_sandbox.exchange.refusals import OK, Refusal, no_order, not_cancelable, parameter, repeated
from enigma_sandbox.exchange.state import Order, Trade
from enigma_sandbox.exchange.tape import DAY, Tape
from enigma_sandbox.exchange.words import Request

BATCH = 20
REMARK = 100
RECENT = 1_000
_SLACK = 600_000
_CLIENT = re.compile(r"^[A-Za-z0-9_-]{1,40}$")

Met = Callable[[Order], Spell | None]
"""The spell that meets an order, when there is one."""


class OrderApi:
    """The order service."""

    def __init__(self, floor: Floor, met: Met) -> None:
        self._floor = floor
        self._met = met

    def routes(self) -> Iterator[Route]:
        for method, path, answer, weight, permission in (
            ("POST", "/api/v1/orders", self._add, 2, "Futures"),
            ("POST", "/api/v1/orders/test", self._test, 2, "Futures"),
            ("POST", "/api/v1/orders/multi", self._multi, 20, "Futures"),
            ("POST", "/api/v1/st-orders", self._pair, 2, "Futures"),
            ("DELETE", "/api/v1/orders/{id}", self._cancel, 1, "Futures"),
            ("DELETE", "/api/v1/orders/client-order/{id}", self._cancel_client, 1, "Futures"),
            ("DELETE", "/api/v1/orders/multi-cancel", self._cancel_many, 20, "Futures"),
            ("DELETE", "/api/v1/orders", self._cancel_all, 800, "Futures"),
            ("DELETE", "/api/v3/orders", self._cancel_symbol, 10, "Futures"),
            ("DELETE", "/api/v1/stopOrders", self._cancel_stops, 15, "Futures"),
            ("GET", "/api/v1/orders", self._list, 2, "General"),
            ("GET", "/api/v1/stopOrders", self._stops, 6, "General"),
            ("GET", "/api/v1/orders/byClientOid", self._by_client, 5, "General"),
            ("GET", "/api/v1/orders/{id}", self._get, 5, "General"),
            ("GET", "/api/v1/recentDoneOrders", self._recent, 5, "General"),
            ("GET", "/api/v1/openOrderStatistics", self._statistics, 10, "General"),
            ("GET", "/api/v1/fills", self._fills, 5, "General"),
            ("GET", "/api/v1/recentFills", self._recent_fills, 3, "Futures"),
        ):
            trades = method != "GET"
            yield Route(
                method=method, path=path, answer=answer, weight=weight, pool="Futures", permission=permission, trades=trades
            )

    # placing

    def _add(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        order = self._place(fields(request.body))
        return {"orderId": order.id, "clientOid": order.client_id}

    def _test(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        order = self.order(fields(request.body))
        self._floor.trading.check(order, order.created)
        return {"orderId": str(self._floor.state.next_order), "clientOid": order.client_id}

    def _multi(self, request: Request, _: tuple[str, ...]) -> list[dict[str, Any]]:
        bodies = request.body
        if not isinstance(bodies, list) or not 1 <= len(bodies) <= BATCH:
            raise parameter(f"the body must be a list of 1 to {BATCH} orders")
        rows = []
        for each in bodies:
            body = fields(each)
            row = {"orderId": None, "clientOid": body.get("clientOid"), "symbol": body.get("symbol"), "code": OK, "msg": "success"}
            try:
                row["orderId"] = self._place(body).id
            except Refusal as no:
                row["code"], row["msg"] = no.code, no.text
            rows.append(row)
        return rows

    def _pair(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        """An entry with a pair of closing stops of which one calls the other off."""
        body = fields(request.body)
        tape = self._floor.tape(word(body, "symbol"))
        up, down = (
            decimal(body.get("triggerStopUpPrice"), "triggerStopUpPrice"),
            decimal(body.get("triggerStopDownPrice"), "triggerStopDownPrice"),
        )
        by = word(body, "stopPriceType", "TP", "MP", "IP", default="TP")
        for price in (up, down):
            if price is not None and (price <= 0 or price % tape.instrument.tick):
                raise Refusal(
                    "300000", f"the trigger price {price} must be a positive multiple of the tick size {tape.instrument.tick}"
                )
        order = self._place({k: v for k, v in body.items() if not k.startswith("trigger") and k != "stopPriceType"})
        legs = [
            Order(
                id="",
                symbol=order.symbol,
                side=-1 if order.side > 0 else 1,
                kind="market",
                size=order.size,
                created=order.created,
                updated=order.created,
                leverage=order.leverage,
                mode=order.mode,
                stop=stop,
                stop_price=price,
                stop_type=by,
                reduce_only=True,
            )
            for stop, price in (("up", up), ("down", down))
            if price is not None
        ]
        for leg in legs:
            self._floor.trading.place(leg, order.created)
        if len(legs) == 2:
            legs[0].pair, legs[1].pair = legs[1].id, legs[0].id
        return {"orderId": order.id, "clientOid": order.client_id}

    def _place(self, body: Mapping[str, Any]) -> Order:
        order = self.order(body)
        trading = self._floor.trading
        now = order.created
        if trading.known(order.client_id):
            raise repeated()
        spell = self._met(order)
        if spell is not None and spell.what == "reject":
            raise Refusal(spell.code, spell.text)
        trading.check(order, now)
        if spell is not None and spell.what == "late":
            order.seen_from = now + spell.ms
        elif spell is not None and spell.what == "partial":
            order.cap = int(order.size * spell.share)
        trading.place(order, now)
        return order

    def order(self, body: Mapping[str, Any]) -> Order:
        """The order a body describes. Raises `Refusal`."""
        floor = self._floor
        now = floor.now()
        tape = floor.tape(word(body, "symbol"))
        client = word(body, "clientOid")
        if not _CLIENT.match(client):
            raise parameter("clientOid must have at most 40 of the characters A-Z a-z 0-9 _ -")
        close = flag(body, "closeOrder")
        stop = word(body, "stop", "up", "down", default="")
        side: Side = -1 if word(body, "side", "buy", "sell", default="sell" if close else None) == "sell" else 1
        kind = word(body, "type", "limit", "market", default="limit")
        lasts = word(body, "timeInForce", "GTC", "IOC", default="GTC")
        post_only, hidden, iceberg = flag(body, "postOnly"), flag(body, "hidden"), flag(body, "iceberg")
        if post_only and (lasts == "IOC" or hidden or iceberg):
            raise parameter("postOnly goes with neither IOC nor hidden nor iceberg")
        visible = whole(body.get("visibleSize"), "visibleSize")
        if iceberg and not (visible and visible > 0):
            raise parameter("visibleSize is required with iceberg, and must be above 0")
        remark = word(body, "remark", default="")
        if len(remark) > REMARK:
            raise parameter(f"remark must have at most {REMARK} characters")
        if word(body, "positionSide", "BOTH", "LONG", "SHORT", default="BOTH") != "BOTH":
            raise Refusal("330012", "Your order is in Hedge Mode, while your account is set to One-Way Mode.")
        mode = word(body, "marginMode", "ISOLATED", "CROSS", default="ISOLATED")
        price = self._price(body, kind, side, tape, stop)
        order = Order(
            id="",
            symbol=tape.contract.symbol,
            side=side,
            kind=kind,
            size=0,
            created=now,
            updated=now,
            client_id=client,
            price=price,
            leverage=self._leverage(body, tape, mode),
            stop=stop,
            lasts=lasts,
            post_only=post_only,
            hidden=hidden,
            iceberg=iceberg,
            visible=visible or 0,
            reduce_only=flag(body, "reduceOnly"),
            close=close,
            force_hold=flag(body, "forceHold"),
            stp=word(body, "stp", "CN", "CO", "CB", default=""),
            remark=remark or None,
            mode=mode,
        )
        if stop:
            order.stop_type = word(body, "stopPriceType", "TP", "MP", "IP")
            level = decimal(body.get("stopPrice"), "stopPrice")
            if level is None:
                raise parameter("stopPrice is required with stop")
            if level <= 0 or level % tape.instrument.tick:
                raise Refusal("300000", f"stopPrice {level} must be a positive multiple of the tick size {tape.instrument.tick}")
            order.stop_price = level
        if not close:
            order.size = self._size(body, tape, price or tape.exact(tape.last))
        floor.tradable(tape)
        if mode != floor.account.mode(order.symbol):
            raise Refusal("330005", "The order's margin mode does not match the selected one. Please switch and try again.")
        if not tape.last or (kind == "market" and not stop and not tape.levels(side, now, floor.rules.book_max_age)):
            raise Refusal("300008", "Unavailable to place the order, there's no contra order in the market.")
        return order

    def _leverage(self, body: Mapping[str, Any], tape: Tape, mode: str) -> Decimal:
        if mode == "CROSS":
            return self._floor.state.cross_leverage.get(tape.contract.symbol, Decimal(1))
        leverage = decimal(body.get("leverage"), "leverage")
        if leverage is None:
            return Decimal(1)
        most = self._floor.account.ladder(tape.contract.symbol)[0].leverage
        if not 1 <= leverage <= most:
            raise Refusal(
                "300016", f"The leverage cannot be greater than {most}." if leverage > most else "The leverage must be at least 1."
            )
        return leverage

    def _price(self, body: Mapping[str, Any], kind: str, side: Side, tape: Tape, stop: str) -> Decimal:
        if kind == "market":
            return ZERO
        price = decimal(body.get("price"), "price")
        if price is None:
            raise parameter("price is required for a limit order")
        if price <= 0 or price % tape.instrument.tick:
            raise Refusal("300000", f"price {price} must be a positive multiple of the tick size {tape.instrument.tick}")
        if not stop:
            buy, sell = self._floor.limits(tape)
            if side > 0 and price > buy > 0:
                raise Refusal("300011", f"Order price cannot be higher than {buy}")
            if side < 0 and price < sell:
                raise Refusal("300012", f"Order price cannot be lower than {sell}")
        return price

    @staticmethod
    def _size(body: Mapping[str, Any], tape: Tape, price: Decimal) -> int:
        instrument = tape.instrument
        size, quantity, value = (decimal(body.get(name), name) for name in ("size", "qty", "valueQty"))
        given = [x for x in (size, quantity, value) if x is not None]
        if len(given) != 1:
            raise parameter("choose one of size, qty, valueQty")
        if quantity is not None:
            size = quantity / instrument.multiplier
        elif value is not None:
            size = (value / (instrument.multiplier * price)).to_integral_value(ROUND_DOWN) if price else ZERO
            size -= size % instrument.lot
        assert size is not None
        if size <= 0 or size % instrument.lot:
            raise Refusal("300000", f"the size {size:f} must be a positive multiple of the lot size {instrument.lot}")
        most = instrument.max_quantity if instrument.max_quantity is not None else Decimal(1_000_000)
        if size > most:
            raise Refusal("300000", f"the size {size:f} exceeds the most of one order, {most}")
        return int(size)

    # calling off

    def _cancel(self, request: Request, values: tuple[str, ...]) -> dict[str, Any]:
        order = self._floor.state.orders.get(values[0])
        if order is None or order.seen_from > self._floor.now():
            raise not_cancelable()
        self._end(order)
        return {"cancelledOrderIds": [order.id]}

    def _cancel_client(self, request: Request, values: tuple[str, ...]) -> dict[str, Any]:
        self._end(self._client(values[0], word(request.query, "symbol"), not_cancelable))
        return {"clientOid": values[0]}

    def _client(self, client_id: str, symbol: str, otherwise: Callable[[], Refusal]) -> Order:
        order = self._floor.trading.by_client(client_id)
        if order is None or order.seen_from > self._floor.now() or (symbol and order.symbol != symbol):
            raise otherwise()
        return order

    def _end(self, order: Order) -> None:
        if self._floor.tape(order.symbol).state.status == "Paused":
            raise Refusal("300002", "Order placement/cancellation suspended, please try again later.")
        if not self._floor.trading.cancel(order, self._floor.now()):
            raise not_cancelable()

    def _cancel_many(self, request: Request, _: tuple[str, ...]) -> list[dict[str, Any]]:
        body = fields(request.body)
        ids, clients = body.get("orderIdsList") or [], body.get("clientOidsList") or []
        if not (isinstance(ids, list) and isinstance(clients, list)) or not 1 <= len(ids) + len(clients) <= BATCH:
            raise parameter(f"name 1 to {BATCH} orders")
        rows = []
        for each in ids:
            found = self._floor.state.orders.get(str(each))
            rows.append({"orderId": str(each), "clientOid": None, **self._tried(found)})
        for each in clients:
            named = fields(each)
            found = self._floor.trading.by_client(str(named.get("clientOid")))
            rows.append({"orderId": None, "clientOid": named.get("clientOid"), **self._tried(found)})
        return rows

    def _tried(self, order: Order | None) -> dict[str, str]:
        if order is None or order.seen_from > self._floor.now():
            no = not_cancelable()
            return {"code": no.code, "msg": no.text}
        try:
            self._end(order)
        except Refusal as no:
            return {"code": no.code, "msg": no.text}
        return {"code": "200", "msg": "success"}

    def _cancel_all(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        return self._ended(word(request.query, "symbol", default=""), stops=False)

    def _cancel_symbol(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        return self._ended(word(request.query, "symbol"), stops=False)

    def _cancel_stops(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        return self._ended(word(request.query, "symbol", default=""), stops=True)

    def _ended(self, symbol: str, *, stops: bool) -> dict[str, Any]:
        floor = self._floor
        if symbol:
            floor.tape(symbol)
        now = floor.now()
        found = [
            order
            for each, orders in floor.account.live.items()
            if symbol in ("", each) and floor.tapes[each].state.status != "Paused"
            for order in orders.values()
            if order.waits == stops
        ]
        # one that is called off may take others with it: each is asked again
        return {"cancelledOrderIds": [order.id for order in found if floor.trading.cancel(order, now)]}

    # looking up

    def _get(self, request: Request, values: tuple[str, ...]) -> dict[str, Any]:
        order = self._floor.state.orders.get(values[0])
        if order is None or order.seen_from > self._floor.now():
            raise no_order()
        return self._shown(order)

    def _by_client(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        return self._shown(self._client(word(request.query, "clientOid"), "", no_order))

    def _shown(self, order: Order) -> dict[str, Any]:
        return shown.order(order, self._floor.tapes.get(order.symbol))

    def _list(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        query = request.query
        active = word(query, "status", "active", "done", "open", default="done") != "done"
        kind = word(query, "type", default="")
        if active:
            found = self._working(query, stops=False)
        else:
            found = self._matching(query, [o for o in self._floor.state.orders.values() if not o.active])
        if kind:
            found = [o for o in found if o.kind + ("_stop" if o.stop else "") == kind or o.kind == kind]
        return self._page(query, found)

    def _stops(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        kind = word(request.query, "type", default="")
        found = self._working(request.query, stops=True)
        return self._page(request.query, [o for o in found if not kind or o.kind == kind])

    def _page(self, query: Mapping[str, str], found: list[Order]) -> dict[str, Any]:
        answer = page(query, found[::-1])
        answer["items"] = [self._shown(o) for o in answer["items"]]
        return answer

    def _working(self, query: Mapping[str, str], *, stops: bool) -> list[Order]:
        return self._matching(
            query, [o for orders in self._floor.account.live.values() for o in orders.values() if o.waits == stops]
        )

    def _matching(self, query: Mapping[str, str], orders: list[Order]) -> list[Order]:
        now = self._floor.now()
        symbol, side = word(query, "symbol", default=""), word(query, "side", "buy", "sell", default="")
        first, last = span(query)
        wanted = {"": 0, "buy": 1, "sell": -1}[side]
        found = [
            o
            for o in orders
            if o.seen_from <= now and first <= o.created <= last and symbol in ("", o.symbol) and wanted in (0, o.side)
        ]
        found.sort(key=lambda o: (o.created, o.id))
        return found

    def _recent(self, request: Request, _: tuple[str, ...]) -> list[dict[str, Any]]:
        now = self._floor.now()
        done = [o for o in self._floor.state.orders.values() if not o.active and (o.ended or 0) > now - DAY]
        return [self._shown(o) for o in self._matching(request.query, done)[::-1][:RECENT]]

    def _statistics(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        tape = self._floor.tape(word(request.query, "symbol"))
        sizes, costs = {1: 0, -1: 0}, {1: ZERO, -1: ZERO}
        for order in self._floor.account.live.get(tape.contract.symbol, {}).values():
            if not order.waits:
                sizes[order.side] += order.left
                costs[order.side] += order.left * tape.instrument.multiplier * order.price
        return {
            "openOrderBuySize": sizes[1],
            "openOrderSellSize": sizes[-1],
            "openOrderBuyCost": shown.plain(costs[1]),
            "openOrderSellCost": shown.plain(costs[-1]),
            "settleCurrency": tape.contract.quote,
        }

    def _fills(self, request: Request, _: tuple[str, ...]) -> dict[str, Any]:
        query = request.query
        order_id = word(query, "orderId", default="")
        kinds = word(query, "tradeTypes", default="")
        wanted = kinds.split(",") if kinds else None
        kind = word(query, "type", default="")
        found = self._trades(query) if not order_id else [t for t in self._floor.state.trades if t.order_id == order_id]
        now = self._floor.now()
        found = [
            t
            for t in found
            if t.seen_from <= now
            and (wanted is None or t.trade_type in wanted)
            and (not kind or kind in (t.order_kind, t.order_kind + ("_stop" if t.stop else "")))
        ]
        answer = page(query, found[::-1])
        answer["items"] = [shown.trade(t, self._floor.rules.currency) for t in answer["items"]]
        return answer

    def _trades(self, query: Mapping[str, str]) -> list[Trade]:
        symbol, side = word(query, "symbol", default=""), word(query, "side", "buy", "sell", default="")
        wanted = {"": 0, "buy": 1, "sell": -1}[side]
        first, last = span(query)
        trades = self._floor.state.trades
        # the newest are asked for, nearly always: from the end backwards, with room for a clock that was set back
        found: list[Trade] = []
        for trade in reversed(trades):
            if trade.ts < first - _SLACK:
                break
            if trade.ts >= first and trade.ts <= last and symbol in ("", trade.symbol) and wanted in (0, trade.side):
                found.append(trade)
        return found[::-1]

    def _recent_fills(self, request: Request, _: tuple[str, ...]) -> list[dict[str, Any]]:
        now = self._floor.now()
        symbol = word(request.query, "symbol", default="")
        found = [t for t in self._floor.state.trades if t.ts > now - DAY and t.seen_from <= now and symbol in ("", t.symbol)]
        return [shown.trade(t, self._floor.rules.currency) for t in found[::-1][:RECENT]]
