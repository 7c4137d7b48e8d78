"""Miniature Enigma: a strategy engine for crypto perpetual futures whose every indicator and risk rule is a plugin.

The names below are the public ones; they are imported when first used, so that a command that needs few stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from enigma_core.errors import ConfigError, ContractError, DataError, EnigmaError, HomeError, MoneyError, PluginError
    from enigma_core.hookspecs import hookimpl, hookspec
    from enigma_core.market import (
        BarsClosed,
        BookSeen,
        Funding,
        FundingSeen,
        Market,
        MarketEvent,
        MarkSeen,
        TickerSeen,
        TradeSeen,
    )
    from enigma_core.model import (
        Bar,
        Cancel,
        Candles,
        Class,
        Decision,
        Fill,
        Funded,
        Instrument,
        Order,
        OrderEnded,
        Purpose,
        Signal,
        Sizing,
        Trade,
        Verdict,
    )
    from enigma_core.parts import (
        API_VERSION,
        Account,
        AccountGate,
        Executor,
        Exit,
        Feed,
        Gate,
        Holding,
        Indicator,
        LiveIndicator,
        MarketGate,
        Note,
        Notifier,
        Part,
        Path,
        Ports,
        Report,
        Service,
        Sizer,
        Target,
        Venue,
    )
    from enigma_core.plan import Plan
    from enigma_core.plugins import Catalogue
    from enigma_core.scoring import Evaluation, evaluate
    from enigma_core.shells import Result, Summary, backtest, run

_ROOMS = {
    "errors": "ConfigError ContractError DataError EnigmaError HomeError MoneyError PluginError",
    "hookspecs": "hookimpl hookspec",
    "market": "BarsClosed BookSeen Funding FundingSeen MarkSeen Market MarketEvent TickerSeen TradeSeen",
    "model": ("Bar Cancel Candles Class Decision Fill Funded Instrument Order OrderEnded Purpose Signal Sizing Trade Verdict"),
    "parts": (
        "API_VERSION Account AccountGate Executor Exit Feed Gate Holding Indicator LiveIndicator MarketGate Note Notifier Part "
        "Path Ports Report Service Sizer Target Venue"
    ),
    "plan": "Plan",
    "plugins": "Catalogue",
    "scoring": "Evaluation evaluate",
    "shells": "Result Summary backtest run",
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names.split()}

__all__ = [
    "API_VERSION", "Account", "AccountGate", "Bar", "BarsClosed", "BookSeen", "Cancel", "Candles", "Catalogue", "Class",
    "ConfigError", "ContractError", "DataError", "Decision", "EnigmaError", "Evaluation", "Executor", "Exit", "Feed", "Fill",
    "Funded", "Funding", "FundingSeen", "Gate", "Holding", "HomeError", "Indicator", "Instrument", "LiveIndicator", "MarkSeen",
    "Market", "MarketEvent", "MarketGate", "MoneyError", "Note", "Notifier", "Order", "OrderEnded", "Part", "Path", "Plan",
    "PluginError", "Ports", "Purpose", "Report", "Result", "Service", "Signal", "Sizer", "Sizing", "Summary", "Target",
    "TickerSeen", "Trade", "TradeSeen", "Venue", "Verdict", "backtest", "evaluate", "hookimpl", "hookspec", "run",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'enigma_core' has no attribute {name!r}")
    return getattr(import_module(f"enigma_core.{_ROOM_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
