"""Times of a message: ISO 8601, or seconds or milliseconds since 1970, as a number or a text."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

EARLIEST, LATEST = 978_307_200_000, 4_102_444_800_000
"""2001 to 2100, ms: what lies outside is a number of another kind."""

MINUTE = 60_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_NUMBER = re.compile(r"([0-9]{10,19})(?:\.([0-9]{1,9}))?")
_SHORT_OFFSET = re.compile(r"([+-][0-9]{2})([0-9]{2})$")


def moment(value: object) -> int | None:
    """The time in ms; None where `value` names none between 2001 and 2100. A time without an offset is UTC."""
    if type(value) is int:
        return _scaled(value)
    if not isinstance(value, str) or len(value) > 64:
        return None
    text = value.strip()
    if found := _NUMBER.fullmatch(text):
        whole = _scaled(int(found[1]))
        if whole is not None and found[2] and len(found[1]) == 10:
            whole += int(found[2][:3].ljust(3, "0"))
        return whole
    try:
        read = datetime.fromisoformat(text if text[-5:-4] not in "+-" else _SHORT_OFFSET.sub(r"\1:\2", text))
    except ValueError:
        return None
    if read.tzinfo is None:
        read = read.replace(tzinfo=UTC)
    try:
        ms = (read - _EPOCH) // _MS
    except OverflowError:
        return None
    return ms if EARLIEST <= ms < LATEST else None


def _scaled(number: int) -> int | None:
    """Seconds, milli-, micro- or nanoseconds, told apart by their size."""
    for scale in (1000.0, 1, 1_000, 1_000_000):
        ms = number * 1000 if scale == 1000.0 else number // int(scale)
        if EARLIEST <= ms < LATEST:
            return ms
    return None


def iso(ts: int) -> str:
    """``2026-01-01T00:00:00Z``, with milliseconds where there are any."""
    text = (_EPOCH + timedelta(milliseconds=ts)).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{ts % 1000:03d}Z" if ts % 1000 else f"{text}Z"
