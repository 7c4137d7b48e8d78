"""What exits answer is held against the positions it is about; what does not fit has no say."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from enigma_core.exiting import aims, first_stops, tightest
from enigma_core.model import Instrument
from enigma_core.parts import Exit, Holding, Target

INSTRUMENT = Instrument(
    symbol="BTC/USDT:USDT",
    tick=Decimal("0.1"),
    lot=Decimal(1),
    multiplier=Decimal("0.001"),
    min_quantity=Decimal(1),
    max_leverage=100,
    maintenance_margin_rate=Decimal("0.005"),
    max_quantity=Decimal(1_000_000),
)
ONE = Holding(1, 100.0, 10, 1.0, 0.0006, 0.0006)
THREE = Holding(np.ones((3, 1)), np.full((3, 1), 100.0), np.full((3, 1), 10), np.ones((3, 1)), 0.0006, 0.0006)


class Says(Exit, frozen=True, kw_only=True):
    """Answers what it was given."""

    name = "says"
    answer: Any

    def first_stop(self, position: Holding) -> Any:
        return self.answer

    def targets(self, position: Holding) -> Any:
        return (Target(self.answer),)


@pytest.mark.parametrize("answer", [[99.0], [99.0, 98.0], np.full((1, 1), 99.0), "there", None, {}])
def test_p08_a_stop_of_the_wrong_shape_is_none_and_is_named(answer: Any) -> None:
    faults: list[str] = []
    found = first_stops({"says": Says(answer=answer)}, ONE, INSTRUMENT, faults)
    assert tightest(found)[0] == ""
    # None becomes NaN, which is no level and no fault
    assert faults or answer is None


@pytest.mark.parametrize("answer", [99.0, np.float64(99.0), np.asarray(99.0)])
def test_a_stop_is_one_number_for_one_position(answer: Any) -> None:
    faults: list[str] = []
    assert tightest(first_stops({"says": Says(answer=answer)}, ONE, INSTRUMENT, faults)) == ("says", 99.0)
    assert not faults


@pytest.mark.parametrize(("answer", "right"), [(np.full((3, 1), 99.0), True), (np.full(3, 99.0), False), ([99.0, 98.0], False)])
def test_for_many_positions_it_is_one_for_each(answer: Any, right: bool) -> None:
    faults: list[str] = []
    assert bool(first_stops({"says": Says(answer=answer)}, THREE, INSTRUMENT, faults)) == right
    assert bool(faults) != right


@pytest.mark.parametrize("answer", [[101.0], [101.0, 102.0], "high", math.nan, math.inf, -1.0])
def test_p08_a_target_that_is_no_level_is_left_out(answer: Any) -> None:
    assert aims({"says": Says(answer=answer)}, ONE, INSTRUMENT, []) == []
