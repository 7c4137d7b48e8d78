"""Kill -9 of the real run under a load of alerts, over and over: what was acknowledged is there, nothing is done twice.

``python tests/faults/kills.py --rounds 100`` prints a line for each kill and, in the end, how long a start took until the run was
ready. A broken promise ends it with the seed and the folder, which is kept.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from enigma_core import database
from enigma_core.alert import Alert, AlertWorked
from enigma_core.book import Book
from enigma_core.journal import replay
from enigma_core.model import Order, Trade
from enigma_core.reading import fold
from enigma_core.records import BESIDE, Started, decode

ENIGMA = [sys.executable, "-c", "from enigma_core.cli import main; main()"]
ROOTS = ("", "plugins", "webhooks")

SYMBOLS = ("BTCUSDT.P", "ETHUSDT.P", "SOLUSDT.P", "XRPUSDT.P")

OPEN_GATES = [
    f"--set=gates.{name}=false"
    for name in ("confluence", "confidence", "alignment", "trend", "cooldown", "circuit_breaker", "spread", "liquidity")
]

Position = tuple[str, Decimal, Decimal | None]
"""Side, contracts, stop."""


class Broken(AssertionError):
    """A promise was not kept."""


def promise(kept: object, what: str) -> None:
    if not kept:
        raise Broken(what)


class Round(NamedTuple):
    """What one life of the process came to. `ready`: seconds until it was, None where it was killed before."""

    number: int
    ready: float | None
    lived: float
    answered: int
    duplicates: int
    alerts: int
    waiting: int
    positions: int
    events: int


# the process


class Run:
    """`enigma run` in a folder, its server on a port. `begun` holds all of them, for whoever cleans up."""

    begun: ClassVar[list[Run]] = []

    def __init__(self, home: Path, port: int, speed: float, *more: str) -> None:
        self.port = port
        self.log = home.with_suffix(".log")
        root = Path(__file__).parents[2]
        path = os.pathsep.join(str(root / part) for part in ROOTS)
        command = [*ENIGMA, "run", "--home", str(home), "--port", str(port), "--feed", "synthetic", "--speed", str(speed)]
        command += ["--service", "tradingview", "--timeframe", "5m", "--set", "services.tradingview.mode=signal", "--quiet"]
        with self.log.open("ab") as log:
            self.began = time.monotonic()
            self.process = subprocess.Popen(
                [*command, *OPEN_GATES, *more],
                stdout=log,
                stderr=log,
                cwd=home.parent,
                env={**os.environ, "PYTHONPATH": path, "ENIGMA_LOG": "0"},
            )
        self.begun.append(self)

    def ready(self, patience: float = 60.0) -> float:
        """Wait until it says that it is; seconds since its process was started."""
        while True:
            if self._answers():
                return time.monotonic() - self.began
            took = time.monotonic() - self.began
            promise(self.process.poll() is None, f"it ended by itself, {self.process.returncode}: {self.said()}")
            promise(took < patience, f"it was not ready within {patience:g} s: {self.said()}")
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def said(self) -> str:
        return self.log.read_text("utf-8", "replace")[-2000:]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self, patience: float = 30.0) -> float:
        """Ask it to end; seconds until it has."""
        asked = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(patience)
        promise(code == 0, f"SIGTERM ended it with exit code {code}: {self.said()}")
        return time.monotonic() - asked


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


# those who send


class Message(NamedTuple):
    """An alert under an id of its own, and how often it is sent."""

    name: str
    body: bytes
    copies: int


def messages(chance: random.Random, prefix: str) -> Iterator[Message]:
    """Longs, shorts, closes, flips that say what they held before, targets; every id once."""
    number = 0
    while True:
        number += 1
        name = f"{prefix}-{number}"
        long = chance.random() < 0.5
        said: dict[str, Any] = {"symbol": chance.choice(SYMBOLS), "id": name}
        match chance.randrange(6):
            case 0 | 1:
                said["action"] = "buy" if long else "sell"
            case 2:
                said["action"] = "close"
            case 3:
                said |= {"action": "buy" if long else "sell", "market_position": "long" if long else "short"}
                said["prev_market_position"] = "short" if long else "long"
            case 4:
                said |= {"action": "sell" if long else "buy", "market_position": "flat"}
                said["prev_market_position"] = "long" if long else "short"
            case _:
                said["action"] = "reverse"
        if chance.random() < 0.3:
            said["quantity"] = f"{chance.randint(1, 9)}%"
        if chance.random() < 0.5:
            said["timenow"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        yield Message(name, json.dumps(said).encode(), chance.choice((1, 1, 2, 3)))


class Senders:
    """All who ever sent, and what they were told. `accepted` gives the run's id for a message's own, whether it was the first
    or a copy that was answered."""

    def __init__(self, secret: str, port: int, chance: random.Random) -> None:
        self.accepted: dict[str, str] = {}
        self._first: set[str] = set()
        self.unanswered: dict[str, Message] = {}
        self.sent: dict[str, Message] = {}
        self.answered = 0
        self.duplicates = 0
        self._chance = chance
        self._port = port
        self._head = (
            f"POST /webhooks/tradingview/{secret} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: "
        ).encode()

    async def load(self, stop: asyncio.Event, prefix: str, connections: int, pause: float) -> None:
        """Send over so many connections until `stop`, or until nobody listens any more."""
        queue: asyncio.Queue[Message] = asyncio.Queue(connections)
        tasks = [asyncio.create_task(self._send(queue, pause)) for _ in range(connections)]
        feeding = asyncio.create_task(self._feed(queue, prefix))
        stopping = asyncio.create_task(stop.wait())
        # the first that is hung up on is the sign: the process is gone
        await asyncio.wait((stopping, *tasks), return_when=asyncio.FIRST_COMPLETED)
        for task in (feeding, stopping, *tasks):
            task.cancel()
        ended = await asyncio.gather(*tasks, feeding, stopping, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _feed(self, queue: asyncio.Queue[Message], prefix: str) -> None:
        # what nobody answered before the kill comes again, and so does some of what was answered
        again = [*self.unanswered.values()]
        again += [self.sent[name] for name in self._chance.sample(sorted(self.accepted), min(5, len(self.accepted)))]
        for message in again:
            await queue.put(message)
        for message in messages(self._chance, prefix):
            self.sent[message.name] = self.unanswered[message.name] = message
            copies = [message] * message.copies
            for copy in copies:
                await queue.put(copy)

    async def _send(self, queue: asyncio.Queue[Message], pause: float) -> None:
        writer = None
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            while True:
                message = await queue.get()
                writer.write(self._head + str(len(message.body)).encode() + b"\r\n\r\n" + message.body)
                status, said = await answer(reader)
                self._told(message, status, said)
                await asyncio.sleep(pause * self._chance.random() * 2)
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            if writer is not None:
                writer.close()

    def _told(self, message: Message, status: int, said: dict[str, Any]) -> None:
        name = message.name
        if status == 503:
            return
        promise(status == 200, f"{name} was answered with {status}: {said}")
        self.answered += 1
        self.unanswered.pop(name, None)
        promise(said["status"] in ("accepted", "duplicate"), f"{name} was answered with {said}")
        # a copy may be answered before the message that it is a copy of
        promise(self.accepted.setdefault(name, said["id"]) == said["id"], f"{name} is known under two ids")
        if said["status"] == "duplicate":
            self.duplicates += 1
        else:
            promise(name not in self._first, f"{name} was accepted twice")
            self._first.add(name)


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, Any]]:
    """Status and JSON of one answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    lines = head.lower().split("\r\n")
    length = next(int(line.split(":")[1]) for line in lines if line.startswith("content-length:"))
    found: dict[str, Any] = json.loads(await reader.readexactly(length))
    return int(head.split(" ", 2)[1]), found


