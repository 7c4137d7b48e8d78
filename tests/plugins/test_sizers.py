"""Sizers: the worked numbers, the caps and their names, and what cannot be sized."""

from __future__ import annotations

import importlib
import math
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import enigma_plugins.sizers
from enigma_core.model import Class, Instrument, Signal, Sizing
from enigma_core.parts import Account, Sizer
from enigma_plugins.sizers.alert_quantity import AlertQuantity
from enigma_plugins.sizers.atr_risk import AtrRisk
from enigma_plugins.sizers.fixed_fraction import FixedFraction

BTC = Instrument(symbol="BTC/USDT:USDT")
SIZERS: tuple[type[Sizer], ...] = (AtrRisk, FixedFraction, AlertQuantity)


def account(equity: str | Decimal = "10000") -> Account:
    return cast(Account, SimpleNamespace(equity=Decimal(equity)))


def wish(**changes: Any) -> Signal:
    """A long at 50,000 with 6x and its stop at 49,500; an alert that asks for 0.012."""
    given_: dict[str, Any] = {
        "ts": 1_741_257_000_000,
        "symbol": BTC.symbol,
        "side": 1,
        "price": 50_000.0,
        "score": 90.0,
        "klass": Class.BUY,
        "confidence": 1.0,
        "atr": 250.0,
        "leverage": 6,
        "stop": 49_500.0,
        "requested_quantity": Decimal("0.012"),
    }
    return Signal(**(given_ | changes))


def nothing(bound: str, leverage: int = 6) -> Sizing:
    return Sizing(quantity=Decimal(0), leverage=leverage, margin=Decimal(0), bound=bound)


def test_every_file_offers_one_sizer_named_after_it() -> None:
    files = {f.stem for f in Path(enigma_plugins.sizers.__path__[0]).glob("*.py") if not f.stem.startswith("_")}
    offered = {stem: list(importlib.import_module(f"enigma_plugins.sizers.{stem}").enigma_sizers()) for stem in files}
    assert {stem: [sizer.name for sizer in sizers] for stem, sizers in offered.items()} == {stem: [stem] for stem in files}
    assert files == {sizer.name for sizer in SIZERS}


# the worked numbers


@pytest.mark.parametrize("side", [1, -1])
def test_two_percent_of_ten_thousand_at_six_times_is_24_contracts(side: Any) -> None:
    signal = wish(side=side, stop=50_000.0 - side * 500)
    assert FixedFraction().size(signal, BTC, account()) == Sizing(quantity=Decimal(24), leverage=6, margin=Decimal(200))


@pytest.mark.parametrize("side", [1, -1])
def test_atr_risk_loses_the_risk_at_the_stop(side: Any) -> None:
    # 10,000 * 0.001 * 0.8 / 500 = 0.016, of which the stop takes 8 = 10,000 * 0.001 * 0.8
    sized = AtrRisk(risk_per_trade=0.001).size(wish(side=side, stop=50_000.0 - side * 500, confidence=0.8), BTC, account())
    assert sized.quantity == 16
    assert sized.bound == "none"
    assert sized.quantity * BTC.multiplier * 500 == 8
    assert sized.margin == Decimal("133.333333333333")


def test_atr_risk_by_its_defaults_is_bound_by_the_margin_cap() -> None:
    assert AtrRisk().size(wish(), BTC, account()) == Sizing(
        quantity=Decimal(60), leverage=6, margin=Decimal(500), bound="position_size_max"
    )


def test_an_alerts_quantity_is_taken_as_asked() -> None:
    assert AlertQuantity().size(wish(), BTC, account()) == Sizing(quantity=Decimal(12), leverage=6, margin=Decimal(100))


# which cap bound


def test_rounding_alone_is_named_lot_and_goes_down() -> None:
    sized = AlertQuantity().size(wish(requested_quantity=Decimal("0.0129999")), BTC, account())
    assert (str(sized.quantity), sized.bound) == ("12", "lot")


def test_an_alert_that_asks_for_too_much_gets_the_cap() -> None:
    sized = AlertQuantity().size(wish(requested_quantity=Decimal("1e9")), BTC, account())
    assert sized == Sizing(quantity=Decimal(60), leverage=6, margin=Decimal(500), bound="position_size_max")


def test_fixed_fraction_stays_under_the_cap() -> None:
    sized = FixedFraction(position_size=1.0).size(wish(), BTC, account())
    assert sized == Sizing(quantity=Decimal(60), leverage=6, margin=Decimal(500), bound="position_size_max")


@pytest.mark.parametrize("sizer", SIZERS, ids=lambda s: s.name)
def test_below_the_minimum_there_is_no_order_never_a_larger_one(sizer: type[Sizer]) -> None:
    coarse = Instrument(symbol=BTC.symbol, min_quantity=Decimal(1_000))
    assert sizer().size(wish(), coarse, account()) == nothing("min_quantity")


