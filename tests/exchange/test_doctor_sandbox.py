"""`enigma doctor` and `enigma download` at the local exchange, over the network and by the key it gives out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from enigma_core.cli import root
from enigma_plugins.feeds.csv import Csv
from enigma_sandbox.rehearsal import KucoinSandbox

BTC = "BTC/USDT:USDT"
NAMES = {"key": "KUCOIN_API_KEY", "secret": "KUCOIN_API_SECRET", "passphrase": "KUCOIN_PASSPHRASE"}


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Any]]:
    running = KucoinSandbox().start(tmp_path_factory.mktemp("rehearsal"))
    yield {path: value for path, value in running.settings.items() if isinstance(value, str)}
    running.close()


@pytest.fixture(autouse=True)
def keyed(exchange: Mapping[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENIGMA_HOME", str(tmp_path / "home"))
    for name, variable in NAMES.items():
        monkeypatch.setenv(variable, exchange[f"executor.{name}"])


def found(exchange: Mapping[str, Any], *words: str) -> list[tuple[str, str, str]]:
    places = ("--set", f"feed.url={exchange['feed.url']}", "--set", f"executor.url={exchange['executor.url']}")
    said = CliRunner().invoke(root, ["doctor", "--mode", "live", *places, "--set", f"symbols={BTC}", *words, "--json"]).stdout
    return [(f["check"], f["level"], f["text"]) for f in json.loads(said)["findings"]]


def test_an_account_of_the_local_exchange_is_well(exchange: Mapping[str, Any]) -> None:
    checks = [
        (check, level, text) for check, level, text in found(exchange) if check in ("exchange", "key", "account", "margin", "quota")
    ]
    assert {level for _, level, _ in checks} == {"ok"}
    texts = " | ".join(text for _, _, text in checks)
    for fact in (
        "/fut answers within",
        "it is open",
        "market data streams from ws://",
        "it may trade futures",
        "isolated, one way: BTC",
    ):
        assert fact in texts


@pytest.mark.parametrize("name", ["key", "secret", "passphrase"])
def test_x31_a_wrong_key_is_said_to_be_wrong_and_is_not_shown(
    exchange: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(NAMES[name], "wrong-0123456789abcdef")
    checks = found(exchange)
    (refused,) = [text for check, level, text in checks if (check, level) == ("key", "fail")]
    assert refused.startswith("the exchange refuses the key (4000")
    assert "wrong-0123456789abcdef" not in str(checks)


def test_history_of_the_local_exchange_is_downloaded_and_traded(exchange: Mapping[str, Any]) -> None:
    words = ["download", "--feed", "kucoin", "--set", f"feed.url={exchange['feed.url']}", "-p", BTC, "-i", "5m", "--days", "3"]
    answer = CliRunner().invoke(root, [*words, "--json"])
    assert answer.exit_code == 0, answer.output
    told = json.loads(answer.stdout)
    assert told["series"][0]["missing"] == 0
    assert told["series"][0]["bars"] >= 3 * 288 - 4
    kept = Csv(data=told["path"])
    assert kept.instrument(BTC).multiplier < 1
    assert len(kept.history(BTC, "1h")) >= 70
