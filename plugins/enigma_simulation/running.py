"""One seed from beginning to end, and what was seen of it."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
import time
import types
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from enigma_core import chance
from enigma_core.model import Fill, Purpose, StateSet, StreakReset, Transferred
from enigma_core.parts import Algorithm
from enigma_core.plan import LeverageRule, Plan, Risk, Timeframes
from enigma_core.shells import desk as desk_module
from enigma_core.shells import stream as stream_module
from enigma_exchange.naming import client_id
from enigma_plugins.algorithms.iceberg import Iceberg
from enigma_plugins.algorithms.limit_chase import LimitChase
from enigma_plugins.algorithms.router import Router
from enigma_plugins.algorithms.twap import Twap
from enigma_plugins.algorithms.vwap import Vwap
from enigma_plugins.exits.stop_loss import StopLoss
from enigma_plugins.exits.take_profit import TakeProfit
from enigma_plugins.exits.trailing_stop import TrailingStop
from enigma_plugins.gates.circuit_breaker import CircuitBreaker
from enigma_plugins.gates.cooldown import Cooldown
from enigma_plugins.gates.drawdown import Drawdown
from enigma_plugins.gates.exposure import Exposure
from enigma_plugins.gates.max_positions import MaxPositions
from enigma_plugins.gates.score import Score
from enigma_plugins.gates.trading_state import TradingState
from enigma_plugins.indicators.atr import Atr
from enigma_plugins.indicators.rsi import Rsi
from enigma_plugins.sizers.fixed_fraction import FixedFraction
from enigma_simulation.deeds import befall
from enigma_simulation.loop import Stuck, VirtualLoop
from enigma_simulation.moody import moody
from enigma_simulation.network import CHANNELS
from enigma_simulation.ports import WorldExecutor, WorldFeed
from enigma_simulation.prices import TIMEFRAME
from enigma_simulation.scenario import Scenario, scenario
from enigma_simulation.witness import Rules, Violation
from enigma_simulation.world import DEPOSIT, World

STRICT = Decimal("0.0012")
"""The day's loss that ends trading in some worlds: prices rarely take as much from anybody as would in all others."""

RULES = Rules(positions=2, losses=3, drawdown=Decimal("0.03"), leverage=10, share=Decimal("0.08"), fee=Decimal("0.0006"))

CALM_KILL, TROUBLED_KILL = 5.0, 30.0
"""Seconds within which the kill switch has to have everything flat: in calm, and after faults have cleared."""

AGREE = 30.0
"""Seconds that engine and exchange have, once all has been calm for long, to be seen to agree."""

WAIT = 60.0
"""Seconds without faults after which nothing may be unknown any more."""

DUST = Decimal("0.02")
"""Less of the quote currency is rounding."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one seed came to."""

    seed: int
    weather: str
    faults: tuple[str, ...]
    events: int
    violations: tuple[Violation, ...]
    trace: str
    taken: dict[str, int]
    """How often the engine took a rare course, by its label."""
    longest_unprotected: float
    """Seconds that a position was without a stop, whatever the reason: the process may have been dead, or the exchange away."""
    longest_in_reach: float
    """Seconds of that in which something could have been done about it."""
    kills: tuple[float, ...]
    """Seconds that the kill switch took in calm."""
    entries: int
    trades: int
    lives: int
    seconds: float
    """Of the processor."""
    virtual: float


def rules_of(seed: int) -> Rules:
    """The limits of one world."""
    return msgspec.structs.replace(RULES, drawdown=STRICT) if seed % 8 == 7 else RULES


