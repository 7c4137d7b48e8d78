"""The feed kucoin against a small KuCoin: history, listings, the live stream and its interruptions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from fake_kucoin import FakeKucoin
from kucoin_messages import BAR

from enigma_core.candle_store import CandleStore
from enigma_core.errors import ConfigError, DataError
from enigma_core.market import BarsClosed, BookSeen, FundingSeen, MarkSeen, TickerSeen, TradeSeen
from enigma_core.testing import check
from enigma_exchange import public as public_module
from enigma_exchange.hosts import hosts
from enigma_exchange.public import Declined, Public, Unanswered
from enigma_exchange.quota import RESERVE, Bucket, Lane
from enigma_exchange.stream.live import MEASURED, ExchangeTime
from enigma_plugins.feeds.kucoin import Kucoin

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"


@pytest.fixture
def kucoin():
    fake = FakeKucoin()
    with fake.rest():
        yield fake


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(public_module, "PAUSE", 0.001)


# what can be asked


def test_the_feed_keeps_its_contract():
    assert check(Kucoin) == []


def test_contracts_are_listed_in_the_engines_words(kucoin):
    feed = Kucoin(url=kucoin.url)
    assert feed.symbols() == (BTC, ETH)
    instrument = feed.instrument(BTC)
    assert (str(instrument.tick), str(instrument.multiplier), instrument.max_leverage) == ("0.1", "0.001", 125)
    (first, second) = feed.listings()
    assert (first.symbol, second.symbol) == (BTC, ETH)
    assert first.spread == pytest.approx(0.002)
    assert (first.turnover, first.funding, first.active) == (1e9, 0.0001, True)
    with pytest.raises(DataError, match=r"BTCC/USDT:USDT: KuCoin does not list it; did you mean BTC/USDT:USDT"):
        feed.instrument("BTCC/USDT:USDT")


def test_a_wall_that_is_set_forward_closes_no_bar_of_the_history_before_its_time(kucoin, monkeypatch):
    feed = Kucoin(url=kucoin.url, days=1)
    feed.history(BTC, "5m")
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 700)
    kucoin.ahead = -700_000.0
    candles = feed.history(BTC, "5m")
    assert candles.ts[-1] + BAR <= real() * 1000


def test_the_exchanges_clock_is_read_anew_after_a_while_and_when_this_machines_clocks_part():
    steady, wall = [100.0], [1_000.0]
    clock = ExchangeTime(2_000.0, now=lambda: steady[0], wall=lambda: wall[0])
    assert (clock.now(), clock.doubtful) == (1_002_000, False)
    # asleep: one clock stands still
    wall[0] += 3_600
    assert clock.doubtful
    clock.set(2_000.0)
    assert (clock.now(), clock.doubtful) == (4_602_000, False)
    steady[0], wall[0] = steady[0] + MEASURED + 1, wall[0] + MEASURED + 1
    assert clock.doubtful


def test_history_is_fetched_by_pages_of_five_hundred_and_ends_with_the_last_closed_bar(kucoin):
    candles = Kucoin(url=kucoin.url, days=5).history(BTC, "5m")
    now = kucoin.now()
    assert all((end + 1 - start) // BAR <= 500 for start, end in kucoin.pages)
    assert len(kucoin.pages) == 3
    assert len(candles) == pytest.approx(5 * 288, abs=1)
    assert np.all(np.diff(candles.ts) == BAR)
    assert now - BAR - 2_000 < candles.ts[-1] + BAR <= now
    assert candles.volume[0] == 0.5
    assert candles.close[3] == pytest.approx(kucoin.close(int(candles.ts[3])))


def test_history_has_the_bars_from_start_to_before_end(kucoin):
    feed = Kucoin(url=kucoin.url)
    now = kucoin.now() // BAR * BAR
    for start, end in ((now - 10 * BAR, now - 3 * BAR), (now - 10 * BAR + 1, now - 3 * BAR + 1)):
        candles = feed.history(BTC, "5m", start, end)
        assert candles.ts.tolist() == [ts for ts in range(now - 10 * BAR, now, BAR) if start <= ts < end]
    assert len(feed.history(BTC, "5m", now - BAR, now - BAR)) == 0


@pytest.mark.parametrize("timeframe", ["3m", "6h", "1w"])
def test_timeframes_that_kucoin_has_not_are_made_of_finer_ones(kucoin, timeframe):
    candles = Kucoin(url=kucoin.url, days=15 if timeframe == "1w" else 1).history(BTC, timeframe)
    assert candles.timeframe == timeframe
    assert len(candles) >= 1
    assert len(set(np.diff(candles.ts).tolist())) <= 1


def test_x17_what_kucoin_does_not_list_is_missing_from_history(kucoin):
    now = kucoin.now() // BAR * BAR
    kucoin.missing = {now - 5 * BAR, now - 6 * BAR}
    candles = Kucoin(url=kucoin.url).history(BTC, "5m", now - 10 * BAR, now - BAR)
    assert candles.ts.tolist() == [ts for ts in range(now - 10 * BAR, now - BAR, BAR) if ts not in kucoin.missing]


def test_bars_that_no_market_can_have_traded_are_left_out_and_reported(kucoin):
    now = kucoin.now() // BAR * BAR
    kucoin.close = lambda ts: -5.0 if ts == now - 4 * BAR else 101.0
    feed = Kucoin(url=kucoin.url)
    candles = feed.history(BTC, "5m", now - 10 * BAR, now - BAR)
    assert now - 4 * BAR not in candles.ts
    assert "1 bars" in str(feed.report()[BTC])


def test_settlements_are_fetched_however_many_an_answer_holds(kucoin):
    now = kucoin.now()
    funding = Kucoin(url=kucoin.url).settlements(BTC, now - 100 * 86_400_000, now)
    assert funding is not None
    assert len(funding.ts) == pytest.approx(300, abs=1)
    assert np.all(np.diff(funding.ts) == 28_800_000)
    assert Kucoin(url=kucoin.url).funding(BTC) is None


def test_history_of_kucoin_itself_is_kept_and_not_fetched_twice(kucoin, tmp_path):
    from enigma_exchange.history import History, pages_of

    feed = Kucoin(url=kucoin.url)
    contract = feed._contract(BTC)
    now = kucoin.now()
    store = CandleStore.of("kucoin", tmp_path)
    history = History(pages_of(Public(hosts(kucoin.url))), store)
    first = history.candles(contract, "5m", now - 1_000 * BAR, now, now)
    pages = len(kucoin.pages)
    again = history.candles(contract, "5m", now - 1_000 * BAR, now, now)
    assert np.array_equal(first.ts, again.ts)
    assert np.array_equal(first.close, again.close)
    # only what may still be corrected
    (start, end) = kucoin.pages[pages]
    assert len(kucoin.pages) == pages + 1
    assert end - start < 3 * BAR + 600_000


def test_a_store_that_cannot_be_written_does_not_stand_in_the_way(kucoin, tmp_path, monkeypatch):
    from enigma_exchange.history import History, pages_of

    store = CandleStore.of("kucoin", tmp_path)

    def full(*args: Any, **more: Any) -> int:
        raise DataError("the disk is full")

    monkeypatch.setattr(store, "write", full)
    contract, now = Kucoin(url=kucoin.url)._contract(BTC), kucoin.now()
    candles = History(pages_of(Public(hosts(kucoin.url))), store).candles(contract, "5m", now - 10 * BAR, now, now)
    assert len(candles) >= 9


# what goes wrong


def test_an_exchange_that_is_not_there_is_told_in_a_sentence():
    with pytest.raises(DataError, match=r"http://127.0.0.1:9/fut does not answer /api/v1/contracts/active .*check the network"):
        Kucoin(url="http://127.0.0.1:9").history(BTC, "5m")


@pytest.mark.parametrize(
    "fault",
    [(500, b""), (502, b"<html>Bad gateway</html>"), (200, b'{"code":"200000","data":'), (200, b"[]"), (429, b'{"code":"429000"}')],
)
def test_a_spell_of_trouble_is_waited_out(kucoin, fault):
    spell = iter([fault, fault])
    kucoin.fault = lambda path: next(spell, None)
    public = Public(hosts(kucoin.url), pause=lambda seconds: None, now=iter(range(10_000)).__next__)
    assert public.get("/api/v1/timestamp") > 0


def test_what_is_declined_is_not_asked_again(kucoin):
    kucoin.fault = lambda path: (200, b'{"code":"400100","msg":"no such symbol"}')
    with pytest.raises(Declined, match=r"declines /api/v1/kline/query\?symbol=X: 400100 no such symbol"):
        Public(hosts(kucoin.url)).get("/api/v1/kline/query", symbol="X")
    assert len(kucoin.asked) == 1


def test_a_closed_client_answers_at_once(kucoin):
    public = Public(hosts(kucoin.url))
    public.close()
    with pytest.raises(Unanswered):
        public.get("/api/v1/timestamp")


def test_clients_of_one_exchange_draw_on_one_quota(kucoin):
    public = Public(hosts(kucoin.url), now=lambda: 0.0)
    other = public.sibling()
    other.get("/api/v1/kline/query", symbol="XBTUSDTM", granularity=5, **{"from": 0, "to": 1})
    assert public._bucket.tokens == public._bucket.size - 3
    other.close()
    assert public.get("/api/v1/timestamp") > 0


@pytest.mark.parametrize("url", ["nonsense", "ftp://x", "http://", "http://a:99999", "http://u:p@h", "http://h/?a=b", "http://h:0"])
def test_an_address_that_is_none_is_refused_with_a_sentence(url):
    with pytest.raises(ConfigError, match="url"):
        Kucoin(url=url)


def test_an_account_belongs_to_one_market():
    assert Kucoin().identity() == "kucoin"
    assert Kucoin(url="http://127.0.0.1:9000").identity() == Kucoin(url="http://localhost:1234").identity() == "kucoin:local"
    assert Kucoin(url="https://exchange.example").identity() == "kucoin:exchange.example"


def test_what_is_asked_for_a_stream_does_not_wait_behind_pages_of_history(kucoin):
    now, bucket = [0.0], Bucket()
    history = Public(
        hosts(kucoin.url), bucket=bucket, now=lambda: now[0], pause=lambda seconds: now.__setitem__(0, now[0] + seconds)
    )
    # of what others leave to those in a hurry three quarters are left
    bucket.take(bucket.size * (1 - RESERVE * 0.75), 0.0)
    history.sibling(Lane.LOOK).get("/api/v1/timestamp")
    assert now[0] == 0.0
    history.get("/api/v1/timestamp")
    assert now[0] > 0.0


# the stream


class Followed:
    """A feed's stream, with what it told."""

    def __init__(self, feed: Kucoin, symbols: tuple[str, ...] = (BTC, ETH), since: int | None = None) -> None:
        self.events: list[Any] = []
        self._stream = feed.stream(symbols, feed.timeframe, since)
        self._task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async for event in self._stream:
            self.events.append(event)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if type(event) is kind]

    async def until(self, holds: Callable[[], bool], seconds: float = 8.0) -> None:
        async with asyncio.timeout(seconds):
            while not holds():
                if self._task.done():
                    self._task.result()
                await asyncio.sleep(0.01)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._stream.aclose()


