"""`enigma replay`: what was recorded of a run through the engine again."""

from __future__ import annotations

import contextlib
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from enigma_core.cli import options
from enigma_core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from enigma_core.alert import Alert
    from enigma_core.plan import Plan
    from enigma_core.shells.replaying import Past, Replayed
    from enigma_core.shells.stream import Summary

WIDE = 120
"""Columns of a screen that takes the whole table."""

SYNTHETIC = re.compile(r"synthetic:seed=(\d+),timeframe=(\w+)")
SPANS = {"s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


class Moment(click.ParamType[int]):
    """A time, or how long ago: ms."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if found := re.fullmatch(r"(\d{1,9}(?:\.\d+)?) ?(s|min|m|h|d|w)", value.strip(), re.ASCII):
            return round(time.time() * 1000 - float(found[1]) * SPANS[found[2]])
        try:
            read = datetime.fromisoformat(value.strip())
            return round((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp() * 1000)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time: write 2026-01-31, 2026-01-31T12:00, or how long ago, as in 2h or 3d", param, ctx)


@click.group()
def replay() -> None:
    """Take what a run has recorded through the engine again."""


@replay.command("alerts")
@click.option("--since", type=Moment(), required=True, metavar="WHEN", help="Received from then on: 2026-01-31T12:00, or 2h ago.")
@click.option("--until", type=Moment(), metavar="WHEN", help="Received before then.")
@click.option(
    "--speed", type=click.FloatRange(min=0), default=0.0, metavar="X", help="Times real time. [default: 0, as fast as possible]"
)
@click.option("--data", type=click.Path(), metavar="DIR", help="Recorded candles, for a market that cannot be made again.")
@click.option("--home-out", type=click.Path(file_okay=False, path_type=Path), help="A new folder to keep what comes of it.")
@options.settings_options
@options.json_option
@options.home_option
@click.option("--db-url", metavar="FILE", help="A journal elsewhere: a path or sqlite:///PATH.")
def alerts(
    since: int,
    until: int | None,
    speed: float,
    data: str | None,
    home_out: Path | None,
    config: str | None,
    strategy: str | None,
    sets: tuple[str, ...],
    pairs: tuple[str, ...],
    timeframe: str | None,
    as_json: bool,
    home: str | None,
    db_url: str | None,
) -> None:
    """Work stored alerts again, on paper, and say what came of each then and now.

    The account begins as it stood before the first of them, in a folder of its own; that of --home is only read. The market
    is the run's own where it can be made again, else that of --data. The settings are today's.
    """
    from enigma_core.home import home_path
    from enigma_core.reading import journal_path
    from enigma_core.shells.replaying import Past, replay_alerts

    path = journal_path(home_path(home), db_url)
    with Past(path) as past, _folder(home_out) as out:
        came = past.came(since, float("inf") if until is None else until)
        if not came:
            raise DataError(f"{path} holds no alerts received in that time; `enigma alert list` shows those it has")
        plan, notes = _planned(past, came, data, config, strategy, sets, pairs, timeframe)
        found, summary = replay_alerts(plan, past, came, out, speed=speed)
    if as_json:
        _print_json(found, summary, notes)
    else:
        _print_table(found, summary, notes, home_out)


@contextlib.contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="enigma-replay-") as made:
        yield Path(made)


def _planned(
    past: Past,
    came: Sequence[Alert],
    data: str | None,
    config: str | None,
    strategy: str | None,
    sets: tuple[str, ...],
    pairs: tuple[str, ...],
    timeframe: str | None,
) -> tuple[Plan, list[str]]:
    """The plan to trade, on the market of `past`, and what a person should know. Raises `ConfigError` where there is none."""
    import msgspec

    flags: dict[str, Any] = {"timeframes.primary": timeframe}
    market = past.stamp.identity
    if data is not None:
        flags |= {"feed.use": "replay", "feed.data": data}
    elif made := SYNTHETIC.fullmatch(market):
        flags |= {"feed.use": "synthetic", "feed.seed": int(made[1]), "feed.timeframe": made[2]}
    plan, tree, _ = options.planned(config, strategy, sets, flags)
    feed = plan.feed
    if feed is None or not feed.simulated or (data is None and feed.identity() != market):
        raise ConfigError(f"the market of that run, {market}, cannot be made again: give its recorded candles with --data DIR")
    notes = list(tree.notes)
    if pairs:
        symbols = options.pick(feed, pairs, ())
    else:
        offered = feed.symbols() if data is not None else past.symbols()
        symbols = tuple(s for s in past.symbols() if s in offered)
        if missing := [s for s in past.symbols() if s not in offered]:
            notes.append(f"{', '.join(missing)}: not in {data}, so what was asked of them is refused")
    if not symbols:
        raise DataError(f"{data} has none of the symbols of that run: {', '.join(past.symbols())}")
    if data is not None:
        _covered(plan, symbols, came, data)
    return msgspec.structs.replace(plan, mode="paper", symbols=symbols), notes


def _covered(plan: Plan, symbols: Sequence[str], came: Sequence[Alert], data: str) -> None:
    """Raise `DataError` where the candles do not reach as far as the alerts."""
    from enigma_core.cli.display import when

    assert plan.feed is not None
    base = plan.feed.base_timeframe()
    bars = [c for symbol in symbols if len(c := plan.feed.history(symbol, base))]
    if not bars:
        raise DataError(f"{data} has no bars of {', '.join(symbols)}")
    first, last = min(int(c.ts[0]) for c in bars), max(int(c.ts[-1]) for c in bars)
    if came[0].ts < first or came[0].ts > last:
        raise DataError(f"{data} has bars from {when(first)} to {when(last)} UTC, and the alerts begin at {when(came[0].ts)}")


def _print_json(found: Sequence[Replayed], summary: Summary, notes: Sequence[str]) -> None:
    import msgspec

    from enigma_core import report

    rows = [
        {
            "id": each.alert.id,
            "ts": each.alert.ts,
            "received": each.alert.received,
            "symbol": each.alert.request.symbol,
            "asked": each.alert.request.position or each.alert.request.action,
            "then": msgspec.structs.asdict(each.then),
            "now": msgspec.structs.asdict(each.now),
            "differs": each.differs,
        }
        for each in found
    ]
    differing = sum(each.differs for each in found)
    answer = {"alerts": rows, "count": len(rows), "differing": differing, "equity": summary.equity, "notes": list(notes)}
    click.echo(msgspec.json.format(msgspec.json.encode(report.ready(answer)), indent=2))


def _print_table(found: Sequence[Replayed], summary: Summary, notes: Sequence[str], kept: Path | None) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from enigma_core.cli import display

    out = display.console()
    for note in notes:
        display.say(out, Text(f"  {note}", "yellow"), 2)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), header_style="dim")
    for name in ("came", "id", "symbol", "asked", "then", "now"):
        table.add_column(name, no_wrap=name in ("came", "id"), overflow="fold")
    for each in found:
        request = each.alert.request
        now = Text(_told(each.now), "bold yellow") if each.differs else Text("the same", "dim")
        cells = (display.when(each.alert.ts), each.alert.id, request.symbol, request.position or request.action or "-")
        if out.width < WIDE:
            out.print("  ".join(cells), soft_wrap=True)
            display.say(out, Text(f"    then  {_told(each.then)}"), 10)
            display.say(out, Text.assemble("    now   ", now), 10)
        table.add_row(*map(Text, cells), Text(_told(each.then)), now)
    if out.width >= WIDE:
        out.print(table)
    differing = sum(each.differs for each in found)
    told = f"something else came of {differing:,}" if differing else "the same came of all"
    out.print(
        f"{len(found):,} {'alert' if len(found) == 1 else 'alerts'} worked again in {display.spell(summary.seconds)}: {told}."
    )
    out.print("Times are the market's, UTC.", style="dim")
    if kept is not None:
        out.print(f"What came of it is in {kept}: enigma why --last 5 --home {kept}", soft_wrap=True)


def _told(ending: Any) -> str:
    from enigma_core.cli import display

    said = display.ending(ending.outcome, ending.reason)
    return said + (f", {display.gain(ending.net)} net" if ending.net is not None else "")
