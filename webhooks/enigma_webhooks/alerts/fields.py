"""From a nested object to the fields that the vocabulary knows, wherever they stand in it."""

from __future__ import annotations

from typing import Any, NamedTuple

from enigma_webhooks.alerts.loose import DEPTH, Placed
from enigma_webhooks.alerts.numbers import NUMBER, Numeral, measured
from enigma_webhooks.alerts.places import NOWHERE, Unreadable, clipped
from enigma_webhooks.alerts.words import meaning as meaning_of
from enigma_webhooks.alerts.words import plain, under, word

MOST_INDICATORS = 100
MOST_FIELDS = 1000


class Field(NamedTuple):
    """A value of a message under its key as written. `rank` and then `depth` say how near it is to what is looked for."""

    rank: int
    depth: int
    key: str
    value: Any
    at: int
    unit: str = ""


STRICT = frozenset(("symbol", "side", "quantity", "leverage", "secret", "max_lag", "previous"))
"""What an object or a list can never stand for."""

_CONTROL = STRICT | {"action", "stance", "price", "stop", "take_profit", "id", "test", "sent", "unit"}
_HOLDERS = frozenset(("market", "contract", "asset", "side", "instrument"))
_NEVER_HOLDERS = frozenset(("action", "id", "alertid", "signalid", "uuid"))
_LEVELS = frozenset(("stop", "take_profit", "price"))
_INDICATOR_KEYS = frozenset(("open", "high", "low", "close"))

_FREE, _BAR, _MEASURES, _ASIDE = range(4)


