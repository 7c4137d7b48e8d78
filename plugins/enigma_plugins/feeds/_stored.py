"""Candles and funding out of a candle store, as `enigma download` and live feeds fill it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np

from enigma_core.candle_store import CandleStore
from enigma_core.errors import DataError
from enigma_core.market import Funding
from enigma_core.model import Candles, Instrument
from enigma_core.timeframes import fits, milliseconds, resample
from enigma_plugins.feeds import _funding
from enigma_plugins.feeds._bars import bar_at_or_after
from enigma_plugins.feeds._check import DataReport, counted, found_in
from enigma_plugins.feeds._files import place
from enigma_plugins.feeds._instrument import inferred
from enigma_plugins.feeds._shelf import unknown

SUFFIX = ".sqlite"


class StoredReport(DataReport, frozen=True, kw_only=True):
    """As for files, and how many of the missing bars have never been asked for."""

    unfetched: int = 0

    def __str__(self) -> str:
        text = super().__str__()
        if self.unfetched:
            text += f"; {counted(self.unfetched, 'bar')} of these were never fetched: enigma download fetches them"
        return text


def store_in(where: Path) -> Path | None:
    """The store that a path means: a store's file, or the one in a folder that holds nothing but stores. None for other files.

    Raises `DataError` where a folder holds several.
    """
    if where.is_file():
        return where if where.suffix == SUFFIX else None
    try:
        files = sorted(path for path in where.iterdir() if path.is_file())
    except OSError:
        return None
    stores = [path for path in files if path.suffix == SUFFIX]
    if not stores or any(path.name.lower().endswith((".csv", ".csv.gz", ".parquet")) for path in files):
        return None
    if len(stores) > 1:
        raise DataError(f"{where} holds the candles of several markets: name one of {', '.join(path.name for path in stores)}")
    return stores[0]


class Stored:
    """What a candle store has on offer. Bars are read when first asked for and then kept."""

    def __init__(self, feed: str, path: Path, funding: str | None) -> None:
        self.feed = feed
        self.place = path
        self._read: dict[tuple[str, str], Candles] = {}
        self._timeframes: dict[str, list[str]] = {}
        with self._open() as store:
            for symbol, timeframe in store.series():
                self._timeframes.setdefault(symbol, []).append(timeframe)
        if not self._timeframes:
            raise DataError(f"{path}: there are no candles in it yet; enigma download fetches some")
        folder = place(funding) if funding else None
        if folder is not None and not folder.is_dir():
            raise DataError(f"{folder}: is no folder; feed {feed} looks for NAME_funding.csv files in it")
        self._funding = _funding.find([folder]) if folder is not None else {}

    def symbols(self) -> tuple[str, ...]:
        """In alphabetical order."""
        return tuple(sorted(self._timeframes))

    def base_timeframe(self) -> str:
        """The finest timeframe that every symbol has."""
        return max((offered[0] for offered in self._timeframes.values()), key=milliseconds)

    def candles(self, symbol: str, timeframe: str, start: int | None = None, end: int | None = None) -> Candles:
        """Closed bars with ``start <= ts < end``, resampled where only finer ones are kept."""
        offered = self._of(symbol)
        usable = [one for one in offered if fits(one, timeframe)]
        if not usable:
            raise DataError(f"{symbol}: bars of {timeframe} cannot be made from those in {self.place} ({', '.join(offered)})")
        bars = self._whole(symbol, max(usable, key=milliseconds))
        first = 0 if start is None else int(np.searchsorted(bars.ts, bar_at_or_after(start, timeframe)))
        last = len(bars) if end is None else int(np.searchsorted(bars.ts, end))
        return resample(bars if (first, last) == (0, len(bars)) else bars[first:last], timeframe)

    def instrument(self, symbol: str) -> Instrument:
        """As the venue listed it; inferred from the finest bars where that is not on record."""
        finest = self._of(symbol)[0]
        with self._open() as store:
            listed = store.instrument(symbol)
        return listed or inferred(self._whole(symbol, finest))

    def funding(self, symbol: str) -> Funding | None:
        """Settlements from the symbol's funding file, else from the store, None where neither has any."""
        if symbol in self._funding:
            return _funding.settlements(self._funding[symbol])
        with self._open() as store:
            return store.funding(symbol)

    def report(self, symbols: Iterable[str] | None = None) -> dict[str, DataReport]:
        """What was found in the bars of each symbol."""
        return {symbol: self._report(symbol) for symbol in (self.symbols() if symbols is None else symbols)}

    def _report(self, symbol: str) -> DataReport:
        timeframe = self._of(symbol)[0]
        bars = self._whole(symbol, timeframe)
        found = found_in(symbol, timeframe, bars.ts)
        length = milliseconds(timeframe)
        with self._open() as store:
            holes = store.missing(symbol, timeframe, int(bars.ts[0]), int(bars.ts[-1]) + length)
        unfetched = sum((last - first) // length for first, last in holes)
        return StoredReport(**msgspec.structs.asdict(found), unfetched=unfetched)

    def _open(self) -> CandleStore:
        return CandleStore(self.place, reading=True)

    def _whole(self, symbol: str, timeframe: str) -> Candles:
        if (symbol, timeframe) not in self._read:
            with self._open() as store:
                self._read[symbol, timeframe] = store.read(symbol, timeframe)
        return self._read[symbol, timeframe]

    def _of(self, symbol: str) -> list[str]:
        """The symbol's timeframes, the finest first. Raises `DataError` naming the nearest symbols."""
        if symbol not in self._timeframes:
            raise unknown(symbol, self.symbols(), self.place)
        return self._timeframes[symbol]
