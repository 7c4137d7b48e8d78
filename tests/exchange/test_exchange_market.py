"""Public data of the local exchange: klines, contracts, prices, funding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_exchange import Local

from enigma_core.market import BarsClosed, BookSeen, Funding, FundingSeen, TickerSeen
from enigma_core.model import Bar, Candles

MINUTE = 60_000
BEGIN = 1_759_708_800_000
"""A Monday, 00:00 UTC."""


def candles(count: int, minutes: int = 1) -> Candles:
    close = 60_000 + np.cumsum(np.random.default_rng(3).normal(0, 10, count)).round(1)
    opens = np.concatenate([[60_000.0], close[:-1]])
    high, low = np.maximum(opens, close) + 5, np.minimum(opens, close) - 5
    ts = BEGIN + np.arange(count) * minutes * MINUTE
    return Candles.of("BTCUSDT", f"{minutes}m", ts, opens, high, low, close, np.full(count, 0.5))


class Past(Local):
    """An exchange with so many bars behind it, and no tick yet."""

    def __init__(self, count: int = 3_000, minutes: int = 1) -> None:
        super().__init__(now=BEGIN + count * minutes * MINUTE, history={"BTCUSDT": candles(count, minutes)})

    def klines(self, granularity: int, **span: int) -> list[list[Any]]:
        query = {"symbol": "XBTUSDTM", "granularity": granularity} | {k.rstrip("_"): v for k, v in span.items()}
        reply = self.ask("GET", "/api/v1/kline/query", query)
        assert reply.code == "200000", reply
        rows: list[list[Any]] = reply.data
        return rows


def test_klines_are_the_history_in_lots() -> None:
    there = Past()
    rows = there.klines(1, from_=BEGIN, to=BEGIN + 4 * MINUTE)
    past = candles(3_000)
    assert [r[0] for r in rows] == [BEGIN + n * MINUTE for n in range(5)]
    assert rows[2][1:5] == [past.open[2], past.high[2], past.low[2], past.close[2]]
    assert {r[5] for r in rows} == {500}


def test_no_more_than_500_rows_come_the_oldest_first() -> None:
    there = Past()
    rows = there.klines(1, from_=BEGIN + 1, to=BEGIN + 2_000 * MINUTE)
    assert len(rows) == 500
    assert rows[0][0] == BEGIN + MINUTE
    newest = there.klines(1)
    assert (len(newest), newest[-1][0]) == (500, BEGIN + 2_999 * MINUTE)


@pytest.mark.parametrize("granularity", [5, 15, 30, 60, 120, 240, 480, 720, 1440])
def test_coarser_klines_are_made_of_the_finer(granularity: int) -> None:
    there = Past(6_000)
    rows = there.klines(granularity, from_=BEGIN, to=BEGIN + 6_000 * MINUTE)
    past = candles(6_000)
    for n, row in enumerate(rows[:10]):
        part = slice(n * granularity, (n + 1) * granularity)
        assert row[0] == BEGIN + n * granularity * MINUTE
        expected = [past.open[part][0], past.high[part].max(), past.low[part].min(), past.close[part][-1]]
        assert row[1:5] == expected
        assert row[5] == len(past.close[part]) * 500


def test_week_begins_on_a_monday() -> None:
    there = Past(3 * 7 * 24 * 2, 30)
    assert [r[0] for r in there.klines(10_080)] == [BEGIN + n * 7 * 86_400_000 for n in range(3)]


def test_granularities_that_are_none_are_refused_and_finer_than_the_history_are_empty() -> None:
    there = Past(100, 5)
    assert there.ask("GET", "/api/v1/kline/query", {"symbol": "XBTUSDTM", "granularity": "3m"}).code == "400100"
    assert there.ask("GET", "/api/v1/kline/query", {"symbol": "XBTUSDTM", "granularity": 3}).code == "400100"
    assert there.klines(1) == []
    assert len(there.klines(5)) == 100


def test_last_row_is_the_bar_that_forms() -> None:
    there = Past()
    there.now += 20_000
    there.trade(61_000.0, size=0.01)
    there.trade(60_900.0, size=0.02)
    assert there.klines(1)[-1] == [BEGIN + 3_000 * MINUTE, 61_000, 61_000, 60_900, 60_900, 30]
    assert there.klines(60)[-1][4] == 60_900


def test_closed_bar_is_the_last_word_on_its_time() -> None:
    there = Past()
    start = there.now
    there.trade(61_000.0, size=0.01)
    there.now += MINUTE
    bar = Bar("BTCUSDT", start, there.now, 60_500.0, 61_500.0, 60_400.0, 61_100.0, 2.0)
    there.exchange.see(BarsClosed(there.now, {"BTCUSDT": bar}))
    assert there.klines(1)[-1] == [start, 60_500, 61_500, 60_400, 61_100, 2_000]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 90_000), st.integers(59_000, 61_000)), min_size=1, max_size=60))
def test_klines_of_ticks_are_what_a_plain_count_gives(ticks: list[tuple[int, int]]) -> None:
    there = Past(10)
    seen: dict[int, list[int]] = {}
    for wait, price in ticks:
        there.now += wait
        there.trade(float(price), size=0.001)
        seen.setdefault(there.now // MINUTE * MINUTE, []).append(price)
    rows = there.klines(1, from_=BEGIN + 10 * MINUTE)
    assert rows == [[ts, p[0], max(p), min(p), p[-1], len(p)] for ts, p in seen.items()]


def test_many_bars_stay_in_order() -> None:
    there = Past(10)
    for _ in range(9_000):
        start = there.now
        there.now += MINUTE
        there.exchange.see(BarsClosed(there.now, {"BTCUSDT": Bar("BTCUSDT", start, there.now, 1.0, 2.0, 0.5, 1.5, 1.0)}))
    rows = there.klines(1, from_=BEGIN + 4_000 * MINUTE)
    assert [r[0] for r in rows] == [BEGIN + (4_000 + n) * MINUTE for n in range(500)]
    corrected = Bar("BTCUSDT", BEGIN + 4_000 * MINUTE, BEGIN + 4_001 * MINUTE, 1.0, 9.0, 0.5, 1.5, 1.0)
    there.exchange.see(BarsClosed(there.now, {"BTCUSDT": corrected}))
    assert there.klines(1, from_=BEGIN + 4_000 * MINUTE)[0][2] == 9


def test_contract_has_what_clients_need() -> None:
    there = Past()
    there.exchange.see(FundingSeen(there.now, "BTCUSDT", 0.0003, there.now + 3_600_000, 4.0))
    there.exchange.see(TickerSeen(there.now, "BTCUSDT", 1e9))
    listed = there.get("/api/v1/contracts/XBTUSDTM")
    assert (listed["status"], listed["isInverse"], listed["settleCurrency"]) == ("Open", False, "USDT")
    assert (listed["fundingFeeRate"], listed["nextFundingRateTime"]) == (0.0003, 3_600_000)
    assert (listed["fundingRateGranularity"], listed["turnoverOf24h"]) == (14_400_000, 1e9)
    rate = there.get("/api/v1/funding-rate/XBTUSDTM/current")
    assert (rate["value"], rate["fundingTime"]) == (0.0003, there.now + 3_600_000)
    assert {c["symbol"] for c in there.get("/api/v1/contracts/active")} == {"XBTUSDTM", "ETHUSDTM"}


def test_day_is_of_the_last_24_hours() -> None:
    there = Past(3_000)
    past = candles(3_000)
    listed = there.get("/api/v1/contracts/XBTUSDTM")
    assert listed["highPrice"] == past.high[-1_440:].max()
    assert listed["volumeOf24h"] == 720.0


def test_past_funding_is_told_newest_first() -> None:
    funding = Funding(np.array([BEGIN, BEGIN + 1_000]), np.array([0.001, 0.002]))
    there = Local(funding={"BTCUSDT": funding})
    rows = there.get("/api/v1/contract/funding-rates", symbol="XBTUSDTM", **{"from": 0, "to": BEGIN + 2_000})
    assert [r["fundingRate"] for r in rows] == [0.002, 0.001]


def test_settlements_outlive_a_restart() -> None:
    there = Local()
    there.exchange.press("fund", symbol="XBTUSDTM", rate=0.002)
    there.exchange.restore(there.exchange.snapshot())
    rows = there.get("/api/v1/contract/funding-rates", symbol="XBTUSDTM", **{"from": 0, "to": there.now})
    assert [(r["timepoint"], r["fundingRate"]) for r in rows] == [(there.now, 0.002)]


def test_settlements_that_were_missed_are_caught_up() -> None:
    there = Local()
    there.placed("buy", 10)
    there.exchange.see(FundingSeen(there.now, "BTCUSDT", 0.0001, there.now + 3_600_000, 1.0))
    there.wait(10 * 3_600_000)
    assert len(there.get("/api/v1/funding-history", symbol="XBTUSDTM", maxCount=50)["dataList"]) == 10


def test_nothing_is_taken_from_a_price_that_is_none() -> None:
    there = Local()
    for price in (float("nan"), 0.0, -1.0):
        there.trade(price)
        there.mark(price)
    assert there.get("/api/v1/mark-price/XBTUSDTM/current")["value"] == 60_000
    assert there.placed("buy", 1)["avgDealPrice"] == "60012"


def test_levels_that_are_no_numbers_are_no_levels() -> None:
    there = Local()
    nan, inf = float("nan"), float("inf")
    there.exchange.watch("/contractMarket/level2:XBTUSDTM")
    bids, asks = ((nan, 1.0), (59_999.0, nan), (59_998.0, 1.0)), ((60_001.0, inf), (60_002.0, 0.5))
    there.exchange.see(BookSeen(there.now, "BTCUSDT", bids, asks))
    book = there.get("/api/v1/level2/snapshot", symbol="XBTUSDTM")
    assert (book["bids"], book["asks"]) == ([[59_998, 1_000]], [[60_002, 500]])
    assert [p.data["change"] for p in there.pushes] == ["59998,buy,1000", "60002,sell,500"]
