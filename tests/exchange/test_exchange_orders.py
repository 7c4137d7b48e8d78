"""Orders at the local exchange: how they fill, wait, trigger and end."""

from decimal import Decimal

import pytest
from local_exchange import BTC, Local

from enigma_core.market import BarsClosed, FundingSeen
from enigma_core.matching import liquidation_price
from enigma_core.model import Bar
from enigma_sandbox.exchange import Rules


@pytest.fixture
def there() -> Local:
    return Local()


def test_market_order_takes_the_book_level_by_level(there: Local) -> None:
    there.book([(59_999.0, 50)], [(60_001.0, 4), (60_002.0, 10)])
    order = there.placed("buy", 10)
    fills = there.get("/api/v1/fills", orderId=order["id"])["items"]
    assert [(f["price"], f["size"]) for f in fills] == [("60002", 6), ("60001", 4)]
    assert order["status"] == "done"
    assert (order["filledSize"], order["avgDealPrice"]) == (10, "60001.6")
    assert there.held() == 10


def test_what_was_taken_from_a_book_is_gone_until_the_next(there: Local) -> None:
    there.book([(59_999.0, 50)], [(60_001.0, 4), (60_005.0, 10)])
    there.placed("buy", 4)
    order = there.placed("buy", 1)
    assert order["avgDealPrice"] == "60005"


def test_market_order_that_the_book_cannot_fill_ends_with_its_rest_cancelled(there: Local) -> None:
    there.book([(59_999.0, 50)], [(60_001.0, 4)])
    order = there.placed("buy", 10)
    assert (order["filledSize"], order["isActive"], order["cancelExist"]) == (4, False, True)


def test_without_a_fresh_book_a_market_order_pays_the_slippage(there: Local) -> None:
    assert there.placed("buy", 1)["avgDealPrice"] == "60012"


def test_limit_order_rests_and_fills_as_maker_at_its_price(there: Local) -> None:
    order = there.placed("buy", 10, price="59900")
    assert order["isActive"]
    there.trade(59_900.0, size=0.004)
    assert there.order(order["id"])["filledSize"] == 4
    there.trade(59_890.0, size=0.001)
    done = there.order(order["id"])
    assert (done["filledSize"], done["isActive"], done["avgDealPrice"]) == (10, False, "59900")
    fill = there.get("/api/v1/fills", orderId=order["id"])["items"][0]
    assert (fill["liquidity"], fill["feeRate"]) == ("maker", "0.00020")


def test_limit_order_that_crosses_takes_up_to_its_price_and_rests(there: Local) -> None:
    there.book([(59_999.0, 50)], [(60_001.0, 4), (60_003.0, 10)])
    order = there.placed("buy", 10, price="60002")
    assert (order["filledSize"], order["isActive"]) == (4, True)
    there.book([(60_000.0, 50)], [(60_001.5, 5)])
    assert there.order(order["id"])["filledSize"] == 9


def test_ioc_never_rests(there: Local) -> None:
    there.book([(59_999.0, 50)], [(60_001.0, 4)])
    order = there.placed("buy", 10, price="60001", timeInForce="IOC")
    assert (order["filledSize"], order["isActive"], order["cancelExist"]) == (4, False, True)


def test_post_only_that_would_take_is_cancelled_whole(there: Local) -> None:
    there.book([(59_999.0, 50)], [(60_001.0, 4)])
    order = there.placed("buy", 10, price="60001", postOnly=True)
    assert (order["filledSize"], order["isActive"], order["cancelExist"]) == (0, False, True)
    assert there.placed("buy", 10, price="60000", postOnly=True)["isActive"]


@pytest.mark.parametrize(
    ("stop", "by", "price", "source"),
    [
        ("down", "MP", "59000", "mark"),
        ("up", "MP", "61000", "mark"),
        ("down", "TP", "59000", "trade"),
        ("up", "TP", "61000", "trade"),
    ],
)
def test_stop_triggers_by_the_price_it_names(there: Local, stop: str, by: str, price: str, source: str) -> None:
    there.placed("buy", 10)
    there.mark(60_000.0)
    order = there.placed("sell", 10, stop=stop, stopPrice=price, stopPriceType=by, reduceOnly=True)
    assert there.get("/api/v1/stopOrders")["totalNum"] == 1
    assert there.get("/api/v1/orders", status="active")["totalNum"] == 0
    beyond = float(price) + (-1 if stop == "down" else 1)
    other = there.trade if source == "mark" else there.mark
    other(beyond)
    assert not there.order(order["id"])["stopTriggered"]
    (there.mark if source == "mark" else there.trade)(beyond)
    done = there.order(order["id"])
    assert (done["stopTriggered"], done["status"], done["filledSize"]) == (True, "done", 10)
    assert there.held() == 0


