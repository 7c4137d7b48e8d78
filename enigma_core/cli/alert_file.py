"""A file of recorded alerts: one a line, as a run stored it or as a message with the time it came."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from enigma_core.alert import Alert, Mode
from enigma_core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from enigma_core.plugins import Catalogue

OPTION = "--alerts"
AROUND = frozenset(("message", "received", "ts", "time"))
"""The only fields of a line that holds a message and its times."""

EARLIEST, LATEST = 978_307_200_000, 4_102_444_800_000
"""2001 to 2100, ms."""

AHEAD = 30_000
"""ms by which a sender's clock may be ahead."""

Fields = dict[str, msgspec.Raw]


class Recorded(NamedTuple):
    """The alerts of a file, and what a person should know about it."""

    alerts: list[Alert]
    notes: list[str]


class AlertFile:
    """Reads alerts from text. What does not say when it came, came `delay` (ms) after it was sent.

    `bar` (ms) is how long the bar lasts whose time is all that a message may carry. `mode` replaces that of every alert.
    """

    def __init__(self, catalogue: Catalogue, symbols: Sequence[str], *, delay: int, bar: int, mode: Mode | None) -> None:
        self._catalogue = catalogue
        self._symbols = tuple(symbols)
        self._delay = delay
        self._bar = bar
        self._mode = mode
        self._unread = 0
        self._empty = 0
        self._by_bar = 0

    def read(self, path: Path) -> Recorded:
        """The alerts in the file at `path`. Raises `ConfigError` for a file that is none, `DataError` naming the line at fault."""
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError:
            raise ConfigError(f"{OPTION} {path}: this is no text in UTF-8; give a file with an alert a line") from None
        except OSError as error:
            raise ConfigError(f"{OPTION} {path}: it cannot be read: {error.strerror or error}") from None
        alerts: list[Alert] = []
        for place, line in _lines(text):
            try:
                alerts += self._alerts(line)
            except DataError as error:
                raise DataError(f"{path}, {place}: {error}") from None
        if self._mode is not None:
            alerts = [msgspec.structs.replace(alert, mode=self._mode) for alert in alerts]
        return Recorded(alerts, list(self._notes()))

    def _notes(self) -> Iterator[str]:
        if self._unread:
            yield f"alerts: {_many(self._unread, 'message that was', 'messages that were')} refused unread, left out"
        if self._empty:
            yield f"alerts: {_many(self._empty, 'message', 'messages')} asked for nothing, left out"
        if self._by_bar:
            carried = _many(self._by_bar, "message carries", "messages carry")
            yield f"alerts: {carried} only the time of a bar, taken as sent when the primary bar from then on had closed"

    def _alerts(self, line: str) -> Sequence[Alert]:
        fields = _fields(line)
        if fields is not None and {"id", "received", "request"} <= fields.keys():
            return self._stored(line, fields)
        if fields is not None and "message" in fields and len(fields) > 1 and fields.keys() <= AROUND:
            return self._timed(fields)
        return self._bare(line)

    def _stored(self, line: str, fields: Fields) -> Sequence[Alert]:
        """One alert as a run has it. Its `ts` is when it came by the market's time."""
        if fields["request"] == msgspec.Raw(b"null"):
            self._unread += 1
            return ()
        try:
            return [msgspec.json.decode(line, type=Alert)]
        except msgspec.ValidationError as error:
            raise DataError(f"this is no stored alert: {error}") from None

    def _timed(self, fields: Fields) -> Sequence[Alert]:
        """A message with the time it was sent (`ts`, `time`), came (`received`), or both."""
        given = (
            msgspec.json.decode(fields["message"]) if bytes(fields["message"])[:1] == b'"' else bytes(fields["message"]).decode()
        )
        if not isinstance(given, str):
            raise DataError("its message is neither text nor an object")
        sent = next((_moment(name, fields[name]) for name in ("ts", "time") if name in fields), None)
        received = _moment("received", fields["received"]) if "received" in fields else None
        if received is None:
            assert sent is not None
            received = sent + self._delay
        made = []
        for alert in self._read(given, received):
            request = alert.request
            if request.sent is None and sent is not None:
                request = msgspec.structs.replace(request, sent=sent)
            if request.sent is not None and request.sent - received > AHEAD:
                raise DataError(f"it came {(request.sent - received) / 1000:g} s before it was sent; mend its times")
            made.append(msgspec.structs.replace(alert, request=request))
        return made

    def _bare(self, line: str) -> Sequence[Alert]:
        """A message that carries its own time. The time of a bar alone is no time to send at: the bar was not over."""
        made = []
        for alert in self._read(line, 0):
            request = alert.request
            if request.sent is not None:
                received = request.sent + self._delay
            elif request.bar is not None:
                self._by_bar += 1
                received = request.bar + self._bar + self._delay
            else:
                raise DataError('it does not say when it was sent: write {"time": "2026-01-31T12:00:00Z", "message": ...}')
            made.append(msgspec.structs.replace(alert, ts=received, received=received))
        return made

    def _read(self, message: str, received: int) -> Sequence[Alert]:
        found = self._catalogue.read_alerts(message, received, self._symbols)
        if found is None:
            raise DataError("no installed plugin reads messages of alerts; stored alerts can be read without one")
        if not found:
            self._empty += 1
        return found


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """Each alert's place and text: the items of one JSON array of stored alerts, else the lines that are not blank."""
    if text.lstrip()[:1] == "[":
        try:
            items = msgspec.json.decode(text, type=list[Fields])
        except msgspec.MsgspecError:
            items = []
        if any("received" in item for item in items):
            for number, item in enumerate(items, 1):
                yield f"alert {number}", msgspec.json.encode(item).decode()
            return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield f"line {number}", line.strip()


def _fields(line: str) -> Fields | None:
    try:
        return msgspec.json.decode(line, type=Fields)
    except msgspec.MsgspecError:
        return None


def _moment(name: str, raw: msgspec.Raw) -> int:
    """ms: of seconds or milliseconds since 1970, or of ISO 8601, UTC where it names no offset."""
    text = bytes(raw).decode().strip('"')
    found = None
    if re.fullmatch(r"\d{10}(\.\d+)?", text, re.ASCII):
        found = round(float(text) * 1000)
    elif re.fullmatch(r"\d{13}", text, re.ASCII):
        found = int(text)
    else:
        try:
            read = datetime.fromisoformat(text)
            found = round((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp() * 1000)
        except (ValueError, OverflowError):
            pass
    if found is None or not EARLIEST <= found < LATEST:
        raise DataError(f"{name} is {text[:40]!r}; write milliseconds since 1970, or as in 2026-01-31T12:00:00Z")
    return found


def _many(count: int, one: str, several: str) -> str:
    return f"{count:,} {one if count == 1 else several}"
