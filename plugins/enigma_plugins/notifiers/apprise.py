"""Telegram, Discord, e-mail and many more, each by one address as the library apprise reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from enigma_core.errors import ConfigError
from enigma_core.hookspecs import hookimpl
from enigma_core.parts import Note, Notifier
from enigma_plugins.notifiers._channel import AppriseChannel, How, split
from enigma_plugins.notifiers._sending import Undelivered

EVENTS: dict[str, How] = {"day": "silent"}
"""What is not simply on."""


class Apprise(Notifier, frozen=True, kw_only=True):
    """Sends notes to Telegram, Discord, e-mail and many other services, in few messages and without markup.

    Each address is a channel of its own. Only encrypted ways to public addresses are taken, unless `private_addresses` is set.
    """

    name = "apprise"

    urls: Annotated[
        tuple[str, ...],
        Meta(description='addresses as apprise reads them; they hold tokens, so refer to them: {"env": "ENIGMA_NOTIFY"}'),
    ] = ()
    events: Annotated[
        dict[str, Literal["on", "off", "silent"]],
        Meta(description="what is sent by event, such as entry, exit, halted, day; silent: without a sound where the service can"),
    ] = {}
    group: Annotated[float, Meta(ge=0, le=3600, description="seconds within which notes become one message")] = 5.0
    limit: Annotated[int, Meta(ge=1, le=60, description="messages a minute; beyond it notes wait and become a digest")] = 10
    private_addresses: Annotated[
        bool, Meta(description="whether unencrypted addresses, and those of one's own network, may be used")
    ] = False

    def __post_init__(self) -> None:
        if self.urls:
            self.channels()

    def channels(self) -> dict[str, AppriseChannel]:
        """A channel for each address, by what a person calls it. Raises `ConfigError` for one that cannot or must not be used."""
        made: dict[str, AppriseChannel] = {}
        for url in (found for text in self.urls for found in split(text)):
            channel = AppriseChannel(
                url, events=EVENTS | self.events, group=self.group, limit=self.limit, private_addresses=self.private_addresses
            )
            same = sum(known.label == channel.label for known in made.values())
            made[f"{channel.label} ({same + 1})" if same else channel.label] = channel
        if not made:
            raise ConfigError('urls holds no address: name one, as in urls: [{"env": "ENIGMA_NOTIFY"}]')
        return made

    async def send(self, note: Note) -> None:
        """Send one note through every channel now, as a message of its own. Raises `Undelivered` for those it did not go out by."""
        ways = [channel for channel in self.channels().values() if channel.wants(note.event)]
        answers = await asyncio.gather(*(channel.send_all([note], {}) for channel in ways), return_exceptions=True)
        faults = [answer for answer in answers if isinstance(answer, BaseException)]
        if faults:
            raise Undelivered("; ".join(str(fault) for fault in faults)) from faults[0]


@hookimpl
def enigma_notifiers() -> Iterator[type[Notifier]]:
    yield Apprise
