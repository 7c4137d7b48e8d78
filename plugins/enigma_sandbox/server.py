"""The local exchange on the network: one port of this machine with both of KuCoin's hosts, the WebSocket and the buttons."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import socket
import time
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec

from enigma_core.errors import ConfigError
from enigma_core.market import MarketEvent
from enigma_sandbox import keeping
from enigma_sandbox.admin import Admin
from enigma_sandbox.credentials import Credentials
from enigma_sandbox.exchange import Contract, Exchange, Key, Reply, Request, Rules, encode
from enigma_sandbox.markets import Clock, Market, Setup, market
from enigma_sandbox.sockets import Hub
from enigma_sandbox.wire import Answer, Asked, Line, told

HOST = "127.0.0.1"
"""It has no money, no TLS and buttons for every fault: nobody but this machine may reach it."""

MOUNTS = {"fut": "futures", "spot": "spot"}
SOCKET = "/ws"

MOST_AWAY = 7 * 86_400_000
"""Of what an exchange has missed it works no more than this, ms."""

SAVED = 1.0
"""Seconds between two writings of the state, at least."""

SHARE = 50
"""Writing the state takes at most one part in so many of the time."""

LAST = 1.0
"""Seconds that connections are given at the end."""

_LOG = logging.getLogger("enigma_sandbox")


def wall() -> int:
    """The wall's time, ms."""
    return time.time_ns() // 1_000_000


class Sandbox:
    """A local exchange that serves. `open` it, and `close` it when done; between the two it lives in the running loop."""

    def __init__(
        self,
        setup: Setup,
        credentials: Credentials,
        *,
        state: Path | None = None,
        deposit: Decimal = Decimal(10_000),
        clock: Clock = wall,
    ) -> None:
        self.setup, self.credentials, self.state, self.deposit, self.clock = setup, credentials, state, deposit, clock
        self.account = secrets.token_hex(4)
        self.told: list[str] = []
        self.exchange: Exchange
        self.hub: Hub
        self.market: Market
        self.failed: asyncio.Future[None]
        self._lines: dict[Line, None] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._dirty = False
        self._timer: asyncio.TimerHandle | None = None
        self._server: asyncio.Server | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Its base: ``/fut`` and ``/spot`` are KuCoin's two hosts."""
        return f"http://{HOST}:{self._port}"

    @property
    def addresses(self) -> dict[str, str]:
        """Base URLs of the two mounts, of the WebSocket and of the buttons."""
        return {
            "futures": f"{self.url}/fut",
            "spot": f"{self.url}/spot",
            "websocket": f"ws://{HOST}:{self._port}{SOCKET}",
            "admin": f"{self.url}/admin",
        }

    async def open(self, port: int = 0) -> None:
        """Listen, and let time begin. Raises `ConfigError`, `DataError` or `HomeError` with a sentence."""
        listening = bound(port)
        self._port = listening.getsockname()[1]
        try:
            since = await asyncio.to_thread(self._begin)
        except BaseException:
            listening.close()
            raise
        loop = asyncio.get_running_loop()
        self.failed = loop.create_future()
        self.hub = Hub(self.exchange, self.clock, self.rules.ping_interval, self.rules.ping_timeout)
        self._admin = Admin(self)
        self._server = await loop.create_server(
            lambda: Line(self._answer, self.hub.upgrade, self._lines), sock=listening, backlog=256
        )
        self._tasks = [
            asyncio.ensure_future(self.market.play(self.clock, since, self._see, self._turn)),
            asyncio.ensure_future(self._keeping()),
        ]
        for task in self._tasks:
            task.add_done_callback(self._ended)

    async def close(self) -> None:
        """Write the state down, end all connections, stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()
        if self._server is not None:
            self._server.close()
        for its in list(self.hub.sockets) if hasattr(self, "hub") else []:
            its.close(1001, "the exchange is closing")
        deadline = asyncio.get_running_loop().time() + LAST
        for line in list(self._lines):
            line.transport.close()
        while self._lines and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        for line in list(self._lines):
            line.transport.abort()
        self._save(durable=True)

    def work(self) -> None:
        """Do what is due now, and be called again when something is."""
        self.exchange.advance(self.clock())
        self._plan()

    # the beginning

    def _begin(self) -> int:
        """Make the exchange; from when on its market is to be played, ms."""
        kept = keeping.read(self.state) if self.state is not None else None
        now = self.clock()
        self.market = market(self.setup, now, kept.shift if kept is not None else None)
        if kept is not None:
            self._same(kept)
            self.account = kept.account
        since = now if kept is None else min(now, max(kept.saved, now - MOST_AWAY))
        symbols = self.market.symbols
        instruments = {symbol: self.market.instrument(symbol) for symbol in symbols}
        contracts = [Contract(symbol=kucoin(symbol), base=_base(symbol), instrument=each) for symbol, each in instruments.items()]
        credentials = self.credentials
        key = Key(key=credentials.key, secret=credentials.secret, passphrase=credentials.passphrase)
        self.rules = Rules(keys=(key,), deposit=self.deposit, endpoint=self.addresses["websocket"])
        settled = {symbol: self.market.settled(symbol, since) for symbol in symbols}
        history = self.market.history(since)
        self.exchange = Exchange(contracts, self.rules, self.clock, random.Random(secrets.randbits(64)), history, settled)
        if kept is None:
            for event in self.market.opening(now):
                self.exchange.see(event)
            return now
        self.exchange.restore(bytes(kept.exchange))
        count = 0
        for event in self.market.missed(since, now, symbols):
            self.exchange.see(event)
            count += 1
        for event in self.market.opening(now):
            self.exchange.see(event)
        away = (now - kept.saved) / 60_000
        self.told.append(
            f"goes on with the account of {self.state}; it was away for {away:,.0f} min, and {count:,} events were worked"
        )
        return now

    def _same(self, kept: keeping.Kept) -> None:
        gone = [symbol for symbol in kept.symbols if symbol not in self.market.symbols]
        if kept.market != self.market.identity or gone:
            more = f" and {len(kept.symbols) - 5} more" if len(kept.symbols) > 5 else ""
            what = f"without {', '.join(gone[:5])}" if gone else f"of {self.market.identity}"
            raise ConfigError(
                f"{self.state} holds an account of another market ({kept.market}: {', '.join(kept.symbols[:5])}{more}), "
                f"and this one is {what}: start it as it was, or name another file (of a run: begin anew with --fresh)"
            )

    # time

    def _see(self, event: MarketEvent) -> None:
        self.exchange.see(event)

    def _turn(self, now: int) -> None:
        self.exchange.advance(now)
        self._plan()

    def _plan(self) -> None:
        """Wake up when the exchange has something to do before the market's next turn."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.exchange.due()
        if due is not None:
            away = max(0, due - self.clock()) / 1000
            if away < 1.0:
                self._timer = asyncio.get_running_loop().call_later(away + 0.0005, self.work)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self.failed.done():
            return
        error = task.exception()
        if error is not None:
            if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
                error = error.exceptions[0]
            self.failed.set_exception(error)

    # requests

    def _answer(self, asked: Asked) -> Answer:
        _, _, rest = asked.target.partition("/")
        mount, slash, target = rest.partition("/")
        if mount in MOUNTS and slash:
            return self._asked(asked, MOUNTS[mount], "/" + target)
        if asked.path == "/admin" or asked.path.startswith("/admin/"):
            return self._admin.answer(asked)
        if asked.path == "/":
            return told(200, self.addresses)
        return told(404, {"code": "404", "msg": f"there is nothing at {asked.path}: the mounts are /fut and /spot"})

    def _asked(self, asked: Asked, mount: Any, target: str) -> Answer:
        body: Any = None
        if asked.body:
            try:
                body = msgspec.json.decode(asked.body)
            except (msgspec.DecodeError, UnicodeDecodeError):
                return told(400, {"code": "400100", "msg": "the body is no JSON"})
        request = Request(
            method=asked.method,
            path=unquote(target.partition("?")[0]),
            query=asked.query,
            body=body,
            headers=asked.headers,
            mount=mount,
            text=target + asked.body.decode("utf-8", "replace"),
            address=asked.peer,
        )
        reply = self._reply(request)
        self._dirty = self._dirty or asked.method != "GET"
        self._plan()
        return Answer(reply.status, reply.body(), {**reply.headers}, reply.delay, reply.lost)

    def _reply(self, request: Request) -> Reply:
        try:
            return self.exchange.request(request)
        except Exception:  # noqa: BLE001 - a defect of one endpoint is a 500 to its client, and the others go on
            _LOG.exception("%s %s was not answered", request.method, request.path)
            return Reply(status=500, raw=encode({"code": "500000", "msg": "Internal Server Error"}))

    # state

    def touched(self) -> None:
        """Something was done to the account that no request asked for."""
        self._dirty = True

    async def _keeping(self) -> None:
        every = SAVED
        while True:
            await asyncio.sleep(every)
            self.hub.sweep()
            if self._dirty:
                began = time.perf_counter()
                self._save()
                every = max(SAVED, SHARE * (time.perf_counter() - began))

    def _save(self, *, durable: bool = False) -> None:
        self._dirty = False
        if self.state is None or not hasattr(self, "exchange"):
            return
        kept = keeping.Kept(
            market=self.market.identity,
            shift=self.market.shift,
            symbols=self.market.symbols,
            saved=self.clock(),
            account=self.account,
            exchange=msgspec.Raw(self.exchange.snapshot()),
        )
        keeping.write(self.state, kept, durable=durable)


