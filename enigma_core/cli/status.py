"""`enigma status`: how the account stands, while a run is on and after it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click

from enigma_core.cli import options


@click.command()
@options.json_option
@options.home_option
@click.option("--db-url", metavar="FILE", help="A journal elsewhere: a path or sqlite:///PATH.")
def status(as_json: bool, home: str | None, db_url: str | None) -> None:
    """Show equity, open positions and counts of a run, now or after it."""
    from enigma_core.home import holder, home_path
    from enigma_core.reading import Reader, journal_path
    from enigma_core.shells.control import HALT

    folder = home_path(home)
    path = journal_path(folder, db_url)
    with Reader(path) as reader:
        answer = {**reader.status(), "process": None if db_url else holder(folder)}
    # a journal elsewhere says nothing of this folder
    answer["halt_file"] = not db_url and (folder / HALT).exists()
    if as_json:
        import msgspec

        from enigma_core import report

        click.echo(msgspec.json.format(msgspec.json.encode(report.ready(answer)), indent=2))
    else:
        _show(answer, path)


def _show(s: dict[str, Any], path: Path) -> None:
    from enigma_core import report
    from enigma_core.cli import display

    out = display.console()
    state = s["state"] + (f" ({s['reason']})" if s["reason"] else "")
    if s["halt_file"] and not s["halted"]:
        state += ", but a file HALT lies here: the next run closes everything" if not s["process"] else ", and is being halted"
    day = s["equity"] - s["day_equity"]
    rows = {
        "mode": (s["mode"], "bold red" if s["mode"] == "live" else "bold"),
        "state": (state, "green" if s["state"] == "ACTIVE" and not s["halt_file"] else "bold yellow"),
        "run": f"goes on in process {s['process']}" if s["process"] else "none at present",
        "market": s["market"],
        **({"entries": (_blocked(s["blocked"]), "yellow")} if s["process"] and s["blocked"] else {}),
        **({"held by others": ", ".join(_beside(b, display) for b in s["beside"])} if s["beside"] else {}),
        "equity": (display.amount(s["equity"]), "bold"),
        "cash": display.amount(s["cash"]),
        "today": (display.gain(day), display.colour(day)),
        "losses in a row": str(s["losses_in_row"]),
        "open positions": str(s["open_positions"]),
        "working orders": str(s["working_orders"]) + (f", {s['unknown_orders']} unclear" if s["unknown_orders"] else ""),
        "trades": str(s["trades"]),
        "decisions": str(s["decisions"]),
        "alerts": str(s["alerts"]),
        "last bar": "-" if not s["last_ts"] else f"{display.when(s['last_ts'])} UTC; the figures have what came since",
    }
    out.print(display.facts(f"Account in {path}", rows))
    if s["held"]:
        heading = ("symbol", "side", "contracts", "leverage", "entry", "mark", "stop", "unrealised", "since")
        out.print()
        out.print(
            display.grid("Open positions", heading, [_held(p, display, report) for p in s["held"]], ("since", "leverage", "stop"))
        )


def _blocked(blocked: list[dict[str, str]]) -> str:
    return "; ".join(f"none in {b['symbol']}: {b['reason']}" if b["symbol"] else f"none: {b['reason']}" for b in blocked)


def _beside(b: dict[str, Any], display: Any) -> str:
    return f"{b['symbol']} {b['side']} {b['quantity']:,f} at {display.price(b['price'])}"


def _held(p: dict[str, Any], display: Any, report: Any) -> tuple[Any, ...]:
    return (
        p["symbol"],
        (p["side"], "green" if p["side"] == "long" else "red"),
        report.plain(p["quantity"]),
        f"{p['leverage']}x",
        display.price(p["entry_price"]),
        display.price(p["mark"]),
        "-" if p["stop"] is None else display.price(p["stop"]),
        (display.gain(p["unrealised"]), display.colour(p["unrealised"])),
        display.when(p["entry_ts"]),
    )
