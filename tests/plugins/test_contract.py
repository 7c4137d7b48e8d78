"""The contract kit over every part that is built in."""

from __future__ import annotations

import importlib
import pkgutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import enigma_plugins
from enigma_core.parts import Part, kind_of
from enigma_core.plugins import HOOKS
from enigma_core.testing import check

ROOT = Path(__file__).parents[2]


def _modules() -> Iterator[str]:
    for found in pkgutil.walk_packages(enigma_plugins.__path__, "enigma_plugins."):
        if not found.ispkg and not found.name.rpartition(".")[2].startswith("_"):
            yield found.name


def _offered(module: Any) -> list[type[Part]]:
    return [part for hook in HOOKS if hasattr(module, hook) for part in getattr(module, hook)()]


MODULES = sorted(_modules())
PARTS = [(name, part) for name in MODULES for part in _offered(importlib.import_module(name))]


@pytest.mark.parametrize(("module", "part"), PARTS, ids=[f"{kind_of(part)}-{part.name}" for _, part in PARTS])
def test_built_in_part_keeps_the_contract(module: str, part: type[Part]) -> None:
    assert [str(finding) for finding in check(part)] == []


@pytest.mark.parametrize("module", MODULES)
def test_file_bears_its_parts_name_and_offers_one_part(module: str) -> None:
    assert [part.name for part in _offered(importlib.import_module(module))] == [module.rpartition(".")[2]]


def test_every_file_has_its_entry_point_and_every_entry_point_its_file() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    points = project["project"]["entry-points"]["enigma"]
    assert sorted(points.values()) == MODULES
    assert all(f"enigma_plugins.{name}" == module for name, module in points.items())
