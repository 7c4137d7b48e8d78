"""`enigma backtest`: a folder of candles in, trades and figures out."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from enigma_core.cli import options
from enigma_core.errors import ConfigError, DataError, HomeError

if TYPE_CHECKING:
    from enigma_core import report
    from enigma_core.alert import Mode
    from enigma_core.cli.alert_file import Recorded
    from enigma_core.market import Funding
    from enigma_core.model import Candles
    from enigma_core.parts import Feed
    from enigma_core.plan import Plan
    from enigma_core.plugins import Catalogue
    from enigma_core.shells import Result


MODES = ("vote", "trigger", "signal", "veto")


@click.command()
@click.option("--data", type=click.Path(), metavar="DIR", help="Folder of candle files (csv, csv.gz, Parquet), or one file.")
@options.settings_options
@click.option(
    "--timerange",
    metavar="START-END",
    help="Days to trade, as in 20250310-20250401, or one end. Earlier bars warm up.",
)
@click.option("--funding", type=click.Path(), metavar="DIR", help="Folder of NAME_funding files.")
@click.option(
    "--alerts", type=click.Path(path_type=Path), metavar="FILE", help="Recorded alerts, one a line, to trade as they came."
)
@click.option(
    "--delay",
    type=click.FloatRange(0, 86_400),
    metavar="SECONDS",
    help="From sending to coming, where a line has no time of coming.",
)
@click.option("--alert-mode", type=click.Choice(MODES), help="How alerts enter, whatever they were stored with.")
@click.option("--export", type=click.Path(path_type=Path), metavar="FILE", help="Write the trades to a CSV file.")
@click.option("--journal", type=click.Path(path_type=Path), metavar="FILE", help="Write what happened to a new journal file.")
@click.option("--plain", is_flag=True, help="Walk bar by bar instead of jumping: slower, the same trades.")
@options.json_option
def backtest(
    data: str | None,
    config: str | None,
    strategy: str | None,
    sets: tuple[str, ...],
    pairs: tuple[str, ...],
    timeframe: str | None,
    timerange: str | None,
    funding: str | None,
    alerts: Path | None,
    delay: float | None,
    alert_mode: Mode | None,
    export: Path | None,
    journal: Path | None,
    plain: bool,
    as_json: bool,
) -> None:
    """Trade a folder of candles and report what came of it.

    Every symbol of the folder is traded unless -p names some; all share one account. What is open at the last bar is closed
    there, reason "end". Without --data the configured feed's history is traded.

    With --alerts recorded alerts are worked between the bars, each when it came. A line is an alert as `enigma alert list --jsonl`
    writes it, a message that carries its time, or {"time": ..., "received": ..., "message": ...} where either time may be left out.
    """
    began = time.perf_counter()
    span = options.timerange(timerange)
    if export is not None:
        options.writable(export, "--export")
    if journal is not None and options.writable(journal, "--journal").exists():
        raise HomeError(f"--journal {journal}: this file exists already, and a journal is not overwritten; name another")
    if funding is not None and data is None:
        raise ConfigError("--funding needs --data: it belongs to the candles named there")
    if alerts is None and (delay is not None or alert_mode is not None):
        raise click.UsageError(f"{'--delay' if delay is not None else '--alert-mode'} belongs to --alerts FILE.")
    flags = {"feed.use": "csv" if data else None, "feed.data": data, "feed.funding": funding, "timeframes.primary": timeframe}
    plan, tree, catalogue = options.planned(config, strategy, sets, flags)
    # the symbols of a configuration file are those of its own feed, not of the folder named here
    named = () if data and tree.origin("symbols") == options.origin_of(config) else plan.symbols
    known = _load(plan, pairs, named, span)
    loaded = time.perf_counter()

    from enigma_core import report, shells
    from enigma_core.journal import Memory
    from enigma_core.records import Started

    feed = plan.feed
    assert feed is not None
    candles = {symbol: shells.opened_from(bars, span[0]) for symbol, bars in known.items()}
    instruments = {symbol: plan.instrument(symbol) for symbol in candles}
    settled, unfunded = _settlements(feed, tuple(known), funding)
    memory = Memory() if journal is not None else None
    if memory is not None:
        start = min(int(bars.ts[0]) for bars in candles.values())
        memory.write([Started(ts=start, cash=plan.account.equity, instruments=instruments)], start)
    recorded = _recorded(alerts, catalogue, plan, instruments, delay, alert_mode) if alerts is not None else None
    with _progress(as_json) as told:
        result: Result
        if recorded is None:
            result = shells.backtest(
                plan, known, instruments, settled, start=span[0], jump=not plain, progress=told, journal=memory
            )
        else:
            from enigma_core.cli.heard import heard
            from enigma_core.shells.alerted import backtest_alerts

            result = alerted = backtest_alerts(
                plan, known, instruments, recorded.alerts, settled, start=span[0], progress=told, journal=memory
            )
    if memory is not None and journal is not None:
        memory.save(journal, "backtest", feed.identity())
    found = _found(plan, candles, {s: float(i.multiplier) for s, i in instruments.items()}, result)
    found["notes"] = [*tree.notes, *_oddities(feed, candles), *unfunded, *_shortfalls(result)]
    if recorded is not None:
        found["alerts"] = heard(alerted)
        found["notes"] += recorded.notes
    found["timing"] = {"load_s": loaded - began, **result.timing, "total_s": time.perf_counter() - began}
    if export is not None:
        options.write(export, report.trades_csv(result.trades), "--export")
    if as_json:
        _print_json(found, result)
    else:
        _print_tables(found, result)
        if export is not None:
            click.echo(f"The trades are in {export}.")
        if journal is not None:
            click.echo(f"The journal is in {journal}: enigma why --last 5 --db-url {journal}")


def _recorded(
    path: Path, catalogue: Catalogue, plan: Plan, symbols: Iterable[str], delay: float | None, mode: Mode | None
) -> Recorded:
    from enigma_core.cli.alert_file import AlertFile
    from enigma_core.timeframes import milliseconds

    bar = milliseconds(plan.timeframes.primary)
    return AlertFile(catalogue, tuple(symbols), delay=round((delay or 0) * 1000), bar=bar, mode=mode).read(path)


def _load(
    plan: Plan, pairs: tuple[str, ...], configured: tuple[str, ...], span: tuple[int | None, int | None]
) -> dict[str, Candles]:
    """The bars up to the end of the timerange, with those before its start, of the symbols that have some within it."""
    feed = plan.feed
    if feed is None:
        raise ConfigError("feed is not set: name the candles with --data")
    start, end = span
    symbols = options.pick(feed, pairs, configured)
    base = feed.base_timeframe()
    candles = {symbol: feed.history(symbol, base, None, end) for symbol in symbols}
    found = {symbol: bars for symbol, bars in candles.items() if len(bars) and (start is None or bars.ts[-1] >= start)}
    if not found:
        raise DataError(f"there are no bars of {', '.join(symbols[:3])} in the timerange: widen it, or look at the data's dates")
    return found


@contextlib.contextmanager
def _progress(as_json: bool) -> Iterator[Callable[[float], None] | None]:
    """A bar on stderr while people watch; None where nobody does."""
    if as_json or not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from enigma_core.cli.display import console

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console(stderr=True), transient=True) as bar:
        task = bar.add_task("scoring and trading", total=1.0)
        yield lambda share: bar.update(task, completed=share)


def _found(plan: Plan, candles: Mapping[str, Candles], multipliers: Mapping[str, float], result: Result) -> dict[str, Any]:
    from enigma_core import report
    from enigma_core.timeframes import milliseconds

    step = {symbol: milliseconds(bars.timeframe) for symbol, bars in candles.items()}
    span = min(int(c.ts[0]) for c in candles.values()), max(int(c.ts[-1]) + step[s] for s, c in candles.items())
    closes = {symbol: (bars.ts + step[symbol], bars.close) for symbol, bars in candles.items()}
    equity = report.marked_equity(float(result.start_equity), result.trades, closes, multipliers)
    prices = {symbol: (float(bars.open[0]), float(bars.close[-1])) for symbol, bars in candles.items()}
    return {
        "strategy": plan.strategy,
        "symbols": list(candles),
        "timeframe": plan.timeframes.primary,
        "base_timeframe": next(iter(candles.values())).timeframe,
        "start_ts": span[0],
        "end_ts": span[1],
        "bars": result.bars,
        "start_equity": result.start_equity,
        "end_equity": result.end_equity,
        "metrics": report.metrics(result.trades, result.start_equity, result.end_equity, equity, span, prices),
        "by_symbol": report.by_symbol(result.trades),
        "by_exit_reason": report.by_exit_reason(result.trades),
        "rejected": dict(sorted(result.rejected.items(), key=lambda item: -item[1])),
    }


def _settlements(feed: Feed, symbols: tuple[str, ...], folder: str | None) -> tuple[dict[str, Funding | None], list[str]]:
    """Funding by symbol, and what a person should know where there is none.

    Raises `ConfigError` where a folder of funding was named and none of the symbols has any.
    """
    found = {symbol: feed.funding(symbol) for symbol in symbols}
    without = [symbol for symbol, funding in found.items() if funding is None]
    listed = ", ".join(without[:8]) + (f" and {len(without) - 8} more" if len(without) > 8 else "")
    if without and len(without) < len(symbols):
        return found, [f"funding: none on record for {listed}, not counted there"]
    if without and folder is not None:
        raise ConfigError(f"--funding {folder}: no file in it belongs to {listed}; they are named like BTCUSDT_funding.csv")
    return found, ["funding: none on record, not counted"] if without else []


def _oddities(feed: Feed, candles: Mapping[str, Candles]) -> list[str]:
    """What the feed found in its data that a person should know: gaps, repeated bars."""
    return [str(found) for found in feed.report(candles).values() if found]


def _shortfalls(result: Result) -> list[str]:
    """What the data is too coarse for, and which parts failed."""
    from enigma_core.shells.failings import not_made

    said = not_made(result.left_out)
    return said + [f"{fault} ({'once' if times == 1 else f'{times:,} times'})" for fault, times in result.faults.items()]


def _print_json(found: dict[str, Any], result: Result) -> None:
    import msgspec

    from enigma_core import report

    whole = {**report.ready(found), "trades": report.trade_rows(result.trades)}
    click.echo(msgspec.json.encode(whole))


def _print_tables(found: dict[str, Any], result: Result) -> None:
    from enigma_core.cli import display

    out = display.console()
    metrics: report.Metrics = found["metrics"]
    symbols = found["symbols"]
    out.print(
        display.facts(
            "Backtest",
            {
                "symbols": ", ".join(symbols),
                "timeframe": f"{found['timeframe']} from bars of {found['base_timeframe']}",
                "time": f"{display.when(found['start_ts'])} to {display.when(found['end_ts'])} UTC",
                "bars": f"{found['bars']:,}",
                "strategy": found["strategy"],
            },
        )
    )
    for note in found["notes"]:
        out.print(f"  {note}", style="yellow")
    out.print()
    out.print(_figures(found, metrics))
    if result.trades:
        out.print()
        out.print(display.breakdown("By symbol", found["by_symbol"]))
        out.print(display.breakdown("By way out", found["by_exit_reason"]))
    if "alerts" in found:
        from enigma_core.cli.heard import tables

        for table in tables(found["alerts"]):
            out.print(table)
    if found["rejected"]:
        out.print(display.grid("Refused by", ("gate", "times"), [(gate, f"{n:,}") for gate, n in found["rejected"].items()]))
    timing = found["timing"]
    out.print(
        f"{found['bars']:,} bars in {timing['total_s']:.2f} s: loading {timing['load_s']:.2f}, "
        f"indicators {timing['indicators_s']:.2f}, simulation {timing['simulation_s']:.2f}",
        style="dim",
    )


def _figures(found: dict[str, Any], metrics: report.Metrics) -> Any:
    from enigma_core.cli import display

    net = found["end_equity"] - found["start_equity"]
    return display.facts(
        "Figures",
        {
            "equity": f"{display.amount(found['start_equity'])} to {display.amount(found['end_equity'])}",
            "net": (f"{display.gain(net)} ({display.percent(metrics.total_return, 2)})", display.colour(net)),
            "buy and hold": display.percent(metrics.buy_and_hold, 2),
            "trades": str(metrics.trades),
            "win rate": display.percent(metrics.win_rate),
            "profit factor": display.figure(metrics.profit_factor),
            "expectancy": "-" if metrics.expectancy is None else f"{display.gain(metrics.expectancy)} a trade",
            "max drawdown": display.percent(metrics.max_drawdown, 2),
            "Sharpe, Sortino, Calmar": " / ".join(map(display.figure, (metrics.sharpe, metrics.sortino, metrics.calmar))),
            "exposure": f"{display.percent(metrics.exposure)} of the time",
            "fees, funding": f"{display.amount(metrics.fees)}, {display.gain(metrics.funding)}",
        },
    )
