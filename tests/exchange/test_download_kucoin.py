"""`enigma download` and `enigma doctor` at an exchange that speaks KuCoin's protocol."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fake_kucoin import FakeKucoin

from enigma_core.candle_store import CandleStore
from enigma_core.cli import root
from enigma_plugins.feeds.csv import Csv

BTC = "BTC/USDT:USDT"
BAR = 300_000


@pytest.fixture
def kucoin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKucoin]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENIGMA_HOME", str(tmp_path / "home"))
    fake = FakeKucoin()
    with fake.rest():
        fake.ws = "ws://127.0.0.1:7/"
        yield fake


def call(command: str, kucoin: FakeKucoin, *words: object) -> Result:
    return CliRunner().invoke(root, [command, "--feed", "kucoin", "--set", f"feed.url={kucoin.url}", *map(str, words)])


def told(kucoin: FakeKucoin, *words: object) -> dict[str, Any]:
    result = call("download", kucoin, "-p", "BTC/USDT:USDT", *words, "--json")
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def test_history_of_kucoin_is_kept_with_its_holes_contracts_and_funding(kucoin: FakeKucoin) -> None:
    now = int(time.time() * 1000) // BAR * BAR
    kucoin.missing = {now - n * BAR for n in (500, 501, 900)}
    found = told(kucoin, "-i", "5m", "--days", 10)
    (series,) = found["series"]
    assert series["bars"] in (10 * 288 - 3, 10 * 288 - 4)
    assert [gap["bars"] for gap in series["gaps"]] == [1, 2]
    assert found["funding"] == {BTC: {"settlements": 30}}
    before = len(kucoin.pages)
    again = told(kucoin, "-i", "5m", "--days", 10)["series"][0]
    assert again["new"] <= 2
    assert again["missing"] == 3
    # only the youngest bars, which may have been corrected
    assert all(start >= now - 4 * BAR for start, _ in kucoin.pages[before:])
    kept = Csv(data=found["path"])
    with CandleStore(found["path"], reading=True) as store:
        listed = store.instrument(BTC)
    assert kept.instrument(BTC) == listed
    assert listed is not None
    assert listed.symbol == BTC
    bars = kept.history(BTC, "5m")
    assert float(bars.close[0]) == kucoin.close(int(bars.ts[0]))


def test_a_download_that_an_exchange_broke_off_goes_on(kucoin: FakeKucoin) -> None:
    asked = 0

    def once(path: str) -> tuple[int, bytes] | None:
        nonlocal asked
        asked += "kline" in path
        return (200, b'{"code":"400100","msg":"no more"}') if asked > 12 else None

    kucoin.fault = once
    days = ("-i", "5m", "--timerange", "20260801-20260920", "--no-funding")
    result = call("download", kucoin, "-p", "BTC/USDT:USDT", *days)
    assert result.exit_code == 1
    assert "no more" in result.stderr
    assert "the same command goes on from there" in " ".join(result.stderr.split())
    kucoin.fault = lambda path: None
    before = len(kucoin.pages)
    found = told(kucoin, *days)["series"][0]
    assert found["bars"] == 51 * 288
    assert found["new"] < found["bars"]
    assert len(kucoin.pages) - before < 51 * 288 / 500


def test_doctor_finds_its_clock_and_its_stream(kucoin: FakeKucoin) -> None:
    kucoin.ahead = 1_700.0
    found = json.loads(call("doctor", kucoin, "--json").stdout)
    (clock,) = [f for f in found["findings"] if "the exchange's" in f["text"] and f["check"] == "clock"]
    assert clock["level"] == "fail"
    assert "1.7 s behind the exchange's" in clock["text"]
    texts = " | ".join(f["text"] for f in found["findings"])
    assert "market data streams from ws://127.0.0.1:7/" in texts
    kucoin.ahead = 0.0
    assert json.loads(call("doctor", kucoin, "--json").stdout)["ok"] is True
