"""One connection to KuCoin that is kept: made again whenever it breaks, is deaf, or falls silent."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec

from enigma_exchange import broken
from enigma_exchange.stream.frames import FRAMES, FRAMES_WINDOW, Message, Token, frames, ping, read, subscription

logger = logging.getLogger(__name__)

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
"""Seconds between two attempts: a random share of what doubles from one failure to the next."""

STEADY = 60.0
"""A connection that held so long, seconds, makes the next pause a short one again."""

PATIENCE = 10.0
"""Seconds for a welcome, or the answer to a subscription."""

REFUSED_FOR = 600.0
"""Seconds after which a topic that the server refused is asked for again: it may have been the server's trouble."""


class Broken(Exception):
    """The connection is no use any more; the text says why."""


class Wire(Protocol):
    """An open WebSocket, as the library `websockets` gives it."""

    async def send(self, message: Any) -> None: ...
    async def recv(self, decode: bool | None = None) -> Any: ...


Dial = Callable[[str], AbstractAsyncContextManager[Wire]]


def dial(url: str) -> AbstractAsyncContextManager[Wire]:
    """A WebSocket to `url`, through the environment's proxy where it names one for that host."""
    from websockets.asyncio.client import connect

    here = (urlsplit(url).hostname or "") in ("127.0.0.1", "localhost", "::1")
    # KuCoin has pings of its own, in JSON
    return connect(
        url,
        ping_interval=None,
        compression=None,
        max_size=8 * 2**20,
        open_timeout=PATIENCE,
        close_timeout=1,
        proxy=None if here else True,
    )


