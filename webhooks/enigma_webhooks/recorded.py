"""Recorded messages as alerts, for a backtest: read, placed and identified as those that are sent."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import msgspec

from enigma_core.alert import Alert
from enigma_core.errors import DataError
from enigma_core.hookspecs import hookimpl
from enigma_webhooks.alerts import UnknownSymbol, blanked, match, read, rescaled
from enigma_webhooks.front.identity import digest, identity, same

SOURCE = "tradingview"
"""Whose messages they are taken for."""


def alerts_of(message: str, received: int, symbols: tuple[str, ...]) -> Iterator[Alert]:
    """The alerts in `message`, which came at `received` (ms). Raises `DataError` where one of its orders would be refused."""
    readings = read(message)
    copies: dict[tuple[object, ...], int] = {}
    secrets = [each.secret for each in readings if each.secret]
    text = blanked(message, secrets)
    for n, reading in enumerate(readings, 1):
        if not reading.ok:
            raise DataError(
                (reading.error or "it cannot be read") + (f" (order {n} of {len(readings)})" if len(readings) > 1 else "")
            )
    for reading in readings:
        request = reading.request
        if request is None or reading.test or not reading.asks:
            continue
        with contextlib.suppress(UnknownSymbol):  # whoever trades refuses it by its name
            request = rescaled(request, *match(request.symbol, symbols)) if request.symbol else request
        known = same(SOURCE, request)
        copies[known] = copy = copies.get(known, -1) + 1
        found = identity(SOURCE, request, received, copy)
        whole = len(readings) == 1 and (text != message or not secrets)
        body = text if whole else msgspec.json.encode(request).decode()
        yield Alert(
            id=found.id,
            ts=received,
            source=SOURCE,
            mode="trigger",
            received=received,
            request=request,
            key=found.key,
            window=found.window,
            digest=digest(body.encode()),
            body=body,
            warnings=reading.warnings,
        )


@hookimpl
def enigma_read_alerts(message: str, received: int, symbols: tuple[str, ...]) -> list[Alert]:
    return list(alerts_of(message, received, symbols))
