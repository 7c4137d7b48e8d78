"""Telling people, beside trading: bounded mailboxes, and a dead channel costs a log line."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol, runtime_checkable

from enigma_core.alert import AlertRefused, AlertWorked
from enigma_core.model import (
    FOREIGN,
    Blocked,
    CloseWanted,
    ConfigSet,
    DayOpened,
    ExternalSeen,
    Order,
    OrderEnded,
    OrderFound,
    OrderSeen,
    Purpose,
    StateSet,
    Trade,
    Transferred,
)
from enigma_core.parts import Note, Notifier
from enigma_core.shells.courier import Channel, Courier, One, fault_of

LOG = logging.getLogger("enigma.notes")


@runtime_checkable
class Channelled(Protocol):
    """A notifier with channels of its own: each has its mailbox, so that one that is dead does not hold up another."""

    def channels(self) -> Mapping[str, Channel]:
        """Working connections by what a person calls them. Nothing is sent yet."""
        ...


def channels_of(name: str, notifier: Notifier) -> dict[str, Channel]:
    """The channels of the notifier that is called `name`: its own, or itself as the only one."""
    if not isinstance(notifier, Channelled):
        return {name: One(notifier)}
    return {f"{name}: {label}": channel for label, channel in notifier.channels().items()}


class Notes:
    """One task and one bounded mailbox a channel. Nothing here raises, and `tell` never waits."""

    def __init__(self, notifiers: Mapping[str, Notifier]) -> None:
        self._couriers: list[Courier] = []
        for name, notifier in notifiers.items():
            try:
                self._couriers += [Courier(label, channel) for label, channel in channels_of(name, notifier).items()]
            except Exception as error:  # noqa: BLE001 - a channel's fault never matters to trading
                LOG.warning("notifier %s cannot be used: %s", name, fault_of(error))
        self._tasks = {asyncio.create_task(courier.work()): courier for courier in self._couriers}

    def tell(self, note: Note) -> None:
        """Hand over a note. Where too many wait, the oldest ordinary one gives way, counted in a later message."""
        for courier in self._couriers:
            try:
                courier.tell(note)
            except Exception as error:  # noqa: BLE001 - as above
                LOG.warning("notifier %s cannot take a note: %s", courier.name, fault_of(error))

    async def close(self, patience: float = 2.0) -> None:
        """Give what waits a moment to go out, in as few messages as there can be, then stop."""
        if not self._tasks:
            return
        for courier in self._couriers:
            courier.close()
        _, late = await asyncio.wait(self._tasks, timeout=patience)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=0.1)
        for courier in self._couriers:
            if courier.unsent:
                LOG.warning("notifier %s: %d notes were not sent before the end", courier.name, courier.unsent)


def note_of(record: object) -> Note | None:
    """What a person would want to be told of `record`; None for the most."""
    match record:
        case Order(purpose=Purpose.ENTRY):
            side = "long" if record.side > 0 else "short"
            return Note(record.ts, "entry", f"{record.symbol} {side}", f"{record.quantity} contracts at {record.leverage}x")
        case Trade():
            text = f"net {record.net:+,.2f} ({record.exit_reason})"
            return Note(record.exit_ts, "exit", f"{record.symbol} {record.side} closed", text)
        case AlertWorked(outcome="refused" | "expired" | "superseded"):
            return Note(record.ts, "alert_refused", f"{record.symbol} alert {record.outcome}", f"{record.reason} ({record.id})")
        case AlertRefused():
            event = "alert_conflict" if record.status == 409 else "alert_refused"
            return Note(record.ts, event, f"a message to {record.source} was not accepted", record.reason)
        case CloseWanted():
            return Note(record.ts, "close", f"{record.symbol} is to be closed", record.reason)
        case ConfigSet():
            changes = "; ".join(f"{path} = {value}" for path, value in record.changes.items())
            return Note(record.ts, "config", f"settings changed by {record.by}", changes)
        case StateSet():
            return Note(record.ts, "state", f"trading is {record.state}", record.reason)
        case DayOpened(streak_cleared=True):
            return Note(record.ts, "day", "a new risk day: the circuit breaker is closed again", f"equity {record.equity}")
        case OrderEnded(state="rejected"):
            return Note(
                record.ts, "rejected", f"{record.symbol}: the venue refused an order", f"{record.reason} ({record.order_id})"
            )
        case OrderSeen(state="unknown"):
            text = f"nobody knows yet whether {record.order_id} was placed: {record.reason}"
            return Note(record.ts, "unknown", f"{record.symbol}: the answer to an order is unclear", text)
        case OrderFound():
            order = record.order
            ours = "an order of our own that the book did not have"
            who = "somebody else acts on our position" if order.reason in FOREIGN else ours
            text = f"{_contracts(order.quantity)} {'bought' if order.side > 0 else 'sold'} ({order.reason or order.purpose})"
            return Note(record.ts, "external", f"{order.symbol}: {who}", text)
        case ExternalSeen():
            side = "long" if record.side > 0 else "short"
            held = f"{side} {_contracts(record.quantity)} at {record.price:,f}"
            text = held if record.quantity else "nothing any more"
            return Note(record.ts, "external", f"{record.symbol}: held beside our own positions", text)
        case Transferred():
            way = "came in" if record.amount > 0 else "went out"
            return Note(record.ts, "transfer", f"{abs(record.amount):,.2f} {way}", record.reason)
        case Blocked(symbol="") if record.reason:
            return Note(record.ts, "blocked", "no entries for now", record.reason)
        case Note():
            return record
        case _:
            return None


def _contracts(quantity: Decimal) -> str:
    return f"{quantity:,f} {'contract' if quantity == 1 else 'contracts'}"
