"""A scan without a run beside it: for a command, and for a run that asks what to trade before it begins."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

from enigma_core.book import Book
from enigma_core.errors import ConfigError, DataError
from enigma_core.parts import Account, Feed, Listing
from enigma_core.plan import Plan
from enigma_core.timeframes import milliseconds
from enigma_screener.looking import Look, traded_as
from enigma_screener.ranking import Bounds, Scan, ranked, universe
from enigma_screener.watching import Rewound, Streamed, watch

SETTLING = 20.0
"""Seconds that books are waited for; what has shown none by then is judged without."""


class Standing:
    """The markets of a feed, to be scanned again and again: those within `bounds`, or those that are `named`."""

    def __init__(self, plan: Plan, bounds: Bounds, account: Account | None = None, named: Sequence[str] = ()) -> None:
        if plan.feed is None:
            raise ConfigError("a scan needs a feed: name one, such as {'use': 'synthetic'}")
        self.plan = plan
        self.feed: Feed = plan.feed
        listings = _named(self.feed, named) if named else listed(self.feed, bounds)
        # one that was asked for by name is not left out in silence
        instruments = {one.symbol: plan.instrument(one.symbol) for one in listings} if named else traded_as(plan, listings)
        self.listings = tuple(one for one in listings if one.symbol in instruments)
        self.account = account or Book(plan.account.equity, instruments)
        self.watch: Streamed | Rewound = watch(self.feed, plan, self.listings)
        self._look = Look(plan, instruments)
        self._bounds = None if named else bounds
        self._following: asyncio.Task[None] | None = None

    async def open(self, tell: Callable[[int, int], None] | None = None) -> None:
        """Have histories and books come in. `tell` is given how many markets of how many are ready, as that changes."""
        self._following = following = asyncio.create_task(self.watch.follow())
        if isinstance(self.watch, Rewound):
            return
        while self.watch.waiting and not following.done():
            if tell is not None:
                tell(len(self.listings) - self.watch.waiting, len(self.listings))
            await asyncio.wait({following}, timeout=0.2)
        settled = asyncio.create_task(self.watch.settled.wait())
        await asyncio.wait({following, settled}, timeout=SETTLING, return_when=asyncio.FIRST_COMPLETED)
        settled.cancel()

    async def scan(self, now: int) -> Scan:
        """Every market as it is at `now`, ms. Raises what ended the stream."""
        if self._following is not None and self._following.done():
            self._following.result()
        await self.watch.catch_up(now)
        began = time.perf_counter()
        found = []
        for listing in self.listings:
            evaluation = self.watch.evaluation(listing.symbol, now)
            if evaluation is not None and (one := self._look(evaluation, listing, self.account, now)) is not None:
                found.append(one)
        return ranked(found, now, len(self.listings), time.perf_counter() - began, self._bounds)

    async def close(self) -> None:
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._following


def listed(feed: Feed, bounds: Bounds) -> tuple[Listing, ...]:
    """The markets of `feed` within `bounds`. Raises `DataError` where there is none."""
    listings = feed.listings()
    found = universe(listings, bounds)
    if not found:
        turnover, spread = f"{bounds.min_turnover:,.0f} {bounds.quote}", f"{bounds.max_spread:g}"
        raise DataError(
            f"of the {len(listings)} markets of feed {feed.name} none is an active {bounds.quote} perpetual with a turnover of "
            f"{turnover} in 24 h and a spread of {spread} at the most: lower min_turnover or raise max_spread"
        )
    return found


def _named(feed: Feed, symbols: Sequence[str]) -> tuple[Listing, ...]:
    """The listings of `symbols`; one that is not listed is looked at all the same."""
    known = {listing.symbol: listing for listing in feed.listings()}
    nan = float("nan")
    return tuple(known.get(symbol) or Listing(symbol=symbol, turnover=nan, spread=nan) for symbol in symbols)


def last_close(feed: Feed, listings: Sequence[Listing]) -> int:
    """When the newest bar of a recording closed, ms. Raises `DataError` where it has none."""
    timeframe = feed.base_timeframe()
    ends = [int(history.ts[-1]) for one in listings if len(history := feed.history(one.symbol, timeframe))]
    if not ends:
        raise DataError(f"feed {feed.name} has no bars of {timeframe}: there is nothing to look at")
    return max(ends) + milliseconds(timeframe)


def scanned(plan: Plan, bounds: Bounds, count: int, since: int | None, tell: Callable[[str], None]) -> list[str]:
    """The symbols of the `count` best markets; where fewer can be scored, the most traded of the others after them."""
    standing = Standing(plan, bounds)
    if standing.feed.simulated and since is None:
        tell("nothing has happened yet in this market that could be ranked: the most traded symbols are taken")
        return [one.symbol for one in standing.listings[:count]]

    async def once() -> Scan:
        try:
            await standing.open()
            return await standing.scan(since if standing.feed.simulated and since is not None else time.time_ns() // 1_000_000)
        finally:
            await standing.close()

    scan = asyncio.run(once())
    tell(
        f"the screener has ranked {len(scan.opportunities)} of {scan.universe} markets"
        + "".join(f"; left out: {sentence}" for sentence in list(standing.watch.left_out.values())[:3])
    )
    best = [one.symbol for one in scan.opportunities[:count]]
    return [*best, *(one.symbol for one in standing.listings if one.symbol not in best)][:count]
