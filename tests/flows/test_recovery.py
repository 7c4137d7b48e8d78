"""A run that was stopped, or died, goes on as if nothing had happened: from any moment, any number of times."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_shells_agree import SYMBOLS, cases

from enigma_core.book import Book
from enigma_core.cli import options
from enigma_core.database import connect
from enigma_core.errors import DataError, HomeError
from enigma_core.home import Home
from enigma_core.journal import Journal
from enigma_core.market import BookSeen, FundingSeen, MarketEvent, MarkSeen
from enigma_core.model import Candles, DayOpened, Decision, Fill, Funded, Order, Purpose, Trade
from enigma_core.parts import Bools, Exit, Holding
from enigma_core.parts import Path as Since
from enigma_core.plan import Plan, Risk
from enigma_core.records import Started
from enigma_core.shells import run
from enigma_core.shells.stream import RunStarted
from enigma_plugins.exits.stop_loss import StopLoss
from enigma_plugins.exits.take_profit import TakeProfit
from enigma_plugins.feeds.synthetic import Synthetic
from enigma_plugins.gates.circuit_breaker import CircuitBreaker
from enigma_plugins.gates.cooldown import Cooldown
from enigma_plugins.gates.drawdown import Drawdown
from markets import START, instrument, plan, random_candles
from runs import Ending, Given, account, begun, facts, on, ran, steps

BAR = 300_000
SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=4)


def recorded(case: tuple[Any, ...], seen: Sequence[MarketEvent] = ()) -> Plan:
    """The plan of a case, on paper over its market."""
    plan, candles, instruments, funding = case
    return on(plan, Given(candles=candles, instruments=instruments, settled=funding, seen=tuple(seen)))


@settings(max_examples=8)
@given(cases(), SHARES)
def test_p01_a_run_that_died_after_any_step_goes_on_as_if_it_had_not(case: tuple[Any, ...], cuts: list[float]) -> None:
    assert_same_whenever_it_dies(recorded(case), cuts)


@settings(max_examples=8)
@given(cases(), st.lists(st.integers(0, 300), max_size=6))
def test_p01_a_run_stopped_after_any_events_goes_on_as_if_it_had_not(case: tuple[Any, ...], pieces: list[int]) -> None:
    assert_same_in_pieces(recorded(case), pieces)


@st.composite
def shown(draw: st.DrawFn) -> tuple[tuple[Any, ...], list[MarketEvent]]:
    """A case, and what else its venue shows now and then: thin books, marks that spike, funding announced long before it is due."""
    case = draw(cases())
    plan, candles, instruments, _ = case
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    often = draw(st.sampled_from([0.05, 0.5, 1.0]))
    seen: list[MarketEvent] = []
    for symbol, c in candles.items():
        for ts, close in zip((c.ts + BAR).tolist(), c.close.tolist(), strict=True):
            if rng.random() < often:
                levels = [(round(0.1 * i, 1), float(rng.choice([0.0, 0.03, 0.2, 5.0]))) for i in range(3)]
                bids = tuple((round(close - d, 1), size) for d, size in levels)
                asks = tuple((round(close + 0.1 + d, 1), size) for d, size in levels)
                seen.append(BookSeen(ts - int(rng.choice([0, 1000, BAR + 1])), symbol, bids, asks))
            if rng.random() < often / 4:
                mark = close * (1 + float(rng.normal(0, 0.1)))
                seen.append(MarkSeen(ts - int(rng.choice([0, 60_000])), symbol, mark, close))
            if rng.random() < often / 8:
                due = (ts // 3_600_000 + 1) * 3_600_000
                seen.append(FundingSeen(ts, symbol, float(rng.normal(0, 0.001)), due, 1.0))
    plan = msgspec.structs.replace(plan, costs=msgspec.structs.replace(plan.costs, funding_rate=Decimal(0)))
    return (plan, candles, instruments, dict.fromkeys(candles)), seen


@settings(max_examples=8)
@given(shown(), SHARES)
def test_p01_books_marks_and_announced_funding_do_not_matter_to_that(
    market: tuple[tuple[Any, ...], list[MarketEvent]], cuts: list[float]
) -> None:
    assert_same_whenever_it_dies(recorded(*market), cuts)


@settings(max_examples=6)
@given(shown(), st.lists(st.integers(0, 300), max_size=6))
def test_x07_orders_and_stops_fit_the_position_whatever_has_filled(
    market: tuple[tuple[Any, ...], list[MarketEvent]], pieces: list[int]
) -> None:
    plan = recorded(*market)
    with tempfile.TemporaryDirectory() as home:
        assert_same_in_pieces(plan, pieces, Path(home))
        book = Book(plan.account.equity, plan.feed.instruments)  # type: ignore[union-attr]
        filled: dict[str, Decimal] = {}
        orders: dict[str, Order] = {}
        fills: set[str] = set()
        for _, records in steps(Path(home)):
            for record in records:
                if isinstance(record, Order):
                    orders[record.id] = record
                elif isinstance(record, Fill):
                    assert record.id not in fills
                    fills.add(record.id)
                    filled[record.order_id] = filled.get(record.order_id, Decimal(0)) + record.quantity
                    assert filled[record.order_id] <= orders[record.order_id].quantity
                if not isinstance(record, Started | Decision | Trade | FundingSeen):
                    book.apply(record)
            for symbol, position in book.positions.items():
                stops = [w.order for w in book.orders.values() if w.order.symbol == symbol and w.order.purpose is Purpose.STOP]
                assert [stop.quantity for stop in stops] == [position.quantity]
            assert not [
                w for w in book.orders.values() if w.order.symbol not in book.positions and w.order.purpose != Purpose.ENTRY
            ]
            assert set(book.entries) == {w.order.symbol for w in book.orders.values() if w.order.purpose is Purpose.ENTRY}


@settings(max_examples=2)
@given(
    seeds=st.lists(st.integers(0, 10_000), min_size=1, max_size=2),
    gaps=st.sampled_from([0.0, 0.05]),
    cuts=st.lists(st.floats(0, 1), min_size=1, max_size=3),
)
def test_p01_scores_of_the_built_in_indicators_are_the_same_bit_for_bit(seeds: list[int], gaps: float, cuts: list[float]) -> None:
    candles = {s: random_candles(s, 900, seed, gaps=gaps) for s, seed in zip(SYMBOLS, seeds, strict=False)}
    flags = {"feed.use": "synthetic", "gates.score.min": 35.0, "timeframes.primary": "15m", "services.*": False}
    plan = options.planned(None, None, (), flags)[0]
    assert_same_whenever_it_dies(on(plan, Given(candles=candles, instruments={s: instrument(s) for s in candles})), cuts)


def test_p01_a_synthetic_market_with_all_that_a_venue_shows_goes_on_the_same() -> None:
    flags = {"feed.use": "synthetic", "feed.count": 2, "gates.score.min": 30.0, "gates.confidence.min": 0.5, "services.*": False}
    plan = options.planned(None, None, (), flags)[0]
    feed = plan.feed
    assert isinstance(feed, Synthetic)
    last = 1_735_689_600_000 + 72 * 3_600_000
    trades = assert_same_whenever_it_dies(on(plan, feed), [0.31, 0.62, 0.9], last=last)
    assert trades >= 3


def assert_same_facts(home: Path, other: Path) -> None:
    """Two journals tell the same, word for word; the first place where they do not is shown."""
    mine, theirs = facts(home), facts(other)
    for place, (one, two) in enumerate(zip(mine, theirs, strict=False)):
        if one != two:
            pytest.fail(f"fact {place} of {len(theirs)} is {one}, and should be {two}, after {theirs[max(0, place - 4) : place]}")
    assert len(mine) == len(theirs)


def assert_same_whenever_it_dies(plan: Plan, cuts: Sequence[float], last: float = np.inf) -> int:
    """Run once to the end; then, for each share of its steps, again from a journal that ends there. How many trades there were."""
    assert plan.feed is not None
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, "whole")
        ran(plan, whole, clock=Ending(last=last))
        taken = steps(whole)
        for number, share in enumerate(cuts):
            # a share of 1 is all but the last step: one that has nothing left to do proves little
            kept = round(share * (len(taken) - 1))
            again = begun(Path(folder, str(number)), plan.feed.identity(), taken[:kept]) if kept else Path(folder, str(number))
            ran(plan, again, clock=Ending(last=last))
            assert_same_facts(again, whole)
            assert account(again) == account(whole)
        return int(account(whole)["trades"])


def assert_same_in_pieces(plan: Plan, pieces: Sequence[int], home: Path | None = None) -> None:
    """Run once to the end; then in another folder in pieces of so many events, and to the end."""
    with tempfile.TemporaryDirectory() as folder:
        whole, again = Path(folder, "whole"), home or Path(folder, "again")
        uninterrupted = ran(plan, whole)
        parts = [ran(plan, again, clock=Ending(piece)) for piece in pieces] + [ran(plan, again)]
        assert_same_facts(again, whole)
        assert account(again) == account(whole)
        assert parts[-1].summary.equity == uninterrupted.summary.equity
        assert parts[-1].summary.open_positions == uninterrupted.summary.open_positions
        assert [t for part in parts for t in part.trades] == uninterrupted.trades


def market(n: int = 400, symbols: Sequence[str] = SYMBOLS[:2], **changes: Any) -> Plan:
    """A plan that trades often, over two generated symbols."""
    candles = {s: random_candles(s, n, seed) for seed, s in enumerate(symbols)}
    return on(plan(**changes), Given(candles=candles, instruments={s: instrument(s) for s in candles}))


def test_r02_a_hundred_restarts_do_not_close_the_circuit_breaker(tmp_path: Path) -> None:
    plan = market(600, account_gates={"circuit_breaker": CircuitBreaker(max=2), "cooldown": Cooldown(min=1800)})
    whole = ran(plan, tmp_path / "whole")
    assert whole.summary.rejected["circuit_breaker"] > 5
    tripped = 0
    refused = 0
    for _ in range(100):
        ran_on = ran(plan, tmp_path / "again", clock=Ending(5))
        tripped += account(tmp_path / "again")["losses in a row"] >= 2
        refused += sum("circuit_breaker" in d.reason for d in ran_on.decisions)
    assert tripped > 5
    refused += ran(plan, tmp_path / "again").summary.rejected.get("circuit_breaker", 0)
    assert refused == whole.summary.rejected["circuit_breaker"]
    assert_same_facts(tmp_path / "again", tmp_path / "whole")


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
def test_r01_a_restart_before_or_after_midnight_keeps_the_days_opening_equity(tmp_path: Path, zone: str) -> None:
    plan = market(700, risk=Risk(zone=zone), account_gates={"drawdown": Drawdown(max=0.01)})
    whole = ran(plan, tmp_path / "whole")
    assert whole.summary.rejected["drawdown"] > 5
    days = [d.ts for d in whole.of(DayOpened)]
    assert len(days) == 3
    for day in days[1:]:
        for minutes in (-5, 0, 5):
            home = tmp_path / f"{day}{minutes}"
            ran(plan, home, clock=Ending(last=day + minutes * 60_000))
            ran(plan, home)
            assert_same_facts(home, tmp_path / "whole")


class Patience(Exit, frozen=True, kw_only=True):
    """Closes after so many bars, whatever they were."""

    name = "patience"

    bars: int = 9

    def closes(self, position: Holding, path: Since) -> Bools:
        held: Bools = np.arange(1, path.close.shape[-1] + 1) >= self.bars
        return np.broadcast_to(held, path.close.shape)


@pytest.mark.parametrize("bars", [1, 2, 9])
def test_p01_exits_see_every_bar_since_the_entry_after_a_restart_too(bars: int) -> None:
    exits = {"stop_loss": StopLoss(roi=0.3), "patience": Patience(bars=bars)}
    assert assert_same_whenever_it_dies(market(200, exits=exits), [0.1, 0.33, 0.5, 0.77, 0.8]) > 5


def test_p01_a_restart_tells_what_it_goes_on_with(tmp_path: Path) -> None:
    plan = market()
    whole = ran(plan, tmp_path / "whole")
    taken = steps(tmp_path / "whole")
    kept = next(i for i, (_, step) in enumerate(taken, 1) if any(isinstance(r, Fill) for r in step))
    home = begun(tmp_path / "again", "given", taken[:kept])
    before = account(home)
    again = ran(plan, home, clock=Ending(0))
    started = again.of(RunStarted)[0]
    assert started.recovered
    assert started.positions == tuple(before["positions"]) != ()
    assert started.equity == before["equity"]
    assert account(home) == before
    assert not whole.of(RunStarted)[0].recovered


def test_p01_an_entry_that_was_waiting_fills_once_at_the_next_open(tmp_path: Path) -> None:
    plan = market()
    ran(plan, tmp_path / "whole")
    taken = steps(tmp_path / "whole")
    kept = next(i for i, (_, step) in enumerate(taken, 1) if any(isinstance(r, Order) for r in step))
    home = begun(tmp_path / "again", "given", taken[:kept])
    entry = next(iter(account(home)["entries"].values()))
    # started and ended twice without an event: the order is handed to the venue each time
    ran(plan, home, clock=Ending(0))
    ran(plan, home, clock=Ending(0))
    again = ran(plan, home, clock=Ending(2))
    fills = [f for f in again.of(Fill) if f.order_id == entry.id]
    assert [(f.ts, f.quantity) for f in fills] == [(taken[kept - 1][0], entry.quantity)]


def flat(symbol: str, n: int, price: float = 100.0, missing: Sequence[int] = ()) -> Candles:
    """Bars that go up by one tick a bar, so that a long is entered and nothing else ever happens."""
    kept = np.array([i for i in range(n) if i not in missing])
    close = np.round(price + 0.6 * kept, 1)
    return Candles.of(symbol, "5m", START + kept * BAR, close - 0.6, close, close - 0.6, close, np.ones(len(kept)))


def long_held(seen: Sequence[MarketEvent] = (), missing: Sequence[int] = (), n: int = 60, **changes: Any) -> Plan:
    """A long that is entered early and held to the end; the second symbol's bars mark the time."""
    steady = {"stop_loss": StopLoss(roi=0.9), "take_profit": TakeProfit(roi=50)}
    settings = plan(**{"exits": steady} | changes)
    candles = {SYMBOLS[0]: flat(SYMBOLS[0], n, missing=missing), SYMBOLS[1]: flat(SYMBOLS[1], n)}
    return on(settings, Given(candles=candles, instruments={s: instrument(s) for s in candles}, seen=tuple(seen)))


