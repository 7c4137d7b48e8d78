"""Every hook a plugin can implement. Mark implementations with `hookimpl`.

A plugin is a module (or object) named in the entry-point group ``enigma``. The hooks that offer parts run once, at start-up,
one plugin at a time; each may be a generator. The observers run while trading: what they raise is logged and decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pluggy

from enigma_core.alert import Alert
from enigma_core.model import Decision, Fill, Order, Trade
from enigma_core.parts import (
    Algorithm,
    Executor,
    Exit,
    Feed,
    Gate,
    Indicator,
    LiveIndicator,
    Notifier,
    Rehearsal,
    Service,
    Sizer,
    Universe,
)

GROUP = "enigma"

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def enigma_indicators() -> Iterable[type[Indicator] | type[LiveIndicator]]:
    """Indicator classes on offer. An empty answer offers none.

    >>> @hookimpl
    ... def enigma_indicators():
    ...     yield WilliamsR
    """
    return ()


@hookspec
def enigma_gates() -> Iterable[type[Gate]]:
    """Gate classes on offer (`MarketGate` or `AccountGate`)."""
    return ()


@hookspec
def enigma_sizers() -> Iterable[type[Sizer]]:
    """Sizer classes on offer."""
    return ()


@hookspec
def enigma_exits() -> Iterable[type[Exit]]:
    """Exit classes on offer."""
    return ()


@hookspec
def enigma_feeds() -> Iterable[type[Feed]]:
    """Feed classes on offer."""
    return ()


@hookspec
def enigma_executors() -> Iterable[type[Executor]]:
    """Executor classes on offer."""
    return ()


@hookspec
def enigma_algorithms() -> Iterable[type[Algorithm]]:
    """Algorithm classes on offer: how entries are worked."""
    return ()


@hookspec
def enigma_notifiers() -> Iterable[type[Notifier]]:
    """Notifier classes on offer."""
    return ()


@hookspec
def enigma_services() -> Iterable[type[Service]]:
    """Service classes on offer."""
    return ()


@hookspec
def enigma_commands() -> Iterable[Any]:
    """click commands to hang under ``enigma``."""
    return ()


@hookspec
def enigma_rehearsals() -> Iterable[type[Rehearsal]]:
    """Local exchanges on offer, to rehearse live trading on (``enigma run --mode live --sandbox``)."""
    return ()


@hookspec
def enigma_universes() -> Iterable[type[Universe]]:
    """Universe classes on offer: what a run trades where no symbols are named."""
    return ()


@hookspec
def enigma_routes() -> Iterable[Any]:
    """Litestar route handlers to hang under ``/api/v1`` of the server beside a run.

    They stand behind the API's tokens and in its description. A handler names the scope it needs in its ``opt``, and is for
    admins where it names none; one that takes an argument `desk` is given the run (`enigma_core.parts.Desk`). The first part
    of its path must be its plugin's own. An empty answer adds none.

    >>> @hookimpl
    ... def enigma_routes():
    ...     from my_plugin.api import scan  # @get("/my-plugin/scan", opt={"scope": "read"})
    ...     yield scan
    """
    return ()


@hookspec
def enigma_read_alerts(message: str, received: int, symbols: tuple[str, ...]) -> Iterable[Alert] | None:
    """The alerts that a recorded `message` is, which came at `received` (ms), for a run that trades `symbols`.

    None where it is of no kind that this plugin reads: the next one is asked. An empty answer where it is read and asks for
    nothing. Raises `DataError` with what is wrong with it.
    """
    return None


@hookspec
def enigma_started(mode: str, symbols: tuple[str, ...]) -> None:
    """A run has recovered and begins to trade."""


@hookspec
def enigma_decided(decision: Decision) -> None:
    """A decision was made, whether or not it led to an order."""


@hookspec
def enigma_ordered(order: Order) -> None:
    """An order was handed to the executor."""


@hookspec
def enigma_filled(fill: Fill) -> None:
    """An order filled, perhaps in part."""


@hookspec
def enigma_closed(trade: Trade) -> None:
    """A position is flat again."""


@hookspec
def enigma_halted(reason: str) -> None:
    """No new entries from here on."""


@hookspec
def enigma_stopped(reason: str) -> None:
    """The run has ended."""
