"""What was understood of one order of a message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from enigma_core.alert import Action, Request
from enigma_webhooks.alerts.times import iso

Side = Literal["long", "short", "close", "reverse"]

_SIDES: dict[Action, Side] = {"long": "long", "short": "short", "close": "close", "reverse": "reverse", "reduce": "close"}


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One order, or why there is none. `ok` is False where it is refused: `error` says why, `status` is HTTP's number for it.

    `request` is what it asks for, None where `ok` is False or nothing but a test was stated. `symbol` is unified, "" where none
    is stated. `secret` is what the message carries as one; neither the representation nor any sentence holds it. `test`: the
    sender says that nothing is to be traded. `asks`: an action or a position is wanted; False for an indicator feed and a test.
    """

    ok: bool
    request: Request | None = None
    symbol: str = ""
    side: Side | None = None
    secret: str | None = None
    test: bool = False
    asks: bool = False
    warnings: tuple[str, ...] = ()
    error: str | None = None
    status: int = 200

    def __repr__(self) -> str:
        fields = ("ok", "request", "symbol", "side", "test", "asks", "warnings", "error", "status")
        carried = "None" if self.secret is None else "'***'"
        return f"Reading({', '.join(f'{name}={getattr(self, name)!r}' for name in fields)}, secret={carried})"

    def shown(self) -> dict[str, Any]:
        """Everything a person or a program may see of it. Numbers are `Decimal`; `json_of` writes them exactly."""
        r = self.request
        time = None if r is None else r.bar if r.sent is None else r.sent
        return {
            "ok": self.ok,
            "symbol": self.symbol or None,
            "exchange": (r and r.exchange) or None,
            "side": self.side,
            "position": r and r.position,
            "quantity": r and r.quantity,
            "quantity_unit": r.unit if r and r.quantity is not None else None,
            "price": r and r.price,
            "leverage": r and r.leverage,
            "stop": r and r.stop,
            "take_profit": r and r.take_profit,
            "id": (r and r.key) or None,
            "time": None if time is None else iso(time),
            "indicators": dict(r.indicators) if r else {},
            "warnings": list(self.warnings),
            "error": self.error,
        }


def side_of(action: Action | None) -> Side | None:
    """The side an action is shown as; None for none, ``cancel`` and ``halt``."""
    return None if action is None else _SIDES.get(action)


_ENCODER = msgspec.json.Encoder(decimal_format="number")


def json_of(readings: Sequence[Reading]) -> str:
    """One object of `Reading.shown` for one reading, an array for several; numbers as exact as they came."""
    shown = [reading.shown() for reading in readings]
    return _ENCODER.encode(shown[0] if len(shown) == 1 else shown).decode()
