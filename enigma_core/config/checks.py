"""One value against its type, so that everything wrong is found and each thing gets its sentence."""

from __future__ import annotations

import os
from typing import Any, TypeVar

import msgspec

from enigma_core.config import describe
from enigma_core.config.overrides import near
from enigma_core.config.tree import Tree, leaves, reference
from enigma_core.errors import EnigmaError
from enigma_core.secrecy import hide

S = TypeVar("S", bound=msgspec.Struct)

OTHERS = 0o077
"""Rights that nobody but the owner may have to a secret that real money hangs on."""

MOST_SECRET = 64_000


class Checker:
    """Turns values into structs and collects sentences instead of raising."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.problems: list[str] = []

    def refuse(self, path: str, what: str) -> None:
        """Add the sentence "`path` `what`", with where the setting came from."""
        self.problems.append(f"{path}{self.source(path)} {what}")

    def source(self, path: str) -> str:
        origin = self.tree.origin(path)
        return "" if origin == "default" else f" ({origin})"

    def mapping(self, path: str, value: Any) -> dict[str, Any] | None:
        """`value` if it is a mapping, else None and a sentence."""
        if isinstance(value, dict):
            return value
        self.refuse(path, f"is {describe.shown(value, path)}; it must be a mapping of names to values")
        return None

    def struct(self, path: str, values: dict[str, Any], kind: type[S]) -> S | None:
        """`values` as a `kind`, or None and a sentence for each thing that is wrong."""
        before = len(self.problems)
        values = {name: self._plain(f"{path}.{name}", value) for name, value in values.items()}
        for at, value in leaves(path, values):
            if found := describe.unsound(value, at):
                self.refuse(*found)
            elif isinstance(value, str) and value and describe.secret(at) and not self._referred(at):
                self.refuse(at, f'is a secret and must not stand here; refer to it: {{"env": "{at.rpartition(".")[2].upper()}"}}')
        if len(self.problems) > before:
            return None
        made: S | None
        try:
            made = msgspec.convert(values, kind)
        except EnigmaError as error:
            self.refuse(path, f"is refused: {error}")
            return None
        except Exception as error:  # noqa: BLE001 - a plugin's own check may raise anything
            made = self._piecewise(path, values, kind, error)
        if made is not None and (found := describe.unsound(made, path)):
            self.refuse(*found)
            return None
        return made

    def _piecewise(self, path: str, values: dict[str, Any], kind: type[S], error: Exception) -> S | None:
        """Each setting by itself: converting the whole stops at the first that is wrong."""
        before = len(self.problems)
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        typed = dict(values)
        for name, value in values.items():
            at = f"{path}.{name}"
            if name not in fields:
                self.refuse(at, f"is unknown{near(name, fields, f'{path}.') if fields else f'; {path} has no settings'}")
                continue
            try:
                msgspec.convert(value, fields[name].type)
            except Exception as reason:  # noqa: BLE001 - as above
                # 123 from the command line may have been meant as a text
                text = self.tree.text(at)
                if text is not None and not isinstance(value, str) and _converts(text, fields[name].type):
                    typed[name] = text
                    continue
                inner = _struct(fields[name].type)
                if inner is not None and isinstance(value, dict):
                    self._piecewise(at, value, inner, reason)
                else:
                    self._misfit(at, value, fields[name].type, str(reason))
        for name, field in fields.items():
            if field.required and name not in values:
                self.refuse(f"{path}.{name}", f"is missing; it must be {describe.wanted(field.type)}")
        if len(self.problems) > before:
            return None
        if typed != values:
            try:
                return msgspec.convert(typed, kind)
            except Exception as again:  # noqa: BLE001 - as above
                error = again
        what = str(error) if isinstance(error, (msgspec.ValidationError, EnigmaError)) else f"{type(error).__name__}: {error}"
        self.refuse(path, f"is refused: {what}")
        return None

    def _misfit(self, at: str, value: Any, kind: Any, reason: str) -> None:
        inner, _, place = reason.partition(" - at `$")
        if place.rstrip("`"):  # the misfit lies deeper: say where
            self.refuse(f"{at}{place.rstrip('`')}", f"does not fit: {inner[0].lower()}{inner[1:].replace('`', '')}")
            return
        what = f"is {describe.shown(value, at)}; it must be {describe.wanted(kind)}{describe.percent(value, kind)}"
        if isinstance(value, str) and (choices := getattr(kind, "__args__", ())) and all(isinstance(c, str) for c in choices):
            what += near(value, choices)
        self.refuse(at, what)

    def _referred(self, at: str) -> bool:
        return reference(self.tree.get(at)) or self.tree.get(at) is None

    def _plain(self, path: str, value: Any) -> Any:
        """`value` with references to secrets replaced by what they refer to."""
        if reference(value):
            found = self._secret(path, *next(iter(value.items())))
            hide(found)
            return found
        if isinstance(value, dict):
            return {name: self._plain(f"{path}.{name}", inner) for name, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._plain(f"{path}[{i}]", inner) for i, inner in enumerate(value)]
        return value

    def _secret(self, path: str, kind: str, where: Any) -> str:
        if not isinstance(where, str) or not where:
            self.refuse(path, f'refers to {describe.shown(where)}; write {{"{kind}": "NAME"}}')
            return ""
        environment = self.tree.environment
        if kind == "env":
            if where in environment:
                return environment[where]
            if f"{where}_FILE" not in environment:
                self.refuse(path, f"refers to the environment's {where}, which is not set; set it, or {where}_FILE")
                return ""
            where = environment[f"{where}_FILE"]
        try:
            with open(os.path.join(self.tree.folder, where), encoding="utf-8") as file:
                mode = os.fstat(file.fileno()).st_mode & 0o777
                if mode & OTHERS and self.tree.get("mode") == "live" and self.tree.get("sandbox") is not True:
                    self.refuse(path, f"refers to the file {where}, which is open to others (mode {mode:03o}): chmod 600 {where}")
                text = file.read(MOST_SECRET)
        except (OSError, ValueError) as error:
            self.refuse(path, f"refers to the file {where}, which cannot be read: {getattr(error, 'strerror', None) or error}")
            return ""
        return text.rstrip("\r\n")


def _converts(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except Exception:  # noqa: BLE001 - only asked whether
        return False
    return True


def _struct(kind: Any) -> type[msgspec.Struct] | None:
    """The struct that settings of this `kind` are; None where they are something else, or may be."""
    found = msgspec.inspect.type_info(kind)
    while isinstance(found, msgspec.inspect.Metadata):
        found = found.type
    return found.cls if isinstance(found, msgspec.inspect.StructType) else None
