"""What sockets hear: made only for those who listen, late, twice or never where a fault says so."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from enigma_sandbox.exchange.faults import Faults
from enigma_sandbox.exchange.words import Push

ORDERS = "/contractMarket/tradeOrders"
STOPS = "/contractMarket/advancedOrders"
POSITION = "/contract/position"
POSITIONS = "/contract/positionAll"
WALLET = "/contractAccount/wallet"
MARGIN_MODE = "/contract/marginMode"
CROSS_LEVERAGE = "/contract/crossLeverage"
PRIVATE = (ORDERS, STOPS, POSITION, POSITIONS, WALLET, MARGIN_MODE, CROSS_LEVERAGE)


class Outlet:
    """Between the exchange and its listener. While pushes are made, others may be caused: they follow in order."""

    def __init__(self, faults: Faults, random: Random, user: str) -> None:
        self.faults = faults
        self._random = random
        self._user = user
        self._listener: Callable[[Push], None] | None = None
        self._queue: deque[Push] = deque()
        self._busy = False
        self._held: Push | None = None
        self._late: list[tuple[int, int, Push]] = []
        self._count = 0
        self.watched: dict[str, int] = {}

    def listen(self, listener: Callable[[Push], None]) -> None:
        self._listener = listener

    @property
    def heard(self) -> bool:
        """Somebody listens at all."""
        return self._listener is not None

    def watches(self, topic: str) -> bool:
        return topic in self.watched

    def private(self, now: int, topic: str, subject: str, data: Any, *channels: str) -> None:
        """A private push, through whatever faults there are."""
        faults = self.faults
        if self._listener is None or faults.stalled_private:
            return
        push = Push(topic=topic, subject=subject, data=data, channels=channels or (topic,), private=True, user=self._user)
        if faults.lose and self._random.random() < faults.lose:
            return
        if faults.push_delay:
            self._count += 1
            heapq.heappush(self._late, (now + faults.push_delay, self._count, push))
            return
        self._disturbed(push)

    def _disturbed(self, push: Push) -> None:
        faults = self.faults
        held, self._held = self._held, None
        if held is None and faults.reorder and self._random.random() < faults.reorder:
            self._held = push
            return
        self._send(push)
        if faults.duplicate and self._random.random() < faults.duplicate:
            self._send(push)
        if held is not None:
            self._send(held)

    def public(self, topic: str, subject: str, data: Any, sn: int | None = None) -> None:
        """A public push of a watched topic."""
        faults = self.faults
        if self._listener is None or faults.stalled_public:
            return
        if faults.lose and self._random.random() < faults.lose:
            return
        self._send(Push(topic=topic, subject=subject, data=data, channels=(topic,), sn=sn))

    def signal(self, push: Push) -> None:
        """An error frame, or the order to drop the sockets."""
        self._send(push)

    def _send(self, push: Push) -> None:
        if self._listener is None:
            return
        self._queue.append(push)
        if self._busy:
            return
        self._busy = True
        try:
            while self._queue:
                self._listener(self._queue.popleft())
        finally:
            self._busy = False

    def due(self) -> int | None:
        return self._late[0][0] if self._late else None

    def advance(self, now: int) -> None:
        """Let go what was late."""
        while self._late and self._late[0][0] <= now:
            self._disturbed(heapq.heappop(self._late)[2])
        if self._held is not None and not self.faults.reorder:
            held, self._held = self._held, None
            self._send(held)
