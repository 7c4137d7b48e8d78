"""A stranger's package: built on its own, installed beside the engine, listed, checked, traded; and five broken ones."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from enigma_core.testing import candles

ROOT = Path(__file__).parents[2]
PACKAGES = ROOT / "tests" / "fixtures" / "packages"
OFFLINE = ("--no-index", "--no-deps", "--no-build-isolation")


class Environment(NamedTuple):
    """A fresh virtual environment and a folder to work in."""

    python: Path
    folder: Path

    def run(self, *arguments: str | Path, code: int | None = 0, **more: str) -> subprocess.CompletedProcess[str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("ENIGMA", "PYTHON", "PIP", "PYTEST"))}
        clean |= {"NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1"} | more
        done = subprocess.run(
            [str(self.python), *map(str, arguments)], cwd=self.folder, env=clean, capture_output=True, text=True, check=False
        )
        assert code is None or done.returncode == code, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done

    def enigma(self, *arguments: str | Path, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        return self.run(self.python.parent / "enigma", *arguments, code=code)

    def enigma_json(self, *arguments: str | Path, code: int | None = 0) -> Any:
        return json.loads(self.enigma(*arguments, "--json", code=code).stdout)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A fresh environment with the project, the example and the five broken packages, each installed as a distribution.

    Libraries come from the environment the tests run in, by a .pth file: nothing is downloaded, and an editable install of
    the project there is not seen, as .pth files are read in an environment's own site-packages only.
    """
    folder = tmp_path_factory.mktemp("stranger")
    home = folder / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    libraries = [path for path in sys.path if Path(path).name in {"site-packages", "dist-packages"}]
    (own,) = home.glob("lib/python*/site-packages")
    (own / "libraries.pth").write_text("\n".join(libraries) + "\n")
    sources = [folder / "project", *(folder / package.name for package in PACKAGES.iterdir() if package.is_dir())]
    ignore = shutil.ignore_patterns(".git", "tests", "__pycache__", ".*_cache", "enigma_data")
    shutil.copytree(ROOT, sources[0], ignore=ignore)
    for source in sources[1:]:
        shutil.copytree(PACKAGES / source.name, source)
    work = folder / "work"
    work.mkdir()
    environment = Environment(home / "bin" / "python", work)
    environment.run("-m", "pip", "install", "-q", *OFFLINE, "--ignore-installed", "--no-compile", *sources)
    return environment


