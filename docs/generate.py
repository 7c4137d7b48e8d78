"""Write the reference pages from the code: hooks.md, parts.md, settings.md and commands.md beside this file.

    python docs/generate.py

A test compares the pages with what this writes, so a page that lags behind the code fails.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect as schema

FOLDER = Path(__file__).parent
NOTE = "This page is written from the code by `python docs/generate.py`."


def signature(function: Callable[..., Any]) -> str:
    """``name(a: int, b: str = 'x') -> Floats``, annotations as they stand in the source."""
    shown = []
    star = False
    for parameter in inspect.signature(function).parameters.values():
        text = str(parameter.replace(annotation=parameter.empty, default=parameter.empty))
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            shown.append("*")
            star = True
        star = star or parameter.kind is parameter.VAR_POSITIONAL
        if parameter.annotation is not parameter.empty:
            text += f": {parameter.annotation}"
        if parameter.default is not parameter.empty:
            text += f" = {parameter.default!r}"
        shown.append(text)
    answer = function.__annotations__.get("return")
    prefix = "async " if inspect.iscoroutinefunction(function) else ""
    return f"{prefix}def {function.__name__}({', '.join(shown)})" + (f" -> {answer}" if answer else "")


def prose(thing: Any) -> str:
    """A docstring as Markdown: examples fenced, double backticks single."""
    lines: list[str] = []
    fenced = False
    for line in (inspect.getdoc(thing) or "").splitlines():
        example = line.startswith((">>>", "..."))
        if example != fenced:
            lines.append("```python" if example else "```")
            fenced = example
        lines.append(line if fenced else line.replace("``", "`"))
    if fenced:
        lines.append("```")
    return "\n".join(lines)


def hooks() -> str:
    """Every hook with its signature and what its answers mean."""
    from enigma_core import hookspecs

    parts = [
        "# Hooks",
        "A plugin is a module named in the entry-point group `enigma`. It implements any of these functions, each marked with "
        "`enigma_core.hookspecs.hookimpl`. An implementation may leave out arguments that it does not need.",
        NOTE,
    ]
    for name, hook in vars(hookspecs).items():
        if name.startswith("enigma_") and callable(hook):
            parts += [f"## {name}", f"```python\n{signature(hook)}\n```", prose(hook)]
    return "\n\n".join(parts) + "\n"


def _members(cls: type) -> Iterator[str]:
    fields = getattr(cls, "__struct_fields__", ())
    rows = []
    for name, annotation in inspect.get_annotations(cls).items():
        note = str(annotation)
        if name.startswith("_"):
            continue
        if name in fields or note.startswith("ClassVar"):
            default = "" if name in fields else f" = {getattr(cls, name)!r}"
            rows.append(f"- `{name}: {note}{default}`")
    if rows:
        yield "\n".join(rows)
    for name, member in vars(cls).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            getter = member.fget
            assert getter is not None
            yield f"#### {cls.__name__}.{name}"
            yield f"```python\n@property\n{signature(getter)}\n```"
            if member.__doc__:
                yield prose(member)
        elif inspect.isfunction(member):
            yield f"#### {cls.__name__}.{name}"
            yield f"```python\n{signature(member)}\n```"
            if member.__doc__:
                yield prose(member)


def parts() -> str:
    """Every kind of part, its methods, and the types they deal in."""
    from enigma_core import parts as module

    page = [
        "# Parts",
        prose(module),
        NOTE,
    ]
    seen: set[type] = {module.Part}
    page += ["## Part", prose(module.Part), *_members(module.Part)]
    for kind, classes in module.KINDS.items():
        page.append(f"## {kind}")
        for cls in classes:
            for one in reversed([base for base in cls.__mro__ if base.__module__ == module.__name__]):
                if one not in seen:
                    seen.add(one)
                    page += [f"### {one.__name__}", prose(one), *_members(one)]
    page.append("## What parts are given, and give")
    for name, thing in vars(module).items():
        if isinstance(thing, type) and thing.__module__ == module.__name__ and thing not in seen and not name.startswith("_"):
            page += [f"### {name}", prose(thing), *_members(thing)]
    return "\n\n".join(text for text in page if text) + "\n"


WORDS = {
    schema.IntType: "whole number",
    schema.FloatType: "number",
    schema.StrType: "text",
    schema.BoolType: "true or false",
    schema.DecimalType: "exact number",
    schema.NoneType: "null",
    schema.AnyType: "anything",
}
LIMITS = {
    "ge": ">=",
    "gt": ">",
    "le": "<=",
    "lt": "<",
    "min_length": "length >=",
    "max_length": "length <=",
    "pattern": "matches",
}


def kind(of: schema.Type) -> str:
    """A setting's type as a person reads it."""
    if isinstance(of, schema.Metadata):
        return kind(of.type)
    if isinstance(of, schema.UnionType):
        return " or ".join(dict.fromkeys(kind(one) for one in of.types))
    if isinstance(of, schema.LiteralType):
        return "one of " + ", ".join(map(str, of.values))
    if isinstance(of, schema.VarTupleType | schema.ListType | schema.SetType | schema.FrozenSetType):
        return f"list of {kind(of.item_type)}"
    if isinstance(of, schema.TupleType):
        return "[" + ", ".join(map(kind, of.item_types)) + "]"
    if isinstance(of, schema.DictType):
        return f"{kind(of.key_type)} to {kind(of.value_type)}"
    if isinstance(of, schema.StructType):
        return "{" + ", ".join(field.encode_name for field in of.fields) + "}"
    return WORDS.get(type(of), type(of).__name__.removesuffix("Type").lower())


