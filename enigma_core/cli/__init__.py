"""The `enigma` command: a table of subcommands, each imported only when it is called.

`enigma --help` must answer at once, so the table carries each command's one line of help and nothing behind it is
imported. Commands that plugins bring (hook `enigma_commands`) are looked up when a name is typed that the table does not
know, and for `enigma --help-all`.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 130 interrupted, 141 the reader of its output has gone.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import shutil
import sys
from typing import Any, NoReturn

import rich_click as click
from click import HelpFormatter
from click.exceptions import Exit

from enigma_core.cli import trouble
from enigma_core.errors import EnigmaError

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("enigma_core.cli.run:run", "Trade: on paper, on a local exchange, on a real account."),
    "backtest": ("enigma_core.cli.backtest:backtest", "Trade a folder of candles and report what came of it."),
    "why": ("enigma_core.cli.why:why", "Explain a decision, or why nothing was done."),
    "close-all": ("enigma_core.cli.close_all:close_all", "The kill switch: stop entries, close everything."),
    "reset": ("enigma_core.cli.reset:reset", "Close the circuit breaker again, or end a halt."),
    "notify": ("enigma_core.cli.notify:notify", "Send a test through every notifier."),
    # the shelf beside the core brings this one; like every name here it is looked up when it is called
    "alert": ("enigma_webhooks.commands.alert:alert", "Read, test, list and explain TradingView alerts."),
    "replay": ("enigma_core.cli.replay:replay", "Put stored alerts through the engine once more."),
    "screener": ("enigma_screener.command:screener", "Rank the markets by what trading would make of them."),
    "download": ("enigma_core.cli.download:download", "Fetch history (candles, funding), resumable, with a gap report."),
    "sandbox": ("enigma_sandbox.command:sandbox", "A local exchange that speaks KuCoin Futures, to rehearse on."),
    "simulate": ("enigma_simulation.command:simulate", "Run the engine through faulty markets out of seeds."),
    "status": ("enigma_core.cli.status:status", "Show equity, positions and counts, during a run or after."),
    "doctor": ("enigma_core.cli.doctor:doctor", "Check the installation, the settings and the run's folder."),
    "plugins": ("enigma_core.cli.plugins:plugins", "List, check, write and install plugins."),
    "strategies": ("enigma_core.cli.strategies:strategies", "List the strategies at hand and what each changes."),
    "config": ("enigma_core.cli.config:config", "Show and check the settings, write their JSON schema."),
}
"""Every built-in subcommand: where it is, and its one line of help."""

BROKEN_PIPE = 141
"""As a shell says that SIGPIPE ended a program."""

PANELS = {
    "Trade": ("run", "backtest", "screener", "close-all", "reset"),
    "Rehearse": ("sandbox", "simulate"),
    "Alerts": ("alert", "replay", "notify"),
    "Look into it": ("why", "status", "doctor", "download"),
    "Set it up": ("plugins", "strategies", "config"),
}


class Root(click.RichGroup):
    """The root group: lazy, and the one place where an exception becomes a sentence and an exit code."""

    _with_plugins = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        names = [*COMMANDS, *(name for name in super().list_commands(ctx) if name not in COMMANDS)]
        if self._with_plugins:
            names += [name for name in _plugin_commands() if name not in names]
        return names

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            module, attribute = COMMANDS[cmd_name][0].split(":")
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command
        return super().get_command(ctx, cmd_name) or _plugin_commands().get(cmd_name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None and not ctx.resilient_parsing and not name.startswith("-"):
            known = [*COMMANDS, *super().list_commands(ctx), *_plugin_commands()]
            import difflib

            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(known)}."
            raise click.UsageError(f"There is no command {name!r}. {hint}", ctx)
        return super().resolve_command(ctx, args)

    def get_help(self, ctx: click.Context) -> str:
        """The root's own page, laid out by click itself: rich would take as long again as everything else together."""
        page = HelpFormatter(width=min(shutil.get_terminal_size().columns, 110))
        heading = _heading if trouble.coloured(sys.stdout) else str
        page.write(f"{heading('Usage:')} enigma [OPTIONS] COMMAND [ARGS]...\n\n{self.help}\n")
        panels = {title: [(name, COMMANDS[name][1]) for name in names] for title, names in PANELS.items()}
        if self._with_plugins:
            panels["From plugins"] = [(n, c.get_short_help_str(90)) for n, c in sorted(_plugin_commands().items())]
        panels["Options"] = [record for p in self.get_params(ctx) if (record := p.get_help_record(ctx))]
        for title, rows in panels.items():
            if rows:
                page.write(f"\n{heading(title + ':')}\n")
                page.indent()
                page.write_dl([(f"{name:<10}", text) for name, text in rows])
                page.dedent()
        page.write("\nThe first thing to try: enigma run. Each command explains itself: enigma run --help.")
        return page.getvalue()

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EnigmaError as error:
            trouble.say(str(error), error if ctx.params.get("verbose") else None)
            raise Exit(1) from None
        except KeyboardInterrupt:
            click.echo(err=True)
            raise Exit(130) from None
        except BrokenPipeError:
            # what is left in the buffers would raise once more at the end of the interpreter
            _silence_stdout()
            raise Exit(BROKEN_PIPE) from None
        except (click.ClickException, Exit, click.Abort, EOFError):
            raise
        except Exception as error:  # noqa: BLE001 - the last door before the person: it becomes a sentence
            if isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):
                # Python wraps what a class body in the middle of its import raises, Ctrl-C too
                click.echo(err=True)
                raise Exit(130) from None
            trouble.defect(error, verbose=bool(ctx.params.get("verbose")))
            raise Exit(1) from None


def _silence_stdout() -> None:
    """What is written from here on goes nowhere."""
    with contextlib.suppress(ValueError, OSError):  # a stdout that is no file has nothing to try again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _heading(text: str) -> str:
    return click.style(text, bold=True, fg="cyan")


def _plugin_commands() -> dict[str, click.Command]:
    """Commands that plugins offer, by name. The built-in names are taken: a plugin cannot replace them."""
    from enigma_core.plugins import Catalogue

    found: dict[str, click.Command] = {}
    for command in Catalogue.installed().commands():
        if isinstance(command, click.Command) and command.name and command.name not in COMMANDS:
            found.setdefault(command.name, command)
    return found


def _help_all(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        root: Root = ctx.command  # type: ignore[assignment]
        root._with_plugins = True
        click.echo(root.get_help(ctx), color=ctx.color)
        ctx.exit()


@click.group(
    cls=Root,
    name="enigma",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(None, "--version", package_name="miniature-enigma", prog_name="enigma", message="%(prog)s %(version)s")
@click.option("-v", "--verbose", count=True, help="Say more on stderr, tracebacks included; -vv: everything.")
@click.option(
    "--help-all",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_help_all,
    help="This message with the commands plugins bring.",
)
def root(verbose: int) -> None:
    """A strategy engine for crypto perpetual futures whose every indicator and risk rule is a plugin."""
    trouble.log_to_stderr(verbose)


def main() -> NoReturn:
    """The entry point of the installed command."""
    code: Any = 1
    try:
        root.main(prog_name="enigma")
    except SystemExit as end:
        code = end.code
    try:
        sys.stdout.flush()
    except (BrokenPipeError, ValueError):
        # the reader has gone (| head): nothing to tell anybody, and the interpreter must not try again at its end
        _silence_stdout()
    # the interpreter would look through all that was made for cycles once more before it ends
    gc.freeze()
    sys.exit(code)
