"""The feed ccxt: an unmodified exchange of ccxt against a small KuCoin, and the unified calls of a made-up one."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from fake_kucoin import FakeKucoin
from kucoin_messages import BAR, T0, contract
from served import Local, local

from enigma_core.errors import ConfigError, DataError
from enigma_core.market import BarsClosed, BookSeen, FundingSeen, MarkSeen, TickerSeen, TradeSeen
from enigma_core.testing import check
from enigma_exchange import unified as unified_module
from enigma_exchange.stream import closing as closing_module
from enigma_exchange.stream.closing import Closing
from enigma_exchange.unified import Unified, contracts_of
from enigma_plugins.feeds.ccxt import Ccxt
from enigma_plugins.feeds.kucoin import Kucoin
from enigma_sandbox.markets import Setup

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"


def test_the_feed_keeps_its_contract():
    assert check(Ccxt) == []


@pytest.mark.parametrize(
    ("settings", "says"), [({"exchange": "bynance"}, "did you mean .*binance"), ({"exchange": "x" * 9}, "does not know")]
)
def test_an_exchange_that_ccxt_does_not_know_is_refused_with_a_sentence(settings, says):
    with pytest.raises(ConfigError, match=says):
        Ccxt(**settings).symbols()


def test_an_address_is_for_kucoin_alone():
    with pytest.raises(ConfigError, match="kucoinfutures alone"):
        Ccxt(exchange="bybit", url="http://127.0.0.1:9000")


def test_an_exchange_that_is_not_there_is_told_in_a_sentence():
    with pytest.raises(DataError, match=r"kucoinfutures does not answer \(.*check the network"):
        Ccxt(exchange="kucoinfutures", url="http://127.0.0.1:9").symbols()


def test_contracts_and_history_come_through_an_unmodified_client():
    fake = FakeKucoin()
    with fake.rest():
        feed = Ccxt(exchange="kucoinfutures", url=fake.url, days=3, volume="contracts")
        assert feed.symbols() == (BTC, ETH)
        instrument = feed.instrument(BTC)
        assert (str(instrument.tick), str(instrument.multiplier), str(instrument.lot)) == ("0.1", "0.001", "1")
        candles = feed.history(BTC, "5m")
        assert len(candles) == pytest.approx(3 * 288, abs=1)
        assert np.all(np.diff(candles.ts) == BAR)
        assert candles.volume[0] == pytest.approx(0.5)
        assert feed.listings()[0].turnover > 0
        with pytest.raises(DataError, match="does not list it; did you mean BTC"):
            feed.instrument("BTCX/USDT:USDT")


def test_a_live_market_comes_through_an_unmodified_client():
    async def work() -> None:
        wall = int(time.time() * 1000)
        ahead = (wall // BAR + 1) * BAR - 2_000 - wall - BAR
        async with FakeKucoin(ahead).running() as fake:
            feed = Ccxt(exchange="kucoinfutures", url=fake.url, volume="contracts", book=False)
            stream = feed.stream((BTC, ETH), "5m", fake.now() // BAR * BAR - 2 * BAR)
            kinds, moments = set(), []
            async with asyncio.timeout(20):
                async for event in stream:
                    kinds.add(type(event))
                    if type(event) is BarsClosed:
                        moments.append(event)
                    if len(moments) == 3 and TradeSeen in kinds:
                        break
            await stream.aclose()
            assert [b.ts - a.ts for a, b in pairwise(moments)] == [BAR, BAR]
            assert all(list(event.bars) == [BTC, ETH] for event in moments)
            assert moments[0].bars[BTC].volume == pytest.approx(0.5)

    asyncio.run(work())


@pytest.fixture(scope="module")
def exchange() -> Iterator[Local]:
    with local(Setup(count=2, days=1)) as served:
        yield served


@pytest.mark.parametrize("way", ["watched", "polled"])
def test_books_trades_bars_marks_and_funding_of_the_local_exchange_come_through(exchange, way, monkeypatch):
    import ccxt.pro

    if way == "polled":
        # as with an exchange whose streams ccxt does not know
        monkeypatch.setattr(ccxt.pro, "exchanges", [])
    feed = Ccxt(exchange="kucoinfutures", url=exchange.url, volume="contracts", timeframe="1m", days=1, poll=0.5)
    events: list[Any] = []

    def all_there() -> bool:
        kinds = {type(event) for event in events}
        trades = [event for event in events if type(event) is TradeSeen]
        books = {event.symbol for event in events if type(event) is BookSeen}
        return kinds >= {BarsClosed, MarkSeen, FundingSeen, TickerSeen} and len(trades) >= 4 and books == {BTC, ETH}

    async def work() -> None:
        since = int(time.time() * 1000) // 60_000 * 60_000 - 120_000
        stream = feed.stream((BTC, ETH), "1m", since)
        async with asyncio.timeout(30):
            async for event in stream:
                events.append(event)
                if all_there():
                    break
        await stream.aclose()

    asyncio.run(work())
    moments = [event for event in events if type(event) is BarsClosed]
    assert all(list(event.bars) == [BTC, ETH] for event in moments)
    listed = Kucoin(url=exchange.url, timeframe="1m", days=1).history(BTC, "1m")
    for event in moments:
        at = int(np.searchsorted(listed.ts, event.ts - 60_000))
        bar = event.bars[BTC]
        assert (bar.open, bar.close, bar.volume) == (listed.open[at], listed.close[at], pytest.approx(listed.volume[at]))
    tape = exchange.raw("GET", "/fut/api/v1/trade/history?symbol=XBTUSDTM")[1]["data"]
    traded = {(float(row["price"]), row["size"]) for row in tape}
    told = [event for event in events if type(event) is TradeSeen and event.symbol == BTC]
    assert {(event.price, round(event.size / 0.001)) for event in told} <= traded
    for book in (event for event in events if type(event) is BookSeen):
        assert book.bids[0][0] < book.asks[0][0]


class Exchange:
    """What ccxt's unified calls answer; nothing can be watched."""

    id = "made up"
    precisionMode = 4  # noqa: N815 - as ccxt names it

    def __init__(self, **has: bool) -> None:
        self.has = {"fetchTickers": True, "fetchFundingRates": True, **has}
        self.number = 0
        self.fails = False
        self.down = False
        """Whether everything fails, not bars, books and trades alone."""

    async def fetch_ohlcv(self, symbol: str, timeframe: str, since: int, limit: int) -> list[list[Any]]:
        self._trouble()
        return [[since + i * BAR, 100.0, 101.0, 99.0, 100.5, 7.0] for i in range(limit)]

    async def fetch_order_book(self, symbol: str) -> dict[str, Any]:
        self._trouble()
        return {"bids": [[99.9, 1000], [99.8, 0]], "asks": [[100.1, 2000]], "timestamp": None}

    async def fetch_trades(self, symbol: str) -> list[dict[str, Any]]:
        self._trouble()
        self.number += 1
        # one of before, one that cannot be, one that is new, and one that comes each time
        rows = [(1, 100.0, T0 - BAR), (2, 1000.0, T0), (self.number + 3, 100.2, T0), (3, 100.1, T0)]
        return [{"id": str(n), "price": price, "amount": 10, "side": "sell", "timestamp": ts} for n, price, ts in rows]

    async def fetch_tickers(self, symbols: list[str]) -> dict[str, Any]:
        self._trouble(self.down)
        return {BTC: {"quoteVolume": 5e8}}

    async def fetch_funding_rates(self, symbols: list[str]) -> dict[str, Any]:
        self._trouble(self.down)
        return {BTC: {"markPrice": 100.0, "indexPrice": 100.1, "fundingRate": 0.0002, "fundingTimestamp": T0, "interval": "4h"}}

    def _trouble(self, fails: bool | None = None) -> None:
        if self.fails if fails is None else fails:
            raise OSError("gone")


