"""One name for each symbol, whoever writes it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from enigma_core.alert import Request
from enigma_webhooks.alerts import UnknownSymbol, match, rescaled, unified

D = Decimal


@pytest.mark.parametrize(
    "text",
    [
        "KUCOIN:XBTUSDTM",
        "KUCOIN:BTCUSDT.P",
        "XBTUSDTM",
        "BTCUSDT.P",
        "BTCUSDTPERP",
        "BTC-USDT",
        "BTC/USDT",
        "BTC/USDT:USDT",
        "BINANCE:BTCUSDT.P",
        "BTCUSDT",
        "btcusdt",
        "XBTUSDT",
        "BTC_USDT",
        "BTC-USDT-SWAP",
        "BTC-USDT-PERP",
        "BTCUSDT_PERP",
        "BTCUSDT.PERP",
        "BTCUSDT_UMCBL",
        "BYBIT:BTC/USDT",
        "OKX:BTC-USDT-SWAP",
        "BITGET:BTCUSDT_UMCBL",
        "XBT/USDT:USDT",
        "BTCUSDT:USDT",
    ],
)
def test_every_way_to_write_it_is_one_perpetual(text: str) -> None:
    name = unified(text)
    assert (name.symbol, name.base, name.multiplier) == ("BTC/USDT:USDT", "BTC", 1)


@pytest.mark.parametrize(
    ("text", "symbol", "exchange", "multiplier"),
    [
        ("KUCOIN:XBTUSDTM", "BTC/USDT:USDT", "KUCOIN", 1),
        ("1000CATUSDT", "1000CAT/USDT:USDT", "", 1000),
        ("10000CATUSDTM", "10000CAT/USDT:USDT", "", 10000),
        ("BINANCE:1000000MOGUSDT.P", "1000000MOG/USDT:USDT", "BINANCE", 1_000_000),
        ("1MBABYDOGEUSDT", "1MBABYDOGE/USDT:USDT", "", 1_000_000),
        ("SHIB1000USDT", "SHIB1000/USDT:USDT", "", 1000),
        ("1INCHUSDT", "1INCH/USDT:USDT", "", 1),
        ("BTCUSDC", "BTC/USDC:USDC", "", 1),
        ("BTCUSD", "BTC/USD:USD", "", 1),
        ("XBTUSDM", "BTC/USD:BTC", "", 1),
        ("DOTUSD", "DOT/USD:USD", "", 1),
        ("EURUSD", "EUR/USD:USD", "", 1),
        ("USDCUSDT", "USDC/USDT:USDT", "", 1),
    ],
)
def test_exchange_multiplier_and_quote_are_kept_as_stated(text: str, symbol: str, exchange: str, multiplier: int) -> None:
    name = unified(text)
    assert (name.symbol, name.exchange, name.multiplier) == (symbol, exchange, multiplier)


@pytest.mark.parametrize("text", ["BTC", "USDT", "", "BTC1!", "BTCUSDT_250627", "BTC USDT", "!", "KUCOIN:", ":BTCUSDT:", "A" * 41])
def test_what_names_no_perpetual_is_refused_by_name(text: str) -> None:
    with pytest.raises(UnknownSymbol):
        unified(text)


KNOWN = ("BTC/USDT:USDT", "ETH/USDT:USDT", "10000CAT/USDT:USDT", "PEPE/USDT:USDT", "SOL/USDT:USDT")


@pytest.mark.parametrize(
    ("text", "symbol", "factor"),
    [
        ("XBTUSDTM", "BTC/USDT:USDT", D(1)),
        ("10000CATUSDT", "10000CAT/USDT:USDT", D(1)),
        ("1000CATUSDT", "10000CAT/USDT:USDT", D(10)),
        ("CATUSDT", "10000CAT/USDT:USDT", D(10000)),
        ("1000PEPEUSDT", "PEPE/USDT:USDT", D("0.001")),
    ],
)
def test_another_multiplier_gives_the_factor_of_its_prices(text: str, symbol: str, factor: Decimal) -> None:
    assert match(unified(text), KNOWN) == (symbol, factor)


def test_an_unknown_symbol_is_refused_with_the_nearest_known() -> None:
    with pytest.raises(UnknownSymbol, match=r"the symbol BTC/USD:USD is not traded here; the nearest are BTC/USDT:USDT"):
        match(unified("BTCUSD"), KNOWN)
    with pytest.raises(UnknownSymbol, match=r"ZZZZ/USDT:USDT is not traded here; there are"):
        match("ZZZZUSDT", KNOWN)


def test_rescaling_keeps_the_money_the_same() -> None:
    request = Request(
        symbol="1000CAT/USDT:USDT", action="long", quantity=D("120"), price=D("0.0123"), stop=D("0.0117"), take_profit=D("0.02")
    )
    there = rescaled(request, "10000CAT/USDT:USDT", D(10))
    assert (there.quantity, there.price, there.stop, there.take_profit) == (D(12), D("0.123"), D("0.117"), D("0.2"))
    assert request.quantity is not None
    assert request.price is not None
    assert there.quantity is not None
    assert there.price is not None
    assert there.quantity * there.price == request.quantity * request.price
    assert there.symbol == "10000CAT/USDT:USDT"


def test_a_share_of_the_equity_is_not_rescaled_and_foreign_contracts_are_refused() -> None:
    share = Request(symbol="1000CAT/USDT:USDT", action="long", quantity=D(5), unit="percent")
    assert rescaled(share, "10000CAT/USDT:USDT", D(10)).quantity == D(5)
    contracts = Request(symbol="1000CAT/USDT:USDT", action="long", quantity=D(5), unit="contracts")
    with pytest.raises(UnknownSymbol, match="state the quantity in base units"):
        rescaled(contracts, "10000CAT/USDT:USDT", D(10))


def test_nothing_changes_where_the_symbol_is_the_venues_own() -> None:
    request = Request(symbol="BTC/USDT:USDT", action="long", quantity=D(5))
    assert rescaled(request, "BTC/USDT:USDT", D(1)) is request
