"""From bytes to text, and where in it JSON begins."""

from __future__ import annotations

import json
import re

from enigma_webhooks.alerts.loose import PLACEHOLDER, LooseJson
from enigma_webhooks.alerts.places import Unreadable, sentence

_JSON_WITHIN = re.compile(r"""\{\s{0,8}["'“‘A-Za-z_][^{}\n]{0,64}?["'”’]?\s{0,8}:|\[\s{0,8}\{\s{0,8}["'“‘A-Za-z_]""")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def plain_text(raw: bytes) -> tuple[str, list[tuple[int, str]]]:
    """The body as text with plain line ends. Raises `Unreadable` where it is none."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or (len(raw) > 3 and (not any(raw[1:40:2]) or not any(raw[0:40:2]))):
        raise Unreadable("the message is UTF-16 text (or binary); expected UTF-8", status=415)
    if raw.startswith(b"\xef\xbb\xbf"):
        raw = raw[3:]
    try:
        text = raw.decode()
    except UnicodeDecodeError as e:
        raise Unreadable(
            f"the message is no UTF-8 text: byte 0x{raw[e.start]:02x} at byte {e.start + 1} begins no character", status=415
        ) from None
    notes: list[tuple[int, str]] = []
    if "\r" in text:
        notes.append((text.index("\r"), "a line ends with CR or CRLF; read as a plain line end"))
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if found := _CONTROL.search(text):
        reason = f"the control character U+{ord(found[0]):04X} stands in the message; expected text"
        raise Unreadable(sentence(text, found.start(), reason), status=415)
    if not text.strip():
        raise Unreadable('the message is empty; expected an order, as in {"symbol": "BTCUSDT", "action": "buy"}')
    return text, notes


def json_begins(text: str) -> tuple[int | None, bool]:
    """Where JSON begins, None where there is none; and whether other text stands before it."""
    begin = len(text) - len(text.lstrip())
    if text.startswith(("//", "/*", "#"), begin):
        parser = LooseJson(text, begin)
        parser.skip()
        if text[parser.end : parser.end + 1] in ("{", "["):
            return begin, False
    if text[begin] in "{[" and not PLACEHOLDER.match(text, begin):
        return begin, False
    found = None if text[begin] == '"' else _JSON_WITHIN.search(text, begin)
    return (None, False) if found is None else (found.start(), True)


def json_in_text(text: str) -> str | None:
    """The text that a message holds which is nothing but one text of JSON; None where it is something else."""
    if not text.lstrip().startswith('"'):
        return None
    try:
        inner = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    return inner if isinstance(inner, str) else None
