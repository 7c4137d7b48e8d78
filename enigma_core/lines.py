"""TA-Lib lines over a history, and the same lines one bar at a time.

An indicator asks ``candles.ta`` for its lines: ``candles.ta.RSI(candles.close, timeperiod=14)``. Over a history that is
the TA-Lib function of that name. On the live path the same call, at the same place in the same method, goes to a
`Tape`: it opens TA-Lib's stateful stream on the history and then feeds it one bar a call, which is equal to the last
bit and some twenty times cheaper than a window of bars. One definition serves both.

How a tape is used, for one method of one part on one symbol and timeframe (``points`` and ``line`` each have their own)::

    tape.rewind()
    if tape.open:                                   # each closed bar exactly once, in order
        now = part.points(candles[-TAIL:] with ta=tape)[-1]
    else:                                           # the first time, and until there is enough history
        now = part.points(all candles with ta=tape)[-1]
        tape.settle(len(all candles))

When bars were missed, or the part raised half-way through, the streams are out of step: call `Tape.close` and offer the
history again. The lines are read-only, and those of an open tape are views that hold until its next update.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from enigma_core.errors import ContractError

Floats = npt.NDArray[np.float64]

TAIL = 64
"""Bars an indicator sees on the live path: comparisons with earlier bars may reach back this far and no further."""

_SPAN = 16 * TAIL
"""Room for a tail to walk in before it is copied back to the start: one copy in some thousand updates."""

# Glibc hands freed arrays back to the system once 128 kB of them lie at the top, and zeroes them again page by page on the next
# allocation: three quarters of the time of a history's rows. Freeing one large block, never touched, raises that limit for
# the process (to twice its size; 32 MB is the most it accepts). Other allocators see an allocation and nothing more.
np.empty(31 << 20, np.int8)


@cache
def talib() -> Any:
    """The module, imported without the second that it takes to import pandas and polars just to accept their frames."""
    absent = [name for name in ("pandas", "polars") if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment]  # its import then fails at once
    try:
        library = import_module("talib")
        import_module("talib.abstract")
        import_module("talib.stream")
    finally:
        for name in absent:
            del sys.modules[name]
    return library


@cache
def _function(name: str) -> tuple[Callable[..., Any], int]:
    library = talib()
    if name not in library.get_functions():
        raise AttributeError(f"TA-Lib has no function {name!r}")
    return getattr(library, name), len(getattr(library.abstract, name).output_names)


def _nothing(outputs: int, n: int) -> Any:
    lines = tuple(np.full(n, np.nan) for _ in range(outputs))
    return lines if outputs > 1 else lines[0]


class Vector:
    """TA-Lib over whole arrays. A series that is still empty or all NaN gives NaN instead of TA-Lib's error."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function, outputs = _function(name)

        def line(*inputs: Floats, **parameters: float) -> Any:
            n = len(inputs[0])
            # a NaN at the end of an indicator's input means NaN all the way: TA-Lib refuses such input, we abstain
            silent = n == 0 or any(np.isnan(x[-1]) for x in inputs)
            lines = _nothing(outputs, n) if silent else function(*inputs, **parameters)
            for x in lines if outputs > 1 else (lines,):
                x.flags.writeable = False  # as on a tape, so that what a backtest allows, live allows too
            return lines

        return line


VECTOR = Vector()


