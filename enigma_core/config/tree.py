"""Settings laid layer over layer, each remembering where it came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from enigma_core.config.defaults import MANY, ONE

EVERY_OTHER = "*"
"""In a section of named parts: ``"*": false`` switches off what weaker layers name and this one does not."""


class Layer:
    """One source's settings. `origin` says where they come from; `origins` and `texts` know better for single paths.

    `texts` holds settings as they were typed, for the case that a number was meant as text.
    """

    def __init__(self, origin: str, values: dict[str, Any] | None = None) -> None:
        self.origin = origin
        self.values: dict[str, Any] = {} if values is None else values
        self.origins: dict[str, str] = {}
        self.texts: dict[str, str] = {}

    def put(self, path: str, value: Any, origin: str, text: str | None = None) -> str | None:
        """Set one path. Returns what is wrong with it, None when nothing is."""
        steps = path.split(".")
        if not all(steps):
            return f"{origin}: {path!r} is no path; write section.name.setting, as in gates.score.min"
        at = self.values
        for i, step in enumerate(steps[:-1], 1):
            inner = at.setdefault(step, {})
            if not isinstance(inner, dict) and _holds_part(steps[:i]):
                inner = at[step] = written_out(inner)
            if not isinstance(inner, dict):
                return f"{origin}: {'.'.join(steps[:i])} is given a value of its own beside {path}; leave one of them"
            at = inner
        old = at.get(steps[-1])
        short = written_out(value)
        if isinstance(old, dict) and short is not value and isinstance(short, dict) and _holds_part(steps):
            # "sizer=fixed_fraction" beside "sizer.position_size=0.03": the short form names the part
            old.update(short)
        else:
            at[steps[-1]] = value
        self.origins[path] = origin
        if text is not None:
            self.texts[path] = text
        return None


class Tree:
    """The settings of all layers together, not yet checked.

    `values` nested as in the file; `problems` what is already known to be wrong, `notes` what a person may want to know;
    `folder` what relative paths of secrets are relative to; `environment` what references to it read.
    """

    def __init__(self, values: dict[str, Any], origin: str, environment: Mapping[str, str], folder: Path) -> None:
        self.values = values
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.environment = environment
        self.folder = folder
        self.plugin_folders: tuple[Path, ...] = ()
        self._origins: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._base = origin

    def lay(self, layer: Layer, *, leads: bool = False) -> None:
        """Lay `layer` over what is there. With `leads` its order of parts comes first."""
        values = {name: _normal(name, value) for name, value in layer.values.items()}
        for section in MANY.keys() & values.keys():
            if isinstance(values[section], dict) and EVERY_OTHER in values[section]:
                values[section] = self._alone(section, values[section])
        before = {section: self.values.get(section) for section in MANY}
        self._merge((), self.values, values, layer)
        if leads:
            for section, old in before.items():
                new = values.get(section)
                if isinstance(old, dict) and isinstance(new, dict) and isinstance(self.values[section], dict):
                    now = self.values[section]
                    self.values[section] = {name: now[name] for name in dict.fromkeys((*new, *now))}

    def origin(self, path: str) -> str:
        """Where the setting at `path`, or the nearest thing that holds it, comes from."""
        path = path.partition("[")[0]
        while path:
            if path in self._origins:
                return self._origins[path]
            path = path.rpartition(".")[0]
        return self._base

    def text(self, path: str) -> str | None:
        """The setting as it was typed, where it came from the environment or the command line."""
        return self._texts.get(path)

    def get(self, path: str) -> Any:
        """The value at `path`, None where there is none."""
        at: Any = self.values
        for step in path.split("."):
            at = at.get(step) if isinstance(at, dict) else None
        return at

    def leaves(self) -> Iterator[tuple[str, Any]]:
        """(path, value) of every setting; an empty section and a reference to a secret count as one."""
        yield from leaves("", self.values)

    def _alone(self, section: str, entries: dict[str, Any]) -> dict[str, Any]:
        """`entries` with ``*`` spelt out: what it names is on, what it does not is as ``*`` says."""
        rest = entries[EVERY_OTHER]
        named = {
            name: {"enabled": True, **entry} if isinstance(entry, dict) else entry
            for name, entry in entries.items()
            if name != EVERY_OTHER
        }
        here = self.values.get(section)
        others = {name: rest for name in here if name not in named} if isinstance(here, dict) else {}
        return {**named, **others}

    def _merge(self, path: tuple[str, ...], base: dict[str, Any], over: dict[str, Any], layer: Layer) -> None:
        for key, value in over.items():
            here = (*path, key)
            old = base.get(key)
            if isinstance(old, dict) and isinstance(value, dict) and not reference(value) and not reference(old):
                if not _same_part(here, old, value):
                    value = {**({"enabled": old["enabled"]} if "enabled" in old else {}), **value}
                    self._forget(".".join(here))
                    base[key] = old = {}
                self._merge(here, old, value, layer)
            else:
                self._forget(".".join(here))
                if isinstance(value, dict) and not reference(value):
                    fresh: dict[str, Any] = {}
                    base[key] = fresh
                    self._note(here, layer)
                    self._merge(here, fresh, value, layer)
                else:
                    base[key] = value
                    self._note(here, layer)

    def _note(self, here: tuple[str, ...], layer: Layer) -> None:
        path = ".".join(here)
        nearest = path
        while nearest and nearest not in layer.origins:
            nearest = nearest.rpartition(".")[0]
        self._origins[path] = layer.origins.get(nearest, layer.origin)
        if path in layer.texts:
            self._texts[path] = layer.texts[path]

    def _forget(self, path: str) -> None:
        for known in (self._origins, self._texts):
            for other in [p for p in known if p == path or p.startswith(f"{path}.")]:
                del known[other]


def leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """(path, value) of every setting beneath `path`."""
    if isinstance(value, dict) and value and not reference(value):
        for key, inner in value.items():
            yield from leaves(f"{path}.{key}" if path else key, inner)
    else:
        yield path, value


def reference(value: Any) -> bool:
    """True for ``{"env": NAME}`` and ``{"file": PATH}``."""
    return isinstance(value, dict) and len(value) == 1 and next(iter(value)) in ("env", "file")


def written_out(entry: Any) -> Any:
    """A part's short forms in full: false and null are off, true is on, a word is the part's name."""
    match entry:
        case None | False:
            return {"enabled": False}
        case True:
            return {"enabled": True}
        case str():
            return {"use": entry}
    return entry


def _normal(section: str, value: Any) -> Any:
    if section in MANY and isinstance(value, dict):
        return {name: written_out(entry) for name, entry in value.items()}
    if section in ONE and isinstance(value, str):
        return {"use": value}
    if section == "symbols" and isinstance(value, str):
        return value.replace(",", " ").split()
    return value


def _holds_part(path: Sequence[str]) -> bool:
    return (len(path) == 1 and (path[0] in ONE or path[0] == "symbols")) or (len(path) == 2 and path[0] in MANY)


def _same_part(here: tuple[str, ...], old: dict[str, Any], new: dict[str, Any]) -> bool:
    """False where `new` names another part than `old` does: the old one's settings would be nonsense to it."""
    if "use" not in new or not _holds_part(here):
        return True
    return bool(new["use"] == old.get("use", here[-1] if len(here) == 2 else None))