def kucoin(symbol: str) -> str:
    """``BTC/USDT:USDT`` as KuCoin writes it: ``XBTUSDTM``."""
    base, _, rest = symbol.partition("/")
    return f"{_BASES.get(base, base)}{rest.partition(':')[0]}M"


def _base(symbol: str) -> str:
    base = symbol.partition("/")[0]
    return _BASES.get(base, base)


_BASES = {"BTC": "XBT"}


def bound(port: int) -> socket.socket:
    """A socket that listens on `port` of this machine (0: any). Raises `ConfigError`."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((HOST, port))
        made.listen(256)
    except OSError as error:
        made.close()
        why = {
            98: "is in use; stop what listens there, or take another by --port (0: any that is free)",
            13: "needs more rights; take one above 1023",
        }
        raise ConfigError(f"port {port} {why.get(error.errno or 0, f'cannot be listened on ({error.strerror})')}") from None
    made.setblocking(False)
    return made


@contextlib.asynccontextmanager
async def serving(sandbox: Sandbox, port: int = 0) -> Any:
    """`sandbox`, open while inside."""
    await sandbox.open(port)
    try:
        yield sandbox
    finally:
        await sandbox.close()


def described(sandbox: Sandbox) -> dict[str, Any]:
    """What a client needs to know, secrets included: for the program that has started this one."""
    credentials = sandbox.credentials
    return {
        **sandbox.addresses,
        "url": sandbox.url,
        "key": credentials.key,
        "secret": credentials.secret,
        "passphrase": credentials.passphrase,
        "market": sandbox.market.identity,
        "symbols": list(sandbox.market.symbols),
        "account": sandbox.account,
        "told": sandbox.told,
    }
