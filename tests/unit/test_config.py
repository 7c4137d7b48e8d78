"""Settings: which layer wins, what each wrong thing is answered with, and that nothing gets through unnoticed."""

from __future__ import annotations

import copy
import json
import math
import re
import textwrap
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enigma_core.config import OWN_NAMES, Tree, complete, examine, explained, load, resolve
from enigma_core.config.defaults import defaults
from enigma_core.config.sources import value_of
from enigma_core.errors import ConfigError
from enigma_core.plan import Plan
from enigma_core.plugins import Catalogue

ROOT = Path(__file__).parents[2]
CATALOGUE = Catalogue.built_in()


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan(*sets: str, **more: Any) -> Plan:
    return resolve(load(sets=sets, **{"env": {}, **more}), CATALOGUE)


def problems(*sets: str, **more: Any) -> tuple[str, ...]:
    return examine(load(sets=sets, **{"env": {}, **more}), CATALOGUE)[1]


def problem(*sets: str, **more: Any) -> str:
    """The one thing that is wrong."""
    (sentence,) = problems(*sets, **more)
    return sentence


def write(name: str, content: Any) -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(content) if isinstance(content, str) else json.dumps(content))
    return name


# where settings come from


def test_an_empty_folder_gives_the_default_plan() -> None:
    made = plan()
    assert (made.mode, made.strategy, made.symbols) == ("paper", "default", ())
    assert made.feed is not None
    assert made.feed.name == "synthetic"
    assert made.executor is not None
    assert made.executor.name == "paper"
    assert made.sizer is not None
    assert made.sizer.name == "atr_risk"
    assert made.market_gates["score"].min == 75.0  # type: ignore[attr-defined]
    assert made.account.equity == Decimal(10_000)


def test_the_parts_in_use_by_default_are_those_of_the_specification() -> None:
    made = plan()
    assert len(made.indicators) == 12
    assert not made.indicators.keys() & {"rsi", "cmf"}
    assert len(made.microstructure) == 5
    assert [*made.market_gates, *made.account_gates] == [*defaults()["gates"]]
    assert list(made.exits) == ["stop_loss", "take_profit", "break_even", "trailing_stop", "opposite_signal"]


def test_a_layer_changes_what_it_says_and_nothing_else() -> None:
    write("strategy_config.json", {"gates": {"score": {"min": 60}}})
    made = plan()
    assert made.market_gates["score"].min == 60  # type: ignore[attr-defined]
    assert "drawdown" in made.account_gates


def test_command_line_beats_environment_beats_strategy_beats_file_beats_defaults() -> None:
    write("strategy_config.json", {"gates": {"score": {"min": 61}}})
    write("strategies/mine.yaml", "gates: {score: {min: 62}}\n")
    layers: list[tuple[float, dict[str, Any]]] = [
        (61, {}),
        (62, {"strategy": "mine"}),
        (63, {"strategy": "mine", "env": {"MIN_SCORE": "63"}}),
        (64, {"strategy": "mine", "env": {"MIN_SCORE": "63", "ENIGMA__GATES__SCORE__MIN": "64"}}),
    ]
    for expected, how in layers:
        assert plan(**how).market_gates["score"].min == expected  # type: ignore[attr-defined]
    assert plan("gates.score.min=65", **layers[-1][1]).market_gates["score"].min == 65  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", OWN_NAMES)
def test_every_own_name_of_the_environment_reaches_its_setting(name: str) -> None:
    values = {"BOT_MODE": "paper", "TRADING_SYMBOLS": "ETH/USDT:USDT", "SYMBOLS": "ETH/USDT:USDT", "PRIMARY_TIMEFRAME": "15m"}
    values |= {"SECONDARY_TIMEFRAME": "4h", "MAX_CONSECUTIVE_LOSSES": "2", "LEVERAGE_MAX": "3", "MAX_POSITIONS": "4"}
    values["KUCOIN_SANDBOX"] = "true"
    tree = load(env={name: values.get(name, "0.5")})
    resolve(tree, CATALOGUE)
    assert tree.origin(OWN_NAMES[name]) == name
    assert tree.get(OWN_NAMES[name]) is not None


