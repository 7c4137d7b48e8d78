"""The root of the command line: lazy, quick, and one clear sentence for whatever goes wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click as plain_click
import pytest
import rich_click as click
from click.testing import CliRunner

from candle_files import rows, write
from enigma_core import cli
from enigma_core.cli import options, trouble
from enigma_core.errors import ConfigError, DataError
from enigma_core.parts import Feed
from enigma_core.plugins import Catalogue

ENIGMA = [sys.executable, "-c", "from enigma_core.cli import main; main()"]


def enigma(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*ENIGMA, *args], capture_output=True, text=True, timeout=60, env={**os.environ, **env}, check=False)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> dict[str, BaseException]:
    """A command `fail` that raises whatever stands under "error"."""
    box: dict[str, BaseException] = {}

    @click.command()
    def fail() -> None:
        raise box["error"]

    monkeypatch.setitem(cli.root.commands, "fail", fail)
    return box


def test_help_imports_nothing_heavy() -> None:
    heavy = [
        "numpy",
        "talib",
        "msgspec",
        "sqlmodel",
        "sqlalchemy",
        "pyarrow",
        "rich.console",
        "pluggy",
        "yaml",
        "enigma_core.model",
    ]
    code = (
        "import sys\nfrom enigma_core.cli import root\n"
        "try: root(['--help'])\nexcept SystemExit: pass\n"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_help_takes_less_than_three_tenths_of_a_second() -> None:
    took = []
    for _ in range(5):
        began = time.perf_counter()
        assert enigma("--help").returncode == 0
        took.append(time.perf_counter() - began)
    assert min(took) < 0.3


def test_help_lists_every_command_with_its_line() -> None:
    text = " ".join(enigma("--help").stdout.split())
    for name, (_, line) in cli.COMMANDS.items():
        assert f"{name} {line}" in text
    assert set(cli.COMMANDS) == {name for names in cli.PANELS.values() for name in names}


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_in_the_table_exists_and_bears_its_name(name: str) -> None:
    module, attribute = cli.COMMANDS[name][0].split(":")
    command = getattr(import_module(module), attribute)
    assert isinstance(command, plain_click.Command)
    assert command.name == name


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_speaks_json(name: str) -> None:
    def leaves(command: plain_click.Command) -> Iterator[plain_click.Command]:
        if isinstance(command, plain_click.Group):
            for inner in command.commands.values():
                yield from leaves(inner)
        else:
            yield command

    context = plain_click.Context(cli.root)
    command = cli.root.get_command(context, name)
    assert command is not None
    for leaf in leaves(command):
        assert any("--json" in parameter.opts for parameter in leaf.params), leaf.name


def test_version_is_the_distributions() -> None:
    assert re.fullmatch(r"enigma \d+\.\d+\.\d+\n", enigma("--version").stdout)


def test_unknown_command_is_wrong_usage_and_names_the_nearest() -> None:
    done = enigma("bactest", COLUMNS="200")
    assert done.returncode == 2
    assert "There is no command 'bactest'. Did you mean 'backtest'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_option_is_wrong_usage() -> None:
    done = enigma("backtest", "--dat", "x")
    assert done.returncode == 2
    assert "--data" in done.stderr


def test_an_expected_error_is_one_sentence_and_exit_code_1(failing: dict[str, BaseException]) -> None:
    failing["error"] = DataError("BTCUSDT.csv:7: high 5 is below low 9")
    result = CliRunner().invoke(cli.root, ["fail"])
    assert result.exit_code == 1
    assert result.stderr == "Error: BTCUSDT.csv:7: high 5 is below low 9\n"
    assert result.stdout == ""


def test_several_problems_keep_their_lines(failing: dict[str, BaseException]) -> None:
    failing["error"] = ConfigError("2 settings cannot be used:\n- one\n- two")
    assert CliRunner().invoke(cli.root, ["fail"]).stderr == "Error: 2 settings cannot be used:\n- one\n- two\n"


def test_verbose_adds_the_traceback(failing: dict[str, BaseException]) -> None:
    failing["error"] = DataError("nonsense")
    assert "Traceback" in CliRunner().invoke(cli.root, ["-v", "fail"]).stderr


def test_verbose_counts_before_and_after_the_command(tmp_path: Path) -> None:
    for args in (["-v", "backtest"], ["backtest", "-v"]):
        done = enigma(*args, "--data", str(tmp_path / "nowhere"))
        assert done.returncode == 1
        assert "Traceback" in done.stderr


def test_a_defect_says_so_and_leaves_its_traceback_in_the_runs_folder(
    failing: dict[str, BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENIGMA_HOME", str(tmp_path))
    failing["error"] = ZeroDivisionError("division by zero")
    result = CliRunner().invoke(cli.root, ["fail"])
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "this is a defect of ours, not of your input: ZeroDivisionError at test_cli.py:" in result.stderr
    (log,) = (tmp_path / "logs").iterdir()
    assert str(log) in result.stderr
    assert "Traceback" in log.read_text()


def test_an_interrupt_exits_with_130_and_without_a_word(failing: dict[str, BaseException]) -> None:
    wrapped = RuntimeError("Error calling __set_name__ on 'Entry' instance")
    wrapped.__cause__ = KeyboardInterrupt()
    for error in (KeyboardInterrupt(), wrapped):
        failing["error"] = error
        result = CliRunner().invoke(cli.root, ["fail"])
        assert result.exit_code == 130
        assert result.output.strip() == ""


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = (
        "import rich_click as click\nfrom enigma_core import cli\n"
        "@click.command()\n"
        "def talk():\n    for _ in range(100_000): click.echo('x' * 100)\n"
        "cli.root.add_command(talk)\nimport sys\nsys.argv = ['enigma', 'talk']\ncli.main()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert trouble.coloured(Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not trouble.coloured(Terminal())


def test_a_plugins_command_runs_and_is_listed_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def moonphase() -> None:
        """Say where the moon stands."""
        click.echo("waxing")

    monkeypatch.setattr(cli, "_plugin_commands", lambda: {"moonphase": moonphase})
    assert CliRunner().invoke(cli.root, ["moonphase"]).output == "waxing\n"
    assert "moonphase" not in CliRunner().invoke(cli.root, ["--help"]).output
    assert "Say where the moon stands." in CliRunner().invoke(cli.root, ["--help-all"]).output


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (None, (None, None)),
        ("20250310-20250401", (1_741_564_800_000, 1_743_552_000_000)),
        ("20250310-", (1_741_564_800_000, None)),
        ("-20250401", (None, 1_743_552_000_000)),
        ("1741564800-1743552000000", (1_741_564_800_000, 1_743_552_000_000)),
        ("20250310-20250310", (1_741_564_800_000, 1_741_651_200_000)),
    ],
)
def test_timerange_takes_days_and_moments(text: str | None, wanted: tuple[int | None, int | None]) -> None:
    assert options.timerange(text) == wanted


@pytest.mark.parametrize("text", ["2025", "20251301-", "20250401-20250310", "-", "a-b", "20250310:20250401", "٢٠٢٥٠٣١٠-"])
def test_timerange_refuses_nonsense_in_a_sentence(text: str) -> None:
    with pytest.raises(ConfigError, match="--timerange"):
        options.timerange(text)


def test_symbols_may_be_typed_short_and_are_looked_for_beyond_those_on_offer() -> None:
    feed = Catalogue.load().part("feed", "synthetic").part()
    assert isinstance(feed, Feed)
    assert options.pick(feed, ["btc,ETH/USDT", "SOLUSDT", "BTC/USDT:USDT", "doge"], ()) == (
        "BTC/USDT:USDT",
        "ETH/USDT:USDT",
        "SOL/USDT:USDT",
        "DOGE/USDT:USDT",
    )
    assert options.pick(feed, [], ("XRP/USDT:USDT",)) == ("XRP/USDT:USDT",)
    assert options.pick(feed, [], ()) == feed.symbols()
    with pytest.raises(DataError, match=r"-p bitcoin: the feed has no such symbol; did you mean BTC/USDT:USDT\?"):
        options.pick(feed, ["bitcoin"], ())


def test_a_symbol_like_no_other_is_answered_with_what_there_is(tmp_path: Path) -> None:
    for name in ("BTC", "ETH", "SOL", "XRP", "ADA", "BNB", "LTC", "LINK", "TRX", "UNI"):
        write(tmp_path / f"{name}USDT-5m.csv", rows(3))
    feed = Catalogue.load().part("feed", "csv").part(data=str(tmp_path))
    assert isinstance(feed, Feed)
    first = (
        "ADA/USDT:USDT, BNB/USDT:USDT, BTC/USDT:USDT, ETH/USDT:USDT, LINK/USDT:USDT, LTC/USDT:USDT, SOL/USDT:USDT, TRX/USDT:USDT"
    )
    for typed in ("PEPE", "pepe/usdt", "PEPEUSDT"):
        with pytest.raises(DataError) as caught:
            options.pick(feed, [typed], ())
        assert str(caught.value) == f"-p {typed}: the feed has no such symbol; it has {first} and 2 more"
    with pytest.raises(DataError, match=f"there are {first} and 2 more"):
        feed.history("PEPE/USDT:USDT", "5m")


def test_backtest_without_data_folder_says_which(tmp_path: Path) -> None:
    done = enigma("backtest", "--data", str(tmp_path / "nowhere"), "--json")
    assert done.returncode == 1
    assert str(tmp_path / "nowhere") in done.stderr
    assert done.stdout == ""


def test_backtest_does_not_overwrite_a_journal_nor_start_without_a_place_to_write(tmp_path: Path) -> None:
    there = tmp_path / "j.sqlite"
    there.write_text("mine")
    assert "is not overwritten" in enigma("backtest", "--data", str(tmp_path), "--journal", str(there)).stderr
    assert there.read_text() == "mine"
    done = enigma("backtest", "--data", str(tmp_path), "--export", str(tmp_path / "no" / "t.csv"))
    assert done.returncode == 1
    assert "there is no folder" in done.stderr


def test_backtest_of_real_candles_adds_up_to_the_cent(market_data: Path, tmp_path: Path) -> None:
    from decimal import Decimal

    args = [
        "--data",
        str(market_data / "candles" / "binance_usdm_5m"),
        "--funding",
        str(market_data / "funding"),
        "-p",
        "BTC,eth/usdt",
    ]
    export = tmp_path / "trades.csv"
    done = enigma("backtest", *args, "--set", "gates.score.min=60", "--export", str(export), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["symbols"] == ["BTC/USDT:USDT", "ETH/USDT:USDT"]
    assert found["timeframe"] == "30m"
    assert found["bars"] == 21_812
    assert found["metrics"]["trades"] == len(found["trades"]) > 10
    for trade in found["trades"]:
        gross, fees, funding, net = (Decimal(trade[name]) for name in ("gross", "fees", "funding", "net"))
        assert net == gross - fees + funding
    grown = Decimal(found["end_equity"]) - Decimal(found["start_equity"])
    assert grown == sum(Decimal(trade["net"]) for trade in found["trades"])
    assert sum(Decimal(row["net"]) for row in found["by_symbol"]) == grown
    assert set(found["timing"]) == {"load_s", "indicators_s", "simulation_s", "total_s"}
    assert len(export.read_text().splitlines()) == len(found["trades"]) + 1
    plain = json.loads(enigma("backtest", *args, "--set", "gates.score.min=60", "--plain", "--json").stdout)
    assert plain["trades"] == found["trades"]
    assert "Figures" in enigma("backtest", *args).stdout
