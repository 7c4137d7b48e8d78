"""A live run on the local exchange: from a signal to the order at the exchange, and from the kill switch to flat."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any

from bench_alerts import SECRET, enigma, started
from bench_order import OPEN
from measuring import Finding, Goal, seconds
from websockets.sync.client import connect

SYMBOLS = ("BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT", "XRP/USDT:USDT", "DOGE/USDT:USDT")
PATIENCE = 120.0
PAUSE = 1.5
"""Seconds between two rounds."""


def live_order(quick: bool) -> Finding:
    """From a decision to the exchange's acknowledgement of its order, one at a time; then everything is closed."""
    # of sixty in a row the median was 167 ms, most likely for want of quota: what is meant here is one signal
    rounds = 3 if quick else 12
    found = Finding("live_order", f"{rounds} signals, one at a time, each to its order at the local exchange", 1)
    with tempfile.TemporaryDirectory() as name, trading(Path(name)) as (url, token):
        stream = url.replace("http", "ws", 1) + "/api/v1/ws"
        with connect(stream, additional_headers={"Authorization": f"Bearer {token}"}, max_size=None) as wire:
            wire.recv()
            whole, took = [], []
            for n in range(rounds):
                began = time.perf_counter()
                _send(url, {"id": f"in{n}", "symbol": "BTCUSDT", "action": "buy"})
                _until(wire, lambda line: line["event"] == "decision")
                decided = time.perf_counter()
                _until(wire, lambda line: line["event"] == "order_seen" and line["record"]["order_id"].endswith("-in"), "working")
                whole.append(time.perf_counter() - began)
                took.append(time.perf_counter() - decided)
                _until(wire, lambda line: line["event"] == "order_seen" and "-sl" in line["record"]["order_id"], "working")
                _send(url, {"id": f"out{n}", "symbol": "BTCUSDT", "action": "close"})
                _until(wire, lambda line: line["event"] == "trade")
                # a round draws on the exchange's quota, and no strategy trades every second
                time.sleep(PAUSE)
            for n, symbol in enumerate(SYMBOLS):
                _send(url, {"id": f"hold{n}", "symbol": symbol.split(":")[0].replace("/", ""), "action": "buy"})
                _until(wire, lambda line: line["event"] == "order_seen" and "-sl" in line["record"]["order_id"], "working")
        request = asyncio.run(_request(Path(name), 20 if quick else 500))
        began = time.perf_counter()
        subprocess.run([*enigma(), "close-all", "--home", name], check=True, capture_output=True, timeout=60)
        killed = time.perf_counter() - began
    took.sort()
    found.figures |= {"p50_s": median(took), "p99_s": took[int(len(took) * 0.99) - 1], "max_s": took[-1]}
    found.figures |= {"alert_p50_s": median(whole), "kill_s": killed, "request_s": request}
    p50, p99 = found.figures["p50_s"], found.figures["p99_s"]
    found.lines += [
        f"decision to acknowledged order, on disk first: median {seconds(p50)}, p99 {seconds(p99)}, longest {seconds(took[-1])}",
        f"the same from the alert on: median {seconds(found.figures['alert_p50_s'])}",
        f"from an order to its signed request, by ccxt: median {seconds(found.figures['request_s'])}",
        f"`enigma close-all` with five positions, to flat with nothing working: {seconds(killed)}",
    ]
    found.goals += [
        Goal("median from signal to order at the exchange", p50, 0.015, " s"),
        Goal("p99 from signal to order at the exchange", p99, 0.06, " s"),
        Goal("median from an order to its request", found.figures["request_s"], 0.001, " s"),
        Goal("kill switch", killed, 5.0, " s"),
    ]
    return found


@contextmanager
def trading(home: Path) -> Iterator[tuple[str, str]]:
    """A rehearsal that takes every alert as a signal, while inside: its server and its token."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ENIGMA", "KUCOIN"))}
    environment["ENIGMA_WEBHOOK_SECRET"] = SECRET
    sets = [
        *OPEN,
        "rehearsal.count=5",
        "feed.days=5",
        "gates.day_risk=false",
        "gates.liquidation_buffer=false",
        "sizer.position_size_max=0.01",
    ]
    command = [*enigma(), "run", "--mode", "live", "--sandbox", "--quiet", "--home", str(home), "--port", "0"]
    command += [word for symbol in SYMBOLS for word in ("-p", symbol)] + [word for each in sets for word in ("--set", each)]
    with started(command, environment, home) as process:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            assert process.poll() is None, (home / "said").read_text()
            try:
                url = json.loads((home / "server.json").read_text())["url"]
                with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
                    if json.load(answer)["status"] in ("ready", "ok"):
                        break
            except (OSError, ValueError, KeyError):
                pass
            time.sleep(0.2)
        else:
            raise TimeoutError((home / "said").read_text())
        yield url, (home / "api_token").read_text().strip()


async def _request(home: Path, rounds: int) -> float:
    """Median seconds from an order handed to the wire to its signed request, whose sending is left out."""
    from enigma_exchange.hosts import hosts
    from enigma_exchange.port import Placing
    from enigma_exchange.quota import Quota
    from enigma_exchange.wire.clients import Credentials
    from enigma_exchange.wire.kucoin import KucoinAccount

    kept = json.loads((home / "sandbox" / "credentials.json").read_text())
    port = (home / "sandbox" / "port").read_text().strip()
    keys = Credentials(kept["key"], kept["secret"], kept["passphrase"])
    api = KucoinAccount(hosts(f"http://127.0.0.1:{port}"), keys)
    await api.time()
    trading = api._trading
    assert trading is not None
    at = 0.0

    async def fetch(*_: Any, **__: Any) -> dict[str, Any]:
        nonlocal at
        at = time.perf_counter()
        return {"code": "200000", "data": {"orderId": "1", "clientOid": "x"}}

    trading.client.fetch = fetch
    took = []
    for n in range(rounds):
        trading.futures = Quota()
        order = Placing(client_id=f"enigma-{n}", symbol=SYMBOLS[0], side=1, quantity=Decimal(10), kind="market", leverage=5)
        began = time.perf_counter()
        await api.place(order)
        took.append(at - began)
    await api.close()
    return median(took)


def _send(url: str, message: dict[str, str]) -> None:
    body = json.dumps({"secret": SECRET, **message}).encode()
    request = urllib.request.Request(f"{url}/webhooks/tradingview", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer)["status"] == "accepted"


def _until(wire: Any, meant: Any, state: str = "") -> None:
    while True:
        line = json.loads(wire.recv(timeout=30))
        if meant(line) and (not state or line["record"]["state"] == state):
            return
