"""A hundred symbols on six timeframes, followed live from the local exchange: are all bars there, and what does it cost?"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import recorded_kucoin
from bench_alerts import SECRET, enigma, started
from measuring import Finding, Goal, seconds

MINUTE = 60_000
TIMEFRAMES = ("1m", "3m", "5m", "15m", "30m", "1h")
WARM = 8
"""Days of bars of 1 m that the longest indicator needs on bars of 1 h."""

PATIENCE = 600.0
"""Seconds until the run has its history: the exchange's quota lets some 15 requests a second pass."""

SETTLED = 5.0
"""Seconds after a close within which its bars are told, late ones left out."""

Row = tuple[float, ...]
"""Open, high, low, close, volume in base currency."""


@dataclass
class Told:
    """What the run's feed has told: bars by symbol and open, when each close was told, what the processor had done by then."""

    bars: dict[str, dict[int, Row]] = field(default_factory=dict)
    twice: int = 0
    delays: list[float] = field(default_factory=list)
    spent: list[tuple[float, float]] = field(default_factory=list)
    """Wall time (s) and seconds of processor, at each close."""


def hundred(quick: bool, length: float | None = None) -> Finding:
    """100 symbols on six timeframes, live from the local exchange, for ten minutes: missed bars, processor, a scan."""
    symbols, days = (4, 1) if quick else (100, WARM)
    length = length or (150.0 if quick else 630.0)
    found = Finding("hundred", f"{symbols} symbols x {len(TIMEFRAMES)} timeframes live, bars of 1 m, for {length:.0f} s", 1)
    with tempfile.TemporaryDirectory() as name, exchange(symbols, days) as url:
        home, began = Path(name), time.monotonic()
        with following(home, url, symbols, days) as (api, token):
            warm = time.monotonic() - began
            first = _closing(time.time()) + MINUTE
            until, scans, answers = time.monotonic() + length, [], []
            while time.monotonic() < until:
                time.sleep(min(7.0, max(0.0, until - time.monotonic())))
                asked = time.perf_counter()
                scan = _asked(f"{api}/api/v1/screener/scan?top=10", token)
                answers.append(time.perf_counter() - asked)
                if scan["ts"] is not None:
                    scans.append(scan["took"])
            last = _closing(time.time() - SETTLED)
            told = read(home / "bars", first)
        wrong = _compared(url, told, first, last, symbols)
    closes = (last - first) // MINUTE + 1
    (began_at, before), (ended_at, after) = told.spent[0], told.spent[-1]
    share = (after - before) / (ended_at - began_at)
    late = max(told.delays, default=0.0)
    found.figures |= {
        "symbols": symbols,
        "timeframes": len(TIMEFRAMES),
        "closes": closes,
        "bars": closes * symbols,
        "missed": wrong["missed"],
        "different": wrong["different"],
        "twice": told.twice,
        "cores": share,
        "close_median_s": median(told.delays),
        "close_longest_s": late,
        "scan_median_s": median(scans),
        "scan_longest_s": max(scans),
        "answer_median_s": median(answers),
        "warm_s": warm,
    }
    found.lines += [
        f"{closes * symbols:,} bars of {closes} closes: {wrong['missed']} missed, {wrong['different']} otherwise than the exchange "
        f"lists them, {told.twice} told twice",
        f"told after their close: median {seconds(median(told.delays))}, longest {seconds(late)}",
        f"processor: {share:.1%} of a core",
        f"a scan of the screener: median {seconds(median(scans))}, longest {seconds(max(scans))} ({len(scans)} answers looked at); "
        f"its answer {seconds(median(answers))}",
        f"from the start to ready, with {days} days of history: {warm:.0f} s",
    ]
    found.goals += [
        Goal("bars missed, other than listed, or told twice", wrong["missed"] + wrong["different"] + told.twice, 0),
        Goal("cores", share, 0.5),
        Goal("a scan, longest", max(scans), 1.0, " s"),
    ]
    return found


@contextmanager
def exchange(symbols: int, days: int) -> Iterator[str]:
    """A local exchange of its own process, while inside: its address."""
    command = [*enigma(), "sandbox", "--port", "0", "--symbols", str(symbols), "--days", str(days + 1), "--json"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ENIGMA", "KUCOIN"))}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def following(home: Path, url: str, symbols: int, days: int) -> Iterator[tuple[str, str]]:
    """A run on paper that trades all of the exchange's symbols, the screener beside it, while inside: its server and its token."""
    (home / "strategies").mkdir()
    shutil.copy(recorded_kucoin.__file__, home / "strategies")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ENIGMA", "KUCOIN"))}
    environment |= {"ENIGMA_WEBHOOK_SECRET": SECRET, recorded_kucoin.FILE: str(home / "bars")}
    sets = {
        "feed.url": url,
        "feed.count": symbols,
        "feed.timeframe": "1m",
        "feed.days": days,
        "timeframes.available": json.dumps(TIMEFRAMES),
        "timeframes.primary": "5m",
        "timeframes.secondary": "30m",
    }
    command = [*enigma(), "run", "--feed", "recorded_kucoin", "--service", "screener", "--quiet"]
    command += ["--home", str(home), "--port", "0"]
    command += [word for name, value in sets.items() for word in ("--set", f"{name}={value}")]
    with started(command, environment, home) as process:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            assert process.poll() is None, (home / "said").read_text()
            try:
                server = json.loads((home / "server.json").read_text())["url"]
                token = (home / "api_token").read_text().strip()
                if (home / "bars").exists() and _asked(f"{server}/api/v1/screener/scan", token)["ts"] is not None:
                    break
            except (OSError, ValueError, KeyError):
                pass
            time.sleep(0.5)
        else:
            raise TimeoutError((home / "said").read_text())
        yield server, token


def read(file: Path, first: int) -> Told:
    """What `recorded_kucoin` has written; times of closes from `first` on, as those before were caught up with."""
    told = Told()
    for line in file.read_bytes().splitlines():
        ts, at, spent, bars = json.loads(line)
        if ts >= first:
            told.delays.append((at - ts) / 1000)
            told.spent.append((at / 1000, spent))
        for symbol, (open_ts, _, *row) in bars.items():
            known = told.bars.setdefault(symbol, {})
            told.twice += open_ts in known
            known[open_ts] = tuple(row)
    return told


def _compared(url: str, told: Told, first: int, last: int, symbols: int) -> Mapping[str, int]:
    """How many bars that closed from `first` to `last` the run has not had, or not as the exchange lists them afterwards."""
    missed = different = 0
    contracts = _asked(f"{url}/fut/api/v1/contracts/active")["data"]
    assert len(contracts) == symbols, len(contracts)
    by_code = {contract["symbol"]: contract for contract in contracts}
    for code, contract in by_code.items():
        base = {"XBT": "BTC"}.get(contract["baseCurrency"], contract["baseCurrency"])
        known = told.bars.get(f"{base}/USDT:USDT", {})
        query = f"symbol={code}&granularity=1&from={first - MINUTE}&to={last - MINUTE}"
        rows = {row[0]: tuple(row[1:5]) for row in _asked(f"{url}/fut/api/v1/kline/query?{query}")["data"]}
        listed = {ts: row for ts, row in rows.items() if first - MINUTE <= ts < last}
        assert listed, code
        missed += sum(ts not in known for ts in listed)
        different += sum(ts in known and known[ts][:4] != row for ts, row in listed.items())
    return {"missed": missed, "different": different}


def _closing(at: float) -> int:
    """The newest close at a time (s), ms."""
    return int(at * 1000) // MINUTE * MINUTE


def _asked(url: str, token: str = "") -> Any:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)
