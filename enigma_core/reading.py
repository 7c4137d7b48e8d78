"""What a journal says, read beside a run or after it, without ever writing to it."""

from __future__ import annotations

import difflib
import sqlite3
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from enigma_core import database, journal, records
from enigma_core.alert import Alert
from enigma_core.book import Book
from enigma_core.errors import HomeError
from enigma_core.model import Decision, Fill, Instrument, Order, Trade
from enigma_core.records import Started

_ALERT = ("id", "seq", "ts", "received", "source", "symbol", "state", "reason", "decision_id")

_UNFILLED = "o.filled = '0' AND o.state IN ('rejected', 'expired', 'cancelled')"
"""Of an order: nothing of it was traded, and nothing more will be."""

_ENDED = "o.state || iif(o.reason = '', '', ': ' || o.reason)"
"""How an order ended, and why."""

_STANDS = f"""
    SELECT a.id, a.seq, a.ts, a.received, a.source, a.symbol, iif(o.id IS NULL, a.state, 'unfilled') AS state,
        iif(o.id IS NULL, a.reason, {_ENDED}) AS reason,
        a.decision_id
    FROM alert a
    LEFT JOIN decision d ON a.state = 'entered' AND d.id = a.decision_id
    LEFT JOIN orders o ON o.id = d.order_id AND {_UNFILLED}"""
"""How alerts stand. One is worked when its entry is ordered: what became of the order is known to the order alone."""

NEAR = 5_000
"""How many of the newest decision ids a misspelt one is compared with."""


def fold(facts: Iterable[Any]) -> Book | None:
    """The book that these records give, oldest first; None where no `Started` says what the account began with."""
    instruments: dict[str, Instrument] = {}
    book: Book | None = None
    for record in facts:
        if isinstance(record, Started):
            instruments |= record.instruments
            book = book or Book(record.cash, instruments)
        elif book is not None:
            book.apply(record)
    return book


def journal_path(home: Path, url: str | None = None) -> Path:
    """The database to read: `url` (a path or ``sqlite:///PATH``), else the one in `home` that was written last.

    Raises `HomeError` where there is none.
    """
    if url:
        path = Path(url.removeprefix("sqlite:///")).expanduser()
        if "://" in str(url) and not url.startswith("sqlite:///"):
            raise HomeError(f"{url} is no database this can read: give a path or sqlite:///PATH")
        if not path.is_file():
            raise HomeError(f"there is no database at {path}")
        return path
    there = [p for name in ("paper", "sandbox", "live") if (p := home / f"{name}.sqlite").is_file()]
    if not there:
        raise HomeError(f"nothing has run in {home} yet: start with `enigma run`, or name another folder with --home")
    return max(there, key=_written)


def _written(path: Path) -> float:
    return max(p.stat().st_mtime for p in (path, database.sidecar(path, "-wal")) if p.exists())


