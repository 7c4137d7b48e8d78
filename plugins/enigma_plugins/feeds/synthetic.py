"""A market out of a seed: offline, endless enough, the same on every run."""

from __future__ import annotations

import difflib
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import cached_property
from itertools import chain
from operator import attrgetter
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from enigma_core.errors import DataError
from enigma_core.hookspecs import hookimpl
from enigma_core.market import BarsClosed, Funding, MarketEvent
from enigma_core.model import Candles, Instrument
from enigma_core.parts import Feed
from enigma_core.timeframes import fits, resample
from enigma_plugins.feeds._bars import bar_at_or_after
from enigma_plugins.feeds._listed import LISTED, MOST, Listed, offered
from enigma_plugins.feeds._path import DAY, EPOCH, Path
from enigma_plugins.feeds._rates import settlements
from enigma_plugins.feeds._seen import CHUNK, moments

BY_TIME = attrgetter("ts")


class Synthetic(Feed, frozen=True, kw_only=True, dict=True):
    """Perpetuals whose prices go through trends, ranges and shocks, move together, and come with all that a venue shows.

    Time begins on 2025-01-01 UTC and runs as fast as the shell lets it; the market closes after a hundred years. Equal settings
    give equal markets, bar for bar: a stream taken up again goes on exactly as it would have.
    """

    name = "synthetic"
    simulated: ClassVar[bool] = True

    seed: Annotated[int, Meta(ge=0, le=2**63 - 1, description="another seed, another market")] = 1
    count: Annotated[int, Meta(ge=1, le=MOST, description="symbols on offer to a run that names none")] = 4
    timeframe: Annotated[Literal["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h"], Meta(description="of its bars")] = "5m"
    days: Annotated[int, Meta(ge=1, le=36_500, description="days of history where no end is asked for")] = 60
    speed: Annotated[float, Meta(ge=0, description="times real time; 0 is as fast as possible")] = 21_600.0

    def identity(self) -> str:
        return f"{self.name}:seed={self.seed},timeframe={self.timeframe}"

    def symbols(self) -> tuple[str, ...]:
        return tuple(listed.symbol for listed in offered(self.count))

    def instrument(self, symbol: str) -> Instrument:
        return self._listed(symbol).instrument

    def base_timeframe(self) -> str:
        return self.timeframe

    def history(self, symbol: str, timeframe: str, start: int | None = None, end: int | None = None) -> Candles:
        """Without a start from the first bar, without an end the first `days`."""
        if not fits(self.timeframe, timeframe):
            raise DataError(f"{symbol}: bars of {timeframe} cannot be made from those of the synthetic feed ({self.timeframe})")
        path = self._path(symbol)
        first = EPOCH if start is None else bar_at_or_after(max(start, EPOCH), timeframe)
        last = EPOCH + self.days * DAY if end is None else end
        return resample(path.candles(path.index(first), path.index(last)), timeframe)

    def funding(self, symbol: str) -> Funding | None:
        """Settlements at 00:00, 08:00 and 16:00 UTC, to the market's end."""
        return self._settled(self._listed(symbol).symbol)

    async def stream(self, symbols: Sequence[str], timeframe: str, since: int | None) -> AsyncIterator[MarketEvent]:
        """Before the bars of each close: the trades of its last minute, then books, marks, funding rates and turnovers."""
        if timeframe != self.timeframe:
            raise DataError(f"the synthetic feed streams bars of {self.timeframe}, not of {timeframe}: set feed.timeframe to it")
        for event in self._events([self._path(symbol) for symbol in symbols], EPOCH if since is None else since):
            yield event

    def _events(self, paths: list[Path], since: int) -> Iterator[MarketEvent]:
        if not paths:
            raise DataError("the synthetic feed was asked for no symbols")
        fundings = [self._settled(path.listed.symbol) for path in paths]
        for number in range(max(0, since - EPOCH) // paths[0].length // CHUNK, -(-paths[0].bars // CHUNK)):
            chunks = [moments(path, funding, number) for path, funding in zip(paths, fundings, strict=True)]
            for together in zip(*chunks, strict=True):
                end = together[0].bar.end
                if end <= since:
                    continue
                trades = sorted(chain.from_iterable(moment.trades for moment in together), key=BY_TIME)
                yield from (trade for trade in trades if trade.ts > since)
                yield from chain.from_iterable(moment.rest for moment in together)
                yield BarsClosed(end, {moment.bar.symbol: moment.bar for moment in together})

    @cached_property
    def _paths(self) -> dict[str, Path]:
        return {}

    @cached_property
    def _fundings(self) -> dict[str, Funding]:
        return {}

    def _settled(self, symbol: str) -> Funding:
        if symbol not in self._fundings:
            self._fundings[symbol] = settlements(self.seed, symbol)
        return self._fundings[symbol]

    def _path(self, symbol: str) -> Path:
        if symbol not in self._paths:
            self._paths[symbol] = Path(self.seed, self._listed(symbol), self.timeframe)
        return self._paths[symbol]

    def _listed(self, symbol: str) -> Listed:
        for listed in offered(MOST):
            if listed.symbol == symbol:
                return listed
        known = [listed.symbol for listed in offered(max(self.count, len(LISTED)))]
        near = difflib.get_close_matches(symbol, known, 3, 0.3) or known[:3]
        raise DataError(f"{symbol}: the synthetic market does not list it; did you mean {' or '.join(near)}?")


@hookimpl
def enigma_feeds() -> Iterator[type[Feed]]:
    yield Synthetic
