"""The live indicators: every row of their tables, and when they abstain."""

from __future__ import annotations

import math
from collections import deque

import msgspec
import pytest
from indicator_parts import LIVE, live_part

from enigma_core.errors import ConfigError
from enigma_core.market import BookSeen, FundingSeen, Market, MarkSeen, TradeSeen, Vote
from enigma_core.testing import verify

NOW = 1_741_257_000_000
SYMBOL = "BTC/USDT:USDT"


def points(name: str, now: int = NOW, **seen: object) -> float:
    return live_part(name).points_now(Market(SYMBOL, **seen), now)  # type: ignore[arg-type]


def book(bid: float, ask: float, levels: int = 20, ts: int = NOW) -> BookSeen:
    bids = tuple((50_000.0 - i, bid / levels) for i in range(levels))
    return BookSeen(ts, SYMBOL, bids, tuple((50_001.0 + i, ask / levels) for i in range(levels)))


def trades(bought: int, sold: int, age: int = 1_000) -> deque[TradeSeen]:
    found = [TradeSeen(NOW - age, SYMBOL, 1, 50_000.0, 1.0)] * bought + [TradeSeen(NOW - age, SYMBOL, -1, 50_000.0, 1.0)] * sold
    return deque(found, maxlen=5000)


@pytest.mark.parametrize("name", LIVE)
def test_the_contract_kit_finds_nothing_wrong(name: str) -> None:
    verify(type(live_part(name)))


@pytest.mark.parametrize("name", LIVE)
def test_without_data_it_abstains(name: str) -> None:
    assert math.isnan(points(name))


@pytest.mark.parametrize(
    ("name", "most"),
    [("depth_of_market", 15), ("buy_sell_ratio", 15), ("price_ratio", 15), ("funding_rate", 15), ("tradingview", 40)],
)
def test_a_live_indicator_weighs_what_the_table_says(name: str, most: float) -> None:
    assert live_part(name).max_points == most


@pytest.mark.parametrize(
    ("bid", "ask", "strength"),
    [
        (66, 34, 1),
        (65, 35, 0.55),
        (56, 44, 0.55),
        (55, 45, 0),
        (50, 50, 0),
        (45, 55, 0),
        (44, 56, -0.55),
        (35, 65, -0.55),
        (34, 66, -1),
    ],
)
def test_the_heavier_side_of_the_book_votes(bid: float, ask: float, strength: float) -> None:
    assert points("depth_of_market", book=book(bid, ask)) == pytest.approx(15 * strength)


def test_only_the_best_twenty_levels_of_the_book_count() -> None:
    deep = book(100, 100)
    deep = BookSeen(NOW, SYMBOL, (*deep.bids, (1.0, 1e9)), deep.asks)
    assert points("depth_of_market", book=deep) == 0


@pytest.mark.parametrize(
    "seen",
    [book(90, 10, ts=NOW - 60_001), BookSeen(NOW, SYMBOL, ((1.0, 1.0),), ()), BookSeen(NOW, SYMBOL, (), ((1.0, 1.0),)), book(0, 0)],
)
def test_an_old_or_one_sided_book_says_nothing(seen: BookSeen) -> None:
    assert math.isnan(points("depth_of_market", book=seen))


@pytest.mark.parametrize(
    ("bought", "sold", "strength"),
    [
        (81, 19, 1),
        (80, 20, 1),
        (79, 21, 0.8),
        (70, 30, 0.8),
        (69, 31, 0),
        (50, 50, 0),
        (31, 69, 0),
        (30, 70, -0.8),
        (21, 79, -0.8),
        (20, 80, -1),
    ],
)
def test_mostly_bought_is_bullish(bought: int, sold: int, strength: float) -> None:
    assert points("buy_sell_ratio", trades=trades(bought, sold)) == pytest.approx(15 * strength)


def test_fewer_than_fifty_trades_in_the_last_minute_say_nothing() -> None:
    assert math.isnan(points("buy_sell_ratio", trades=trades(49, 0)))
    assert points("buy_sell_ratio", trades=trades(50, 0)) == 15
    assert math.isnan(points("buy_sell_ratio", trades=trades(100, 0, age=60_000)))


