"""How fast an exchange may be asked: a token bucket for each pool of requests, with lanes so that exits never wait for data.

The bucket refills at the share of the limit that is used (70 % at best, less after a 429) and holds no more than the rest of
the limit: whatever comes, no window of the exchange's sees more than its limit.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from enum import IntEnum

from enigma_core.chance import maybe

LIMIT = 2000.0
"""Weight within a window that KuCoin allows a pool."""

WINDOW = 30.0
"""Seconds."""

USED = 0.70
LEAST_USED = 0.40
CUT = 0.15
"""By which a 429 lowers the share that is used."""

RECOVERY = 0.05
"""By which it rises again within a minute."""

RESERVE = 0.30
"""Of the bucket, kept for the first lane."""

PATIENCE = 60.0
"""The longest pause an exchange may impose, seconds."""


class Lane(IntEnum):
    """Who goes first."""

    EXIT = 0
    """Cancels, replacements, stops, anything that reduces: may take the reserve too."""
    LOOK = 1
    """What an order has become and what it has filled: may take the reserve, but no exit waits behind many of them."""
    ORDER = 2
    ACCOUNT = 3
    MARKET = 4


WEIGHTS = {
    ("POST", "/api/v1/orders"): 2,
    ("POST", "/api/v1/orders/test"): 2,
    ("POST", "/api/v1/st-orders"): 2,
    ("POST", "/api/v1/orders/multi"): 20,
    ("DELETE", "/api/v1/orders/"): 1,
    ("DELETE", "/api/v1/orders/client-order/"): 1,
    ("DELETE", "/api/v1/orders/multi-cancel"): 20,
    ("DELETE", "/api/v3/orders"): 10,
    ("DELETE", "/api/v1/orders"): 800,
    ("DELETE", "/api/v1/stopOrders"): 15,
    ("GET", "/api/v1/orders/"): 5,
    ("GET", "/api/v1/orders/byClientOid"): 5,
    ("GET", "/api/v1/orders"): 2,
    ("GET", "/api/v1/stopOrders"): 6,
    ("GET", "/api/v1/recentDoneOrders"): 5,
    ("GET", "/api/v1/openOrderStatistics"): 10,
    ("GET", "/api/v1/fills"): 5,
    ("GET", "/api/v1/recentFills"): 3,
    ("GET", "/api/v1/positions"): 2,
    ("GET", "/api/v1/position"): 2,
    ("GET", "/api/v1/account-overview"): 5,
    ("GET", "/api/v1/transaction-history"): 2,
    ("GET", "/api/v1/funding-history"): 5,
    ("GET", "/api/v1/contract/funding-rates"): 5,
    ("GET", "/api/v1/funding-rate/"): 2,
    ("GET", "/api/v1/mark-price/"): 3,
    ("GET", "/api/v1/kline/query"): 3,
    ("GET", "/api/v1/level2/snapshot"): 3,
    ("GET", "/api/v1/level2/depth20"): 5,
    ("GET", "/api/v1/level2/depth100"): 10,
    ("GET", "/api/v1/trade/history"): 5,
    ("GET", "/api/v1/ticker"): 2,
    ("GET", "/api/v1/allTickers"): 5,
    ("GET", "/api/v1/contracts/active"): 3,
    ("GET", "/api/v1/contracts/"): 3,
    ("GET", "/api/v1/timestamp"): 2,
    ("GET", "/api/v1/status"): 4,
    ("POST", "/api/v1/bullet-public"): 10,
    ("POST", "/api/v1/bullet-private"): 10,
}
"""Weight of a request by method and path; a path that ends in a slash stands for all below it, the longest one that fits."""


def weight(method: str, path: str) -> int:
    """What a request costs of its pool; 5 for one that is not listed."""
    if (exact := WEIGHTS.get((method, path))) is not None:
        return exact
    fits = [known for verb, known in WEIGHTS if verb == method and known[-1] == "/" and path.startswith(known)]
    return WEIGHTS[method, max(fits, key=len)] if fits else 5


class Bucket:
    """The tokens of one pool at any `now` (seconds, ascending). It neither waits nor reads a clock."""

    def __init__(self, limit: float = LIMIT, window: float = WINDOW, *, now: float = 0.0) -> None:
        self.limit = limit
        self.window = window
        self._used = USED
        self._tokens = self.size
        self._at = now
        self._closed = now
        """Until then nothing may be asked."""

    @property
    def size(self) -> float:
        """The most tokens it holds."""
        return self.limit * (1 - USED)

    @property
    def used(self) -> float:
        """The share of the limit that is used at the moment."""
        return self._used

    @property
    def tokens(self) -> float:
        """Tokens as of the last look."""
        return self._tokens

    def wait(self, lane: Lane, weight: float, now: float) -> float:
        """Seconds until a request of `weight` may go, 0 for now. What is heavier than the bucket goes once it is full."""
        self._advance(now)
        left = 0.0 if lane <= Lane.LOOK else RESERVE * self.size
        wanted = min(weight + left, self.size)
        missing = max(0.0, wanted - self._tokens)
        # what is missing is rounded away where it is less than a clock can tell
        filled = missing * self.window / (self.limit * self._used) if missing > 1e-9 else 0.0
        return max(filled, self._closed - now, 0.0)

    def take(self, weight: float, now: float) -> None:
        """A request goes. One heavier than the bucket leaves a debt."""
        self._advance(now)
        self._tokens -= weight

    def throttled(self, now: float, after: float = 1.0) -> None:
        """The exchange has said 429: less is asked from now on, and nothing for `after` seconds."""
        self._advance(now)
        self._used = max(LEAST_USED, self._used - CUT)
        self._tokens = min(self._tokens, 0.0)
        self._closed = max(self._closed, now + min(max(after, 0.0), PATIENCE))

    def told(self, now: float, *, limit: float | None = None, remaining: float | None = None) -> None:
        """What an answer's ``gw-ratelimit`` headers say: others may draw on the same pool."""
        self._advance(now)
        if limit is not None and limit > 0 and limit != self.limit:
            self._tokens *= limit / self.limit
            self.limit = limit
        if remaining is not None:
            self._tokens = min(self._tokens, max(remaining, 0.0))

    def _advance(self, now: float) -> None:
        passed = max(0.0, now - self._at)
        self._at = max(self._at, now)
        rate = self.limit / self.window
        # the share that is used rises within the time that has passed
        climbing = min(passed, (USED - self._used) / (RECOVERY / 60))
        risen = self._used + climbing * RECOVERY / 60
        self._tokens += rate * (climbing * (self._used + risen) / 2 + (passed - climbing) * USED)
        self._used = USED if climbing < passed else risen
        self._tokens = min(self._tokens, self.size)


