"""Alerts as a run's journal keeps them, read for the command line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from enigma_core import records
from enigma_core.alert import Alert, AlertWorked
from enigma_core.model import Fill
from enigma_core.reading import Reader

ALL = 2**31
NEAR = 1000
"""Records that one step may have."""

ORDER = ("id", "ts", "purpose", "side", "quantity", "filled", "price", "state", "reason")


def run_folder(home: str | None) -> Path:
    """The run's folder: ``--home``, else ``ENIGMA_HOME``, else ``enigma_data`` in the working directory."""
    return Path(home or os.environ.get("ENIGMA_HOME") or "enigma_data").expanduser()


def second(ts: int) -> str:
    """`ts` (ms) to the second, UTC."""
    try:
        return datetime.fromtimestamp(ts / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return str(ts)


class Kept(Reader):
    """A journal that is asked about alerts."""

    def newest(self, count: int, outcome: str | None) -> list[tuple[dict[str, Any], Alert | None]]:
        """The newest `count` messages as rows, newest first, each with its alert; None for one that was refused unread."""
        rows = self.alerts(count, state=outcome)
        since = min((row["received"] for row in rows), default=0)
        stored = {alert.id: alert for alert in self.stored_alerts(since, ALL)} if rows else {}
        return [(row, stored.get(row["id"])) for row in rows]

    def worked(self, id: str) -> AlertWorked | None:
        """What became of an alert, None while it waits."""
        found = self._events("alert_worked", "WHERE key = ?", f"alert_worked:{id}")
        return found[0] if found else None

    def caused(self, id: str) -> list[dict[str, Any]]:
        """The orders of the step in which an alert was worked, and those of its decision, oldest first. Money is `Decimal`."""
        at = "SELECT seq, step FROM event WHERE key = ?1"
        near = f"SELECT e.payload FROM event e JOIN ({at}) w ON e.seq BETWEEN w.seq - {NEAR} AND w.seq + {NEAR} AND e.step = w.step"
        own = [records.decode("order", p).id for (p,) in self._rows(f"{near} WHERE e.kind = 'order'", f"alert_worked:{id}")]
        sql = f"SELECT {', '.join(ORDER)} FROM orders WHERE decision_id = ? OR id IN ({', '.join('?' * len(own))}) ORDER BY rowid"
        orders = [dict(zip(ORDER, row, strict=True)) for row in self._rows(sql, id, *own)]
        for order in orders:
            order |= {name: Decimal(order[name]) for name in ("quantity", "filled", "price") if order[name] is not None}
        return orders

    def filled(self, orders: Sequence[dict[str, Any]]) -> list[Fill]:
        """The fills of `orders`, oldest first."""
        ids = "SELECT 'fill:' || id FROM fill WHERE order_id = ?"
        found: list[Fill] = [f for o in orders for f in self._events("fill", f"WHERE key IN ({ids}) ORDER BY seq", o["id"])]
        return sorted(found, key=lambda fill: fill.ts)


def line_of(row: dict[str, Any], alert: Alert | None) -> dict[str, Any]:
    """Everything of one message as JSON holds it: what `enigma backtest --alerts` reads back. Decimals are text."""
    told = {("outcome" if name == "state" else name): value for name, value in row.items() if name not in ("seq", "length")}
    if alert is None:
        return told | {"request": None}
    return told | {name: value for name, value in msgspec.to_builtins(alert).items() if name != "ts"}
