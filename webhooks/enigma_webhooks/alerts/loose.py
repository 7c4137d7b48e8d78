"""JSON as people write it: comments, forgotten quotes and commas, single and smart quotes, NaN, placeholders left as they were.

Whatever was wrong is read all the same where only one meaning is possible, and noted with its place.
"""

from __future__ import annotations

import json
import re
from typing import Any

from enigma_webhooks.alerts.numbers import NUMBER, Numeral, bounded
from enigma_webhooks.alerts.places import NOWHERE, Unreadable, clipped, line_column
from enigma_webhooks.alerts.words import meaning

DEPTH = 32
MOST_VALUES = 1000
MOST_NOTES = 20

PLACEHOLDER = re.compile(r"\{\{\s*[A-Za-z_][\w.]*(?:\([^(){}]{0,60}\))?\s*\}\}")

_STRING = re.compile(r'"([^"\\\x00-\x1f]*)"(?=[ \t\r\n]*[,:}\]])')
_BLANK = re.compile(r"[ \t\r\n\u00a0\u200b\ufeff]*")
_BARE_KEY = re.compile(r"[A-Za-z_$][\w.$-]*(?: [\w.$-]+){0,3}(?=[ \t]*[:=])|[0-9]+(?=[ \t]*:)")
_NEXT_KEY = re.compile(
    r"""[ \t\r\n]*(?:["'“”„«‘’`][^"'“”„«»‘’`:\r\n]{0,64}["'“”»‘’`]|[A-Za-z_$][\w.$-]{0,63})[ \t]*[:=]"""
    r"""|[ \t\r\n]*(?:[}\]]|//|/\*|\Z)"""
)
_AFTER_STRING = re.compile(
    r"""[ \t\r\n]*(?:[,:=}\];]|//|/\*|\#|\Z|["'“][^"'“”:\r\n]{0,64}["'”][ \t]*:|\r?\n[ \t]*[A-Za-z_$][\w.$-]{0,63}[ \t]*:)"""
)
_CLOSERS = {
    '"': '"',
    "'": "'",
    "`": "`",
    "“": '”“"',
    "”": '”"',
    "„": '“”"',
    "«": "»",
    "‘": "’‘'",
    "’": "’'",
}
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None, "none": None, "undefined": None, "nil": None, "na": None}
_ORDINARY = re.compile(r"[^,;{}\[\]\r\n/]+")
_UNFINITE = frozenset(("nan", "-nan", "+nan", "infinity", "-infinity", "+infinity", "inf", "-inf", "+inf"))


class Placed(dict[str, Any]):
    """An object of a message. `places` has where each value stands; `twice` what was given again, the last of them being kept."""

    __slots__ = ("places", "twice")

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[str, int] = {}
        self.twice: list[tuple[str, int]] = []

    def put(self, key: str, value: Any, at: int) -> None:
        if key in self:
            self.twice.append((key, at))
        self[key] = value
        self.places[key] = at


