"""Prices for the local exchange as tracks: closed bars on the exchange's own time, those still to come included.

A track takes a market that has a time of its own (made up or recorded) and puts it where the wall's clock is: its history runs up
to now, and what follows is played as it happened.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from enigma_core.errors import DataError
from enigma_core.market import Funding
from enigma_core.model import Candles, Instrument
from enigma_core.parts import Feed
from enigma_core.timeframes import milliseconds

DAY, HOUR = 86_400_000, 3_600_000

KEPT = 0.75
"""The share of a recording that is history at first; the rest is what comes."""

FUNDING_RATE = 1e-4
"""Of a market without funding of its own."""

EIGHT_HOURS = 8 * HOUR


class Track(Protocol):
    """Where prices come from. Times are the exchange's, ms."""

    @property
    def identity(self) -> str:
        """What market this is: an account kept in a file belongs to one."""
        ...

    @property
    def shift(self) -> int:
        """ms between the market's own time and the exchange's."""
        ...

    @property
    def symbols(self) -> tuple[str, ...]: ...
    @property
    def timeframe(self) -> str: ...
    @property
    def begins(self) -> int:
        """The open of the first bar."""
        ...

    def instrument(self, symbol: str) -> Instrument: ...
    def bars(self, symbol: str, start: int, end: int) -> Candles:
        """Bars that open at ``start <= ts < end``, whether or not that is past already."""
        ...

    def settlements(self, symbol: str, start: int, end: int) -> Funding:
        """Settlements at ``start <= ts < end``, as `bars`."""
        ...


class MadeUp:
    """The synthetic market: without an end, so what comes is never played twice."""

    def __init__(self, feed: Feed, days: int, now: int, shift: int | None = None, symbols: Sequence[str] = ()) -> None:
        self._feed = feed
        self.symbols = tuple(symbols) or feed.symbols()
        self.timeframe = feed.base_timeframe()
        self.identity = feed.identity()
        first = feed.history(self.symbols[0], self.timeframe, None, None)
        epoch = int(first.ts[0])
        # whole days: hours of the day and settlements stay where they are
        self.shift = shift if shift is not None else (now - epoch - days * DAY) // DAY * DAY
        self.begins = epoch + self.shift
        self._fundings: dict[str, Funding] = {}

    def instrument(self, symbol: str) -> Instrument:
        return self._feed.instrument(symbol)

    def bars(self, symbol: str, start: int, end: int) -> Candles:
        return _moved(self._feed.history(symbol, self.timeframe, start - self.shift, end - self.shift), self.shift)

    def settlements(self, symbol: str, start: int, end: int) -> Funding:
        if symbol not in self._fundings:
            # a hundred years of them are known: only those of this life are kept
            found = msgspec.structs.replace(self._feed).funding(symbol)
            self._fundings[symbol] = _part(found, self.begins - self.shift, self.begins - self.shift + 2_000 * DAY)
        part = _part(self._fundings[symbol], start - self.shift, end - self.shift)
        return Funding(part.ts + self.shift, part.rate)


def whole(instrument: Instrument) -> Instrument:
    """`instrument` in whole contracts, as KuCoin's are: one with a lot of 0.001 becomes one of contracts a thousandth the size."""
    lot = instrument.lot
    if lot == lot.to_integral_value():
        return instrument
    most = instrument.max_quantity
    return msgspec.structs.replace(
        instrument,
        lot=Decimal(1),
        multiplier=instrument.multiplier * lot,
        min_quantity=max(Decimal(1), (instrument.min_quantity / lot).to_integral_value(ROUND_CEILING)),
        max_quantity=None if most is None else max(Decimal(1), (most / lot).to_integral_value(ROUND_FLOOR)),
    )