Meanwhile = Callable[[Unified, list[Any]], Awaitable[None]]


def follow(exchange: Exchange, seconds: float, begin: int, meanwhile: Meanwhile | None = None) -> list[Any]:
    """The events of so many seconds; fewer where what is done `meanwhile` ends before."""

    async def work() -> list[Any]:
        loop = asyncio.get_running_loop()
        began = loop.time()

        def now() -> int:
            return begin + int((loop.time() - began) * 1000)

        closing = Closing(BAR, {BTC: T0 - 2 * BAR}, {BTC: 1.0}, begin)
        made = Unified(
            exchange, {BTC: contract()}, "5m", closing, now=now, wall=now, levels=20, poll=0.05, book=True, trades=True, band=0.1
        )  # fmt: skip
        events: list[Any] = []
        stream = made.events()

        async def take() -> None:
            async for event in stream:
                events.append(event)  # noqa: PERF401 - it never ends

        tasks = [asyncio.create_task(take())]
        if meanwhile is not None:
            tasks.append(asyncio.ensure_future(meanwhile(made, events)))
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await stream.aclose()
        for task in done:
            task.result()
        return events

    return asyncio.run(work())


def test_what_cannot_be_watched_is_asked_again_and_again():
    events = follow(Exchange(), 1.3, T0 - 100)
    kinds = {type(event) for event in events}
    assert kinds == {BarsClosed, BookSeen, TradeSeen, MarkSeen, FundingSeen, TickerSeen}
    (bars,) = [event for event in events if type(event) is BarsClosed]
    assert (bars.ts, bars.bars[BTC].close, bars.bars[BTC].volume) == (T0, 100.5, 7.0)
    trades = [event for event in events if type(event) is TradeSeen]
    assert {trade.price for trade in trades} == {100.1, 100.2}
    assert len([trade for trade in trades if trade.price == 100.1]) == 1
    book = next(event for event in events if type(event) is BookSeen)
    assert (book.bids, book.asks) == (((99.9, 1.0),), ((100.1, 2.0),))
    funding = next(event for event in events if type(event) is FundingSeen)
    assert (funding.rate, funding.hours, funding.next_ts) == (0.0002, 4.0, T0)
    times = [event.ts for event in events]
    assert times == sorted(times)


