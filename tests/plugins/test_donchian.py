"""The example of a local plugin is sound, says what its docstring says, and votes only where it is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from enigma_core.config import load, resolve
from enigma_core.lines import Floats
from enigma_core.model import Candles
from enigma_core.parts import Indicator
from enigma_core.plugins import Catalogue
from enigma_core.testing import check

FOLDER = Path(__file__).parents[2] / "strategies"
CATALOGUE = Catalogue.load([FOLDER])
DONCHIAN = CATALOGUE.part("indicator", "donchian").part


def candles(close: Floats, seed: int = 0) -> Candles:
    noise = np.random.default_rng(seed).uniform(0, 1, (2, len(close)))
    ts = np.arange(len(close)) * 300_000
    return Candles.of("BTC/USDT:USDT", "5m", ts, close, close + noise[0], close - noise[1], close, np.ones(len(close)))


def points(bars: Candles, **settings: float) -> Floats:
    part = DONCHIAN(**settings)
    assert isinstance(part, Indicator)
    return part.points(bars)


def test_it_keeps_the_contract() -> None:
    assert check(DONCHIAN) == []


def test_it_is_off_unless_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "donchian" not in resolve(load(env={}), CATALOGUE).indicators
    assert "donchian" in resolve(load(env={}, sets=["indicators.donchian.period=10"]), CATALOGUE).indicators


def test_it_votes_where_the_close_leaves_the_range_of_the_bars_before() -> None:
    bars = candles(100 + np.cumsum(np.random.default_rng(7).normal(0, 1, 400)))
    given = points(bars, period=10, max_points=5)
    for i in range(400):
        if i < 10:
            assert np.isnan(given[i])
            continue
        top, bottom = bars.high[i - 10 : i].max(), bars.low[i - 10 : i].min()
        expected = 5 * ((bars.close[i] > top) - int(bars.close[i] < bottom))
        assert given[i] == expected
    assert {-5.0, 0.0, 5.0} <= set(given[10:])


def test_a_market_turned_upside_down_turns_its_votes() -> None:
    bars = candles(100 + np.cumsum(np.random.default_rng(3).normal(0, 1, 200)))
    mirrored = Candles.of("X", "5m", bars.ts, 300 - bars.open, 300 - bars.low, 300 - bars.high, 300 - bars.close, bars.volume)
    np.testing.assert_array_equal(points(bars), -points(mirrored))
