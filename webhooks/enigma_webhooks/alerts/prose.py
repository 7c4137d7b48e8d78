"""Words that stand beside an action in prose. An unknown one may turn it round: ``do not buy``, ``long stopped out``, ``buy?``."""

from __future__ import annotations

import re
from typing import NamedTuple

from enigma_webhooks.alerts.places import Unreadable, clipped
from enigma_webhooks.alerts.times import moment

_FILLERS = (
    "a alert alerts an and asset at binance bitget bitmex bot bybit coin coinbase contract entry exchange execute for from futures "
    "gate go hey hyperliquid in interval kraken kucoin lev leverage market mexc new now of okx on order orders pair perp perpetual "
    "please pos position price side signal signals size strategy swap symbol tf the ticker timeframe token trade tradingview "
    "trigger triggered usd usdc usdt with"
)
FILLERS = frozenset(_FILLERS.split())
"""What changes nothing about an order."""

NEGATIONS = frozenset(
    ("not", "no", "never", "dont", "don't", "don’t", "cannot", "can't", "can’t", "without", "none", "nein", "nicht")
)

_DEEDS = (
    "avoid bought can cancelled canceled close closed closing confirmed could crossed crossing did do does done entered exited "
    "expired failed filled had has have hit if ignore invalid invalidated is may maybe might missed nearly opened out possible "
    "potential previous reached rejected should skip sold stopped take test unless until wait waiting was watch were when whether "
    "will would"
)
NO_ACCOUNTS = NEGATIONS | frozenset(_DEEDS.split())
"""What stands before a symbol and names no account of the sender's."""

_LETTERS = re.compile(r"[^\W\d_]{2,}|[^\W\d_a-zA-Z]")
_SPAN = re.compile(r"[0-9]{1,4}(?:s|m|min|mins|h|hr|d|w)", re.IGNORECASE)


class Stray(NamedTuple):
    """A word that nothing is known of, and where it stands."""

    text: str
    at: int

    @property
    def negates(self) -> bool:
        return self.text.lower() in NEGATIONS


def stray(word: str, raw: str, at: int) -> Stray | None:
    """What in `word`, which is none of the vocabulary, may change an action beside it; None for fillers, times and signs.

    `raw` is the token with its marks: with ``?`` even a known word asks.
    """
    if "?" in raw:
        return Stray(raw, at)
    if not _LETTERS.search(word) or word.lower() in FILLERS or _SPAN.fullmatch(word) or moment(word) is not None:
        return None
    return Stray(word, at)


def beside(action: str, found: Stray) -> Unreadable:
    """The refusal of an action that a stray word stands beside."""
    return Unreadable(
        f"{clipped(found.text)!r} stands beside {clipped(action)!r} and may mean that it is not to be done; "
        "send the order alone, as in BUY BTCUSDT",
        found.at,
    )
