"""A run to stand beside in tests: it keeps in memory what the real one writes down, and answers by the same rules."""

from __future__ import annotations

import asyncio
import pathlib
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

from enigma_core.alert import Alert, AlertRefused, AlertWorked, Mode, Receipt, Request
from enigma_core.book import Book
from enigma_core.errors import Busy, HomeError
from enigma_core.model import Decision, Instrument, StateSet
from enigma_core.parts import Applied, Command
from enigma_core.plan import Plan
from enigma_core.scoring import Evaluation

NOW = 1_741_219_200_000
"""2025-03-06 00:00 UTC: where a test's clock stands unless it says otherwise."""

INSTRUMENTS = {
    symbol: Instrument(symbol=symbol) for symbol in ("BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT", "1000CAT/USDT:USDT")
}


def worked(ts: int, id: str, source: str, symbol: str) -> AlertWorked:
    """That nothing came of an alert."""
    return AlertWorked(ts=ts, id=id, source=source, symbol=symbol, outcome="nothing", reason="there is no market here")


class MemoryDesk:
    """Keeps accepted alerts in `alerts`, refusals in `refusals`, commands in `commands`.

    `fail`: nothing can be written. `full`: too many wait. `capacity`: how many may wait before that is so by itself; `work`
    takes one off. `hold`: an event that `accept` waits for before it writes, as for a slow disk. `came` is set by every
    alert accepted; `asked` counts the calls of `accept`.
    """

    def __init__(self, home: pathlib.Path = pathlib.Path("."), *, capacity: int = 1_000_000, plan: Plan | None = None) -> None:
        self.home = home
        self.capacity = capacity
        self.plan = plan or Plan()
        self.instruments: Mapping[str, Instrument] = dict(INSTRUMENTS)
        self.account = Book(Decimal(10_000), dict(INSTRUMENTS))
        self.state: Literal["recovering", "ready", "stopping"] = "ready"
        self.fail = False
        self.full = False
        self.hold: asyncio.Event | None = None
        self.alerts: list[Alert] = []
        self.worked: list[Alert] = []
        self.refusals: list[AlertRefused] = []
        self.commands: list[Command] = []
        self.came = asyncio.Event()
        self.asked = 0
        self.time = NOW
        self.lag = 0.0
        self.changes: dict[str, Any] = {}
        self.added: dict[str, Sequence[Any]] = {}
        self._known: dict[str, Alert] = {}
        self._ids: set[str] = set()
        self._watchers: list[Callable[[Any], None]] = []

    @property
    def journal(self) -> pathlib.Path:
        return self.home / "paper.sqlite"

    @property
    def waiting(self) -> int:
        return len(self.alerts) - len(self.worked)

    def now(self) -> int:
        return self.time

    def routes(self) -> Mapping[str, Sequence[Any]]:
        return self.added

    async def accept(self, alerts: Sequence[Alert]) -> list[Receipt]:
        self.asked += 1
        await (self.hold.wait() if self.hold is not None else asyncio.sleep(0))
        receipts: list[Receipt] = []
        new: list[Alert] = []
        for alert in alerts:
            receipt, known = self._receipt(alert, new)
            receipts.append(receipt)
            if not known:
                new.append(alert)
        if "conflict" in receipts:
            return [r if r != "accepted" else "conflict" for r in receipts]
        if self.fail or self.state == "stopping":
            raise HomeError("the journal cannot be written")
        if new and (self.full or self.waiting + len(new) > self.capacity):
            raise Busy(f"{self.waiting} alerts wait already")
        for alert in new:
            assert alert.id not in self._ids, "an identity was given twice"
            self._ids.add(alert.id)
            self._known[alert.key or alert.id] = alert
            self.alerts.append(alert)
            self.publish(alert)
        if new:
            self.came.set()
        return receipts

    def _receipt(self, alert: Alert, new: Sequence[Alert]) -> tuple[Receipt, bool]:
        key = alert.key or alert.id
        earlier = next((each for each in reversed(new) if (each.key or each.id) == key), None) or self._known.get(key)
        if earlier is None or (alert.window is not None and alert.received - earlier.received >= alert.window):
            return "accepted", False
        if alert.window is None and alert.request.key and earlier.digest != alert.digest:
            return "conflict", True
        return "duplicate", True

    def work(self) -> Alert | None:
        """Take in the alert that waits longest, None where none does."""
        if not self.waiting:
            return None
        alert = self.alerts[len(self.worked)]
        self.worked.append(alert)
        self.publish(worked(self.time, alert.id, alert.source, alert.request.symbol))
        return alert

    async def refuse(self, refusal: AlertRefused) -> None:
        self.refusals.append(refusal)
        self.publish(refusal)

    async def tell(self, command: Command) -> Sequence[Any]:
        if self.fail:
            raise HomeError("the journal cannot be written")
        self.commands.append(command)
        if isinstance(command, StateSet):
            self.account.apply(command)
        self.publish(command)
        return [command]

    def rehearse(self, request: Request, mode: Mode) -> tuple[AlertWorked, Decision | None]:
        return worked(self.time, "rehearsal", "", request.symbol), None

    def evaluation(self, symbol: str) -> Evaluation | None:
        return None

    def watch(self, see: Callable[[Any], None]) -> Callable[[], None]:
        self._watchers.append(see)
        return lambda: self._watchers.remove(see) if see in self._watchers else None

    def publish(self, record: Any) -> None:
        """Show `record` to whoever watches."""
        for see in tuple(self._watchers):
            see(record)

    def settings(self) -> dict[str, Any]:
        return {"symbols": list(self.instruments)}

    async def configure(self, changes: Mapping[str, Any], by: str) -> Applied:
        if self.fail:
            raise HomeError("the journal cannot be written")
        self.changes |= changes
        return Applied(now=tuple(changes), restart=())
