"""Real processes, really killed: `enigma run` in the middle of a trade, and again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from markets import random_candles
from runs import account, csv_files, facts

ENIGMA = [sys.executable, "-c", "from enigma_core.cli import main; main()"]
EAGER = [f"--set=gates.{gate}=false" for gate in ("confidence", "alignment", "trend", "cooldown", "circuit_breaker")]
EAGER += ["--set=gates.score.min=35", "--timeframe=5m"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Candles of two symbols, with gaps."""
    symbols = ("AAA/USDT:USDT", "BBB/USDT:USDT")
    return csv_files(tmp_path_factory.mktemp("data"), {s: random_candles(s, 1500, i, gaps=0.01) for i, s in enumerate(symbols)})


def begin(home: Path, data: Path, *args: str) -> subprocess.Popen[str]:
    command = [*ENIGMA, "run", "--no-services", "--json", "--home", str(home), "--data", str(data), "--for", "120", *EAGER, *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=data)


def to_the_end(home: Path, data: Path, *args: str) -> list[dict[str, Any]]:
    """Run until the data ends; everything it said."""
    out, errors = begin(home, data, *args).communicate(timeout=120)
    assert errors == ""
    return [json.loads(line) for line in out.splitlines()]


def said_until(process: subprocess.Popen[str], wanted: str, times: int) -> None:
    """Read what it says until it has said `wanted` so many times."""
    assert process.stdout is not None
    for line in process.stdout:
        times -= json.loads(line)["event"] == wanted
        if not times:
            return
    pytest.fail(f"it ended without {wanted}")


def killed_in_a_trade(process: subprocess.Popen[str], home: Path, marks: int) -> dict[str, Any]:
    """Let it run until a position has been held for a while, hold it still, look, and kill it; the account it leaves."""
    said_until(process, "trade", 1)
    while True:
        said_until(process, "marked", marks)
        process.send_signal(signal.SIGSTOP)
        left = account(home)
        if left["positions"]:
            break
        process.send_signal(signal.SIGCONT)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    return left


def status(home: Path) -> dict[str, Any]:
    done = subprocess.run(
        [*ENIGMA, "status", "--json", "--home", str(home)], capture_output=True, text=True, timeout=60, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_p02_killed_in_a_trade_it_goes_on_with_the_same_position_and_stop(data: Path, tmp_path: Path) -> None:
    home, whole = tmp_path / "again", tmp_path / "whole"
    to_the_end(whole, data)
    for marks in (3, 40):
        # some 200 bars a second: it is killed long before its end
        left = killed_in_a_trade(begin(home, data, "--speed", "30000"), home, marks)
        shown = status(home)
        assert shown["process"] is None
        assert {p["symbol"]: Decimal(p["stop"]) for p in shown["held"]} == {s: p["stop"] for s, p in left["positions"].items()}
        before = facts(home)
        assert before == facts(whole)[: len(before)]
    events = to_the_end(home, data)
    started = events[0]
    assert started["event"] == "run_started"
    assert started["recovered"] is True
    assert started["positions"] == list(left["positions"])
    assert {e["symbol"] for e in events if e["event"] == "trade"} >= set(left["positions"])
    assert facts(home) == facts(whole)
    fills = [json.loads(content)["id"] for _, kind, content in facts(home) if kind == "fill"]
    assert len(fills) == len(set(fills)) > 20


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_p01_told_to_end_in_a_trade_it_goes_on_with_the_same_position_and_stop(
    data: Path, tmp_path: Path, by: signal.Signals
) -> None:
    home = tmp_path / "home"
    process = begin(home, data, "--speed", "30000")
    said_until(process, "trade", 1)
    said_until(process, "marked", 2)
    process.send_signal(by)
    assert process.stdout is not None
    last = [json.loads(line) for line in process.stdout][-1]
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert (last["event"], last["reason"]) == ("summary", "stopped")
    left = account(home)
    assert last["open_positions"] == list(left["positions"])
    started = to_the_end(home, data)[0]
    assert started["recovered"] is True
    assert started["positions"] == list(left["positions"])
    assert started["equity"] == last["equity"]
