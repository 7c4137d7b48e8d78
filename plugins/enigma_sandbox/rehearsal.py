"""The local exchange for a run: a child process whose account lives in the run's folder."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.parts import Rehearsal, Rehearsing
from enigma_core.secrecy import hide

if TYPE_CHECKING:
    from enigma_sandbox.child import Child

FOLDER = "sandbox"
"""In the run's folder: the account (exchange.json), its key (credentials.json), a log."""

PORT = "port"
"""The file with the port that was taken the last time."""


class KucoinSandbox(Rehearsal, frozen=True, kw_only=True):
    """An exchange that speaks KuCoin Futures, on this machine, with money that is none.

    Its market is made up, or the recording in `data`, moved to now; it goes on in real time. The account is kept: the next
    rehearsal finds its positions and orders as they were left, and what the market did meanwhile has been done to them.
    """

    name = "kucoin_sandbox"

    feed: Annotated[str, Meta(description="where its prices come from: synthetic, or any live feed, mirrored")] = "synthetic"
    data: Annotated[str | None, Meta(description="a folder of candles to play instead, moved to now")] = None
    count: Annotated[int, Meta(ge=1, le=500, description="contracts of a made-up market")] = 4
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1, description="another seed, another made-up market")] = 1
    days: Annotated[int, Meta(ge=1, le=3_650, description="days of history it begins with")] = 60
    deposit: Annotated[float, Meta(gt=0, le=1e9, description="money in a new account")] = 10_000.0
    port: Annotated[int, Meta(ge=0, le=65_535, description="its port on 127.0.0.1; 0: that of the last time, or any")] = 0

    def start(self, home: Path) -> Rehearsing:
        # whoever only looks at what is installed needs no exchange
        from enigma_sandbox.child import Ordered, spawned
        from enigma_sandbox.markets import Setup

        folder = home / FOLDER
        setup = Setup(feed=self.feed, data=self.data, count=self.count, seed=self.seed, days=self.days)
        port = self.port or _last(folder / PORT)
        deposit = Decimal(repr(self.deposit))
        ordered = Ordered(setup=setup, home=str(folder), deposit=deposit, port=port, fixed=bool(self.port))
        child = spawned(ordered, meanwhile=_imported)
        with contextlib.suppress(OSError):  # the next one takes another port, that is all
            (folder / PORT).write_text(child.told["url"].rpartition(":")[2], encoding="utf-8")
        for name in ("secret", "passphrase"):
            hide(child.told[name])
        return Running(child)


class Running:
    """A rehearsal under way."""

    def __init__(self, child: Child) -> None:
        self._child = child

    @property
    def settings(self) -> Mapping[str, Any]:
        told = self._child.told
        return {
            "feed.use": "kucoin",
            "feed.url": told["url"],
            "executor.use": "ccxt",
            "executor.url": told["url"],
            "executor.key": told["key"],
            "executor.secret": told["secret"],
            "executor.passphrase": told["passphrase"],
            "executor.account": f"rehearsal-{told['account']}",
        }

    @property
    def told(self) -> Sequence[str]:
        told = self._child.told
        return (f"the local exchange listens at {told['url']}, its buttons are at {told['admin']}", *told["told"])

    def fault(self) -> str:
        code = self._child.code
        if code is None:
            return ""
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        return f"the local exchange has ended ({how}), and with it every stop that rested there: start again, its account is kept"

    def close(self) -> None:
        self._child.close()


def _imported() -> None:
    """Load what a live run needs next and takes longest to load; whoever needs it says so if it cannot be."""
    for name in ("ccxt.async_support.kucoinfutures", "enigma_core.store"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def _last(file: Path) -> int:
    try:
        return min(65_535, max(0, int(file.read_text(encoding="utf-8"))))
    except (OSError, ValueError):
        return 0


@hookimpl
def enigma_rehearsals() -> Iterator[type[Rehearsal]]:
    yield KucoinSandbox
