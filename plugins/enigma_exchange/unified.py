"""Any exchange that ccxt knows, as far as its unified calls say alike what it lists and what it shows."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

from enigma_core.errors import ConfigError, DataError
from enigma_core.market import BookSeen, FundingSeen, MarketEvent, MarkSeen, TickerSeen, TradeSeen
from enigma_core.model import Instrument
from enigma_exchange.broken import why
from enigma_exchange.contracts import Contract, exact, number
from enigma_exchange.hosts import Hosts
from enigma_exchange.stream.assembler import STALE_BOOK
from enigma_exchange.stream.closing import PAGE, Asked, Closing, Row
from enigma_exchange.stream.outgoing import Outgoing
from enigma_exchange.stream.sanity import Sanity

logger = logging.getLogger(__name__)

ROWS = PAGE - 1
"""Bars asked for at once: exchanges may count both ends of the time asked for, and cut off what is beyond their own limit."""

DECIMAL_PLACES, TICK_SIZE = 2, 4
"""How ccxt writes a precision; by significant digits no grid of prices can be told."""

SLOW = 30.0
"""Seconds between two looks at turnover, funding and marks."""

LONGEST_PAUSE = 30.0
"""Seconds between two attempts after failures: a random share of what doubles each time."""

ROUND = 0.05
"""Seconds between two rounds of events."""

REMEMBERED = 512
"""Trades of a symbol that are told apart by their ids; twice those of one answer where that is more."""

DEAF = 2_000
"""For so long (ms) after an answer about bars failed, without any other, an exchange is taken for out of reach."""

SILENT = 30_000
"""For so long (ms) nothing that is watched has shown anything: the streams are made anew."""

MEASURED = 1.0
"""Seconds between two looks whether the exchange's clock should be read anew."""


