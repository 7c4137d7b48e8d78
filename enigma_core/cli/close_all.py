"""`enigma close-all`: the kill switch from the command line. It needs no server and no network, only the run's folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import rich_click as click

from enigma_core.cli import options


@click.command("close-all")
@options.home_option
@click.option("--wait", type=click.FloatRange(min=0), default=10.0, show_default=True, metavar="SECONDS", help="For it to be flat.")
@click.option("--reason", default="enigma close-all", metavar="TEXT", help="What is written down as the cause.")
@options.json_option
def close_all(home: str | None, wait: float, reason: str, as_json: bool) -> None:
    """Stop entries, cancel what works, close what is held, and stay so until `enigma reset halt`.

    It can be repeated, survives restarts, and works without a run too: the next one closes everything before it does anything
    else. The file HALT in the run's folder is all there is to it.
    """
    from enigma_core.home import holder, home_path
    from enigma_core.reading import journal_path
    from enigma_core.shells import control

    folder = home_path(home)
    if not holder(folder):
        # a folder where nothing ever ran is a wrong folder: the run that is meant would go on
        journal_path(folder)
    control.halt(folder, reason)
    answer = _settled(folder, wait if holder(folder) else 0)
    running = holder(folder)
    if as_json:
        import msgspec

        from enigma_core import report

        told = {**answer, "process": running, "file": str(folder / control.HALT)}
        click.echo(msgspec.json.format(msgspec.json.encode(report.ready(told)), indent=2))
    else:
        _say(answer, running, folder)
    if running and not (answer["halted"] and not answer["open_positions"]):
        raise SystemExit(1)


def _settled(folder: Path, wait: float) -> dict[str, Any]:
    """How the account stands once it is halted and flat, or when `wait` seconds are over."""
    until = time.monotonic() + wait
    while True:
        answer = _standing(folder)
        if (answer["halted"] and not answer["open_positions"] and not answer["working_orders"]) or time.monotonic() >= until:
            return answer
        time.sleep(0.2)


def _standing(folder: Path) -> dict[str, Any]:
    from enigma_core.errors import HomeError
    from enigma_core.reading import Reader, journal_path

    nothing: dict[str, Any] = {"halted": False, "open_positions": 0, "working_orders": 0, "held": []}
    try:
        path = journal_path(folder)
    except HomeError:
        return nothing
    with Reader(path) as reader:
        status = reader.status()
    return {name: status[name] for name in nothing}


def _say(answer: dict[str, Any], running: int | None, folder: Path) -> None:
    from enigma_core.cli import display

    out = display.console()
    held = ", ".join(f"{p['symbol']} {p['side']} {p['quantity'].normalize():f}" for p in answer["held"])
    if not running:
        out.print(
            f"No run is on. The file HALT lies in {folder}: the next run closes {held or 'whatever is held'} before anything else."
        )
    elif not answer["halted"]:
        out.print("The run has not answered yet. The file HALT stays where it is and is obeyed as soon as it can be.")
    elif held:
        out.print(f"Halted. Not closed yet: {held}; their orders wait for the market.")
    else:
        out.print("Halted: entries are stopped, nothing is held, nothing works.")
    out.print("`enigma reset halt` lets it trade again.")
