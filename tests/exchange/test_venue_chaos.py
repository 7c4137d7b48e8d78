"""A live account among faults by chance: whatever happens, no order is doubled, and book and exchange end up one."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from random import Random

import msgspec
import pytest

from desk import BTC, INSTRUMENT
from enigma_core.model import StateSet
from enigma_exchange.naming import client_id
from live_desk import FakeExchange, LiveDesk, live

ETH = "ETH/USDT:USDT"
BOTH = {BTC: INSTRUMENT, ETH: msgspec.structs.replace(INSTRUMENT, symbol=ETH)}

FAULTS = {
    "place": ("lost", "dropped", "refused", "throttled", "slow", ""),
    "cancel": ("lost", "dropped", "throttled", "slow", ""),
    "find": ("dropped", "throttled", "lost", ""),
    "fills": ("dropped", "throttled", "lost", ""),
    "held": ("dropped", "lost", ""),
    "working": ("dropped", "lost", ""),
}


class Chaos(FakeExchange):
    """Faults come by chance while `on`."""

    def __init__(self, random: Random, rate: float) -> None:
        super().__init__(BOTH)
        self.random, self.rate, self.on = random, rate, True

    async def _call(self, method, what, work):  # type: ignore[no-untyped-def]
        if self.on and method in FAULTS and self.random.random() < self.rate:
            self.next(method, self.random.choice(FAULTS[method]))
        return await super()._call(method, what, work)


async def upheaval(seed: int, rate: float) -> LiveDesk:
    random = Random(seed)
    exchange = Chaos(random, 0.0)
    desk = await LiveDesk(instruments=BOTH, exchange=exchange).start()
    exchange.rate = rate
    for _ in range(25):
        symbol = random.choice([BTC, ETH])
        deed = random.random()
        if deed < 0.3 and not desk.book.holds(symbol) and desk.book.trading_state == "ACTIVE" and desk.ready.is_set():
            limit = random.random() < 0.3
            price = exchange.price[symbol] - Decimal(random.choice([10, -10]))
            desk.enter(
                random.choice([1, -1]), random.randint(2, 40), symbol, **({"resting": True, "price": price} if limit else {})
            )
        elif deed < 0.55:
            exchange.move(float(exchange.price[symbol]) + random.choice([-600, -50, 50, 600]), symbol)
        elif deed < 0.62:
            exchange.takes = Decimal(random.randint(0, 10))
        elif deed < 0.68:
            exchange.lag = random.choice([0.0, 0.0, 0.5, 4.0])
        elif deed < 0.72:
            exchange.fills_lag = random.choice([0.0, 0.0, 0.5, 3.0])
        elif deed < 0.76 and symbol in desk.book.positions:
            net = exchange.net(symbol)
            if net:
                exchange.by_hand(-1 if net > 0 else 1, random.randint(1, int(abs(net))), symbol)
        elif deed < 0.80:
            stops = [o for o in exchange.at_work() if o.waits]
            if stops:
                exchange.cancel_by_hand(random.choice(stops))
        elif deed < 0.84:
            exchange.silent = not exchange.silent
        elif deed < 0.88:
            desk.halt()
            desk.command(StateSet(ts=desk.now, state="ACTIVE", reason="by hand"))
        elif deed < 0.93:
            desk = await desk.crash(ready=False)
        elif deed < 0.95:
            exchange.down = True
            await asyncio.sleep(random.uniform(1, 20))
            exchange.down = False
        await asyncio.sleep(random.choice([0.01, 0.1, 1.0, 5.0]))
    exchange.on = exchange.silent = False
    exchange.script.clear()
    exchange.lag = exchange.fills_lag = 0.0
    exchange.takes = None
    return desk


def check(desk: LiveDesk) -> None:
    """Every law of reliability that can be seen from here."""
    exchange = desk.exchange
    clients = [o.placing.client_id for o in exchange.orders.values() if o.placing.client_id]
    assert len(clients) == len(set(clients)), "an order was doubled"
    known = {client_id(order.id) for order in desk.ports.known()}
    assert set(clients) <= known, "something was sent that nobody had written down"
    for order in exchange.orders.values():
        assert order.filled <= order.placing.quantity


@pytest.mark.parametrize("seed", range(16))
def test_among_faults_no_order_is_doubled_and_all_ends_well(seed: int) -> None:
    async def scene() -> None:
        desk = await upheaval(seed, rate=0.05 + 0.05 * (seed % 4))
        await asyncio.sleep(100)
        await desk.until(desk.ready.is_set, 60)
        check(desk)
        for symbol in BOTH:
            position, beside = desk.book.positions.get(symbol), desk.book.external.get(symbol)
            ours = position.side * position.quantity if position is not None else Decimal(0)
            others = beside.side * beside.quantity if beside is not None else Decimal(0)
            assert ours + others == desk.exchange.net(symbol), f"{symbol}: the book holds {ours} and knows of {others}"
            if position is not None:
                stops = [o for o in desk.exchange.at_work() if o.waits and o.placing.symbol == symbol]
                assert any(o.placing.quantity >= position.quantity for o in stops), "it is not protected"
        assert not [x for x in desk.venue.lives.working() if x.state in ("unknown", "sent")], "something is still unknown"
        assert abs(desk.book.cash - desk.exchange.wallet) < Decimal("0.01")
        desk.halt()
        await desk.until(lambda: not desk.book.positions and not desk.exchange.at_work(), 30)

    live(scene, seed=seed)
