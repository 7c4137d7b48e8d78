"""The API over a real server, beside a desk that has traded: an account with a position, and a journal that says how it came."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec

from desk import BTC, INSTRUMENT, Desk, desk_plan, one_row
from desks import NOW, MemoryDesk
from enigma_core.alert import Alert, AlertRefused, AlertWorked, Mode, Request
from enigma_core.errors import ConfigError
from enigma_core.journal import Journal
from enigma_core.model import Class, Decision, Verdict
from enigma_core.parts import Applied
from enigma_core.records import Started
from enigma_core.scoring import Evaluation
from enigma_plugins.gates.circuit_breaker import CircuitBreaker
from enigma_plugins.gates.drawdown import Drawdown
from enigma_plugins.gates.max_positions import MaxPositions
from enigma_plugins.gates.score import Score
from enigma_webhooks.api import FAULTS, Access, Metrics, Stream, Token, Wire, openapi, routes
from enigma_webhooks.app import application
from enigma_webhooks.front.server import bound, serving

SECRETS = {
    "admin": "0pA-5xqLhZtC8vYk3RnEwJ2mGdUf7sBi",
    "trade": "tR4-9zKcXbW6yMpQ1HjVeN8aLgSo5uDf",
    "read": "rE7-2dJfTnZ5wGkX0BqCyP3hMvAs8iLo",
    "expired": "xP1-6uHsBmR9eKtY4NcLzW7jQgFa0vDi",
}
"""A token of each scope, and one whose last day is over."""

MARKUP = '{"ticker":"BTCUSDT","action":"buy","comment":"<script>alert(1)</script>"}'

TREE = {
    "symbols": [BTC],
    "gates": {"score": {"min": 75.0}, "drawdown": {"max": 0.03}},
    "notifiers": {"telegram": {"token": "***"}},
}


def bearer(scope: str, **more: str) -> dict[str, str]:
    """The headers of somebody with the token of `scope`."""
    return {"Authorization": f"Bearer {SECRETS[scope]}", **more}


class Moments:
    """Clocks that stand still until a test moves them."""

    def __init__(self) -> None:
        self.wall = NOW
        self.seconds = 0.0

    def now(self) -> int:
        return self.wall

    def clock(self) -> float:
        return self.seconds


class TradedDesk(MemoryDesk):
    """One trade closed at a stop, one position open; the newest bar of BTC scores 98; of the settings only `TREE` exists."""

    def __init__(self, home: Path) -> None:
        gates = {"drawdown": Drawdown(), "circuit_breaker": CircuitBreaker(), "max_positions": MaxPositions()}
        plan = desk_plan(market_gates={"score": Score()}, account_gates=gates)
        super().__init__(home, plan=plan)
        traded = Desk(msgspec.structs.replace(plan, account_gates={}), instruments=dict(self.instruments) | {BTC: INSTRUMENT})
        traded.enter(50_000.0)
        traded.bar(50_000.0, 50_000.0, 49_000.0, 49_400.0)
        traded.enter(49_000.0)
        self.account = traded.book
        self.time = traded.now
        self.told: list[Any] = [Started(ts=0, cash=Decimal(10_000), instruments=dict(self.instruments)), *traded.records]
        self.told += alerts(self.time)
        with Journal.open(self.journal, "paper", "test", "OFF") as journal:
            for record in self.told:
                journal.write([record], getattr(record, "ts", self.time))

    def evaluation(self, symbol: str) -> Evaluation | None:
        return one_row(symbol, self.time, 49_000.0, 98.0) if symbol == BTC else None

    def rehearse(self, request: Request, mode: Mode) -> tuple[AlertWorked, Decision | None]:
        worked = AlertWorked(
            ts=self.time, id="rehearsal", source="", symbol=request.symbol, outcome="refused", reason="refused by score"
        )
        return worked, msgspec.structs.replace(
            next(r for r in self.told if type(r) is Decision),
            verdicts=(Verdict("score", 10.0, ">= 75", False),),
            klass=Class.NEUTRAL,
        )

    def settings(self) -> dict[str, Any]:
        return TREE

    async def configure(self, changes: Mapping[str, Any], by: str) -> Applied:
        wrong = [path for path in changes if path.partition(".")[0] not in TREE]
        if wrong:
            raise ConfigError("; ".join(f"{path} is no setting" for path in wrong))
        return await super().configure(changes, by)


def alerts(ts: int) -> list[Any]:
    """Two alerts and a message that was refused."""
    asked = Request(symbol=BTC, action="long", quantity=Decimal("0.50"))
    made = [
        Alert(id=f"A{n}", ts=ts, source="tradingview", mode="signal", received=ts - 250, request=asked, key=f"A{n}", body=MARKUP)
        for n in (1, 2)
    ]
    worked = AlertWorked(ts=ts, id="A1", source="tradingview", symbol=BTC, outcome="refused", reason="refused by score")
    refused = AlertRefused(ts=ts, source="tradingview", received=ts, status=422, reason="no symbol", length=3, sha256="0" * 64)
    return [*made, worked, refused]


async def nobody(scope: Any, receive: Any, send: Any) -> None:
    """In the place of the receiver: no alert is taken in."""
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


class Api:
    """An app of the API and what it stands on."""

    def __init__(self, desk: MemoryDesk, *, more: Any = (), trust_local: bool = True, **stream: Any) -> None:
        self.desk = desk
        self.moments = Moments()
        tokens = [
            Token(name="admin", token=SECRETS["admin"], scope="admin"),
            Token(name="trade", token=SECRETS["trade"], scope="trade"),
            Token(name="read", token=SECRETS["read"], scope="read"),
            Token(name="expired", token=SECRETS["expired"], scope="admin", expires="2025-03-05"),
        ]
        self.access = Access.of(tokens, now=self.moments.now, clock=self.moments.clock, trust_local=trust_local)
        self.metrics = Metrics(desk, clock=lambda: self.moments.wall / 1000)
        self.stream = Stream(desk, self.access, counted=self.metrics.clients.set, **stream)
        self.app = application(
            nobody,  # type: ignore[arg-type]
            [*routes(desk, self.access, self.metrics, stream=self.stream), *more],
            openapi_config=openapi(self.access),
            middleware=[self.metrics.middleware],
            exception_handlers=FAULTS,
        )
        self.litestar = self.app.api.app


@contextlib.asynccontextmanager
async def served(api: Api) -> AsyncIterator[int]:
    """Serve `api` on this machine while inside: the port."""
    listening = bound("127.0.0.1", 0)
    port: int = listening.getsockname()[1]
    async with serving(api.app, listening, websockets=Wire):
        yield port


class Client(httpx.Client):
    """An HTTP client of a running API, with the token of `scope`; `api` is what it talks to, `call` works in its loop."""

    api: Api
    port: int
    loop: asyncio.AbstractEventLoop

    def call(self, what: Callable[..., Any], *given: Any) -> None:
        """Have `what` done in the server's loop, and wait for it."""
        done = threading.Event()
        self.loop.call_soon_threadsafe(what, *given)
        self.loop.call_soon_threadsafe(done.set)
        assert done.wait(5)


@contextlib.contextmanager
def running(api: Api, scope: str = "admin") -> Iterator[Client]:
    """Serve `api` on this machine while inside, in a thread of its own."""
    ready, stop = threading.Event(), threading.Event()
    where: dict[str, Any] = {}

    async def serve() -> None:
        ended = asyncio.Event()
        async with served(api) as port:
            where.update(port=port, loop=asyncio.get_running_loop(), end=ended.set)
            ready.set()
            await ended.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        finally:
            stop.set()
            ready.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait(10)
    assert "port" in where, "the server did not start"
    with Client(base_url=f"http://127.0.0.1:{where['port']}", headers=bearer(scope), timeout=10) as client:
        client.api, client.port, client.loop = api, where["port"], where["loop"]
        yield client
    where["loop"].call_soon_threadsafe(where["end"])
    thread.join(10)
