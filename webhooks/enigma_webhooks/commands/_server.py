"""The server of a run as the command line finds it: where it listens, and the secrets it knows."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from enigma_core.errors import ConfigError
from enigma_webhooks.front.credentials import Credential, Kind, found

SERVER_FILE = "server.json"


class Listening(NamedTuple):
    """Where a run listens, and where its webhook secret is kept: "" where it does not say."""

    url: str
    secret: str


def server(home: Path) -> Listening | None:
    """The server of the run of `home`; None where none runs. A glance: it may change at once."""
    try:
        told: Any = json.loads((home / SERVER_FILE).read_text("utf-8"))
        found, pid = Listening(str(told["url"]), str(told.get("secret") or "")), int(told["pid"])
        os.kill(pid, 0)
    except PermissionError:
        return found
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return found


def listening(home: Path) -> str | None:
    """The URL at which the run of `home` listens; None where none does."""
    found = server(home)
    return None if found is None else found.url


def credential(kind: Kind, home: Path) -> Credential | None:
    """The secret of this `kind` outside the settings. Raises `ConfigError` where there is one that cannot be used."""
    return found(kind, home, os.environ, reachable=False)


def started(home: Path) -> ConfigError:
    """What to say where nothing runs."""
    return ConfigError(f"no engine runs in {home}: start one with `enigma run`, or name its folder with --home")
