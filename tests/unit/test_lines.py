"""TA-Lib's lines over a history and on a tape."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from enigma_core.errors import ContractError
from enigma_core.lines import TAIL, VECTOR, Tape
from enigma_core.model import Candles

CLOSE = 100 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, 0.01, 4000)))
HISTORY = 500


def candles(n: int = len(CLOSE)) -> Candles:
    return Candles.of("X", "5m", np.arange(n), *[CLOSE[:n]] * 5)


def opened(lines: int = 1, bars: int = HISTORY) -> Tape:
    tape = Tape()
    tape.rewind()
    for _ in range(lines):
        tape.SMA(CLOSE[:bars], timeperiod=5)
    assert tape.settle(bars)
    return tape


def test_a_tape_gives_the_last_bars_of_the_whole_line_for_thousands_of_bars() -> None:
    tape, whole = opened(), VECTOR.SMA(CLOSE, timeperiod=5)
    for end in range(HISTORY + 1, len(CLOSE) + 1):
        tape.rewind()
        tail = tape.SMA(CLOSE[end - TAIL : end], timeperiod=5)
        np.testing.assert_array_equal(tail, whole[end - TAIL : end])


def test_lines_of_several_outputs_and_lines_of_lines() -> None:
    def lines(seen: Candles) -> tuple[np.ndarray, ...]:
        macd, signal, histogram = seen.ta.MACD(seen.close)
        return macd, signal, histogram, seen.ta.SMA(seen.ta.RSI(seen.close, timeperiod=14), timeperiod=3)

    tape, every = Tape(), candles(900)
    live, whole = msgspec.structs.replace(every, ta=tape), lines(every)
    tape.rewind()
    lines(live[:HISTORY])
    assert tape.settle(HISTORY)
    for end in range(HISTORY + 1, 901):
        tape.rewind()
        for tail, line in zip(lines(live[end - TAIL : end]), whole, strict=True):
            np.testing.assert_array_equal(tail, line[end - TAIL : end])


def test_numbers_are_the_same_lines_as_lists() -> None:
    tape, whole = opened(), VECTOR.SMA(CLOSE, timeperiod=5)
    for end in range(HISTORY + 1, len(CLOSE) + 1):
        tape.rewind()
        numbers = tape.numbers.SMA(CLOSE[end - TAIL : end], timeperiod=5)
        assert numbers[-1] == whole[end - 1]
        assert numbers[-TAIL] == whole[end - TAIL]
        assert len(numbers) <= 16 * TAIL


def test_a_tape_stays_shut_until_it_has_seen_a_tail() -> None:
    tape = Tape()
    for bars in (0, 1, 5, TAIL - 1):
        tape.rewind()
        assert len(tape.SMA(CLOSE[:bars], timeperiod=5)) == bars
        assert not tape.settle(bars)
    tape.rewind()
    tape.SMA(CLOSE[:TAIL], timeperiod=5)
    assert tape.settle(TAIL)


def test_a_tape_stays_shut_while_a_line_lacks_history() -> None:
    tape = Tape()
    for bars in (100, 199):
        tape.rewind()
        assert np.isnan(tape.SMA(CLOSE[:bars], timeperiod=200)).all()
        assert not tape.settle(bars)
    tape.rewind()
    tape.SMA(CLOSE[:250], timeperiod=200)
    assert tape.settle(250)


def test_a_history_of_nothing_but_nan_gives_nan() -> None:
    for line in (VECTOR.RSI(np.full(30, np.nan), timeperiod=14), *VECTOR.MACD(np.full(30, np.nan))):
        assert np.isnan(line).all()
    assert len(VECTOR.RSI(np.empty(0), timeperiod=14)) == 0


def test_an_unknown_line_is_refused_by_name() -> None:
    for ta in (VECTOR, Tape()):
        with pytest.raises(AttributeError, match="TA-Lib has no function 'RSY'"):
            _ = ta.RSY


def test_lines_cannot_be_written_to() -> None:
    tape = opened()
    for line in (VECTOR.SMA(CLOSE, timeperiod=5), tape.SMA(CLOSE[:TAIL], timeperiod=5)):
        with pytest.raises(ValueError, match="read-only"):
            line[0] = 1.0


def test_an_evaluation_that_leaves_out_a_line_is_told_and_the_tape_starts_again() -> None:
    tape = opened(lines=2)
    tape.rewind()
    tape.SMA(CLOSE[:TAIL], timeperiod=5)
    with pytest.raises(ContractError, match="1 of 2 lines"):
        tape.rewind()
    assert not tape.open


def test_an_evaluation_with_a_line_too_many_is_told_and_the_tape_starts_again() -> None:
    tape = opened()
    tape.rewind()
    tape.SMA(CLOSE[:TAIL], timeperiod=5)
    with pytest.raises(ContractError, match="more than the 1 lines"):
        tape.SMA(CLOSE[:TAIL], timeperiod=5)
    assert not tape.open