def test_stop_that_is_through_already_triggers_at_once(there: Local) -> None:
    there.placed("buy", 10)
    assert there.placed("sell", 10, stop="down", stopPrice="60500", stopPriceType="MP", reduceOnly=True)["status"] == "done"
    assert there.held() == 0


def test_stop_outlives_its_position_and_ends_without_a_trade(there: Local) -> None:
    there.placed("buy", 10)
    stop = there.placed("sell", 10, stop="down", stopPrice="59000", stopPriceType="MP", reduceOnly=True)
    there.placed("sell", 10, reduceOnly=True)
    assert there.order(stop["id"])["isActive"]
    there.trade(58_000.0)
    done = there.order(stop["id"])
    assert (done["isActive"], done["cancelExist"], done["filledSize"]) == (False, True, 0)


def test_reduce_only_without_a_position_is_refused(there: Local) -> None:
    assert there.place("sell", 1, reduceOnly=True).code == "300009"
    there.placed("buy", 1)
    assert there.place("buy", 1, reduceOnly=True).code == "300009"


def test_reduce_only_never_takes_more_than_there_is(there: Local) -> None:
    there.placed("buy", 5)
    order = there.placed("sell", 9, reduceOnly=True)
    assert (order["filledSize"], order["cancelExist"], there.held()) == (5, True, 0)


def test_working_reduce_only_order_ends_with_its_position(there: Local) -> None:
    there.placed("buy", 5)
    target = there.placed("sell", 5, price="61000", reduceOnly=True)
    there.placed("sell", 5, closeOrder=True)
    assert not there.order(target["id"])["isActive"]


def test_force_hold_freezes_margin_for_an_order_that_only_reduces(there: Local) -> None:
    there.placed("buy", 10)
    free = there.exchange.available
    there.placed("sell", 10, price="61000", reduceOnly=True)
    assert there.exchange.available == free
    held = there.placed("sell", 10, price="61000", reduceOnly=True, forceHold=True)
    value = Decimal("0.001") * 10 * 61_000
    assert there.exchange.available == free - value / 5 - value * Decimal("0.0012")
    there.ask("DELETE", f"/api/v1/orders/{held['id']}")
    assert there.exchange.available == free


def test_close_order_finds_side_and_size_itself(there: Local) -> None:
    there.placed("sell", 7)
    reply = there.ask("POST", "/api/v1/orders", body={"clientOid": "c", "symbol": "XBTUSDTM", "type": "market", "closeOrder": True})
    assert reply.code == "200000"
    assert there.held() == 0


def test_a_positions_figures_are_those_of_the_documents(there: Local) -> None:
    """In KuCoin's example: 4.9686 = 91.83979 / (18.3389 + 0.14529), and 91.5306 = 91.6945 - 0.1639."""
    there.book([(59_999.0, 90)], [(60_000.0, 90)])
    there.placed("buy", 20, leverage=5)
    there.book([(60_600.0, 90)], [(60_601.0, 90)])
    there.placed("sell", 10, reduceOnly=True)
    there.mark(61_200.0)
    shown = there.get("/api/v1/position", symbol="XBTUSDTM")
    figures = ("posCost", "posInit", "markValue", "unrealisedPnl", "realisedGrossPnl")
    cost, initial, marked, gain, made = (float(shown[name]) for name in figures)
    assert (cost, initial, marked, gain, made) == (600, 120, 612, 12, 6)
    assert float(shown["currentCost"]) == cost - made
    assert float(shown["realLeverage"]) == float(shown["leverage"]) == pytest.approx(marked / (initial + gain))
    assert float(shown["unrealisedPnlPcnt"]) == gain / cost
    assert float(shown["unrealisedRoePcnt"]) == gain / initial
    assert there.get("/api/v1/positions", currency="USDT") != []
    assert there.get("/api/v1/positions", currency="XBT") == []


