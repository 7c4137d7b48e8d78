"""How an exchange is asked: looks that may be slowed down, requests that outlive whoever waits for them."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from enigma_core.chance import maybe
from enigma_exchange.account.blocks import Blocks
from enigma_exchange.port import Denied, ExchangeError, Unclear

log = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds between attempts to reach an exchange that does not answer."""

AGAIN = (1.0, 2.0, 4.0)
"""So many times as long as is slow, one after the other, until a look without an answer is made once more."""

SILENT = 10.0
"""Seconds without any answer after which nothing is asked twice at once: nobody is there."""

SLOWLY, SWIFTLY = 2.0, 1.0
"""Seconds a look takes of an exchange that answers slowly, and of one that no longer does."""

LONGEST_DENIED = 10.0
"""Seconds between two looks whether a key that was refused works again, at most."""


class Asking:
    """Makes requests; raises `ExchangeError` and nothing else. `publish` is called when a block has come or gone."""

    def __init__(self, blocks: Blocks, publish: Callable[[], None]) -> None:
        self._blocks, self._publish = blocks, publish
        self._under: set[asyncio.Task[Any]] = set()
        self._denials = 0
        self._quiet_until = -math.inf
        self.heard = -math.inf
        """When the exchange last gave any answer, seconds."""
        self.slow = 0.0
        """How long the last look took while the exchange answers slowly, else 0; seconds."""

    @staticmethod
    def now() -> float:
        """The loop's clock, seconds."""
        return asyncio.get_running_loop().time()

    @property
    def pause(self) -> float:
        """Seconds for which nothing should be asked."""
        return max(0.0, self._quiet_until - self.now())

    async def look(self, asking: Coroutine[Any, Any, T]) -> T:
        """One look."""
        try:
            if (pause := self.pause) > 0:
                await asyncio.sleep(pause)
            if maybe("asking: a look waits"):
                await asyncio.sleep(0.3)
        except BaseException:
            asking.close()
            raise
        began = self.now()
        answer = await self.answer(asking)
        self._time(self.now() - began)
        return answer

    def _time(self, took: float) -> None:
        """A look was answered after so many seconds."""
        if took > SLOWLY:
            if not self.slow:
                log.warning("the exchange answers slowly (%.1f s a request): look at positions that are being entered", took)
            self.slow = took
        elif self.slow and took < SWIFTLY:
            self.slow = 0.0
            log.warning("the exchange answers at once again")

    async def soonest(self, ask: Callable[[], Coroutine[Any, Any, T]], slow: float = 1.0) -> T:
        """The first answer to a look that is made again, beside, when it has had none for `slow` seconds, and later once more."""
        under = [asyncio.ensure_future(self.look(ask()))]
        try:
            more = [self.now() + slow * sum(AGAIN[: n + 1]) for n in range(len(AGAIN))]
            while True:
                waiting = [t for t in under if not t.done()] or under
                timeout = max(0.0, more[0] - self.now()) if more else None
                found, _ = await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
                if not found:
                    del more[0]
                    if self.pause > 0 or self.now() - self.heard > SILENT:
                        continue
                    under.append(asyncio.ensure_future(self.look(ask())))
                    continue
                done = [t for t in under if t.done()]
                good = next((t for t in done if t.exception() is None), None)
                if good is not None or len(done) == len(under):
                    return (good or done[0]).result()
        finally:
            for looking in under:
                looking.cancel()

    async def do(self, doing: Coroutine[Any, Any, T]) -> T:
        """One request that cannot be taken back."""
        return await self.answer(asyncio.shield(self.send(doing)))

    def send(self, doing: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Have a request leave: it goes on though nobody waits for it any more."""
        task = asyncio.ensure_future(doing)
        self._under.add(task)
        maybe("asking: a request is about to leave")
        task.add_done_callback(self._under.discard)
        # nobody may be there to hear that it has failed
        task.add_done_callback(lambda t: t.cancelled() or t.exception())
        return task

    async def answer(self, asking: Awaitable[T]) -> T:
        """What comes of a request that is on its way."""
        try:
            answer = await asking
        except Denied as denied:
            self._deny(denied)
            raise
        except Unclear:
            raise
        except ExchangeError:
            self.heard = self.now()
            raise
        except Exception as error:
            # whatever this is, it is no proof that nothing was done
            log.exception("a request failed in a way that was not foreseen")
            raise Unclear(f"{type(error).__name__}: {error}") from error
        self.heard = self.now()
        if maybe("asking: an answer is taken for lost"):
            raise Unclear("the answer was lost on its way")
        if maybe("asking: an answer is late"):
            await asyncio.sleep(0.5)
        return answer

    def _deny(self, denied: Denied) -> None:
        """The key is refused: everything waits longer and longer, so that nobody is hammered."""
        self._denials += 1
        # a position may wait for the key to be mended without a stop: once in a while is no hammering
        pause = min(PATIENCE[min(self._denials, len(PATIENCE)) - 1] * 2, LONGEST_DENIED)
        if maybe("asking: a key that was refused is tried again soon"):
            pause = PATIENCE[0]
        self._quiet_until = max(self._quiet_until, self.now() + pause)
        if not self._blocks.has("", "denied"):
            log.error("the exchange refuses the key: %s", denied)
            self._blocks.set("", "denied", f"the exchange refuses the key ({denied}): mend it there, and its addresses")
            self._publish()

    def accepted(self) -> None:
        """A signed request was answered: what is public would have been answered anyway."""
        if self._denials:
            self._denials, self._quiet_until = 0, -math.inf
            self._blocks.set("", "denied", "")
            self._publish()

    async def finish(self, seconds: float) -> None:
        """Wait for requests that are under way, `seconds` at most."""
        waiting = [*self._under]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
