"""The service tradingview: what it starts with, what it refuses to start with, and how it serves beside a run."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from desks import MemoryDesk
from enigma_core.errors import ConfigError, PluginError
from enigma_core.market import MarketEvent
from enigma_core.parts import Command, Ports
from enigma_core.plan import Costs
from enigma_webhooks.front.credentials import Credential
from enigma_webhooks.front.server import bound
from enigma_webhooks.service import SERVER_FILE, Source, TradingView, enigma_services
from posting import OTHER, SECRET, buy
from serving import exchanged, one_answer, request, status_of

ADMIN: dict[str, Any] = {"tokens": {"desk": {"token": OTHER, "scope": "admin"}}}
"""So that only the webhook secret is missing."""


class Nowhere:
    """An inbox that nobody may use: alerts go by the desk."""

    async def put(self, event: MarketEvent | Command) -> None:
        raise AssertionError(event)


@pytest.fixture(autouse=True)
def _no_secrets_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENIGMA_WEBHOOK_SECRET", "ENIGMA_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)


def service(**settings: Any) -> TradingView:
    return msgspec.convert({"port": 0, **settings}, TradingView)


def refused(home: Path, mode: str = "paper", **settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        service(**settings).prepare(home, mode)
    return str(caught.value)


def test_the_service_is_offered() -> None:
    assert list(enigma_services()) == [TradingView]


def test_settings_are_bounded_and_unknown_ones_refused() -> None:
    for wrong in ({"port": 70_000}, {"max_lag": 0}, {"mode": "yolo"}, {"sources": {"a": {"secrte": "x"}}}, {"ttl": -1}):
        with pytest.raises(msgspec.ValidationError):
            service(**wrong)


# secrets


def test_on_paper_and_this_machine_the_secrets_are_made_once_and_shown_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    first, second = service().prepare(tmp_path, "paper"), service().prepare(tmp_path, "paper")
    for name in ("webhook_secret", "api_token"):
        path = tmp_path / name
        value = path.read_text().strip()
        assert len(value) == 43
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert value in "\n".join(first)
        assert value not in "\n".join(second)
        assert str(path) in "\n".join(second)


def test_a_log_gets_no_secret_but_the_command_that_shows_it(tmp_path: Path) -> None:
    told = "\n".join(service().prepare(tmp_path, "paper"))
    for name in ("webhook_secret", "api_token"):
        assert (tmp_path / name).read_text().strip() not in told
        assert str(tmp_path / name) in told
    assert f"`enigma alert url --show-secret --home {tmp_path}` shows it" in told
    assert f"`cat {tmp_path}/api_token` shows it" in told


def test_the_runs_own_token_stands_beside_those_of_the_settings(tmp_path: Path) -> None:
    service(secret=SECRET, **ADMIN).prepare(tmp_path, "paper")
    own = (tmp_path / "api_token").read_text().strip()
    tokens = service(secret=SECRET, **ADMIN)._tokens(tmp_path, "paper")
    assert [(t.name, t.token, t.scope) for t in tokens] == [("desk", OTHER, "admin"), ("owner", own, "admin")]


@pytest.mark.parametrize(
    ("mode", "settings"),
    [
        ("live", {}),
        ("paper", {"behind_proxy": True}),
        ("paper", {"host": "0.0.0.0", "behind_proxy": True}),
        ("live", {"behind_proxy": True}),
    ],
)
def test_anywhere_else_a_missing_secret_is_asked_for(tmp_path: Path, mode: str, settings: dict[str, Any]) -> None:
    said = refused(tmp_path, mode, **settings, **ADMIN)
    assert "there is no webhook secret" in said
    assert ("others could reach the server" in said) == (mode == "paper"), "on 127.0.0.1 they could not"
    assert "secrets.token_urlsafe(32)" in said
    assert str(tmp_path / "webhook_secret") in said
    assert "ENIGMA_WEBHOOK_SECRET" in said
    assert "there is no API token" in refused(tmp_path, mode, **settings, secret=SECRET)
    assert not list(tmp_path.iterdir())


def test_the_environment_is_asked_before_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENIGMA_WEBHOOK_SECRET", SECRET)
    said = service(**ADMIN).prepare(tmp_path, "live")
    assert "the webhook secret is kept in ENIGMA_WEBHOOK_SECRET" in said
    assert SECRET not in "\n".join(said)
    assert service(**ADMIN).sources_known(tmp_path, "live")["tradingview"].keys.live == (SECRET,)
    file = tmp_path / "elsewhere"
    file.write_text(f"{OTHER}\n")
    file.chmod(0o600)
    monkeypatch.setenv("ENIGMA_WEBHOOK_SECRET_FILE", str(file))
    assert service(**ADMIN).sources_known(tmp_path, "live")["tradingview"].keys.live == (OTHER,)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o660, 0o666, 0o610, 0o601, 0o620, 0o602, 0o777])
def test_a09_a_secret_that_others_can_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int) -> None:
    kept = tmp_path / "webhook_secret"
    kept.write_text(SECRET)
    kept.chmod(mode)
    assert refused(tmp_path, **ADMIN) == (f"{kept} can be read by others (mode {mode:03o}), and holds a secret: chmod 600 {kept}")
    monkeypatch.setenv("ENIGMA_API_TOKEN_FILE", str(kept))
    assert f"chmod 600 {kept}" in refused(tmp_path, secret=SECRET)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a09_a_secret_of_ones_own_is_taken(tmp_path: Path, mode: int) -> None:
    kept = tmp_path / "webhook_secret"
    kept.write_text(SECRET)
    kept.chmod(mode)
    service(**ADMIN).prepare(tmp_path, "live")


@pytest.mark.parametrize("weak", ["", "short-x9Qz-k2Lp", "changeme" * 5, "a" * 40, "your-webhook-secret-goes-here-please"])
@pytest.mark.parametrize("name", ["secret", "next_secret"])
def test_a08_a_weak_secret_stops_the_start_without_being_shown(tmp_path: Path, weak: str, name: str) -> None:
    settings = {"secret": SECRET, **ADMIN, name: weak}
    for said in (
        refused(tmp_path, "live", **settings),
        refused(tmp_path, "live", **ADMIN, secret=SECRET, sources={"a": {name: weak}}),
    ):
        assert f"{name} " in said
        assert "token_urlsafe" in said
        assert not weak or weak not in said


def test_a08_a_weak_secret_in_the_folder_or_the_environment_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENIGMA_WEBHOOK_SECRET", "changeme-changeme-changeme-changeme")
    assert "the secret of ENIGMA_WEBHOOK_SECRET is" in refused(tmp_path, **ADMIN)


def test_a_short_secret_will_do_on_ones_own_machine_only(tmp_path: Path) -> None:
    service(secret="k2Lp-x9Qz7", **ADMIN).prepare(tmp_path, "paper")
    assert "has 10 bytes" in refused(tmp_path, "live", secret="k2Lp-x9Qz7", **ADMIN)
    assert "has 10 bytes" in refused(tmp_path, "paper", secret="k2Lp-x9Qz7", behind_proxy=True, **ADMIN)


def test_no_secret_is_in_a_representation() -> None:
    made = service(secret=SECRET, next_secret=OTHER, sources={"a": {"secret": SECRET}}, tokens={"x": {"token": OTHER}})
    for text in (repr(made), repr(made.sources), repr(made.tokens), repr(Credential(SECRET, "here")), repr(made.__rich_repr__())):
        assert SECRET not in text
        assert OTHER not in text


# what else it refuses


def test_a_server_that_others_reach_needs_a_proxy_in_front(tmp_path: Path) -> None:
    said = refused(tmp_path, secret=SECRET, host="0.0.0.0", **ADMIN)
    assert "services.tradingview.host is 0.0.0.0" in said
    assert "behind_proxy" in said


@pytest.mark.parametrize("proxies", [["*"], ["10.0.0.1", "*"], ["0.0.0.0/0"], ["::/0"]])
def test_not_everybody_is_a_trusted_proxy(tmp_path: Path, proxies: list[str]) -> None:
    assert "everybody could claim any address" in refused(tmp_path, secret=SECRET, trusted_proxies=proxies, **ADMIN)


@pytest.mark.parametrize("settings", [{"allow": ["52.89.214.238"]}, {"tradingview_addresses": True}])
def test_an_allow_list_on_this_machine_needs_a_trusted_proxy(tmp_path: Path, settings: dict[str, Any]) -> None:
    said = refused(tmp_path, secret=SECRET, sources={"tradingview": settings}, **ADMIN)
    assert "trusted_proxies" in said
    service(secret=SECRET, sources={"tradingview": settings}, trusted_proxies=["127.0.0.1"], **ADMIN).prepare(tmp_path, "paper")


@pytest.mark.parametrize("name", ["", "Desk", "a/b", "../x", "x" * 41, "a b", "é"])
def test_a_sources_name_is_fit_for_an_address(tmp_path: Path, name: str) -> None:
    assert "as it stands in the address" in refused(tmp_path, secret=SECRET, sources={name: {}}, **ADMIN)


def test_a_port_in_use_is_said_before_the_run_begins(tmp_path: Path) -> None:
    taken = bound("127.0.0.1", 0)
    port = taken.getsockname()[1]
    try:
        said = refused(tmp_path, port=port)
    finally:
        taken.close()
    assert said == f"127.0.0.1:{port} is in use; stop what listens there, or set services.tradingview.port to another (0 takes any)"


def test_sources_have_what_the_service_has_where_they_say_nothing(tmp_path: Path) -> None:
    known = service(
        secret=SECRET,
        mode="vote",
        max_lag=30,
        ttl=120,
        sources={"desk": {"secret": OTHER, "mode": "veto", "max_lag": 5, "ttl": 7}, "signals": {"enabled": False}},
        **ADMIN,
    ).sources_known(tmp_path, "paper")
    assert set(known) == {"tradingview", "signals", "desk"}
    assert (known["tradingview"].mode, known["tradingview"].max_lag, known["tradingview"].ttl) == ("vote", 30_000, 120_000)
    assert (known["desk"].mode, known["desk"].max_lag, known["desk"].max_lag_exit, known["desk"].ttl) == (
        "veto",
        5_000,
        900_000,
        7_000,
    )
    assert (known["signals"].enabled, known["signals"].keys.live) == (False, (SECRET,))
    assert known["desk"].keys.live == (OTHER,)
    assert Source() == Source()


# serving


def ports(desk: MemoryDesk | None) -> Ports:
    return Ports(instruments={}, costs=Costs(slippage=Decimal(0)), funding={}, desk=desk)


async def up(home: Path) -> dict[str, Any]:
    while not (home / SERVER_FILE).exists():
        await asyncio.sleep(0.01)
    found: dict[str, Any] = json.loads((home / SERVER_FILE).read_text())
    return found


def test_it_serves_alerts_and_the_api_beside_a_run_and_stops_when_cancelled(tmp_path: Path) -> None:
    async def inside() -> tuple[list[int], dict[str, Any], int]:
        desk = MemoryDesk(tmp_path)
        made = service(secret=SECRET, **ADMIN)
        made.prepare(tmp_path, "paper")
        task = asyncio.create_task(made.serve(Nowhere(), ports(desk)))
        where = await asyncio.wait_for(up(tmp_path), 20)
        port = int(where["url"].rpartition(":")[2])
        mode = stat.S_IMODE((tmp_path / SERVER_FILE).stat().st_mode)
        body = json.dumps(buy()).encode()
        answers = [
            await exchanged(port, data, close=False)
            for data in (
                request("POST", "/webhooks/tradingview", body),
                request("POST", "/webhooks/tradingview", body),
                request("POST", "/webhooks/nobody", body),
                request("GET", "/health/live"),
                request("GET", "/api/v1/positions"),
                request("GET", "/api/v1/positions", b"", {"Authorization": f"Bearer {OTHER}"}),
                request("GET", "/health/live", b"", {"Host": "evil.example"}),
            )
        ]
        # one that is being written down when the end comes
        desk.hold = asyncio.Event()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("POST", "/webhooks/tradingview", json.dumps(buy(id="last")).encode()))
        asked = desk.asked
        while desk.asked == asked:
            await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.sleep(0.05)
        desk.hold.set()
        answers.append(await asyncio.wait_for(one_answer(reader), 5))
        writer.close()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)
        return [status_of(a) for a in answers], where, mode

    statuses, where, mode = asyncio.run(inside())
    assert statuses == [200, 200, 401, 200, 401, 200, 400, 200]
    assert (where["pid"], mode) == (os.getpid(), 0o600)
    assert where["secret"] == "services.tradingview.secret"
    assert not (tmp_path / SERVER_FILE).exists()


@pytest.mark.parametrize(
    ("settings", "status"),
    [({}, 200), ({"behind_proxy": True}, 401), ({"trusted_proxies": ["127.0.0.1"]}, 401)],
    ids=["alone", "behind a proxy", "with a trusted proxy"],
)
def test_behind_a_proxy_nobody_is_on_this_machine(tmp_path: Path, settings: dict[str, Any], status: int) -> None:
    async def inside() -> int:
        task = asyncio.create_task(service(secret=SECRET, **ADMIN, **settings).serve(Nowhere(), ports(MemoryDesk(tmp_path))))
        port = int((await asyncio.wait_for(up(tmp_path), 20))["url"].rpartition(":")[2])
        answer = await exchanged(port, request("GET", "/metrics"), close=False)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)
        return status_of(answer)

    (tmp_path / "api_token").write_text(f"{OTHER[::-1]}\n")
    (tmp_path / "api_token").chmod(0o600)
    assert asyncio.run(inside()) == status


def test_where_alerts_will_be_taken_is_told_as_what_is_to_come(tmp_path: Path) -> None:
    with bound("127.0.0.1", 0) as other:
        free = other.getsockname()[1]
    for port in (0, free):
        first, *_ = service(secret=SECRET, port=port, **ADMIN).prepare(tmp_path, "paper")
        assert first.startswith("alerts are taken at ")
        assert "in a moment" in first


def test_without_a_run_it_does_not_serve() -> None:
    with pytest.raises(PluginError, match="needs a run to stand beside"):
        asyncio.run(service(secret=SECRET, **ADMIN).serve(Nowhere(), ports(None)))


def test_a_port_taken_meanwhile_ends_it_with_the_same_sentence(tmp_path: Path) -> None:
    taken = bound("127.0.0.1", 0)
    try:
        made = service(secret=SECRET, port=taken.getsockname()[1], **ADMIN)
        with pytest.raises(ConfigError, match="is in use"):
            asyncio.run(made.serve(Nowhere(), ports(MemoryDesk(tmp_path))))
    finally:
        taken.close()
