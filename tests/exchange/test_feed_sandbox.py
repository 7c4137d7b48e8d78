"""The feed kucoin against the local exchange: bars as they close, and every fault its stream can have."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from served import Local, local

from enigma_core.market import BarsClosed, BookSeen, FundingSeen, MarkSeen, TickerSeen, TradeSeen
from enigma_plugins.feeds.kucoin import Kucoin
from enigma_sandbox.markets import Setup

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
MINUTE = 60_000


class Clock:
    """The wall's, moved forward so that a bar closes when a test wants it."""

    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead

    def close_in(self, ms: int) -> int:
        """Have the next minute end in so many ms; when that is."""
        now = self()
        end = (now + ms) // MINUTE * MINUTE + MINUTE
        self.ahead += end - ms - now
        return end


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def served(clock: Clock) -> Iterator[Local]:
    with local(Setup(count=2, days=2), clock=clock) as exchange:
        yield exchange


@pytest.fixture
def exchange(served: Local) -> Iterator[Local]:
    yield served
    served.press("clear")


class Following:
    """A feed's stream while inside."""

    def __init__(self, feed: Kucoin) -> None:
        self.events: list[Any] = []
        self._stream = feed.stream((BTC, ETH), feed.timeframe, None)
        self._task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async for event in self._stream:
            self.events.append(event)

    def of(self, kind: type, since: int = 0) -> list[Any]:
        return [event for event in self.events[since:] if type(event) is kind]

    async def until(self, holds: Callable[[], Any], seconds: float = 12.0) -> None:
        async with asyncio.timeout(seconds):
            while not holds():
                if self._task.done():
                    self._task.result()
                await asyncio.sleep(0.02)

    async def more(self, kind: type, count: int) -> None:
        """Wait for so many events of a kind from now on."""
        since = len(self.events)
        await self.until(lambda: len(self.of(kind, since)) >= count)

    async def news(self, *kinds: type) -> None:
        """Wait for an event of each kind from now on."""
        since = len(self.events)
        await self.until(lambda: all(self.of(kind, since) for kind in kinds))


def following(exchange: Local, work: Callable[[Following], Awaitable[None]], **settings: Any) -> None:
    async def life() -> None:
        feed = Kucoin(url=exchange.url, timeframe="1m", days=1, **settings)
        followed = Following(feed)
        try:
            await followed.until(lambda: followed.of(BookSeen) and followed.of(MarkSeen))
            await work(followed)
        finally:
            followed._task.cancel()
            await asyncio.gather(followed._task, return_exceptions=True)
            await followed._stream.aclose()

    asyncio.run(life())


def test_a_bar_comes_as_the_exchange_lists_it_within_seconds_of_its_close(exchange, clock):
    end = clock.close_in(2_500)

    async def work(followed: Following) -> None:
        await followed.until(lambda: followed.of(BarsClosed))
        assert clock() - end < 10_000
        (event,) = followed.of(BarsClosed)
        assert event.ts == end
        assert list(event.bars) == [BTC, ETH]
        listed = await asyncio.to_thread(Kucoin(url=exchange.url, timeframe="1m").history, BTC, "1m", end - MINUTE, end)
        bar = event.bars[BTC]
        told = [bar.ts, bar.open, bar.high, bar.low, bar.close, bar.volume]
        assert told == [listed.ts[0], listed.open[0], listed.high[0], listed.low[0], listed.close[0], listed.volume[0]]
        assert {type(event) for event in followed.events} >= {BookSeen, MarkSeen, FundingSeen, TickerSeen}

    following(exchange, work)


def test_x15_a_bar_that_closed_while_nothing_could_be_reached_is_given_afterwards(exchange, clock):
    end = clock.close_in(1_500)

    async def work(followed: Following) -> None:
        exchange.press("server_error", status=503)
        exchange.press("close_sockets")
        while clock() < end + 1_500:
            await asyncio.sleep(0.05)
        assert followed.of(BarsClosed) == []
        exchange.press("clear")
        await followed.until(lambda: followed.of(BarsClosed))
        assert [(event.ts, list(event.bars)) for event in followed.of(BarsClosed)] == [(end, [BTC, ETH])]
        await followed.news(BookSeen, MarkSeen)

    following(exchange, work)


def test_x14_a_stream_that_stalls_is_replaced_by_rest(exchange):
    async def work(followed: Following) -> None:
        exchange.press("stall", private=False)
        await asyncio.sleep(0.3)
        await followed.news(MarkSeen)
        exchange.press("clear")
        await followed.news(MarkSeen)

    following(exchange, work)


@pytest.mark.parametrize("button", ["error_frame", "expire_tokens", "close_sockets"])
def test_the_stream_goes_on_after(exchange, button):
    async def work(followed: Following) -> None:
        exchange.press(button)
        await followed.news(BookSeen, MarkSeen)

    following(exchange, work)


def test_x16_messages_twice_and_out_of_order_leave_time_ascending_and_each_trade_once(exchange):
    async def work(followed: Following) -> None:
        # the first marks are told by REST and by the stream
        since = len(followed.events)
        exchange.press("disturb_pushes", duplicate=0.4, reorder=0.4)
        await followed.more(BookSeen, 10)
        times = [event.ts for event in followed.events if type(event) is not BarsClosed]
        assert times == sorted(times)
        for book in followed.of(BookSeen):
            assert book.bids[0][0] < book.asks[0][0]
        assert len(set(followed.of(MarkSeen, since))) == len(followed.of(MarkSeen, since))

    following(exchange, work)


def test_x16_the_whole_book_is_the_exchanges_own_though_messages_are_lost(exchange):
    async def work(followed: Following) -> None:
        exchange.press("disturb_pushes", duplicate=0.2, reorder=0.2, lose=0.1)
        await followed.more(BookSeen, 10)
        exchange.press("clear")
        await followed.news(BookSeen)

        def same() -> bool:
            data = exchange.raw("GET", "/fut/api/v1/level2/snapshot?symbol=XBTUSDTM")[1]["data"]
            book = [event for event in followed.of(BookSeen) if event.symbol == BTC][-1]
            return [price for price, _ in book.bids] == [float(price) for price, _ in data["bids"][: len(book.bids)]]

        async with asyncio.timeout(10):
            while not await asyncio.to_thread(same):
                await asyncio.sleep(0.05)

    following(exchange, work, book="full", every=50)


def test_x19_a_price_that_jumps_tenfold_for_a_moment_is_not_told(exchange):
    async def work(followed: Following) -> None:
        prices = [event.mark for event in followed.of(MarkSeen) if event.symbol == BTC]
        exchange.press("price", symbol=BTC, price=prices[-1] * 10)
        await followed.more(BookSeen, 2)
        exchange.press("price", symbol=BTC, price=prices[-1])
        await followed.news(MarkSeen)
        told = [event.price for event in followed.of(TradeSeen) if event.symbol == BTC]
        told += [event.mark for event in followed.of(MarkSeen) if event.symbol == BTC]
        told += [event.bids[0][0] for event in followed.of(BookSeen) if event.symbol == BTC and event.bids]
        assert max(told) < 2 * prices[-1]

    following(exchange, work)
