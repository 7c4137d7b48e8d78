"""What each record adds to the tables for people. `event` stays the truth: these rows could be made again from it."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from enigma_core.alert import Alert, AlertRefused, AlertWorked
from enigma_core.errors import MoneyError
from enigma_core.model import (
    Blocked,
    CloseWanted,
    ConfigSet,
    DayOpened,
    Decision,
    ExternalSeen,
    Fill,
    Marked,
    Order,
    OrderEnded,
    OrderFound,
    OrderSeen,
    Purpose,
    StateSet,
    StopMissing,
    StreakReset,
    Trade,
    Transferred,
    money,
)
from enigma_core.parts import Note

AT_WORK = "('working', 'sent', 'unknown', 'triggered', 'not_placed')"
"""The states of an order that may still fill, as SQL."""


def project(db: sqlite3.Connection, seq: int, record: msgspec.Struct) -> None:
    """Write what `record`, event number `seq`, means for the tables; within the caller's transaction."""
    write = _WRITES.get(type(record))
    if write is not None:
        write(db, seq, record)


def _text(amount: Decimal) -> str:
    if not amount.is_finite():
        raise MoneyError(f"{amount} is no amount of money; it cannot be written")
    return str(amount)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _decision(db: sqlite3.Connection, seq: int, d: Decision) -> None:
    row = (
        d.id,
        seq,
        d.ts,
        d.symbol,
        d.timeframe,
        d.source,
        _number(d.score),
        str(d.klass),
        _number(d.confidence),
        d.order_id,
        d.reason,
    )
    db.execute("INSERT INTO decision VALUES (?,?,?,?,?,?,?,?,?,?,?)", row)


def _order(db: sqlite3.Connection, seq: int, o: Order) -> None:
    price = None if o.price is None else _text(o.price)
    if o.purpose is Purpose.STOP:
        stops = f"WHERE symbol = ? AND purpose = 'stop' AND id <> ? AND state IN {AT_WORK}"
        db.execute(f"UPDATE orders SET state = 'replaced' {stops}", (o.symbol, o.id))
        db.execute("UPDATE position SET stop = ? WHERE symbol = ?", (price, o.symbol))
    row = (o.id, o.decision_id, o.ts, o.symbol, o.side, _text(o.quantity), "0", str(o.purpose), price, o.leverage, _text(o.margin))
    # the same order again is the same order: submitting it twice is harmless, so is writing it twice
    db.execute("INSERT INTO orders VALUES (?,?,?,?,?,?,?,?,?,?,?,'working',?) ON CONFLICT (id) DO NOTHING", (*row, o.reason))


def _fill(db: sqlite3.Connection, seq: int, f: Fill) -> None:
    row = (f.id, f.order_id, f.ts, f.symbol, f.side, _text(f.quantity), _text(f.price), _text(f.fee), f.reason)
    db.execute("INSERT INTO fill VALUES (?,?,?,?,?,?,?,?,?)", row)
    order = db.execute("SELECT quantity, filled, leverage, decision_id FROM orders WHERE id = ?", (f.order_id,)).fetchone()
    if order is not None:
        filled = Decimal(order[1]) + f.quantity
        state = "filled" if filled >= Decimal(order[0]) else "working"
        db.execute("UPDATE orders SET filled = ?, state = ? WHERE id = ?", (str(filled), state, f.order_id))
    _resize(db, f, order)


def _resize(db: sqlite3.Connection, f: Fill, order: tuple[Any, ...] | None) -> None:
    held = db.execute("SELECT side, quantity, entry_price FROM position WHERE symbol = ?", (f.symbol,)).fetchone()
    if held is None:
        leverage, decision = (order[2], order[3]) if order else (1, "")
        row = (f.symbol, f.side, str(f.quantity), f.ts, str(f.price), leverage, decision)
        db.execute("INSERT INTO position VALUES (?,?,?,?,?,NULL,?,?)", row)
        return
    side, quantity, price = held[0], Decimal(held[1]), Decimal(held[2])
    if side == f.side:
        total = quantity + f.quantity
        mean = price if price == f.price else money((quantity * price + f.quantity * f.price) / total)
        db.execute("UPDATE position SET quantity = ?, entry_price = ? WHERE symbol = ?", (str(total), str(mean), f.symbol))
    elif f.quantity < quantity:
        db.execute("UPDATE position SET quantity = ? WHERE symbol = ?", (str(quantity - f.quantity), f.symbol))
    else:
        _flat(db, f.symbol)


def _flat(db: sqlite3.Connection, symbol: str) -> None:
    db.execute("DELETE FROM position WHERE symbol = ?", (symbol,))
    db.execute(f"UPDATE orders SET state = 'closed' WHERE symbol = ? AND purpose <> 'entry' AND state IN {AT_WORK}", (symbol,))


def _ended(db: sqlite3.Connection, seq: int, e: OrderEnded) -> None:
    db.execute(f"UPDATE orders SET state = ?, reason = ? WHERE id = ? AND state IN {AT_WORK}", (e.state, e.reason, e.order_id))


