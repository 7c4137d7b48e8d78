"""Takes alerts in: who may send, what it asks for, written down, answered. The cheapest checks come first.

An ASGI application of its own, so that nothing stands between a sender and the journal. Whoever has not shown the secret learns
nothing about his message; whoever has is told what is wrong with it, and so is the user.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Protocol

import msgspec

from enigma_core.alert import Alert, AlertRefused, Receipt, Request
from enigma_core.errors import Busy, HomeError
from enigma_core.parts import Desk
from enigma_webhooks.alerts.places import place_of
from enigma_webhooks.alerts.secrets import blanked, scrubbed
from enigma_webhooks.alerts.symbols import UnknownSymbol, match, rescaled
from enigma_webhooks.front import answers
from enigma_webhooks.front.address import Network, Untraceable, client, within
from enigma_webhooks.front.answers import Answer
from enigma_webhooks.front.buckets import Failures
from enigma_webhooks.front.glimpse import glimpsed
from enigma_webhooks.front.heads import Heads
from enigma_webhooks.front.identity import digest, identity, same
from enigma_webhooks.front.keyring import Keyring
from enigma_webhooks.front.source import AlertSource

PREFIX = "/webhooks/"
MOST_BYTES = 16_384
MOST_TIME = 2.5
"""Seconds until a sender is answered, whatever happens: TradingView waits three."""
REPEATED, REPEATED_BYTES = 4_096, 1_024
"""How many accepted messages are known by their bytes, and how long such a message may be."""
NAMED = 4_096
"""Of how many messages without a time it is known which alert they were."""
MOST_AHEAD = 30_000
"""ms by which a message may come from the future."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[Any], Awaitable[None]]

_log = logging.getLogger(__name__)
_canonical = msgspec.json.Encoder(order="deterministic").encode


class Reading(Protocol):
    """What `enigma_webhooks.alerts.read` makes of one order of a message."""

    @property
    def ok(self) -> bool: ...
    @property
    def request(self) -> Request | None: ...
    @property
    def secret(self) -> str | None: ...
    @property
    def test(self) -> bool: ...
    @property
    def asks(self) -> bool: ...
    @property
    def warnings(self) -> tuple[str, ...]: ...
    @property
    def error(self) -> str | None: ...
    @property
    def status(self) -> int: ...


class Refusal(Exception):
    """A message with the right secret cannot be accepted."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Made:
    """What a message asks for: an alert for each of its orders, or why that order asks for nothing."""

    __slots__ = ("alerts",)

    def __init__(self, alerts: Iterable[Alert | str] = ()) -> None:
        self.alerts = list(alerts)

    @property
    def lasting(self) -> bool:
        """True where the same message is the same alerts whenever it comes."""
        return all(isinstance(alert, str) or alert.window is None for alert in self.alerts)

    def anew(self, received: int, ts: int) -> Made:
        """The same, come at `received`, ms, and the market's time `ts`: how old it is counts from there."""
        return Made(
            msgspec.structs.replace(each, received=received, ts=ts) if isinstance(each, Alert) else each for each in self.alerts
        )


