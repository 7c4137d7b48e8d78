"""`enigma doctor`: is everything here that a run needs, is it sound, and is the exchange as it should be."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import rich_click as click

from enigma_core.cli import options
from enigma_core.errors import EnigmaError

if TYPE_CHECKING:
    from enigma_core.config import Tree
    from enigma_core.plan import Plan
    from enigma_core.plugins import Catalogue

Level = Literal["ok", "warn", "fail"]

LIBRARIES = ("numpy", "TA-Lib", "msgspec", "pluggy", "PyYAML", "rich", "rich-click", "sqlmodel", "websockets", "ccxt")
OPTIONAL = {"pyarrow": "Parquet files cannot be read: pip install 'miniature-enigma[data]'"}

LEAST_PYTHON = (3, 11)
LEAST_SQLITE = (3, 37, 0)
"""STRICT tables."""

LITTLE, TOO_LITTLE = 1_000_000_000, 100_000_000
"""Bytes free on the disk of the run's folder: below the first a warning, below the second a failure."""


CHECKED_WHOLE = 200_000_000
"""Bytes up to which a file of candles is checked to its end."""


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
@click.option("--set", "sets", metavar="PATH=VALUE", multiple=True, help="One setting, as in executor.use=ccxt. Repeatable.")
@click.option(
    "--mode", type=click.Choice(("paper", "live")), help="Check what trading in this mode needs. [default: as configured]"
)
@click.option("--sandbox", is_flag=True, default=None, help="With --mode live: start the local exchange and check that.")
@click.option("--feed", metavar="NAME", help="The feed to check, as in kucoin. [default: as configured]")
def doctor(
    as_json: bool,
    home: str | None,
    config: str | None,
    strategy: str | None,
    sets: tuple[str, ...],
    mode: str | None,
    sandbox: bool | None,
    feed: str | None,
) -> None:
    """Check the installation, the settings, the run's folder and the exchange. Exit code 1 when something fails.

    The exchange is the one of the configured feed and executor: its clock, whether it can be reached, its quota; with a key what
    that may do, the balance, margin and position mode. Nothing is changed there. With --mode live also everything that would
    keep `enigma run --mode live` from starting.
    """
    from enigma_core.home import home_path

    folder = home_path(home)
    flags = {"mode": mode or ("live" if sandbox else None), "sandbox": sandbox, "feed.use": feed}
    asked = Asked(folder, config, strategy, sets, {name: value for name, value in flags.items() if value is not None})
    checks: dict[str, Callable[[], Iterator[Finding]]] = {
        "python": _python,
        "libraries": _libraries,
        "TA-Lib": _talib,
        "home": lambda: _home(folder),
        "database": lambda: _databases(folder),
        "disk": lambda: _disk(folder),
        "candles": lambda: _candles(folder),
        "settings": lambda: _settings(asked),
        "secrets": lambda: _secrets(asked),
        "clock": lambda: _clock(folder),
        "exchange": lambda: _exchange(asked),
        "live": lambda: _live(asked),
    }
    findings: list[Finding] = []
    for name, check in checks.items():
        try:
            findings += check()
        except Exception as error:  # noqa: BLE001 what a check trips over is a finding, and the others go on
            text = str(error) if isinstance(error, EnigmaError) else f"{type(error).__name__}: {error}"
            findings.append(Finding(name, "fail", " ".join(text.split())))
    # feed and executor look at the same exchange: what both see is said once
    findings = list(dict.fromkeys(findings))
    sound = all(f.level != "fail" for f in findings)
    if as_json:
        import msgspec

        answer = {"ok": sound, "findings": [f._asdict() for f in findings]}
        click.echo(msgspec.json.format(msgspec.json.encode(answer), indent=2))
    else:
        _show(findings)
    if not sound:
        raise SystemExit(1)


class Asked:
    """The settings that are checked: read once, by whoever needs them first."""

    def __init__(
        self, home: Path, config: str | None, strategy: str | None, sets: tuple[str, ...], flags: Mapping[str, Any]
    ) -> None:
        self.home = home
        self.config = config
        self._strategy = strategy
        self._sets = sets
        self._flags = flags

    @cached_property
    def catalogue(self) -> Catalogue:
        from enigma_core.config import plugin_folders
        from enigma_core.plugins import Catalogue

        return Catalogue.load(plugin_folders(self.config))

    def tree(self, more: Mapping[str, Any] | None = None, *, apart: Sequence[str] = ()) -> Tree:
        """All layers, with `more` settings of the strongest and without what ``--set`` says of the sections `apart`."""
        from enigma_core.cli import going_live
        from enigma_core.config import load
        from enigma_core.config.kept import kept

        changed = kept(self.home)
        flags = {**self._flags, **going_live.parts(self.config, self._strategy, self._sets, self._flags, changed), **(more or {})}
        sets = [one for one in self._sets if re.split(r"[.=]", one, maxsplit=1)[0].strip() not in apart]
        return load(self.config, self._strategy, sets, flags=flags, changed=changed)

    @cached_property
    def examined(self) -> tuple[Plan | None, Sequence[str]]:
        """The plan, None where there can be none, and what is wrong with the settings."""
        from enigma_core.config import examine

        return examine(self.tree(), self.catalogue)

    @property
    def readable(self) -> bool:
        """False where the settings cannot be read at all, which one line says."""
        try:
            return bool(self.examined)
        except EnigmaError:
            return False

    @property
    def live(self) -> bool:
        """Whether real money is what this is about."""
        plan = self.examined[0] if self.readable else None
        return self._flags.get("mode") == "live" if plan is None else plan.account_mode == "live"


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

    for path in (folder / "paper.sqlite", folder / "sandbox.sqlite", folder / "live.sqlite"):
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
    from enigma_core import guards

    kind = guards.filesystem(folder)
    if kind is not None and kind.lower() in guards.REMOTE:
        more = "real money is not traded from there; give a folder on a disk of this machine with --home or ENIGMA_HOME"
        yield Finding("disk", "warn", f"{folder} lies on a file system of the network ({kind}): {more}")