def test_an_empty_variable_counts_as_not_set() -> None:
    assert plan(env={"LEVERAGE_MAX": "", "ENIGMA__LEVERAGE__MAX": " "}).leverage.max == 10


def test_symbols_may_be_one_text() -> None:
    expected = ("BTC/USDT:USDT", "ETH/USDT:USDT")
    assert plan(env={"SYMBOLS": "BTC/USDT:USDT, ETH/USDT:USDT"}).symbols == expected
    assert plan("symbols=[BTC/USDT:USDT, ETH/USDT:USDT]").symbols == expected


def test_flags_of_a_command_are_as_strong_as_set() -> None:
    made = plan(flags={"feed.use": "csv", "feed.data": "x", "symbols": ["BTC/USDT:USDT"]}, env={"SYMBOLS": "ETH/USDT:USDT"})
    assert made.feed is not None
    assert made.feed.name == "csv"
    assert made.symbols == ("BTC/USDT:USDT",)


def test_a_timeframe_from_outside_joins_the_available_ones_and_moves_the_secondary() -> None:
    tree = load(env={}, flags={"timeframes.primary": "1h"})
    made = resolve(tree, CATALOGUE).timeframes
    assert (made.primary, made.secondary) == ("1h", "2h")
    assert tree.notes == ["the primary timeframe is 1h, so the secondary is 2h: 1h is not coarser"]
    assert plan("timeframes.primary=3m").timeframes.available == ("3m", "5m", "15m", "30m", "1h", "2h", "4h")
    assert plan("timeframes.primary=4h").timeframes.secondary is None
    assert plan("timeframes.primary=1h", "timeframes.secondary=4h").timeframes.secondary == "4h"


def test_a_primary_in_the_file_must_be_available() -> None:
    write("strategy_config.json", {"timeframes": {"primary": "10m"}})
    assert 'timeframes.primary (strategy_config.json) is "10m", which is not in timeframes.available' in problem()


def test_naming_another_part_drops_the_settings_of_the_first() -> None:
    write("strategy_config.json", {"sizer": {"use": "atr_risk", "risk_per_trade": 0.01, "position_size_max": 0.02}})
    made = plan("sizer.use=fixed_fraction")
    assert made.sizer is not None
    assert made.sizer.name == "fixed_fraction"
    assert made.sizer.position_size_max == 0.05  # type: ignore[attr-defined]
    for order in (("sizer=fixed_fraction", "sizer.position_size=0.03"), ("sizer.position_size=0.03", "sizer=fixed_fraction")):
        assert plan(*order).sizer.position_size == 0.03  # type: ignore[union-attr]


def test_a_part_may_be_used_twice_under_names_of_its_own() -> None:
    made = plan("indicators.fast_rsi={use: rsi, period: 5, max_points: 8}", "indicators.slow_rsi={use: rsi, period: 50}")
    assert made.indicators["fast_rsi"].period == 5  # type: ignore[attr-defined]
    assert made.indicators["slow_rsi"].name == "rsi"


@pytest.mark.parametrize("off", ["false", "null", "{enabled: false}"])
def test_parts_are_switched_off_by_name(off: str) -> None:
    assert "cci" not in plan(f"indicators.cci={off}").indicators


def test_a_part_switched_off_keeps_its_settings_for_whoever_switches_it_on() -> None:
    write("strategy_config.json", {"indicators": {"rsi": {"enabled": False, "period": 9}}})
    assert "rsi" not in plan().indicators
    assert plan("indicators.rsi.enabled=true").indicators["rsi"].period == 9  # type: ignore[attr-defined]
    assert plan("indicators.rsi=true").indicators["rsi"].period == 9  # type: ignore[attr-defined]


def test_a_star_switches_off_everything_that_is_not_named() -> None:
    write("strategies/lean.yaml", "indicators: {'*': false, macd: {}, adx: {}, atr: {}, ema_trend: {}}\n")
    assert list(plan(strategy="lean").indicators) == ["macd", "ema_trend", "adx", "atr"]


