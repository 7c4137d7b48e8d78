"""Faults of the local exchange: spells that meet requests, and what befalls pushes. All off until somebody presses a button."""

from __future__ import annotations

from typing import Literal

import msgspec

What = Literal[
    "latency",  # the answer takes `ms`
    "timeout",  # it is done, and the answer never arrives
    "drop",  # it is not done, and no answer arrives
    "arrives",  # it is done only after `ms`, and no answer arrives
    "error",  # not done: HTTP `status` with KuCoin's `code` and `text`
    "error_after",  # done, and then that answer
    "html",  # done or not (`done`), and an HTML page with `status`
    "half",  # done, and half of the JSON
    "throttle",  # 429 with code 429000
    "reject",  # orders only: refused with `code` and `text`
    "late",  # orders only: nobody can look it up for `ms`
    "partial",  # orders only: only `share` of it fills, the rest works on without ever filling
]


class Spell(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that meets some requests: those whose method, path and mount it names, as long as it lasts.

    `times`: how many requests it meets, None for any number. `until`: ms of the exchange's clock, None without end. `chance`: of
    meeting one request. `path` is a prefix. `stops`: only stop orders (True) or only the others (False).
    """

    what: What
    method: str = ""
    path: str = ""
    mount: str = ""
    symbol: str = ""
    stops: bool | None = None
    reducing: bool | None = None
    times: int | None = None
    until: int | None = None
    chance: float = 1.0
    ms: int = 0
    status: int = 500
    code: str = "500000"
    text: str = "Internal Server Error"
    done: bool = True
    share: float = 0.5


class Faults(msgspec.Struct, kw_only=True):
    """Every fault in force. Fields may be set at any time."""

    spells: list[Spell] = []
    skew: int = 0
    """ms by which the exchange's clock is ahead of `clock`."""
    maintenance: bool = False
    revoked: bool = False
    """Every key is refused (400003)."""
    unlisted: bool = False
    """Every address is refused (400006)."""
    granted: tuple[str, ...] = ()
    """What every key may do beside its own permissions, as it says when it is asked."""
    stalled_public: bool = False
    """Nothing public is pushed any more; pings are the server's and go on."""
    stalled_private: bool = False
    duplicate: float = 0.0
    """Chance that a private push comes twice."""
    reorder: float = 0.0
    """Chance that a private push is held back until the next one has gone."""
    lose: float = 0.0
    """Chance that a push is never made."""
    push_delay: int = 0
    """ms by which private pushes are late."""
    empty_positions: int = 0
    """So many reads of the positions are answered with an empty list."""
    zero_balance: int = 0
    """So many reads of the balance are answered with zeros."""
    fills_late: int = 0
    """ms until a fill can be read by REST."""

    def add(self, spell: Spell) -> None:
        self.spells.append(spell)

    def clear(self) -> None:
        """All faults off."""
        fresh = Faults()
        for name in self.__struct_fields__:
            setattr(self, name, getattr(fresh, name))
