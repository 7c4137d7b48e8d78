"""Places where a simulation may have the engine take another course: each is listed, is come to, and leaves all that must hold."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec
import pytest

import enigma_core
import enigma_exchange
import enigma_simulation
from enigma_core import chance
from enigma_simulation import world
from enigma_simulation.running import simulate
from enigma_simulation.scenario import Deed, scenario

ENGINE = [Path(package.__path__[0]) for package in (enigma_core, enigma_exchange, enigma_simulation)]

LEAST = 60
"""So many places there are at least."""


@cache
def labels() -> tuple[str, ...]:
    """What is said at each of them, as it stands in the code."""
    return tuple(_labels())


def _labels() -> Iterator[str]:
    for folder in ENGINE:
        for path in sorted(folder.rglob("*.py")):
            text = path.read_text("utf-8")
            for node in ast.walk(ast.parse(text if "maybe(" in text else "")):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "maybe":
                    (argument,) = node.args
                    assert isinstance(argument, ast.Constant), f"{path}:{node.lineno}: a label is written out"
                    yield str(argument.value)


def test_there_are_enough_of_them_and_each_has_a_name_of_its_own() -> None:
    found = list(labels())
    assert len(found) >= LEAST
    assert sorted(set(found)) == sorted(found)
    assert all(": " in label for label in found)


def test_outside_a_simulation_none_is_ever_taken() -> None:
    assert not any(chance.maybe(label) for label in labels())


BUSY = (
    Deed(20.0, "fault", {"fills_late": 2_500}),
    Deed(22.0, "mood", {"part": "notifier", "mood": "raises"}),
    Deed(30.0, "restart"),
    Deed(40.0, "spell", {"what": "partial", "share": 0.4, "chance": 0.5, "lasts": 60.0}),
    Deed(41.0, "spell", {"what": "drop", "method": "POST", "path": "/api/v1/orders", "chance": 0.4, "lasts": 60.0}),
    Deed(55.0, "restart"),
    Deed(70.0, "outage", {"revoked": True}),
    Deed(76.0, "outage", {"revoked": False}),
    Deed(80.0, "hand_close", {"symbol": "BTC/USDT:USDT"}),
    Deed(85.0, "hand_open", {"symbol": "SOL/USDT:USDT"}),
    Deed(90.0, "restart"),
)
"""A world in which there is something to do everywhere."""


def test_all_of_them_together_break_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(_taken([1, 4], 0.05, monkeypatch)) >= LEAST * 2 / 3


def test_where_hardly_anything_goes_as_usual_nothing_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _taken([3], 0.3, monkeypatch)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_each_is_taken_within_some_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(labels()) - _taken(range(1, 200), 0.05, monkeypatch) == set()


def _taken(seeds: range | list[int], rare: float, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The courses taken in busy worlds of these seeds, all of which are open to all of them."""
    monkeypatch.setattr(world, "OPEN", 1.0)
    found: set[str] = set()
    for seed in seeds:
        base = scenario(seed)
        deeds = sorted([*(d for d in base.deeds if d.what in ("alert", "gap", "reset")), *BUSY], key=lambda d: d.at)
        algorithm = "twap" if seed % 3 == 0 else ""
        story = msgspec.structs.replace(
            base, weather="storm", deeds=tuple(deeds), rare=rare, crash_at=None, faults=(), algorithm=algorithm
        )
        outcome = simulate(seed, story=story)
        assert not outcome.violations, "\n".join(f"{v.at} {v.invariant} {v.text}" for v in outcome.violations)
        found |= outcome.taken.keys()
    return found
