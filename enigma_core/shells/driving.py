"""One market event through a simulated venue and the engine: the step that paper and the plain backtest share."""

from __future__ import annotations

from enigma_core.engine import Engine, Record
from enigma_core.market import BarsClosed, MarketEvent
from enigma_core.model import Cancel, Order
from enigma_core.parts import Venue


def drive(engine: Engine, venue: Venue, event: MarketEvent) -> list[Record]:
    """What `event` leads to. Orders reach the venue before its next report, so a stop rests before the bar's range is looked at."""
    records: list[Record] = []
    for report in venue.match(event):
        records += _sent(engine.step(report), venue)
    if type(event) is BarsClosed:
        records += _sent(engine.step(event), venue)
        for report in venue.answers():
            records += _sent(engine.step(report), venue)
    return records


def _sent(records: list[Record], venue: Venue) -> list[Record]:
    for record in records:
        if type(record) is Order:
            venue.submit(record)
        elif type(record) is Cancel:
            venue.cancel(record.order_id)
    return records
