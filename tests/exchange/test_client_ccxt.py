"""Unmodified ccxt trades on the local exchange: REST, and the pro client's streams."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import ccxt
import ccxt.pro
import pytest
from ccxt.async_support import kucoinfutures
from served import KEY, SYMBOL, XBT, Local, local, soon

from enigma_sandbox.markets import Setup


@pytest.fixture(scope="module")
def exchange() -> Iterator[Local]:
    with local(Setup(count=3, days=2)) as running:
        yield running


@pytest.fixture(autouse=True)
def calm(exchange: Local) -> Iterator[None]:
    yield
    exchange.press("clear")


def pointed(client: Any, exchange: Local) -> Any:
    """A client whose addresses are the local exchange's, as a user of ccxt would set them."""
    for name, address in list(client.urls["api"].items()):
        if isinstance(address, str):
            client.urls["api"][name] = exchange.url + ("/fut" if name.startswith("futures") else "/spot")
    client.has["fetchCurrencies"] = False
    return client


@asynccontextmanager
async def trading(exchange: Local, make: Any = kucoinfutures, **more: Any) -> AsyncIterator[Any]:
    options = {"uta": False, "hf": False}
    settings = {"apiKey": KEY.key, "secret": KEY.secret, "password": KEY.passphrase, "options": options, **more}
    client = pointed(make(settings), exchange)
    try:
        await client.load_markets(params={"marginables": False})
        yield client
    finally:
        await client.close()


ISOLATED = {"leverage": 5, "marginMode": "isolated"}


async def flat(client: Any) -> None:
    await client.cancel_all_orders(SYMBOL, {"version": "v3"})
    await client.cancel_all_orders(SYMBOL, {"trigger": True})
    for position in await client.fetch_positions([SYMBOL]):
        if position["contracts"]:
            side = "sell" if position["side"] == "long" else "buy"
            await client.create_order(SYMBOL, "market", side, position["contracts"], None, {"reduceOnly": True, **ISOLATED})


def test_markets_are_as_the_exchange_lists_them(exchange: Local) -> None:
    async def run() -> None:
        async with trading(exchange) as client:
            market = client.market(SYMBOL)
            listed = exchange.sandbox.market.instrument(SYMBOL)
            assert market["id"] == XBT
            assert market["swap"] is True
            assert Decimal(str(market["contractSize"])) == listed.multiplier
            assert Decimal(str(market["precision"]["price"])) == listed.tick
            assert set(exchange.sandbox.market.symbols) == set(client.symbols)

    asyncio.run(run())


def test_the_market_is_read_in_every_way(exchange: Local) -> None:
    async def run() -> None:
        async with trading(exchange) as client:
            now = time.time() * 1000
            assert abs(await client.fetch_time() - now) < 2_000
            assert (await client.fetch_status())["status"] == "ok"
            for timeframe, count in (("1m", 500), ("5m", 200), ("1h", 24), ("4h", 6), ("1d", 2)):
                length = client.parse_timeframe(timeframe) * 1000
                candles = await client.fetch_ohlcv(SYMBOL, timeframe, limit=count)
                assert count - 1 <= len(candles) <= count + 1
                assert {b[0] - a[0] for a, b in itertools.pairwise(candles)} <= {length}
                assert now - candles[-1][0] < length + 2_000
                assert all(low <= min(o, c) <= max(o, c) <= high for _, o, high, low, c, _ in candles)
            since = int(now) - 3 * 3_600_000
            bars = await client.fetch_ohlcv(SYMBOL, "5m", since=since, limit=20)
            assert len(bars) == 20
            assert 0 <= bars[0][0] - since < 300_000
            for limit in (None, 20, 100):
                book = await client.fetch_order_book(SYMBOL, limit)
                assert book["bids"][0][0] < book["asks"][0][0]
                assert book["nonce"]
            ticker = await client.fetch_ticker(SYMBOL)
            assert abs(ticker["last"] / book["bids"][0][0] - 1) < 0.01
            assert SYMBOL in await client.fetch_tickers()
            assert (await client.fetch_bids_asks())[SYMBOL]["bid"]
            rate = await client.fetch_funding_rate(SYMBOL)
            assert rate["fundingTimestamp"] > now
            assert len(await client.fetch_funding_rate_history(SYMBOL, int(now) - 86_400_000, None)) == 3
            assert await client.fetch_trades(SYMBOL)
            assert abs((await client.fetch_mark_price(SYMBOL))["markPrice"] / ticker["last"] - 1) < 0.01

    asyncio.run(run())


