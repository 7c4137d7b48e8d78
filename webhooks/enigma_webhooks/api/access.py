"""Who may do what: tokens with scopes, kept as digests only."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException, TooManyRequestsException
from litestar.handlers.base import BaseRouteHandler
from msgspec import Meta

from enigma_core.errors import ConfigError
from enigma_webhooks.api.origin import Connection, local, same_site
from enigma_webhooks.api.throttle import Throttle
from enigma_webhooks.front.strength import MAKE, weakness

Scope = Literal["read", "trade", "admin"]
RANK = {"read": 0, "trade": 1, "admin": 2}
"""A scope holds those before it."""

LIFETIME = 30.0
"""Seconds that a ticket for the event stream can be used, once."""

TICKETS = 256
"""Unused tickets kept."""

SAFE = ("GET", "HEAD", "OPTIONS")

_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE)


class Token(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token of the settings. `expires` is its last day, UTC (``2027-01-31``); None for ever."""

    name: Annotated[str, Meta(min_length=1, max_length=40, description="what the journal calls whoever uses it")]
    token: Annotated[str, Meta(description="the token itself, at least 32 characters: a reference to a secret")]
    scope: Annotated[Scope, Meta(description="read; trade: closes and halts too; admin: everything")] = "read"
    expires: Annotated[str | None, Meta(description="its last day, UTC, as in 2027-01-31; null for ever")] = None

    def __repr__(self) -> str:
        return f"Token(name={self.name!r}, scope={self.scope!r}, expires={self.expires!r})"

    def __rich_repr__(self) -> Any:
        yield from (("name", self.name), ("scope", self.scope), ("expires", self.expires))


class Grant(msgspec.Struct, frozen=True):
    """What a token allows: to `name`, up to `scope`, until `until` (ms, None for ever)."""

    name: str
    scope: Scope
    until: int | None = None

    def covers(self, scope: str) -> bool:
        """True when `scope` is allowed. A scope that does not exist counts as the highest."""
        return RANK[self.scope] >= RANK.get(scope, RANK["admin"])


