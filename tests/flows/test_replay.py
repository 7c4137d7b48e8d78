"""`enigma replay alerts`: stored alerts worked again come to what they came to, unless something has been changed."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from test_backtest_alerts import Alerting, Listening, Stage, alert, thrown

from enigma_core.alert import Alert
from enigma_core.cli import options
from enigma_core.cli.replay import replay
from enigma_core.errors import EnigmaError
from enigma_core.home import Home
from enigma_core.plan import Plan
from enigma_core.shells import run
from enigma_core.shells.replaying import Between, Handed
from enigma_core.shells.replaying import Stage as Market
from enigma_plugins.feeds.synthetic import Synthetic
from markets import START, instrument, random_candles
from runs import Ending, csv_files, on

DAY_ONE, HOUR = 1_735_689_600_000, 3_600_000
WALL = 1_785_000_000_000
SYMBOLS = ("BTC/USDT:USDT", "ETH/USDT:USDT")
MARKET = ("feed.count=2", "feed.timeframe=15m")
RULES = ("gates.confidence.min=0.3", "gates.score.min=40", "gates.alignment.enabled=false")


def planned(*sets: str) -> Plan:
    return options.planned(None, None, (*RULES, *sets), {})[0]


def came(number: int, hours: float, **asked: Any) -> Alert:
    """An alert in a market with a time of its own, a second after it was sent."""
    received = WALL + number * 1000
    ts = DAY_ONE + round(hours * HOUR)
    return alert(number, ts, received=received, sent=received - 1000, **{"symbol": SYMBOLS[0], "mode": "signal", **asked})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the synthetic market of seed 7 that was sent six alerts."""
    folder = tmp_path_factory.mktemp("home")
    alerts = [
        came(1, 33, symbol=SYMBOLS[1], action="short"),
        came(2, 35.05, action="long"),
        came(3, 35.6, action="close"),
        came(4, 36, symbol="ZZZ/USDT:USDT", action="long"),
        msgspec.structs.replace(came(5, 40, action="short"), received=WALL + 900_000),
        came(900, 41, action="short", mode="trigger"),
    ]
    market = Market(alerts, DAY_ONE + 60 * HOUR)
    plan = planned("feed.seed=7", *MARKET)
    assert isinstance(plan.feed, Synthetic)
    feed = Between(inner=plan.feed, stage=market)
    plan = msgspec.structs.replace(plan, feed=feed, symbols=SYMBOLS, services={"handed": Handed(stage=market)}, notifiers={})
    with Home.open(folder) as held:
        asyncio.run(run(plan, held, clock=Ending(), wall=lambda: market.wall))
    return folder


def call(*arguments: object) -> Result:
    sets = [word for setting in RULES for word in ("--set", setting)]
    return CliRunner().invoke(replay, ["alerts", *sets, *map(str, arguments)])


def told(*arguments: object) -> dict[str, Any]:
    done = call(*arguments, "--json")
    assert done.exit_code == 0, (done.output, done.exception)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_alerts_worked_again_come_to_what_they_came_to(home: Path) -> None:
    answer = told("--since", "2026-01-01", "--home", home)
    outcomes = [each["then"]["outcome"] for each in answer["alerts"]]
    assert outcomes == ["entered", "entered", "closed", "refused", "expired", "refused"]
    assert [each["now"] for each in answer["alerts"]] == [each["then"] for each in answer["alerts"]]
    assert answer["differing"] == 0
    assert any(each["then"]["net"] is not None for each in answer["alerts"])


def test_the_account_begins_as_it_stood_before_the_first_of_them(home: Path, tmp_path: Path) -> None:
    middle = "2026-07-25T17:20:03"  # the third, which closes what the first has opened
    answer = told("--since", middle, "--home", home, "--home-out", tmp_path / "out")
    assert len(answer["alerts"]) == 4
    assert answer["differing"] == 0
    assert (tmp_path / "out" / "paper.sqlite").exists()
    again = call("--since", middle, "--home", home, "--home-out", tmp_path / "out")
    assert isinstance(again.exception, EnigmaError)
    assert "has an account already" in str(again.exception)


def test_other_settings_make_a_difference_and_the_run_itself_is_left_as_it_was(home: Path) -> None:
    before = (home / "paper.sqlite").read_bytes()
    answer = told("--since", "2026-01-01", "--home", home, "--set", "gates.max_positions.max=1")
    assert answer["differing"]
    assert next(each for each in answer["alerts"] if each["differs"])["now"]["outcome"] == "refused"
    assert (home / "paper.sqlite").read_bytes() == before


def test_a_person_is_shown_then_and_now(home: Path) -> None:
    shown = call("--since", "2026-01-01", "--home", home, "--set", "gates.max_positions.max=1").stdout
    assert "6 alerts worked again" in shown
    assert "the same" in shown
    assert "refused by max_positions" in shown


def test_a_run_by_the_walls_time_is_worked_again_on_recorded_candles(tmp_path: Path) -> None:
    candles = {s: random_candles(s, 800, seed) for seed, s in enumerate(SYMBOLS)}
    alerts = [a for a in thrown(random.Random(1), candles, 40) if a.ts > START + 300 * 300_000]
    data = tmp_path / "data"
    data.mkdir()
    csv_files(data, candles)
    instruments = {s: instrument(s) for s in candles}
    stage = Stage(alerts)
    live = Alerting(candles=candles, instruments=instruments, stage=stage)
    listed = {"tick": "0.1", "lot": "1", "multiplier": "0.01", "min_quantity": "1"}
    rules = ("timeframes.primary=15m", "gates.score.min=20", "gates.trend.enabled=false", "gates.circuit_breaker.enabled=false")
    given = (*(f"instruments.{s}={json.dumps(listed)}" for s in candles), *rules)
    plan = msgspec.structs.replace(on(planned(*given), live), services={"listening": Listening(stage=stage)}, notifiers={})
    with Home.open(tmp_path / "home") as held:
        asyncio.run(run(plan, held, clock=Ending(), wall=lambda: stage.wall))
    sets = [word for setting in given for word in ("--set", setting)]
    answer = told("--since", "2025-01-01", "--home", tmp_path / "home", "--data", data, *sets)
    then = {each["then"]["outcome"] for each in answer["alerts"]}
    assert {"entered", "closed", "held", "voted", "expired"} <= then
    assert [(e["id"], e["then"], e["now"]) for e in answer["alerts"] if e["differs"]] == []
    refused = call("--since", "2025-01-01", "--home", tmp_path / "home")
    assert "cannot be made again: give its recorded candles with --data" in str(refused.exception)


@pytest.mark.parametrize("when", ["yesterday", "2026-13-01", "5 fortnights"])
def test_a_time_that_is_none_is_wrong_usage(when: str) -> None:
    assert call("--since", when).exit_code == 2


def test_no_alerts_in_that_time_is_a_sentence(home: Path) -> None:
    done = call("--since", "2030-01-01", "--home", home)
    assert isinstance(done.exception, EnigmaError)
    assert "holds no alerts received in that time" in str(done.exception)
