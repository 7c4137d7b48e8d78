"""The points tables, restated bar by bar in plain Python and compared on random markets: the first row that holds decides."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from indicator_parts import market, part, walk

from enigma_core.lines import Floats
from enigma_core.model import Candles

Lines = dict[str, Floats]
Holds = Callable[[Lines, int], bool]
Row = tuple[str, Holds, float]


def crosses(a: str, b: str, side: int) -> Holds:
    """`a` goes from not above (side 1) or not below (side -1) `b` to beyond it."""
    return lambda x, i: side * (x[a][i] - x[b][i]) > 1e-9 and side * (x[a][i - 1] - x[b][i - 1]) <= 1e-9


def both(*conditions: Holds) -> Holds:
    return lambda x, i: all(condition(x, i) for condition in conditions)


def of_stochastic(name: str) -> Callable[[Candles], Lines]:
    def lines(candles: Candles) -> Lines:
        k, d = part(name).k_and_d(candles)  # type: ignore[attr-defined]
        return {"k": k, "d": d}

    return lines


def of_line(name: str) -> Callable[[Candles], Lines]:
    def lines(candles: Candles) -> Lines:
        line = part(name).line(candles)
        assert line is not None
        return {"x": line, "zero": np.zeros(len(candles))}

    return lines


def of_emas(candles: Candles) -> Lines:
    emas = {f"ema{n}": candles.ta.EMA(candles.close, timeperiod=n) for n in (10, 25, 50)}
    return {**emas, "close": candles.close}


def of_bands(candles: Candles) -> Lines:
    upper, middle, lower = part("bollinger").bands(candles)  # type: ignore[attr-defined]
    place = part("bollinger").line(candles)
    assert place is not None
    return {"upper": upper, "middle": middle, "lower": lower, "b": place, "close": candles.close}


def of_kdj(candles: Candles) -> Lines:
    low, high, close = candles.low, candles.high, candles.close
    k = d = 50.0
    columns = np.full((3, len(candles)), np.nan)
    for i in range(8, len(candles)):
        bottom, top = low[i - 8 : i + 1].min(), high[i - 8 : i + 1].max()
        rsv = 50.0 if top == bottom else 100 * (close[i] - bottom) / (top - bottom)
        k = 2 / 3 * k + 1 / 3 * rsv
        d = 2 / 3 * d + 1 / 3 * k
        columns[:, i] = k, d, 3 * k - 2 * d
    return dict(zip("kdj", columns, strict=True))


def of_obv(candles: Candles) -> Lines:
    obv = np.cumsum(np.sign(np.diff(candles.close, prepend=candles.close[0])) * candles.volume)
    mean = np.array([obv[i - 19 : i + 1].mean() if i >= 19 else np.nan for i in range(len(obv))])
    return {"obv": obv, "mean": mean, "close": candles.close}


STOCHASTIC: dict[float, list[Row]] = {
    zone: [
        ("K crosses above D while K < 20", both(crosses("k", "d", 1), lambda x, i: x["k"][i] < 20), 1.0),
        ("K crosses below D while K > 80", both(crosses("k", "d", -1), lambda x, i: x["k"][i] > 80), -1.0),
        ("K < 20", lambda x, i: x["k"][i] < 20, zone),
        ("K > 80", lambda x, i: x["k"][i] > 80, -zone),
    ]
    for zone in (0.5, 0.55)
}

TABLES: dict[str, tuple[Callable[[Candles], Lines], list[Row]]] = {
    "stochastic_rsi": (of_stochastic("stochastic_rsi"), STOCHASTIC[0.5]),
    "stochastic": (of_stochastic("stochastic"), STOCHASTIC[0.55]),
    "williams_r": (
        of_line("williams_r"),
        [
            ("%R <= -80 and rising", lambda x, i: x["x"][i] <= -80 and x["x"][i] > x["x"][i - 1] + 1e-9, 1.0),
            ("%R >= -20 and falling", lambda x, i: x["x"][i] >= -20 and x["x"][i] < x["x"][i - 1] - 1e-9, -1.0),
            ("%R <= -80", lambda x, i: x["x"][i] <= -80, 0.8),
            ("%R >= -20", lambda x, i: x["x"][i] >= -20, -0.8),
        ],
    ),
    "macd": (
        of_line("macd"),
        [
            ("histogram > 0 and rising", lambda x, i: x["x"][i] > 0 and x["x"][i] > x["x"][i - 1], 1.0),
            ("histogram < 0 and falling", lambda x, i: x["x"][i] < 0 and x["x"][i] < x["x"][i - 1], -1.0),
            ("histogram > 0", lambda x, i: x["x"][i] > 0, 0.66),
            ("histogram < 0", lambda x, i: x["x"][i] < 0, -0.66),
        ],
    ),
    "awesome_oscillator": (
        of_line("awesome_oscillator"),
        [
            ("crosses above 0", crosses("x", "zero", 1), 1.0),
            ("crosses below 0", crosses("x", "zero", -1), -1.0),
            ("> 0, fell, then rises", lambda x, i: x["x"][i] > 0 and x["x"][i] > x["x"][i - 1] < x["x"][i - 2], 0.7),
            ("< 0, rose, then falls", lambda x, i: x["x"][i] < 0 and x["x"][i] < x["x"][i - 1] > x["x"][i - 2], -0.7),
            ("> 0", lambda x, i: x["x"][i] > 0, 0.3),
            ("< 0", lambda x, i: x["x"][i] < 0, -0.3),
        ],
    ),
    "ema_trend": (
        of_emas,
        [
            ("EMA10 crosses above EMA50", crosses("ema10", "ema50", 1), 1.0),
            ("EMA10 crosses below EMA50", crosses("ema10", "ema50", -1), -1.0),
            ("10 > 25 > 50", lambda x, i: x["ema10"][i] > x["ema25"][i] > x["ema50"][i], 0.75),
            ("10 < 25 < 50", lambda x, i: x["ema10"][i] < x["ema25"][i] < x["ema50"][i], -0.75),
            ("close > EMA50", lambda x, i: x["close"][i] > x["ema50"][i], 0.25),
            ("close < EMA50", lambda x, i: x["close"][i] < x["ema50"][i], -0.25),
        ],
    ),
    "bollinger": (
        of_bands,
        [
            (
                "close < lower and close > previous close",
                lambda x, i: x["close"][i] < x["lower"][i] and x["close"][i] > x["close"][i - 1],
                1.0,
            ),
            (
                "close > upper and close < previous close",
                lambda x, i: x["close"][i] > x["upper"][i] and x["close"][i] < x["close"][i - 1],
                -1.0,
            ),
            ("close < lower", lambda x, i: x["close"][i] < x["lower"][i], 0.5),
            ("close > upper", lambda x, i: x["close"][i] > x["upper"][i], -0.5),
            ("%B > 0.8 and close > middle", lambda x, i: x["b"][i] > 0.8 and x["close"][i] > x["middle"][i], 0.25),
            ("%B < 0.2 and close < middle", lambda x, i: x["b"][i] < 0.2 and x["close"][i] < x["middle"][i], -0.25),
        ],
    ),
    "kdj": (
        of_kdj,
        [
            ("J < 0", lambda x, i: x["j"][i] < 0, 1.0),
            ("J > 100", lambda x, i: x["j"][i] > 100, -1.0),
            ("K crosses above D while K < 20", both(crosses("k", "d", 1), lambda x, i: x["k"][i] < 20), 0.9),
            ("K crosses below D while K > 80", both(crosses("k", "d", -1), lambda x, i: x["k"][i] > 80), -0.9),
            ("K < 20", lambda x, i: x["k"][i] < 20, 0.6),
            ("K > 80", lambda x, i: x["k"][i] > 80, -0.6),
        ],
    ),
    "obv": (
        of_obv,
        [
            (
                "close up, OBV up and OBV > its SMA",
                lambda x, i: x["close"][i] > x["close"][i - 1] and x["obv"][i] > x["obv"][i - 1] and x["obv"][i] > x["mean"][i],
                1.0,
            ),
            (
                "close down, OBV down and OBV < its SMA",
                lambda x, i: x["close"][i] < x["close"][i - 1] and x["obv"][i] < x["obv"][i - 1] and x["obv"][i] < x["mean"][i],
                -1.0,
            ),
            (
                "close below, OBV above what they were 14 bars ago",
                lambda x, i: x["close"][i] < x["close"][i - 14] and x["obv"][i] > x["obv"][i - 14],
                0.55,
            ),
            (
                "close above, OBV below what they were 14 bars ago",
                lambda x, i: x["close"][i] > x["close"][i - 14] and x["obv"][i] < x["obv"][i - 14],
                -0.55,
            ),
        ],
    ),
    "cci": (
        of_line("cci"),
        [
            ("< -200", lambda x, i: x["x"][i] < -200, 1.0),
            ("> 200", lambda x, i: x["x"][i] > 200, -1.0),
            ("< -100", lambda x, i: x["x"][i] < -100, 0.6),
            ("> 100", lambda x, i: x["x"][i] > 100, -0.6),
            ("crosses above 0", crosses("x", "zero", 1), 0.3),
            ("crosses below 0", crosses("x", "zero", -1), -0.3),
        ],
    ),
    "cmf": (
        of_line("cmf"),
        [
            ("> 0.1", lambda x, i: x["x"][i] > 0.1, 1.0),
            ("< -0.1", lambda x, i: x["x"][i] < -0.1, -1.0),
            ("> 0", lambda x, i: x["x"][i] > 0, 0.5),
            ("< 0", lambda x, i: x["x"][i] < 0, -0.5),
        ],
    ),
}

MARKET = market(walk(4000, seed=3), wick=0.002)
START = 60
"""From here on every line above is known, and so is the bar before it."""


@pytest.mark.parametrize("name", TABLES)
def test_first_row_that_holds_gives_the_points(name: str) -> None:
    lines_of, rows = TABLES[name]
    indicator, lines = part(name), lines_of(MARKET)
    points = indicator.points(MARKET)
    seen = set()
    for i in range(START, len(MARKET)):
        words, _, strength = next((row for row in rows if row[1](lines, i)), ("no row", None, 0.0))
        assert points[i] == pytest.approx(indicator.max_points * strength, abs=1e-12), f"bar {i}: {words}"
        seen.add(words)
    missing = {words for words, _, _ in rows} - seen
    assert not missing, "a row that never held was not tested"


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("stochastic_rsi", 40),
        ("williams_r", 22),
        ("macd", 18),
        ("awesome_oscillator", 17),
        ("ema_trend", 19),
        ("stochastic", 18),
        ("bollinger", 20),
        ("kdj", 17),
        ("obv", 18),
        ("cci", 16),
        ("rsi", 17),
        ("cmf", 19),
        ("adx", 0),
        ("atr", 0),
    ],
)
def test_an_indicator_weighs_what_the_table_says(name: str, most: float) -> None:
    assert part(name).max_points == most


def test_rsi_gives_half_at_the_threshold_and_all_at_the_end_of_its_scale() -> None:
    candles = market(walk(4000, seed=9, noise=0.01))
    rsi, points = part("rsi").line(candles), part("rsi").points(candles)
    assert rsi is not None
    low, high = rsi <= 30, rsi >= 70
    assert low.any()
    assert high.any()
    np.testing.assert_allclose(points[low], 17 * (1 - rsi[low] / 60))
    np.testing.assert_allclose(points[high], -17 * (1 - (100 - rsi[high]) / 60))
    assert (points[~low & ~high & ~np.isnan(rsi)] == 0).all()
    falling, rising = market(np.linspace(100, 50, 100), 0.0), market(np.linspace(50, 100, 100), 0.0)
    assert part("rsi").points(falling)[-1] == pytest.approx(17)
    assert part("rsi").points(rising)[-1] == pytest.approx(-17)
