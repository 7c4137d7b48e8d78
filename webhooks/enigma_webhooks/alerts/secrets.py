"""Secrets out of texts that are kept or shown."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence

BLANK = "***"

SHORTEST = 4
"""A secret of fewer letters is blanked only where its key stands before it: it would be found in any word."""

CLIPS = (20, 24, 40, 60, 128)
"""Where sentences cut the tokens they quote."""

_STATED = re.compile(
    r"""(?:(?:secret|passphrase|pin|token|key|password)["'”’]?[ \t]*[=:]|\b(?:secret|passphrase|pin|password)[ \t])"""
    r"""[ \t]*["'“‘]?([^"'”’\s,;&{}\[\]]{1,256})""",
    re.IGNORECASE,
)
_ESCAPES = {'"': r"\\\"", "\\": r"\\\\", "/": r"\\/", "\b": r"\\b", "\f": r"\\f", "\n": r"\\n", "\r": r"\\r", "\t": r"\\t"}


def blanked(body: bytes | str, secrets: Sequence[str]) -> str:
    """`body` as it came with ``***`` for every secret: as it is, escaped as in JSON, encoded as in a URL, or a mixture."""
    text = body if isinstance(body, str) else body.decode("utf-8", "replace")
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, BLANK)
        if "\\" in text or "%" in text or "+" in text:
            text = _forms(secret).sub(BLANK, text)
    return text


@functools.lru_cache(16)
def _forms(secret: str) -> re.Pattern[str]:
    return re.compile("".join(_form(c) for c in secret))


def _form(c: str) -> str:
    units = c.encode("utf-16-be", "surrogatepass")
    escaped = "".join(rf"\\u(?i:{units[i]:02x}{units[i + 1]:02x})" for i in range(0, len(units), 2))
    encoded = "".join(f"%(?i:{byte:02x})" for byte in c.encode("utf-8", "surrogatepass"))
    forms = [re.escape(c), escaped, encoded, _ESCAPES.get(c, ""), r"\+" if c == " " else ""]
    return f"(?:{'|'.join(filter(None, forms))})"


def stated(text: str) -> list[str]:
    """What stands after a secret's key in a text that could not be read."""
    return [found[1] for found in _STATED.finditer(text)]


def scrubbed(sentences: Iterable[str], secrets: Sequence[str]) -> tuple[str, ...]:
    """Sentences of ours without the secrets that a quoted token, perhaps a clipped one, may have brought into them."""
    for secret in secrets:
        if len(secret) >= SHORTEST:
            forms = (secret, *(secret[:n] for n in CLIPS if len(secret) > n))
            written = {way(form)[1:-1] if way else form for form in forms for way in (None, repr, ascii)}
            for form in sorted(written, key=len, reverse=True):
                sentences = [each.replace(form, BLANK) for each in sentences]
    return tuple(sentences)
