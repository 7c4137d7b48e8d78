"""The tables at rest. `event` is the truth, append-only; the others are projections of it, for people and for the dashboard.

Money is TEXT, digit for digit: SQLite keeps NUMERIC and REAL as binary floats. Analytic numbers (scores) may be REAL. Importing
SQLModel takes a second, so whatever only reads or appends uses plain SQL on `database.connect` and leaves this module alone.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import REAL, BigInteger, Double, ForeignKey, Index, Integer, LargeBinary, MetaData, Text, TypeDecorator
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlmodel import Field, SQLModel


class Money(TypeDecorator[Decimal]):
    """A `Decimal` as TEXT. Refuses floats, NaN and infinity with `TypeError`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        if value is None:
            return None
        if not isinstance(value, Decimal) or not value.is_finite():
            raise TypeError(f"{value!r} is no amount of money: it must be a finite Decimal")
        return str(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)


BIG: Any = BigInteger().with_variant(Integer(), "sqlite")
"""64 bits: SQLite's INTEGER has them, elsewhere BIGINT is asked for."""

FLOAT: Any = Double().with_variant(REAL(), "sqlite")
"""An analytic number, never money."""

METADATA = MetaData()


class Table(SQLModel):
    """What the tables share: one catalogue of their own, and STRICT columns where SQLite keeps them."""

    metadata = METADATA
    __table_args__: Any = {"sqlite_strict": True}


def _event(**more: Any) -> Any:
    """The number of the event that the row comes from."""
    return Field(sa_type=BIG, sa_column_args=[ForeignKey("event.seq")], **more)


class Meta(Table, table=True):
    """Whose file this is: format, mode, identity, created."""

    __tablename__ = "meta"

    key: str = Field(primary_key=True, sa_type=Text)
    value: str = Field(sa_type=Text)


class Event(Table, table=True):
    """One record. Records of one engine step share `step` and were committed together; `hash` chains every row to all before it."""

    __tablename__ = "event"

    seq: int = Field(primary_key=True, sa_type=BIG)
    step: int = Field(sa_type=BIG)
    ts: int = Field(sa_type=BIG)
    kind: str = Field(sa_type=Text)
    key: str | None = Field(default=None, sa_type=Text, unique=True)
    payload: str = Field(sa_type=Text)
    hash: bytes = Field(sa_type=LargeBinary)


class DecisionRow(Table, table=True):
    """Why something was done or not done; the whole chain is the payload of event `seq`."""

    __tablename__ = "decision"

    id: str = Field(primary_key=True, sa_type=Text)
    seq: int = _event(index=True)
    ts: int = Field(sa_type=BIG, index=True)
    symbol: str = Field(sa_type=Text)
    timeframe: str = Field(sa_type=Text)
    source: str = Field(sa_type=Text)
    score: float | None = Field(default=None, sa_type=FLOAT)
    klass: str = Field(sa_type=Text)
    confidence: float | None = Field(default=None, sa_type=FLOAT)
    order_id: str | None = Field(default=None, sa_type=Text)
    reason: str = Field(sa_type=Text)


class OrderRow(Table, table=True):
    """An order and how it stands: working, filled, replaced, cancelled, rejected, expired, or closed with its position."""

    __tablename__ = "orders"

    id: str = Field(primary_key=True, sa_type=Text)
    decision_id: str = Field(sa_type=Text, index=True)
    ts: int = Field(sa_type=BIG)
    symbol: str = Field(sa_type=Text)
    side: int = Field(sa_type=Integer)
    quantity: Decimal = Field(sa_type=Money)
    filled: Decimal = Field(sa_type=Money)
    purpose: str = Field(sa_type=Text)
    price: Decimal | None = Field(default=None, sa_type=Money)
    leverage: int = Field(sa_type=Integer)
    margin: Decimal = Field(sa_type=Money)
    state: str = Field(sa_type=Text)
    reason: str = Field(sa_type=Text)