def test_funding_due_in_a_gap_is_charged_once_though_the_run_was_restarted_in_it(tmp_path: Path) -> None:
    plan = long_held(missing=range(20, 30))
    plan = msgspec.structs.replace(plan, costs=msgspec.structs.replace(plan.costs, funding_rate=Decimal("0.001"), funding_hours=1))
    whole = ran(plan, tmp_path / "whole")
    due = START + 24 * BAR
    assert [f.ts for f in whole.of(Funded) if f.symbol == SYMBOLS[0]][:2] == [START + 12 * BAR, due]
    for events in (22, 26, 29):
        home = tmp_path / str(events)
        ran(plan, home, clock=Ending(events))
        ran(plan, home)
        assert_same_facts(home, tmp_path / "whole")


def test_funding_announced_before_a_stop_is_charged_when_the_run_goes_on_after_it(tmp_path: Path) -> None:
    announced = FundingSeen(START + 5 * BAR, SYMBOLS[0], 0.002, START + 24 * BAR)
    plan = long_held([announced])
    whole = ran(plan, tmp_path / "whole")
    assert [(f.ts, f.rate) for f in whole.of(Funded)] == [(START + 24 * BAR, Decimal("0.002"))]
    for events in (8, 20, 24, 25, 26):
        home = tmp_path / str(events)
        ran(plan, home, clock=Ending(events))
        ran(plan, home)
        assert_same_facts(home, tmp_path / "whole")


