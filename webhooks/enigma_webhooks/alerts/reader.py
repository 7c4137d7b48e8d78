"""From the body of a message to what it asks for.

Nearly every message is clean JSON: that is decoded in one go. Whatever is not, or has something wrong with it, is read again with
a parser that forgives and knows its place in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from enigma_core.alert import Request
from enigma_webhooks.alerts import lines
from enigma_webhooks.alerts.bodies import json_begins, json_in_text, plain_text
from enigma_webhooks.alerts.fields import Fields
from enigma_webhooks.alerts.loose import DEPTH, LooseJson, Placed
from enigma_webhooks.alerts.numbers import numeral
from enigma_webhooks.alerts.orders import Order
from enigma_webhooks.alerts.places import NOWHERE, Unreadable, clipped, sentence
from enigma_webhooks.alerts.reading import Reading, side_of
from enigma_webhooks.alerts.secrets import scrubbed, stated
from enigma_webhooks.alerts.words import Meaning, meaning

MOST_BYTES = 16 * 1024
MOST_ORDERS = 50
MOST_WARNINGS = 20

Note = tuple[int, str]

_DECODER = msgspec.json.Decoder(float_hook=numeral)
_LONG_NUMBER = re.compile(rb"[0-9]{20}")
_KEYS = re.compile(rb'"[ \t\n]*:')


class Source(NamedTuple):
    """One order before it is worked out: its `own` fields, and those of the message `around` it.

    `shared` is its number where several orders share those around them.
    """

    own: dict[str, Any] | Unreadable
    around: dict[str, Any] | None = None
    notes: tuple[Note, ...] = ()
    shared: int = 0
    spoken: bool = False
    """Words and pairs, where every number is text."""


def read(body: bytes | str) -> list[Reading]:
    """What a message asks for: one reading for each order in it, at least one. Never raises. The body's bound bounds the time."""
    try:
        return understood(body)
    except Exception:  # noqa: BLE001 - a sender may never see a 500: TradingView would send the alert three times more
        return [_refusal("the message could not be read, through a defect of the reader: please report its shape")]


def understood(body: bytes | str) -> list[Reading]:
    """As `read`, which is this behind a guard."""
    try:
        raw = body.encode() if isinstance(body, str) else body
    except UnicodeEncodeError:
        return [_refusal("the message is no text: it holds half a character", 415)]
    if len(raw) > MOST_BYTES:
        return [_refusal(f"the message has {len(raw):,} bytes; at most {MOST_BYTES:,} are read", 413)]
    quick = _quick(raw)
    if quick is not None:
        return quick
    try:
        text, notes = plain_text(raw)
    except Unreadable as e:
        return [_refusal(e.reason, e.status)]
    return _carefully(text, notes)


def _refusal(reason: str, status: int = 422) -> Reading:
    return Reading(ok=False, error=reason, status=status)


def _quick(raw: bytes) -> list[Reading] | None:
    """The readings of clean JSON; None where anything is wrong with it or in it: the careful way finds the place."""
    if raw[:1] not in (b"{", b"[") or b"{{" in raw or b"\r" in raw or _LONG_NUMBER.search(raw) is not None:
        return None
    try:
        tree = _DECODER.decode(raw)
        if _count(tree, 1) != len(_KEYS.findall(raw)):
            return None  # a key given twice in one object, or a text that looks like a key
        if type(tree) is dict and not any(type(value) is list for value in tree.values()):
            fields = Fields()
            fields.take(tree)
            if "text" not in fields.by_name:
                order = Order(fields)
                secret = order.secret()
                request = order.request()
                warnings = _sentences("", order.notes, [secret] if secret else []) if order.notes else ()
                return [_reading(order, request, secret, warnings)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Unreadable):
        pass
    return None


def _count(tree: Any, depth: int) -> int:
    """The keys of all objects in `tree`. Raises `Unreadable` beyond the depth."""
    if depth > DEPTH + 1:
        raise Unreadable("nested too deeply")
    count = 0
    if type(tree) is dict:
        count = len(tree)
        for value in tree.values():
            if type(value) is dict or type(value) is list:
                count += _count(value, depth + 1)
    elif type(tree) is list:
        for value in tree:
            if type(value) is dict or type(value) is list:
                count += _count(value, depth + 1)
    return count


