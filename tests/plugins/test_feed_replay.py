"""Recorded candles as a stream."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candle_files import START, STEP, rows, write
from enigma_core.errors import DataError
from enigma_core.market import BarsClosed, FundingSeen, MarketEvent
from enigma_plugins.feeds.replay import Replay

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"


def events(
    feed: Replay, symbols: tuple[str, ...] = (BTC, ETH), since: int | None = None, timeframe: str = "5m"
) -> list[MarketEvent]:
    async def collect() -> list[MarketEvent]:
        return [event async for event in feed.stream(symbols, timeframe, since)]

    return asyncio.run(collect())


def test_bars_of_one_close_come_together_in_the_order_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "BTCUSDT.csv", rows(9))
    write(tmp_path / "ETHUSDT.csv", rows(9))
    batches = events(Replay(data=str(tmp_path)), (ETH, BTC))
    assert [batch.ts for batch in batches] == [START + (i + 1) * STEP for i in range(9)]
    assert all(isinstance(batch, BarsClosed) and list(batch.bars) == [ETH, BTC] for batch in batches)


def test_gap_is_a_batch_without_that_bar(tmp_path: Path) -> None:
    lines = rows(9)
    write(tmp_path / "BTCUSDT-5m.csv", lines[:2] + lines[5:])
    write(tmp_path / "ETHUSDT-5m.csv", lines[:3] + lines[4:])
    batches = [batch for batch in events(Replay(data=str(tmp_path))) if isinstance(batch, BarsClosed)]
    assert [sorted(batch.bars) for batch in batches] == [[BTC, ETH]] * 2 + [[ETH]] * 2 + [[BTC, ETH]] * 4
    assert START + 4 * STEP not in [batch.ts for batch in batches]


def test_bar_ends_when_its_batch_is_told(tmp_path: Path) -> None:
    write(tmp_path / "BTCUSDT.csv", rows(30))
    for batch in events(Replay(data=str(tmp_path)), (BTC,)):
        assert isinstance(batch, BarsClosed)
        assert batch.bars[BTC].end == batch.ts == batch.bars[BTC].ts + STEP


def test_coarser_stream_has_resampled_bars(tmp_path: Path) -> None:
    write(tmp_path / "BTCUSDT.csv", rows(24))
    batches = events(Replay(data=str(tmp_path)), (BTC,), timeframe="30m")
    assert [batch.ts for batch in batches] == [START + i * 6 * STEP for i in range(1, 5)]
    assert events(Replay(data=str(tmp_path)), (BTC,), batches[1].ts, "30m") == batches[2:]


def test_funding_is_seen_only_once_it_is_settled(tmp_path: Path) -> None:
    write(tmp_path / "BTCUSDT.csv", rows(400))
    first = START // 28_800_000 * 28_800_000 + 28_800_000
    times = [first + i * 28_800_000 for i in range(-1, 3)]
    write(tmp_path / "BTCUSDT_funding.csv", [[ts, 0.0001 * (i + 1)] for i, ts in enumerate(times)], "ts_ms,funding_rate")
    found = events(Replay(data=str(tmp_path)), (BTC,))
    seen = [event for event in found if isinstance(event, FundingSeen)]
    assert [event.ts for event in seen] == [START + STEP, *times[1:]]
    assert [round(event.rate, 6) for event in seen] == [0.0001, 0.0002, 0.0003, 0.0004]
    assert [event.next_ts for event in seen] == [ts + 28_800_000 for ts in times]
    assert [event.ts for event in found] == sorted(event.ts for event in found)
    assert isinstance(found[found.index(seen[1]) + 1], BarsClosed)


def test_stream_of_no_symbols_or_unknown_ones_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "BTCUSDT.csv", rows(3))
    with pytest.raises(DataError, match="no symbols"):
        events(Replay(data=str(tmp_path)), ())
    with pytest.raises(DataError, match="did you mean BTC/USDT:USDT"):
        events(Replay(data=str(tmp_path)), ("BTC/USDT",))


def test_replay_knows_its_own_time_and_place(tmp_path: Path) -> None:
    write(tmp_path / "BTCUSDT.csv", rows(3))
    assert Replay.simulated
    assert Replay().speed == 0
    assert Replay(data=str(tmp_path), speed=600).identity() == f"replay:{tmp_path.resolve()}"


bars_there = st.lists(st.booleans(), max_size=38).map(lambda there: [True, True, *there])


@settings(max_examples=60)
@given(bars_there, bars_there, st.integers(-2, 42), st.integers(-1, 1))
def test_stream_taken_up_again_goes_on_exactly(btc: list[bool], eth: list[bool], step: int, offset: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for base, there in (("BTC", btc), ("ETH", eth)):
            write(Path(folder) / f"{base}USDT-5m.csv", itertools.compress(rows(len(there)), there))
        feed = Replay(data=folder)
        whole = events(feed)
        assert len(whole) == sum(a or b for a, b in itertools.zip_longest(btc, eth, fillvalue=False))
        since = START + step * STEP + offset
        assert events(feed, since=since) == [batch for batch in whole if batch.ts > since]
