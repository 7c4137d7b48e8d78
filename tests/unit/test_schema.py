"""The shipped configuration and its schema say what the code says, and the commands show it."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from enigma_core.cli import root
from enigma_core.config import complete, examine, load, schema
from enigma_core.config.complete import text
from enigma_core.config.defaults import CLASSES, CORE, MANY, ONE, PLAIN, SECTIONS
from enigma_core.parts import KINDS, Part
from enigma_core.plugins import Catalogue

ROOT = Path(__file__).parents[2]
CATALOGUE = Catalogue.built_in()
FILE = ROOT / "strategy_config.json"
SCHEMA_FILE = ROOT / "strategy_config.schema.json"
SCHEMA = schema(CATALOGUE)


def faults(value: Any, rule: Any, path: str = "$") -> list[str]:
    """What JSON Schema says of `value`: as much of the 2020-12 draft as ours uses."""
    found: list[str] = []
    if rule is True:
        return found
    if rule is False:
        return [f"{path}: not allowed"]
    if "$ref" in rule:
        found += faults(value, SCHEMA["$defs"][rule["$ref"].removeprefix("#/$defs/")], path)
    if "enum" in rule and value not in rule["enum"]:
        found.append(f"{path}: not one of {rule['enum']}")
    if "const" in rule and value != rule["const"]:
        found.append(f"{path}: not {rule['const']}")
    for word, enough in (("anyOf", any), ("oneOf", lambda hits: sum(hits) == 1)):
        if word in rule and not enough([not faults(value, choice, path) for choice in rule[word]]):
            found.append(f"{path}: fits no choice")
    if "type" in rule and not any(_is(value, kind) for kind in [rule["type"]] * isinstance(rule["type"], str) or rule["type"]):
        return [*found, f"{path}: no {rule['type']}"]
    if isinstance(value, dict):
        known = rule.get("properties", {})
        found += [f"{path}.{name}: missing" for name in rule.get("required", ()) if name not in value]
        for name, inner in value.items():
            found += faults(name, rule.get("propertyNames", True), f"{path}.{name}")
            found += faults(inner, known.get(name, rule.get("additionalProperties", True)), f"{path}.{name}")
    elif isinstance(value, list):
        prefix = rule.get("prefixItems", [])
        found += [f"{path}: too short"] * (len(value) < rule.get("minItems", 0))
        for i, inner in enumerate(value):
            found += faults(inner, prefix[i] if i < len(prefix) else rule.get("items", True), f"{path}[{i}]")
    elif isinstance(value, str):
        if "pattern" in rule and not re.search(rule["pattern"], value):
            found.append(f"{path}: no {rule['pattern']}")
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = rule.get("minimum", value), rule.get("maximum", value)
        within = low <= value <= high and rule.get("exclusiveMinimum", value - 1) < value < rule.get("exclusiveMaximum", value + 1)
        found += [f"{path}: out of range"] * (not within)
    return found


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "null": type(None)}
    return isinstance(value, kinds.get(kind, ()))


def enigma(*words: str) -> Result:
    return CliRunner().invoke(root, list(words))


def test_the_shipped_configuration_holds_every_default() -> None:
    assert FILE.read_text(encoding="utf-8") == text(complete(CATALOGUE)), "renew it: enigma config show --defaults"


def test_the_shipped_schema_is_that_of_the_built_in_parts() -> None:
    shipped = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    assert shipped == SCHEMA, "renew it: enigma config schema --built-in -o strategy_config.schema.json"


def test_the_shipped_configuration_names_its_schema_and_fits_it() -> None:
    shipped = json.loads(FILE.read_text(encoding="utf-8"))
    assert (ROOT / shipped["$schema"]) == SCHEMA_FILE
    assert faults(shipped, SCHEMA) == []


def test_the_shipped_configuration_changes_no_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bare, _ = examine(load(env={}), CATALOGUE)
    shipped, problems = examine(load(FILE, env={}), CATALOGUE)
    assert problems == ()
    assert bare is not None
    assert shipped is not None
    for name in bare.__struct_fields__:
        assert getattr(bare, name) == getattr(shipped, name), name


def test_the_shipped_configuration_names_every_built_in_part_and_marks_what_is_off() -> None:
    shipped = json.loads(FILE.read_text(encoding="utf-8"))
    for section, kind in MANY.items():
        parts = {name for name, offer in CATALOGUE.parts(kind).items() if issubclass(offer.part, CLASSES.get(section, Part))}
        assert parts == shipped[section].keys(), section
    off = {name for section in MANY for name, entry in shipped[section].items() if entry.get("enabled") is False}
    assert off == {"rsi", "cmf", "atr_stop", "milestones", "apprise", "screener"}


@pytest.mark.parametrize("strategy", sorted(path.stem for path in (ROOT / "strategies").glob("*.yaml")))
def test_every_shipped_strategy_is_sound_fits_the_schema_and_says_what_it_is_for(strategy: str) -> None:
    path = ROOT / "strategies" / f"{strategy}.yaml"
    from enigma_core.config import description
    from enigma_core.config.sources import read

    tree = read(path)
    assert len(description(path)) > 10
    del tree["description"]
    assert faults(tree, SCHEMA) == []
    assert examine(load(strategy=str(path), env={}), CATALOGUE)[1] == ()
    assert sum(line.lstrip().startswith("#") for line in path.read_text(encoding="utf-8").splitlines()) >= 2


def test_shipped_strategies_ask_for_less_and_less() -> None:
    plans = [examine(load(strategy=name, env={}), CATALOGUE)[0] for name in ("conservative", "neutral", "aggressive")]
    scores = [plan.market_gates["score"].min for plan in plans if plan]  # type: ignore[attr-defined]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 3
    assert {plan.account_gates["drawdown"].max for plan in plans if plan} == {0.03}  # type: ignore[attr-defined]
    assert {plan.leverage.max for plan in plans if plan} == {10}


@pytest.mark.parametrize(
    "wrong",
    [
        {"gates": {"score": {"mim": 5}}},
        {"gates": {"score": {"min": "high"}}},
        {"gates": {"score": {"min": -1}}},
        {"gates": {"mine": {"min": 5}}},
        {"gates": {"mine": {"use": "nope"}}},
        {"gatess": {}},
        {"mode": "lve"},
        {"symbols": ["BTCUSDT"]},
        {"sizer": {"use": "nope"}},
        {"leverage": {"max": 500}},
        {"instruments": {"BTC/USDT:USDT": {"tik": "1"}}},
        {"indicators": {"depth_of_market": {}}},
    ],
)
def test_what_the_settings_refuse_the_schema_refuses_too(wrong: dict[str, Any]) -> None:
    assert faults(wrong, SCHEMA)


@pytest.mark.parametrize(
    "right",
    [
        {},
        {"gates": {"score": False, "drawdown": None, "*": False, "mine": {"use": "score", "min": 5}, "again": "score"}},
        {"sizer": "fixed_fraction"},
        {"sizer": {"use": "fixed_fraction", "position_size": 0.03}},
        {"costs": {"taker": 0.0006, "maker": "0.0002"}},
        {"instruments": {"BTC/USDT:USDT": {"tick": "0.1", "max_leverage": 20}}},
        {"indicators": {"fast": {"use": "rsi", "period": 5}}},
    ],
)
def test_what_the_settings_take_the_schema_takes_too(right: dict[str, Any], tmp_path: Path) -> None:
    assert faults(right, SCHEMA) == []
    file = tmp_path / "config.json"
    file.write_text(json.dumps(right))
    problems = examine(load(file, env={}), CATALOGUE)[1]
    # "*": false also switches off what the remaining parts need; that is no matter of form
    assert problems == ()


def test_every_setting_of_every_part_is_described_in_the_schema() -> None:
    for kind in KINDS:
        for name, offer in CATALOGUE.parts(kind).items():
            properties = SCHEMA["$defs"][f"{kind}.{name}"]["properties"]
            settings = offer.part.__struct_encode_fields__
            assert set(settings) <= properties.keys()
            bare = [setting for setting in settings if "description" not in properties[setting]]
            assert not bare, f"{kind} {name}: say in Meta(description=...) what {', '.join(bare)} is"


def test_every_section_stands_in_schema_defaults_and_file() -> None:
    assert {*CORE, *ONE, *MANY, *PLAIN} == set(SECTIONS)
    assert set(SECTIONS) | {"$schema"} == SCHEMA["properties"].keys()
    assert [name for name in json.loads(FILE.read_text(encoding="utf-8")) if name != "$schema"] == list(SECTIONS)


def test_the_schema_is_plain_json_without_anything_of_this_machine() -> None:
    encoded = json.dumps(SCHEMA)
    assert msgspec.json.decode(encoded) == SCHEMA
    assert str(ROOT) not in encoded


THIRD = """
    from typing import Annotated, Any
    from msgspec import Meta
    from enigma_core.hookspecs import hookimpl
    from enigma_core.parts import Indicator

    class Tide(Indicator, frozen=True, kw_only=True):
        "High and low water."
        name = "tide"
        phase: Annotated[float, Meta(ge=0, le=1, description="of the moon")] = 0.5

    class Odd(Indicator, frozen=True, kw_only=True):
        "Settings that JSON has no word for."
        name = "odd"
        x: complex = 1j

    @hookimpl
    def enigma_indicators():
        yield Tide
        yield Odd
