"""`enigma doctor`: is everything here that a run needs, and is it sound."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import rich_click as click

from enigma_core.cli import options
from enigma_core.errors import EnigmaError

Level = Literal["ok", "warn", "fail"]

LIBRARIES = ("numpy", "TA-Lib", "msgspec", "pluggy", "PyYAML", "rich", "rich-click", "sqlmodel")
OPTIONAL = {"pyarrow": "Parquet files cannot be read: pip install 'miniature-enigma[data]'"}

LEAST_PYTHON = (3, 11)
LEAST_SQLITE = (3, 37, 0)
"""STRICT tables."""

LITTLE, TOO_LITTLE = 1_000_000_000, 100_000_000
"""Bytes free on the disk of the run's folder: below the first a warning, below the second a failure."""


class Finding(NamedTuple):
    """One line of the answer."""

    check: str
    level: Level
    text: str


@click.command()
@options.json_option
@options.home_option
@click.option("-c", "--config", metavar="FILE", help="The configuration file. Default: strategy_config.json where there is one.")
@click.option("-s", "--strategy", metavar="NAME", help="The strategy to check together with the configuration.")
def doctor(as_json: bool, home: str | None, config: str | None, strategy: str | None) -> None:
    """Check the installation, the settings and the run's folder. Exit code 1 when something fails."""
    from enigma_core.home import home_path

    folder = home_path(home)
    checks: dict[str, Callable[[], Iterator[Finding]]] = {
        "python": _python,
        "libraries": _libraries,
        "TA-Lib": _talib,
        "home": lambda: _home(folder),
        "database": lambda: _databases(folder),
        "disk": lambda: _disk(folder),
        "settings": lambda: _settings(config, strategy),
        "clock": lambda: _clock(folder),
    }
    findings: list[Finding] = []
    for name, check in checks.items():
        try:
            findings += check()
        except Exception as error:  # noqa: BLE001 what a check trips over is a finding, and the others go on
            text = str(error) if isinstance(error, EnigmaError) else f"{type(error).__name__}: {error}"
            findings.append(Finding(name, "fail", " ".join(text.split())))
    sound = all(f.level != "fail" for f in findings)
    if as_json:
        import msgspec

        answer = {"ok": sound, "findings": [f._asdict() for f in findings]}
        click.echo(msgspec.json.format(msgspec.json.encode(answer), indent=2))
    else:
        _show(findings)
    if not sound:
        raise SystemExit(1)


