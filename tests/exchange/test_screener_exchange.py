"""The screener on an exchange that it reaches over the network: markets as they are listed, books as they stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from served import Local, local

from enigma_core import config
from enigma_core.cli import options, root
from enigma_core.journal import Memory
from enigma_core.plugins import Catalogue
from enigma_sandbox.markets import Setup
from ledger import SYMBOL, decision, entry, fill, started

CATALOGUE = Catalogue.built_in()


@pytest.fixture(scope="module")
def exchange() -> Iterator[Local]:
    with local(Setup(count=4, days=3)) as exchange:
        yield exchange


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The feed's kept history is a test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENIGMA_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def scanned(exchange: Local, *more: object) -> Any:
    arguments = ["screener", "--json", "--feed", "kucoin", "--set", f"feed.url={exchange.url}", "--set", "feed.days=2"]
    result = CliRunner().invoke(root, [*arguments, *map(str, more)])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_every_listed_market_is_ranked_with_what_its_stream_shows(exchange: Local) -> None:
    told = scanned(exchange)
    assert (told["universe"], told["unscored"]) == (4, 0)
    assert len(told["opportunities"]) == 4
    for one in told["opportunities"]:
        assert one["passed"] + len(one["refused"]) == one["asked"] > 10
        assert 0 < one["spread"] < 0.001
        assert one["turnover"] > 5e6
        assert abs(one["funding"]) < 0.01
        assert set(one["scored"]) == {"5m", "15m", "30m", "1h", "2h", "4h"}


def test_what_a_rehearsal_at_this_exchange_holds_is_held(exchange: Local, home: Path) -> None:
    memory = Memory()
    memory.write([started()], 1)
    memory.write([decision(1), entry(1)], 1)
    memory.write([fill(1)], 1)
    (home / "sandbox").mkdir(parents=True)
    memory.save(home / "sandbox.sqlite", "sandbox", "a local exchange")
    for port, held in ((exchange.url.rpartition(":")[2], [SYMBOL]), ("9", [])):
        (home / "sandbox" / "port").write_text(port)
        assert [one["symbol"] for one in scanned(exchange)["opportunities"] if one["held"]] == held


def test_a_run_is_given_the_best_of_them_to_trade(exchange: Local, home: Path) -> None:
    sets = ("symbols.use=screener", "symbols.top=2", "feed.use=kucoin", f"feed.url={exchange.url}", "feed.days=2")
    plan = config.resolve(config.load(None, config.NO_STRATEGY, sets, env={}), CATALOGUE)
    symbols, told = options.traded(plan, (), (), home)
    assert len(symbols) == 2
    assert told[0] == "the screener has ranked 4 of 4 markets"
