"""The plugin author's guide runs: its Python blocks in order as one module, its module as `enigma plugins new` writes it."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

from enigma_core.cli.plugin_templates import package
from enigma_core.parts import kind_of
from enigma_core.testing import check

GUIDE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def test_python_blocks_run_in_order() -> None:
    module = types.ModuleType("the_guide")
    sys.modules[module.__name__] = module
    try:
        for language, block in BLOCKS:
            if language == "python":
                exec(compile(block, "docs/plugins.md", "exec"), vars(module))
        classes = [thing for thing in vars(module).values() if isinstance(thing, type) and thing.__module__ == module.__name__]
        assert len(classes) == 6
        assert {kind_of(cls) for cls in classes} == {"indicator", "gate", "exit", "sizer"}
        assert [cls.__name__ for cls in classes if check(cls)] == ["Tomorrow"]
    finally:
        del sys.modules[module.__name__]


def test_module_in_the_guide_is_the_one_that_new_writes() -> None:
    files = package("indicator", "over_average")
    first = next(block for language, block in BLOCKS if language == "python")
    assert files["enigma_over_average.py"].partition("\n\n")[2] == first
    (toml,) = [block for language, block in BLOCKS if language == "toml"]
    assert toml in files["pyproject.toml"]


def test_every_block_is_of_a_language_that_a_test_runs() -> None:
    assert {language for language, _ in BLOCKS} == {"python", "sh", "toml"}
    assert GUIDE.count("```") == 2 * len(BLOCKS)
