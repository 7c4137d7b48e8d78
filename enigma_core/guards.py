"""What stands between a set-up that is not safe and real money: every reason to refuse, and what a run is about to do.

Nothing here trades, asks or changes anything; a refusal is a sentence that says what to do about it.
"""

from __future__ import annotations

import logging
import math
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from enigma_core import database
from enigma_core.errors import EnigmaError
from enigma_core.parts import Executor, Feed, Holding, Part
from enigma_core.plan import Plan

CONSENT = "LIVE"
UNDERSTOOD = "I_UNDERSTAND"

MAX_LEVERAGE = 10
MAX_DAY_LOSS = 0.03
"""Hard caps: a configuration may ask for less, never for more."""

MAX_RISK_PER_TRADE = 0.03
"""One trade may not lose more than a day may."""

MAX_SKEW = 1_000
"""ms that the clock here and the exchange's may differ."""

OTHERS = 0o077
OTHERS_WRITE = 0o022

REQUIRED = ("trading_state", "drawdown", "day_risk", "circuit_breaker", "max_positions")
"""Gates without which nothing holds losses back."""

SECRET_FILES = ("webhook_secret", "api_token")
"""What the run's folder may hold of secrets."""

SECRET = re.compile(r"(SECRET|TOKEN|KEY|PASSPHRASE|PASSWORD)S?_FILE$")
"""A variable that names the file a secret is in."""

