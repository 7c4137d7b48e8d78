"""`enigma notify`: try the ways by which people are told."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import rich_click as click

from enigma_core.cli import options
from enigma_core.errors import ConfigError

if TYPE_CHECKING:
    from enigma_core.parts import Note, Notifier
    from enigma_core.shells.courier import Channel

SECONDS = 30.0
"""How long one channel may take."""


class Outcome(NamedTuple):
    """What became of the test note in one channel. `sent` is None where its event is switched off."""

    notifier: str
    sent: bool | None
    text: str


@click.group()
def notify() -> None:
    """Try the ways by which you are told."""


@notify.command()
@options.json_option
@click.option("-c", "--config", type=click.Path(dir_okay=False), help="Configuration file. [default: strategy_config.json]")
@click.option("-s", "--strategy", metavar="NAME", help="Strategy to lay over it: a name of strategies/, or a file.")
@click.option(
    "--set", "sets", metavar="PATH=VALUE", multiple=True, help="One setting, as in notifiers.log.level=warning. Repeatable."
)
@click.option("--event", metavar="NAME", default="test", show_default=True, help="Send it as a note of this event, as in halted.")
def test(as_json: bool, config: str | None, strategy: str | None, sets: tuple[str, ...], event: str) -> None:
    """Send a note through every notifier and say which took it. Exit code 1 when one did not."""
    from enigma_core.parts import Note

    plan, _, _ = options.planned(config, strategy, sets, {})
    if not plan.notifiers:
        raise ConfigError('no notifier is set up: name one in the configuration, such as "notifiers": {"log": {}}')
    note = Note(time.time_ns() // 1_000_000, event, "a test of the notifications", "nothing has happened")
    outcomes = asyncio.run(tried(plan.notifiers, note))
    failed = any(outcome.sent is False for outcome in outcomes)
    if as_json:
        click.echo(json.dumps({"ok": not failed, "notifiers": [outcome._asdict() for outcome in outcomes]}, indent=2))
    else:
        _show(outcomes)
    if failed:
        raise SystemExit(1)


async def tried(notifiers: Mapping[str, Notifier], note: Note) -> list[Outcome]:
    """Send `note` through every channel of `notifiers` at once. Never raises for what a channel does."""
    from enigma_core.shells.courier import fault_of
    from enigma_core.shells.notes import channels_of

    outcomes: list[Outcome] = []
    ways: dict[str, Channel] = {}
    for name, notifier in notifiers.items():
        try:
            ways |= channels_of(name, notifier)
        except Exception as error:  # noqa: BLE001 - what a part raises is what there is to say of it
            outcomes.append(Outcome(name, False, fault_of(error)))
    return outcomes + await asyncio.gather(*(_one(name, channel, note) for name, channel in ways.items()))


async def _one(name: str, channel: Channel, note: Note) -> Outcome:
    from enigma_core.shells.courier import fault_of

    try:
        if not channel.wants(note.event):
            return Outcome(name, None, f"{note.event} is switched off here: nothing was sent")
        await asyncio.wait_for(channel.send_all([note], Counter()), SECONDS)
    except TimeoutError as error:
        return Outcome(name, False, fault_of(error) if str(error) else f"no end within {SECONDS:.0f} s")
    except Exception as error:  # noqa: BLE001 - as above
        return Outcome(name, False, fault_of(error))
    return Outcome(name, True, "sent")


def _show(outcomes: list[Outcome]) -> None:
    from rich.table import Table
    from rich.text import Text

    from enigma_core.cli.display import console

    words = {True: ("sent", "green"), False: ("failed", "bold red"), None: ("off", "dim")}
    table = Table(box=None, show_header=False, padding=(0, 1))
    for outcome in outcomes:
        word, style = words[outcome.sent]
        text = "" if outcome.sent else outcome.text
        table.add_row(Text(word, style), Text(outcome.notifier), Text(text, overflow="fold"))
    console().print(table)
