"""What keeps a set-up that is not safe from real money, in which words, and what a run says it will do."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from enigma_core import guards
from enigma_core.config import load, resolve
from enigma_core.errors import ConfigError
from enigma_core.home import Home
from enigma_core.model import Signal
from enigma_core.parts import Account, AccountGate, Executor, Exit, Feed, Service
from enigma_core.plan import LeverageRule, Plan
from enigma_core.plugins import Catalogue
from enigma_plugins.executors.paper import Paper
from enigma_plugins.feeds.synthetic import Synthetic
from enigma_plugins.gates.drawdown import Drawdown
from enigma_plugins.sizers.atr_risk import AtrRisk
from enigma_webhooks.service import TradingView

MEANT = {"LIVE": "I_UNDERSTAND"}
STRONG = "rJ4-kT9_vQ2xW7zN5mB8cL3hD6fG1sPa"


class Exchange(Executor, frozen=True, kw_only=True):
    name = "exchange"
    remote = True

    url: str | None = None
    fault: str = ""

    def identity(self) -> str:
        if self.fault == "no key":
            raise ConfigError("there is no key")
        return "kucoin:account 5f1c"

    def prepare(self, home: Path, mode: str) -> Sequence[str]:
        if self.fault:
            raise ConfigError(self.fault)
        return ()


class Prices(Feed, frozen=True, kw_only=True):
    name = "prices"

    url: str | None = None


class DayRisk(AccountGate, frozen=True, kw_only=True):
    name = "day_risk"

    max: float = 0.03

    def measure(self, signal: Signal, account: Account) -> float:
        return 0.0


class Door(Service, frozen=True, kw_only=True):
    name = "door"

    def prepare(self, home: Path, mode: str) -> Sequence[str]:
        raise ConfigError(f"the door is open in {mode}: shut it")


@pytest.fixture(scope="module")
def plan() -> Plan:
    """The defaults, live, at an exchange."""
    made = resolve(load(None, None), Catalogue.installed())
    gates = {**made.account_gates, "day_risk": DayRisk()}
    return msgspec.structs.replace(
        made,
        mode="live",
        symbols=("BTC/USDT:USDT", "ETH/USDT:USDT"),
        executor=Exchange(),
        feed=Prices(),
        account_gates=gates,
        services={},
    )


@pytest.fixture(autouse=True)
def on_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine's temporary folder lies on, it is an ordinary disk here."""
    mounts = tmp_path / "mounts"
    mounts.write_text("22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n")
    monkeypatch.setattr(guards, "MOUNTS", mounts)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o755)
    return folder


def with_(plan: Plan, **changes: Any) -> Plan:
    return msgspec.structs.replace(plan, **changes)


def gated(plan: Plan, **gates: Any) -> Plan:
    kept = {name: gate for name, gate in {**plan.account_gates, **gates}.items() if gate is not None}
    return with_(plan, account_gates=kept)


def test_a_safe_set_up_is_not_refused(plan: Plan, home: Path) -> None:
    assert guards.refusals(plan, home, MEANT) == []


def test_paper_is_never_refused(plan: Plan, home: Path) -> None:
    assert guards.refusals(with_(plan, mode="paper", account_gates={}, executor=Paper()), home, {}) == []


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "LIVE is not set"),
        ({"LIVE": ""}, "LIVE is not set"),
        ({"LIVE": "yes"}, "LIVE is 'yes'"),
        ({"LIVE": "i_understand"}, "LIVE is"),
    ],
)
def test_real_money_has_to_be_meant(plan: Plan, home: Path, environment: dict[str, str], said: str) -> None:
    (refusal,) = guards.refusals(plan, home, environment)
    assert said in refusal
    assert refusal.endswith("set LIVE=I_UNDERSTAND")


def test_a_rehearsal_needs_an_exchange_and_nothing_that_protects_real_money(plan: Plan, home: Path) -> None:
    rehearsed = with_(plan, sandbox=True, account_gates={}, sizer=None, exits={}, executor=Exchange(fault="the key may withdraw"))
    assert guards.refusals(rehearsed, home, {}) == []
    (refusal,) = guards.refusals(with_(rehearsed, executor=Paper()), home, {})
    assert refusal.startswith("executor paper trades at no exchange")


