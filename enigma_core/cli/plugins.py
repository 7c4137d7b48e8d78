"""`enigma plugins`: what is installed, who offers it, and what is wrong with the rest."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import rich_click as click

if TYPE_CHECKING:
    from enigma_core.plugins import Catalogue

TOOLS = "enigma_core.cli.plugin_tools"
COMMANDS = {"list": "", "check": f"{TOOLS}:check", "new": f"{TOOLS}:new", "install": f"{TOOLS}:install"}


class Plugins(click.RichGroup):
    """A group whose tools are imported when they are called; without a subcommand it lists."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if place := COMMANDS.get(cmd_name):
            module, attribute = place.split(":")
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command
        return super().get_command(ctx, cmd_name)


_kind = click.option("--kind", metavar="KIND", help="Only this kind: indicator, gate, sizer, exit, feed, executor...")
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group(cls=Plugins, invoke_without_command=True)
@_kind
@_json
@click.pass_context
def plugins(ctx: click.Context, kind: str | None, as_json: bool) -> None:
    """List, check, write and install plugins. Without a subcommand: list."""
    if ctx.invoked_subcommand is None:
        show(kind, as_json)


@plugins.command("list")
@_kind
@_json
@click.pass_context
def list_(ctx: click.Context, kind: str | None, as_json: bool) -> None:
    """List every part on offer, by kind, and what is wrong with plugins that offer nothing."""
    outer = ctx.parent.params if ctx.parent else {}
    show(kind or outer.get("kind"), as_json or bool(outer.get("as_json")))


def show(kind: str | None, as_json: bool) -> None:
    """Print the catalogue, or its parts of one kind. Raises `PluginError` for a kind that does not exist."""
    from enigma_core.parts import KINDS
    from enigma_core.plugins import Catalogue

    catalogue = Catalogue.installed()
    if kind is not None and kind not in KINDS and kind.removesuffix("s") in KINDS:
        kind = kind.removesuffix("s")
    kinds = list(KINDS) if kind is None else [kind]
    rows = [_row(catalogue, one, name) for one in kinds for name in catalogue.parts(one)]
    faults = [fault._asdict() for fault in catalogue.faults]
    if as_json:
        click.echo(json.dumps({"parts": rows, "faults": [{**fault, "parts": list(fault["parts"])} for fault in faults]}, indent=2))
        return
    _print(rows, [fault["sentence"] for fault in faults])


def _row(catalogue: Catalogue, kind: str, name: str) -> dict[str, Any]:
    from enigma_core.config.complete import part_defaults

    offer = catalogue.parts(kind)[name]
    return {
        "kind": kind,
        "name": name,
        "distribution": offer.distribution,
        "version": offer.version,
        "module": offer.module,
        "about": (offer.part.__doc__ or "").strip().partition("\n")[0],
        "settings": part_defaults(offer.part),
    }


def _print(rows: list[dict[str, Any]], faults: list[str]) -> None:
    from rich.table import Table
    from rich.text import Text

    from enigma_core.cli.display import console as screen

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("kind", "name", "from", "what it is"):
        table.add_column(column, overflow="fold")
    for row in rows:
        origin = f"{row['distribution']} {row['version']}".rstrip()
        table.add_row(Text(row["kind"], "dim"), Text(row["name"], "cyan"), Text(origin, "dim"), Text(row["about"]))
    console = screen()
    console.print(table)
    counts = ", ".join(f"{n} {kind}{'s' * (n != 1)}" for kind, n in Counter(row["kind"] for row in rows).items())
    console.print(f"\n{len(rows)} parts: {counts}" if rows else "no parts")
    if faults:
        console.print(f"\n{len(faults)} not usable:", style="bold red")
        for fault in faults:
            console.print(Text(f"- {fault}", "red"))