def test_funding_of_the_moment_of_an_entry_from_the_book_is_not_charged_after_a_restart_either(tmp_path: Path) -> None:
    asked = next(o for o in ran(long_held(), tmp_path / "alone").of(Order) if o.symbol == SYMBOLS[0])
    ask = 100.0 + round(0.6 * (asked.ts - START) / BAR, 1)
    deep = BookSeen(asked.ts, SYMBOLS[0], ((ask - 0.1, 900.0),), ((ask, 900.0),))
    plan = long_held([deep, FundingSeen(asked.ts, SYMBOLS[0], 0.002, asked.ts)])
    whole = ran(plan, tmp_path / "whole")
    assert whole.of(Fill)[0].ts == asked.ts
    assert whole.of(Funded) == []
    home = begun(tmp_path / "again", "given", [s for s in steps(tmp_path / "whole") if s[0] <= asked.ts])
    assert SYMBOLS[0] in account(home)["positions"]
    ran(plan, home)
    assert_same_facts(home, tmp_path / "whole")


def test_a_mark_beyond_liquidation_counts_at_the_next_close_though_the_bar_is_missing_and_the_run_restarted(
    tmp_path: Path,
) -> None:
    crash = MarkSeen(START + 22 * BAR + 1000, SYMBOLS[0], 1.0, 1.0)
    plan = long_held([crash], missing=range(20, 30))
    whole = ran(plan, tmp_path / "whole")
    assert [(t.exit_reason, t.exit_ts) for t in whole.trades if t.symbol == SYMBOLS[0]][:1] == [("liquidation", START + 23 * BAR)]
    for events in range(21, 26):
        home = tmp_path / str(events)
        ran(plan, home, clock=Ending(events))
        ran(plan, home)
        assert_same_facts(home, tmp_path / "whole")


