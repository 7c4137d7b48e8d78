"""One market event through a simulated venue and the engine: the step that paper and the plain backtest share."""

from __future__ import annotations

from enigma_core.alert import Alert
from enigma_core.engine import Engine, Record
from enigma_core.market import BarsClosed, MarketEvent
from enigma_core.model import Cancel, Order
from enigma_core.parts import Command, Venue


def drive(engine: Engine, venue: Venue, event: MarketEvent) -> list[Record]:
    """What `event` leads to. Orders reach the venue before its next report, so a stop rests before the bar's range is looked at."""
    records: list[Record] = []
    for report in venue.match(event):
        records += sent(engine.step(report), venue)
    if type(event) is BarsClosed:
        records += put(engine, venue, event)
    return records


def put(engine: Engine, venue: Venue, event: BarsClosed | Alert | Command) -> list[Record]:
    """What `event` has the engine do, and what the venue answers to that at once."""
    return answered(engine, venue, sent(engine.step(event), venue))


def answered(engine: Engine, venue: Venue, records: list[Record]) -> list[Record]:
    """`records`, whose orders were sent, and what the venue's answers to them lead to."""
    for report in venue.answers():
        records += sent(engine.step(report), venue)
    return records


def sent(records: list[Record], venue: Venue) -> list[Record]:
    """`records`, with the orders and cancels among them handed to the venue."""
    for record in records:
        if type(record) is Order:
            venue.submit(record)
        elif type(record) is Cancel:
            venue.cancel(record.order_id)
    return records
