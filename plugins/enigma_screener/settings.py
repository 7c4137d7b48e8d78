"""Which settings the screener has wherever it is used, and what they come to."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from enigma_screener.ranking import Bounds

Top = Annotated[int, Meta(ge=1, le=500, description="how many of the best are answered")]
Chosen = Annotated[int, Meta(ge=1, le=100, description="how many of the best are traded")]
Most = Annotated[int, Meta(ge=1, le=500, description="markets that are looked at, the most traded ones")]
MinTurnover = Annotated[float, Meta(ge=0, description="24 h turnover a market must have, in the quote currency")]
MaxSpread = Annotated[float, Meta(ge=0, description="(ask - bid)/mid a market may have as it is listed")]
Quote = Annotated[str, Meta(pattern="^[A-Z0-9]{2,10}$", description="currency that the perpetuals are quoted and settled in")]

DEFAULTS = Bounds()
"""What a market must be to be looked at, unless it is set."""
