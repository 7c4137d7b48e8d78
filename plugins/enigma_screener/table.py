"""A scan as a person reads it."""

from __future__ import annotations

from typing import Any

from enigma_core.cli import display
from enigma_screener.ranking import Opportunity, Scan

HEADING = (
    "symbol",
    "rank",
    "score",
    "class",
    "confidence",
    "aligned",
    "gates",
    "spread",
    "turnover",
    "funding",
    "cool-down",
)
DISPENSABLE = ("funding", "turnover", "spread", "confidence", "aligned")


def table(scan: Scan, source: str) -> Any:
    """The best opportunities, those on cool-down faint below them."""
    missing = f", {scan.unscored} without a score" if scan.unscored else ""
    markets = "1 market" if scan.universe == 1 else f"{scan.universe} markets"
    title = f"{display.when(scan.ts)} UTC, {source}: {markets}{missing}"
    rows = [_row(one, scan.ts) for one in (*scan.opportunities, *scan.cooling)]
    return display.grid(title, HEADING, rows or [("nothing to rank", *[""] * (len(HEADING) - 1))], DISPENSABLE)


def _row(one: Opportunity, now: int) -> tuple[Any, ...]:
    side = "green" if one.side == "long" else "red"
    ready = one.passed == one.asked
    wait = "" if one.cooldown_until is None else display.spell((one.cooldown_until - now) / 1000)
    return (
        (one.symbol + (" (held)" if one.held else ""), "dim" if wait else "bold" if ready else ""),
        f"{one.rank:.1f}",
        (f"{one.score:+.1f}", side),
        (one.klass.value, side),
        f"{one.confidence:.2f}",
        " ".join(one.aligned) or "-",
        (f"{one.passed} of {one.asked}", "green" if ready else ""),
        "-" if one.spread is None else f"{one.spread * 100:.4f} %",
        "-" if one.turnover is None else large(one.turnover),
        "-" if one.funding is None else f"{one.funding * 100:+.4f} % / {one.funding_hours:g} h",
        wait or "-",
    )


def large(value: float) -> str:
    """Money of a market in its largest unit: ``1.92 B``."""
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.2f} {unit}"
    return f"{value:.0f}"