def _candles(folder: Path) -> Iterator[Finding]:
    from enigma_core.candle_store import CandleStore, stores

    for path in stores(folder):
        size = path.stat().st_size
        try:
            with CandleStore(path, reading=True) as store:
                if size <= CHECKED_WHOLE:
                    store.verify()
                series = store.series()
        except EnigmaError as error:
            yield Finding("candles", "fail", str(error))
            continue
        symbols = len({symbol for symbol, _ in series})
        yield Finding("candles", "ok", f"{path} holds {len(series):,} series of {symbols:,} symbols, {size / 1e6:,.1f} MB")


def _secrets(asked: Asked) -> Iterator[Finding]:
    from enigma_core import guards

    level: Level = "fail" if asked.live else "warn"
    count = 0
    for path in guards.secret_files(asked.home, os.environ):
        count += 1
        if fault := guards.private(path):
            yield Finding("secrets", level, fault)
            count -= 1
    if count:
        yield Finding("secrets", "ok", f"{count} {'file' if count == 1 else 'files'} with secrets or money, open to nobody else")


def _exchange(asked: Asked) -> Iterator[Finding]:
    """What the feed and the executor say of their connections; on a rehearsal the local exchange is started for it."""
    from enigma_core.cli.going_live import referred
    from enigma_core.config import examine

    if not asked.readable:
        return
    plan, _ = asked.examined
    if plan is None:
        # without a key there is no executor, and the feed can be looked at nevertheless
        without = {"mode": "paper", "sandbox": False, "executor.use": "paper"}
        plan, _ = examine(asked.tree(without, apart=("executor", "mode", "sandbox")), asked.catalogue)
    if plan is None:
        return
    rehearsing = None
    if plan.mode == "live" and plan.sandbox and plan.rehearsal is not None:
        from enigma_core.home import holder

        if (pid := holder(asked.home)) is not None:
            yield Finding("exchange", "ok", f"process {pid} rehearses in {asked.home}: its exchange is not started again")
            return
        rehearsing = plan.rehearsal.start(asked.home)
    try:
        if rehearsing is not None:
            yield Finding("exchange", "ok", f"the local exchange {plan.rehearsal.name if plan.rehearsal else ''} runs")
            laid = {path: referred(path, value) for path, value in rehearsing.settings.items()}
            plan, problems = examine(asked.tree(laid), asked.catalogue)
            for problem in problems:
                yield Finding("exchange", "fail", problem)
        said = 0
        looks = [] if plan is None or plan.feed is None else [plan.feed.examine]
        if plan is not None and plan.executor is not None:
            executor, symbols = plan.executor, plan.symbols
            looks.append(lambda: executor.examine(symbols))
        for look in looks:
            try:
                for found in look():
                    said += 1
                    yield Finding(found.check, found.level, found.text)
            except EnigmaError as error:
                said += 1
                yield Finding("exchange", "fail", str(error))
        if not said and plan is not None and plan.feed is not None:
            yield Finding("exchange", "ok", f"feed {plan.feed.name} needs none; --feed kucoin looks at one")
    finally:
        if rehearsing is not None:
            rehearsing.close()


def _live(asked: Asked) -> Iterator[Finding]:
    """What would keep a live run from starting."""
    from enigma_core import guards

    plan = asked.examined[0] if asked.readable else None
    if plan is None or plan.account_mode != "live":
        return
    config = Path(asked.config) if asked.config else Path("strategy_config.json")
    found = guards.refusals(plan, asked.home, os.environ, config=[config] if config.exists() else [])
    for text in found:
        yield Finding("live", "fail", text)
    if not found:
        yield Finding("live", "ok", "nothing speaks against trading real money as it is set up")


def _settings(asked: Asked) -> Iterator[Finding]:
    catalogue = asked.catalogue
    for fault in catalogue.faults:
        yield Finding("plugins", "warn", fault.sentence)
    offers = [
        offer for kind in ("indicator", "gate", "sizer", "exit", "feed", "executor") for offer in catalogue.parts(kind).values()
    ]
    foreign = sum(not offer.built_in for offer in offers)
    yield Finding("plugins", "ok", f"{len(offers)} parts on offer, {foreign} of them from other distributions")
    plan, problems = asked.examined
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
