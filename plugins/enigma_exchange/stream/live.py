"""A market followed live: connections, REST where the stream has holes, and the events that come of both."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from enigma_core.errors import DataError
from enigma_core.market import MarketEvent
from enigma_exchange.contracts import contracts_of
from enigma_exchange.history import page
from enigma_exchange.public import Public
from enigma_exchange.stream import data
from enigma_exchange.stream.assembler import Assembler, Depths, Wanted
from enigma_exchange.stream.closing import Asked
from enigma_exchange.stream.frames import Message, Token, shards, token_of
from enigma_exchange.stream.line import Dial, Line, dial

logger = logging.getLogger(__name__)

SILENT = 15.0
"""Seconds without any data, which marks alone bring every second, after which a connection is made anew."""

ROUND = 0.02
"""Seconds between two rounds of events at least: what comes within one of them is told together."""

LOOK = 0.05
"""Seconds between two looks at what is to be asked for."""

MEASURED = 300.0
"""Seconds between two looks at the exchange's clock."""

DRIFT = 0.5
"""By how much (s) the wall's clock may part from the one that only ascends, as in a sleep, until the exchange's is read anew."""

UNREAD = 10.0
"""Seconds until a clock that could not be read is tried again."""

AT_ONCE = 8
"""REST requests under way at the same time."""


class ExchangeTime:
    """The exchange's clock, `offset` ms ahead of the wall's, carried on by one that only ascends: the wall's jumps do not count."""

    def __init__(self, offset: float, *, now: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._now = now
        self._wall = wall
        self._base = self._read = self._apart = 0.0
        self.set(offset)

    def set(self, offset: float) -> None:
        """What was measured just now."""
        self._read, at = self._now(), self._wall()
        self._apart = at - self._read
        self._base = at * 1000 + offset - self._read * 1000

    @property
    def doubtful(self) -> bool:
        """Whether it should be measured anew: long ago, or this machine's clocks have parted since."""
        now = self._now()
        return now - self._read > MEASURED or abs(self._wall() - now - self._apart) > DRIFT

    def now(self) -> int:
        """The exchange's time, ms."""
        return int(self._base + self._now() * 1000)

    def wall(self) -> int:
        """The wall's, ms."""
        return int(self._wall() * 1000)


async def follow(
    public: Public, assembler: Assembler, clock: ExchangeTime, *, timeframe: str, dial: Dial = dial, silent: float = SILENT
) -> AsyncGenerator[MarketEvent, None]:
    """Events for as long as anybody takes them. What fails is tried again; nothing here ends by itself."""
    following = Following(public, assembler, clock, timeframe, dial, silent)
    try:
        async for event in following.events():
            yield event
    finally:
        await following.close()


class Following:
    """The tasks behind `follow`."""

    def __init__(
        self, public: Public, assembler: Assembler, clock: ExchangeTime, timeframe: str, dial: Dial, silent: float
    ) -> None:
        self._public = public
        self._assembler = assembler
        self._clock = clock
        self._timeframe = timeframe
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="kucoin")
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        topics = assembler.topics
        of_topic = {topic: symbol for symbol, members in topics.items() for topic in members}
        self._lines: list[tuple[Line, list[str]]] = []
        for shard in shards(topics):
            symbols = list(dict.fromkeys(of_topic[topic] for topic in shard))
            gap = self._gap_of(len(self._lines), symbols)
            self._lines.append((Line(self._token, shard, self._see, gap, silent=silent, dial=dial), symbols))

    async def events(self) -> AsyncGenerator[MarketEvent, None]:
        for line, _ in self._lines:
            self._aside(line.run())
        self._aside(self._measure())
        loop = asyncio.get_running_loop()
        looked = 0.0
        while True:
            self._news.clear()
            now = self._clock.now()
            for event in self._assembler.events(now, self._clock.wall()):
                yield event
            if loop.time() - looked >= LOOK:
                looked = loop.time()
                for wanted in self._assembler.wanted(now):
                    self._aside(self._fetch(wanted))
                if stalled := self._assembler.stalled():
                    logger.info("subscribing again to %s", ", ".join(stalled))
                    for line, _ in self._lines:
                        self._aside(line.again(stalled))
            await asyncio.sleep(ROUND)
            wait = (self._assembler.due(now) - self._clock.now()) / 1000
            try:
                async with asyncio.timeout(min(max(wait, ROUND), 1.0)):
                    await self._news.wait()
            except TimeoutError:
                pass

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._public.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._pool.shutdown(wait=False, cancel_futures=True)
        logger.info("dropped %s; bars %s", self._assembler.dropped, self._assembler.closing.counts)

    def _see(self, message: Message) -> None:
        self._assembler.see(message, self._clock.now())
        self._news.set()

    def _gap_of(self, number: int, symbols: list[str]) -> Callable[[str], None]:
        def gap(why: str) -> None:
            now = self._clock.now()
            if why:
                everything = not any(line.up for i, (line, _) in enumerate(self._lines) if i != number)
                self._assembler.lost(symbols, now, everything=everything)
            else:
                self._assembler.back(symbols, now)
            self._news.set()

        return gap

    async def _token(self) -> Token:
        answer = await self._call(lambda: self._public.ask("POST", "/api/v1/bullet-public", 1))
        return token_of(answer, uuid.uuid4().hex)

    async def _fetch(self, wanted: Wanted) -> None:
        """Ask for one thing, and show the assembler what came of it."""
        assembler = self._assembler
        try:
            if isinstance(wanted, Asked):
                code = assembler.code(wanted.symbol)
                rows = await self._call(lambda: page(self._public, code, self._timeframe, wanted.start, wanted.end, 1))
                assembler.rows(wanted, rows, self._clock.now())
            elif isinstance(wanted, Depths):
                code = assembler.code(wanted.symbol)
                path = "/api/v1/level2/snapshot" if wanted.whole else "/api/v1/level2/depth20"
                answer = await self._call(lambda: self._public.get(path, 1, symbol=code))
                assembler.depth(wanted, msgspec.convert(answer, data.Depth), self._clock.now())
            else:
                listed = await self._call(lambda: self._public.get("/api/v1/contracts/active", 1))
                assembler.marks(contracts_of(listed, self._clock.now()).values(), self._clock.now())
        except (DataError, msgspec.MsgspecError, LookupError, TypeError, ValueError) as error:
            logger.debug("%s: %s", wanted, error)
            assembler.failed(wanted, self._clock.now())
        except Exception:
            # a defect; who waits for an answer would never ask again
            assembler.failed(wanted, self._clock.now())
            raise
        finally:
            self._news.set()

    async def _measure(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            if not self._clock.doubtful:
                continue
            try:
                self._clock.set(await self._call(self._public.offset))
            except (DataError, TypeError, ValueError) as error:
                logger.info("the exchange's clock cannot be read: %s", error)
                await asyncio.sleep(UNREAD)

    async def _call(self, ask: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, ask)

    def _aside(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # what is tried again catches its own; this is a defect, and must not pass for a quiet market
            logger.error("following the market failed", exc_info=error)