# what the journal must say


class Found(NamedTuple):
    """A journal between two lives."""

    events: int
    alerts: int
    waiting: frozenset[str]
    book: Book | None


def examine(path: Path, senders: Senders) -> Found:
    """Check everything that a kill must not break. Raises `Broken`, or `HomeError` for a file that is damaged."""
    database.verify(path)
    records = list(replay(path))
    alerts = [r for r in records if type(r) is Alert]
    outcomes = Counter(r.id for r in records if type(r) is AlertWorked)
    twice = [name for name, n in Counter(a.key for a in alerts).items() if n > 1]
    promise(not twice, f"written twice: {twice[:5]}")
    names = {a.id for a in alerts}
    lost = [name for name, id in senders.accepted.items() if id not in names]
    promise(not lost, f"acknowledged and lost: {lost[:5]}, {len(lost)} in all")
    again = [id for id, n in outcomes.items() if n > 1]
    promise(not again, f"worked twice: {again[:5]}")
    promise(outcomes.keys() <= names, "an outcome of an alert that never came")
    orders = Counter(r.id for r in records if type(r) is Order)
    doubled = [id for id, n in orders.items() if n > 1]
    promise(not doubled, f"ordered twice: {doubled[:5]}")
    trades = Counter((r.symbol, r.entry_ts, r.exit_ts, r.decision_id) for r in records if type(r) is Trade)
    promise(all(n == 1 for n in trades.values()), "a trade is there twice")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        rows = dict(db.execute("SELECT id, state FROM alert WHERE state <> 'rejected'"))
    waiting = frozenset(id for id, state in rows.items() if state == "waiting")
    promise(rows.keys() == names and waiting == names - outcomes.keys(), "the table of alerts says something else than the events")
    return Found(len(records), len(alerts), waiting, fold(records))


