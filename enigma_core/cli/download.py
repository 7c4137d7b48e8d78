"""`enigma download`: candles and funding into the run's candle store, as far as they are not there yet."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from enigma_core.cli import options
from enigma_core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from enigma_core.candle_store import CandleStore, Span
    from enigma_core.parts import Feed
    from enigma_core.plan import Plan

EXCHANGE = "kucoin"
"""Where history comes from while the configuration names no feed that has some to fetch."""

DAYS = 90.0

PAGE = 5_000
"""Bars asked for at a time: what a kill may lose, and how often the progress is told."""

SETTLED = 600_000
"""How old (ms) the end of a bar must be for nobody to correct it any more."""

FORMATS = ("csv", "parquet")

GOES_ON = "what came before is kept: the same command goes on from there"


class Progress:
    """Counts bars towards a total; shows it on stderr while somebody looks."""

    def __init__(self, shown: bool, total: int) -> None:
        self._total = max(1, total)
        self._bar: Any = None
        self._task: Any = None
        if shown:
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as Bars

            from enigma_core.cli.display import console

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("bars"))
            self._bar = Bars(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console(stderr=True), transient=True)
            self._task = self._bar.add_task("", total=self._total)

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def at(self, what: str) -> None:
        if self._bar is not None:
            self._bar.update(self._task, description=what)

    def done(self, bars: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, advance=bars)


@click.command()
@click.option("-p", "--pairs", metavar="SYMBOL", multiple=True, help="Symbols to fetch, as in BTC/USDT:USDT. Repeatable.")
@click.option("-i", "--timeframe", "timeframes", metavar="TIMEFRAME", multiple=True, help="As in 5m. Repeatable. [default: 5m]")
@click.option(
    "--days", type=click.FloatRange(min=0, min_open=True, max=36_500), metavar="N", help="So many days back. [default: 90]"
)
@click.option("--timerange", metavar="START-END", help="Days to fetch, as in 20250310-20250401, or one end.")
@click.option("--feed", metavar="NAME", help="Where it comes from. [default: the configuration's, else kucoin]")
@click.option("--no-funding", is_flag=True, help="Candles only.")
@click.option("--again", is_flag=True, help="Fetch it all anew, over what is kept.")
@click.option(
    "--export", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Write what is kept into files too."
)
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="csv", help="Of those files. [default: csv]", show_default=False
)
@click.option("--list", "listing", is_flag=True, help="Fetch nothing: show what is kept.")
@click.option("-c", "--config", type=click.Path(dir_okay=False), help="Configuration file. [default: strategy_config.json]")
@click.option("--set", "sets", metavar="PATH=VALUE", multiple=True, help="One setting, as in feed.url=... Repeatable.")
@click.option("-v", "--verbose", count=True, expose_value=False, callback=options._talk, help="Say more; -vv: everything.")
@options.home_option
@options.json_option
def download(
    pairs: tuple[str, ...],
    timeframes: tuple[str, ...],
    days: float | None,
    timerange: str | None,
    feed: str | None,
    no_funding: bool,
    again: bool,
    export: Path | None,
    form: str,
    listing: bool,
    config: str | None,
    sets: tuple[str, ...],
    home: str | None,
    as_json: bool,
) -> None:
    """Fetch history (candles, funding), resumable, with a gap report.

    What has been fetched once is not fetched again, whoever asked for it: Ctrl-C, and the same command goes on. It is kept in the
    run's folder, a file a market, which `enigma backtest --data FILE` reads.
    """
    if listing:
        _list(home, as_json)
        return
    if days is not None and timerange is not None:
        raise click.UsageError("--days and --timerange both say how much: give one of them.")
    plan = _plan(config, sets, feed)
    source = plan.feed
    if source is None:
        raise ConfigError("feed is not set: name one with --feed, such as --feed kucoin")
    wanted = _timeframes(timeframes, source)
    start, end = _span(days, timerange)
    symbols = options.pick(source, pairs, plan.symbols if feed is None else ())
    if export is not None:
        _exportable(export, form)

    from enigma_core.candle_store import CandleStore
    from enigma_core.home import home_path

    # a feed that keeps what it fetches does so in the same folder
    os.environ["ENIGMA_HOME"] = str(home_path(home))
    with CandleStore.of(source.identity(), home) as store:
        series, notes = _fetched(source, store, symbols, wanted, (start, end), again, not as_json)
        funding: dict[str, Any] = {}
        if not no_funding:
            funding, missing = _funding(source, store, symbols, (start, end), again)
            notes += missing
        files = [] if export is None else _exported(store, symbols, wanted, (start, end), export, form, not no_funding)
        found = {
            "market": store.market,
            "path": str(store.path),
            "start_ts": start,
            "end_ts": end,
            "series": series,
            "funding": funding,
            "files": [str(file) for file in files],
            "notes": notes,
        }
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(found))
        return
    _print(found)


def _plan(config: str | None, sets: Sequence[str], feed: str | None) -> Plan:
    """The plan whose feed has history to fetch: the one named, the configuration's, else the exchange's."""
    # before the settings are checked: those of the exchange are no made-up market's
    named = feed if feed is not None or _fetches(config, sets) else EXCHANGE
    plan, _, _ = options.planned(config, None, sets, {"feed.use": named})
    return plan


def _fetches(config: str | None, sets: Sequence[str]) -> bool:
    """Whether the configuration names a feed that has history to fetch; one that is not known is refused where it is made."""
    from enigma_core import config as settings
    from enigma_core.plugins import Catalogue

    tree = settings.load(config, None, sets)
    name = tree.get("feed.use")
    offer = Catalogue.load(tree.plugin_folders).parts("feed").get(name)
    if offer is None:
        return name is not None
    return name != "csv" and not getattr(offer.part, "simulated", False)


def _timeframes(given: Sequence[str], feed: Feed) -> list[str]:
    from enigma_core.timeframes import milliseconds

    wanted = list(dict.fromkeys(one for text in given for one in text.replace(",", " ").split())) or [feed.base_timeframe()]
    return sorted(wanted, key=milliseconds)


def _span(days: float | None, timerange: str | None) -> Span:
    """From when to when, ms. Never beyond now: a bar that is still open is none."""
    now = int(time.time() * 1000)
    start, end = options.timerange(timerange)
    end = now if end is None else min(end, now)
    start = end - round((days or DAYS) * 86_400_000) if start is None else start
    if start >= end:
        raise ConfigError(f"--timerange {timerange}: it has not begun yet")
    return start, end


def _fetched(
    feed: Feed, store: CandleStore, symbols: Sequence[str], timeframes: Sequence[str], span: Span, again: bool, shown: bool
) -> tuple[list[dict[str, Any]], list[str]]:
    """What there is of each series now, and what a person should know."""
    from enigma_core.candle_store import aligned
    from enigma_core.timeframes import bucket_start, milliseconds

    todo: list[tuple[str, str, list[Span]]] = []
    for symbol in symbols:
        store.write_instrument(feed.instrument(symbol))
        for timeframe in timeframes:
            # the bar that is open now is fetched when it is over
            first, last = aligned(span[0], timeframe), int(bucket_start(span[1], timeframe))
            todo.append((symbol, timeframe, [(first, last)] if again else store.missing(symbol, timeframe, first, last)))
    total = sum((b - a) // milliseconds(timeframe) for _, timeframe, spans in todo for a, b in spans)
    found, notes = [], []
    with Progress(shown and sys.stderr.isatty(), total) as progress:
        for symbol, timeframe, spans in todo:
            progress.at(f"{symbol} {timeframe}")
            before = store.kept(symbol, timeframe, *span).bars
            changed = 0
            for page in _pages(spans, milliseconds(timeframe) * PAGE):
                try:
                    bars = feed.history(symbol, timeframe, *page)
                except DataError as error:
                    raise DataError(f"{error} ({GOES_ON})") from error
                except KeyboardInterrupt:
                    click.echo(f"\nInterrupted: {GOES_ON}", err=True, nl=False)
                    raise
                # what is still young may be corrected, or told late: the next time asks for it again
                changed += store.write(bars, (page[0], min(page[1], int(bucket_start(_settled(), timeframe)))))
                progress.done((page[1] - page[0]) // milliseconds(timeframe))
            found.append(_series(store, symbol, timeframe, span, before, changed))
    empty = [f"{one['symbol']} {one['timeframe']}" for one in found if not one["bars"]]
    if empty:
        notes.append(f"there are no bars of {', '.join(empty)} in this time")
    return found, notes


def _settled() -> int:
    return int(time.time() * 1000) - SETTLED


def _pages(spans: Sequence[Span], size: int) -> Iterator[Span]:
    for first, last in spans:
        for start in range(first, last, size):
            yield start, min(start + size, last)


def _series(store: CandleStore, symbol: str, timeframe: str, span: Span, before: int, changed: int) -> dict[str, Any]:
    from enigma_core.timeframes import milliseconds

    length = milliseconds(timeframe)
    kept = store.kept(symbol, timeframe, *span)
    bars = store.read(symbol, timeframe, *span)
    new = kept.bars - before
    longest = max(kept.gaps, key=lambda gap: gap[1] - gap[0], default=None)
    return {
        "symbol": symbol,
        "timeframe": timeframe,
        "bars": kept.bars,
        "new": new,
        "corrected": max(0, changed - new),
        "first_ts": int(bars.ts[0]) if len(bars) else None,
        "last_ts": int(bars.ts[-1]) if len(bars) else None,
        "gaps": [{"start_ts": a, "end_ts": b, "bars": (b - a) // length} for a, b in kept.gaps],
        "missing": kept.missing,
        "longest_gap": None if longest is None else (longest[1] - longest[0]) // length,
    }


def _funding(feed: Feed, store: CandleStore, symbols: Sequence[str], span: Span, again: bool) -> tuple[dict[str, Any], list[str]]:
    """Settlements by symbol, and what a person should know."""
    import msgspec
    import numpy as np

    found: dict[str, Any] = {}
    without = []
    for symbol in symbols:
        if again or store.missing_funding(symbol, *span):
            settled = feed.settlements(symbol, *span)
            if settled is None:
                without.append(symbol)
                continue
            first, last = np.searchsorted(settled.ts, span)
            part = msgspec.structs.replace(settled, ts=settled.ts[first:last], rate=settled.rate[first:last])
            store.write_funding(symbol, part, (span[0], min(span[1], _settled())))
        kept = store.funding(symbol, *span)
        found[symbol] = {"settlements": 0 if kept is None else len(kept.ts)}
    return found, [f"funding: the feed has none of {', '.join(without)}"] if without else []


def _exportable(folder: Path, form: str) -> None:
    if form == "parquet":
        from importlib.util import find_spec

        if find_spec("pyarrow") is None:
            raise ConfigError('--format parquet needs pyarrow, which is not installed: pip install "miniature-enigma[data]"')
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--export {folder}: the folder cannot be made: {error.strerror or error}") from None


def _exported(
    store: CandleStore, symbols: Sequence[str], timeframes: Sequence[str], span: Span, folder: Path, form: str, funding: bool
) -> list[Path]:
    """Files that the feeds csv and replay read, one a series; an empty one is not written."""
    files = []
    for symbol in symbols:
        name = symbol.replace("/", "_").replace(":", "_")
        for timeframe in timeframes:
            bars = store.read(symbol, timeframe, *span)
            columns = {each: getattr(bars, each) for each in ("open", "high", "low", "close", "volume")}
            files += _written(folder / f"{name}-{timeframe}.{form}", {"ts_ms": bars.ts, **columns}, form)
        settled = store.funding(symbol, *span) if funding else None
        if settled is not None:
            files += _written(folder / f"{name}_funding.{form}", {"ts_ms": settled.ts, "funding_rate": settled.rate}, form)
    return files


def _written(path: Path, columns: dict[str, Any], form: str) -> list[Path]:
    if not len(columns["ts_ms"]):
        return []
    if form == "csv":
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        lines = [",".join(columns), *(",".join(map(repr, row)) for row in rows)]
        options.write(path, "\n".join(lines) + "\n", "--export")
        return [path]
    from importlib import import_module

    beside = path.with_name(f".{path.name}.part")
    try:
        import_module("pyarrow.parquet").write_table(import_module("pyarrow").table(columns), beside)
        beside.replace(path)
    except OSError as error:
        raise ConfigError(f"--export {path}: it cannot be written: {error.strerror or error}") from None
    finally:
        beside.unlink(missing_ok=True)
    return [path]


def _list(home: str | None, as_json: bool) -> None:
    """What is kept of every market."""
    from enigma_core.candle_store import CandleStore, stores

    found: list[dict[str, Any]] = []
    faults = []
    for path in stores(home):
        try:
            with contextlib.closing(CandleStore(path, reading=True)) as store:
                for symbol, timeframe in store.series():
                    bars = store.read(symbol, timeframe)
                    kept = store.kept(symbol, timeframe)
                    settled = store.funding(symbol)
                    found.append(
                        {
                            "market": store.market,
                            "path": str(path),
                            "symbol": symbol,
                            "timeframe": timeframe,
                            "bars": kept.bars,
                            "first_ts": int(bars.ts[0]),
                            "last_ts": int(bars.ts[-1]),
                            "gaps": len(kept.gaps),
                            "missing": kept.missing,
                            "settlements": None if settled is None else len(settled.ts),
                        }
                    )
        except DataError as error:
            faults.append(str(error))
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode({"kept": found, "notes": faults}))
        return
    from enigma_core.cli import display

    out = display.console()
    if found:
        heads = ("market", "symbol", "timeframe", "from", "to", "bars", "gaps", "funding")
        rows = [
            (
                one["market"],
                one["symbol"],
                one["timeframe"],
                display.when(one["first_ts"]),
                display.when(one["last_ts"]),
                f"{one['bars']:,}",
                f"{one['missing']:,} in {one['gaps']:,}" if one["gaps"] else "none",
                "-" if one["settlements"] is None else f"{one['settlements']:,}",
            )
            for one in found
        ]
        out.print(display.grid("Candles", heads, rows))
    for fault in faults:
        out.print(f"  {fault}", style="yellow")
    if not found and not faults:
        out.print("There are no candles yet: enigma download -p BTC/USDT:USDT -i 5m --days 90 fetches some.")


def _print(found: dict[str, Any]) -> None:
    import shlex

    from enigma_core.cli import display

    out = display.console()
    heads = ("symbol", "timeframe", "from", "to", "bars", "new", "gaps", "funding")
    rows = []
    for one in found["series"]:
        settled = found["funding"].get(one["symbol"], {}).get("settlements")
        gaps = f"{one['missing']:,} bars in {len(one['gaps']):,}, the longest {one['longest_gap']:,}" if one["gaps"] else "none"
        rows.append(
            (
                one["symbol"],
                one["timeframe"],
                display.when(one["first_ts"] or 0),
                display.when(one["last_ts"] or 0),
                f"{one['bars']:,}",
                f"{one['new']:,}",
                gaps,
                "-" if settled is None else f"{settled:,}",
            )
        )
    out.print(display.grid(f"History of {found['market']}", heads, rows))
    for one in found["series"]:
        for gap in one["gaps"][:3]:
            out.print(
                f"  {one['symbol']} {one['timeframe']}: {gap['bars']:,} missing from {display.when(gap['start_ts'])}",
                style="yellow",
            )
        if len(one["gaps"]) > 3:
            out.print(
                f"  {one['symbol']} {one['timeframe']}: and {len(one['gaps']) - 3:,} gaps more (--json has all)", style="yellow"
            )
    for note in found["notes"]:
        out.print(f"  {note}", style="yellow")
    for file in found["files"]:
        out.print(f"  written: {file}")
    out.print()
    out.print(f"It is kept in {found['path']}", style="dim", soft_wrap=True)
    out.print(f"  trade it  enigma backtest --data {shlex.quote(found['path'])}", soft_wrap=True)
