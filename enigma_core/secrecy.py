"""Secrets in what is written for people and for logs: known values and telling keys become ``***``.

A value is made known with `hide` where it is read. From then on `redacted` takes it out of any text, also as a URL, JSON,
Python or base64 would spell it. Pairs such as ``token=...`` are masked without being known. What is neither is not found.
"""

from __future__ import annotations

import base64
import html
import json
import logging
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

MASK = "***"

LEAST = 6
"""Characters a value must have to be hidden: a shorter one would be found all over ordinary text."""

LEAST_BASE64 = 8

TALKATIVE = ("ccxt", "httpx", "httpcore", "urllib3", "apprise", "uvicorn.access")
"""Loggers of libraries that write keys, addresses or whole requests below WARNING."""

_STRONG = r"secrets?|tokens?|passwords?|passwd|pwd|passphrases?|authorization|cookies?|apikeys?"
_WEAK = r"pass|signs?|signatures?|sig|keys?"

_HINT = re.compile(r"secret|token|pass|pwd|sig|key|authorization|cookie", re.IGNORECASE)
# bounded, so that no text takes long
_KEY = rf"(?:[A-Za-z0-9]{{0,40}}[_\-.]){{0,8}}(?:{_STRONG}|{_WEAK})\d?"
_CAMEL = r"[A-Za-z0-9_.\-]{0,60}[a-z0-9](?:Secret|Token|Password|Passphrase|Sign|Signature|Key|Cookie)"
_QUOTED = r'"(?:[^"\\]|\\.)*"?' + r"|'(?:[^'\\]|\\.)*'?"
_BARE = r"""[^\s,;&"'(){}\[\]<>]+"""

_SCHEME = r"(?:(?:Bearer|Basic|Digest|Token|Bot)\s+)?"

_PAIRS = (
    # a quoted key, as JSON and Python write it; \" where it is quoted once more
    re.compile(
        rf"""(?P<before>(?P<q>\\?["'])(?:(?i:{_KEY})|{_CAMEL})(?P=q)\s*[:=]\s*b?)"""
        rf"""(?P<value>\\"(?:[^"\\]|\\[^"])*(?:\\")?|{_QUOTED}|[^\s,;&"'(){{}}\[\]<>\\]+)"""
    ),
    # key=value, as in addresses, forms and calls
    re.compile(rf"(?P<before>(?<![A-Za-z0-9])(?:(?i:{_KEY})|{_CAMEL})=)(?P<value>{_QUOTED}|(?i:{_SCHEME}){_BARE})"),
    # headers: everything to the end of the line
    re.compile(r"(?P<before>(?<![A-Za-z0-9])(?i:(?:proxy-)?authorization|(?:set-)?cookie2?)\s*:\s*)(?P<value>[^\r\n]+)"),
    # a colon follows many a word in prose: only what is hardly one
    re.compile(
        r"(?P<before>(?<![A-Za-z0-9])(?i:(?:[A-Za-z0-9]{1,40}[_\-]){1,8}(?:secret|token|key|sign|signature|pass|password|passphrase)"
        rf"|secret|password|passphrase|passwd|apikey)\s*:\s*)(?P<value>{_QUOTED}|(?![a-z]{{1,12}}(?:[\s.,;]|$)){_BARE})"
    ),
)


class Secrets:
    """Values that must not be seen. Any number of them; each may be made known any number of times."""

    def __init__(self) -> None:
        self._forms: tuple[str, ...] = ()

    def hide(self, value: str) -> None:
        """Make `value` known, in every spelling; one of fewer than `LEAST` characters is left alone."""
        self._forms = tuple(sorted({*self._forms, *spellings(value)}, key=len, reverse=True))

    def redacted(self, text: str) -> str:
        """`text` with every known value, and the values of telling keys, replaced."""
        found = _masked_pairs(text) if _HINT.search(text) else text
        return self._without_known(found) if self._forms else found

    def _without_known(self, text: str) -> str:
        spans = sorted(span for form in self._forms if form in text for span in _places(form, text))
        if not spans:
            return text
        pieces: list[str] = []
        end = 0
        # spellings overlap; what two of them cover together is one secret
        for start, stop in spans:
            if start > end or not pieces:
                pieces += [text[end:start], MASK]
            end = max(end, stop)
        return "".join(pieces) + text[end:]


