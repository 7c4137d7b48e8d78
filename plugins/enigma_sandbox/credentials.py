"""The key clients sign with: the environment's, one kept beside the account, or one made just now."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import msgspec

from enigma_core.errors import ConfigError, HomeError
from enigma_core.secrecy import hide

VARIABLES = {"key": "KUCOIN_API_KEY", "secret": "KUCOIN_API_SECRET", "passphrase": "KUCOIN_PASSPHRASE"}
"""As a client of KuCoin takes them; with ``_FILE`` behind it a variable names a file instead."""

MOST = 4096


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """A key with its secret and passphrase; `origin` says in words where they are from."""

    key: str
    secret: str
    passphrase: str
    origin: str = "made"

    def __repr__(self) -> str:
        return f"Credentials(key={self.key!r}, ...)"


def given(environment: Mapping[str, str]) -> Credentials | None:
    """Those of the environment; None where it has none at all. Raises `ConfigError` where it has only some of them."""
    found = {name: _value(variable, environment) for name, variable in VARIABLES.items()}
    if not any(found.values()):
        return None
    if missing := [VARIABLES[name] for name, value in found.items() if not value]:
        raise ConfigError(
            f"the environment has a key in part: set {' and '.join(missing)} too, or none of {', '.join(VARIABLES.values())}"
        )
    hide(found["secret"])
    hide(found["passphrase"])
    return Credentials(**found, origin=f"those of {VARIABLES['key']}")


def kept(file: Path) -> Credentials:
    """Those in `file`; made and written there, readable by its owner alone, where it is not. Raises `HomeError`."""
    try:
        if file.exists():
            found = msgspec.json.decode(file.read_bytes(), type=Credentials)
        else:
            found = made()
            file.parent.mkdir(parents=True, exist_ok=True)
            with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                out.write(msgspec.json.encode({"key": found.key, "secret": found.secret, "passphrase": found.passphrase}))
    except OSError as error:
        raise HomeError(f"{file}: the exchange's key cannot be kept there ({error.strerror or error})") from None
    except msgspec.DecodeError as error:
        raise HomeError(f"{file}: this is no key of a local exchange ({error}); remove it, and another is made") from None
    hide(found.secret)
    hide(found.passphrase)
    return msgspec.structs.replace(found, origin=f"kept in {file}")


def made() -> Credentials:
    """New ones, by chance."""
    return Credentials(key=secrets.token_hex(12), secret=secrets.token_hex(18), passphrase=secrets.token_hex(8))


def _value(variable: str, environment: Mapping[str, str]) -> str:
    if value := environment.get(variable, "").strip():
        return value
    file = environment.get(f"{variable}_FILE")
    if not file:
        return ""
    try:
        with open(file, encoding="utf-8") as text:
            return text.read(MOST).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{variable}_FILE: {file} cannot be read ({getattr(error, 'strerror', None) or 'it is no text'})"
        ) from None
