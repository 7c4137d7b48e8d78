"""The nouns: the one crossing from floats to exact numbers, and candles that nobody changes."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enigma_core.errors import ConfigError, DataError
from enigma_core.model import CENT, Candles, Instrument, money

BTC = Instrument(symbol="BTC/USDT:USDT")
TICKS = st.sampled_from([Decimal(t) for t in ("0.1", "0.5", "0.01", "0.00001", "1", "5", "0.25", "0.0005", "10")])


@given(tick=TICKS, price=st.floats(1e-4, 1e6))
def test_arrays_and_single_prices_land_on_the_same_tick(tick: Decimal, price: float) -> None:
    instrument = Instrument(symbol="X", tick=tick)
    exact = instrument.price(price)
    assert exact % tick == 0
    assert abs(exact - Decimal(price)) <= tick / 2 + Decimal("1e-9")
    snapped = instrument.snap(np.array([price, math.nan]))
    assert snapped[0] == float(exact)
    assert math.isnan(snapped[1])


@given(tick=TICKS, count=st.integers(0, 10**9))
def test_the_float_of_a_tick_finds_its_way_back(tick: Decimal, count: int) -> None:
    instrument = Instrument(symbol="X", tick=tick)
    assert instrument.ticks(float(instrument.at(count))) == count


@pytest.mark.parametrize("price", [math.nan, math.inf, -math.inf])
def test_r10_what_is_no_number_is_no_price(price: float) -> None:
    with pytest.raises(DataError, match="is no price"):
        BTC.price(price)


@pytest.mark.parametrize(
    ("base", "contracts"),
    [("0.024", 24), ("0.0249999", 24), ("0.001", 1), ("0.000999999999", 0), ("0", 0), ("-1", 0), ("NaN", 0), ("Infinity", 0)],
)
def test_quantities_are_rounded_down_to_the_lot(base: str, contracts: int) -> None:
    assert BTC.contracts(Decimal(base)) == contracts
    assert BTC.contracts(float(base)) == contracts


def test_a_quantity_below_the_minimum_is_none() -> None:
    instrument = Instrument(symbol="X", lot=Decimal("0.5"), multiplier=Decimal(1), min_quantity=Decimal(2))
    assert instrument.contracts(Decimal("1.9")) == 0
    assert instrument.contracts(Decimal("2.9")) == Decimal("2.5")


@given(base=st.decimals(0, 10**6, places=9), lot=st.sampled_from([Decimal(t) for t in ("1", "0.1", "0.001", "10", "100")]))
def test_contracts_never_exceed_what_was_asked_for(base: Decimal, lot: Decimal) -> None:
    instrument = Instrument(symbol="X", lot=lot, min_quantity=lot)
    quantity = instrument.contracts(base)
    assert quantity % lot == 0
    assert quantity * instrument.multiplier <= base
    assert base < (quantity + lot) * instrument.multiplier


@pytest.mark.parametrize("field", ["tick", "lot", "multiplier", "min_quantity"])
@pytest.mark.parametrize("value", ["0", "-1", "NaN", "Infinity"])
def test_an_instrument_without_a_grid_is_refused(field: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"{field} is {value}"):
        Instrument(symbol="X", **{field: Decimal(value)})  # type: ignore[arg-type]


def test_notional_is_exact() -> None:
    assert BTC.notional(Decimal(24), Decimal("50000.0")) == Decimal(1200)
    assert BTC.notional(Decimal(7), Decimal("33333.3")) == Decimal("233.3331")


@given(st.decimals(-(10**9), 10**9, places=20))
def test_money_is_rounded_once(amount: Decimal) -> None:
    rounded = money(amount)
    assert abs(rounded - amount) <= CENT / 2
    assert money(rounded) == rounded


def test_p09_candles_cannot_be_changed() -> None:
    column = np.arange(1.0, 4.0)
    candles = Candles.of("X", "5m", np.arange(3), column, column, column, column, column)
    with pytest.raises(ValueError, match="read-only"):
        candles.close[0] = 0.0
    with pytest.raises(ValueError, match="read-only"):
        candles[1:].ts[0] = 0
    with pytest.raises(AttributeError):
        candles.close = column  # type: ignore[misc]
    column[0] = 9.0
    assert column[0] == 9.0, "the array of the caller stays his own"


def test_candles_of_unlike_columns_are_refused() -> None:
    with pytest.raises(DataError, match="six columns of one length"):
        Candles.of("X", "5m", [1, 2], [1.0], [1.0], [1.0], [1.0], [1.0])
    with pytest.raises(DataError, match="six columns"):
        Candles.of("X", "5m", [1], [1.0])


def test_a_part_of_candles_is_a_view() -> None:
    column = np.arange(1.0, 6.0)
    candles = Candles.of("X", "5m", np.arange(5), column, column, column, column, column)
    part = candles[1:3]
    assert len(part) == 2
    assert np.shares_memory(part.close, candles.close)
