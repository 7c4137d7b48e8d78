"""Messages that are no JSON: pairs, position words, comma-separated values, prose.

One line is one order, unless it only adds to one. Each line becomes an object with the keys of the vocabulary, so that all
shapes are read by the same rules from there on.
"""

from __future__ import annotations

import itertools
import re
import urllib.parse
from typing import NamedTuple

from enigma_webhooks.alerts.loose import PLACEHOLDER, Placed
from enigma_webhooks.alerts.numbers import NUMBER, Numeral
from enigma_webhooks.alerts.places import Unreadable
from enigma_webhooks.alerts.prose import NO_ACCOUNTS, Stray, beside, stray
from enigma_webhooks.alerts.words import Meaning, meaning, plain, word

MOST_TOKENS = 400
LONGEST_WORD = 64
"""A longer one is no word of the vocabulary; only a pair may have a longer value."""

_PAIR = re.compile(r"""["']?([A-Za-z_][\w.-]{0,47})["']?[ \t]*([=:])[ \t]*(.*)""", re.DOTALL)
_PIECE = {
    ";": re.compile(r'(?:"[^";]*(?:;[^";]*)*"|[^;])+'),
    "&": re.compile(r"[^&]+"),
    ",": re.compile(r'(?:(?<=[=:])"[^"]*"|(?<=[0-9]),(?=[0-9]{3}(?![0-9]))|[^,])+'),
    "|": re.compile(r"[^|]+"),
}
_COMMA = re.compile(r"(?<![0-9]),|,(?![0-9]{3}(?![0-9]))")
_TOKEN = re.compile(r"""\{\{[^{}]*\}\}|[A-Za-z_][\w.-]{0,47}[=:](?:"[^"]*"|'[^']*')|[^\s]+""")
_JOINTS = re.compile(r"""([A-Za-z_]\w{0,47})[ \t]*=[ \t]*(?=\S)""")
_SYMBOL = re.compile(
    r"(?:[A-Z0-9_]{2,20}:)?[A-Z0-9]{1,20}(?:[-_/]?(?:USDT|USDC|USD|FDUSD)M?(?::[A-Z]{3,5})?(?:\.P|[._-]?PERP|-SWAP|_[UCD]MCBL)?|\.P|PERP)",
    re.IGNORECASE,
)
_PREFIXED = re.compile(r"[A-Z0-9_]{2,20}:[A-Z0-9._/!-]{3,20}")
_CURRENCIES = frozenset(["USD", "EUR", "GBP", "JPY", "AUD", "CHF", "CAD", "NZD", "BRL", "TRY", "KRW", "BTC", "ETH"])
_LEVERAGE = re.compile(r"[xX][0-9]+(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?[xX]")
_AMOUNT = re.compile(
    r"\$?(?:[0-9]+(?:,[0-9]+)*(?:\.[0-9]*)?|\.[0-9]+)(?:%|\$|@|USDT|USDC|USD)|\$(?:[0-9]+(?:,[0-9]+)*(?:\.[0-9]*)?|\.[0-9]+)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:,[0-9]+)*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_AT = re.compile(r"([0-9.,]*)@([0-9.,]+)")
_DEFAULT = re.compile(
    r"(?:(?P<name>[^:]{1,100}):\s*)?order (?P<action>\w+) @ (?P<size>[0-9.,]+) filled on (?P<ticker>\S+?)\.? "
    r"New strategy position is (?P<held>-?[0-9.,]*[0-9])"
)
_BUT_NOT = frozenset(
    ("alert", "signal", "tradingview", "strategy", "order", "new", "hey", "on", "for", "in", "the", "go", "action", "price")
)
_SPOKEN_SECRETS = frozenset(("secret", "passphrase", "password", "pin"))
_LEVELS = frozenset(("stop", "take_profit", "price", "leverage"))
_SHARED = frozenset(("secret", "max_lag", "strategy", "exchange", "test", "credential", "sent"))


class Line(NamedTuple):
    """What one line says, where it begins, and whether it states an order of its own."""

    said: Placed
    notes: list[tuple[int, str]]
    states: bool
    action: str = ""
    """The first word of it that was spoken as an action, or its key."""
    strays: tuple[Stray, ...] = ()


def orders(text: str, begin: int = 0) -> list[Line]:
    """The orders of `text` from `begin` on. What only adds (``secret=...``, ``SL: 2500``) is added to the lines that state one."""
    found = [(m.start(), m[0].rstrip("\r")) for m in re.compile(r"[^\n]+").finditer(text, begin) if m[0].strip()]
    if len(found) > MOST_TOKENS:
        raise Unreadable(f"the message has more than {MOST_TOKENS} lines")
    left = [MOST_TOKENS]
    if len(found) > 1 and all(_lonely(line) for _, line in found):
        return [_one_pair_a_line(found)]
    lines = [_line(line, at, left) for at, line in found]
    _unhindered(lines)
    stating = [line for line in lines if line.states]
    if not stating:
        together = Placed()
        notes: list[tuple[int, str]] = []
        for line in lines:
            _add(line.said, together)
            notes += line.notes
        return [Line(together, notes, True)]
    last = stating[0]
    for line in lines:
        if line.states:
            last = line
            continue
        for key, value in line.said.items():
            known = meaning(key)
            shared = known is not None and known.name in _SHARED
            for target in stating if shared else [last]:
                target.said.put(key, value, line.said.places[key])
        last.notes.extend(line.notes)
    return stating


def _unhindered(lines: list[Line]) -> None:
    """Raise `Unreadable` where an action is spoken beside a word that nobody knows. A halt only gives way to a plain no."""
    action = next((line.action for line in lines if line.action), "")
    if not action:
        return
    acting = word(action)
    halts = acting is not None and acting.action == "halt"
    for line in lines:
        for each in line.strays:
            if not halts or each.negates:
                raise beside(action, each)


def _filled(found: re.Match[str], at: int) -> Line:
    """The message that TradingView proposes for a strategy's alert, left as it was."""
    said = Placed()
    for key, group in (
        ("strategy", "name"),
        ("action", "action"),
        ("contracts", "size"),
        ("ticker", "ticker"),
        ("position_size", "held"),
    ):
        if found[group]:
            said.put(key, _value(found[group].strip(), key), at + found.start(group))
    return Line(said, [], True)


def _add(source: Placed, target: Placed) -> None:
    for key, value in source.items():
        target.put(key, value, source.places[key])
    target.twice += source.twice


def _lonely(line: str) -> bool:
    """Whether a line is one pair and nothing else."""
    found = _PAIR.match(line.strip())
    if found is None or meaning(found[1]) is None:
        return False
    value = found[3].strip()
    return ";" not in value and "&" not in value and not re.search(r"\s[A-Za-z_]\w*\s*[=:]", value)


def _one_pair_a_line(found: list[tuple[int, str]]) -> Line:
    said = Placed()
    notes: list[tuple[int, str]] = []
    for at, line in found:
        pair = _PAIR.match(line.strip())
        assert pair is not None
        start = at + len(line) - len(line.lstrip()) + pair.start(3)
        said.put(pair[1], _value(pair[3].rstrip(",;"), pair[1]), start)
    return Line(said, notes, True)


def _value(text: str, key: str) -> str:
    """A value without its quotes. A number is marked as one: in a text it is written no other way."""
    known = meaning(key)
    if known is not None and known.name == "secret":
        # blanks are taken off later, where it is said
        return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text
    text = text.strip()
    if len(text) > 1 and text[0] in "\"'“‘" and text[-1] in "\"'”’":
        text = text[1:-1]
    return Numeral(text) if NUMBER.fullmatch(text) else text


def _line(line: str, at: int, left: list[int]) -> Line:
    if " filled on " in line and (default := _DEFAULT.search(line)) is not None:
        return _filled(default, at)
    speech = Speech(line, at, left)
    separator = _separator(line)
    if separator is None:
        speech.hear(0, len(line))
    else:
        for piece in _PIECE[separator].finditer(line):
            speech.count(1)
            speech.piece(piece.start(), piece.end(), separator)
    return speech.line()


def _separator(line: str) -> str | None:
    if ";" in line:
        return ";"
    if "&" in line and "=" in line:
        return "&"
    if _COMMA.search(line):
        return ","
    return "|" if "|" in line else None


class Speech:
    """One line, word by word."""

    def __init__(self, line: str, at: int, left: list[int]) -> None:
        self._text, self._at, self._left = line, at, left
        self._said = Placed()
        self._notes: list[tuple[int, str]] = []
        self._names: set[str] = set()
        self._strays: list[Stray] = []
        self._action = ""
        self._free = False
        """Whether the words that follow belong to the text of a pair, as in ``comment=RSI has crossed``."""
        self._previous: list[str] = []
        """What the tokens before were, the last one last."""

    def line(self) -> Line:
        states = bool(self._names & {"symbol", "action", "stance", "side"})
        return Line(self._said, self._notes, states, self._action, tuple(self._strays))

    def count(self, words: int) -> None:
        """Raises `Unreadable` where the message has more words than any known shape."""
        self._left[0] -= words
        if self._left[0] < 0:
            raise Unreadable(f"the message has more than {MOST_TOKENS} words and is none of the known shapes")

    def piece(self, start: int, end: int, separator: str) -> None:
        """A part between separators: a pair, or words."""
        raw = self._text[start:end]
        begin = start + len(raw) - len(raw.lstrip())
        pair = _PAIR.match(self._text[begin:end])
        if pair is not None and (pair[2] == "=" or meaning(pair[1]) is not None) and not _more_pairs(pair[3]):
            value = pair[3]
            if separator == "&":
                value = urllib.parse.unquote_plus(value)
            self._put(pair[1], _value(value, pair[1]), begin + pair.start(3))
            self._heard("pair")
        elif raw.strip():
            self.hear(start, end)

    def hear(self, start: int, end: int) -> None:
        """Words and pairs between blanks."""
        found = itertools.islice(_TOKEN.finditer(self._text, start, end), MOST_TOKENS + 1)
        tokens = [(m[0], m.start()) for m in found]
        self.count(len(tokens))
        i = 0
        self._free = False
        while i < len(tokens):
            i += self._token(tokens, i)

    def _heard(self, what: str) -> None:
        self._previous.append(what)

    def _unknown(self, text: str, raw: str, start: int) -> None:
        """A word of no meaning: harmless within a pair's text, else remembered where it may change an action."""
        if not self._free and (found := stray(text, raw, self._at + start)) is not None:
            self._strays.append(found)
        self._heard("word")

    def _put(self, key: str, value: str, place: int) -> None:
        known = meaning(key)
        if known is not None:
            self._names.add(known.name)
        self._said.put(key, value, self._at + place)

    def _token(self, tokens: list[tuple[str, int]], i: int) -> int:
        """Take the token at `i`; how many were used up."""
        raw, start = tokens[i]
        following = tokens[i + 1] if i + 1 < len(tokens) else None
        pair = None if _PREFIXED.fullmatch(raw) and meaning(raw.partition(":")[0]) is None else _PAIR.fullmatch(raw)
        if pair is not None:
            used = self._pair(pair, start, following)
            if used:
                return used
        if raw.endswith("?") and not self._free:
            self._strays.append(Stray(raw, self._at + start))
        text = raw.strip(",.!?()[]\"'“”*`#")
        if not text or len(text) > LONGEST_WORD:
            self._heard("word")
            return 1
        if text in ("=", ":", "->", "-"):
            return 1
        text = text.rstrip(":;=")
        if not text:
            return 1
        joined = _joined(text, following)
        if joined is not None and word(joined) is not None:
            self._put_action(joined, start)
            return 2
        if joined is not None and i + 2 < len(tokens) and (two := meaning(joined)) is not None and two.name in _LEVELS:
            third = tokens[i + 2][0].strip(",;!?()").rstrip(".")
            if _NUMBER.fullmatch(third):
                self._put(joined, _value(third, joined), tokens[i + 2][1])
                self._heard("pair")
                return 3
        if following is not None and following[0] in ("=", ":") and i + 2 < len(tokens) and meaning(text) is not None:
            self._put(text, _value(tokens[i + 2][0].rstrip(",;"), text), tokens[i + 2][1])
            self._heard("pair")
            return 3
        return self._word(text, raw, start, following)

    def _pair(self, pair: re.Match[str], start: int, following: tuple[str, int] | None) -> int:
        key, sign, value = pair[1], pair[2], pair[3]
        known = meaning(key)
        if known is None and (sign == ":" or not value):
            return 0
        self._free = known is None or known.name in ("text", "order", "strategy", "interval", "aside")
        if known is not None and known.name in ("action", "side", "stance") and not self._action:
            self._action = value or key
        if value:
            self._put(key, _value(value.rstrip(",;"), key), start + pair.start(3))
        elif following is not None and known is not None and self._fits(known, following[0]):
            self._put(key, _value(following[0].rstrip(",;"), key), following[1])
            self._heard("pair")
            return 2
        elif known is not None and known.name in ("text", "order", "interval", "aside", "action", "strategy"):
            return 1
        else:
            return 0
        self._heard("pair")
        return 1

    def _fits(self, known: Meaning, value: str) -> bool:
        """Whether a word after ``key:`` may be its value."""
        if known.name == "symbol":
            return True
        if known.name in ("action", "side"):
            return word(value.strip(",.!")) is not None
        if known.name in ("quantity", "leverage", "stop", "take_profit", "price"):
            return any(c.isdigit() for c in value) or value.startswith("{{")
        return known.name in ("secret", "id", "exchange", "stance", "sent", "time", "test", "strategy")

    def _put_action(self, text: str, start: int) -> None:
        self._action = self._action or text
        if "action" in self._said:
            # a second word is kept beside the first, for the order's own rules to compare
            self._put(f"action.{len(self._previous)}.action", text, start)
        else:
            self._put("action", text, start)
        self._heard("action")

    def _word(self, text: str, raw: str, start: int, following: tuple[str, int] | None) -> int:
        spoken = following[0].strip(",;!?()").rstrip(".") if following is not None else ""
        number = bool(spoken) and (_NUMBER.fullmatch(spoken) is not None or _AMOUNT.fullmatch(spoken) is not None)
        signed = number or (spoken[:1] in ("-", "+") and _AMOUNT.fullmatch(spoken[1:]) is not None)
        known = meaning(text) if text.isascii() else None
        if text[0] == "$" and text[1:2].isalpha():
            text = text[1:]
        if PLACEHOLDER.fullmatch(text):
            self._notes.append((self._at + start, f"{text[:60]} arrived unresolved"))
            return 1
        if plain(text) in ("pos", "position") and spoken and (signed or plain(spoken) in ("long", "short", "flat")):
            self._put("pos", _value(spoken, "pos"), following[1] if following else start)
            self._action = self._action or text
            self._heard("action")
            return 2
        if plain(text) == "close" and number and following is not None:
            return self._close(text, start, spoken, following)
        if known is not None and number and following is not None and known.name in (*_LEVELS, "quantity"):
            self._put(text, _value(spoken, text), following[1])
            self._heard("pair")
            return 2
        if word(text) is not None:
            self._put_action(text, start)
        elif plain(text) in _SPOKEN_SECRETS and following is not None:
            self._put(text, following[0], following[1])
            return 2
        elif _LEVERAGE.fullmatch(text):
            self._put("leverage", text, start)
        elif raw.startswith("@") and _NUMBER.fullmatch(raw[1:].rstrip(",;!")):
            self._put("price", _value(raw[1:].rstrip(",;!"), "price"), start + 1)
        elif text in ("@", "at") and number and following is not None and "price" not in self._said:
            self._put("price", _value(spoken, "price"), following[1])
            return 2
        elif (found := _AT.fullmatch(text)) and found[1]:
            self._put("quantity", _value(found[1], "quantity"), start)
            self._put("price", _value(found[2], "price"), start + found.end(1) + 1)
        elif _AMOUNT.fullmatch(text if raw[0] != "$" else raw):
            self._put("quantity", text, start)
        elif _NUMBER.fullmatch(text):
            self._number(text, start, spoken)
        elif _SYMBOL.fullmatch(text) or _PREFIXED.fullmatch(text) or _currencies(text):
            self._symbol(text, start)
        elif (
            not self._previous
            and following is not None
            and _SYMBOL.fullmatch(spoken.lstrip("#$"))
            and plain(text) not in _BUT_NOT
            and text.lower() not in NO_ACCOUNTS
        ):
            self._put("account", text, start)
        elif plain(text) == "limit" and not self._free:
            self._put("order_type", text, start)
            self._heard("word")
        else:
            self._unknown(text, raw, start)
        return 1

    def _close(self, text: str, start: int, spoken: str, following: tuple[str, int]) -> int:
        """``close 50000`` is the bar's price where another action is stated, else it closes that much."""
        if self._names & {"action"} or re.search(r"(?i)\b(?:buy|sell|long|short)\b", self._text):
            self._said.put("close", _value(spoken, "close"), self._at + following[1])
            self._heard("pair")
            return 2
        self._put_action(text, start)
        return 1

    def _number(self, text: str, start: int, following: str) -> None:
        """A number alone is the quantity where it stands beside the action: ``buy 0.5``, ``buy BTCUSDT 0.5``."""
        last = self._previous[-1:]
        if "quantity" not in self._names and (last == ["action"] or self._previous[-2:] == ["action", "symbol"]):
            self._put("quantity", _value(text, "quantity"), start)
            if last != ["action"]:
                self._notes.append((self._at + start, f"{text[:24]} is read as the quantity; write qty={text[:24]} to be sure"))
            self._heard("quantity")
            return
        self._notes.append((self._at + start, f"the number {text[:24]} stands alone; it was left out"))
        self._heard("number")

    def _symbol(self, text: str, start: int) -> None:
        key = "symbol" if "symbol" not in self._said else f"symbol.{len(self._previous)}.symbol"
        self._put(key, text, start)
        self._heard("symbol")


def _joined(text: str, following: tuple[str, int] | None) -> str | None:
    if following is None or not text.isascii():
        return None
    second = following[0].strip(",.!?()[]\"'*:=")
    return f"{text}_{second}" if second.isascii() and second.isalpha() and text.isalpha() and len(second) < 20 else None


def _more_pairs(value: str) -> bool:
    return len(_JOINTS.findall(value)) > 0


def _currencies(text: str) -> bool:
    return len(text) == 6 and text.isupper() and {text[:3], text[3:]} <= _CURRENCIES
