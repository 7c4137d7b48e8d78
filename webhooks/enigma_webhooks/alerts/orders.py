"""From the fields of one order to the strict request."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Literal

from enigma_core.alert import Action, Request, Stance, Unit
from enigma_webhooks.alerts.fields import Field, Fields
from enigma_webhooks.alerts.numbers import Numeral, decimal, thousands
from enigma_webhooks.alerts.places import NOWHERE, Unreadable, clipped, spelt
from enigma_webhooks.alerts.symbols import Name, UnknownSymbol, unified
from enigma_webhooks.alerts.times import MINUTE, moment
from enigma_webhooks.alerts.words import ADDING, STANCES, UNITS, WORDS, Word, nearest, plain, word

KEY_MOST = 128
NAME_MOST = 128
NUMBER_MOST = 64

Closes = Literal["long", "short"]

_QUANTITY = re.compile(r"([$€])?\s*([^\s%$@€A-Za-z]+(?:[eE][+-]?[0-9]+)?)\s*(%|\$|@|[A-Za-z]+)?")
_LEVERAGE = re.compile(r"[xX]?\s*([0-9.,]+)\s*[xX]?")
_MONEY_SIGN = re.compile(r"[$€]|\s*(?:USDT|USDC|USD)$", re.IGNORECASE)
_EXCHANGE = re.compile(r"[A-Z0-9._ -]{1,40}")
_FALSE = frozenset(("", "false", "0", "no", "off"))
_UNRESOLVED = "arrived unresolved: TradingView fills it in only where the alert's kind knows it"


class Order:
    """What one message asks for, being worked out. `notes` are warnings: places and reasons."""

    __slots__ = ("_spoken", "_text_numbers", "fields", "notes")

    def __init__(self, fields: Fields, *, spoken: bool = False) -> None:
        self.fields = fields
        self._spoken = spoken
        self.notes: list[tuple[int, str]] = fields.notes
        self._text_numbers: list[str] = []

    def request(self) -> Request | None:
        """The request; None for a test that states no order. Raises `Unreadable`."""
        fields = self.fields
        if fields.credential is not None:
            raise Unreadable(
                f"the message carries an exchange's API key ({clipped(fields.credential.key)}): take it out of the alert and "
                "renew it at the exchange; an alert needs only the webhook's secret",
                fields.credential.at,
            )
        action, closes, stance, worded = self._action()
        if action == "halt":
            name = Name("", "", "", "", "")
        else:
            name = self._symbol(required=action is not None or stance is not None or not self.test)
            if not name.symbol:
                return None
        number = self._level
        quantity, unit = self._quantity(name, stated=action is not None or stance is not None)
        feed = action is None and stance is None
        indicators = fields.indicators
        if feed and fields.feed:
            indicators = {**indicators, **fields.feed}
        if feed and not indicators and not self.test:
            raise self._no_action()
        if feed and worded is not None:
            raise self._no_word(worded)
        sent, bar = self._times()
        made = Request(
            symbol=name.symbol,
            exchange=self._exchange(name),
            action=action,
            position=stance,
            previous=self._previous(),
            closes=closes,
            quantity=quantity,
            unit=unit,
            price=number("price"),
            leverage=self._leverage(),
            stop=number("stop"),
            take_profit=number("take_profit"),
            key=self._key(),
            order=self._name("order"),
            strategy=self._name("strategy"),
            sent=sent,
            bar=bar,
            max_lag=self._max_lag(),
            indicators=indicators,
        )
        self._left_out()
        return made

    @property
    def test(self) -> bool:
        """Whether the sender says that nothing is to be traded."""
        found = self.fields.by_name.get("test")
        return found is not None and any(str(f.value).strip().lower() not in _FALSE for f in found)

    def secret(self) -> str | None:
        """The secret the message carries, None for none. Raises `Unreadable` where there are two."""
        found = self.fields.by_name.get("secret")
        if found is None:
            return None
        secret = ""
        for field in found:
            value = field.value
            if value is None:
                continue
            if type(value) is bool or not isinstance(value, str | int):
                raise Unreadable(
                    f"{clipped(field.key)} is {'a truth value' if type(value) is bool else 'no text'}, expected a text", field.at
                )
            given = value if type(value) is str else str(value)
            text = given.strip()
            if text != given:
                self.notes.append((field.at, f"blanks around the {clipped(field.key)} were taken off"))
            if secret and text and text != secret:
                raise Unreadable("the message carries two different secrets; leave one of them", field.at)
            secret = secret or text
        return secret or None

    def _action(self) -> tuple[Action | None, Closes | None, Stance | None, Field | None]:
        """Action, which side it closes, the position stated, and a text that should have been an action word and is none."""
        by_name = self.fields.by_name
        stance, held = self._stance()
        main, unread = self._said("action")
        qualifier, unread_side = self._said("side")
        if main is None and qualifier is None and self.fields.flags:
            by_name["action"] = [*by_name.get("action", ()), *self.fields.flags]
            main, unread = self._said("action")
        if main is None:
            main, qualifier = qualifier, None
        unread = unread or unread_side
        if main is None:
            if unread is not None and unread.rank == 0:
                raise self._no_word(unread)
            if stance is None:
                return None, None, None, unread
            return ("close" if stance == "flat" else stance), None, stance, None
        said, field = main
        action, closes = said.action, said.closes
        if said.stance is not None:
            if stance is None:
                stance = said.stance
            elif stance != said.stance:
                raise Unreadable(f"{clipped(field.value)} and a position of {stance} contradict each other", field.at)
        if qualifier is not None:
            other, beside = qualifier
            action, closes = _qualified(said, field, other, beside)
        if said.needs and action is None:
            if stance not in ("long", "short"):
                raise Unreadable(f'{clipped(field.value)} does not say which side; add one, as in "side": "long"', field.at)
            action = stance
        if plain(str(field.value)) in ADDING:
            self.notes.append((field.at, "the engine holds one position a symbol and does not add to it; read as an entry"))
        if held is not None and action in ("close", "reduce") and said.stance is None and stance in ("long", "short"):
            # "close" beside "position": "long" names the position that is to be closed, not one to be held
            if closes is not None and closes != stance:
                raise Unreadable(f"{clipped(field.value)} and {held.key} {stance} contradict each other", held.at)
            closes, stance = ("long" if stance == "long" else "short"), None
        elif action in ("close", "reduce") and stance in ("long", "short"):
            # a target would win over the word, and what says "close" may never enter
            self.notes.append((field.at, f"{clipped(field.value)} is obeyed, though the message also wants to hold a {stance}"))
            if action == "reduce" and closes is None:
                closes = "long" if stance == "long" else "short"
            stance = None
        if action == "reverse" and stance is None and qualifier is not None:
            stance = qualifier[0].action if qualifier[0].action in ("long", "short") else None
        if stance == "flat" and action in ("long", "short") and said.action in ("long", "short"):
            closes = "long" if action == "short" else "short"
        return action, closes, stance, None

    def _said(self, name: str) -> tuple[tuple[Word, Field] | None, Field | None]:
        """The one action word among the fields of `name`, and the first text that is none. Raises `Unreadable` for two words."""
        chosen: tuple[Word, Field] | None = None
        unread: Field | None = None
        for field in self.fields.by_name.get(name, ()):
            value = field.value
            if type(value) is not str:
                if field.rank:
                    continue
                raise Unreadable(f"{clipped(field.key)} is {clipped(value)}, expected an action word as text, as in buy", field.at)
            found = word(value)
            if found is None:
                empty = not value.strip() and (field.rank or name != "action")
                if not empty and (unread is None or field.rank < unread.rank):
                    unread = field
                continue
            if chosen is not None and (chosen[0].action, chosen[0].closes) != (found.action, found.closes):
                raise _contradiction(chosen[1], field)
            chosen = chosen or (found, field)
        if chosen is not None and unread is not None and unread.rank == 0 and unread.value.strip() and name == "action":
            raise self._no_word(unread)
        return chosen, unread

    def _stance(self) -> tuple[Stance | None, Field | None]:
        """The position stated, and its field where the key is ``position``, which people also use for the one to be closed."""
        found = self.fields.by_name.get("stance")
        if found is None:
            return None, None
        stance: Stance | None = None
        held = None
        for field in sorted(found, key=lambda f: (f.rank, f.depth)):
            one = self._one_stance(field)
            if one is None:
                continue
            if stance is None:
                stance = one
                held = field if plain(field.key) in ("position", "pos") and isinstance(field.value, str) else None
            elif one != stance and not (field.rank == 2 and one == "long"):
                # an unsigned size is long by its sign whatever is held
                raise Unreadable(f"{clipped(field.key)} says {one}, another field {stance}; leave one of them", field.at)
        return stance, held

    def _one_stance(self, field: Field) -> Stance | None:
        value = field.value
        if isinstance(value, str) and type(value) is not Numeral:
            text = plain(value.strip())
            if not text:
                return None
            if text in STANCES:
                return STANCES[text]
            self._resolved(field)
            if field.rank < 2 and not any(c.isdigit() for c in text):
                raise Unreadable(f"{clipped(field.key)} is {clipped(value)!r}, expected long, short or flat", field.at)
        if type(value) is str and (found := _QUANTITY.fullmatch(value.strip())) is not None:
            field = field._replace(value=found[2])
        size = self._decimal(field)
        return "long" if size > 0 else "short" if size < 0 else "flat"

    def _symbol(self, *, required: bool) -> Name:
        name: Name | None = None
        first: Field | None = None
        for field in sorted(self.fields.by_name.get("symbol", ()), key=lambda f: (f.rank, f.depth)):
            value = field.value
            if type(value) is not str:
                raise Unreadable(f"{clipped(field.key)} is {clipped(value)}, expected a symbol as text, as in BTCUSDT", field.at)
            if not value.strip() or (field.rank and name is not None):
                continue
            self._resolved(field)
            try:
                found = unified(value)
            except UnknownSymbol as e:
                if field.rank and plain(field.key) in ("market", "asset", "coin"):
                    continue
                raise Unreadable(str(e), field.at) from None
            if name is None or first is None:
                name, first = found, field
            elif found.symbol != name.symbol:
                raise Unreadable(f"{spelt(first.key)} says {name.symbol}, {spelt(field.key)} {found.symbol}; leave one", field.at)
            elif found.exchange and not name.exchange:
                name = found
        if name is not None:
            return name
        if required:
            raise Unreadable('the message names no symbol; expected one, as in "symbol": "BTCUSDT"')
        return Name("", "", "", "", "")

    def _exchange(self, name: Name) -> str:
        field = self.fields.best("exchange")
        if field is None:
            return name.exchange
        text = str(field.value).strip().upper()
        if not text.isascii() or not _EXCHANGE.fullmatch(text):
            if text:
                self.notes.append((field.at, f"the {clipped(field.key)} is no name of an exchange; it was left out"))
            return name.exchange
        if name.exchange and name.exchange != text:
            self.notes.append((field.at, f"{clipped(field.key)} says {text}, the symbol {name.exchange}; {text} counts"))
        return text

    def _previous(self) -> Stance | None:
        field = self.fields.best("previous")
        if field is None:
            return None
        found = STANCES.get(plain(str(field.value).strip()))
        if found is None and field.value != "":
            self.notes.append((field.at, f"{clipped(field.key)} is not long, short or flat; it was left out"))
        return found

    def _quantity(self, name: Name, *, stated: bool) -> tuple[Decimal | None, Unit]:
        field = self.fields.best("quantity")
        signed = False
        if field is None or field.rank == 3:
            sizes = [f for f in self.fields.by_name.get("stance", ()) if f.rank == 2 or not _worded(f.value)]
            if sizes and stated:
                field, signed = min(sizes, key=lambda f: f.rank), True
        if field is None or not stated:
            return None, "base"
        number, unit = self._amount(field, name)
        if signed or field.rank == 3:
            number = abs(number)
            if not number:
                return None, "base"
        if number <= 0:
            raise Unreadable(f"{clipped(field.key)} is {clipped(field.value)}, expected a number above 0", field.at)
        return number, unit

    def _amount(self, field: Field, name: Name) -> tuple[Decimal, Unit]:
        value, suffix = field.value, field.unit
        if type(value) is str:
            self._resolved(field)
            found = _QUANTITY.fullmatch(value.strip())
            if found is not None and (found[1] or found[3]):
                mark = (found[3] or "usd").lower()
                suffix = "base" if mark == name.base.lower() else UNITS.get(mark, "")
                if not suffix or (found[1] and suffix != "quote"):
                    raise Unreadable(
                        f"{clipped(field.key)}: {clipped(value)!r} is in no unit known; expected %, $, @ or none", field.at
                    )
                value = found[2]
        number = self._decimal(field._replace(value=value if value is field.value else Numeral(value)))
        stated = self.fields.best("unit")
        if stated is not None and isinstance(stated.value, str) and stated.value.strip():
            self._resolved(stated)
            unit = UNITS.get(plain(stated.value.strip())) or UNITS.get(stated.value.strip())
            if unit is None:
                raise Unreadable(
                    f"{clipped(stated.key)} is {clipped(stated.value)!r}, expected base, contracts, percent or quote", stated.at
                )
            if suffix and suffix != unit:
                raise Unreadable(
                    f"{clipped(field.value)!r} and {clipped(stated.key)} {stated.value} contradict each other", field.at
                )
            suffix = unit
        return number, suffix or "base"  # type: ignore[return-value]

    def _level(self, name: str) -> Decimal | None:
        """A price of the message; None where it states none, or one in percent."""
        field = self.fields.best(name)
        if field is None:
            return None
        if isinstance(field.value, dict):
            return self._nested_level(name, field)
        value = field.value
        if type(value) is str:
            text = value.strip()
            if not text or text.lower() == "market":
                return None
            self._resolved(field)
            if text.endswith("%"):
                self.notes.append((field.at, f"{clipped(field.key)} {clipped(text)} is a percentage, no price; it was left out"))
                return None
            if field.rank and not any(c.isdigit() for c in text):
                self.notes.append((field.at, f"{clipped(field.key)} {clipped(text)} is no price; it was left out"))
                return None
            field = field._replace(value=_MONEY_SIGN.sub("", text) if len(text) <= NUMBER_MOST else text)
        elif type(value) is bool:
            self.notes.append((field.at, f"{clipped(field.key)} is a truth value, no price; it was left out"))
            return None
        number = self._decimal(field)
        if number < 0:
            raise Unreadable(f"{clipped(field.key)} is {clipped(value)}, expected a price above 0", field.at)
        if not number:
            self.notes.append((field.at, f"{clipped(field.key)} is 0, which is no price; it was left out"))
            return None
        return number

    def _nested_level(self, name: str, field: Field) -> Decimal | None:
        """``{"stopPrice": 49000}`` and the like: the first price in it."""
        places = getattr(field.value, "places", {})
        if twice := getattr(field.value, "twice", None):
            raise Unreadable(f"{clipped(twice[0][0])} is given twice in one object; leave one of them", twice[0][1])
        for key, value in field.value.items():
            at, inner = places.get(key, NOWHERE), plain(key)
            if isinstance(value, dict | list):
                raise Unreadable(f"{clipped(field.key)}.{clipped(key)} is no number", at)
            if (
                inner in ("stopprice", "limitprice", "price", "level", "value", "triggerprice", "target", "stop", "limit")
                and value is not None
            ):
                one = Fields()
                one.by_name[name] = [Field(0, 2, f"{field.key}.{key}", value, at)]
                order = Order(one, spoken=self._spoken)
                found = order._level(name)
                self.notes.extend(one.notes)
                self._text_numbers.extend(order._text_numbers)
                if found is not None:
                    return found
            elif inner != "type" and value is not None:
                self.notes.append((at, f"{clipped(field.key)}.{clipped(key)} is no price; it was left out"))
        return None

    def _leverage(self) -> Decimal | None:
        field = self.fields.best("leverage")
        if field is None:
            return None
        if type(field.value) is str:
            self._resolved(field)
            if not field.value.strip():
                return None
            if found := _LEVERAGE.fullmatch(field.value.strip()):
                field = field._replace(value=field.value if found[1] == field.value else Numeral(found[1]))
        number = self._decimal(field)
        if number <= 0:
            raise Unreadable(f"{clipped(field.key)} is {clipped(field.value)}, expected a number above 0", field.at)
        return number

    def _decimal(self, field: Field) -> Decimal:
        value = field.value
        try:
            number = decimal(value)
        except Unreadable as e:
            raise Unreadable(f"{clipped(field.key)}: {e.reason}", field.at) from None
        if type(value) is str:
            if thousands(value):
                self.notes.append((field.at, f"{clipped(field.key)} {clipped(value)!r} is written with commas; read as {number}"))
            elif not self._spoken:
                self._text_numbers.append(field.key)
        return number

    def _resolved(self, field: Field) -> None:
        if "{{" in field.value:
            raise Unreadable(f"{clipped(field.key)}: {clipped(field.value)} {_UNRESOLVED}", field.at)

    def _key(self) -> str:
        field = self.fields.best("id")
        if field is None:
            return ""
        value = field.value
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise Unreadable(f"{clipped(field.key)} is {clipped(value)}, expected a text", field.at)
        text = str(value).strip()
        if "{{" in text:
            self.notes.append((field.at, f"{clipped(field.key)} {_UNRESOLVED}; it is no identity and was left out"))
            return ""
        if len(text) > KEY_MOST or not text.isprintable():
            raise Unreadable(f"{clipped(field.key)} has more than {KEY_MOST} characters, or some that cannot be printed", field.at)
        return text

    def _name(self, name: str) -> str:
        """A name of the sender's own: one line, cut where it is too long."""
        found = self.fields.by_name.get(name)
        if found is None:
            return ""
        field = min(found, key=lambda f: (f.rank, f.depth))
        text = str(field.value).strip()
        if "{{" in text:
            return ""
        return clipped(text, NAME_MOST)[:NAME_MOST]

    def _times(self) -> tuple[int | None, int | None]:
        by_name = self.fields.by_name
        sent = self._time("sent") if "sent" in by_name else None
        bar = self._time("bar_time") if "bar_time" in by_name else None
        if "time" in by_name:
            time = self._time("time")
            if time is not None:
                if sent is None and (bar is not None or time % MINUTE):
                    sent = time
                elif bar is None:
                    bar = time
        return sent, bar

    def _time(self, name: str) -> int | None:
        found = self.fields.by_name[name]
        field = found[0] if len(found) == 1 else min(found, key=lambda f: (f.rank, f.depth))
        if field.value in ("", None):
            return None
        ms = moment(field.value)
        if ms is None:
            self.notes.append(
                (field.at, f"{clipped(field.key)} {clipped(field.value)!r} is no time; expected 2026-01-31T12:00:00Z")
            )
        return ms

    def _max_lag(self) -> int | None:
        field = self.fields.best("max_lag")
        if field is None or field.value == "":
            return None
        try:
            seconds = decimal(field.value)
        except Unreadable:
            seconds = Decimal(-1)
        if not 0 < seconds <= 10_000_000:
            self.notes.append((field.at, f"{clipped(field.key)} is no number of seconds above 0; it was left out"))
            return None
        return int(seconds * 1000)

    def _left_out(self) -> None:
        """What was understood and is not done is said."""
        by_name = self.fields.by_name
        for field in by_name.get("percent", ()):
            self.notes.append((field.at, f"{clipped(field.key)} is a distance, no price; it was left out"))
        for field in by_name.get("further", ()):
            self.notes.append((field.at, f"{clipped(field.key)}: one target is taken; it was left out"))
        if self._text_numbers:
            keys = ", ".join(dict.fromkeys(clipped(key) for key in self._text_numbers))
            self.notes.append((NOWHERE, f"numbers written as text: {keys}"))

    def _no_word(self, field: Field) -> Unreadable:
        value = field.value
        if isinstance(value, str) and "{{" in value:
            return Unreadable(f"{clipped(field.key)}: {clipped(value)} {_UNRESOLVED}", field.at)
        if not str(value).strip():
            return Unreadable(f"{clipped(field.key)} is empty, expected an action word, as in buy, sell or close", field.at)
        near = nearest(str(value), WORDS)
        return Unreadable(
            f"{clipped(field.key)} is {clipped(value)!r}, expected an action word, as in buy, sell or close{near}", field.at
        )

    def _no_action(self) -> Unreadable:
        return Unreadable('the message says neither what to do nor what to hold; expected an action, as in "action": "buy"')


