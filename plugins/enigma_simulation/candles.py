"""Bars of a simulated exchange as they come over its wires: pushed while they form, listed on request, in disorder where a world
wants it. What is made of them is done by the code that follows a real exchange."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import TYPE_CHECKING, Any

from enigma_core.market import BarsClosed, FundingSeen, MarketEvent
from enigma_exchange.stream.closing import Asked, Closing, Row
from enigma_exchange.stream.outgoing import Outgoing
from enigma_simulation.prices import MINUTE

if TYPE_CHECKING:
    from enigma_simulation.world import World

DISORDERS = ("late", "corrected", "unanswered", "twice", "shuffled", "lost", "wrong", "missing")
"""What may be wrong with bars: listed long after they closed; told differently at first; nothing is listed; pushed twice, in
another order, never, with prices that cannot be; not there at all."""

LISTED_LATE = 9_000
CORRECTED = 4_000
"""ms after the close from which a bar is listed, and as it is."""

LEAST, MOST = 0.03, 0.25
"""Seconds that an answer takes."""


class Candles:
    """The exchange's side: what it pushes and lists of the bars of a world's prices. `disorder` is what is wrong with them now."""

    def __init__(self, world: World, random: Random) -> None:
        self._world, self._random = world, random
        self.disorder = ""
        self._missing: set[tuple[str, int]] = set()
        """Bars that there are not, by symbol and open."""

    def push(self, hear: Callable[[Any], None]) -> None:
        """Push the bars that form at this moment, and those that have just closed."""
        for symbol, line in self._world.prices.lines.items():
            now = self._world.prices.now
            if line.bar:
                o, h, low, c, v = line.bar
                row = Row((now - 1) // MINUTE * MINUTE, o, h, low, c, v)
            else:
                row = Row(*line.rows[-1])
            if self.disorder == "wrong" and self._random.random() < 0.5:
                row = self._wrong(row)
            if self.disorder == "lost" and self._random.random() < 0.8:
                continue
            for _ in range(2 if self.disorder == "twice" else 1):
                later = self._random.uniform(0.0, 6.0) if self.disorder == "shuffled" else self._random.uniform(0.01, 0.08)
                self._world.loop.call_later(later, hear, (symbol, row))

    def list(self, asked: Asked, hear: Callable[[Any], None]) -> None:
        """Answer a request for bars, some moments later."""
        loop, seconds = self._world.loop, self._random.uniform(LEAST, MOST)
        if self.disorder == "unanswered" or self._world.outages:
            loop.call_later(seconds, hear, (asked, None))
            return
        now = self._world.there()
        rows = []
        for values in self._world.prices.lines[asked.symbol].rows:
            row = Row(*values)
            if not asked.start <= row.ts < asked.end:
                continue
            age = now - row.ts - MINUTE
            if self.disorder == "missing" and age < MINUTE and self._random.random() < 0.3:
                self._missing.add((asked.symbol, row.ts))
            if (asked.symbol, row.ts) in self._missing or (self.disorder == "late" and age < LISTED_LATE):
                continue
            if self.disorder == "corrected" and age < CORRECTED:
                row = Row(row.ts, row.open, row.high, row.low, row.low, row.volume * 0.9)
            rows.append(row)
        loop.call_later(seconds, hear, (asked, rows))

    def _wrong(self, row: Row) -> Row:
        close = self._random.choice((0.0, -row.close, row.close * 10, math.nan, math.inf))
        return Row(row.ts, row.open, row.high, row.low, close, row.volume)


async def followed(world: World, since: int) -> AsyncIterator[MarketEvent]:
    """The market's events after `since` (ms), bars made of what the exchange pushes and lists."""
    inbox: asyncio.Queue[Any] = world.subscribe()
    known = {symbol: _newest(world, symbol, since) for symbol in world.prices.lines}
    closing = Closing(MINUTE, known, dict.fromkeys(known, 1.0), world.there())
    out = Outgoing()
    told = dict(known)
    while True:
        now, wall = world.there(), world.wall()
        for event in _events(closing, out, now, wall):
            if isinstance(event, BarsClosed):
                _once(world, event, told)
            yield event
        for asked in closing.wanted(world.there()):
            world.candles.list(asked, inbox.put_nowait)
        try:
            async with asyncio.timeout(max(0.02, (closing.due(world.there()) - world.there()) / 1000)):
                news = await inbox.get()
        except TimeoutError:
            continue
        while True:
            _take(closing, out, news, world.there())
            if inbox.empty():
                break
            news = inbox.get_nowait()


def _newest(world: World, symbol: str, since: int) -> int:
    """The open of the newest bar that had closed at `since`."""
    return max((row[0] for row in world.prices.lines[symbol].rows if row[0] + MINUTE <= since), default=since - 2 * MINUTE)


def _take(closing: Closing, out: Outgoing, news: Any, now: int) -> None:
    if not isinstance(news, tuple):
        if not isinstance(news, BarsClosed | FundingSeen):
            out.put(news)
        return
    about, what = news
    if isinstance(about, str):
        closing.forming(about, what)
    elif what is None:
        closing.failed(about, now)
    else:
        closing.answered(about, what, now)


def _events(closing: Closing, out: Outgoing, now: int, wall: int) -> list[MarketEvent]:
    """What can be told now: nothing that came after a close whose bars are still waited for."""
    events: list[MarketEvent] = []
    if closing.waits(now):
        events += out.take(closing.moment, wall)
    for bars in closing.closed(now):
        events += out.take(bars.ts, wall)
        events.append(bars)
        out.over(bars.ts)
    if not closing.waits(now):
        events += out.take(None, wall)
    return events


def _once(world: World, event: BarsClosed, told: dict[str, int]) -> None:
    """Each bar is told once, in order, and can be."""
    for symbol, bar in event.bars.items():
        if bar.ts <= told[symbol] or bar.end != event.ts:
            world.witness.fail("X18", f"{symbol}: the bar of {bar.ts} was told after that of {told[symbol]}, as one of {event.ts}")
        told[symbol] = max(told[symbol], bar.ts)
