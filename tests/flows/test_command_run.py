"""`enigma run` as people and machines use it: real processes, a synthetic market, paper money."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

EAGER = ["-p", "BTC", "--speed", "0", *(f"--set=gates.{gate}=false" for gate in ("score", "confidence", "alignment", "trend"))]
"""One symbol, as fast as it goes, and hardly a gate: trades come at once."""

ENIGMA = [sys.executable, "-c", "from enigma_core.cli import main; main()"]


@contextmanager
def started(home: Path, *args: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*ENIGMA, "run", "--no-services", "--home", str(home), "--for", "60", *EAGER, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=home.parent,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def ended(process: subprocess.Popen[str], by: signal.Signals) -> tuple[str, str]:
    """What it says on stdout and stderr once it has been told to end."""
    process.send_signal(by)
    assert process.stdout is not None
    assert process.stderr is not None
    # not communicate(): it would miss what the reader has buffered already
    rest, errors = process.stdout.read(), process.stderr.read()
    process.wait(timeout=30)
    return rest, errors


def enigma(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*ENIGMA, *args], capture_output=True, text=True, timeout=60, cwd=cwd, check=False)


def events_until(process: subprocess.Popen[str], kind: str) -> list[dict[str, Any]]:
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(json.loads(line))
        if seen[-1]["event"] == kind:
            return seen
    raise AssertionError(f"no {kind} came: {process.stderr.read() if process.stderr else ''}")


def test_a_run_trades_says_so_in_json_and_ends_cleanly_on_ctrl_c(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with started(home, "--json") as process:
        events = events_until(process, "trade")
        rest, errors = ended(process, signal.SIGINT)
    events += [json.loads(line) for line in rest.splitlines()]
    assert process.returncode == 0
    assert errors == ""
    assert events[0]["event"] == "run_started"
    assert events[0]["mode"] == "paper"
    assert events[0]["recovered"] is False
    assert {"decision", "order", "fill", "trade", "day_opened"} <= {event["event"] for event in events}
    summary = events[-1]
    assert summary["event"] == "summary"
    assert summary["reason"] == "stopped"
    trades = [event for event in events if event["event"] == "trade"]
    assert summary["trades"] == len(trades) >= 1
    assert Decimal(summary["net"]) == sum(Decimal(trade["net"]) for trade in trades)
    assert summary["decisions"] == sum(event["event"] == "decision" for event in events)


def test_a_person_sees_the_mode_the_trade_and_the_summary(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with started(home) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "  closed  " in line:
                break
        rest, errors = ended(process, signal.SIGINT)
    text = "".join(lines)
    assert process.returncode == 0
    assert errors == ""
    assert "PAPER" in text
    assert "no real money" in text
    assert "filled" in text
    assert "\x1b" not in text + rest  # no colours into a pipe
    assert "Run ended: stopped" in rest
    assert f"enigma why --last 5 --home {home}" in rest


def test_p03_a_second_run_on_the_same_folder_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with started(home, "--json") as process:
        events_until(process, "run_started")
        second = enigma("run", "--no-services", "--home", str(home), "--for", "1", cwd=tmp_path)
        assert second.returncode == 1
        assert f"is in use by process {process.pid}" in second.stderr
        assert second.stderr.count("\n") == 1
        assert process.poll() is None
        status = json.loads(enigma("status", "--home", str(home), "--json", cwd=tmp_path).stdout)
        assert status["mode"] == "paper"
        ended(process, signal.SIGINT)
    assert process.returncode == 0


def test_the_same_command_goes_on_from_where_it_ended(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with started(home, "--json") as process:
        events_until(process, "trade")
        rest, _ = ended(process, signal.SIGINT)
    before = json.loads(rest.splitlines()[-1])
    with started(home, "--json") as process:
        (begun,) = events_until(process, "run_started")
        ended(process, signal.SIGTERM)
    assert process.returncode == 0
    assert begun["recovered"] is True
    assert Decimal(begun["equity"]) == Decimal(before["equity"])
    assert begun["positions"] == before["open_positions"]


def test_an_unwritable_home_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = enigma("run", "--no-services", "--home", str(tmp_path / "file" / "home"), "--for", "1", cwd=tmp_path)
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_settings_are_told_all_at_once_before_anything_is_written(tmp_path: Path) -> None:
    wrong = ("--set", "gates.scor.min=1", "--set", "account.equity=x")
    done = enigma("run", "--no-services", "--home", str(tmp_path / "home"), *wrong, cwd=tmp_path)
    assert done.returncode == 1
    assert "2 settings cannot be used" in done.stderr
    assert not (tmp_path / "home").exists()


def recording(folder: Path, minutes: int = 30) -> Path:
    """96 bars of one symbol."""
    folder.mkdir()
    rows = [f"{1_735_689_600_000 + i * minutes * 60_000},100,101,99,100.5,10" for i in range(96)]
    (folder / f"BTCUSDT-{minutes}m.csv").write_text("ts_ms,open,high,low,close,volume\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("form", [[], ["--json"], ["--quiet"]])
def test_a_reader_that_goes_away_ends_the_run_without_a_word(tmp_path: Path, form: list[str]) -> None:
    home = tmp_path / "home"
    with started(home, *form) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        if form == ["--quiet"]:
            process.send_signal(signal.SIGINT)
        assert process.stderr.read() == ""
        assert process.wait(timeout=30) == 141
    status = json.loads(enigma("status", "--home", str(home), "--json", cwd=tmp_path).stdout)
    assert status["process"] is None


def test_the_last_line_repeats_the_options_that_lead_back_here(tmp_path: Path) -> None:
    home = tmp_path / "a home"
    options = ["--feed", "synthetic", "--speed", "0", "--seed", "7", "-i", "15m", "--set", "gates.score.min=50", "-p", "btc"]
    done = enigma("run", "--no-services", "--port", "0", *options, "--home", str(home), "--for", "0.1", "--quiet", cwd=tmp_path)
    assert done.returncode == 0
    assert "alerts are taken" not in done.stdout, "a port is no wish for a service"
    (line,) = [line for line in done.stdout.splitlines() if "goes on from here" in line]
    words = shlex.split(line.partition("goes on from here")[2])
    assert words == [
        *("enigma", "run", "--feed", "synthetic", "--speed", "0", "--seed", "7", "-i", "15m", "--no-services"),
        *("--port", "0", "--set", "gates.score.min=50", "-p", "btc", "--home", str(home)),
    ]
    again = enigma(*words[1:], "--for", "0.1", "--quiet", cwd=tmp_path)
    assert "goes on from an earlier run" in again.stdout


def test_a_recording_at_its_end_says_so_and_how_to_begin_anew(tmp_path: Path) -> None:
    data = recording(tmp_path / "candles")
    command = ("run", "--no-services", "--data", str(data), "--home", str(tmp_path / "home"), "--quiet")
    first, second = (enigma(*command, cwd=tmp_path).stdout for _ in range(2))
    assert "The recording is at its end" not in first
    assert "The recording is at its end" in second
    for out in (first, second):
        assert "goes on from here" not in out
        assert f"  enigma run --data {data} --no-services --home {tmp_path / 'home'} --fresh\n" in out


FAULTY = """
from enigma_core.hookspecs import hookimpl
from enigma_core.parts import Indicator


class Falls(Indicator, frozen=True, kw_only=True):
    \"\"\"Fails on each bar.\"\"\"

    name = "falls"
    max_points: float = 10.0

    @property
    def warmup(self):
        return 1

    def points(self, candles):
        raise ValueError("it fell")


@hookimpl
def enigma_indicators():
    yield Falls
"""


def test_a_quiet_run_tells_on_stderr_that_an_indicator_is_switched_off(tmp_path: Path) -> None:
    (tmp_path / "strategies").mkdir()
    (tmp_path / "strategies" / "falls.py").write_text(FAULTY, encoding="utf-8")
    data = recording(tmp_path / "candles", minutes=1)
    options = ("--data", str(data), "--quiet", "-i", "5m", "--set", "indicators.falls.enabled=true")
    done = enigma("run", "--no-services", "--home", str(tmp_path / "home"), *options, cwd=tmp_path)
    assert done.returncode == 0
    assert "an indicator is switched off: " in done.stderr
    assert "it fell" in done.stderr
    assert "switched off" not in done.stdout
