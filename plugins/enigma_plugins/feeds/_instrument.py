"""An instrument inferred from candles alone: the grid its prices stand on, and a lot worth about one unit of quote."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from enigma_core.lines import Floats
from enigma_core.model import Candles, Instrument

HEAD = 500
"""Bars that the grid is read off. Only the first: what comes later must not decide what came before, nor a file that grows."""

MOST_TICKS = 1e12
"""Prices are not counted in finer ticks than this many: float64 holds them exactly, and such decimals are noise."""


def inferred(candles: Candles) -> Instrument:
    """Tick: the coarsest power of ten, at most 1, that every price of the first `HEAD` bars is a multiple of; a later price off
    this grid is allowed, and orders stay on it. Multiplier 1; lot and minimum: the largest power of ten whose notional at the
    first open is at most one unit of quote currency.
    """
    lot = lot_at(float(candles.open[0]))
    head = candles[:HEAD]
    decimals = price_decimals((head.open, head.high, head.low, head.close))
    return Instrument(symbol=candles.symbol, tick=Decimal(1).scaleb(-decimals), lot=lot, multiplier=Decimal(1), min_quantity=lot)


def price_decimals(prices: tuple[Floats, ...]) -> int:
    """The decimals that write every price exactly, but for float64's own rounding (5.330000000000001e-05 has seven)."""
    top = max(float(p.max()) for p in prices)
    decimals = 0
    for p in prices:
        while top * 10.0 ** (decimals + 1) <= MOST_TICKS and not _fits(p, decimals):
            decimals += 1
    return decimals


def _fits(prices: Floats, decimals: int) -> bool:
    ticks = prices * 10.0**decimals
    return bool((np.abs(ticks - np.rint(ticks)) <= 1e-6 + 1e-15 * ticks).all())


def lot_at(price: float) -> Decimal:
    """The largest power of ten of base currency that is worth at most one unit of quote at `price`."""
    exact = Decimal(repr(price))
    power = -exact.adjusted()
    return Decimal(10) ** (power if exact.scaleb(power) <= 1 else power - 1)
