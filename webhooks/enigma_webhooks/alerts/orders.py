"""From the fields of one order to the strict request."""

from __future__ import annotations

import re
from decimal import Decimal

from enigma_core.alert import Request, Stance
from enigma_webhooks.alerts.actions import Intent, no_action, no_word
from enigma_webhooks.alerts.amounts import UNRESOLVED, Amounts, resolved
from enigma_webhooks.alerts.fields import Field, Fields
from enigma_webhooks.alerts.numbers import decimal
from enigma_webhooks.alerts.places import NOWHERE, Unreadable, clipped, spelt
from enigma_webhooks.alerts.symbols import Name, UnknownSymbol, unified
from enigma_webhooks.alerts.times import MINUTE, moment
from enigma_webhooks.alerts.words import STANCES, plain

KEY_MOST = 128
NAME_MOST = 128


_EXCHANGE = re.compile(r"[A-Z0-9._ -]{1,40}")
_FALSE = frozenset(("", "false", "0", "no", "off"))


class Order:
    """What one message asks for, being worked out. `notes` are warnings: places and reasons."""

    __slots__ = ("_amounts", "fields", "notes")

    def __init__(self, fields: Fields, *, spoken: bool = False) -> None:
        self.fields = fields
        self._amounts = Amounts(fields, spoken=spoken)
        self.notes: list[tuple[int, str]] = fields.notes

    def request(self) -> Request | None:
        """The request; None for a test that states no order. Raises `Unreadable`."""
        fields = self.fields
        if fields.credential is not None:
            raise Unreadable(
                f"the message carries an exchange's API key ({clipped(fields.credential.key)}): take it out of the alert and "
                "renew it at the exchange; an alert needs only the webhook's secret",
                fields.credential.at,
            )
        action, closes, stance, worded = Intent(fields, self._amounts).action()
        if action == "halt":
            # nothing else that the message says may get in its way
            sent, bar = self._times(strict=False)
            return Request(symbol="", action="halt", key=self._key(), sent=sent, bar=bar)
        name = self._symbol(required=action is not None or stance is not None or not self.test)
        if not name.symbol:
            return None
        amounts = self._amounts
        quantity, unit = amounts.quantity(name, stated=action is not None or stance is not None)
        feed = action is None and stance is None
        if action in ("long", "short") and self._flagged("reduce_only"):
            # a sale that may only reduce is about a long, whatever else the message says
            closes, stance = ("long" if action == "short" else "short"), None
            action = "reduce" if quantity is not None else "close"
        indicators = fields.indicators
        if feed and fields.feed:
            indicators = {**indicators, **fields.feed}
        if feed and not indicators and not self.test:
            raise no_action()
        if feed and worded is not None:
            raise no_word(worded)
        previous = self._previous()
        reduces = Request(symbol=name.symbol, action=action, position=stance, previous=previous).reduces
        sent, bar = self._times(strict=not (feed or reduces or self.test))
        made = Request(
            symbol=name.symbol,
            exchange=self._exchange(name),
            action=action,
            position=stance,
            previous=previous,
            closes=closes,
            quantity=quantity,
            unit=unit,
            position_size=amounts.position_size(name, stated=not feed),
            price=amounts.level("price"),
            leverage=amounts.leverage(),
            stop=amounts.level("stop"),
            take_profit=amounts.level("take_profit"),
            key=self._key(),
            order=self._name("order"),
            strategy=self._name("strategy"),
            interval=self._name("interval"),
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
        return self._flagged("test")

    def _flagged(self, name: str) -> bool:
        """True where the field `name` is there and does not say no."""
        found = self.fields.by_name.get(name)
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

    def _symbol(self, *, required: bool) -> Name:
        name: Name | None = None
        first: Field | None = None
        for field in sorted(self.fields.by_name.get("symbol", ()), key=lambda f: (f.rank, f.depth)):
            value = field.value
            if type(value) is not str:
                raise Unreadable(f"{clipped(field.key)} is {clipped(value)}, expected a symbol as text, as in BTCUSDT", field.at)
            if not value.strip() or (field.rank and name is not None):
                continue
            resolved(field)
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

    def _key(self) -> str:
        field = self.fields.best("id")
        if field is None:
            return ""
        value = field.value
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise Unreadable(f"{clipped(field.key)} is {clipped(value)}, expected a text", field.at)
        text = str(value).strip()
        if "{{" in text:
            self.notes.append((field.at, f"{clipped(field.key)} {UNRESOLVED}; it is no identity and was left out"))
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

    def _times(self, *, strict: bool) -> tuple[int | None, int | None]:
        """When it was sent, and the bar's time. `strict`: raises `Unreadable` where it says when it was sent and that is no time,
        for nobody could tell then whether it is too late.
        """
        by_name = self.fields.by_name
        sent = self._time("sent", strict=strict) if "sent" in by_name else None
        bar = self._time("bar_time") if "bar_time" in by_name else None
        if "time" in by_name:
            # what stands here may be {{time}} or {{timenow}}; left as it was the latter is the time of sending
            unresolved = any("timenow" in str(f.value) for f in by_name["time"])
            time = self._time("time", strict=strict and unresolved)
            if time is not None:
                if sent is None and (bar is not None or time % MINUTE):
                    sent = time
                elif bar is None:
                    bar = time
        return sent, bar

    def _time(self, name: str, *, strict: bool = False) -> int | None:
        found = self.fields.by_name[name]
        field = found[0] if len(found) == 1 else min(found, key=lambda f: (f.rank, f.depth))
        if field.value in ("", None):
            return None
        ms = moment(field.value)
        if ms is None and strict:
            unresolved = f"; it {UNRESOLVED}" if "{{" in str(field.value) else ""
            raise Unreadable(
                f"{clipped(field.key)} {clipped(field.value)!r} is no time: whether it is too late to trade cannot be told; "
                f"expected 2026-01-31T12:00:00Z, or seconds or milliseconds since 1970{unresolved}",
                field.at,
            )
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
        for name in ("action", "aside"):
            for field in by_name.get(name, ()):
                if plain(field.key) in ("ordertype", "type") and plain(str(field.value)) in ("limit", "limitorder"):
                    self.notes.append((field.at, "limit orders are not placed: it is traded at the market"))
        if self._amounts.as_text:
            keys = ", ".join(dict.fromkeys(clipped(key) for key in self._amounts.as_text))
            self.notes.append((NOWHERE, f"numbers written as text: {keys}"))