class Fields:
    """The fields of one order by name, and what was noted on the way. `indicators` are numbers that are neither money nor identity;
    `feed` those that are only so in a message that asks for nothing.
    """

    __slots__ = ("_left", "by_name", "credential", "feed", "flags", "indicators", "notes")

    def __init__(self) -> None:
        self.by_name: dict[str, list[Field]] = {}
        self.indicators: dict[str, float] = {}
        self.feed: dict[str, float] = {}
        self.flags: list[Field] = []
        self.notes: list[tuple[int, str]] = []
        self.credential: Field | None = None
        self._left = MOST_FIELDS

    def take(self, tree: dict[str, Any], depth: int = 1) -> None:
        """Add everything in `tree`. Raises `Unreadable` for values of the wrong type and control fields given twice."""
        self._walk(tree, _FREE, depth, "")

    def _walk(self, tree: dict[str, Any], mode: int, depth: int, parent: str) -> None:
        if depth > DEPTH:
            raise Unreadable(f"the message is nested deeper than {DEPTH}")
        places: dict[str, int] = {}
        if type(tree) is Placed:
            places = tree.places
            if tree.twice:
                self._twice(tree)
        self._left -= len(tree)
        if self._left < 0:
            raise Unreadable(f"the message has more than {MOST_FIELDS} values")
        by_name = self.by_name
        for key, value in tree.items():
            meaning = under(parent, key) if parent else meaning_of(key)
            at = places.get(key, NOWHERE) if places else NOWHERE
            name = "" if meaning is None else meaning.name
            kind = type(value)
            if name == "credential":
                if value not in ("", None, False):
                    self.credential = Field(0, depth, key, None, at)
                continue
            if kind is dict or kind is Placed:
                self._object(name, key, value, at, mode, depth)
            elif kind is list:
                self._list(name, key, value, at, mode, depth)
            elif name == "secret":
                by_name.setdefault(name, []).append(Field(0, depth, key, value, at))
            elif mode == _FREE:
                if meaning is None:
                    self._unknown(key, value, at, depth)
                elif name == "quantity" and meaning.rank == 2 and not meaning.unit and _beside_bar(tree):
                    self._measure(key, value, at, self.feed)
                elif value is not None:
                    field = Field(meaning.rank, depth, key, value, at, meaning.unit)
                    if name in by_name:
                        by_name[name].append(field)
                    else:
                        by_name[name] = [field]
            elif mode == _BAR:
                if name in ("time", "bar_time", "sent"):
                    by_name.setdefault("bar_time", []).append(Field(1, depth, key, value, at))
            elif mode == _MEASURES:
                self._measure(key if not parent else f"{parent}.{key}", value, at, self.indicators)

    def _object(self, name: str, key: str, value: dict[str, Any], at: int, mode: int, depth: int) -> None:
        if mode == _FREE:
            if name in _LEVELS:
                self.by_name.setdefault(name, []).append(Field(0, depth, key, value, at))
                return
            if (name in STRICT and plain(key) not in _HOLDERS) or (name in ("action", "id") and plain(key) in _NEVER_HOLDERS):
                raise Unreadable(f"{clipped(key)} is an object, expected {_expected(name)}", at)
            if name == "bar":
                mode = _BAR
            elif name == "measures":
                self._walk(value, _MEASURES, depth + 1, "")
                return
            elif name == "aside" or plain(key) == "comment":
                mode = _ASIDE
        if mode == _MEASURES:
            self._walk(value, mode, depth + 1, key)
            return
        self._walk(value, mode, depth + 1, plain(key) if mode == _FREE else "")

    def _list(self, name: str, key: str, value: list[Any], at: int, mode: int, depth: int) -> None:
        if mode == _FREE and name in ("stop", "take_profit") and value:
            self.notes.append((at, f"of the {len(value)} values of {clipped(key)} only the first is used"))
            first = value[0]
            if not isinstance(first, list):
                self.by_name.setdefault(name, []).append(Field(0, depth, key, first, at))
            return
        if mode == _FREE and name in _CONTROL:
            raise Unreadable(f"{clipped(key)} is a list, expected {_expected(name)}", at)
        self._aside_list(value, depth + 1)

    def _aside_list(self, value: list[Any], depth: int) -> None:
        """What a list holds says nothing of the order, but a secret or an exchange's key may hide in it."""
        if depth > DEPTH:
            raise Unreadable(f"the message is nested deeper than {DEPTH}")
        self._left -= len(value)
        if self._left < 0:
            raise Unreadable(f"the message has more than {MOST_FIELDS} values")
        for item in value:
            if isinstance(item, dict):
                self._walk(item, _ASIDE, depth + 1, "")
            elif isinstance(item, list):
                self._aside_list(item, depth + 1)

    def _unknown(self, key: str, value: Any, at: int, depth: int) -> None:
        if depth == 1 and type(value) is not bool and value is not None:
            if type(value) is str:
                if NUMBER.fullmatch(value) and len(value) <= 24:
                    self._measure(key, value, at, self.feed)
            else:
                self._measure(key, value, at, self.indicators)
        elif value is True and word(key) is not None:
            self.flags.append(Field(0, depth, key, key, at))

    def _measure(self, key: str, value: Any, at: int, into: dict[str, float]) -> None:
        if value is None or type(value) is bool:
            return
        try:
            found = measured(value)
        except Unreadable as e:
            raise Unreadable(f"{clipped(key)}: {e.reason}", at) from None
        if found is None:
            if type(value) is Numeral or (isinstance(value, str) and not value.strip().isalpha()) or str(value).lower() == "nan":
                self.notes.append((at, f"the indicator {clipped(key)} has no finite number; it was left out"))
        elif len(self.indicators) + len(self.feed) >= MOST_INDICATORS or len(key) > 64 or not key.isprintable():
            self.notes.append(
                (at, f"more than {MOST_INDICATORS} indicators, or one with an unfit name; {clipped(key)} was left out")
            )
        else:
            into[key] = found

    def _twice(self, tree: Placed) -> None:
        for key, at in tree.twice:
            meaning = meaning_of(key)
            if meaning is not None and meaning.name in _CONTROL:
                raise Unreadable(f"{clipped(key)} is given twice; leave one of them", at)
            self.notes.append((at, f"{clipped(key)} is given twice; the last one counts"))

    def best(self, name: str) -> Field | None:
        """The field that counts, None where there is none. Raises `Unreadable` where two equally good ones differ."""
        found = self.by_name.get(name)
        if found is None:
            return None
        if len(found) == 1:
            return found[0]
        chosen = min(found, key=lambda f: (f.rank, f.depth))
        for other in found:
            if (other.rank, other.depth) == (chosen.rank, chosen.depth) and str(other.value) != str(chosen.value):
                raise Unreadable(
                    f"{clipped(chosen.key)} and {clipped(other.key)} say two different things "
                    f"({clipped(chosen.value)} and {clipped(other.value)}); leave one of them",
                    other.at,
                )
        return chosen


def _beside_bar(tree: dict[str, Any]) -> bool:
    """Whether an object also states prices of a bar, so that its volume is the bar's."""
    return any(plain(key) in _INDICATOR_KEYS for key in tree)


def _expected(name: str) -> str:
    if name in ("action", "side"):
        return "an action word as text, as in buy"
    texts = {"symbol": "a symbol as text, as in BTCUSDT", "stance": "long, short or flat", "previous": "long, short or flat"}
    return texts.get(name, "a text" if name in ("secret", "id", "unit", "test", "sent") else "a number")
