"""Being told of a run: `enigma notify test`, and notifications beside trading that never touch it."""

from __future__ import annotations

import asyncio
import json
import socket
import textwrap
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from enigma_core import cli, secrecy
from enigma_core.model import Order, Purpose, Trade
from enigma_core.parts import Notifier
from enigma_core.shells.stream import RunStarted
from enigma_plugins.notifiers.apprise import Apprise
from markets import instrument, plan, random_candles
from runs import Given, on, ran

SYMBOL = "BTC/USDT:USDT"

PLUGIN = """
    from enigma_core.hookspecs import hookimpl
    from enigma_core.parts import Notifier
    from enigma_plugins.notifiers.apprise import Apprise


    class Pager(Apprise, frozen=True, kw_only=True):
        \"\"\"Notes by apprise, under a name of one's own.\"\"\"

        name = "pager"


    class Broken(Notifier, frozen=True, kw_only=True):
        \"\"\"Cannot be used.\"\"\"

        name = "broken"

        async def send(self, note):
            raise OSError("the line is dead")


    @hookimpl
    def enigma_notifiers():
        yield Pager
        yield Broken
"""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """Keeps what is posted to it in `got`; answers with `status`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.server.got.append(body)  # type: ignore[attr-defined]
            self.send_response(self.server.status)  # type: ignore[attr-defined]
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.got, made.status = [], 200  # type: ignore[attr-defined]
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a plugin that offers the notifiers `pager` and `broken`."""
    (tmp_path / "strategies").mkdir()
    (tmp_path / "strategies" / "pager.py").write_text(textwrap.dedent(PLUGIN))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(secrecy._SECRETS, "_forms", ())
    monkeypatch.setitem(cli.COMMANDS, "notify", ("enigma_core.cli.notify:notify", "Try the ways by which you are told."))
    return tmp_path


def notify_test(notifiers: Mapping[str, Any], *arguments: str) -> Result:
    Path("strategy_config.json").write_text(json.dumps({"notifiers": notifiers}))
    return CliRunner().invoke(cli.root, ["-v", "notify", "test", *arguments])


def pager(**settings: Any) -> dict[str, Any]:
    return {"urls": [{"env": "PAGER"}], "private_addresses": True, **settings}


def test_default_notifier_is_tried(folder: Path) -> None:
    done = notify_test({})
    assert (done.exit_code, done.stdout.split()) == (0, ["sent", "log"])


def test_every_channel_is_tried_and_the_address_is_shown_nowhere(
    folder: Path, server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"json://127.0.0.1:{server.server_port}/canary-7f3a9c"
    monkeypatch.setenv("PAGER", f"{url}, {url}/two")
    done = notify_test({"pager": pager(), "log": False}, "--json", "--event", "halted")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {
        "ok": True,
        "notifiers": [
            {"notifier": "pager: JSON at 127.0.0.1", "sent": True, "text": "sent"},
            {"notifier": "pager: JSON at 127.0.0.1 (2)", "sent": True, "text": "sent"},
        ],
    }
    for got in server.got:  # type: ignore[attr-defined]
        assert got["message"].endswith(" halted: a test of the notifications - nothing has happened")
    assert "canary" not in done.output


def test_channel_that_fails_is_named_with_its_reason(
    folder: Path, server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.status = 403  # type: ignore[attr-defined]
    monkeypatch.setenv("PAGER", f"json://127.0.0.1:{server.server_port}/canary-7f3a9c")
    done = notify_test({"pager": pager(), "broken": {}}, "--json")
    assert done.exit_code == 1
    answer = json.loads(done.stdout)
    rows = {row["notifier"]: row for row in answer["notifiers"]}
    assert not answer["ok"]
    assert (rows["broken"]["sent"], rows["broken"]["text"]) == (False, "the line is dead")
    assert rows["log"]["sent"]
    assert rows["pager: JSON at 127.0.0.1"]["text"].startswith("JSON at 127.0.0.1 did not take it: ")
    assert "403" in rows["pager: JSON at 127.0.0.1"]["text"]
    assert "canary" not in done.output
    shown = notify_test({"pager": pager(), "broken": {}})
    assert shown.exit_code == 1
    assert "failed broken the line is dead" in " ".join(shown.stdout.split())


def test_event_that_is_switched_off_is_said_and_no_failure(
    folder: Path, server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGER", f"json://127.0.0.1:{server.server_port}/x")
    done = notify_test({"pager": pager(events={"exit": "off"}), "log": False}, "--event", "exit")
    assert done.exit_code == 0
    assert done.stdout.split()[0] == "off"
    assert "exit is switched off here: nothing was sent" in " ".join(done.stdout.split())
    assert server.got == []  # type: ignore[attr-defined]


def test_no_notifier_at_all_is_refused(folder: Path) -> None:
    done = notify_test({"log": False})
    assert done.exit_code == 1
    assert "no notifier is set up: name one in the configuration" in done.stderr


@pytest.mark.parametrize(
    "url", ["canary://canary-7f3a9c", "jsons://127.0.0.1/canary-7f3a9c", "canary-7f3a9c", "tgram://canary-7f3a9c"]
)
def test_i21_a14_address_that_cannot_be_used_is_refused_without_being_shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("PAGER", url)
    done = notify_test({"pager": {"urls": [{"env": "PAGER"}]}})
    assert done.exit_code == 1
    assert "notifiers.pager" in done.stderr
    assert "canary-7f3a9c" not in done.output


def test_variable_that_is_not_set_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PAGER", raising=False)
    done = notify_test({"pager": {"urls": [{"env": "PAGER"}]}})
    assert done.exit_code == 1
    assert "notifiers.pager.urls[0] (strategy_config.json) refers to the environment's PAGER, which is not set" in done.stderr


# beside trading


def traded(tmp_path: Path, notifiers: dict[str, Notifier]) -> list[Any]:
    candles = {SYMBOL: random_candles(SYMBOL, 1500, 1)}
    feed = Given(candles=candles, instruments={SYMBOL: instrument(SYMBOL)})
    found = ran(msgspec.structs.replace(on(plan(), feed), notifiers=notifiers), tmp_path).records
    return [record for record in found if type(record) is not RunStarted]


def test_run_is_told_in_few_messages_and_every_entry_and_exit_is_counted(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    part = Apprise(urls=(f"json://127.0.0.1:{server.server_port}/x",), private_addresses=True)
    records = traded(tmp_path, {"apprise": part})
    wanted = sum(isinstance(r, Trade) or (isinstance(r, Order) and r.purpose is Purpose.ENTRY) for r in records)
    lines = [line for got in server.got for line in got["message"].splitlines()]  # type: ignore[attr-defined]
    more = sum(int(line.split()[0]) - 1 for line in lines if " more: " in line)
    assert wanted > 5
    assert len(lines) + more >= wanted
    assert len(server.got) <= 10  # type: ignore[attr-defined]


def test_p16_run_with_a_dead_channel_trades_as_one_without(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hole:
        url = f"json://127.0.0.1:{hole.getsockname()[1]}/x?rto=30"
        part = Apprise(urls=(url,), private_addresses=True, group=0)
        beside = traded(tmp_path / "beside", {"apprise": part})
    assert beside == traded(tmp_path / "alone", {})


def test_notifier_is_sound_where_a_loop_runs_already() -> None:
    async def work() -> list[str]:
        return list(Apprise(urls=("ntfy://a-topic-of-mine",)).channels())

    assert asyncio.run(work()) == ["ntfy"]