def test_x07_a_thin_book_fills_in_part_and_the_stop_covers_what_has_filled(tmp_path: Path) -> None:
    alone = long_held()
    asked = next(o for o in ran(alone, tmp_path / "alone").of(Order) if o.purpose is Purpose.ENTRY and o.symbol == SYMBOLS[0])
    ask = 100.0 + round(0.6 * (asked.ts - START) / BAR, 1)
    thin = BookSeen(asked.ts, SYMBOLS[0], ((ask - 0.1, 9.0),), ((ask, 0.05), (ask + 0.2, 0.02)))
    plan = long_held([thin])
    whole = ran(plan, tmp_path / "whole")
    fills = [f for f in whole.of(Fill) if f.order_id == asked.id]
    assert [f.ts for f in fills] == [asked.ts, asked.ts]
    assert [f.quantity for f in fills] == [Decimal(7), asked.quantity - 7]
    stops = [o for o in whole.of(Order) if o.purpose is Purpose.STOP and o.symbol == SYMBOLS[0]]
    assert [o.quantity for o in stops[:2]] == [Decimal(7), asked.quantity]
    # between the two parts
    home = begun(tmp_path / "again", "given", [s for s in steps(tmp_path / "whole") if s[0] <= asked.ts])
    held = account(home)
    assert held["positions"][SYMBOLS[0]]["quantity"] == 7
    assert held["orders"][asked.id] == (asked, Decimal(7))
    ran(plan, home)
    assert_same_facts(home, tmp_path / "whole")