def held(book: Book | None) -> dict[str, Position]:
    """What is held by symbol."""
    if book is None:
        return {}
    return {s: ("long" if p.side > 0 else "short", p.quantity, p.stop) for s, p in book.positions.items()}


def moments(path: Path, after: int) -> Iterator[dict[str, Position]]:
    """What was held after `after` events, and after each one that follows."""
    instruments: dict[str, Any] = {}
    book: Book | None = None
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        for seq, kind, payload in db.execute("SELECT seq, kind, payload FROM event ORDER BY seq"):
            if kind not in BESIDE:
                record = decode(kind, payload)
                if type(record) is Started:
                    instruments |= record.instruments
                    book = book or Book(record.cash, instruments)
                elif book is not None:
                    book.apply(record)
            if seq >= after:
                yield held(book)


def told(port: int, token: str) -> dict[str, Position]:
    """What the run itself says it holds."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/v1/positions", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as answered:
        listed = json.loads(answered.read())
    items = listed if isinstance(listed, list) else listed.get("items", listed.get("positions"))
    return {p["symbol"]: (p["side"], Decimal(p["quantity"]), None if p["stop"] is None else Decimal(p["stop"])) for p in items}


def taken_over(path: Path, before: Found, port: int, token: str) -> None:
    """Check that the run that has just begun holds what the journal of the killed one says, or what came of it since."""
    says = told(port, token)
    # what it says is of this moment or of an earlier one of its own, and may not be written yet
    for _ in range(50):
        if any(says == each for each in moments(path, before.events)):
            break
        time.sleep(0.05)
    else:
        raise Broken(f"it holds {says}; when the other was killed the journal said {held(before.book)}")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        row = db.execute("SELECT payload FROM event WHERE kind = 'started' AND seq > ? ORDER BY seq", (before.events,)).fetchone()
    if before.book is not None and row is not None:
        cash = decode("started", row[0]).cash
        promise(cash == before.book.cash, f"it began with {cash}, and {before.book.cash} were left")


# over and over


class Kills:
    """Lives of one account, each ended by kill -9 but the last."""

    def __init__(self, home: Path, seed: int, *, speed: float, connections: int, pause: float) -> None:
        self.home = home
        self.path = home / "paper.sqlite"
        self.seed = seed
        self.chance = random.Random(seed)
        self.port = free_port()
        self.speed = speed
        self.connections = connections
        self.pause = pause
        home.mkdir(parents=True)
        self._warm()
        self.senders = Senders((home / "webhook_secret").read_text().strip(), self.port, self.chance)
        self.token = (home / "api_token").read_text().strip()
        self.found = examine(self.path, self.senders)

    def _warm(self) -> None:
        """A history, so that every alert finds bars that have closed."""
        first = Run(self.home, self.port, 0, "--for", "1.5")
        promise(first.process.wait(60) == 0, f"the first run failed: {first.said()}")

    def kill(self, number: int) -> Round:
        """One life: started, perhaps loaded with alerts, killed, looked at."""
        before, senders = self.found, self.senders
        answered, duplicates = senders.answered, senders.duplicates
        run = Run(self.home, self.port, self.speed)
        ready: float | None = None
        if self.chance.random() < 0.15:
            # in the middle of its own recovery
            time.sleep(self.chance.uniform(0.1, 2.5))
        else:
            ready = run.ready()
            taken_over(self.path, before, self.port, self.token)
            asyncio.run(self._loaded(run, number, self.chance.uniform(0.2, 2.0)))
        run.kill()
        lived = time.monotonic() - run.began
        self.found = examine(self.path, senders)
        promise(self.found.events >= before.events, "events that were there once are gone")
        return Round(
            number,
            ready,
            lived,
            senders.answered - answered,
            senders.duplicates - duplicates,
            self.found.alerts,
            len(self.found.waiting),
            len(held(self.found.book)),
            self.found.events,
        )

    async def _loaded(self, run: Run, number: int, seconds: float) -> None:
        loading = asyncio.create_task(self.senders.load(asyncio.Event(), f"r{number}", self.connections, self.pause))
        await asyncio.wait((loading,), timeout=seconds)
        ended = loading.done()
        run.process.kill()
        await loading
        promise(not ended, f"it hung up before it was killed: {run.said()}")

    def finish(self) -> float:
        """A last life that works what is left and ends by SIGTERM; seconds that the end took."""
        run = Run(self.home, self.port, self.speed)
        run.ready()
        taken_over(self.path, self.found, self.port, self.token)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self._waiting():
            time.sleep(0.1)
        took = run.end()
        left = examine(self.path, self.senders)
        promise(not left.waiting, f"never worked: {sorted(left.waiting)[:5]}")
        return took

    def _waiting(self) -> int:
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT count(*) FROM alert WHERE state = 'waiting'").fetchone()[0])


def show(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


HEADS = ("kill", "ready s", "lived s", "answers", "duplicates", "alerts", "waiting", "held", "events")


def main() -> None:
    options = argparse.ArgumentParser(description="Kill -9 under load, over and over.")
    options.add_argument("--rounds", type=int, default=100)
    options.add_argument("--seed", type=int, default=random.randrange(2**31))
    options.add_argument("--each", type=int, default=20, help="kills of one account")
    options.add_argument("--speed", type=float, default=3000, help="the market's, times real time")
    options.add_argument("--connections", type=int, default=6)
    options.add_argument("--pause", type=float, default=0.02, help="mean seconds between two messages of one connection")
    given = options.parse_args()
    show(f"seed {given.seed}, {given.rounds} kills")
    show("".join(head.rjust(11) for head in HEADS))
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    rounds: list[Round] = []
    ends: list[float] = []
    try:
        while len(rounds) < given.rounds:
            home = folder / f"home{len(rounds)}"
            kills = Kills(home, given.seed + len(rounds), speed=given.speed, connections=given.connections, pause=given.pause)
            for _ in range(min(given.each, given.rounds - len(rounds))):
                rounds.append(kills.kill(len(rounds) + 1))
                cells = ("-" if c is None else f"{c:.2f}" if isinstance(c, float) else f"{c:,}" for c in rounds[-1])
                show("".join(cell.rjust(11) for cell in cells))
            ends.append(kills.finish())
            shutil.rmtree(home)
    except BaseException as error:
        show(f"\nseed {given.seed}, kill {len(rounds) + 1}; what is left is in {folder}\n{type(error).__name__}: {error}")
        raise
    finally:
        for run in Run.begun:
            run.kill()
    shutil.rmtree(folder)
    times = sorted(r.ready for r in rounds if r.ready is not None)
    answers = sum(r.answered for r in rounds)
    show(f"\n{len(rounds)} kills, {answers:,} answers: none lost, none worked or ordered twice")
    show(f"ready: p50 {statistics.median(times):.2f} s, max {times[-1]:.2f} s; SIGTERM took at most {max(ends):.2f} s")


if __name__ == "__main__":
    main()
