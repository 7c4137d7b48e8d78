"""The feeds on real candles of several venues."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from enigma_core.market import BarsClosed
from enigma_plugins.feeds.csv import Csv
from enigma_plugins.feeds.replay import Replay


def test_gaps_of_real_candles_are_counted(market_data: Path) -> None:
    report = Csv(data=str(market_data / "candles" / "gaps")).report()
    one, five = report["UNITTEST/BTC:BTC"], report["ADA/BTC:BTC"]
    assert (one.timeframe, one.bars, one.gaps, one.missing, one.longest_gap, one.duplicates) == ("1m", 13_681, 538, 717, 7, 0)
    assert (five.timeframe, five.bars, five.gaps, five.missing, five.longest_gap, five.duplicates) == ("5m", 5_720, 5, 40, 33, 0)


@pytest.mark.parametrize(
    ("folder", "symbols", "timeframe"),
    [
        ("binance_usdm_5m", "ADA BNB BTC ETH LINK LTC SOL XRP", "5m"),
        ("binance_usdm_1m", "BTC ETH", "1m"),
        ("kucoin_15m", "BTC ETH SOL", "15m"),
    ],
)
def test_real_candles_without_gaps_are_whole(market_data: Path, folder: str, symbols: str, timeframe: str) -> None:
    feed = Csv(data=str(market_data / "candles" / folder))
    assert feed.symbols() == tuple(f"{base}/USDT:USDT" for base in symbols.split())
    assert feed.base_timeframe() == timeframe
    for symbol, report in feed.report().items():
        assert (report.gaps, report.duplicates) == (0, 0)
        instrument = feed.instrument(symbol)
        candles = feed.history(symbol, timeframe)
        for prices in (candles.open, candles.high, candles.low, candles.close):
            assert np.array_equal(instrument.snap(prices), prices)


def test_prices_near_zero_keep_their_grid(market_data: Path) -> None:
    instrument = Csv(data=str(market_data / "candles" / "gaps")).instrument("ADA/BTC:BTC")
    assert (instrument.tick, instrument.lot) == (Decimal("1E-8"), Decimal(10_000))


def test_real_funding_is_read_for_every_symbol_that_has_some(market_data: Path) -> None:
    feed = Csv(data=str(market_data / "candles" / "binance_usdm_5m"), funding_data=str(market_data / "funding"))
    for symbol in feed.symbols():
        funding = feed.funding(symbol)
        assert funding is not None
        assert len(funding.ts) == len(funding.rate) >= 266
        assert (np.diff(funding.ts) > 0).all()
        assert (funding.ts % 3_600_000 == 0).all()


def test_replay_of_real_candles_gives_every_bar_of_the_history(market_data: Path) -> None:
    feed = Replay(data=str(market_data / "candles" / "binance_usdm_5m"))
    symbols = feed.symbols()

    async def bars() -> dict[str, list[tuple[float, ...]]]:
        found: dict[str, list[tuple[float, ...]]] = {symbol: [] for symbol in symbols}
        async for event in feed.stream(symbols, "5m", None):
            assert isinstance(event, BarsClosed)
            for symbol, bar in event.bars.items():
                found[symbol].append((bar.ts, bar.open, bar.high, bar.low, bar.close, bar.volume))
        return found

    for symbol, seen in asyncio.run(bars()).items():
        c = feed.history(symbol, "5m")
        assert seen == list(zip(*(x.tolist() for x in (c.ts, c.open, c.high, c.low, c.close, c.volume)), strict=True))
