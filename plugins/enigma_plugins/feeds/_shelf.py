"""Candles and funding of a folder or a file, read when first asked for and then kept."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from enigma_core.errors import DataError
from enigma_core.market import Funding
from enigma_core.model import Candles, Instrument
from enigma_core.timeframes import fits, milliseconds, resample
from enigma_plugins.feeds import _funding
from enigma_plugins.feeds._bars import bar_at_or_after
from enigma_plugins.feeds._check import DataReport, checked, commonest_step, times
from enigma_plugins.feeds._files import SUFFIXES, listing, place, read, stem
from enigma_plugins.feeds._instrument import inferred
from enigma_plugins.feeds._symbols import named
from enigma_plugins.feeds._tables import TIME, Table, join

WANTED = {"ts_ms": TIME, "open": (), "high": (), "low": (), "close": (), "volume": ("vol",)}


class Series:
    """The bars of one symbol and timeframe: one file, or several that follow each other in time."""

    def __init__(self, symbol: str, timeframe: str | None, paths: list[Path]) -> None:
        self.symbol, self.paths = symbol, paths
        self._timeframe = timeframe
        self._read: tuple[Candles, DataReport] | None = None

    @property
    def timeframe(self) -> str:
        """As the name says, else the commonest step of the first bars; a lone bar without a name for it is taken as 1m."""
        if self._timeframe is None:
            ts = times(read(self.paths[0], WANTED, head=True))
            step = commonest_step(ts)
            if step is None and len(ts) > 1:
                raise DataError(
                    f"{self.paths[0]}: its bars are no known timeframe apart; say it in the file's name, as in BTCUSDT-5m.csv"
                )
            self._timeframe = step or "1m"
        return self._timeframe

    def read(self) -> tuple[Candles, DataReport]:
        """The bars and what was found in them. Raises `DataError` by file and line."""
        if self._read is None:
            tables = sorted((read(path, WANTED) for path in self.paths), key=lambda table: float(table.columns[0][0]))
            self._apart(tables)
            self._read = checked(join(tables), self.symbol, self.timeframe)
        return self._read

    def _apart(self, tables: list[Table]) -> None:
        """Files that follow each other may share a moment, no more."""
        for before, after in pairwise(tables):
            if after.columns[0][0] < before.columns[0].max():
                one, other = sorted(table.sources[0].path for table in (before, after))
                raise DataError(f"{one} and {other.name} both stand for {self.symbol}, and their times overlap: keep one of them")


def unknown(symbol: str, there: Sequence[str], where: Path) -> DataError:
    """The error for a symbol that has no candles, naming the nearest that have."""
    bases = {one.split("/")[0]: one for one in there}
    near = [bases[base] for base in difflib.get_close_matches(symbol.split("/")[0].upper(), bases, 3)]
    more = f" and {len(there) - 8} more" if len(there) > 8 else ""
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(there[:8])}{more}"
    return DataError(f"{symbol}: there are no candles of it in {where}; {hint}")


class Shelf:
    """What a folder (or a single file) of candles has on offer."""

    def __init__(self, feed: str, data: str, funding: str | None) -> None:
        self.feed = feed
        if not data:
            raise DataError(f"feed {feed} has no data: name a folder or a file of candles with --data or the setting feed.data")
        self.place = place(data)
        self.series = self._find()
        folders = [self._folder(funding)] if funding else []
        folders.append(self.place if self.place.is_dir() else self.place.parent)
        self._funding = _funding.find(folders)

    def symbols(self) -> tuple[str, ...]:
        """In alphabetical order."""
        return tuple(sorted(self.series))

    def finest(self, symbol: str) -> Series:
        """The finest bars of a symbol. Raises `DataError` naming the nearest symbols."""
        return min(self._of(symbol), key=lambda one: milliseconds(one.timeframe))

    def base_timeframe(self) -> str:
        """The finest timeframe that every symbol has; files that cannot be read are left for `candles` to complain of."""
        finest, fault = [], None
        for symbol in self.series:
            try:
                finest.append(self.finest(symbol).timeframe)
            except DataError as error:
                fault = fault or error
        if not finest and fault is not None:
            raise fault
        return max(finest, key=milliseconds)

    def candles(self, symbol: str, timeframe: str, start: int | None = None, end: int | None = None) -> Candles:
        """Closed bars with ``start <= ts < end``, resampled where the files hold only finer ones."""
        usable = [one for one in self._of(symbol) if fits(one.timeframe, timeframe)]
        if not usable:
            offered = ", ".join(one.timeframe for one in self._of(symbol))
            raise DataError(f"{symbol}: bars of {timeframe} cannot be made from those in {self.place} ({offered})")
        bars = max(usable, key=lambda one: milliseconds(one.timeframe)).read()[0]
        first = 0 if start is None else int(np.searchsorted(bars.ts, bar_at_or_after(start, timeframe)))
        last = len(bars) if end is None else int(np.searchsorted(bars.ts, end))
        return resample(bars if (first, last) == (0, len(bars)) else bars[first:last], timeframe)

    def instrument(self, symbol: str) -> Instrument:
        """Inferred from the finest bars."""
        return inferred(self.finest(symbol).read()[0])

    def funding(self, symbol: str) -> Funding | None:
        """Settlements from the symbol's funding file, None where there is none."""
        path = self._funding.get(symbol)
        return None if path is None else _funding.settlements(path)

    def report(self, symbols: Iterable[str] | None = None) -> dict[str, DataReport]:
        """What was found in the bars of each symbol."""
        return {symbol: self.finest(symbol).read()[1] for symbol in (self.symbols() if symbols is None else symbols)}

    def _of(self, symbol: str) -> list[Series]:
        if symbol not in self.series:
            raise unknown(symbol, self.symbols(), self.place)
        return self.series[symbol]

    def _find(self) -> dict[str, list[Series]]:
        alone = not self.place.is_dir()
        paths = [self.place] if alone else listing(self.place)
        groups: dict[tuple[str, str | None], list[Path]] = {}
        for path in paths:
            name = stem(path)
            if name is None or name.lower().endswith(_funding.SUFFIX):
                continue
            if known := named(name):
                groups.setdefault((known.symbol, known.timeframe), []).append(path)
        if not groups:
            raise DataError(
                f"{self.place}: {'its name stands for no symbol' if alone else 'no file here stands for a symbol'}; candles are "
                f"in files like BTCUSDT-5m.csv or XBTUSDTM.csv.gz ({', '.join(SUFFIXES)})"
            )
        found: dict[str, list[Series]] = {}
        for (symbol, timeframe), members in groups.items():
            found.setdefault(symbol, []).append(Series(symbol, timeframe, members))
        return found

    def _folder(self, funding: str) -> Path:
        folder = place(funding)
        if not folder.is_dir():
            raise DataError(f"{folder}: is no folder; feed {self.feed} looks for NAME_funding.csv files in it")
        return folder
