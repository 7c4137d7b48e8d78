"""The page on algorithms: its example keeps the contract, and it names what there is."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import enigma_plugins.algorithms
from enigma_core.parts import Algorithm
from enigma_core.slicing import MOST_REJECTED, MOST_SLICES, PAUSE
from enigma_core.testing import check

PAGE = (Path(__file__).parents[2] / "docs" / "algorithms.md").read_text(encoding="utf-8")


def test_the_example_keeps_the_contract() -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    module: dict[str, object] = {"__name__": "the_page"}
    exec(compile(block, "docs/algorithms.md", "exec"), module)
    (part,) = [
        thing for thing in module.values() if isinstance(thing, type) and issubclass(thing, Algorithm) and thing is not Algorithm
    ]
    assert [str(finding) for finding in check(part)] == []


def test_the_table_has_every_algorithm_that_is_built_in() -> None:
    built_in = {m.name for m in pkgutil.iter_modules(enigma_plugins.algorithms.__path__) if not m.name.startswith("_")}
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == built_in
    for name in built_in:
        (part,) = importlib.import_module(f"enigma_plugins.algorithms.{name}").enigma_algorithms()
        assert part.name == name


def test_its_numbers_are_those_of_the_code() -> None:
    assert f"{MOST_SLICES:,} slices" in PAGE
    assert (MOST_REJECTED, PAUSE) == (3, 1_000)