def test_order_the_other_way_turns_a_position_round(there: Local) -> None:
    there.placed("buy", 5)
    there.placed("sell", 8)
    assert there.held() == -3
    position = there.get("/api/v1/position", symbol="XBTUSDTM")
    assert position["avgEntryPrice"] == Decimal("59988")
    assert there.get("/api/v1/history-positions")["items"][0]["side"] == "LONG"


def test_st_order_has_a_pair_of_which_one_calls_the_other_off(there: Local) -> None:
    body = there.body("buy", 3, triggerStopUpPrice="61000", triggerStopDownPrice="59000", stopPriceType="TP")
    there.post("/api/v1/st-orders", body)
    assert there.get("/api/v1/stopOrders")["totalNum"] == 2
    there.trade(61_000.0)
    assert there.held() == 0
    assert there.get("/api/v1/stopOrders")["totalNum"] == 0


def test_same_client_id_is_refused_whatever_became_of_the_first(there: Local) -> None:
    body = there.body("buy", 1)
    assert there.ask("POST", "/api/v1/orders", body=body).code == "200000"
    assert there.ask("POST", "/api/v1/orders", body=body).code == "300018"
    assert there.held() == 1


def test_test_order_is_checked_and_not_placed(there: Local) -> None:
    body = there.body("buy", 1)
    assert there.post("/api/v1/orders/test", body)["clientOid"] == body["clientOid"]
    assert there.ask("GET", "/api/v1/orders/byClientOid", {"clientOid": body["clientOid"]}).code == "100001"
    assert there.ask("POST", "/api/v1/orders/test", body=body | {"size": 900_000}).code == "300005"


def test_batch_answers_for_each_order(there: Local) -> None:
    rows = there.post("/api/v1/orders/multi", [there.body("buy", 1), there.body("buy", 0), there.body("sell", 1)])
    assert [row["code"] for row in rows] == ["200000", "300000", "200000"]


def test_cancel_of_one_of_all_and_of_stops(there: Local) -> None:
    there.placed("buy", 5)
    first, second = (there.placed("buy", 1, price=str(59_000 + n)) for n in range(2))
    stop = there.placed("sell", 5, stop="down", stopPrice="58000", stopPriceType="MP", reduceOnly=True)
    assert there.ask("DELETE", f"/api/v1/orders/{first['id']}").data == {"cancelledOrderIds": [first["id"]]}
    assert there.ask("DELETE", f"/api/v1/orders/{first['id']}").code == "100004"
    assert there.ask("DELETE", "/api/v3/orders", {"symbol": "XBTUSDTM"}).data == {"cancelledOrderIds": [second["id"]]}
    assert there.order(stop["id"])["isActive"]
    assert there.ask("DELETE", "/api/v1/stopOrders").data == {"cancelledOrderIds": [stop["id"]]}
    again = there.placed("buy", 1, price="59000")
    query = {"symbol": "XBTUSDTM"}
    assert there.ask("DELETE", f"/api/v1/orders/client-order/{again['clientOid']}", query).data == {"clientOid": again["clientOid"]}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"size": 0}, "300000"),
        ({"size": 1.5}, "300000"),
        ({"size": -1}, "300000"),
        ({"size": "1E+4000000"}, "400100"),
        ({"size": "NaN"}, "400100"),
        ({"size": 2_000_000}, "300000"),
        ({"price": "60000.05"}, "300000"),
        ({"price": "0"}, "300000"),
        ({"price": "66000"}, "300011"),
        ({"side": "sell", "price": "50000"}, "300012"),
        ({"side": "hold"}, "400100"),
        ({"symbol": "NOPEUSDTM"}, "200003"),
        ({"leverage": 101}, "300016"),
        ({"leverage": 0}, "300016"),
        ({"clientOid": "x" * 41}, "400100"),
        ({"clientOid": ""}, "400100"),
        ({"stop": "down"}, "400100"),
        ({"stop": "down", "stopPriceType": "MP"}, "400100"),
        ({"stop": "down", "stopPriceType": "MP", "stopPrice": "59000.01"}, "300000"),
        ({"price": "59000", "postOnly": True, "timeInForce": "IOC"}, "400100"),
        ({"positionSide": "LONG"}, "330012"),
        ({"marginMode": "CROSS"}, "330005"),
        ({"qty": "1"}, "400100"),
        ({"price": "59000", "iceberg": True}, "400100"),
        ({"price": "59000", "iceberg": True, "visibleSize": "0"}, "400100"),
        ({"price": "59000", "iceberg": True, "visibleSize": "1", "postOnly": True}, "400100"),
        ({"price": "59000", "hidden": True, "postOnly": True}, "400100"),
        ({"remark": "x" * 101}, "400100"),
        ({"stp": "DC"}, "400100"),
        ({"timeInForce": "FOK"}, "400100"),
        ({"size": 9_000}, "300005"),
        ({"leverage": 1, "size": 200}, "300003"),
    ],
)
def test_order_that_cannot_be_is_refused_with_its_code(there: Local, fields: dict[str, object], code: str) -> None:
    kind = {"type": "limit" if "price" in fields else "market"}
    reply = there.ask("POST", "/api/v1/orders", body=there.body("buy", 1) | kind | fields)
    assert reply.code == code, reply
    assert there.held() == 0
    assert there.get("/api/v1/orders", status="active")["totalNum"] == 0


