"""The secrets a source knows, and whether one that was given is among them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence

SIGNED_FOR = 300
"""Seconds by which a signed message's time may be off."""

MOST_SIGNATURES = 8


class Keyring:
    """At most two live secrets, so that one can follow the other. Compares in the same time whatever was given.

    Where there are fewer than two, a random one takes the place, so that the number of secrets does not show either.
    """

    def __init__(self, live: Iterable[str | None] = ()) -> None:
        self.live: tuple[str, ...] = tuple(secret for secret in live if secret)
        self._digests = [hashed(secret) for secret in self.live]
        self._digests += [secrets.token_bytes(32) for _ in range(2 - len(self._digests))]
        self._keys = [signing_key(secret) for secret in self.live]

    def holds(self, given: str | bytes) -> bool:
        """True where `given` is one of the secrets."""
        digest = hashed(given)
        found = False
        for each in self._digests:
            found |= hmac.compare_digest(digest, each)
        return found

    def signed(self, id: bytes, timestamp: bytes, signatures: Sequence[bytes], body: bytes, now: float) -> bool:
        """True where one of the `signatures` (``v1,BASE64``) is a secret's HMAC-SHA256 over ``id.timestamp.body``.

        That is the Standard Webhooks scheme. `now` in seconds: a `timestamp` more than `SIGNED_FOR` away is no signature's.
        """
        if not timestamp.isdigit() or len(timestamp) > 12 or abs(int(timestamp) - now) > SIGNED_FOR:
            return False
        given = []
        for each in signatures[:MOST_SIGNATURES]:
            version, _, text = each.partition(b",")
            if version == b"v1":
                try:
                    given.append(base64.b64decode(text, validate=True))
                except binascii.Error:
                    continue
        found = False
        message = b".".join((id, timestamp, body))
        for key in self._keys:
            right = hmac.digest(key, message, "sha256")
            for one in given:
                found |= hmac.compare_digest(one, right)
        return found


def hashed(given: str | bytes) -> bytes:
    """SHA-256 of a secret's UTF-8: of one length and one type, whatever was given."""
    return hashlib.sha256(given.encode("utf-8", "surrogatepass") if isinstance(given, str) else given).digest()


def signing_key(secret: str) -> bytes:
    """The bytes a secret signs with: what follows ``whsec_`` is base64, any other is taken as it stands."""
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except ValueError:
            pass
    return secret.encode("utf-8", "surrogatepass")
