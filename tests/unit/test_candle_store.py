"""The candle store: what went in comes out, whatever the order; a kill leaves a whole; many read while one writes."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enigma_core import candle_store
from enigma_core.candle_store import CandleStore, store_path, stores
from enigma_core.errors import DataError
from enigma_core.market import Funding
from enigma_core.model import Candles, Instrument

BTC = "BTC/USDT:USDT"
STEP = 300_000
START = 1_740_000_000_000 // STEP * STEP
NAMES = ("ts", "open", "high", "low", "close", "volume")


def bars(first: int, count: int, price: float = 100.0) -> Candles:
    ts = START + np.arange(first, first + count, dtype=np.int64) * STEP
    close = price + np.sin(np.arange(first, first + count))
    return Candles.of(BTC, "5m", ts, close, close + 1, close - 1, close, np.full(count, 2.5))


def columns(candles: Candles) -> list[list[float]]:
    return [getattr(candles, name).tolist() for name in NAMES]


def span(first: int, last: int) -> tuple[int, int]:
    return START + first * STEP, START + last * STEP


@pytest.fixture
def store(tmp_path: Path) -> CandleStore:
    return CandleStore(tmp_path / "candles" / "m.sqlite", "market")


def test_what_was_written_is_read_to_the_bit(store: CandleStore) -> None:
    written = bars(0, 25_000)
    assert store.write(written) == 25_000
    assert columns(store.read(BTC, "5m")) == columns(written)
    part = store.read(BTC, "5m", START + 9_990 * STEP + 1, START + 10_010 * STEP)
    assert columns(part) == columns(written[9_991:10_010])
    assert not part.close.flags.writeable
    assert len(store.read("ETH/USDT:USDT", "5m")) == 0
    assert store.write(written[100:200]) == 0


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 120), st.integers(0, 40), st.integers(0, 10), st.sampled_from([100.0, 101.0, 102.0])),
        min_size=1,
        max_size=12,
    )
)
def test_x18_any_order_of_writes_and_corrections_gives_the_same_bars(writes: list[tuple[int, int, int, float]]) -> None:
    before = candle_store.CHUNK, candle_store.ROWS
    candle_store.CHUNK, candle_store.ROWS = 16, 4
    try:
        with tempfile.TemporaryDirectory() as folder, CandleStore(Path(folder) / "m.sqlite", "market") as store:
            expected: dict[int, list[float]] = {}
            asked: set[int] = set()
            for first, count, more, price in writes:
                written = bars(first, count, price)
                store.write(written, span(first, first + count + more))
                expected |= {int(ts): row for ts, *row in zip(*columns(written), strict=True)}
                asked |= {START + n * STEP for n in range(first, first + count + more)}
            found = store.read(BTC, "5m")
            assert [int(ts) for ts in found.ts] == sorted(expected)
            assert [row for _, *row in zip(*columns(found), strict=True)] == [expected[ts] for ts in sorted(expected)]
            inner = store.read(BTC, "5m", START + 30 * STEP, START + 77 * STEP)
            assert [int(ts) for ts in inner.ts] == [ts for ts in sorted(expected) if START + 30 * STEP <= ts < START + 77 * STEP]
            spans = store.asked(BTC, "5m")
            assert {ts for a, b in spans for ts in range(a, b, STEP)} == asked
            assert all(one[1] < other[0] for one, other in itertools.pairwise(spans))
            missing = {ts for a, b in store.missing(BTC, "5m", *span(0, 170)) for ts in range(a, b, STEP)}
            assert missing == {START + n * STEP for n in range(170)} - asked
            store.verify()
    finally:
        candle_store.CHUNK, candle_store.ROWS = before


def test_a_bar_missing_where_it_was_asked_for_is_a_gap_and_elsewhere_only_not_fetched_yet(store: CandleStore) -> None:
    store.write(bars(0, 10), span(0, 20))
    store.write(bars(15, 5), span(15, 20))
    store.write(bars(30, 10), span(30, 40))
    kept = store.kept(BTC, "5m")
    assert (kept.bars, kept.missing, kept.gaps) == (25, 5, (span(10, 15),))
    assert store.missing(BTC, "5m", *span(0, 40)) == [span(20, 30)]
    store.write(bars(0, 0), span(20, 30))
    assert store.missing(BTC, "5m", *span(0, 40)) == []
    assert store.kept(BTC, "5m").gaps == (span(10, 15), span(20, 30))


def test_a_week_begins_on_monday_here_too(store: CandleStore) -> None:
    monday = 1_740_355_200_000
    assert store.missing(BTC, "1w", monday + 1, monday + 3 * 604_800_000) == [(monday + 604_800_000, monday + 3 * 604_800_000)]


def test_funding_and_instruments_are_kept_beside(store: CandleStore) -> None:
    assert store.funding(BTC) is None
    settled = Funding(np.array([1, 2, 3], np.int64) * 28_800_000, np.array([1e-4, -2e-4, 3e-4]))
    store.write_funding(BTC, settled, (0, 200_000_000))
    found = store.funding(BTC, 28_800_001)
    assert found is not None
    assert (found.ts.tolist(), found.rate.tolist()) == ([57_600_000, 86_400_000], [-2e-4, 3e-4])
    assert store.missing_funding(BTC, 0, 300_000_000) == [(200_000_000, 300_000_000)]
    listed = Instrument(symbol=BTC, tick=Decimal("0.1"), multiplier=Decimal("0.001"), max_quantity=Decimal(1_000_000))
    store.write_instrument(listed)
    assert store.instrument(BTC) == listed
    assert store.instrument("ETH/USDT:USDT") is None
    assert store.series() == []


def test_series_are_listed_by_name_and_length_and_can_be_forgotten(store: CandleStore) -> None:
    store.write(hourly(3))
    store.write(bars(0, 3))
    assert store.series() == [(BTC, "5m"), (BTC, "1h")]
    store.forget(BTC, "5m")
    assert store.series() == [(BTC, "1h")]
    assert store.asked(BTC, "5m") == []


def hourly(count: int) -> Candles:
    ts = START // 3_600_000 * 3_600_000 + np.arange(count, dtype=np.int64) * 3_600_000
    close = np.full(count, 100.0)
    return Candles.of(BTC, "1h", ts, close, close, close, close, close)


@pytest.mark.parametrize(
    ("column", "value"),
    [("open", float("nan")), ("low", 0.0), ("high", float("inf")), ("close", 500.0), ("volume", -1.0), ("ts", START + 1)],
)
def test_a_bar_that_cannot_be_is_refused_and_nothing_of_its_page_is_kept(store: CandleStore, column: str, value: float) -> None:
    page = {name: getattr(bars(0, 5), name).copy() for name in NAMES}
    page[column][3] = value
    with pytest.raises(DataError, match=r"BTC/USDT:USDT 5m: the bar of \d+ cannot be kept"):
        store.write(Candles.of(BTC, "5m", *page.values()))
    assert len(store.read(BTC, "5m")) == 0
    assert store.asked(BTC, "5m") == []


def test_a_write_that_fails_half_way_leaves_the_file_as_it_was(store: CandleStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write(bars(0, 9_000))
    monkeypatch.setattr(candle_store, "crc32", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        store.write(bars(9_000, 12_000))
    monkeypatch.undo()
    assert columns(store.read(BTC, "5m")) == columns(bars(0, 9_000))
    assert store.asked(BTC, "5m") == [span(0, 9_000)]
    assert store.write(bars(9_000, 12_000)) == 12_000


WRITER = """
import sys
sys.path[:0] = {path!r}
from test_candle_store import *
with CandleStore({file!r}, "market") as store:
    for n in range(10_000):
        store.write(bars(n * 700, 700), span(n * 700, (n + 1) * 700))
        print(n, flush=True)