def test_sizes_may_be_given_in_base_currency_or_value(there: Local) -> None:
    one = {k: v for k, v in there.body("buy", 1).items() if k != "size"}
    there.post("/api/v1/orders", one | {"qty": "0.01"})
    assert there.held() == 10
    other = {k: v for k, v in there.body("buy", 1).items() if k != "size"}
    there.post("/api/v1/orders", other | {"valueQty": "125"})
    assert there.held() == 12


def test_position_is_liquidated_where_the_core_says(there: Local) -> None:
    there.placed("buy", 100, leverage=10)
    level = float(there.get("/api/v1/position", symbol="XBTUSDTM")["liquidationPrice"])
    assert level == liquidation_price(60_012.0, 1, 10, BTC.instrument)
    there.mark(level + 0.1)
    assert there.held() == 100
    there.mark(level)
    assert there.held() == 0
    fill = there.get("/api/v1/fills", tradeTypes="liquid")["items"][0]
    assert (fill["tradeType"], float(fill["price"])) == ("liquid", level)
    assert there.get("/api/v1/history-positions")["items"][0]["type"] == "LIQUID_LONG"


def test_more_margin_puts_the_liquidation_off(there: Local) -> None:
    there.placed("buy", 100, leverage=10)
    before = there.get("/api/v1/position", symbol="XBTUSDTM")
    answer = there.post("/api/v1/position/margin/deposit-margin", {"symbol": "XBTUSDTM", "margin": 100, "bizNo": "1"})
    assert answer["liquidationPrice"] < before["liquidationPrice"]
    assert answer["posMargin"] == before["posMargin"] + 100
    again = there.post("/api/v1/position/margin/deposit-margin", {"symbol": "XBTUSDTM", "margin": 100, "bizNo": "1"})
    assert again["posMargin"] == answer["posMargin"], "the same bizNo does nothing twice"
    assert there.get("/api/v1/margin/maxWithdrawMargin", symbol="XBTUSDTM") != "0"
    there.post("/api/v1/margin/withdrawMargin", {"symbol": "XBTUSDTM", "withdrawAmount": "50"})
    assert there.get("/api/v1/position", symbol="XBTUSDTM")["posMargin"] == before["posMargin"] + 50


def test_funding_is_paid_by_longs_and_once(there: Local) -> None:
    there.placed("buy", 100)
    wallet = there.wallet
    due = there.now + 3_600_000
    there.exchange.see(FundingSeen(there.now, "BTCUSDT", 0.001, due))
    there.wait(3_600_000)
    there.wait(1_000)
    assert there.wallet == wallet - Decimal("6.000")
    rows = there.get("/api/v1/funding-history", symbol="XBTUSDTM")["dataList"]
    assert [(r["timePoint"], r["funding"], r["positionQty"]) for r in rows] == [(due, Decimal(-6), 100)]
    assert there.get("/api/v1/contract/funding-rates", symbol="XBTUSDTM", **{"from": 0, "to": due})[0]["timepoint"] == due