class Receiver:
    """The door for alerts, by source. `now` is the wall clock in ms, `clock` a monotonic one in seconds.

    `failures` counts wrong secrets; `answered` is told the source (or "unknown") and the status of each answer.
    `trusted` are the proxies whose X-Forwarded-For is believed.
    """

    def __init__(
        self,
        desk: Desk,
        sources: Mapping[str, AlertSource],
        read: Callable[[bytes], Sequence[Reading]],
        *,
        trusted: Sequence[Network] = (),
        now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        clock: Callable[[], float] = time.monotonic,
        failures: Failures | None = None,
        answered: Callable[[str, int], None] | None = None,
    ) -> None:
        self.desk = desk
        self.sources = sources
        self.read = read
        self.trusted = tuple(trusted)
        self.now = now
        self.clock = clock
        self.failures = failures or Failures(clock)
        self._answered = answered
        self._nobody = Keyring()
        self._made: OrderedDict[tuple[object, ...], Made] = OrderedDict()
        """What messages with the right secret came to: one that is sent again, to the byte, is not read again."""
        self._latest: OrderedDict[str, str] = OrderedDict()
        """Which alert was taken in last under a key that is good for a while only. It names; the desk judges."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        try:
            answer = await self._answer(scope, receive)
        except Gone:
            return
        except Exception:  # noqa: BLE001 - whatever it is, the sender is told nothing of it, and the log everything
            _log.exception("an alert could not be taken in for a reason of ours")
            answer = answers.FAULT
        if self._answered is not None:
            name = _name(scope)[0]
            self._answered(name if name in self.sources else "unknown", answer.status)
        await send(answer.start)
        await send(answer.rest)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        began = self.clock()
        if scope["method"] != "POST":
            return answers.NOT_ALLOWED
        name, token = _name(scope)
        heads = Heads(scope["headers"])
        peer = scope.get("client")
        try:
            sender = client(peer[0] if peer else "", heads.forwarded, self.trusted)
        except Untraceable:
            return answers.UNTRACEABLE
        source = self.sources.get(name)
        if source is not None and source.allow and (sender is None or not within(sender, source.allow)):
            return answers.FORBIDDEN
        keys = source.keys if source is not None else self._nobody
        shown = self._shown(keys, token, heads)
        told = shown and source is not None
        if heads.encoded or not heads.text:
            answer = answers.ENCODED if heads.encoded else answers.NO_TEXT
            return await self._told(source, answer, b"", began) if told and source else answer
        if heads.length > MOST_BYTES:
            return await self._told(source, answers.TOO_LARGE, b"", began) if told and source else answers.TOO_LARGE
        body = await _body(receive)
        if len(body) > MOST_BYTES:
            return await self._told(source, answers.TOO_LARGE, body, began) if told and source else answers.TOO_LARGE
        signed = bool(heads.signatures) and keys.signed(heads.id, heads.timestamp, heads.signatures, body, self.now() / 1000)
        shown |= signed
        again = (name, token, *heads.secrets, body)
        made = None if signed else self._made.get(again)
        if not shown and made is None and self.failures.suspect(sender) and not glimpsed(keys, body):
            return answers.TOO_MANY
        readings = self.read(body) if made is None else ()
        if source is None or (not shown and made is None and not _authentic(keys, readings)):
            self.failures.count(sender)
            return answers.UNAUTHORIZED
        try:
            if made is None:
                made = self._make(source, readings, body, heads.id.decode("latin-1") if signed else "")
                if made.lasting and not signed and len(body) <= REPEATED_BYTES:
                    # before it is written down: copies of it come while it is
                    self._made[again] = made
                    if len(self._made) > REPEATED:
                        self._made.popitem(last=False)
            else:
                made = made.anew(self.now(), self.desk.now())
            answer = await self._accept(made, began)
        except Refusal as refusal:
            (reason,) = scrubbed((refusal.reason,), _secrets(keys, readings))
            answer = answers.refused(refusal.status, reason, place_of(refusal.reason))
            return await self._told(source, answer, body, began, reason)
        return answer

    def _shown(self, keys: Keyring, token: str, heads: Heads) -> bool:
        """True where the address or a header holds the secret; the same work for a source that does not exist."""
        found = keys.holds(token) if token else False
        for each in heads.secrets:
            found |= keys.holds(each)
        return found

    def _make(self, source: AlertSource, readings: Sequence[Reading], body: bytes, key: str) -> Made:
        """The alerts that a message with the right secret asks for. Raises `Refusal`."""
        if not source.enabled:
            raise Refusal(422, f"the source {source.name} is switched off: set its enabled to true")
        faulty = [(i, each) for i, each in enumerate(readings, 1) if not each.ok]
        if faulty:
            i, reading = faulty[0]
            reason = reading.error or "this cannot be read"
            raise Refusal(reading.status, reason if len(readings) == 1 else f"{reason} (order {i} of {len(readings)})")
        received = self.now()
        made = Made()
        copies: dict[tuple[object, ...], int] = {}
        kept = _kept(body, source.keys, readings)
        for n, reading in enumerate(readings, 1):
            request = reading.request
            if request is None or reading.test or not reading.asks:
                made.alerts.append("this is a test alert" if reading.test else "it asks for nothing")
                continue
            if key:
                request = msgspec.structs.replace(request, key=key if len(readings) == 1 else f"{key}/{n}")
            if _named(request, reading.warnings, source.keys):
                raise Refusal(
                    422, "the secret stands in another field of the message too (an id, a comment or a name): take it out there"
                )
            request = self._placed(request, received)
            copy = 0
            if not request.key:
                known = same(source.name, request)
                copies[known] = copy = copies.get(known, -1) + 1
            text = kept if kept is not None and len(readings) == 1 else _canonical(request).decode()
            made.alerts.append(self._alert(source, request, received, text, copy, reading))
        return made

    async def _accept(self, made: Made, began: float) -> Answer:
        """Have the alerts written down. Raises `Refusal` where one of them is known with another content."""
        new = [alert for alert in made.alerts if isinstance(alert, Alert)]
        receipts: Iterator[Receipt] = iter(())
        if new:
            if self.desk.state == "stopping":
                return answers.unavailable("the run is ending")
            try:
                async with asyncio.timeout(max(0.0, MOST_TIME - (self.clock() - began))):
                    receipts = iter(await self.desk.accept(new))
            except Busy:
                return answers.unavailable("too many alerts wait")
            except HomeError:
                return answers.unavailable("it could not be written down")
            except TimeoutError:
                return answers.unavailable("writing it down takes too long")
        outcomes: list[dict[str, Any]] = []
        for alert in made.alerts:
            if isinstance(alert, str):
                outcomes.append({"status": "ignored", "reason": alert})
                continue
            outcomes.append(self._outcome(alert, next(receipts)))
            if alert.warnings:
                outcomes[-1]["warnings"] = alert.warnings
            if outcomes[-1]["status"] == "conflict":
                what = alert.request.key or alert.id
                raise Refusal(409, f"the id {what!r} is known with another content: nothing of this message is done")
        return answers.accepted(outcomes)

    def _outcome(self, alert: Alert, receipt: Receipt) -> dict[str, Any]:
        """What its sender is told of one alert: of a duplicate the id of the alert that is written down, where that is known."""
        if alert.window is None:
            return {"status": receipt, "id": alert.id}
        if receipt == "accepted":
            self._latest[alert.key] = alert.id
            self._latest.move_to_end(alert.key)
            if len(self._latest) > NAMED:
                self._latest.popitem(last=False)
        id = alert.id if receipt == "accepted" else self._latest.get(alert.key)
        return {"status": receipt} if id is None else {"status": receipt, "id": id}

    def _placed(self, request: Request, received: int) -> Request:
        """`request` for a symbol of this run. Raises `Refusal` for another, and for a message from the future."""
        if request.sent is not None and request.sent - received > MOST_AHEAD:
            ahead = (request.sent - received) // 1000
            raise Refusal(
                422, f"the message was sent {ahead} s in the future, 30 s is the most: set the sender's clock, or this machine's"
            )
        known = self.desk.instruments
        if not request.symbol or request.symbol in known:
            return request
        try:
            return rescaled(request, *match(request.symbol, known))
        except UnknownSymbol as error:
            raise Refusal(422, str(error)) from None

    def _alert(self, source: AlertSource, request: Request, received: int, text: str, copy: int, reading: Reading) -> Alert:
        found = identity(source.name, request, received, copy)
        # the reader has taken out what it took for the secret
        others = [each for each in source.keys.live if each != reading.secret] if reading.warnings else []
        warnings = scrubbed(reading.warnings, others) if others else reading.warnings
        return Alert(
            id=found.id,
            ts=self.desk.now(),
            source=source.name,
            mode=source.mode,
            received=received,
            request=request,
            key=found.key,
            window=found.window,
            # an id is compared by what is asked for, so that an order is the same alone and in an array
            digest=digest(_canonical(request) if request.key else text.encode()),
            max_lag=source.max_lag,
            max_lag_exit=source.max_lag_exit,
            ttl=source.ttl,
            body=text,
            warnings=warnings,
        )

    async def _told(self, source: AlertSource, answer: Answer, body: bytes, began: float, reason: str = "") -> Answer:
        """`answer`, once it is written down that a message with the right secret was not accepted."""
        refusal = AlertRefused(
            ts=self.desk.now(),
            source=source.name,
            received=self.now(),
            status=answer.status,
            reason=reason or msgspec.json.decode(answer.body)["reason"],
            length=len(body),
            sha256=hashlib.sha256(body).hexdigest(),
        )
        # that it cannot be written down changes nothing about the answer
        with contextlib.suppress(HomeError, Busy, TimeoutError):
            async with asyncio.timeout(max(0.0, MOST_TIME - (self.clock() - began))):
                await self.desk.refuse(refusal)
        return answer


class Gone(Exception):
    """The sender has hung up: there is nobody to answer."""


def _name(scope: Scope) -> tuple[str, str]:
    """Which source a request is for, and the secret in its path."""
    name, _, token = scope["path"].removeprefix(PREFIX).strip("/").partition("/")
    return name, token


async def _body(receive: Receive) -> bytes:
    """The whole body, or its beginning where it is too large. How long it may take is the connection's affair."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Gone
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        return body
    parts = [body]
    size = len(body)
    while size <= MOST_BYTES and message.get("more_body", False):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
    return b"".join(parts)


