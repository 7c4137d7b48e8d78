"""KuCoin's history: candles and settlements by REST, page by page, kept so that nothing is asked for twice."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from enigma_core.candle_store import CandleStore
from enigma_core.errors import DataError
from enigma_core.market import Funding
from enigma_core.model import Candles
from enigma_core.timeframes import bucket_start, fits, milliseconds, resample
from enigma_exchange.contracts import Contract, number
from enigma_exchange.naming import CANDLES, granularity
from enigma_exchange.public import Public
from enigma_exchange.stream.closing import GRACE, PAGE, Row

logger = logging.getLogger(__name__)

SETTLED = 600_000
"""After its close (ms) until a bar is not asked for again: young ones may still be corrected."""

AT_ONCE = 4
"""Pages under way at the same time."""

SETTLEMENTS = 30 * 86_400_000
"""Time (ms) of one page of settlements: at most 100 of them are given, and some fall due every hour or two."""

NATIVE = tuple(name for name in CANDLES if name != "1w")
"""Weeks are made of days: whose Monday they begin on is then ours to say."""

Span = tuple[int, int]


Page = Callable[[Contract, str, int, int], list[Row]]
"""(contract, timeframe, start, end) to its bars with ``start <= ts < end``, `PAGE` at most. Raises `DataError`."""


def rows_of(answer: Any) -> list[Row]:
    """The answer of ``kline/query``: ``[open time, open, high, low, close, volume in lots]``. What is no row is left out."""
    found = []
    for row in answer if isinstance(answer, list) else ():
        try:
            found.append(Row(int(row[0]), *(number(value) for value in row[1:6])))
        except (LookupError, TypeError, ValueError):
            continue
    return found


def pages_of(public: Public) -> Page:
    """KuCoin's pages."""
    return lambda contract, timeframe, start, end: page(public, contract.code, timeframe, start, end)


def page(public: Public, code: str, timeframe: str, start: int, end: int, attempts: int = 4) -> list[Row]:
    """Bars with ``start <= ts < end``, `PAGE` at most. Raises `DataError`."""
    minutes = granularity(timeframe)
    # both ends of the exchange's window count as inside
    answer = public.get("/api/v1/kline/query", attempts, symbol=code, granularity=minutes, **{"from": start, "to": end - 1})
    return [row for row in rows_of(answer) if start <= row.ts < end]


