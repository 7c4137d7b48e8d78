"""A look at a message before it is read: whether the secret can be in it. Cheap enough for a flood of messages without it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote_plus

import msgspec

from enigma_webhooks.front.keyring import Keyring
from enigma_webhooks.front.strength import LEAST

MOST = 512
"""Words of a message that are compared with the secret, each once; those beyond are not."""

# each of these passes over a text once: none can match again what it has matched, whatever follows
_STRING = re.compile(r'"((?:[^"\\]|\\.)*+)"?', re.DOTALL)
_QUOTES = re.compile(r"[\"'`\u2018-\u201f\u00ab\u00bb]")
_WORD = re.compile(rf"[^\s\"'`\u2018-\u201f\u00ab\u00bb\\,;&{{}}\[\]()<>|]{{{LEAST},}}")
_LINE = re.compile(rf"[^\r\n]{{{LEAST},}}")
_ESCAPE = re.compile(r"\\{1,8}(?:u([0-9A-Fa-f]{4})|([^\\]))")
_ASSIGNED = re.compile(r"[=:]")


def glimpsed(keys: Keyring, body: bytes) -> bool:
    """True where a word of `body` is one of the secrets. The work grows with its length, and does not depend on the secret."""
    seen: set[str] = set()
    found = False
    for each in _words(body.decode("utf-8", "replace")):
        if len(each) < LEAST or each in seen:
            continue
        seen.add(each)
        found |= keys.holds(each)
        if len(seen) == MOST:
            break
    return found


def _words(text: str) -> Iterator[str]:
    """What could be a value in `text`: as JSON, quoted otherwise, a form's, or bare; a string of JSON may hold another message."""
    inner = []
    if "\\" in text:
        for value in _strings(text):
            yield value
            if _QUOTES.search(value) or "\n" in value or "\\" in value:
                inner.append(value)
    texts = [text, *inner]
    if "%" in text or "+" in text:
        for pair in text.split("&"):
            yield unquote_plus(pair.partition("=")[2]).strip()
        texts.append(unquote_plus(text))
    if "\\" in text:
        texts.append(_ESCAPE.sub(_plain, text))
        texts += [_ESCAPE.sub(_plain, each) for each in inner if "\\" in each]
    for each in texts:
        yield from _bare(each)
    for each in texts:
        yield from (value.strip() for value in _QUOTES.split(each))
    for each in texts:
        for line in _LINE.findall(each):
            yield from _values(line)


def _strings(text: str) -> Iterator[str]:
    """The strings of a JSON text, their escapes resolved."""
    for value in _STRING.findall(text):
        if "\\" in value:
            try:
                yield msgspec.json.decode(f'"{value}"', type=str)
            except (msgspec.DecodeError, ValueError):
                continue


def _bare(text: str) -> Iterator[str]:
    for word in _WORD.findall(text):
        yield word
        yield from _values(word)


def _values(text: str) -> Iterator[str]:
    """What stands after the first sign of assignment, and after the last."""
    found = _ASSIGNED.search(text)
    if found is not None:
        yield text[found.end() :].strip()
        yield text[max(text.rfind("="), text.rfind(":")) + 1 :].strip()


def _plain(escape: re.Match[str]) -> str:
    code, character = escape.groups()
    return chr(int(code, 16)) if code else " " if character in "bfnrt" else str(character)