def plan_of(world: World) -> Plan:
    """What the engine of a simulated world trades by: few indicators, little patience, all kinds of exits."""
    seed = world.scenario.seed
    algorithms: dict[str, Algorithm] = {
        "limit_chase": LimitChase(patience=12.0),
        "twap": Twap(),
        "vwap": Vwap(slices=6, seconds=90.0),
        "iceberg": Iceberg(),
        # books are deep here: what decides is whether an order takes more than the best level
        "router": Router(at_market=4e-6, at_rest=1e-4, beyond="vwap", vwap=Vwap(slices=4, seconds=60.0)),
    }
    algorithm = algorithms.get(world.scenario.algorithm)
    ladder = ((0.05, 0.5), (0.12, 0.5)) if seed % 3 else ()
    plan = Plan(
        mode="live",
        sandbox=True,
        symbols=tuple(world.prices.lines),
        timeframes=Timeframes(primary=TIMEFRAME, secondary=None, available=(TIMEFRAME,)),
        indicators={"rsi": Rsi(period=5), "atr": Atr(period=7)},
        market_gates={"score": Score(min=8.0)},
        account_gates={
            "trading_state": TradingState(),
            "max_positions": MaxPositions(max=RULES.positions),
            "circuit_breaker": CircuitBreaker(max=RULES.losses),
            "drawdown": Drawdown(max=float(rules_of(seed).drawdown)),
            "exposure": Exposure(max=0.5),
            "cooldown": Cooldown(min=8.0),
        },
        sizer=FixedFraction(position_size=0.06, position_size_max=float(RULES.share)),
        exits={
            "stop_loss": StopLoss(roi=0.05),
            "trailing_stop": TrailingStop(activation_roi=0.02, distance_roi=0.012),
            "take_profit": TakeProfit(roi=0.08, ladder=ladder, resting=seed % 2 == 0),
        },
        leverage=LeverageRule(max=RULES.leverage),
        risk=Risk(),
        feed=WorldFeed(world=world),
        executor=WorldExecutor(world=world),
        algorithm=algorithm,
    )
    return moody(plan, world.moods) if any(deed.what == "mood" for deed in world.scenario.deeds) else plan


def simulate(
    seed: int, *, story: Scenario | None = None, folder: Path | None = None, tell: Callable[[str], None] | None = None
) -> Outcome:
    """Run one seed. The same seed gives the same outcome, but for the processor's time. `tell` is told all that happens."""
    story = story or scenario(seed)
    began = time.process_time()
    home = Path(tempfile.mkdtemp(prefix="enigma-simulation-", dir=_memory(folder)))
    loop = VirtualLoop(Random(f"{seed}/loop"))
    try:
        with _quiet(), _virtual_time(loop):
            world = World(story, loop, home, plan_of, rules_of(seed), tell)
            with chance.at_mercy_of(world.chance):
                return _outcome(world, loop, began)
    finally:
        loop.close()
        shutil.rmtree(home, ignore_errors=True)


def _outcome(world: World, loop: VirtualLoop, began: float) -> Outcome:
    witness = world.witness
    loop.set_exception_handler(lambda _, said: _callback_failed(world, said))
    try:
        loop.run_until_complete(_course(world))
    except Stuck as stuck:
        witness.fail("INV-25", str(stuck))
    return Outcome(
        seed=world.scenario.seed,
        weather=world.scenario.weather,
        faults=world.scenario.faults,
        events=world.events,
        violations=tuple(witness.violations),
        trace=world.hash,
        taken=dict(sorted(world.taken.items())),
        longest_unprotected=round(witness.longest, 3),
        longest_in_reach=round(witness.longest_in_reach, 3),
        kills=tuple(round(took, 3) for _, took in world.kills[-1:] if took is not None and world.scenario.kill),
        entries=witness.counts["Order"],
        trades=witness.counts["Trade"],
        lives=world.lives,
        seconds=time.process_time() - began,
        virtual=loop.time(),
    )


def _callback_failed(world: World, said: dict[str, Any]) -> None:
    error = said.get("exception")
    if "callback" in str(said.get("message", "")) and isinstance(error, Exception):
        world.witness.fail("LOOP", f"a callback failed: {type(error).__name__}: {error}")


async def _course(world: World) -> None:
    """Trouble, then calm, then the last questions."""
    story, witness = world.scenario, world.witness
    world.own.add(asyncio.current_task())  # type: ignore[arg-type]
    market = world.spawn(world.market())
    life = world.spawn(world.live())
    await befall(world)
    rest = story.ends - world.loop.time()
    if rest > 0:
        await asyncio.sleep(rest)
    _clear(world)
    await asyncio.sleep(WAIT)
    await _agree(world, AGREE)
    witness.now = world.loop.time()
    _unmoved_money(world)
    if story.kill and world.current.ready:
        await _kill(world)
    else:
        for at, took in world.kills[-1:]:
            if took is None and at < story.ends:
                witness.fail("INV-26", f"the kill switch was pulled at {at:.1f} s, and the account is not flat long after")
    await _again(world)
    world.over = True
    world.current.stop.set()
    await asyncio.wait([life], timeout=60.0)
    market.cancel()
    for task in [*world.own]:
        if task is not asyncio.current_task():
            task.cancel()
    await asyncio.sleep(0)