def test_a_market_order_fills_is_found_by_its_client_id_and_is_closed_again(exchange: Local) -> None:
    async def run() -> None:
        async with trading(exchange) as client:
            await flat(client)
            before = await client.fetch_balance()
            oid = f"enigma-{time.time_ns()}"
            order = await client.create_order(SYMBOL, "market", "buy", 10, None, {**ISOLATED, "clientOrderId": oid})
            found = await client.fetch_order(None, SYMBOL, {"clientOrderId": oid})
            assert found["id"] == order["id"]
            assert found["status"] == "closed"
            assert found["filled"] == 10
            trades = [t for t in await client.fetch_my_trades(SYMBOL) if t["order"] == order["id"]]
            assert sum(t["amount"] for t in trades) == 10
            for trade in trades:
                assert trade["fee"]["cost"] == pytest.approx(trade["price"] * trade["amount"] * 0.001 * 0.0006, rel=1e-6)
            (position,) = await client.fetch_positions([SYMBOL])
            assert position["contracts"] == 10
            assert position["side"] == "long"
            assert position["marginMode"] == "isolated"
            assert position["leverage"] == pytest.approx(5, rel=0.1)
            assert position["liquidationPrice"] < position["entryPrice"] * 0.85
            await client.create_order(SYMBOL, "market", "sell", 10, None, {**ISOLATED, "reduceOnly": True})
            assert await client.fetch_positions([SYMBOL]) == []
            after = await client.fetch_balance()
            fees = sum(t["fee"]["cost"] for t in await client.fetch_my_trades(SYMBOL) if t["timestamp"] >= trades[0]["timestamp"])
            assert fees > 0
            assert after["USDT"]["total"] < before["USDT"]["total"]
            with pytest.raises(ccxt.ExchangeError):
                await client.create_order(SYMBOL, "market", "buy", 1, None, {**ISOLATED, "clientOrderId": oid})

    asyncio.run(run())


def test_limit_and_stop_orders_work_are_listed_and_cancelled(exchange: Local) -> None:
    async def run() -> None:
        async with trading(exchange) as client:
            await flat(client)
            last = (await client.fetch_ticker(SYMBOL))["last"]
            resting = await client.create_order(SYMBOL, "limit", "buy", 2, round(last * 0.9, 1), {**ISOLATED, "postOnly": True})
            (listed,) = await client.fetch_open_orders(SYMBOL)
            assert listed["id"] == resting["id"]
            assert listed["price"] == round(last * 0.9, 1)
            await client.cancel_order(resting["id"], SYMBOL)
            assert await client.fetch_open_orders(SYMBOL) == []
            assert (await client.fetch_order(resting["id"], SYMBOL))["status"] == "canceled"
            ioc = await client.create_order(SYMBOL, "limit", "buy", 2, round(last * 0.9, 1), {**ISOLATED, "timeInForce": "IOC"})
            assert (await client.fetch_order(ioc["id"], SYMBOL))["filled"] == 0
            await client.create_order(SYMBOL, "market", "buy", 4, None, ISOLATED)
            stop = {"stop": "down", "stopPrice": str(round(last * 0.95, 1)), "stopPriceType": "MP", "reduceOnly": True, **ISOLATED}
            await client.create_order(SYMBOL, "market", "sell", 4, None, {**stop, "clientOrderId": f"s-{time.time_ns()}"})
            (waiting,) = await client.fetch_open_orders(SYMBOL, params={"trigger": True})
            assert waiting["reduceOnly"] is True
            assert waiting["triggerPrice"] == round(last * 0.95, 1)
            await client.cancel_all_orders(SYMBOL, {"trigger": True})
            assert await client.fetch_open_orders(SYMBOL, params={"trigger": True}) == []
            await flat(client)

    asyncio.run(run())


