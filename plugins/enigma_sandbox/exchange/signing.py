"""Who asks: key, time, signature and passphrase of a private request, as KuCoin checks them."""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import unquote

from enigma_sandbox.exchange.faults import Faults
from enigma_sandbox.exchange.refusals import Refusal
from enigma_sandbox.exchange.rules import Key, Rules
from enigma_sandbox.exchange.words import Request

_HEADERS = ("kc-api-key", "kc-api-sign", "kc-api-timestamp", "kc-api-passphrase")


def signature(secret: str, text: str) -> str:
    """base64(HMAC-SHA256(secret, text))."""
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()).decode()


def _same(a: str, b: str) -> bool:
    return hmac.compare_digest(a.encode(), b.encode())


def check(request: Request, rules: Rules, faults: Faults, now: int, permission: str) -> Key | None:
    """The key of a private request; None for a trusted caller. Raises `Refusal` 400001 to 400007."""
    if faults.revoked:
        raise Refusal("400003", "KC-API-KEY not exists", 401)
    if faults.unlisted:
        raise Refusal("400006", f"The requested ip address is not in the api whitelist -- clientIp: {request.address}", 401)
    text = request.text
    if text is None:
        return None
    key, sign, stamp, passphrase = (request.headers.get(name, "") for name in _HEADERS)
    if not (key and sign and stamp and passphrase):
        raise Refusal(
            "400001",
            "Please check the header of your request for KC-API-KEY, KC-API-SIGN, KC-API-TIMESTAMP, KC-API-PASSPHRASE",
            401,
        )
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 15 and abs(int(stamp) - now) <= rules.skew_allowed):
        raise Refusal("400002", "KC-API-TIMESTAMP Invalid -- the difference from the server's time is more than 5 seconds", 401)
    found = next((k for k in rules.keys if _same(k.key, key)), None)
    if found is None:
        raise Refusal("400003", "KC-API-KEY not exists", 401)
    version = request.headers.get("kc-api-key-version", "1")
    expected = signature(found.secret, found.passphrase) if version in ("2", "3") else found.passphrase
    if not _same(expected, passphrase):
        raise Refusal("400004", "Invalid KC-API-PASSPHRASE", 401)
    head = stamp + request.method
    # one of KuCoin's own clients signs the target before it is encoded for the wire
    if not (_same(signature(found.secret, head + text), sign) or _same(signature(found.secret, head + unquote(text)), sign)):
        raise Refusal("400005", "Invalid KC-API-SIGN", 401)
    if found.addresses and request.address not in found.addresses:
        raise Refusal("400006", f"The requested ip address is not in the api whitelist -- clientIp: {request.address}", 401)
    if permission and permission not in found.permissions:
        raise Refusal("400007", "Access denied --> Require more permission", 403)
    return found
