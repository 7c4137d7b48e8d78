"""A KuCoin Futures account by unmodified ccxt: orders by its unified calls, reads by KuCoin's own endpoints, to lose no digit.

Each method is one request, or one a page, made once. What comes of it is said in the words of `enigma_exchange.port`.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from enigma_exchange.contracts import contracts_of
from enigma_exchange.hosts import Hosts
from enigma_exchange.port import (
    Absent,
    Balance,
    ExchangeError,
    Held,
    KeyRights,
    Listed,
    Moved,
    Nudge,
    OrderState,
    Placing,
    Settled,
    Traded,
    Unclear,
)
from enigma_exchange.quota import Lane
from enigma_exchange.stream.frames import Message, Token, token_of
from enigma_exchange.stream.line import Line
from enigma_exchange.wire import reading
from enigma_exchange.wire.clients import Caller, Credentials, client, closed, milliseconds

T = TypeVar("T")

PAGE = 100
"""Rows that are asked for at once."""

PAGES = 100
"""Pages of one question at most."""

MODE_LASTS = 60.0
"""Seconds for which the account's position mode is taken as read."""

FILLS_DAYS = 6.9
"""The longest stretch of fills that may be asked for at once; KuCoin's limit is 7 days."""

LEDGER_DAYS = 1.0
"""The longest stretch of funding and of bookings that is asked for at once. KuCoin names no limit; elsewhere its limit is a day."""

NONSENSE = (LookupError, TypeError, ValueError, ArithmeticError)

PRIVATE = ("/contractMarket/tradeOrders", "/contractMarket/advancedOrders", "/contract/positionAll")