def _show(findings: list[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    from enigma_core.cli.display import console

    styles = {"ok": "green", "warn": "yellow", "fail": "bold red"}
    table = Table(box=None, show_header=False, padding=(0, 1))
    for f in findings:
        table.add_row(Text(f.level, styles[f.level]), Text(f.check), Text(f.text, overflow="fold"))
    out = console()
    out.print(table)
    bad = [sum(f.level == level for f in findings) for level in ("fail", "warn")]
    out.print(Text(f"{bad[0]} failed, {bad[1]} to look at" if any(bad) else "all is well", "red" if bad[0] else "green"))


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    fits = sys.version_info >= (3, 11)
    yield Finding(
        "python", "ok" if fits else "fail", f"{version} at {sys.executable}" + ("" if fits else ": 3.11 or newer is needed")
    )


def _libraries() -> Iterator[Finding]:
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            yield Finding("libraries", "fail", f"{name} is missing: pip install {name}")
    yield Finding("libraries", "ok", ", ".join(found))
    for name, without in OPTIONAL.items():
        try:
            yield Finding("libraries", "ok", f"{name} {version(name)} (optional)")
        except PackageNotFoundError:
            yield Finding("libraries", "warn", f"{name} is not installed; {without}")
    fits = sqlite3.sqlite_version_info >= LEAST_SQLITE
    needs = "" if fits else f": {'.'.join(map(str, LEAST_SQLITE))} or newer is needed"
    yield Finding("libraries", "ok" if fits else "fail", f"SQLite {sqlite3.sqlite_version}{needs}")


def _talib() -> Iterator[Finding]:
    import numpy as np

    from enigma_core.lines import talib

    closes = np.arange(1.0, 31.0)
    whole = talib().SMA(closes, timeperiod=5)
    line = talib().stream.SMA(closes[:-1], timeperiod=5)
    exact = bool(whole[-1] == 28.0 and line.update(30.0) == 28.0)
    version = getattr(talib(), "__ta_version__", b"?").decode().split()[0]
    said = "agrees with itself over a history and bar by bar" if exact else "computes a wrong average: install it anew"
    yield Finding("TA-Lib", "ok" if exact else "fail", f"C library {version} {said}")


def _home(folder: Path) -> Iterator[Finding]:
    from enigma_core.home import holder

    if not folder.exists():
        above = next(p for p in folder.absolute().parents if p.exists())
        fits = above.is_dir() and os.access(above, os.W_OK | os.X_OK)
        told = "does not exist yet; the first run makes it" if fits else f"cannot be made: {above} cannot be written"
        yield Finding("home", "ok" if fits else "fail", f"{folder} {told}")
        return
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        yield Finding("home", "fail", f"{folder} cannot be written: give another folder with --home or ENIGMA_HOME")
        return
    pid = holder(folder)
    yield Finding("home", "ok", f"{folder} can be written" + (f"; process {pid} runs in it" if pid else ""))


def _databases(folder: Path) -> Iterator[Finding]:
    from enigma_core import database
    from enigma_core.journal import replay

    for path in (folder / "paper.sqlite", folder / "live.sqlite"):
        if not path.exists():
            continue
        try:
            stamp = database.verify(path)
            count = sum(1 for _ in replay(path))
        except EnigmaError as error:
            yield Finding("database", "fail", str(error))
            continue
        size = path.stat().st_size / 1e6
        yield Finding("database", "ok", f"{path} is sound: {count:,} records of {stamp.identity}, {size:,.1f} MB")


def _disk(folder: Path) -> Iterator[Finding]:
    there = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    free = shutil.disk_usage(there).free
    level: Level = "fail" if free < TOO_LITTLE else "warn" if free < LITTLE else "ok"
    yield Finding("disk", level, f"{free / 1e9:,.1f} GB free for {folder}" + ("" if level == "ok" else ": make room"))


def _settings(config: str | None, strategy: str | None) -> Iterator[Finding]:
    from enigma_core.config import examine, load, plugin_folders
    from enigma_core.plugins import Catalogue

    catalogue = Catalogue.load(plugin_folders(config))
    for fault in catalogue.faults:
        yield Finding("plugins", "warn", fault.sentence)
    offers = [
        offer for kind in ("indicator", "gate", "sizer", "exit", "feed", "executor") for offer in catalogue.parts(kind).values()
    ]
    foreign = sum(not offer.built_in for offer in offers)
    yield Finding("plugins", "ok", f"{len(offers)} parts on offer, {foreign} of them from other distributions")
    tree = load(config, strategy)
    plan, problems = examine(tree, catalogue)
    for problem in problems:
        yield Finding("settings", "fail", problem)
    if plan is not None:
        parts = len(plan.indicators) + len(plan.microstructure)
        gates = len(plan.market_gates) + len(plan.account_gates)
        yield Finding(
            "settings", "ok", f"strategy {plan.strategy}, {plan.mode}: {parts} indicators, {gates} gates, {len(plan.exits)} exits"
        )


def _clock(folder: Path) -> Iterator[Finding]:
    from importlib.util import find_spec
    from zoneinfo import ZoneInfo

    now = time.time()
    spec = find_spec("enigma_core")
    installed = Path(spec.origin).stat().st_mtime if spec and spec.origin else 0.0
    newest = max([installed, *(p.stat().st_mtime for p in folder.glob("*.sqlite"))])
    if now < newest - 60:
        behind = (newest - now) / 3600
        yield Finding("clock", "fail", f"the clock is {behind:,.1f} h behind the newest file here: set it, candles depend on it")
    else:
        yield Finding("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now)))
    ZoneInfo("America/New_York")
    yield Finding("clock", "ok", "time zones are known")
