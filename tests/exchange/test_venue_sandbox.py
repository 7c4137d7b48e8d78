"""A live account at the local exchange, over the network: unmodified ccxt, real answers, real faults, real time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal

import pytest
from served import KEY, SYMBOL, Local, local

from enigma_core.model import Funded, StateSet
from enigma_exchange.account import Timing
from enigma_exchange.hosts import hosts
from enigma_exchange.naming import client_id
from enigma_exchange.wire import KucoinAccount
from enigma_exchange.wire.clients import Credentials
from enigma_exchange.wire.probe import PROBES, main
from enigma_sandbox.markets import Setup
from live_desk import LiveDesk

BRISK = Timing(in_flight=0.3, orders=1.0, positions=1.0, balance=2.0)


@pytest.fixture(scope="module")
def exchange() -> Iterator[Local]:
    with local(Setup(count=2, days=2)) as running:
        yield running


class NetDesk(LiveDesk):
    """A desk at the local exchange."""

    def held(self, exchange: Local) -> Decimal:
        """Signed contracts, as the exchange itself says."""
        rows = exchange.signed("GET", "/api/v1/positions?currency=USDT")[1]["data"]
        return sum((Decimal(str(row["currentQty"])) for row in rows if row["symbol"] == "XBTUSDTM"), Decimal(0))

    def stops(self, exchange: Local) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = exchange.signed("GET", "/api/v1/stopOrders?symbol=XBTUSDTM")[1]["data"]["items"]
        return rows


def at(exchange: Local, scene: Callable[[NetDesk], Awaitable[None]]) -> None:
    async def run() -> None:
        api = KucoinAccount(hosts(exchange.url), Credentials(KEY.key, KEY.secret, KEY.passphrase), timeout=1.0)
        instrument = exchange.sandbox.market.instrument(SYMBOL)
        desk = NetDesk(
            exchange=api,  # type: ignore[arg-type]
            timing=BRISK,
            instruments={SYMBOL: instrument},
            wall=lambda: time.time_ns() // 1_000_000,
        )
        # ids of their own: the exchange remembers those of other tests
        desk._numbers = time.time_ns() % 10**12
        try:
            await desk.start()
            await scene(desk)
        finally:
            exchange.press("clear")
            if desk.book.trading_state != "HALTED":
                desk.halt()
            await desk.until(lambda: not desk.book.positions and not desk.book.entries, 30)
            await asyncio.sleep(0.3)
            await desk.stop()
            await desk.venue.close()
            assert desk.held(exchange) == 0

    asyncio.run(run())


def test_a_position_is_entered_protected_and_left(exchange: Local) -> None:
    async def scene(desk: NetDesk) -> None:
        order = desk.enter(quantity=3)
        took = await desk.until(lambda: SYMBOL in desk.book.positions and not desk.venue.protection.since, 5)
        assert took < 2
        assert desk.held(exchange) == 3
        (stop,) = desk.stops(exchange)
        assert (stop["stop"], stop["stopPriceType"], stop["reduceOnly"], stop["size"]) == ("down", "MP", True, 3)
        assert stop["clientOid"] != client_id(order.id)
        desk.halt()
        assert await desk.until(lambda: desk.trades, 5) < 5
        await desk.until(lambda: not desk.stops(exchange), 5)
        assert desk.held(exchange) == 0
        fee = sum((f.fee for f in desk.fills), Decimal(0))
        assert fee > 0
        desk.command(StateSet(ts=desk.now, state="ACTIVE", reason="by hand"))

    at(exchange, scene)


def test_x01_an_order_that_is_accepted_and_not_answered_makes_one_position(exchange: Local) -> None:
    async def scene(desk: NetDesk) -> None:
        exchange.press("accept_then_timeout")
        desk.enter(quantity=3)
        await desk.until(lambda: SYMBOL in desk.book.positions and not desk.venue.protection.since, 5)
        assert desk.held(exchange) == 3

    at(exchange, scene)


def test_x03_an_answer_that_makes_no_sense_is_looked_up(exchange: Local) -> None:
    async def scene(desk: NetDesk) -> None:
        exchange.press("html_page", path="/api/v1/orders")
        desk.enter(quantity=2)
        await desk.until(lambda: SYMBOL in desk.book.positions and not desk.venue.protection.since, 8)
        assert desk.held(exchange) == 2

    at(exchange, scene)


def test_x10_an_order_that_is_not_found_for_a_while_ends_nothing(exchange: Local) -> None:
    async def scene(desk: NetDesk) -> None:
        exchange.press("late_visibility", ms=1500, times=1)
        desk.enter(quantity=2)
        await desk.until(lambda: SYMBOL in desk.book.positions and not desk.venue.protection.since, 8)
        assert desk.ends() == []
        assert desk.held(exchange) == 2

    at(exchange, scene)


def test_x23_what_is_closed_by_hand_is_noticed_and_its_stop_cancelled(exchange: Local) -> None:
    async def scene(desk: NetDesk) -> None:
        await desk.entered(quantity=3, symbol=SYMBOL)
        exchange.press("hand_close", symbol="XBTUSDTM")
        assert await desk.until(lambda: desk.trades, 10) < 10
        assert desk.trades[0].exit_reason == "by hand"
        await desk.until(lambda: not desk.stops(exchange), 5)

    at(exchange, scene)


def test_x25_a_stop_that_the_venue_takes_away_is_put_back(exchange: Local) -> None:
    async def scene(desk: NetDesk) -> None:
        await desk.entered(quantity=3, symbol=SYMBOL)
        (stop,) = desk.stops(exchange)
        exchange.signed("DELETE", f"/api/v1/orders/{stop['id']}")
        await desk.until(lambda: any(s["id"] != stop["id"] for s in desk.stops(exchange)), 10)
        assert not desk.trades

    at(exchange, scene)


def test_x28_a_settlement_is_booked_as_the_exchange_booked_it(exchange: Local) -> None:
    async def scene(desk: NetDesk) -> None:
        await desk.entered(quantity=3, symbol=SYMBOL)
        exchange.press("fund", symbol="XBTUSDTM", rate=0.001)
        await desk.until(lambda: desk.of(Funded), 15)
        assert desk.of(Funded)[0].amount < 0

    at(exchange, scene)


def test_x31_a_key_that_is_revoked_stops_entries_until_it_is_back(exchange: Local) -> None:
    async def scene(desk: NetDesk) -> None:
        exchange.press("revoke_key")
        await desk.until(lambda: "key" in desk.book.blocked(SYMBOL), 10)
        exchange.press("revoke_key", on=False)
        await desk.until(lambda: not desk.book.blocked(SYMBOL), 30)

    at(exchange, scene)


def test_the_money_of_the_book_is_the_exchanges(exchange: Local) -> None:
    async def scene(desk: NetDesk) -> None:
        for side in (1, -1):
            await desk.entered(side=side, quantity=5, symbol=SYMBOL)
            desk.halt()
            await desk.until(lambda: not desk.book.positions, 5)
            desk.command(StateSet(ts=desk.now, state="ACTIVE", reason="by hand"))
        overview = exchange.signed("GET", "/api/v1/account-overview?currency=USDT")[1]["data"]
        wallet = Decimal(str(overview["accountEquity"])) - Decimal(str(overview["unrealisedPNL"]))
        assert abs(desk.book.cash - wallet) < Decimal("0.0001")

    at(exchange, scene)


def test_the_probes_run_to_their_end(exchange: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("KUCOIN_API_KEY", KEY.key), ("KUCOIN_API_SECRET", KEY.secret), ("KUCOIN_PASSPHRASE", KEY.passphrase)):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("enigma_exchange.wire.probe.SETTLES", 0.3)
    for probe in PROBES:
        said: list[str] = []
        code = main([probe, "--url", exchange.url, "--symbol", SYMBOL, "--do-it"], said.append)
        assert code == 0, said
        assert not any("went no further" in line for line in said)
        if probe == "duplicate":
            assert any("Known 300018" in line for line in said), said


def test_a_probe_does_nothing_unless_it_is_told_to() -> None:
    said: list[str] = []
    assert main(["duplicate"], said.append) == 0
    assert said[-1] == "nothing was done: add --do-it"
