"""What a plugin may add to the API, and how one that fails is told."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from enigma_core.plugins import Catalogue
from enigma_screener.api import scan

GOOD = """
    from litestar import get
    from enigma_core.hookspecs import hookimpl

    @get("/mine")
    async def mine() -> str:
        return ""

    @hookimpl
    def enigma_routes():
        yield mine
"""
BAD = """
    from enigma_core.hookspecs import hookimpl

    @hookimpl
    def enigma_routes():
        raise RuntimeError("no web here")
"""


def catalogue(folder: Path, **files: str) -> Catalogue:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    return Catalogue.load(folders=[folder], entry_points=[])


def test_routes_are_kept_apart_by_who_brings_them(tmp_path: Path) -> None:
    found = catalogue(tmp_path, mine=GOOD).routes()
    ((source, handlers),) = found.items()
    assert source.startswith("mine (")
    assert [sorted(handler.paths) for handler in handlers] == [["/mine"]]


def test_a_plugin_that_raises_is_a_fault_and_the_others_keep_their_routes(tmp_path: Path) -> None:
    loaded = catalogue(tmp_path, mine=GOOD, theirs=BAD)
    assert len(loaded.routes()) == 1
    assert any("raised in enigma_routes: RuntimeError: no web here" in fault.sentence for fault in loaded.faults)


def test_the_screener_brings_its_route_its_service_and_its_universe() -> None:
    built_in = Catalogue.built_in()
    assert [handlers for source, handlers in built_in.routes().items() if source.startswith("services.screener")] == [(scan,)]
    assert built_in.part("service", "screener").module.startswith("enigma_screener.")
    assert built_in.part("universe", "screener").module.startswith("enigma_screener.")


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    for name in [name for name in sys.modules if name.startswith("enigma_local.")]:
        del sys.modules[name]