def test_order_of_parts_is_the_files_order() -> None:
    write("strategy_config.json", {"gates": {"trend": {}, "score": {"min": 60}}})
    assert list(plan().market_gates)[:3] == ["trend", "score", "confluence"]


def test_the_strategy_of_the_file_counts_unless_another_is_named() -> None:
    write("strategy_config.json", {"strategy": "mine"})
    write("strategies/mine.yaml", "description: mine\nleverage: {max: 3}\n")
    write("strategies/other.yaml", "leverage: {max: 4}\n")
    assert (plan().strategy, plan().leverage.max) == ("mine", 3)
    assert plan(strategy="other").leverage.max == 4
    assert plan("strategy=other").leverage.max == 4
    assert plan(strategy="default").leverage.max == 10
    assert plan(strategy="strategies/other.yaml").leverage.max == 4


def test_strategies_are_found_beside_the_configuration_file(tmp_path: Path) -> None:
    write("far/strategies/mine.yaml", "leverage: {max: 3}\n")
    write("far/flat.yaml", "leverage: {max: 4}\n")
    config = write("far/config.json", {})
    assert plan(config=config, strategy="mine").leverage.max == 3
    assert plan(config=config, strategy="flat").leverage.max == 4


def test_strategies_that_come_with_the_program_are_found_from_anywhere() -> None:
    assert plan(strategy="aggressive").market_gates["score"].min == 50  # type: ignore[attr-defined]
    assert plan(strategy="neutral").market_gates["score"].min == 65  # type: ignore[attr-defined]


def test_conservative_is_the_defaults() -> None:
    one, other = load(env={}), load(env={}, strategy="conservative")
    first, second = resolve(one, CATALOGUE), resolve(other, CATALOGUE)
    for name in set(Plan.__struct_fields__) - {"strategy"}:
        assert getattr(first, name) == getattr(second, name), name


def test_unknown_strategy_brings_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"there is no strategy 'agressive'; did you mean \"aggressive\"\?"):
        load(strategy="agressive", env={})
    with pytest.raises(ConfigError, match=r"there is no strategy file x/y\.yaml"):
        load(strategy="x/y.yaml", env={})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("60", 60),
        ("-1.5", -1.5),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("5_000_000", 5_000_000),
        ("true", True),
        ("False", False),
        ("null", None),
        ("", None),
        ("no", "no"),
        ("12:30", "12:30"),
        ("2026-01-01", "2026-01-01"),
        ("BTC/USDT:USDT", "BTC/USDT:USDT"),
        ("'60'", "60"),
        ('{"a": [1, 2.5, null]}', {"a": [1, 2.5, None]}),
        ("[[0.1, 0.5], [0.2, 0.5]]", [[0.1, 0.5], [0.2, 0.5]]),
        ("[broken", "[broken"),
        ("{a: &x 1, b: *x}", "{a: &x 1, b: *x}"),
    ],
)
def test_typed_values_mean_what_they_say(text: str, value: Any) -> None:
    assert value_of(text) == value
    assert type(value_of(text)) is type(value)


def test_a_number_meant_as_text_is_taken_as_text() -> None:
    made = plan("feed={use: csv}", "feed.data=2024")
    assert made.feed.data == "2024"  # type: ignore[union-attr]


def test_every_setting_says_where_it_comes_from() -> None:
    write("strategy_config.json", {"leverage": {"max": 9}})
    write("strategies/mine.yaml", "gates: {score: {min: 62}}\n")
    tree = load(strategy="mine", env={"MAX_POSITIONS": "4"}, sets=["exits.stop_loss.roi=0.05"])
    origins = {path: origin for path, _, origin in explained(tree, CATALOGUE)}
    assert origins["leverage.max"] == "strategy_config.json"
    assert origins["gates.score.min"] == "strategies/mine.yaml"
    assert origins["gates.max_positions.max"] == "MAX_POSITIONS"
    assert origins["exits.stop_loss.roi"] == "--set"
    assert origins["costs.taker"] == origins["indicators.macd.fast"] == "default"