class KucoinAccount:
    """`enigma_exchange.port.Account` of one key. `timeout` of a request in seconds; `currency` is what is settled in."""

    def __init__(
        self,
        hosts: Hosts,
        credentials: Credentials,
        *,
        timeout: float = 10.0,
        currency: str = "USDT",
        wall: Callable[[], int] = milliseconds,
    ) -> None:
        self._hosts, self._credentials = hosts, credentials
        self._timeout, self._currency, self._wall = timeout, currency, wall
        self._trading: Caller | None = None
        self._public: Caller | None = None
        self._loading = asyncio.Lock()
        self._symbols: dict[str, str] = {}
        self._codes: dict[str, str] = {}
        self._one_way: tuple[bool, float] | None = None

    # orders

    async def place(self, order: Placing) -> str:
        trading = await self._ready()
        kind = "limit" if order.kind == "limit" else "market"
        quantity = int(order.quantity) if order.quantity == int(order.quantity) else float(order.quantity)
        params: dict[str, Any] = {
            "clientOid": order.client_id,
            "leverage": order.leverage,
            "marginMode": "isolated",
            "reduceOnly": order.reduce_only,
        }
        if order.kind == "stop":
            assert order.price is not None, "a stop has a price"
            # ccxt reads the direction off the side, which is wrong for a target
            params |= {"triggerPrice": f"{order.price:f}", "stop": "down" if order.falls else "up", "stopPriceType": "MP"}
        if order.kind == "limit":
            params |= {"postOnly": True} if order.post_only else {"timeInForce": order.lasts}
        price = f"{order.price:f}" if kind == "limit" and order.price is not None else None
        side = "buy" if order.side > 0 else "sell"
        lane = Lane.EXIT if order.reduce_only else Lane.ORDER

        def request() -> Awaitable[Any]:
            return trading.client.create_order(order.symbol, kind, side, quantity, price, params)  # type: ignore[no-any-return]

        answer = await trading.call(lane, "POST", "/api/v1/orders", request)
        venue_id = answer.get("id") if isinstance(answer, dict) else None
        if not venue_id:
            raise Unclear("the answer names no order")
        return str(venue_id)

    async def cancel(self, symbol: str, venue_id: str = "", client_id: str = "", *, stop: bool = False) -> None:
        trading = await self._ready()
        params = {} if venue_id else {"clientOrderId": client_id}
        path = "/api/v1/orders/" if venue_id else "/api/v1/orders/client-order/"
        await trading.call(Lane.EXIT, "DELETE", path, lambda: trading.client.cancel_order(venue_id or None, symbol, params))

    async def cancel_all(self, symbol: str | None = None) -> None:
        trading = await self._ready()
        made = trading.client
        stops = {"symbol": self._code(symbol)} if symbol else {}
        await trading.call(Lane.EXIT, "DELETE", "/api/v1/stopOrders", partial(made.futuresPrivateDeleteStopOrders, stops))
        symbols = [symbol] if symbol else sorted({state.symbol for state in await self.working()})
        for one in symbols:
            # that of version 3 weighs 10; that of version 1 weighs 800
            orders = {"symbol": self._code(one), "version": "v3"}
            await trading.call(Lane.EXIT, "DELETE", "/api/v3/orders", partial(made.futuresPrivateDeleteOrders, orders))

    async def find(self, symbol: str, client_id: str, *, stop: bool = False) -> OrderState:
        # what an order has become, and what it has filled, is what a position's protection waits for
        trading = await self._ready()
        if stop:
            for row in await self._pages(trading, Lane.LOOK, "stopOrders", {"symbol": self._code(symbol)}):
                if row.get("clientOid") == client_id:
                    return self._read(partial(reading.order, row, self._symbols))
        # one that has been triggered meanwhile is an order like any other
        row = await trading.call(
            Lane.LOOK,
            "GET",
            "/api/v1/orders/byClientOid",
            lambda: trading.client.futuresPrivateGetOrdersByClientOid({"clientOid": client_id}),
        )
        data = _data(row)
        if not data:
            raise Absent("there is no such order")
        return self._read(lambda: reading.order(data, self._symbols))

    async def working(self) -> Sequence[OrderState]:
        trading = await self._ready()
        stops = await self._pages(trading, Lane.ACCOUNT, "stopOrders", {})
        # after the stops: one that is triggered in between is found among the orders
        rows = [*stops, *await self._pages(trading, Lane.ACCOUNT, "orders", {"status": "active"})]
        found = self._read(lambda: [reading.order(row, self._symbols) for row in rows])
        return list({state.venue_id: state for state in found}.values())

    # what has traded, and what is held

    async def fills(self, since: int) -> Sequence[Traded]:
        trading = await self._ready()
        rows: list[Mapping[str, Any]] = []
        for start, until in self._spans(trading, since, FILLS_DAYS):
            rows += await self._pages(trading, Lane.LOOK, "fills", {"startAt": start, "endAt": until})
        found = self._read(lambda: [reading.trade(row, self._symbols) for row in rows])
        return sorted(found, key=lambda t: t.ts)

    def _spans(self, trading: Caller, since: int, days: float) -> Iterator[tuple[int, int]]:
        """The time from `since` (ms) on, a stretch of so many days at a time."""
        # `since` is of the exchange's clock, so the end is too; and a little ahead
        ahead = -int(trading.client.options.get("timeDifference") or 0)
        last, step = self._wall() + max(0, ahead) + 60_000, round(days * 86_400_000)
        while since <= last:
            until = min(since + step, last)
            yield since, until
            since = until + 1

    async def held(self) -> Sequence[Held]:
        trading = await self._ready()
        params = {"currency": self._currency}
        answer = await trading.call(
            Lane.ACCOUNT, "GET", "/api/v1/positions", lambda: trading.client.futuresPrivateGetPositions(params)
        )
        rows = _data(answer)
        if not isinstance(rows, list):
            raise Unclear("the answer lists no positions")
        return self._read(lambda: [one for row in rows if (one := reading.held(row, self._symbols)) is not None])

    async def balance(self) -> Balance:
        trading = await self._ready()
        params = {"currency": self._currency}
        answer = await trading.call(
            Lane.ACCOUNT, "GET", "/api/v1/account-overview", lambda: trading.client.futuresPrivateGetAccountOverview(params)
        )
        return self._read(lambda: reading.balance(_data(answer)))

    async def settled(self, symbol: str, since: int) -> Sequence[Settled]:
        await self._ready()
        rows = await self._ledger("funding-history", {"symbol": self._code(symbol), "maxCount": PAGE}, since, "id")
        found = self._read(lambda: [reading.settled(row, self._symbols) for row in rows])
        return sorted({row.id: row for row in found}.values(), key=lambda r: r.ts)

    async def moved(self, since: int) -> Sequence[Moved]:
        rows = await self._ledger("transaction-history", {"currency": self._currency, "maxCount": 50}, since, "offset")
        found = self._read(lambda: [one for row in rows if (one := reading.moved(row)) is not None])
        return sorted({row.id: row for row in found}.values(), key=lambda r: r.ts)

    async def _ledger(self, what: str, params: dict[str, Any], since: int, mark: str) -> list[Mapping[str, Any]]:
        """All rows since `since` of a ledger, asked for stretch by stretch. `mark` is what the next page is asked by."""
        trading = await self._ready()
        ask = {
            "funding-history": trading.client.futuresPrivateGetFundingHistory,
            "transaction-history": trading.client.futuresPrivateGetTransactionHistory,
        }[what]
        rows: list[Mapping[str, Any]] = []
        for start, until in self._spans(trading, since, LEDGER_DAYS):
            asked, pages = {**params, "startAt": start, "endAt": until}, 0
            while True:
                data = _data(await trading.call(Lane.ACCOUNT, "GET", f"/api/v1/{what}", partial(ask, dict(asked))))
                if not isinstance(data, dict) or not isinstance(data.get("dataList"), list):
                    raise Unclear(f"the answer lists no {what}")
                rows += data["dataList"]
                # what is not booked yet has the mark -1, and comes before all others
                after = self._read(partial(_marks, data["dataList"], mark))
                if not data.get("hasMore") or not after:
                    break
                pages += 1
                if after[-1] == asked.get("offset") or pages == PAGES:
                    raise Unclear(f"the pages of {what} do not end")
                asked["offset"] = after[-1]
        return rows

    # what is allowed, and what is listed

    async def rights(self) -> KeyRights:
        trading = await self._ready()
        answer = await trading.call(
            Lane.ACCOUNT, "GET", "/api/v1/user/api-key", lambda: trading.client.privateGetUserApiKey(), spot=True
        )
        return self._read(lambda: reading.rights(_data(answer)))

    async def listed(self) -> Mapping[str, Listed]:
        await self._ready()
        assert self._public is not None
        public = self._public
        answer = await public.call(
            Lane.ACCOUNT, "GET", "/api/v1/contracts/active", lambda: public.client.futuresPublicGetContractsActive()
        )
        rows = _data(answer)
        if not isinstance(rows, list) or not rows:
            raise Unclear("the answer lists no contracts")
        contracts = self._read(lambda: contracts_of(rows, self._wall()))
        self._name(contracts)
        # positions and balance are asked for in one currency: nothing else is looked after
        settled = f":{self._currency}"
        return {symbol: reading.listed(contract) for symbol, contract in contracts.items() if symbol.endswith(settled)}

    async def time(self) -> int:
        trading = await self._ready()
        answer = await trading.call(Lane.ACCOUNT, "GET", "/api/v1/timestamp", lambda: trading.client.futuresPublicGetTimestamp())
        there = self._read(lambda: int(_data(answer)))
        # requests are signed with the exchange's time
        trading.client.options["timeDifference"] = self._wall() - there
        return there

    async def isolated(self, symbol: str) -> bool:
        trading = await self._ready()
        params = {"symbol": self._code(symbol)}
        answer = await trading.call(
            Lane.ACCOUNT,
            "GET",
            "/api/v2/position/getMarginMode",
            lambda: trading.client.futuresPrivateGetPositionGetMarginMode(params),
        )
        return self._read(lambda: str(_data(answer)["marginMode"])) == "ISOLATED" and await self._is_one_way(trading)

    async def isolate(self, symbol: str) -> None:
        trading = await self._ready()
        if not await self._is_one_way(trading):
            self._one_way = None
            await trading.call(
                Lane.ORDER,
                "POST",
                "/api/v2/position/switchPositionMode",
                lambda: trading.client.futuresPrivatePostPositionSwitchPositionMode({"positionMode": "0"}),
            )
        params = {"symbol": self._code(symbol), "marginMode": "ISOLATED"}
        await trading.call(
            Lane.ORDER,
            "POST",
            "/api/v2/position/changeMarginMode",
            lambda: trading.client.futuresPrivatePostPositionChangeMarginMode(params),
        )

    async def _is_one_way(self, trading: Caller) -> bool:
        now = time.monotonic()
        if self._one_way is None or now - self._one_way[1] > MODE_LASTS:
            answer = await trading.call(
                Lane.ACCOUNT,
                "GET",
                "/api/v2/position/getPositionMode",
                lambda: trading.client.futuresPrivateGetPositionGetPositionMode(),
            )
            self._one_way = (self._read(lambda: str(_data(answer)["positionMode"])) == "0", now)
        return self._one_way[0]

    # the private stream

    async def listen(self, nudge: Callable[[Nudge], None]) -> None:
        trading = await self._ready()

        async def token() -> Token:
            answer = await trading.call(
                Lane.ACCOUNT, "POST", "/api/v1/bullet-private", lambda: trading.client.futuresPrivatePostBulletPrivate()
            )
            return self._read(lambda: token_of(_data(answer), uuid.uuid4().hex))

        def see(message: Message) -> None:
            if (hint := reading.nudge(message.subject, bytes(message.data), self._symbols)) is not None:
                nudge(hint)

        def gap(reason: str) -> None:
            # nothing can be read of what is missed before the stream is there again
            if not reason:
                nudge(Nudge(topic="gap"))

        await Line(token, PRIVATE, see, gap, private=True).run()

    async def close(self) -> None:
        for caller in (self._trading, self._public):
            if caller is not None:
                await closed(caller.client)
        self._trading = self._public = None

    # inside

    async def _ready(self) -> Caller:
        """The trading client, its markets loaded and its clock set. Raises `ExchangeError` while the exchange cannot be reached."""
        if self._trading is not None:
            return self._trading
        async with self._loading:
            if self._trading is None:
                await self._load()
        assert self._trading is not None
        return self._trading

    async def _load(self) -> None:
        # lists of contracts are long
        patience = min(3 * self._timeout, max(self._timeout, 10.0))
        public = Caller(client(self._hosts, None, patience), patience)
        trading = Caller(client(self._hosts, self._credentials, self._timeout), self._timeout)
        try:
            await public.call(
                Lane.ACCOUNT,
                "GET",
                "/api/v1/contracts/active",
                lambda: public.client.load_markets(params={"marginables": False}),
            )
            rows = [market["info"] for market in public.client.markets.values()]
            self._name(self._read(lambda: contracts_of(rows, self._wall())))
            trading.client.set_markets(public.client.markets, public.client.currencies)
            await trading.call(Lane.ACCOUNT, "GET", "/api/v1/timestamp", lambda: trading.client.load_time_difference())
        except BaseException:
            await closed(public.client)
            await closed(trading.client)
            raise
        self._public, self._trading = public, trading

    def _name(self, contracts: Mapping[str, Any]) -> None:
        for symbol, contract in contracts.items():
            self._symbols[contract.code] = symbol
            self._codes[symbol] = contract.code

    def _code(self, symbol: str) -> str:
        return self._codes.get(symbol, symbol)

    async def _pages(self, trading: Caller, lane: Lane, what: str, params: dict[str, Any]) -> list[Mapping[str, Any]]:
        """All rows of a question that is answered by pages."""
        ask = {
            "orders": trading.client.futuresPrivateGetOrders,
            "stopOrders": trading.client.futuresPrivateGetStopOrders,
            "fills": trading.client.futuresPrivateGetFills,
        }[what]
        rows: list[Mapping[str, Any]] = []
        for page in range(1, PAGES + 1):
            asked = {**params, "currentPage": page, "pageSize": PAGE}
            data = _data(await trading.call(lane, "GET", f"/api/v1/{what}", partial(ask, asked)))
            items = data.get("items") if isinstance(data, dict) else None
            if items is None:
                raise Unclear(f"the answer lists no {what}")
            rows += items
            if page >= int(data.get("totalPage") or 1):
                return rows
        raise Unclear(f"there are more than {PAGES} pages of {what}")

    @staticmethod
    def _read(read: Callable[[], T]) -> T:
        """What an answer says. One that makes no sense says nothing."""
        try:
            return read()
        except NONSENSE as error:
            raise Unclear(f"the answer makes no sense ({type(error).__name__}: {error})") from None


def _data(answer: Any) -> Any:
    """What is in the envelope."""
    if not isinstance(answer, dict) or "data" not in answer:
        raise Unclear("the answer is no answer")
    return answer["data"]


def _marks(page: Sequence[Mapping[str, Any]], mark: str) -> list[int]:
    return [number for row in page if (number := int(row[mark])) >= 0]


__all__ = ["ExchangeError", "KucoinAccount"]
