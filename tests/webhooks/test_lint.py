"""`enigma alert lint`: what is understood, for people and for programs."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
import rich_click as click
from click.testing import CliRunner, Result

from enigma_core.cli import Root
from enigma_webhooks.commands.alert import COMMANDS, alert
from messages import ALL, SECRET, USERS_OWN

KEYS = [
    *("ok", "symbol", "exchange", "side", "position", "quantity", "quantity_unit", "price", "leverage", "stop", "take_profit"),
    *("id", "time", "indicators", "warnings", "error"),
]


def enigma(*args: str, given: bytes | str | None = None) -> Result:
    root: click.Group = Root(name="enigma", commands={"alert": alert})
    return CliRunner(env={"COLUMNS": "160", "NO_COLOR": "1"}).invoke(root, ["alert", *args], input=given, catch_exceptions=False)


def test_json_has_these_keys_in_this_order_and_exact_numbers() -> None:
    text = '{"symbol":"BTCUSDT","action":"buy","qty":0.100000000000000001,"price":"50000.10","id":7}'
    result = enigma("lint", "--json", "-", given=text)
    assert result.exit_code == 0
    shown = json.loads(result.stdout, parse_float=Decimal)
    assert list(shown) == KEYS
    assert shown["quantity"] == Decimal("0.100000000000000001")
    assert shown["price"] == Decimal("50000.10")
    assert (shown["ok"], shown["side"], shown["id"], shown["exchange"]) == (True, "long", "7", None)


def test_several_orders_are_an_array() -> None:
    shown = json.loads(enigma("lint", "--json", "-", given="BUY BTCUSDT\nSELL ETHUSDT").stdout)
    assert [one["side"] for one in shown] == ["long", "short"]


def test_one_refused_order_makes_the_exit_code_1() -> None:
    result = enigma(
        "lint", "--json", "-", given='[{"symbol":"BTCUSDT","action":"buy"},{"symbol":"BTCUSDT","action":"buy","qty":0}]'
    )
    assert result.exit_code == 1
    assert [one["ok"] for one in json.loads(result.stdout)] == [True, False]


def test_a_file_is_read_and_its_faults_are_pointed_at(tmp_path: Path) -> None:
    file = tmp_path / "message.txt"
    file.write_text('{"secret":"%s",\n "symbol":"BTCUSDT","action":buy}' % SECRET)  # noqa: UP031
    result = enigma("lint", str(file))
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("warning: line 2, column 30: the value buy has no quotes"))
    assert lines[at + 1][lines[at + 2].index("^") :].startswith("buy}")
    assert '"action": "buy"' in result.stdout
    assert SECRET not in result.output


def test_the_caret_stands_right_behind_a_blanked_secret() -> None:
    result = enigma("lint", "-", given='{"symbol":"BTCUSDT","secret":"%s","action":"buuy"}' % SECRET)  # noqa: UP031
    lines = result.stdout.splitlines()
    caret = next(i for i, line in enumerate(lines) if line.strip() == "^")
    assert lines[caret - 1][lines[caret].index("^") :].startswith('"buuy"')
    assert result.exit_code == 1
    assert SECRET not in result.output


def test_a_long_line_is_cut_around_the_place() -> None:
    text = '{"note":"%s","symbol":"BTCUSDT","action":"buuy","more":"%s"}' % ("x" * 500, "y" * 500)  # noqa: UP031
    lines = enigma("lint", "-", given=text).stdout.splitlines()
    caret = next(i for i, line in enumerate(lines) if line.strip() == "^")
    assert lines[caret - 1][lines[caret].index("^") :].startswith('"buuy"')
    assert len(lines[caret - 1]) < 120


@pytest.mark.parametrize("message", ALL, ids=lambda m: m.name)
def test_every_message_can_be_shown_without_its_secret(message: object) -> None:
    text: str = message.text  # type: ignore[attr-defined]
    result = enigma("lint", "-", given=text)
    assert result.exit_code == 0
    assert "asks for" in result.stdout
    assert SECRET not in result.output
    assert SECRET not in enigma("lint", "--json", "-", given=text).output


def test_what_cannot_be_read_is_shown_without_what_looks_like_a_secret() -> None:
    result = enigma("lint", "-", given='{"secret":"canary-canary","symbol":"BTCUSDT"')
    assert result.exit_code == 1
    assert "the text ends inside the object" in result.stdout
    assert "canary" not in result.output


def test_a_missing_file_and_a_folder_are_one_sentence(tmp_path: Path) -> None:
    for file, reason in ((tmp_path / "none.txt", "there is no file"), (tmp_path, "cannot be read")):
        result = enigma("lint", str(file))
        assert result.exit_code == 1
        assert reason in result.stderr
        assert "Traceback" not in result.output


def test_binary_and_oversized_input_is_refused_not_printed() -> None:
    for body in (b"\x00\x01\x02", b"\xff\xfe{\x00", b"x" * 20_000):
        result = enigma("lint", "-", given=body)
        assert result.exit_code == 1
        assert result.stdout.startswith("refused: ")
        assert "\x00" not in result.stdout


def test_an_escape_sequence_in_a_message_does_not_reach_the_terminal() -> None:
    result = enigma("lint", "-", given='{"symbol":"BTCUSDT","action":"buy","id":"\\u001b[31mred","comment":"\\u001b[2J"}')
    assert "\x1b" not in result.output


def test_the_users_own_message_is_told_in_words() -> None:
    result = enigma("lint", "-", given=USERS_OWN)
    for word in (
        "long",
        "BTC/USDT:USDT",
        "KUCOIN",
        "2026-01-31T12:00:07Z",
        "rsi 28.4",
        "the value RSI Long has no quotes",
        "Read as",
    ):
        assert word in result.stdout


def test_the_group_lists_its_commands_and_imports_them_when_called() -> None:
    assert alert.list_commands(click.Context(alert)) == list(COMMANDS)
    assert {"lint", "pine", "url", "test", "list", "show"} == set(COMMANDS)
    assert alert.get_command(click.Context(alert), "nonsense") is None


ADVISED = (
    '{"secret":"SECRET","ticker":"{{ticker}}","action":"{{strategy.order.action}}","contracts":"{{strategy.order.contracts}}",'
    '"market_position":"{{strategy.market_position}}","prev_market_position":"{{strategy.prev_market_position}}",'
    '"time":"{{timenow}}","id":"{{ticker}}-{{interval}}-{{time}}-{{strategy.order.id}}"}'
).replace("SECRET", SECRET)


@pytest.mark.parametrize(
    "text", [ADVISED, '{"ticker":"BTCUSDT","action":"buy","timenow":"{{timenow}}"}', "{{strategy.order.action}} BTCUSDT"]
)
def test_a_template_without_another_fault_is_told_as_that(text: str) -> None:
    result = enigma("lint", "--json", "-", given=text)
    shown = json.loads(result.stdout)
    assert (result.exit_code, shown["ok"]) == (1, False)
    assert "TradingView fills in {{" in shown["error"]
    assert "the rest was read" in shown["error"]
    assert SECRET not in result.output


def test_a_template_with_another_fault_is_told_of_that_only() -> None:
    text = '{"ticker":"{{ticker}}","action":"{{strategy.order.action}}","qty":"-1"}'
    assert "the rest was read" not in json.loads(enigma("lint", "--json", "-", given=text).stdout)["error"]


def test_a_symbol_that_no_run_could_trade_is_warned_of() -> None:
    for symbol, warned in (("EURUSD", True), ("BTCUSDT.P", False), ("BTCUSDC", False)):
        shown = json.loads(enigma("lint", "--json", "-", given=f"BUY {symbol}").stdout)
        assert shown["ok"] is True
        assert any("the engine trades BASE/USDT:USDT perpetuals" in warning for warning in shown["warnings"]) == warned
