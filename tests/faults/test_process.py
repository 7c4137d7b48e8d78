"""The process of a run: started again, started twice, told to end, and with one of its tasks dead."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kills import ENIGMA, Kills, Run, Senders, examine, free_port, held, told

from enigma_core.alert import Alert, AlertWorked, Request
from enigma_core.errors import PluginError
from enigma_core.home import Home
from enigma_core.journal import Journal, replay
from enigma_core.market import MarketEvent
from enigma_core.model import Fill, Order, Purpose
from enigma_core.parts import Inbox, Ports, Service
from enigma_core.plan import Plan
from enigma_core.reading import Reader
from enigma_core.shells import run
from markets import START, instrument, plan, random_candles
from runs import Ending, Given, account, begun, on, ran, steps

BAR = 300_000
SYMBOL = "AAA/USDT:USDT"


@pytest.fixture(autouse=True)
def _nothing_is_left_running() -> Iterator[None]:
    yield
    for process in Run.begun:
        process.kill()


def market(n: int = 400) -> Plan:
    """A plan that trades often, over one recorded symbol."""
    candles = {SYMBOL: random_candles(SYMBOL, n, 1)}
    return on(plan(), Given(candles=candles, instruments={SYMBOL: instrument(SYMBOL)}))


def acknowledged(id: str, ts: int, received: int, **asks: Any) -> list[Alert]:
    """A step: an alert that was written down, and that nobody has worked."""
    request = Request(symbol=SYMBOL, **asks)
    return [Alert(id=id, ts=ts, source="tradingview", mode="signal", received=received, request=request, key=id)]


def again(plan: Plan, home: Path, wall: int, events: int = 0) -> list[Any]:
    """Go on in the folder `home` for so many events; everything that happened."""
    records: list[Any] = []

    async def some() -> None:
        stop = asyncio.Event()
        turns = 0

        async def end() -> None:
            # the alerts that wait are worked between two turns of the loop
            nonlocal turns
            while turns < 200:
                turns += 1
                await asyncio.sleep(0)
            stop.set()

        ending = asyncio.create_task(end())
        with Home.open(home) as open_home:
            await run(plan, open_home, stop=stop, observer=records.append, clock=Halted(events), wall=lambda: wall)
        await ending

    asyncio.run(some())
    return records


class Halted(Ending):
    """Time stands still after so many events."""

    async def until(self, ts: int) -> None:
        if not self._left:
            await asyncio.Event().wait()
        await super().until(ts)


@pytest.fixture
def in_a_trade(tmp_path: Path) -> tuple[Plan, Path, int]:
    """A folder whose process died while a position was held, and the market's time then."""
    whole = market()
    ran(whole, tmp_path / "whole")
    taken = steps(tmp_path / "whole")
    kept = next(
        i for i, (_, step) in enumerate(taken, 1) if i > 80 and type(step[-1]) is Order and step[-1].purpose is Purpose.STOP
    )
    home = begun(tmp_path / "again", "given", taken[:kept])
    assert account(home)["positions"]
    return whole, home, taken[kept - 1][0]


def write(home: Path, *taken: Sequence[Any]) -> None:
    with Home.open(home), Journal.open(home / "paper.sqlite", "paper", "given", "OFF") as journal:
        for step in taken:
            journal.write(step, journal.last_ts or 0)


def outcomes(records: Sequence[Any]) -> dict[str, str]:
    return {r.id: r.outcome for r in records if type(r) is AlertWorked}


def test_p01_a_restart_orders_nothing_though_alerts_that_have_grown_old_wait(in_a_trade: tuple[Plan, Path, int]) -> None:
    settings, home, ts = in_a_trade
    before = account(home)
    write(
        home,
        acknowledged("long", ts, 1000, action="long"),
        acknowledged("short", ts, 2000, position="short"),
        acknowledged("close", ts, 3000, action="close"),
    )
    records = again(settings, home, wall=3000 + 900_001)
    assert outcomes(records) == {"long": "expired", "short": "expired", "close": "expired"}
    assert not [r for r in records if type(r) in (Order, Fill)]
    assert account(home) == before
    # a second restart has nothing left to do
    assert not [r for r in again(settings, home, wall=5_000_000) if type(r) in (Order, Fill, AlertWorked)]
    assert account(home) == before


