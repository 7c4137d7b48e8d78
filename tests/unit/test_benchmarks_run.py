"""The benchmarks still run, and compare what they say they compare. Nothing here looks at how long anything took."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def floor(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("floor")


@pytest.fixture
def workload(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("workload")


def test_quick_benchmarks_run_and_state_their_goals(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(BENCHMARKS),
        "--quick",
        "--json",
        "--only",
        "w1",
        "--only",
        "live",
        "--only",
        "scan",
        "--only",
        "screener",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    found = {each["name"]: each for each in told["benchmarks"]}
    assert set(found) == {"w1", "live", "scan", "screener"}
    assert all(goal["met"] in (True, False) and goal["value"] > 0 for each in found.values() for goal in each["goals"])
    assert all(each["goals"] and each["lines"] for each in found.values())
    assert found["w1"]["figures"]["trades"] > 100
    assert found["live"]["figures"]["decisions_by_all_gates"] == found["live"]["figures"]["bars"]
    assert found["scan"]["figures"]["timeframes"] == 6


def test_what_a_followed_market_told_is_read_with_what_came_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    hundred = importlib.import_module("bench_hundred")
    bar = [60_000, 120_000, 1.0, 2.0, 0.5, 1.5, 7.0]
    late = [0, 60_000, 1.0, 1.0, 1.0, 1.0, 0.0]
    lines = [[60_000, 90_000.0, 0.5, {"A": late}], [120_000, 120_900.0, 1.0, {"A": bar}], [120_000, 121_000.0, 1.1, {"A": bar}]]
    (tmp_path / "bars").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    told = hundred.read(tmp_path / "bars", 120_000)
    assert told.bars == {"A": {0: (1.0, 1.0, 1.0, 1.0, 0.0), 60_000: (1.0, 2.0, 0.5, 1.5, 7.0)}}
    assert told.twice == 1
    assert told.delays == [0.9, 1.0]
    assert told.spent == [(120.9, 1.0), (121.0, 1.1)]


def test_unknown_benchmark_is_refused_by_name(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS), "--only", "speed"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "speed" in done.stderr
    assert "w1" in done.stderr


def test_floor_draws_the_lines_of_every_indicator_of_the_plan(floor: ModuleType, workload: ModuleType) -> None:
    candles = workload.market("BTC/USDT:USDT", 2000, 3)
    bare = floor.floor(candles, adx=True)
    indicators = workload.plan(*workload.OPEN).indicators
    assert set(bare) == set(indicators)
    fast, _, slow = bare["ema_trend"]
    upper, _, lower = bare["bollinger"]
    k, d = bare["kdj"]
    lines = {
        **bare,
        "stochastic_rsi": bare["stochastic_rsi"][0],
        "macd": bare["macd"][2],
        "ema_trend": fast - slow,
        "stochastic": bare["stochastic"][0],
        "bollinger": (candles.close - lower) / (upper - lower),
        "kdj": 3.0 * k - 2.0 * d,
        "obv": bare["obv"][0],
    }
    for name, part in indicators.items():
        mine = part.line(candles)
        assert mine is not None, name
        np.testing.assert_allclose(lines[name][500:], mine[500:], rtol=1e-9, atol=1e-6, err_msg=name)


def test_equal_seeds_give_equal_markets_and_others_differ(workload: ModuleType) -> None:
    one, same = workload.market("A/USDT:USDT", 500, 7), workload.market("A/USDT:USDT", 500, 7)
    other = workload.market("A/USDT:USDT", 500, 8)
    assert np.array_equal(one.close, same.close)
    assert not np.array_equal(one.close, other.close)
    assert (one.low <= np.minimum(one.open, one.close)).all()
    assert (one.high >= np.maximum(one.open, one.close)).all()