def test_trades_count_by_their_value() -> None:
    mixed = deque([TradeSeen(NOW, SYMBOL, 1, 50_000.0, 9.0)] * 25 + [TradeSeen(NOW, SYMBOL, -1, 50_000.0, 1.0)] * 25)
    assert points("buy_sell_ratio", trades=mixed) == 15


@pytest.mark.parametrize(
    ("mark", "strength"),
    [
        (99_849, 0.8),
        (99_850, 0.4),
        (99_949, 0.4),
        (99_950, 0),
        (100_000, 0),
        (100_050, 0),
        (100_051, -0.4),
        (100_150, -0.4),
        (100_151, -0.8),
    ],
)
def test_a_discount_to_the_index_is_bullish(mark: float, strength: float) -> None:
    assert points("price_ratio", mark=MarkSeen(NOW, SYMBOL, mark, 100_000.0)) == pytest.approx(15 * strength)


@pytest.mark.parametrize("seen", [MarkSeen(NOW, SYMBOL, 1.0, 0.0), MarkSeen(NOW - 60_001, SYMBOL, 90.0, 100.0)])
def test_an_index_of_nothing_or_old_prices_say_nothing(seen: MarkSeen) -> None:
    assert math.isnan(points("price_ratio", mark=seen))


@pytest.mark.parametrize(
    ("rate", "strength"),
    [
        (-0.0006, 1),
        (-0.0005, 1),
        (-0.0004, 0.6),
        (-0.0003, 0.6),
        (-0.0002, 0.3),
        (-0.00015, 0.3),
        (-0.0001, 0),
        (0.0, 0),
        (0.0001, 0),
        (0.00015, -0.3),
        (0.0003, -0.6),
        (0.0005, -1),
    ],
)
def test_crowded_shorts_are_bullish(rate: float, strength: float) -> None:
    for hours in (8.0, 4.0, 1.0):
        seen = FundingSeen(NOW, SYMBOL, rate * hours / 8, NOW + 60_000, hours)
        assert points("funding_rate", funding=seen) == pytest.approx(15 * strength)


def test_a_rate_long_settled_says_nothing() -> None:
    seen = FundingSeen(NOW, SYMBOL, 0.001, NOW)
    assert points("funding_rate", NOW + 8 * 3_600_000, funding=seen) == -15
    assert math.isnan(points("funding_rate", NOW + 8 * 3_600_000 + 1, funding=seen))


@pytest.mark.parametrize(("age", "part"), [(-5, 1.0), (0, 1.0), (900, 0.75), (1800, 0.5), (3599, 1 / 3600)])
def test_an_alert_fades_evenly(age: int, part: float) -> None:
    for side in (1, -1):
        vote = Vote(NOW - age * 1000, side, 3_600_000)  # type: ignore[arg-type]
        assert points("tradingview", vote=vote) == pytest.approx(40 * side * part)


@pytest.mark.parametrize("vote", [Vote(NOW - 3_600_000, 1, 3_600_000), Vote(NOW - 9_999_999, 1, 3_600_000), Vote(NOW, 1, 0)])
def test_a_faded_alert_says_nothing(vote: Vote) -> None:
    assert math.isnan(points("tradingview", vote=vote))


@pytest.mark.parametrize("name", LIVE)
def test_every_setting_is_explained(name: str) -> None:
    (definition,) = msgspec.json.schema(type(live_part(name)))["$defs"].values()
    assert all("description" in setting for setting in definition["properties"].values())


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("depth_of_market", {"plain": 0.4}),
        ("buy_sell_ratio", {"plain": 0.9}),
        ("price_ratio", {"plain": 0.01}),
        ("funding_rate", {"slight": 0.0004}),
    ],
)
def test_thresholds_in_the_wrong_order_are_refused_by_name(name: str, wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=rf"{name}: .* must be below"):
        msgspec.convert(wrong, type(live_part(name)))
