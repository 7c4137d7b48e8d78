"""The perpetuals of the synthetic market: real names, grids as KuCoin lists them, and the character of their prices.

Behind them stand made-up ones, as many as a run over hundreds of symbols needs.
"""

from __future__ import annotations

import math
from decimal import Decimal
from functools import cache
from itertools import islice, product
from typing import NamedTuple
from zlib import crc32

from enigma_core.model import Instrument


class Listed(NamedTuple):
    """`price` is where it starts, `wildness` its volatility as a multiple of BTC's, `pull` its correlation with the market,
    `turnover` its usual 24 h turnover in millions of quote currency.
    """

    base: str
    price: float
    tick: str
    multiplier: str
    max_leverage: int
    wildness: float
    pull: float
    turnover: float

    @property
    def symbol(self) -> str:
        return f"{self.base}/USDT:USDT"

    @property
    def instrument(self) -> Instrument:
        return Instrument(
            symbol=self.symbol,
            tick=Decimal(self.tick),
            lot=Decimal(1),
            multiplier=Decimal(self.multiplier),
            min_quantity=Decimal(1),
            max_leverage=self.max_leverage,
        )


LISTED = (
    Listed("BTC", 94_000.0, "0.1", "0.001", 125, 1.0, 0.85, 1900.0),
    Listed("ETH", 3_350.0, "0.01", "0.01", 100, 1.25, 0.8, 1100.0),
    Listed("SOL", 190.0, "0.001", "0.1", 75, 1.6, 0.7, 420.0),
    Listed("XRP", 2.1, "0.0001", "10", 75, 1.6, 0.65, 310.0),
    Listed("DOGE", 0.32, "0.00001", "100", 75, 1.8, 0.7, 190.0),
    Listed("BNB", 700.0, "0.01", "0.01", 75, 1.1, 0.7, 95.0),
    Listed("ADA", 0.86, "0.0001", "10", 75, 1.6, 0.7, 88.0),
    Listed("LINK", 20.5, "0.001", "0.1", 75, 1.6, 0.7, 74.0),
    Listed("SUI", 4.2, "0.0001", "1", 75, 1.9, 0.6, 71.0),
    Listed("AVAX", 36.0, "0.001", "0.1", 75, 1.7, 0.7, 58.0),
    Listed("LTC", 104.0, "0.01", "0.1", 75, 1.4, 0.65, 46.0),
    Listed("BCH", 435.0, "0.01", "0.01", 75, 1.5, 0.65, 33.0),
    Listed("DOT", 6.7, "0.001", "1", 75, 1.5, 0.7, 31.0),
    Listed("NEAR", 5.0, "0.001", "0.1", 50, 1.8, 0.65, 27.0),
    Listed("TRX", 0.255, "0.00001", "100", 50, 0.9, 0.5, 24.0),
    Listed("UNI", 13.2, "0.001", "1", 50, 1.7, 0.65, 22.0),
    Listed("APT", 8.8, "0.001", "1", 50, 1.8, 0.6, 19.0),
    Listed("ARB", 0.74, "0.0001", "1", 50, 1.8, 0.65, 17.0),
    Listed("OP", 1.78, "0.0001", "1", 50, 1.8, 0.65, 15.0),
    Listed("FIL", 4.9, "0.001", "0.1", 50, 1.6, 0.65, 13.0),
    Listed("ATOM", 6.3, "0.001", "0.1", 50, 1.5, 0.65, 12.0),
    Listed("ETC", 25.4, "0.001", "0.1", 50, 1.5, 0.65, 11.0),
    Listed("XLM", 0.34, "0.00001", "10", 50, 1.7, 0.55, 10.0),
    Listed("TON", 5.5, "0.0001", "1", 50, 1.5, 0.55, 9.0),
)

MOST = 500
"""Perpetuals there are, made-up ones included."""


@cache
def offered(count: int) -> tuple[Listed, ...]:
    """The first `count` perpetuals: the real names, then made-up ones, each traded less than the one before."""
    taken = {"KAVA", *(listed.base for listed in LISTED)}
    names = (name for letters in product("KTRLMN", "AOEI", "VZSDB", "UAOE") if (name := "".join(letters)) not in taken)
    made = (_made_up(name, number) for number, name in enumerate(names))
    return (*LISTED, *islice(made, max(0, count - len(LISTED))))[:count]


def _made_up(name: str, number: int) -> Listed:
    chance = crc32(name.encode())
    power = chance % 6 - 3
    price = round((1 + chance // 6 % 89 / 10) * 10.0**power, 6)
    return Listed(
        name,
        price,
        f"{Decimal(10) ** (power - 4):f}",
        f"{Decimal(10) ** -power:f}",
        (20, 50, 75)[chance // 600 % 3],
        1.4 + chance // 2000 % 8 / 10,
        0.5 + chance // 20_000 % 25 / 100,
        round(8.5 * math.exp(-number / 150), 3),
    )