class FillRow(Table, table=True):
    """Something traded."""

    __tablename__ = "fill"

    id: str = Field(primary_key=True, sa_type=Text)
    order_id: str = Field(sa_type=Text, index=True)
    ts: int = Field(sa_type=BIG)
    symbol: str = Field(sa_type=Text)
    side: int = Field(sa_type=Integer)
    quantity: Decimal = Field(sa_type=Money)
    price: Decimal = Field(sa_type=Money)
    fee: Decimal = Field(sa_type=Money)
    reason: str = Field(sa_type=Text)


class PositionRow(Table, table=True):
    """An open position; the row goes when the position is flat."""

    __tablename__ = "position"

    symbol: str = Field(primary_key=True, sa_type=Text)
    side: int = Field(sa_type=Integer)
    quantity: Decimal = Field(sa_type=Money)
    entry_ts: int = Field(sa_type=BIG)
    entry_price: Decimal = Field(sa_type=Money)
    stop: Decimal | None = Field(default=None, sa_type=Money)
    leverage: int = Field(sa_type=Integer)
    decision_id: str = Field(sa_type=Text)


class TradeRow(Table, table=True):
    """A position from its first fill to its last; `net = gross - fees + funding`."""

    __tablename__ = "trade"

    seq: int = _event(primary_key=True)
    symbol: str = Field(sa_type=Text)
    side: str = Field(sa_type=Text)
    entry_ts: int = Field(sa_type=BIG)
    entry_price: Decimal = Field(sa_type=Money)
    exit_ts: int = Field(sa_type=BIG)
    exit_price: Decimal = Field(sa_type=Money)
    quantity: Decimal = Field(sa_type=Money)
    leverage: int = Field(sa_type=Integer)
    gross: Decimal = Field(sa_type=Money)
    fees: Decimal = Field(sa_type=Money)
    funding: Decimal = Field(sa_type=Money)
    net: Decimal = Field(sa_type=Money)
    exit_reason: str = Field(sa_type=Text)
    decision_id: str = Field(sa_type=Text, index=True)


class AlertRow(Table, table=True):
    """A message from outside and how it stands: waiting, refused unread, or the outcome it was worked with.

    `key` is what makes a second message the same alert; `digest` is of its text. The whole request is the payload of event `seq`.
    """

    __tablename__ = "alert"

    id: str = Field(primary_key=True, sa_type=Text)
    seq: int = _event(index=True)
    ts: int = Field(sa_type=BIG)
    received: int = Field(sa_type=BIG, index=True)
    key: str = Field(sa_type=Text, index=True)
    digest: str = Field(sa_type=Text)
    source: str = Field(sa_type=Text)
    symbol: str = Field(sa_type=Text)
    state: str = Field(sa_type=Text)
    reason: str = Field(sa_type=Text)
    decision_id: str | None = Field(default=None, sa_type=Text)


class EquityRow(Table, table=True):
    """The account's worth at a moment."""

    __tablename__ = "equity"

    ts: int = Field(primary_key=True, sa_type=BIG)
    equity: Decimal = Field(sa_type=Money)


class NoteRow(Table, table=True):
    """Something worth telling a person: changes of the trading state, halts, faults."""

    __tablename__ = "note"

    seq: int = _event(primary_key=True)
    ts: int = Field(sa_type=BIG)
    event: str = Field(sa_type=Text)
    title: str = Field(sa_type=Text)
    text: str = Field(sa_type=Text)


def statements() -> list[str]:
    """What creates the tables and their indexes in SQLite, in an order that foreign keys allow."""
    from sqlalchemy.dialects import sqlite

    dialect = sqlite.dialect()
    made: list[str] = []
    for table in METADATA.sorted_tables:
        made.append(str(CreateTable(table).compile(dialect=dialect)))
        indexes: list[Index] = sorted(table.indexes, key=lambda i: str(i.name))
        made += [str(CreateIndex(index).compile(dialect=dialect)) for index in indexes]
    return made