def changes(**given: Any) -> Callable[[Plan], Plan]:
    return lambda plan: with_(plan, **given)


def gates(**given: Any) -> Callable[[Plan], Plan]:
    return lambda plan: gated(plan, **given)


class NoStop(Exit, frozen=True, kw_only=True):
    name = "no_stop"


class LongStop(Exit, frozen=True, kw_only=True):
    name = "long_stop"

    def first_stop(self, position: Any) -> Any:
        return position.entry * 0.9


class BrokenStop(Exit, frozen=True, kw_only=True):
    name = "broken_stop"

    def first_stop(self, position: Any) -> Any:
        raise ZeroDivisionError


UNSAFE = {
    "paper executor": (changes(executor=Paper()), "executor paper trades at no exchange"),
    "no executor": (changes(executor=None), "executor is not set"),
    "no feed": (changes(feed=None), "feed is not set"),
    "made-up market": (changes(feed=Synthetic()), "feed synthetic is no market that is open now"),
    "two exchanges": (
        changes(feed=Prices(url="http://127.0.0.1:9000")),
        "prices come from http://127.0.0.1:9000 (feed.url) and orders go to the exchange itself (executor.url)",
    ),
    "no drawdown": (gates(drawdown=None), "gates.drawdown is switched off"),
    "no breaker": (gates(circuit_breaker=None), "gates.circuit_breaker is switched off"),
    "no slots": (gates(max_positions=None), "gates.max_positions is switched off"),
    "no state": (gates(trading_state=None), "gates.trading_state is switched off"),
    "day loss": (
        gates(drawdown=Drawdown(max=0.0301)),
        "gates.drawdown.max is 0.0301; with real money 0.03 of the day's opening equity",
    ),
    "endless day loss": (gates(drawdown=Drawdown(max=math.inf)), "gates.drawdown.max is inf; with real money it must be a number"),
    "no number": (gates(drawdown=Drawdown(max=math.nan)), "gates.drawdown.max is nan; with real money it must be a number above 0"),
    "leverage": (changes(leverage=LeverageRule(max=11)), "leverage.max is 11; with real money 10 times is the most"),
    "no sizer": (changes(sizer=None), "sizer is not set"),
    "risk": (changes(sizer=AtrRisk(risk_per_trade=0.2)), "sizer.risk_per_trade is 0.2; with real money 0.03 of the equity"),
    "risk nan": (changes(sizer=AtrRisk(risk_per_trade=math.nan)), "sizer.risk_per_trade is nan"),
    "no exit": (changes(exits={}), "no exit gives a stop from the moment of entry"),
    "no stop": (changes(exits={"no_stop": NoStop()}), "no exit gives a stop from the moment of entry"),
    "broken stop": (changes(exits={"broken": BrokenStop()}), "no exit gives a stop from the moment of entry"),
    "half a stop": (changes(exits={"long": LongStop()}), "no exit gives a stop to one of the two sides"),
    "service": (changes(services={"door": Door()}), "the door is open in live: shut it"),
}


@pytest.mark.parametrize("case", UNSAFE)
def test_each_unsafe_setting_is_one_sentence_with_a_remedy(plan: Plan, home: Path, case: str) -> None:
    change, said = UNSAFE[case]
    (refusal,) = guards.refusals(change(plan), home, MEANT)
    assert said in refusal
    assert "\n" not in refusal


def test_r15_the_gate_on_a_days_open_risk_must_be_on_and_within_three_percent(plan: Plan, home: Path) -> None:
    assert "gates.day_risk is switched off" in guards.refusals(gated(plan, day_risk=None), home, MEANT)[0]
    assert "gates.day_risk.max is 0.05" in guards.refusals(gated(plan, day_risk=DayRisk(max=0.05)), home, MEANT)[0]