class Reader:
    """An open journal, as it was at one moment. Raises `HomeError` for a file that is no journal."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stamp = database.stamp(path)
        self._db = database.connect_for_reading(path)
        # one transaction: everything read belongs to the same moment of a run that goes on meanwhile
        self._db.execute("BEGIN")

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def account(self) -> tuple[Book, int]:
        """The account as it stands, and the market's time that it has come to, ms.

        Raises `HomeError` where the chain of records is broken or begins with no account.
        """
        book = fold(journal.replay(self.path, records.BESIDE, self._db))
        if book is None:
            raise HomeError(f"{self.path} holds no account: it was exported, or its run ended before it began")
        return book, int(self._value("SELECT max(ts) FROM event") or 0)

    def status(self) -> dict[str, Any]:
        """How the account stands. Money is `Decimal`, times are ms; what is called ``..s`` is a count, ``held`` a row a position.

        Raises as `account` does.
        """
        book, _ = self.account()
        held = [
            {
                "symbol": p.symbol,
                "side": "long" if p.side > 0 else "short",
                "quantity": p.quantity,
                "leverage": p.leverage,
                "entry_ts": p.entry_ts,
                "entry_price": p.price,
                "mark": p.mark,
                "stop": p.stop,
                "unrealised": p.side * (book.instruments[p.symbol].notional(p.quantity, p.mark) - p.cost),
                "decision_id": p.decision_id,
            }
            for p in book.positions.values()
        ]
        return {
            "mode": self.stamp.mode,
            "state": book.trading_state,
            "reason": book.state_reason,
            "halted": book.trading_state == "HALTED",
            "equity": book.equity,
            "cash": book.cash,
            "day_equity": book.day_equity,
            "losses_in_row": book.losses_in_row,
            "open_positions": len(book.positions),
            "working_orders": len(book.orders),
            "unknown_orders": self._unknown(),
            "external": sorted(book.external),
            "beside": [
                {"symbol": b.symbol, "side": "long" if b.side > 0 else "short", "quantity": b.quantity, "price": b.price}
                for _, b in sorted(book.external.items())
            ],
            "blocked": self._blocked(),
            "trades": book.trades,
            "decisions": self._count("decision"),
            "alerts": self._alerts(),
            "last_ts": self._value("SELECT max(ts) FROM event"),
            "market": self.stamp.identity,
            "database": str(self.path),
            "held": held,
        }

    def _blocked(self) -> list[dict[str, str]]:
        """Why the newest run takes no entries, by symbol ("" for all of them)."""
        causes: dict[tuple[str, str], str] = {}
        since = "SELECT coalesce(max(seq), 0) FROM event WHERE kind = 'started'"
        for blocked in self._events("blocked", f"WHERE kind = 'blocked' AND seq > ({since}) ORDER BY seq"):
            causes[blocked.symbol, blocked.by] = blocked.reason
        return [{"symbol": symbol, "reason": reason} for (symbol, _), reason in causes.items() if reason]

    def recorded(self, kind: str, name: str) -> bool:
        """Whether a record of `kind` and id `name` is written down."""
        return self._value("SELECT 1 FROM event WHERE key = ?", f"{kind}:{name}") is not None

    def known_orders(self, since: int) -> list[Order]:
        """Orders, slices and orders that were found since `since` (ms), as they were written first, whether or not they work."""
        # before its first bar a run knows no time of the market, and writes 0
        told = (
            "SELECT kind, payload FROM event WHERE kind IN ('order', 'sliced', 'order_found') AND (ts >= ? OR ts = 0) ORDER BY seq"
        )
        known: dict[str, Order] = {}
        for kind, text in self._rows(told, since):
            record = records.decode(kind, text)
            order = record if type(record) is Order else record.order
            known.setdefault(order.id, order)
        return list(known.values())

    def _unknown(self) -> int:
        return int(self._value("SELECT count(*) FROM orders WHERE state IN ('unknown', 'not_placed')"))

    def decision(self, name: str) -> Decision:
        """The decision `name`, or the one that the order or fill `name` came from. Raises `HomeError` with the nearest ids."""
        decision_id = name
        for sql in (
            "SELECT decision_id FROM orders WHERE id = ?",
            "SELECT decision_id FROM orders WHERE id = (SELECT order_id FROM fill WHERE id = ?)",
        ):
            decision_id = self._value(sql, name) or decision_id
        found: list[Decision] = self._events("decision", "JOIN decision d ON d.seq = event.seq WHERE d.id = ?", decision_id)
        if found:
            return found[0]
        known = [i for (i,) in self._rows("SELECT id FROM decision ORDER BY seq DESC LIMIT ?", NEAR)]
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.7)
        hint = f"did you mean {' or '.join(near)}?" if near else "`enigma why --last 5` shows the newest"
        raise HomeError(f"{self.path} holds no decision {name!r}; {hint if known else 'it holds none at all'}")

    def last_decisions(self, n: int) -> list[Decision]:
        """The newest `n` decisions, newest first."""
        return self._events("decision", "JOIN decision d ON d.seq = event.seq ORDER BY d.seq DESC LIMIT ?", n)

    def orders(self, decision_id: str) -> list[dict[str, Any]]:
        """The orders a decision led to and how each stands: entry, stops, targets, way out. Money is `Decimal`."""
        names = ("id", "ts", "purpose", "side", "quantity", "filled", "price", "state", "reason")
        rows = self._rows(f"SELECT {', '.join(names)} FROM orders WHERE decision_id = ? ORDER BY rowid", decision_id)
        orders = [dict(zip(names, row, strict=True)) for row in rows]
        for order in orders:
            order |= {name: Decimal(order[name]) for name in ("quantity", "filled", "price") if order[name] is not None}
        return orders

    def unfilled(self, order_id: str) -> str:
        """How an order ended of which nothing was traded, and why; empty where it works, or something was."""
        return self._value(f"SELECT {_ENDED} FROM orders o WHERE o.id = ? AND {_UNFILLED}", order_id) or ""

    def fills(self, decision_id: str) -> list[Fill]:
        """The fills of those orders."""
        ids = "SELECT 'fill:' || f.id FROM fill f JOIN orders o ON o.id = f.order_id WHERE o.decision_id = ?"
        return self._events("fill", f"WHERE key IN ({ids}) ORDER BY seq", decision_id)

    def trades(self, decision_id: str | None = None) -> list[Trade]:
        """Closed trades, oldest first; only those of one decision where it is named."""
        where, values = ("WHERE t.decision_id = ?", (decision_id,)) if decision_id else ("", ())
        return self._events("trade", f"JOIN trade t ON t.seq = event.seq {where} ORDER BY event.seq", *values)

    def alerts(self, limit: int = 50, before: int | None = None, state: str | None = None) -> list[dict[str, Any]]:
        """The newest messages from outside, newest first, those that were refused unread too; `before` is a `seq`."""
        if not self._has_alerts():
            return []
        sql = f"SELECT * FROM ({_STANDS}) WHERE seq < ? AND (? IS NULL OR state = ?) ORDER BY seq DESC LIMIT ?"
        rows = self._rows(sql, before if before is not None else 2**62, state, state, limit)
        found = []
        for row in rows:
            told = dict(zip(_ALERT, row, strict=True))
            found.append({**told, **self._asked(told["seq"])})
        return found

    def alert(self, name: str) -> dict[str, Any]:
        """One message: its row, request, text and warnings. Raises `HomeError` with the nearest ids."""
        rows = self._rows(f"SELECT * FROM ({_STANDS}) WHERE id = ?", name) if self._has_alerts() else []
        if not rows:
            known = [i for (i,) in self._rows("SELECT id FROM alert ORDER BY seq DESC LIMIT ?", NEAR)] if self._has_alerts() else []
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
            hint = f"did you mean {' or '.join(near)}?" if near else "`enigma alert list` shows the newest"
            raise HomeError(f"{self.path} holds no alert {name!r}; {hint if known else 'it holds none at all'}")
        told = dict(zip(_ALERT, rows[0], strict=True))
        return {**told, **self._asked(told["seq"], whole=True)}

    def undecided_alert(self, name: str) -> dict[str, Any] | None:
        """The message `name`, where there is one and it led to no decision."""
        found = self._has_alerts() and self._value("SELECT count(*) FROM alert WHERE id = ? AND decision_id IS NULL", name)
        return self.alert(name) if found else None

    def stored_alerts(self, since: int = 0, most: int = 10_000, without: Sequence[str] = ()) -> list[Alert]:
        """The alerts received from `since` (wall, ms) on whose state is not in `without`: the newest `most`, oldest first."""
        if not self._has_alerts():
            return []
        states = f"AND a.state NOT IN ({', '.join('?' * len(without))})"
        where = f"WHERE a.received >= ? AND event.kind = 'alert' {states} ORDER BY event.seq DESC LIMIT ?"
        return self._events("alert", f"JOIN alert a ON a.seq = event.seq {where}", since, *without, most)[::-1]

    def waiting_alerts(self) -> list[Alert]:
        """The alerts that were acknowledged and not worked, oldest first."""
        if not self._has_alerts():
            return []
        return self._events("alert", "JOIN alert a ON a.seq = event.seq WHERE a.state = 'waiting' ORDER BY event.seq")

    def _asked(self, seq: int, *, whole: bool = False) -> dict[str, Any]:
        """What stands in the event of a message: for a list only its side; with `whole` all of it."""
        ((kind, payload),) = self._rows("SELECT kind, payload FROM event WHERE seq = ?", seq)
        record = records.decode(kind, payload)
        if not isinstance(record, Alert):
            asked: dict[str, Any] = {"mode": None, "action": None, "position": None}
            return asked | ({"request": None, "body": None, "warnings": (), "length": record.length} if whole else {})
        request = record.request
        asked = {"mode": record.mode, "action": request.action, "position": request.position}
        if not whole:
            return asked
        return asked | {"request": request, "body": record.body, "warnings": record.warnings, "length": len(record.body)}

    def _alerts(self) -> int:
        return self._count("alert") if self._has_alerts() else 0

    def _has_alerts(self) -> bool:
        """A journal written before there were alerts has no table for them."""
        return bool(self._value("SELECT count(*) FROM sqlite_schema WHERE name = 'alert'"))

    def equity(self) -> list[tuple[int, Decimal]]:
        """The account's worth over time: (ts, equity), oldest first."""
        return [(ts, Decimal(text)) for ts, text in self._rows("SELECT ts, equity FROM equity ORDER BY ts")]

    def _events(self, kind: str, rest: str, *values: Any) -> list[Any]:
        return [records.decode(kind, payload) for (payload,) in self._rows(f"SELECT event.payload FROM event {rest}", *values)]

    def _count(self, table: str) -> int:
        return int(self._value(f"SELECT count(*) FROM {table}"))

    def _value(self, sql: str, *values: Any) -> Any:
        rows = self._rows(sql, *values)
        return rows[0][0] if rows else None

    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as e:
            raise database.damaged(self.path, str(e)) from e