def test_p01_a_waiting_exit_is_worked_once_however_often_the_run_is_restarted(in_a_trade: tuple[Plan, Path, int]) -> None:
    settings, home, ts = in_a_trade
    before = account(home)
    write(home, acknowledged("close", ts, 1000, action="close"), acknowledged("late", ts, 1000, action="reverse"))
    first = again(settings, home, wall=200_000)
    assert outcomes(first) == {"close": "closed", "late": "expired"}
    closes = [r for r in first if type(r) is Order and r.purpose is Purpose.CLOSE]
    assert [c.quantity for c in closes] == [p["quantity"] for p in before["positions"].values()]
    for _ in range(2):
        assert not [r for r in again(settings, home, wall=200_000) if type(r) in (Order, Fill, AlertWorked)]
    filled = [r for r in again(settings, home, wall=200_000, events=1) if type(r) is Fill]
    assert [f.order_id for f in filled] == [closes[0].id]
    assert not account(home)["positions"]


def test_p02_p05_killed_holding_positions_the_real_run_goes_on_with_them_and_orders_nothing(tmp_path: Path) -> None:
    """Same positions, stops and money, by kill -9 and by SIGTERM, while alerts wait that have grown old."""
    kills = Kills(tmp_path / "home", 2, speed=3000, connections=4, pause=0.02)
    held_before_it_was_killed(kills)
    for by in (signal.SIGKILL, signal.SIGTERM):
        left = examine(kills.path, kills.senders)
        assert left.book is not None
        waits = f"waits{by}"
        # the lock of a killed process is free at once
        with Home.open(kills.home) as home, home.journal("paper", "synthetic:seed=1,timeframe=5m") as journal:
            old = Alert(
                id=waits,
                ts=journal.last_ts or 0,
                source="tradingview",
                mode="signal",
                received=1000,
                request=Request(symbol="BTC/USDT:USDT", position="short"),
                key=waits,
            )
            journal.write([old], journal.last_ts or 0)
        # the market stands all but still: nothing comes but what the start itself does
        process = Run(kills.home, kills.port, 0.001)
        process.ready()
        assert told(kills.port, kills.token) == held(left.book)
        assert Decimal(shown(kills, "portfolio")["equity"]) == left.book.equity
        process.process.send_signal(by)
        process.process.wait(30)
        records = list(replay(kills.path))[left.events + 1 :]
        assert outcomes(records)[waits] == "expired"
        assert {type(r).__name__ for r in records} == {"Started", "AlertWorked"}


def held_before_it_was_killed(kills: Kills) -> None:
    """Ask for longs until some are held, then kill it."""
    process = Run(kills.home, kills.port, kills.speed)
    process.ready()
    secret = (kills.home / "webhook_secret").read_text().strip()
    for number in range(400):
        symbol = ("BTCUSDT.P", "ETHUSDT.P", "SOLUSDT.P", "XRPUSDT.P")[number % 4]
        body = json.dumps({"symbol": symbol, "action": "buy", "id": f"p02-{number}"}).encode()
        url = f"http://127.0.0.1:{kills.port}/webhooks/tradingview/{secret}"
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=10) as answered:
            assert json.loads(answered.read())["status"] == "accepted"
        if len(told(kills.port, kills.token)) > 1:
            break
    else:
        pytest.fail(f"nothing was entered: {process.said()}")
    # an alert that is not worked on disk yet would be worked by the next run
    while waiting(kills.path):
        time.sleep(0.02)
    process.kill()


def waiting(path: Path) -> bool:
    """Whether some alert in the journal has no outcome yet."""
    with Reader(path) as reader:
        return bool(reader.waiting_alerts())


def shown(kills: Kills, what: str) -> dict[str, Any]:
    request = urllib.request.Request(f"http://127.0.0.1:{kills.port}/api/v1/{what}")
    request.add_header("Authorization", f"Bearer {kills.token}")
    with urllib.request.urlopen(request, timeout=10) as answered:
        found: dict[str, Any] = json.loads(answered.read())
    return found


def home_of(path: Path) -> Path:
    path.mkdir()
    return path


# two of them


