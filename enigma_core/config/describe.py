"""What a setting must be, in words; and what it is, as a person would write it."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import inspect

_SECRET = re.compile(r"^key$|(^|_)(secret|password|passphrase|token|api_?key|private_?key)s?($|_)", re.IGNORECASE)


def secret(path: str) -> bool:
    """True where the last word of `path` is a secret's name: its value is never shown."""
    return bool(_SECRET.search(path.rpartition(".")[2]))


def shown(value: Any, path: str = "") -> str:
    """`value` as JSON writes it, cut short; nothing of a secret."""
    if secret(path) and isinstance(value, str):
        return '"***"'
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        text = f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= 60 else f"{text[:57]}..."


def wanted(kind: Any) -> str:
    """A type in words, its limits included: "a whole number from 1 to 100"."""
    try:
        return _words(inspect.type_info(kind))
    except Exception as error:  # noqa: BLE001 - a plugin's type that msgspec cannot inspect still deserves a sentence
        return f"a {getattr(kind, '__name__', kind)} ({error})"


def _words(kind: inspect.Type) -> str:
    match kind:
        case inspect.Metadata():
            return _words(kind.type)
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return f"a whole number{_limits(kind)}"
        case inspect.FloatType():
            return f"a number{_limits(kind)}"
        case inspect.DecimalType():
            return "a decimal number"
        case inspect.StrType():
            return f"a text like {kind.pattern}" if kind.pattern else "a text"
        case inspect.NoneType():
            return "null"
        case inspect.LiteralType():
            return _or([shown(value) for value in kind.values])
        case inspect.EnumType():
            return _or([shown(member.value) for member in kind.cls])
        case inspect.UnionType():
            return _or([_words(inner) for inner in kind.types])
        case inspect.TupleType():
            return f"a list of {len(kind.item_types)}: {', '.join(_words(inner) for inner in kind.item_types)}"
        case inspect.VarTupleType() | inspect.ListType() | inspect.SetType() | inspect.FrozenSetType():
            return f"a list, each item {_words(kind.item_type)}"
        case inspect.DictType():
            return f"a mapping, each value {_words(kind.value_type)}"
        case inspect.StructType():
            return f"a mapping with {', '.join(field.encode_name for field in kind.fields)}"
    return f"a {type(kind).__name__.removesuffix('Type').lower()}"


def _or(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _limits(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f" from {kind.ge} to {kind.le}"
    limits = [
        f"{sign} {limit}" for sign, limit in ((">=", kind.ge), (">", kind.gt), ("<=", kind.le), ("<", kind.lt)) if limit is not None
    ]
    return f" {' and '.join(limits)}" if limits else ""


def percent(value: Any, kind: Any) -> str:
    """The remedy where a percentage was given for a fraction: " (fractions, not percent: 0.03)"."""
    try:
        info = inspect.type_info(kind)
    except Exception:  # noqa: BLE001 - no remedy then
        return ""
    if isinstance(info, inspect.Metadata):
        info = info.type
    if not isinstance(info, inspect.FloatType) or isinstance(value, bool) or not isinstance(value, (int, float)):
        return ""
    ceiling = info.le if info.le is not None else info.lt
    return f" (a fraction, not percent: {value / 100:g})" if ceiling is not None and 0 < ceiling <= 1 < value <= 100 else ""


def unsound(value: Any, path: str) -> tuple[str, str] | None:
    """The first number in `value` that no calculation should meet (NaN, infinite, absurdly long): its path, and a sentence."""
    match value:
        case msgspec.Struct():
            inside = [(f"{path}.{name}", getattr(value, name)) for name in value.__struct_fields__]
        case dict():
            inside = [(f"{path}.{name}", inner) for name, inner in value.items()]
        case list() | tuple():
            inside = [(f"{path}[{i}]", inner) for i, inner in enumerate(value)]
        case float() if not -1e300 < value < 1e300:
            return path, f"is {value}; it must be a finite number"
        case int() if not -(2**53) <= value <= 2**53:
            return path, f"is a whole number of some {value.bit_length() * 3 // 10} digits; at most 15 make sense"
        case Decimal() if not _sensible(value):
            text = str(value)
            return path, f"is {text if len(text) <= 40 else f'{text[:37]}...'}; it must be a finite decimal of sensible size"
        case _:
            return None
    return next((found for at, inner in inside if (found := unsound(inner, at))), None)


def _sensible(value: Decimal) -> bool:
    """Bounded before anything is worked out with it: one digit with an exponent of a million takes minutes."""
    return value.is_finite() and len(value.as_tuple().digits) <= 30 and (not value or -18 <= value.adjusted() <= 15)


def an(kind: str) -> str:
    """`kind` with its article."""
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
