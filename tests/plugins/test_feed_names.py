"""What a file's name says."""

from __future__ import annotations

import pytest

from enigma_plugins.feeds._symbols import named


@pytest.mark.parametrize(
    ("stem", "symbol", "timeframe"),
    [
        ("BTCUSDT", "BTC/USDT:USDT", None),
        ("XBTUSDTM", "BTC/USDT:USDT", None),
        ("XBTUSDCM", "BTC/USDC:USDC", None),
        ("BTC_USDT_USDT-5m", "BTC/USDT:USDT", "5m"),
        ("BTC_USDT_USDT-5m-futures", "BTC/USDT:USDT", "5m"),
        ("BTC-USDT", "BTC/USDT:USDT", None),
        ("btc-usdt", "BTC/USDT:USDT", None),
        ("BTC-USDT-SWAP", "BTC/USDT:USDT", None),
        ("ETHUSDT_1h", "ETH/USDT:USDT", "1h"),
        ("ETHUSDT-15min", "ETH/USDT:USDT", "15m"),
        ("1000PEPEUSDT-5m", "1000PEPE/USDT:USDT", "5m"),
        ("BTCUSDT-5m-2025-03", "BTC/USDT:USDT", "5m"),
        ("UNITTESTBTC-1m", "UNITTEST/BTC:BTC", "1m"),
        ("ADABTC-5m", "ADA/BTC:BTC", "5m"),
        ("BNBUSD", "BNB/USD:USD", None),
        ("ETHBTC", "ETH/BTC:BTC", None),
    ],
)
def test_name_gives_symbol_and_timeframe(stem: str, symbol: str, timeframe: str | None) -> None:
    assert named(stem) == (symbol, timeframe)


@pytest.mark.parametrize("stem", ["", "trades", "USDT", "BTC", "5m", "BTC_USD_BTC-1h", "BTC_USDT_mark", "notes-2025", "BTC+USDT"])
def test_name_of_nothing_known_gives_none(stem: str) -> None:
    assert named(stem) is None