class LooseJson:
    """Reads one value of `text` from `start` on. `notes` is what was wrong: places and reasons; `end` where the value ended.

    Raises `Unreadable` where the text ends early, is nested beyond 32, or cannot be guessed.
    """

    def __init__(self, text: str, start: int = 0) -> None:
        self.text = text
        self.end = start
        self.notes: list[tuple[int, str]] = []
        self._values = 0
        self._hidden = False

    def value(self) -> Any:
        """The value that begins at `end`, blanks and comments skipped."""
        self.skip()
        return self._value(1, None)

    def note(self, at: int, reason: str) -> None:
        if len(self.notes) < MOST_NOTES:
            self.notes.append((at, reason))

    def skip(self) -> None:
        """Pass over blanks and comments."""
        text = self.text
        while True:
            at = self.end = _BLANK.match(self.text, self.end).end()  # type: ignore[union-attr]  # it matches nothing too
            two = text[at : at + 2]
            if two == "//" or two[:1] == "#":
                self.note(at, f"a comment ({two if two == '//' else '#'}) is no part of JSON; it was left out")
                end = text.find("\n", at)
                self.end = len(text) if end < 0 else end
            elif two == "/*":
                end = text.find("*/", at + 2)
                if end < 0:
                    raise Unreadable("the comment that begins here never ends; expected */", at)
                self.note(at, "a comment (/* */) is no part of JSON; it was left out")
                self.end = end + 2
            else:
                return

    def _value(self, depth: int, within: str | None) -> Any:
        self._values += 1
        if self._values > MOST_VALUES:
            raise Unreadable(f"the message has more than {MOST_VALUES} values", self.end)
        text, at = self.text, self.end
        c = text[at : at + 1]
        if c == "{":
            if found := PLACEHOLDER.match(text, at):
                return self._bare(within) if within else self._placeholder(found)
            return self._object(depth, at)
        if c == "[":
            return self._array(depth, at)
        if c in _CLOSERS and c:
            said = self._string(c)
            if "{{" in said and (found := PLACEHOLDER.search(said)):
                self.note(at, f"{clipped(found[0])} arrived unresolved")
            return said
        return self._bare(within)

    def _placeholder(self, found: re.Match[str]) -> str:
        self.end = found.end()
        return found[0]

    def _deeper(self, depth: int, at: int) -> None:
        if depth > DEPTH:
            raise Unreadable(f"the message is nested deeper than {DEPTH}", at)

    def _object(self, depth: int, began: int) -> Placed:
        self._deeper(depth, began)
        text, made = self.text, Placed()
        self.end += 1
        comma = NOWHERE
        while True:
            self.skip()
            at = self.end
            c = text[at : at + 1]
            if not c:
                raise self._ends("object", began, "expected a key or }")
            if c == "}":
                if comma >= 0:
                    self.note(comma, "a comma before } is one too many")
                self.end += 1
                return made
            if c in ",;":
                if comma >= 0 or not made:
                    self.note(at, f"a {c} with nothing before it was left out")
                comma = at
                self.end += 1
                continue
            if made and comma < 0:
                self.note(at, "a comma is missing here")
            key = self._key(c)
            self.skip()
            sign = text[self.end : self.end + 1]
            if not sign:
                raise self._ends("object", began, f"expected : after the key {clipped(key)!r}")
            if sign == "=":
                self.note(self.end, f"= stands in place of : after {clipped(key)!r}")
            elif sign != ":":
                raise Unreadable(f"found {clipped(sign)!r}, expected : after the key {clipped(key)!r}", self.end)
            self.end += 1
            self.skip()
            place = self.end
            nothing = text[place : place + 1]
            if not nothing:
                raise self._ends("object", began, f"expected a value for {clipped(key)!r}")
            if nothing in ",}":
                self.note(place, f"the value of {clipped(key)!r} is missing")
                made.put(key, None, place)
            else:
                known = meaning(key)
                self._hidden = known is not None and known.name == "secret"
                made.put(key, self._value(depth + 1, "}"), place)
                self._hidden = False
            self.skip()
            comma = NOWHERE
            after = text[self.end : self.end + 1]
            if after == "," or after == ";":
                if after == ";":
                    self.note(self.end, "; stands in place of a comma")
                comma = self.end
                self.end += 1

    def _array(self, depth: int, began: int) -> list[Any]:
        self._deeper(depth, began)
        text = self.text
        made: list[Any] = []
        self.end += 1
        comma = NOWHERE
        while True:
            self.skip()
            at = self.end
            c = text[at : at + 1]
            if not c:
                raise self._ends("array", began, "expected a value or ]")
            if c == "]":
                if comma >= 0:
                    self.note(comma, "a comma before ] is one too many")
                self.end += 1
                return made
            if c == ",":
                self.note(at, "a comma with nothing before it was left out")
                self.end += 1
                continue
            if c == "}":
                raise Unreadable("found '}', expected a value or ]", at)
            if made and comma < 0:
                self.note(at, "a comma is missing here")
            made.append(self._value(depth + 1, "]"))
            self.skip()
            comma = NOWHERE
            if text[self.end : self.end + 1] == ",":
                comma = self.end
                self.end += 1

    def _ends(self, what: str, began: int, expected: str) -> Unreadable:
        line, column = line_column(self.text, began)
        return Unreadable(
            f"the text ends inside the {what} that begins at line {line}, column {column}; {expected}", len(self.text.rstrip())
        )

    def _key(self, c: str) -> str:
        at = self.end
        if c in _CLOSERS:
            return self._string(c, key=True)
        if found := _BARE_KEY.match(self.text, at):
            self.end = found.end()
            self.note(at, f"the key {clipped(found[0])} has no quotes")
            return found[0]
        token = re.compile(r"[^\s,:{}\[\]]*").match(self.text, at)
        raise Unreadable(f"found {clipped((token and token[0]) or c, 20)!r}, expected a key in quotes or }}", at)

    def _string(self, opened: str, *, key: bool = False) -> str:
        text, at = self.text, self.end
        if opened == '"' and (found := _STRING.match(text, at)):
            self.end = found.end()
            return found[1]
        if opened != '"':
            self.note(
                at,
                "single quotes stand in place of double ones" if opened == "'" else f"{opened} stands in place of a double quote",
            )
        return self._long_string(opened, at, key=key)

    def _long_string(self, opened: str, at: int, *, key: bool) -> str:
        text, closers = self.text, _CLOSERS[opened]
        i, size = at + 1, len(text)
        inner = broken = False
        while i < size:
            c = text[i]
            if c == "\\":
                i += 2
                continue
            if c in closers:
                if key or _AFTER_STRING.match(text, i + 1):
                    self.end = i + 1
                    return self._unescaped(text[at + 1 : i], at, inner, broken)
                inner = True
            elif c < " ":
                broken = True
            i += 1
        raise Unreadable("the text ends inside the string that begins here; expected a closing quote", at)

    def _unescaped(self, raw: str, at: int, inner: bool, broken: bool) -> str:
        if inner:
            self.note(at, "a quote inside this text is not escaped")
        if broken:
            self.note(at, "a line break or tab inside this text is not escaped")
        if "\\" not in raw:
            return raw
        try:
            made: str = json.loads(f'"{raw}"', strict=False)
        except ValueError:
            self.note(at, "a backslash in this text is no escape of JSON; it was kept as it is")
            return raw
        if any("\ud800" <= c <= "\udfff" for c in made):
            self.note(at, "half a character in this text was replaced")
            return made.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return made

    def _bare(self, within: str | None) -> Any:
        """A value without quotes: to the next comma that a key follows (in an object), a bracket or the end of the line."""
        text, at = self.text, self.end
        i, size = at, len(text)
        while i < size:
            if run := _ORDINARY.match(text, i):
                i = run.end()
                continue
            c = text[i]
            if c == "{" and (found := PLACEHOLDER.match(text, i)):
                i = found.end()
                continue
            if c in "}]\r\n{[" or text.startswith("//", i) or text.startswith("/*", i):
                break
            if c in ",;" and (within != "}" or _NEXT_KEY.match(text, i + 1)):
                break
            i += 1
        token = text[at:i].rstrip()
        self.end = at + len(token)
        if not token:
            raise Unreadable(f"found {clipped(text[at : at + 1])!r}, expected a value", at)
        if NUMBER.fullmatch(token):
            return self._number(token, at)
        lowered = token.lower()
        if lowered in _WORDS:
            if token not in ("true", "false", "null"):
                self.note(at, f"{token} is no word of JSON")
            return _WORDS[lowered]
        if lowered in _UNFINITE:
            self.note(at, f"{token} is no number of JSON")
            return Numeral(token)
        self.note(at, f"the value {'of this key' if self._hidden else clipped(token)} has no quotes")
        return token.strip("\"'“”‘’")

    def _number(self, token: str, at: int) -> Any:
        try:
            bounded(token)
        except Unreadable as e:
            raise Unreadable(e.reason, at) from None
        if token[0] in "+.0" and not re.match(r"0(?![0-9])", token):
            self.note(at, f"the number {token} is not written as JSON has it")
        return int(token) if token.lstrip("+-").isdecimal() else Numeral(token)
