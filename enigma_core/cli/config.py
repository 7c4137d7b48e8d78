"""`enigma config`: what the settings come to, whether they are sound, and their JSON schema."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click
from click.exceptions import Exit

from enigma_core.cli import options, trouble

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("-c", "--config", "file", type=click.Path(dir_okay=False), help="File. [default: strategy_config.json]"),
    click.option("-s", "--strategy", metavar="NAME", help="Strategy to lay over it: a name of strategies/, or a file."),
    click.option("--set", "sets", metavar="PATH=VALUE", multiple=True, help="One setting, as in gates.score.min=60. Repeatable."),
    click.option("-i", "--timeframe", metavar="TIMEFRAME", help="Primary timeframe, as in 30m."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
)


def _settings(command: F) -> F:
    return functools.reduce(lambda made, option: option(made), reversed(_OPTIONS), command)


@click.group(cls=click.RichGroup)
def config() -> None:
    """Show and check the settings, write their JSON schema."""


@config.command()
@_settings
@click.option("--defaults", is_flag=True, help="Print the complete default configuration, as in strategy_config.json.")
def show(
    file: str | None, strategy: str | None, sets: tuple[str, ...], timeframe: str | None, as_json: bool, defaults: bool
) -> None:
    """Show every setting and where it comes from: default, file, strategy, environment or command line."""
    from enigma_core import config as settings
    from enigma_core.config.complete import text
    from enigma_core.plugins import Catalogue

    if defaults:
        if file or strategy or sets or timeframe:
            raise click.UsageError("--defaults takes no other settings")
        click.echo(text(settings.complete(Catalogue.load())), nl=False)
        return
    tree = _tree(file, strategy, sets, timeframe)
    rows = list(settings.explained(tree, Catalogue.load(tree.plugin_folders)))
    if as_json:
        listed = [{"path": path, "value": value, "from": origin} for path, value, origin in rows]
        click.echo(json.dumps({"settings": listed, "notes": tree.notes}, indent=2, default=str))
        return
    from rich.text import Text

    from enigma_core.cli.display import console as screen

    console = screen()
    width = max(len(path) for path, _, _ in rows)
    for path, value, origin in rows:
        plain = origin == "default"
        line = Text.assemble((path.ljust(width), "dim" if plain else "cyan"), "  ", json.dumps(value, default=str))
        console.print(line if plain else line + Text(f"  ({origin})", "dim"), soft_wrap=True)
    for note in tree.notes:
        console.print(Text(f"note: {note}", "yellow"))


@config.command()
@_settings
def check(file: str | None, strategy: str | None, sets: tuple[str, ...], timeframe: str | None, as_json: bool) -> None:
    """Check all settings at once. Exit code 1 and one sentence for each that cannot be used."""
    from enigma_core import config as settings
    from enigma_core.errors import ConfigError
    from enigma_core.plugins import Catalogue

    notes: list[str] = []
    unused: list[str] = []
    try:
        tree = _tree(file, strategy, sets, timeframe)
        catalogue = Catalogue.load(tree.plugin_folders)
        _, problems = settings.examine(tree, catalogue)
        notes = tree.notes
        unused = [fault.sentence for fault in catalogue.faults]
    except ConfigError as error:
        problems = (str(error),)
    if as_json:
        click.echo(json.dumps({"ok": not problems, "problems": problems, "notes": notes, "plugin_faults": unused}, indent=2))
    else:
        for problem in problems:
            trouble.say(problem)
        for note in notes:
            click.echo(f"note: {note}", err=True)
        if not problems:
            click.echo("the settings are sound")
    if problems:
        raise Exit(1)


@config.command()
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="Write it to this file. [default: stdout]")
@click.option("--built-in", is_flag=True, help="Only what comes with enigma itself, no installed or local plugins.")
@click.option("--json", "as_json", is_flag=True, help="Accepted everywhere; a schema is JSON anyway.")
def schema(output: str | None, built_in: bool, as_json: bool) -> None:
    """Print a JSON schema of everything that can be set here, installed plugins included."""
    from enigma_core import config as settings
    from enigma_core.plugins import Catalogue

    catalogue = Catalogue.built_in() if built_in else Catalogue.installed()
    text = json.dumps(settings.schema(catalogue), indent=1, ensure_ascii=False) + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    options.write(options.writable(Path(output), "-o"), text, "-o")
    click.echo(json.dumps({"written": output}) if as_json else f"wrote {output}")


def _tree(file: str | None, strategy: str | None, sets: tuple[str, ...], timeframe: str | None) -> Any:
    from enigma_core import config as settings

    return settings.load(file, strategy, sets, flags={"timeframes.primary": timeframe} if timeframe else None)
