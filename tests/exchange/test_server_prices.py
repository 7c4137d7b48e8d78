"""Prices in real time: bars unfold into ticks that make the same bars, and a track goes on without a seam."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enigma_core.errors import ConfigError, DataError
from enigma_core.market import BarsClosed, BookSeen, FundingSeen, MarkSeen, TradeSeen
from enigma_core.model import Bar, Instrument
from enigma_plugins.feeds.replay import Replay
from enigma_plugins.feeds.synthetic import Synthetic
from enigma_sandbox.markets import Setup, market
from enigma_sandbox.prices import Prices
from enigma_sandbox.ticks import Ticks, corners
from enigma_sandbox.tracks import DAY, MadeUp, Recorded, whole

NOW = 1_795_888_252_895
MINUTE = 60_000
BTC = "BTC/USDT:USDT"
GRID = Instrument(symbol=BTC, tick=Decimal("0.5"), multiplier=Decimal("0.01"))


def made_up(count: int = 2, days: int = 3) -> Prices:
    return Prices(MadeUp(Synthetic(count=count, timeframe="1m"), days, NOW), 500)


@given(
    prices=st.lists(st.integers(1, 4_000), min_size=4, max_size=4),
    lots=st.integers(4, 100_000),
    number=st.integers(0, 10_000),
    step=st.sampled_from((500, 1_000, 7_000, 15_000)),
)
def test_the_bar_made_of_a_bars_ticks_is_that_bar(prices: list[int], lots: int, number: int, step: int) -> None:
    low, *inner, high = sorted(prices)
    levels = [0.5 * p for p in (inner[0], high, low, inner[1])]
    bar = Bar(BTC, number * MINUTE, number * MINUTE + MINUTE, *levels, lots * 0.01)
    ticks = Ticks(bar, GRID, step)
    assert list(ticks.minutes(MINUTE)) == [(bar.ts, *levels, lots)]
    assert all(bar.ts <= ts < bar.end for ts in ticks.times)
    assert all(p * 2 == int(p * 2) for p in ticks.prices)


def test_a_bar_of_few_lots_has_no_more_trades_than_lots() -> None:
    bar = Bar(BTC, 0, MINUTE, 10.0, 11.0, 9.0, 10.5, 0.02)
    ticks = Ticks(bar, GRID, 1_000)
    trades = [trade for i in range(60) if (trade := ticks.trade(i, BTC)) is not None]
    assert [trade.price for trade in trades] == [10.0, 10.5]
    assert sum(trade.size for trade in trades) == pytest.approx(0.02)


def test_books_are_one_tick_wide_and_never_crossed() -> None:
    bar = Bar(BTC, 0, MINUTE, 10.0, 11.0, 9.0, 10.5, 50.0)
    ticks = Ticks(bar, GRID, 1_000)
    for i in range(60):
        book = ticks.book(i, BTC)
        assert book.asks[0][0] - book.bids[0][0] == 0.5
        assert ticks.prices[i] in (book.asks[0][0], book.bids[0][0])
        assert [p for p, _ in book.bids] == sorted((p for p, _ in book.bids), reverse=True)
        assert min(size for _, size in (*book.bids, *book.asks)) >= 0.01


def test_corners_reach_the_bars_extremes_in_order_of_time() -> None:
    bar = Bar(BTC, 0, MINUTE, 10.0, 11.0, 9.0, 10.5, 50.0)
    trades = [event for event in corners(bar, GRID) if isinstance(event, TradeSeen)]
    assert [trade.price for trade in trades] == [10.0, 9.0, 11.0, 10.5]
    assert [trade.ts for trade in trades] == [0, 19_999, 39_999, 59_999]


def test_the_same_span_gives_the_same_events_in_whatever_pieces() -> None:
    whole = list(made_up().between(NOW, NOW + 3 * MINUTE))
    prices, pieces, at = made_up(), [], NOW
    while at < NOW + 3 * MINUTE:
        until = min(at + 777, NOW + 3 * MINUTE)
        pieces += prices.between(at, until)
        at = until
    assert pieces == whole
    assert [event.ts for event in whole] == sorted(event.ts for event in whole)


def test_trades_make_the_bars_that_are_told_at_their_close() -> None:
    seen: dict[str, list[TradeSeen]] = {}
    bars = 0
    for event in made_up().between(NOW, NOW + 4 * MINUTE):
        if isinstance(event, TradeSeen):
            seen.setdefault(event.symbol, []).append(event)
        elif isinstance(event, BarsClosed):
            for symbol, bar in event.bars.items():
                trades = [trade for trade in seen[symbol] if bar.ts <= trade.ts < bar.end]
                if bar.ts < NOW:
                    continue  # its beginning was not seen
                bars += 1
                prices = [trade.price for trade in trades]
                assert (prices[0], max(prices), min(prices), prices[-1]) == (bar.open, bar.high, bar.low, bar.close)
                assert sum(trade.size for trade in trades) == pytest.approx(bar.volume)
    assert bars == 6


def test_the_history_ends_where_the_market_goes_on() -> None:
    prices = made_up()
    history = prices.history(NOW)
    assert set(history) == set(prices.symbols)
    candles = history[BTC]
    assert int(candles.ts[-1]) + MINUTE <= NOW < int(candles.ts[-1]) + 2 * MINUTE
    first = next(e for e in prices.between(NOW, NOW + 2 * MINUTE) if isinstance(e, BarsClosed))
    assert first.bars[BTC].ts == int(candles.ts[-1]) + MINUTE
    assert first.bars[BTC].open == candles.close[-1]
    assert np.all(np.diff(candles.ts) == MINUTE)


def test_an_opening_tells_book_mark_funding_and_turnover_of_every_contract() -> None:
    prices = made_up()
    told = list(prices.opening(NOW))
    for symbol in prices.symbols:
        assert {type(event).__name__ for event in told if getattr(event, "symbol", "") == symbol} >= {
            "BookSeen",
            "MarkSeen",
            "FundingSeen",
            "TickerSeen",
        }
    funding = next(event for event in told if isinstance(event, FundingSeen))
    assert funding.ts < funding.next_ts <= funding.ts + 8 * 60 * MINUTE
    assert funding.next_ts % (8 * 60 * MINUTE) == 0
    mark = next(event for event in told if isinstance(event, MarkSeen) and event.symbol == BTC)
    book = next(event for event in told if isinstance(event, BookSeen) and event.symbol == BTC)
    assert abs(mark.mark / book.bids[0][0] - 1) < 1e-3


def test_what_was_missed_is_told_by_the_corners_of_every_bar() -> None:
    prices = made_up()
    told = list(prices.missed(NOW, NOW + 30 * MINUTE, (BTC,)))
    assert [event.ts for event in told] == sorted(event.ts for event in told)
    closes = [event for event in told if isinstance(event, BarsClosed)]
    assert len(closes) == 30
    whole = [bar for event in closes for bar in event.bars.values() if bar.symbol == BTC and bar.ts >= NOW]
    trades = [event.price for event in told if isinstance(event, TradeSeen)]
    assert max(trades) >= max(bar.high for bar in whole)
    assert min(trades) <= min(bar.low for bar in whole)


def test_a_market_that_is_opened_again_stands_where_it_would_have_stood() -> None:
    first = MadeUp(Synthetic(timeframe="1m"), 3, NOW)
    later = MadeUp(Synthetic(timeframe="1m"), 3, NOW + 5 * DAY, first.shift)
    span = (NOW + DAY, NOW + DAY + 30 * MINUTE)
    assert np.array_equal(first.bars(BTC, *span).close, later.bars(BTC, *span).close)
    assert MadeUp(Synthetic(timeframe="1m"), 3, NOW + 5 * DAY).shift != first.shift


def candles(folder: Path, bars: int = 400) -> Path:
    wave = [100 + 10 * np.sin(i / 20) for i in range(bars + 1)]
    rows = ["ts_ms,open,high,low,close,volume"]
    for i in range(bars):
        open_, close = round(wave[i], 2), round(wave[i + 1], 2)
        high, low = round(max(open_, close) + 0.5, 2), round(min(open_, close) - 0.5, 2)
        rows.append(f"{1_700_000_100_000 + i * 300_000},{open_},{high},{low},{close},{1000 + i}")
    (folder / "BTCUSDT-5m.csv").write_text("\n".join(rows))
    return folder


def test_a_recording_ends_at_now_and_then_goes_on_for_ever_without_a_jump(tmp_path: Path) -> None:
    track = Recorded(Replay(data=str(candles(tmp_path))), NOW)
    bars = track.bars(BTC, track.begins, NOW + 20 * DAY)
    assert np.all(np.diff(bars.ts) == 300_000)
    assert int(bars.ts[-1]) + 300_000 >= NOW + 20 * DAY
    assert np.allclose(bars.open[1:], bars.close[:-1])
    assert np.all(bars.high >= np.maximum(bars.open, bars.close))
    past = track.bars(BTC, track.begins, NOW)
    assert 270 < len(past) < 330
    again = Recorded(Replay(data=str(tmp_path)), NOW + 9 * DAY, track.shift)
    assert np.array_equal(again.bars(BTC, NOW, NOW + DAY).close, track.bars(BTC, NOW, NOW + DAY).close)


def test_a_recording_is_asked_for_in_pieces_as_in_one(tmp_path: Path) -> None:
    track = Recorded(Replay(data=str(candles(tmp_path))), NOW)
    start, end = track.begins, NOW + 5 * DAY
    whole = track.bars(BTC, start, end)
    pieces = [track.bars(BTC, at, min(at + 7_000_000, end)) for at in range(start, end, 7_000_000)]
    assert np.array_equal(np.concatenate([p.ts for p in pieces]), whole.ts)
    assert np.array_equal(np.concatenate([p.close for p in pieces]), whole.close)


def test_a_recording_without_funding_settles_every_eight_hours(tmp_path: Path) -> None:
    track = Recorded(Replay(data=str(candles(tmp_path))), NOW)
    found = track.settlements(BTC, NOW, NOW + DAY)
    assert len(found.ts) == 3
    assert np.all(found.ts % 28_800_000 == 0)


def test_a_recording_of_fractions_of_a_coin_is_traded_in_whole_contracts(tmp_path: Path) -> None:
    (tmp_path / "BTCUSDT-5m.csv").write_text(
        "ts_ms,open,high,low,close,volume\n"
        + "".join(f"{1_700_000_100_000 + i * 300_000},93000.1,93001.2,92999.7,93000.4,1.00037\n" for i in range(400))
    )
    feed = Replay(data=str(tmp_path))
    bare, shown = feed.instrument(BTC), market(Setup(data=str(tmp_path)), NOW).instrument(BTC)
    assert bare.lot < 1
    assert shown.lot == shown.min_quantity == 1
    assert shown.notional(Decimal(7), Decimal(93_000)) == bare.notional(7 * bare.lot, Decimal(93_000))
    assert whole(Instrument(symbol=BTC, lot=Decimal(5))) == Instrument(symbol=BTC, lot=Decimal(5))
    odd = whole(Instrument(symbol=BTC, lot=Decimal("0.3"), min_quantity=Decimal(1), max_quantity=Decimal(1)))
    assert (odd.lot, odd.multiplier, odd.min_quantity, odd.max_quantity) == (1, Decimal("0.0003"), 4, 3)


def test_a_recording_that_is_too_short_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="less than eight bars"):
        Recorded(Replay(data=str(candles(tmp_path, 5))), NOW)


def test_a_market_that_cannot_be_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"--feed nonsense: there is no such feed; there are .*synthetic"):
        market(Setup(feed="nonsense"), NOW)
    with pytest.raises(ConfigError, match="leave one of the two out"):
        market(Setup(feed="kucoin", data="x"), NOW)
    with pytest.raises(ConfigError, match="name their folder by --data"):
        market(Setup(feed="replay"), NOW)
    with pytest.raises(DataError, match="did you mean"):
        market(Setup(symbols=("BTG",)), NOW)
    with pytest.raises(DataError, match="there is no such folder"):
        market(Setup(data="/nowhere/at/all"), NOW)


def test_symbols_are_understood_in_short(tmp_path: Path) -> None:
    assert market(Setup(symbols=("BTC", "ETH/USDT", "BTC/USDT"), days=1), NOW).symbols == (BTC, "ETH/USDT:USDT")
    many = market(Setup(count=30, days=60), NOW)
    assert len(many.symbols) == 30
    assert many.timeframe == "5m"
    assert market(Setup(count=100, days=9), NOW).timeframe == "1m"
    assert market(Setup(data=str(candles(tmp_path))), NOW).symbols == (BTC,)
