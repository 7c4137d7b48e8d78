"""A broken message as it should have been written."""

from __future__ import annotations

from typing import Any

import msgspec

from enigma_webhooks.alerts.bodies import json_begins, plain_text
from enigma_webhooks.alerts.loose import LooseJson
from enigma_webhooks.alerts.numbers import NO_NUMBER, Numeral
from enigma_webhooks.alerts.places import Unreadable
from enigma_webhooks.alerts.secrets import BLANK
from enigma_webhooks.alerts.words import meaning


def repaired(body: bytes) -> str | None:
    """The JSON of `body` mended, its secrets ``***``; None where nothing was broken, it is no JSON, or beyond repair."""
    try:
        msgspec.json.decode(body)
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        text, _ = plain_text(body)
        begin, _ = json_begins(text)
        if begin is None:
            return None
        parser = LooseJson(text, begin)
        tree = parser.value()
    except Unreadable:
        return None
    return msgspec.json.format(msgspec.json.encode(_plain(tree)), indent=2).decode() if parser.notes else None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        made = {}
        for key, inner in value.items():
            known = meaning(key)
            hidden = known is not None and known.name in ("secret", "credential") and not isinstance(inner, dict | list)
            made[key] = BLANK if hidden else _plain(inner)
        return made
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, Numeral):
        return None if value.lower() in NO_NUMBER else msgspec.Raw(_written(value).encode())
    return value


def _written(value: str) -> str:
    """A number as JSON has it: ``+.5`` is ``0.5``."""
    text = value.lstrip("+")
    sign, text = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole, point, rest = text.partition(".")
    rest = rest if not point or rest[:1].isdigit() else "0" + rest
    return f"{sign}{whole.lstrip('0') or '0'}{point}{rest}"
