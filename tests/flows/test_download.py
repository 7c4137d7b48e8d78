"""`enigma download`: history once and for all, going on where it stopped, with what is missing; and what trades it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from click.testing import CliRunner, Result

from enigma_core.candle_store import CandleStore, stores
from enigma_core.cli import root
from enigma_core.cli.download import PAGE, _fetched, _funding, _plan
from enigma_core.errors import ConfigError, DataError
from enigma_core.market import Funding
from enigma_core.model import Candles, Instrument
from enigma_core.parts import Feed
from enigma_plugins.feeds.csv import Csv
from enigma_plugins.feeds.kucoin import Kucoin
from enigma_plugins.feeds.replay import Replay
from enigma_plugins.feeds.synthetic import Synthetic

ENIGMA = [sys.executable, "-c", "from enigma_core.cli import main; main()"]
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
MARCH = "20260310-20260320"
STEP = 300_000


def call(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(root, ["download", *map(str, words)])
    assert result.exit_code == code, result.output
    return result


def told(*words: object) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(call(*words, "--json").output)
    return answer


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENIGMA_HOME", str(tmp_path / "home"))


class Venue(Feed, frozen=True, kw_only=True):
    """Bars of every five minutes but those in `holes`; counts what it is asked, and fails when told to."""

    name = "venue"
    asked: ClassVar[list[tuple[int, int]]] = []

    holes: tuple[int, ...] = ()
    fails_at: int | None = None

    def symbols(self) -> tuple[str, ...]:
        return (BTC,)

    def instrument(self, symbol: str) -> Instrument:
        return Instrument(symbol=symbol)

    def base_timeframe(self) -> str:
        return "5m"

    def history(self, symbol: str, timeframe: str, start: int | None = None, end: int | None = None) -> Candles:
        assert start is not None
        assert end is not None
        self.asked.append((start, end))
        if len(self.asked) == self.fails_at:
            raise DataError("the exchange does not answer: try again later")
        ts = np.array([t for t in range(start, end, STEP) if t not in self.holes], np.int64)
        price = np.full(len(ts), 100.0)
        return Candles.of(symbol, timeframe, ts, price, price, price, price, price)

    def funding(self, symbol: str) -> Funding | None:
        ts = np.arange(100, dtype=np.int64) * 28_800_000
        return Funding(ts, np.full(100, 1e-4))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CandleStore]:
    Venue.asked.clear()
    with CandleStore(tmp_path / "v.sqlite", "venue") as made:
        yield made


def fetched(feed: Feed, store: CandleStore, span: tuple[int, int], again: bool = False) -> Sequence[dict[str, Any]]:
    return _fetched(feed, store, (BTC,), ("5m",), span, again, False)[0]


def test_history_is_fetched_once_and_the_same_bars_trade_as_from_the_feed(tmp_path: Path) -> None:
    first = told("--feed", "synthetic", "-p", BTC, "-p", "eth", "-i", "15m", "-i", "5m", "--timerange", MARCH)
    assert [(one["symbol"], one["timeframe"], one["new"], one["missing"]) for one in first["series"]] == [
        (symbol, timeframe, count, 0) for symbol in (BTC, ETH) for timeframe, count in (("5m", 3_168), ("15m", 1_056))
    ]
    assert first["funding"] == {BTC: {"settlements": 33}, ETH: {"settlements": 33}}
    again = told("--feed", "synthetic", "-p", BTC, "-p", "eth", "-i", "15m", "-i", "5m", "--timerange", MARCH)
    assert [one["new"] for one in again["series"]] == [0, 0, 0, 0]
    assert [one["bars"] for one in again["series"]] == [one["bars"] for one in first["series"]]
    (path,) = stores()
    assert str(path) == first["path"]
    whole = Synthetic().history(BTC, "5m", first["series"][0]["first_ts"], first["series"][0]["last_ts"] + STEP)
    for feed in (Csv(data=str(path)), Replay(data=str(path)), Csv(data=str(path.parent))):
        kept = feed.history(BTC, "5m")
        assert all((getattr(kept, name) == getattr(whole, name)).all() for name in ("ts", "open", "high", "low", "close", "volume"))
        assert feed.symbols() == (BTC, ETH)
        assert feed.base_timeframe() == "5m"
        assert feed.instrument(BTC) == Synthetic().instrument(BTC)
        assert len(feed.history(BTC, "1h")) == 264
        assert not any(feed.report().values())


def test_a_backtest_reads_what_was_downloaded() -> None:
    path = told("--feed", "synthetic", "-p", BTC, "--timerange", MARCH)["path"]
    result = CliRunner().invoke(root, ["backtest", "--data", path, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert (found["symbols"], found["base_timeframe"], found["bars"]) == ([BTC], "5m", 3_168)
    assert not any("funding" in note for note in found["notes"])


def test_a_killed_download_goes_on_where_it_was(tmp_path: Path) -> None:
    words = ["download", "--feed", "synthetic", "-p", BTC, "-i", "5m", "--timerange", "20250101-20261101", "--no-funding"]
    with subprocess.Popen([*ENIGMA, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if (there := stores()) and there[0].stat().st_size:
                try:
                    with CandleStore(there[0], reading=True) as reader:
                        if len(reader.read(BTC, "5m")) >= 2 * PAGE:
                            break
                except DataError:
                    pass  # it is being made
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    (path,) = stores()
    with CandleStore(path, reading=True) as reader:
        before = len(reader.read(BTC, "5m"))
    assert 2 * PAGE <= before < 193_000
    found = told(*words[1:])["series"][0]
    assert found["bars"] == 670 * 288
    assert found["new"] == found["bars"] - before
    assert found["gaps"] == []


def test_after_a_failure_what_came_is_kept_and_only_the_rest_is_asked_for(store: CandleStore) -> None:
    span = (0, 3 * PAGE * STEP)
    with pytest.raises(DataError, match=r"does not answer: .*\(what came before is kept: the same command goes on from there\)"):
        fetched(Venue(fails_at=3), store, span)
    Venue.asked.clear()
    (found,) = fetched(Venue(), store, span)
    assert Venue.asked == [(2 * PAGE * STEP, 3 * PAGE * STEP)]
    assert (found["bars"], found["new"]) == (3 * PAGE, PAGE)


def test_whoever_interrupts_it_is_told_that_nothing_is_lost(
    store: CandleStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Candles:
        raise KeyboardInterrupt

    monkeypatch.setattr(Venue, "history", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetched(Venue(), store, (0, 100 * STEP))
    assert "Interrupted: what came before is kept: the same command goes on from there" in capsys.readouterr().err


def test_holes_of_the_venue_are_reported_and_not_asked_for_again(store: CandleStore) -> None:
    holes = tuple(n * STEP for n in (10, 11, 12, 50))
    span = (0, 100 * STEP)
    (found,) = fetched(Venue(holes=holes), store, span)
    assert (found["bars"], found["missing"], found["longest_gap"]) == (96, 4, 3)
    assert [gap["bars"] for gap in found["gaps"]] == [3, 1]
    Venue.asked.clear()
    fetched(Venue(holes=holes), store, span)
    assert Venue.asked == []
    # the venue may have mended them
    (mended,) = fetched(Venue(), store, span, again=True)
    assert (mended["bars"], mended["new"], mended["missing"]) == (100, 4, 0)


def test_a_bar_that_is_still_open_is_left_until_it_is_over(store: CandleStore) -> None:
    fetched(Venue(), store, (0, 100 * STEP + 1))
    fetched(Venue(), store, (0, 101 * STEP - 1))
    assert Venue.asked == [(0, 100 * STEP)]
    fetched(Venue(), store, (0, 101 * STEP))
    assert Venue.asked[1:] == [(100 * STEP, 101 * STEP)]


def test_the_newest_bars_are_asked_for_again_until_nobody_corrects_them(store: CandleStore) -> None:
    now = int(time.time() * 1000) // STEP * STEP
    (found,) = fetched(Venue(holes=(now - STEP,)), store, (now - 100 * STEP, now))
    assert found["bars"] == 99
    (found,) = fetched(Venue(), store, (now - 100 * STEP, now))
    assert (found["bars"], found["new"]) == (100, 1)
    assert now - Venue.asked[1][0] <= 4 * STEP


def test_funding_is_kept_for_the_time_that_was_asked(store: CandleStore) -> None:
    found, notes = _funding(Venue(), store, (BTC,), (28_800_000, 10 * 28_800_000), False)
    assert (found, notes) == ({BTC: {"settlements": 9}}, [])
    settled = store.funding(BTC)
    assert settled is not None
    assert settled.ts[0] == 28_800_000


def test_what_is_kept_can_be_listed_and_written_into_files(tmp_path: Path) -> None:
    assert "There are no candles yet" in call("--list").output
    words = ("--feed", "synthetic", "-p", BTC, "-i", "1h", "--timerange", MARCH)
    files = told(*words, "--export", tmp_path / "csv")["files"]
    assert [Path(file).name for file in files] == ["BTC_USDT_USDT-1h.csv", "BTC_USDT_USDT_funding.csv"]
    told(*words, "--export", tmp_path / "parquet", "--format", "parquet")
    (path,) = stores()
    kept = Csv(data=str(path))
    for folder in ("csv", "parquet"):
        read = Csv(data=str(tmp_path / folder))
        assert all(
            (getattr(read.history(BTC, "1h"), n) == getattr(kept.history(BTC, "1h"), n)).all() for n in ("ts", "close", "volume")
        )
        one, other = read.funding(BTC), kept.funding(BTC)
        assert one is not None
        assert other is not None
        assert one.rate.tolist() == other.rate.tolist()
    (row,) = told("--list")["kept"]
    assert (row["symbol"], row["timeframe"], row["bars"], row["settlements"]) == (BTC, "1h", 264, 33)
    assert "264" in call("--list").output


def test_a_hole_that_was_never_fetched_is_told_to_who_trades_over_it() -> None:
    for days in ("20260310-20260311", "20260315-20260316"):
        told("--feed", "synthetic", "-p", BTC, "--timerange", days)
    (path,) = stores()
    report = Csv(data=str(path)).report()[BTC]
    assert "1 gap (864 bars missing" in str(report)
    assert "864 bars of these were never fetched: enigma download fetches them" in str(report)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--days", 3, "--timerange", MARCH), "--days and --timerange both say how much"),
        (("--timerange", "29990101-29990201"), "it has not begun yet"),
        (("-i", "7m"), "timeframe '7m' has no fixed UTC boundaries"),
        (("-p", "NOSUCH"), "the feed has no such symbol"),
        (("--days", 0), "not in the range"),
    ],
)
def test_what_cannot_be_fetched_is_a_sentence(words: Sequence[object], said: str) -> None:
    code = 2 if words[0] == "--days" else 1
    result = call("--feed", "synthetic", *words, code=code)
    assert said in result.output + result.stderr
    assert "Traceback" not in result.output


def test_a_setting_of_the_exchange_needs_no_name_of_it() -> None:
    assert _plan(None, ("feed.url=http://127.0.0.1:9000",), None).feed == Kucoin(url="http://127.0.0.1:9000")
    assert isinstance(_plan(None, (), None).feed, Kucoin)
    assert isinstance(_plan(None, ("feed.use=kucoin",), None).feed, Kucoin)
    assert isinstance(_plan(None, (), "synthetic").feed, Synthetic)
    with pytest.raises(ConfigError, match=r"nosuch"):
        _plan(None, ("feed.use=nosuch",), None)


def test_a_folder_of_several_markets_asks_which(tmp_path: Path) -> None:
    for seed in (1, 2):
        told("--feed", "synthetic", "--set", f"feed.seed={seed}", "-p", BTC, "--timerange", "20260310-20260310")
    with pytest.raises(DataError, match="holds the candles of several markets: name one of"):
        Csv(data=str(tmp_path / "home" / "candles")).symbols()
    with pytest.raises(DataError, match=r"ETHX/USDT:USDT: there are no candles of it in .*; there are BTC/USDT:USDT"):
        Csv(data=str(stores()[0])).history("ETHX/USDT:USDT", "5m")
