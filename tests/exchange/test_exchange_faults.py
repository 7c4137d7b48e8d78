"""The buttons of the local exchange: each fault does what it says, and nothing else."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from local_exchange import Local

from enigma_sandbox.exchange import Request, Spell
from enigma_sandbox.exchange.buttons import BUTTONS


@pytest.fixture
def there() -> Local:
    return Local()


def test_x01_accepted_order_whose_answer_is_lost_is_found_by_its_id(there: Local) -> None:
    there.exchange.press("accept_then_timeout")
    reply = there.place("buy", 1)
    assert reply.lost
    assert there.get("/api/v1/orders/byClientOid", clientOid="order-1")["filledSize"] == 1
    assert not there.place("buy", 1).lost


def test_x02_dropped_order_was_never_there(there: Local) -> None:
    there.exchange.press("drop_before")
    assert there.place("buy", 1).lost
    assert there.exchange.order_of("order-1") is None


@pytest.mark.parametrize("done", [True, False])
def test_x03_server_error_may_or_may_not_have_done_it(there: Local, done: bool) -> None:
    there.exchange.press("server_error", times=1, done=done, path="/api/v1/orders")
    reply = there.place("buy", 1)
    assert (reply.status, reply.code) == (500, "500000")
    assert (there.exchange.order_of("order-1") is not None) == done


def test_x03_html_page_and_half_json(there: Local) -> None:
    there.exchange.press("html_page", path="/api/v1/orders")
    page = there.place("buy", 1)
    assert (page.status, page.code) == (502, "")
    assert page.body().startswith(b"<html>")
    there.exchange.press("half_json")
    half = there.place("buy", 1)
    with pytest.raises(json.JSONDecodeError):
        json.loads(half.body())
    assert there.held() == 2


def test_x10_late_order_is_not_found_and_then_is(there: Local) -> None:
    there.exchange.press("late_visibility", ms=20_000, times=1)
    order_id = there.place("buy", 1, price="59000").data["orderId"]
    for path, query in ((f"/api/v1/orders/{order_id}", {}), ("/api/v1/orders/byClientOid", {"clientOid": "order-1"})):
        assert there.ask("GET", path, query).code == "100001"
    assert there.get("/api/v1/orders", status="active")["totalNum"] == 0
    assert there.ask("DELETE", f"/api/v1/orders/{order_id}").code == "100004"
    there.wait(20_000)
    assert there.order(order_id)["isActive"]


def test_x12_storm_of_429_and_drained_quota(there: Local) -> None:
    there.exchange.press("throttle", times=2)
    assert [there.place("buy", 1).status for _ in range(3)] == [429, 429, 200]
    there.exchange.press("drain_quota", pool="Futures", ms=10_000)
    assert there.place("buy", 1).code == "429000"
    there.wait(10_000)
    assert there.place("buy", 1).code == "200000"


def test_x13_maintenance_refuses_all_but_time_and_status(there: Local) -> None:
    there.exchange.press("maintenance")
    assert (there.place("buy", 1).status, there.ask("GET", "/api/v1/positions").code) == (503, "503000")
    assert there.get("/api/v1/status")["status"] == "close"
    assert there.get("/api/v1/timestamp") == there.now
    there.exchange.press("maintenance", on=False)
    assert there.get("/api/v1/status")["status"] == "open"


def test_latency_delays_answers_for_as_long_as_it_lasts(there: Local) -> None:
    there.exchange.press("latency", ms=700, lasts=5_000)
    assert there.place("buy", 1).delay == 700
    there.now += 5_000
    assert there.place("buy", 1).delay == 0
    assert there.exchange.faults.spells == []


def test_x06_rejects_stops_only(there: Local) -> None:
    there.exchange.press("reject_next", stops=True, code="300000", text="no")
    there.placed("buy", 1)
    stop = {"stop": "down", "stopPrice": "59000", "stopPriceType": "MP", "reduceOnly": True}
    assert there.place("sell", 1, **stop).code == "300000"
    assert there.place("sell", 1, **stop).code == "200000"


def test_x07_partial_fill_stalls_until_it_is_cancelled(there: Local) -> None:
    there.exchange.press("partial_fill", share=0.3)
    order = there.placed("buy", 10)
    assert (order["filledSize"], order["isActive"]) == (3, True)
    there.trade(50_000.0)
    assert there.order(order["id"])["filledSize"] == 3
    there.ask("DELETE", f"/api/v1/orders/{order['id']}")
    done = there.order(order["id"])
    assert (done["filledSize"], done["cancelExist"], done["isActive"]) == (3, True, False)


def test_x32_empty_positions_and_zero_balance_are_read_once(there: Local) -> None:
    there.placed("buy", 1)
    there.exchange.press("empty_positions")
    assert there.get("/api/v1/positions") == []
    assert len(there.get("/api/v1/positions")) == 1
    there.exchange.press("zero_balance")
    assert there.get("/api/v1/account-overview", currency="USDT")["accountEquity"] == 0
    assert there.get("/api/v1/account-overview", currency="USDT")["accountEquity"] > 9_000


def test_fills_can_be_late(there: Local) -> None:
    there.exchange.press("fills_late", ms=5_000)
    order = there.placed("buy", 1)
    assert there.get("/api/v1/fills", orderId=order["id"])["items"] == []
    there.wait(5_000)
    assert len(there.get("/api/v1/fills", orderId=order["id"])["items"]) == 1


def test_x23_positions_are_closed_reduced_and_turned_by_hand(there: Local) -> None:
    there.placed("buy", 10)
    there.exchange.press("hand_close", symbol="XBTUSDTM", share=0.4)
    assert there.held() == 6
    there.exchange.press("hand_flip", symbol="XBTUSDTM")
    assert there.held() == -6
    there.exchange.press("hand_close", symbol="XBTUSDTM")
    assert there.held() == 0
    with pytest.raises(ValueError, match="nothing is held of XBTUSDTM"):
        there.exchange.press("hand_close", symbol="XBTUSDTM")


def test_x24_x25_orders_are_made_and_cancelled_by_hand(there: Local) -> None:
    there.placed("buy", 1)
    stop = there.placed("sell", 1, stop="down", stopPrice="59000", stopPriceType="MP", reduceOnly=True)
    foreign = there.exchange.press("hand_order", symbol="ETHUSDTM", side="buy", size=3, price=2_900)
    assert there.order(foreign)["clientOid"] == ""
    assert there.exchange.press("hand_cancel", stops=True) == [stop["id"]]
    assert there.exchange.press("hand_cancel", order=foreign) == [foreign]
    assert there.exchange.press("hand_cancel", order=foreign) == []


def test_x27_liquidation_and_deleveraging_are_told_apart(there: Local) -> None:
    there.placed("buy", 10)
    there.exchange.press("deleverage", symbol="XBTUSDTM", share=0.5)
    there.exchange.press("liquidate", symbol="XBTUSDTM")
    kinds = [f["tradeType"] for f in there.get("/api/v1/fills")["items"]]
    assert kinds == ["liquid", "adl", "trade"]


def test_x20_x21_contracts_are_paused_changed_and_delisted(there: Local) -> None:
    there.placed("buy", 10)
    order = there.placed("buy", 1, price="59000")
    there.exchange.press("pause", symbol="XBTUSDTM")
    assert there.place("buy", 1).code == "300002"
    assert there.ask("DELETE", f"/api/v1/orders/{order['id']}").code == "300002"
    assert there.get("/api/v1/contracts/XBTUSDTM")["status"] == "Paused"
    there.exchange.press("resume", symbol="XBTUSDTM")
    there.exchange.press("change_contract", symbol="XBTUSDTM", tick="0.5", lot=5)
    listed = there.get("/api/v1/contracts/XBTUSDTM")
    assert (listed["tickSize"], listed["lotSize"]) == (Decimal("0.5"), 5)
    assert there.place("buy", 3).code == "300000"
    with pytest.raises(ValueError, match="its multiplier cannot change"):
        there.exchange.press("change_contract", symbol="XBTUSDTM", multiplier="0.01")
    there.exchange.press("delist", symbol="XBTUSDTM")
    assert there.held() == 0
    assert there.get("/api/v1/fills")["items"][0]["tradeType"] == "settlement"
    assert [c["symbol"] for c in there.get("/api/v1/contracts/active")] == ["ETHUSDTM"]
    assert there.place("buy", 5).code == "200003"


def test_r18_deposits_and_withdrawals_are_in_the_ledger(there: Local) -> None:
    there.exchange.press("deposit", amount="250.5")
    there.exchange.press("withdraw", amount=50)
    rows = there.get("/api/v1/transaction-history")["dataList"]
    assert [(r["type"], r["amount"]) for r in rows] == [
        ("TransferOut", Decimal(-50)),
        ("TransferIn", Decimal("250.5")),
        ("Deposit", Decimal(10_000)),
    ]
    with pytest.raises(ValueError, match="are available"):
        there.exchange.press("withdraw", amount=10**9)


def test_x22_margin_mode_is_switched_by_hand(there: Local) -> None:
    there.exchange.press("margin_mode", symbol="XBTUSDTM", mode="CROSS")
    assert there.get("/api/v2/position/getMarginMode", symbol="XBTUSDTM")["marginMode"] == "CROSS"


def test_price_jump_goes_through_stops(there: Local) -> None:
    there.placed("buy", 10)
    stop = there.placed("sell", 10, stop="down", stopPrice="59000", stopPriceType="MP", reduceOnly=True)
    there.exchange.press("price", symbol="XBTUSDTM", price=55_000)
    assert there.order(stop["id"])["avgDealPrice"] == "54989"


def test_funding_by_button(there: Local) -> None:
    there.placed("buy", 100)
    there.wait(1_000)
    wallet = there.wallet
    there.exchange.press("fund", symbol="XBTUSDTM", rate=0.001)
    assert there.wallet == wallet - 6


def test_chance_is_the_seed_s() -> None:
    lost = []
    for _ in range(2):
        there = Local(seed=7)
        there.exchange.faults.add(Spell(what="timeout", method="POST", chance=0.5))
        lost.append([there.place("buy", 1).lost for _ in range(20)])
    assert lost[0] == lost[1]
    assert 3 < sum(lost[0]) < 17


def test_clear_takes_all_faults_away(there: Local) -> None:
    for button in ("maintenance", "revoke_key", "stall", "throttle"):
        there.exchange.press(button)
    there.exchange.press("clear")
    assert there.place("buy", 1).code == "200000"


@pytest.mark.parametrize(
    ("button", "values", "says"),
    [
        ("nothing", {}, "there is no button 'nothing'; there are spell"),
        ("latency", {}, "missing a required argument: 'ms'"),
        ("latency", {"ms": 1, "colour": 2}, "unexpected keyword argument 'colour'"),
        ("spell", {"what": "magic"}, "this is no spell"),
        ("spell", {"what": "drop", "colour": 1}, "a spell has no colour"),
        ("skew", {"ms": "soon"}, "button skew: ms is 'soon', and does not fit"),
        ("partial_fill", {"share": "much"}, "share is 'much'"),
        ("partial_fill", {"share": float("nan")}, "share is nan"),
        ("deposit", {"amount": -5}, "must be a number above 0"),
        ("deposit", {"amount": "NaN"}, "amount is no number"),
        ("hand_trade", {"symbol": "NOPE", "side": "buy", "size": 1}, "symbol parameter is invalid"),
        ("hand_trade", {"symbol": "XBTUSDTM", "side": "up", "size": 1}, "it must be buy or sell"),
        ("margin_mode", {"symbol": "XBTUSDTM", "mode": "x"}, "it must be CROSS or ISOLATED"),
    ],
)
def test_button_that_cannot_be_pressed_says_why(there: Local, button: str, values: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        there.exchange.press(button, **values)


def test_every_button_says_what_it_does() -> None:
    assert len(BUTTONS) > 30
    assert all(len(text) > 10 for text in BUTTONS.values())


def test_spell_meets_only_what_it_names(there: Local) -> None:
    there.exchange.press("spell", what="error", method="GET", path="/api/v1/positions", mount="futures", times=1)
    assert there.place("buy", 1).code == "200000"
    assert there.exchange.request(Request(method="GET", path="/api/v1/positions")).code == "500000"
    assert there.exchange.request(Request(method="GET", path="/api/v1/positions")).code == "200000"
    there.exchange.press("spell", what="drop", method="POST", reducing=True)
    assert not there.place("buy", 1).lost
    assert there.place("sell", 1, reduceOnly=True).lost


def test_x11_order_that_arrives_ten_minutes_late_is_placed_then(there: Local) -> None:
    there.exchange.press("arrive_late", ms=600_000)
    assert there.place("buy", 1).lost
    assert there.ask("GET", "/api/v1/orders/byClientOid", {"clientOid": "order-1"}).code == "100001"
    assert there.exchange.due() == there.now + 600_000
    there.wait(600_000)
    assert there.get("/api/v1/orders/byClientOid", clientOid="order-1")["filledSize"] == 1


def test_skewed_exchange_still_fills_from_its_book(there: Local) -> None:
    there.exchange.press("skew", ms=60_000)
    there.book([(59_999.0, 50)], [(60_001.0, 4)])
    order = there.placed("buy", 1)
    assert (order["avgDealPrice"], order["createdAt"]) == ("60001", there.now + 60_000)
