"""What every part owes: a name, a sentence about itself, and settings that are plain, bounded and stored as given."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from enigma_core.parts import Part
from enigma_core.testing.finding import Inspection, clip

NAME = re.compile(r"[a-z][a-z0-9_]*")


def without_default(cls: type[Part]) -> tuple[str, ...]:
    """The settings of `cls` that must be given."""
    return tuple(field.name for field in msgspec.structs.fields(cls) if field.required)


def inspect(inspection: Inspection, cls: type[Part], *, every_default: bool) -> None:
    """Check the declaration of `cls`; with `every_default` every setting must have one."""
    name: object = cls.name
    if not isinstance(name, str) or not NAME.fullmatch(name):
        inspection.found("name", f"name is {name!r}; it must be a small letter followed by small letters, digits or _: my_part")
    if not (cls.__dict__.get("__doc__") or "").strip():
        inspection.found("docstring", f"{cls.__qualname__} has no docstring; users read it in `enigma plugins`: write a sentence")
    config = cls.__struct_config__
    if not config.frozen:
        inspection.found("frozen", f"write class {cls.__qualname__}(..., frozen=True, kw_only=True): settings must not change")
    if not config.forbid_unknown_fields:
        inspection.found("typos", f"{cls.__qualname__} sets forbid_unknown_fields=False: a misspelt setting would go unseen")
    missing = without_default(cls)
    if missing and every_default:
        inspection.found("defaults", f"setting {missing[0]} has no default; give it one, so that the part works as it comes")
    try:
        msgspec.json.schema(cls)
    except TypeError as fault:
        inspection.found("schema", f"the type of a setting cannot be written into the JSON schema: {fault}")


def inspect_values(inspection: Inspection, part: Part) -> None:
    """Check that `part` holds its settings as given, and that they are within its own limits."""
    cls = type(part)
    given: dict[str, Any] = {name: getattr(part, name) for name in cls.__struct_fields__}
    twin = inspection.call(f"{cls.__qualname__}() with the settings of another", lambda: cls(**given))
    for name, value in given.items():
        again = getattr(twin, name, value)
        # NaN equals nothing, identity covers it
        if again is not value and again != value:
            text = f"given {name}={clip(value)} the part holds {clip(again)}; store settings as given"
            inspection.found("constructor", f"{text}, and derive from them in the methods")
    try:
        msgspec.convert(msgspec.to_builtins(part), cls)
    except msgspec.ValidationError as fault:
        inspection.found("limits", f"the settings break the part's own limits: {fault}")
    except TypeError as fault:
        inspection.found("schema", f"the settings cannot be written to a configuration file: {fault}")
