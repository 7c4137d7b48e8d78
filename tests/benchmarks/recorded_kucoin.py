"""A local plugin: the feed kucoin, which writes down what it tells and what the process has used by then.

The benchmark `hundred` lays it into the `strategies` folder of its run.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence

import msgspec

from enigma_core.hookspecs import hookimpl
from enigma_core.market import BarsClosed, MarketEvent
from enigma_core.parts import Feed
from enigma_plugins.feeds.kucoin import Kucoin

FILE = "ENIGMA_RECORDED_BARS"
"""The variable with the file's name."""


class RecordedKucoin(Kucoin, frozen=True, kw_only=True):
    """As kucoin, with each `BarsClosed` on a line of a file, told when and after how many seconds of processor."""

    name = "recorded_kucoin"

    async def stream(self, symbols: Sequence[str], timeframe: str, since: int | None) -> AsyncIterator[MarketEvent]:
        encoder = msgspec.json.Encoder()
        events = super().stream(symbols, timeframe, since)
        with open(os.environ[FILE], "ab", buffering=0) as file:
            try:
                async for event in events:
                    if isinstance(event, BarsClosed):
                        bars = {symbol: msgspec.structs.astuple(bar)[1:] for symbol, bar in event.bars.items()}
                        file.write(encoder.encode([event.ts, time.time() * 1000, time.process_time(), bars]) + b"\n")
                    yield event
            finally:
                await events.aclose()  # type: ignore[attr-defined]


@hookimpl
def enigma_feeds() -> Iterator[type[Feed]]:
    yield RecordedKucoin