def test_a_stop_met_before_liquidation_comes_first_whatever_the_mark_said_also_after_a_restart(tmp_path: Path) -> None:
    alone = long_held()
    asked = next(o for o in ran(alone, tmp_path / "alone").of(Order) if o.purpose is Purpose.ENTRY and o.symbol == SYMBOLS[0])
    thin = BookSeen(asked.ts, SYMBOLS[0], (), ((120.0, 0.05),))
    crash = MarkSeen(asked.ts + 1000, SYMBOLS[0], 1.0, 1.0)
    calm = ran(long_held([thin]), tmp_path / "calm")
    whole = ran(long_held([thin, crash]), tmp_path / "whole")
    assert calm.trades[0].exit_reason == "stop_loss"
    assert whole.trades == calm.trades
    home = begun(tmp_path / "again", "given", [s for s in steps(tmp_path / "whole") if s[0] <= asked.ts])
    ran(long_held([thin, crash]), home)
    assert_same_facts(home, tmp_path / "whole")
    later = [o for o in whole.of(Order) if o.purpose is Purpose.ENTRY and o.symbol == SYMBOLS[0] and o.ts > asked.ts]
    assert later, "the symbol's slot is free again"


# what ends a run


class Breaking(Given, frozen=True, kw_only=True):
    """Breaks after the bars of `at`."""

    at: int = 0

    async def stream(self, symbols: Sequence[str], timeframe: str, since: int | None) -> AsyncIterator[MarketEvent]:
        async for event in super().stream(symbols, timeframe, since):
            yield event
            if event.ts >= self.at:
                raise DataError("line 7: the price of 'x' is no number")


def test_a_feed_that_breaks_ends_the_run_with_its_own_words_and_everything_written(tmp_path: Path) -> None:
    whole = market()
    at = START + 200 * BAR
    feed = Breaking(candles=whole.feed.candles, instruments=whole.feed.instruments, at=at)  # type: ignore[union-attr]
    with pytest.raises(DataError, match="line 7: the price of 'x' is no number"):
        ran(on(whole, feed), tmp_path / "again")
    ran(whole, tmp_path / "whole")
    assert facts(tmp_path / "again") == [fact for fact in facts(tmp_path / "whole") if fact[0] <= at]
    ran(whole, tmp_path / "again")
    assert_same_facts(tmp_path / "again", tmp_path / "whole")


@pytest.mark.parametrize(
    "prices", [(1.0, 2.0, 0.5, np.nan), (1.0, 0.9, 0.5, 0.8), (1.0, 2.0, 1.5, 1.6), (-1.0, 2.0, -1.0, 1.0), (1.0, np.inf, 1.0, 1.0)]
)
def test_a_bar_that_cannot_be_ends_the_run_and_is_named(tmp_path: Path, prices: tuple[float, ...]) -> None:
    columns = [np.array([p]) for p in (*prices, 1.0)]
    candles = {SYMBOLS[0]: Candles.of(SYMBOLS[0], "5m", np.array([START]), *columns)}
    feed = Given(candles=candles, instruments={SYMBOLS[0]: instrument(SYMBOLS[0])})
    with pytest.raises(DataError, match=r"feed given gave a bar that cannot be.*AAA/USDT:USDT"):
        ran(on(plan(), feed), tmp_path)


