"""The simulation finds bugs that are put into the engine on purpose: so much may be hoped of those nobody put there."""

from __future__ import annotations

import pytest

from enigma_simulation.running import simulate
from planted import BUGS, find, planted

SEEDS = 2_000
"""Within so many seeds each bug has to be found."""


def test_there_are_enough_of_them_and_each_says_what_it_is() -> None:
    assert len(BUGS) >= 25
    assert all(make.__doc__ for make in BUGS.values())


@pytest.mark.parametrize("name", ["old_stop_goes_first", "timeout_is_failure", "fee_is_forgotten"])
def test_a_planted_bug_is_found(name: str) -> None:
    assert find(name, 40) is not None


def test_what_was_planted_is_gone_afterwards() -> None:
    before = {name: vars(where)[name] for where, name, _ in BUGS["same_fill_twice"]()}
    with planted("same_fill_twice"):
        assert simulate(1).violations
    assert {name: vars(where)[name] for where, name, _ in BUGS["same_fill_twice"]()} == before
    assert not simulate(1).violations


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", BUGS)
def test_every_planted_bug_is_found(name: str) -> None:
    found = find(name, SEEDS)
    assert found is not None, f"{name} was not found within {SEEDS} seeds"