@pytest.mark.parametrize("asked", [None, Decimal(0), Decimal(-1), Decimal("NaN"), Decimal("Infinity"), Decimal("sNaN")])
def test_an_alert_without_a_quantity_gets_no_trade(asked: Decimal | None) -> None:
    assert AlertQuantity().size(wish(requested_quantity=asked), BTC, account()) == nothing("alert")


# what cannot be sized


@pytest.mark.parametrize("stop", [math.nan, math.inf, -math.inf, 50_000.0])
def test_r13_no_stop_distance_no_trade(stop: float) -> None:
    assert AtrRisk().size(wish(stop=stop), BTC, account()) == nothing("stop_distance")


@pytest.mark.parametrize(("side", "stop"), [(1, 50_500.0), (-1, 49_500.0)])
def test_r14_a_stop_on_the_wrong_side_is_no_trade(side: Any, stop: float) -> None:
    assert AtrRisk().size(wish(side=side, stop=stop), BTC, account()) == nothing("stop_distance")


@pytest.mark.parametrize("side", [1, -1])
def test_r13_a_tiny_stop_distance_is_held_by_the_margin_cap(side: Any) -> None:
    beside = math.nextafter(50_000.0, 50_000.0 - side)
    sized = AtrRisk().size(wish(side=side, stop=beside), BTC, account())
    assert sized == Sizing(quantity=Decimal(60), leverage=6, margin=Decimal(500), bound="position_size_max")


@pytest.mark.parametrize("sizer", SIZERS, ids=lambda s: s.name)
@pytest.mark.parametrize(
    ("changes", "equity", "bound"),
    [
        ({}, "0", "equity"),
        ({}, "-1", "equity"),
        ({}, "NaN", "equity"),
        ({}, "Infinity", "equity"),
        ({}, "1e16", "equity"),
        ({"price": 0.0}, "10000", "price"),
        ({"price": -50_000.0}, "10000", "price"),
        ({"price": math.nan}, "10000", "price"),
        ({"price": math.inf}, "10000", "price"),
        ({"leverage": 0}, "10000", "leverage"),
        ({"leverage": -6}, "10000", "leverage"),
        ({"confidence": 0.0}, "10000", "confidence"),
        ({"confidence": -0.5}, "10000", "confidence"),
        ({"confidence": 1.5}, "10000", "confidence"),
        ({"confidence": math.nan}, "10000", "confidence"),
    ],
)
def test_r10_what_is_no_number_is_not_sized(sizer: type[Sizer], changes: dict[str, Any], equity: str, bound: str) -> None:
    sized = sizer().size(wish(**changes), BTC, account(equity))
    assert sized == nothing(bound, changes.get("leverage", 6))


@pytest.mark.parametrize("sizer", SIZERS, ids=lambda s: s.name)
@given(data=st.data())
def test_r13_no_size_exceeds_the_cap_whatever_the_numbers(sizer: type[Sizer], data: st.DataObject) -> None:
    price = data.draw(st.floats(5e-324, 1e300) | st.floats(0.01, 1e5))
    side = data.draw(st.sampled_from([1, -1]))
    stop = data.draw(st.floats() | st.floats(0.9, 1.1).map(lambda x: price * x))
    equity = data.draw(st.decimals("0.000000000001", "1e15", places=12) | st.decimals(1, 100_000, places=2))
    signal = wish(
        price=price,
        side=side,
        stop=stop,
        confidence=data.draw(st.floats(0, 1)),
        leverage=data.draw(st.integers(1, 125)),
        requested_quantity=data.draw(st.decimals(allow_nan=False, allow_infinity=False)),
    )
    power = st.integers(-9, 3).map(lambda n: Decimal(10) ** n)
    instrument = Instrument(symbol=BTC.symbol, lot=data.draw(power), multiplier=data.draw(power), min_quantity=data.draw(power))
    sized = sizer().size(signal, instrument, account(equity))
    lots = sized.quantity / instrument.lot
    assert sized.quantity >= 0
    assert lots == lots.to_integral_value()
    assert sized.quantity == 0 or sized.quantity >= instrument.min_quantity
    assert sized.margin <= equity * Decimal("0.05")
    assert instrument.notional(sized.quantity, Decimal(repr(price))) <= equity * Decimal("0.05") * signal.leverage
    assert sized.leverage == signal.leverage
    assert sized.bound in {"none", "position_size_max", "lot", "min_quantity", "stop_distance", "confidence", "alert"}
    assert sized.quantity > 0 or sized.bound != "none"


@given(
    confidence=st.floats(0.01, 1),
    distance=st.floats(0.0001, 0.5),
    side=st.sampled_from([1, -1]),
    equity=st.decimals(100, 1_000_000, places=2),
)
def test_r13_the_stop_never_costs_more_than_the_risk(confidence: float, distance: float, side: Any, equity: Decimal) -> None:
    stop = 50_000.0 * (1 - side * distance)
    sized = AtrRisk().size(wish(side=side, stop=stop, confidence=confidence), BTC, account(equity))
    lost = sized.quantity * BTC.multiplier * abs(Decimal(50_000) - Decimal(repr(stop)))
    assert lost <= equity * Decimal("0.02") * Decimal(repr(confidence))