class FullDisk:
    """A connection to a disk that is full after `room` rows."""

    def __init__(self, path: Path, room: int) -> None:
        self._db = connect(path)
        self._room = room

    def executemany(self, sql: str, rows: list[Any]) -> Any:
        self._room -= len(rows)
        if self._room < 0:
            raise OSError(28, "No space left on device")
        return self._db.executemany(sql, rows)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


class SmallHome(Home):
    """A folder on a disk with room for so many rows."""

    def journal(self, mode: str, identity: str, **options: Any) -> Journal:
        return super().journal(mode, identity, connect=lambda path: FullDisk(path, 300), **options)  # type: ignore[arg-type,return-value]


def test_s07_a_full_disk_ends_the_run_in_one_sentence_and_it_goes_on_when_there_is_room(tmp_path: Path) -> None:
    plan = market()
    with SmallHome.open(tmp_path / "again") as held, pytest.raises(HomeError, match=r"No space left on device.*trading stops"):
        asyncio.run(run(plan, held, clock=Ending()))
    ran(plan, tmp_path / "whole")
    kept = facts(tmp_path / "again")
    assert 0 < len(kept) <= 300
    assert kept == facts(tmp_path / "whole")[: len(kept)]
    ran(plan, tmp_path / "again")
    assert_same_facts(tmp_path / "again", tmp_path / "whole")


class Silent(Given, frozen=True, kw_only=True):
    """Says no more after its last bar, and does not end either, as a venue with nothing to say."""

    async def stream(self, symbols: Sequence[str], timeframe: str, since: int | None) -> AsyncIterator[MarketEvent]:
        async for event in super().stream(symbols, timeframe, since):
            yield event
        await asyncio.Event().wait()


def test_stopping_does_not_wait_for_a_silent_feed(tmp_path: Path) -> None:
    whole = market()
    feed = Silent(candles=whole.feed.candles, instruments=whole.feed.instruments)  # type: ignore[union-attr]
    plan = on(whole, feed)

    async def stopped_at_the_end() -> Any:
        stop = asyncio.Event()
        last = START + 400 * BAR

        def observer(record: Any) -> None:
            if getattr(record, "ts", 0) == last:
                stop.set()

        with Home.open(tmp_path / "again") as held:
            return await asyncio.wait_for(run(plan, held, stop=stop, observer=observer), 30)

    summary = asyncio.run(stopped_at_the_end())
    assert summary.reason == "stopped"
    assert summary.bars == 800
    ran(whole, tmp_path / "whole")
    assert_same_facts(tmp_path / "again", tmp_path / "whole")


def test_a_run_that_is_cancelled_leaves_its_folder_free_and_its_journal_whole(tmp_path: Path) -> None:
    whole = market()
    feed = Silent(candles=whole.feed.candles, instruments=whole.feed.instruments)  # type: ignore[union-attr]

    async def cancelled() -> None:
        seen = asyncio.Event()
        with Home.open(tmp_path / "again") as held:
            task = asyncio.create_task(run(on(whole, feed), held, observer=lambda record: seen.set()))
            await seen.wait()
            task.cancel()
            await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    ran(whole, tmp_path / "again")
    ran(whole, tmp_path / "whole")
    assert_same_facts(tmp_path / "again", tmp_path / "whole")


def test_a_folder_that_holds_another_symbols_position_says_how_to_go_on(tmp_path: Path) -> None:
    plan = market()
    ran(plan, tmp_path / "whole")
    taken = steps(tmp_path / "whole")
    kept = next(i for i, (_, step) in enumerate(taken, 1) if any(isinstance(r, Fill) and r.symbol == SYMBOLS[0] for r in step))
    home = begun(tmp_path / "again", "given", taken[:kept])
    with pytest.raises(HomeError, match=rf"holds a position in {SYMBOLS[0]}.*--pairs"):
        ran(msgspec.structs.replace(plan, symbols=SYMBOLS[1:2]), home)
    before = account(home)
    ran(plan, home, clock=Ending(0))
    assert account(home) == before