# what is wrong, and the sentence for it


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("gates.score.mim=5", 'gates.score.mim (--set) is unknown; did you mean "gates.score.min"?'),
        ("gates.score.min=high", 'gates.score.min (--set) is "high"; it must be a number >= 0'),
        ("gates.score.min=-1", "gates.score.min (--set) is -1; it must be a number >= 0"),
        ("gates.score.min=[1]", "gates.score.min (--set) is [1]; it must be a number >= 0"),
        ("gates.score.min=true", "gates.score.min (--set) is true; it must be a number >= 0"),
        ("gates.score=5", "gates.score (--set) is 5; it must be a mapping of settings, or false to switch it off"),
        ("gates=5", "gates (--set) is 5; it must be a mapping of names to values"),
        ("gates.score.enabled=maybe", 'gates.score.enabled (--set) is "maybe"; it must be true or false'),
        ("gates.drawdown.max=3", "(a fraction, not percent: 0.03)"),
        ("gates.scre={}", "did you mean"),
        ("gates.trading_state.x=1", "gates.trading_state.x (--set) is unknown; gates.trading_state has no settings"),
        ("gatess.score.min=5", 'gatess (command line) is no section; did you mean "gates"?'),
        ("gates.mine.use=scoer", "gates.mine.use (--set): no installed plugin offers a gate 'scoer'; did you mean \"score\"?"),
        ("gates.mine.use=5", "gates.mine.use (--set) is 5; it must be the name of a gate"),
        ("gates.macd={}", "no installed plugin offers a gate 'macd'; there is an indicator of that name"),
        ("indicators.depth_of_market={}", "belongs into the section microstructure; move it there"),
        ("microstructure.x={use: macd}", "belongs into the section indicators; move it there"),
        ("indicators.funding_rate={use: macd}", "bears the name of indicators.funding_rate; name one of them otherwise"),
        ("indicators.adx=false", 'gates.trend reads the line of "adx", which is not among the indicators'),
        ("indicators.atr=false", "indicators.atr is not among the indicators, but leverage, confidence and sizes"),
        ("sizer={}", None),
        ("sizer.use=fixed_fractn", 'did you mean "fixed_fraction"?'),
        ("algorithm={use: router, iceberg: {visible: 2}}", "algorithm.iceberg.visible (--set) is 2; it must be a number > 0"),
        ("algorithm={use: router, iceberg: {visble: 1}}", 'is unknown; did you mean "algorithm.iceberg.visible"?'),
        ("algorithm={use: router, iceberg: 7}", "algorithm.iceberg (--set) is 7; it must be a mapping with visible"),
        ("symbols={use: screner}", "no installed plugin offers a universe 'screner'; did you mean \"screener\"?"),
        ("leverage.max=500", "leverage.max (--set) is 500; it must be a whole number from 1 to 100"),
        ("leverage.max=2.5", "leverage.max (--set) is 2.5; it must be a whole number from 1 to 100"),
        ("leverage.steps=[{atr: 0.1, leverage: 0}]", "leverage.steps[0].leverage (--set) does not fit: expected int >= 1"),
        ("leverage.steps=[{atr: 0.1, leverage: 2}, {atr: 0.1, leverage: 2}]", "leverage.steps (--set) must rise in atr"),
        (
            "signal_thresholds.weak=70",
            "signal_thresholds.weak (--set) is 70; it must not exceed signal_thresholds.plain, which is 65",
        ),
        ("confidence.low_share=1.5", "confidence.low_share (--set) is 1.5; it must be a number from 0 to 1"),
        ("mode=lve", 'mode (--set) is "lve"; it must be "paper" or "live"'),
        ("mode=live", 'mode (--set) is "live", but executor.use is "paper"'),
        ("risk.zone=Europe/Berln", 'is "Europe/Berln", which is no time zone; did you mean "Europe/Berlin"?'),
        ("risk.zone=..", "which is no time zone"),
        ("symbols=BTCUSDT", 'did you mean "BTC/USDT:USDT"?'),
        ("symbols=XBTUSDTM", 'did you mean "BTC/USDT:USDT"?'),
        ("symbols=ETH-USDT-SWAP", 'did you mean "ETH/USDT:USDT"?'),
        ("symbols=btc/usdt:usdt", 'did you mean "BTC/USDT:USDT"?'),
        ("symbols=[7]", "symbols[0] (--set) is 7; a symbol is written BASE/QUOTE:SETTLE"),
        ("symbols={a: 1}", "it must be a list of symbols"),
        ("symbols=[BTC/USDT:USDT, BTC/USDT:USDT]", "symbols (--set) names BTC/USDT:USDT twice"),
        ("timeframes.primary=30x", "timeframes.primary (--set) cannot be used: '30x' is no timeframe"),
        ("timeframes.available=[30m, 7m, 1h]", "timeframes.available[1] (--set) cannot be used"),
        ("timeframes.secondary=15m", 'it must be coarser than the primary, which is "30m", or null'),
        ("timeframes.secondary=6h", "which is not in timeframes.available"),
        ("gates.alignment.timeframes=[5m, 30x]", "gates.alignment.timeframes[1] (--set) cannot be used: '30x' is no timeframe"),
        ("exits.take_profit.ladder=[[0.1, 0.7], [0.2, 0.7]]", "the fractions of ladder add up to 1.4"),
        ("exits.take_profit.ladder=[[0.1]]", "exits.take_profit.ladder[0] (--set) does not fit: expected array of length 2, got 1"),
        ("instruments.BTCUSDT.tick=1", 'did you mean "BTC/USDT:USDT"?'),
        ("instruments.BTC/USDT:USDT.tik=1", 'did you mean "instruments.BTC/USDT:USDT.tick"?'),
        ("instruments.BTC/USDT:USDT.tick=0", "tick is 0; it must be a number above 0"),
        ("instruments.BTC/USDT:USDT=5", "it must be a mapping"),
        ("costs.taker=0.6", "costs.taker (--set) is 0.6; it must lie from 0 to 0.1"),
        ("account.equity=-5", "account.equity (--set) is -5; it must lie from 0.01"),
        ("account.equity=lots", 'account.equity (--set) is "lots"; it must be a decimal number'),
        ("gates..min=5", "is no path; write section.name.setting"),
        ("gates.score.min", "write PATH=VALUE"),
    ],
)
def test_each_wrong_setting_gets_its_sentence(given: str, told: str | None) -> None:
    if told is None:
        assert problems(given) == ()
        return
    found = problems(given)
    assert any(told in sentence for sentence in found), found


