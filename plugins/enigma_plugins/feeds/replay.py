"""Recorded candles through the live path, at any speed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from enigma_core.errors import DataError
from enigma_core.hookspecs import hookimpl
from enigma_core.market import BarsClosed, Funding, MarketEvent
from enigma_core.model import Bar, Candles
from enigma_core.parts import Feed
from enigma_core.timeframes import milliseconds
from enigma_plugins.feeds._recorded import Recorded

BATCHES = 2048
"""Moments made into bars at once: numbers leave numpy faster in bulk."""


class Replay(Recorded, frozen=True, kw_only=True, dict=True):
    """Recorded candles as a stream of closed bars. It does not wait: the shell keeps the pace that `speed` asks for.

    A funding rate is seen when it has been settled: what was expected of it before that is not on record.
    """

    name = "replay"
    simulated: ClassVar[bool] = True

    speed: Annotated[float, Meta(ge=0, description="times real time; 0 is as fast as possible")] = 0.0

    async def stream(self, symbols: Sequence[str], timeframe: str, since: int | None) -> AsyncIterator[MarketEvent]:
        """Bars that closed after `since` (all of them without it), those of one moment together in the order of `symbols`."""
        length = milliseconds(timeframe)
        start = None if since is None else since - length + 1
        histories = {symbol: self.history(symbol, timeframe, start) for symbol in symbols}
        settled = {symbol: funding for symbol in symbols if (funding := self.funding(symbol)) is not None}
        for event in _merged(histories, settled, length):
            yield event


def _merged(histories: dict[str, Candles], settled: dict[str, Funding], length: int) -> Iterator[MarketEvent]:
    if not histories:
        raise DataError("feed replay was asked for no symbols")
    moments = np.unique(np.concatenate([candles.ts for candles in histories.values()])) + length
    seen = dict.fromkeys(settled, -1)
    for first in range(0, len(moments), BATCHES):
        part = moments[first : first + BATCHES]
        bars = _bars(histories, int(part[0]) - length, int(part[-1]) - length, length)
        newest = {symbol: (np.searchsorted(funding.ts, part, side="right") - 1).tolist() for symbol, funding in settled.items()}
        for i, ts in enumerate(part.tolist()):
            for symbol, at in newest.items():
                if at[i] > seen[symbol]:
                    seen[symbol] = at[i]
                    yield settled[symbol].seen(symbol, at[i], ts)
            yield BarsClosed(ts, bars[ts])


def _bars(histories: dict[str, Candles], first: int, last: int, length: int) -> dict[int, dict[str, Bar]]:
    """Bars that open from `first` to `last`, by their close and symbol."""
    found: dict[int, dict[str, Bar]] = {}
    for symbol, candles in histories.items():
        part = candles[slice(np.searchsorted(candles.ts, first), np.searchsorted(candles.ts, last, side="right"))]
        columns = (part.open, part.high, part.low, part.close, part.volume)
        for ts, *values in zip(part.ts.tolist(), *(column.tolist() for column in columns), strict=True):
            found.setdefault(ts + length, {})[symbol] = Bar(symbol, ts, ts + length, *values)
    return found


@hookimpl
def enigma_feeds() -> Iterator[type[Feed]]:
    yield Replay
