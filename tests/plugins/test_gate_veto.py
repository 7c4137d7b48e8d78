"""The gate that an alert shuts: for the other side only, while the alert is young."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk import BTC, one_row
from enigma_core.gating import ask_market
from enigma_core.market import Market, Voted
from enigma_core.scoring import Evaluation
from enigma_plugins.gates.veto import Veto
from markets import START

TTL = 600_000


def row(score: float, market: Market | None, ts: int = START) -> Evaluation:
    return msgspec.structs.replace(one_row(BTC, ts, 100.0, score), market=market)


def vetoed(side: Any, ts: int = START, ttl: int = TTL) -> Market:
    market = Market(BTC)
    market.cast(Voted(ts, BTC, side, ttl, True))
    return market


def test_it_abstains_where_no_alert_has_spoken() -> None:
    for market in (None, Market(BTC)):
        (found,) = ask_market({"veto": Veto()}, row(100.0, market))
        assert found.abstained
        assert found.passed[0]


@given(
    side=st.sampled_from([1, -1]),
    score=st.floats(-160, 160).filter(lambda score: score != 0),
    age=st.integers(-TTL, 3 * TTL),
)
def test_it_blocks_the_other_side_until_the_alert_has_grown_old(side: int, score: float, age: int) -> None:
    (found,) = ask_market({"veto": Veto()}, row(score, vetoed(side), START + age))
    blocks = np.sign(score) == -side and age < TTL
    assert bool(found.passed[0]) is not blocks
    assert found.values[0] == float(blocks)
    assert found.error is None


@pytest.mark.parametrize(("age", "blocks"), [(TTL - 1, True), (TTL, False)])
def test_i06_it_ends_with_its_ttl(age: int, blocks: bool) -> None:
    (found,) = ask_market({"veto": Veto()}, row(-100.0, vetoed(1), START + age))
    assert bool(found.passed[0]) is not blocks


def test_the_newest_alert_is_the_one_that_counts() -> None:
    market = vetoed(1)
    market.cast(Voted(START + 1, BTC, -1, TTL, True))
    for score, blocks in ((100.0, True), (-100.0, False)):
        (found,) = ask_market({"veto": Veto()}, row(score, market, START + 2))
        assert bool(found.passed[0]) is not blocks


def test_a_vote_is_no_veto() -> None:
    market = Market(BTC)
    market.cast(Voted(START, BTC, 1, TTL))
    (found,) = ask_market({"veto": Veto()}, row(-100.0, market))
    assert found.abstained
