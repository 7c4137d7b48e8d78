"""`enigma strategies`: the strategies at hand, and what each changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import rich_click as click


@click.command()
@click.option("-c", "--config", type=click.Path(dir_okay=False), help="Configuration file. [default: strategy_config.json]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def strategies(config: str | None, as_json: bool) -> None:
    """List the strategies at hand and what each changes of the configuration."""
    from enigma_core import config as settings
    from enigma_core.errors import ConfigError
    from enigma_core.plugins import Catalogue

    file = Path(config or settings.FILE)
    catalogue = Catalogue.load(settings.plugin_folders(file))
    base = {path: value for path, value, _ in settings.explained(settings.load(config, settings.NO_STRATEGY, env={}), catalogue)}
    found: list[dict[str, Any]] = []
    for name, path in settings.strategies(settings.strategy_folders(file)).items():
        row: dict[str, Any] = {"name": name, "path": str(path), "description": "", "changes": {}, "fault": None}
        try:
            row["description"] = settings.description(path)
            tree = settings.load(config, str(path), env={})
            row["changes"] = {
                at: value
                for at, value, _ in settings.explained(tree, catalogue)
                if at != "strategy" and not (at in base and base[at] == value)
            }
        except ConfigError as error:
            row["fault"] = str(error)
        found.append(row)
    if as_json:
        click.echo(json.dumps({"strategies": found}, indent=2, default=str))
        return
    _print(found)


def _print(found: list[dict[str, Any]]) -> None:
    from rich.text import Text

    from enigma_core.cli.display import console as screen
    from enigma_core.cli.display import say

    console = screen()
    if not found:
        console.print("there is no strategy here; one is a file strategies/NAME.yaml")
    for row in found:
        said = f"  {row['description']}" if row["description"] else ""
        say(console, Text.assemble((row["name"], "bold cyan"), said, "  ", (row["path"], "dim")), 2)
        if row["fault"]:
            say(console, Text(f"  {row['fault']}", "red"), 4)
        elif not row["changes"]:
            console.print(Text("  changes nothing", "dim"))
        for path, value in row["changes"].items():
            say(console, Text.assemble((f"  {path} = ", "dim"), json.dumps(value, default=str)), 4)
