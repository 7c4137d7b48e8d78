"""What an answer means: was it done, was it not, does nobody know. KuCoin's code decides where there is one, else ccxt's class.

Whatever is in neither table is unclear: that keeps an order's slot and risk until it has been looked up, and loses nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from enigma_core.secrecy import redacted
from enigma_exchange.port import Absent, Denied, ExchangeError, Known, Refused, Throttled, Unclear

Outcome = type[ExchangeError]

OK = ("200000", "200")

CODES: Mapping[str, Outcome] = {
    "100001": Absent,
    "100003": Refused,
    "100004": Absent,
    "101030": Denied,
    "126033": Known,
    "126043": Absent,
    "126044": Known,
    "200001": Refused,
    "200002": Throttled,
    "200003": Refused,
    "200004": Refused,
    "200005": Refused,
    "300000": Refused,
    "300001": Refused,
    "300002": Throttled,
    "300003": Refused,
    "300004": Refused,
    "300005": Refused,
    "300006": Refused,
    "300007": Refused,
    "300008": Refused,
    "300009": Refused,
    "300010": Refused,
    "300011": Refused,
    "300012": Refused,
    "300013": Refused,
    "300014": Throttled,
    "300015": Throttled,
    "300016": Refused,
    "300017": Refused,
    "300018": Known,
    "330005": Refused,
    "330008": Refused,
    "330011": Refused,
    "330012": Refused,
    "400001": Denied,
    "400002": Unclear,
    "400003": Denied,
    "400004": Denied,
    "400005": Denied,
    "400006": Denied,
    "400007": Denied,
    "400100": Refused,
    "400200": Refused,
    "400303": Denied,
    "400500": Denied,
    "404000": Refused,
    "408000": Unclear,
    "411100": Denied,
    "415000": Refused,
    "429000": Throttled,
    "500000": Unclear,
    "503000": Unclear,
    "900001": Refused,
}
"""KuCoin's codes. 300002, 300014 and 300015 say that nothing is traded for a moment (a settlement, a liquidation): not done, and
to be asked again."""

CLASSES: Mapping[str, Outcome] = {
    "BaseError": Unclear,
    "ExchangeError": Unclear,
    "AuthenticationError": Denied,
    "PermissionDenied": Denied,
    "AccountNotEnabled": Denied,
    "AccountSuspended": Denied,
    "ArgumentsRequired": Refused,
    "BadRequest": Refused,
    "BadSymbol": Refused,
    "OperationRejected": Refused,
    "NoChange": Refused,
    "MarginModeAlreadySet": Refused,
    "MarketClosed": Refused,
    "ManualInteractionNeeded": Refused,
    "RestrictedLocation": Refused,
    "InsufficientFunds": Refused,
    "InvalidAddress": Refused,
    "AddressPending": Refused,
    "InvalidOrder": Refused,
    "OrderNotFound": Absent,
    "OrderNotCached": Unclear,
    "OrderImmediatelyFillable": Refused,
    "OrderNotFillable": Refused,
    "DuplicateOrderId": Known,
    "ContractUnavailable": Refused,
    "NotSupported": Refused,
    "InvalidProxySettings": Refused,
    "ExchangeClosedByUser": Unclear,
    "OperationFailed": Unclear,
    "NetworkError": Unclear,
    "DDoSProtection": Unclear,
    "RateLimitExceeded": Unclear,
    "ExchangeNotAvailable": Unclear,
    "OnMaintenance": Unclear,
    "InvalidNonce": Unclear,
    "ChecksumError": Unclear,
    "RequestTimeout": Unclear,
    "BadResponse": Unclear,
    "NullResponse": Unclear,
    "CancelPending": Unclear,
    "UnsubscribeError": Unclear,
}
"""Exceptions of ccxt by name, each of them: a class that is new is not taken for its parent. 429 without KuCoin's code may come
from anything on the way, so it proves nothing."""

_REPEATED = re.compile(r"client_?o(?:rder)?_?id\w*\W.{0,40}(?:repeat|duplicat|exist|used)|duplicate.{0,20}client", re.IGNORECASE)
_NO_ORDER = re.compile(r"order.?not.?(?:exist|found)|order does not exist", re.IGNORECASE)


class _Envelope(msgspec.Struct):
    code: str | int = ""
    msg: str | None = ""


def envelope(text: str) -> tuple[str, str]:
    """KuCoin's code and message out of what ccxt says, ("", "") where there are none."""
    start = text.find("{")
    if start < 0:
        return "", ""
    try:
        found = msgspec.json.decode(text[start:], type=_Envelope)
    except msgspec.MsgspecError:
        return "", ""
    return str(found.code), found.msg or ""


def meaning(code: str, message: str, name: str) -> Outcome:
    """What an answer with `code` and `message` means, or an exception of the class `name` where there is no code."""
    if code:
        if _REPEATED.search(message):
            return Known
        if code in ("100001", "400100", "404000") and _NO_ORDER.search(message):
            return Absent
        if code == "100001":
            # "invalid parameters" by its documents, and only by its words a missing order
            return Refused
        return CODES.get(code, Unclear)
    return CLASSES.get(name, Unclear)


def outcome(error: BaseException, after: float = 1.0) -> ExchangeError:
    """An exception of ccxt, or any other, as the port has it. `after`: seconds until a quota begins anew."""
    if isinstance(error, ExchangeError):
        return error
    text = str(error)
    code, message = envelope(text)
    kind = meaning(code, message, type(error).__name__)
    # a page of HTML is for browsers
    said = redacted(message or " ".join(text.partition("<")[0].split()))[:300] or type(error).__name__
    if kind is Throttled:
        return Throttled(said, code, after=after)
    return kind(said, code)