def _worded(value: Any) -> bool:
    return isinstance(value, str) and type(value) is not Numeral and plain(value.strip()) in STANCES


def _qualified(said: Word, field: Field, other: Word, beside: Field) -> tuple[Action | None, Closes | None]:
    """What an action word means together with the word of a side."""
    if other.needs:
        return said.action, said.closes
    if other.action in ("long", "short") and other.closes is None:
        if said.action == other.action:
            return said.action, said.closes
        if said.needs:
            return other.action, None
        if said.action == "reverse":
            return "reverse", None
        if said.action in ("cancel", "halt"):
            return said.action, None
        if said.action in ("close", "reduce"):
            # to sell is to get rid of a long one; "side": "long" names it
            meant: Closes = "long" if (other.action == "short") == other.deals else "short"
            if said.closes in (None, meant):
                return said.action, meant
    elif (said.action, said.closes) == (other.action, other.closes):
        return said.action, said.closes
    elif said.action == other.action == "close":
        return "close", said.closes or other.closes
    raise _contradiction(field, beside)


def _contradiction(one: Field, other: Field) -> Unreadable:
    return Unreadable(
        f"two contradicting actions: {spelt(one.key)} is {clipped(one.value)!r}, "
        f"{spelt(other.key)} is {clipped(other.value)!r}; leave one of them",
        other.at,
    )
