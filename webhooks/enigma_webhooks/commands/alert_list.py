"""`enigma alert list`: the alerts that came and what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import rich_click as click

from enigma_core.alert import Outcome
from enigma_core.cli import options

if TYPE_CHECKING:
    from pathlib import Path

WIDE = 132
"""Columns of a screen that takes the whole table; a narrower one gets a line for each alert, and one for its reason."""

SHOWN = 20
"""Alerts listed where nobody says how many."""

STATES = ("waiting", "rejected", "unfilled", *get_args(Outcome))


@click.command("list")
@click.option("-n", "count", type=click.IntRange(1, 100_000), help="How many, the newest. [default: 20; with --jsonl all]")
@click.option("--outcome", type=click.Choice(STATES), metavar="OUTCOME", help=f"Only those with this outcome: {', '.join(STATES)}.")
@options.json_option
@click.option("--jsonl", is_flag=True, help="One stored alert a line, oldest first: enigma backtest --alerts reads it back.")
@options.home_option
@click.option("--db-url", metavar="FILE", help="A journal elsewhere: a path or sqlite:///PATH.")
def list_(count: int | None, outcome: str | None, as_json: bool, jsonl: bool, home: str | None, db_url: str | None) -> None:
    """List the alerts that came, newest first, and what became of each. Times are the wall's, UTC."""
    from enigma_core.reading import journal_path
    from enigma_webhooks.commands._kept import ALL, Kept, line_of, run_folder

    path = journal_path(run_folder(home), db_url)
    with Kept(path) as kept:
        found = kept.newest(count or (ALL if jsonl else SHOWN), outcome)
    if jsonl:
        import msgspec

        for row, alert in reversed(found):
            if alert is not None:
                click.echo(msgspec.json.encode(line_of(row, alert)))
    elif as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode([line_of(row, alert) for row, alert in found]), indent=2))
    else:
        _show([row for row, _ in found], path, outcome)


def _show(rows: list[dict[str, Any]], path: Path, outcome: str | None) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from enigma_core.cli import display
    from enigma_webhooks.commands._kept import second

    out = display.console()
    if not rows:
        none = f"no alert whose outcome is {outcome}" if outcome else "no alerts"
        out.print(f"{path} holds {none}. `enigma alert url` says where they are to be sent.")
        return
    if out.width < WIDE:
        for row in rows:
            head = f"{second(row['received'])}  {row['id']:<21}  {row['symbol'] or '-':<13}  {_asked(row):<7}  "
            out.print(Text.assemble(head, (row["state"], colour(row["state"]))), soft_wrap=True)
            if row["reason"] not in ("", row["state"]):
                display.say(out, Text(f"    {row['reason']}", "dim"), 4)
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), header_style="dim")
    for name in ("received", "id", "source", "symbol", "asked", "mode", "outcome", "reason"):
        table.add_column(name, no_wrap=name in ("received", "id"), overflow="fold")
    for row in rows:
        cells = (second(row["received"]), row["id"], row["source"], row["symbol"] or "-", _asked(row), row["mode"] or "-")
        table.add_row(
            *map(Text, cells),
            Text(row["state"], colour(row["state"])),
            Text(row["reason"]),
        )
    out.print(table)


def _asked(row: dict[str, Any]) -> str:
    return row["position"] or row["action"] or "-"


def colour(outcome: str) -> str:
    """The style of an outcome: green where something was done, red where it was not, dim while it waits."""
    if outcome in ("entered", "closed", "reduced", "cancelled", "voted", "vetoed"):
        return "green"
    return (
        "red"
        if outcome in ("refused", "rejected", "expired", "halted", "unfilled")
        else "dim"
        if outcome in ("waiting", "ignored")
        else ""
    )