"""


def test_a_killed_writer_leaves_whole_pages_and_the_next_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "m.sqlite"
    code = WRITER.format(path=[str(Path(__file__).parent)], file=str(file))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        # readers beside a writer see whole pages only
        told = 0
        while told < 40:
            told = int(process.stdout.readline())
            with CandleStore(file, reading=True) as reader:
                found = reader.read(BTC, "5m")
                assert len(found) % 700 == 0
                assert len(found) >= told * 700
        process.send_signal(signal.SIGKILL)
    with CandleStore(file, "market") as store:
        store.verify()
        pages = len(store.read(BTC, "5m")) // 700
        assert pages > 40
        assert columns(store.read(BTC, "5m")) == columns(bars(0, pages * 700))
        assert store.asked(BTC, "5m") == [span(0, pages * 700)]
        store.write(bars(pages * 700, 700))


def test_threads_share_one_store_and_processes_one_file(tmp_path: Path) -> None:
    file = tmp_path / "m.sqlite"
    shared = CandleStore(file, "market")
    other = CandleStore(file, "market")
    faults: list[BaseException] = []

    def work(store: CandleStore, number: int) -> None:
        try:
            for n in range(20):
                at = (n * 8 + number) * 50
                store.write(bars(at, 50), span(at, at + 50))
                assert len(store.read(BTC, "5m")) >= 50
        except BaseException as error:  # noqa: BLE001 - handed to the test
            faults.append(error)

    threads = [threading.Thread(target=work, args=((shared, other)[n % 2], n)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert columns(shared.read(BTC, "5m")) == columns(bars(0, 8_000))
    shared.close()
    other.close()


def test_a_million_bars_are_read_within_a_tenth_of_a_second(tmp_path: Path) -> None:
    with CandleStore(tmp_path / "m.sqlite", "market") as store:
        store.write(bars(0, 1_000_000))
        best = 9.0
        for _ in range(20):
            began = time.perf_counter()
            found = store.read(BTC, "5m")
            best = min(best, time.perf_counter() - began)
            if best < 0.1:
                break
        assert len(found) == 1_000_000
        assert best < 0.1


def test_a_file_of_another_market_or_program_or_of_tomorrow_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "m.sqlite"
    CandleStore(file, "one").close()
    with pytest.raises(DataError, match="holds candles of one, not of other: name another file"):
        CandleStore(file, "other")
    foreign = tmp_path / "foreign.sqlite"
    with sqlite3.connect(foreign) as db:
        db.execute("CREATE TABLE t (a)")
    db.close()
    before = foreign.read_bytes()
    for reading in (False, True):
        with pytest.raises(DataError, match="holds no candles: another program made it"):
            CandleStore(foreign, "one", reading=reading)
    assert foreign.read_bytes() == before
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(DataError, match="has format 99, and this version reads up to 1"):
        CandleStore(file, reading=True)


def test_damage_is_a_sentence_with_a_remedy(tmp_path: Path) -> None:
    file = tmp_path / "m.sqlite"
    with pytest.raises(DataError, match="there are no candles here; enigma download fetches some"):
        CandleStore(file, reading=True)
    with CandleStore(file, "one") as store:
        store.write(bars(0, 30_000))
    whole = file.read_bytes()
    file.write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(DataError, match="is damaged"):
        CandleStore(file, "one")
    found: list[int] = []
    for at in range(200_000, len(whole), len(whole) // 7):
        file.write_bytes(whole[:at] + bytes(b ^ 0xFF for b in whole[at : at + 64]) + whole[at + 64 :])
        with contextlib.ExitStack() as stack, contextlib.suppress(DataError):
            stack.callback(found.append, at)
            with CandleStore(file, "one") as store:
                store.verify()
            stack.pop_all()
    assert len(found) >= 5
    file.write_bytes(b"")
    with CandleStore(file, "one") as store:
        assert store.series() == []


def test_a_store_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot be used .*; check the folder's rights"):
        CandleStore(tmp_path / "file" / "m.sqlite", "one")
    store = CandleStore(tmp_path / "m.sqlite", "one")
    store.close()
    store.close()
    with pytest.raises(DataError, match="has been closed already"):
        store.read(BTC, "5m")


def test_each_market_has_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store_path("kucoin", tmp_path) == tmp_path / "candles" / "kucoin.sqlite"
    names = {store_path(market, tmp_path).name for market in ("a:b", "a b", "A-b", "a-b", "x" * 200, "x" * 201, "../..", "..")}
    assert len(names) == 8
    assert all("/" not in name and name.endswith(".sqlite") and len(name) < 90 for name in names)
    monkeypatch.setenv("ENIGMA_HOME", str(tmp_path / "home"))
    assert stores() == []
    CandleStore.of("kucoin").close()
    assert stores() == [tmp_path / "home" / "candles" / "kucoin.sqlite"]
    assert os.listdir(tmp_path / "home" / "candles") == ["kucoin.sqlite"]
