"""What a scenario's deeds do to a world."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any

from enigma_core.model import CloseWanted, StateSet, StreakReset
from enigma_sandbox.exchange import Spell
from enigma_simulation.scenario import Deed
from enigma_simulation.truth import ANOTHER
from enigma_simulation.world import World


async def befall(world: World) -> None:
    """All deeds of the world's scenario, each in its time."""
    for deed in world.scenario.deeds:
        wait = deed.at - world.loop.time()
        if wait > 0:
            await asyncio.sleep(wait)
        world.witness.now = world.loop.time()
        if deed.what not in ("alert", "gap", "depth", "reset"):
            world.trace("deed", deed.what)
        do(world, deed)


def do(world: World, deed: Deed) -> None:
    """One deed, now. What takes its time goes on by itself."""
    DEEDS[deed.what](world, deed.values)
    world.look()


def _gap(world: World, values: dict[str, Any]) -> None:
    world.prices.gap(values["symbol"], values["share"])


def _depth(world: World, values: dict[str, Any]) -> None:
    world.prices.lines[values["symbol"]].depth = values["depth"]


def _alert(world: World, values: dict[str, Any]) -> None:
    world.spawn(world.alert(values))


def _spell(world: World, values: dict[str, Any]) -> None:
    values = dict(values)
    lasts = values.pop("lasts")
    world.exchange.faults.add(Spell(**values, until=world.there() + round(lasts * 1000)))


