"""The server beside a run: takes TradingView's alerts, and others', and answers the API."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pathlib
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from enigma_core.alert import Mode
from enigma_core.errors import ConfigError, PluginError
from enigma_core.hookspecs import hookimpl
from enigma_core.parts import Inbox, Ports, Service
from enigma_core.secrecy import hide
from enigma_webhooks.front.address import TRADINGVIEW, loopback, networks, trusted_networks
from enigma_webhooks.front.credentials import API, WEBHOOK, Credential, Kind, checked, found, made, missing, write_private
from enigma_webhooks.front.keyring import Keyring
from enigma_webhooks.front.source import AlertSource

if TYPE_CHECKING:
    from enigma_webhooks.app import Application

WHERE = "services.tradingview"
BUILT_IN = ("tradingview", "signals")
"""Sources that are always there; what is set for one of them under `sources` wins."""

SERVER_FILE = "server.json"

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


class Hushed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings that are never shown, for they hold secrets."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []


class Source(Hushed, frozen=True, kw_only=True):
    """A further sender, at ``/webhooks/NAME``. What is null is as it is for the service."""

    enabled: Annotated[bool, Meta(description="false: what it sends is refused")] = True
    mode: Annotated[Mode | None, Meta(description="how its alerts enter; null as for the service")] = None
    secret: Annotated[str | None, Meta(description="its secret: a reference; null for the service's")] = None
    next_secret: Annotated[str | None, Meta(description="a second secret that is good too, to change over: a reference")] = None
    max_lag: Annotated[float, Meta(gt=0, le=86_400, description="seconds an entry may be old")] | None = None
    max_lag_exit: Annotated[float, Meta(gt=0, le=86_400, description="seconds an exit may be old")] | None = None
    ttl: Annotated[
        Annotated[float, Meta(gt=0, le=604_800)] | None, Meta(description="seconds its vote counts; null as for the service")
    ] = None
    allow: Annotated[tuple[str, ...], Meta(description="addresses or CIDR ranges it may send from; empty for any")] = ()
    tradingview_addresses: Annotated[bool, Meta(description="it may send from the addresses TradingView names")] = False


class ApiToken(Hushed, frozen=True, kw_only=True):
    """A token of the API."""

    token: Annotated[str, Meta(description="the token, at least 32 bytes: a reference")]
    scope: Annotated[Literal["read", "trade", "admin"], Meta(description="what it is good for; each holds those before it")] = (
        "read"
    )
    expires: Annotated[str | None, Meta(description="its last day, UTC, as in 2027-01-31; null for ever")] = None


class TradingView(Service, frozen=True, kw_only=True):
    """Takes alerts at ``/webhooks/tradingview`` and ``/webhooks/signals``, and answers the API at ``/api/v1``."""

    name = "tradingview"

    host: Annotated[str, Meta(min_length=1, max_length=253, description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535, description="port to listen on; 0 takes any that is free")] = 8080
    mode: Annotated[Mode, Meta(description="how alerts enter: vote, trigger, signal or veto")] = "trigger"
    max_lag: Annotated[float, Meta(gt=0, le=86_400, description="seconds an alert may be old to be traded")] = 60.0
    max_lag_exit: Annotated[float, Meta(gt=0, le=86_400, description="seconds one that only reduces may be old")] = 900.0
    ttl: Annotated[
        Annotated[float, Meta(gt=0, le=604_800)] | None, Meta(description="seconds a vote counts; null: two primary bars")
    ] = None
    secret: Annotated[str | None, Meta(description="what every alert must carry: a reference; null: see the home folder")] = None
    next_secret: Annotated[str | None, Meta(description="a second secret that is good too, to change over: a reference")] = None
    sources: Annotated[dict[str, Source], Meta(description="further senders by name, each at /webhooks/NAME")] = {}
    tokens: Annotated[dict[str, ApiToken], Meta(description="tokens of the API by the name of who uses them")] = {}
    behind_proxy: Annotated[bool, Meta(description="true where a proxy with TLS stands in front")] = False
    trusted_proxies: Annotated[
        tuple[str, ...], Meta(description="addresses or CIDR ranges of proxies whose X-Forwarded-For is believed")
    ] = ()
    allowed_hosts: Annotated[tuple[str, ...], Meta(description="names the API may be asked by, beside this machine's own")] = ()
    max_connections: Annotated[int, Meta(ge=1, le=10_000, description="connections at a time")] = 256
    max_connections_each: Annotated[int, Meta(ge=1, le=10_000, description="connections of one address at a time")] = 16

    def __repr__(self) -> str:
        return f"TradingView(host={self.host!r}, port={self.port!r}, mode={self.mode!r}, ...)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("host", self.host), ("port", self.port), ("mode", self.mode)]

    def prepare(self, home: pathlib.Path, mode: str) -> Sequence[str]:
        """Check the settings, make what secrets may be made, try the port. Raises `ConfigError` where it must not serve so."""
        told = []
        self._check()
        for kind in (WEBHOOK, API):
            credential = self._credential(kind, home, mode, make=True)
            if credential is not None:
                told.append(f"the {kind.title} is kept in {credential.where}")
                if credential.made and sys.stdout.isatty():
                    told.append(f"the {kind.title}, made just now and shown this once: {credential.value}")
                elif credential.made:
                    # into a file or a log it must not get
                    told.append(f"the {kind.title} was made just now; `{kind.shown.format(home=shlex.quote(str(home)))}` shows it")
        self.sources_known(home, mode)
        if not self.port:
            return [f"alerts are taken at a free port of {self.host} in a moment; {home / SERVER_FILE} will say which", *told]
        from enigma_webhooks.front.server import bound, url

        with contextlib.closing(bound(self.host, self.port)) as listening:
            return [f"alerts are taken at {url(listening)}/webhooks/tradingview in a moment, when it listens", *told]

    async def serve(self, inbox: Inbox, ports: Ports) -> None:
        """Serve until cancelled; answers under way are given two seconds. `server.json` in the home folder says where."""
        from enigma_webhooks.front.deadlines import Limits
        from enigma_webhooks.front.server import bound, serving, url

        desk = ports.desk
        if desk is None:
            raise PluginError("the service tradingview needs a run to stand beside; start it with `enigma run`")
        app, websockets = self.application(desk, desk.plan.mode)
        listening = bound(self.host, self.port)
        note = desk.home / SERVER_FILE
        try:
            limits = Limits(connections=self.max_connections, each=self.max_connections_each)
            trusted = trusted_networks(self.trusted_proxies, f"{WHERE}.trusted_proxies")
            async with serving(app, listening, trusted=trusted, limits=limits, websockets=websockets) as task:
                told = {"url": url(listening), "pid": os.getpid(), "secret": self._kept(desk.home, desk.plan.mode)}
                write_private(note, json.dumps(told) + "\n")
                await asyncio.wait((task,))
                task.result()
                raise PluginError("the server has ended by itself; the log says why")
        finally:
            listening.close()
            note.unlink(missing_ok=True)

    def application(self, desk: Any, mode: str) -> tuple[Application, Any]:
        """The ASGI application for `desk`, and the class that speaks WebSocket for it."""
        from enigma_webhooks import alerts, api
        from enigma_webhooks.app import application
        from enigma_webhooks.front.address import Untraceable, client
        from enigma_webhooks.front.receiver import Receiver

        self._check()
        trusted = trusted_networks(self.trusted_proxies, f"{WHERE}.trusted_proxies")

        def address(connection: Any) -> str:
            peer = connection.client.host if connection.client is not None else ""
            try:
                return str(client(peer, [v.encode("latin-1") for v in connection.headers.getall("x-forwarded-for", [])], trusted))
            except Untraceable:
                return peer

        metrics = api.Metrics(desk)
        access = api.Access.of(self._tokens(desk.home, mode), address=address, trust_local=not self.behind_proxy and not trusted)
        receiver = Receiver(desk, self.sources_known(desk.home, mode), alerts.read, trusted=trusted, answered=metrics.answered)
        app = application(
            receiver,
            api.routes(desk, access, metrics),
            hosts=(*self.allowed_hosts, self.host),
            openapi_config=api.openapi(access),
            middleware=[metrics.middleware],
            exception_handlers=api.FAULTS,
        )
        return app, api.Wire

    def sources_known(self, home: pathlib.Path, mode: str) -> Mapping[str, AlertSource]:
        """Every sender by name. Raises `ConfigError` for a secret that is too weak or missing, or an address that is none."""
        reachable = self._reachable(mode)
        shared = self._secrets(self, WHERE, reachable=reachable)
        if not shared:
            credential = self._credential(WEBHOOK, home, mode)
            shared = [credential.value] if credential is not None else []
        given = {name: self.sources.get(name, Source()) for name in (*BUILT_IN, *self.sources)}
        known = {}
        for name, source in given.items():
            at = f"{WHERE}.sources.{name}"
            own = self._secrets(source, at, reachable=reachable)
            allow = (*source.allow, *(TRADINGVIEW if source.tradingview_addresses else ()))
            known[name] = AlertSource(
                name=name,
                keys=Keyring(own or shared),
                mode=source.mode or self.mode,
                enabled=source.enabled,
                allow=networks(allow, f"{at}.allow"),
                max_lag=_ms(source.max_lag or self.max_lag),
                max_lag_exit=_ms(source.max_lag_exit or self.max_lag_exit),
                ttl=_ms(source.ttl or self.ttl or 0),
            )
        return known

    def _check(self) -> None:
        """Raise `ConfigError` for what is wrong with the settings as they stand."""
        if not loopback(self.host) and not self.behind_proxy:
            raise ConfigError(
                f"{WHERE}.host is {self.host}: others could reach the server, and secrets would travel in the clear; keep "
                "127.0.0.1 and let a proxy with TLS pass alerts on, or set behind_proxy to true where one stands in front"
            )
        trusted = trusted_networks(self.trusted_proxies, f"{WHERE}.trusted_proxies")
        for name, source in self.sources.items():
            if not _NAME.fullmatch(name):
                raise ConfigError(f"{WHERE}.sources has {name!r}; a name is 1 to 40 of a-z 0-9 _ -, as it stands in the address")
            if (source.allow or source.tradingview_addresses) and loopback(self.host) and not trusted:
                raise ConfigError(
                    f"{WHERE}.sources.{name} is only let in from some addresses, but at {self.host} everybody comes from "
                    f"this machine: name the proxy in front in {WHERE}.trusted_proxies, or leave out what it may send from"
                )
        if any("*" in host for host in self.allowed_hosts):
            raise ConfigError(f"{WHERE}.allowed_hosts has a *: name each host, any page could ask the API by a name of its own")

    def _reachable(self, mode: str) -> bool:
        """True where others may try to guess a secret."""
        return mode == "live" or self.behind_proxy or not loopback(self.host)

    def _secrets(self, of: TradingView | Source, at: str, *, reachable: bool) -> list[str]:
        given = {"secret": of.secret, "next_secret": of.next_secret}
        return [checked(value, f"{at}.{name}", reachable=reachable) for name, value in given.items() if value is not None]

    def _credential(self, kind: Kind, home: pathlib.Path, mode: str, *, make: bool = False) -> Credential | None:
        """The secret of this `kind` that is not in the settings; None where they have one. An own token stands beside theirs."""
        if kind is WEBHOOK and (self.secret is not None or self.next_secret is not None):
            return None
        credential = found(kind, home, os.environ, reachable=self._reachable(mode))
        if credential is None and make and not self._reachable(mode):
            return made(kind, home)
        if credential is None:
            if kind is API and any(token.scope == "admin" for token in self.tokens.values()):
                return None
            raise missing(kind, home, mode)
        hide(credential.value)
        return credential

    def _kept(self, home: pathlib.Path, mode: str) -> str:
        """Where the webhook secret is kept: a path, a variable or a setting, never the secret."""
        credential = self._credential(WEBHOOK, home, mode)
        return WEBHOOK.setting if credential is None else credential.where

    def _tokens(self, home: pathlib.Path, mode: str) -> list[Any]:
        from enigma_webhooks.api import Token

        tokens = [Token(name=name, token=t.token, scope=t.scope, expires=t.expires) for name, t in self.tokens.items()]
        credential = self._credential(API, home, mode)
        if credential is not None:
            tokens.append(Token(name="owner", token=credential.value, scope="admin"))
        return tokens


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


@hookimpl
def enigma_services() -> Iterator[type[Service]]:
    yield TradingView
