"""The port over unmodified ccxt: what goes over the network, and what is made of KuCoin's answers."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from desk import BTC
from enigma_exchange.hosts import hosts
from enigma_exchange.port import Absent, Denied, ExchangeError, Known, Nudge, Placing, Refused, Throttled, Unclear
from enigma_exchange.quota import Lane, Quota
from enigma_exchange.wire import KucoinAccount, reading
from enigma_exchange.wire.clients import Credentials, client

KEY = Credentials("key-of-the-test", "secret-of-the-test", "passphrase-of-the-test")

CONTRACT = {
    "symbol": "XBTUSDTM",
    "type": "FFWCSX",
    "baseCurrency": "XBT",
    "quoteCurrency": "USDT",
    "settleCurrency": "USDT",
    "multiplier": 0.001,
    "lotSize": 1,
    "tickSize": 0.1,
    "maxOrderQty": 1000000,
    "maxPrice": 1000000.0,
    "isInverse": False,
    "status": "Open",
    "nextFundingRateTime": 17000000,
    "makerFeeRate": 0.0002,
    "takerFeeRate": 0.0006,
    "maxLeverage": 125,
    "firstOpenDate": 1585555200000,
    "lastTradePrice": 50000.0,
    "priceChg": 0,
    "volumeOf24h": 1,
    "turnoverOf24h": 1,
    "markPrice": 50000.0,
    "indexPrice": 50000.0,
    "fundingFeeRate": 0.0001,
}

ORDER = {
    "id": "250444645610336256",
    "symbol": "XBTUSDTM",
    "type": "market",
    "side": "sell",
    "price": "",
    "size": 10,
    "dealSize": 0,
    "stop": "down",
    "stopPriceType": "MP",
    "stopTriggered": False,
    "stopPrice": "49000.1",
    "clientOid": "enigma-a",
    "isActive": True,
    "cancelExist": False,
    "createdAt": 1732523858568,
    "filledSize": 0,
    "status": "open",
    "reduceOnly": True,
}


class Kucoin:
    """Answers as it was told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], Any, dict[str, str]]] = []
        self.answers: dict[tuple[str, str], Any] = {
            ("GET", "/api/v1/contracts/active"): [CONTRACT],
            ("GET", "/api/v1/timestamp"): 1_741_219_200_000,
            ("POST", "/api/v1/orders"): {"orderId": "234125150956625920", "clientOid": "enigma-a"},
            ("GET", "/api/v2/position/getPositionMode"): {"positionMode": 0},
        }
        self.headers: dict[str, str] = {}
        self.slow = 0.0
        """Seconds that an answer to an order takes."""

    def paged(self, path: str, *pages: list[dict[str, Any]]) -> None:
        def page(query: dict[str, str]) -> dict[str, Any]:
            number = int(query["currentPage"])
            return {"currentPage": number, "pageSize": 100, "totalNum": 1, "totalPage": len(pages), "items": pages[number - 1]}

        self.answers["GET", path] = page

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = "/" + request.match_info["path"]
        text = await request.text()
        query = dict(request.query)
        self.asked.append((request.method, path, query, json.loads(text) if text else None, dict(request.headers)))
        found = self.answers.get((request.method, path), (404, {"code": "404000", "msg": "URL Not Found"}))
        if callable(found):
            found = found(query)
        if request.method == "POST" and self.slow:
            await asyncio.sleep(self.slow)
        if isinstance(found, web.Response):
            return found
        if isinstance(found, Exception):
            request.transport.abort()  # type: ignore[union-attr]
            return web.Response()
        status, body = found if isinstance(found, tuple) else (200, {"code": "200000", "data": found})
        return web.json_response(body, status=status, headers=self.headers)

    def last(self, method: str, path: str) -> tuple[dict[str, str], Any, dict[str, str]]:
        return next((q, b, h) for m, p, q, b, h in reversed(self.asked) if (m, p) == (method, path))

    def count(self, method: str, path: str) -> int:
        return sum((m, p) == (method, path) for m, p, *_ in self.asked)


