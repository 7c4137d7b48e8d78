"""From files, environment and command line to one tree."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from enigma_core.config.defaults import NO_STRATEGY, defaults
from enigma_core.config.overrides import from_command_line, from_environment, near
from enigma_core.config.sources import read
from enigma_core.config.tree import Layer, Tree
from enigma_core.errors import ConfigError
from enigma_core.timeframes import milliseconds

FILE = "strategy_config.json"
"""The configuration file that is read where none is named, if it is there."""

DESCRIPTION = "description"
"""A strategy may say in a line what it is for; that is no setting."""


def load(
    config: Path | str | None = None,
    strategy: str | None = None,
    sets: Iterable[str] = (),
    env: Mapping[str, str] | None = None,
    folders: Sequence[Path | str] | None = None,
    flags: Mapping[str, Any] | None = None,
    changed: Mapping[str, Any] | None = None,
) -> Tree:
    """All layers in one tree, the stronger over the weaker: defaults, file, strategy, changes, environment, command line.

    `config` is the file, by default ``strategy_config.json`` where there is one; `strategy` a name or a path; `sets` are
    ``PATH=VALUE``; `env` stands in for the environment, `folders` for where strategies are looked for; `flags` maps paths to
    the values of a command's own options (``{"timeframes.primary": "30m"}``) and is as strong as `sets`; `changed` is a tree of
    what was changed while an earlier run was on.

    Raises `ConfigError` where a file cannot be read or a strategy does not exist. What is wrong with settings is told by
    `resolve`, all of it at once.
    """
    environment = dict(os.environ if env is None else env)
    path = Path(config) if config is not None else Path(FILE)
    tree = Tree(defaults(), "default", environment, path.parent)
    tree.plugin_folders = plugin_folders(path)
    file = Layer(str(path), read(path)) if config is not None or path.exists() else Layer(str(path))
    file.values.pop("$schema", None)
    outside, outside_problems = from_environment(environment)
    line, line_problems = from_command_line(sets, flags or {})
    tree.lay(file, leads=True)
    if strategy is not None:
        line.values.pop("strategy", None)
    name = strategy or _named(line) or _named(outside) or _named(file) or NO_STRATEGY
    if name != NO_STRATEGY:
        found = find_strategy(name, strategy_folders(path) if folders is None else [Path(f) for f in folders])
        values = read(found)
        for word in (DESCRIPTION, "$schema", "strategy"):
            values.pop(word, None)
        tree.lay(Layer(str(found), values))
    if changed:
        tree.lay(Layer("changed while running", dict(changed)))
    tree.lay(outside)
    tree.lay(line)
    tree.values["strategy"] = name
    tree.problems += [*outside_problems, *line_problems]
    _follow_primary(tree, {*outside.origins, *line.origins})
    return tree


def strategy_folders(config: Path) -> list[Path]:
    """Where strategies are looked for: ``./strategies``, beside the configuration file, and with the program itself."""
    package = Path(__file__).resolve().parents[1]
    shipped = [package / "strategies"]
    if (package.parent / "pyproject.toml").is_file():
        shipped.append(package.parent / "strategies")
    return list(dict.fromkeys([Path("strategies"), config.parent / "strategies", config.parent, *shipped]))


def plugin_folders(config: Path | str | None = None) -> tuple[Path, ...]:
    """Where local plugins are looked for: ``./strategies`` and ``strategies`` beside the configuration file."""
    beside = Path(config if config is not None else FILE).parent
    return tuple(dict.fromkeys([Path("strategies"), beside / "strategies"]))


def description(path: Path) -> str:
    """What the strategy in file `path` says of itself; empty where it says nothing. Raises `ConfigError` as `load` does."""
    said = read(path).get(DESCRIPTION)
    return said if isinstance(said, str) else ""


def strategies(folders: Iterable[Path]) -> dict[str, Path]:
    """Every strategy by name; where two bear one name, the one in the earlier folder.

    Only folders named ``strategies`` are listed: elsewhere a YAML file may be anything.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        if folder.name != "strategies" or not folder.is_dir():
            continue
        for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
            found.setdefault(path.stem, path)
    return found


def find_strategy(name: str, folders: Sequence[Path]) -> Path:
    """The file of strategy `name`, which may be a path. Raises `ConfigError` with the nearest name."""
    if re.search(r"[/\\]|\.ya?ml$", name):
        if Path(name).is_file():
            return Path(name)
        raise ConfigError(f"there is no strategy file {name}")
    for folder in folders:
        for suffix in (".yaml", ".yml"):
            if (path := folder / f"{name}{suffix}").is_file():
                return path
    raise ConfigError(f"there is no strategy {name!r}{near(name, [*strategies(folders), NO_STRATEGY])}")


def _named(layer: Layer) -> str | None:
    name = layer.values.get("strategy")
    if name is None or isinstance(name, str):
        return name or None
    raise ConfigError(f"strategy is {name!r} ({layer.origin}); it must be a strategy's name, as in conservative")


def _follow_primary(tree: Tree, given: set[str]) -> None:
    """A primary timeframe given from outside brings what goes with it, so that ``-i 1h`` alone is enough.

    It joins the available ones, and a secondary that is no longer coarser gives way to the next that is.
    """
    section = tree.get("timeframes")
    if "timeframes.primary" not in given or not isinstance(section, dict):
        return
    primary, secondary, available = section.get("primary"), section.get("secondary"), section.get("available")
    if not isinstance(primary, str) or not isinstance(available, (list, tuple)):
        return
    try:
        length = milliseconds(primary)
        known = {timeframe: milliseconds(timeframe) for timeframe in available}
        if primary not in known:
            known[primary] = length
            section["available"] = sorted(known, key=lambda timeframe: known[timeframe])
        if secondary is None or "timeframes.secondary" in given or milliseconds(secondary) > length:
            return
    except (ConfigError, TypeError):
        return  # resolve has the sentence for it
    coarser = sorted((ms, timeframe) for timeframe, ms in known.items() if ms > length)
    section["secondary"] = coarser[0][1] if coarser else None
    told = f"is {section['secondary']}" if coarser else "is left out"
    tree.notes.append(f"the primary timeframe is {primary}, so the secondary {told}: {secondary} is not coarser")
