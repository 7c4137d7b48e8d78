"""`enigma doctor`: the exchange of the settings, secrets, candles, and what would keep a live run from starting."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from enigma_core.candle_store import CandleStore
from enigma_core.cli import root
from markets import random_candles

PLUGIN = '''
"""An exchange that a test knows all about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from enigma_core import hookimpl
from enigma_core.errors import ConfigError
from enigma_core.parts import Check, Executor, Ports, Rehearsal, Rehearsing, Venue


class Known(Executor, frozen=True, kw_only=True):
    """Trades nowhere."""

    name = "known"
    remote = True

    key: Annotated[str, Meta(description="the key")] = ""
    url: Annotated[str | None, Meta(description="of a local exchange")] = None

    def identity(self) -> str:
        return "known"

    def prepare(self, home: Path, mode: str) -> Sequence[str]:
        if mode == "live":
            raise ConfigError("the API key may withdraw money: make another")
        return ()

    def examine(self, symbols: Sequence[str] = ()) -> Iterable[Check]:
        if self.key == "none":
            raise ConfigError("there is no key: set one")
        yield Check("key", "fail" if self.url is None else "ok", f"it was looked at through {self.url}")


class Local(Rehearsal, frozen=True, kw_only=True):
    """Writes down when it begins and ends."""

    name = "local"

    def start(self, home: Path) -> Rehearsing:
        return Running(home)


class Running:
    told = ()

    def __init__(self, home: Path) -> None:
        self.log = home.parent / "log"
        self.log.write_text("started ")
        self.settings: Mapping[str, Any] = {"executor.url": "http://127.0.0.1:7", "feed.use": "synthetic"}

    def close(self) -> None:
        self.log.write_text(self.log.read_text() + "closed")


@hookimpl
def enigma_executors() -> Iterator[type[Executor]]:
    yield Known


@hookimpl
def enigma_rehearsals() -> Iterator[type[Rehearsal]]:
    yield Local
'''


def told(*words: object, code: int | None = None) -> list[dict[str, str]]:
    result = CliRunner().invoke(root, ["doctor", *map(str, words), "--json"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    answer = json.loads(result.stdout)
    assert result.exit_code == (0 if answer["ok"] else 1)
    if code is not None:
        assert result.exit_code == code, result.output
    findings: list[dict[str, str]] = answer["findings"]
    return findings


def texts(findings: list[dict[str, str]], check: str, level: str | None = None) -> list[str]:
    return [f["text"] for f in findings if f["check"] == check and level in (None, f["level"])]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIVE", raising=False)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("ENIGMA_HOME", str(folder))
    return folder


@pytest.fixture
def known(home: Path, tmp_path: Path) -> Path:
    """A configuration that trades at an exchange of our own."""
    (tmp_path / "strategies").mkdir()
    (tmp_path / "strategies" / "an_exchange.py").write_text(PLUGIN)
    (tmp_path / "strategy_config.json").write_text('{"executor": {"use": "known"}, "rehearsal": {"use": "local"}}')
    return home


def test_doctor_looks_at_candles_and_names_damaged_ones(home: Path) -> None:
    with CandleStore.of("kucoin") as store:
        store.write(random_candles("BTC/USDT:USDT", 20_000, 1))
        path = store.path
    (text,) = texts(told(), "candles", "ok")
    assert text.startswith(f"{path} holds 1 series of 1 symbols")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    (text,) = texts(told(code=1), "candles", "fail")
    assert "damaged" in text


def test_a09_doctor_names_secrets_that_others_can_read(home: Path) -> None:
    (home / "api_token").write_text("x")
    (home / "api_token").chmod(0o644)
    (home / "webhook_secret").write_text("x")
    (home / "webhook_secret").chmod(0o600)
    found = told()
    assert texts(found, "secrets", "warn") == [f"{home / 'api_token'} is open to others (mode 644): chmod 600 {home / 'api_token'}"]
    assert texts(found, "secrets", "ok") == ["1 file with secrets or money, open to nobody else"]


def test_without_an_exchange_doctor_says_how_one_is_looked_at(home: Path) -> None:
    assert texts(told(code=0), "exchange") == ["feed synthetic needs none; --feed kucoin looks at one"]


def test_what_keeps_a_live_run_from_starting_is_a_line_each(known: Path) -> None:
    found = told("--mode", "live", "--feed", "synthetic", code=1)
    refused = texts(found, "live", "fail")
    assert any("LIVE is not set" in text for text in refused)
    assert any("feed synthetic is no market that is open now" in text for text in refused)
    assert "the API key may withdraw money: make another" in refused
    assert texts(found, "key", "fail") == ["it was looked at through None"]
    assert not texts(told(), "live")


def test_a_rehearsals_exchange_is_started_looked_at_and_ended(known: Path, tmp_path: Path) -> None:
    found = told("--sandbox")
    assert texts(found, "key", "ok") == ["it was looked at through http://127.0.0.1:7"]
    assert texts(found, "exchange", "ok") == ["the local exchange local runs"]
    assert not texts(found, "live")
    assert (tmp_path / "log").read_text() == "started closed"


def test_settings_that_cannot_be_read_are_one_line(home: Path) -> None:
    (home.parent / "strategy_config.json").write_text("{")
    found = told("--mode", "live", code=1)
    assert [f["check"] for f in found if f["level"] == "fail"] == ["settings"]


def test_the_feed_is_looked_at_though_a_key_is_missing(home: Path, quick: str) -> None:
    found = told(*("--mode", "live", "--feed", "kucoin", "--set", f"feed.url={quick}", "--set", "executor.use=nosuch"), code=1)
    assert any("nosuch" in text for text in texts(found, "settings", "fail"))
    assert any(text.startswith(f"{quick}/fut answers within") for text in texts(found, "exchange", "ok"))
    (clock,) = [f for f in found if f["check"] == "clock" and "the exchange's" in f["text"]]
    assert clock["level"] == "fail"
    assert "5.0 s ahead of the exchange's" in clock["text"]


def test_an_executor_that_cannot_look_says_why_and_the_rest_goes_on(
    known: Path, quick: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", "none")
    (known.parent / "strategy_config.json").write_text('{"executor": {"use": "known", "key": {"env": "A_KEY"}}}')
    found = told("--feed", "kucoin", "--set", f"feed.url={quick}")
    assert texts(found, "exchange", "fail")[-1] == "there is no key: set one"
    assert any("answers within" in text for text in texts(found, "exchange", "ok"))


@pytest.fixture
def quick() -> Iterator[str]:
    """An exchange whose clock is five seconds behind."""

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(int(time.time() * 1000) - 5_000 if self.path.endswith("/timestamp") else {"status": "open"})

        def do_POST(self) -> None:
            self.answer({"token": "t", "instanceServers": [{"endpoint": "ws://127.0.0.1:7/"}]})

        def answer(self, data: Any) -> None:
            body = json.dumps({"code": "200000", "data": data}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_address[1]}"
        made.shutdown()
