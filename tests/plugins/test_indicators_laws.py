"""What holds for every bar indicator: symmetry, bounds, no look-ahead, honest warm-ups, and a tape that equals the history."""

from __future__ import annotations

import gzip
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from indicator_parts import SILENT, VOTERS, market, part, walk

from enigma_core.errors import ConfigError
from enigma_core.lines import TAIL, Floats, Tape
from enigma_core.model import Candles
from enigma_core.parts import Indicator
from enigma_core.testing import verify

ALL = VOTERS + SILENT
SEEDS = st.integers(0, 10_000)


def answer(indicator: Indicator, candles: Candles) -> Floats:
    """Its points, or the line of an indicator that never votes."""
    if indicator.max_points:
        return indicator.points(candles)
    line = indicator.line(candles)
    assert line is not None
    return line


def stopped(n: int, at: int, seed: int = 2) -> Candles:
    """A market that moves until bar `at` and then stands still, without volume."""
    random = np.random.default_rng(seed)
    close, moving = walk(n, seed, 48_950.3), np.arange(n) < at
    close[at:] = close[at - 1]
    return market(close, np.where(moving, 0.001, 0.0), np.where(moving, random.random(n) * 1e8, 0.0), seed)


def on_grid(n: int, seed: int, step: float = 1 / 64) -> Candles:
    """Prices and volumes on a coarse binary grid: ties abound, and sums and differences of prices are exact."""
    random = np.random.default_rng(seed)
    close = 100 + np.cumsum(random.integers(-3, 4, n)) * step
    start = np.concatenate((close[:1], close[:-1]))
    high = np.maximum(start, close) + random.integers(0, 3, n) * step
    low = np.minimum(start, close) - random.integers(0, 3, n) * step
    return Candles.of("X", "5m", np.arange(n) * 300_000, start, high, low, close, random.integers(0, 9, n) / 8)


MARKETS: dict[str, Candles] = {
    "walk": market(walk(2200)),
    "grid": on_grid(2200, 5),
    "tiny": market(walk(2200, 6, 1e-8), volume=np.random.default_rng(6).random(2200) * 1e12),
    "huge": market(walk(2200, 7, 1e9)),
    "steps": market(np.repeat(np.round(walk(110, 8), 2), 20), 0.0, np.full(2200, 0.1)),
    "stopped": stopped(2200, 1300),
    "flat": market(np.full(2200, 0.1), 0.0, np.zeros(2200)),
}


@pytest.mark.parametrize("name", ALL)
def test_the_contract_kit_finds_nothing_wrong(name: str) -> None:
    verify(type(part(name)))


@pytest.mark.parametrize("name", VOTERS)
@settings(max_examples=8)
@given(seed=SEEDS)
def test_an_inverted_price_path_gives_inverted_points(name: str, seed: int) -> None:
    candles = on_grid(400, seed)
    mirror = Candles.of(
        "X", "5m", candles.ts, 200 - candles.open, 200 - candles.low, 200 - candles.high, 200 - candles.close, candles.volume
    )
    indicator = part(name)
    np.testing.assert_allclose(indicator.points(mirror), -indicator.points(candles), atol=1e-6)


@pytest.mark.parametrize("name", VOTERS)
@pytest.mark.parametrize("kind", MARKETS)
def test_points_are_finite_and_within_bounds_once_known(name: str, kind: str) -> None:
    indicator, candles = part(name), MARKETS[kind]
    points = indicator.points(candles)
    assert points.shape == (len(candles),)
    assert points.dtype == np.float64
    assert np.isnan(points[0])
    known = ~np.isnan(points)
    first = int(np.argmax(known))
    assert known[first:].all()
    assert first < 60
    assert np.abs(points[first:]).max() <= indicator.max_points


@pytest.mark.parametrize("name", VOTERS)
def test_a_market_that_never_moves_gets_no_vote(name: str) -> None:
    points = part(name).points(MARKETS["flat"])
    assert (points[~np.isnan(points)] == 0).all()


@pytest.mark.parametrize("name", VOTERS)
def test_a_market_that_stops_gets_no_vote_after_a_while(name: str) -> None:
    # exponential averages of a market that stops go on drawing together for some hundred bars
    candles = MARKETS["stopped"]
    assert (part(name).points(candles)[-100:] == 0).all()


@pytest.mark.parametrize(
    ("name", "middle"),
    [
        ("stochastic_rsi", 50),
        ("stochastic", 50),
        ("williams_r", -50),
        ("bollinger", 0.5),
        ("kdj", 50),
        ("rsi", 50),
        ("cci", 0),
        ("cmf", 0),
    ],
)
def test_a_flat_market_gives_the_middle_of_the_scale(name: str, middle: float) -> None:
    for kind in ("flat", "stopped"):
        line = part(name).line(MARKETS[kind])
        assert line is not None
        assert line[-1] == pytest.approx(middle, abs=1e-9)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("bars", [0, 1, 2, 3, 9, 14, 20])
def test_a_few_bars_give_as_many_items(name: str, bars: int) -> None:
    candles = MARKETS["walk"][:bars]
    indicator = part(name)
    line = indicator.line(candles)
    assert line is not None
    assert indicator.points(candles).shape == line.shape == (bars,)


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=5)
@given(seed=SEEDS, cut=st.integers(1, 399))
def test_no_item_depends_on_later_bars(name: str, seed: int, cut: int) -> None:
    indicator, candles = part(name), on_grid(400, seed)
    np.testing.assert_array_equal(answer(indicator, candles[:cut]), answer(indicator, candles)[:cut])