def test_everything_wrong_is_told_at_once() -> None:
    wrong = [
        "gates.score.mim=5",
        "gates.score.min=x",
        "leverage.max=0",
        "risk.zone=Nowhere",
        "indicators.nope={}",
        "costs.taker=NaN",
    ]
    tree = load(sets=wrong, env={"MAX_POSITIONS": "0"})
    with pytest.raises(ConfigError) as caught:
        resolve(tree, CATALOGUE)
    lines = str(caught.value).splitlines()
    assert lines[0] == "7 settings cannot be used:"
    assert len(lines) == 8
    assert any("gates.max_positions.max (MAX_POSITIONS) is 0" in line for line in lines)


SENSELESS = ("NaN", "Infinity", "-Infinity", "1e999", '"NaN"', '"Infinity"', '"1E+4000000"', '"1E-30"', "9" * 400)


@pytest.mark.parametrize("value", SENSELESS)
@pytest.mark.parametrize("path", ["account.equity", "costs.slippage", "gates.score.min", "gates.cooldown.min", "leverage.max"])
def test_r10_no_number_without_sense_enters_by_a_file(path: str, value: str) -> None:
    section, *rest = path.split(".")
    text = value
    for name in reversed([section, *rest]):
        text = f'{{"{name}": {text}}}'
    write("strategy_config.json", text)
    assert path in problem()


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", "1E+4000000"])
@pytest.mark.parametrize("path", ["account.equity", "gates.score.min"])
def test_r10_no_number_without_sense_enters_by_the_command_line(path: str, value: str) -> None:
    assert path in problem(f"{path}={value}")


