"""Any other exchange that the library ccxt knows: watched where it can be, asked again and again where it cannot."""

from __future__ import annotations

import contextlib
import difflib
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from enigma_core.errors import ConfigError, DataError
from enigma_core.hookspecs import hookimpl
from enigma_core.market import MarketEvent
from enigma_core.model import Candles, Instrument
from enigma_core.parts import Feed, Listing
from enigma_core.timeframes import fits, milliseconds
from enigma_exchange.hosts import hosts

if TYPE_CHECKING:
    from enigma_exchange.contracts import Contract
    from enigma_exchange.history import History
    from enigma_exchange.stream.live import ExchangeTime

DAY = 86_400_000

FIRST = ("BTC", "ETH", "SOL", "XRP")


class Ccxt(Feed, frozen=True, kw_only=True, dict=True):
    """Linear perpetuals of an exchange by ccxt's unified calls, without a key. Bars close by the clock and are confirmed.

    For KuCoin the feed kucoin is better: it knows that exchange's protocol. How complete another one is depends on it and on
    ccxt: what it can neither stream nor answer stays unknown, and what needs it abstains.
    """

    name = "ccxt"

    exchange: Annotated[str, Meta(min_length=1, max_length=40, description="as ccxt calls it")] = "binanceusdm"
    url: Annotated[str | None, Meta(description="of a local exchange, for exchange kucoinfutures alone")] = None
    timeframe: Annotated[Literal["1m", "5m", "15m", "30m", "1h", "2h", "4h"], Meta(description="of its bars")] = "5m"
    days: Annotated[int, Meta(ge=1, le=3_650, description="days of history where no start is asked for")] = 30
    count: Annotated[int, Meta(ge=1, le=100, description="symbols on offer to a run that names none")] = 4
    quote: Annotated[str, Meta(min_length=2, max_length=10, description="currency of quotes and settlements")] = "USDT"
    volume: Annotated[
        Literal["base", "contracts"], Meta(description="what the exchange counts its candles' volume in, as ccxt passes it on")
    ] = "base"
    book: Annotated[bool, Meta(description="whether order books are followed")] = True
    levels: Annotated[int, Meta(ge=1, le=100, description="levels a side that are told")] = 20
    trades: Annotated[bool, Meta(description="whether public trades are followed")] = True
    poll: Annotated[float, Meta(ge=0.5, le=300, description="seconds between two questions where nothing can be streamed")] = 5.0
    band: Annotated[
        float, Meta(gt=0, le=1, description="how far a price may be from the mark, as a share; beyond it, it is not believed")
    ] = 0.1
    keep: Annotated[bool, Meta(description="whether candles are kept in the run's folder")] = True

    def __post_init__(self) -> None:
        if self.url is not None and self.exchange != "kucoinfutures":
            raise ConfigError(f"url is for exchange kucoinfutures alone, not for {self.exchange}: leave it out")
        hosts(self.url)

    def identity(self) -> str:
        return f"{self.name}:{self.exchange}" + (":local" if self.url is not None else "")

    @property
    def reach(self) -> int | None:
        return self.days * DAY

    def symbols(self) -> tuple[str, ...]:
        """The best known ones, then the others by name; `instrument` knows all."""
        listed = [symbol for symbol, contract in sorted(self._contracts.items()) if contract.open]
        first = [f"{base}/{self.quote}:{self.quote}" for base in FIRST]
        return tuple(dict.fromkeys([*(symbol for symbol in first if symbol in listed), *listed]))[: self.count]

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

    def listings(self) -> Sequence[Listing]:
        """All perpetuals, as ``fetch_tickers`` has them."""
        from enigma_exchange.contracts import number

        contracts, tickers = self._contracts, self._asked(lambda: self._client.fetch_tickers())
        found = []
        for symbol, contract in contracts.items():
            ticker = tickers.get(symbol, {})
            bid, ask = number(ticker.get("bid")), number(ticker.get("ask"))
            spread = (ask - bid) / ((ask + bid) / 2) if bid > 0 and ask > 0 else float("nan")
            turnover, last = number(ticker.get("quoteVolume")), number(ticker.get("last"))
            found.append(Listing(symbol=symbol, turnover=turnover, spread=spread, price=last, active=contract.open))
        return tuple(found)

    async def stream(self, symbols: Sequence[str], timeframe: str, since: int | None) -> AsyncIterator[MarketEvent]:
        """As it happens; bars within some seconds of their close."""
        import asyncio

        from enigma_exchange import unified
        from enigma_exchange.stream.closing import Closing
        from enigma_exchange.stream.live import ExchangeTime

        if timeframe != self.timeframe:
            raise DataError(f"the feed ccxt streams bars of {self.timeframe}, not of {timeframe}: set feed.timeframe to it")
        if not symbols:
            raise DataError("the feed ccxt was asked for no symbols")
        contracts = {symbol: await asyncio.to_thread(self._contract, symbol) for symbol in symbols}
        client = unified.made(self.exchange, hosts(self.url) if self.url else None, live=True)
        try:
            markets = await asyncio.to_thread(lambda: self._client.markets)
            client.set_markets(markets)
            if hasattr(client, "open"):
                client.open()
            clock = ExchangeTime(0.0)
            # one that cannot be read is taken for right
            with contextlib.suppress(unified.failures()):
                clock.set(await unified.offset_there(client))

            async def measure() -> None:
                if clock.doubtful:
                    clock.set(await unified.offset_there(client))

            length, now = milliseconds(timeframe), clock.now()
            last = {symbol: self._last(symbol, timeframe, length, since, now) for symbol in symbols}
            closing = Closing(length, last, {symbol: self._unit(contracts[symbol]) for symbol in symbols}, now)
            following = unified.Unified(
                client,
                contracts,
                timeframe,
                closing,
                now=clock.now,
                wall=clock.wall,
                levels=self.levels,
                poll=self.poll,
                book=self.book,
                trades=self.trades,
                band=self.band,
                measure=measure,
            ).events()
            try:
                async for event in following:
                    yield event
            finally:
                await following.aclose()
        finally:
            await client.close()

    def _last(self, symbol: str, timeframe: str, length: int, since: int | None, now: int) -> int:
        if since is not None:
            return since // length * length - length
        return self._newest.get((symbol, timeframe), now // length * length - length)

    def _unit(self, contract: Contract) -> float:
        return contract.unit if self.volume == "contracts" else 1.0

    def _now(self) -> int:
        """The exchange's time, ms, so that no bar is taken for closed before it is."""
        from enigma_exchange import unified

        if self._clock.doubtful:
            with self._lock, contextlib.suppress(unified.failures()):
                self._clock.set(unified.offset(self._client))
        return self._clock.now()

    @cached_property
    def _clock(self) -> ExchangeTime:
        from enigma_exchange import unified
        from enigma_exchange.stream.live import ExchangeTime

        clock = ExchangeTime(0.0)
        with self._lock, contextlib.suppress(unified.failures()):
            clock.set(unified.offset(self._client))
        return clock

    @cached_property
    def _newest(self) -> dict[tuple[str, str], int]:
        return {}

    @cached_property
    def _lock(self) -> threading.Lock:
        """ccxt's clients are not made for several threads."""
        return threading.Lock()

    @cached_property
    def _client(self) -> Any:
        from enigma_exchange import unified

        client = unified.made(self.exchange, hosts(self.url) if self.url else None, live=False)
        self._asked(client.load_markets)
        return client

    @cached_property
    def _contracts(self) -> dict[str, Contract]:
        from enigma_exchange import unified

        return unified.contracts_of(self._client, self.quote)

    @cached_property
    def _history(self) -> History:
        import msgspec

        from enigma_core.candle_store import CandleStore
        from enigma_exchange import unified
        from enigma_exchange.history import History
        from enigma_exchange.stream.closing import Row

        client = self._client

        def page(contract: Contract, timeframe: str, start: int, end: int) -> list[Row]:
            with self._lock:
                rows = unified.page(client, contract.symbol, timeframe, start, end)
            if self.volume == "contracts":
                return rows
            # candles are made with the contract's unit
            return [msgspec.structs.replace(row, volume=row.volume / contract.unit) for row in rows]

        store = None
        if self.keep and self.url is None:
            try:
                store = CandleStore.of(self.identity())
            except DataError:
                store = None
        offered = [name for name in client.timeframes or () if name[-1] in "mhd" and _known(name)]
        return History(page, store, offered)

    def _contract(self, symbol: str) -> Contract:
        if symbol not in self._contracts:
            near = difflib.get_close_matches(symbol, self._contracts, 3, 0.3) or list(self._contracts)[:3]
            hint = f"did you mean {' or '.join(near)}?" if near else f"it lists no perpetual in {self.quote}"
            raise DataError(f"{symbol}: {self.exchange} does not list it; {hint}")
        return self._contracts[symbol]

    def _asked(self, ask: Any) -> Any:
        from enigma_exchange import unified
        from enigma_exchange.broken import why

        try:
            return ask()
        except unified.failures() as error:
            raise DataError(f"{self.exchange} does not answer ({why(error)}); check the network") from None


def _known(timeframe: str) -> bool:
    try:
        return fits("1m", timeframe)
    except ConfigError:
        return False


@hookimpl
def enigma_feeds() -> Iterator[type[Feed]]:
    yield Ccxt