def live(work: Callable[[FakeKucoin], Any], *, before_close: int = 400) -> None:
    """`work` with a KuCoin whose next 5m bar closes in `before_close` ms."""
    wall = int(time.time() * 1000)
    asyncio.run(_live(work, (wall // BAR + 1) * BAR - before_close - wall))


async def _live(work: Callable[[FakeKucoin], Any], ahead: float) -> None:
    async with FakeKucoin(ahead - BAR).running() as fake:
        await work(fake)


def test_a_live_market_is_told_as_it_happens_and_its_bars_as_they_close():
    async def work(fake: FakeKucoin) -> None:
        feed = Kucoin(url=fake.url, days=1)
        # as a run does; on a slow machine the bar closes before the stream begins
        history, _ = [await asyncio.to_thread(feed.history, symbol, "5m") for symbol in (BTC, ETH)]
        followed = Followed(feed)
        await followed.until(lambda: bool(followed.of(BarsClosed)))
        moment = followed.of(BarsClosed)[0].ts
        await followed.until(lambda: any(event.ts > moment for event in followed.events))
        await followed.close()
        kinds = {type(event) for event in followed.events}
        assert kinds == {BarsClosed, BookSeen, FundingSeen, MarkSeen, TickerSeen, TradeSeen}
        bars = followed.of(BarsClosed)[0]
        assert list(bars.bars) == [BTC, ETH]
        bar = bars.bars[BTC]
        assert bar.ts == history.ts[-1] + BAR
        assert (bar.close, bar.volume) == (pytest.approx(fake.close(bar.ts)), 0.5)
        times = [event.ts for event in followed.events]
        assert times == sorted(times)
        at = followed.events.index(bars)
        assert all(event.ts <= bars.ts for event in followed.events[:at])
        assert all(event.ts > bars.ts for event in followed.events[at + 1 :])

    live(work)


def test_a_run_that_is_taken_up_again_is_given_the_bars_it_missed():
    async def work(fake: FakeKucoin) -> None:
        since = fake.now() // BAR * BAR - 7 * BAR
        followed = Followed(Kucoin(url=fake.url), since=since)
        await followed.until(lambda: len(followed.of(BarsClosed)) >= 7)
        await followed.close()
        assert [event.ts for event in followed.of(BarsClosed)][:7] == [since + i * BAR for i in range(1, 8)]
        assert all(list(event.bars) == [BTC, ETH] for event in followed.of(BarsClosed))

    live(work, before_close=60_000)


def test_a_defect_in_asking_for_a_bar_costs_that_question_and_is_told(monkeypatch, caplog):
    from enigma_exchange.stream import live as module

    real, asked = module.page, []

    def page(*given: Any) -> Any:
        asked.append(given)
        if len(asked) <= 2:
            raise RuntimeError("a defect")
        return real(*given)

    monkeypatch.setattr(module, "page", page)

    async def work(fake: FakeKucoin) -> None:
        followed = Followed(Kucoin(url=fake.url), since=fake.now() // BAR * BAR - BAR)
        await followed.until(lambda: bool(followed.of(BarsClosed)))
        await followed.close()
        assert list(followed.of(BarsClosed)[0].bars) == [BTC, ETH]

    live(work)
    assert "following the market failed" in caplog.text


def test_x15_a_bar_that_closed_while_the_connection_was_gone_is_there_afterwards():
    async def work(fake: FakeKucoin) -> None:
        followed = Followed(Kucoin(url=fake.url))
        await followed.until(lambda: bool(followed.of(TradeSeen)))
        fake.fault = lambda path: (503, b"")
        await fake.drop()
        closes = fake.now() // BAR * BAR + BAR
        while fake.now() < closes + 200:
            await asyncio.sleep(0.01)
        fake.fault = lambda path: None
        await followed.until(lambda: bool(followed.of(BarsClosed)))
        assert followed.of(BarsClosed)[0].ts == closes
        told = len(followed.of(TradeSeen))
        await followed.until(lambda: len(followed.of(TradeSeen)) > told)
        assert len([topic for topic in fake.topics if topic == "/contractMarket/execution:XBTUSDTM"]) >= 2
        await followed.close()

    live(work, before_close=2_500)


def test_x14_a_stream_that_stalls_while_the_connection_stands_is_replaced_by_rest_and_made_anew(monkeypatch):
    from enigma_exchange.stream import assembler
    from enigma_exchange.stream import live as module

    monkeypatch.setattr(module, "SILENT", 1.5)
    monkeypatch.setattr(module.follow, "__kwdefaults__", {**module.follow.__kwdefaults__, "silent": 1.5})
    monkeypatch.setattr(assembler, "STALE_MARK", 300)

    async def work(fake: FakeKucoin) -> None:
        followed = Followed(Kucoin(url=fake.url))
        await followed.until(lambda: bool(followed.of(TradeSeen)))
        fake.silent, fake.mark = True, 105.0
        await followed.until(lambda: any(event.mark == 105.0 for event in followed.of(MarkSeen)))
        assert len(fake.connections) == 1
        await followed.until(lambda: len(fake.connections) >= 2)
        fake.silent = False
        told = len(followed.of(TradeSeen))
        await followed.until(lambda: len(followed.of(TradeSeen)) > told)
        await followed.close()

    live(work, before_close=120_000)


def test_a_stream_that_nobody_follows_any_more_leaves_nothing_behind():
    async def work(fake: FakeKucoin) -> None:
        before = asyncio.all_tasks()
        followed = Followed(Kucoin(url=fake.url))
        await followed.until(lambda: bool(followed.of(TradeSeen)))
        began = time.monotonic()
        await followed.close()
        assert time.monotonic() - began < 2
        assert {task for task in asyncio.all_tasks() - before if "fake" not in repr(task)} - {asyncio.current_task()} <= {
            task for task in asyncio.all_tasks() if "websockets" in repr(task) or "FakeKucoin" in repr(task)
        }

    live(work, before_close=120_000)


def test_another_timeframe_than_its_own_is_refused():
    async def ask() -> None:
        async for _ in Kucoin().stream((BTC,), "1h", None):
            pass

    with pytest.raises(DataError, match="streams bars of 5m, not of 1h"):
        asyncio.run(ask())


def test_names_and_messages_of_the_fake_are_those_of_kucoin(market_data):
    examples = msgspec.json.decode((market_data / "kucoin_spec" / "examples.json").read_bytes())
    contract = examples["GET /api/v1/contracts/active"]["x-response-example"]["data"][0]
    from enigma_exchange.contracts import contract_of

    found = contract_of(contract, 0)
    assert found is not None
    assert (found.symbol, found.code, found.open, found.unit, found.funding_hours) == (BTC, "XBTUSDTM", True, 0.001, 8.0)
    assert (found.mark, found.index, found.last, found.turnover) == (86378.69, 86382.64, 86364, 1034643198.3265533)