REMOTE = (
    *("nfs", "nfs3", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afs", "afpfs", "9p", "ncpfs", "coda", "ceph", "glusterfs"),
    *("lustre", "gpfs", "beegfs", "davfs", "webdav", "ocfs2", "gfs2", "sshfs", "rclone", "s3fs", "gcsfuse", "drvfs", "orangefs"),
)
"""File systems of other machines, or shared with them: a lock, or a sync, may be worth nothing there."""

MOUNTS = Path("/proc/self/mountinfo")


def refusals(
    plan: Plan, home: Path, environment: Mapping[str, str], *, config: Iterable[Path] = (), mounts: Path | None = None
) -> list[str]:
    """Everything that speaks against trading real money with `plan` in the folder `home`: all of it at once, none where it may.

    Empty for paper. A rehearsal needs an exchange and no more: it is there to try things. `config` are the files that the
    settings were read from.
    """
    if plan.mode != "live":
        return []
    found = list(_venue(plan))
    if plan.sandbox:
        return found
    found += limits(plan)
    if environment.get(CONSENT) != UNDERSTOOD:
        given = f"{CONSENT} is {environment[CONSENT]!r}" if environment.get(CONSENT) else f"{CONSENT} is not set"
        found.insert(0, f"this would trade real money, and {given}: once you have read what it will do, set {CONSENT}={UNDERSTOOD}")
    found += _market(plan)
    found += _disk(home, mounts)
    found += _files(home, environment, config)
    found += _journal(home / "live.sqlite")
    found += _logging()
    for part in (*plan.services.values(), *((plan.executor,) if plan.executor is not None else ())):
        found += _unprepared(part, home, plan.mode)
    return list(dict.fromkeys(found))


def intentions(plan: Plan, home: Path) -> list[str]:
    """What a run with `plan` will do, a line each: whose account, which markets, what limits, what it can lose in a day."""
    executor, feed, algorithm = plan.executor, plan.feed, plan.algorithm
    gates = {gate.name: gate for gate in plan.account_gates.values()}
    symbols = ", ".join(plan.symbols) or "every symbol of the feed"
    many = f"{len(plan.symbols)} symbols: " if len(plan.symbols) > 1 else ""
    lines = [
        f"account: {_identity(executor)}" + (": no real money" if plan.sandbox else _money(executor)),
        f"market: {_identity(feed)}, {many}{symbols}",
        f"strategy: {plan.strategy}, signals on {plan.timeframes.primary}, entries worked by "
        + (algorithm.name if algorithm is not None else "market"),
        f"leverage: {_capped(plan.leverage.max, MAX_LEVERAGE)} at most, isolated margin",
    ]
    if (most := _number(gates.get("max_positions"), "max")) is not None:
        lines.append(f"positions: {most:g} at a time at most, one a symbol")
    if plan.sizer is not None:
        settings = ", ".join(f"{name} {getattr(plan.sizer, name)}" for name in plan.sizer.__struct_fields__)
        lines.append(f"size: {plan.sizer.name}" + (f" ({settings})" if settings else ""))
    lines.append("exits: " + (", ".join(plan.exits) or "none") + "; each position's stop rests at the exchange")
    if (loss := _number(gates.get("drawdown"), "max")) is not None:
        streak = _number(gates.get("circuit_breaker"), "max")
        lines.append(
            f"losses: entries stop once {loss:.2%} of the day's opening equity are lost ({plan.risk.zone})"
            + (f", or {streak:g} trades in a row" if streak is not None else "")
            + "; a gap in the price may make it more"
        )
    lines.append(f"entries: {plan.risk.entries_per_minute} a minute and {plan.risk.entries_per_day} a day halt it")
    lines.append(f"services: {', '.join(plan.services) or 'none'}; notifiers: {', '.join(plan.notifiers) or 'none'}")
    lines.append(f"kept in: {home / f'{plan.account_mode}.sqlite'}; enigma close-all ends it and closes everything")
    return lines


def at_hand(executor: Executor | None) -> str:
    """The address that `executor` trades at, where that is on this machine; else empty."""
    url = getattr(executor, "url", None) or ""
    try:
        host = urlsplit(url).hostname
        return url if host is not None and (host == "localhost" or ip_address(host).is_loopback) else ""
    except ValueError:
        return ""


def skewed(ms: float) -> str | None:
    """Why nothing may be traded while the clock here is `ms` ahead of the exchange's (behind it below 0); None where it may."""
    if math.isfinite(ms) and abs(ms) <= MAX_SKEW:
        return None
    if not math.isfinite(ms):
        return "the exchange's clock cannot be read: trading waits until it can"
    return (
        f"the clock here is {abs(ms) / 1000:,.1f} s {'ahead of' if ms > 0 else 'behind'} the exchange's, and more than "
        f"{MAX_SKEW / 1000:g} s is not traded with: set it by a time server (timedatectl set-ntp true)"
    )


def rights(*, trade: bool, withdraw: bool, transfer: bool, addresses: Sequence[str]) -> tuple[list[str], list[str]]:
    """(why a key of these rights is refused, what should be looked at). `addresses` it may be used from; none: from anywhere."""
    refused = []
    if not trade:
        refused.append("the API key may not trade futures: give it the permission Futures where it was made")
    for what, allowed in (("withdraw", withdraw), ("transfer", transfer)):
        if allowed:
            refused.append(
                f"the API key may {what} money, and whoever steals it could take all of it: make one that may only trade futures"
            )
    if addresses:
        return refused, []
    return refused, ["the API key may be used from anywhere: bind it to this machine's address where it was made"]


def private(path: Path) -> str | None:
    """Why a file that holds a secret cannot be used as it is: others may read or write it. None where they may not."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        return f"{path} cannot be looked at: {error.strerror or error}"
    if not mode & OTHERS:
        return None
    return f"{path} is open to others (mode {mode:03o}): chmod 600 {path}"


def secret_files(home: Path, environment: Mapping[str, str]) -> list[Path]:
    """The files with secrets, or with the record of real money, that there are, and those that the environment names."""
    held = [home / name for name in SECRET_FILES] + [home / f"live.sqlite{suffix}" for suffix in ("", "-wal")]
    named = [Path(value) for name, value in environment.items() if value and SECRET.search(name)]
    return list(dict.fromkeys((*(each for each in held if each.exists()), *named)))


def filesystem(path: Path, mounts: Path | None = None) -> str | None:
    """The kind of file system that `path` (or what there is above it) lies on, ``fuse.`` left out; None where it cannot be told."""
    there = next((each for each in (path.absolute(), *path.absolute().parents) if each.exists()), None)
    try:
        text = (mounts or MOUNTS).read_text("utf-8", "surrogateescape")
    except OSError:
        return _mounted(there) if there is not None and sys.platform == "darwin" else None
    if there is None:
        return None
    best: tuple[int, str] | None = None
    real = os.path.realpath(there)
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split(maxsplit=1)
        if len(fields) < 5 or not kind:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[4])
        within = real == point or real.startswith(point.rstrip("/") + "/")
        # of two mounts at one place the later one is seen
        if within and (best is None or len(point) >= best[0]):
            best = len(point), kind[0]
    return best[1].removeprefix("fuse.") if best is not None else None


def _mounted(path: Path) -> str | None:
    """As `filesystem`, where only the program `mount` knows."""
    import subprocess

    try:
        text = subprocess.run(["/sbin/mount"], capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.findall(r"^.+? on (/.*?) \((\w+)", text, re.MULTILINE)
    held = [(len(point), kind) for point, kind in found if str(path) == point or str(path).startswith(point.rstrip("/") + "/")]
    return max(held)[1] if held else None


# one kind of refusal each


def _venue(plan: Plan) -> Iterator[str]:
    if plan.executor is None:
        yield "executor is not set: name one that trades at an exchange, such as executor.use=ccxt"
    elif not plan.executor.remote:
        yield f"executor {plan.executor.name} trades at no exchange: with mode live name one that does, such as executor.use=ccxt"
    if plan.feed is None:
        yield "feed is not set: name the exchange's own, such as feed.use=kucoin"


def _market(plan: Plan) -> Iterator[str]:
    if plan.feed is not None and plan.feed.simulated:
        yield (
            f"feed {plan.feed.name} is no market that is open now, and real money would be traded by its prices: name the "
            "exchange's own, such as feed.use=kucoin"
        )
    if plan.feed is not None and plan.executor is not None:
        places = [getattr(part, "url", None) or None for part in (plan.feed, plan.executor)]
        if hasattr(plan.feed, "url") and hasattr(plan.executor, "url") and places[0] != places[1]:
            shown = [place or "the exchange itself" for place in places]
            yield f"prices come from {shown[0]} (feed.url) and orders go to {shown[1]} (executor.url): give both the same"


def limits(plan: Plan) -> Iterator[str]:
    """Why the limits of `plan` do not hold for real money, at the start or changed while a run is on."""
    gates: dict[str, Part] = {gate.name: gate for gate in plan.account_gates.values()}
    for name in REQUIRED:
        if name not in gates:
            yield f"gates.{name} is switched off, and without it nothing bounds the losses: leave it on"
    for name in ("drawdown", "day_risk"):
        if name in gates:
            yield from _above(f"gates.{name}.max", getattr(gates[name], "max", None), MAX_DAY_LOSS, "of the day's opening equity")
    for name in ("circuit_breaker", "max_positions"):
        if name in gates:
            yield from _above(f"gates.{name}.max", getattr(gates[name], "max", None), math.inf, "")
    yield from _above("leverage.max", plan.leverage.max, MAX_LEVERAGE, "times")
    if plan.sizer is None:
        yield "sizer is not set, and nothing says how much to trade: name one, such as sizer.use=atr_risk"
    elif hasattr(plan.sizer, "risk_per_trade"):
        yield from _above("sizer.risk_per_trade", plan.sizer.risk_per_trade, MAX_RISK_PER_TRADE, "of the equity")
    if not any(_stops(plan, side) for side in (1, -1)):
        yield "no exit gives a stop from the moment of entry, and a position would be unprotected: leave exits.stop_loss on"
    elif not all(_stops(plan, side) for side in (1, -1)):
        yield "no exit gives a stop to one of the two sides, and a position would be unprotected: leave exits.stop_loss on"


def _above(path: str, value: Any, most: float, of: str) -> Iterator[str]:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or number <= 0:
        yield f"{path} is {value}; with real money it must be a number above 0"
    elif number > most:
        yield f"{path} is {value}; with real money {most:g} {of} is the most: lower it"


def _stops(plan: Plan, side: int) -> bool:
    """Whether a position of this side has a stop the moment it is entered, at any leverage and volatility there is."""
    for leverage in (1, min(plan.leverage.max, MAX_LEVERAGE)):
        position = Holding(side, 100.0, leverage, 1.0, 0.0006, 0.0006)
        levels = []
        for part in plan.exits.values():
            try:
                levels.append(float(part.first_stop(position)))
            except Exception:  # noqa: BLE001 - an exit that fails gives no stop
                continue
        if not any(math.isfinite(level) and level > 0 and (100.0 - level) * side > 0 for level in levels):
            return False
    return True


def _disk(home: Path, mounts: Path | None) -> Iterator[str]:
    kind = filesystem(home, mounts)
    if kind is not None and kind.lower() in REMOTE:
        yield (
            f"{home} lies on a file system of the network ({kind}), where neither locks nor what is called written can be relied "
            "on: give a folder on a disk of this machine with --home or ENIGMA_HOME"
        )


def _files(home: Path, environment: Mapping[str, str], config: Iterable[Path]) -> Iterator[str]:
    """A09: secrets and the record of real money belong to their owner; settings may be read by others, never changed."""
    for path in secret_files(home, environment):
        if fault := private(path):
            yield fault
    for path in (home, home / "settings.json", *config):
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError:
            continue
        if mode & OTHERS_WRITE:
            yield f"{path} can be changed by others (mode {mode:03o}), and with it what is traded: chmod go-w {path}"


def _journal(path: Path) -> Iterator[str]:
    if not path.exists():
        return
    try:
        stamp = database.stamp(path)
    except EnigmaError as error:
        yield str(error)
        return
    if stamp.mode != "live":
        yield f"{path} is the record of a {stamp.mode} account: move it away, or give another folder with --home"


def _logging() -> Iterator[str]:
    loud = [name or "root" for name in ("", "ccxt", "urllib3", "websockets", "asyncio") if _debugs(name)]
    if loud:
        yield f"everything is logged ({', '.join(loud)} at DEBUG), and a log may hold what is secret: leave out -vv"


def _debugs(name: str) -> bool:
    logger = logging.getLogger(name or None)
    return 0 < logger.level <= logging.DEBUG


def _unprepared(part: Any, home: Path, mode: str) -> Iterator[str]:
    try:
        part.prepare(home, mode)
    except EnigmaError as error:
        yield str(error)


def _identity(part: Feed | Executor | None) -> str:
    try:
        return part.identity() if part is not None else "none"
    except EnigmaError:
        # without a key there is no account; that it is missing is said elsewhere
        return "not known yet"


def _money(executor: Executor | None) -> str:
    """Whose money it is, as far as the address says."""
    url = at_hand(executor)
    return f" at {url}, on this machine: its money is what that exchange makes of it" if url else ", with real money"


def _number(part: Part | None, setting: str) -> float | None:
    value = getattr(part, setting, None)
    return float(value) if isinstance(value, (int, float)) else None


def _capped(value: int, most: int) -> str:
    return f"{value}x" if value <= most else f"{value}x (more than {most}x is refused)"
