"""`enigma run`: trade on a stream, say what happens as it happens, sum up at the end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import rich_click as click

from enigma_core.cli import options
from enigma_core.errors import HomeError

if TYPE_CHECKING:
    from rich.console import Console

    from enigma_core.cli.display import Stream
    from enigma_core.config import Tree
    from enigma_core.config.kept import Settings
    from enigma_core.home import Home
    from enigma_core.parts import Rehearsing
    from enigma_core.plan import Plan
    from enigma_core.plugins import Catalogue
    from enigma_core.shells import Summary
    from enigma_core.shells.stream import RunStarted

Observer = Callable[[Any], None]

ENDED = "the feed has ended"
"""The reason of a `Summary` whose feed had nothing more to give."""

SERVER = "tradingview"
"""The service that --host and --port are about."""

TROUBLE = ("indicator_off", "exit_fault")
"""Notes that a quiet run tells too, on stderr: a part has failed."""


@click.command()
@click.option("--mode", type=click.Choice(["paper", "live"]), help="Paper money or a real account. [default: paper]")
@click.option("--sandbox", is_flag=True, help="Live trading on a local exchange without real money; --feed is its market.")
@click.option("--feed", metavar="NAME", help="Where the market comes from. [default: the configuration's, else synthetic]")
@click.option("--data", type=click.Path(), metavar="DIR", help="Candles for a feed that reads files; with it the feed is replay.")
@click.option("--speed", type=click.FloatRange(min=0), metavar="X", help="Times real time; 0 is as fast as possible.")
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Another seed, another synthetic market.")
@options.settings_options
@options.home_option
@click.option("--service", "services", metavar="NAME", multiple=True, help="Have this service beside the run. Repeatable.")
@click.option("--no-services", is_flag=True, help="Run without any service but those named by --service.")
@click.option("--host", metavar="ADDRESS", help="Where the alert receiver and the API listen. [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), metavar="PORT", help="Their port; 0 is any free one. [default: 8080]")
@click.option("--fresh", is_flag=True, help="Begin a new paper account; the old one's file is kept beside it.")
@click.option("--for", "seconds", type=click.FloatRange(min=0), metavar="SECONDS", help="End by itself after so long.")
@click.option("--quiet", is_flag=True, help="Say only how it begins and how it ends.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for everything that happens.")
@click.pass_context
def run(
    context: click.Context,
    mode: str | None,
    sandbox: bool,
    feed: str | None,
    data: str | None,
    speed: float | None,
    seed: int | None,
    config: str | None,
    strategy: str | None,
    sets: tuple[str, ...],
    pairs: tuple[str, ...],
    timeframe: str | None,
    home: str | None,
    services: tuple[str, ...],
    no_services: bool,
    host: str | None,
    port: int | None,
    fresh: bool,
    seconds: float | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Trade: on paper, on a local exchange, on a real account.

    Without arguments a synthetic market is traded with paper money, offline, and TradingView alerts are taken on
    127.0.0.1:8080. --feed kucoin trades KuCoin's market on paper. --mode live --sandbox takes the whole live path on a local
    exchange; --mode live trades real money, says what it will do and wants LIVE=I_UNDERSTAND. Ctrl-C ends it, and the same
    command goes on from there. What is neutral or weak is not printed, and a refusal once until something about it changes;
    -v prints everything.
    """
    import msgspec

    from enigma_core import config as settings
    from enigma_core import guards
    from enigma_core.cli import going_live
    from enigma_core.config.kept import FILE as KEPT
    from enigma_core.config.kept import Settings, kept
    from enigma_core.config.tree import leaves
    from enigma_core.home import Home, home_path

    if sandbox and mode == "paper":
        raise click.UsageError("--sandbox is live trading on a local exchange: leave --mode paper out, or --sandbox.")
    flags: dict[str, Any] = {
        "mode": mode or ("live" if sandbox else None),
        "sandbox": True if sandbox else None,
        "feed.use": feed or ("replay" if data else None),
        "feed.data": data,
        "feed.speed": speed,
        "feed.seed": seed,
        "timeframes.primary": timeframe,
        "services.*": False if no_services else None,
        **{f"services.{name}.enabled": True for name in services},
    }
    if not no_services or SERVER in services:
        # where it is to be is no wish to have it
        flags |= {f"services.{SERVER}.host": host, f"services.{SERVER}.port": port}
    if home is not None:
        # feeds keep what they have fetched beside the run
        os.environ["ENIGMA_HOME"] = home
    changed = kept(home_path(home))
    flags |= going_live.parts(config, strategy, sets, flags, changed)
    plan, tree, catalogue = options.planned(config, strategy, sets, flags, changed)
    if changed:
        paths = ", ".join(path for path, _ in leaves("", changed))
        tree.notes.append(f"settings changed while an earlier run was on are in force ({home_path(home) / KEPT}): {paths}")

    def load(values: Mapping[str, Any]) -> Tree:
        given = {path: value for path, value in flags.items() if value is not None}
        return settings.load(config, strategy, sets, flags=given, changed=values)

    changeable = Settings(load, catalogue, home_path(home))
    detail = bool(context.find_root().params.get("verbose"))
    again = ["enigma", "run"] + (["--mode", mode] if mode else []) + ["--sandbox"] * sandbox
    given = {"--feed": feed, "--data": data, "--speed": speed, "--seed": seed, "-c": config, "-s": strategy, "-i": timeframe}
    for option, value in given.items():
        again += [] if value is None else [option, f"{value:g}" if isinstance(value, float) else str(value)]
    again += [word for name in services for word in ("--service", name)] + ["--no-services"] * no_services
    again += ["--host", host] if host is not None else []
    again += ["--port", str(port)] if port is not None else []
    again += [word for setting in sets for word in ("--set", _unhidden(setting))] + [
        word for pair in pairs for word in ("-p", pair)
    ]
    with Home.open(home) as held, going_live.exchange(plan, held, fresh=fresh) as laid:
        if laid.settings:
            flags |= laid.settings
            plan, tree, catalogue = options.planned(config, strategy, sets, flags, changed)
        going_live.refuse(plan, held.path, tree)
        if plan.feed is not None:
            # a configuration file's symbols belong to its own feed
            other = data or feed or laid.settings
            named = () if other and tree.origin("symbols") == options.origin_of(config) else plan.symbols
            symbols, told = options.traded(plan, pairs, named, held.path)
            held.told += told
            plan = msgspec.structs.replace(plan, symbols=symbols)
        held.told[:0] = [*tree.notes, *going_live.intentions(plan, held.path)]
        if as_json:
            summary = _traded(plan, held, catalogue, changeable, fresh, seconds, _json_line, laid.running)
            _json_line(summary)
        else:
            with _shown(quiet, detail, guards.at_hand(plan.executor)) as (out, stream, observer):
                summary = _traded(plan, held, catalogue, changeable, fresh, seconds, observer, laid.running)
            out.print()
            out.print(_table(summary, stream))
            _hints(out, summary, again, home)


