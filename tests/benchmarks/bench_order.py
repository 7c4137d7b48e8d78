"""From an alert's first byte to the order it leads to, as somebody sees it who watches the run's own stream."""

from __future__ import annotations

import json
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median

from bench_alerts import SECRET, running
from measuring import Finding, Goal, seconds
from websockets.sync.client import connect

OPEN = [
    *(f"gates.{gate}=false" for gate in ("trend", "cooldown", "drawdown", "circuit_breaker", "exposure", "spread")),
    *(f"risk.{limit}=1000000" for limit in ("entries_per_minute_symbol", "entries_per_minute", "entries_per_day")),
    "services.tradingview.mode=signal",
]
"""Every entry is let through, one after the other."""


def order(quick: bool) -> Finding:
    """From the sending of an alert to its paper order, one alert at a time."""
    rounds = 20 if quick else 500
    found = Finding("order", f"{rounds} alerts, one at a time, each to its paper order", 1)
    with tempfile.TemporaryDirectory() as name, running(Path(name), OPEN) as url:
        token = (Path(name) / "api_token").read_text().strip()
        stream = url.replace("http", "ws", 1).replace("/webhooks/tradingview", "/api/v1/ws")
        with connect(stream, additional_headers={"Authorization": f"Bearer {token}"}, max_size=None) as wire:
            wire.recv()
            took = []
            for n in range(rounds):
                began = time.perf_counter()
                _send(url, {"id": f"in{n}", "symbol": "BTCUSDT", "action": "buy"})
                _until(wire, "order")
                took.append(time.perf_counter() - began)
                _until(wire, "alert_worked")
                # the order waits for a bar: it is called off, so that the next may follow
                _send(url, {"id": f"out{n}", "symbol": "BTCUSDT", "action": "close"})
                _until(wire, "alert_worked")
    took.sort()
    found.figures |= {"p50_s": median(took), "p99_s": took[int(len(took) * 0.99) - 1], "max_s": took[-1], "orders": len(took)}
    found.lines.append(
        f"median {seconds(found.figures['p50_s'])}, p99 {seconds(found.figures['p99_s'])}, longest {seconds(took[-1])}"
    )
    found.goals += [
        Goal("median from alert to order", found.figures["p50_s"], 0.01, " s"),
        Goal("p99 from alert to order", found.figures["p99_s"], 0.05, " s"),
    ]
    return found


def _send(url: str, message: dict[str, str]) -> None:
    body = json.dumps({"secret": SECRET, **message}).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"})) as answer:
        assert json.load(answer)["status"] == "accepted"


def _until(wire: object, event: str) -> None:
    while json.loads(wire.recv(timeout=20))["event"] != event:  # type: ignore[attr-defined]
        pass
