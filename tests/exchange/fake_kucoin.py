"""A KuCoin of a few lines for tests of the feed: its clock, its bars and its faults are the test's."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from kucoin_messages import listing
from websockets.asyncio.server import ServerConnection, serve

CODES = {"XBTUSDTM": "XBT", "ETHUSDTM": "ETH"}


class FakeKucoin:
    """Public REST in a thread, the stream on the running loop. `ahead` ms is its clock before the wall's."""

    def __init__(self, ahead: float = 0.0, codes: dict[str, str] | None = None) -> None:
        self.ahead = ahead
        self.codes = CODES if codes is None else codes
        self.asked: list[str] = []
        self.mark = 100.0
        self.sequence = 10
        self.close: Callable[[int], float] = lambda ts: 100.0 + ts // 60_000 % 7 / 10
        """The close of the bar that opens at `ts`."""
        self.missing: set[int] = set()
        self.fault: Callable[[str], tuple[int, bytes] | None] = lambda path: None
        """A status and body in the place of an answer."""
        self.pages: list[tuple[int, int]] = []
        self.connections: list[ServerConnection] = []
        self.topics: list[str] = []
        self.deaf = False
        self.silent = False
        self.url = self.ws = ""

    def now(self) -> int:
        return int(time.time() * 1000 + self.ahead)

    # REST

    def answer(self, path: str, query: dict[str, str]) -> Any:
        if path == "/api/v1/timestamp":
            return self.now()
        if path == "/api/v1/contracts/active":
            return [listing(code, base, mark=self.mark) for code, base in self.codes.items()]
        if path == "/api/v1/allTickers":
            return [{"symbol": code, "bestBidPrice": "99.9", "bestAskPrice": "100.1"} for code in self.codes]
        if path == "/api/v1/kline/query":
            return self.rows(int(query["granularity"]) * 60_000, int(query["from"]), int(query["to"]))
        if path.startswith("/api/v1/level2/"):
            return {"sequence": self.sequence, "bids": [[self.mark - 0.1, 5000]], "asks": [[self.mark + 0.1, 5000]], "ts": 0}
        if path == "/api/v1/contract/funding-rates":
            times = range(-(-int(query["from"]) // 28_800_000) * 28_800_000, int(query["to"]) + 1, 28_800_000)
            return [{"symbol": query["symbol"], "fundingRate": 0.0001, "timepoint": ts} for ts in times][::-1][:100]
        if path == "/api/v1/bullet-public":
            server = {"endpoint": self.ws, "pingInterval": 18_000, "pingTimeout": 10_000, "protocol": "websocket", "encrypt": False}
            return {"token": "t", "instanceServers": [server]}
        return None

    def rows(self, length: int, start: int, end: int) -> list[list[float]]:
        self.pages.append((start, end))
        first = -(-start // length) * length
        opens = [ts for ts in range(first, min(end, self.now()) + 1, length) if ts not in self.missing]
        # no more than the newest 500, as nobody knows which it would give
        return [self.row(ts) for ts in opens][-500:]

    def row(self, ts: int) -> list[float]:
        close = self.close(ts)
        return [ts, 100.0, max(100.0, close), min(100.0, close), close, 500.0, 5e7]

    # the stream

    async def _serve(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        await connection.send(msgspec.json.encode({"id": "1", "type": "welcome"}).decode())
        async for frame in connection:
            asked = msgspec.json.decode(frame)
            if asked["type"] == "ping":
                await connection.send(msgspec.json.encode({"id": asked["id"], "type": "pong"}).decode())
                continue
            if asked["type"] == "subscribe":
                kind, _, names = asked["topic"].partition(":")
                self.topics += [f"{kind}:{name}" for name in names.split(",")]
            if not self.deaf:
                await connection.send(msgspec.json.encode({"id": asked["id"], "type": "ack"}).decode())

    async def push(self, topic: str, subject: str, data: Any) -> None:
        if self.silent:
            return
        frame = msgspec.json.encode({"type": "message", "topic": topic, "subject": subject, "data": data}).decode()
        for connection in self.connections:
            try:
                await connection.send(frame)
            except Exception:  # noqa: BLE001 - gone
                continue

    async def tick(self) -> None:
        """A mark, a trade and a book of every contract."""
        self.sequence += 1
        now = self.now()
        for code in self.codes:
            marks = {"markPrice": self.mark, "indexPrice": self.mark, "timestamp": now, "granularity": 1000}
            await self.push(f"/contract/instrument:{code}", "mark.index.price", marks)
            trade = {"symbol": code, "side": "buy", "size": 10, "price": str(self.mark), "tradeId": str(self.sequence)}
            await self.push(f"/contractMarket/execution:{code}", "match", {**trade, "ts": now * 1_000_000})
            book = {
                "bids": [[str(self.mark - 0.1), 5]],
                "asks": [[str(self.mark + 0.1), 5]],
                "sequence": self.sequence,
                "timestamp": now,
            }
            await self.push(f"/contractMarket/level2Depth50:{code}", "level2", book)

    async def drop(self) -> None:
        """Every connection breaks."""
        for connection in self.connections:
            connection.transport.abort()
        self.connections.clear()

    @asynccontextmanager
    async def running(self):
        with self.rest():
            async with serve(self._serve, "127.0.0.1", 0) as server:
                self.ws = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
                beating = asyncio.create_task(self._beat())
                try:
                    yield self
                finally:
                    beating.cancel()

    async def _beat(self) -> None:
        while True:
            await self.tick()
            await asyncio.sleep(0.05)

    def rest(self) -> Rest:
        """REST alone, while the answer is entered."""
        return Rest(self)


class Rest:
    def __init__(self, kucoin: FakeKucoin) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(kucoin))
        self._server.daemon_threads = True
        kucoin.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> None:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def __exit__(self, *raised: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(kucoin: FakeKucoin) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            path = parts.path.removeprefix("/fut")
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            kucoin.asked.append(path)
            if (fault := kucoin.fault(path)) is not None:
                status, body = fault
            else:
                status, body = 200, msgspec.json.encode({"code": "200000", "data": kucoin.answer(path, query)})
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *said: object) -> None:
            pass

    return Handler
