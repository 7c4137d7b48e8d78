"""Real processes that trade live on a local exchange, really killed: between a request and its answer, a fill and its record."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from served import KEY, Local, local

from enigma_core.model import Fill, Order, Purpose
from enigma_sandbox.markets import Setup
from runs import steps

SECRET = "benchmark-9vK2xQ7_mZ4-Lr8Tt1Wb6-Hc3"
PATIENCE = 90.0
CODES = {"BTC/USDT:USDT": "XBTUSDTM", "ETH/USDT:USDT": "ETHUSDTM"}
ELSEWHERE = """
import json, os
from enigma_sandbox.rehearsal import KucoinSandbox

class There:
    settings = json.loads(os.environ["THERE"])
    told = ()
    def fault(self): return ""
    def close(self): pass

# the exchange outlives who trades on it
KucoinSandbox.start = lambda self, home: There()
from enigma_core.cli import main
main()
"""
SETS = (
    *(f"gates.{gate}=false" for gate in ("trend", "cooldown", "drawdown", "circuit_breaker", "exposure", "spread", "day_risk")),
    "gates.liquidation_buffer=false",
    "services.tradingview.mode=signal",
    "feed.days=5",
)


@pytest.fixture(scope="module")
def exchange() -> Iterator[Local]:
    with local(Setup(count=2, days=5)) as exchange:
        yield exchange


@contextmanager
def trading(home: Path, exchange: Local) -> Iterator[subprocess.Popen[bytes]]:
    """A live run that is ready; killed at the end, whatever it does."""
    there = {
        "feed.use": "kucoin",
        "feed.url": exchange.url,
        "executor.use": "ccxt",
        "executor.url": exchange.url,
        "executor.key": KEY.key,
        "executor.secret": KEY.secret,
        "executor.passphrase": KEY.passphrase,
        "executor.account": "rehearsal-of-a-test",
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ENIGMA", "KUCOIN"))}
    environment |= {"ENIGMA_WEBHOOK_SECRET": SECRET, "THERE": json.dumps(there)}
    command = [sys.executable, "-c", ELSEWHERE, "run", "--mode", "live", "--sandbox", "--quiet", "--home", str(home), "--port", "0"]
    command += [word for symbol in CODES for word in ("-p", symbol)] + [word for each in SETS for word in ("--set", each)]
    (home / "server.json").unlink(missing_ok=True)
    with open(home / "said", "ab") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env=environment, cwd=home)
    try:
        until(lambda: asked(home, "/health").get("status") in ("ready", "ok"), process, home)
        yield process
    finally:
        process.kill()
        process.wait(20)


def asked(home: Path, path: str) -> dict[str, Any]:
    try:
        url = json.loads((home / "server.json").read_text())["url"]
        with urllib.request.urlopen(f"{url}{path}", timeout=5) as answer:
            return json.load(answer)  # type: ignore[no-any-return]
    except (OSError, ValueError, KeyError):
        return {}


def until(fact: Callable[[], Any], process: subprocess.Popen[bytes], home: Path) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := fact()):
        assert process.poll() is None, (home / "said").read_text()
        assert time.monotonic() < deadline, (home / "said").read_text()
        time.sleep(0.01)
    return found


def buy(home: Path, name: str, symbol: str) -> None:
    url = json.loads((home / "server.json").read_text())["url"]
    message = {"secret": SECRET, "id": name, "symbol": symbol.partition(":")[0].replace("/", ""), "action": "buy"}
    request = urllib.request.Request(
        f"{url}/webhooks/tradingview", json.dumps(message).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert json.load(answer)["status"] == "accepted"


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(20)
    assert process.returncode == -signal.SIGKILL


def held(exchange: Local, symbol: str) -> int:
    found = exchange.do(lambda: exchange.sandbox.exchange.state.positions.get(CODES[symbol]))
    return 0 if found is None else found.size


def stops(exchange: Local, symbol: str) -> list[int]:
    """Lots of the stops against a long that wait there, those of targets left out."""
    working = exchange.do(lambda: list(exchange.sandbox.exchange.working(CODES[symbol])))
    return [o.size for o in working if o.waits and o.side < 0 and o.stop == "down"]


def entries(exchange: Local, symbol: str) -> int:
    orders = exchange.do(lambda: list(exchange.sandbox.exchange.state.orders.values()))
    return sum(o.symbol == CODES[symbol] and o.side > 0 and not o.reduce_only for o in orders)


def written(home: Path, symbol: str) -> list[Fill]:
    records = [record for _, found in steps(home, "sandbox") for record in found]
    ours = {o.id for o in records if isinstance(o, Order) and o.purpose is Purpose.ENTRY}
    return [f for f in records if isinstance(f, Fill) and f.symbol == symbol and f.order_id in ours]


def test_s02_s03_s04_killed_before_an_answer_and_before_a_fill_is_known_it_comes_back_to_one_protected_position(
    exchange: Local, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    btc, eth = CODES
    with trading(home, exchange) as process:
        # done there at once, and answered long after the end of who asked, who is told of nothing
        exchange.press("stall", public=False)
        exchange.press("latency", ms=20_000, path="/api/v1/orders")
        buy(home, "first", btc)
        until(lambda: held(exchange, btc), process, home)
        kill(process)
    assert not stops(exchange, btc)
    assert not written(home, btc)
    exchange.press("clear")
    with trading(home, exchange) as process:
        # it is ready, so what it holds is protected already
        assert stops(exchange, btc) == [held(exchange, btc)]
        # nobody is told of the fill, and nobody can read of it yet
        exchange.press("stall", public=False)
        exchange.press("fills_late", ms=3_000)
        buy(home, "second", eth)
        until(lambda: held(exchange, eth), process, home)
        kill(process)
    assert not written(home, eth)
    exchange.press("clear")
    with trading(home, exchange):
        for symbol in CODES:
            assert entries(exchange, symbol) == 1
            assert stops(exchange, symbol) == [held(exchange, symbol)]
            fills = written(home, symbol)
            assert len({fill.id for fill in fills}) == len(fills)
            assert sum((fill.quantity for fill in fills), Decimal(0)) == held(exchange, symbol)