@asynccontextmanager
async def kucoin(timeout: float = 1.0) -> AsyncIterator[tuple[Kucoin, KucoinAccount]]:
    there = Kucoin()
    app = web.Application()
    app.router.add_route("*", "/fut/{path:.*}", there.answer)
    app.router.add_route("*", "/spot/{path:.*}", there.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    account = KucoinAccount(hosts(f"http://127.0.0.1:{port}"), KEY, timeout=timeout, wall=lambda: 1_741_219_200_500)
    try:
        yield there, account
    finally:
        await account.close()
        await runner.cleanup()


def at(scene: Callable[[Kucoin, KucoinAccount], Awaitable[None]], timeout: float = 1.0) -> None:
    async def run() -> None:
        async with kucoin(timeout) as (there, account):
            await scene(there, account)

    asyncio.run(run())


def placing(**changes: Any) -> Placing:
    settings: dict[str, Any] = {
        "client_id": "enigma-a",
        "symbol": BTC,
        "side": 1,
        "quantity": Decimal(10),
        "kind": "market",
        "leverage": 5,
    }
    return Placing(**(settings | changes))


BODIES: list[tuple[Placing, dict[str, Any]]] = [
    (placing(), {"side": "buy", "type": "market", "size": 10}),
    (placing(side=-1, reduce_only=True), {"side": "sell", "type": "market", "size": 10, "reduceOnly": True}),
    (
        placing(kind="limit", price=Decimal("50000.1")),
        {"side": "buy", "type": "limit", "size": 10, "price": "50000.1", "timeInForce": "GTC"},
    ),
    (
        placing(kind="limit", price=Decimal("50000.1"), lasts="IOC"),
        {"side": "buy", "type": "limit", "size": 10, "price": "50000.1", "timeInForce": "IOC"},
    ),
    (
        placing(kind="limit", price=Decimal(50000), post_only=True),
        {"side": "buy", "type": "limit", "size": 10, "price": "50000", "postOnly": True},
    ),
    (
        placing(kind="stop", side=-1, price=Decimal("49000.1"), falls=True, reduce_only=True),
        {
            "side": "sell",
            "type": "market",
            "size": 10,
            "reduceOnly": True,
            "stop": "down",
            "stopPrice": "49000.1",
            "stopPriceType": "MP",
        },
    ),
    (
        # a target of a long: ccxt by itself would have it fall
        placing(kind="stop", side=-1, price=Decimal(52000), falls=False, reduce_only=True),
        {
            "side": "sell",
            "type": "market",
            "size": 10,
            "reduceOnly": True,
            "stop": "up",
            "stopPrice": "52000",
            "stopPriceType": "MP",
        },
    ),
]


def test_an_order_goes_over_the_wire_with_exactly_what_was_meant() -> None:
    async def scene(there: Kucoin, account: KucoinAccount) -> None:
        for number, (order, body) in enumerate(BODIES, 1):
            assert await account.place(order) == "234125150956625920"
            _, sent, headers = there.last("POST", "/api/v1/orders")
            common = {"clientOid": "enigma-a", "symbol": "XBTUSDTM", "leverage": 5, "marginMode": "ISOLATED"}
            assert {k: v for k, v in sent.items() if k != "reduceOnly" or v} == common | body
            assert "KC-API-PARTNER" not in {name.upper() for name in headers}
            assert there.count("POST", "/api/v1/orders") == number

    at(scene)


ANSWERS: list[tuple[Any, type]] = [
    ((429, {"code": "429000", "msg": "Too many requests"}), Throttled),
    ((200, {"code": "429000", "msg": "Too many requests"}), Throttled),
    ((200, {"code": "300018", "msg": "clientOid parameter repeated"}), Known),
    ((200, {"code": "126044", "msg": "clientOid duplicate"}), Known),
    ((200, {"code": "300003", "msg": "Balance not enough"}), Refused),
    ((401, {"code": "400003", "msg": "KC-API-KEY not exists"}), Denied),
    ((200, {"code": "400007", "msg": "require more permission"}), Denied),
    ((500, {"code": "500000", "msg": "Internal Server Error"}), Unclear),
    ((503, {"code": "503000", "msg": "Service unavailable"}), Unclear),
    (lambda _: web.Response(status=502, text="<html><body>Bad Gateway</body></html>"), Unclear),
    (lambda _: web.Response(status=200, text='{"code":"2000'), Unclear),
    (lambda _: web.Response(status=200, text=""), Unclear),
    ({}, Unclear),
    (ConnectionResetError(), Unclear),
]


def test_x03_x04_whatever_is_answered_an_order_is_sent_once_and_what_came_of_it_is_said() -> None:
    async def scene(there: Kucoin, account: KucoinAccount) -> None:
        await account.time()
        assert account._trading is not None
        for number, (answer, kind) in enumerate(ANSWERS, 1):
            # none waits for what the one before it has cost
            account._trading.futures = Quota()
            there.answers["POST", "/api/v1/orders"] = answer
            with pytest.raises(ExchangeError) as caught:
                await account.place(placing())
            assert type(caught.value) is kind, answer
            assert there.count("POST", "/api/v1/orders") == number

    at(scene)


def test_x01_no_answer_in_time_is_unclear_and_the_order_was_sent_once() -> None:
    async def scene(there: Kucoin, account: KucoinAccount) -> None:
        await account.time()
        there.slow = 0.6
        with pytest.raises(Unclear):
            await account.place(placing())
        assert there.count("POST", "/api/v1/orders") == 1

    at(scene, timeout=0.2)


def test_x04_the_clients_try_nothing_again_and_log_nothing() -> None:
    made = client(hosts("http://127.0.0.1:9"), KEY, 1.0)
    try:
        assert made.options["maxRetriesOnFailure"] == 0
        assert made.verbose is False
        assert made.enableRateLimit is False
        assert logging.getLogger("ccxt").level >= logging.WARNING
        assert all("127.0.0.1" in u for n, u in made.urls["api"].items() if isinstance(u, str))
    finally:
        asyncio.run(made.close())


def test_x12_exits_go_before_everything_else_that_waits() -> None:
    async def scene(there: Kucoin, account: KucoinAccount) -> None:
        await account.time()
        trading = account._trading
        assert trading is not None
        there.answers["GET", "/api/v1/positions"] = []
        trading.futures.throttled(0.5)
        data = [asyncio.create_task(account.held()) for _ in range(30)]
        await asyncio.sleep(0.05)
        exit_ = asyncio.create_task(account.place(placing(side=-1, reduce_only=True)))
        await exit_
        assert sum(task.done() for task in data) <= 1
        for task in data:
            task.cancel()

    at(scene)


def test_x12_a_429_slows_down_what_comes_after_it() -> None:
    async def scene(there: Kucoin, account: KucoinAccount) -> None:
        await account.time()
        there.headers = {"gw-ratelimit-limit": "2000", "gw-ratelimit-remaining": "0", "gw-ratelimit-reset": "400"}
        there.answers["GET", "/api/v1/positions"] = (429, {"code": "429000", "msg": "Too many requests"})
        with pytest.raises(Throttled) as caught:
            await account.held()
        assert caught.value.after == 0.4
        trading = account._trading
        assert trading is not None
        assert trading.futures.bucket is not None
        assert trading.futures.bucket.used == pytest.approx(0.55)
        assert trading.futures.bucket.wait(Lane.EXIT, 2, asyncio.get_running_loop().time()) > 0.2

    at(scene)


def test_x12_an_entry_that_finds_no_room_in_the_quota_is_not_sent_late() -> None:
    async def scene(there: Kucoin, account: KucoinAccount) -> None:
        await account.time()
        assert account._trading is not None
        account._trading.futures.throttled(5.0)
        with pytest.raises(Throttled):
            await account.place(placing())
        await asyncio.sleep(0.1)
        assert there.count("POST", "/api/v1/orders") == 0

    at(scene)


def test_x30_a_clock_that_has_jumped_is_set_with_the_first_request_that_is_refused_for_it() -> None:
    async def scene(there: Kucoin, account: KucoinAccount) -> None:
        await account.time()
        there.answers["GET", "/api/v1/positions"] = (400, {"code": "400002", "msg": "KC-API-TIMESTAMP Invalid"})
        before = there.count("GET", "/api/v1/timestamp")
        with pytest.raises(Unclear):
            await account.held()
        assert there.count("GET", "/api/v1/timestamp") == before + 1

    at(scene)


def test_orders_behind_each_other_are_found_on_every_page() -> None:
    async def scene(there: Kucoin, account: KucoinAccount) -> None:
        there.paged("/api/v1/stopOrders", [ORDER], [{**ORDER, "id": "2", "clientOid": "enigma-b"}])
        limit = {**ORDER, "id": "3", "clientOid": "hand", "stop": "", "stopPrice": None, "type": "limit", "price": "60000.5"}
        there.paged("/api/v1/orders", [limit])
        found = await account.working()
        assert [(o.client_id, o.stop, o.price) for o in found] == [
            ("enigma-a", True, Decimal("49000.1")),
            ("enigma-b", True, Decimal("49000.1")),
            ("hand", False, Decimal("60000.5")),
        ]
        assert (await account.find(BTC, "enigma-b", stop=True)).venue_id == "2"

    at(scene)


def test_a_stop_that_has_been_triggered_is_found_among_the_orders() -> None:
    async def scene(there: Kucoin, account: KucoinAccount) -> None:
        there.paged("/api/v1/stopOrders", [])
        there.answers["GET", "/api/v1/orders/byClientOid"] = {
            **ORDER,
            "stopTriggered": True,
            "isActive": False,
            "status": "done",
            "filledSize": 10,
        }
        found = await account.find(BTC, "enigma-a", stop=True)
        assert (found.open, found.stop, found.filled) == (False, False, Decimal(10))

    at(scene)


def test_an_order_nobody_knows_is_absent() -> None:
    async def scene(there: Kucoin, account: KucoinAccount) -> None:
        there.paged("/api/v1/stopOrders", [])
        there.answers["GET", "/api/v1/orders/byClientOid"] = (200, {"code": "100001", "msg": "error.getOrder.orderNotExist"})
        for stop in (True, False):
            with pytest.raises(Absent):
                await account.find(BTC, "enigma-a", stop=stop)

    at(scene)


def test_fills_are_read_to_the_last_page_and_in_stretches_the_exchange_takes() -> None:
    async def scene(there: Kucoin, account: KucoinAccount) -> None:
        row = {
            "symbol": "XBTUSDTM",
            "tradeId": "1",
            "orderId": "234",
            "side": "buy",
            "liquidity": "taker",
            "price": "86275.1",
            "size": 1,
            "fee": "0.05176506",
            "feeCurrency": "USDT",
            "tradeType": "trade",
            "tradeTime": 1_741_219_200_244_000_000,
        }
        there.paged("/api/v1/fills", [{**row, "tradeId": "2"}], [row])
        found = await account.fills(1_741_219_200_500 - 10 * 86_400_000)
        assert {t.id for t in found} == {"1", "2"}
        spans = [(int(q["startAt"]), int(q["endAt"])) for m, p, q, *_ in there.asked if p == "/api/v1/fills"]
        assert all(end - start < 7 * 86_400_000 for start, end in spans)
        assert (found[0].fee, found[0].price, found[0].ts) == (Decimal("0.05176506"), Decimal("86275.1"), 1_741_219_200_244)

    at(scene)


def test_x30_fills_are_read_up_to_now_by_a_clock_that_is_hours_behind() -> None:
    async def scene(there: Kucoin, account: KucoinAccount) -> None:
        now = 1_741_219_200_500 + 3 * 3_600_000
        there.answers["GET", "/api/v1/timestamp"] = now
        there.paged("/api/v1/fills", [])
        await account.time()
        await account.fills(now - 60_000)
        query, _, _ = there.last("GET", "/api/v1/fills")
        assert int(query["startAt"]) == now - 60_000
        assert int(query["endAt"]) > now

    at(scene)


def test_cancel_all_takes_the_light_endpoints() -> None:
    async def scene(there: Kucoin, account: KucoinAccount) -> None:
        there.answers["DELETE", "/api/v1/stopOrders"] = {"cancelledOrderIds": []}
        there.answers["DELETE", "/api/v3/orders"] = {"cancelledOrderIds": []}
        await account.cancel_all(BTC)
        assert there.last("DELETE", "/api/v3/orders")[0] == {"symbol": "XBTUSDTM"}
        assert there.last("DELETE", "/api/v1/stopOrders")[0] == {"symbol": "XBTUSDTM"}
        assert there.count("DELETE", "/api/v1/orders") == 0

    at(scene)


def test_one_order_is_cancelled_by_either_of_its_ids() -> None:
    async def scene(there: Kucoin, account: KucoinAccount) -> None:
        there.answers["DELETE", "/api/v1/orders/234"] = {"cancelledOrderIds": ["234"]}
        there.answers["DELETE", "/api/v1/orders/client-order/enigma-a"] = {"clientOid": "enigma-a"}
        await account.cancel(BTC, "234", stop=True)
        await account.cancel(BTC, client_id="enigma-a")
        assert there.last("DELETE", "/api/v1/orders/client-order/enigma-a")[0] == {"symbol": "XBTUSDTM"}
        with pytest.raises(ExchangeError):
            await account.cancel(BTC, "nobody")

    at(scene)


def test_margin_and_position_mode_are_read_and_set() -> None:
    async def scene(there: Kucoin, account: KucoinAccount) -> None:
        there.answers["GET", "/api/v2/position/getMarginMode"] = {"symbol": "XBTUSDTM", "marginMode": "CROSS"}
        there.answers["POST", "/api/v2/position/changeMarginMode"] = {"symbol": "XBTUSDTM", "marginMode": "ISOLATED"}
        assert not await account.isolated(BTC)
        await account.isolate(BTC)
        assert there.last("POST", "/api/v2/position/changeMarginMode")[1] == {"symbol": "XBTUSDTM", "marginMode": "ISOLATED"}
        there.answers["GET", "/api/v2/position/getMarginMode"] = {"symbol": "XBTUSDTM", "marginMode": "ISOLATED"}
        assert await account.isolated(BTC)

    at(scene)


def test_a_contract_says_whether_it_is_traded() -> None:
    async def scene(there: Kucoin, account: KucoinAccount) -> None:
        assert (await account.listed())[BTC].open
        there.answers["GET", "/api/v1/contracts/active"] = [{**CONTRACT, "status": "Paused"}]
        found = await account.listed()
        assert not found[BTC].open
        assert found[BTC].instrument.multiplier == Decimal("0.001")

    at(scene)


def test_a_contract_that_is_settled_in_another_currency_is_not_there_to_be_traded() -> None:
    async def scene(there: Kucoin, account: KucoinAccount) -> None:
        other = {**CONTRACT, "symbol": "XBTUSDCM", "quoteCurrency": "USDC", "settleCurrency": "USDC"}
        there.answers["GET", "/api/v1/contracts/active"] = [CONTRACT, other]
        assert list(await account.listed()) == [BTC]

    at(scene)


def test_answers_that_make_no_sense_are_unclear() -> None:
    async def scene(there: Kucoin, account: KucoinAccount) -> None:
        await account.time()
        nonsense: list[Any] = [{}, None, [], "text", {"items": None}, {"items": [{"id": 1}]}]
        for answer in nonsense:
            for path in ("stopOrders", "orders", "fills", "account-overview"):
                there.answers["GET", f"/api/v1/{path}"] = answer
            there.answers["GET", "/api/v1/positions"] = answer or None
            for look in (account.working, account.balance, account.held):
                with pytest.raises(Unclear):
                    await look()  # type: ignore[operator]
            with pytest.raises(Unclear):
                await account.fills(1_741_219_200_000)

    at(scene)


# KuCoin's own examples


@pytest.fixture(scope="module")
def examples() -> dict[str, Any]:
    folder = os.environ.get("ENIGMA_TEST_DATA")
    path = Path(folder or "") / "kucoin_spec" / "examples.json"
    if not folder or not path.is_file():
        pytest.skip("KuCoin's examples are absent: set ENIGMA_TEST_DATA to their folder")
    return json.loads(path.read_text())  # type: ignore[no-any-return]


def response(examples: dict[str, Any], name: str) -> Any:
    found = examples[name]["x-response-example"]
    if isinstance(found, str):
        found = json.loads(found.encode().decode("unicode_escape"))
    return found["data"]


SYMBOLS = {"XBTUSDTM": BTC}


def test_the_documented_order_is_read_as_what_it_is(examples: dict[str, Any]) -> None:
    row = response(examples, "GET /api/v1/orders/byClientOid")
    found = reading.order(row, SYMBOLS)
    assert (found.venue_id, found.client_id) == ("250444645610336256", "5c52e11203aa677f33e493fb")
    assert (found.side, found.quantity, found.price, found.open, found.stop) == (1, 1, Decimal("0.1"), True, False)
    for name in ("GET /api/v1/orders", "GET /api/v1/stopOrders"):
        assert reading.order(response(examples, name)["items"][0], SYMBOLS).symbol == "PEOPLEUSDTM"


def test_the_documented_fill_is_read_as_what_it_is(examples: dict[str, Any]) -> None:
    found = reading.trade(response(examples, "GET /api/v1/fills")["items"][0], SYMBOLS)
    assert (found.id, found.venue_id, found.symbol, found.side) == ("1828954878212", "284486580251463680", BTC, 1)
    assert (found.quantity, found.price, found.fee, found.maker) == (1, Decimal("86275.1"), Decimal("0.05176506"), False)
    assert found.ts == 1740640088244


def test_x29_a_fee_in_another_currency_is_booked_as_what_it_was_worth(examples: dict[str, Any]) -> None:
    row = response(examples, "GET /api/v1/fills")["items"][0]
    assert reading.trade(row, SYMBOLS).paid_in == ""
    found = reading.trade(row | {"feeCurrency": "KCS", "fee": "0.0042"}, SYMBOLS)
    assert (found.fee, found.paid_in) == (Decimal("0.05176506"), "KCS")
    rebate = reading.trade(row | {"feeCurrency": "KCS", "fee": "-0.0042", "feeRate": "-0.0001"}, SYMBOLS)
    assert rebate.fee == Decimal("-0.00862751")
    # without a rate the number is all there is
    assert reading.trade(row | {"feeCurrency": "KCS", "fee": "0.0042", "feeRate": None}, SYMBOLS).fee == Decimal("0.0042")


def test_the_documented_positions_are_read_as_what_they_are(examples: dict[str, Any]) -> None:
    cross, isolated = (reading.held(row, SYMBOLS) for row in response(examples, "GET /api/v1/positions"))
    assert cross is not None
    assert isolated is not None
    assert (cross.isolated, isolated.isolated) == (False, True)
    assert (isolated.quantity, isolated.price) == (1, Decimal("67430.9"))
    assert round(isolated.leverage) == 3


def test_the_documented_money_is_read_as_what_it_is(examples: dict[str, Any]) -> None:
    balance = reading.balance(response(examples, "GET /api/v1/account-overview"))
    assert balance.equity == Decimal("394.439280806")
    assert balance.wallet == Decimal("394.439280806") - Decimal("20.15278")
    rows = response(examples, "GET /api/v1/transaction-history")["dataList"]
    found = [reading.moved(row) for row in rows]
    assert found[0] is not None
    assert (found[0].id, found[0].amount) == ("TransferIn-51360793", Decimal("0.01"))
    assert found[1] is None
    funding = reading.settled(response(examples, "GET /api/v1/funding-history")["dataList"][0], SYMBOLS)
    assert (funding.id, funding.amount, funding.rate) == ("1472387374042586", Decimal("-0.05585669"), Decimal("0.000641"))


def test_a10_the_documented_key_may_transfer_and_is_bound_to_addresses(examples: dict[str, Any]) -> None:
    found = reading.rights(response(examples, "GET /api/v1/user/api-key"))
    assert (found.trade, found.withdraw, found.transfer) == (True, False, True)
    assert found.addresses == ("203.**.154", "103.**.34")


def test_the_documented_pushes_are_hints(examples: dict[str, Any]) -> None:
    def hint(name: str) -> Nudge | None:
        pushed = examples[name]["example"]
        return reading.nudge(pushed["subject"], json.dumps(pushed["data"]).encode(), SYMBOLS)

    order = hint("WS /contractMarket/tradeOrders")
    assert order is not None
    assert (order.topic, order.symbol, order.venue_id, order.state) == ("order", BTC, "247899236673269761", "open")
    stop = hint("WS /contractMarket/advancedOrders")
    assert stop is not None
    assert (stop.topic, stop.venue_id, stop.state) == ("stop", "240673378116083712", "open")
    position = hint("WS /contract/positionAll")
    assert position is not None
    assert position.topic == "position"
    assert hint("WS /contractAccount/wallet") is None


def test_the_documented_order_body_goes_over_the_wire(examples: dict[str, Any]) -> None:
    documented = examples["POST /api/v1/orders"]["x-request-example"]

    async def scene(there: Kucoin, account: KucoinAccount) -> None:
        there.answers["POST", "/api/v1/orders"] = response(examples, "POST /api/v1/orders")
        order = placing(
            client_id=documented["clientOid"], kind="limit", price=Decimal(documented["price"]), quantity=Decimal(1), leverage=3
        )
        assert await account.place(order) == "234125150956625920"
        sent = there.last("POST", "/api/v1/orders")[1]
        assert sent == {name: value for name, value in documented.items() if name not in ("remark", "reduceOnly")}

    at(scene)


def test_a_mark_that_moves_is_no_hint() -> None:
    assert reading.nudge("position.change", b'{"symbol":"XBTUSDTM","changeReason":"markPriceChange"}', SYMBOLS) is None
    assert reading.nudge("position.change", b'{"symbol":"XBTUSDTM","markPrice":1}', SYMBOLS) is None
    assert reading.nudge("symbolOrderChange", b"[", SYMBOLS) == Nudge(topic="order")
