"""What stands in a configuration that says nothing: which parts are used. Their settings' defaults are the parts' own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from enigma_core.parts import Indicator, LiveIndicator, Part
from enigma_core.plan import AccountSettings, ConfidenceRule, Costs, LeverageRule, Risk, Settings, Thresholds, Timeframes

CORE: Mapping[str, type[Settings]] = {
    "account": AccountSettings,
    "costs": Costs,
    "timeframes": Timeframes,
    "signal_thresholds": Thresholds,
    "confidence": ConfidenceRule,
    "leverage": LeverageRule,
    "risk": Risk,
}
"""Sections of the core itself."""

ONE: Mapping[str, str] = {
    "feed": "feed",
    "executor": "executor",
    "algorithm": "algorithm",
    "sizer": "sizer",
    "rehearsal": "rehearsal",
}
"""Sections that hold one part, and its kind."""

MANY: Mapping[str, str] = {
    "indicators": "indicator",
    "microstructure": "indicator",
    "gates": "gate",
    "exits": "exit",
    "notifiers": "notifier",
    "services": "service",
}
"""Sections that hold named parts, and their kind."""

CLASSES: Mapping[str, type[Part]] = {"indicators": Indicator, "microstructure": LiveIndicator}
"""Sections that take only some classes of their kind."""

PLAIN = ("mode", "sandbox", "strategy", "symbols", "instruments")
"""Sections that are neither settings of the core nor parts."""

SECTIONS = (
    "mode",
    "sandbox",
    "strategy",
    "symbols",
    "feed",
    "executor",
    "algorithm",
    "rehearsal",
    "account",
    "costs",
    "timeframes",
    "signal_thresholds",
    "confidence",
    "leverage",
    "risk",
    "indicators",
    "microstructure",
    "gates",
    "sizer",
    "exits",
    "notifiers",
    "services",
    "instruments",
)
"""Every section, in the order of ``strategy_config.json``."""

NO_STRATEGY = "default"
"""The strategy that changes nothing."""

_USED: Mapping[str, str] = {
    "indicators": "stochastic_rsi williams_r macd awesome_oscillator ema_trend stochastic bollinger kdj obv cci adx atr",
    "microstructure": "depth_of_market buy_sell_ratio price_ratio funding_rate tradingview",
    "gates": "score confluence confidence alignment trend spread liquidity veto drawdown day_risk circuit_breaker cooldown "
    "max_positions exposure liquidation_buffer trading_state",
    "exits": "stop_loss take_profit break_even trailing_stop opposite_signal",
    "notifiers": "log",
    "services": "tradingview",
}


def defaults() -> dict[str, Any]:
    """A new tree of the defaults: a synthetic market on paper, traded by every part that is on by default."""
    tree: dict[str, Any] = {
        "mode": "paper",
        "sandbox": False,
        "strategy": NO_STRATEGY,
        "symbols": [],
        "feed": {"use": "synthetic"},
        "executor": {"use": "paper"},
        "algorithm": {"use": "market"},
        "rehearsal": {"use": "kucoin_sandbox"},
        "sizer": {"use": "atr_risk"},
        "instruments": {},
    }
    for section, kind in CORE.items():
        tree[section] = msgspec.json.decode(msgspec.json.encode(kind()))
    for section, names in _USED.items():
        tree[section] = {name: {} for name in names.split()}
    return {section: tree[section] for section in SECTIONS}
