"""The few headers the receiver looks at."""

from __future__ import annotations

from collections.abc import Iterable

TEXTS = (b"application/json", b"application/x-www-form-urlencoded", b"application/x-ndjson")
"""Types that hold text beside ``text/...``. The form is what some command-line clients say of any text."""


class Heads:
    """What the headers of one request say."""

    __slots__ = ("encoded", "forwarded", "id", "length", "secrets", "signatures", "text", "timestamp")

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.forwarded: list[bytes] = []
        self.secrets: list[bytes] = []
        self.signatures: list[bytes] = []
        self.encoded = False
        self.text = True
        self.length = 0
        self.id = b""
        self.timestamp = b""
        for name, value in headers:
            if name == b"content-type":
                self.text = is_text(value)
            elif name == b"content-length":
                self.length = int(value) if value.isdigit() and len(value) < 19 else 1 << 62
            elif name == b"content-encoding":
                self.encoded = self.encoded or value.strip().lower() not in (b"", b"identity")
            elif name == b"x-forwarded-for":
                self.forwarded.append(value)
            elif name == b"x-webhook-secret":
                self.secrets.append(value.strip())
            elif name == b"authorization":
                scheme, _, token = value.strip().partition(b" ")
                if scheme.lower() == b"bearer":
                    self.secrets.append(token.strip())
            elif name == b"webhook-id":
                self.id = value.strip()
            elif name == b"webhook-timestamp":
                self.timestamp = value.strip()
            elif name == b"webhook-signature":
                self.signatures += value.split()


def is_text(given: bytes) -> bool:
    """True for a content type that holds text."""
    kind = given.partition(b";")[0].strip().lower()
    return not kind or kind.startswith(b"text/") or kind in TEXTS or (kind.startswith(b"application/") and kind.endswith(b"+json"))