def test_everything_is_said_at_once(plan: Plan, home: Path) -> None:
    worst = plan
    for case in ("no drawdown", "leverage", "risk", "no exit", "service"):
        worst = UNSAFE[case][0](worst)
    worst = with_(worst, executor=Exchange(fault="the API key may withdraw"))
    assert len(guards.refusals(worst, home, {})) == 7


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"secret": "please-change-me-my-tradingview-webhook-secret"},
            "the secret of services.tradingview.secret is a placeholder",
        ),
        ({"secret": "rJ4kT9vQ2xW7"}, "has 12 bytes; where money is real or others can reach the server it must have at least 32"),
        ({}, "there is no webhook secret, and a live run makes none by itself"),
        ({"secret": STRONG, "host": "0.0.0.0"}, "services.tradingview.host is 0.0.0.0: others could reach the server"),
        ({"secret": STRONG, "trusted_proxies": ("*",)}, 'services.tradingview.trusted_proxies has "*"'),
    ],
)
def test_a_door_for_alerts_that_others_could_open_is_refused(
    plan: Plan, home: Path, settings: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENIGMA_API_TOKEN", STRONG[::-1])
    monkeypatch.delenv("ENIGMA_WEBHOOK_SECRET", raising=False)
    door = TradingView(port=0, **settings)
    (refusal,) = guards.refusals(with_(plan, services={"tradingview": door}), home, MEANT)
    assert said in refusal
    sound = TradingView(port=0, secret=STRONG)
    assert guards.refusals(with_(plan, services={"tradingview": sound}), home, MEANT) == []


# A09


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a09_a_secret_of_its_owner_alone_is_taken(plan: Plan, home: Path, mode: int) -> None:
    for name in ("webhook_secret", "api_token", "live.sqlite-wal"):
        (home / name).write_text("x")
        (home / name).chmod(mode)
    assert guards.refusals(plan, home, MEANT) == []


@pytest.mark.parametrize("name", ["webhook_secret", "api_token", "live.sqlite-wal"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o610, 0o601, 0o666, 0o777])
def test_a09_a_secret_that_others_can_read_is_refused(plan: Plan, home: Path, name: str, mode: int) -> None:
    (home / name).write_text("x")
    (home / name).chmod(mode)
    assert guards.refusals(plan, home, MEANT) == [f"{home / name} is open to others (mode {mode:03o}): chmod 600 {home / name}"]


@pytest.mark.parametrize(
    "variable", ["KUCOIN_API_KEY_FILE", "KUCOIN_API_SECRET_FILE", "KUCOIN_PASSPHRASE_FILE", "ENIGMA_API_TOKEN_FILE"]
)
def test_a09_a_file_that_the_environment_names_counts_too(plan: Plan, home: Path, tmp_path: Path, variable: str) -> None:
    path = tmp_path / "secret"
    assert guards.refusals(plan, home, {**MEANT, variable: str(path)}) == [f"{path} cannot be looked at: No such file or directory"]
    path.write_text("x")
    path.chmod(0o644)
    (refusal,) = guards.refusals(plan, home, {**MEANT, variable: str(path)})
    assert "is open to others (mode 644)" in refusal
    path.chmod(0o600)
    assert guards.refusals(plan, home, {**MEANT, variable: str(path)}) == []


def test_a09_a_reference_to_a_file_that_others_can_read_is_refused_with_real_money_only(tmp_path: Path) -> None:
    from enigma_core.config import examine

    secret = tmp_path / "secret"
    secret.write_text(STRONG)
    secret.chmod(0o644)
    (tmp_path / "c.json").write_text('{"services": {"tradingview": {"secret": {"file": "secret"}}}}')

    def problems(**flags: Any) -> Sequence[str]:
        return examine(
            load(str(tmp_path / "c.json"), None, (), flags={"executor.use": "exchange", **flags}), Catalogue.installed()
        )[1]

    def said(**flags: Any) -> bool:
        return any(
            "refers to the file secret, which is open to others (mode 644): chmod 600 secret" in p for p in problems(**flags)
        )

    assert said(mode="live")
    assert not said(mode="paper")
    assert not said(mode="live", sandbox=True)
    secret.chmod(0o600)
    assert not said(mode="live")


def test_a09_settings_may_be_read_by_others_but_not_changed(plan: Plan, home: Path, tmp_path: Path) -> None:
    config = tmp_path / "strategy_config.json"
    config.write_text("{}")
    config.chmod(0o644)
    assert guards.refusals(plan, home, MEANT, config=[config]) == []
    config.chmod(0o664)
    assert guards.refusals(plan, home, MEANT, config=[config]) == [
        f"{config} can be changed by others (mode 664), and with it what is traded: chmod go-w {config}"
    ]
    home.chmod(0o777)
    assert len(guards.refusals(plan, home, MEANT, config=[config])) == 2


# A10, X30


@pytest.mark.parametrize(
    ("rights", "refused", "doubtful"),
    [
        ({"trade": True, "withdraw": False, "transfer": False, "addresses": ("192.0.2.1",)}, [], []),
        ({"trade": True, "withdraw": False, "transfer": False, "addresses": ()}, [], ["may be used from anywhere"]),
        ({"trade": True, "withdraw": True, "transfer": False, "addresses": ("192.0.2.1",)}, ["may withdraw money"], []),
        ({"trade": True, "withdraw": False, "transfer": True, "addresses": ("192.0.2.1",)}, ["may transfer money"], []),
        ({"trade": True, "withdraw": True, "transfer": True, "addresses": ()}, ["withdraw", "transfer"], ["from anywhere"]),
        ({"trade": False, "withdraw": False, "transfer": False, "addresses": ("192.0.2.1",)}, ["may not trade futures"], []),
    ],
)
def test_a10_a_key_that_can_move_money_is_refused_and_one_for_everywhere_warned_of(
    rights: dict[str, Any], refused: list[str], doubtful: list[str]
) -> None:
    for found, expected in zip(guards.rights(**rights), (refused, doubtful), strict=True):
        assert len(found) == len(expected)
        assert all(word in text for word, text in zip(expected, found, strict=True))


def test_a10_what_the_executor_says_against_its_key_is_among_the_refusals(plan: Plan, home: Path) -> None:
    assert guards.refusals(with_(plan, executor=Exchange(fault="the API key may withdraw money")), home, MEANT) == [
        "the API key may withdraw money"
    ]


@pytest.mark.parametrize("ms", [0.0, 1.0, -1.0, 999.9, -1000.0, 1000.0])
def test_x30_a_clock_within_a_second_is_traded_with(ms: float) -> None:
    assert guards.skewed(ms) is None


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (1000.1, "1.0 s ahead of"),
        (-1500.0, "1.5 s behind"),
        (3_600_000.0, "3,600.0 s ahead of"),
        (-86_400_000.0, "86,400.0 s behind"),
    ],
)
def test_x30_a_clock_that_is_further_off_is_not(ms: float, said: str) -> None:
    refusal = guards.skewed(ms)
    assert refusal is not None
    assert said in refusal
    assert "set it by a time server" in refusal


