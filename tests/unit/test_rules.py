"""The words of a points table."""

from __future__ import annotations

import doctest

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enigma_core import rules
from enigma_core.errors import ConfigError
from enigma_core.lines import TAIL, Tape
from enigma_core.model import Candles
from enigma_core.rows import AllBars, NewestBar, rows

NAN = float("nan")


def line(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def test_the_example_in_the_docstring_runs() -> None:
    outcome = doctest.testmod(rules)
    assert outcome.attempted
    assert not outcome.failed


def test_comparisons_with_nan_are_false() -> None:
    x = line(NAN, NAN)
    for holds in (rules.above(x, 0), rules.below(x, 0), rules.at_least(x, 0), rules.at_most(x, 0), rules.up(x), rules.down(x)):
        assert not holds.any()


def test_rounding_is_no_rise() -> None:
    assert rules.up(line(1, 1 + 1e-12, 2, 2 - 1e-12, 1)).tolist() == [False, False, True, False, False]
    assert rules.down(line(1, 1 + 1e-12, 2, 2 - 1e-12, 1)).tolist() == [False, False, False, False, True]


def test_a_threshold_missed_by_rounding_is_reached_but_not_passed() -> None:
    x = line(20 - 1e-13, 20 + 1e-13)
    assert rules.at_most(x, 20).all()
    assert rules.at_least(x, 20).all()
    assert not rules.below(x, 20).any()
    assert not rules.above(x, 20).any()


def test_a_crossing_needs_a_bar_before_it() -> None:
    assert rules.crosses_above(line(NAN, 1, -1, 0, 1, 2), 0.0).tolist() == [False, False, False, False, True, False]
    assert rules.crosses_below(line(NAN, -1, 1, 0, -1, -2), 0.0).tolist() == [False, False, False, False, True, False]


def test_ago_and_change_know_nothing_of_the_first_bars() -> None:
    np.testing.assert_array_equal(rules.ago(line(1, 2, 4), 2), [NAN, NAN, 1])
    np.testing.assert_array_equal(rules.change(line(1, 2, 4), 2), [NAN, NAN, 3])
    np.testing.assert_array_equal(rules.change(line(1, 2), 5), [NAN, NAN])
    np.testing.assert_array_equal(rules.ago(line(1, 2), 5), [NAN, NAN])


def test_an_empty_range_is_its_middle() -> None:
    np.testing.assert_array_equal(rules.place_in_range(line(5, 1, 3), line(5, 1, 1), line(5, 3, 3)), [50, 0, 100])
    np.testing.assert_array_equal(rules.place_in_range(line(1), line(1), line(1 + 1e-12), 1e-9), [50])


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=50))
def test_the_first_row_that_holds_wins(bits: list[tuple[bool, bool, bool, bool]]) -> None:
    a, b, c, unknown = np.array(bits).T
    known = np.where(unknown, NAN, 1.0)
    have = rules.first_match((a, 1.0), (b, -0.5), (c, 0.25), known=known, scale=8)
    want = [NAN if u else 8.0 if x else -4.0 if y else 2.0 if z else 0.0 for x, y, z, u in bits]
    np.testing.assert_array_equal(have, want)
    n = len(bits)
    arrays = rules.first_match((a, np.full(n, 1.0)), (b, -0.5), (c, 0.25), known=known, scale=8)
    np.testing.assert_array_equal(arrays, want)


def test_an_average_forgets_its_first_value_in_the_bars_it_says() -> None:
    for weight in (1 / 14, 2 / 51, 1 / 3):
        bars = rules.bars_to_forget(weight)
        assert (1 - weight) ** bars <= 2**-53 < (1 - weight) ** (bars - 1)
    assert rules.bars_to_forget(1) == 0


def test_ascending_names_the_part_and_both_settings() -> None:
    with pytest.raises(ConfigError, match="macd: fast is 30 and slow is 26; fast must be below slow"):
        rules.ascending("macd", fast=30, slow=26)


def _pair(values: np.ndarray) -> tuple[AllBars, NewestBar]:
    candles = Candles.of("X", "5m", np.arange(len(values)), *[values] * 5)
    tape = Tape()
    tape.open = True
    newest = rows(msgspec.structs.replace(candles, ta=tape))
    every = rows(candles)
    assert isinstance(newest, NewestBar)
    assert isinstance(every, AllBars)
    return every, newest


@given(st.data())
def test_the_newest_bar_says_what_all_bars_say_of_it(data: st.DataObject) -> None:
    numbers = st.lists(st.sampled_from([-2.0, -1e-9, -1e-12, 0.0, 1e-12, 1e-9, 1.0, 1 + 1e-12, 2.0]), min_size=4, max_size=4)
    a, b, close = (np.array(data.draw(numbers)) for _ in range(3))
    every, newest = _pair(np.abs(close))
    noises = (
        (1e-9, 1e-9),
        (0, 0),
        (every.price_noise(), newest.price_noise()),
        (every.volume_noise(a, b), newest.volume_noise(a, b)),
    )
    for word in ("above", "below", "crosses_above", "crosses_below"):
        for mine, theirs in noises:
            for other in (b, 1.0, 0):
                assert getattr(every, word)(a, other, mine)[-1] == getattr(newest, word)(a, other, theirs)
    for word in ("up", "down", "was_up", "was_down"):
        for mine, theirs in noises:
            assert getattr(every, word)(a, mine)[-1] == getattr(newest, word)(a, theirs)
    for word in ("at_least", "at_most"):
        assert getattr(every, word)(a, 1)[-1] == getattr(newest, word)(a, 1)
    assert every.up(a, 0.0, bars=2)[-1] == newest.up(a, 0.0, bars=2)
    assert every.blend(a, 3.0, b, -2.0)[-1] == newest.blend(a, 3.0, b, -2.0)[-1]
    low, high = np.minimum(a, b), np.maximum(a, b)
    for noise in (0.0, 1e-9):
        assert every.place_in_range(a, low, high, noise)[-1] == newest.place_in_range(a, low, high, noise)[-1]


def test_a_history_of_a_tail_is_still_a_history() -> None:
    values = np.linspace(1, 2, TAIL)
    assert isinstance(rows(Candles.of("X", "5m", np.arange(TAIL), *[values] * 5)), AllBars)