def limits(of: schema.Type) -> str:
    """The bounds of a setting."""
    if isinstance(of, schema.Metadata):
        return limits(of.type)
    if isinstance(of, schema.UnionType):
        return ", ".join(filter(None, map(limits, of.types)))
    found = [f"{sign} {getattr(of, name)}" for name, sign in LIMITS.items() if getattr(of, name, None) is not None]
    return ", ".join(found)


def table(cls: type[msgspec.Struct]) -> str:
    """The settings of `cls`: name, type, default, limits, meaning."""
    struct = schema.type_info(cls)
    assert isinstance(struct, schema.StructType)
    rows = ["| setting | type | default | limits | meaning |", "|---|---|---|---|---|"]
    for field in struct.fields:
        meaning = ""
        if isinstance(field.type, schema.Metadata):
            meaning = str((field.type.extra_json_schema or {}).get("description", ""))
        default = "must be given"
        if field.default is not msgspec.NODEFAULT:
            default = f"`{msgspec.json.encode(field.default).decode()}`"
        elif field.default_factory is not msgspec.NODEFAULT:
            default = f"`{msgspec.json.encode(field.default_factory()).decode()}`"
        cells = [f"`{field.encode_name}`", kind(field.type), default, limits(field.type), meaning]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) if len(rows) > 2 else "No settings."


SECTIONS = {
    "timeframes": "Timeframes",
    "signal_thresholds": "Thresholds",
    "confidence": "ConfidenceRule",
    "leverage": "LeverageRule",
    "leverage.steps[]": "LeverageStep",
    "costs": "Costs",
    "account": "AccountSettings",
    "risk": "Risk",
}
"""Sections of the configuration that belong to the core, and the classes in `enigma_core.plan` that hold them."""


def settings() -> str:
    """Every setting of the core and of every built-in part."""
    from enigma_core import parts as module
    from enigma_core import plan
    from enigma_core.plugins import BUILT_IN, Catalogue

    page = [
        "# Settings",
        "Settings stand in `strategy_config.json`, and a strategy (`strategies/NAME.yaml`) lays its own over them; "
        "`enigma config show` prints what holds. Fractions are fractions (`0.03`, not `3`); a name that ends in `_roi` is a "
        "return on margin.",
        NOTE,
        "## Core",
    ]
    for section, name in SECTIONS.items():
        page += [f"### {section}", prose(getattr(plan, name)), table(getattr(plan, name))]
    catalogue = Catalogue.load()
    for kind_name in module.KINDS:
        offers = [offer for offer in catalogue.parts(kind_name).values() if offer.distribution == BUILT_IN]
        if offers:
            page.append(f"## {kind_name}")
        for offer in sorted(offers, key=lambda offer: offer.name):
            page += [f"### {kind_name} {offer.name}", prose(offer.part), table(offer.part)]
    return "\n\n".join(page) + "\n"


def _command(name: str, command: Any) -> Iterator[str]:
    import click

    context = click.Context(command, info_name=name)
    yield f"## {name}" if name.count(" ") == 1 else f"### {name}"
    yield f"```\n{' '.join([name, *command.collect_usage_pieces(context)])}\n```"
    yield inspect.cleandoc(command.help or "").replace("\b\n", "").replace("``", "`")
    rows = ["| option | meaning |", "|---|---|"]
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            names = ", ".join(f"`{opt}`" for opt in (*parameter.opts, *parameter.secondary_opts))
            choices = f" ({', '.join(map(str, parameter.type.choices))})" if isinstance(parameter.type, click.Choice) else ""
            rows.append(f"| {names} | {(parameter.help or '').replace('|', chr(92) + '|')}{choices} |")
    if len(rows) > 2:
        yield "\n".join(rows)
    if isinstance(command, click.Group):
        for sub in command.list_commands(context):
            yield from _command(f"{name} {sub}", command.get_command(context, sub))


def commands() -> str:
    """Every command with its options."""
    import click

    from enigma_core.cli import COMMANDS, root

    page = [
        "# Commands",
        "Exit code 0: done; 1: refused or failed, with one sentence on stderr; 2: wrong usage. `--json` prints JSON for machines.",
        NOTE,
    ]
    context = click.Context(root, info_name="enigma")
    for name in COMMANDS:
        page += _command(f"enigma {name}", root.get_command(context, name))
    return "\n\n".join(page) + "\n"


PAGES: dict[str, Callable[[], str]] = {"hooks.md": hooks, "parts.md": parts, "settings.md": settings, "commands.md": commands}
"""What each page is written by."""


def main() -> None:
    """Write the pages named on the command line, all of them without."""
    for name in sys.argv[1:] or PAGES:
        (FOLDER / name).write_text(PAGES[name](), encoding="utf-8")


if __name__ == "__main__":
    main()
