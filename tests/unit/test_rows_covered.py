"""Every fault the engine answers for is named by the tests that show its answer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
ROWS = ("P06", "P08", "P09", "P11", "R01", "R02", "R03", "R04", "R09", "R10", "R12", "R13", "R14", "R16", "R20", "S14")

NAMES = [name for file in TESTS.rglob("test_*.py") for name in re.findall(r"^\s*(?:async )?def (test_\w+)", file.read_text(), re.M)]


@pytest.mark.parametrize("row", ROWS)
def test_every_row_has_a_test_that_bears_its_name(row: str) -> None:
    assert any(f"_{row.lower()}_" in name for name in NAMES), f"no test is named test_{row.lower()}_...: fault {row} is unproven"


def test_test_names_are_found() -> None:
    assert len(NAMES) > 500
    assert "test_test_names_are_found" in NAMES
