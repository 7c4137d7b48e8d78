"""Sends alerts to a server on this machine and says what was answered: a process of its own, so that it takes no time from it.

``alerts_load.py URL --seconds S [--rate R] [--copies K]``; the secret in LOAD_SECRET. With a rate alerts leave on time whether or
not earlier ones were answered, and a delay counts from when an alert was due; without one each connection sends as fast as it is
answered. What gets a 503 is sent again after five seconds, three times, as TradingView does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter, deque
from urllib.parse import urlsplit

TICKERS = ("BTCUSDT.P", "ETHUSDT.P", "SOLUSDT.P", "XRPUSDT.P")
AGAIN = 5.0
TRIES = 4


class Sending:
    """One copy of an alert on its way: when it was due (by the loop's clock) and how often it was tried."""

    __slots__ = ("data", "due", "tries")

    def __init__(self, data: bytes, due: float) -> None:
        self.data = data
        self.due = due
        self.tries = 0


class Connection(asyncio.Protocol):
    """A connection that carries one request at a time and is then given back."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.sending: Sending | None = None
        self.buffer = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def send(self, sending: Sending) -> None:
        assert self.transport is not None
        self.sending = sending
        self.transport.write(sending.data)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.buffer[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r", 1)[0]) if at >= 0 else 0
        if len(self.buffer) < end + 4 + length or self.sending is None:
            return
        body, self.buffer = self.buffer[end + 4 :], b""
        sending, self.sending = self.sending, None
        self.load.answered(self, sending, int(head[9:12]), body)

    def connection_lost(self, exc: Exception | None) -> None:
        self.load.lost(self, self.sending)


class Load:
    """What is to be sent, on which connections, and what came of it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        url = urlsplit(options.url)
        self.host, self.port, self.path = url.hostname or "127.0.0.1", url.port or 80, url.path
        self.secret = os.environ["LOAD_SECRET"]
        self.loop = asyncio.get_running_loop()
        self.free: deque[Connection] = deque()
        self.queue: deque[Sending] = deque()
        self.outstanding = 0
        self.made = 0
        self.statuses: Counter[str] = Counter()
        self.delays: list[float] = []
        self.last = 0.0
        self.ends = 0.0
        self.gone: OSError | None = None
        self.idle = asyncio.Event()

    def alert(self) -> bytes:
        """The next alert, whole, as it goes over the wire."""
        n, self.made = self.made, self.made + 1
        action = "buy" if n % 2 else "sell"
        body = (
            f'{{"secret":"{self.secret}","id":"{self.options.name}{n}","ticker":"{TICKERS[n % 4]}","action":"{action}",'
            f'"contracts":"0.5","price":"50000","timestamp":"{time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}"}}'
        ).encode()
        return (
            b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s"
            % (self.path.encode(), len(body), body)
        )

    def put(self, sending: Sending) -> None:
        self.outstanding += 1
        self.push(sending)

    def push(self, sending: Sending) -> None:
        if self.free:
            self.free.popleft().send(sending)
        else:
            self.queue.append(sending)

    def answered(self, connection: Connection, sending: Sending, status: int, body: bytes) -> None:
        now = self.loop.time()
        sending.tries += 1
        if status == 503 and sending.tries < TRIES:
            self.statuses["503, sent again"] += 1
            self.loop.call_later(AGAIN, self.push, sending)
        else:
            word = "duplicate" if b'"duplicate"' in body else "accepted" if b'"accepted"' in body else ""
            self.statuses[f"{status} {word}".strip()] += 1
            self.delays.append(now - sending.due)
            self.last = now
            self.outstanding -= 1
        if self.queue:
            connection.send(self.queue.popleft())
        else:
            self.free.append(connection)
            if not self.options.rate and now < self.ends:
                self.put(Sending(self.alert(), now))
        if not self.outstanding:
            self.idle.set()

    def lost(self, connection: Connection, sending: Sending | None) -> None:
        if connection in self.free:
            self.free.remove(connection)
        self.loop.create_task(self.replaced(sending))

    async def replaced(self, sending: Sending | None) -> None:
        if self.loop.time() > self.ends and not self.outstanding:
            return
        try:
            _, connection = await self.loop.create_connection(lambda: Connection(self), self.host, self.port)
        except OSError as error:
            self.gone = error
            self.idle.set()
            return
        if sending is not None:
            self.statuses["connection lost, sent again"] += 1
            connection.send(sending)
        elif self.queue:
            connection.send(self.queue.popleft())
        else:
            self.free.append(connection)

    async def run(self) -> dict[str, object]:
        """Send for so long, wait for what is still to be answered, and say what came of it."""
        options = self.options
        for _ in range(options.connections):
            _, connection = await self.loop.create_connection(lambda: Connection(self), self.host, self.port)
            self.free.append(connection)
        began = self.loop.time()
        self.ends = began + options.seconds
        if options.rate:
            total = int(options.rate * options.seconds)
            while self.made < total and self.gone is None:
                now = self.loop.time()
                while self.made < total and (due := began + self.made / options.rate) <= now:
                    data = self.alert()
                    for _ in range(options.copies):
                        self.put(Sending(data, due))
                await asyncio.sleep(0.001)
        else:
            for _ in range(options.connections):
                self.put(Sending(self.alert(), began))
        self.idle.clear()
        if self.outstanding:
            await asyncio.wait_for(self.idle.wait(), options.seconds + 60)
        if self.gone is not None:
            raise self.gone
        delays = sorted(self.delays)
        return {
            "alerts": self.made,
            "copies": options.copies,
            "seconds": self.last - began,
            "statuses": dict(self.statuses),
            "p50_s": delays[len(delays) // 2],
            "p99_s": delays[len(delays) * 99 // 100],
            "max_s": delays[-1],
        }


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=0, help="alerts a second; 0: as fast as they are answered")
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--name", default="a", help="what the ids begin with")
    found = await Load(parser.parse_args()).run()
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
