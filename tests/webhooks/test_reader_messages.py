"""What every shape of message is read as."""

from __future__ import annotations

from typing import Any

import pytest

from enigma_webhooks.alerts import Reading, read
from enigma_webhooks.alerts.reader import understood
from messages import ALL, BROKEN, SECRET, Message

ABSENT: dict[str, Any] = {
    "symbol": None,
    "exchange": None,
    "side": None,
    "position": None,
    "quantity": None,
    "quantity_unit": None,
    "price": None,
    "leverage": None,
    "stop": None,
    "take_profit": None,
    "id": None,
    "time": None,
    "indicators": {},
}


def fields(reading: Reading) -> dict[str, Any]:
    """What a reading holds beyond absent things: the shown fields, and those of the request that are not shown."""
    shown = {name: value for name, value in reading.shown().items() if name in ABSENT and value != ABSENT[name]}
    request = reading.request
    assert request is not None
    if reading.secret is not None:
        shown["secret"] = reading.secret
    for name in ("closes", "previous", "max_lag"):
        if getattr(request, name) is not None:
            shown[name] = getattr(request, name)
    for name in ("order", "strategy"):
        if getattr(request, name):
            shown[name] = getattr(request, name)
    if request.action in ("halt", "cancel", "reduce"):
        shown["action"] = request.action
    if reading.test:
        shown["test"] = True
    if not reading.asks:
        shown["asks"] = False
    return shown


@pytest.mark.parametrize("message", ALL, ids=lambda m: m.name)
def test_a_message_is_read_as_the_orders_it_states(message: Message) -> None:
    readings = understood(message.text)
    assert [(r.ok, r.error) for r in readings] == [(True, None)] * len(message.orders)
    assert [fields(r) for r in readings] == list(message.orders)
    assert understood(message.text.encode()) == readings == read(message.text)


@pytest.mark.parametrize("message", BROKEN, ids=lambda m: m.name)
def test_a_broken_message_is_read_with_a_warning_that_names_the_fault(message: Message) -> None:
    (reading,) = read(message.text)
    assert message.warning in "\n".join(reading.warnings)


@pytest.mark.parametrize("message", ALL, ids=lambda m: m.name)
def test_the_secret_stands_in_nothing_but_its_field(message: Message) -> None:
    for reading in read(message.text):
        assert SECRET not in repr(reading)
        assert SECRET not in repr(reading.request)
        assert SECRET not in str(reading.shown())
