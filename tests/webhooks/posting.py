"""Messages handed to a receiver without a network, on a clock that the test turns."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from desks import NOW, MemoryDesk
from enigma_webhooks.alerts import read
from enigma_webhooks.front.address import Network
from enigma_webhooks.front.buckets import Failures
from enigma_webhooks.front.keyring import Keyring
from enigma_webhooks.front.receiver import Receiver
from enigma_webhooks.front.source import AlertSource

SECRET = "Zx81-kq0Tr-5mPw_aa7Vb3-Ye2Lq9-Gh4Nd6"
OTHER = "b2Jv-9sKq_7Hw3-Rt6Yp1Lc8-Xf4Mz0-Qe5D"
JSON = "application/json; charset=utf-8"
TEXT = "text/plain; charset=utf-8"


class Answer(msgspec.Struct, frozen=True):
    """What came back."""

    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Door:
    """A receiver, its desk and its clocks. `time` is the wall's, ms; `seconds` the monotonic one's."""

    def __init__(
        self,
        desk: MemoryDesk | None = None,
        sources: Mapping[str, AlertSource] | None = None,
        trusted: tuple[Network, ...] = (),
        reads: Callable[[bytes], Any] = read,
    ) -> None:
        self.desk = desk or MemoryDesk()
        self.time = NOW
        self.seconds = 0.0
        self.sources = dict(sources or {name: source(name) for name in ("tradingview", "signals")})
        self.receiver = Receiver(
            self.desk,
            self.sources,
            reads,
            trusted=trusted,
            now=lambda: self.time,
            clock=lambda: self.seconds,
            failures=Failures(lambda: self.seconds),
        )

    async def post(
        self,
        body: bytes | str | dict[str, Any] | list[Any],
        *,
        to: str = "tradingview",
        headers: Mapping[str, str] | None = None,
        peer: str = "52.89.214.238",
        method: str = "POST",
        kind: str | None = None,
        parts: int = 1,
    ) -> Answer:
        """Send one message, its body in `parts`, and wait for the answer."""
        if not isinstance(body, bytes | str):
            kind = kind or JSON
            body = json.dumps(body)
        data = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
        given = {
            "content-type": kind or TEXT,
            "content-length": str(len(data)),
            **{k.lower(): v for k, v in (headers or {}).items()},
        }
        scope = {
            "type": "http",
            "method": method,
            "path": f"/webhooks/{to}",
            "client": (peer, 40_000),
            "headers": [
                (name.encode(), line.encode("latin-1")) for name, value in given.items() if value for line in value.split("\n")
            ],
        }
        size = max(1, -(-len(data) // parts))
        chunks = [data[i : i + size] for i in range(0, len(data), size)] or [b""]
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.receiver(scope, receive, send)
        start, rest = sent
        return Answer(start["status"], rest["body"], {k.decode(): v.decode() for k, v in start["headers"]})


def source(name: str, *secrets: str, **settings: Any) -> AlertSource:
    """A source with `SECRET`, or other secrets."""
    return AlertSource(name=name, keys=Keyring(secrets or (SECRET,)), **settings)


def buy(**fields: Any) -> dict[str, Any]:
    """An alert as a strategy sends it, with the secret."""
    return {"secret": SECRET, "ticker": "BTCUSDT.P", "action": "buy", **fields}