def made(name: str, hosts: Hosts | None, *, live: bool) -> Any:
    """An unmodified exchange of ccxt: one that waits (`live` False), or one for the running loop. Raises `ConfigError`.

    `hosts` is a local exchange that speaks KuCoin's protocol.
    """
    # its import takes a second or two, and only who asks for it needs it
    import ccxt  # type: ignore[import-untyped]

    logging.getLogger("ccxt").setLevel(logging.WARNING)
    if name not in ccxt.exchanges:
        import difflib

        near = difflib.get_close_matches(name, ccxt.exchanges, 3, 0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "see the list at docs.ccxt.com"
        raise ConfigError(f"exchange is {name!r}, which ccxt {ccxt.__version__} does not know; {hint}")
    settings: dict[str, Any] = {"enableRateLimit": True, "verbose": False, "timeout": 10_000}
    if not live:
        exchange = getattr(ccxt, name)(settings)
        exchange.trust_env = hosts is None
    else:
        import ccxt.async_support as plain  # type: ignore[import-untyped]
        import ccxt.pro as streaming  # type: ignore[import-untyped]

        settings["aiohttp_trust_env"] = hosts is None
        exchange = getattr(streaming if name in streaming.exchanges else plain, name)(settings)
    # what currencies there are is asked with a key, and of no use here
    exchange.has["fetchCurrencies"] = False
    if hosts is not None:
        for path, value in exchange.urls["api"].items():
            if isinstance(value, str):
                exchange.urls["api"][path] = hosts.futures if path.startswith("futures") else hosts.spot
    return exchange


def contracts_of(exchange: Any, quote: str) -> dict[str, Contract]:
    """The linear perpetuals in `quote` that a loaded exchange lists, by symbol."""
    found = {}
    for symbol, market in exchange.markets.items():
        if not (market.get("swap") and market.get("linear") and market.get("settle") == market.get("quote") == quote):
            continue
        instrument = _instrument(symbol, market, exchange.precisionMode)
        if instrument is None:
            continue
        nan = math.nan
        found[symbol] = Contract(
            code=symbol,
            instrument=instrument,
            open=market.get("active") is not False,
            listed=int(market.get("created") or 0),
            mark=nan,
            index=nan,
            last=nan,
            turnover=nan,
            funding=nan,
            funding_hours=8.0,
            next_funding=0,
        )
    return found


def _instrument(symbol: str, market: Mapping[str, Any], mode: int) -> Instrument | None:
    precision, limits = market.get("precision") or {}, market.get("limits") or {}
    tick, lot = (_grid(precision.get(name), mode) for name in ("price", "amount"))
    if tick is None or lot is None:
        return None
    amount = limits.get("amount") or {}
    least, most = amount.get("min"), amount.get("max")
    leverage = (limits.get("leverage") or {}).get("max")
    try:
        return Instrument(
            symbol=symbol,
            tick=tick,
            lot=lot,
            multiplier=exact(market.get("contractSize") or 1),
            min_quantity=exact(least) if least else lot,
            max_leverage=max(1, int(leverage)) if leverage else 20,
            max_quantity=exact(most) if most else None,
        )
    except (ArithmeticError, ValueError, ConfigError):
        return None


def _grid(precision: Any, mode: int) -> Decimal | None:
    if precision is None or mode not in (DECIMAL_PLACES, TICK_SIZE):
        return None
    step = exact(precision) if mode == TICK_SIZE else Decimal(1).scaleb(-int(precision))
    return step if step > 0 else None


def rows_of(answer: Any) -> list[Row]:
    """Bars as ``fetch_ohlcv`` and ``watch_ohlcv`` give them."""
    return [Row(int(row[0]), *(number(value) for value in row[1:6])) for row in answer or () if row and row[0] is not None]


def page(exchange: Any, symbol: str, timeframe: str, start: int, end: int) -> list[Row]:
    """Bars with ``start <= ts < end`` of an exchange that waits, in as many requests as its pages need. Raises `DataError`."""
    found: dict[int, Row] = {}
    length = exchange.parse_timeframe(timeframe) * 1000
    since = start
    try:
        while since < end:
            limit = min(ROWS, (end - since) // length + 1)
            rows = rows_of(exchange.fetch_ohlcv(symbol, timeframe, since=since, limit=limit))
            fresh = {row.ts: row for row in rows if since <= row.ts < end}
            if not fresh:
                break
            found |= fresh
            since = max(fresh) + length
    except failures() as error:
        raise DataError(f"{exchange.id} does not give candles of {symbol}: {why(error)}") from None
    return [found[ts] for ts in sorted(found)]


def offset(exchange: Any) -> float:
    """How much the clock of an exchange that waits is ahead of the wall's, ms; 0 where it shows none. Raises what ccxt raises."""
    if exchange.has.get("fetchTime") is not True:
        return 0.0
    began = time.time()
    there = exchange.fetch_time()
    return float(there) - (began + time.time()) / 2 * 1000


async def offset_there(exchange: Any) -> float:
    """The same of one for the running loop."""
    if exchange.has.get("fetchTime") is not True:
        return 0.0
    began = time.time()
    there = await exchange.fetch_time()
    return float(there) - (began + time.time()) / 2 * 1000


def broken(reason: str) -> Exception:
    """What ccxt itself raises where a connection is lost."""
    import ccxt

    error: Exception = ccxt.NetworkError(reason)
    return error


def failures() -> type[Exception]:
    """What ccxt raises."""
    import ccxt

    family: type[Exception] = ccxt.BaseError
    return family


class Unified:
    """One exchange followed live: watched where it can be, asked every `poll` seconds where it cannot.

    Events are those of `enigma_exchange.stream.live.follow`, and as complete as the exchange's unified calls are. `measure`
    keeps the clock that `now` tells right, and is called every second.
    """

    def __init__(
        self,
        exchange: Any,
        contracts: Mapping[str, Contract],
        timeframe: str,
        closing: Closing,
        *,
        now: Callable[[], int],
        wall: Callable[[], int],
        levels: int,
        poll: float,
        book: bool,
        trades: bool,
        band: float,
        measure: Callable[[], Awaitable[None]] | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._exchange = exchange
        self._contracts = contracts
        self._timeframe = timeframe
        self._closing = closing
        self._now, self._wall = now, wall
        self._levels = levels
        self._poll = poll
        self._with_book, self._with_trades = book, trades
        self._measure = measure
        self._chance = chance
        self._began = now()
        self._failing: int | None = None
        """Since when answers about bars fail, and nothing else comes in."""
        self._deaf = False
        self._shown = self._renewed = self._began
        """When anything that is watched was last shown; when the streams were last made anew."""
        self._rates_at_once = self._has("fetchFundingRates")
        self._out = Outgoing()
        self._sanity = {symbol: Sanity(band) for symbol in contracts}
        self._trades: dict[str, dict[Any, None]] = {symbol: {} for symbol in contracts}
        self._book_at = dict.fromkeys(contracts, self._began)
        self._book_asked = dict.fromkeys(contracts, self._began)
        self._best: dict[str, tuple[object, object] | None] = dict.fromkeys(contracts)
        """Best bid and ask as they were last told."""
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.dropped = 0

    async def events(self) -> AsyncGenerator[MarketEvent, None]:
        """For as long as anybody takes them."""
        for first in (self._tickers, self._rates):
            try:
                # the first prices are judged by the marks too
                await first()
            except Exception as error:  # noqa: BLE001 - ccxt raises anything; it is asked again
                logger.info("%s: %s", self._exchange.id, why(error))
        for symbol in self._contracts:
            if self._with_book:
                self._aside(self._watched(symbol, "OrderBook", self._book))
            if self._with_trades:
                self._aside(self._watched(symbol, "Trades", self._traded))
            if self._has("watchOHLCV"):
                self._aside(self._again(lambda s=symbol: self._candles(s), 0.0))  # type: ignore[misc]
        self._aside(self._again(self._tickers, SLOW, SLOW))
        self._aside(self._again(self._rates, SLOW, SLOW))
        if self._measure is not None:
            self._aside(self._again(self._measure, MEASURED, MEASURED))
        try:
            while True:
                self._news.clear()
                now = self._now()
                if self._failing is not None and now - self._failing > DEAF and not self._deaf:
                    self._deaf = True
                    self._closing.lost(self._contracts)
                    self._closing.down()
                for asked in self._closing.wanted(now):
                    self._aside(self._fetch(asked))
                if self._watches and now - self._shown > SILENT:
                    self._renew("nothing is shown")
                self._stale(now)
                for event in self._told(now):
                    yield event
                try:
                    async with asyncio.timeout(1.0 if not self._closing.waits(now) else ROUND):
                        await self._news.wait()
                except TimeoutError:
                    pass
                await asyncio.sleep(ROUND)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _told(self, now: int) -> list[MarketEvent]:
        closing, out, wall = self._closing, self._out, self._wall()
        if not closing.waits(now):
            return [*closing.closed(now), *out.take(None, wall)]
        events = out.take(closing.moment, wall)
        for bars in closing.closed(now):
            events += [*out.take(bars.ts, wall), bars]
            out.over(bars.ts)
        return events if closing.waits(now) else events + out.take(None, wall)

    # what is asked

    async def _fetch(self, asked: Asked) -> None:
        found: list[Row] = []
        length, since = self._closing.length, asked.start
        try:
            while since < asked.end:
                limit = min(ROWS, (asked.end - since) // length + 1)
                answer = await self._exchange.fetch_ohlcv(asked.symbol, self._timeframe, since=since, limit=limit)
                fresh = [row for row in rows_of(answer) if since <= row.ts < asked.end]
                if not fresh:
                    break
                found += fresh
                since = max(row.ts for row in fresh) + length
            self._closing.answered(asked, found, self._now())
            self._heard()
        except Exception as error:  # noqa: BLE001 - ccxt raises anything; it is asked again
            logger.debug("%s: %s", asked, why(error))
            self._closing.failed(asked, self._now())
            self._failing = self._now() if self._failing is None else self._failing
        self._news.set()

    def _heard(self) -> None:
        """The exchange has said something."""
        self._failing = None
        if self._deaf:
            self._deaf = False
            self._closing.resume(self._now())
        self._news.set()

    async def _watched(self, symbol: str, what: str, take: Callable[[str, Any], None]) -> None:
        snake = {"OrderBook": "order_book", "Trades": "trades"}[what]
        streamed = self._has(f"watch{what}")
        call = getattr(self._exchange, f"{'watch' if streamed else 'fetch'}_{snake}")

        async def once() -> None:
            take(symbol, await call(symbol))
            if streamed:
                self._shown = self._now()
            self._heard()

        await self._again(once, 0.0 if streamed else self._poll)

    async def _compare(self, symbol: str) -> None:
        """A book whose stream is silent, or is not to be believed, as the exchange tells it when asked."""
        try:
            book = await self._exchange.fetch_order_book(symbol)
            before = self._best[symbol]
            self._book(symbol, book)
            if before is not None and self._best[symbol] != before:
                self._renew(f"the book of {symbol} has moved, and no stream has said so")
            self._heard()
        except Exception as error:  # noqa: BLE001 - ccxt raises anything; it is asked again
            logger.debug("%s: %s", symbol, why(error))

    async def _candles(self, symbol: str) -> None:
        for row in rows_of(await self._exchange.watch_ohlcv(symbol, self._timeframe)):
            self._closing.forming(symbol, row)
        self._shown = self._now()
        self._heard()

    def _renew(self, reason: str) -> None:
        """Have all streams made anew: after a message that ccxt cannot read, it never reads another, and says nothing."""
        now = self._now()
        if now - self._renewed < SILENT:
            return
        self._renewed = self._shown = now
        logger.info("%s: the streams are made anew (%s)", self._exchange.id, reason)
        for client in list((getattr(self._exchange, "clients", None) or {}).values()):
            client.on_error(broken(reason))

    async def _tickers(self) -> None:
        symbols = list(self._contracts)
        if self._has("fetchTickers"):
            found = await self._exchange.fetch_tickers(symbols)
        else:
            found = {symbol: await self._exchange.fetch_ticker(symbol) for symbol in symbols}
        now = self._now()
        for symbol in symbols:
            ticker = found.get(symbol, {})
            if math.isfinite(turnover := number(ticker.get("quoteVolume"))):
                self._out.put(TickerSeen(now, symbol, turnover))
            self._mark(symbol, ticker, now)
        self._heard()

    async def _rates(self) -> None:
        symbols = list(self._contracts)
        found: Mapping[str, Any] = {}
        if self._rates_at_once:
            try:
                found = await self._exchange.fetch_funding_rates(symbols)
            except Exception:
                if not self._has("fetchFundingRate"):
                    raise
                # some hosts of an exchange have one of the two calls only
                self._rates_at_once = False
        if not self._rates_at_once and self._has("fetchFundingRate"):
            found = {symbol: await self._exchange.fetch_funding_rate(symbol) for symbol in symbols}
        now = self._now()
        for symbol, told in found.items():
            if symbol not in self._contracts:
                continue
            self._mark(symbol, told, now)
            rate = number(told.get("fundingRate"))
            settles = told.get("fundingTimestamp") or told.get("nextFundingTimestamp")
            if -1 < rate < 1 and settles:
                self._out.put(FundingSeen(now, symbol, rate, int(settles), _hours(told.get("interval"))))
        self._heard()

    def _mark(self, symbol: str, told: Mapping[str, Any], now: int) -> None:
        mark, index = number(told.get("markPrice")), number(told.get("indexPrice"))
        # an index that is not told is not known; the mark counts all the same
        if self._sanity[symbol].marked(mark, mark if math.isnan(index) else index, now):
            self._out.put(MarkSeen(now, symbol, mark, index))

    async def _again(self, work: Callable[[], Awaitable[None]], pause: float, begin: float = 0.0) -> None:
        """`work` for ever, `begin` seconds from now on: what fails is tried again, ever more seldom."""
        failures = 0
        await asyncio.sleep(begin)
        while True:
            try:
                await work()
                failures = 0
                await asyncio.sleep(pause)
            except Exception as error:  # noqa: BLE001 - ccxt raises anything
                failures += 1
                level = logging.INFO if failures == 1 else logging.DEBUG
                logger.log(level, "%s: %s", self._exchange.id, why(error))
                await asyncio.sleep(0.1 + self._chance() * min(LONGEST_PAUSE, 0.5 * 2 ** min(failures, 8)))

    # what is shown

    def _book(self, symbol: str, book: Any) -> None:
        unit = self._contracts[symbol].unit
        now = self._now()
        sides = []
        for levels, falling in ((book["bids"], True), (book["asks"], False)):
            found = [(number(level[0]), number(level[1]) * unit) for level in levels[: self._levels]]
            sides.append(tuple(sorted((x for x in found if 0 < x[0] < math.inf and 0 < x[1] < math.inf), reverse=falling)))
        bids, asks = sides
        sane = self._sanity[symbol].price
        if not bids or not asks or not bids[0][0] < asks[0][0] or not (sane(bids[0][0], now) and sane(asks[0][0], now)):
            self.dropped += 1
            return
        self._book_at[symbol], self._best[symbol] = now, (bids[0], asks[0])
        self._out.put(BookSeen(min(int(book.get("timestamp") or now), now), symbol, bids, asks))

    def _traded(self, symbol: str, trades: Any) -> None:
        known, unit, now = self._trades[symbol], self._contracts[symbol].unit, self._now()
        for trade in trades:
            price, amount, side = number(trade["price"]), number(trade["amount"]), trade.get("side")
            key = trade.get("id") or (trade["timestamp"], price, amount, side)
            if key in known:
                continue
            if not self._sanity[symbol].price(price, now) or not 0 < amount < math.inf or side not in ("buy", "sell"):
                self.dropped += 1
                continue
            known[key] = None
            while len(known) > max(REMEMBERED, 2 * len(trades)):
                del known[next(iter(known))]
            ts = min(int(trade["timestamp"] or now), now)
            if ts < self._began:
                # an answer reaches back to what nobody was there to see
                continue
            self._out.put(TradeSeen(ts, symbol, 1 if side == "buy" else -1, price, amount * unit))

    def _stale(self, now: int) -> None:
        if not self._with_book:
            return
        for symbol, at in self._book_at.items():
            if now - max(at, self._book_asked[symbol]) > STALE_BOOK and self._has("watchOrderBook") and self._has("fetchOrderBook"):
                self._book_asked[symbol] = now
                self._aside(self._compare(symbol))
            if now - at > 3 * STALE_BOOK:
                # an empty book closes the symbol for entries
                self._book_at[symbol] = now
                self._out.put(BookSeen(now, symbol, (), ()))

    @property
    def _watches(self) -> bool:
        """Whether anything comes by a stream."""
        calls = {"watchOHLCV": True, "watchOrderBook": self._with_book, "watchTrades": self._with_trades}
        return any(wanted and self._has(call) for call, wanted in calls.items())

    def _has(self, call: str) -> bool:
        return self._exchange.has.get(call) is True

    def _aside(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _hours(interval: Any) -> float:
    """``8h`` as a number; 8 where it is not said."""
    text = str(interval or "")
    return float(text[:-1]) if text.endswith("h") and text[:-1].isdigit() else 8.0
