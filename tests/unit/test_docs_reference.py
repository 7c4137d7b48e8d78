"""The reference pages say what the code says: a hook, part, setting or command without its heading fails here."""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from enigma_core import hookspecs, parts
from enigma_core.cli import COMMANDS
from enigma_core.plugins import Catalogue

DOCS = Path(__file__).parents[2] / "docs"


def _generator() -> Any:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATE = _generator()


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def headings(name: str) -> set[str]:
    return set(re.findall(r"^#+ (.+)$", page(name), re.MULTILINE))


@pytest.mark.parametrize("name", GENERATE.PAGES)
def test_page_says_what_the_code_says(name: str) -> None:
    wanted, found = GENERATE.PAGES[name]().splitlines(), page(name).splitlines()
    differences = list(difflib.unified_diff(found, wanted, f"docs/{name}", "the code", lineterm="", n=1))
    assert not differences, "run `python docs/generate.py`:\n" + "\n".join(differences[:40])


def test_every_hook_has_its_heading_and_its_signature() -> None:
    hooks = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("enigma_")}
    assert hooks
    assert set(hooks) <= headings("hooks.md")
    for name, hook in hooks.items():
        arguments = ", ".join(f"{a.name}: {a.annotation}" for a in inspect.signature(hook).parameters.values())
        assert f"def {name}({arguments})" in page("hooks.md")


def test_every_kind_class_and_method_of_parts_has_its_heading() -> None:
    found = headings("parts.md")
    assert set(parts.KINDS) <= found
    for classes in parts.KINDS.values():
        for cls in classes:
            methods = {f"{cls.__name__}.{name}" for name in vars(cls) if not name.startswith("_") and _is_method(cls, name)}
            assert {cls.__name__} | methods <= found


def _is_method(cls: type, name: str) -> bool:
    return isinstance(vars(cls)[name], property) or inspect.isfunction(vars(cls)[name])


def test_every_built_in_part_and_each_of_its_settings_is_described() -> None:
    text = page("settings.md")
    offers = [offer for kind in parts.KINDS for offer in Catalogue.load().parts(kind).values() if offer.built_in]
    assert len(offers) > 40
    for offer in offers:
        _, found, rest = text.partition(f"\n### {offer.kind} {offer.name}\n")
        assert found, f"{offer.kind} {offer.name} has no heading"
        section = rest.partition("\n### ")[0]
        assert all(f"| `{name}` |" in section for name in offer.part.__struct_encode_fields__)


def test_every_command_has_its_heading() -> None:
    assert {f"enigma {name}" for name in COMMANDS} <= headings("commands.md")


def test_pages_name_no_place_of_the_machine_they_were_made_on() -> None:
    for path in DOCS.glob("*.md"):
        assert str(Path.home()) not in path.read_text(encoding="utf-8")
        assert str(DOCS.parent) not in path.read_text(encoding="utf-8")
