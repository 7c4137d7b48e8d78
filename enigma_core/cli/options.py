"""Options that commands share, and what they lead to: a plan, its feed, its symbols."""

from __future__ import annotations

import contextlib
import difflib
import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from enigma_core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from enigma_core.book import Book
    from enigma_core.config import Tree
    from enigma_core.parts import Feed
    from enigma_core.plan import Plan
    from enigma_core.plugins import Catalogue

F = TypeVar("F", bound=Callable[..., Any])


def _talk(context: click.Context, _parameter: click.Parameter, count: int) -> None:
    """``enigma run -v`` is ``enigma -v run``."""
    if count and not context.resilient_parsing:
        from enigma_core.cli import trouble

        params = context.find_root().params
        params["verbose"] = params.get("verbose", 0) + count
        trouble.log_to_stderr(params["verbose"])


_SETTINGS = (
    click.option("-c", "--config", type=click.Path(dir_okay=False), help="Configuration file. [default: strategy_config.json]"),
    click.option("-s", "--strategy", metavar="NAME", help="Strategy to lay over it: a name of strategies/, or a file."),
    click.option("--set", "sets", metavar="PATH=VALUE", multiple=True, help="One setting, as in gates.score.min=60. Repeatable."),
    click.option("-p", "--pairs", metavar="SYMBOL", multiple=True, help="Symbols to trade, as in BTC/USDT:USDT. Repeatable."),
    click.option("-i", "--timeframe", metavar="TIMEFRAME", help="Primary timeframe, as in 30m."),
    click.option("-v", "--verbose", count=True, expose_value=False, callback=_talk, help="Say more; -vv: everything."),
)


def settings_options(command: F) -> F:
    """Everything that shapes a plan, ``-c -s --set -p -i``, and ``-v``."""
    return functools.reduce(lambda made, option: option(made), reversed(_SETTINGS), command)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
home_option = click.option(
    "--home", type=click.Path(file_okay=False), help="Folder of the run. [env: ENIGMA_HOME; default: enigma_data]"
)


def planned(
    config: str | None,
    strategy: str | None,
    sets: Sequence[str],
    flags: Mapping[str, Any],
    changed: Mapping[str, Any] | None = None,
) -> tuple[Plan, Tree, Catalogue]:
    """The plan that options describe, where its settings come from, and the plugins there are.

    Raises `ConfigError` with everything that is wrong.
    """
    from enigma_core import config as settings
    from enigma_core.plugins import Catalogue

    flags = {path: value for path, value in flags.items() if value is not None}
    tree = settings.load(config, strategy, sets, flags=flags, changed=changed)
    catalogue = Catalogue.load(tree.plugin_folders)
    return settings.resolve(tree, catalogue), tree, catalogue


def origin_of(config: str | None) -> str:
    """What a `Tree` calls the configuration file as the origin of a setting."""
    from enigma_core.config import FILE

    return config or FILE


def pick(feed: Feed, pairs: Iterable[str], configured: Sequence[str]) -> tuple[str, ...]:
    """The symbols to trade: `pairs` as typed, else those of the configuration, else all the feed has.

    ``BTC/USDT``, ``BTCUSDT`` and ``btc`` stand for ``BTC/USDT:USDT`` where the feed has just one such symbol. Raises `DataError`
    naming the nearest symbols.
    """
    wanted = [pair for given in pairs for pair in given.replace(",", " ").split()]
    if not wanted:
        return tuple(configured) or feed.symbols()
    offered = feed.symbols()
    return tuple(dict.fromkeys(_matching(pair, offered, feed) for pair in wanted))


def traded(plan: Plan, pairs: Iterable[str], configured: Sequence[str], home: Path) -> tuple[tuple[str, ...], list[str]]:
    """The symbols of a run as `pick` says; where nobody names any, those the plan's universe chooses, and what is to be told of it.

    What the account in `home` holds stays among them. Raises `DataError` where there is nothing to choose from.
    """
    assert plan.feed is not None
    if plan.universe is None or configured or any(given.strip(", ") for given in pairs):
        return pick(plan.feed, pairs, configured), []
    book, since, _ = account(plan, home)
    told: list[str] = []
    chosen = tuple(dict.fromkeys(plan.universe.choose(plan, since, told.append)))
    if not chosen:
        raise DataError(f"symbols.use = {plan.universe.name} found nothing to trade: name symbols with -p, or loosen its settings")
    held = [] if book is None else dict.fromkeys((*book.positions, *book.entries))
    kept = [symbol for symbol in held if symbol not in chosen]
    told.append(f"symbols that {plan.universe.name} chose: {', '.join(chosen)}")
    if kept:
        told.append(f"and those the account holds: {', '.join(kept)}")
    return (*chosen, *kept), told


def account(plan: Plan, home: str | Path | None) -> tuple[Book | None, int | None, str]:
    """The account that runs in `home` (as --home gives it) have of this plan's market, and the market's time it has come to, ms.

    None where there is none, and why, where a person should know.
    """
    from enigma_core.errors import HomeError
    from enigma_core.home import home_path
    from enigma_core.reading import Reader

    path = home_path(home) / f"{plan.account_mode}.sqlite"
    if plan.feed is None or not path.is_file():
        return None, None, ""
    try:
        with Reader(path) as reader:
            # another market's account is put aside when a run begins
            if reader.stamp.identity != market(plan):
                return None, None, f"the account in {path} belongs to another market: a new one is assumed"
            book, ts = reader.account()
            return book, ts or None, ""
    except (HomeError, ConfigError) as error:
        return None, None, f"a new account is assumed: {error}"


