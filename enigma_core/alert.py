"""What somebody outside asks for: an alert, read into one strict shape, and what became of it.

A message may be written in many ways; whoever receives it (`enigma_webhooks`) turns it into a `Request`. An `Alert` is a
request that was accepted: it has an identity, so that it takes effect at most once, and it is written down before its sender
is answered. What an alert asks of quantity, leverage, stop and target are requests: no rule of ours is loosened by them.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

Mode = Literal["vote", "trigger", "signal", "veto"]
"""How an alert enters: its vote waits for the next evaluation; the vote is cast and the symbol evaluated at once; the alert is
the signal; it only blocks entries on the other side. No mode goes round a risk gate, and what reduces is obeyed in all of them."""

Action = Literal["long", "short", "close", "reverse", "reduce", "cancel", "halt"]
Stance = Literal["long", "short", "flat"]
Unit = Literal["base", "contracts", "percent", "quote"]


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one message asks for. Times are ms; `symbol` is unified (``BTC/USDT:USDT``).

    `action` is the word of the message, `position` what it says it wants to hold (which wins), `previous` what it says it held
    before. `closes`: only a position on this side is meant by a close. `quantity` counts in `unit`: base currency, contracts,
    percent of the equity, or quote currency (notional). `key` is an id of the sender's own; `order` and `strategy` his names for
    them. `sent` is when the message was sent, by the sender's clock; `bar` the time of the bar it is about.
    """

    symbol: str
    exchange: str = ""
    action: Action | None = None
    position: Stance | None = None
    previous: Stance | None = None
    closes: Literal["long", "short"] | None = None
    position_size: Decimal | None = None
    """How much it says is held afterwards, base currency, without its sign."""
    quantity: Decimal | None = None
    unit: Unit = "base"
    price: Decimal | None = None
    leverage: Decimal | None = None
    stop: Decimal | None = None
    take_profit: Decimal | None = None
    key: str = ""
    order: str = ""
    strategy: str = ""
    interval: str = ""
    """Of the chart it comes from, as it was written: bars of different charts say nothing about which message is newer."""
    sent: int | None = None
    bar: int | None = None
    max_lag: int | None = None
    """Of the message's own, ms: it may shorten the source's, never lengthen it."""
    indicators: dict[str, float] = {}

    @property
    def opposed(self) -> bool:
        """True for a word that goes against the position it ends in: a sale after which a long is held."""
        return {self.action, self.position} == {"long", "short"}

    @property
    def trims(self) -> bool:
        """True where that position was held before too: then the order took some of it off, and opened nothing."""
        return self.opposed and self.previous == self.position

    @property
    def reduces(self) -> bool:
        """True when all it asks for is less."""
        if self.trims:
            return True
        if self.position is not None:
            return self.position == "flat"
        return self.action in ("close", "reduce", "cancel", "halt")


class Alert(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request that was accepted. `ts` is the market's time, `received` the wall's, ms.

    `id` is its identity for good; `window` tells for how long (ms) another message under the same `key` is the same alert, None
    for ever. `digest` is of the message without its secret. `max_lag`, `max_lag_exit` and `ttl` (of its vote) are the source's, ms.
    """

    id: str
    ts: int
    source: str
    mode: Mode
    received: int
    request: Request
    key: str = ""
    window: int | None = None
    digest: str = ""
    max_lag: int = 60_000
    max_lag_exit: int = 900_000
    ttl: int = 0
    """0: two bars of the primary timeframe."""
    body: str = ""
    """As it came, the secret blanked out."""
    warnings: tuple[str, ...] = ()


Outcome = Literal[
    "entered", "refused", "closed", "reduced", "cancelled", "halted", "voted", "vetoed", "held", "nothing", "expired", "superseded"
]


Standing = Outcome | Literal["waiting", "rejected", "unfilled"]
"""How an alert stands for whoever reads of it: not worked yet; refused unread; entered with an order that ended without a fill."""


class AlertWorked(msgspec.Struct, frozen=True, kw_only=True):
    """What became of alert `id`: said once, together with what it led to."""

    ts: int
    id: str
    source: str
    symbol: str
    outcome: Outcome
    reason: str
    decision_id: str | None = None


class AlertRefused(msgspec.Struct, frozen=True, kw_only=True):
    """A message with the right secret that could not be accepted. Of its text only length and SHA-256 are kept."""

    ts: int
    source: str
    received: int
    status: int
    reason: str
    length: int
    sha256: str


Receipt = Literal["accepted", "duplicate", "conflict"]
"""What the inbox says of an alert: new; known already; its identity is known with another content."""