class History:
    """Closed candles of contracts, fetched by `page`. `store` keeps what was fetched; None forgets it.

    `native` are the timeframes there are pages of; others are made of them.

    Bars that the exchange does not list are missing; those that cannot be are left out and counted in `left_out`, by symbol.
    """

    def __init__(self, page: Page, store: CandleStore | None, native: Sequence[str] = NATIVE) -> None:
        self.left_out: dict[str, int] = {}
        self._page = page
        self._native = native
        self._store = store

    def candles(self, contract: Contract, timeframe: str, start: int, end: int, now: int) -> Candles:
        """Bars with ``start <= ts < end`` that had closed by `now`, the exchange's time. Raises `DataError`."""
        finer = timeframe if timeframe in self._native else _finer(timeframe, self._native)
        # a coarser bar is whole or not there
        first = _at_or_after(max(start, contract.listed // milliseconds(finer) * milliseconds(finer)), timeframe)
        last = min(_at_or_after(end, timeframe), bucket_start(now - GRACE, timeframe))
        if last <= first:
            return _candles(contract, timeframe, [])
        candles = self._finest(contract, finer, first, last, now)
        return candles if finer == timeframe else resample(candles, timeframe)

    def _finest(self, contract: Contract, timeframe: str, start: int, end: int, now: int) -> Candles:
        symbol, length = contract.symbol, milliseconds(timeframe)
        store = self._store
        try:
            missing: Sequence[Span] = [(start, end)] if store is None else store.missing(symbol, timeframe, start, end)
        except DataError as error:
            self._forgo(error)
            store = None
            missing = [(start, end)]
        fetched: list[Row] = []
        with ThreadPoolExecutor(AT_ONCE) as pool:
            windows = [window for span in missing for window in _windows(span, length)]
            for rows in pool.map(lambda window: self._page(contract, timeframe, *window), windows):
                fetched += rows
        fresh = _candles(contract, timeframe, self._sound(contract, timeframe, fetched))
        if store is None:
            return fresh
        try:
            settled = (now - SETTLED) // length * length
            for first, last in missing:
                part = fresh[slice(*np.searchsorted(fresh.ts, [first, last]))]
                asked = (first, min(last, settled))
                if asked[0] < asked[1]:
                    store.write(part, asked)
            kept = store.read(symbol, timeframe, start, end)
        except DataError as error:
            self._forgo(error)
            return self._finest(contract, timeframe, start, end, now)
        return _joined(kept, fresh)

    def _sound(self, contract: Contract, timeframe: str, rows: Sequence[Row]) -> list[Row]:
        length = milliseconds(timeframe)
        found = {row.ts: row for row in rows if row.possible and row.ts % length == 0}
        if left_out := sum(not row.possible for row in rows):
            self.left_out[contract.symbol] = self.left_out.get(contract.symbol, 0) + left_out
        return [found[ts] for ts in sorted(found)]

    def _forgo(self, error: DataError) -> None:
        logger.warning("candles are not kept: %s", error)
        self._store = None


def settlements(public: Public, contract: Contract, start: int, end: int) -> Funding:
    """Funding settlements with ``start <= ts < end``. Raises `DataError`."""
    found: dict[int, float] = {}
    first = max(start, contract.listed)
    while first < end:
        last = min(end, first + SETTLEMENTS)
        until = last
        while until > first:
            window = {"from": first, "to": until - 1}
            answer = public.get("/api/v1/contract/funding-rates", symbol=contract.code, **window)
            times = []
            for row in answer if isinstance(answer, list) else ():
                ts, rate = int(row["timepoint"]), number(row["fundingRate"])
                if first <= ts < until and math.isfinite(rate):
                    found[ts] = rate
                    times.append(ts)
            # newest first, and perhaps not all of the window
            if len(times) < 2 or min(times) == until:
                break
            until = min(times)
        first = last
    times = sorted(found)
    return Funding(np.array(times, np.int64), np.array([found[ts] for ts in times], np.float64))


def _finer(timeframe: str, native: Sequence[str]) -> str:
    """The coarsest timeframe on offer that bars of `timeframe` can be made of."""
    usable = [known for known in native if known != "1w" and fits(known, timeframe)]
    if not usable:
        raise DataError(f"bars of {timeframe} cannot be made from those on offer ({', '.join(native)})")
    return max(usable, key=milliseconds)


def _at_or_after(ts: int, timeframe: str) -> int:
    return bucket_start(max(ts, 0) + milliseconds(timeframe) - 1, timeframe)


def _windows(span: Span, length: int) -> list[Span]:
    start, end = span
    return [(first, min(end, first + PAGE * length)) for first in range(start, end, PAGE * length)]


def _candles(contract: Contract, timeframe: str, rows: Sequence[Row]) -> Candles:
    columns = [(row.ts, row.open, row.high, row.low, row.close, row.volume * contract.unit) for row in rows]
    return Candles.of(contract.symbol, timeframe, *(zip(*columns, strict=True) if columns else ((),) * 6))


def _joined(kept: Candles, fresh: Candles) -> Candles:
    """What was kept, and what is younger than that."""
    after = fresh[int(np.searchsorted(fresh.ts, kept.ts[-1], side="right")) if len(kept) else 0 :]
    if not len(after):
        return kept
    names = ("ts", "open", "high", "low", "close", "volume")
    return Candles.of(kept.symbol, kept.timeframe, *(np.concatenate([getattr(kept, n), getattr(after, n)]) for n in names))
