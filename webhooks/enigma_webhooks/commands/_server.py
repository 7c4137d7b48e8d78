"""The server of a run as the command line finds it: where it listens, and the secrets it knows."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from enigma_core.errors import ConfigError
from enigma_webhooks.front.credentials import Credential, Kind, found

SERVER_FILE = "server.json"


def listening(home: Path) -> str | None:
    """The URL at which the run of `home` listens; None where none does. A glance: it may change at once."""
    try:
        told: Any = json.loads((home / SERVER_FILE).read_text("utf-8"))
        url, pid = str(told["url"]), int(told["pid"])
        os.kill(pid, 0)
    except PermissionError:
        return url
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return url


def credential(kind: Kind, home: Path) -> Credential | None:
    """The secret of this `kind` outside the settings. Raises `ConfigError` where there is one that cannot be used."""
    return found(kind, home, os.environ, reachable=False)


def started(home: Path) -> ConfigError:
    """What to say where nothing runs."""
    return ConfigError(f"no engine runs in {home}: start one with `enigma run`, or name its folder with --home")