def test_p03_a_second_run_in_the_same_folder_exits_with_a_sentence_and_leaves_the_first_alone(tmp_path: Path) -> None:
    with Home.open(tmp_path):
        begun_at = time.monotonic()
        command = [*ENIGMA, "run", "--home", str(tmp_path), "--port", "0"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        took = time.monotonic() - begun_at
        assert (tmp_path / "lock").read_text().strip() == str(os.getpid())
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert f"is in use by process {os.getpid()}: stop that run, or give this one its own folder with --home" in said
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert took < 20, "nothing is waited for: all of it is the start of an interpreter"


# a task that dies


class Serving(Service, frozen=True, kw_only=True):
    """Serves for ever."""

    name = "serving"

    async def serve(self, inbox: Inbox, ports: Ports) -> None:
        await asyncio.Event().wait()


class Endless(Given, frozen=True, kw_only=True):
    """Says no more after its bars, and does not end."""

    async def stream(self, symbols: Sequence[str], timeframe: str, since: int | None) -> AsyncIterator[MarketEvent]:
        async for event in super().stream(symbols, timeframe, since):
            yield event
        await asyncio.Event().wait()


TASKS = {
    "a service": "Session._serve",
    "the feed": "Session._follow",
    "the alert worker": "Session._work",
    "control by files": "attend",
    "the listener to services": "Session._listen",
}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_p18_a_run_does_not_outlive_a_task_that_is_cancelled(tmp_path: Path, task: str) -> None:
    candles = {SYMBOL: random_candles(SYMBOL, 40, 1)}
    settings = on(plan(), Endless(candles=candles, instruments={SYMBOL: instrument(SYMBOL)}))
    settings = msgspec.structs.replace(settings, services={"serving": Serving()})
    last = START + 40 * BAR
    killed: list[asyncio.Task[Any]] = []

    async def with_one_killed() -> None:
        def see(record: Any) -> None:
            if getattr(record, "ts", 0) == last and not killed:
                for each in asyncio.all_tasks():
                    if getattr(each.get_coro(), "__qualname__", "") == task:
                        killed.append(each)
                        asyncio.get_running_loop().call_soon(each.cancel)

        with Home.open(tmp_path) as home:
            await asyncio.wait_for(run(settings, home, observer=see, clock=Ending()), 20)

    with pytest.raises((asyncio.CancelledError, PluginError)):
        asyncio.run(with_one_killed())
    assert len(killed) == 1
    # the folder is free, and everything that was told is there
    with Home.open(tmp_path):
        assert list(replay(tmp_path / "paper.sqlite"))


BREAKING = """
from enigma_core.shells.stream import Session

async def breaking(session):
    raise RuntimeError("it broke inside")

Session._work = breaking
from enigma_core.cli import main
main()
"""


def test_p18_a_task_that_breaks_ends_the_process_with_an_error(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BREAKING, "run", "--home", str(tmp_path), "--port", "0", "--quiet", "--speed", "600"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 1
    assert "Error: " in done.stderr
    assert "it broke inside" in done.stderr
    assert "Traceback" not in done.stderr


# told to end


def test_p21_sigterm_while_alerts_are_answered_ends_it_soon_with_all_that_was_acknowledged(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home")
    process = Run(home, free_port(), 3000)
    process.ready()
    senders = Senders((home / "webhook_secret").read_text().strip(), process.port, random.Random(21))
    took = asyncio.run(ended_under_load(senders, process))
    assert took < 10
    assert process.process.returncode == 0
    assert "Run ended: stopped" in process.said()
    assert senders.answered > 20
    examine(home / "paper.sqlite", senders)


async def ended_under_load(senders: Senders, process: Run) -> float:
    loading = asyncio.create_task(senders.load(asyncio.Event(), "p21", 6, 0.005))
    while senders.answered < 30 and not loading.done():
        await asyncio.sleep(0.01)
    asked = time.monotonic()
    process.process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(process.process.wait, 30)
    took = time.monotonic() - asked
    await loading
    return took


def test_p21_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    process = Run(home_of(tmp_path / "home"), free_port(), 600)
    process.ready()
    with socket.create_connection(("127.0.0.1", process.port)) as slow:
        # half a message: an answer that was begun is waited for
        slow.sendall(b"POST /webhooks/tradingview HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nhalf of it")
        time.sleep(0.05)
        process.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert process.process.poll() is None, "there was nothing to wait for"
        asked = time.monotonic()
        process.process.send_signal(signal.SIGTERM)
        code = process.process.wait(30)
    assert code == -signal.SIGTERM
    assert time.monotonic() - asked < 1
