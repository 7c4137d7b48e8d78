"""`enigma screener` as a person or a script calls it, and a run that trades what the screener finds."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from enigma_core import config
from enigma_core.cli import options, root
from enigma_core.config import examine, load
from enigma_core.home import Home
from enigma_core.parts import Listing
from enigma_core.plan import Plan
from enigma_core.plugins import Catalogue
from enigma_plugins.feeds.synthetic import Synthetic
from enigma_screener.ranking import Bounds
from enigma_screener.service import Screener, ScreenerUniverse
from ledger import decision, entry, fill, marked, started, stop, stopped_out, trade

CATALOGUE = Catalogue.built_in()
HOUR = 3_600_000
EPOCH = 1_735_689_600_000
"""Where the synthetic market begins."""


def call(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(root, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, so that no configuration file is found."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan(*sets: str) -> Plan:
    tree = load(None, config.NO_STRATEGY, sets, env={})
    return config.resolve(tree, CATALOGUE)


def problems(*sets: str) -> str:
    return "\n".join(examine(load(None, config.NO_STRATEGY, sets, env={}), CATALOGUE)[1])


def held(home: Path, identity: str, *, closed: bool = False, at: int = 0) -> None:
    """An account in `home` that holds BTC, or held it until `at`."""
    steps: list[list[Any]] = [[started()], [decision(1), entry(1)], [fill(1), stop(1)]]
    if closed:
        steps.append([msgspec.structs.replace(stopped_out(1), ts=at), trade(1)])
    steps.append([marked(at)])
    with Home.open(home) as opened, opened.journal("paper", identity) as journal:
        for step in steps:
            journal.write(step, at)


def test_the_synthetic_market_is_ranked_offline_and_the_same_each_time(nowhere: Path) -> None:
    told = json.loads(call("screener", "--json", "--top", 3, "--set", "feed.days=30").output)
    again = json.loads(call("screener", "--json", "--top", 3, "--set", "feed.days=30").output)
    assert (told["universe"], told["unscored"], len(told["opportunities"])) == (4, 0, 3)
    assert told["ts"] == EPOCH + 30 * 24 * HOUR
    ranks = [one["rank"] for one in told["opportunities"]]
    assert ranks == sorted(ranks, reverse=True)
    best = told["opportunities"][0]
    assert best["asked"] == len(plan().market_gates) + len(plan().account_gates)
    assert best["spread"] > 0
    assert best["turnover"] > 5e6
    assert set(best["aligned"]) <= set(best["scored"]) == {"5m", "15m", "30m", "1h", "2h", "4h"}
    assert told | {"took": 0} == again | {"took": 0}
    assert not (nowhere / "enigma_data").exists()


def test_people_get_a_table_with_every_column(nowhere: Path) -> None:
    told = call("screener", "--set", "feed.days=10", "-p", "btc", "-p", "ETHUSDT").output
    for word in ("rank", "score", "class", "confidence", "aligned", "gates", "spread", "turnover", "funding", "cool-down"):
        assert word in told
    assert "BTC/USDT:USDT" in told
    assert f"of {len(plan().market_gates) + len(plan().account_gates)}" in told
    assert "2 markets" in told


def test_watching_goes_on_with_the_markets_time_and_prints_a_line_each(nowhere: Path) -> None:
    told = call("screener", "--watch", "--every", 1, "--for", 2.2, "--json", "--set", "feed.days=5", "-p", "btc").output
    scans = [json.loads(line) for line in told.splitlines()]
    assert len(scans) >= 2
    assert all(a["ts"] < b["ts"] for a, b in pairwise(scans))


def test_a_symbol_that_was_just_left_is_told_apart_with_its_cooldown(nowhere: Path) -> None:
    at = EPOCH + 20 * 24 * HOUR
    held(nowhere / "home", Synthetic().identity(), closed=True, at=at)
    told = json.loads(call("screener", "--json", "--home", "home").output)
    assert told["ts"] == at
    assert [one["symbol"] for one in told["cooling"]] == ["BTC/USDT:USDT"]
    assert told["cooling"][0]["cooldown_until"] == at + 1_800_000
    assert "BTC/USDT:USDT" not in [one["symbol"] for one in told["opportunities"]]
    assert "30 min" in call("screener", "--home", "home").output


def test_an_account_of_another_market_is_not_taken_for_this_ones(nowhere: Path) -> None:
    held(nowhere / "home", "some other market", closed=True, at=EPOCH + 24 * HOUR)
    result = call("screener", "--home", "home", "--set", "feed.days=5", "-p", "btc")
    assert "belongs to another market: a new one is assumed" in result.output
    assert "30 min" not in result.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--feed", "nothing"), "no installed plugin offers a feed 'nothing'"),
        (("--set", "services.screener.max_spread=-1"), "services.screener.max_spread"),
        (("-p", "NOPE"), "-p NOPE: the feed has no such symbol"),
        (("-p", "NOPE/USDT:USDT"), "NOPE/USDT:USDT: the synthetic market does not list it"),
        (("--set", "services.screener.quote=USDC"), "none is an active USDC perpetual"),
        (("--data", "missing"), "missing"),
    ],
)
def test_what_cannot_be_ranked_is_refused_with_a_sentence(nowhere: Path, arguments: tuple[str, ...], sentence: str) -> None:
    result = call("screener", *arguments, code=1)
    assert sentence in result.output
    assert "Traceback" not in result.output


def test_symbols_may_be_left_to_the_screener() -> None:
    made = plan("symbols.use=screener", "symbols.top=3")
    assert made.symbols == ()
    assert made.universe == ScreenerUniverse(top=3)
    assert plan().universe is None


@pytest.mark.parametrize(
    ("sets", "sentence"),
    [
        (("symbols.use=screner",), 'did you mean "screener"?'),
        (("symbols.top=3",), 'names no part; it must be a list of symbols, or {"use": NAME}; there are: screener'),
        (("symbols.use=screener", "symbols.top=0"), "symbols.top"),
        (("symbols.use=screener", "symbols.tip=3"), 'symbols.tip (--set) is unknown; did you mean "symbols.top"?'),
        (("symbols=screener",), 'to have screener find them write symbols: {"use": "screener"}'),
    ],
)
def test_a_wrong_universe_is_told(sets: tuple[str, ...], sentence: str) -> None:
    assert sentence in problems(*sets)


def test_a_list_of_symbols_in_a_stronger_place_takes_the_screeners_place(tmp_path: Path) -> None:
    (tmp_path / "file.json").write_text('{"symbols": {"use": "screener", "top": 5}}')
    tree = load(tmp_path / "file.json", config.NO_STRATEGY, (), env={"SYMBOLS": "BTC/USDT:USDT"})
    made = config.resolve(tree, CATALOGUE)
    assert (made.symbols, made.universe) == (("BTC/USDT:USDT",), None)


def test_a_run_that_begins_trades_the_most_traded_markets(tmp_path: Path) -> None:
    made = plan("symbols.use=screener", "symbols.top=2", "feed.count=6")
    symbols, told = options.traded(made, (), (), tmp_path)
    assert symbols == ("BTC/USDT:USDT", "ETH/USDT:USDT")
    assert "nothing has happened yet" in told[0]


def test_a_run_that_goes_on_trades_what_ranks_highest_and_what_it_holds(tmp_path: Path) -> None:
    made = plan("symbols.use=screener", "symbols.top=2", "feed.count=6")
    at = EPOCH + 20 * 24 * HOUR
    held(tmp_path, Synthetic().identity(), at=at)
    symbols, told = options.traded(made, (), (), tmp_path)
    assert len(symbols) in (2, 3)
    assert "BTC/USDT:USDT" in symbols
    assert any("has ranked" in line for line in told)
    chosen = ScreenerUniverse(top=2).choose(made, at, lambda _: None)
    assert list(symbols[:2]) == chosen
    if "BTC/USDT:USDT" not in chosen:
        assert any("those the account holds: BTC/USDT:USDT" in line for line in told)


def test_symbols_that_are_typed_are_traded_whatever_the_screener_would_say(tmp_path: Path) -> None:
    made = plan("symbols.use=screener")
    assert options.traded(made, ("btc",), (), tmp_path) == (("BTC/USDT:USDT",), [])


def test_a_run_says_what_was_chosen_for_it(nowhere: Path) -> None:
    result = call("run", "--set", "symbols.use=screener", "--set", "symbols.top=1", "--no-services", "--for", 0.2, "--quiet")
    assert "symbols that screener chose: BTC/USDT:USDT" in result.output


def test_the_services_defaults_are_those_of_the_rule_and_of_the_universe() -> None:
    assert Screener().bounds == Bounds(most=100, min_turnover=5_000_000.0, max_spread=0.001, quote="USDT")
    universe = ScreenerUniverse()
    assert (universe.top, universe.most, universe.min_turnover, universe.max_spread) == (10, 100, 5e6, 0.001)
    assert (Screener().every, Screener().top) == (10.0, 10)


def test_an_unlisted_market_can_be_looked_at_by_name() -> None:
    from enigma_screener.once import Standing

    standing = Standing(plan("feed.count=1"), Bounds(), named=("SOL/USDT:USDT",))
    assert [type(one) for one in standing.listings] == [Listing]
    assert standing.listings[0].symbol == "SOL/USDT:USDT"
