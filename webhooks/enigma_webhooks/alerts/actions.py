"""What one order says is to be done, and what it says is to be held."""

from __future__ import annotations

from typing import Literal

from enigma_core.alert import Action, Stance
from enigma_webhooks.alerts.amounts import UNRESOLVED, WITH_UNIT, Amounts, resolved
from enigma_webhooks.alerts.fields import Field, Fields
from enigma_webhooks.alerts.numbers import Numeral
from enigma_webhooks.alerts.places import Unreadable, clipped, spelt
from enigma_webhooks.alerts.words import ADDING, STANCES, WORDS, Word, nearest, plain, word

Closes = Literal["long", "short"]


class Intent:
    """Action and position of one order, from all fields that speak of them."""

    __slots__ = ("_amounts", "_fields", "_notes")

    def __init__(self, fields: Fields, amounts: Amounts) -> None:
        self._fields = fields
        self._notes = fields.notes
        self._amounts = amounts

    def action(self) -> tuple[Action | None, Closes | None, Stance | None, Field | None]:
        """Action, which side it closes, the position stated, and a text that should have been an action word and is none."""
        by_name = self._fields.by_name
        stance, held = self._stance()
        main, unread = self._said("action")
        qualifier, unread_side = self._said("side")
        if main is None and qualifier is None and self._fields.flags:
            by_name["action"] = [*by_name.get("action", ()), *self._fields.flags]
            main, unread = self._said("action")
        if main is None:
            main, qualifier = qualifier, None
        unread = unread or unread_side
        if main is None:
            if unread is not None and unread.rank == 0:
                raise no_word(unread)
            if stance is None:
                return None, None, None, unread
            return None, None, stance, None
        said, field = main
        action, closes = said.action, said.closes
        if said.stance is not None:
            if stance is None:
                stance = said.stance
            elif stance != said.stance:
                raise Unreadable(f"{clipped(field.value)} and a position of {stance} contradict each other", field.at)
        if action in ("long", "short") and stance in ("long", "short") and action != stance:
            for mood in self._fields.by_name.get("stance", ()):
                if plain(mood.key) == "sentiment":
                    raise _contradiction(field, mood)
        if qualifier is not None:
            other, beside = qualifier
            action, closes = _qualified(said, field, other, beside)
        if said.needs and action is None:
            if stance not in ("long", "short"):
                raise Unreadable(f'{clipped(field.value)} does not say which side; add one, as in "side": "long"', field.at)
            action = stance
        if plain(str(field.value)) in ADDING:
            self._notes.append((field.at, "the engine holds one position a symbol and does not add to it; read as an entry"))
        if held is not None and action in ("close", "reduce") and said.stance is None and stance in ("long", "short"):
            # "close" beside "position": "long" names the position that is to be closed, not one to be held
            if closes is not None and closes != stance:
                raise Unreadable(f"{clipped(field.value)} and {held.key} {stance} contradict each other", held.at)
            closes, stance = ("long" if stance == "long" else "short"), None
        elif action in ("close", "reduce") and stance in ("long", "short"):
            # a target would win over the word, and what says "close" may never enter
            self._notes.append((field.at, f"{clipped(field.value)} is obeyed, though the message also wants to hold a {stance}"))
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
        for field in self._fields.by_name.get(name, ()):
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
            raise no_word(unread)
        return chosen, unread

    def _stance(self) -> tuple[Stance | None, Field | None]:
        """The position stated, and its field where the key is ``position``, which people also use for the one to be closed."""
        found = self._fields.by_name.get("stance")
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
            resolved(field)
            if field.rank < 2 and not any(c.isdigit() for c in text):
                raise Unreadable(f"{clipped(field.key)} is {clipped(value)!r}, expected long, short or flat", field.at)
        if type(value) is str and (found := WITH_UNIT.fullmatch(value.strip())) is not None:
            field = field._replace(value=found[2])
        size = self._amounts.decimal(field)
        return "long" if size > 0 else "short" if size < 0 else "flat"


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


def no_word(field: Field) -> Unreadable:
    """The refusal of a text that should have been an action word."""
    value = field.value
    if isinstance(value, str) and "{{" in value:
        return Unreadable(f"{clipped(field.key)}: {clipped(value)} {UNRESOLVED}", field.at)
    if not str(value).strip():
        return Unreadable(f"{clipped(field.key)} is empty, expected an action word, as in buy, sell or close", field.at)
    near = nearest(str(value), WORDS)
    return Unreadable(
        f"{clipped(field.key)} is {clipped(value)!r}, expected an action word, as in buy, sell or close{near}", field.at
    )


def no_action() -> Unreadable:
    """The refusal of a message that asks for nothing."""
    return Unreadable('the message says neither what to do nor what to hold; expected an action, as in "action": "buy"')