def test_r10_no_number_without_sense_hides_in_a_list() -> None:
    write("strategy_config.json", '{"exits": {"take_profit": {"ladder": [[0.1, NaN]]}}}')
    assert "exits.take_profit.ladder[0][1] (strategy_config.json) is nan" in problem()


def test_money_is_read_exactly_from_text_whole_numbers_and_fractions() -> None:
    for typed, exact in (("0.0006", "0.0006"), ("'0.0006'", "0.0006"), ("0", "0"), ("0.1", "0.1")):
        assert plan(f"costs.taker={typed}").costs.taker == Decimal(exact)
    assert plan("instruments.BTC/USDT:USDT.tick=0.1").instruments == {"BTC/USDT:USDT": {"tick": "0.1"}}


def test_a_gates_timeframe_that_is_not_built_is_remarked_on() -> None:
    tree = load(env={}, sets=["timeframes.available=[30m, 1h]"])
    resolve(tree, CATALOGUE)
    assert "gates.alignment.timeframes names 5m, which is not among timeframes.available: it never counts" in tree.notes


# files


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"gates": {"score": {"min": 75,}}}', ":1:32: this is no JSON: a comma before }"),
        ('{\n "mode": "paper"\n "x": 1}', ":3:2: this is no JSON: expecting ',' delimiter"),
        ("{\n // mine\n}", ":2:2: this is no JSON: JSON has no comments"),
        ('{"mode": "paper"', ":1:17: this is no JSON: the file ends too early"),
        ('{"mode": "paper", "mode": "live"}', '"mode" stands twice in one place'),
        ("[1, 2]", "holds a list; it must hold sections with names"),
        ('"x"', "holds a text; it must hold sections"),
        ("7", "holds a number"),
        ("[" * 5000, "is nested more than 16 deep"),
        ('{"a":' * 20 + "1" + "}" * 20, "is nested more than 16 deep"),
        ("1" * 5000, "holds a number of more than 4,000 digits"),
        (" " * 1_000_001, "has more than 1,000,000 bytes"),
    ],
)
def test_a_damaged_file_is_answered_with_its_place(text: str, told: str) -> None:
    Path("strategy_config.json").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(env={})
    assert told in str(caught.value)
    assert str(caught.value).startswith("strategy_config.json")


def test_a_file_that_is_absent_binary_or_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no file gone\.json"):
        load("gone.json", env={})
    Path("binary.json").write_bytes(b'{\n"a": "\xff"}')
    with pytest.raises(ConfigError, match=r"binary\.json:2: byte 0xff is no UTF-8"):
        load("binary.json", env={})
    Path("folder.json").mkdir()
    with pytest.raises(ConfigError, match=r"folder\.json cannot be read"):
        load("folder.json", env={})


def test_a_byte_order_mark_and_a_file_of_comments_do_no_harm() -> None:
    Path("a.json").write_bytes(b'\xef\xbb\xbf{"leverage": {"max": 3}}')
    assert plan(config="a.json").leverage.max == 3
    Path("b.yaml").write_text("# nothing yet\n")
    assert plan(config="b.yaml").leverage.max == 10