class _Slot:
    """One line of a tape: the stream, and for each of its outputs a buffer whose last TAIL values are on offer."""

    __slots__ = ("_buffers", "_end", "_numbers", "_update", "_views")

    def __init__(self, stream: Any, lines: tuple[Any, ...]) -> None:
        self._update = stream.update
        self._buffers = [np.empty(_SPAN, line.dtype) for line in lines]
        self._views = [buffer.view() for buffer in self._buffers]
        for buffer, view, line in zip(self._buffers, self._views, lines, strict=True):
            buffer[:TAIL] = line[-TAIL:]
            view.flags.writeable = False
        self._end = TAIL
        self._numbers: list[list[float]] = []

    def push(self, inputs: tuple[Floats, ...]) -> Any:
        """Feed the newest bar; the tails that end with it."""
        end = self._end
        if end == _SPAN:
            for buffer in self._buffers:
                buffer[:TAIL] = buffer[-TAIL:]
            end = TAIL
        values = self._update(*[x[-1] for x in inputs])
        self._end = stop = end + 1
        start = stop - TAIL
        if len(self._buffers) == 1:
            self._buffers[0][end] = values
            return self._views[0][start:stop]
        for buffer, value in zip(self._buffers, values, strict=True):
            buffer[end] = value
        return tuple([view[start:stop] for view in self._views])

    def push_numbers(self, inputs: tuple[Any, ...]) -> Any:
        """As `push`, in lists of floats: a method of a part uses one or the other."""
        if not self._numbers:
            self._numbers = [buffer[:TAIL].tolist() for buffer in self._buffers]
        numbers = self._numbers
        values = self._update(*[x[-1] for x in inputs])
        if len(numbers) == 1:
            tail = numbers[0]
            tail.append(values)
            if len(tail) > _SPAN:
                del tail[:-TAIL]
            return tail
        for tail, value in zip(numbers, values, strict=True):
            tail.append(value)
            if len(tail) > _SPAN:
                del tail[:-TAIL]
        return numbers


class Numbers:
    """The lines of an open tape as lists of floats, newest last: cheaper than arrays where only a few items are read."""

    __slots__ = ("_tape",)

    def __init__(self, tape: Tape) -> None:
        self._tape = tape

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return self._tape.update_numbers


class Tape:
    """The lines of one method of one indicator on one symbol and timeframe, one closed bar at a time.

    The n-th call within an evaluation belongs to the n-th line, so an indicator must make the same calls in the same
    order on every bar. Until every stream can be opened and TAIL bars have been seen `open` is False: lines are then those
    of `Vector`, and the caller must offer the whole history again.
    """

    __slots__ = ("_at", "_slots", "numbers", "open")

    def __init__(self) -> None:
        self._slots: list[_Slot | None] = []
        self._at = 0
        self.open = False
        self.numbers = Numbers(self)

    def rewind(self) -> None:
        """Start the next evaluation at the first line; while not open, forget what was opened.

        Raises `ContractError`, and closes the tape, when the last evaluation did not update every line.
        """
        at, self._at = self._at, 0
        if not self.open:
            self._slots.clear()
        elif at and at != len(self._slots):
            lines = len(self._slots)
            self.close()
            raise ContractError(f"{at} of {lines} lines were updated on the last bar; make the same calls of ta on every bar")

    def settle(self, bars: int = TAIL) -> bool:
        """After an evaluation over a history of `bars`: True when every line is open and updates may begin."""
        self.open = bars >= TAIL and None not in self._slots
        self._at = 0
        return self.open

    def close(self) -> None:
        """Forget every stream; the next evaluation must be over the whole history."""
        self._slots.clear()
        self._at = 0
        self.open = False

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if self.open:
            return self._update

        def line(*inputs: Floats, **parameters: float) -> Any:
            return self._fill(name, inputs, parameters)

        _function(name)  # an unknown name is refused here, not when the line is asked for
        return line

    def _fill(self, name: str, inputs: tuple[Floats, ...], parameters: dict[str, float]) -> Any:
        lines = getattr(VECTOR, name)(*inputs, **parameters)
        slot = None
        if len(inputs[0]) >= TAIL and not any(np.isnan(x[-1]) for x in inputs):
            try:
                state = getattr(talib().stream, name)(*inputs, **parameters)
            except talib().InsufficientHistory:
                pass  # the caller comes again with more
            else:
                slot = _Slot(state, lines if isinstance(lines, tuple) else (lines,))
        self._slots.append(slot)
        return lines

    def _slot(self) -> _Slot:
        try:
            slot = self._slots[self._at]
        except IndexError:
            lines = len(self._slots)
            self.close()
            raise ContractError(f"more than the {lines} lines of the first bars; make the same calls of ta on every bar") from None
        self._at += 1
        return slot  # type: ignore[return-value]  # open means that there is no None

    def _update(self, *inputs: Floats, **parameters: float) -> Any:
        return self._slot().push(inputs)

    def update_numbers(self, *inputs: Any, **parameters: float) -> Any:
        """The next line of an open tape as a list of floats (a list of lists where it has several outputs)."""
        return self._slot().push_numbers(inputs)
