"""What only the real exchange can tell, asked with the smallest orders there are: ``python -m enigma_exchange.wire.probe NAME``.

Each probe says what it is about to do, does nothing without ``--do-it``, cleans up after itself, and writes what was answered word
for word. What each settles stands in docs/unproven.md. Keys come from KUCOIN_API_KEY and its kin.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Any

from enigma_core.errors import ConfigError
from enigma_exchange.hosts import hosts
from enigma_exchange.port import Absent, ExchangeError, Nudge, Placing, Refused
from enigma_exchange.wire.credentials import credentials
from enigma_exchange.wire.kucoin import KucoinAccount

Say = Callable[[str], None]

SETTLES = 3.0
"""Seconds that the stream is given to come up, and to push what there is."""

LONGEST = 30.0
"""Seconds that fills are waited for."""

FAR = Decimal("0.8")
"""Of the mark price: an order to buy there does not fill."""


async def bodies(api: KucoinAccount, symbol: str, say: Say) -> None:
    """Every kind of order we send, to the endpoint that checks orders and places none."""
    trading = await api._ready()
    real = trading.client.create_order

    async def tested(*given: Any) -> Any:
        *most, params = given
        return await real(*most, {**params, "test": True})

    trading.client.create_order = tested
    for order in _orders(symbol, await _mark(api, symbol)):
        try:
            say(f"{order.kind} {'buy' if order.side > 0 else 'sell'} reduce_only={order.reduce_only}: {await api.place(order)}")
        except ExchangeError as error:
            say(f"{order.kind} {'buy' if order.side > 0 else 'sell'}: {type(error).__name__} {error.code} {error}")


async def duplicate(api: KucoinAccount, symbol: str, say: Say) -> None:
    """The same client order id twice, as an order that rests far away: which code says that it is known."""
    order = await _far(api, symbol)
    taken = [await api.place(order)]
    try:
        say(f"the first was taken as {taken[0]}")
        try:
            taken.append(await api.place(order))
            say(f"the second was taken too, as {taken[-1]}: the id does NOT protect from doubled orders")
        except ExchangeError as error:
            say(f"the second was answered with {type(error).__name__} {error.code}: {error}")
        await api.cancel(symbol, taken[0])
        say(f"cancelled; a look finds {await _found(api, symbol, order.client_id)}")
        try:
            taken.append(await api.place(order))
            say(f"the id of an order that is over was taken as {taken[-1]}")
        except ExchangeError as error:
            say(f"the id of an order that is over was answered with {type(error).__name__} {error.code}: {error}")
    finally:
        await _gone(api, symbol, taken)


async def stop(api: KucoinAccount, symbol: str, say: Say) -> None:
    """A stop order that is not triggered: whether looks find it by its id before and after it is cancelled."""
    mark = await _mark(api, symbol)
    order = Placing(
        client_id=_name(),
        symbol=symbol,
        side=1,
        quantity=await _least(api, symbol),
        kind="stop",
        price=_grid(mark / FAR),
        leverage=1,
    )
    venue_id = await api.place(order)
    try:
        say(f"it rests as {venue_id}")
        for where in (True, False):
            say(f"{'among stops' if where else 'by its id alone'}: {await _found(api, symbol, order.client_id, stop=where)}")
    finally:
        await api.cancel(symbol, venue_id, stop=True)
    say("cancelled")
    for where in (True, False):
        say(f"{'among stops' if where else 'by its id alone'}: {await _found(api, symbol, order.client_id, stop=where)}")


async def position(api: KucoinAccount, symbol: str, say: Say) -> None:
    """A position of the smallest size, bought and sold at the market at 2x: how it is shown, how soon its fills are, and what
    becomes of orders that only reduce and are larger than it, or come when nothing is held. It costs two fees and the spread."""
    if any(one.symbol == symbol for one in await api.held()):
        say("a position is held there: nothing was done")
        return
    await api.isolate(symbol)
    least, began = await _least(api, symbol), time.monotonic()
    since = await api.time() - 10_000
    falls: dict[str, Any] = {"kind": "stop", "price": _grid(await _mark(api, symbol) * FAR), "falls": True}
    leaves: dict[str, Any] = {"symbol": symbol, "side": -1, "reduce_only": True, "leverage": 2}
    stops: list[str] = []

    async def tried(what: str, order: Placing) -> None:
        try:
            venue_id = await api.place(order)
        except ExchangeError as error:
            say(f"{what}: {type(error).__name__} {error.code} {error}")
            return
        say(f"{what}: taken as {venue_id}")
        if order.kind == "stop":
            stops.append(venue_id)

    try:
        await tried("a stop while nothing is held", Placing(client_id=_name(), quantity=least, **leaves, **falls))
        await tried("bought", Placing(client_id=_name(), symbol=symbol, side=1, quantity=least, kind="market", leverage=2))
        while not (fills := await api.fills(since)) and time.monotonic() - began < LONGEST:
            await asyncio.sleep(0.1)
        say(f"its fills were shown after {(time.monotonic() - began) * 1000:.0f} ms: {fills}")
        say(f"positions: {await api.held()}")
        say(f"balance: {await api.balance()}")
        await tried("a stop of twice its size", Placing(client_id=_name(), quantity=2 * least, **leaves, **falls))
        await tried("sold, twice its size", Placing(client_id=_name(), quantity=2 * least, kind="market", **leaves))
        await asyncio.sleep(SETTLES)
    finally:
        if left := [one for one in await api.held() if one.symbol == symbol]:
            say(f"still held: {left}")
            await tried("sold", Placing(client_id=_name(), quantity=left[0].quantity, kind="market", **leaves))
        say(f"what rests of its stops: {[s.venue_id for s in await api.working() if s.venue_id in stops]}")
        await _gone(api, symbol, stops)
    say(f"fills in all: {await api.fills(since)}")
    say(f"positions: {await api.held()}")
    say(f"balance: {await api.balance()}")


async def pushes(api: KucoinAccount, symbol: str, say: Say) -> None:
    """What the private stream pushes of an order that is placed and cancelled, and how soon looks find it."""
    seen: list[Nudge] = []

    def see(hint: Nudge) -> None:
        seen.append(hint)
        say(f"pushed: {hint}")

    following = asyncio.create_task(api.listen(see))
    try:
        await asyncio.sleep(SETTLES)
        order = await _far(api, symbol)
        began = time.monotonic()
        venue_id = await api.place(order)
        say(f"taken as {venue_id} after {(time.monotonic() - began) * 1000:.0f} ms")
        for _ in range(50):
            found = await _found(api, symbol, order.client_id)
            if "Absent" not in found:
                break
        say(f"a look found it {(time.monotonic() - began) * 1000:.0f} ms after it was sent: {found}")
        await _gone(api, symbol, [venue_id])
        await asyncio.sleep(SETTLES)
        say(f"{len(seen)} pushes in all")
    finally:
        following.cancel()


async def account(api: KucoinAccount, symbol: str, say: Say) -> None:
    """What is read of the account, and nothing changed: key, modes, balance, positions, the newest rows of its history."""
    looks: list[tuple[str, Awaitable[Any]]] = [
        ("rights", api.rights()),
        ("isolated, one way", api.isolated(symbol)),
        ("balance", api.balance()),
        ("positions", api.held()),
        ("orders", api.working()),
        ("fills", api.fills(await api.time() - 86_400_000)),
        ("funding", api.settled(symbol, await api.time() - 3 * 86_400_000)),
        ("moved", api.moved(await api.time() - 30 * 86_400_000)),
    ]
    for name, look in looks:
        try:
            say(f"{name}: {await look}")
        except ExchangeError as error:
            say(f"{name}: {type(error).__name__} {error.code} {error}")


PROBES = {"account": account, "bodies": bodies, "duplicate": duplicate, "stop": stop, "pushes": pushes, "position": position}
RESTS = ("duplicate", "stop", "pushes")
"""Probes that place orders which rest for a moment."""


def _orders(symbol: str, mark: Decimal) -> list[Placing]:
    settings: dict[str, Any] = {"symbol": symbol, "quantity": Decimal(1), "leverage": 1}
    low, high = _grid(mark * FAR), _grid(mark / FAR)
    return [
        Placing(client_id=_name(), side=1, kind="market", **settings),
        Placing(client_id=_name(), side=1, kind="limit", price=low, **settings),
        Placing(client_id=_name(), side=1, kind="limit", price=low, lasts="IOC", **settings),
        Placing(client_id=_name(), side=1, kind="limit", price=low, post_only=True, **settings),
        Placing(client_id=_name(), side=-1, kind="market", reduce_only=True, **settings),
        Placing(client_id=_name(), side=-1, kind="stop", price=low, falls=True, reduce_only=True, **settings),
        Placing(client_id=_name(), side=-1, kind="stop", price=high, falls=False, reduce_only=True, **settings),
    ]


def _name() -> str:
    # none of the engine's: a run that trades this account must not take it for another instance's
    return f"probe-{uuid.uuid4().hex[:24]}"


def _grid(price: Decimal) -> Decimal:
    """Four digits: on the grid of whatever is worth a probe."""
    return price.quantize(Decimal(1).scaleb(price.adjusted() - 3))


async def _mark(api: KucoinAccount, symbol: str) -> Decimal:
    return (await api.listed())[symbol].mark


async def _least(api: KucoinAccount, symbol: str) -> Decimal:
    return (await api.listed())[symbol].instrument.min_quantity


async def _far(api: KucoinAccount, symbol: str) -> Placing:
    price = _grid(await _mark(api, symbol) * FAR)
    quantity = await _least(api, symbol)
    return Placing(
        client_id=_name(), symbol=symbol, side=1, quantity=quantity, kind="limit", price=price, post_only=True, leverage=1
    )


async def _gone(api: KucoinAccount, symbol: str, orders: Sequence[str]) -> None:
    """Have our own orders end, and nobody else's."""
    for venue_id in dict.fromkeys(orders):
        try:
            await api.cancel(symbol, venue_id)
        except (Absent, Refused):
            # it is over
            continue


