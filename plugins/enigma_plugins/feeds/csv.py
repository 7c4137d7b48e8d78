"""Candles from csv, csv.gz and Parquet files: history, for backtests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

from enigma_core.errors import DataError
from enigma_core.hookspecs import hookimpl
from enigma_core.market import MarketEvent
from enigma_core.parts import Feed
from enigma_plugins.feeds._recorded import Recorded


class Csv(Recorded, frozen=True, kw_only=True, dict=True):
    """Candles from csv, csv.gz and Parquet files, for backtests. Has no stream: `replay` runs over the same files live."""

    name = "csv"

    def stream(self, symbols: Sequence[str], timeframe: str, since: int | None) -> AsyncIterator[MarketEvent]:
        raise DataError("feed csv holds history and nothing that goes on; to run over it live use the feed replay")


@hookimpl
def enigma_feeds() -> Iterator[type[Feed]]:
    yield Csv