class Recorded:
    """A recording, forwards to its end, then backwards, then forwards again: prices go on without a jump for ever."""

    def __init__(self, feed: Feed, now: int, shift: int | None = None, symbols: Sequence[str] = ()) -> None:
        self._feed = feed
        self.symbols = tuple(symbols) or feed.symbols()
        self.timeframe = feed.base_timeframe()
        self.identity = feed.identity()
        self.length = milliseconds(self.timeframe)
        self._candles = {symbol: feed.history(symbol, self.timeframe) for symbol in self.symbols}
        starts = [int(candles.ts[0]) for candles in self._candles.values() if len(candles)]
        ends = [int(candles.ts[-1]) + self.length for candles in self._candles.values() if len(candles)]
        if len(starts) < len(self.symbols) or max(starts) + 8 * self.length > min(ends):
            raise DataError(
                f"{self.identity}: its symbols have less than eight bars of one common time; name those that go together by -p"
            )
        self._first, self._last = max(starts), min(ends)
        window = self._last - self._first
        unit = DAY if window >= 8 * DAY else HOUR if window >= 8 * HOUR and self.length <= HOUR else self.length
        split = self._first + int(window * KEPT)
        self.shift = shift if shift is not None else (now - split) // unit * unit
        self.begins = self._first + self.shift

    def instrument(self, symbol: str) -> Instrument:
        return whole(self._feed.instrument(symbol))

    def bars(self, symbol: str, start: int, end: int) -> Candles:
        first, window = self._first, self._last - self._first
        candles = self._candles[symbol]
        parts = []
        for number in self._passes(start, end):
            offset = first + self.shift + number * window
            backwards = number % 2 == 1
            # a bar that opens at s takes the place from the end backwards
            a, b = start - offset, min(end - offset, window)
            low, high = (window - b - self.length + 1, window - a - self.length + 1) if backwards else (a, b)
            at = np.searchsorted(candles.ts, (first + max(low, 0), first + min(high, window)))
            part = candles[slice(int(at[0]), int(at[1]))]
            if backwards:
                ts = offset + window - (part.ts[::-1] - first) - self.length
                columns = (part.close, part.high, part.low, part.open, part.volume)
                parts.append((ts, *(column[::-1] for column in columns)))
            else:
                parts.append((part.ts - first + offset, part.open, part.high, part.low, part.close, part.volume))
        joined = [np.concatenate(rows) for rows in zip(*parts, strict=True)] if parts else [np.empty(0, np.int64), *_NOTHING]
        return Candles.of(symbol, self.timeframe, *joined)

    def settlements(self, symbol: str, start: int, end: int) -> Funding:
        found = self._feed.funding(symbol)
        first, window = self._first, self._last - self._first
        if found is None or not len(found.ts):
            ts = np.arange(-(-start // EIGHT_HOURS) * EIGHT_HOURS, end, EIGHT_HOURS, dtype=np.int64)
            return Funding(ts, np.full(len(ts), FUNDING_RATE))
        known = _part(found, first, self._last + 1)
        times, rates = [np.empty(0, np.int64)], [np.empty(0)]
        for number in self._passes(start, end):
            offset = first + self.shift + number * window
            away = known.ts - first
            ts, rate = (offset + window - away[::-1], known.rate[::-1]) if number % 2 else (offset + away, known.rate)
            # settlements stand on full hours
            ts = -(-ts // HOUR) * HOUR
            inside = (ts >= max(start, offset)) & (ts < min(end, offset + window))
            times.append(ts[inside])
            rates.append(rate[inside])
        return Funding(np.concatenate(times), np.concatenate(rates))

    def _passes(self, start: int, end: int) -> range:
        window = self._last - self._first
        begin = self._first + self.shift
        return range(max(0, (start - begin) // window), max(0, -(-(end - begin) // window)))


_NOTHING = (np.empty(0),) * 5


def _moved(candles: Candles, shift: int) -> Candles:
    columns = (candles.open, candles.high, candles.low, candles.close, candles.volume)
    return Candles.of(candles.symbol, candles.timeframe, candles.ts + shift, *columns)


def _part(funding: Funding | None, start: int, end: int) -> Funding:
    if funding is None:
        return Funding(np.empty(0, np.int64), np.empty(0))
    ts: npt.NDArray[np.int64] = funding.ts
    a, b = np.searchsorted(ts, (start, end))
    return Funding(ts[a:b].copy(), funding.rate[a:b].copy())


def finite(rate: float) -> float:
    """`rate`, or the usual one where it is none."""
    return rate if math.isfinite(rate) else FUNDING_RATE