@pytest.mark.parametrize("ms", [math.nan, math.inf, -math.inf])
def test_x30_a_clock_that_cannot_be_read_is_not_traded_with(ms: float) -> None:
    assert guards.skewed(ms) is not None


# S18

MOUNTINFO = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:35 / {home} rw,relatime shared:2 master:3 - {kind} server:/export rw,vers=4.2
41 22 0:36 / /elsewhere rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "fuse.rclone", "ceph", "lustre", "fuse.glusterfs"]
)
def test_s18_a_folder_on_a_file_system_of_the_network_is_refused(plan: Plan, home: Path, tmp_path: Path, kind: str) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTINFO.format(home=home, kind=kind))
    (refusal,) = guards.refusals(plan, home, MEANT, mounts=mounts)
    assert f"lies on a file system of the network ({kind.removeprefix('fuse.')})" in refusal
    assert "--home or ENIGMA_HOME" in refusal
    # a folder that is not there yet lies where it will be made
    assert guards.filesystem(home / "not" / "yet", mounts) == kind.removeprefix("fuse.")


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "apfs", "f2fs"])
def test_s18_a_disk_of_this_machine_is_taken(plan: Plan, home: Path, tmp_path: Path, kind: str) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTINFO.format(home=home, kind=kind))
    assert guards.refusals(plan, home, MEANT, mounts=mounts) == []


