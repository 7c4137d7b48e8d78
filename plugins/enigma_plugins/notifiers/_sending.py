"""Work that blocks, done beside the loop where it can be abandoned."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

from enigma_core.errors import EnigmaError

T = TypeVar("T")


class Undelivered(EnigmaError):
    """A message did not go out; the text says where and why."""


class Aside:
    """Runs one function after another, each in a thread of its own that nothing waits for.

    A pool would do for what ends. A server that answers one byte a minute would hold a pool's thread for good, and the
    interpreter waits for the threads of pools when it ends. These are abandoned, and at most `most` of them at a time.
    """

    def __init__(self, most: int = 3) -> None:
        self._most = most
        self._running: set[threading.Thread] = set()

    async def run(self, work: Callable[[], T], seconds: float) -> T:
        """What `work` answers. Raises what it raises, or `Undelivered` if it takes longer or too much is under way."""
        self._running = {thread for thread in self._running if thread.is_alive()}
        if len(self._running) >= self._most:
            raise Undelivered(f"{self._most} earlier messages are still on their way")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def answer(result: T | None, error: BaseException | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]

        def beside() -> None:
            result, fault = None, None
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
                fault = error if isinstance(error, Exception) else Undelivered(f"{type(error).__name__}: {error}")
            # the loop may be closed by now: nobody waits any more
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(answer, result, fault)

        thread = threading.Thread(target=beside, name="notification", daemon=True)
        self._running.add(thread)
        thread.start()
        done, _ = await asyncio.wait({future}, timeout=seconds)
        if not done:
            future.cancel()
            raise Undelivered(f"no answer within {seconds:g} s")
        return future.result()