def _clear(world: World) -> None:
    """All faults are over."""
    world.trace("clear")
    world.calm = True
    world.exchange.faults.clear()
    world.outages.clear()
    for channel in CHANNELS:
        world.pipes.free(channel)
    world.stalled = False
    world.moods.clear()
    world.candles.disorder = ""
    world.offset = 0
    for line in world.prices.lines.values():
        line.depth = 20_000.0
        line.wild = min(line.wild, 0.0003)


async def _agree(world: World, patience: float) -> None:
    """Engine and exchange come to agree on everything, and nothing is unknown."""
    until = world.loop.time() + patience
    found: dict[str, str] = {}
    while world.loop.time() < until:
        found = differences(world)
        if not found:
            return
        await asyncio.sleep(0.4)
    world.witness.now = world.loop.time()
    for invariant, text in found.items():
        world.witness.fail(invariant, text)


def differences(world: World) -> dict[str, str]:
    """What engine and exchange do not agree on at this moment, by invariant."""
    now, truth, found = world.current, world.truth, dict[str, str]()
    if not now.ready or now.book is None or now.account is None or now.desk is None:
        return {"INV-25": "long after all faults the engine is not ready"}
    book, lives = now.book, now.account.lives
    doubtful = [life.order.id for life in lives if life.state in ("unknown", "sent", "noted")]
    if doubtful:
        found["INV-25"] = f"long after all faults nobody knows how {', '.join(doubtful)} stand"
    if now.desk.waiting:
        found["INV-25"] = f"{now.desk.waiting} alerts still wait"
    for (symbol, by), reason in book.blocks.items():
        if not (symbol and world.witness.foreign.get(symbol)) and "halt" not in reason:
            found["INV-25 block"] = f"{by} still blocks {symbol or 'everything'}: {reason}"
    for symbol in world.prices.lines:
        position = book.positions.get(symbol)
        ours = position.side * position.quantity if position is not None else Decimal(0)
        there = truth.held(symbol) - world.witness.foreign.get(symbol, Decimal(0))
        if ours != there:
            found["INV-22"] = f"{symbol}: the book holds {ours} contracts, the exchange {there}"
    wanted = {client_id(w.order.id): w for w in book.orders.values()}
    working = {order.client_id: order for order in truth.our_live()}
    if not world.scenario.algorithm:
        missing = [w.order.id for client, w in wanted.items() if client not in working and not w.order.id.startswith("x-")]
        if missing:
            found["INV-22 orders"] = f"orders {', '.join(missing)} are at work in the book, and not at the exchange"
        extra = [order.id for client, order in working.items() if client not in wanted]
        if extra:
            found["INV-22 left"] = f"orders {', '.join(extra)} are at the exchange, and nobody counts on them"
    stops: Counter[str] = Counter()
    for order in truth.our_live():
        if order.stop and order.reduce_only and client_id_purpose(world, order.client_id) is Purpose.STOP:
            stops[truth.symbols[order.symbol]] += order.left
    for symbol, quantity in stops.items():
        if quantity > abs(truth.held(symbol)):
            found["INV-16"] = f"{symbol}: stops of {quantity} contracts at the exchange, and {truth.held(symbol)} are held"
    if world.witness.must_halt and world.witness.account.state == "ACTIVE":
        found["X27"] = f"{world.witness.must_halt}, and trading goes on"
    if not world.scenario.algorithm:
        stale = [o.id for o in book.entries.values() if world.wall() - o.ts > 60_000]
        if stale:
            found["INV-25 entry"] = f"entries {', '.join(stale)} are at work long after they were meant to fill"
    exposed = world.witness.uncovered()
    if exposed:
        found["INV-13"] = f"{', '.join(exposed)} have no stop long after all faults"
    if not world.witness.foreign and abs(truth.wallet - book.cash) > DUST:
        found["INV-01"] = f"the book has {book.cash}, the exchange {truth.wallet}"
    return found


def client_id_purpose(world: World, client: str) -> Purpose | None:
    order = world.witness.durable.get(client)
    return order.purpose if order is not None else None


