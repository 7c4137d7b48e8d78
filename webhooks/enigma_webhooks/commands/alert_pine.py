"""`enigma alert pine`: a Pine script to start from."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

SCRIPTS = ("strategy", "indicator")


@click.command()
@click.argument("script", type=click.Choice(SCRIPTS), default="strategy")
@click.option("-o", "--output", metavar="FILE", help="Write it there instead of printing it.")
@click.option("--force", is_flag=True, help="Write over a file that is there already.")
def pine(script: str, output: str | None, force: bool) -> None:
    """Print a Pine script that sends messages: a complete strategy, or an indicator with its values.

    Its first lines say how to set up the alert at TradingView.
    """
    from enigma_core.cli import options
    from enigma_core.errors import ConfigError

    text = source(script)
    if output is None:
        click.echo(text, nl=False)
        return
    path = options.writable(Path(output), "-o")
    if path.exists() and not force:
        raise ConfigError(f"{path} is there already, perhaps with changes of yours: name another file, or give --force")
    options.write(path, text, "-o")
    click.echo(f"{script}.pine is written to {path}: paste it into TradingView's Pine editor")


def source(script: str) -> str:
    """The text of ``pine/SCRIPT.pine`` in the strategies that come with the program. Raises `ConfigError` where it is missing."""
    import enigma_core
    from enigma_core.errors import ConfigError

    package = Path(enigma_core.__file__).resolve().parent
    for folder in (package / "strategies", package.parent / "strategies"):
        path = folder / "pine" / f"{script}.pine"
        if path.is_file():
            return path.read_text("utf-8")
    raise ConfigError(f"pine/{script}.pine is missing from {package / 'strategies'}: install the program again")
