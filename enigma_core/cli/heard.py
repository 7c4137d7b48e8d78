"""What a backtest with alerts says of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from enigma_core.shells.alerted import AlertedResult

SHOWN = 20
"""Alerts that a person is shown one by one; JSON has all of them."""


def heard(result: AlertedResult) -> dict[str, Any]:
    """The section ``alerts`` of the report. Delays are in seconds."""
    delays = result.delays
    return {
        "count": len(result.came),
        "outcomes": result.outcomes,
        "mean_delay_s": sum(delays) / len(delays) / 1000 if delays else None,
        "max_delay_s": max(delays) / 1000 if delays else None,
        "late": result.late,
        "each": [
            {
                "id": came.alert.id,
                "ts": came.alert.ts,
                "symbol": came.alert.request.symbol,
                "asked": came.alert.request.position or came.alert.request.action,
                "mode": came.alert.mode,
                "outcome": came.outcome,
                "reason": came.reason,
            }
            for came in result.came
        ],
    }


def tables(alerts: dict[str, Any]) -> Iterator[Any]:
    """The section for a person."""
    from enigma_core.cli import display

    mean, most = alerts["mean_delay_s"], alerts["max_delay_s"]
    yield display.facts(
        "Alerts",
        {
            "came": f"{alerts['count']:,}",
            "outcomes": ", ".join(f"{times:,} {outcome}" for outcome, times in alerts["outcomes"].items()) or "-",
            "delay": "not known" if mean is None else f"{mean:.1f} s on average, {most:.1f} s at most",
            "late": f"{alerts['late']:,} filled later than one bar after they came",
        },
    )
    rows = [
        (display.when(each["ts"]), each["symbol"], each["asked"] or "-", each["outcome"], each["reason"])
        for each in alerts["each"][:SHOWN]
    ]
    if rows:
        more = f" (the first {SHOWN} of {alerts['count']:,}; --json has all)" if alerts["count"] > SHOWN else ""
        yield display.grid(f"What became of them{more}", ("came", "symbol", "asked", "outcome", "reason"), rows)
