"""Real orders at a real exchange, by ccxt; or at a local one that speaks the same protocol."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from msgspec import Meta

from enigma_core.errors import ConfigError
from enigma_core.hookspecs import hookimpl
from enigma_core.parts import Check, Executor, Ports, Venue
from enigma_exchange.account.timing import Timing
from enigma_exchange.hosts import hosts

T = TypeVar("T")

Secret = Annotated[str, Meta(min_length=1)]


class Ccxt(Executor, frozen=True, kw_only=True, dict=True):
    """Sends orders to KuCoin Futures. Stops and targets rest there; orders are found again by their ids whatever the answer was;
    orders, fills, positions and balance are compared with the book all the time.

    No other exchange can be traded: what each of KuCoin's answers proves has been gone through one by one, and an order whose
    fate is guessed may be doubled or left without a stop. Feeds may be of any exchange, on paper.

    The key comes from KUCOIN_API_KEY, KUCOIN_API_SECRET and KUCOIN_PASSPHRASE, or files named by the same with _FILE, unless the
    settings refer to another place. It needs the permissions General and Futures, and should have no others.
    """

    name = "ccxt"
    remote = True

    exchange: Annotated[
        Literal["kucoinfutures"], Meta(description="what ccxt calls the exchange; KuCoin Futures is the only one there is")
    ] = "kucoinfutures"
    url: Annotated[str | None, Meta(description="address of a local exchange, such as http://127.0.0.1:9000; none: KuCoin")] = None
    key: Annotated[Secret | None, Meta(description="API key; without it KUCOIN_API_KEY")] = None
    secret: Annotated[Secret | None, Meta(description="API secret; without it KUCOIN_API_SECRET")] = None
    passphrase: Annotated[Secret | None, Meta(description="API passphrase; without it KUCOIN_PASSPHRASE")] = None
    account: Annotated[
        str, Meta(max_length=60, description="what the account is called; its journal stays its own with a new key")
    ] = ""
    timeout: Annotated[
        float, Meta(ge=0.2, le=30, description="seconds a request may take; up to 30 after one that had no answer")
    ] = 10.0
    timing: Annotated[Timing, Meta(description="how often everything is looked at")] = Timing()

    def __repr__(self) -> str:
        return f"Ccxt(exchange={self.exchange!r}, url={self.url!r}, account={self.account!r})"

    def identity(self) -> str:
        # the port may change from one rehearsal to the next; the account does not
        place = "a local exchange" if hosts(self.url).local else self.url or "KuCoin Futures"
        if self.account:
            return f"{place}, account {self.account}"
        key = self._credentials().key
        return f"{place}, account of the key {hashlib.sha256(key.encode()).hexdigest()[:12]}"

    def prepare(self, home: Path, mode: str) -> Sequence[str]:
        self._credentials()
        if hosts(self.url).local:
            return ()
        return self._told

    @cached_property
    def _told(self) -> Sequence[str]:
        # whoever asks what speaks against a run, and the run itself, are told the same
        return _aside(self._looked_at)

    def examine(self, symbols: Sequence[str] = ()) -> Iterable[Check]:
        from enigma_exchange.checkup import account, examined

        async def look() -> list[Check]:
            api = self._api()
            try:
                return await account(api, symbols, sandbox=hosts(self.url).local)
            finally:
                await api.close()

        return examined(look)

    def open(self, ports: Ports) -> Venue:
        from enigma_exchange.account import LiveAccount

        # when several start at once, their attempts are to lie apart
        return LiveAccount(self._api(), ports, self.timing, jitter=random.random)

    def _credentials(self) -> Any:
        from enigma_exchange.wire.credentials import credentials

        return credentials({"key": self.key, "secret": self.secret, "passphrase": self.passphrase}, os.environ)

    def _api(self) -> Any:
        from enigma_exchange.wire import KucoinAccount

        return KucoinAccount(hosts(self.url), self._credentials(), timeout=self.timeout)

    async def _looked_at(self) -> list[str]:
        """What speaks against trading with this key. An exchange that does not answer is waited for by the run itself."""
        import asyncio

        from enigma_core import guards
        from enigma_exchange.port import Denied, ExchangeError
        from enigma_exchange.wire.clients import milliseconds

        api = self._api()
        try:
            async with asyncio.timeout(3 * self.timeout):
                # the first request takes long: it has the markets read as well
                await api.time()
                began = milliseconds()
                there = await api.time()
                skew = (began + milliseconds()) / 2 - there
                rights = await api.rights()
        except Denied as denied:
            raise ConfigError(f"the exchange refuses the key: {denied}; check it, its passphrase, and its addresses") from None
        except (ExchangeError, TimeoutError) as error:
            return [f"the exchange could not be asked yet ({error or 'no answer'}): nothing is entered before it can be"]
        finally:
            await api.close()
        refused, told = guards.rights(
            trade=rights.trade, withdraw=rights.withdraw, transfer=rights.transfer, addresses=rights.addresses
        )
        if fault := guards.skewed(skew):
            refused.append(fault)
        if refused:
            raise ConfigError("; ".join(refused))
        return told


def _aside(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine for who has no loop, or one that must not wait."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(work())).result()


@hookimpl
def enigma_executors() -> Iterator[type[Executor]]:
    yield Ccxt
