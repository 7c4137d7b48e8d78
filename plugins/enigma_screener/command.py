"""`enigma screener`: rank the markets of a feed by what trading would make of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import rich_click as click

from enigma_core.cli import options

if TYPE_CHECKING:
    from enigma_core.book import Book
    from enigma_core.plan import Plan
    from enigma_screener.once import Standing
    from enigma_screener.ranking import Bounds, Scan

Show = Callable[["Scan"], None]


@click.command()
@click.option("--watch", is_flag=True, help="Go on, and rank anew every few seconds; Ctrl-C ends it.")
@click.option("--top", type=click.IntRange(1, 500), metavar="N", help="How many of the best. [default: 10]")
@click.option("--every", type=click.FloatRange(1, 3600), metavar="SECONDS", help="How often with --watch. [default: 10]")
@click.option("--for", "seconds", type=click.FloatRange(min=0), metavar="SECONDS", help="End a --watch by itself after so long.")
@click.option("--feed", metavar="NAME", help="Where the market comes from. [default: the configuration's, else synthetic]")
@click.option("--data", type=click.Path(), metavar="DIR", help="Candles for a feed that reads files; with it the feed is replay.")
@options.settings_options
@options.home_option
@options.json_option
def screener(
    watch: bool,
    top: int | None,
    every: float | None,
    seconds: float | None,
    feed: str | None,
    data: str | None,
    config: str | None,
    strategy: str | None,
    sets: tuple[str, ...],
    pairs: tuple[str, ...],
    timeframe: str | None,
    home: str | None,
    as_json: bool,
) -> None:
    """Rank the markets by what trading would make of them: score, class, confidence, aligned timeframes, gates.

    Looks at active USDT perpetuals, the 100 most traded ones with a turnover of 5,000,000 a day and a spread of 0.1 % at the
    most; services.screener of the configuration sets that otherwise. The account is the one that the runs in the home folder
    have, where it belongs to this market or to the local exchange that the feed reads; else a new one. Nothing is traded, nothing
    is written.
    """
    from enigma_screener.service import Screener, screener_of

    flags = {"feed.use": feed or ("replay" if data else None), "feed.data": data, "timeframes.primary": timeframe}
    plan, _, _ = options.planned(config, strategy, sets, flags)
    settings = screener_of(plan) or Screener()
    count, pause = top or settings.top, every or settings.every
    book, since, note = options.account(plan, home)
    if book is None and (book := options.rehearsed(plan, home)) is not None:
        note = ""
    standing = _standing(plan, settings.bounds, pairs, book)
    source = f"feed {standing.feed.name}" + ("" if book is None else ", the account of the home folder")
    if as_json:
        _run(standing, since, pause if watch else None, seconds, lambda scan: _print_json(scan.top(count), whole=not watch))
        return
    with _shown(standing, source, count, watch) as show:
        if note:
            click.echo(note, err=True)
        _run(standing, since, pause if watch else None, seconds, show)


def _standing(plan: Plan, bounds: Bounds, pairs: tuple[str, ...], book: Book | None) -> Standing:
    from enigma_core.errors import ConfigError
    from enigma_screener.once import Standing

    if plan.feed is None:
        raise ConfigError("feed is not set: name one, as in --feed synthetic")
    named = options.pick(plan.feed, pairs, ()) if any(pair.strip(", ") for pair in pairs) else ()
    return Standing(plan, bounds, book, named)


def _run(standing: Standing, since: int | None, pause: float | None, seconds: float | None, show: Show) -> None:
    """One scan, or with a `pause` one after another."""
    import asyncio
    import time

    from enigma_screener.once import last_close

    feed = standing.feed
    began = time.monotonic()
    first = 0
    if feed.simulated:
        first = since or last_close(feed, standing.listings)

    def now(number: int) -> int:
        """The market's time: the wall's, or a recording's as it would be run; as fast as possible is a bar a scan."""
        if not feed.simulated:
            return time.time_ns() // 1_000_000
        passed = (time.monotonic() - began) * 1000 * feed.speed if feed.speed else number * standing.watch.length
        return first + round(passed if number else 0)

    async def scan() -> None:
        try:
            await standing.open(_progress())
            number = 0
            while True:
                at = time.monotonic()
                show(await standing.scan(now(number)))
                number += 1
                left = None if seconds is None else began + seconds - time.monotonic()
                if pause is None or (left is not None and left <= 0):
                    return
                wait = max(0.0, at + pause - time.monotonic())
                await asyncio.sleep(wait if left is None else min(wait, left))
        finally:
            await standing.close()

    try:
        asyncio.run(scan())
    except KeyboardInterrupt:
        if pause is None:
            raise


def _progress() -> Callable[[int, int], None]:
    """Says on a terminal how many histories are there."""
    import sys

    told = -1

    def tell(ready: int, of: int) -> None:
        nonlocal told
        if sys.stderr.isatty() and ready != told:
            told = ready
            click.echo(f"\rhistory of {ready} of {of} markets" + (" " * 10 if ready < of else "\n"), nl=False, err=True)

    return tell


def _print_json(scan: Scan, *, whole: bool) -> None:
    import msgspec

    from enigma_core import report

    text = msgspec.json.encode(report.ready(scan))
    click.echo(msgspec.json.format(text, indent=2) if whole else text)


@contextlib.contextmanager
def _shown(standing: Standing, source: str, count: int, watch: bool) -> Iterator[Show]:
    """Tables one below the other; with `watch` on a terminal one table that changes in its place."""
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    from enigma_core.cli import display
    from enigma_screener.table import table

    out = display.console()

    def one(scan: Scan) -> None:
        out.print(table(scan.top(count), source))
        if silence := standing.watch.silence:
            display.console(stderr=True).print(silence, style="yellow", soft_wrap=True)
        for symbol, reason in standing.watch.left_out.items():
            display.console(stderr=True).print(f"{symbol} is left out: {reason}", soft_wrap=True)

    if not (watch and out.is_terminal):
        yield one
        return
    with Live(console=out, auto_refresh=False) as live:

        def replaced(scan: Scan) -> None:
            live.update(Group(table(scan.top(count), source), Text(standing.watch.silence, "yellow")), refresh=True)

        yield replaced