async def _found(api: KucoinAccount, symbol: str, client: str, *, stop: bool = False) -> str:
    try:
        return str(await api.find(symbol, client, stop=stop))
    except ExchangeError as error:
        return f"{type(error).__name__} {error.code}: {error}"


def main(arguments: Sequence[str] | None = None, say: Say = lambda line: print(line, flush=True)) -> int:  # noqa: T201
    """Run one probe; 0 when it came to its end."""
    parser = argparse.ArgumentParser(prog="python -m enigma_exchange.wire.probe", description=__doc__)
    parser.add_argument("probe", choices=PROBES)
    parser.add_argument("--symbol", default="XRP/USDT:USDT", help="a contract whose smallest order is small")
    parser.add_argument("--url", help="a local exchange in the place of the real one")
    parser.add_argument("--do-it", action="store_true", help="really ask; without it only what would be done is said")
    given = parser.parse_args(arguments)
    probe = PROBES[given.probe]
    say(f"{given.probe} at {given.url or 'KuCoin Futures'}, {given.symbol}: {' '.join((probe.__doc__ or '').split())}")
    if given.probe in RESTS:
        say("an order of the smallest size rests 20 % away from the price for a moment; look afterwards that nothing is left")
    if not given.do_it:
        say("nothing was done: add --do-it")
        return 0

    async def run() -> None:
        api = KucoinAccount(hosts(given.url), credentials({}, os.environ), timeout=10.0)
        try:
            await api.time()
            await probe(api, given.symbol, say)
        finally:
            await api.close()

    try:
        asyncio.run(run())
    except (ConfigError, ExchangeError, KeyError) as error:
        say(f"it went no further: {type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

__all__ = ["PROBES", "main"]
