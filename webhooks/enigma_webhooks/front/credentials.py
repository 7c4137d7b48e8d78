"""Where a secret of the server comes from, and what makes it unfit."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import msgspec

from enigma_core.errors import ConfigError
from enigma_core.secrecy import hide
from enigma_webhooks.front.strength import MAKE, weakness

MOST = 4096
OTHERS = 0o077


class Kind(msgspec.Struct, frozen=True):
    """A secret the server needs: what it is called, the setting, the variable, the file in the run's folder, and how to see it."""

    title: str
    setting: str
    variable: str
    file: str
    shown: str


WEBHOOK = Kind(
    "webhook secret",
    "services.tradingview.secret",
    "ENIGMA_WEBHOOK_SECRET",
    "webhook_secret",
    "enigma alert url --show-secret --home {home}",
)
API = Kind("API token", "services.tradingview.tokens", "ENIGMA_API_TOKEN", "api_token", "cat {home}/api_token")


class Credential(msgspec.Struct, frozen=True):
    """A secret, where it was found, and whether it has been made just now."""

    value: str
    where: str
    made: bool = False

    def __repr__(self) -> str:
        return f"Credential(where={self.where!r}, made={self.made!r})"


def checked(value: str, where: str, *, reachable: bool) -> str:
    """`value`, known from now on to whatever takes secrets out of texts. Raises `ConfigError` where it is too weak."""
    if fault := weakness(value, reachable=reachable):
        raise ConfigError(f"the secret of {where} {fault}; make one with {MAKE}")
    hide(value)
    return value


def found(kind: Kind, home: Path, environment: Mapping[str, str], *, reachable: bool) -> Credential | None:
    """The secret in the file or the variable that the environment names, else in the run's folder; None where there is none.

    Raises `ConfigError` where it is too weak, cannot be read, or others can read it.
    """
    if path := environment.get(f"{kind.variable}_FILE"):
        return Credential(checked(_private(Path(path)), path, reachable=reachable), path)
    if value := environment.get(kind.variable):
        return Credential(checked(value, kind.variable, reachable=reachable), kind.variable)
    kept = home / kind.file
    if kept.exists():
        return Credential(checked(_private(kept), str(kept), reachable=reachable), str(kept))
    return None


def made(kind: Kind, home: Path) -> Credential:
    """A new secret, kept in the run's folder for whoever owns it."""
    path = home / kind.file
    value = secrets.token_urlsafe(32)
    try:
        write_private(path, f"{value}\n")
    except OSError as error:
        raise ConfigError(f"the {kind.title} cannot be kept in {path}: {error.strerror}; check the folder's rights") from None
    return Credential(value, str(path), made=True)


def missing(kind: Kind, home: Path, mode: str) -> ConfigError:
    """What to do where a secret has to be there and is not."""
    why = "a live run makes none by itself" if mode == "live" else "others could reach the server"
    return ConfigError(
        f"there is no {kind.title}, and {why}: make one with {MAKE} and put it into {home / kind.file} "
        f"(chmod 600), or into the environment as {kind.variable}, or refer to it in {kind.setting}"
    )


def write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner can read, whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, 0o600)
            file.write(text)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _private(path: Path) -> str:
    """The secret in a file that nobody but its owner may read."""
    try:
        with open(path, encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            if mode & OTHERS:
                raise ConfigError(f"{path} can be read by others (mode {mode:03o}), and holds a secret: chmod 600 {path}")
            return file.read(MOST).strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise ConfigError(f"the secret in {path} cannot be read: {why}") from None
