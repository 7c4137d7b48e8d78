"""The screener beside a run, and as what finds a run's symbols."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from enigma_core.errors import EnigmaError, PluginError
from enigma_core.hookspecs import hookimpl
from enigma_core.parts import Desk, Inbox, Listing, Ports, Service, Universe
from enigma_core.plan import Plan
from enigma_screener.board import Board
from enigma_screener.ranking import Bounds, Opportunity, Scan, ranked, universe
from enigma_screener.settings import DEFAULTS, Chosen, MaxSpread, MinTurnover, Most, Quote, Top

if TYPE_CHECKING:
    from enigma_screener.looking import Look
    from enigma_screener.watching import Rewound, Streamed

GRACE = 1.0
"""Seconds that new bars wait for the run's own decisions."""

FIRST_WAIT, LONGEST_WAIT = 5.0, 300.0
"""Seconds before it is tried again after something went wrong, doubled each time."""

log = logging.getLogger("enigma.screener")


class Screener(Service, frozen=True, kw_only=True, dict=True):
    """Ranks the most traded markets every few seconds: scored, aligned and gated as trading would. Trades nothing itself."""

    name = "screener"

    every: Annotated[float, Meta(ge=1, le=3600, description="seconds between two scans")] = 10.0
    top: Top = 10
    most: Most = DEFAULTS.most
    min_turnover: MinTurnover = DEFAULTS.min_turnover
    max_spread: MaxSpread = DEFAULTS.max_spread
    quote: Quote = DEFAULTS.quote
    relist: Annotated[float, Meta(ge=60, le=86_400, description="seconds between two looks at which markets there are")] = 3600.0

    @cached_property
    def board(self) -> Board:
        """Where the newest scan stands."""
        return Board()

    @property
    def bounds(self) -> Bounds:
        return Bounds(most=self.most, min_turnover=self.min_turnover, max_spread=self.max_spread, quote=self.quote)

    async def serve(self, inbox: Inbox, ports: Ports) -> None:
        """Scan until cancelled. What fails is told on the board and tried again: it never ends the run."""
        desk = ports.desk
        if desk is None or desk.plan.feed is None:
            raise PluginError("the service screener needs a run to stand beside; on its own it is `enigma screener`")
        wait = FIRST_WAIT
        while True:
            began = time.monotonic()
            try:
                await self._watch(desk)
                continue
            except EnigmaError as error:
                self.board.trouble = str(error)
            except Exception as error:
                self.board.trouble = f"{type(error).__name__}: {error}"
                log.debug("the screener failed", exc_info=True)
            wait = FIRST_WAIT if time.monotonic() - began > LONGEST_WAIT else min(2 * wait, LONGEST_WAIT)
            log.warning("the screener begins anew in %.0f s: %s", wait, self.board.trouble)
            await asyncio.sleep(wait)

    async def _watch(self, desk: Desk) -> None:
        """Scan the markets that are listed now, until it is time to list them anew."""
        from enigma_screener.looking import Look, traded_as
        from enigma_screener.watching import watch

        feed = desk.plan.feed
        assert feed is not None
        if feed.simulated:
            # what a feed has worked out so far belongs to the run's thread, and this one is read in another
            feed = msgspec.structs.replace(feed)
        listings = universe(await asyncio.to_thread(feed.listings), self.bounds)
        instruments = {**await asyncio.to_thread(traded_as, desk.plan, listings), **desk.instruments}
        listings = tuple(one for one in listings if one.symbol in instruments)
        # what the run trades is scored already
        beside = watch(feed, desk.plan, [one for one in listings if one.symbol not in desk.instruments], GRACE)
        following = asyncio.create_task(beside.follow())
        over = time.monotonic() + self.relist
        try:
            look = None
            while time.monotonic() < over:
                if look is None or look.plan is not desk.plan:
                    look = Look(desk.plan, instruments)
                if following.done():
                    following.result()
                if (now := desk.now()) <= 0:
                    # nothing has happened yet in a market with a time of its own
                    await asyncio.sleep(0.2)
                    continue
                await beside.catch_up(now)
                board = self.board
                board.scan = await _scan(look, listings, beside, desk, now, self.bounds)
                board.waiting, board.left_out, board.trouble = beside.waiting, beside.left_out, beside.silence
                await asyncio.wait({following}, timeout=self.every)
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await following


class ScreenerUniverse(Universe, frozen=True, kw_only=True):
    """Trades what the screener ranks highest when the run begins; where little can be scored yet, the most traded markets."""

    name = "screener"

    top: Chosen = 10
    most: Most = DEFAULTS.most
    min_turnover: MinTurnover = DEFAULTS.min_turnover
    max_spread: MaxSpread = DEFAULTS.max_spread
    quote: Quote = DEFAULTS.quote

    def choose(self, plan: Plan, since: int | None, tell: Callable[[str], None]) -> Sequence[str]:
        from enigma_screener.once import scanned

        bounds = Bounds(most=self.most, min_turnover=self.min_turnover, max_spread=self.max_spread, quote=self.quote)
        return scanned(plan, bounds, self.top, since, tell)


async def _scan(look: Look, listings: Sequence[Listing], beside: Streamed | Rewound, desk: Desk, now: int, bounds: Bounds) -> Scan:
    """Everything once; the run has its turn between two markets."""
    began = time.perf_counter()
    found: list[Opportunity] = []
    for listing in listings:
        ours = listing.symbol in desk.instruments
        evaluation = desk.evaluation(listing.symbol) if ours else beside.evaluation(listing.symbol, now)
        if evaluation is not None and (one := look(evaluation, listing, desk.account, now)) is not None:
            found.append(one)
        await asyncio.sleep(0)
    return ranked(found, now, len(listings), time.perf_counter() - began, bounds)


def screener_of(plan: Plan) -> Screener | None:
    """The screener among the services of `plan`; the first if there are several."""
    return next((service for service in plan.services.values() if isinstance(service, Screener)), None)


@hookimpl
def enigma_services() -> Iterator[type[Service]]:
    yield Screener


@hookimpl
def enigma_universes() -> Iterator[type[Universe]]:
    yield ScreenerUniverse


@hookimpl
def enigma_routes() -> Iterator[Any]:
    from enigma_screener.api import scan

    yield scan