def _authentic(keys: Keyring, readings: Sequence[Reading]) -> bool:
    """True where every secret in a message is right, and there is one."""
    given = {each.secret for each in readings if each.secret is not None} or {""}
    found = True
    for each in given:
        found &= keys.holds(each)
    return found


def _named(request: Request, warnings: Sequence[str], keys: Keyring) -> bool:
    """True where something is called by a secret, in whatever letters, which would be kept and shown with it."""
    # the symbol and the exchange are in capitals by now
    live = [secret.casefold() for secret in keys.live]
    names = (request.symbol, request.exchange, request.key, request.order, request.strategy, request.interval, *request.indicators)
    told = (name.casefold() for name in (*names, *scrubbed(warnings, keys.live)) if name)
    return any(blanked(name, live) != name for name in told)


def _secrets(keys: Keyring, readings: Sequence[Reading]) -> list[str]:
    """What must not be kept of a message."""
    return [*keys.live, *(each.secret for each in readings if each.secret and each.secret not in keys.live)]


def _kept(body: bytes, keys: Keyring, readings: Sequence[Reading]) -> str | None:
    """A message without its secret; None where it has one that cannot be found in its text."""
    text = body.decode("utf-8", "replace")
    kept = blanked(text, _secrets(keys, readings))
    return kept if kept != text or not any(each.secret for each in readings) else None
