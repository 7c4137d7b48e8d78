"""Alerts over loopback: a whole `enigma run` with its receiver, and receivers as one writes them in FastAPI and Flask."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench_process import enigma
from measuring import Finding, Goal, number, script, seconds

RATE = 2000
"""Alerts a second, each sent twice."""

SECRET = "benchmark-9vK2xQ7_mZ4-Lr8Tt1Wb6-Hc3"
RIVALS = {"fastapi": "uvicorn", "flask": "waitress"}
START = 60.0


def alerts(quick: bool, length: float | None = None) -> Finding:
    """2,000 alerts a second sent twice each to `enigma run`, none lost or doubled, and its rate against FastAPI and Flask."""
    length = length or (2.0 if quick else 60.0)
    rate = 100 if quick else RATE
    found = Finding("alerts", f"{rate:,} alerts a second over loopback for {length:g} s, each sent twice", 1)
    with tempfile.TemporaryDirectory() as name, running(Path(name)) as url:
        full = load(url, length, rate=rate, copies=2, name="full")
        half = load(url, max(length / 4, 1), rate=rate / 2, copies=2, name="half")
        sent = full["alerts"] + half["alerts"]
        counted = counts(Path(name), sent)
    took = full["alerts"] / full["seconds"]
    wrong = {status: n for status, n in (full["statuses"] | half["statuses"]).items() if status[:3] != "200"}
    found.figures |= {
        "alerts": sent,
        "requests": sent * 2,
        "alerts_per_s": took,
        "lost": sent - counted["accepted"],
        "doubled": counted["accepted"] - counted["different"],
        "worked_again": counted["worked"] - counted["worked_once"],
        "asked_to_come_again": sum(wrong.values()),
        **{f"half_{each}": half[each] for each in ("p50_s", "p99_s", "max_s")},
        **{f"full_{each}": full[each] for each in ("p50_s", "p99_s", "max_s")},
    }
    found.lines += [
        f"{took:,.0f} alerts ({took * 2:,.0f} requests) a second taken in; from when each was due to its answer: median "
        f"{seconds(full['p50_s'])}, p99 {seconds(full['p99_s'])}",
        f"at half of it: median {seconds(half['p50_s'])}, p99 {seconds(half['p99_s'])}, longest {seconds(half['max_s'])}",
        f"in the database: {counted['accepted']:,} of {sent:,} alerts, {counted['different']:,} different, "
        f"{counted['worked']:,} worked; answered otherwise than 200: {wrong or 'none'}",
    ]
    found.goals += [
        Goal("alerts lost", found.figures["lost"], 0),
        Goal("alerts doubled", found.figures["doubled"] + found.figures["worked_again"], 0),
        Goal("alerts a second", took, rate * 0.99, least=True),
        Goal("p99 at half the load", half["p99_s"], 0.05, " s"),
    ]
    _beside(found, 1.0 if quick else max(5.0, length / 6))
    return found


def _beside(found: Finding, length: float) -> None:
    """The most that each receiver takes in when 32 senders wait for their answers, one after the other."""
    rates: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name, running(Path(name)) as url:
        rates["enigma"] = most(url, length)
    for rival, server in RIVALS.items():
        if importlib.util.find_spec(rival) is None or importlib.util.find_spec(server) is None:
            found.lines.append(f"{rival} under {server} is not installed, so it is not measured: pip install -e '.[bench]'")
            continue
        with tempfile.TemporaryDirectory() as name, reference(rival, Path(name)) as url:
            rates[rival] = most(url, length)
    for subject, rate in rates.items():
        found.figures[f"{subject}_most_per_s"] = rate
        beside = "a whole run, each alert worked" if subject == "enigma" else f"under {RIVALS[subject]}, one commit an alert"
        ratio = "" if subject == "enigma" else f"; enigma takes in {number(rates['enigma'] / rate)} times as many"
        found.lines.append(f"{subject:<8} at most {rate:,.0f} alerts a second ({beside}{ratio})")
        if subject != "enigma":
            found.figures[f"enigma_to_{subject}"] = rates["enigma"] / rate


def most(url: str, length: float) -> float:
    """Alerts that are taken in, a second, once the receiver has warmed up."""
    load(url, 1.0, name="first")
    found = load(url, length, name="most")
    taken: float = sum(n for status, n in found["statuses"].items() if status.startswith("200")) / found["seconds"]
    return taken


def load(url: str, length: float, *, rate: float = 0, copies: int = 1, name: str) -> dict[str, Any]:
    """Send alerts from a process of its own; what it found."""
    command = [
        *script("alerts_load.py"),
        url,
        "--seconds",
        str(length),
        "--rate",
        str(rate),
        "--copies",
        str(copies),
        "--name",
        name,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LOAD_SECRET": SECRET})
    if done.returncode:
        raise RuntimeError(f"alerts_load.py\n{done.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def counts(home: Path, sent: int) -> dict[str, int]:
    """What the database of a run has, once everything in it has been worked."""
    with contextlib.closing(sqlite3.connect(f"file:{home / 'paper.sqlite'}?mode=ro", uri=True)) as db:
        until = time.monotonic() + START
        while _one(db, "SELECT count(*) FROM event WHERE kind = 'alert_worked'") < sent and time.monotonic() < until:
            time.sleep(0.2)
        return {
            "accepted": _one(db, "SELECT count(*) FROM event WHERE kind = 'alert'"),
            "different": _one(db, "SELECT count(DISTINCT json_extract(payload, '$.request.key')) FROM event WHERE kind = 'alert'"),
            "worked": _one(db, "SELECT count(*) FROM event WHERE kind = 'alert_worked'"),
            "worked_once": _one(db, "SELECT count(DISTINCT json_extract(payload, '$.id')) FROM event WHERE kind = 'alert_worked'"),
        }


def _one(db: sqlite3.Connection, query: str) -> int:
    value: int = db.execute(query).fetchone()[0]
    return value


@contextlib.contextmanager
def running(home: Path, sets: Sequence[str] = ()) -> Iterator[str]:
    """A run on a synthetic market with its receiver, while inside: where alerts go.

    Its indicators have seen two months before, so that every alert is evaluated, gates and all.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ENIGMA")}
    environment["ENIGMA_WEBHOOK_SECRET"] = SECRET
    market = ["run", "--feed", "synthetic", "--quiet", "--home", str(home)]
    before = [*enigma(), *market, "--speed", "0", "--no-services", "--for", "4"]
    subprocess.run(before, cwd=home, env=environment, check=True, capture_output=True)
    command = [*enigma(), *market, "--speed", "1", "--service", "tradingview", "--port", "0"]
    command += [word for each in sets for word in ("--set", each)]
    with started(command, environment, home) as process:
        note = home / "server.json"
        _until(note.exists, process)
        yield json.loads(note.read_text())["url"] + "/webhooks/tradingview"


@contextlib.contextmanager
def reference(name: str, folder: Path) -> Iterator[str]:
    """One of the reference receivers, while inside."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    command = [*script(f"rival_{name}.py"), str(port), str(folder / "alerts.sqlite")]
    with started(command, {**os.environ, "LOAD_SECRET": SECRET}, folder) as process:

        def listening() -> bool:
            with contextlib.suppress(OSError), contextlib.closing(socket.create_connection(("127.0.0.1", port), 1)):
                return True
            return False

        _until(listening, process)
        yield f"http://127.0.0.1:{port}/webhooks/tradingview"


@contextlib.contextmanager
def started(command: list[str], environment: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is asked to end, as by Ctrl-C, on leaving."""
    with open(folder / "said", "wb") as said:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=said)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _until(done: Any, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START
    while not done():
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"{process.args!r} does not start")
        time.sleep(0.05)