def _reading(order: Order, request: Request | None, secret: str | None, warnings: tuple[str, ...]) -> Reading:
    if request is None:
        return Reading(ok=True, secret=secret, test=True, warnings=warnings)
    if secret is not None and len(secret) > 3 and any(secret in name for name in (request.key, request.order, request.strategy)):
        raise Unreadable("the secret stands in another field of the message too (an id, a comment or a name): take it out there")
    test = order.test
    action = request.action
    return Reading(
        ok=True,
        request=request,
        symbol=request.symbol,
        side=side_of(action or ("close" if request.position == "flat" else request.position)),
        secret=secret,
        test=test,
        asks=not test and (action is not None or request.position is not None),
        warnings=warnings,
    )


def _sentences(text: str, notes: list[Note], secrets: Sequence[str]) -> tuple[str, ...]:
    """Notes as warnings, each once, without secrets."""
    found = list(dict.fromkeys(notes))
    said = [sentence(text, at, reason) for at, reason in found[:MOST_WARNINGS]]
    if len(found) > MOST_WARNINGS:
        said.append(f"and {len(found) - MOST_WARNINGS} more")
    return scrubbed(said, secrets)


def _carefully(text: str, notes: list[Note]) -> list[Reading]:
    """The readings of a text, with places. `notes` is what was seen already."""
    try:
        sources = list(_sources(text, notes))
        if len(sources) > MOST_ORDERS:
            raise Unreadable(f"the message has {len(sources)} orders; at most {MOST_ORDERS} are taken")
        if not sources:
            raise Unreadable("the message is an empty list; expected an order")
        made = [_worked_out(text, notes, source) for source in sources]
        secrets = {reading.secret for reading in made} - {None}
        if len(secrets) > 1:
            raise Unreadable("the message carries two different secrets; leave one of them")
    except Unreadable as e:
        found = stated(text)
        (error,) = scrubbed([sentence(text, e.at, e.reason)], found)
        alone = found[0] if found and len(set(found)) == 1 else None
        return [Reading(ok=False, secret=alone, error=error, status=e.status, warnings=_sentences(text, notes, found))]
    if secrets and len(made) > 1:
        (secret,) = secrets
        made = [msgspec.structs.replace(reading, secret=secret) for reading in made]
    return made


def _worked_out(text: str, notes: list[Note], source: Source) -> Reading:
    fields = Fields()
    fields.notes.extend(notes)
    fields.notes.extend(source.notes)
    order = Order(fields, spoken=source.spoken)
    secret: str | None = None
    try:
        if isinstance(source.own, Unreadable):
            raise source.own
        fields.take(source.own)
        if source.around is not None:
            fields.take(source.around, 2)
        secret = order.secret()
        request = order.request()
        if request is not None and request.key and source.shared:
            request = msgspec.structs.replace(request, key=f"{request.key}/{source.shared}")
        return _reading(order, request, secret, _sentences(text, order.notes, [secret] if secret else []))
    except Unreadable as e:
        secrets = list(_secrets_in(source.own)) + list(_secrets_in(source.around))
        (error,) = scrubbed([sentence(text, e.at, e.reason)], secrets)
        alone = secrets[0] if len(set(secrets)) == 1 else None
        return Reading(
            ok=False, secret=alone, test=order.test, error=error, status=e.status, warnings=_sentences(text, order.notes, secrets)
        )


def _secrets_in(tree: Any) -> Iterator[str]:
    """Secrets of an object whose walk was broken off. Its depth was bounded when it was parsed."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            known = meaning(key)
            if known is not None and known.name == "secret":
                if isinstance(value, str | int) and str(value).strip():
                    yield str(value).strip()
            else:
                yield from _secrets_in(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _secrets_in(value)


def _sources(text: str, notes: list[Note], *, within: bool = False) -> Iterator[Source]:
    """The orders of a text of any shape. What is wrong with the text as a whole is added to `notes`."""
    begin, prose = json_begins(text)
    if begin is not None:
        if prose:
            notes.append((begin, "the text around the JSON was left out"))
        yield from _json(text, begin, notes, prose=prose)
    elif not within and (inner := json_in_text(text)) is not None:
        notes.append((NOWHERE, "the message is a text within quotes; what stands in it is read"))
        yield from _unplaced(inner, notes)
    else:
        yield from _spoken(text)


def _unplaced(text: str, notes: list[Note], around: dict[str, Any] | None = None) -> Iterator[Source]:
    """The orders of a text inside the message: its places are none of the message's."""
    inner: list[Note] = []
    try:
        found = list(_sources(text, inner, within=True)) if text.strip() else []
    except Unreadable as e:
        yield Source(Unreadable(e.reason), around)
        return
    notes.extend((NOWHERE, reason) for _, reason in inner)
    for n, source in enumerate(found, 1):
        own = source.own
        if isinstance(own, Placed):
            own.places.clear()
        unplaced = tuple((NOWHERE, reason) for _, reason in source.notes)
        yield Source(own, around, unplaced, n if around is not None and len(found) > 1 else 0, source.spoken)