def _unmoved_money(world: World) -> None:
    """Money that came or went without a reason, in a world in which nobody else touched any."""
    stored = [r for r in world.witness.kept if isinstance(r, Transferred)]
    openings = [r.amount for r in stored if r.id == "opening"]
    # somebody else may have traded before the first look, and paid in or taken out
    wallets = world.truth.wallets
    if len(openings) != 1 or (not world.witness.foreign and all(abs(openings[0] - wallet) > DUST for wallet in wallets)):
        world.witness.fail("INV-01", f"the account began with {DEPOSIT}, and {openings} were booked as what it began with")
    if not world.witness.foreign:
        for record in stored:
            if record.id.startswith("balance-") and abs(record.amount) > DUST:
                world.witness.fail("INV-01", f"{record.amount} were booked that no fill, fee, funding or transfer explains")
    ids = {r.id for r in world.witness.kept if type(r).__name__ == "Alert"}
    for alert in world.acknowledged:
        if alert.id not in ids:
            world.witness.fail("INV-24", f"alert {alert.id} was acknowledged and is not on disk")


async def _kill(world: World) -> None:
    """The kill switch, in calm, while entries are on their way."""
    world.witness.must_halt = ""
    await world.resume()
    await world.tell(lambda ts: StreakReset(ts=ts, reason="before the end"))
    for number, symbol in enumerate(world.prices.lines):
        world.spawn(world.alert({"symbol": symbol, "action": "long", "key": f"kill{number}", "age": 0}))
    randoms = world.randoms("kill")
    await asyncio.sleep(randoms.choice((0.01, 0.05, 0.1, 0.4, 3.0)))
    way = randoms.choice(("both", "file", "command"))
    await world.halt(by_file=way == "file", by_command=way == "command")
    pulled = world.kills[-1][0]
    while world.kills[-1][1] is None and world.loop.time() - pulled < TROUBLED_KILL:
        await asyncio.sleep(0.1)
        world.look()
    took = world.kills[-1][1]
    if took is None or took > CALM_KILL:
        what = "never" if took is None else f"after {took:.1f} s"
        world.witness.fail("INV-26", f"the kill switch was pulled in calm, and the account was flat {what}")


async def _again(world: World) -> None:
    """A restart on a market that stands still: recovery finds nothing to do that was not known before."""
    for line in world.prices.lines.values():
        line.wild = 0.0
    if not world.current.ready:
        return
    if world.witness.account.state == "ACTIVE":
        # a bar that closes meanwhile may well be entered on
        await world.tell(lambda ts: StateSet(ts=ts, state="REDUCE_ONLY", reason="before the end"))
    await asyncio.sleep(6.0)
    before, done, written = Counter(world.witness.counts), world.there(), len(world.witness.kept)
    first = world.current
    first.stop.set()
    for _ in range(200):
        await asyncio.sleep(0.2)
        if world.current is not first and world.current.ready:
            break
    else:
        world.witness.fail("INV-25", "a restart in calm was never ready")
        return
    await asyncio.sleep(1.0)
    world.witness.now = world.loop.time()
    late = [r.id for r in world.witness.kept[written:] if isinstance(r, Fill) and r.ts < done - 1000]
    if late:
        world.witness.fail("INV-23", f"fills {', '.join(late)} had happened long before, and were told after a restart in calm")
    for kind in ("Transferred", "OrderFound", "ExternalSeen"):
        if world.witness.counts[kind] != before[kind]:
            world.witness.fail("INV-23", f"a restart in calm led to {kind} where nothing had happened")
    await _agree(world, 10.0)


@contextmanager
def _virtual_time(loop: VirtualLoop) -> Iterator[None]:
    """Seconds that pass for the engine are the loop's."""
    clock = types.SimpleNamespace(monotonic=loop.time, time=time.time, time_ns=time.time_ns)
    modules: list[Any] = [stream_module, desk_module]
    before = [module.time for module in modules]
    for module in modules:
        module.time = clock
    try:
        yield
    finally:
        for module, was in zip(modules, before, strict=True):
            module.time = was


@contextmanager
def _quiet() -> Iterator[None]:
    """What the engine would log of all this is not of interest: faults are made on purpose."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _memory(folder: Path | None) -> Path | None:
    """Where files cost the least."""
    shared = Path("/dev/shm")
    return folder or (shared if shared.is_dir() else None)
