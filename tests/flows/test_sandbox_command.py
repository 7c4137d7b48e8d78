"""`enigma sandbox`, and the exchange as a rehearsal: begun, told of, ended well, and ended with its parent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from enigma_core.errors import ConfigError
from enigma_core.testing import check
from enigma_sandbox.rehearsal import KucoinSandbox

ENIGMA = [sys.executable, "-c", "from enigma_core.cli import main; main()", "sandbox"]


def environment(**more: str) -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if not name.startswith("KUCOIN_")}, **more}


def begun(*options: str, **more: str) -> subprocess.Popen[str]:
    words = [*ENIGMA, "--port", "0", "--days", "1", "--symbols", "1", *options]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(**more))


def asked(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.loads(answer.read())


def test_it_prints_its_addresses_and_a_key_and_ends_well_on_ctrl_c(tmp_path: Path) -> None:
    process = begun("--json", "--state", str(tmp_path / "state.json"))
    assert process.stdout is not None
    said = json.loads(process.stdout.readline())
    assert said["futures"] == f"{said['url']}/fut"
    assert said["spot"] == f"{said['url']}/spot"
    assert said["websocket"].startswith("ws://127.0.0.1:")
    assert all(said[name] for name in ("key", "secret", "passphrase"))
    assert asked(f"{said['futures']}/api/v1/status")["data"]["status"] == "open"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert (tmp_path / "state.json").exists()
    again = begun("--json", "--state", str(tmp_path / "state.json"), "--for", "0.1")
    out, err = again.communicate(timeout=20)
    assert again.returncode == 0, err
    told = json.loads(out)
    assert told["key"] == said["key"]
    assert "goes on with the account" in told["told"][0]


def test_it_takes_the_environments_key_and_never_prints_its_secret() -> None:
    given = {"KUCOIN_API_KEY": "my-key-123", "KUCOIN_API_SECRET": "my-secret-456", "KUCOIN_PASSPHRASE": "my-phrase-789"}
    for options in ((), ("--json",)):
        out, err = begun("--for", "0.1", *options, **given).communicate(timeout=20)
        assert "my-key-123" in out
        assert "my-secret-456" not in out + err
        assert "my-phrase-789" not in out + err
    assert "export KUCOIN_API_SECRET=" in begun("--for", "0.1").communicate(timeout=20)[0]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--feed", "nonsense"), "there is no such feed"),
        (("--data", "/nowhere/at/all"), "there is no such folder"),
        (("-p", "BTG"), "did you mean"),
        (("--symbols", "1000"), "1000 is not in the range"),
        (("--state", "/proc/nowhere/x.json"), "cannot be"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(options: tuple[str, ...], sentence: str) -> None:
    process = begun(*options)
    _, err = process.communicate(timeout=20)
    assert process.returncode in (1, 2)
    assert sentence in " ".join(err.split())
    assert "being made" not in err
    assert "Traceback" not in err


def test_the_rehearsal_keeps_its_contract() -> None:
    check(KucoinSandbox)


def test_a_rehearsal_runs_tells_its_settings_and_goes_on_with_its_account(tmp_path: Path) -> None:
    part = KucoinSandbox(count=1, days=1)
    first = part.start(tmp_path)
    try:
        settings = dict(first.settings)
        assert settings["feed.use"] == "kucoin"
        assert settings["executor.use"] == "ccxt"
        assert settings["feed.url"] == settings["executor.url"]
        assert asked(f"{settings['feed.url']}/fut/api/v1/status")["code"] == "200000"
        assert any(settings["feed.url"] in line for line in first.told)
    finally:
        first.close()
        first.close()
    assert {path.name for path in (tmp_path / "sandbox").iterdir()} == {"credentials.json", "exchange.json", "exchange.log", "port"}
    second = part.start(tmp_path)
    try:
        assert dict(second.settings) == settings
        with pytest.raises(ConfigError, match="account of another market"):
            KucoinSandbox(count=1, days=1, seed=9).start(tmp_path)
    finally:
        second.close()


def test_a_rehearsal_ends_with_its_parent_however_that_ended(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib, os, signal\n"
        "from enigma_sandbox.rehearsal import KucoinSandbox\n"
        "running = KucoinSandbox(count=1, days=1).start(pathlib.Path(sys.argv[1]))\n"
        "print(running.settings['feed.url'], running._child.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    parent = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, env=environment(), check=False
    )
    assert parent.returncode == -signal.SIGKILL
    pid = int(parent.stdout.split()[1])
    deadline = time.monotonic() + 20
    while _alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert (tmp_path / "sandbox" / "exchange.json").exists()


def _alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_a_rehearsal_never_sees_the_real_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUCOIN_API_KEY", "KUCOIN_API_SECRET", "KUCOIN_PASSPHRASE"):
        monkeypatch.setenv(name, f"real-{name}")
    running = KucoinSandbox(count=1, days=1).start(tmp_path)
    try:
        assert not any("real-" in str(value) for value in running.settings.values())
        seen = Path(f"/proc/{running._child.pid}/environ")  # type: ignore[attr-defined]
        if seen.exists():
            assert b"real-" not in seen.read_bytes()
    finally:
        running.close()
