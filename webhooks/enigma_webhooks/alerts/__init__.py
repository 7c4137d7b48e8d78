"""Text to order: reads alerts in whatever shape they are sent, and says what is wrong with those it cannot take.

Pure: no clock, no network, no disk. `read` is the whole of it::

    >>> (reading,) = read('{"ticker": "BTCUSDT.P", "action": "buy"}')
    >>> reading.request.symbol, reading.side
    ('BTC/USDT:USDT', 'long')
"""

from __future__ import annotations

from enigma_webhooks.alerts.places import line_column, place_of
from enigma_webhooks.alerts.reader import MOST_BYTES, MOST_ORDERS, read
from enigma_webhooks.alerts.reading import Reading, json_of
from enigma_webhooks.alerts.repair import repaired
from enigma_webhooks.alerts.secrets import blanked, stated
from enigma_webhooks.alerts.symbols import Name, UnknownSymbol, match, rescaled, unified
from enigma_webhooks.alerts.template import filled, placeholders

__all__ = [
    "MOST_BYTES",
    "MOST_ORDERS",
    "Name",
    "Reading",
    "UnknownSymbol",
    "blanked",
    "filled",
    "json_of",
    "line_column",
    "match",
    "place_of",
    "placeholders",
    "read",
    "repaired",
    "rescaled",
    "stated",
    "unified",
]