class Line:
    """Follows `topics` until cancelled.

    `token` asks where to connect to. `see` is called with each data message, on the loop's thread, and must not wait. `gap` is
    called with a reason whenever something may have been missed: at each interruption, and with "" once all topics have been
    subscribed to (again). `refused` is told of topics the server does not know. `silent` is after how many seconds without any
    data the line is made anew; None where silence means nothing.
    """

    def __init__(
        self,
        token: Callable[[], Awaitable[Token]],
        topics: Sequence[str],
        see: Callable[[Message], None],
        gap: Callable[[str], None],
        *,
        refused: Callable[[str, str], None] | None = None,
        private: bool = False,
        silent: float | None = None,
        dial: Dial = dial,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.topics = list(topics)
        self.up = False
        """Whether everything is subscribed to."""
        self._token = token
        self._see = see
        self._gap = gap
        self._refused = refused
        self._private = private
        self._silent = silent
        self._dial = dial
        self._chance = chance
        self._wire: Wire | None = None
        self._left_out: dict[str, float] = {}
        """Topics that the server refuses, and since when."""
        self._number = 0
        self._asked: dict[str, tuple[str, ...]] = {}
        """Subscriptions that are not answered yet, by the id of their frame."""
        self._pinged = ""
        self._sent: deque[float] = deque()
        self._heard = 0.0
        self._remake = ""
        self._aside: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Connect, and connect again, until cancelled."""
        failures = 0
        while True:
            began = self._now()
            try:
                await self._once()
                why = "the server has closed the connection"
            except Broken as error:
                why = str(error)
            except Exception as error:  # noqa: BLE001 - whatever it is, the line is made anew
                why = broken.why(error)
            finally:
                self.up = False
                self._wire = None
            self._gap(why)
            failures = 0 if self._now() - began > STEADY else failures + 1
            most = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures, 10))
            logger.info("stream interrupted (%s); connecting again", why)
            await asyncio.sleep(self._chance() * most)

    def remake(self, why: str) -> None:
        """Have the connection made anew: what it brings is not to be trusted."""
        self._remake = why

    async def again(self, topics: Sequence[str]) -> None:
        """Leave some topics and subscribe to them anew. Nothing happens while the line is down: it will do that anyway."""
        wire = self._wire
        if wire is None or not self.up:
            return
        try:
            for batch in frames([topic for topic in topics if topic in self.topics]):
                self._number += 1
                await self._send(wire, subscription(str(self._number), batch, private=self._private, leave=True))
                await self._subscribe(wire, batch)
        except Exception as error:  # noqa: BLE001 - the line is broken, as whoever reads from it will find
            logger.debug("the line broke while subscribing again: %s", error)

    # one connection

    async def _once(self) -> None:
        self._asked.clear()
        self._sent.clear()
        self._remake, self._pinged = "", ""
        self._refused_again()
        token = await self._token()
        async with self._dial(token.url) as wire:
            async with asyncio.timeout(PATIENCE):
                hello = read(await wire.recv(decode=False))
            if hello.type != "welcome":
                raise Broken(f"the server began with {hello.type or 'nothing'}: {_text(hello)}")
            self._wire = wire
            self._heard = self._now()
            duties = (self._read(wire), self._join(wire), self._beat(wire, token), self._watch(wire))
            tasks = [asyncio.create_task(duty) for duty in duties]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in (*tasks, *self._aside):
                    task.cancel()
                await asyncio.gather(*tasks, *self._aside, return_exceptions=True)
                self._aside.clear()

    async def _read(self, wire: Wire) -> None:
        while True:
            frame = await wire.recv(decode=False)
            try:
                message = read(frame)
            except msgspec.MsgspecError:
                raise Broken("the server sent what is no message") from None
            if message.type == "message":
                self._heard = self._now()
                self._see(message)
            elif message.type == "ack":
                self._answered(message.tag)
            elif message.type == "pong":
                self._pinged = ""
            elif message.type == "error":
                self._error(message, wire)

    async def _join(self, wire: Wire) -> None:
        for batch in frames(self.topics):
            await self._subscribe(wire, batch)
        try:
            async with asyncio.timeout(PATIENCE):
                while self._asked:
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise Broken("a subscription was not answered") from None
        if self._left_out and not self.topics:
            self._refused_again(at_once=True)
            raise Broken("the server refuses every topic")
        self.up = True
        self._gap("")
        await asyncio.Event().wait()

    async def _beat(self, wire: Wire, token: Token) -> None:
        while True:
            await asyncio.sleep(token.ping)
            self._number += 1
            self._pinged = str(self._number)
            await self._send(wire, ping(self._pinged))
            await asyncio.sleep(min(token.timeout, token.ping))
            if self._pinged:
                raise Broken("a ping was not answered")

    async def _watch(self, wire: Wire) -> None:
        while True:
            await asyncio.sleep(0.1)
            if self._remake:
                raise Broken(self._remake)
            if self._silent is not None and self.up and self._now() - self._heard > self._silent:
                raise Broken(f"no data for {self._silent:g} s, though the connection stands")
            if self.up and (topics := self._refused_again()):
                for batch in frames(topics):
                    await self._subscribe(wire, batch)

    async def _subscribe(self, wire: Wire, batch: Sequence[str]) -> None:
        self._number += 1
        self._asked[str(self._number)] = tuple(batch)
        await self._send(wire, subscription(str(self._number), batch, private=self._private))

    async def _send(self, wire: Wire, frame: bytes) -> None:
        while len(self._sent) >= FRAMES:
            if (wait := self._sent[0] + FRAMES_WINDOW - self._now()) <= 0:
                self._sent.popleft()
            else:
                await asyncio.sleep(wait)
        self._sent.append(self._now())
        # the server reads JSON from text frames
        await wire.send(frame.decode())

    def _answered(self, number: str) -> None:
        self._asked.pop(number, None)

    def _error(self, message: Message, wire: Wire) -> None:
        """A refused batch is halved until the topic is alone that the server does not know: the others are good."""
        code, text = str(message.code), _text(message)
        if code == "401" or "token" in text.lower():
            raise Broken(f"the server refuses the token: {text}")
        batch = self._asked.pop(message.tag, None)
        if batch is None:
            logger.warning("the stream's server says: %s %s", code, text)
            return
        if len(batch) == 1 or code == "509":
            for topic in batch:
                self.topics = [known for known in self.topics if known != topic]
                self._left_out[topic] = self._now()
                logger.warning("the stream's server refuses %s: %s %s", topic, code, text)
                if self._refused is not None:
                    self._refused(topic, text)
            return
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            # asked for at once, so that nobody takes the line for settled in between
            self._number += 1
            self._asked[str(self._number)] = half
            frame = subscription(str(self._number), half, private=self._private)
            task = asyncio.create_task(self._send(wire, frame))
            self._aside.add(task)
            task.add_done_callback(self._aside.discard)

    def _refused_again(self, *, at_once: bool = False) -> list[str]:
        """Take those topics back in that were refused long enough ago."""
        now = self._now()
        topics = [topic for topic, since in self._left_out.items() if at_once or now - since >= REFUSED_FOR]
        for topic in topics:
            del self._left_out[topic]
        self.topics += topics
        return topics

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _text(message: Message) -> str:
    return bytes(message.data)[:200].decode(errors="replace").strip('"')