def _unhidden(setting: str) -> str:
    """A setting of the command line as it may be repeated; what may hold a secret is left out."""
    from enigma_core.config import masked

    path, _, value = setting.partition("=")
    return f"{path}=..." if masked(path, value) != value or (path.startswith("notifiers.") and "://" in value) else setting


def _traded(
    plan: Plan,
    home: Home,
    catalogue: Catalogue,
    settings: Settings,
    fresh: bool,
    seconds: float | None,
    observer: Observer,
    beside: Rehearsing | None,
) -> Summary:
    import asyncio
    import gc
    import signal

    import uvloop

    from enigma_core import shells

    gone: BrokenPipeError | None = None
    ended = ""
    stop = asyncio.Event()

    async def watch(running: Rehearsing) -> None:
        nonlocal ended
        while not (ended := running.fault()):
            await asyncio.sleep(1)
        stop.set()

    def observe(record: Any) -> None:
        nonlocal gone
        if gone is not None:
            return
        try:
            observer(record)
        except BrokenPipeError as error:
            # nobody reads any more (| head): the run ends as by Ctrl-C, between two events
            gone = error
            stop.set()

    async def session() -> Summary:
        loop = asyncio.get_running_loop()

        def end() -> None:
            stop.set()
            # once more, and it ends at once: the journal holds every step that was taken
            for one in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(one)

        for one in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(one, end)
        if seconds is not None:
            loop.call_later(seconds, stop.set)
        watching = asyncio.create_task(watch(beside)) if beside is not None else None
        try:
            return await shells.run(plan, home, stop=stop, observer=observe, catalogue=catalogue, settings=settings, fresh=fresh)
        finally:
            if watching is not None:
                watching.cancel()

    # what was made so far lives as long as the run: the collector need not look through it again and again
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        summary = runner.run(session())
    if gone is not None:
        raise gone
    if ended:
        raise HomeError(ended)
    return summary


