"""What an endpoint is: who answers, what it weighs, whom it is for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from enigma_sandbox.exchange.words import Mount, Request

UID = 165_111_215
"""The account's number."""

Answer = Callable[[Request, tuple[str, ...]], Any]
"""Takes the request and the values of its path; gives the data of the envelope or raises `Refusal`."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """`path` has {names} where values stand. `permission` "" is public. `pool`: whose quota it counts to."""

    method: str
    path: str
    answer: Answer
    weight: int
    pool: str
    permission: str = ""
    mount: Mount = "futures"
    trades: bool = False
    """It places or cancels, so maintenance refuses it."""


class Table:
    """Finds the endpoint of a request."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[tuple[str, str, str], Route] = {}
        self._open: dict[tuple[str, str, int], list[tuple[list[str], Route]]] = {}
        for route in routes:
            if "{" in route.path:
                parts = route.path.split("/")
                self._open.setdefault((route.mount, route.method, len(parts)), []).append((parts, route))
            else:
                self._exact[route.mount, route.method, route.path] = route
        self.routes = [*self._exact.values(), *(r for found in self._open.values() for _, r in found)]

    def find(self, mount: str, method: str, path: str) -> tuple[Route, tuple[str, ...]] | None:
        exact = self._exact.get((mount, method, path))
        if exact is not None:
            return exact, ()
        parts = path.split("/")
        for pattern, route in self._open.get((mount, method, len(parts)), ()):
            if all(p == q or p[:1] == "{" for p, q in zip(pattern, parts, strict=True)):
                return route, tuple(q for p, q in zip(pattern, parts, strict=True) if p[:1] == "{")
        return None
