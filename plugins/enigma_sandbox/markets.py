"""Which market a local exchange shows: made up, recorded, or another feed's, seen live."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any, Protocol

import msgspec
import numpy as np

from enigma_core.errors import ConfigError, DataError
from enigma_core.market import Funding, MarketEvent
from enigma_core.model import Candles, Instrument
from enigma_core.parts import Feed
from enigma_core.timeframes import milliseconds
from enigma_sandbox.prices import Prices
from enigma_sandbox.tracks import DAY, MadeUp, Recorded, whole

Clock = Callable[[], int]
"""The wall's time, ms."""

TURN = 0.05
"""Seconds between two looks at the clock."""

FEW = 24
"""Up to so many contracts there are bars of one minute, and two ticks a second; beyond it bars of five, and one."""

FINE = 1_500
"""Up to so many days of history, those of all contracts together, there are bars of one minute whatever the number of contracts."""


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """A market as it is asked for. `feed` names any feed that is installed; `data` is a folder of candles; `count`: contracts."""

    feed: str = "synthetic"
    data: str | None = None
    symbols: tuple[str, ...] = ()
    count: int = 4
    seed: int = 1
    days: int = 60


class Market(Protocol):
    """Prices that an exchange can be opened on. All times are the exchange's, ms."""

    @property
    def identity(self) -> str: ...
    @property
    def shift(self) -> int: ...
    @property
    def symbols(self) -> tuple[str, ...]: ...
    @property
    def timeframe(self) -> str: ...
    def instrument(self, symbol: str) -> Instrument: ...
    def history(self, now: int) -> Mapping[str, Candles]:
        """Closed bars as of `now`."""
        ...

    def settled(self, symbol: str, now: int) -> Funding: ...
    def opening(self, now: int) -> Iterator[MarketEvent]:
        """How everything stands."""
        ...

    def missed(self, after: int, until: int, symbols: Sequence[str]) -> Iterator[MarketEvent]:
        """What an exchange has not seen that was away."""
        ...

    async def play(self, clock: Clock, since: int, see: Callable[[MarketEvent], None], turn: Callable[[int], None]) -> None:
        """Have `see` called with what happens after `since`, and `turn` with the time every now and then. Until cancelled."""
        ...


class Played(Prices):
    """A track, played in real time."""

    @property
    def identity(self) -> str:
        return self.track.identity

    @property
    def shift(self) -> int:
        return self.track.shift

    @property
    def timeframe(self) -> str:
        return self.track.timeframe

    def instrument(self, symbol: str) -> Instrument:
        return self.track.instrument(symbol)

    async def play(self, clock: Clock, since: int, see: Callable[[MarketEvent], None], turn: Callable[[int], None]) -> None:
        while True:
            now = clock()
            if now > since:
                for event in self.between(since, now):
                    see(event)
                since = now
            turn(now)
            await asyncio.sleep(TURN)


class Mirrored:
    """Another feed's stream, as it comes: its history, then whatever it tells."""

    shift = 0

    def __init__(self, feed: Feed, days: int, symbols: Sequence[str] = ()) -> None:
        self._feed, self._days = feed, days
        self.identity = f"live:{feed.identity()}"
        self.symbols = tuple(symbols) or feed.symbols()
        self.timeframe = feed.base_timeframe()
        self._known: dict[str, Candles] = {}

    def instrument(self, symbol: str) -> Instrument:
        return whole(self._feed.instrument(symbol))

    def history(self, now: int) -> Mapping[str, Candles]:
        length = milliseconds(self.timeframe)
        end = now // length * length
        self._known = {s: self._feed.history(s, self.timeframe, end - self._days * DAY, end) for s in self.symbols}
        return self._known

    def settled(self, symbol: str, now: int) -> Funding:
        found = self._feed.funding(symbol)
        return found if found is not None else Funding(np.empty(0, np.int64), np.empty(0))

    def opening(self, now: int) -> Iterator[MarketEvent]:
        return iter(())

    def missed(self, after: int, until: int, symbols: Sequence[str]) -> Iterator[MarketEvent]:
        return iter(())

    async def play(self, clock: Clock, since: int, see: Callable[[MarketEvent], None], turn: Callable[[int], None]) -> None:
        async def turning() -> None:
            while True:
                turn(clock())
                await asyncio.sleep(TURN)

        async def seeing() -> None:
            async for event in self._feed.stream(self.symbols, self.timeframe, since):
                see(event)
            raise DataError(f"{self.identity}: its stream has ended, and the exchange with it")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(turning())
            tasks.create_task(seeing())


def market(setup: Setup, now: int, shift: int | None = None) -> Market:
    """The market that `setup` asks for. `shift`: where an earlier life of it stood. Raises `ConfigError` or `DataError`."""
    if setup.data is not None and setup.feed not in ("synthetic", "replay", "csv"):
        raise ConfigError(f"--data {setup.data}: feed {setup.feed} reads no files; leave one of the two out")
    if setup.feed == "synthetic" and setup.data is None:
        few = setup.count <= FEW and len(setup.symbols) <= FEW
        timeframe = "1m" if few or max(setup.count, len(setup.symbols)) * setup.days <= FINE else "5m"
        feed = feed_named("synthetic", count=setup.count, seed=setup.seed, timeframe=timeframe, days=setup.days)
        track = MadeUp(feed, setup.days, now, shift, _named(feed, setup.symbols))
        return Played(track, 500 if len(track.symbols) <= FEW else 1_000, setup.seed)
    if setup.data is not None or setup.feed in ("replay", "csv"):
        if setup.data is None:
            raise ConfigError(f"feed {setup.feed} reads files: name their folder by --data")
        feed = feed_named("replay", data=setup.data)
        recorded = Recorded(feed, now, shift, _named(feed, setup.symbols))
        return Played(recorded, 500 if len(recorded.symbols) <= FEW else 1_000, setup.seed)
    feed = feed_named(setup.feed)
    if type(feed).simulated:
        raise ConfigError(
            f"feed {setup.feed} has a time of its own, and nothing moves it to now: use synthetic, --data, or a live feed"
        )
    return Mirrored(feed, setup.days, _named(feed, setup.symbols))


def _named(feed: Feed, symbols: Sequence[str]) -> tuple[str, ...]:
    """`symbols` as the feed calls them; ``BTC`` and ``BTC/USDT`` stand for ``BTC/USDT:USDT``. Raises `DataError`."""
    known = (feed.instrument(s if ":" in s else f"{s.partition('/')[0]}/USDT:USDT").symbol for s in symbols)
    return tuple(dict.fromkeys(known))


def feed_named(name: str, **settings: Any) -> Feed:
    """An installed feed by its name. Raises `ConfigError` where there is none, or its settings are refused."""
    offered = {entry.name.partition(".")[2]: entry for entry in entry_points(group="enigma") if entry.name.startswith("feeds.")}
    if name not in offered:
        raise ConfigError(f"--feed {name}: there is no such feed; there are {', '.join(sorted(offered))}")
    try:
        parts = list(offered[name].load().enigma_feeds())
    except ImportError as error:
        raise ConfigError(f"--feed {name}: it cannot be loaded ({error})") from None
    part = next(part for part in parts if part.name == name)
    try:
        made: Feed = msgspec.convert(settings, part)
    except msgspec.ValidationError as error:
        raise ConfigError(f"feed {name}: {error}") from None
    return made
