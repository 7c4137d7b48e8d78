"""The logic of a live account, behind the port and without a wire: the same against an exchange and in a simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from enigma_exchange.account.timing import Timing

if TYPE_CHECKING:
    from enigma_exchange.account.venue import LiveAccount

__all__ = ["LiveAccount", "Timing"]


def __getattr__(name: str) -> Any:
    # settings are made without the account that they are of
    if name == "LiveAccount":
        from enigma_exchange.account.venue import LiveAccount

        return LiveAccount
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
