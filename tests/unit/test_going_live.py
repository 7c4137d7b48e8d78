"""What the command line asks for, and which parts that takes."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from enigma_core.cli import display
from enigma_core.cli.going_live import parts
from enigma_core.cli.run import _banner
from enigma_core.errors import ConfigError
from enigma_core.shells.stream import RunStarted


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KUCOIN_SANDBOX", raising=False)


def asked(**flags: Any) -> dict[str, Any]:
    return parts(None, None, (), {name.replace("_", ".", 1): value for name, value in flags.items()}, {})


def test_a_live_run_takes_the_real_parts_and_a_paper_run_none() -> None:
    assert asked() == {}
    assert asked(mode="live") == {"feed.use": "kucoin", "executor.use": "ccxt"}
    assert asked(mode="live", feed_use="kucoin") == {"executor.use": "ccxt"}


def test_in_a_rehearsal_the_market_asked_for_is_that_of_the_local_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    real = {"feed.use": "kucoin", "executor.use": "ccxt"}
    assert asked(mode="live", sandbox=True) == real
    found = asked(mode="live", sandbox=True, feed_use="replay", feed_data="candles", feed_seed=None)
    assert found == {**real, "rehearsal.feed": "replay", "rehearsal.data": "candles", "feed.data": None}
    monkeypatch.setenv("KUCOIN_SANDBOX", "true")
    assert asked(mode="live", feed_seed=7) == {**real, "rehearsal.seed": 7, "feed.seed": None}


@pytest.mark.parametrize("path", ["feed.url", "executor.url"])
def test_a_rehearsal_is_given_no_address(path: str, tmp_path: Path) -> None:
    elsewhere = (f"{path}=http://elsewhere.example",)
    with pytest.raises(ConfigError, match=f"{path} is http://elsewhere.example, and a rehearsal trades at its own"):
        parts(None, None, elsewhere, {"mode": "live", "sandbox": True}, {})
    assert parts(None, None, elsewhere, {"mode": "live"}, {})
    file = tmp_path / "of_a_live_run.json"
    section = path.partition(".")[0]
    file.write_text(json.dumps({section: {"use": {"feed": "kucoin", "executor": "ccxt"}[section], "url": "http://127.0.0.1:9000"}}))
    assert "executor.use" in parts(str(file), None, (), {"mode": "live", "sandbox": True}, {}) or section == "executor"


def test_a_rehearsal_goes_on_in_real_time() -> None:
    with pytest.raises(ConfigError, match="--speed is for"):
        asked(mode="live", sandbox=True, feed_speed=10.0)


@pytest.mark.parametrize(
    ("mode", "at", "said"),
    [
        ("live", "", "REAL MONEY"),
        ("live", "http://127.0.0.1:9000", "an exchange on this machine: http://127.0.0.1:9000"),
        ("sandbox", "http://127.0.0.1:9000", "no real money: a local exchange"),
    ],
)
def test_a_run_says_first_whose_money_it_is(mode: str, at: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    started = RunStarted(
        mode=mode,
        market="a market",
        symbols=("BTC/USDT:USDT",),
        strategy="none",
        timeframe="5m",
        equity=Decimal(1),
        positions=(),
        recovered=False,
        home="home",
        told=(),
    )
    _banner(display.console(), started, at)
    assert said in capsys.readouterr().out.splitlines()[0]
