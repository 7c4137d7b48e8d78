"""A sender of alerts as the receiver knows it."""

from __future__ import annotations

import msgspec

from enigma_core.alert import Mode
from enigma_webhooks.front.address import Network
from enigma_webhooks.front.keyring import Keyring


class AlertSource(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Where alerts may come from: who may send them (`keys`, `allow`: empty for any address) and how they enter. Times in ms."""

    name: str
    keys: Keyring
    mode: Mode = "trigger"
    enabled: bool = True
    allow: tuple[Network, ...] = ()
    max_lag: int = 60_000
    max_lag_exit: int = 900_000
    ttl: int = 0
