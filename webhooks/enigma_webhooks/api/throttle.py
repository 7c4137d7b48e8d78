"""Failed logins: how many are answered, and how long whoever failed too often waits."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict, deque
from collections.abc import Callable

MOST = 5
"""Failures of one address within `WINDOW`; after them it waits."""

MOST_IN_ALL = 60
"""Failures of all addresses together within `WINDOW`."""

WINDOW = 60.0
LONGEST = 3600.0
"""Seconds. The first wait is one `WINDOW`, each further one twice as long, up to `LONGEST`."""

REMEMBERED = 4096
"""Addresses kept in mind."""


class Failures:
    """The failures of one address, or of all of them together. Times are seconds of a monotonic clock."""

    __slots__ = ("_most", "_times", "_until", "_waits")

    def __init__(self, most: int) -> None:
        self._most = most
        self._times: deque[float] = deque(maxlen=most)
        self._waits = 0
        self._until = 0.0

    def wait(self, now: float) -> float:
        """Seconds until another try is answered, 0 when it is at once."""
        return max(self._until - now, 0.0)

    def add(self, now: float) -> None:
        if now - self._until > LONGEST:
            self._waits = 0
        while self._times and now - self._times[0] >= WINDOW:
            self._times.popleft()
        self._times.append(now)
        if len(self._times) == self._most:
            self._until = now + min(WINDOW * 2.0**self._waits, LONGEST)
            self._waits += 1
            self._times.clear()


class Throttle:
    """Slows down whoever guesses. An address that has logged in keeps its way in while others, or others behind it, guess:
    a right token is never refused there, and the way to the emergency close stays open."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._all = Failures(MOST_IN_ALL)
        self._by_address: OrderedDict[str, Failures] = OrderedDict()
        self._known: OrderedDict[str, None] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds that `address` must wait before it is answered again."""
        now = self._clock()
        failures = self._by_address.get(_network(address))
        return max(self._all.wait(now), failures.wait(now) if failures is not None else 0.0)

    def knows(self, address: str) -> bool:
        """True when a right token came from `address` before."""
        return _network(address) in self._known

    def failed(self, address: str) -> None:
        now, network = self._clock(), _network(address)
        failures = self._by_address.setdefault(network, Failures(MOST))
        self._by_address.move_to_end(network)
        if not failures.wait(now):
            failures.add(now)
        if not self._all.wait(now):
            self._all.add(now)
        _trim(self._by_address)

    def succeeded(self, address: str) -> None:
        network = _network(address)
        self._known[network] = None
        self._known.move_to_end(network)
        _trim(self._known)


def _network(address: str) -> str:
    """Who `address` is: an IPv6 customer has at least a /64 to guess from."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if ip.version == 6 and ip.ipv4_mapped is None:
        return str(ipaddress.ip_network((int(ip) >> 64 << 64, 64)))
    return str(ip)


def _trim(kept: OrderedDict[str, object] | OrderedDict[str, Failures] | OrderedDict[str, None]) -> None:
    while len(kept) > REMEMBERED:
        kept.popitem(last=False)
