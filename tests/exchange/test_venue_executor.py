"""The executor ccxt as a part: its key, what speaks against it, and what it never shows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import msgspec
import pytest
from test_venue_wire import Kucoin, kucoin

from enigma_core.errors import ConfigError
from enigma_core.secrecy import redacted
from enigma_exchange.account import Timing
from enigma_exchange.wire.clients import Credentials, milliseconds
from enigma_exchange.wire.credentials import NAMES, credentials
from enigma_plugins.executors.ccxt import Ccxt, _aside

GIVEN = {"key": "key-of-the-test", "secret": "secret-of-the-test", "passphrase": "passphrase-of-the-test"}


@contextmanager
def answering(**answers: Any) -> Iterator[str]:
    """A KuCoin that answers in a thread of its own; its address."""
    found: dict[str, Any] = {}
    up, ending = Event(), Event()

    def run() -> None:
        async def serve() -> None:
            async with kucoin() as (there, account):
                there.answers["GET", "/api/v1/timestamp"] = lambda _: milliseconds()
                for path, answer in answers.items():
                    there.answers["GET", path] = answer
                found["url"] = account._hosts.futures.removesuffix("/fut")
                up.set()
                while not ending.is_set():
                    await asyncio.sleep(0.02)

        asyncio.run(serve())

    thread = Thread(target=run)
    thread.start()
    try:
        assert up.wait(10)
        yield found["url"]
    finally:
        ending.set()
        thread.join(10)


def rights(permission: str, addresses: str = "203.0.113.7") -> dict[str, Any]:
    return {"apiKey": "k", "permission": permission, "ipWhitelist": addresses}


@pytest.mark.parametrize(
    ("permission", "word"),
    [("General,Futures,Transfer", "transfer"), ("General,Futures,Withdrawal", "withdraw"), ("General,Spot", "may not trade")],
)
def test_a10_a_key_that_may_do_more_than_trade_or_less_is_refused(permission: str, word: str) -> None:
    with answering(**{"/api/v1/user/api-key": rights(permission)}) as url, pytest.raises(ConfigError, match=word):
        _aside(Ccxt(url=url, **GIVEN)._looked_at)


def test_a10_a_key_that_may_be_used_from_anywhere_is_warned_of() -> None:
    with answering(**{"/api/v1/user/api-key": rights("General,Futures", "")}) as url:
        told = _aside(Ccxt(url=url, **GIVEN)._looked_at)
    assert len(told) == 1
    assert "anywhere" in told[0]


def test_x30_a_clock_that_is_wrong_at_the_start_is_refused() -> None:
    answers = {"/api/v1/user/api-key": rights("General,Futures"), "/api/v1/timestamp": lambda _: milliseconds() + 2_500}
    with answering(**answers) as url, pytest.raises(ConfigError, match=r"2\.[3-6] s behind"):
        _aside(Ccxt(url=url, **GIVEN)._looked_at)


def test_x31_a_key_the_exchange_does_not_know_is_refused_with_what_to_do() -> None:
    denied = (401, {"code": "400003", "msg": "KC-API-KEY not exists"})
    with answering(**{"/api/v1/user/api-key": denied}) as url, pytest.raises(ConfigError, match="passphrase"):
        _aside(Ccxt(url=url, **GIVEN)._looked_at)


def test_an_exchange_that_does_not_answer_is_no_reason_not_to_start() -> None:
    told = _aside(Ccxt(url="http://127.0.0.1:9", timeout=0.3, **GIVEN)._looked_at)
    assert len(told) == 1
    assert "nothing is entered before" in told[0]


def test_a_local_exchange_is_not_asked_for_rights(tmp_path: Path) -> None:
    assert Ccxt(url="http://127.0.0.1:9", **GIVEN).prepare(tmp_path, "sandbox") == ()


def test_what_speaks_against_an_account_is_asked_for_once_at_a_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def look(self: Ccxt) -> list[str]:
        asked.append(self)
        return ["the key may be used from anywhere"]

    monkeypatch.setattr(Ccxt, "_looked_at", look)
    part = Ccxt(**GIVEN)
    assert part.prepare(tmp_path, "live") == part.prepare(tmp_path, "live") == ["the key may be used from anywhere"]
    assert len(asked) == 1


def test_a_key_comes_from_settings_the_environment_or_private_files(tmp_path: Path) -> None:
    assert credentials(GIVEN, {}) == Credentials(**GIVEN)
    assert credentials({}, {NAMES[name]: value for name, value in GIVEN.items()}) == Credentials(**GIVEN)
    environment = {}
    for name, value in GIVEN.items():
        path = tmp_path / name
        path.write_text(value + "\n")
        path.chmod(0o600)
        environment[f"{NAMES[name]}_FILE"] = str(path)
    assert credentials({}, environment) == Credentials(**GIVEN)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("protect", 61),
        ("stall", 3_600),
        ("orders", 61),
        ("positions", 0),
        ("fresh", 601),
        ("proof", 1),
        ("overlap", 1),
        ("looks", 1),
    ],
)
def test_an_account_cannot_be_so_patient_that_a_position_is_left_alone(setting: str, value: float) -> None:
    with pytest.raises(msgspec.ValidationError, match=setting):
        msgspec.convert({setting: value}, Timing)


def test_a_missing_key_is_told_with_where_to_put_it() -> None:
    with pytest.raises(ConfigError) as caught:
        credentials({"key": "key-of-the-test"}, {})
    assert "secret, passphrase are not set" in str(caught.value)
    assert "KUCOIN_API_SECRET, KUCOIN_PASSPHRASE" in str(caught.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_in_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    path.write_text("key-of-the-test")
    path.chmod(mode)
    with pytest.raises(ConfigError, match=r"others|chmod"):
        credentials({}, {"KUCOIN_API_KEY_FILE": str(path)})


def test_no_part_of_a_key_is_ever_shown() -> None:
    part = Ccxt(**GIVEN)
    shown = f"{part!r} {credentials(GIVEN, {})!r} {part.identity()}"
    assert not any(value in shown for value in GIVEN.values())
    assert redacted(f"it said {GIVEN['passphrase']}") == "it said ***"


def test_an_account_is_known_by_its_name_or_its_key_and_a_local_one_whatever_its_port() -> None:
    assert Ccxt(account="main", **GIVEN).identity() == Ccxt(account="main", **(GIVEN | {"key": "another-key"})).identity()
    assert Ccxt(**GIVEN).identity() != Ccxt(**(GIVEN | {"key": "another-key"})).identity()
    assert Ccxt(url="http://127.0.0.1:1", **GIVEN).identity() == Ccxt(url="http://127.0.0.1:2", **GIVEN).identity()
    assert Ccxt(url="http://127.0.0.1:1", **GIVEN).identity() != Ccxt(**GIVEN).identity()


def test_the_double_knows_what_it_is_asked() -> None:
    assert Kucoin().asked == []
