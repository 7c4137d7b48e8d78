"""Markets kept ready beside a run: as the history has them, bar for bar, and whatever happens to the stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

import msgspec
import pytest

from enigma_core.book import Book
from enigma_core.errors import DataError
from enigma_core.live import LiveEvaluator, bar_at
from enigma_core.market import BarsClosed, BookSeen, MarketEvent
from enigma_core.model import Candles, Instrument
from enigma_core.parts import Listing, Ports
from enigma_core.plan import Costs, Plan
from enigma_core.scoring import Evaluation
from enigma_plugins.feeds.synthetic import Synthetic
from enigma_screener.service import Screener
from enigma_screener.watching import Streamed, watch
from markets import START, instrument, plan, random_candles
from runs import Given

FIVE = 300_000
MARKETS = {
    f"{base}/USDT:USDT": random_candles(f"{base}/USDT:USDT", 400, seed) for seed, base in enumerate(("BTC", "ETH", "SOL"), 1)
}
INSTRUMENTS = {symbol: instrument(symbol) for symbol in MARKETS}
LISTINGS = [Listing(symbol=symbol, turnover=9e6, spread=0.0001) for symbol in MARKETS]
PLAN = plan()
KNOWN = 300
"""Bars before the stream."""


class Live(Given, frozen=True, kw_only=True):
    """A live feed: a history of `KNOWN` bars, then the rest as it is called for. `told` are events of the stream."""

    name = "live"
    simulated: ClassVar[bool] = False

    gate: Any = None
    fails: Any = ()

    def listings(self) -> Sequence[Listing]:
        return tuple(LISTINGS)

    def history(self, symbol: str, timeframe: str, start: int | None = None, end: int | None = None) -> Candles:
        if symbol in self.fails:
            raise DataError(f"{symbol}: no history")
        candles: Candles = self.candles[symbol]
        # one symbol's history was fetched a bar later than the others'
        return candles[: KNOWN + (symbol == "ETH/USDT:USDT")]

    async def stream(self, symbols: Sequence[str], timeframe: str, since: int | None) -> AsyncIterator[MarketEvent]:
        assert since == START + KNOWN * FIVE
        for symbol in symbols:
            yield BookSeen(since, symbol, ((99.9, 1.0),), ((100.1, 1.0),))
        for number in range(KNOWN, 400):
            yield BarsClosed(START + (number + 1) * FIVE, {symbol: bar_at(self.candles[symbol], number) for symbol in symbols})
        if self.gate is not None:
            self.gate.set()
            await asyncio.Event().wait()


def feed(**more: Any) -> Live:
    return Live(candles=MARKETS, instruments=INSTRUMENTS, **more)


def expected(symbol: str, bars: int, of: Plan = PLAN) -> Evaluation:
    evaluator = LiveEvaluator(symbol, "5m", of)
    evaluator.warm(MARKETS[symbol][:bars])
    return evaluator.evaluate(None, 0)


def same(found: Evaluation | None, wanted: Evaluation) -> bool:
    return found is not None and all(
        (getattr(found, name) == getattr(wanted, name)).all() for name in ("ts", "close", "points", "score", "confidence", "atr")
    )


def test_a_stream_leads_to_what_the_history_of_all_bars_says() -> None:
    async def go() -> None:
        gate = asyncio.Event()
        beside = watch(feed(gate=gate), PLAN, LISTINGS)
        assert isinstance(beside, Streamed)
        following = asyncio.create_task(beside.follow())
        await asyncio.wait_for(gate.wait(), 20)
        assert beside.settled.is_set()
        assert beside.waiting == 0
        await beside.catch_up(0)
        for symbol in MARKETS:
            found = beside.evaluation(symbol, 0)
            assert same(found, expected(symbol, 400))
            assert found is not None
            assert found.market is not None
            assert found.market.turnover == 9e6
            assert found.market.spread == pytest.approx(0.002)
        following.cancel()

    asyncio.run(go())


def test_a_symbol_without_history_is_left_out_and_the_others_are_not() -> None:
    async def go() -> None:
        gate = asyncio.Event()
        beside = watch(feed(gate=gate, fails=("BTC/USDT:USDT",)), PLAN, LISTINGS)
        following = asyncio.create_task(beside.follow())
        await asyncio.wait_for(gate.wait(), 20)
        assert beside.left_out == {"BTC/USDT:USDT": "BTC/USDT:USDT: no history"}
        assert beside.evaluation("BTC/USDT:USDT", 0) is None
        assert beside.evaluation("SOL/USDT:USDT", 0) is not None
        following.cancel()

    asyncio.run(go())


def test_that_nothing_is_heard_of_the_market_any_more_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        gate = asyncio.Event()
        beside = watch(feed(gate=gate), PLAN, LISTINGS)
        assert beside.silence == ""
        following = asyncio.create_task(beside.follow())
        await asyncio.wait_for(gate.wait(), 20)
        assert beside.silence == ""
        monkeypatch.setattr("enigma_screener.watching.SILENT", 0.0)
        assert beside.silence.startswith("nothing has been heard of the market for ")
        following.cancel()

    asyncio.run(go())


def test_a_stream_that_ends_is_told() -> None:
    with pytest.raises(DataError, match="the stream of feed live has ended"):
        asyncio.run(watch(feed(), PLAN, LISTINGS).follow())


def test_with_nothing_beside_the_run_a_scan_still_waits_for_its_time() -> None:
    async def go() -> None:
        watching = watch(Live(candles=MARKETS, instruments=INSTRUMENTS), PLAN, [])
        following = asyncio.create_task(watching.follow())
        assert isinstance(watching, Streamed)
        await watching.settled.wait()
        done, _ = await asyncio.wait({following}, timeout=0.05)
        assert not done
        following.cancel()

    asyncio.run(go())


def test_a_recording_is_brought_to_any_moment_and_goes_on_from_there() -> None:
    recording = Given(candles=MARKETS, instruments=INSTRUMENTS)

    async def go() -> None:
        beside = watch(recording, PLAN, LISTINGS)
        # a bar more, a few, many at once, and back
        for bars in (200, 201, 205, 390, 250):
            now = START + bars * FIVE + 60_000
            await beside.catch_up(now)
            for symbol in MARKETS:
                assert same(beside.evaluation(symbol, now), expected(symbol, bars))

    asyncio.run(go())


def test_nothing_of_a_recording_is_seen_before_its_time() -> None:
    synthetic = Synthetic(count=1)
    listings = synthetic.listings()
    now = 1_735_689_600_000 + 40 * FIVE + 1000

    async def go() -> None:
        beside = watch(synthetic, PLAN, listings)
        await beside.catch_up(now)
        found = beside.evaluation(listings[0].symbol, now)
        assert found is not None
        assert found.market is not None
        assert found.market.book is not None
        assert found.market.book.ts <= now
        assert found.ts[0] <= now
        assert all(trade.ts <= now for trade in found.market.trades)

    asyncio.run(go())


def test_a_feed_without_a_stream_is_refused_with_what_to_use() -> None:
    class History(Given, frozen=True, kw_only=True):
        name = "history"

    History.stream = Given.__mro__[1].stream  # type: ignore[method-assign]
    with pytest.raises(DataError, match=r"feed history has a history but no stream.*use replay"):
        watch(History(candles=MARKETS, instruments=INSTRUMENTS), PLAN, LISTINGS)


class ScoringDesk:
    """A run that trades BTC, whose evaluation is its own: as much of a desk as a screener asks."""

    def __init__(self, of: Plan) -> None:
        self.plan = of
        self.instruments = {"BTC/USDT:USDT": INSTRUMENTS["BTC/USDT:USDT"]}
        self.account = Book(Decimal(10_000), INSTRUMENTS)
        self.asked_of: set[str] = set()

    def now(self) -> int:
        return START + 400 * FIVE

    def evaluation(self, symbol: str) -> Evaluation | None:
        self.asked_of.add(symbol)
        return expected(symbol, 400, self.plan)


def served(service: Screener, desk: ScoringDesk, until: Callable[[], bool]) -> None:
    """Have the service serve beside `desk` until `until` says that it is enough."""

    async def go() -> None:
        ports = Ports(instruments=desk.instruments, costs=Costs(), funding={}, desk=desk)  # type: ignore[arg-type]
        serving = asyncio.create_task(service.serve(None, ports))  # type: ignore[arg-type]
        async with asyncio.timeout(30):
            while not until():
                assert not serving.done(), serving
                await asyncio.sleep(0.02)
        serving.cancel()

    asyncio.run(go())


def test_the_service_scans_what_the_run_trades_by_the_runs_own_evaluation_and_the_rest_by_its_stream() -> None:
    desk = ScoringDesk(msgspec.structs.replace(PLAN, feed=Given(candles=MARKETS, instruments=INSTRUMENTS)))
    service = Screener(every=1.0)
    served(service, desk, lambda: service.board.scan is not None)
    scan = service.board.scan
    assert scan is not None
    assert desk.asked_of == {"BTC/USDT:USDT"}
    assert scan.universe == 3
    found = {one.symbol: one for one in scan.opportunities}
    for symbol in MARKETS:
        score = float(expected(symbol, 400).score[0])
        assert (found[symbol].score == score) if score else symbol not in found
    assert len(found) >= 2


def test_what_fails_is_told_on_the_board_and_does_not_end_the_run() -> None:
    class Down(Given, frozen=True, kw_only=True):
        name = "down"

        def listings(self) -> Sequence[Listing]:
            raise DataError("the exchange does not answer")

    desk = ScoringDesk(msgspec.structs.replace(PLAN, feed=Down(candles=MARKETS, instruments=INSTRUMENTS)))
    service = Screener()
    served(service, desk, lambda: bool(service.board.trouble))
    assert service.board.trouble == "the exchange does not answer"
    assert service.board.scan is None


def test_a_market_whose_contract_cannot_be_had_is_left_out() -> None:
    class Strange(Given, frozen=True, kw_only=True):
        name = "strange"

        def instrument(self, symbol: str) -> Instrument:
            if symbol == "SOL/USDT:USDT":
                raise DataError(f"{symbol}: its contract has no tick")
            return INSTRUMENTS[symbol]

    desk = ScoringDesk(msgspec.structs.replace(PLAN, feed=Strange(candles=MARKETS, instruments=INSTRUMENTS)))
    service = Screener()
    served(service, desk, lambda: service.board.scan is not None)
    assert service.board.scan is not None
    assert service.board.scan.universe == 2


def test_a_changed_gate_counts_from_the_next_scan() -> None:
    from enigma_plugins.gates.score import Score

    def gates(least: float) -> Mapping[str, Any]:
        return {"score": Score(min=least)}

    desk = ScoringDesk(msgspec.structs.replace(PLAN, feed=Given(candles=MARKETS, instruments=INSTRUMENTS)))
    desk.plan = msgspec.structs.replace(desk.plan, market_gates=gates(0.0))
    service = Screener(every=1.0)

    def changed() -> bool:
        scan = service.board.scan
        if scan is None:
            return False
        if all("score" not in one.refused for one in scan.opportunities):
            desk.plan = msgspec.structs.replace(desk.plan, market_gates=gates(1000.0))
            return False
        return all("score" in one.refused for one in scan.opportunities)

    served(service, desk, changed)