@pytest.fixture(scope="module")
def data(environment: Environment) -> Path:
    """A month of made-up 5 m candles as a file."""
    bars = candles(5, 9_000, "trend", timeframe="5m", step=300_000)
    columns = [bars.ts, bars.open, bars.high, bars.low, bars.close, bars.volume]
    lines = [f"{int(row[0])}," + ",".join(repr(float(x)) for x in row[1:]) for row in zip(*columns, strict=True)]
    folder = environment.folder / "candles"
    folder.mkdir()
    (folder / "BTCUSDT-5m.csv").write_text("ts,open,high,low,close,volume\n" + "\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def listing(environment: Environment) -> Any:
    return environment.enigma_json("plugins", "list")


FREE = {"confluence": False, "confidence": False, "alignment": False, "trend": False, "circuit_breaker": False, "drawdown": False}


def _config(environment: Environment, name: str, indicators: dict[str, Any], **sections: Any) -> Path:
    """A configuration whose only votes are those of `indicators`."""
    built_in = [
        "stochastic_rsi", "williams_r", "macd", "awesome_oscillator", "ema_trend", "stochastic", "bollinger", "kdj", "obv", "cci",
    ]  # fmt: skip
    votes = dict.fromkeys(built_in, False) | indicators
    path = environment.folder / f"{name}.json"
    path.write_text(json.dumps({"indicators": votes, **sections}))
    return path


def _backtest(environment: Environment, data: Path, config: Path, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    return environment.enigma("backtest", "--data", data, "-c", config, "--json", code=code)


def test_third_party_package_shows_up_with_its_distribution(listing: Any) -> None:
    rows = {(row["kind"], row["name"]): row for row in listing["parts"]}
    for kind, name in (("indicator", "donchian"), ("gate", "lively"), ("exit", "donchian_stop")):
        assert (rows[kind, name]["distribution"], rows[kind, name]["version"]) == ("example-donchian", "1.2.0")
    assert rows["indicator", "rsi"]["distribution"] == "miniature-enigma"


def test_third_party_package_is_sound_by_the_kit(environment: Environment) -> None:
    checked = environment.enigma_json("plugins", "check", "example-donchian")
    assert [part["name"] for part in checked["parts"]] == ["donchian", "lively", "donchian_stop"]
    assert checked["broken"] == 0


def test_third_party_package_passes_its_own_tests_of_three_lines(environment: Environment) -> None:
    done = environment.run("-m", "pytest", "-q", "-p", "no:cacheprovider", environment.folder.parent / "example_donchian" / "tests")
    assert "3 passed" in done.stdout


def test_third_party_parts_trade(environment: Environment, data: Path) -> None:
    config = _config(
        environment,
        "donchian",
        {"donchian": {"max_points": 100}},
        gates=FREE | {"lively": {}, "score": {"min": 90}},
        exits={"donchian_stop": {"distance": 0.01}},
    )
    result = json.loads(_backtest(environment, data, config).stdout)
    assert len(result["trades"]) > 5
    assert "donchian_stop" in {trade["exit_reason"] for trade in result["trades"]}


BROKEN = {
    "broken-import": ("cannot be imported: ModuleNotFoundError: No module named 'a_library_nobody_has'", "broken_import.py:3"),
    "broken-no-hook": ("enigma_indicators is there, but not marked with enigma_core's hookimpl", "offers nothing"),
    "broken-clash": ("offers an indicator named 'rsi', which is built in; rename it", "broken-clash 0.1.0"),
}


@pytest.mark.parametrize("distribution", BROKEN)
def test_p11_plugin_that_cannot_be_used_is_listed_with_its_sentence(listing: Any, distribution: str) -> None:
    (fault,) = [json.dumps(fault) for fault in listing["faults"] if distribution in json.dumps(fault)]
    for words in BROKEN[distribution]:
        assert words in fault


@pytest.mark.parametrize("distribution", BROKEN)
def test_p11_check_of_a_plugin_that_cannot_be_used_says_why(environment: Environment, distribution: str) -> None:
    checked = environment.enigma_json("plugins", "check", distribution, code=1)
    assert BROKEN[distribution][0] in checked["faults"][0]


def test_look_ahead_is_found_by_the_kit(environment: Environment) -> None:
    checked = environment.enigma_json("plugins", "check", "oracle", code=1)
    findings = {finding["rule"]: finding["text"] for finding in checked["parts"][0]["findings"]}
    assert "item i may use bars 0..i only" in findings["look-ahead"]


def test_p08_nan_and_shape_rubbish_is_found_by_the_kit(environment: Environment) -> None:
    checked = environment.enigma_json("plugins", "check", "broken-rubbish", code=1)
    findings = {part["name"]: {f["rule"]: f["text"] for f in part["findings"]} for part in checked["parts"]}
    assert "from item 4 on every point must be a number" in findings["never_knows"]["warmup"]
    assert "it must be (252,), one number a bar" in findings["one_too_few"]["shape"]


def test_check_all_names_every_broken_plugin_and_no_built_in(environment: Environment) -> None:
    checked = environment.enigma_json("plugins", "check", "--all", code=1)
    broken = {part["name"]: part["distribution"] for part in checked["parts"] if part["findings"]}
    assert broken == {"oracle": "broken-look-ahead", "never_knows": "broken-rubbish", "one_too_few": "broken-rubbish"}
    assert len(checked["faults"]) == 3


@pytest.mark.parametrize(
    ("name", "words"), [("absent", "a_library_nobody_has"), ("unmarked", "not marked"), ("nowhere", "no installed plugin")]
)
def test_p11_config_that_names_a_missing_plugin_stops_the_start(
    environment: Environment, data: Path, name: str, words: str
) -> None:
    done = _backtest(environment, data, _config(environment, name, {name: {}}), code=1)
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_p08_rubbish_that_is_used_abstains_and_the_run_goes_on(environment: Environment, data: Path) -> None:
    sections: dict[str, Any] = {"gates": FREE | {"score": {"min": 90}}, "exits": {"donchian_stop": {"distance": 0.01}}}
    clean = _config(environment, "clean", {"donchian": {"max_points": 100}}, **sections)
    mixed = _config(environment, "mixed", {"donchian": {"max_points": 100}, "never_knows": {}, "one_too_few": {}}, **sections)
    alone, among = (json.loads(_backtest(environment, data, config).stdout) for config in (clean, mixed))
    assert alone["trades"]
    assert among["trades"] == alone["trades"]


def test_shell_blocks_of_the_guide_work_as_they_stand(environment: Environment) -> None:
    """From `enigma plugins new` to installed, checked and listed. Only pip is told to stay offline, by the environment."""
    guide = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```sh\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    modules = {
        "pip": ["-m", "pip"],
        "pytest": ["-m", "pytest", "-p", "no:cacheprovider"],
        "enigma": [environment.python.parent / "enigma"],
    }
    shown = []
    for line in block.splitlines():
        tool, *arguments = line.split()
        shown.append(environment.run(*modules[tool], *arguments, **offline).stdout)
    new, _, checked, tested, listed, switched_on = shown
    assert "enigma_over_average.py" in new
    assert "1 of 1 parts keep their contract" in checked
    assert "1 passed" in tested
    assert "over_average" in listed
    assert "Then switch it on: enigma run --set indicators.over_average.enabled=true, or " in new
    assert "the settings are sound" in switched_on


def test_new_package_is_installed_by_the_engine_itself(environment: Environment) -> None:
    environment.enigma("plugins", "new", "exit", "best_close")
    done = environment.enigma("plugins", "install", "./enigma-best-close", "--", *OFFLINE)
    assert "exit best_close (enigma-best-close 0.1.0)" in done.stdout
    assert "to switch it on: enigma run --set exits.best_close.enabled=true" in done.stdout
    assert environment.enigma_json("plugins", "check", "best_close")["broken"] == 0


def test_install_of_what_does_not_exist_is_one_sentence(environment: Environment) -> None:
    done = environment.enigma("plugins", "install", "./nowhere", "--", "--no-index", code=1)
    assert "pip could not install ./nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_install_of_a_broken_plugin_shows_its_fault(environment: Environment) -> None:
    source = environment.folder.parent / "broken_import"
    done = environment.enigma("plugins", "install", source, "--", *OFFLINE, "--force-reinstall", code=1)
    assert "a_library_nobody_has" in done.stderr