def test_what_the_exchange_refuses_ccxt_understands(exchange: Local) -> None:
    async def run() -> None:
        async with trading(exchange) as client:
            await flat(client)
            with pytest.raises(ccxt.InsufficientFunds):
                await client.create_order(SYMBOL, "market", "buy", 4_000, None, {**ISOLATED, "leverage": 1})
            with pytest.raises(ccxt.ExchangeError):
                await client.create_order(SYMBOL, "market", "sell", 1, None, {**ISOLATED, "reduceOnly": True})
            with pytest.raises(ccxt.OrderNotFound):
                await client.fetch_order(None, SYMBOL, {"clientOrderId": "nobody-has-sent-this"})
            client.secret = "not the secret"
            with pytest.raises(ccxt.AuthenticationError):
                await client.fetch_balance()

    asyncio.run(run())


def test_faults_reach_ccxt_as_those_of_the_real_exchange_do(exchange: Local) -> None:
    async def run() -> None:
        async with trading(exchange, timeout=700) as client:
            await flat(client)
            oid = f"lost-{time.time_ns()}"
            exchange.press("spell", what="timeout", method="POST", path="/api/v1/orders", times=1)
            with pytest.raises(ccxt.RequestTimeout):
                await client.create_order(SYMBOL, "market", "buy", 1, None, {**ISOLATED, "clientOrderId": oid})
            assert (await client.fetch_order(None, SYMBOL, {"clientOrderId": oid}))["filled"] == 1
            exchange.press("spell", what="error", method="GET", path="/api/v1/positions", times=1, status=503, code="500000")
            with pytest.raises(ccxt.ExchangeNotAvailable):
                await client.fetch_positions()
            exchange.press("spell", what="html", method="GET", path="/api/v1/positions", times=1, status=502)
            with pytest.raises(ccxt.ExchangeNotAvailable):
                await client.fetch_positions()
            exchange.press("spell", what="throttle", method="GET", path="/api/v1/positions", times=1)
            with pytest.raises(ccxt.RateLimitExceeded):
                await client.fetch_positions()
            await flat(client)

    asyncio.run(run())


def test_the_pro_client_hears_the_market_and_its_own_orders(exchange: Local) -> None:
    async def run() -> None:
        async with trading(exchange, ccxt.pro.kucoinfutures) as client:
            await flat(client)
            watched = {
                "candles": asyncio.ensure_future(client.watch_ohlcv(SYMBOL, "1m")),
                "bids": asyncio.ensure_future(client.watch_bids_asks([SYMBOL])),
                "trades": asyncio.ensure_future(client.watch_trades(SYMBOL)),
                "book": asyncio.ensure_future(client.watch_order_book(SYMBOL)),
                "orders": asyncio.ensure_future(client.watch_orders(SYMBOL)),
                "balance": asyncio.ensure_future(client.watch_balance()),
            }
            subscribed = exchange.sandbox.hub
            await soon(lambda: any(socket.private and socket.topics for socket in subscribed.sockets))
            order = await client.create_order(SYMBOL, "market", "buy", 3, None, ISOLATED)
            found = dict(zip(watched, await asyncio.wait_for(asyncio.gather(*watched.values()), 20), strict=True))
            assert found["candles"][-1][4] > 0
            assert found["trades"][-1]["price"] > 0
            assert found["bids"][SYMBOL]["bid"] < found["bids"][SYMBOL]["ask"]
            assert found["book"]["bids"][0][0] < found["book"]["asks"][0][0]
            assert found["balance"]["USDT"]["total"]
            orders = found["orders"]
            while not any(o["id"] == order["id"] and o["status"] == "closed" for o in orders):
                orders = await asyncio.wait_for(client.watch_orders(SYMBOL), 10)
            # it asks the spot host for its token; the first answer is a list of what is held
            (held,) = await asyncio.wait_for(client.watch_position(SYMBOL), 10)
            assert held["contracts"] == 3
            pushed = exchange.sandbox.hub
            changed = asyncio.ensure_future(client.watch_position(SYMBOL))
            await soon(lambda: any(f"/contract/position:{XBT}" in str(socket.topics) for socket in pushed.sockets))
            await flat(client)
            assert (await asyncio.wait_for(changed, 10))["symbol"] == SYMBOL

    asyncio.run(run())
