"""Reading configuration files: JSON, YAML, and single values as they are typed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from enigma_core.errors import ConfigError

MOST_BYTES = 1_000_000
DEEPEST = 16

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9][0-9_]{0,99}")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]{1,9})?")


def read(path: Path) -> dict[str, Any]:
    """The tree a file holds: YAML for ``.yaml`` and ``.yml``, else JSON.

    Raises `ConfigError` naming file, line and column of what cannot be read.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"there is no file {path}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    if len(raw) > MOST_BYTES:
        raise ConfigError(f"{path} has more than {MOST_BYTES:,} bytes: that is no configuration")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: byte {raw[error.start]:#04x} is no UTF-8; save the file as UTF-8") from None
    try:
        tree = _yaml(path, text) if path.suffix in (".yaml", ".yml") else _json(path, text)
    except RecursionError:
        raise ConfigError(f"{path} is nested more than {DEEPEST} deep") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} holds {_kind(tree)}; it must hold sections with names, as in strategy_config.json")
    if _deeper(tree, DEEPEST):
        raise ConfigError(f"{path} is nested more than {DEEPEST} deep")
    return tree


def value_of(text: str) -> Any:
    """What a typed value means: null, true, false, a number, JSON or YAML in brackets or quotes, else the text itself."""
    text = text.strip()
    if text[:1] in ("[", "{", '"', "'"):
        try:
            value = _yaml(Path("value"), text)
        except (ConfigError, RecursionError):
            return text
        return text if _deeper(value, DEEPEST) else value
    return scalar(text)


def scalar(text: str) -> Any:
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text[0] in "tT"
    if _INT.fullmatch(text):
        return int(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", ""))
    return text


def _json(path: Path, text: str) -> Any:
    if not text.strip():
        raise ConfigError(f"{path} is empty; a configuration without settings is {{}}, and without the file the defaults hold")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ConfigError(f'{path}: "{twice}" stands twice in one place; leave one of them')
        return found

    try:
        return json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}:{error.colno}: this is no JSON: {_reason(error, text)}") from None
    except ValueError:  # Python refuses integers of thousands of digits
        raise ConfigError(f"{path} holds a number of more than 4,000 digits") from None


def _reason(error: json.JSONDecodeError, text: str) -> str:
    if error.pos >= len(text.rstrip()):
        return "the file ends too early"
    before = text[: error.pos].rstrip()
    if text.startswith(("//", "/*", "#"), error.pos):
        return "JSON has no comments"
    if "property name" in error.msg and before.endswith(",") and text[error.pos] == "}":
        return "a comma before }"
    if "Expecting value" in error.msg and before.endswith(",") and text[error.pos] == "]":
        return "a comma before ]"
    return error.msg[0].lower() + error.msg[1:]


def _yaml(path: Path, text: str) -> Any:
    import yaml

    from enigma_core.config.strict_yaml import StrictLoader

    try:
        return yaml.load(text, StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ConfigError(f"{path}{place}: this is no YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: this is no YAML: {' '.join(str(error).split())}") from None


def _deeper(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [inner for outer in level if isinstance(outer, (dict, list)) for inner in _inside(outer)]
        if not level:
            return False
    return True


def _inside(outer: dict[str, Any] | list[Any]) -> list[Any]:
    return list(outer.values()) if isinstance(outer, dict) else outer


def _kind(value: Any) -> str:
    return {list: "a list", str: "a text", bool: "true or false"}.get(type(value), "a number")