def _seen(db: sqlite3.Connection, seq: int, s: OrderSeen) -> None:
    db.execute(f"UPDATE orders SET state = ? WHERE id = ? AND state IN {AT_WORK}", (s.state, s.order_id))


def _found(db: sqlite3.Connection, seq: int, f: OrderFound) -> None:
    _order(db, seq, f.order)


def _beside(db: sqlite3.Connection, seq: int, e: ExternalSeen) -> None:
    side = "long" if e.side > 0 else "short"
    text = f"{side} {e.quantity:,f} contracts at {e.price:,f}, margin {e.margin:,.2f}" if e.quantity else "nothing any more"
    db.execute("INSERT INTO note VALUES (?, ?, 'external', ?, ?)", (seq, e.ts, f"{e.symbol}: held beside our own", text))


def _transferred(db: sqlite3.Connection, seq: int, t: Transferred) -> None:
    db.execute("INSERT INTO note VALUES (?, ?, 'transfer', ?, ?)", (seq, t.ts, f"{_text(t.amount)} moved", t.reason))


def _blocked(db: sqlite3.Connection, seq: int, b: Blocked) -> None:
    title = f"{b.symbol or 'all symbols'}: " + ("no entries" if b.reason else "entries again")
    db.execute("INSERT INTO note VALUES (?, ?, 'blocked', ?, ?)", (seq, b.ts, title, b.reason))


def _missing(db: sqlite3.Connection, seq: int, m: StopMissing) -> None:
    db.execute("INSERT INTO note VALUES (?, ?, 'stop_missing', ?, ?)", (seq, m.ts, f"{m.symbol}: no stop at the venue", m.reason))


def _trade(db: sqlite3.Connection, seq: int, t: Trade) -> None:
    amounts = tuple(_text(a) for a in (t.gross, t.fees, t.funding, t.net))
    row = (t.symbol, t.side, t.entry_ts, _text(t.entry_price), t.exit_ts, _text(t.exit_price), _text(t.quantity), t.leverage)
    db.execute("INSERT INTO trade VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", (seq, *row, *amounts, t.exit_reason, t.decision_id))


def _equity(db: sqlite3.Connection, seq: int, record: Marked | DayOpened) -> None:
    db.execute("INSERT OR REPLACE INTO equity VALUES (?, ?)", (record.ts, _text(record.equity)))


def _state(db: sqlite3.Connection, seq: int, s: StateSet) -> None:
    db.execute("INSERT INTO note VALUES (?, ?, 'state', ?, ?)", (seq, s.ts, s.state, s.reason))


def _streak(db: sqlite3.Connection, seq: int, s: StreakReset) -> None:
    db.execute("INSERT INTO note VALUES (?, ?, 'streak', 'losing streak reset', ?)", (seq, s.ts, s.reason))


def _close(db: sqlite3.Connection, seq: int, c: CloseWanted) -> None:
    db.execute("INSERT INTO note VALUES (?, ?, 'close', ?, ?)", (seq, c.ts, f"{c.symbol} is to be closed", c.reason))


def _config(db: sqlite3.Connection, seq: int, c: ConfigSet) -> None:
    changes = "; ".join(f"{path} = {value}" for path, value in c.changes.items())
    db.execute("INSERT INTO note VALUES (?, ?, 'config', ?, ?)", (seq, c.ts, f"settings changed by {c.by}", changes))


def _alert(db: sqlite3.Connection, seq: int, a: Alert) -> None:
    row = (a.id, seq, a.ts, a.received, a.key, a.digest, a.source, a.request.symbol)
    db.execute("INSERT INTO alert VALUES (?,?,?,?,?,?,?,?,'waiting','',NULL)", row)


def _worked(db: sqlite3.Connection, seq: int, w: AlertWorked) -> None:
    db.execute("UPDATE alert SET state = ?, reason = ?, decision_id = ? WHERE id = ?", (w.outcome, w.reason, w.decision_id, w.id))


def _refused(db: sqlite3.Connection, seq: int, r: AlertRefused) -> None:
    row = (f"R{seq}", seq, r.ts, r.received, "", r.sha256, r.source, "", r.reason)
    db.execute("INSERT INTO alert VALUES (?,?,?,?,?,?,?,?,'rejected',?,NULL)", row)


def _note(db: sqlite3.Connection, seq: int, n: Note) -> None:
    db.execute("INSERT INTO note VALUES (?, ?, ?, ?, ?)", (seq, n.ts, n.event, n.title, n.text))


_WRITES: dict[type, Callable[[sqlite3.Connection, int, Any], None]] = {
    Decision: _decision,
    Order: _order,
    Fill: _fill,
    OrderEnded: _ended,
    OrderSeen: _seen,
    OrderFound: _found,
    ExternalSeen: _beside,
    Transferred: _transferred,
    Blocked: _blocked,
    StopMissing: _missing,
    Trade: _trade,
    Marked: _equity,
    DayOpened: _equity,
    StateSet: _state,
    StreakReset: _streak,
    CloseWanted: _close,
    ConfigSet: _config,
    Alert: _alert,
    AlertWorked: _worked,
    AlertRefused: _refused,
    Note: _note,
}
