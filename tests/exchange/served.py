"""A local exchange that serves in a thread of this process, for clients that know nothing of it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from enigma_sandbox.credentials import Credentials
from enigma_sandbox.markets import Setup
from enigma_sandbox.server import Sandbox

T = TypeVar("T")

KEY = Credentials(key="65f2a1c0ffee", secret="a-secret-of-the-tests", passphrase="open-sesame")
SYMBOL = "BTC/USDT:USDT"
XBT = "XBTUSDTM"


class Local:
    """The exchange, and what tests ask of it directly."""

    def __init__(self, sandbox: Sandbox, loop: asyncio.AbstractEventLoop) -> None:
        self.sandbox, self._loop = sandbox, loop

    @property
    def url(self) -> str:
        return self.sandbox.url

    def do(self, work: Callable[[], T]) -> T:
        """`work` in the exchange's own thread."""

        async def doing() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(doing(), self._loop).result(20)

    def press(self, button: str, **values: Any) -> Any:
        """A button, over HTTP as a person would."""
        return self.raw("POST", f"/admin/{button}", values)[1]

    def raw(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """A plain request: status and JSON."""
        data = None if body is None else json.dumps(body).encode()
        given = {"Content-Type": "application/json", **(headers or {})}
        request = urllib.request.Request(self.url + path, data, given, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def signed(self, method: str, target: str, body: Any = None, mount: str = "fut") -> tuple[int, Any]:
        """A signed request, made as KuCoin's documents say."""
        text = "" if body is None else json.dumps(body)
        now = str(time.time_ns() // 1_000_000)

        def sign(what: str) -> str:
            return base64.b64encode(hmac.new(KEY.secret.encode(), what.encode(), hashlib.sha256).digest()).decode()

        headers = {
            "KC-API-KEY": KEY.key,
            "KC-API-TIMESTAMP": now,
            "KC-API-SIGN": sign(now + method + target + text),
            "KC-API-PASSPHRASE": sign(KEY.passphrase),
            "KC-API-KEY-VERSION": "2",
        }
        return self.raw(method, f"/{mount}{target}", body, headers)

    def token(self, kind: str = "public") -> str:
        """A WebSocket's address with a token, up to the connection's id."""
        ask = self.raw if kind == "public" else self.signed
        path = f"/fut/api/v1/bullet-{kind}" if kind == "public" else f"/api/v1/bullet-{kind}"
        data = ask("POST", path)[1]["data"]
        return f"{data['instanceServers'][0]['endpoint']}?token={data['token']}"


@contextlib.contextmanager
def local(
    setup: Setup | None = None, *, state: Path | None = None, deposit: Decimal = Decimal(100_000), port: int = 0, clock: Any = None
) -> Iterator[Local]:
    """A local exchange, there while inside."""
    more = {} if clock is None else {"clock": clock}
    sandbox = Sandbox(setup or Setup(count=2, days=2), KEY, state=state, deposit=deposit, **more)
    began = threading.Event()
    failed: list[BaseException] = []
    holder: dict[str, Any] = {}

    async def live() -> None:
        ending = asyncio.Event()
        holder.update(loop=asyncio.get_running_loop(), ending=ending)
        try:
            await sandbox.open(port)
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            began.set()
        await ending.wait()
        await sandbox.close()

    def run() -> None:
        with contextlib.suppress(Exception):
            asyncio.run(live())

    thread = threading.Thread(target=run, name="local exchange")
    thread.start()
    began.wait(60)
    if failed:
        thread.join(20)
        raise failed[0]
    try:
        yield Local(sandbox, holder["loop"])
    finally:
        holder["loop"].call_soon_threadsafe(holder["ending"].set)
        thread.join(20)
        assert not thread.is_alive()


async def soon(ask: Callable[[], Any], within: float = 10.0) -> Any:
    """What `ask` gives once it gives anything. Fails after `within` seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while True:
        if found := ask():
            return found
        assert loop.time() < deadline, "it did not come about in time"
        await asyncio.sleep(0.02)