def warmup_holds(indicator: Indicator, candles: Candles, tries: int = 60) -> None:
    whole, bars = answer(indicator, candles), indicator.warmup
    assert bars < len(candles)
    scale = indicator.max_points or np.nanmax(np.abs(whole))
    for end in np.unique(np.linspace(bars, len(candles), tries).astype(int)).tolist():
        window = answer(indicator, candles[end - bars : end])
        assert window[-1] == pytest.approx(whole[end - 1], abs=1e-9 * scale), f"bar {end - 1}"


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", ["walk", "grid", "tiny", "steps"])
def test_the_warmup_is_honest_on_generated_markets(name: str, kind: str) -> None:
    warmup_holds(part(name), MARKETS[kind])


@pytest.mark.parametrize("name", [name for name in VOTERS if name != "obv"])  # where OBV starts means nothing
@pytest.mark.parametrize("kind", ["walk", "grid", "tiny"])
def test_the_line_has_forgotten_where_history_began(name: str, kind: str) -> None:
    indicator, candles = part(name), MARKETS[kind]
    whole, bars = indicator.line(candles), indicator.warmup
    assert whole is not None
    scale = np.nanmax(np.abs(whole))
    for end in range(bars, len(candles) + 1, 97):
        window = indicator.line(candles[end - bars : end])
        assert window is not None
        assert window[-1] == pytest.approx(whole[end - 1], abs=1e-9 * scale), f"bar {end - 1}"


@pytest.mark.parametrize("name", VOTERS)
def test_the_warmup_is_honest_where_a_market_stops(name: str) -> None:
    warmup_holds(part(name), MARKETS["stopped"], 120)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "file",
    ["binance_usdm_5m/XRPUSDT.csv.gz", "binance_usdm_5m/BTCUSDT.csv.gz", "kucoin_15m/SOLUSDTM.csv.gz", "gaps/ADABTC-5m.csv.gz"],
)
def test_the_warmup_is_honest_on_real_candles(name: str, file: str, market_data: Path) -> None:
    with gzip.open(market_data / "candles" / file, "rt") as text:
        columns = np.loadtxt(text, delimiter=",", skiprows=1, max_rows=6000).T
    warmup_holds(part(name), Candles.of("X", "5m", *columns[:6]))


def tape_equals_history(indicator: Indicator, method: str, candles: Candles, start: int) -> None:
    whole = getattr(indicator, method)(candles)
    tape = Tape()
    live = msgspec.structs.replace(candles, ta=tape)
    opened = 0
    for end in range(start, len(candles) + 1):
        tape.rewind()
        if tape.open:
            now = getattr(indicator, method)(live[end - TAIL : end])
            assert now.shape == (TAIL,)
            opened += 1
        else:
            now = getattr(indicator, method)(live[:end])
            tape.settle(end)
        np.testing.assert_array_equal(now[-1], whole[end - 1], err_msg=f"bar {end - 1}")
    assert opened


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", MARKETS)
def test_bar_by_bar_equals_the_history_to_the_last_bit(name: str, kind: str) -> None:
    candles = MARKETS[kind][-1200:] if kind == "stopped" else MARKETS[kind][:400]
    tape_equals_history(part(name), "points" if name in VOTERS else "line", candles, 1)


@pytest.mark.parametrize("name", VOTERS)
def test_the_line_too_equals_the_history_bar_by_bar(name: str) -> None:
    tape_equals_history(part(name), "line", MARKETS["walk"][:300], 50)


def test_bar_by_bar_equals_the_history_for_thousands_of_bars() -> None:
    for name in VOTERS:
        tape_equals_history(part(name), "points", MARKETS["walk"], 100)


@pytest.mark.parametrize("name", SILENT)
def test_adx_and_atr_never_vote(name: str) -> None:
    indicator = part(name)
    assert (indicator.points(MARKETS["walk"]) == 0).all()
    with pytest.raises(msgspec.ValidationError, match="max_points"):
        msgspec.convert({"max_points": 1.0}, type(indicator))


def test_the_trend_line_is_the_fast_average_less_the_slow() -> None:
    candles = MARKETS["walk"]
    line = part("ema_trend").line(candles)
    ta, close = candles.ta, candles.close
    np.testing.assert_array_equal(line, ta.EMA(close, timeperiod=10) - ta.EMA(close, timeperiod=50))


@pytest.mark.parametrize("name", ALL)
def test_every_setting_is_explained(name: str) -> None:
    schema = msgspec.json.schema(type(part(name)))
    (definition,) = schema["$defs"].values()
    assert all("description" in setting for setting in definition["properties"].values())


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("macd", {"fast": 30}), ("awesome_oscillator", {"fast": 34}), ("ema_trend", {"middle": 60}), ("cci", {"far": 200.0})],
)
def test_settings_in_the_wrong_order_are_refused_by_name(name: str, wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=rf"{name}: .* must be below"):
        msgspec.convert(wrong, type(part(name)))


@pytest.mark.parametrize(
    ("name", "given_settings"),
    [
        ("stochastic", {"oversold": 30, "overbought": 70, "k_period": 1, "d_period": 2}),
        ("kdj", {"period": 3, "k_period": 4, "d_period": 5, "j_oversold": -10}),
        ("kdj", {"k_period": 1, "d_period": 1}),
        ("williams_r", {"period": 5, "oversold": -70, "overbought": -30}),
        ("obv", {"average_period": 5, "look_back": 50}),
        ("cci", {"period": 5, "far": 50, "extreme": 90}),
        ("bollinger", {"deviations": 1, "upper_part": 0.5}),
    ],
)
def test_other_settings_keep_the_contract(name: str, given_settings: dict[str, float]) -> None:
    indicator = type(part(name))(**given_settings)
    verify(indicator)
    tape_equals_history(indicator, "points", MARKETS["grid"][:250], 70)
