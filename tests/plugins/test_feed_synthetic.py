"""The synthetic market: sound, the same every time, and with everything a venue shows."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from functools import cache

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enigma_core.errors import DataError
from enigma_core.market import BarsClosed, BookSeen, FundingSeen, Market, MarketEvent, MarkSeen, TickerSeen, TradeSeen
from enigma_core.model import Candles
from enigma_plugins.feeds._listed import LISTED
from enigma_plugins.feeds._path import EPOCH
from enigma_plugins.feeds.synthetic import Synthetic

STEP = 300_000
HOURS_8 = 28_800_000
BTC, SOL = "BTC/USDT:USDT", "SOL/USDT:USDT"
NAMES = ("ts", "open", "high", "low", "close", "volume")


def collect(feed: Synthetic, symbols: Sequence[str], bars: int, since: int | None = None) -> list[MarketEvent]:
    """The events up to and with the first so many batches of bars."""

    async def take() -> list[MarketEvent]:
        found: list[MarketEvent] = []
        left = bars
        async for event in feed.stream(symbols, feed.timeframe, since):
            found.append(event)
            left -= isinstance(event, BarsClosed)
            if not left:
                break
        return found

    return asyncio.run(take())


@cache
def stream() -> list[MarketEvent]:
    feed = Synthetic()
    return collect(feed, feed.symbols(), 600)


def table(candles: Candles) -> np.ndarray:
    return np.array([getattr(candles, name) for name in NAMES])


def test_equal_settings_give_equal_markets_to_the_bit() -> None:
    for symbol in Synthetic().symbols():
        assert np.array_equal(table(Synthetic().history(symbol, "5m")), table(Synthetic().history(symbol, "5m")))
    assert collect(Synthetic(), Synthetic().symbols(), 600) == stream()


def test_another_seed_is_another_market() -> None:
    one, two = Synthetic(), Synthetic(seed=2)
    assert not np.array_equal(one.history(BTC, "5m").close, two.history(BTC, "5m").close)
    assert one.identity() != two.identity()
    assert one.identity() != Synthetic(timeframe="1m").identity()
    assert one.identity() == Synthetic(speed=0).identity()


def test_bar_is_the_same_whichever_symbols_are_asked_for() -> None:
    alone = collect(Synthetic(), (SOL,), 300)
    mine = [event for event in alone if not isinstance(event, BarsClosed)]
    assert mine == [e for e in stream() if not isinstance(e, BarsClosed) and e.symbol == SOL][: len(mine)]


def test_history_equals_stream() -> None:
    feed = Synthetic()
    batches = [event for event in stream() if isinstance(event, BarsClosed)]
    for symbol in feed.symbols():
        bars = [batch.bars[symbol] for batch in batches]
        told = np.array([[bar.ts, bar.open, bar.high, bar.low, bar.close, bar.volume] for bar in bars]).T
        assert np.array_equal(told, table(feed.history(symbol, "5m", end=EPOCH + 600 * STEP)))
    assert [batch.ts for batch in batches] == [EPOCH + (i + 1) * STEP for i in range(600)]


@settings(max_examples=15)
@given(st.integers(0, 500 * STEP))
def test_stream_taken_up_again_goes_on_exactly(elapsed: int) -> None:
    since = EPOCH + elapsed
    rest = [event for event in stream() if event.ts > since]
    again = collect(Synthetic(), Synthetic().symbols(), 20, since)
    assert again == rest[: len(again)]


@settings(max_examples=30)
@given(st.integers(-10, 20_000), st.integers(-10, 3_000), st.sampled_from([s.symbol for s in LISTED]))
def test_any_part_of_the_history_is_a_part_of_the_whole(first: int, n: int, symbol: str) -> None:
    whole = table(Synthetic(days=90).history(symbol, "5m"))
    part = table(Synthetic().history(symbol, "5m", EPOCH + first * STEP, EPOCH + (first + n) * STEP))
    assert np.array_equal(part, whole[:, max(0, first) : max(0, first + n, first if first > 0 else 0)])


@pytest.mark.parametrize("timeframe", ["1m", "5m", "1h", "4h"])
@pytest.mark.parametrize("listed", LISTED, ids=lambda one: one.base)
def test_bars_are_sound_and_stand_on_the_grid(listed: object, timeframe: str) -> None:
    symbol = listed.symbol  # type: ignore[attr-defined]
    feed = Synthetic(timeframe=timeframe, days=10, seed=7)  # type: ignore[arg-type]
    candles, instrument = feed.history(symbol, timeframe), feed.instrument(symbol)
    length = {"1m": 60_000, "5m": STEP, "1h": 3_600_000, "4h": 14_400_000}[timeframe]
    assert len(candles) == 10 * 86_400_000 // length
    assert (np.diff(candles.ts) == length).all()
    assert (candles.low > 0).all()
    assert (candles.high >= np.maximum(candles.open, candles.close)).all()
    assert (candles.low <= np.minimum(candles.open, candles.close)).all()
    assert (candles.open[1:] == candles.close[:-1]).all()
    assert (candles.volume > 0).all()
    for prices in (candles.open, candles.high, candles.low, candles.close):
        assert np.array_equal(instrument.snap(prices), prices)
        assert float(instrument.price(float(prices[-1]))) == prices[-1]


def test_moves_are_of_the_size_of_real_ones_and_go_together() -> None:
    feed = Synthetic()
    returns = np.array([np.diff(np.log(feed.history(symbol, "5m").close)) for symbol in feed.symbols()])
    assert ((returns.std(axis=1) > 0.001) & (returns.std(axis=1) < 0.004)).all()
    together = np.corrcoef(returns)[np.triu_indices(4, 1)]
    assert ((together > 0.25) & (together < 0.9)).all()
    excess = ((returns / returns.std(axis=1, keepdims=True)) ** 4).mean(axis=1)
    assert (excess > 4).all(), "shocks give fat tails"


def test_price_stays_a_price_for_ten_years() -> None:
    candles = Synthetic(timeframe="4h", days=3650).history("XRP/USDT:USDT", "1d")
    assert len(candles) == 3650
    assert candles.low.min() > 0.2
    assert candles.high.max() < 20


def test_everything_is_seen_before_each_close() -> None:
    seen: list[MarketEvent] = []
    for event in stream():
        if not isinstance(event, BarsClosed):
            seen.append(event)
            continue
        kinds = Counter((type(e), e.symbol) for e in seen)  # type: ignore[union-attr]
        for symbol in event.bars:
            assert [kinds[(kind, symbol)] for kind in (BookSeen, MarkSeen, FundingSeen, TickerSeen)] == [1, 1, 1, 1]
            assert kinds[(TradeSeen, symbol)] >= 10
        assert all(event.ts - 60_000 < e.ts <= event.ts for e in seen)
        seen.clear()


def test_events_are_in_order_of_time() -> None:
    times = [event.ts for event in stream()]
    assert times == sorted(times)


def test_window_mostly_holds_the_fifty_trades_that_the_ratio_needs() -> None:
    counts: Counter[tuple[str, int]] = Counter()
    for event in stream():
        if isinstance(event, TradeSeen):
            counts[(event.symbol, -(-event.ts // STEP))] += 1
    assert np.mean([n >= 50 for n in counts.values()]) > 0.4


def test_books_are_tight_deep_and_round_the_close() -> None:
    market = Market(BTC)
    for event in stream():
        if isinstance(event, BarsClosed):
            assert market.book is not None
            assert 0 < market.spread < 1e-4
            assert len(market.book.bids) == len(market.book.asks) == 20
            prices = [price for price, _ in market.book.bids[::-1] + market.book.asks]
            assert prices == sorted(set(prices))
            assert market.book.bids[0][0] <= event.bars[BTC].close <= market.book.asks[0][0]
            assert min(size for _, size in market.book.bids + market.book.asks) > 0
        elif event.symbol == BTC:
            market.see(event)


def test_live_only_indicators_have_something_to_read() -> None:
    leans, bases, bought, rates, turnovers = [], [], {}, set(), []
    for event in stream():
        match event:
            case BookSeen():
                bid, ask = sum(s for _, s in event.bids), sum(s for _, s in event.asks)
                leans.append((bid - ask) / (bid + ask))
            case MarkSeen():
                bases.append((event.mark - event.index) / event.index)
            case TradeSeen():
                sums = bought.setdefault((event.symbol, -(-event.ts // STEP)), [0.0, 0.0])
                sums[event.side < 0] += event.price * event.size
            case FundingSeen():
                rates.add(event.rate)
                assert event.ts < event.next_ts <= event.ts + HOURS_8
                assert event.next_ts % HOURS_8 == 0
            case TickerSeen():
                turnovers.append(event.turnover)
    shares = np.array([buy / (buy + sell) for buy, sell in bought.values()])
    assert 0.02 < np.mean(np.abs(leans) > 0.3) < 0.6
    assert 0.02 < np.mean(np.abs(bases) > 0.0005) < 0.5
    assert 0.02 < np.mean((shares >= 0.7) | (shares <= 0.3)) < 0.5
    assert len(rates) > 5
    assert min(turnovers) > 5_000_000


def test_funding_is_settled_at_0_8_and_16_utc_at_the_rate_that_was_seen() -> None:
    feed = Synthetic()
    funding = feed.funding(BTC)
    assert funding is not None
    assert (funding.ts % HOURS_8 == 0).all()
    assert (np.diff(funding.ts) == HOURS_8).all()
    assert (np.abs(funding.rate) <= 0.003).all()
    assert (funding.rate < -0.00015).mean() > 0.03, "crowded shorts happen"
    settled = dict(zip(funding.ts.tolist(), funding.rate.tolist(), strict=True))
    for event in stream():
        if isinstance(event, FundingSeen) and event.symbol == BTC:
            assert event.rate == settled[event.next_ts]


def test_coarser_history_is_made_of_the_same_bars() -> None:
    feed = Synthetic()
    five, half = feed.history(BTC, "5m"), feed.history(BTC, "30m")
    assert np.array_equal(half.open, five.open[::6])
    assert np.array_equal(half.high, five.high.reshape(-1, 6).max(axis=1))
    with pytest.raises(DataError, match="bars of 1m cannot be made"):
        feed.history(BTC, "1m")
    with pytest.raises(DataError, match=r"set feed\.timeframe"):
        asyncio.run(anext(feed.stream((BTC,), "1h", None)))  # type: ignore[arg-type]


def test_unknown_symbol_is_refused_naming_the_nearest() -> None:
    feed = Synthetic()
    for ask in (feed.instrument, feed.funding, lambda symbol: feed.history(symbol, "5m")):
        with pytest.raises(DataError, match="did you mean BTC/USDT:USDT"):
            ask("BTC/USD")


def test_settings_beyond_their_limits_are_refused() -> None:
    for wrong in ({"seed": -1}, {"count": 0}, {"count": 501}, {"timeframe": "7m"}, {"days": 0}, {"speed": -1}, {"sed": 1}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, Synthetic)


def test_symbols_are_as_many_as_counted_and_all_listed_ones_can_be_had() -> None:
    assert Synthetic(count=2).symbols() == (BTC, "ETH/USDT:USDT")
    assert len(set(Synthetic(count=24).symbols())) == 24
    assert Synthetic(count=1).instrument("TON/USDT:USDT").symbol == "TON/USDT:USDT"


def test_hundreds_of_symbols_are_on_offer_each_with_prices_of_its_own() -> None:
    feed = Synthetic(count=500)
    symbols = feed.symbols()
    assert len(set(symbols)) == 500
    assert symbols[:24] == Synthetic(count=24).symbols()
    made_up = feed.instrument(symbols[-1])
    candles = feed.history(made_up.symbol, "5m")
    assert len(candles) == 60 * 288
    assert (candles.low > 0).all()
    assert (candles.volume >= float(made_up.multiplier)).all()
