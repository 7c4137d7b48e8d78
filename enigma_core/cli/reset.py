"""`enigma reset`: what an operator closes or opens again by hand, in a run that is on, or in the journal of one that is not."""

from __future__ import annotations

import time
from pathlib import Path

import rich_click as click

from enigma_core.cli import options
from enigma_core.errors import HomeError

PATIENCE = 5.0
"""Seconds that a run may take to obey."""

COMMANDS = {"breaker": "reset_breaker", "halt": "resume"}
DONE = {
    "breaker": "The circuit breaker is closed: no losing trade is counted any more.",
    "halt": "Trading is ACTIVE again.",
}


@click.command()
@click.argument("what", type=click.Choice(["breaker", "halt"]))
@options.home_option
@options.json_option
@click.option("--reason", default="enigma reset", metavar="TEXT", help="What is written down as the cause.")
def reset(what: str, home: str | None, as_json: bool, reason: str) -> None:
    """Close the circuit BREAKER after losses in a row, or end a HALT so that entries are allowed again."""
    from enigma_core.home import holder, home_path
    from enigma_core.shells import control

    folder = home_path(home)
    wanted = control.Wanted(command=COMMANDS[what], reason=reason)
    if holder(folder):
        path = control.ask(folder, wanted)
        until = time.monotonic() + PATIENCE
        while path.exists():
            if time.monotonic() > until:
                raise HomeError(f"the run in {folder} has not obeyed within {PATIENCE:g} s; the command waits in {path}")
            time.sleep(0.05)
    else:
        _written(folder, wanted)
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode({"reset": what, "reason": reason}))
    else:
        click.echo(DONE[what])


def _written(folder: Path, wanted: object) -> None:
    """No run is on: what it would have written is written here."""
    from enigma_core import database
    from enigma_core.home import Home
    from enigma_core.reading import journal_path
    from enigma_core.shells import control

    assert isinstance(wanted, control.Wanted)
    if wanted.command == "resume" and (folder / control.HALT).exists():
        (folder / control.HALT).unlink(missing_ok=True)
        if not any((folder / name).exists() for name in ("paper.sqlite", "sandbox.sqlite", "live.sqlite")):
            return
    path = journal_path(folder)
    stamp = database.stamp(path)
    with Home.open(folder) as home, home.journal(stamp.mode, stamp.identity) as journal:
        ts = journal.last_ts or 0
        journal.write([wanted.at(ts)], ts)
