"""Facts as JSON and back, exactly.

A record is a frozen struct that says what happened. Its tag is the struct's name in lower case (`OrderEnded` is
``order_ended``). Decimals travel as text, so no digit is lost. JSON knows no NaN: a float that is not finite becomes
null, and null comes back as NaN where the field is a plain float, as None where None is allowed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from enigma_core.alert import Alert, AlertRefused, AlertWorked
from enigma_core.errors import HomeError
from enigma_core.market import FundingSeen, Voted
from enigma_core.model import (
    Blocked,
    Cancel,
    CloseWanted,
    ConfigSet,
    DayOpened,
    Decision,
    ExternalSeen,
    Fill,
    Funded,
    Instrument,
    Marked,
    Order,
    OrderEnded,
    OrderFound,
    OrderSeen,
    Sliced,
    StateSet,
    StopMissing,
    StreakReset,
    Trade,
    Transferred,
)
from enigma_core.parts import Note

TYPES: dict[str, type[msgspec.Struct]] = {}
"""Every kind of record a journal can hold, by tag."""

TAGS: dict[type, str] = {}
"""The other way round."""

BESIDE = (
    "decision",
    "trade",
    "note",
    "cancel",
    "voted",
    "alert",
    "alert_worked",
    "alert_refused",
    "close_wanted",
    "config_set",
    "order_seen",
    "sliced",
    "stop_missing",
    # a block is known anew after each start
    "blocked",
)
"""Kinds that leave an account as it is."""

_encoder = msgspec.json.Encoder()
_decoders: dict[str, Callable[[bytes | str], Any]] = {}

Mend = Callable[[Any], Any]
R = TypeVar("R", bound=type[msgspec.Struct])


def register(kind: R) -> R:
    """Make `kind` a record. May decorate a struct; a second kind under the same tag raises `TypeError`."""
    tag = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind.__name__).lower()
    if TYPES.setdefault(tag, kind) is not kind:
        raise TypeError(f"two kinds of record are called {tag!r}: {TYPES[tag]!r} and {kind!r}")
    TAGS[kind] = tag
    return kind


def tag(record: msgspec.Struct) -> str:
    """The tag of `record`. Raises `TypeError` for a struct that was never registered."""
    try:
        return TAGS[type(record)]
    except KeyError:
        raise TypeError(f"{type(record).__qualname__} is no record: register it in enigma_core.records first") from None


def key(record: msgspec.Struct) -> str | None:
    """What makes `record` unique in a journal: the id of a decision, a fill, an alert or its outcome, of what a venue booked;
    None where the same may be said again."""
    if isinstance(record, Decision | Fill | Alert | AlertWorked | Transferred):
        return f"{TAGS[type(record)]}:{record.id}"
    return f"funded:{record.id}" if isinstance(record, Funded) and record.id else None


def encode(record: msgspec.Struct) -> bytes:
    """`record` as JSON, without its tag."""
    return _encoder.encode(record)


def decode(tag: str, payload: bytes | str) -> Any:
    """The record that `encode` wrote. Raises `HomeError` for an unknown tag or a payload that does not fit it."""
    decoder = _decoders.get(tag)
    if decoder is None:
        kind = TYPES.get(tag)
        if kind is None:
            raise HomeError(f"a record of kind {tag!r} is unknown here; it was written by another version or plugin")
        decoder = _decoders[tag] = _decoder(kind)
    try:
        return decoder(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as e:
        raise HomeError(f"a record of kind {tag!r} cannot be read: {e}") from e


def _decoder(kind: type[msgspec.Struct]) -> Callable[[bytes | str], Any]:
    typed = msgspec.json.Decoder(kind)
    plain = msgspec.json.Decoder()
    mend = _mender(inspect.type_info(kind))

    def decoder(payload: bytes | str) -> Any:
        if mend is None or ("null" if isinstance(payload, str) else b"null") not in payload:  # type: ignore[operator]
            return typed.decode(payload)
        return msgspec.convert(mend(plain.decode(payload)), kind)

    return decoder


def _nan(value: Any) -> Any:
    return math.nan if value is None else value


def _unless_none(mend: Mend, value: Any) -> Any:
    return None if value is None else mend(value)


# a payload of another shape is left as it is: `msgspec.convert` then says what is wrong with it


def _values(mend: Mend, value: Any) -> Any:
    return {k: mend(v) for k, v in value.items()} if isinstance(value, dict) else value


def _items(mend: Mend, value: Any) -> Any:
    return [mend(v) for v in value] if isinstance(value, list) else value


def _fields(mends: dict[str, Mend], value: Any) -> Any:
    return {k: mends[k](v) if k in mends else v for k, v in value.items()} if isinstance(value, dict) else value


def _mender(info: inspect.Type) -> Mend | None:
    """What puts NaN back for null in a value of this type; None where there is nothing to mend."""
    match info:
        case inspect.FloatType():
            return _nan
        case inspect.UnionType(types=types):
            inner = next(filter(None, map(_mender, types)), None)
            if inner is None or any(isinstance(t, inspect.FloatType) for t in types):
                return None
            return partial(_unless_none, inner)
        case inspect.StructType(fields=fields):
            mends = {f.encode_name: m for f in fields if (m := _mender(f.type)) is not None}
            return partial(_fields, mends) if mends else None
        case inspect.DictType(value_type=item):
            of = _mender(item)
            return of and partial(_values, of)
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            of = _mender(item)
            return of and partial(_items, of)
        case _:
            return None


@register
class Started(msgspec.Struct, frozen=True, kw_only=True):
    """A run has opened the journal: the instruments it trades, and the cash the account began with (the first one counts)."""

    ts: int
    cash: Decimal
    instruments: dict[str, Instrument]


_kind: type[msgspec.Struct]
for _kind in (Decision, Order, Cancel, Fill, Funded, OrderEnded, Trade, DayOpened, Marked, Note):
    register(_kind)
for _kind in (OrderSeen, OrderFound, ExternalSeen, Transferred, Blocked, StopMissing, Sliced):
    register(_kind)
for _kind in (StateSet, StreakReset, CloseWanted, ConfigSet):
    register(_kind)
for _kind in (FundingSeen, Voted, Alert, AlertWorked, AlertRefused):
    register(_kind)
