"""The life of orders: placed, triggered, matched, called off; positions liquidated, funded, settled."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from enigma_core.matching import Costing
from enigma_core.model import ZERO, Bar, Side, money
from enigma_sandbox.exchange import outlet as topics
from enigma_sandbox.exchange.account import Account
from enigma_sandbox.exchange.refusals import Refusal, nothing_to_close
from enigma_sandbox.exchange.shown import NANOS, plain
from enigma_sandbox.exchange.state import FundingRow, Order, Trade
from enigma_sandbox.exchange.tape import Level, Tape


class Trading:
    """Orders against the market. Times are the exchange's, ms."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.state = account.state
        self.tapes = account.tapes
        self.rules = account.rules
        self.outlet = account.outlet
        self.live = account.live
        self._clients = {o.client_id: o.id for o in account.state.orders.values() if o.client_id}

    # looking up

    def by_client(self, client_id: str) -> Order | None:
        found = self._clients.get(client_id)
        return self.state.orders.get(found) if found is not None else None

    def known(self, client_id: str) -> bool:
        return client_id in self._clients

    # placing

    def check(self, order: Order, now: int) -> None:
        """Whether `order` could be placed; sets its size and its hold. Raises `Refusal`."""
        tape = self.tapes[order.symbol]
        held = self.account.held(order.symbol)
        stops = order.stop != ""
        if order.close and not stops:
            if not held.size:
                raise nothing_to_close()
            order.side, order.size = (-1 if held.size > 0 else 1), abs(held.size)
        if order.reduce_only and not order.close and not stops and held.size * order.side >= 0:
            raise nothing_to_close()
        siblings = self.live.get(order.symbol)
        if siblings is not None:
            count = sum(o.waits == stops for o in siblings.values())
            if count >= self.rules.most_orders:
                which = "Stop" if stops else "Active"
                code = "300004" if stops else "300001"
                raise Refusal(code, f"{which} order quantity limit exceeded (limit: {self.rules.most_orders}, current: {count})")
        if stops or ((order.reduce_only or order.close) and not order.force_hold):
            return
        self._afford(order, tape, now)

    def _afford(self, order: Order, tape: Tape, now: int) -> None:
        """Margin and risk limits of an order that may open something; sets its hold."""
        held = self.account.held(order.symbol)
        against = abs(held.size) if held.size * order.side < 0 and not order.force_hold else 0
        opening = max(0, order.left - against)
        if not opening:
            return
        price = order.price
        if not price:
            levels = tape.levels(order.side, now, self.rules.book_max_age)
            price = tape.instrument.price(levels[0][0]) if levels else tape.instrument.price(tape.last)
        value = opening * tape.instrument.multiplier * price
        _, level = self.account.level(order.symbol)
        if order.leverage > level.leverage:
            raise Refusal("300016", f"The leverage cannot be greater than {level.leverage}.")
        kept = held.cost if held.size * order.side > 0 else ZERO
        if kept + value > level.most:
            raise Refusal("300005", f"{order.symbol} risk limit exceeded: {plain(level.most)} is the most of this level.")
        # with the fees of opening and of closing what it opens
        hold = money(value / order.leverage) + money(value * tape.contract.taker * 2)
        if hold > self.account.available:
            raise Refusal("300003", "Balance insufficient. The order would cost more than is available.")
        order.hold = hold

    def place(self, order: Order, now: int) -> None:
        """Take a checked order in, and match it."""
        state = self.state
        order.id = str(state.next_order)
        state.next_order += 1
        state.orders[order.id] = order
        if order.client_id:
            self._clients[order.client_id] = order.id
        self.live.setdefault(order.symbol, {})[order.id] = order
        self._prune()
        if order.stop:
            self._tell_stop(order, "open", now)
            self._trigger(order, self.tapes[order.symbol], now)
            return
        self._enter(order, now)

    def _prune(self) -> None:
        """Forget the oldest of what is over, so that nothing grows without end."""
        state, kept = self.state, self.rules.kept
        if len(state.orders) > 2 * kept:
            done = [o for o in state.orders.values() if not o.active]
            for order in done[: len(state.orders) - kept]:
                del state.orders[order.id]
                self._clients.pop(order.client_id, None)
        for rows in (state.trades, state.rows, state.funding, state.closed):
            if len(rows) > 2 * kept:
                del rows[: len(rows) - kept]

    def _enter(self, order: Order, now: int) -> None:
        """An order meets the book for the first time."""
        self._tell_order(order, "open", now, None)
        tape = self.tapes[order.symbol]
        if tape.state.status != "Open":
            self.cancel(order, now)
            return
        levels = tape.levels(order.side, now, self.rules.book_max_age)
        limit = float(order.price) if order.kind == "limit" else None
        if order.post_only and limit is not None and levels and order.side * (limit - levels[0][0]) >= 0:
            self.cancel(order, now)
            return
        self._take(order, tape, levels, limit, now, maker=False)
        if order.active and order.cap is None and (order.kind == "market" or order.lasts == "IOC"):
            self.cancel(order, now)
        elif order.active and order.hold:
            self.account.tell_wallet(now)

    def _take(self, order: Order, tape: Tape, levels: list[Level], limit: float | None, now: int, *, maker: bool) -> None:
        """Fill `order` from `levels` (what is taken there is gone), as far as its limit goes. A maker gets his own price."""
        side = order.side
        room = self._room(order, now)
        while room > 0 and levels:
            level = levels[0]
            if limit is not None and side * (level[0] - limit) > 0:
                break
            size = min(room, int(level[1]))
            price = order.price if maker else self._grid(level[0], side, tape)
            self._fill(order, now, size, price, maker=maker)
            room -= size
            level[1] -= size
            if level[1] < 1:
                levels.pop(0)

    @staticmethod
    def _grid(price: float, side: Side, tape: Tape) -> Decimal:
        """A price of the book on the grid of ticks, against who takes it where it is between two."""
        exact = Decimal(repr(price)) / tape.instrument.tick
        return tape.instrument.tick * exact.to_integral_value(ROUND_CEILING if side > 0 else ROUND_FLOOR)

    def _room(self, order: Order, now: int) -> int:
        """How many lots of an order may fill now: no more than are held, where it only reduces. The rest of such an order ends."""
        left = order.left
        if order.reduce_only or order.close:
            held = self.account.held(order.symbol).size
            most = abs(held) if held * order.side < 0 else 0
            if most < left:
                if not most and order.active:
                    self.cancel(order, now)
                    return 0
                order.cancelled += left - most
                left = most
        if order.cap is not None:
            left = min(left, order.cap - order.filled)
        return left

    def _fill(self, order: Order, now: int, size: int, price: Decimal, *, maker: bool, trade_type: str = "trade") -> None:
        late = self.outlet.faults.fills_late
        trade = self.account.fill(order, now, size, price, maker=maker, trade_type=trade_type, visible=late)
        done = order.left <= 0
        if done:
            self._end(order, now)
        if self.outlet.heard:
            self._tell_order(order, "match", now, trade)
            if done:
                self._tell_order(order, "canceled" if order.cancelled else "filled", now, trade)
            self.account.tell_position(order.symbol, now)
            self.account.tell_wallet(now)
        if order.symbol not in self.state.positions:
            self._orphans(order.symbol, now)

    def _orphans(self, symbol: str, now: int) -> None:
        """Nothing is held any more: working orders that only reduce have nothing to do. Stops wait on, as they do at KuCoin."""
        for other in list(self.live.get(symbol, {}).values()):
            if other.active and other.reduce_only and not other.force_hold and not other.waits:
                self.cancel(other, now)

    def _end(self, order: Order, now: int) -> None:
        order.active = False
        order.hold = ZERO
        order.ended = order.updated = now
        self.live[order.symbol].pop(order.id, None)

    # calling off

    def cancel(self, order: Order, now: int) -> bool:
        """End an order that works or waits. False: it is over already."""
        if not order.active:
            return False
        waited = order.waits
        had = order.hold
        order.cancelled += order.left
        self._end(order, now)
        if waited:
            self._tell_stop(order, "cancel", now)
        else:
            self._tell_order(order, "canceled", now, None)
        if had:
            self.account.tell_wallet(now)
        return True

    # the market moves

    def moved(self, symbol: str, now: int) -> None:
        """Last, mark or index price have changed: stops trigger, positions are liquidated."""
        tape = self.tapes[symbol]
        orders = self.live.get(symbol)
        if orders:
            for order in list(orders.values()):
                if order.stop and not order.triggered and order.active:
                    self._trigger(order, tape, now)
        position = self.state.positions.get(symbol)
        if position is not None and position.side * (tape.mark - float(position.liquidation)) <= 0:
            self.liquidate(symbol, now)

    def _trigger(self, order: Order, tape: Tape, now: int) -> None:
        price = tape.last if order.stop_type == "TP" else tape.index if order.stop_type == "IP" else tape.mark
        assert order.stop_price is not None
        level = float(order.stop_price)
        if not price or (price < level if order.stop == "up" else price > level):
            return
        order.triggered = True
        order.updated = now
        self._tell_stop(order, "triggered", now)
        pair = self.state.orders.get(order.pair) if order.pair else None
        if pair is not None and pair.waits:
            self.cancel(pair, now)
        held = self.account.held(order.symbol)
        if order.close:
            if not held.size:
                self.cancel(order, now)
                return
            order.side, order.size = (-1 if held.size > 0 else 1), abs(held.size)
        elif order.reduce_only and held.size * order.side >= 0:
            self.cancel(order, now)
            return
        elif not order.reduce_only:
            try:
                self._afford(order, tape, now)
            except Refusal:
                self.cancel(order, now)
                return
        self._enter(order, now)

    def ticked(self, symbol: str, price: float, lots: int, now: int) -> None:
        """A public trade: orders that rest at its price or better are met, by as much as has traded."""
        orders = self.live.get(symbol)
        if orders:
            room = max(1, lots)
            for order in self._resting(symbol):
                limit = float(order.price)
                beyond = order.side * (price - limit)
                if beyond > 0 or room <= 0:
                    continue
                size = self._room(order, now)
                size = size if beyond < 0 else min(size, room)
                if order.active and size > 0:
                    self._fill(order, now, size, order.price, maker=True)
                    room -= size
        self.moved(symbol, now)

    def _resting(self, symbol: str) -> list[Order]:
        """Limit orders at work, in the order of their coming."""
        return [o for o in self.live.get(symbol, {}).values() if o.kind == "limit" and o.active and not o.waits]

    def booked(self, symbol: str, now: int) -> None:
        """A new book: it meets resting orders that it crosses."""
        if self.live.get(symbol):
            tape = self.tapes[symbol]
            for order in self._resting(symbol):
                if order.active:
                    levels = tape.levels(order.side, now, self.rules.book_max_age)
                    self._take(order, tape, levels, float(order.price), now, maker=True)
        self.moved(symbol, now)

    def barred(self, symbol: str, bar: Bar, now: int) -> None:
        """A bar of which no tick was seen: its way goes by the nearer end of its range first. Orders that came within it have only
        seen its close."""
        tape = self.tapes[symbol]
        path = [bar.open, bar.low, bar.high] if bar.close >= bar.open else [bar.open, bar.high, bar.low]
        waiting = [o for o in self.live.get(symbol, {}).values() if o.created <= bar.ts]
        position = self.state.positions.get(symbol)
        if waiting or (position is not None and position.opened <= bar.ts):
            fresh = [o for o in self.live.get(symbol, {}).values() if o.created > bar.ts]
            for order in fresh:
                del self.live[symbol][order.id]
            for price in path:
                tape.saw_price(bar.end, price)
                self.ticked(symbol, price, 1 << 60, now)
            for order in fresh:
                if order.active:
                    self.live[symbol][order.id] = order
        tape.saw_price(bar.end, bar.close)
        self.ticked(symbol, bar.close, 1 << 60, now)

    # what the exchange does by itself

    def liquidate(self, symbol: str, now: int, *, trade_type: str = "liquid", price: Decimal | None = None) -> None:
        """Take a position over: at its liquidation price, or at `price`. What works for the symbol is called off first."""
        position = self.state.positions.get(symbol)
        if position is None:
            return
        for order in list(self.live.get(symbol, {}).values()):
            if not order.waits:
                self.cancel(order, now)
        size = abs(position.size)
        at = price if price is not None else position.liquidation
        self.hand(symbol, -1 if position.size > 0 else 1, size, at, now, trade_type=trade_type, kind="market")

    def hand(
        self,
        symbol: str,
        side: Side,
        size: int,
        price: Decimal,
        now: int,
        *,
        trade_type: str = "trade",
        kind: str = "market",
        leverage: Decimal = Decimal(1),
        client_id: str = "",
    ) -> Order:
        """An order that did not come by the API and fills at `price`."""
        order = Order(
            id=str(self.state.next_order),
            symbol=symbol,
            side=side,
            kind=kind,
            size=size,
            created=now,
            updated=now,
            client_id=client_id,
            leverage=leverage,
            mode=self.account.mode(symbol),
            trade_type=trade_type,
        )
        self.state.next_order += 1
        self.state.orders[order.id] = order
        self.live.setdefault(symbol, {})[order.id] = order
        self._tell_order(order, "open", now, None)
        self._fill(order, now, size, price, maker=False, trade_type=trade_type)
        return order

    def fund(self, symbol: str, ts: int, rate: float, now: int) -> None:
        """A funding settlement."""
        position = self.state.positions.get(symbol)
        if position is None or position.opened >= ts:
            return
        tape = self.tapes[symbol]
        price = tape.instrument.price(tape.mark)
        exact = Decimal(repr(rate))
        funded = Costing.fund(symbol, ts, exact, position.side, Decimal(abs(position.size)), price, tape.instrument)
        position.funding += funded.amount
        self.state.next_funding += 1
        row = FundingRow(
            id=self.state.next_funding,
            symbol=symbol,
            ts=ts,
            rate=exact,
            mark=price,
            size=position.size,
            cost=position.side * abs(position.size) * tape.instrument.multiplier * price,
            amount=funded.amount,
            mode=position.mode,
        )
        self.state.funding.append(row)
        self.account.move(now, "RealisedPNL", funded.amount, ZERO, symbol)
        if self.outlet.heard:
            topic = f"{topics.POSITION}:{symbol}"
            data = {
                "symbol": symbol,
                "fundingTime": ts,
                "qty": position.size,
                "markPrice": price,
                "fundingRate": exact,
                "fundingFee": funded.amount,
                "ts": now * NANOS,
                "settleCurrency": tape.contract.quote,
                "marginMode": position.mode,
                "positionSide": "BOTH",
            }
            self.outlet.private(now, topic, "position.settlement", data, topic, topics.POSITIONS)
            self.account.tell_wallet(now)

    # what is told

    def _tell_order(self, order: Order, what: str, now: int, trade: Trade | None) -> None:
        if not self.outlet.heard:
            return
        maker = trade is not None and trade.liquidity == "maker"
        data: dict[str, Any] = {
            "symbol": order.symbol,
            "orderType": order.kind,
            "side": "buy" if order.side > 0 else "sell",
            "canceledSize": str(order.cancelled),
            "orderId": order.id,
            "liquidity": "maker" if maker or (trade is None and order.kind == "limit") else "taker",
            "marginMode": order.mode,
            "type": what,
            "orderTime": order.created * NANOS,
            "size": str(order.size),
            "filledSize": str(order.filled),
            "price": plain(order.price),
            "remainSize": str(max(0, order.left)),
            "status": "match" if what == "match" else "open" if what in ("open", "update") else "done",
            "ts": now * NANOS,
            "clientOid": order.client_id,
            "tradeType": order.trade_type,
        }
        if trade is not None:
            data["feeType"] = "makerFee" if maker else "takerFee"
            data["tradeId"] = trade.id
            if what == "match":
                data["matchPrice"] = plain(trade.price)
                data["matchSize"] = str(trade.size)
        topic = f"{topics.ORDERS}:{order.symbol}"
        self.outlet.private(now, topic, "symbolOrderChange", data, topic, topics.ORDERS)

    def _tell_stop(self, order: Order, what: str, now: int) -> None:
        if not self.outlet.heard:
            return
        assert order.stop_price is not None
        data = {
            "createdAt": order.created,
            "marginMode": order.mode,
            "orderId": order.id,
            "orderPrice": plain(order.price),
            "orderType": "stop",
            "side": "buy" if order.side > 0 else "sell",
            "size": order.size,
            "stop": order.stop,
            "stopPrice": plain(order.stop_price),
            "stopPriceType": order.stop_type,
            "symbol": order.symbol,
            "ts": now * NANOS,
            "type": what,
            "clientOid": order.client_id,
        }
        self.outlet.private(now, topics.STOPS, "stopOrder", data)
