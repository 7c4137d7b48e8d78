"""Settings with every default filled in, and the text of a configuration file that says it all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from enigma_core.config import describe
from enigma_core.config.defaults import CLASSES, MANY, ONE, SECTIONS, defaults
from enigma_core.config.tree import Tree, leaves, reference
from enigma_core.parts import Part
from enigma_core.plugins import Catalogue

SCHEMA_FILE = "strategy_config.schema.json"
"""The JSON schema that ``strategy_config.json`` names, beside it."""

WIDTH = 132


def complete(catalogue: Catalogue) -> dict[str, Any]:
    """The whole default configuration: every setting of the core and of every built-in part, those that are off included."""
    values = defaults()
    for section, kind in MANY.items():
        for name, offer in catalogue.parts(kind).items():
            if offer.built_in and issubclass(offer.part, CLASSES.get(section, Part)) and name not in values[section]:
                values[section][name] = {"enabled": False}
    return {"$schema": f"./{SCHEMA_FILE}", **filled(values, catalogue)}


def filled(values: dict[str, Any], catalogue: Catalogue) -> dict[str, Any]:
    """`values` with the defaults of each part's settings put in where nothing is said. Parts that do not exist stay as they are."""
    made = {section: values[section] for section in SECTIONS if section in values}
    for section, kind in ONE.items():
        entry = made.get(section)
        if isinstance(entry, dict) and isinstance(entry.get("use"), str):
            made[section] = _entry(entry, kind, entry["use"], catalogue)
    for section, kind in MANY.items():
        entries = made.get(section)
        if isinstance(entries, dict):
            made[section] = {
                name: _entry(entry, kind, entry.get("use", name), catalogue) if isinstance(entry, dict) else entry
                for name, entry in entries.items()
            }
    return made


def explained(tree: Tree, catalogue: Catalogue) -> Iterator[tuple[str, Any, str]]:
    """(path, value, where it comes from) of every setting, defaults included. Secrets are shown as what refers to them."""
    for path, value in leaves("", filled(tree.values, catalogue)):
        origin = tree.origin(path) if tree.get(path) is not None or path in ("strategy",) else "default"
        yield path, masked(path, value), origin


def masked(path: str, value: Any) -> Any:
    """`value` with secrets, and addresses that may hold some, hidden."""
    if reference(value):
        return value
    if isinstance(value, dict):
        return {name: masked(f"{path}.{name}", inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(path, inner) for inner in value]
    hidden = isinstance(value, str) and value and (describe.secret(path) or (path.startswith("notifiers.") and "://" in value))
    return "***" if hidden else value


def part_defaults(part: type[Part]) -> dict[str, Any]:
    """The settings of `part` that have a default, as JSON holds them."""
    found = {}
    for field in msgspec.structs.fields(part):
        if field.default is not msgspec.NODEFAULT:
            found[field.encode_name] = field.default
        elif field.default_factory is not msgspec.NODEFAULT:
            found[field.encode_name] = field.default_factory()
    return {name: as_json(value) for name, value in found.items()}


def as_json(value: Any) -> Any:
    """`value` as a JSON parser would give it back."""
    return msgspec.json.decode(msgspec.json.encode(value))


def text(values: dict[str, Any]) -> str:
    """JSON for people: one part a line where it fits."""
    return _text(values, "", 0) + "\n"


def _text(value: Any, indent: str, before: int) -> str:
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list)) or (indent and before + len(line) < WIDTH and not _holds_parts(value)):
        return line
    deeper = indent + "  "
    if isinstance(value, dict):
        lines = [
            f"{deeper}{json.dumps(name)}: {_text(inner, deeper, len(deeper) + len(name) + 4)}" for name, inner in value.items()
        ]
    else:
        lines = [deeper + _text(inner, deeper, len(deeper)) for inner in value]
    if not lines:
        return line
    brackets = "{}" if isinstance(value, dict) else "[]"
    return f"{brackets[0]}\n" + ",\n".join(lines) + f"\n{indent}{brackets[1]}"


def _holds_parts(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(inner, dict) for inner in value.values())


def _entry(entry: dict[str, Any], kind: str, use: Any, catalogue: Catalogue) -> dict[str, Any]:
    offer = catalogue.parts(kind).get(use) if isinstance(use, str) else None
    own = {} if offer is None else part_defaults(offer.part)
    first: dict[str, Any] = {name: entry[name] for name in ("use", "enabled") if name in entry}
    return {**first, **own, **{name: value for name, value in entry.items() if name not in first}}