def test_an_exchange_in_trouble_ends_nothing():
    exchange = Exchange()
    exchange.fails = True
    events = follow(exchange, 0.4, T0 - 10_000)
    assert {type(event) for event in events} == {MarkSeen, FundingSeen, TickerSeen}


def test_an_answer_of_more_trades_than_are_remembered_tells_each_of_them_once():
    class Busy(Exchange):
        async def fetch_trades(self, symbol: str) -> list[dict[str, Any]]:
            self.number += 10
            rows = range(self.number, self.number + 1_000)
            return [{"id": str(n), "price": 100.0, "amount": n, "side": "buy", "timestamp": T0} for n in rows]

    exchange = Busy()
    told = [event.size for event in follow(exchange, 0.5, T0 - 100) if type(event) is TradeSeen]
    assert len(told) == len(set(told)) > 1_000


def test_bars_that_closed_while_an_exchange_was_out_of_reach_are_not_late_but_waited_for(monkeypatch):
    monkeypatch.setattr(closing_module, "PATIENCE", 1_100)
    monkeypatch.setattr(unified_module, "DEAF", 100)
    exchange = Exchange()
    exchange.fails = exchange.down = True

    async def back(made: Unified, events: list[Any]) -> None:
        while made._now() < T0 + 1_300:
            await asyncio.sleep(0.02)
        assert events == []
        exchange.fails = exchange.down = False
        while not any(type(event) is BarsClosed for event in events):
            await asyncio.sleep(0.02)
        assert made._closing.counts.late == 0

    events = follow(exchange, 8.0, T0 - 100, back)
    assert [(event.ts, list(event.bars)) for event in events if type(event) is BarsClosed] == [(T0, [BTC])]


