"""`enigma backtest` from files to figures: what later bars, a timerange and failing parts do to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from candle_files import write
from click.testing import CliRunner

from enigma_core import cli
from enigma_core.model import Candles
from enigma_plugins.feeds.synthetic import Synthetic

SYMBOLS = ("BTC/USDT:USDT", "ETH/USDT:USDT")
OFTEN = ("--set", "gates.score.min=30", "--set", "gates.confidence.min=0.3", "--set", "gates.alignment.enabled=false")


def found(*args: str) -> dict[str, Any]:
    """What the command prints as JSON, without the time it took."""
    done = CliRunner().invoke(cli.root, ["backtest", *args, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    answer: dict[str, Any] = json.loads(done.stdout)
    del answer["timing"]
    return answer


def market(symbol: str = SYMBOLS[0], days: int = 15) -> Candles:
    """Bars of 5 minutes."""
    return Synthetic(days=days).history(symbol, "5m")


def cells(candles: Candles) -> list[list[object]]:
    columns = (candles.ts, candles.open, candles.high, candles.low, candles.close, candles.volume)
    return [list(row) for row in zip(*(column.tolist() for column in columns), strict=True)]


@pytest.mark.parametrize("shell", [(), ("--plain",)])
def test_a_finer_price_late_in_a_file_changes_no_trade_before_it(tmp_path: Path, shell: tuple[str, ...]) -> None:
    lines = cells(market())
    late = len(lines) * 2 // 3
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    cut = write(tmp_path / "cut" / "BTCUSDT-5m.csv", lines[:late])
    lines[late][4] = float(str(lines[late][4])) + 0.000123
    lines[late][2] = float(str(lines[late][2])) + 0.000123
    whole = write(tmp_path / "whole" / "BTCUSDT-5m.csv", lines)
    long, short = (found("--data", str(path), *OFTEN, *shell)["trades"] for path in (whole, cut))
    before = [trade for trade in short if trade["exit_reason"] != "end"]
    assert len(before) > 5
    assert long[: len(before)] == before
    assert len(long) > len(before)
