"""What was booked while nobody could ask: all of it is read, stretch by stretch, page by page."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from decimal import Decimal

import msgspec
import pytest
from served import KEY, SYMBOL, Local, local

from enigma_exchange.hosts import hosts
from enigma_exchange.wire import KucoinAccount
from enigma_exchange.wire.clients import Credentials
from enigma_sandbox.exchange.state import FundingRow, Row
from enigma_sandbox.markets import Setup


@pytest.fixture(scope="module")
def exchange() -> Iterator[Local]:
    with local(Setup(count=1, days=1)) as running:
        yield running


def test_x13_after_a_long_outage_all_funding_and_all_transfers_are_read_however_many_they_are(exchange: Local) -> None:
    async def ask() -> None:
        api = KucoinAccount(hosts(exchange.url), Credentials(KEY.key, KEY.secret, KEY.passphrase), timeout=5.0)
        now = time.time_ns() // 1_000_000
        state = exchange.sandbox.exchange.state
        since, minute = now - 12 * 86_400_000, 60_000
        paid = [
            FundingRow(
                id=1 + n,
                symbol="XBTUSDTM",
                ts=since + n * 60 * minute,
                rate=Decimal("0.0001"),
                mark=Decimal(50_000),
                size=3,
                cost=Decimal(150),
                amount=Decimal("-0.015"),
                mode="ISOLATED",
            )
            for n in range(250)
        ]
        came = [
            Row(
                offset=1 + n,
                ts=since + n * 60 * minute + (n % 4 == 0) * n,
                kind="TransferIn" if n % 2 else "RealisedPNL",
                amount=Decimal(1),
                fee=Decimal(0),
                equity=Decimal(1),
                remark="",
            )
            for n in range(250)
        ]
        # more than a page of them on one day
        came += [msgspec.structs.replace(came[1], offset=1_000 + n, ts=came[-1].ts + n) for n in range(1, 121)]

        def make() -> None:
            state.funding[:0] = paid
            state.rows[:0] = came

        exchange.do(make)
        try:
            settled = await api.settled(SYMBOL, since)
            assert [row.id for row in settled] == [str(1 + n) for n in range(250)]
            moved = await api.moved(since)
            # and what the account began with
            assert len(moved) == 125 + 120 + 1
            assert moved[0].ts <= moved[-1].ts
        finally:
            exchange.do(lambda: (state.funding.__delitem__(slice(0, 250)), state.rows.__delitem__(slice(0, 370))))
            await api.close()

    asyncio.run(ask())