@pytest.mark.parametrize("content", ["", " \n", "\ufeff"])
def test_a_configuration_that_lost_its_content_is_refused(content: str) -> None:
    Path("strategy_config.json").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^strategy_config\.json is empty; a configuration without settings is \{\}"):
        load(env={})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("gates:\n  score: {min: 75\nx: 1\n", "mine.yaml:3:"),
        ("gates: {}\ngates: {}\n", 'mine.yaml:2:1: this is no YAML: "gates" stands twice'),
        ("a: &x 1\nb: *x\n", "anchors and aliases are not used here"),
        ("? [a]\n: 1\n", "a name must be a word"),
        ("- a\n", "holds a list"),
        ("\tgates: 1\n", "this is no YAML"),
        ("a: 1\n---\nb: 2\n", "this is no YAML"),
        ("a: !!python/object/apply:os.system ['true']\n", "this is no YAML"),
    ],
)
def test_a_damaged_strategy_is_answered_with_its_place(text: str, told: str) -> None:
    write("strategies/mine.yaml", "")
    Path("strategies/mine.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(strategy="mine", env={})
    assert told in str(caught.value)


def test_every_truncation_of_a_file_is_refused_or_sound() -> None:
    text = json.dumps({"gates": {"score": {"min": 60}}, "symbols": ["BTC/USDT:USDT"], "leverage": {"max": 3}})
    for end in range(1, len(text)):
        Path("strategy_config.json").write_text(text[:end])
        with pytest.raises(ConfigError):
            load(env={})


# secrets


SECRETIVE = """
    from enigma_core.hookspecs import hookimpl
    from enigma_core.parts import Notifier

    class Pager(Notifier, frozen=True, kw_only=True):
        name = "pager"
        token: str = ""
        urls: tuple[str, ...] = ()

    @hookimpl
    def enigma_notifiers():
        yield Pager
"""


@pytest.fixture
def pager(tmp_path: Path) -> Callable[..., tuple[Tree, Catalogue]]:
    folder = tmp_path / "strategies"
    folder.mkdir()
    (folder / "pager.py").write_text(textwrap.dedent(SECRETIVE))
    catalogue = Catalogue.load([folder])

    def made(settings: dict[str, Any], **env: str) -> tuple[Tree, Catalogue]:
        write("strategy_config.json", {"notifiers": {"pager": settings}})
        return load(env=env), catalogue

    return made


def test_secrets_are_read_from_the_environment_or_a_file(pager: Callable[..., tuple[Tree, Catalogue]]) -> None:
    Path("key").write_text("hidden\n")
    for settings_, env in (
        ({"token": {"env": "KEY"}}, {"KEY": "hidden"}),
        ({"token": {"env": "KEY"}}, {"KEY_FILE": "key"}),
        ({"token": {"file": "key"}}, {}),
    ):
        assert resolve(*pager(settings_, **env)).notifiers["pager"].token == "hidden"  # type: ignore[attr-defined]
    made = resolve(*pager({"urls": [{"env": "A"}, "x://y"]}, A="a://b"))
    assert made.notifiers["pager"].urls == ("a://b", "x://y")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"token": "hunter2"}, 'is a secret and must not stand here; refer to it: {"env": "TOKEN"}'),
        ({"token": {"env": "GONE"}}, "refers to the environment's GONE, which is not set; set it, or GONE_FILE"),
        ({"token": {"file": "gone"}}, "refers to the file gone, which cannot be read: No such file"),
        ({"token": {"env": 5}}, 'refers to 5; write {"env": "NAME"}'),
        ({"token": 12345}, "notifiers.pager.token (strategy_config.json) is 12345; it must be a text"),
        ({"urls": [{"env": "GONE"}]}, "notifiers.pager.urls[0] (strategy_config.json) refers to the environment's GONE"),
    ],
)
def test_secrets_given_wrongly_are_told_without_their_value(
    pager: Callable[..., tuple[Tree, Catalogue]], given: dict[str, Any], told: str
) -> None:
    _, found = examine(*pager(given))
    assert len(found) == 1
    assert told in found[0]
    assert "hunter2" not in found[0]


def test_secrets_are_never_shown(pager: Callable[..., tuple[Tree, Catalogue]]) -> None:
    tree, catalogue = pager({"token": {"env": "KEY"}, "urls": ["tgram://secret/chat"]}, KEY="hidden")
    shown = {path: value for path, value, _ in explained(tree, catalogue)}
    assert shown["notifiers.pager.token"] == {"env": "KEY"}
    assert shown["notifiers.pager.urls"] == ["***"]


# faulty plugins


def test_p11_a_faulty_plugin_stops_only_the_run_that_uses_it(tmp_path: Path) -> None:
    folder = tmp_path / "strategies"
    folder.mkdir()
    (folder / "shaky.py").write_text("import no_such_module_at_all\n")
    catalogue = Catalogue.load([folder])
    assert examine(load(env={}), catalogue)[1] == ()
    (sentence,) = examine(load(env={}, sets=["indicators.shaky={}"]), catalogue)[1]
    assert sentence.startswith("indicators.shaky (--set): indicator 'shaky' cannot be used: plugin shaky")
    assert "No module named 'no_such_module_at_all'" in sentence


