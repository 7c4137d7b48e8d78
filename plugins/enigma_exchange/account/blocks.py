"""Why no entries are made now: causes come and go one by one, and what is told is what stands after each change."""

from __future__ import annotations

from collections.abc import Iterator

from enigma_core.model import Blocked

START = "the account is still being looked at"


class Blocks:
    """Causes by symbol ("" for every symbol) and kind."""

    def __init__(self) -> None:
        # a run begins with everything blocked
        self._causes: dict[str, dict[str, str]] = {"": {"start": START}}
        self._told: dict[str, str] = {"": START}

    def set(self, symbol: str, cause: str, reason: str) -> None:
        """`cause` stands for `reason` from here on; an empty one takes it away."""
        causes = self._causes.setdefault(symbol, {})
        if reason:
            causes[cause] = reason
        else:
            causes.pop(cause, None)

    def reason(self, symbol: str) -> str:
        """Why nothing is entered in `symbol`; empty where it is."""
        return "; ".join([*self._causes.get("", {}).values(), *(self._causes.get(symbol, {}).values() if symbol else ())])

    def has(self, symbol: str, cause: str) -> bool:
        return cause in self._causes.get(symbol, {})

    def news(self, ts: int) -> Iterator[Blocked]:
        """What has changed since it was asked last."""
        for symbol, causes in self._causes.items():
            reason = "; ".join(causes.values())
            if reason != self._told.get(symbol, ""):
                self._told[symbol] = reason
                yield Blocked(ts=ts, symbol=symbol, reason=reason)
