"""TA-Lib lines over a history, and the same lines one bar at a time.

An indicator asks ``candles.ta`` for its lines: ``candles.ta.RSI(candles.close, timeperiod=14)``. Over a history that is
the TA-Lib function of that name. On the live path the same call, at the same place in the same method, goes to a
`Tape`: it opens TA-Lib's stateful stream on the first bars and then feeds it one bar a call, which is equal to the last
bit and some twenty times cheaper than a window of bars. One definition serves both.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

TAIL = 64
"""Bars an indicator sees on the live path: comparisons with earlier bars may reach back this far and no further."""


@cache
def _function(name: str) -> tuple[Callable[..., Any], int]:
    import talib
    from talib import abstract

    if name not in talib.__TA_FUNCTION_NAMES__:
        raise AttributeError(f"TA-Lib has no function {name!r}")
    return getattr(talib, name), len(abstract.Function(name).output_names)


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
            if n == 0 or any(np.isnan(x[-1]) for x in inputs):
                return _nothing(outputs, n)
            return function(*inputs, **parameters)

        return line


VECTOR = Vector()


class Tape:
    """The lines of one indicator on one symbol and timeframe, one closed bar at a time.

    The n-th call within an evaluation belongs to the n-th line, so an indicator must make the same calls in the same
    order on every bar. `rewind` before each evaluation. Until TA-Lib has enough history to open a stream the line is NaN
    and the caller must offer the whole history again (`open` is False).
    """

    __slots__ = ("_at", "_slots", "open")

    def __init__(self) -> None:
        self._slots: list[tuple[Any, list[Floats]] | None] = []
        self._at = 0
        self.open = False

    def rewind(self) -> None:
        """Start the next evaluation at the first line; while not open, forget what was opened."""
        self._at = 0
        if not self.open:
            self._slots.clear()

    def settle(self) -> bool:
        """After an evaluation over the history: True when every line is open and updates may begin."""
        self.open = all(slot is not None for slot in self._slots)
        return self.open

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function, outputs = _function(name)

        def line(*inputs: Floats, **parameters: float) -> Any:
            return self._update(inputs) if self.open else self._fill(name, outputs, inputs, parameters)

        return line

    def _fill(self, name: str, outputs: int, inputs: tuple[Floats, ...], parameters: dict[str, float]) -> Any:
        from talib import stream

        whole = getattr(VECTOR, name)(*inputs, **parameters)
        lines = whole if outputs > 1 else (whole,)
        try:
            state = getattr(stream, name)(*inputs, **parameters)
        except Exception:  # not enough history yet (talib.InsufficientHistory), or all NaN so far
            self._slots.append(None)
        else:
            tails = []
            for x in lines:
                tail = np.full(TAIL, np.nan)
                tail[max(0, TAIL - len(x)) :] = x[-TAIL:]
                tails.append(tail)
            self._slots.append((state, tails))
        return whole

    def _update(self, inputs: tuple[Floats, ...]) -> Any:
        slot = self._slots[self._at]
        assert slot is not None
        self._at += 1
        state, tails = slot
        values = state.update(*[x[-1] for x in inputs])
        if len(tails) == 1:
            tail = tails[0]
            tail[:-1] = tail[1:]
            tail[-1] = values
            return tail
        for tail, value in zip(tails, values, strict=True):
            tail[:-1] = tail[1:]
            tail[-1] = value
        return tuple(tails)