def rehearsed(plan: Plan, home: str | Path | None) -> Book | None:
    """The account that rehearsals in `home` have, where the plan's feed reads their local exchange; None where it does not."""
    from urllib.parse import urlsplit

    from enigma_core.errors import HomeError
    from enigma_core.home import home_path
    from enigma_core.reading import Reader

    folder = home_path(home)
    with contextlib.suppress(OSError, ValueError, HomeError):
        at = urlsplit(getattr(plan.feed, "url", None) or "")
        if at.hostname in ("127.0.0.1", "localhost") and at.port == int((folder / "sandbox" / "port").read_text("ascii")):
            with Reader(folder / "sandbox.sqlite") as reader:
                return reader.account()[0]
    return None


def market(plan: Plan) -> str:
    """What an account of this plan belongs to: a venue's account, or a feed's market."""
    assert plan.feed is not None
    return plan.executor.identity() if plan.executor is not None and plan.executor.remote else plan.feed.identity()


def _matching(pair: str, offered: Sequence[str], feed: Feed) -> str:
    if pair in offered or re.fullmatch(r"\w+/\w+:\w+", pair):
        return pair  # a feed may know more symbols than it offers; where it does not, it says so itself
    bare = re.sub(r"[^A-Z0-9]", "", pair.upper().split(":")[0])
    found = [s for s in offered if bare in (re.sub(r"[^A-Z0-9]", "", s.split(":")[0]), s.split("/")[0])]
    if len(found) == 1:
        return found[0]
    base = re.sub("USDT$", "", bare)
    with contextlib.suppress(DataError):
        return feed.instrument(f"{base}/USDT:USDT").symbol
    # every symbol resembles every other in its quote currency
    bases = {s.split("/")[0]: s for s in offered}
    if near := found or [bases[b] for b in difflib.get_close_matches(base, bases, 3)]:
        raise DataError(f"-p {pair}: the feed has no such symbol; did you mean {' or '.join(near)}?")
    more = f" and {len(offered) - 8} more" if len(offered) > 8 else ""
    raise DataError(f"-p {pair}: the feed has no such symbol; it has {', '.join(offered[:8])}{more}")


def timerange(text: str | None) -> tuple[int | None, int | None]:
    """``20250310-20250401`` as ms: from the first moment of one day to the last of the other; either side may be left out.

    A side may also be a time in seconds or milliseconds. Raises `ConfigError` for anything else.
    """
    if not text:
        return None, None
    sides = text.replace(" ", "").split("-")
    if len(sides) != 2 or not any(sides):
        raise ConfigError(f"--timerange {text}: write START-END, as in 20250310-20250401; either may be left out")
    start, end = _moment(sides[0], text, last=False), _moment(sides[1], text, last=True)
    if start is not None and end is not None and start >= end:
        raise ConfigError(f"--timerange {text}: it ends before it starts")
    return start, end


def _moment(side: str, text: str, *, last: bool) -> int | None:
    if not side:
        return None
    if re.fullmatch(r"\d{8}", side, re.ASCII):
        try:
            day = datetime.strptime(side, "%Y%m%d").replace(tzinfo=UTC)
            return round((day + timedelta(days=last)).timestamp() * 1000)
        except (ValueError, OverflowError):
            pass
    elif re.fullmatch(r"\d{10}|\d{13}", side, re.ASCII):
        return int(side) * (1000 if len(side) == 10 else 1)
    raise ConfigError(f"--timerange {text}: {side} is no day; write YYYYMMDD, or a time in seconds or milliseconds")


def writable(path: Path, option: str) -> Path:
    """`path`, known to be one that can be written before the work begins. Raises `ConfigError`."""
    import os

    folder = _target(path, option).parent
    if path.is_dir():
        raise ConfigError(f"{option} {path}: this is a folder; name a file")
    if not folder.is_dir():
        raise ConfigError(f"{option} {path}: there is no folder {folder}; make it first")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise ConfigError(f"{option} {path}: it cannot be written; check its rights or name another file")
    return path


def write(path: Path, text: str, option: str) -> None:
    """`text` in the file that `path` names, links followed. A regular file is whole at every moment: the old text, then the new.

    What is no regular file (a terminal, a pipe, /dev/null) is written into and stays what it is. Raises `ConfigError`.
    """
    import os
    import shutil

    try:
        target = _target(path, option)
        if _written_into(target):
            with target.open("w", encoding="utf-8", newline="") as file:
                file.write(text)
            return
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            beside.write_text(text, encoding="utf-8", newline="")
            if target.exists():
                shutil.copymode(target, beside)
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ConfigError(f"{option} {path}: it cannot be written: {error.strerror or error}") from None


def _target(path: Path, option: str) -> Path:
    """What `path` leads to. A descriptor's name under /dev or /proc is left as it is: what it leads to may have no name."""
    if _descriptor(path):
        return path
    try:
        target = path.resolve()
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"{option} {path}: its links lead nowhere ({error})") from None
    return path if _descriptor(target) else target


def _descriptor(path: Path) -> bool:
    return str(path).startswith(("/dev/", "/proc/"))


def _written_into(target: Path) -> bool:
    import os

    return _descriptor(target) or (target.exists() and not (target.is_file() and os.access(target.parent, os.W_OK)))