def test_p11_a_part_whose_own_check_breaks_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "strategies"
    folder.mkdir()
    source = SECRETIVE.replace('token: str = ""', "n: int = 1\n\n        def __post_init__(self):\n            1 // self.n\n")
    (folder / "pager.py").write_text(textwrap.dedent(source))
    catalogue = Catalogue.load([folder])
    (sentence,) = examine(load(env={}, sets=["notifiers.pager.n=0"]), catalogue)[1]
    assert sentence.startswith("notifiers.pager")
    assert "ZeroDivisionError" in sentence


# laws


COMPLETE = {name: value for name, value in complete(CATALOGUE).items() if name != "$schema"}

WORDS = ["use", "enabled", "min", "max", "env", "file", "x", "*"]
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["NaN", "1E+999999", "30m", "rsi", "score", "BTC/USDT:USDT", "*", "../x", "UTC"]),
    st.lists(st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=4)), max_size=3),
    st.dictionaries(
        st.sampled_from(["use", "enabled", "min", "max", "env", "file", "x", "*"]),
        st.one_of(st.none(), st.text(max_size=4), st.floats()),
        max_size=2,
    ),
)


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(tree, dict):
        for key, value in tree.items():
            found += places(value, (*path, key))
    elif isinstance(tree, list):
        for i, value in enumerate(tree):
            found += places(value, (*path, i))
    return found


@given(
    st.lists(st.tuples(st.sampled_from(places(COMPLETE)), st.sampled_from(["set", "drop", "rename"]), JUNK), min_size=1, max_size=4)
)
@settings(max_examples=250)
def test_p14_a_mutated_configuration_gives_a_plan_or_sentences_and_never_a_traceback(
    mutations: list[tuple[tuple[Any, ...], str, Any]],
) -> None:
    values = copy.deepcopy(COMPLETE)
    for path, how, junk in mutations:
        at: Any = values
        try:
            for step in path[:-1]:
                at = at[step]
            if how == "set" or isinstance(at, list):
                at[path[-1]] = junk
            elif how == "drop":
                del at[path[-1]]
            else:
                at[str(junk)] = at.pop(path[-1])
        except (KeyError, IndexError, TypeError, AttributeError):
            continue  # an earlier mutation took the place away
    Path("mutated.json").write_text(json.dumps(values))
    try:
        tree = load("mutated.json", env={})
    except ConfigError:
        return
    made, told = examine(tree, CATALOGUE)
    assert (made is None) == bool(told)
    assert all(sentence.strip() and "Traceback" not in sentence for sentence in told)
    list(explained(tree, CATALOGUE))
    if made is not None:
        assert all(math.isfinite(part.max_points) for part in made.indicators.values())


@given(st.sampled_from(places(COMPLETE)), st.text(max_size=20))
@settings(max_examples=150)
def test_whatever_is_typed_on_the_command_line_is_taken_or_told(path: tuple[Any, ...], text: str) -> None:
    given = f"{'.'.join(str(step) for step in path)}={text}"
    try:
        made, told = examine(load(sets=[given], env={}), CATALOGUE)
    except ConfigError:  # a strategy that does not exist
        return
    assert (made is None) == bool(told)


@given(st.text(max_size=60))
@settings(max_examples=150)
def test_any_text_as_a_strategy_file_is_taken_or_told(text: str) -> None:
    Path("any.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        tree = load(strategy="any.yaml", env={})
    except ConfigError:
        return
    made, told = examine(tree, CATALOGUE)
    assert (made is None) == bool(told)


def test_the_page_on_configuration_lists_the_own_names_of_the_environment() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert dict(re.findall(r"^\| `([A-Z_]+)` \| `([a-z_.]+)` \|$", page, re.MULTILINE)) == OWN_NAMES
