"""What the feeds that read candle files have in common: everything but the stream."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Annotated

import msgspec
from msgspec import Meta

from enigma_core.market import Funding
from enigma_core.model import Candles, Instrument
from enigma_core.parts import Feed
from enigma_plugins.feeds._check import DataReport
from enigma_plugins.feeds._files import place
from enigma_plugins.feeds._shelf import Shelf
from enigma_plugins.feeds._stored import Stored, store_in


class Recorded(Feed, frozen=True, kw_only=True, dict=True):
    """A folder of candle files, or one file; the file's name gives the symbol: ``BTCUSDT``, ``XBTUSDTM``, ``BTC_USDT_USDT-5m``.
    Or the candle store of `enigma download`, a file such as ``enigma_data/candles/kucoin.sqlite``.

    Columns are found by their header (ts_ms or timestamp or date, open, high, low, close, volume); times are s, ms, us, ns or
    ISO dates, and mean a bar's open. Nonsense is refused by file and line (`DataError`); gaps and repeated bars are counted in
    `report`. Files are read when first asked for, and kept.
    """

    data: Annotated[str, Meta(description="a folder of candle files, one file, or a candle store")] = ""
    funding_data: Annotated[
        str | None, Meta(description="a folder of NAME_funding files; those beside the candles are found anyway")
    ] = msgspec.field(default=None, name="funding")  # in Python the name belongs to the method

    @cached_property
    def shelf(self) -> Shelf | Stored:
        """The files, or the candle store that `data` names. Raises `DataError` where there are none."""
        if self.data and (path := store_in(place(self.data))) is not None:
            return Stored(self.name, path, self.funding_data)
        return Shelf(self.name, self.data, self.funding_data)

    def identity(self) -> str:
        return f"{self.name}:{self.shelf.place}"

    def symbols(self) -> tuple[str, ...]:
        return self.shelf.symbols()

    def instrument(self, symbol: str) -> Instrument:
        """The grid of ticks is that of the first 500 bars, the lot is worth at most one unit of quote currency, the multiplier 1.

        The settings ``instruments.SYMBOL.tick`` and so on stand above it.
        """
        return self.shelf.instrument(symbol)

    def base_timeframe(self) -> str:
        return self.shelf.base_timeframe()

    def history(self, symbol: str, timeframe: str, start: int | None = None, end: int | None = None) -> Candles:
        return self.shelf.candles(symbol, timeframe, start, end)

    def funding(self, symbol: str) -> Funding | None:
        return self.shelf.funding(symbol)

    def report(self, symbols: Iterable[str] | None = None) -> dict[str, DataReport]:
        """Bars, gaps and repeated bars of `symbols`, by default of all."""
        return self.shelf.report(symbols)
