"""The built-in lines equal an independent library's published series, bar for bar."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from enigma_core.lines import Floats
from enigma_core.model import Candles
from enigma_plugins.indicators.atr import Atr
from enigma_plugins.indicators.awesome_oscillator import AwesomeOscillator
from enigma_plugins.indicators.bollinger import Bollinger
from enigma_plugins.indicators.cci import Cci
from enigma_plugins.indicators.cmf import Cmf
from enigma_plugins.indicators.macd import Macd
from enigma_plugins.indicators.obv import Obv
from enigma_plugins.indicators.rsi import Rsi
from enigma_plugins.indicators.stochastic import Stochastic
from enigma_plugins.indicators.stochastic_rsi import StochasticRsi
from enigma_plugins.indicators.williams_r import WilliamsR

TOLERANCE = 1e-9


@pytest.fixture(scope="module")
def golden(market_data: Path) -> Path:
    return market_data / "golden"


@pytest.fixture(scope="module")
def quotes(golden: Path) -> Candles:
    with (golden / "quotes_default.csv").open() as file:
        rows = list(csv.DictReader(file))
    columns = [[float(row[name]) for row in rows] for name in ("open", "high", "low", "close", "volume")]
    return Candles.of("SPY", "1d", np.arange(len(rows)) * 86_400_000, *columns)


def expected(golden: Path, file: str, field: str) -> Floats:
    rows = json.loads((golden / f"{file}.standard.json").read_text())
    return np.array([np.nan if row[field] is None else row[field] for row in rows])


LINES: dict[str, tuple[str, str, Callable[[Candles], Floats | None]]] = {
    "RSI": ("rsi", "rsi", Rsi().line),
    "StochRSI K": ("stoch-rsi", "stochRsi", StochasticRsi(k_period=1).line),
    "StochRSI D": ("stoch-rsi", "signal", lambda candles: StochasticRsi(k_period=1).k_and_d(candles)[1]),
    "stochastic K": ("stoch", "k", Stochastic().line),
    "stochastic D": ("stoch", "d", lambda candles: Stochastic().k_and_d(candles)[1]),
    "%R": ("willr", "williamsR", WilliamsR().line),
    "upper band": ("bb", "upperBand", lambda candles: Bollinger().bands(candles)[0]),
    "middle band": ("bb", "sma", lambda candles: Bollinger().bands(candles)[1]),
    "lower band": ("bb", "lowerBand", lambda candles: Bollinger().bands(candles)[2]),
    "%B": ("bb", "percentB", Bollinger().line),
    "CCI": ("cci", "cci", Cci().line),
    "AO": ("awesome", "oscillator", AwesomeOscillator().line),
    "ATR": ("atr", "atr", Atr().line),
    "CMF": ("cmf", "cmf", Cmf().line),
    "EMA": ("ema", "ema", lambda candles: candles.ta.EMA(candles.close, timeperiod=20)),
}


@pytest.mark.parametrize("name", LINES)
def test_line_equals_the_golden_series(golden: Path, quotes: Candles, name: str) -> None:
    file, field, line = LINES[name]
    want, have = expected(golden, file, field), line(quotes)
    assert have is not None
    known = ~np.isnan(want)
    assert known.sum() > 400
    # relative for prices, absolute on a scale of 0 to 100
    np.testing.assert_allclose(have[known], want[known], rtol=TOLERANCE, atol=TOLERANCE)
    assert np.isnan(have[~known]).all()


@pytest.mark.parametrize(("field", "index"), [("macd", 0), ("signal", 1), ("histogram", 2)])
def test_macd_equals_the_golden_series_once_its_seed_is_forgotten(golden: Path, quotes: Candles, field: str, index: int) -> None:
    want = expected(golden, "macd", field)
    have = Macd().lines(quotes)[index]
    difference = np.abs(have - want)
    assert difference[150:].max() < 1e-4
    assert difference[400:].max() < TOLERANCE


def test_obv_equals_the_golden_series_but_for_where_it_starts(golden: Path, quotes: Candles) -> None:
    want, have = expected(golden, "obv", "obv"), Obv().line(quotes)
    np.testing.assert_allclose(have - have[0], want - want[0], rtol=TOLERANCE, atol=0)
