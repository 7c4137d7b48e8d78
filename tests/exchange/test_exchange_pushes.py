"""What sockets hear of the local exchange."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_exchange import START, Local

from enigma_core.market import BarsClosed, FundingSeen
from enigma_core.model import Bar
from enigma_sandbox.exchange import Push

ORDERS = "/contractMarket/tradeOrders:XBTUSDTM"


@pytest.fixture
def there() -> Local:
    return Local()


def heard(there: Local, topic: str) -> list[Push]:
    return [p for p in there.pushes if p.topic == topic]


def test_order_tells_its_life_to_both_topics(there: Local) -> None:
    there.book([(59_999.0, 9)], [(60_001.0, 4), (60_002.0, 9)])
    there.placed("buy", 6)
    pushes = heard(there, ORDERS)
    assert [p.data["type"] for p in pushes] == ["open", "match", "match", "filled"]
    assert {p.channels for p in pushes} == {(ORDERS, "/contractMarket/tradeOrders")}
    match = pushes[1].frame()
    assert (match["subject"], match["channelType"], match["userId"]) == ("symbolOrderChange", "private", "633559791e1cbc0001f319bc")
    assert (match["data"]["matchPrice"], match["data"]["matchSize"], match["data"]["remainSize"]) == ("60001", "4", "2")
    assert "fee" not in match["data"]
    assert match["data"]["clientOid"] == "order-1"


def test_stop_tells_of_its_trigger_in_its_own_topic(there: Local) -> None:
    there.placed("buy", 1)
    there.placed("sell", 1, stop="down", stopPrice="59000", stopPriceType="MP", reduceOnly=True)
    there.trade(58_000.0)
    assert [p.data["type"] for p in heard(there, "/contractMarket/advancedOrders")] == ["open", "triggered"]


def test_position_and_wallet_are_told_after_a_fill(there: Local) -> None:
    there.placed("buy", 3)
    position = heard(there, "/contract/position:XBTUSDTM")[-1]
    assert position.channels == ("/contract/position:XBTUSDTM", "/contract/positionAll")
    assert (position.data["currentQty"], position.data["changeReason"]) == (3, "positionChange")
    wallet = heard(there, "/contractAccount/wallet")[-1]
    assert Decimal(wallet.data["walletBalance"]) == there.wallet
    assert int(wallet.data["version"]) > 1


def test_mark_tick_of_a_position_omits_what_it_does_not_change(there: Local) -> None:
    there.placed("buy", 3)
    there.pushes.clear()
    there.mark(60_100.0)
    there.wait(1_000)
    told = heard(there, "/contract/position:XBTUSDTM")
    assert [p.data["changeReason"] for p in told] == ["markPriceChange"]
    assert "currentQty" not in told[0].data


def test_funding_is_announced_and_settled(there: Local) -> None:
    assert there.exchange.watch("/contract/announcement:XBTUSDTM")
    there.placed("buy", 3)
    there.exchange.see(FundingSeen(there.now, "BTCUSDT", 0.001, there.now + 60_000))
    there.pushes.clear()
    there.wait(60_000)
    assert [p.subject for p in there.pushes if not p.private] == ["funding.begin", "funding.end"]
    settled = next(p for p in there.pushes if p.subject == "position.settlement")
    assert settled.data["fundingRate"] == Decimal("0.001")


def test_margin_mode_is_told(there: Local) -> None:
    there.post("/api/v2/position/changeMarginMode", {"symbol": "ETHUSDTM", "marginMode": "CROSS"})
    assert [(p.topic, p.data) for p in there.pushes] == [("/contract/marginMode", {"ETHUSDTM": "CROSS"})]


@pytest.mark.parametrize(
    ("topic", "known"),
    [
        ("/contractMarket/limitCandle:XBTUSDTM_5min", True),
        ("/contractMarket/limitCandle:XBTUSDTM_7min", False),
        ("/contractMarket/tickerV2:NOPE", False),
        ("/contractMarket/level2:ETHUSDTM", True),
        ("/contractMarket/tradeOrders", True),
        ("/contractMarket/tradeOrders:ETHUSDTM", True),
        ("/contract/position:ETHUSDTM", True),
        ("/market/ticker:BTC-USDT", False),
        ("", False),
    ],
)
def test_only_topics_that_exist_can_be_watched(there: Local, topic: str, known: bool) -> None:
    assert there.exchange.watch(topic) == known
    there.exchange.unwatch(topic)
    there.exchange.unwatch(topic)


def test_nothing_public_is_pushed_that_nobody_watches(there: Local) -> None:
    there.book([(59_999.0, 9)], [(60_001.0, 4)])
    there.trade(60_000.0)
    there.wait(5_000)
    assert there.pushes == []
    there.exchange.watch("/contractMarket/execution:XBTUSDTM")
    there.exchange.watch("/contractMarket/execution:XBTUSDTM")
    there.trade(60_000.0, size=0.02)
    assert (there.pushes[0].subject, there.pushes[0].data["size"]) == ("match", 20)
    there.exchange.unwatch("/contractMarket/execution:XBTUSDTM")
    there.trade(60_000.0)
    there.exchange.unwatch("/contractMarket/execution:XBTUSDTM")
    there.trade(60_000.0)
    assert len(there.pushes) == 2


def test_a_trade_has_one_id_whether_it_is_pushed_or_asked_for_and_keeps_it(there: Local) -> None:
    topic = "/contractMarket/execution:XBTUSDTM"
    there.exchange.watch(topic)
    for price in (60_001.0, 60_002.0):
        there.trade(price)
    pushed = {push.data["price"]: push.data["tradeId"] for push in heard(there, topic)}
    there.exchange.unwatch(topic)
    there.trade(60_003.0)
    listed = {row["price"]: row["tradeId"] for row in there.get("/api/v1/trade/history", symbol="XBTUSDTM")}
    assert listed | pushed == listed
    assert len(pushed) == 2
    there.trade(60_004.0)
    later = {row["price"]: row["tradeId"] for row in there.get("/api/v1/trade/history", symbol="XBTUSDTM")}
    assert listed.items() <= later.items()


def test_candles_are_pushed_each_second_on_change_and_once_more_when_they_end(there: Local) -> None:
    there.now = START // 60_000 * 60_000 + 30_000
    topic = "/contractMarket/limitCandle:XBTUSDTM_1min"
    there.exchange.watch(topic)
    for price in (60_000.0, 60_010.0, 59_990.0):
        there.trade(price, size=0.005)
    there.wait(1_000)
    there.wait(1_000)
    assert len(heard(there, topic)) == 1
    candle = there.pushes[0].data["candles"]
    assert candle[0] == str(START // 60_000 * 60)
    assert candle[2:5] == ["59990", "60010", "59990"]
    assert int(candle[6]) == 15
    there.trade(60_020.0)
    there.now += 30_000
    there.trade(60_030.0)
    last = heard(there, topic)[-1].data["candles"]
    assert (last[0], last[2], last[3]) == (candle[0], "60020", "60020")


def test_candle_of_a_bar_without_ticks_is_pushed(there: Local) -> None:
    topic = "/contractMarket/limitCandle:XBTUSDTM_5min"
    there.exchange.watch(topic)
    begin = (START // 300_000 + 1) * 300_000
    there.now = begin + 300_000
    there.exchange.see(BarsClosed(there.now, {"BTCUSDT": Bar("BTCUSDT", begin, there.now, 1.0, 3.0, 0.5, 2.0, 7.0)}))
    there.wait(1_000)
    assert heard(there, topic)[-1].data["candles"] == [str(begin // 1000), "1", "2", "3", "0.5", "14.0", "7000"]


def test_depth_is_pushed_ten_times_a_second_at_most(there: Local) -> None:
    there.exchange.watch("/contractMarket/level2Depth5:XBTUSDTM")
    for n in range(5):
        there.book([(59_999.0 - n, 9)], [(60_001.0 + n, 4)])
        there.wait(20)
    there.wait(100)
    told = heard(there, "/contractMarket/level2Depth5:XBTUSDTM")
    assert 1 <= len(told) <= 2
    assert told[-1].data["bids"] == [["59995", 9]]


def test_ticker_tells_the_best_of_the_book_whenever_the_book_changes(there: Local) -> None:
    there.exchange.watch("/contractMarket/tickerV2:XBTUSDTM")
    there.exchange.watch("/contractMarket/ticker:XBTUSDTM")
    there.book([(59_999.0, 9)], [(60_001.0, 4)])
    there.book([(59_999.0, 9)], [(60_001.0, 4)])
    there.book([(59_999.0, 9), (59_990.0, 9)], [(60_001.0, 4)])
    told = heard(there, "/contractMarket/tickerV2:XBTUSDTM")
    assert [(p.data["bestBidPrice"], p.data["bestAskSize"]) for p in told] == [("59999", 4)] * 2
    assert told[0].data["sequence"] < told[1].data["sequence"]
    # the old one tells of changes of the best, and of trades
    assert len(heard(there, "/contractMarket/ticker:XBTUSDTM")) == 1


def test_depth_is_not_pushed_where_the_book_has_not_changed(there: Local) -> None:
    there.exchange.watch("/contractMarket/level2Depth5:XBTUSDTM")
    there.book([(59_999.0, 9)], [(60_001.0, 4)])
    there.wait(200)
    there.pushes.clear()
    there.book([(59_999.0, 9)], [(60_001.0, 4)])
    there.wait(200)
    assert not heard(there, "/contractMarket/level2Depth5:XBTUSDTM")


def test_marks_rates_and_day_come_in_their_time(there: Local) -> None:
    there.exchange.watch("/contract/instrument:XBTUSDTM")
    there.exchange.watch("/contractMarket/snapshot:XBTUSDTM")
    for _ in range(60):
        there.wait(1_000)
        there.mark(60_000.0 + there.now % 7)
    counts = Counter(p.subject for p in there.pushes)
    assert counts["mark.index.price"] in (59, 60, 61)
    assert counts["funding.rate"] in (1, 2)
    assert counts["snapshot.24h"] in (12, 13)


levels = st.dictionaries(st.integers(1, 12), st.integers(1, 50), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(levels, levels), min_size=2, max_size=10), st.integers(0, 3))
def test_deltas_lead_from_any_snapshot_to_the_newest_book(books: list[tuple[dict[int, int], dict[int, int]]], begin: int) -> None:
    there = Local()

    def show(book: tuple[dict[int, int], dict[int, int]]) -> None:
        bids, asks = book
        there.book(
            [(60_000.0 - n, lots) for n, lots in sorted(bids.items())], [(60_000.0 + n, lots) for n, lots in sorted(asks.items())]
        )

    begin = min(begin, len(books) - 1)
    show(books[0])
    there.exchange.watch("/contractMarket/level2:XBTUSDTM")
    for book in books[1 : begin + 1]:
        show(book)
    snapshot = there.get("/api/v1/level2/snapshot", symbol="XBTUSDTM")
    for book in books[begin + 1 :]:
        show(book)
    sides: dict[str, dict[float, int]] = {"buy": dict(snapshot["bids"]), "sell": dict(snapshot["asks"])}
    sequence = snapshot["sequence"]
    for push in there.pushes:
        if push.data["sequence"] <= sequence:
            continue
        assert push.data["sequence"] == sequence + 1
        sequence += 1
        price, side, lots = push.data["change"].split(",")
        if lots == "0":
            del sides[side][float(price)]
        else:
            sides[side][float(price)] = int(lots)
    now = there.get("/api/v1/level2/snapshot", symbol="XBTUSDTM")
    assert now["sequence"] == sequence
    assert sides == {"buy": dict(now["bids"]), "sell": dict(now["asks"])}


def test_tokens_open_until_they_expire(there: Local) -> None:
    public = there.post("/api/v1/bullet-public", None)
    private = there.post("/api/v1/bullet-private", None)
    assert public["instanceServers"][0]["pingInterval"] == 18_000
    assert (there.exchange.admits(public["token"]), there.exchange.admits(private["token"])) == ("public", "private")
    assert there.exchange.admits("guess") is None
    there.now += 86_400_000
    assert there.exchange.admits(private["token"]) is None


def test_x14_stall_pushes_nothing_until_it_is_over(there: Local) -> None:
    there.exchange.watch("/contractMarket/execution:XBTUSDTM")
    there.exchange.press("stall")
    there.placed("buy", 1)
    there.trade(60_000.0)
    assert there.pushes == []
    there.exchange.press("stall", on=False)
    there.trade(60_000.0)
    assert len(there.pushes) > 0


def test_x16_pushes_come_twice_out_of_order_or_late() -> None:
    def types(**values: Any) -> list[str]:
        there = Local()
        there.exchange.press("disturb_pushes", **values)
        there.placed("buy", 1)
        found = [p.data["type"] for p in heard(there, ORDERS)]
        there.wait(3_000)
        there.exchange.press("clear")
        there.wait(1)
        return [*found, "|", *(p.data["type"] for p in heard(there, ORDERS)[len(found) :])]

    assert types() == ["open", "match", "filled", "|"]
    assert types(duplicate=1.0) == ["open", "open", "match", "match", "filled", "filled", "|"]
    assert types(reorder=1.0)[:2] == ["match", "open"]
    assert types(lose=1.0) == ["|"]
    assert types(delay=2_000) == ["|", "open", "match", "filled"]


def test_error_frames_expired_tokens_and_drops_are_told_to_the_server(there: Local) -> None:
    token = there.post("/api/v1/bullet-private", None)["token"]
    there.exchange.press("error_frame", code=415, data="type is not supported", private=True)
    assert [(p.kind, p.private, p.frame()["code"]) for p in there.pushes] == [("error", True, 415)]
    there.pushes.clear()
    there.exchange.press("expire_tokens")
    assert there.exchange.admits(token) is None
    assert [(p.kind, p.private) for p in there.pushes] == [("error", False), ("close", False), ("error", True), ("close", True)]
    there.pushes.clear()
    there.exchange.press("close_sockets", private=True)
    assert [(p.kind, p.private) for p in there.pushes] == [("close", True)]


def test_due_says_when_to_come_back(there: Local) -> None:
    grid = 28_800_000
    assert there.exchange.due() == (START // grid + 1) * grid
    there.exchange.press("disturb_pushes", delay=500)
    there.placed("buy", 1)
    assert there.exchange.due() == there.now + 500
    there.wait(500)
    assert there.pushes
