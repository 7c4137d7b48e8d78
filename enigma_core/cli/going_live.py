"""What `enigma run` does before it trades on an account: which parts that takes, a local exchange, what speaks against it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from enigma_core.errors import ConfigError, HomeError

if TYPE_CHECKING:
    from pathlib import Path

    from enigma_core.config import Tree
    from enigma_core.home import Home
    from enigma_core.parts import Rehearsing
    from enigma_core.plan import Plan

REAL = {"feed": ("synthetic", "kucoin"), "executor": ("paper", "ccxt")}
"""What stands for a made-up market and money in a configuration, and what for real ones."""

MARKET = {"use": "feed", "data": "data", "seed": "seed"}
"""What the command line says of a feed, and what a local exchange calls it."""

ADDRESSES = ("feed.url", "executor.url")
"""Where a run trades; a rehearsal does so at the exchange that it starts."""


def parts(
    config: str | None, strategy: str | None, sets: Sequence[str], flags: Mapping[str, Any], changed: Mapping[str, Any]
) -> dict[str, Any]:
    """The parts of a live run, where it was asked for more strongly than the made-up ones were (a configuration file has those)."""
    from enigma_core import config as settings

    tree = settings.load(config, strategy, sets, flags={p: v for p, v in flags.items() if v is not None}, changed=changed)
    if tree.get("mode") != "live":
        return {}
    found = {
        f"{section}.use": real
        for section, (made_up, real) in REAL.items()
        if tree.get(f"{section}.use") == made_up and tree.origin(f"{section}.use") != tree.origin("mode")
    }
    if tree.get("sandbox") is not True:
        return found
    for path in ADDRESSES:
        # a configuration file's address is that of another kind of run
        if (typed := tree.text(path)) is not None:
            raise ConfigError(
                f"{path} is {typed}, and a rehearsal trades at its own local exchange: leave it out, or leave out --sandbox"
            )
    return found | _rehearsed(flags)


def _rehearsed(flags: Mapping[str, Any]) -> dict[str, Any]:
    """What the command line says of a market is about the local exchange's: the run's own feed is that exchange."""
    if flags.get("feed.speed") is not None:
        raise ConfigError("--speed is for made-up markets and recordings under a paper run: a local exchange goes on in real time")
    given = {said: flags[f"feed.{said}"] for said in MARKET if flags.get(f"feed.{said}") is not None}
    if not given:
        return {}
    moved = {f"rehearsal.{MARKET[said]}": value for said, value in given.items()}
    return {**moved, **{f"feed.{said}": None for said in given}, "feed.use": REAL["feed"][1]}


class Laid(NamedTuple):
    """The settings that have a run trade on a local exchange, and that exchange; both empty without one."""

    settings: dict[str, Any]
    running: Rehearsing | None


@contextlib.contextmanager
def exchange(plan: Plan, home: Home, *, fresh: bool) -> Iterator[Laid]:
    """The local exchange of a rehearsal, running for as long as it is needed."""
    if plan.account_mode != "sandbox":
        yield Laid({}, None)
        return
    if plan.rehearsal is None:
        raise ConfigError("sandbox is true, but rehearsal names no local exchange: write {'use': 'kucoin_sandbox'}")
    if fresh:
        _put_aside(home)
    running = plan.rehearsal.start(home.path)
    try:
        home.told += running.told
        yield Laid({path: referred(path, value) for path, value in running.settings.items()}, running)
    finally:
        running.close()


def referred(path: str, value: Any) -> Any:
    """A setting as a configuration may hold it: a secret stands in this process's environment, and only its name there."""
    from enigma_core.config import masked

    if masked(path, value) == value:
        return value
    name = f"ENIGMA_SANDBOX_{path.rpartition('.')[2].upper()}"
    os.environ[name] = str(value)
    return {"env": name}


def _put_aside(home: Home) -> None:
    """A new account at the local exchange; the old one is kept under a name with the time in it."""
    folder = home.path / "sandbox"
    if not folder.exists():
        return
    name = f"sandbox-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
    try:
        folder.rename(folder.with_name(name))
    except OSError as error:
        raise HomeError(f"cannot rename {folder} to {name}: {error.strerror}; check the folder's rights") from error
    home.told.append(f"the local exchange begins anew; its old account is kept in {name}")


def refuse(plan: Plan, home: Path, tree: Tree) -> None:
    """Raise `ConfigError` with everything that speaks against a live run, and what it would do."""
    if plan.mode != "live":
        return
    from enigma_core import guards

    found = guards.refusals(plan, home, os.environ, config=_files(tree))
    if found:
        head = f"live trading is refused, for {len(found)} reasons:" if len(found) > 1 else "live trading is refused:"
        told = ["this run would do the following:", *(f"  {line}" for line in guards.intentions(plan, home))]
        raise ConfigError("\n".join([head, *(f"- {one}" for one in found), *told]))


def intentions(plan: Plan, home: Path) -> list[str]:
    """What a live run is about to do, for a person."""
    if plan.mode != "live":
        return []
    from enigma_core import guards

    return guards.intentions(plan, home)


def _files(tree: Tree) -> list[Path]:
    """The files that the settings were read from."""
    from pathlib import Path

    origins = {tree.origin(path) for path, _ in tree.leaves()}
    return [path for origin in sorted(origins) if (path := Path(origin)).is_file()]
