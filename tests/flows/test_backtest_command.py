"""`enigma backtest` from files to figures: what later bars, a timerange and failing parts do to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from candle_files import write
from enigma_core import cli
from enigma_core.lines import Floats
from enigma_core.model import Candles
from enigma_core.plan import Timeframes
from enigma_core.shells import backtest
from enigma_plugins.feeds.synthetic import Synthetic
from enigma_plugins.indicators.cci import Cci
from markets import instrument, plan, random_candles

SYMBOLS = ("BTC/USDT:USDT", "ETH/USDT:USDT")
DAY_ONE, DAY = 1_735_689_600_000, 86_400_000
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


def dated(trades: list[Any]) -> list[tuple[Any, ...]]:
    """Trades without what depends on the account's size."""
    return [(t.symbol, t.side, t.entry_ts, t.entry_price, t.exit_ts, t.exit_price, t.leverage, t.exit_reason) for t in trades]


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.floats(0, 1), st.sampled_from([0.0, 0.2]), st.booleans())
def test_trading_from_a_moment_on_knows_what_was_before_it(seed: int, share: float, gaps: float, jump: bool) -> None:
    symbol = "AAA/USDT:USDT"
    candles = random_candles(symbol, 900, seed, gaps=gaps)
    settings = plan(timeframes=Timeframes(primary="15m", secondary=None, available=("5m", "15m", "1h")))
    market, instruments = {symbol: candles}, {symbol: instrument(symbol)}
    whole = backtest(settings, market, instruments, jump=jump)
    # from a moment at which it holds nothing and wants nothing, a full run goes on as one that begins there
    spans = [(1000 * int(t.decision_id.rpartition("-")[2]), t.exit_ts) for t in whole.trades]
    flat = [ts for ts in candles.ts.tolist() if not any(decided <= ts < over for decided, over in spans)]
    start = flat[int(share * (len(flat) - 1))]
    part = backtest(settings, market, instruments, start=start, jump=jump)
    assert part.bars == int((candles.ts >= start).sum())
    assert all(trade.entry_ts > start for trade in part.trades)
    assert dated(part.trades) == dated([t for t in whole.trades if t.entry_ts > start])
    assert (part.evaluations[symbol].ts > start).all()


@pytest.mark.parametrize("shell", [(), ("--plain",)])
def test_a_timerange_trades_its_own_days_on_indicators_that_are_warm(tmp_path: Path, shell: tuple[str, ...]) -> None:
    for symbol in SYMBOLS:
        write(tmp_path / f"{symbol[:3]}USDT-5m.csv", cells(market(symbol)))
    # one day and a half is less than the indicators' warm-up on the coarser timeframes
    args = ("--data", str(tmp_path), *OFTEN, *shell)
    within = found(*args, "--timerange", "20250110-20250111")
    start, end = DAY_ONE + 9 * DAY, DAY_ONE + 11 * DAY
    assert (within["bars"], within["start_ts"], within["end_ts"]) == (2 * 2 * 288, start, end)
    assert within["trades"]
    assert all(start < trade["entry_ts"] <= trade["exit_ts"] <= end for trade in within["trades"])
    assert min(trade["entry_ts"] for trade in within["trades"]) < start + DAY // 2


def test_what_failed_and_what_the_data_is_too_coarse_for_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def points(self: Cci, candles: Candles) -> Floats:
        raise ZeroDivisionError("by zero")

    path = write(tmp_path / "BTCUSDT-15m.csv", cells(Synthetic(days=5).history(SYMBOLS[0], "15m")))
    args = ("--data", str(path), "--set", "timeframes.secondary=null", "--set", 'timeframes.available=["5m","30m"]')
    coarse = "5m: the data cannot make bars of that length, so timeframes.available goes without"
    *_, last = found(*args)["notes"]
    assert last == coarse
    monkeypatch.setattr(Cci, "points", points)
    failed = "indicator cci on 30m raised ZeroDivisionError: by zero; it did not vote (240 times)"
    assert found(*args)["notes"][-2:] == [coarse, failed]
    shown = CliRunner().invoke(cli.root, ["backtest", *args], catch_exceptions=False).stdout
    assert coarse in shown
    assert failed in shown


def test_what_is_not_known_of_funding_is_said(tmp_path: Path) -> None:
    data, rates = tmp_path / "candles", tmp_path / "rates"
    for folder in (data, rates):
        folder.mkdir()
    for name, symbol in (("BTCUSDT", SYMBOLS[0]), ("ETHUSDT", SYMBOLS[1])):
        write(data / f"{name}-5m.csv", cells(market(symbol, 3)))
    assert "funding: none on record, not counted" in found("--data", str(data))["notes"]
    arguments = ("--data", str(data), "--funding", str(rates))
    write(rates / "DOGEUSDT_funding.csv", [[DAY_ONE + DAY, 0.0001]], "ts_ms,funding_rate")
    done = CliRunner().invoke(cli.root, ["backtest", *arguments])
    assert done.exit_code == 1
    assert f"--funding {rates}: no file in it belongs to BTC/USDT:USDT, ETH/USDT:USDT; they are named like" in done.stderr
    write(rates / "BTCUSDT_funding.csv", [[DAY_ONE + DAY, 0.0001]], "ts_ms,funding_rate")
    assert "funding: none on record for ETH/USDT:USDT, not counted there" in found(*arguments)["notes"]
    write(rates / "ETHUSDT_funding.csv", [[DAY_ONE + DAY, 0.0001]], "ts_ms,funding_rate")
    assert not any("funding" in note for note in found(*arguments)["notes"])