"""


def test_the_schema_knows_third_party_settings_and_survives_odd_ones(tmp_path: Path) -> None:
    (tmp_path / "tide.py").write_text(textwrap.dedent(THIRD))
    catalogue = Catalogue.load([tmp_path], entry_points=[])
    made = schema(catalogue)
    assert made["$defs"]["indicator.tide"]["properties"]["phase"]["maximum"] == 1
    assert "have no schema" in made["$defs"]["indicator.odd"]["description"]


# the commands


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("MIN_SCORE", "SYMBOLS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_config_show_tells_values_and_origins(empty_folder: Path) -> None:
    shown = enigma("config", "show", "--set", "gates.score.min=60", "-s", "aggressive", "-i", "1h", "--json")
    answer = json.loads(shown.stdout)
    rows = {row["path"]: row for row in answer["settings"]}
    assert rows["gates.score.min"] == {"path": "gates.score.min", "value": 60, "from": "--set"}
    assert rows["gates.confluence.min"]["from"].endswith("aggressive.yaml")
    assert rows["timeframes.primary"]["from"] == "command line"
    assert answer["notes"]
    plain = enigma("config", "show").stdout
    assert re.search(r"^costs\.taker +\"0\.0006\"$", plain, re.MULTILINE)


def test_config_show_defaults_is_the_shipped_file(empty_folder: Path) -> None:
    assert enigma("config", "show", "--defaults").stdout == FILE.read_text(encoding="utf-8")
    assert enigma("config", "show", "--defaults", "--set", "a.b=1").exit_code == 2


def test_config_check_says_everything_at_once_and_exits_with_1(empty_folder: Path) -> None:
    assert enigma("config", "check").exit_code == 0
    wrong = ("--set", "gates.score.mim=1", "--set", "leverage.max=0")
    refused = enigma("config", "check", *wrong)
    assert refused.exit_code == 1
    assert 'did you mean "gates.score.min"?' in refused.stderr
    assert "leverage.max (--set) is 0; it must be a whole number from 1 to 100" in refused.stderr
    answer = json.loads(enigma("config", "check", *wrong, "--json").stdout)
    assert answer["ok"] is False
    assert len(answer["problems"]) == 2


def test_config_check_of_a_broken_file_names_line_and_column(empty_folder: Path) -> None:
    (empty_folder / "strategy_config.json").write_text('{\n "mode": paper\n}')
    refused = enigma("config", "check")
    assert refused.exit_code == 1
    assert "strategy_config.json:2:10: this is no JSON" in refused.stderr
    assert "Traceback" not in refused.output


def test_config_schema_goes_to_stdout_or_a_file(empty_folder: Path) -> None:
    assert json.loads(enigma("config", "schema", "--built-in").stdout) == SCHEMA
    assert enigma("config", "schema", "-o", "here.json").exit_code == 0
    assert json.loads((empty_folder / "here.json").read_text())["title"]
    refused = enigma("config", "schema", "-o", "no/such/folder.json")
    assert refused.exit_code == 1
    assert "no/such/folder.json" in refused.stderr


def test_strategies_lists_what_each_changes(empty_folder: Path) -> None:
    (empty_folder / "strategies").mkdir()
    (empty_folder / "strategies" / "mine.yaml").write_text("description: mine\ngates: {score: {min: 70}}\n")
    (empty_folder / "strategies" / "torn.yaml").write_text("gates: {score\n")
    answer = {row["name"]: row for row in json.loads(enigma("strategies", "--json").stdout)["strategies"]}
    assert answer["mine"]["changes"] == {"gates.score.min": 70}
    assert answer["mine"]["description"] == "mine"
    assert "torn.yaml:" in answer["torn"]["fault"]
    assert answer["conservative"]["changes"] == {}
    listed = enigma("strategies").stdout
    assert "aggressive" in listed
    assert "gates.score.min = 50" in listed


def test_plugins_lists_parts_and_faults(empty_folder: Path) -> None:
    (empty_folder / "strategies").mkdir()
    (empty_folder / "strategies" / "shaky.py").write_text("1/0\n")
    for words in (("plugins", "--json"), ("plugins", "list", "--json")):
        answer = json.loads(enigma(*words).stdout)
        assert {row["kind"] for row in answer["parts"]} >= {"indicator", "gate", "sizer", "exit", "feed", "executor", "notifier"}
        assert ["ZeroDivisionError" in fault["sentence"] for fault in answer["faults"]] == [True]
    listed = enigma("plugins", "--kind", "gate").stdout
    assert "cooldown" in listed
    assert "macd" not in listed
    assert "1 not usable" in listed
    gates = json.loads(enigma("plugins", "list", "--kind", "gate", "--json").stdout)["parts"]
    assert next(row for row in gates if row["name"] == "score")["settings"] == {"min": 75.0}
    unknown = enigma("plugins", "--kind", "gat")
    assert unknown.exit_code == 1
    assert 'did you mean "gate"?' in unknown.stderr
