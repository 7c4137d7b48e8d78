"""KuCoin's own SDK, unmodified, on the local exchange: REST and WebSocket, market, orders, positions, account."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kucoin_universal_sdk.api import DefaultClient
from kucoin_universal_sdk.generate.account.account import GetFuturesAccountReqBuilder, GetFuturesLedgerReqBuilder
from kucoin_universal_sdk.generate.futures import fundingfees, market, order, positions
from kucoin_universal_sdk.model import ClientOptionBuilder, TransportOptionBuilder, WebSocketClientOptionBuilder
from kucoin_universal_sdk.model.common import RestError
from served import KEY, XBT, Local, local

from enigma_sandbox.markets import Setup


@pytest.fixture(scope="module")
def exchange() -> Iterator[Local]:
    with local(Setup(count=2, days=2)) as running:
        yield running


@pytest.fixture(scope="module")
def client(exchange: Local) -> Any:
    # it says in INFO what each of its threads does
    logging.getLogger().setLevel(logging.WARNING)
    option = (
        ClientOptionBuilder()
        .set_key(KEY.key)
        .set_secret(KEY.secret)
        .set_passphrase(KEY.passphrase)
        .set_spot_endpoint(f"{exchange.url}/spot")
        .set_futures_endpoint(f"{exchange.url}/fut")
        .set_broker_endpoint(f"{exchange.url}/spot")
        .set_transport_option(TransportOptionBuilder().set_max_retries(0).build())
        .set_websocket_client_option(WebSocketClientOptionBuilder().build())
        .build()
    )
    return DefaultClient(option)


def test_the_sdk_reads_the_market(client: Any) -> None:
    api = client.rest_service().get_futures_service().get_market_api()
    now = time.time() * 1000
    listed = api.get_all_symbols().data
    assert [each.symbol for each in listed] == [XBT, "ETHUSDTM"]
    one = api.get_symbol(market.GetSymbolReqBuilder().set_symbol(XBT).build())
    assert one.multiplier == 0.001
    assert one.base_currency == "XBT"
    assert one.status.value == "Open"
    ticker = api.get_ticker(market.GetTickerReqBuilder().set_symbol(XBT).build())
    assert float(ticker.best_bid_price) < float(ticker.best_ask_price)
    assert len(api.get_all_tickers().data) == 2
    book = api.get_full_order_book(market.GetFullOrderBookReqBuilder().set_symbol(XBT).build())
    assert book.bids[0][0] < book.asks[0][0]
    part = api.get_part_order_book(market.GetPartOrderBookReqBuilder().set_symbol(XBT).set_size("20").build())
    assert len(part.bids) == 20
    assert api.get_trade_history(market.GetTradeHistoryReqBuilder().set_symbol(XBT).build()).data
    asked = market.GetKlinesReqBuilder().set_symbol(XBT).set_granularity(5).set_from_(int(now) - 3_600_000).set_to(int(now)).build()
    assert 11 <= len(api.get_klines(asked).data) <= 13
    mark = api.get_mark_price(market.GetMarkPriceReqBuilder().set_symbol(XBT).build())
    assert abs(mark.value / float(ticker.price) - 1) < 0.01
    assert abs(api.get_server_time().data - now) < 2_000
    assert api.get_service_status().status.value == "open"
    assert api.get_public_token().token
    assert api.get_private_token().instance_servers[0].endpoint.startswith("ws://127.0.0.1:")
    funding = client.rest_service().get_futures_service().get_funding_fees_api()
    rate = funding.get_current_funding_rate(fundingfees.GetCurrentFundingRateReqBuilder().set_symbol(XBT).build())
    assert rate.funding_time > now


def test_the_sdk_trades(client: Any) -> None:
    futures = client.rest_service().get_futures_service()
    orders, held = futures.get_order_api(), futures.get_positions_api()
    oid = f"sdk-{time.time_ns()}"
    ask = order.AddOrderReqBuilder().set_client_oid(oid).set_symbol(XBT).set_leverage(3).set_remark("a remark")
    bought = orders.add_order(
        ask.set_side(order.AddOrderReq.SideEnum.BUY)
        .set_type(order.AddOrderReq.TypeEnum.MARKET)
        .set_margin_mode(order.AddOrderReq.MarginModeEnum.ISOLATED)
        .set_size(5)
        .build()
    )
    found = orders.get_order_by_client_oid(order.GetOrderByClientOidReqBuilder().set_client_oid(oid).build())
    assert found.id == bought.order_id
    assert found.deal_size == 5
    assert found.status.value == "done"
    position = held.get_position_details(positions.GetPositionDetailsReqBuilder().set_symbol(XBT).build())
    assert position.current_qty == 5
    fills = orders.get_trade_history(order.GetTradeHistoryReqBuilder().set_symbol(XBT).build())
    assert sum(each.size for each in fills.items if each.order_id == bought.order_id) == 5
    stop = orders.add_order(
        order.AddOrderReqBuilder()
        .set_client_oid(f"{oid}-s")
        .set_symbol(XBT)
        .set_side(order.AddOrderReq.SideEnum.SELL)
        .set_type(order.AddOrderReq.TypeEnum.MARKET)
        .set_stop(order.AddOrderReq.StopEnum.DOWN)
        .set_stop_price("1000")
        .set_stop_price_type(order.AddOrderReq.StopPriceTypeEnum.MARK_PRICE)
        .set_leverage(3)
        .set_reduce_only(True)
        .set_margin_mode(order.AddOrderReq.MarginModeEnum.ISOLATED)
        .set_size(5)
        .build()
    )
    waiting = orders.get_stop_order_list(order.GetStopOrderListReqBuilder().set_symbol(XBT).build())
    assert [each.id for each in waiting.items] == [stop.order_id]
    gone = orders.cancel_all_stop_orders(order.CancelAllStopOrdersReqBuilder().set_symbol(XBT).build())
    assert gone.cancelled_order_ids == [stop.order_id]
    orders.add_order(
        order.AddOrderReqBuilder()
        .set_client_oid(f"{oid}-c")
        .set_symbol(XBT)
        .set_side(order.AddOrderReq.SideEnum.SELL)
        .set_type(order.AddOrderReq.TypeEnum.MARKET)
        .set_leverage(3)
        .set_reduce_only(True)
        .set_margin_mode(order.AddOrderReq.MarginModeEnum.ISOLATED)
        .set_size(5)
        .build()
    )
    assert held.get_position_list(positions.GetPositionListReqBuilder().set_currency("USDT").build()).data == []


def test_the_sdk_reads_the_account(client: Any) -> None:
    api = client.rest_service().get_account_service().get_account_api()
    overview = api.get_futures_account(GetFuturesAccountReqBuilder().set_currency("USDT").build())
    assert 99_000 < overview.account_equity <= 100_000
    ledger = api.get_futures_ledger(GetFuturesLedgerReqBuilder().set_currency("USDT").build())
    assert any(entry.type == "RealisedPNL" for entry in ledger.data_list)
    assert "Futures" in api.get_apikey_info().permission


def test_a_refusal_reaches_the_sdk_with_kucoins_code(client: Any) -> None:
    orders = client.rest_service().get_futures_service().get_order_api()
    with pytest.raises(RestError) as refused:
        orders.get_order_by_client_oid(order.GetOrderByClientOidReqBuilder().set_client_oid("nobody-knows").build())
    assert "100001" in str(refused.value)


def test_the_sdk_hears_the_market(client: Any, exchange: Local) -> None:
    heard: queue.Queue[tuple[str, Any]] = queue.Queue()
    service = client.ws_service().new_futures_public_ws()
    service.start()
    try:
        service.ticker_v2(XBT, lambda topic, subject, data: heard.put(("ticker", data)))
        service.klines(XBT, "1min", lambda topic, subject, data: heard.put(("candle", data)))
        service.execution(XBT, lambda topic, subject, data: heard.put(("match", data)))
        service.orderbook_level5(XBT, lambda topic, subject, data: heard.put(("five", data)))
        service.orderbook_level50(XBT, lambda topic, subject, data: heard.put(("fifty", data)))
        service.orderbook_increment(XBT, lambda topic, subject, data: heard.put(("delta", data)))
        service.instrument(XBT, lambda topic, subject, data: heard.put((subject, data)))
        service.symbol_snapshot(XBT, lambda topic, subject, data: heard.put(("day", data)))
        service.announcement(XBT, lambda topic, subject, data: heard.put((subject, data)))
        exchange.press("fund", symbol=XBT)
        wanted = {"ticker", "candle", "match", "five", "fifty", "delta", "mark.index.price", "day", "funding.begin", "funding.end"}
        found = _collected(heard, wanted)
        assert float(found["ticker"].best_bid_price) < float(found["ticker"].best_ask_price)
        assert len(found["candle"].candles) == 7
        assert found["match"].size >= 1
        assert len(found["five"].bids) == 5
        assert found["delta"].change.count(",") == 2
        assert found["mark.index.price"].mark_price > 0
    finally:
        _stopped(service)


def test_the_sdk_hears_its_own_orders(client: Any, exchange: Local) -> None:
    heard: queue.Queue[tuple[str, Any]] = queue.Queue()
    service = client.ws_service().new_futures_private_ws()
    service.start()
    try:
        # its streams of all orders and positions look a push up by a topic without symbol; KuCoin's own examples have one
        service.order(XBT, lambda topic, subject, data: heard.put((f"order {data.type.value}", data)))
        service.position(XBT, lambda topic, subject, data: heard.put((subject, data)))
        service.balance(lambda topic, subject, data: heard.put((subject, data)))
        service.stop_orders(lambda topic, subject, data: heard.put((f"stop {data.type.value}", data)))
        body = {"symbol": XBT, "type": "market", "leverage": 2, "marginMode": "ISOLATED", "size": 2}
        exchange.signed("POST", "/api/v1/orders", {**body, "clientOid": "heard-1", "side": "buy"})
        stop = {"stop": "down", "stopPrice": "1000", "stopPriceType": "MP", "reduceOnly": True}
        exchange.signed("POST", "/api/v1/orders", {**body, **stop, "clientOid": "heard-2", "side": "sell"})
        exchange.signed("DELETE", f"/api/v1/stopOrders?symbol={XBT}")
        exchange.signed("POST", "/api/v1/orders", {**body, "clientOid": "heard-3", "side": "sell", "reduceOnly": True})
        wanted = {"order match", "order filled", "position.change", "walletBalance.change", "stop open", "stop cancel"}
        found = _collected(heard, wanted)
        assert found["order match"].match_size == "2"
        assert found["position.change"].symbol == XBT
        assert float(found["walletBalance.change"].wallet_balance) > 0
    finally:
        _stopped(service)


def _stopped(service: Any) -> None:
    """Its client waits ten seconds for a socket that is closed: nobody has to wait with it."""
    threading.Thread(target=service.stop, daemon=True).start()


def _collected(heard: queue.Queue[tuple[str, Any]], wanted: set[str], within: float = 15.0) -> dict[str, Any]:
    found: dict[str, Any] = {}
    deadline = time.monotonic() + within
    while not wanted <= found.keys():
        left = deadline - time.monotonic()
        assert left > 0, f"never heard: {wanted - found.keys()}"
        try:
            name, data = heard.get(timeout=left)
        except queue.Empty:
            continue
        found[name] = data
    return found
