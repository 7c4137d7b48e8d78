"""ccxt as it is used here: a client for what is public and one for the account, so that an order never waits behind market data.

ccxt itself never tries again, never waits for a quota of its own, and logs nothing. Every request goes through `Caller.call`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import msgspec

from enigma_exchange.hosts import Hosts
from enigma_exchange.outcomes import outcome
from enigma_exchange.port import ExchangeError, Throttled, Unclear
from enigma_exchange.quota import Lane, Quota, weight

SPOT_LIMIT = 4000.0
"""Weight that KuCoin allows the pool of the spot host within 30 s."""


TIMESTAMP = "400002"
"""A request's time is too far from the exchange's."""

WAITS: Mapping[Lane, float] = {
    Lane.EXIT: 60.0,
    Lane.LOOK: 60.0,
    Lane.ORDER: 2.0,
    Lane.ACCOUNT: 30.0,
    Lane.MARKET: 60.0,
}
"""Seconds for which a request may wait for its quota. An entry that waited long would be another one."""

LONGEST = 30.0
"""The longest that an answer is waited for, seconds."""

log = logging.getLogger(__name__)


class Credentials(msgspec.Struct, frozen=True):
    """What signs requests. It does not show itself."""

    key: str
    secret: str
    passphrase: str

    def __repr__(self) -> str:
        return "Credentials(***)"


def client(hosts: Hosts, credentials: Credentials | None, timeout: float) -> Any:
    """An unmodified `ccxt.async_support.kucoinfutures` that speaks to `hosts`. `timeout` in seconds."""
    # its import takes a second, and only who trades needs it
    import ccxt.async_support as ccxt  # type: ignore[import-untyped]

    logging.getLogger("ccxt").setLevel(logging.WARNING)
    settings: dict[str, Any] = {
        "options": {"uta": False, "hf": False},
        "timeout": round(timeout * 1000),
        "enableRateLimit": False,
        "verbose": False,
        "aiohttp_trust_env": not hosts.local,
    }
    if credentials is not None:
        settings |= {"apiKey": credentials.key, "secret": credentials.secret, "password": credentials.passphrase}
    made = ccxt.kucoinfutures(settings)
    made.has["fetchCurrencies"] = False
    # nobody is to be paid for what we trade
    made.options["partner"] = {"spot": {}, "future": {}}
    made.options["maxRetriesOnFailure"] = 0
    for name, value in made.urls["api"].items():
        if isinstance(value, str):
            made.urls["api"][name] = hosts.futures if name.startswith("futures") else hosts.spot
    assert made.safe_integer(made.options, "maxRetriesOnFailure", 0) == 0, "a request must be made once"
    return made


class Caller:
    """Makes requests of one client, each through its pool's quota and once. Raises `ExchangeError` and nothing else."""

    def __init__(self, made: Any, timeout: float) -> None:
        self.client = made
        self.futures = Quota()
        self.spot = Quota(SPOT_LIMIT)
        self._timeout = self._patience = timeout

    def _wait_longer(self) -> None:
        """A request had no answer in time: an exchange that is slow is one all the same."""
        self._patience = min(2 * self._patience, max(LONGEST, self._timeout))
        self.client.timeout = round(self._patience * 1000)

    async def call(self, lane: Lane, method: str, path: str, request: Callable[[], Awaitable[Any]], *, spot: bool = False) -> Any:
        """What `request` answers. It is made when the quota lets it, `lane` first come first."""
        quota = self.spot if spot else self.futures
        try:
            async with asyncio.timeout(WAITS[lane]):
                await quota.take(lane, weight(method, path))
        except TimeoutError:
            raise Throttled("the quota leaves no room for it now") from None
        began, patience = time.monotonic(), self._patience
        try:
            async with asyncio.timeout(2 * patience):
                answer = await request()
        except TimeoutError:
            self._wait_longer()
            raise Unclear("it was not answered in time") from None
        except Exception as error:  # noqa: BLE001 - whatever it is, its meaning is looked up
            found = outcome(error, self._after())
            if isinstance(found, Unclear) and time.monotonic() - began >= 0.95 * patience == 0.95 * self._patience:
                self._wait_longer()
            if found.code == TIMESTAMP:
                await self._set_clock()
            if isinstance(found, Throttled) and found.code in ("429000", "200002"):
                quota.throttled(found.after)
            raise found from None
        if time.monotonic() - began < self._timeout != self._patience:
            self._patience = self._timeout
            self.client.timeout = round(self._timeout * 1000)
        self._headers(quota)
        return answer

    async def _set_clock(self) -> None:
        """Requests are signed with the exchange's time; the clock here has jumped."""
        try:
            async with asyncio.timeout(self._timeout):
                await self.client.load_time_difference()
        except Exception as error:  # noqa: BLE001 - the next request tries it again
            log.warning("the exchange's clock could not be read: %s", outcome(error))

    def _headers(self, quota: Quota) -> None:
        """Others may draw on the same pool."""
        headers = cast("dict[str, str] | None", self.client.last_response_headers) or {}
        low = {name.lower(): value for name, value in headers.items()}
        try:
            quota.told(limit=float(low["gw-ratelimit-limit"]), remaining=float(low["gw-ratelimit-remaining"]))
        except (KeyError, ValueError):
            return

    def _after(self) -> float:
        """Seconds until the quota begins anew, as the last answer says."""
        headers = cast("dict[str, str] | None", self.client.last_response_headers) or {}
        low = {name.lower(): value for name, value in headers.items()}
        try:
            return min(max(float(low["gw-ratelimit-reset"]) / 1000, 0.1), 60.0)
        except (KeyError, ValueError):
            return 1.0


async def closed(made: Any) -> None:
    """Let a client go."""
    try:
        async with asyncio.timeout(5):
            await made.close()
    except (TimeoutError, ExchangeError, OSError):
        return


def milliseconds() -> int:
    """The wall's time."""
    return time.time_ns() // 1_000_000
