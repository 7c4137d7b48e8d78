"""Quantity, prices and leverage of one order, exact and within their bounds."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from enigma_core.alert import Unit
from enigma_webhooks.alerts.fields import Field, Fields
from enigma_webhooks.alerts.numbers import Numeral, thousands
from enigma_webhooks.alerts.numbers import decimal as exact
from enigma_webhooks.alerts.places import NOWHERE, Unreadable, clipped
from enigma_webhooks.alerts.symbols import Name
from enigma_webhooks.alerts.words import STANCES, UNITS, plain

NUMBER_MOST = 64
UNRESOLVED = "arrived unresolved: TradingView fills it in only where the alert's kind knows it"

WITH_UNIT = re.compile(r"([$€])?\s*([^\s%$@€A-Za-z]+(?:[eE][+-]?[0-9]+)?)\s*(%|\$|@|[A-Za-z]+)?")
_LEVERAGE = re.compile(r"[xX]?\s*([0-9.,]+)\s*[xX]?")
_MONEY_SIGN = re.compile(r"[$€]|\s*(?:USDT|USDC|USD)$", re.IGNORECASE)


class Amounts:
    """The numbers of one order. `spoken`: the message is words and pairs, in which every number is text."""

    __slots__ = ("_fields", "_notes", "_spoken", "as_text")

    def __init__(self, fields: Fields, *, spoken: bool) -> None:
        self._fields = fields
        self._notes = fields.notes
        self._spoken = spoken
        self.as_text: list[str] = []
        """Keys of JSON whose numbers were written as text."""

    def quantity(self, name: Name, *, stated: bool) -> tuple[Decimal | None, Unit]:
        """The quantity and its unit; none where nothing is asked for (`stated`). The size of a position stands in for it."""
        field = self._fields.best("quantity")
        signed = False
        if field is None or field.rank == 3:
            sizes = [f for f in self._fields.by_name.get("stance", ()) if f.rank == 2 or not _worded(f.value)]
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
            resolved(field)
            found = WITH_UNIT.fullmatch(value.strip())
            if found is not None and (found[1] or found[3]):
                mark = (found[3] or "usd").lower()
                suffix = "base" if mark == name.base.lower() else UNITS.get(mark, "")
                if not suffix or (found[1] and suffix != "quote"):
                    raise Unreadable(
                        f"{clipped(field.key)}: {clipped(value)!r} is in no unit known; expected %, $, @ or none", field.at
                    )
                value = found[2]
        number = self.decimal(field if value is field.value else field._replace(value=Numeral(value)))
        stated = self._fields.best("unit")
        if stated is not None and isinstance(stated.value, str) and stated.value.strip():
            resolved(stated)
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

    def position_size(self, name: Name, *, stated: bool) -> Decimal | None:
        """The size, in base units and without its sign, that is held afterwards; None where it is not stated in base units."""
        if not stated:
            return None
        sizes = [f for f in self._fields.by_name.get("stance", ()) if not _worded(f.value)]
        sizes += [f for f in self._fields.by_name.get("quantity", ()) if f.rank == 3]
        found: Decimal | None = None
        for field in sizes:
            value = field.value
            if type(value) is str:
                text = value.strip()
                if not text or "{{" in text:
                    continue
                if (parts := WITH_UNIT.fullmatch(text)) is not None and (parts[1] or parts[3]):
                    if parts[1] or (parts[3] or "").lower() not in (name.base.lower(), "base"):
                        continue
                    field = field._replace(value=Numeral(parts[2]))
            size = abs(self.decimal(field))
            if found is not None and size != found:
                raise Unreadable(f"{clipped(field.key)} says that {size} is held, another field {found}; leave one", field.at)
            found = size
        return found

    def level(self, name: str) -> Decimal | None:
        """A price of the message; None where it states none, or one in percent."""
        field = self._fields.best(name)
        if field is None:
            return None
        if isinstance(field.value, dict):
            return self._nested_level(name, field)
        value = field.value
        if type(value) is str:
            text = value.strip()
            if not text or text.lower() == "market":
                return None
            resolved(field)
            if text.endswith("%"):
                self._notes.append((field.at, f"{clipped(field.key)} {clipped(text)} is a percentage, no price; it was left out"))
                return None
            if field.rank and not any(c.isdigit() for c in text):
                self._notes.append((field.at, f"{clipped(field.key)} {clipped(text)} is no price; it was left out"))
                return None
            bare = _MONEY_SIGN.sub("", text) if len(text) <= NUMBER_MOST else text
            if bare != value:
                field = field._replace(value=bare)
        elif type(value) is bool:
            self._notes.append((field.at, f"{clipped(field.key)} is a truth value, no price; it was left out"))
            return None
        number = self.decimal(field)
        if number < 0:
            raise Unreadable(f"{clipped(field.key)} is {clipped(value)}, expected a price above 0", field.at)
        if not number:
            self._notes.append((field.at, f"{clipped(field.key)} is 0, which is no price; it was left out"))
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
                inner_amounts = Amounts(one, spoken=self._spoken)
                found = inner_amounts.level(name)
                self._notes.extend(one.notes)
                self.as_text.extend(inner_amounts.as_text)
                if found is not None:
                    return found
            elif inner != "type" and value is not None:
                self._notes.append((at, f"{clipped(field.key)}.{clipped(key)} is no price; it was left out"))
        return None

    def leverage(self) -> Decimal | None:
        field = self._fields.best("leverage")
        if field is None:
            return None
        if type(field.value) is str:
            resolved(field)
            if not field.value.strip():
                return None
            if found := _LEVERAGE.fullmatch(field.value.strip()):
                field = field._replace(value=field.value if found[1] == field.value else Numeral(found[1]))
        number = self.decimal(field)
        if number <= 0:
            raise Unreadable(f"{clipped(field.key)} is {clipped(field.value)}, expected a number above 0", field.at)
        return number

    def decimal(self, field: Field) -> Decimal:
        value = field.value
        try:
            number = exact(value)
        except Unreadable as e:
            raise Unreadable(f"{clipped(field.key)}: {e.reason}", field.at) from None
        if type(value) is str:
            if thousands(value):
                self._notes.append((field.at, f"{clipped(field.key)} {clipped(value)!r} is written with commas; read as {number}"))
            elif not self._spoken:
                self.as_text.append(field.key)
        return number


def _worded(value: Any) -> bool:
    return isinstance(value, str) and type(value) is not Numeral and plain(value.strip()) in STANCES


def resolved(field: Field) -> None:
    """Raises `Unreadable` where the text of `field` is a placeholder still."""
    if "{{" in field.value:
        raise Unreadable(f"{clipped(field.key)}: {clipped(field.value)} {UNRESOLVED}", field.at)
