"""The Pine scripts that come with the program send messages that are read as they are meant."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import rich_click as click
from click.testing import CliRunner, Result

from enigma_core.cli import Root
from enigma_webhooks.alerts import Reading, read
from enigma_webhooks.commands.alert import alert
from enigma_webhooks.commands.alert_pine import SCRIPTS, source
from messages import SECRET

_PART = re.compile(r"""(quoted|number)\("(\w+)", ((?:[^()]|\([^()]*(?:\([^()]*\)[^()]*)*\))*?)\)(?=$| |\n|\))|('[^'\n]*')""")

SAMPLES: dict[str, Any] = {
    "secret": SECRET,
    "syminfo.prefix": "KUCOIN",
    "syminfo.ticker": "XBTUSDTM",
    "timeframe.period": "30",
    "iso(time)": "2026-01-31T12:00:00Z",
    "iso(timenow)": "2026-01-31T12:30:01Z",
    "close": 50000.5,
    "rsi": 41.25,
    "macdLine": -3.1,
    "signalLine": None,
    "histogram": 0.25,
    "trend": 49000,
    "atr": 350.125,
}


def enigma(*args: str) -> Result:
    root: click.Group = Root(name="enigma", commands={"alert": alert})
    return CliRunner().invoke(root, ["alert", "pine", *args], catch_exceptions=False)


def body(script: str, name: str) -> str:
    """The lines of a function of the script."""
    found = re.search(rf"^{name}\(.*\) =>\n((?:    .*\n)+)", source(script), re.MULTILINE)
    assert found is not None
    return found[1]


def rendered(text: str, values: dict[str, Any]) -> str:
    """What the concatenation in `text` gives: its keys and literals in order, with `values` for its expressions."""
    made: list[str] = []
    for helper, key, expression, literal in _PART.findall(text):
        if literal:
            made.append(literal[1:-1])
            continue
        value = values[expression]
        if made and not made[-1].endswith("{"):
            made.append(",")
        shown = f'"{value}"' if helper == "quoted" else "null" if value is None else str(value)
        made.append(f'"{key}":{shown}')
    joined = "".join(made).replace(",,", ",")
    return joined if joined.startswith("{") else "{" + joined


IDENTITY = 'syminfo.ticker + "-" + timeframe.period + "-" + str.tostring(time) + "-" + '


def strategy(name: str, action: str, holding: str, before: str, after: float, contracts: float, *, entry: bool) -> Reading:
    values = {
        **SAMPLES,
        IDENTITY + "name": f"XBTUSDTM-30-1769860800000-{name}",
        "name": name,
        "action": action,
        "holding": holding,
        "held()": before,
        "after": after,
        "contracts": contracts,
        "stop": 49000.5 if entry else None,
        "target": 52000 if entry else None,
    }
    text = rendered(body("strategy", "message"), values)
    if entry:
        text += "," + rendered(body("strategy", "entryMessage"), values).lstrip("{")
    (reading,) = read(text + "}")
    return reading


def test_the_strategy_says_what_it_enters() -> None:
    reading = strategy("Long", "buy", "long", "short", 0.2, 0.2, entry=True)
    assert (reading.error, reading.warnings, reading.secret) == (None, (), SECRET)
    request = reading.request
    assert request is not None
    assert (request.symbol, request.exchange, request.action, request.position) == ("BTC/USDT:USDT", "KUCOIN", "long", "long")
    assert (request.previous, str(request.quantity), request.unit) == ("short", "0.2", "base")
    assert (str(request.price), str(request.stop), str(request.take_profit)) == ("50000.5", "49000.5", "52000")
    assert request.key == "XBTUSDTM-30-1769860800000-Long"
    assert request.order == "Long"
    assert (request.bar, request.sent) == (1769860800000, 1769862601000)


def test_the_strategy_says_what_it_leaves_and_is_never_too_old_for_it() -> None:
    reading = strategy("Long exit", "sell", "flat", "long", 0, 0.2, entry=False)
    assert (reading.error, reading.warnings) == (None, ())
    request = reading.request
    assert request is not None
    assert (request.action, request.position, request.closes, request.previous) == ("short", "flat", "long", "long")
    assert request.reduces
    assert request.sent is None
    assert request.stop is None


@pytest.mark.parametrize("action", ["long", "short", "flat"])
def test_the_indicator_says_its_stance_and_its_values(action: str) -> None:
    values = {
        **SAMPLES,
        IDENTITY + '(action == "" ? "values" : action)': f"XBTUSDTM-30-1769860800000-{action}",
        "action": action,
    }
    (reading,) = read(rendered(body("indicator", "message"), values) + "}}")
    assert (reading.error, reading.warnings, reading.secret) == (None, (), SECRET)
    request = reading.request
    assert request is not None
    assert reading.side == ("close" if action == "flat" else action)
    assert request.position == ("flat" if action == "flat" else None)
    assert request.indicators == {
        "rsi": 41.25,
        "macd": -3.1,
        "macd_histogram": 0.25,
        "trend": 49000.0,
        "atr": 350.125,
        "close": 50000.5,
    }
    assert request.sent is not None


def test_the_indicator_sends_its_values_alone_where_nothing_changes() -> None:
    text = body("indicator", "message")
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith("        ")]
    values = {**SAMPLES, IDENTITY + '(action == "" ? "values" : action)': "XBTUSDTM-30-1769860800000-values"}
    (reading,) = read(rendered("".join(lines), values) + "}}")
    assert (reading.ok, reading.asks, reading.side) == (True, False, None)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_pine_of_version_6_and_explains_itself(script: str) -> None:
    text = source(script)
    assert text.startswith("//@version=6\n")
    assert ("{{strategy.order.alert_message}}" in text) == (script == "strategy")
    assert "How to set it up" in text
    assert not any(line.rstrip() != line or "\t" in line for line in text.splitlines())
    for opening, closing in ("()", "[]"):
        assert text.count(opening) == text.count(closing)


def test_it_is_printed_or_written_to_a_file(tmp_path: Path) -> None:
    assert enigma().stdout == source("strategy")
    assert enigma("indicator").stdout == source("indicator")
    file = tmp_path / "mine.pine"
    assert enigma("indicator", "-o", str(file)).exit_code == 0
    assert file.read_text() == source("indicator")
    file.write_text("mine")
    again = enigma("-o", str(file))
    assert (again.exit_code, file.read_text()) == (1, "mine")
    assert "--force" in again.stderr
    assert enigma("-o", str(file), "--force").exit_code == 0
    assert file.read_text() == source("strategy")
    result = enigma("-o", str(tmp_path / "no" / "such.pine"))
    assert result.exit_code == 1
    assert "there is no folder" in result.stderr
    assert enigma("nonsense").exit_code == 2
