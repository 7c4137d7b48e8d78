"""A market as the screener sees it is the market as trading would decide on it."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from desk import BTC, INSTRUMENT, desk_plan, one_row
from enigma_core.book import Book
from enigma_core.deciding import Decider
from enigma_core.gating import ask_market
from enigma_core.market import BookSeen, FundingSeen, Market
from enigma_core.model import Class
from enigma_core.parts import Account, Listing
from enigma_core.testing import make_account, make_evaluation
from enigma_plugins.gates.alignment import Alignment
from enigma_plugins.gates.confidence import Confidence
from enigma_plugins.gates.cooldown import Cooldown
from enigma_plugins.gates.exposure import Exposure
from enigma_plugins.gates.max_positions import MaxPositions
from enigma_plugins.gates.score import Score
from enigma_plugins.gates.spread import Spread
from enigma_screener.looking import Look
from enigma_screener.ranking import Opportunity

NOW = 1_741_219_200_000
LISTED = Listing(symbol=BTC, turnover=60e6, spread=0.0006, funding=0.0001, funding_hours=4.0)
PLAN = desk_plan(
    market_gates={"score": Score(), "confidence": Confidence(), "alignment": Alignment(min=3), "spread": Spread()},
    account_gates={"cooldown": Cooldown(), "max_positions": MaxPositions(), "exposure": Exposure()},
)
LOOK = Look(PLAN, {BTC: INSTRUMENT})


def seen(score: float = 98.0, account: Account | None = None, look: Look = LOOK, **fields: Any) -> Opportunity | None:
    evaluation = msgspec.structs.replace(one_row(BTC, NOW, 50_000.0, score), **fields)
    return look(evaluation, LISTED, account or make_account(), NOW)


def test_score_class_alignment_and_what_was_listed_are_told() -> None:
    scores = {"5m": [98.0], "15m": [30.0], "1h": [20.0], "2h": [-40.0], "4h": [math.nan]}
    found = seen(scores=msgspec.convert(scores, dict[str, Any]))
    assert found is not None
    assert (found.side, found.score, found.klass, found.confidence) == ("long", 98.0, Class.STRONG_BUY, 1.0)
    assert found.aligned == ("5m", "15m")
    assert found.scored == ("5m", "15m", "1h", "2h")
    assert (found.spread, found.turnover, found.funding, found.funding_hours) == (0.0006, 60e6, 0.0001, 4.0)
    assert found.rank == pytest.approx(100 * 98 / 220 + 50 + 30 + 15 - 10 + 10)


def test_gates_are_counted_and_those_that_refuse_are_named() -> None:
    found = seen()
    assert found is not None
    assert (found.passed, found.asked, found.refused) == (6, 7, ("alignment",))
    found = seen(30.0, make_account(slots=5))
    assert found is not None
    assert (found.passed, found.asked) == (4, 7)
    assert found.refused == ("score", "alignment", "max_positions")


def test_a_market_whose_entry_cannot_be_sized_says_so_and_passes_no_gate_of_the_account() -> None:
    found = seen(look=Look(msgspec.structs.replace(PLAN, exits={}), {BTC: INSTRUMENT}))
    assert found is not None
    assert (found.passed, found.asked) == (3, 7)
    assert found.refused == ("alignment", "size")


@pytest.mark.parametrize("score", [0.0, math.nan])
def test_a_market_without_a_side_is_no_opportunity(score: float) -> None:
    assert seen(score) is None


def test_what_the_stream_says_is_newer_than_what_was_listed() -> None:
    market = Market(BTC)
    market.see(BookSeen(NOW, BTC, ((49_990.0, 1.0),), ((50_010.0, 1.0),)))
    market.see(FundingSeen(NOW, BTC, 0.0003, NOW + 1, 8.0))
    market.turnover = 7e6
    found = seen(market=market)
    assert found is not None
    assert found.spread == pytest.approx(0.0004)
    assert (found.turnover, found.funding, found.funding_hours) == (7e6, 0.0003, 8.0)


def test_until_when_a_symbol_is_on_cooldown_is_told_whatever_else_refuses_it() -> None:
    left = NOW - 600_000
    for score in (98.0, 30.0):
        found = seen(score, make_account(exits={BTC: left}))
        assert found is not None
        assert found.cooldown_until == left + 1_800_000
    found = seen(account=make_account(exits={BTC: NOW - 1_800_000}))
    assert found is not None
    assert found.cooldown_until is None


def test_a_cooldown_goes_by_its_part_not_by_its_name() -> None:
    plan = msgspec.structs.replace(PLAN, account_gates={"pause": Cooldown(min=60.0)})
    found = seen(account=make_account(exits={BTC: NOW - 1000}), look=Look(plan, {BTC: INSTRUMENT}))
    assert found is not None
    assert found.cooldown_until == NOW + 59_000


def test_what_is_held_is_marked() -> None:
    found = seen(account=make_account(held=frozenset({BTC})))
    assert found is not None
    assert found.held


def test_all_gates_pass_exactly_where_trading_would_enter() -> None:
    evaluation = make_evaluation(seed=5, n=300)
    book = Book(Decimal(10_000), {BTC: INSTRUMENT})
    plan = msgspec.structs.replace(PLAN, market_gates={"score": Score(min=40.0), "confidence": Confidence(min=0.6)})
    look, decider = Look(plan, {BTC: INSTRUMENT}), Decider(plan, {BTC: INSTRUMENT})
    entered = 0
    for i in range(len(evaluation)):
        row = evaluation.row(i)
        ts = int(row.ts[0])
        outcome = decider.decide(row, 0, ask_market(plan.market_gates, row), book, ts)
        found = look(row, LISTED, book, ts)
        assert found is not None
        assert (outcome.order is not None) == (not found.refused) == (found.passed == found.asked)
        entered += outcome.order is not None
    assert 20 < entered < 280
