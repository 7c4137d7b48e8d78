"""KuCoin Futures as it trades: candles, trades, books, marks, funding, live and as far back as it keeps them."""

from __future__ import annotations

import difflib
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta

from enigma_core.errors import DataError
from enigma_core.hookspecs import hookimpl
from enigma_core.market import Funding, MarketEvent
from enigma_core.model import Candles, Instrument
from enigma_core.parts import Check, Feed, Listing
from enigma_core.timeframes import milliseconds
from enigma_exchange.hosts import hosts

if TYPE_CHECKING:
    from enigma_exchange.contracts import Contract
    from enigma_exchange.history import History
    from enigma_exchange.public import Public
    from enigma_exchange.stream.live import ExchangeTime

DAY = 86_400_000

FIRST = ("BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT", "XRP/USDT:USDT")
"""Offered first to a run that names no symbols: the same ones every day, so that it can be taken up again."""

LISTED_AGE = 60.0
"""Seconds for which the list of contracts is not read again."""


class Kucoin(Feed, frozen=True, kw_only=True, dict=True):
    """USDT perpetuals of KuCoin, or of a local exchange that speaks its protocol. Needs no key.

    Bars close by the exchange's clock and are confirmed by REST, usually within a second; history is kept in the run's folder,
    so that it is fetched once. After an interruption everything that was missed is fetched.
    """

    name = "kucoin"

    url: Annotated[str | None, Meta(description="of a local exchange, as in http://127.0.0.1:9000; left out: KuCoin")] = None
    timeframe: Annotated[Literal["1m", "5m", "15m", "30m", "1h", "2h", "4h"], Meta(description="of its bars")] = "5m"
    days: Annotated[int, Meta(ge=1, le=3_650, description="days of history where no start is asked for")] = 30
    count: Annotated[int, Meta(ge=1, le=500, description="symbols on offer to a run that names none")] = 4
    quote: Annotated[str, Meta(min_length=2, max_length=10, description="currency of quotes and settlements")] = "USDT"
    book: Annotated[
        Literal["off", "best", "5", "50", "full"],
        Meta(description="order books: none, best prices, 5 or 50 levels as pushed, or all of it by its changes"),
    ] = "50"
    levels: Annotated[int, Meta(ge=1, le=100, description="levels a side that are told")] = 20
    every: Annotated[int, Meta(ge=20, le=60_000, description="ms between two books of a symbol, at least")] = 250
    trades: Annotated[bool, Meta(description="whether public trades are followed")] = True
    band: Annotated[
        float, Meta(gt=0, le=1, description="how far a price may be from the mark, as a share; beyond it, it is not believed")
    ] = 0.1
    keep: Annotated[bool, Meta(description="whether KuCoin's candles are kept in the run's folder")] = True

    def __post_init__(self) -> None:
        hosts(self.url)

    def identity(self) -> str:
        if self.url is None:
            return self.name
        host = urlsplit(self.url).hostname or ""
        # the port may change from one rehearsal to the next; the account does not
        return f"{self.name}:{'local' if host in ('127.0.0.1', 'localhost', '::1') else host}"

    @property
    def pulse(self) -> float | None:
        """Marks come every second, and are asked for where they do not."""
        return 10.0

    @property
    def reach(self) -> int | None:
        return self.days * DAY

    def symbols(self) -> tuple[str, ...]:
        """The best known ones, then those with most turnover; `instrument` knows all."""
        listed = self._listed()
        rest = sorted((c for c in listed.values() if c.open), key=lambda c: -c.turnover if c.turnover == c.turnover else 0.0)
        names = [symbol for symbol in FIRST if symbol in listed and listed[symbol].open]
        return tuple(dict.fromkeys([*names, *(contract.symbol for contract in rest)]))[: self.count]

    def instrument(self, symbol: str) -> Instrument:
        return self._contract(symbol).instrument

    def base_timeframe(self) -> str:
        return self.timeframe

    def history(self, symbol: str, timeframe: str, start: int | None = None, end: int | None = None) -> Candles:
        """Without a start the last `days`."""
        contract, now = self._contract(symbol), self._now()
        first = now - self.days * DAY if start is None else start
        candles = self._history.candles(contract, timeframe, first, now if end is None else end, now)
        if end is None and len(candles):
            self._newest[symbol, timeframe] = int(candles.ts[-1])
        return candles

    def settlements(self, symbol: str, start: int | None = None, end: int | None = None) -> Funding | None:
        from enigma_exchange.history import settlements

        now = self._now()
        first = now - self.days * DAY if start is None else start
        return settlements(self._public, self._contract(symbol), first, now if end is None else min(end, now))

    def listings(self) -> Sequence[Listing]:
        """All contracts, with the spread as it is now."""
        from enigma_exchange.contracts import number

        self._read()
        best = {}
        for row in self._public.get("/api/v1/allTickers"):
            bid, ask = number(row.get("bestBidPrice")), number(row.get("bestAskPrice"))
            best[row.get("symbol")] = (ask - bid) / ((ask + bid) / 2) if bid > 0 and ask > 0 else float("nan")
        return tuple(
            Listing(
                symbol=contract.symbol,
                turnover=contract.turnover,
                spread=best.get(contract.code, float("nan")),
                funding=contract.funding,
                funding_hours=contract.funding_hours,
                price=contract.last,
                active=contract.open,
            )
            for contract in self._listed().values()
        )

    def report(self, symbols: Iterable[str] | None = None) -> Mapping[str, object]:
        """Bars that cannot be, and were left out."""
        wanted = None if symbols is None else set(symbols)
        return {
            symbol: f"{symbol}: {count} bars that KuCoin told were left out, as no market can have traded so"
            for symbol, count in self._history.left_out.items()
            if wanted is None or symbol in wanted
        }

    def examine(self) -> Iterable[Check]:
        from enigma_exchange.checkup import reach

        return reach(hosts(self.url))

    async def stream(self, symbols: Sequence[str], timeframe: str, since: int | None) -> AsyncIterator[MarketEvent]:
        """Marks, funding and turnover of all symbols first; then as it happens, bars within a second or so of their close."""
        import asyncio

        from enigma_exchange.quota import Lane
        from enigma_exchange.stream.assembler import Assembler
        from enigma_exchange.stream.live import ExchangeTime, follow

        if timeframe != self.timeframe:
            raise DataError(f"the feed kucoin streams bars of {self.timeframe}, not of {timeframe}: set feed.timeframe to it")
        if not symbols:
            raise DataError("the feed kucoin was asked for no symbols")
        # the first marks are told as being of now
        await asyncio.to_thread(self._read)
        contracts = {symbol: self._contract(symbol) for symbol in symbols}
        length = milliseconds(timeframe)
        # what closes now does not wait behind pages of history
        public = self._public.sibling(Lane.LOOK)
        try:
            clock = ExchangeTime(await asyncio.to_thread(public.offset))
            now = clock.now()
            last = {symbol: self._last(symbol, timeframe, length, since, now) for symbol in symbols}
            settings = {"book": self.book, "trades": self.trades, "every": self.every, "levels": self.levels, "band": self.band}
            assembler = Assembler(contracts, timeframe, length, last, now, **settings)  # type: ignore[arg-type]
            events = follow(public, assembler, clock, timeframe=timeframe)
            try:
                async for event in events:
                    yield event
            finally:
                await events.aclose()
        finally:
            public.close()

    def _last(self, symbol: str, timeframe: str, length: int, since: int | None, now: int) -> int:
        """The open of the newest bar that is known already: the history's, where a run begins with one."""
        if since is not None:
            return since // length * length - length
        return self._newest.get((symbol, timeframe), now // length * length - length)

    @cached_property
    def _newest(self) -> dict[tuple[str, str], int]:
        return {}

    @cached_property
    def _read_at(self) -> dict[str, float]:
        return {}

    @cached_property
    def _contracts(self) -> dict[str, Contract]:
        return {}

    @cached_property
    def _public(self) -> Public:
        from enigma_exchange.public import Public

        return Public(hosts(self.url))

    @cached_property
    def _clock(self) -> ExchangeTime:
        """The exchange's, so that no bar is taken for closed before it is."""
        from enigma_exchange.stream.live import ExchangeTime

        return ExchangeTime(self._public.offset())

    @cached_property
    def _history(self) -> History:
        from enigma_core.candle_store import CandleStore
        from enigma_exchange.history import History, pages_of

        store = None
        # what a local exchange has shown is another market the next time
        if self.keep and self.url is None:
            try:
                store = CandleStore.of(self.identity())
            except DataError:
                store = None
        return History(pages_of(self._public), store)

    def _now(self) -> int:
        if self._clock.doubtful:
            self._clock.set(self._public.offset())
        return self._clock.now()

    def _read(self) -> None:
        from enigma_exchange.contracts import contracts_of

        found = contracts_of(self._public.get("/api/v1/contracts/active"), self._now())
        self._contracts.clear()
        self._contracts.update((symbol, c) for symbol, c in found.items() if symbol.endswith(f":{self.quote}"))
        self._read_at["contracts"] = time.monotonic()

    def _listed(self) -> dict[str, Contract]:
        if time.monotonic() - self._read_at.get("contracts", float("-inf")) > LISTED_AGE:
            self._read()
        return self._contracts

    def _contract(self, symbol: str) -> Contract:
        listed = self._listed()
        if symbol not in listed:
            near = difflib.get_close_matches(symbol, listed, 3, 0.3) or list(listed)[:3]
            hint = f"did you mean {' or '.join(near)}?" if near else f"it lists nothing in {self.quote}"
            raise DataError(f"{symbol}: KuCoin does not list it; {hint}")
        return listed[symbol]


@hookimpl
def enigma_feeds() -> Iterator[type[Feed]]:
    yield Kucoin
