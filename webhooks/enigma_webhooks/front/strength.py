"""What is no secret: too short, a placeholder, a word everybody tries, one thing over and over."""

from __future__ import annotations

import re
from itertools import pairwise

ENOUGH = 32
"""Bytes a secret must have where money is real, or others can reach the server."""

LEAST = 8
"""Bytes it must have even where they cannot."""

MAKE = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'

_WORDS = """
    abcdefghijklmnopqrstuvwxyz abcdef abc123 abc access admin administrator alert alerts api auth authorization baseball
    bearer binance bitcoin bot btc changeit changeme change correct default demo dragon dummy enigma enter example fill
    football foo bar baz qux from fixme generate generated goes guest hello here hook horse battery staple hunter iloveyou
    insert iwant kucoin letmein login long lorem ipsum master me miniature minimum monkey must my never none not null of
    pass passphrase passw0rd passwd password pine pin placeholder please private public put qazwsx qwerty qwertyuiop
    asdfghjkl zxcvbnm asdf qwertz random replace replaceme root safe sample secret secure set sha256 shared should signal
    signals some something strategy string strong sunshine super test testing text the thing this to todo token trade
    trader trading tradingview trustno try undefined unsafe user value very view webhook webhooks welcome with word you
    your yours
""".split()  # noqa: SIM905 - a hundred words are easier read so
_KNOWN = re.compile("|".join(sorted(_WORDS, key=len, reverse=True)))
_LEET = str.maketrans("013457@$!", "oleastasi")


def weakness(secret: str, *, reachable: bool) -> str | None:
    """Why `secret` is none, in words that do not show it; None when it will do. `reachable`: others can try to guess it."""
    size = len(secret.encode("utf-8", "surrogatepass"))
    if not secret.strip():
        return "is empty"
    if secret != secret.strip() or not secret.isprintable():
        return "has blanks, line ends or control characters at its ends or within"
    if size < LEAST:
        return f"has fewer than {LEAST} bytes"
    if len(set(secret)) < 6:
        return f"is made of {len(set(secret))} different characters only"
    if _repeats(secret):
        return "is one thing over and over"
    if _runs(secret):
        return "is a run of neighbouring characters"
    least = 12 if reachable else 4
    if min(_left(secret), _left(secret.lower().translate(_LEET))) < least:
        return "is a placeholder, or made of words that are tried first"
    if reachable and size < ENOUGH:
        return f"has {size} bytes; where money is real or others can reach the server it must have at least {ENOUGH}"
    return None


def _left(secret: str) -> int:
    """How many letters and digits are left without well-known words, and without digits that are only added to them."""
    without = _KNOWN.sub(" ", secret.lower())
    if without == secret.lower():
        return ENOUGH
    return sum(len(part) for part in re.findall(r"[^\W_]+", without) if not (part.isdigit() and len(part) <= 10))


def _repeats(secret: str) -> bool:
    """True for a unit of at most half the length that repeats to the end."""
    return secret in (secret + secret[: len(secret) // 2])[1:] or any(
        all(secret[i] == secret[i - n] for i in range(n, len(secret))) for n in range(1, len(secret) // 2 + 1)
    )


def _runs(secret: str) -> bool:
    """True where most characters follow or repeat the one before, as in 0123456789 or zyxw."""
    near = sum(abs(ord(a) - ord(b)) <= 1 or (a, b) in (("9", "0"), ("0", "9")) for a, b in pairwise(secret))
    return near > 0.6 * (len(secret) - 1)
