"""`enigma alert`: what is understood of a message, a message to start from, and the alerts that came."""

from __future__ import annotations

import importlib

import rich_click as click

HERE = "enigma_webhooks.commands"
COMMANDS: dict[str, tuple[str, str]] = {
    "lint": (f"{HERE}.alert_lint:lint", "Say what is understood of a message."),
    "pine": (f"{HERE}.alert_pine:pine", "Print a Pine script that sends messages."),
    "url": (f"{HERE}.alert_url:url", "Say what to enter at TradingView."),
    "test": (f"{HERE}.alert_test:test", "Send a test alert to the running server."),
    "list": (f"{HERE}.alert_list:list_", "List the alerts that came and what became of them."),
    "show": (f"{HERE}.alert_show:show", "Show one alert whole."),
}
"""Every subcommand: where it is, and its one line of help."""


class Alert(click.RichGroup):
    """A group whose commands are imported when they are called: its help needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.group(cls=Alert)
def alert() -> None:
    """Check messages, get a script that sends them, and look at the alerts that came."""