def _json_line(record: Any) -> None:
    import msgspec

    from enigma_core import records, report

    kind = records.TAGS.get(type(record)) or {"RunStarted": "run_started"}.get(type(record).__name__, "summary")
    click.echo(msgspec.json.encode({"event": kind, **report.ready(record)}))


@contextlib.contextmanager
def _shown(quiet: bool, detail: bool, at: str) -> Iterator[tuple[Console, Stream, Observer]]:
    """A console, the stream of lines on it, and what takes the records; a status line below them on a terminal.

    `at` is the address of an exchange on this machine, where orders go to one.
    """
    from rich.live import Live
    from rich.text import Text

    from enigma_core.cli import display
    from enigma_core.parts import Note
    from enigma_core.shells.stream import RunStarted

    out, errors = display.console(), display.console(stderr=True)
    stream = display.Stream(None if quiet else out, detail=detail)

    def status() -> Text:
        return Text(stream.status(), "reverse", no_wrap=True, overflow="ellipsis")

    live = Live(console=out, get_renderable=status, refresh_per_second=4, transient=True)

    def observe(record: Any) -> None:
        if isinstance(record, RunStarted):
            _banner(out, record, at)
            stream.begin(record.symbols, record.equity, flat=not record.positions)
            if out.is_terminal:
                live.start()
        else:
            if quiet and isinstance(record, Note) and record.event in TROUBLE:
                errors.print(f"{display.when(record.ts)}  {record.title}: {record.text}", style="yellow", soft_wrap=True)
            stream(record)

    try:
        yield out, stream, observe
    finally:
        live.stop()


def _banner(out: Console, started: RunStarted, at: str) -> None:
    from rich.text import Text

    from enigma_core.cli import display

    real = started.mode == "live"
    word = (f" {started.mode.upper()} ", "bold white on red" if real else "bold black on yellow")
    money = {"paper": "no real money: every fill is simulated", "sandbox": "no real money: a local exchange"}
    out.print(Text.assemble(word, "  ", money.get(started.mode, f"an exchange on this machine: {at}" if at else "REAL MONEY")))
    held = f", holding {', '.join(started.positions)}" if started.positions else ""
    out.print(
        display.facts(
            "",
            {
                "market": started.market,
                "symbols": ", ".join(started.symbols),
                "strategy": f"{started.strategy}, signals on {started.timeframe}",
                "equity": display.amount(started.equity)
                if started.recovered or started.mode == "paper"
                else "as the exchange has it",
                "account": f"goes on from an earlier run{held}" if started.recovered else "begins now",
                "kept in": started.home,
            },
        )
    )
    for line in started.told:
        display.say(out, Text(f"  {line}", "yellow"), 2)
    out.print("Times are the market's, UTC. Ctrl-C ends it.", style="dim")
    out.print()


def _table(summary: Summary, stream: Stream) -> Any:
    from enigma_core.cli import display

    spanned = (summary.last_ts - summary.first_ts) / 1000 if summary.first_ts else 0
    market = f", {display.spell(spanned)} of the market's time" if spanned else ""
    change = summary.equity - summary.start_equity
    return display.facts(
        f"Run ended: {summary.reason}",
        {
            "duration": display.spell(summary.seconds) + market,
            "bars": f"{summary.bars:,}",
            "decisions": f"{summary.decisions:,}",
            **({"alerts": f"{summary.alerts:,}"} if summary.alerts else {}),
            "trades": f"{summary.trades:,}" + (f", {stream.won:,} won" if summary.trades else ""),
            "net of trades": (display.gain(summary.net), display.colour(summary.net)),
            "fees": display.amount(summary.fees),
            "equity": (f"{display.amount(summary.equity)} ({display.gain(change)})", display.colour(change)),
            "open positions": ", ".join(summary.open_positions) or "none",
        },
    )


def _hints(out: Console, summary: Summary, again: list[str], home: str | None) -> None:
    import shlex

    from rich.text import Text

    where = f" --home {shlex.quote(home)}" if home else ""
    same = shlex.join(again) + where
    hints = {"why it decided as it did": f"enigma why --last 5{where}"} if summary.decisions else {}
    hints["how the account stands"] = f"enigma status{where}"
    out.print()
    if summary.reason == ENDED:
        if not summary.bars:
            out.print("The recording is at its end: this account has traded all of it.", style="yellow")
        hints["begins anew"] = f"{same} --fresh"
    else:
        hints["goes on from here"] = same
    width = max(map(len, hints))
    for what, command in hints.items():
        # whole, to be copied: a terminal may break it, we must not
        out.print(Text.assemble((what.ljust(width), "dim"), "  ", command), soft_wrap=True)