def spellings(value: str) -> Iterator[str]:
    """How `value`, and each line of it, may stand in a text: as it is, in a URL, JSON, HTML, Python, base64."""
    for one in {value, value.strip(), *value.splitlines()}:
        if len(one.strip()) < LEAST:
            continue
        yield one
        for encoded in (quote(one, safe="", errors="replace"), quote(one, errors="replace"), quote_plus(one, errors="replace")):
            yield encoded
            yield re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), encoded)
        for spelt in (json.dumps(one), json.dumps(one, ensure_ascii=False), repr(one)):
            yield spelt[1:-1]
            # quoted once more: JSON within JSON
            yield json.dumps(spelt[1:-1])[1:-1]
        yield html.escape(one)
        raw = one.encode(errors="replace")
        yield repr(raw)[2:-1]
        yield from _in_base64(raw)


def _in_base64(raw: bytes) -> Iterator[str]:
    """What base64 makes of `raw` wherever it stands in something longer, such as after the user's name of basic authorization."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw).decode()
        # the first and the last characters depend on what stands beside
        sure = encoded[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
        if len(sure) >= LEAST_BASE64:
            yield sure
            yield sure.translate(str.maketrans("+/", "-_"))


def _places(form: str, text: str) -> Iterator[tuple[int, int]]:
    at = text.find(form)
    while at >= 0:
        yield at, at + len(form)
        at = text.find(form, at + 1)


def _masked_pairs(text: str) -> str:
    for pair in _PAIRS:
        text = pair.sub(_mask, text)
    return text


def _mask(found: re.Match[str]) -> str:
    value = found["value"]
    quote_mark = next((mark for mark in ('\\"', '"', "'") if value.startswith(mark)), "")
    closing = quote_mark if len(value) > len(quote_mark) and value.endswith(quote_mark) else ""
    return f"{found['before']}{quote_mark}{MASK}{closing}"


_SECRETS = Secrets()

hide = _SECRETS.hide
redacted = _SECRETS.redacted


class Redaction(logging.Filter):
    """Takes secrets out of a record itself: its message, its traceback, the texts it carries along."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            said = record.getMessage()
        except Exception:  # noqa: BLE001 - arguments that do not fit would be printed raw by the handler
            said = f"{record.msg} {record.args}"
            record.msg, record.args = redacted(said), None
        if (clean := redacted(said)) != said:
            record.msg, record.args = clean, None
        if record.exc_info and not record.exc_text:
            raised = logging.Formatter().formatException(record.exc_info)
            if (clean := redacted(raised)) != raised:
                record.exc_text = clean
        for name, value in record.__dict__.items():
            if isinstance(value, str) and name not in _OWN and (clean := redacted(value)) != value:
                record.__dict__[name] = clean
        return True


_OWN = {*logging.makeLogRecord({}).__dict__} - {"exc_text", "stack_info"}


class RedactingFormatter(logging.Formatter):
    """What another formatter writes, without secrets: whatever it adds to the message is covered too."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        return redacted(self._inner.format(record))


def guard_logging() -> None:
    """Have the handlers of the root logger write no secrets, and quieten libraries that would tell some. Any number of times."""
    for handler in logging.getLogger().handlers:
        if not any(isinstance(known, Redaction) for known in handler.filters):
            handler.addFilter(Redaction())
        if not isinstance(handler.formatter, RedactingFormatter):
            handler.setFormatter(RedactingFormatter(handler.formatter or logging.Formatter()))
    for name in TALKATIVE:
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.WARNING))
