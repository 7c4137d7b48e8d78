"""The exchange as a child process: it begins when its orders come by stdin and ends when that is closed, however its parent ended.

One line of JSON goes in, an `Ordered`; one comes out: what `server.described` says, or ``{"error": sentence}``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from enigma_core.errors import ConfigError, EnigmaError, HomeError
from enigma_sandbox.credentials import VARIABLES, kept
from enigma_sandbox.markets import Setup

PATIENCE = 180
"""Seconds a market of many contracts may take until it is there."""

LAST = 10
"""Seconds the child has to write its state down and end."""


class Ordered(msgspec.Struct, frozen=True, kw_only=True):
    """What the child is to serve. `port`: taken where it is free, else any other is, unless it is `fixed`."""

    setup: Setup
    home: str
    deposit: Decimal = Decimal(10_000)
    port: int = 0
    fixed: bool = False


class Child:
    """A child process that serves; `told` is what it said of itself."""

    def __init__(self, process: subprocess.Popen[bytes], told: dict[str, Any]) -> None:
        self._process = process
        self.told = told

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def code(self) -> int | None:
        """What it ended with, below 0 the signal that killed it; None while it runs."""
        return self._process.poll()

    def close(self) -> None:
        """Have it write its state and end; any number of times."""
        _end(self._process)


def spawned(ordered: Ordered, meanwhile: Callable[[], object] = lambda: None) -> Child:
    """A child that serves what is `ordered`, once it does. Raises `ConfigError` with its sentence where it cannot.

    `meanwhile` is done while the child gets ready.
    """
    home = Path(ordered.home)
    try:
        home.mkdir(parents=True, exist_ok=True)
        log = open(os.open(home / "exchange.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")  # noqa: SIM115
    except OSError as error:
        raise HomeError(f"{home}: the exchange's state cannot be kept there ({error.strerror or error})") from None
    # a key of the real exchange is none of its business
    secret = {f"{name}{suffix}" for name in VARIABLES.values() for suffix in ("", "_FILE")}
    environment = {name: value for name, value in os.environ.items() if name not in secret}
    with log:
        process = subprocess.Popen(
            [sys.executable, "-m", "enigma_sandbox.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            # Ctrl-C is for the parent: the exchange has to outlive its last requests
            start_new_session=True,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    late = threading.Timer(PATIENCE, process.kill)
    late.daemon = True
    late.start()
    try:
        process.stdin.write(msgspec.json.encode(ordered) + b"\n")
        process.stdin.flush()
        meanwhile()
        line = process.stdout.readline()
        told = msgspec.json.decode(line) if line.strip() else {}
    except (OSError, msgspec.DecodeError):
        told = {}
    except BaseException:
        _end(process)
        raise
    finally:
        late.cancel()
    if "url" not in told:
        _end(process)
        raise ConfigError(told.get("error") or f"the local exchange has not begun; {home / 'exchange.log'} says why")
    return Child(process, told)


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    for ask in (process.terminate, process.kill):
        try:
            process.wait(LAST)
            break
        except subprocess.TimeoutExpired:
            ask()
    process.wait()
    process.stdout.close()


async def _served(ordered: Ordered) -> None:
    from enigma_sandbox.server import Sandbox, described

    home = Path(ordered.home)
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ending.set)
    threading.Thread(target=_watch, args=(loop, ending), daemon=True).start()
    sandbox = Sandbox(ordered.setup, kept(home / "credentials.json"), state=home / "exchange.json", deposit=ordered.deposit)
    try:
        await sandbox.open(ordered.port)
    except ConfigError:
        if ordered.fixed or not ordered.port:
            raise
        await sandbox.open(0)
    try:
        print(msgspec.json.encode(described(sandbox)).decode(), flush=True)  # noqa: T201 - this is what the parent waits for
        waiting = asyncio.ensure_future(ending.wait())
        await asyncio.wait((waiting, sandbox.failed), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if sandbox.failed.done():
            sandbox.failed.result()
    finally:
        await sandbox.close()


def _watch(loop: asyncio.AbstractEventLoop, ending: asyncio.Event) -> None:
    with contextlib.suppress(OSError, ValueError):
        while os.read(0, 4096):
            pass
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(ending.set)


def _line() -> bytes:
    """The first line of stdin, byte by byte: what comes after is watched by its descriptor."""
    line = b""
    while (byte := os.read(0, 1)) not in (b"", b"\n"):
        line += byte
    return line


def main() -> int:
    """The child's life. Its exit code is 1 where it failed."""
    try:
        ordered = msgspec.json.decode(_line(), type=Ordered)
        run(_served(ordered))
    except EnigmaError as error:
        print(msgspec.json.encode({"error": str(error)}).decode(), flush=True)  # noqa: T201
        return 1
    return 0


def run(work: Any) -> Any:
    """`work` in a loop that is quick where that can be had."""
    try:
        import uvloop
    except ImportError:
        factory: Any = None
    else:
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


if __name__ == "__main__":
    sys.exit(main())
