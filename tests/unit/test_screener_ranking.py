"""Which markets are looked at, and how they are ranked."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enigma_core.model import Class
from enigma_core.parts import Listing
from enigma_screener.ranking import Bounds, Opportunity, rank, ranked, universe

NAN = math.nan
PLAIN: dict[str, Any] = {
    "score": 0.0,
    "confidence": 0.0,
    "share": 0.0,
    "turnover": NAN,
    "spread": NAN,
    "klass": Class.NEUTRAL,
}

FACTS = st.fixed_dictionaries(
    {
        "score": st.floats(-220, 220),
        "confidence": st.floats(0, 1),
        "share": st.floats(0, 1),
        "turnover": st.floats(0, 1e10) | st.just(NAN),
        "spread": st.floats(0, 0.001) | st.just(NAN),
        "klass": st.sampled_from(Class),
    }
)


def listing(base: str = "BTC", turnover: float = 10e6, spread: float = 0.0001, **more: Any) -> Listing:
    return Listing(symbol=f"{base}/USDT:USDT", turnover=turnover, spread=spread, **more)


def opportunity(symbol: str, worth: float, cooldown_until: int | None = None) -> Opportunity:
    return Opportunity(
        symbol=symbol,
        rank=worth,
        side="long",
        score=80.0,
        klass=Class.BUY,
        confidence=0.9,
        agreeing=5,
        voting=8,
        aligned=("30m",),
        scored=("30m", "1h"),
        passed=3,
        asked=4,
        refused=("score",),
        spread=None,
        turnover=None,
        funding=None,
        funding_hours=8.0,
        cooldown_until=cooldown_until,
        held=False,
        price=1.0,
        ts=1,
    )


@pytest.mark.parametrize(
    ("facts", "worth"),
    [
        ({}, 0.0),
        ({"score": 220.0}, 100.0),
        ({"score": -55.0}, 25.0),
        ({"confidence": 0.5}, 25.0),
        ({"share": 0.5}, 15.0),
        ({"turnover": 5e6}, 0.0),
        ({"turnover": 5.1e6}, 5.0),
        ({"turnover": 10.1e6}, 10.0),
        ({"turnover": 50.1e6}, 15.0),
        ({"turnover": 100.1e6}, 20.0),
        ({"spread": 0.0005}, 0.0),
        ({"spread": 0.00051}, -10.0),
        ({"spread": 0.00081}, -20.0),
        ({"klass": Class.STRONG_SELL}, 10.0),
        ({"klass": Class.EXTREME_BUY}, 15.0),
        ({"klass": Class.BUY}, 0.0),
        (
            {"score": 132.0, "confidence": 0.9, "share": 0.75, "turnover": 120e6, "spread": 0.0006, "klass": Class.EXTREME_BUY},
            152.5,
        ),
    ],
)
def test_a_rank_is_the_sum_of_its_terms(facts: dict[str, Any], worth: float) -> None:
    assert rank(**(PLAIN | facts)) == pytest.approx(worth)


@given(FACTS)
def test_a_rank_is_bounded_and_the_same_for_both_sides(facts: dict[str, Any]) -> None:
    worth = rank(**facts)
    assert -20.0 <= worth <= 215.0
    assert rank(**(facts | {"score": -facts["score"]})) == worth


@given(FACTS, st.floats(0, 220), st.floats(0, 1), st.floats(0, 0.001))
def test_a_stronger_score_never_ranks_lower_nor_a_wider_spread_higher(
    facts: dict[str, Any], score: float, confidence: float, spread: float
) -> None:
    worth = rank(**facts)
    assert rank(**(facts | {"score": max(score, abs(facts["score"]))})) >= worth
    assert rank(**(facts | {"confidence": max(confidence, facts["confidence"])})) >= worth
    if facts["spread"] == facts["spread"]:
        assert rank(**(facts | {"spread": max(spread, facts["spread"])})) <= worth


def test_the_universe_holds_active_perpetuals_of_the_quote_that_are_traded_enough_at_a_narrow_spread() -> None:
    listings = [
        listing("A", 6e6),
        listing("B", 90e6),
        listing("THIN", 4.9e6),
        listing("EDGE", 5e6, 0.001),
        listing("WIDE", 50e6, 0.0011),
        listing("GONE", 50e6, active=False),
        Listing(symbol="C/USDC:USDC", turnover=90e6, spread=0.0),
        Listing(symbol="D/USD:BTC", turnover=90e6, spread=0.0),
    ]
    assert [one.symbol for one in universe(listings, Bounds())] == ["B/USDT:USDT", "A/USDT:USDT", "EDGE/USDT:USDT"]
    assert [one.symbol for one in universe(listings, Bounds(quote="USDC"))] == ["C/USDC:USDC"]


def test_of_more_markets_the_most_traded_are_taken_each_once() -> None:
    listings = [listing(f"C{n:03d}", 5e6 + 1000.0 * n) for n in range(150)]
    found = universe([*listings, *listings], Bounds())
    assert [one.symbol for one in found] == [f"C{n:03d}/USDT:USDT" for n in range(149, 49, -1)]


def test_what_is_not_known_of_a_market_leaves_it_in_behind_those_that_are_known() -> None:
    found = universe([listing("X", NAN, NAN), listing("Y", NAN, NAN), listing("A", 6e6)], Bounds())
    assert [one.symbol for one in found] == ["A/USDT:USDT", "X/USDT:USDT", "Y/USDT:USDT"]


def test_who_has_left_the_bounds_since_it_was_listed_is_out_of_the_scan() -> None:
    bounds = Bounds(min_turnover=5e6, max_spread=0.001)
    markets = {"A": (6e6, 0.001), "B": (6e6, 0.0011), "C": (4.9e6, 0.0005), "D": (None, None)}
    found = [
        msgspec.structs.replace(opportunity(symbol, 100.0), turnover=turnover, spread=spread)
        for symbol, (turnover, spread) in markets.items()
    ]
    scan = ranked(found, 1, 6, bounds=bounds)
    assert [one.symbol for one in scan.opportunities] == ["A", "D"]
    assert (scan.universe, scan.unscored) == (4, 2)
    assert len(ranked(found, 1, 6).opportunities) == 4


def test_a_scan_is_in_order_of_rank_and_those_on_cooldown_stand_apart() -> None:
    found = [
        opportunity("C", 50.0),
        opportunity("B", 50.0),
        opportunity("A", 10.0),
        opportunity("D", 90.0, 5),
        opportunity("E", 5.0, 5),
    ]
    scan = ranked(found, 1, 7)
    assert [one.symbol for one in scan.opportunities] == ["B", "C", "A"]
    assert [one.symbol for one in scan.cooling] == ["D", "E"]
    assert scan.unscored == 2


def test_the_best_few_come_with_those_whose_cooldown_keeps_them_from_being_among_them() -> None:
    found = [opportunity("B", 50.0), opportunity("A", 10.0), opportunity("D", 90.0, 5), opportunity("E", 5.0, 5)]
    scan = ranked(found, 1, 4).top(1)
    assert [one.symbol for one in scan.opportunities] == ["B"]
    assert [one.symbol for one in scan.cooling] == ["D"]
