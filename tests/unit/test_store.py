"""The tables: money is text, the SQL that writes fits the models that read."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine
from sqlmodel import Session, SQLModel, select

from enigma_core import store
from enigma_core.journal import Journal
from enigma_core.model import OrderEnded, StateSet, StreakReset
from enigma_core.parts import Note
from ledger import decision, entry, fill, marked, stop, stopped_out, trade

MONEY = {
    "equity": {"equity"},
    "fill": {"quantity", "price", "fee"},
    "orders": {"quantity", "filled", "price", "margin"},
    "position": {"quantity", "entry_price", "stop"},
    "trade": {"entry_price", "exit_price", "quantity", "gross", "fees", "funding", "net"},
}
ANALYTIC = {("decision", "score"), ("decision", "confidence")}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    with Journal.open(tmp_path / "paper.sqlite", "paper", "market") as opened:
        yield opened


def rows(journal: Journal, sql: str) -> list[tuple[object, ...]]:
    journal.flush()
    with sqlite3.connect(journal.path) as db:
        return db.execute(sql).fetchall()


def test_s14_no_column_of_money_is_a_number(journal: Journal) -> None:
    with sqlite3.connect(journal.path) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        columns = {(t, c[1]): c[2] for t in tables for c in db.execute(f"PRAGMA table_info({t})")}
        strict = {row[1]: row[5] for row in db.execute("PRAGMA table_list") if row[1] in tables}
    assert set(columns.values()) <= {"TEXT", "INTEGER", "REAL", "BLOB"}
    assert {place for place, kind in columns.items() if kind == "REAL"} == ANALYTIC
    for table, names in MONEY.items():
        assert {columns[table, name] for name in names} == {"TEXT"}
    assert all(strict.values())


def test_s14_the_models_call_the_same_columns_money() -> None:
    found = {
        table.name: {c.name for c in table.columns if isinstance(c.type, store.Money)} for table in store.METADATA.sorted_tables
    }
    assert {name: columns for name, columns in found.items() if columns} == MONEY


def test_the_tables_are_in_no_other_catalogue_of_models() -> None:
    assert not set(store.METADATA.tables) & set(SQLModel.metadata.tables)


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_s14_money_comes_back_digit_for_digit_through_the_models(amount: Decimal) -> None:
    kind = store.Money()
    bound = kind.process_bind_param(amount, None)
    assert isinstance(bound, str)
    back = kind.process_result_value(bound, None)
    assert back is not None
    assert back.as_tuple() == amount.as_tuple()


@pytest.mark.parametrize("bad", [0.1, 1, "1", Decimal("NaN"), Decimal("Infinity")])
def test_money_refuses_what_is_no_finite_decimal(bad: object) -> None:
    with pytest.raises(TypeError, match="no amount of money"):
        store.Money().process_bind_param(bad, None)


def test_models_read_what_the_writer_wrote(journal: Journal) -> None:
    journal.write([decision(), entry()], 1)
    journal.write([fill(price=Decimal("50000.10"))], 2)
    journal.write([stop()], 2)
    journal.flush()
    engine = create_engine(f"sqlite:///{journal.path}")
    with Session(engine) as session:
        made = session.exec(select(store.DecisionRow)).one()
        assert (made.id, made.score, made.klass, made.order_id) == ("BTCUSDT-30m-1", 98.5, "STRONG_BUY", "BTCUSDT-30m-1-in")
        assert session.get_one(store.Event, made.seq).kind == "decision"
        assert str(session.exec(select(store.FillRow)).one().price) == "50000.10"
        position = session.exec(select(store.PositionRow)).one()
        assert (position.entry_price, position.stop) == (Decimal("50000.10"), Decimal("49500.0"))
    engine.dispose()


def test_the_life_of_an_order_can_be_read_from_its_row(journal: Journal) -> None:
    journal.write([decision(), entry()], 1)
    assert rows(journal, "SELECT state, filled FROM orders") == [("working", "0")]
    journal.write([fill(quantity=Decimal(10))], 2)
    journal.write([fill(id="second", quantity=Decimal(14), price=Decimal("50012.0"))], 2)
    assert rows(journal, "SELECT state, filled FROM orders") == [("filled", "24")]
    assert rows(journal, "SELECT quantity, entry_price FROM position") == [("24", "50007.000000000000")]
    journal.write([stop()], 2)
    journal.write([stop(id="sl-2", price=Decimal("49900.0"))], 3)
    assert rows(journal, "SELECT id, state FROM orders WHERE purpose = 'stop' ORDER BY id") == [
        ("BTCUSDT-30m-1-sl", "replaced"),
        ("sl-2", "working"),
    ]
    assert rows(journal, "SELECT stop FROM position") == [("49900.0",)]
    journal.write([stop(id="target", purpose="target", price=Decimal("51250.0"))], 3)
    journal.write([fill(id="part", order_id="target", side=-1, quantity=Decimal(4))], 4)
    assert rows(journal, "SELECT quantity FROM position") == [("20",)]
    journal.write([fill(id="out", order_id="sl-2", side=-1, quantity=Decimal(20)), trade()], 4)
    assert rows(journal, "SELECT * FROM position") == []
    assert rows(journal, "SELECT state FROM orders WHERE id = 'target'") == [("closed",)]
    assert rows(journal, "SELECT net, exit_reason FROM trade") == [("-13.4328", "stop_loss")]


def test_an_order_that_ends_says_why(journal: Journal) -> None:
    journal.write([entry()], 1)
    ended = OrderEnded(ts=2, order_id=entry().id, symbol=entry().symbol, state="rejected", reason="margin")
    journal.write([ended], 2)
    assert rows(journal, "SELECT state, reason FROM orders") == [("rejected", "margin")]


def test_the_same_order_twice_is_one_row(journal: Journal) -> None:
    journal.write([entry()], 1)
    journal.write([fill()], 2)
    journal.write([entry()], 3)
    assert rows(journal, "SELECT state FROM orders") == [("filled",)]


def test_equity_and_notes_are_projected(journal: Journal) -> None:
    journal.write([marked(5, "10001.25"), StateSet(ts=5, state="HALTED", reason="by hand")], 5)
    journal.write([marked(5, "10002"), StreakReset(ts=6, reason="looked into it"), Note(6, "gap", "Two bars are missing")], 6)
    assert rows(journal, "SELECT ts, equity FROM equity") == [(5, "10002")]
    assert rows(journal, "SELECT event, title, text FROM note ORDER BY seq") == [
        ("state", "HALTED", "by hand"),
        ("streak", "losing streak reset", "looked into it"),
        ("gap", "Two bars are missing", ""),
    ]


def test_an_exit_without_a_known_order_still_closes_the_row(journal: Journal) -> None:
    journal.write([fill()], 2)
    journal.write([stopped_out()], 3)
    assert rows(journal, "SELECT * FROM position") == []
