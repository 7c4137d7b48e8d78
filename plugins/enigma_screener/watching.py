"""Markets beside those a run trades, kept ready to be scored: from a feed's stream, or from its recording."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncGenerator, Iterable, Iterator

import msgspec
import numpy as np

from enigma_core.errors import DataError, EnigmaError
from enigma_core.faults import Quarantine
from enigma_core.live import LiveEvaluator, bar_at
from enigma_core.market import BarsClosed, Market, MarketEvent, TickerSeen
from enigma_core.model import Bar, Candles
from enigma_core.parts import Feed, Listing
from enigma_core.plan import Plan
from enigma_core.scoring import Evaluation
from enigma_core.timeframes import milliseconds

TOGETHER = 12
"""Bars by which histories that belong together may differ at their end; one that ends earlier trades no more."""

LOOKED_BACK = 3
"""Bars of books and trades before now that a recording is asked for."""

SILENT = 15.0
"""Seconds without a word of any market after which a scan says so."""

ANEW = 96
"""From so many new bars on a window is worked out at once instead of bar by bar."""

log = logging.getLogger("enigma.screener")


class Markets:
    """One evaluator and one snapshot a symbol, and what both kinds of watch do with them."""

    def __init__(self, feed: Feed, plan: Plan, listings: Iterable[Listing]) -> None:
        self.feed, self.plan = feed, plan
        self.listings = {listing.symbol: listing for listing in listings}
        self.timeframe = feed.base_timeframe()
        self.length = milliseconds(self.timeframe)
        self.left_out: dict[str, str] = {}
        """Symbols that cannot be scored, and why."""
        self._quarantine = Quarantine()
        self._evaluators: dict[str, LiveEvaluator] = {}
        self._markets = {symbol: Market(symbol) for symbol in self.listings}

    @property
    def silence(self) -> str:
        """That nothing has been heard of these markets for long; empty while all is well."""
        return ""

    @property
    def waiting(self) -> int:
        """Symbols whose history is not there yet."""
        return len(self.listings) - len(self._evaluators) - len(self.left_out)

    def evaluation(self, symbol: str, now: int) -> Evaluation | None:
        evaluator = self._evaluators.get(symbol)
        if evaluator is None or not evaluator.ready:
            return None
        evaluation = evaluator.evaluate(self._markets[symbol], now)
        return msgspec.structs.replace(evaluation, close=np.array([evaluator.last_close]))

    def _warmed(self, symbol: str, history: Candles) -> LiveEvaluator:
        evaluator = LiveEvaluator(symbol, self.timeframe, self.plan, self._quarantine)
        evaluator.warm(history)
        return evaluator

    def _leave_out(self, symbol: str, error: EnigmaError) -> None:
        self.left_out[symbol] = str(error)
        log.warning("the screener leaves %s out: %s", symbol, error)


class Streamed(Markets):
    """Markets of a live feed. `grace`: seconds that bars wait, so that a run beside it has its turn first."""

    def __init__(self, feed: Feed, plan: Plan, listings: Iterable[Listing], grace: float = 0.0) -> None:
        super().__init__(feed, plan, listings)
        self.grace = grace
        self.settled = asyncio.Event()
        """Set once every market has shown its book. Bars that were missed come before, and say nothing of now."""
        self._newest = 0
        self._heard: float | None = None

    @property
    def silence(self) -> str:
        passed = 0.0 if self._heard is None else time.monotonic() - self._heard
        return f"nothing has been heard of the market for {passed:.0f} s: this is how it stood then" if passed > SILENT else ""

    async def follow(self) -> None:
        """Histories first, symbol by symbol; then the stream."""
        for symbol in self.listings:
            try:
                history = await asyncio.to_thread(self.feed.history, symbol, self.timeframe)
                self._evaluators[symbol] = await asyncio.to_thread(self._warmed, symbol, history)
            except EnigmaError as error:
                self._leave_out(symbol, error)
        if not self._evaluators:
            self.settled.set()
            # with nothing to follow there is nothing that could end either
            await asyncio.Event().wait()
        stream = self.feed.stream(tuple(self._evaluators), self.timeframe, self._since())
        self._heard = time.monotonic()
        try:
            async for event in stream:
                await self._take(event)
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()
        raise DataError(f"the stream of feed {self.feed.name} has ended")

    async def catch_up(self, now: int) -> None:
        """The stream has done it; what only the list knows of a market is laid under it."""
        for symbol, listing in self.listings.items():
            market = self._markets[symbol]
            if market.turnover is None and listing.turnover == listing.turnover:
                market.see(TickerSeen(now, symbol, listing.turnover))

    def _since(self) -> int | None:
        """The earliest end of the histories, but for those that have ended long before the others."""
        ends = [bar[1] for one in self._evaluators.values() if (bar := one.last_bar) is not None]
        return min((end for end in ends if end >= max(ends) - TOGETHER * self.length), default=None)

    async def _take(self, event: MarketEvent) -> None:
        self._heard = time.monotonic()
        if not isinstance(event, BarsClosed):
            if event.symbol in self._markets:
                self._markets[event.symbol].see(event)
                if not self.settled.is_set() and all(self._markets[symbol].book is not None for symbol in self._evaluators):
                    self.settled.set()
            return
        if self.grace and event.ts > self._newest:
            # bars that come late have been decided on already, or will be with the next ones
            self._newest = event.ts
            await asyncio.sleep(self.grace)
        for symbol, bar in event.bars.items():
            evaluator = self._evaluators.get(symbol)
            if evaluator is not None and ((last := evaluator.last_bar) is None or bar.ts > last[0]):
                evaluator.push(bar)
                # a run in the same loop must not wait for a hundred symbols
                await asyncio.sleep(0)


class Rewound(Markets):
    """Markets of a feed whose time is its own: brought to a moment when they are asked for.

    Works in a thread: the feed must not be one that a run works with meanwhile.
    """

    def __init__(self, feed: Feed, plan: Plan, listings: Iterable[Listing]) -> None:
        super().__init__(feed, plan, listings)
        self._over = threading.Event()

    async def follow(self) -> None:
        """There is nothing to follow; the thread is told when nobody waits for it any more."""
        try:
            await asyncio.Event().wait()
        finally:
            self._over.set()

    async def catch_up(self, now: int) -> None:
        if self.listings:
            await asyncio.to_thread(asyncio.run, self._go_to(now))

    async def _go_to(self, now: int) -> None:
        for symbol in self.listings:
            if self._over.is_set():
                return
            if symbol not in self.left_out:
                try:
                    self._bring(symbol, now)
                except EnigmaError as error:
                    self._leave_out(symbol, error)
        if self._evaluators:
            await self._look_back(tuple(self._evaluators), now)

    def _bring(self, symbol: str, now: int) -> None:
        evaluator = self._evaluators.get(symbol)
        last = evaluator.last_bar if evaluator is not None else None
        if evaluator is None or last is None or not 0 <= now - last[1] < ANEW * self.length:
            history = self._until(symbol, now - span(self.plan, self.length), now)
            self._evaluators[symbol] = self._warmed(symbol, history)
        else:
            for bar in bars(self._until(symbol, last[1], now)):
                evaluator.push(bar)

    def _until(self, symbol: str, start: int, now: int) -> Candles:
        """The bars that open from `start` on and have closed by `now`."""
        history = self.feed.history(symbol, self.timeframe, start, now)
        return history[: int((history.ts + self.length <= now).sum())]

    async def _look_back(self, symbols: tuple[str, ...], now: int) -> None:
        """Show the snapshots what books, trades and rates there were in the last bars."""
        since = now - LOOKED_BACK * self.length
        stream = self.feed.stream(symbols, self.timeframe, since)
        try:
            async for event in stream:
                if event.ts > now or self._over.is_set():
                    break
                if not isinstance(event, BarsClosed):
                    self._markets[event.symbol].see(event)
                elif event.ts + self.length > now:
                    break
        finally:
            if isinstance(stream, AsyncGenerator):
                with contextlib.suppress(RuntimeError):
                    await stream.aclose()


def bars(history: Candles) -> Iterator[Bar]:
    """The bars of `history`, one by one."""
    return (bar_at(history, i) for i in range(len(history)))


def span(plan: Plan, length: int) -> int:
    """How far back (ms) the score of a bar reaches: what the coarsest timeframe's indicators and the quiet part of the ATR need."""
    longest = max((part.warmup for part in plan.indicators.values()), default=0)
    coarsest = max(milliseconds(t) for t in (*plan.timeframes.available, plan.timeframes.primary))
    quiet = milliseconds(plan.timeframes.primary) * (longest + plan.confidence.quiet_window)
    return max((longest + 1) * coarsest, quiet) + coarsest + length


def watch(feed: Feed, plan: Plan, listings: Iterable[Listing], grace: float = 0.0) -> Streamed | Rewound:
    """The watch that suits `feed`. Raises `DataError` for a feed that has no stream."""
    if type(feed).stream is Feed.stream:
        raise DataError(f"feed {feed.name} has a history but no stream, so there is no now to look at: use replay, or a live feed")
    return Rewound(feed, plan, listings) if feed.simulated else Streamed(feed, plan, listings, grace)
