"""Whole runs on paper whose entries are worked by algorithms: to the end, in pieces, and killed anywhere."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_recovery import assert_same_facts, assert_same_in_pieces, assert_same_whenever_it_dies
from test_shells_agree import SYMBOLS

from enigma_core.book import Book
from enigma_core.market import BookSeen, FundingSeen, MarketEvent, TradeSeen
from enigma_core.model import Decision, Fill, Order, OrderEnded, OrderSeen, Purpose, Sliced, Trade
from enigma_core.parts import Algorithm
from enigma_core.plan import Plan
from enigma_core.records import Started
from enigma_plugins.algorithms.iceberg import Iceberg
from enigma_plugins.algorithms.limit_chase import LimitChase
from enigma_plugins.algorithms.market import ToMarket
from enigma_plugins.algorithms.router import Router
from enigma_plugins.algorithms.twap import Twap
from enigma_plugins.algorithms.vwap import Vwap
from markets import instrument, plan, random_candles
from runs import Ending, Given, account, facts, on, ran, steps

BAR = 300_000
ALGORITHMS: dict[str, Algorithm] = {
    "limit_chase": LimitChase(patience=400.0),
    "iceberg": Iceberg(visible=0.3, patience=900.0),
    "twap": Twap(slices=4, seconds=1200.0),
    "vwap": Vwap(slices=3, seconds=1800.0),
    "router": Router(at_market=0.0002, at_rest=0.001),
}


def sliced(algorithm: Algorithm | None, n: int = 300, seed: int = 0, seen: Sequence[MarketEvent] = (), **changes: Any) -> Plan:
    candles = {s: random_candles(s, n, seed + i) for i, s in enumerate(SYMBOLS[:2])}
    made = on(plan(**changes), Given(candles=candles, instruments={s: instrument(s) for s in candles}, seen=tuple(seen)))
    return msgspec.structs.replace(made, algorithm=algorithm)


def lively(n: int, seed: int) -> list[MarketEvent]:
    """Books and trades around the bars of `sliced`."""
    rng = np.random.default_rng(seed)
    seen: list[MarketEvent] = []
    for number, symbol in enumerate(SYMBOLS[:2]):
        c = random_candles(symbol, n, seed + number)
        for ts, close in zip((c.ts + BAR).tolist(), c.close.tolist(), strict=True):
            for offset in sorted(int(x) for x in rng.integers(0, BAR, int(rng.integers(0, 4)))):
                middle = round(close + float(rng.integers(-3, 4)) / 10, 1)
                sizes = [float(x) for x in rng.choice([0.0, 0.02, 0.2, 5.0], 4)]
                bids = ((round(middle - 0.1, 1), sizes[0]), (round(middle - 0.4, 1), sizes[1]))
                asks = ((round(middle + 0.1, 1), sizes[2]), (round(middle + 0.4, 1), sizes[3]))
                seen.append(BookSeen(ts + offset, symbol, bids, asks))
                seen.append(TradeSeen(ts + offset, symbol, 1 if rng.random() < 0.5 else -1, middle, float(rng.random() / 4)))
    return sorted(seen, key=lambda event: event.ts)


def assert_sound(home: Path, plan: Plan) -> dict[str, int]:
    """The journal holds together: each slice belongs to an entry, which is never filled beyond its size, and ends once."""
    assert plan.feed is not None
    book = Book(plan.account.equity, plan.feed.instruments)  # type: ignore[attr-defined]
    orders: dict[str, Order] = {}
    filled: dict[str, Decimal] = {}
    told: dict[str, Sliced] = {}
    ends: set[str] = set()
    fills = 0
    for _, records in steps(home):
        for record in records:
            if isinstance(record, Order):
                orders[record.id] = record
            elif isinstance(record, Sliced):
                assert record.order.parent in book.orders
                told[record.order.id] = record
            elif isinstance(record, OrderEnded):
                assert record.order_id not in ends
                ends.add(record.order_id)
            elif isinstance(record, Fill):
                filled[record.order_id] = filled.get(record.order_id, Decimal(0)) + record.quantity
                assert filled[record.order_id] <= orders[record.order_id].quantity
                if record.slice:
                    assert told[record.slice].order.parent == record.order_id
                    fills += 1
            if not isinstance(record, Started | Decision | Trade | FundingSeen | Sliced | OrderSeen):
                book.apply(record)
        for symbol, position in book.positions.items():
            stops = [w.order for w in book.orders.values() if w.order.symbol == symbol and w.order.purpose is Purpose.STOP]
            assert [stop.quantity for stop in stops] == [position.quantity]
    entries = [o for o in orders.values() if o.purpose is Purpose.ENTRY]
    for order in entries:
        assert [filled.get(order.id) == order.quantity, order.id in ends, order.id in book.orders].count(True) == 1
    return {"entries": len(entries), "slices": len(told) - len(entries), "fills": fills}


def test_the_market_algorithm_changes_nothing_at_all(tmp_path: Path) -> None:
    seen = lively(80, 3)
    for name, algorithm in (("without", None), ("with", ToMarket())):
        ran(sliced(algorithm, 80, 3, seen), tmp_path / name)
    assert_same_facts(tmp_path / "with", tmp_path / "without")
    assert not any(kind == "sliced" for _, kind, _ in facts(tmp_path / "with"))


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("books", [False, True], ids=["bars", "books"])
def test_entries_are_worked_from_first_slice_to_last_fill(tmp_path: Path, name: str, books: bool) -> None:
    made = sliced(ALGORITHMS[name], 120, 5, lively(120, 5) if books else ())
    end = ran(made, tmp_path)
    assert end.summary.reason == "the feed has ended"
    found = assert_sound(tmp_path, made)
    assert found["entries"] > 5
    assert found["fills"] > 5
    assert end.summary.trades > 3
    if name in ("twap", "vwap"):
        assert found["slices"] > found["entries"]


@pytest.mark.parametrize("name", ["twap", "vwap", "limit_chase"])
@settings(max_examples=2)
@given(seed=st.integers(0, 10_000), cuts=st.lists(st.floats(0, 1), min_size=1, max_size=2))
def test_p01_a_run_that_died_between_slices_goes_on_as_if_it_had_not(name: str, seed: int, cuts: list[float]) -> None:
    assert_same_whenever_it_dies(sliced(ALGORITHMS[name], 80, seed), cuts)


@settings(max_examples=2)
@given(seed=st.integers(0, 10_000), pieces=st.lists(st.integers(0, 40), max_size=4))
def test_p01_a_run_stopped_between_slices_goes_on_as_if_it_had_not(seed: int, pieces: list[int]) -> None:
    assert_same_in_pieces(sliced(ALGORITHMS["twap"], 80, seed), pieces)


@pytest.mark.parametrize("name", ALGORITHMS)
@settings(max_examples=2)
@given(seed=st.integers(0, 10_000), pieces=st.lists(st.integers(1, 80), min_size=1, max_size=4))
def test_p01_with_books_and_trades_nothing_fills_beyond_its_order_however_often_it_is_stopped(
    name: str, seed: int, pieces: list[int]
) -> None:
    made = sliced(ALGORITHMS[name], 50, seed, lively(50, seed))
    with tempfile.TemporaryDirectory() as home:
        for piece in pieces:
            ran(made, Path(home), clock=Ending(piece))
        ran(made, Path(home))
        assert_sound(Path(home), made)


def test_another_algorithm_than_before_the_restart_brings_what_was_begun_to_its_end(tmp_path: Path) -> None:
    twap = sliced(Twap(slices=6, seconds=7200.0), 60, 1)
    ran(twap, tmp_path / "whole")
    taken = steps(tmp_path / "whole")
    first = next(i for i, (_, records) in enumerate(taken) if any(isinstance(r, Sliced) for r in records))
    for name, algorithm in {**ALGORITHMS, "market": ToMarket(), "none": None}.items():
        home = tmp_path / name
        ran(twap, home, clock=Ending(first + 4))
        begun = [o.id for o in account(home)["entries"].values()]
        assert begun
        ran(msgspec.structs.replace(twap, algorithm=algorithm), home)
        assert_sound(home, twap)
        assert not set(begun) & set(account(home)["orders"])
