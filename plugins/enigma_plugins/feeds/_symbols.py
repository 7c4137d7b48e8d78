"""A file's name to a symbol: ``XBTUSDTM``, ``BTC_USDT_USDT-5m`` and ``btc-usdt`` are all ``BTC/USDT:USDT``."""

from __future__ import annotations

import re
from typing import NamedTuple

QUOTES = ("FDUSD", "USDT", "USDC", "USD", "EUR", "BTC", "ETH", "BNB", "KCS")
"""Quote currencies a joined name may end in, the longer first. BUSD and TUSD are not among them: BNBUSD and DOTUSD are."""

RENAMED = {"XBT": "BTC"}

_TIMEFRAME = re.compile(r"([1-9]\d{0,3})(MIN|[MHDW])")
_WORDS = {"FUTURES", "FUTURE", "SWAP", "PERP", "PERPETUAL", "P", "CANDLES", "KLINES", "OHLCV", "UM"}


class Named(NamedTuple):
    """What a file name says: the symbol, and the timeframe where it says one."""

    symbol: str
    timeframe: str | None


def named(stem: str) -> Named | None:
    """The symbol (ccxt unified, a linear perpetual) and timeframe that `stem`, a file name without suffixes, stands for.

    None where it stands for no symbol. A date after the timeframe (``BTCUSDT-5m-2025-03``) is a part of a longer series.
    """
    words = [word for word in re.split(r"[-_ .:/]+", stem.upper()) if word]
    timeframe = None
    for i, word in enumerate(words):
        if i and (match := _TIMEFRAME.fullmatch(word)):
            timeframe = f"{match[1]}{match[2][0].lower()}"
            words = words[:i] + [w for w in words[i + 1 :] if not w.isdigit()]
            break
    while len(words) > 1 and words[-1] in _WORDS:
        words.pop()
    pair = _pair(words)
    return Named(unified(*pair), timeframe) if pair else None


def unified(base: str, quote: str) -> str:
    """The linear perpetual of `base` in `quote`."""
    base = RENAMED.get(base, base)
    return f"{base}/{quote}:{quote}"


def _pair(words: list[str]) -> tuple[str, str] | None:
    if not words or not all(word.isalnum() for word in words):
        return None
    if len(words) == 1:
        return _split(words[0])
    base, quote, *settle = words
    if quote not in QUOTES and quote[-1] == "M":
        quote = quote[:-1]
    return (base, quote) if quote in QUOTES and settle in ([], [quote]) else None


def _split(word: str) -> tuple[str, str] | None:
    for suffix in ("", "M"):  # KuCoin ends its perpetuals in M: XBTUSDTM
        for quote in QUOTES:
            if word.endswith(quote + suffix) and len(word) > len(quote + suffix):
                return word[: -len(quote + suffix)], quote
    return None