class Quota:
    """A bucket that requests wait for, the first lane first, within a lane the first who came.

    `clock` gives seconds that only ascend; without one the running loop's time is taken, so that a simulated loop needs none.
    """

    def __init__(self, limit: float = LIMIT, window: float = WINDOW, *, clock: Callable[[], float] | None = None) -> None:
        self.bucket: Bucket | None = None
        self._limit = limit
        self._window = window
        self._clock = clock
        self._waiting: list[tuple[Lane, int, float, asyncio.Future[None]]] = []
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return sum(not entry[3].done() for entry in self._waiting)

    async def take(self, lane: Lane, weight: float) -> None:
        """Return once a request of `weight` may go; it then counts as gone."""
        if maybe("quota: a request waits for its turn"):
            await asyncio.sleep(0.2)
        if maybe("quota: nothing is left of what may be asked"):
            self.told(remaining=0.0)
        future = asyncio.get_running_loop().create_future()
        self._number += 1
        heapq.heappush(self._waiting, (lane, self._number, weight, future))
        self._serve()
        await future

    def throttled(self, after: float = 1.0) -> None:
        """As `Bucket.throttled`."""
        self._now_bucket()[0].throttled(self._now(), after)

    def told(self, *, limit: float | None = None, remaining: float | None = None) -> None:
        """As `Bucket.told`."""
        self._now_bucket()[0].told(self._now(), limit=limit, remaining=remaining)

    def _now(self) -> float:
        return self._clock() if self._clock is not None else asyncio.get_running_loop().time()

    def _now_bucket(self) -> tuple[Bucket, float]:
        now = self._now()
        if self.bucket is None:
            self.bucket = Bucket(self._limit, self._window, now=now)
        return self.bucket, now

    def _serve(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            lane, _, weight, future = self._waiting[0]
            if future.done():
                heapq.heappop(self._waiting)
                continue
            bucket, now = self._now_bucket()
            if (seconds := bucket.wait(lane, weight, now)) > 0:
                self._timer = asyncio.get_running_loop().call_later(seconds, self._serve)
                return
            heapq.heappop(self._waiting)
            bucket.take(weight, now)
            future.set_result(None)
