"""Where an exchange's key comes from: the settings, or the environment, or files that the environment names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from enigma_core.errors import ConfigError
from enigma_core.guards import private
from enigma_core.secrecy import hide
from enigma_exchange.wire.clients import Credentials

NAMES = {"key": "KUCOIN_API_KEY", "secret": "KUCOIN_API_SECRET", "passphrase": "KUCOIN_PASSPHRASE"}
"""The environment's variable for each part of a key; with ``_FILE`` behind it, of a file that holds it."""

MOST = 4096


def credentials(settings: Mapping[str, str | None], environment: Mapping[str, str]) -> Credentials:
    """The key to trade with. Raises `ConfigError` naming what is missing, cannot be read, or may be read by others."""
    found: dict[str, str] = {}
    missing = []
    for name, variable in NAMES.items():
        value = settings.get(name) or environment.get(variable) or _from_file(environment.get(f"{variable}_FILE"))
        if not value or not value.strip():
            missing.append(name)
            continue
        hide(value.strip())
        found[name] = value.strip()
    if missing:
        variables, settings_of = ", ".join(NAMES[name] for name in missing), ", ".join(f"executor.{name}" for name in missing)
        raise ConfigError(
            f"the exchange's {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set: put {variables} into the "
            f"environment (or a file's name, as {NAMES[missing[0]]}_FILE), or refer to a place in {settings_of}"
        )
    return Credentials(**found)


def _from_file(name: str | None) -> str | None:
    if not name:
        return None
    path = Path(name)
    if fault := private(path):
        raise ConfigError(fault)
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(MOST)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the secret in {path} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}") from None
