"""Every fault the engine answers for is named by the tests that show its answer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def rows(kind: str, *numbers: int) -> tuple[str, ...]:
    return tuple(f"{kind}{number:02}" for number in numbers)


ROWS = (
    *rows("I", *range(1, 31)),
    *rows("S", *range(1, 15), 18, 21),
    *rows("X", *range(1, 35)),
    *rows("P", 1, 2, 3, 4, 5, 6, 8, 9, 11, 16, 17, 18, *range(21, 25)),
    *rows("R", *range(1, 18), 20),
    *rows("A", *range(1, 17)),
)

NAMES = [name for file in TESTS.rglob("test_*.py") for name in re.findall(r"^\s*(?:async )?def (test_\w+)", file.read_text(), re.M)]


@pytest.mark.parametrize("row", ROWS)
def test_every_row_has_a_test_that_bears_its_name(row: str) -> None:
    assert any(f"_{row.lower()}_" in name for name in NAMES), f"no test is named test_{row.lower()}_...: fault {row} is unproven"


def test_test_names_are_found() -> None:
    assert len(NAMES) > 500
    assert "test_test_names_are_found" in NAMES
