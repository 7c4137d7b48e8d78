"""`enigma alert list, show, url` and `test`: what came, what became of it, where alerts go, and what one would do."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from apis import SECRETS, Api, TradedDesk, running
from enigma_core.alert import Alert, AlertRefused, AlertWorked, Request
from enigma_core.errors import EnigmaError
from enigma_core.home import Home
from enigma_core.model import Order, OrderEnded, Purpose
from enigma_webhooks.commands.alert import alert
from ledger import SYMBOL, decision, entry, fill, started, stop, stopped_out, trade

SECRET = "wH4-7qTzRk2LmXcVbN9pYs6JdGfA0eUo"
RECEIVED = 1_785_000_000_250
ESCAPE = "\x1b[2J"


def stored(name: str, **changes: Any) -> Alert:
    made = Alert(
        id=name,
        ts=5,
        source="tradingview",
        mode="signal",
        received=RECEIVED,
        request=Request(symbol=SYMBOL, action="long", quantity=Decimal("0.50"), sent=RECEIVED - 1250),
        key=name,
        body='{"secret":"***","action":"buy"}',
        warnings=("line 1, column 3: something odd",),
    )
    return msgspec.structs.replace(made, **changes)


def worked(name: str, outcome: Any, reason: str, ts: int, decision_id: str | None = None) -> AlertWorked:
    return AlertWorked(ts=ts, id=name, source="tradingview", symbol=SYMBOL, outcome=outcome, reason=reason, decision_id=decision_id)


def closing(ts: int) -> Order:
    return Order(
        id="BTCUSDT-30m-1-out",
        decision_id="BTCUSDT-30m-1",
        ts=ts,
        symbol=SYMBOL,
        side=-1,
        quantity=Decimal(24),
        purpose=Purpose.CLOSE,
        leverage=6,
        reason="alert",
    )


@pytest.fixture
def never_placed(tmp_path: Path) -> Path:
    """Four alerts whose entries were ordered: one order was rejected, one called off, one filled in part, one works."""
    ends: dict[str, list[Any]] = {
        "Arefused": [OrderEnded(ts=8, order_id="Arefused-in", symbol=SYMBOL, state="rejected", reason="code 300003: no margin")],
        "Acalled": [OrderEnded(ts=8, order_id="Acalled-in", symbol=SYMBOL, state="cancelled")],
        "Apart": [
            fill(8, id="Apart-in-1", order_id="Apart-in", quantity=Decimal(3)),
            OrderEnded(ts=8, order_id="Apart-in", symbol=SYMBOL, state="cancelled", reason="the rest"),
        ],
        "Aworks": [],
    }
    with Home.open(tmp_path) as opened, opened.journal("paper", "synthetic seed=1") as journal:
        journal.write([started()], 0)
        for name, end in ends.items():
            journal.write([stored(name)], 5)
            made = decision(7, id=name, source="tradingview", order_id=f"{name}-in")
            journal.write([made, entry(7, id=f"{name}-in", decision_id=name), worked(name, "entered", "entered", 7, name)], 7)
            journal.write(end, 8)
    return tmp_path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """One alert that was traded, one that closed what another had opened, one that waits, one refused unread."""
    own = [
        decision(7, id="Atraded", source="tradingview", order_id="Atraded-in"),
        entry(7, id="Atraded-in", decision_id="Atraded"),
        worked("Atraded", "entered", "entered", 7, "Atraded"),
    ]
    filled = [fill(7, id="Atraded-in-1", order_id="Atraded-in"), stop(7, id="Atraded-sl", decision_id="Atraded")]
    out = [stopped_out(7), trade(7)]
    out[0] = msgspec.structs.replace(out[0], id="Atraded-sl-1", order_id="Atraded-sl")
    out[1] = msgspec.structs.replace(out[1], decision_id="Atraded")
    steps: list[list[Any]] = [
        [started()],
        [stored("Atraded")],
        own,
        filled,
        out,
        [decision(1), entry(1)],
        [fill(1), stop(1)],
        [stored("Acloses", received=RECEIVED + 60_000, request=Request(symbol=SYMBOL, action="close"))],
        [closing(30), worked("Acloses", "closed", "what is held is closed", 30)],
        [stored("Awaits", received=RECEIVED + 120_000, body=f"BUY\n{ESCAPE}BTC")],
        [
            AlertRefused(
                ts=40, source="tradingview", received=RECEIVED + 180_000, status=422, reason="no symbol", length=3, sha256="0" * 64
            )
        ],
    ]
    with Home.open(tmp_path) as opened, opened.journal("paper", "synthetic seed=1") as journal:
        for n, step in enumerate(steps):
            journal.write(step, n)
    return tmp_path


def call(*arguments: object, code: int = 0, given: str | None = None) -> Result:
    done = CliRunner(env={"COLUMNS": "160"}).invoke(alert, [str(a) for a in arguments], input=given)
    assert done.exit_code == code, (done.output, done.exception)
    return done


def sentence(*arguments: object, given: str | None = None) -> str:
    """What the command refuses with."""
    done = call(*arguments, code=1, given=given)
    assert isinstance(done.exception, EnigmaError)
    return str(done.exception)


def test_the_list_is_newest_first_and_says_what_became_of_each(home: Path) -> None:
    lines = call("list", "--home", home).stdout.splitlines()
    rows = [line.split() for line in lines if "2026-" in line]
    assert [row[2] for row in rows] == ["R18", "Awaits", "Acloses", "Atraded"]
    assert rows[0][:2] == ["2026-07-25", "17:23:00"]
    assert "rejected" in rows[0]
    assert {"entered", "signal", "long"} <= set(rows[3])


def test_the_list_can_be_cut_and_kept_to_one_outcome(home: Path) -> None:
    assert [a["id"] for a in json.loads(call("list", "--home", home, "-n", 2, "--json").stdout)] == ["R18", "Awaits"]
    (only,) = json.loads(call("list", "--home", home, "--outcome", "entered", "--json").stdout)
    assert (only["id"], only["outcome"], only["request"]["quantity"]) == ("Atraded", "entered", "0.50")
    assert "no alert whose outcome is halted" in call("list", "--home", home, "--outcome", "halted").stdout
    call("list", "--outcome", "splendid", code=2)


def test_an_entry_that_ended_without_a_fill_is_listed_as_unfilled(never_placed: Path) -> None:
    listed = json.loads(call("list", "--home", never_placed, "--json").stdout)
    assert {a["id"]: (a["outcome"], a["reason"]) for a in listed} == {
        "Arefused": ("unfilled", "rejected: code 300003: no margin"),
        "Acalled": ("unfilled", "cancelled"),
        "Apart": ("entered", "entered"),
        "Aworks": ("entered", "entered"),
    }
    for outcome, names in (("unfilled", ["Acalled", "Arefused"]), ("entered", ["Aworks", "Apart"])):
        found = json.loads(call("list", "--home", never_placed, "--outcome", outcome, "--json").stdout)
        assert [a["id"] for a in found] == names


def test_an_entry_that_ended_without_a_fill_is_shown_as_not_done(never_placed: Path) -> None:
    shown = call("show", "Arefused", "--home", never_placed).stdout
    assert "accepted -> unfilled" in shown
    assert "Not done: order Arefused-in filled nothing, rejected: code 300003: no margin" in shown
    assert "Done: order Apart-in\n" in call("show", "Apart", "--home", never_placed).stdout
    assert "Done: order Aworks-in\n" in call("show", "Aworks", "--home", never_placed).stdout


def test_a_stored_alert_comes_back_from_its_line_as_it_was(home: Path) -> None:
    lines = call("list", "--home", home, "--jsonl").stdout.splitlines()
    found = [msgspec.json.decode(line, type=Alert) for line in lines]
    assert [one.id for one in found] == ["Atraded", "Acloses", "Awaits"]
    assert found[0] == stored("Atraded")


def test_an_alert_is_shown_from_its_text_to_its_fills(home: Path) -> None:
    shown = call("show", "Atraded", "--home", home).stdout
    for piece in (
        "accepted -> entered",
        '{"secret":"***","action":"buy"}',
        "warning: line 1, column 3: something odd",
        "sent to received     1.250 s",
        "received to filled   0.003 s",
        ">= 75",
        "Atraded-in",
        "Fills",
        "stop_loss",
        "-13.43 net",
    ):
        assert piece in shown, piece


def test_the_orders_of_an_alert_that_closed_are_its_own_alone(home: Path) -> None:
    answer = json.loads(call("show", "Acloses", "--home", home, "--json").stdout)
    assert [order["id"] for order in answer["orders"]] == ["BTCUSDT-30m-1-out"]
    assert answer["delays_ms"] == {
        "sent_to_received": None,
        "received_to_worked": 25,
        "received_to_ordered": 25,
        "received_to_filled": None,
    }
    assert answer["decision"] is None
    assert "BTCUSDT-30m-1-out" in call("show", "Acloses", "--home", home).stdout


def test_i30_what_a_stranger_wrote_moves_no_cursor(home: Path) -> None:
    shown = call("show", "Awaits", "--home", home).stdout
    assert "\x1b" not in shown
    assert "  BUY\n  ?[2JBTC" in shown


def test_of_a_message_refused_unread_its_length_is_told(home: Path) -> None:
    assert "3 bytes" in call("show", "R18", "--home", home).stdout


def test_an_alert_that_is_not_there_is_a_sentence_with_the_nearest(home: Path) -> None:
    assert "did you mean Atraded?" in sentence("show", "Atradet", "--home", home)
    assert "nothing has run in" in sentence("list", "--home", home / "elsewhere")


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where nothing runs, with a secret."""
    for name in ("ENIGMA_WEBHOOK_SECRET", "ENIGMA_WEBHOOK_SECRET_FILE", "ENIGMA_API_TOKEN", "ENIGMA_API_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "webhook_secret").write_text(f"{SECRET}\n")
    (tmp_path / "webhook_secret").chmod(0o600)
    return tmp_path


def test_the_address_is_told_and_the_secret_only_where_it_is_asked_for(bare: Path) -> None:
    told = call("url", "--home", bare).stdout
    assert "http://127.0.0.1:8080/webhooks/tradingview\n" in told
    assert SECRET not in told
    assert str(bare / "webhook_secret") in told
    assert "ports 80 and 443 only" in told
    assert "an A record" in told
    assert "docs/reach.md" in told
    assert f"/webhooks/tradingview/{SECRET}" in call("url", "--home", bare, "--show-secret").stdout
    assert SECRET not in call("url", "--home", bare, "--json").stdout


def test_the_public_address_is_composed(bare: Path) -> None:
    answer = json.loads(call("url", "--home", bare, "--public", "https://alerts.example.org/", "--show-secret", "--json").stdout)
    assert answer["url"] == "https://alerts.example.org/webhooks/tradingview"
    assert answer["url_with_token"] == f"https://alerts.example.org/webhooks/tradingview/{SECRET}"


@pytest.mark.parametrize(
    "given",
    [
        "http://alerts.example.org",
        "https://alerts.example.org:8443",
        "https://localhost",
        "https://127.0.0.1",
        "https://192.168.1.5",
        "https://[2001:db8::1]",
        "ftp://alerts.example.org",
        "https://",
        "https://a.example.org:port",
        "https://user:pass@a.example.org",
    ],
)
def test_an_address_that_tradingview_cannot_call_is_wrong_usage(bare: Path, given: str) -> None:
    assert "--public" in call("url", "--home", bare, "--public", given, code=2).stderr


def test_the_address_of_a_running_server_is_its_own(bare: Path) -> None:
    (bare / "server.json").write_text(json.dumps({"url": "http://127.0.0.1:9999", "pid": os.getpid()}))
    assert json.loads(call("url", "--home", bare, "--json").stdout)["listening"] == "http://127.0.0.1:9999"
    (bare / "server.json").write_text("rubbish")
    assert json.loads(call("url", "--home", bare, "--json").stdout)["listening"] is None


def test_the_secret_of_a_running_server_is_where_that_has_it_from(bare: Path) -> None:
    told = {"url": "http://127.0.0.1:9999", "pid": os.getpid(), "secret": "ENIGMA_WEBHOOK_SECRET"}
    (bare / "server.json").write_text(json.dumps(told))
    shown = call("url", "--home", bare, "--show-secret").stdout
    assert "that of the run, which has it from ENIGMA_WEBHOOK_SECRET" in shown
    assert SECRET not in shown
    assert json.loads(call("url", "--home", bare, "--json").stdout)["secret_kept_in"] == "ENIGMA_WEBHOOK_SECRET"
    (bare / "server.json").write_text(json.dumps(told | {"secret": str(bare / "webhook_secret")}))
    assert SECRET in call("url", "--home", bare, "--show-secret").stdout


def test_the_lines_are_of_all_alerts_and_the_list_of_twenty(tmp_path: Path) -> None:
    with Home.open(tmp_path) as opened, opened.journal("paper", "synthetic seed=1") as journal:
        journal.write([started()], 0)
        for n in range(30):
            journal.write([stored(f"A{n}", received=RECEIVED + n)], n + 1)
    assert len(call("list", "--home", tmp_path, "--jsonl").stdout.splitlines()) == 30
    assert len(call("list", "--home", tmp_path, "--jsonl", "-n", 7).stdout.splitlines()) == 7
    assert len(json.loads(call("list", "--home", tmp_path, "--json").stdout)) == 20


def test_a_secret_that_others_can_read_is_not_used(bare: Path) -> None:
    (bare / "webhook_secret").chmod(0o644)
    assert "chmod 600" in sentence("url", "--home", bare)


def test_a_message_is_tested_against_the_running_engine_gate_by_gate(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "run").mkdir()
    monkeypatch.setenv("ENIGMA_API_TOKEN", SECRETS["read"])
    desk = TradedDesk(bare / "run")
    with running(Api(desk, trust_local=False)) as client:
        (bare / "server.json").write_text(json.dumps({"url": f"http://127.0.0.1:{client.port}", "pid": os.getpid()}))
        told = call("test", "-", "--home", bare, given='{"ticker": "BTCUSDT.P", "action": "buy"}').stdout
        answer = json.loads(call("test", "-", "--home", bare, "--json", given="SELL BTCUSDT").stdout)
        unknown = sentence("test", "-", "--home", bare, given="BUY NOSUCHUSDT")
        monkeypatch.setenv("ENIGMA_API_TOKEN", "xX4-7qTzRk2LmXcVbN9pYs6JdGfA0eUo")
        wrong = sentence("test", "-", "--home", bare, given="BUY BTCUSDT")
    assert "  refused by score" in told
    assert ">= 75" in told
    assert "refuses" in told
    assert "Nothing was traded." in told
    assert answer["tests"][0]["outcome"] == "refused"
    assert "NOSUCH/USDT:USDT is not traded here" in unknown
    assert "does not know the token in ENIGMA_API_TOKEN" in wrong
    assert not desk.alerts


class ModalDesk(TradedDesk):
    """A run whose service has settings of its own. `modes` are those it was asked in."""

    modes: list[str]

    def settings(self) -> dict[str, Any]:
        return {"services": {"tradingview": {"mode": "signal", "max_lag": 20.0, "max_lag_exit": 40.0}}}

    def rehearse(self, request: Request, mode: Any) -> Any:
        self.modes.append(mode)
        return super().rehearse(request, mode)


def test_a_message_is_tested_as_the_door_of_the_run_would_take_it(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "run").mkdir()
    monkeypatch.setenv("ENIGMA_API_TOKEN", SECRETS["read"])
    desk = ModalDesk(bare / "run")
    desk.modes = []

    def tested(message: str, code: int = 0) -> str:
        return call("test", "-", "--home", bare, given=message, code=code).stdout

    with running(Api(desk, trust_local=False)) as client:
        (bare / "server.json").write_text(json.dumps({"url": f"http://127.0.0.1:{client.port}", "pid": os.getpid()}))
        tested("BUY BTCUSDT")
        call("test", "-", "--home", bare, "--mode", "vote", given="BUY BTCUSDT")
        assert desk.modes == ["signal", "vote"]
        assert "halted: entries stop" in tested('{"action": "halt"}')
        assert "ignored: this is a test alert" in tested('{"ticker": "BTCUSDT", "action": "buy", "test": true}')
        assert "ignored: it asks for nothing" in tested('{"ticker": "BTCUSDT", "rsi": 30}')
        assert "did you mean 'buy'" in tested('{"ticker": "BTCUSDT", "action": "buuy"}', 1)
        old = '{"ticker": "BTCUSDT", "action": "ACTION", "timenow": "2026-01-31T12:00:07Z"}'
        assert "and 20 s are allowed" in tested(old.replace("ACTION", "buy"))
        assert "and 40 s are allowed" in tested(old.replace("ACTION", "close"))
        assert "s in the future" in tested(old.replace("ACTION", "close").replace("2026", "2095"), 1)
        both = tested('[{"ticker": "BTCUSDT", "action": "buy"}, {"ticker": "BTCUSDT", "action": "buuy"}]', 1)
    assert "another order of this message is refused" in both
    assert desk.modes == ["signal", "vote"]


def test_where_nothing_runs_the_test_says_how_to_start(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "start one with `enigma run`" in sentence("test", "-", "--home", bare, given="BUY BTCUSDT")
    (bare / "server.json").write_text(json.dumps({"url": "http://127.0.0.1:1", "pid": os.getpid()}))
    assert "there is no API token" in sentence("test", "-", "--home", bare, given="BUY BTCUSDT")
    monkeypatch.setenv("ENIGMA_API_TOKEN", SECRETS["read"])
    assert "gives no answer" in sentence("test", "-", "--home", bare, given="BUY BTCUSDT")
    assert "cannot be read" in sentence("test", bare / "nothing", "--home", bare)
