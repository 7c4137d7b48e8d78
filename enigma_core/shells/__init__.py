"""The loops round the engine: over a history (`backtest`) and over a stream (`run`). The only ones there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from enigma_core.shells.history import Result, backtest, opened_from
    from enigma_core.shells.stream import Summary, run

__all__ = ["Result", "Summary", "backtest", "opened_from", "run"]

_ROOMS = {"Result": "history", "backtest": "history", "opened_from": "history", "Summary": "stream", "run": "stream"}


def __getattr__(name: str) -> Any:
    # a backtest needs no event loop and no database, a run no jumping: each is imported when it is asked for
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
