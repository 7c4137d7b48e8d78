"""What an answer means, for each exception ccxt has and each code KuCoin has."""

from __future__ import annotations

import pytest

from enigma_core.secrecy import hide
from enigma_exchange.outcomes import CLASSES, CODES, envelope, meaning, outcome
from enigma_exchange.port import Absent, Denied, ExchangeError, Known, Refused, Throttled, Unclear

SAID = [
    "429000", "300003", "330008", "200004", "400100", "400001", "400002", "400003", "400004", "400005", "400006", "400007",
    "100001", "100004", "300000", "300009", "300011", "300012", "330005", "330012", "300001", "300002", "300005", "300007",
    "300010", "300018", "100003", "200005", "503000", "900001", "500000", "126044",
]  # fmt: skip
"""Codes the project knows of from KuCoin's documents and from what ccxt maps."""


def subclasses(kind: type) -> set[type]:
    return {kind}.union(*(subclasses(one) for one in kind.__subclasses__()))


def test_every_exception_of_ccxt_is_classified_by_name() -> None:
    ccxt = pytest.importorskip("ccxt")
    names = {one.__name__ for one in subclasses(ccxt.BaseError)}
    assert names - CLASSES.keys() == set(), "ccxt has new exceptions: say in enigma_exchange.outcomes what each means"
    assert CLASSES.keys() - names == set(), "ccxt has these no more"


def test_every_code_that_is_known_of_kucoin_is_classified() -> None:
    assert [code for code in SAID if code not in CODES] == []


def test_every_code_ccxt_maps_to_an_order_or_a_key_is_read_no_more_lightly_than_ccxt_does() -> None:
    ccxt = pytest.importorskip("ccxt")
    exact = ccxt.kucoinfutures().exceptions["exact"]
    for code, kind in exact.items():
        if code.isdigit() and code in CODES and CLASSES[kind.__name__] is Unclear and kind is not ccxt.ExchangeError:
            assert CODES[code] in (Unclear, Throttled), f"{code} is {kind.__name__} to ccxt: nobody knows what became of it"


def raised(name: str, code: str, message: str = "no") -> ExchangeError:
    ccxt = pytest.importorskip("ccxt")
    return outcome(getattr(ccxt, name)(f'kucoinfutures {{"code":"{code}","msg":"{message}"}}'))


@pytest.mark.parametrize(
    ("name", "code", "message", "kind"),
    [
        ("InvalidOrder", "126044", "clientOid duplicate", Known),
        ("ExchangeError", "300018", "clientOid parameter repeated", Known),
        ("BadRequest", "400100", "validation.createOrder.clientOid already exists", Known),
        ("OrderNotFound", "100001", "error.getOrder.orderNotExist", Absent),
        ("OrderNotFound", "100001", "invalid parameters", Refused),
        ("BadRequest", "100004", "Order is in not cancelable state", Absent),
        ("InsufficientFunds", "300003", "Balance not enough", Refused),
        ("AuthenticationError", "400003", "KC-API-KEY not exists", Denied),
        ("RateLimitExceeded", "429000", "Too many requests", Throttled),
        ("ExchangeNotAvailable", "500000", "Internal Server Error", Unclear),
        ("ExchangeError", "503000", "Service unavailable", Unclear),
        ("ExchangeError", "300015", "The funding is undergoing the settlement process", Throttled),
        ("InvalidNonce", "400002", "KC-API-TIMESTAMP Invalid", Unclear),
        ("ExchangeError", "987654", "something new", Unclear),
    ],
)
def test_x03_kucoins_code_decides_before_ccxts_class(name: str, code: str, message: str, kind: type) -> None:
    found = raised(name, code, message)
    assert type(found) is kind
    assert found.code == code


@pytest.mark.parametrize(
    "text",
    [
        "kucoinfutures POST https://api-futures.kucoin.com/api/v1/orders 502 Bad Gateway <html><body>502</body></html>",
        'kucoinfutures {"code":"2000',
        "kucoinfutures {}",
        "",
        "kucoinfutures [1, 2]",
    ],
)
@pytest.mark.parametrize(
    "name", ["ExchangeNotAvailable", "BadResponse", "NullResponse", "RequestTimeout", "NetworkError", "ExchangeError"]
)
def test_x03_what_makes_no_sense_is_unclear(name: str, text: str) -> None:
    ccxt = pytest.importorskip("ccxt")
    assert type(outcome(getattr(ccxt, name)(text))) is Unclear


def test_what_is_told_of_an_unclear_answer_is_no_page_of_html() -> None:
    ccxt = pytest.importorskip("ccxt")
    text = "kucoinfutures POST https://api/orders 502 Bad Gateway <html><body>502</body></html>"
    assert str(outcome(ccxt.ExchangeNotAvailable(text))) == "kucoinfutures POST https://api/orders 502 Bad Gateway"


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("id"), ConnectionResetError(), TimeoutError(), TypeError("None")])
def test_x03_what_nobody_foresaw_is_unclear(error: Exception) -> None:
    assert type(outcome(error)) is Unclear


def test_x03_a_class_that_is_new_is_unclear_whatever_it_derives_from() -> None:
    ccxt = pytest.importorskip("ccxt")
    new = type("OrderOfAnotherKind", (ccxt.InsufficientFunds,), {})
    assert type(outcome(new("kucoinfutures says no"))) is Unclear
    assert meaning("", "", "OrderOfAnotherKind") is Unclear


def test_the_code_is_read_out_of_what_ccxt_says() -> None:
    assert envelope('kucoinfutures {"code":"300003","msg":"Balance \\"not\\" enough"}') == ("300003", 'Balance "not" enough')
    assert envelope('kucoinfutures {"code":200000,"msg":null}') == ("200000", "")
    assert envelope("kucoinfutures GET http://x 500") == ("", "")


def test_what_an_exception_says_holds_no_secret() -> None:
    hide("very-secret-passphrase")
    found = outcome(RuntimeError("headers KC-API-PASSPHRASE very-secret-passphrase"))
    assert "very-secret" not in str(found)


def test_how_long_to_wait_is_said() -> None:
    ccxt = pytest.importorskip("ccxt")
    found = outcome(ccxt.RateLimitExceeded('kucoinfutures {"code":"429000","msg":"Too many requests"}'), 7.5)
    assert isinstance(found, Throttled)
    assert found.after == 7.5