def test_s18_the_nearest_mount_counts_blanks_and_links_too(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a b")
    mounts = tmp_path / "mountinfo"
    spelt = str(tmp_path / "a b").replace(" ", "\\040")
    lines = [
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw",
        f"2 1 0:3 / {spelt} rw - nfs4 s:/x rw",
        f"3 1 0:3 / {tmp_path}/a rw - cifs //s rw",
    ]
    mounts.write_text("\n".join([*lines, "nonsense", ""]))
    assert guards.filesystem(tmp_path / "a b", mounts) == "nfs4"
    assert guards.filesystem(tmp_path / "link" / "x", mounts) == "nfs4"
    assert guards.filesystem(tmp_path, mounts) == "ext4"
    if os.uname().sysname != "Darwin":
        assert guards.filesystem(tmp_path, tmp_path / "none") is None


# the rest


def test_s21_a_record_of_paper_money_is_not_gone_on_with(plan: Plan, tmp_path: Path) -> None:
    with Home.open(tmp_path / "h") as home, home.journal("paper", "synthetic"):
        pass
    (tmp_path / "h" / "paper.sqlite").rename(tmp_path / "h" / "live.sqlite")
    (refusal,) = guards.refusals(plan, tmp_path / "h", MEANT)
    assert "live.sqlite is the record of a paper account: move it away" in refusal
    (tmp_path / "h" / "live.sqlite").write_bytes(b"")
    (refusal,) = [r for r in guards.refusals(plan, tmp_path / "h", MEANT) if "open to others" not in r]
    assert "is damaged or not ours (it is empty)" in refusal


def test_a_log_of_everything_is_refused(plan: Plan, home: Path) -> None:
    for name in ("", "ccxt"):
        logger = logging.getLogger(name or None)
        before = logger.level
        try:
            logger.setLevel(logging.DEBUG)
            (refusal,) = guards.refusals(plan, home, MEANT)
        finally:
            logger.setLevel(before)
        assert refusal.startswith(f"everything is logged ({name or 'root'} at DEBUG)")


def test_a_run_says_whose_money_it_trades_where_and_what_it_can_lose(plan: Plan, home: Path) -> None:
    said = "\n".join(guards.intentions(plan, home))
    for fact in (
        "account: kucoin:account 5f1c, with real money",
        "2 symbols: BTC/USDT:USDT, ETH/USDT:USDT",
        "leverage: 10x at most, isolated margin",
        "positions: 5 at a time at most",
        "risk_per_trade 0.02",
        "exits: ",
        "entries stop once 3.00% of the day's opening equity are lost (UTC), or 3 trades in a row",
        f"kept in: {home / 'live.sqlite'}",
    ):
        assert fact in said
    rehearsed = "\n".join(guards.intentions(with_(plan, sandbox=True), home))
    assert "5f1c: no real money" in rehearsed
    assert "sandbox.sqlite" in rehearsed


def test_an_exchange_on_this_machine_is_not_said_to_trade_real_money(plan: Plan, home: Path) -> None:
    for url, here in (
        ("http://127.0.0.1:9000", True),
        ("http://localhost:9", True),
        ("http://[::1]:9", True),
        ("http://x.example", False),
    ):
        said = "\n".join(guards.intentions(with_(plan, executor=Exchange(url=url)), home))
        assert (f"account 5f1c at {url}, on this machine: its money is what that exchange makes of it" in said) is here
        assert ("with real money" in said) is not here


def test_what_a_plan_lacks_can_be_told_too(home: Path) -> None:
    said = "\n".join(guards.intentions(Plan(mode="live", sizer=None), home))
    assert "account: none" in said
    said = "\n".join(guards.intentions(Plan(mode="live", executor=Exchange(fault="no key")), home))
    assert "account: not known yet" in said
