"""Contracts as KuCoin lists them, in the engine's words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from enigma_core.errors import ConfigError
from enigma_core.model import Instrument
from enigma_exchange.naming import symbol_of

FUNDING_MS = 28_800_000
MINUTE = 60_000
PERPETUAL = "FFWCSX"


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """A linear perpetual as it stands now: prices in quote currency, `turnover` of 24 h, `next_funding` ms (0: not known)."""

    code: str
    """What KuCoin calls it: ``XBTUSDTM``."""
    instrument: Instrument
    open: bool
    listed: int
    """When it was first traded, ms."""
    mark: float
    index: float
    last: float
    turnover: float
    funding: float
    funding_hours: float
    next_funding: int

    @property
    def symbol(self) -> str:
        return self.instrument.symbol

    @property
    def unit(self) -> float:
        """Base currency in a lot."""
        return float(self.instrument.multiplier)


def contracts_of(rows: Iterable[Mapping[str, Any]], now: int) -> dict[str, Contract]:
    """The linear perpetuals among `rows` of ``contracts/active`` by symbol; `now` is the exchange's time. Nonsense is left out."""
    found = {}
    for row in rows:
        try:
            contract = contract_of(row, now)
        except (LookupError, TypeError, ValueError, ArithmeticError, ConfigError):
            continue
        if contract is not None:
            found[contract.symbol] = contract
    return found


def contract_of(row: Mapping[str, Any], now: int) -> Contract | None:
    """One row, None for what is no linear perpetual.

    Raises `LookupError`, `TypeError`, `ValueError`, `ArithmeticError` or `ConfigError` for nonsense.
    """
    if row.get("isInverse") or row["quoteCurrency"] != row["settleCurrency"] or row.get("expireDate"):
        return None
    if row.get("type", PERPETUAL) != PERPETUAL:
        return None
    lot = exact(row["lotSize"])
    # a stop is an order at the market: what may be entered must be able to leave
    most = [exact(given) for name in ("maxOrderQty", "marketMaxOrderQty") if (given := row.get(name))]
    instrument = Instrument(
        symbol=symbol_of(row),
        tick=exact(row["tickSize"]),
        lot=lot,
        multiplier=exact(row["multiplier"]),
        min_quantity=lot,
        max_leverage=max(1, int(row.get("maxLeverage") or 1)),
        maintenance_margin_rate=exact(row.get("maintainMargin") or 0.005),
        max_quantity=min(most) if most else None,
    )
    ahead = row.get("nextFundingRateTime")
    # only what remains is said: rounded, the same settlement has the same time in every answer
    settles = row.get("nextFundingRateDateTime") or (round((now + int(ahead)) / MINUTE) * MINUTE if ahead is not None else 0)
    return Contract(
        code=str(row["symbol"]),
        instrument=instrument,
        open=row.get("status") == "Open",
        listed=int(row.get("firstOpenDate") or 0),
        mark=number(row.get("markPrice")),
        index=number(row.get("indexPrice")),
        last=number(row.get("lastTradePrice")),
        turnover=number(row.get("turnoverOf24h")),
        funding=number(row.get("fundingFeeRate")),
        funding_hours=int(row.get("fundingRateGranularity") or FUNDING_MS) / 3_600_000,
        next_funding=int(settles),
    )


def exact(value: Any) -> Decimal:
    """A number of JSON, exactly as it was written, without an exponent or idle zeros."""
    return Decimal(format(Decimal(value if isinstance(value, str) else repr(value)).normalize(), "f"))


def number(value: Any) -> float:
    """A number of JSON, perhaps written as text; NaN for anything else."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
