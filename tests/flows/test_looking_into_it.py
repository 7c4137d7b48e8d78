"""`enigma why`, `status` and `doctor` as a person or a script calls them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from enigma_core.cli import root
from enigma_core.cli.why import _measured
from enigma_core.home import Home
from enigma_core.journal import Memory
from enigma_core.model import Class, Verdict
from ledger import decision, entry, fill, marked, started, stop, stopped_out, trade

REFUSED = decision(
    9,
    klass=Class.SELL_WEAK,
    score=-60.0,
    order_id=None,
    sizing=None,
    reason="gates",
    verdicts=(
        Verdict("score", 60.0, ">= 75", False),
        Verdict("cooldown", 300.0, ">= 1800", False, until=1_800_000),
        Verdict("mine", None, "> 1", False, error="mine: raised ValueError: [red]boo[/]"),
    ),
    faults=("macd on 30m raised ValueError: x",),
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with Home.open(tmp_path) as opened, opened.journal("paper", "synthetic seed=1") as journal:
        for step in ([started()], [decision(1), entry(1)], [fill(1), stop(1)], [stopped_out(1), trade(1)], [REFUSED], [marked(10)]):
            journal.write(step, step[0].ts)
    return tmp_path


def call(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(root, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result


def test_why_tells_the_whole_chain_of_a_trade(home: Path) -> None:
    told = call("why", "BTCUSDT-30m-1", "--home", home).output
    for piece in (
        "STRONG_BUY  score +98.5, confidence 0.90, 6 of 8 indicators agree",
        "Done: order BTCUSDT-30m-1-in",
        "+18.00",
        "-4.25",
        "abstains",
        ">= 75",
        "nothing to measure here",
        "24 contracts",
        "6x",
        "position_size_max",
        "49,500.0",
        "stop_loss; gross -12.00, fees 1.43",
    ):
        assert piece in told


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (0.0, "0"), (98.5, "98.5"), (-0.25, "-0.25"), (328_973_012.4, "328,973,012"), (0.0000536438, "0.000053644")],
)
def test_a_measure_is_shown_without_exponent(value: float | None, shown: str) -> None:
    assert _measured(value) == shown


def test_why_tells_what_stood_in_the_way(home: Path) -> None:
    told = call("why", "--last", 1, "--home", home).output
    assert "Not done: score 60, needs >= 75; cooldown 300, needs >= 1800 until 1970-01-01 00:30" in told
    assert "blocks, it failed: mine: raised ValueError: [red]boo[/]" in told
    assert "fault: macd on 30m raised ValueError: x" in told


def test_why_in_json_has_everything(home: Path) -> None:
    one = json.loads(call("why", "BTCUSDT-30m-1", "--home", home, "--json").output)
    assert one["points"] == {"macd": 18.0, "cci": -4.25, "tradingview": None}
    assert one["sizing"] == {"quantity": "24", "leverage": 6, "margin": "200", "bound": "position_size_max"}
    assert [v["gate"] for v in one["verdicts"]] == ["score", "spread"]
    assert [o["state"] for o in one["orders"]] == ["filled", "filled"]
    assert one["trade"]["net"] == "-13.4328"
    several = json.loads(call("why", "--last", 5, "--home", home, "--json").output)
    assert [d["id"] for d in several] == ["BTCUSDT-30m-9", "BTCUSDT-30m-1"]
    assert several[0]["trade"] is None


def test_why_without_a_question_is_wrong_usage() -> None:
    assert "enigma why --last 5" in call("why", code=2).output
    assert "enigma why --last 5" in call("why", "x", "--last", 2, code=2).output


def test_a_wrong_id_is_one_sentence_with_the_nearest(home: Path) -> None:
    told = call("why", "BTCUSDT-30m-2", "--home", home, code=1).output
    assert "did you mean BTCUSDT-30m-9 or BTCUSDT-30m-1?" in told
    assert "Traceback" not in told


def test_why_reads_a_journal_that_a_backtest_saved(tmp_path: Path) -> None:
    memory = Memory()
    memory.write([decision(1)], 1)
    memory.save(tmp_path / "backtest.sqlite", "backtest", "csv")
    for url in (tmp_path / "backtest.sqlite", f"sqlite:///{tmp_path}/backtest.sqlite"):
        assert "BTCUSDT-30m-1" in call("why", "--last", 1, "--db-url", url).output


def test_status_in_json_has_the_names_that_scripts_read(home: Path) -> None:
    told = json.loads(call("status", "--home", home, "--json").output)
    names = {"mode", "state", "equity", "cash", "open_positions", "working_orders", "trades", "decisions", "alerts", "halted"}
    assert names <= set(told)
    assert (told["mode"], told["trades"], told["decisions"], told["halted"]) == ("paper", 1, 2, False)
    assert told["equity"] == told["cash"] == "9986.56"
    assert told["process"] is None


def test_status_for_people(home: Path) -> None:
    told = call("status", "--home", home).output
    for piece in ("ACTIVE", "9,986.56", "synthetic seed=1", "none at present"):
        assert piece in told


def test_status_before_any_run_is_one_sentence(tmp_path: Path) -> None:
    told = call("status", "--home", tmp_path, code=1).output
    assert "nothing has run in" in told
    assert not list(tmp_path.iterdir())


def test_why_answers_while_another_process_writes(tmp_path: Path) -> None:
    writer = Path(__file__).parents[1] / "faults" / "steps_writer.py"
    run = subprocess.Popen([sys.executable, str(writer), str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        for _ in range(30):
            run.stdout.readline()
        newest, before = json.loads(call("why", "--last", 2, "--home", tmp_path, "--json").output)
        assert newest["ts"] == before["ts"] + 1
        assert newest["orders"][0]["state"] == "filled"
    finally:
        run.kill()
        run.communicate()


def test_doctor_finds_this_installation_sound(home: Path) -> None:
    told = json.loads(call("doctor", "--home", home, "--json").output)
    assert told["ok"] is True
    found = {f["check"]: f["level"] for f in told["findings"]}
    (talib,) = [f["text"] for f in told["findings"] if f["check"] == "TA-Lib"]
    assert re.match(r"C library \d+\.\d+\.\d+ agrees", talib)
    assert {"python", "libraries", "TA-Lib", "home", "database", "disk", "plugins", "settings", "clock"} <= set(found)
    assert "fail" not in found.values()
    assert any("is sound: 9 records of synthetic seed=1" in f["text"] for f in told["findings"])


def test_doctor_names_a_damaged_database_and_leaves_it_alone(home: Path) -> None:
    (home / "paper.sqlite").write_bytes(b"damaged")
    told = call("doctor", "--home", home, code=1).output
    assert "paper.sqlite is damaged or not ours" in " ".join(told.split())
    assert (home / "paper.sqlite").read_bytes() == b"damaged"


def test_doctor_names_every_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "strategy_config.json").write_text('{"gates": {"score": {"mim": 60}}, "sizer": "nonsense"}')
    told = json.loads(call("doctor", "--home", tmp_path, "-c", tmp_path / "strategy_config.json", "--json", code=1).output)
    wrong = " ".join(f["text"] for f in told["findings"] if f["level"] == "fail")
    assert "mim" in wrong
    assert "nonsense" in wrong


def test_doctor_makes_no_folder(tmp_path: Path) -> None:
    call("doctor", "--home", tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_status_and_doctor_answer_while_a_run_holds_the_folder(home: Path) -> None:
    with Home.open(home) as held, held.journal("paper", "synthetic seed=1") as journal:
        journal.write([marked(11, price="50100.0")], 11)
        journal.flush()
        assert "runs in it" in call("doctor", "--home", home).output
        told = json.loads(call("status", "--home", home, "--json").output)
        assert told["process"] == os.getpid()
        assert told["last_ts"] == 11


def test_status_on_an_existing_database_does_not_import_the_models(home: Path) -> None:
    code = (
        "import sys; from enigma_core.cli import root; root(['status', '--json', '--home', sys.argv[1]], standalone_mode=False); "
        "sys.exit('sqlmodel' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(home)], stdout=subprocess.DEVNULL, check=False).returncode == 0


def test_a_run_on_an_existing_database_does_not_import_the_models(home: Path) -> None:
    code = (
        "import sys; from enigma_core.home import Home; Home.open(sys.argv[1]).journal('paper', 'synthetic seed=1').close(); "
        "sys.exit('sqlmodel' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(home)], check=False).returncode == 0
