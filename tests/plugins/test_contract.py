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
from enigma_core.testing import candles, check

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


@pytest.mark.parametrize("name", ["csv", "replay"])
def test_feed_that_reads_files_keeps_the_contract_once_it_has_some(name: str, tmp_path: Path) -> None:
    for symbol, seed in (("BTCUSDT", 1), ("ETHUSDT", 2)):
        bars = candles(seed, 120, "gaps")
        rows = zip(bars.ts, bars.open, bars.high, bars.low, bars.close, bars.volume, strict=True)
        lines = ["ts,open,high,low,close,volume", *(",".join([str(int(ts)), *(repr(float(x)) for x in row)]) for ts, *row in rows)]
        (tmp_path / f"{symbol}-30m.csv").write_text("\n".join(lines) + "\n")
    (part,) = [part for _, part in PARTS if (kind_of(part), part.name) == ("feed", name)]
    feed = part(data=str(tmp_path))
    assert feed.symbols() == ("BTC/USDT:USDT", "ETH/USDT:USDT")
    assert [str(finding) for finding in check(feed)] == []


@pytest.mark.parametrize("module", MODULES)
def test_file_bears_its_parts_name_and_offers_one_part(module: str) -> None:
    assert [part.name for part in _offered(importlib.import_module(module))] == [module.rpartition(".")[2]]


def test_every_file_has_its_entry_point_and_every_entry_point_its_file() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    points = project["project"]["entry-points"]["enigma"]
    shelf = {name: module for name, module in points.items() if module.startswith("enigma_plugins.")}
    assert sorted(shelf.values()) == MODULES
    assert all(f"enigma_plugins.{name}" == module for name, module in shelf.items())