def test_bar_without_ticks_walks_its_range_against_stops_and_limits(there: Local) -> None:
    there.placed("buy", 10)
    stop = there.placed("sell", 10, stop="down", stopPrice="59000", stopPriceType="TP", reduceOnly=True)
    entry = there.placed("buy", 2, price="58500")
    begin = there.now + 60_000
    there.now += 120_000
    there.exchange.see(BarsClosed(there.now, {"BTCUSDT": Bar("BTCUSDT", begin, there.now, 60_000, 60_100, 58_000, 59_500, 5.0)}))
    assert there.order(stop["id"])["stopTriggered"]
    assert there.order(entry["id"])["filledSize"] == 2


def test_order_within_a_bar_has_only_seen_its_close(there: Local) -> None:
    there.now += 30_000
    entry = there.placed("buy", 2, price="58500")
    there.now += 30_000
    bar = Bar("BTCUSDT", there.now - 59_000, there.now, 60_000, 60_100, 58_000, 59_500, 5.0)
    there.exchange.see(BarsClosed(there.now, {"BTCUSDT": bar}))
    assert there.order(entry["id"])["isActive"]


def test_margin_mode_cannot_change_under_a_position(there: Local) -> None:
    there.placed("buy", 1)
    there.placed("buy", 1, symbol="ETHUSDTM")
    assert (
        there.ask("POST", "/api/v2/position/changeMarginMode", body={"symbol": "XBTUSDTM", "marginMode": "CROSS"}).code == "50002"
    )
    there.placed("sell", 1, reduceOnly=True)
    answer = there.post("/api/v2/position/batchChangeMarginMode", {"marginMode": "CROSS", "symbols": ["XBTUSDTM", "ETHUSDTM"]})
    assert answer["marginMode"] == {"XBTUSDTM": "CROSS", "ETHUSDTM": "ISOLATED"}
    assert [e["symbol"] for e in answer["errors"]] == ["ETHUSDTM"]
    assert there.place("buy", 1).code == "330005"
    there.post("/api/v2/changeCrossUserLeverage", {"symbol": "XBTUSDTM", "leverage": "4"})
    assert there.placed("buy", 1, marginMode="CROSS")["leverage"] == "4"


def test_risk_level_bounds_the_position(there: Local) -> None:
    ladder = there.get("/api/v1/contracts/risk-limit/XBTUSDTM")
    assert [row["level"] for row in ladder] == list(range(1, len(ladder) + 1))
    there.post("/api/v1/position/risk-limit-level/change", {"symbol": "XBTUSDTM", "level": 5})
    assert there.place("buy", 1, leverage=100).code == "300016"
    assert there.get("/api/v1/position", symbol="XBTUSDTM")["riskLimitLevel"] == 5


def test_most_that_can_be_opened_can_be_opened_and_no_more(there: Local) -> None:
    there.trade(60_000.0)
    most = there.get("/api/v2/getMaxOpenSize", symbol="XBTUSDTM", price="60012", leverage=5)["maxBuyOpenSize"]
    assert there.place("buy", most + 1).code == "300003"
    assert there.placed("buy", most)["filledSize"] == most


def test_open_orders_are_bounded() -> None:
    there = Local(Rules(most_orders=2))
    for n in range(2):
        there.placed("buy", 1, price=str(59_000 + n))
    assert there.place("buy", 1, price="58000").code == "300001"


def test_state_outlives_a_restart_exactly(there: Local) -> None:
    there.placed("buy", 10)
    stop = there.placed("sell", 10, stop="down", stopPrice="59000", stopPriceType="MP", reduceOnly=True)
    state = there.exchange.snapshot()
    again = Local()
    again.exchange.restore(state)
    assert again.exchange.snapshot() == state
    again.trade(58_000.0)
    assert again.order(stop["id"])["filledSize"] == 10
    with pytest.raises(ValueError, match="no state of the local exchange"):
        again.exchange.restore(b"{")


def test_what_is_over_is_forgotten_in_the_end_and_what_works_is_not() -> None:
    there = Local(Rules(kept=20))
    stop = there.placed("buy", 1, price="59000")
    for _ in range(60):
        there.placed("buy", 1)
        there.placed("sell", 1)
        there.now += 30_000
    state = there.exchange.state
    assert len(state.orders) <= 41
    assert len(state.trades) <= 42
    assert there.order(stop["id"])["isActive"]
    assert state.wallet == state.rows[-1].equity
