"""Settings that were changed while a run was on: checked as a whole, and kept in the run's folder for those that follow."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from enigma_core.config.complete import filled, masked
from enigma_core.config.describe import secret
from enigma_core.config.resolve import resolve
from enigma_core.config.sources import read
from enigma_core.config.tree import EVERY_OTHER, Layer, Tree, leaves, reference, written_out
from enigma_core.errors import ConfigError, EnigmaError, HomeError
from enigma_core.plan import Plan
from enigma_core.plugins import Catalogue

FILE = "settings.json"
"""In the run's folder: what was changed, as a tree like the configuration's."""

FIXED = ("mode", "services", "executor", "account")
"""Sections that no running run lets itself be told: who may reach it, with whose money it trades."""

Load = Callable[[Mapping[str, Any]], Tree]
"""All layers, with these values between the strategy and the environment."""


def kept(home: Path) -> dict[str, Any]:
    """What is kept in the folder; empty where nothing is. Raises `ConfigError` for a file that cannot be read."""
    path = home / FILE
    return read(path) if path.exists() else {}


class Settings:
    """The settings of a run that may be changed while it is on."""

    def __init__(self, load: Load, catalogue: Catalogue, home: Path) -> None:
        self._load = load
        self._catalogue = catalogue
        self._path = home / FILE
        self._kept = kept(home)
        self._tree = load(self._kept)

    def shown(self) -> dict[str, Any]:
        """Every setting in force, defaults included, secrets hidden."""
        return {name: masked(name, value) for name, value in filled(self._tree.values, self._catalogue).items()}

    def changed(self, changes: Mapping[str, Any]) -> tuple[Plan, Tree, dict[str, Any]]:
        """The plan, tree and values to keep that `changes` by path would give. None takes a change back.

        Raises `ConfigError` with everything that is wrong. Changes nothing yet.
        """
        values = copy.deepcopy(self._kept)
        layer = Layer("changed while running", values)
        for path, value in changes.items():
            if not isinstance(path, str):
                raise ConfigError(f"{path!r} is no path; write section.name.setting, as in gates.score.min")
            if value is None:
                _drop(values, path.split("."))
                continue
            if path.split(".")[0] in FIXED:
                raise ConfigError(f"{path} belongs to how a run is started: change it in the configuration file, and start again")
            for at, one in leaves(path, value):
                if _refers(one) and not at.endswith(".urls"):
                    raise ConfigError(f"{at} refers to the environment or a file: only the configuration file may do that")
                if at.startswith("notifiers.") and "://" in json.dumps(one):
                    raise ConfigError(f'{at} is an address that may hold a token: refer to it, as in [{{"env": "ENIGMA_NOTIFY"}}]')
                if secret(at) and not reference(one):
                    raise ConfigError(f'{at} is a secret and must not be sent; refer to it: {{"env": NAME}}')
            # what is kept is nobody's else to change
            if problem := layer.put(path, copy.deepcopy(value), "changed while running"):
                raise ConfigError(problem)
        tree = self._load(values)
        for path, value in changes.items():
            if value is not None and (over := _overruled(tree, path, value)):
                raise ConfigError(f"{over} is set by what is stronger ({tree.origin(over)}): change it there")
        plan = resolve(tree, self._catalogue)
        try:
            for symbol in plan.symbols:
                plan.instrument(symbol)
        except EnigmaError as error:
            raise ConfigError(f"symbols: {error}") from error
        return plan, tree, values

    def keep(self, tree: Tree, values: dict[str, Any]) -> None:
        """Have `values` in force, now and for later runs. Raises `HomeError` where they cannot be written."""
        beside = self._path.with_suffix(".new")
        try:
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                json.dump(values, file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
        except OSError as error:
            raise HomeError(f"{self._path} cannot be written ({error.strerror}): the settings stay as they were") from error
        self._kept, self._tree = values, tree


def _refers(value: Any) -> bool:
    """True where somewhere in `value` the environment or a file is referred to: what they hold must not be asked out."""
    if reference(value):
        return True
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return any(_refers(one) for one in inner)


def _drop(values: dict[str, Any], steps: list[str]) -> None:
    for step in steps[:-1]:
        inner = values.get(step)
        if not isinstance(inner, dict):
            return
        values = inner
    values.pop(steps[-1], None)


def _overruled(tree: Tree, path: str, value: Any) -> str | None:
    """The first path within `path` that does not hold what `value` says; None where all do."""
    found = tree.get(path)
    wanted = written_out(value) if isinstance(found, dict) else value
    if isinstance(found, dict) and isinstance(wanted, dict):
        inner = ((f"{path}.{name}", one) for name, one in wanted.items() if name != EVERY_OTHER)
        return next((over for at, one in inner if (over := _overruled(tree, at, one)) is not None), None)
    return None if found == wanted else path