class Access:
    """The tokens of the API. `now` is the wall's time in ms, `clock` monotonic seconds, `address` tells who asks.

    `trust_local`: whoever is on this machine may see metrics and the description of the API without a token. Behind a proxy
    that should be False: everybody comes from this machine there.
    """

    def __init__(
        self,
        grants: dict[bytes, Grant],
        *,
        now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        clock: Callable[[], float] = time.monotonic,
        address: Callable[[Connection], str] | None = None,
        trust_local: bool = True,
    ) -> None:
        self._grants = grants
        self._now = now
        self._clock = clock
        self._address = address or peer
        self._trust_local = trust_local
        self._throttle = Throttle(clock)
        self._tickets: OrderedDict[bytes, tuple[Grant, float]] = OrderedDict()

    @classmethod
    def of(
        cls,
        tokens: Sequence[Token],
        *,
        now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        clock: Callable[[], float] = time.monotonic,
        address: Callable[[Connection], str] | None = None,
        trust_local: bool = True,
    ) -> Access:
        """The access that `tokens` give. Raises `ConfigError` for a token that is weak, given twice, or ends on no day."""
        grants: dict[bytes, Grant] = {}
        for token in tokens:
            _check(token)
            known = grants.setdefault(digest(token.token), Grant(token.name, token.scope, _end(token)))
            if known.name != token.name:
                raise ConfigError(f"the tokens {known.name!r} and {token.name!r} are the same: give each its own")
        return cls(grants, now=now, clock=clock, address=address, trust_local=trust_local)

    def __deepcopy__(self, _: Any) -> Access:
        """Itself: Litestar copies handlers with what guards them, and failures are counted once, not once for each route."""
        return self

    def guard(self, connection: Connection, handler: BaseRouteHandler) -> None:
        """Let through whoever may use `handler`: its ``opt["scope"]``, admin where it names none.

        ``opt["local"]``: whoever is on this machine needs no token.
        """
        if isinstance(connection, Request) and connection.method not in SAFE:
            self.guard_origin(connection, handler)
        if self._trust_local and handler.opt.get("local") and local(connection):
            return
        grant = self.login(connection)
        scope = str(handler.opt.get("scope", "admin"))
        if not grant.covers(scope):
            raise PermissionDeniedException(f"this needs a token of the scope {scope!r}; the one given has {grant.scope!r}")
        connection.scope["auth"] = grant

    def guard_origin(self, connection: Connection, _: BaseRouteHandler) -> None:
        """Refuse what a page of another site sends."""
        if not same_site(connection):
            raise PermissionDeniedException("this comes from a page of another site, which may not do it")

    def login(self, connection: Connection) -> Grant:
        """What the bearer token of a request allows. Raises 401 for a missing, wrong or expired one, 429 after too many."""
        given = connection.headers.getall("authorization", [])
        bearer = _BEARER.fullmatch(given[0]) if len(given) == 1 else None
        if bearer is None:
            raise _unknown()
        return self._answer(connection, self._find(bearer[1]))

    def redeem(self, connection: Connection, ticket: str) -> Grant:
        """What the token allows that `ticket` was given for; good once. Raises as `login` does."""
        grant, until = self._tickets.pop(digest(ticket), (None, 0.0))
        return self._answer(connection, grant if self._clock() < until else None)

    def ticket(self, grant: Grant) -> str:
        """A ticket that stands for `grant` once, within `LIFETIME`."""
        ticket = secrets.token_urlsafe(32)
        self._tickets[digest(ticket)] = grant, self._clock() + LIFETIME
        while len(self._tickets) > TICKETS:
            self._tickets.popitem(last=False)
        return ticket

    def alive(self, grant: Grant) -> bool:
        """False once the token that gave `grant` has expired."""
        return grant.until is None or self._now() < grant.until

    def _answer(self, connection: Connection, grant: Grant | None) -> Grant:
        address = self._address(connection)
        right = grant is not None and self.alive(grant)
        wait = self._throttle.wait(address)
        if wait and not (right and self._throttle.knows(address)):
            seconds = str(math.ceil(wait))
            raise TooManyRequestsException(
                f"too many failed logins: wait {seconds} s", headers={"Retry-After": seconds, "WWW-Authenticate": "Bearer"}
            )
        if grant is None or not right:
            self._throttle.failed(address)
            raise _unknown()
        self._throttle.succeeded(address)
        return grant

    def _find(self, token: str) -> Grant | None:
        """Looks at every digest, whichever fits, so that the time tells nothing."""
        wanted, found = digest(token), None
        for known, grant in self._grants.items():
            if hmac.compare_digest(known, wanted):
                found = grant
        return found


def digest(token: str) -> bytes:
    """SHA-256 of a token: all that is kept of it."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def peer(connection: Connection) -> str:
    """The address at the other end of the connection."""
    return connection.client.host if connection.client is not None else ""


def _unknown() -> NotAuthorizedException:
    return NotAuthorizedException("a valid token is needed: Authorization: Bearer ...", headers={"WWW-Authenticate": "Bearer"})


def _check(token: Token) -> None:
    fault = weakness(token.token, reachable=True) or ("" if re.fullmatch(r"[!-~]+", token.token) else "is not of ASCII alone")
    if fault:
        raise ConfigError(f"the token {token.name!r} {fault}; make one with {MAKE}")


def _end(token: Token) -> int | None:
    if token.expires is None:
        return None
    try:
        last = date.fromisoformat(token.expires)
        end = datetime.combine(last + timedelta(days=1), datetime.min.time(), UTC)
    except (ValueError, OverflowError):
        raise ConfigError(f"the token {token.name!r} expires on {token.expires!r}: give a day, as in 2027-01-31") from None
    return int(end.timestamp() * 1000)