def test_rates_are_asked_for_one_by_one_where_all_at_once_is_refused_and_marks_come_with_the_turnover():
    class Other(Exchange):
        async def fetch_funding_rates(self, symbols: list[str]) -> dict[str, Any]:
            raise OSError("no such address")

        async def fetch_funding_rate(self, symbol: str) -> dict[str, Any]:
            return {"fundingRate": 0.0003, "fundingTimestamp": T0, "interval": None}

        async def fetch_tickers(self, symbols: list[str]) -> dict[str, Any]:
            return {BTC: {"quoteVolume": 5e8, "markPrice": 100.2}}

    events = follow(Other(fetchFundingRate=True), 0.3, T0 - 100)
    (funding,) = [event for event in events if type(event) is FundingSeen]
    assert (funding.rate, funding.hours) == (0.0003, 8.0)
    (mark,) = [event for event in events if type(event) is MarkSeen]
    assert mark.mark == 100.2
    assert math.isnan(mark.index)


def test_a_watched_book_that_is_silent_is_asked_for(monkeypatch):
    class Watched(Exchange):
        async def watch_order_book(self, symbol: str) -> dict[str, Any]:
            await asyncio.Event().wait()
            raise AssertionError

    monkeypatch.setattr(unified_module, "STALE_BOOK", 200)

    async def seen(made: Unified, events: list[Any]) -> None:
        while not any(type(event) is BookSeen for event in events):
            await asyncio.sleep(0.02)

    events = follow(Watched(watchOrderBook=True, fetchOrderBook=True), 5.0, T0 - 100, seen)
    assert next(event for event in events if type(event) is BookSeen).bids == ((99.9, 1.0),)


def test_streams_that_show_nothing_any_more_are_made_anew(monkeypatch):
    monkeypatch.setattr(unified_module, "SILENT", 200)

    class Client:
        def __init__(self, exchange: Watched) -> None:
            self.exchange, self.errors = exchange, []

        def on_error(self, error: Exception) -> None:
            self.errors.append(error)
            if not self.exchange.waiting.done():
                self.exchange.waiting.set_exception(error)

    class Watched(Exchange):
        def __init__(self) -> None:
            super().__init__(watchOrderBook=True)
            self.clients = {"url": Client(self)}
            self.calls = 0

        async def watch_order_book(self, symbol: str) -> dict[str, Any]:
            self.calls += 1
            if self.calls != 2:
                return await self.fetch_order_book(symbol)
            # ccxt's reader has died of a message
            self.waiting = asyncio.get_running_loop().create_future()
            return await self.waiting

    exchange = Watched()

    async def again(made: Unified, events: list[Any]) -> None:
        while exchange.calls < 3:
            await asyncio.sleep(0.02)

    follow(exchange, 10.0, T0 - 100, again)
    assert "nothing is shown" in str(exchange.clients["url"].errors[0])


def test_no_bar_of_the_history_is_closed_before_the_exchanges_own_clock_says_so():
    fake = FakeKucoin(-3_600_000)
    with fake.rest():
        candles = Ccxt(exchange="kucoinfutures", url=fake.url, days=1).history(BTC, "5m")
        assert candles.ts[-1] + BAR <= fake.now()


def market(**more: Any) -> dict[str, Any]:
    return {
        "swap": True,
        "linear": True,
        "settle": "USDT",
        "quote": "USDT",
        "active": True,
        "contractSize": 0.01,
        "precision": {"price": 0.5, "amount": 1},
        "limits": {"amount": {"min": 2, "max": 1e6}, "leverage": {"max": 50}},
        **more,
    }


@pytest.mark.parametrize(
    "bad", [{"swap": False}, {"linear": False}, {"settle": "USD"}, {"precision": {}}, {"precision": {"price": 0, "amount": 1}}]
)
def test_only_linear_perpetuals_with_a_grid_are_offered(bad):
    exchange = Exchange()
    exchange.markets = {BTC: market(), ETH: market(**bad)}
    assert list(contracts_of(exchange, "USDT")) == [BTC]


def test_a_precision_in_decimal_places_is_a_grid_too():
    exchange = Exchange()
    exchange.precisionMode = 2
    exchange.markets = {BTC: market(precision={"price": 2, "amount": 0})}
    found = contracts_of(exchange, "USDT")[BTC].instrument
    assert (str(found.tick), str(found.lot), str(found.min_quantity), found.max_leverage) == ("0.01", "1", "2", 50)
    assert math.isclose(float(found.multiplier), 0.01)