def _spoken(text: str) -> Iterator[Source]:
    for line in lines.orders(text):
        yield Source(line.said, None, tuple(line.notes), spoken=True)


def _json(text: str, begin: int, notes: list[Note], *, prose: bool) -> Iterator[Source]:
    parser = LooseJson(text, begin)
    values = [parser.value()]
    notes += parser.notes
    while True:
        parser.skip()
        at = parser.end
        rest = text[at:].strip(" \t\n;.`,")
        if not rest:
            break
        next_one = at + (1 if text[at] == "," else 0)
        following = text[next_one:].lstrip()[:1]
        if following in ("{", "["):
            if len(values) >= MOST_ORDERS:
                raise Unreadable(f"the message has more than {MOST_ORDERS} orders", at)
            parser.end = next_one
            values.append(parser.value())
        elif prose and not re.search(r"[{}\[\]\"]", rest):
            break
        else:
            raise Unreadable(f"found {clipped(rest.split()[0], 20)!r}, expected the end of the message", at)
    for value in values:
        yield from _orders(value, notes)


def _orders(value: Any, notes: list[Note]) -> Iterator[Source]:
    if isinstance(value, list):
        for item in value:
            if isinstance(item, dict):
                yield from _orders(item, notes)
            elif isinstance(item, str):
                yield from _unplaced(item, notes)
            else:
                yield Source(Unreadable(f"the list holds {clipped(item)}, expected orders"))
        return
    if not isinstance(value, dict):
        raise Unreadable(f"the message is {clipped(value)} alone; expected an order")
    for key, inner in value.items():
        known = meaning(key)
        if isinstance(inner, list) and inner and _holds_orders(value, known, inner):
            around = _without(value, key)
            for n, item in enumerate(inner, 1):
                own = item if isinstance(item, dict) else Unreadable(f"{clipped(key)} holds {clipped(item)}, expected orders")
                own_key = isinstance(own, dict) and any((m := meaning(k)) is not None and m.name == "id" for k in own)
                yield Source(own, around, (), 0 if own_key or len(inner) == 1 else n)
            return
    if (spoken := _text_of(value)) is not None:
        yield from _unplaced(spoken[1], notes, _without(value, spoken[0]))
        return
    yield Source(value)


def _holds_orders(tree: dict[str, Any], known: Meaning | None, inner: list[Any]) -> bool:
    """Whether a list in `tree` is one of orders: by its name, or because what it holds states actions where `tree` states none."""
    if known is not None:
        return known.name == "orders"
    return all(isinstance(item, dict) and _states(item) for item in inner) and not _states(tree)


def _states(tree: dict[str, Any]) -> bool:
    return any((known := meaning(key)) is not None and known.name in ("action", "side", "stance") for key in tree)


def _without(tree: dict[str, Any], key: str) -> dict[str, Any]:
    left = Placed()
    places = getattr(tree, "places", {})
    for other, value in tree.items():
        if other != key:
            left.put(other, value, places.get(other, NOWHERE))
    left.twice = [pair for pair in getattr(tree, "twice", ()) if pair[0] != key]
    return left


def _text_of(tree: dict[str, Any]) -> tuple[str, str] | None:
    """Key and value of a text that holds the order, where the object around it states neither action nor position."""
    found = None
    for key, value in tree.items():
        known = meaning(key)
        if known is None:
            continue
        if known.name in ("action", "side", "stance") or isinstance(value, dict):
            return None
        if known.name == "text" and isinstance(value, str) and value.strip():
            found = key, value
    return found