def _fault(world: World, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(world.exchange.faults, name, value)


def _outage(world: World, values: dict[str, Any]) -> None:
    _fault(world, values)
    for name, value in values.items():
        (world.outages.add if value else world.outages.discard)(name)


def _clog(world: World, values: dict[str, Any]) -> None:
    world.pipes.clog(values["channel"])


def _free(world: World, values: dict[str, Any]) -> None:
    world.pipes.free(values["channel"])


# by hand


def _code(world: World, symbol: str) -> str:
    return next(c.symbol for c in world.contracts if c.instrument.symbol == symbol)


def _trade(world: World, symbol: str, signed: Decimal, *, reduces: bool, client: str = "") -> Decimal:
    """A market order by hand; contracts it has changed what is held by, signed."""
    before = world.truth.held(symbol)
    body = {
        "clientOid": client or f"hand-{world.events}",
        "symbol": _code(world, symbol),
        "side": "buy" if signed > 0 else "sell",
        "type": "market",
        "size": int(abs(signed)),
        "leverage": 5,
        "marginMode": "ISOLATED",
        "reduceOnly": reduces,
    }
    world.by_hand("POST", "/api/v1/orders", body=body)
    return world.truth.held(symbol) - before


def _hand_close(world: World, values: dict[str, Any]) -> None:
    _take_off(world, values["symbol"], Decimal(1))


def _hand_reduce(world: World, values: dict[str, Any]) -> None:
    _take_off(world, values["symbol"], Decimal("0.5"))


def _take_off(world: World, symbol: str, share: Decimal) -> None:
    for name in (symbol, *world.prices.lines):
        held = world.truth.held(name)
        off = (held * share).to_integral_value()
        if off and not world.witness.foreign.get(name):
            _trade(world, name, -off, reduces=True)
            return


def _hand_cancel_stop(world: World, values: dict[str, Any]) -> None:
    stops = [order for order in world.truth.our_live() if order.waits]
    if stops:
        world.by_hand("DELETE", f"/api/v1/orders/{stops[-1].id}")


def _hand_open(world: World, values: dict[str, Any]) -> None:
    symbol = values["symbol"]
    if not world.truth.held(symbol) and not world.truth.our_live(symbol):
        _foreign(world, symbol, _trade(world, symbol, Decimal(3), reduces=False))


def _foreign(world: World, symbol: str, signed: Decimal) -> None:
    foreign = world.witness.foreign
    foreign[symbol] = foreign.get(symbol, Decimal(0)) + signed


def _hand_flip(world: World, values: dict[str, Any]) -> None:
    for name in (values["symbol"], *world.prices.lines):
        held = world.truth.held(name)
        if held and not world.witness.foreign.get(name):
            world.exchange.press("hand_flip", symbol=_code(world, name))
            # ours is gone; what is there now is somebody else's
            _foreign(world, name, world.truth.held(name))
            return


def _venue_cancels(world: World, values: dict[str, Any]) -> None:
    world.exchange.press("cancel_by_venue", symbol=_code(world, values["symbol"]), stops=True)


def _another(world: World, values: dict[str, Any]) -> None:
    """An engine on another host trades this account."""
    client = f"enigma-{ANOTHER}{world.events:06d}"
    symbol = values["symbol"]
    if world.truth.held(symbol) or world.truth.our_live(symbol):
        # beside a position of ours it is an order that rests
        line = world.prices.lines[symbol]
        price = world.prices.instruments[symbol].price(line.price * 0.96)
        body = {
            "clientOid": client,
            "symbol": _code(world, symbol),
            "side": "buy",
            "type": "limit",
            "price": format(price, "f"),
            "size": 1,
            "leverage": 5,
            "marginMode": "ISOLATED",
        }
        world.by_hand("POST", "/api/v1/orders", body=body)
        world.witness.must_halt = "another engine trades this account"
        return
    _foreign(world, symbol, _trade(world, symbol, Decimal(2), reduces=False, client=client))
    if world.scenario.weather == "single":
        # an order that fills at once is known by what the private stream says of it alone
        world.witness.must_halt = "another engine trades this account"


def _pause(world: World, values: dict[str, Any]) -> None:
    world.exchange.press("pause", symbol=_code(world, values["symbol"]))
    world.witness.paused.add(values["symbol"])


def _unpause(world: World, values: dict[str, Any]) -> None:
    world.exchange.press("resume", symbol=_code(world, values["symbol"]))
    world.witness.paused.discard(values["symbol"])


def _money(amount: int) -> Callable[[World, dict[str, Any]], None]:
    def move(world: World, values: dict[str, Any]) -> None:
        with suppress(ValueError):
            world.exchange.press("deposit" if amount > 0 else "withdraw", amount=Decimal(abs(amount)))

    return move


def _taken(button: str) -> Callable[[World, dict[str, Any]], None]:
    """The exchange itself ends a position of ours."""

    def take(world: World, values: dict[str, Any]) -> None:
        for name in (values["symbol"], *world.prices.lines):
            if world.truth.held(name) and not world.witness.foreign.get(name):
                world.exchange.press(button, symbol=_code(world, name))
                world.witness.must_halt = f"the exchange has ended a position by itself ({button})"
                return

    return take


# the process and its operator


def _crash(world: World, values: dict[str, Any]) -> None:
    world.die()


def _restart(world: World, values: dict[str, Any]) -> None:
    world.current.stop.set()


def _freeze(world: World, values: dict[str, Any]) -> None:
    world.freeze(values["seconds"])


def _disk(world: World, values: dict[str, Any]) -> None:
    world.fill_disk()


def _halt(world: World, values: dict[str, Any]) -> None:
    world.spawn(world.halt())


def _halt_by_file(world: World, values: dict[str, Any]) -> None:
    world.spawn(world.halt(by_file=True))


def _reduce_only(world: World, values: dict[str, Any]) -> None:
    world.spawn(world.tell(lambda ts: StateSet(ts=ts, state="REDUCE_ONLY", reason="an operator wants it")))


def _resume(world: World, values: dict[str, Any]) -> None:
    world.witness.must_halt = ""
    world.spawn(world.resume())


def _reset(world: World, values: dict[str, Any]) -> None:
    world.spawn(world.tell(lambda ts: StreakReset(ts=ts, reason="an operator wants it")))


def _close(world: World, values: dict[str, Any]) -> None:
    world.spawn(world.tell(lambda ts: CloseWanted(ts=ts, symbol=values["symbol"], reason="an operator wants it")))


def _jump(world: World, values: dict[str, Any]) -> None:
    world.offset += values["ms"]


def _mood(world: World, values: dict[str, Any]) -> None:
    world.moods.set(values["part"], values["mood"])


def _configure(world: World, values: dict[str, Any]) -> None:
    world.spawn(world.configure(values))


def _disorder(world: World, values: dict[str, Any]) -> None:
    world.candles.disorder = values["disorder"]


def _stall(world: World, values: dict[str, Any]) -> None:
    world.stalled = True


def _flow(world: World, values: dict[str, Any]) -> None:
    world.stalled = False


DEEDS: dict[str, Callable[[World, dict[str, Any]], None]] = {
    "gap": _gap,
    "depth": _depth,
    "alert": _alert,
    "spell": _spell,
    "fault": _fault,
    "outage": _outage,
    "clog": _clog,
    "free": _free,
    "hand_close": _hand_close,
    "hand_reduce": _hand_reduce,
    "hand_cancel_stop": _hand_cancel_stop,
    "hand_open": _hand_open,
    "hand_flip": _hand_flip,
    "venue_cancels": _venue_cancels,
    "another": _another,
    "deposit": _money(1_500),
    "withdraw": _money(-700),
    "liquidate": _taken("liquidate"),
    "deleverage": _taken("deleverage"),
    "pause": _pause,
    "unpause": _unpause,
    "crash": _crash,
    "restart": _restart,
    "freeze": _freeze,
    "disk": _disk,
    "halt": _halt,
    "halt_by_file": _halt_by_file,
    "reduce_only": _reduce_only,
    "resume": _resume,
    "close": _close,
    "reset": _reset,
    "jump": _jump,
    "mood": _mood,
    "configure": _configure,
    "disorder": _disorder,
    "stall": _stall,
    "flow": _flow,
}
