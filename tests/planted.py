"""Bugs that are put into the engine on purpose, one at a time: the simulation has to find each of them.

Run by itself it looks for all of them: ``python tests/planted.py [--seeds 2000] [NAME...]``.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import Any

import msgspec

from enigma_core.book import Book
from enigma_core.engine import Engine
from enigma_core.model import Order, Purpose, StateSet
from enigma_core.shells.stream import Session
from enigma_core.shells.waiting import Waiting
from enigma_exchange.account import Timing
from enigma_exchange.account.asking import Asking
from enigma_exchange.account.comparing import Comparing
from enigma_exchange.account.fills import Fills
from enigma_exchange.account.finishing import Finishing
from enigma_exchange.account.life import Life
from enigma_exchange.account.lives import Lives
from enigma_exchange.account.sending import Sending
from enigma_exchange.account.settling import Settling
from enigma_exchange.account.shared import Shared
from enigma_exchange.account.upkeep import Upkeep
from enigma_exchange.account.venue import LiveAccount
from enigma_exchange.account.watching import Watching
from enigma_exchange.port import ExchangeError, Refused, Traded, Unclear
from enigma_plugins.gates.circuit_breaker import CircuitBreaker
from enigma_plugins.gates.drawdown import Drawdown

Patches = list[tuple[Any, str, Any]]
BUGS: dict[str, Callable[[], Patches]] = {}


def bug(make: Callable[[], Patches]) -> Callable[[], Patches]:
    """Register what puts a bug in: the objects, names and values to replace."""
    BUGS[make.__name__] = make
    return make


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Have the bug `name` in the engine meanwhile."""
    patches = BUGS[name]()
    before = [(where, what, where.__dict__[what]) for where, what, _ in patches]
    for where, what, value in patches:
        setattr(where, what, value)
    try:
        yield
    finally:
        for where, what, value in before:
            setattr(where, what, value)


def _timing(**values: float) -> Patches:
    made = LiveAccount.__init__

    def init(self: LiveAccount, api: Any, ports: Any, timing: Any = None, **more: Any) -> None:
        made(self, api, ports, msgspec.structs.replace(timing or Timing(), **values), **more)

    return [(LiveAccount, "__init__", init)]


# what came of a request


@bug
def timeout_is_failure() -> Patches:
    """An answer that does not come means that nothing was done."""
    answer = Asking.answer

    async def wrong(self: Asking, asking: Any) -> Any:
        try:
            return await answer(self, asking)
        except Unclear as unclear:
            raise Refused(str(unclear), unclear.code) from unclear

    return [(Asking, "answer", wrong)]


@bug
def absent_after_one_look() -> Patches:
    """One look that does not find an order proves that it is not there: neither fills nor the position are asked."""

    async def wrong(self: Finishing, life: Life) -> None:
        await self.end(life, "expired", "it never reached the exchange")

    return [(Life, "missed", lambda self, times, seconds: len(self.misses) >= 1), (Finishing, "prove", wrong)]


@bug
def cancel_is_believed() -> Patches:
    """A cancel that was accepted has ended the order: nobody looks at what filled meanwhile."""

    async def wrong(self: Sending, life: Life) -> None:
        shared = self._shared
        life.cancel_tried(shared.now())
        stop = life.is_stop and life.waits
        with suppress(ExchangeError):
            await shared.asking.do(shared.api.cancel(life.order.symbol, life.venue_id, life.client_id, stop=stop))
        await self._finishing.end(life, "cancelled", "called off")

    return [(Sending, "_cancel", wrong)]


@bug
def new_id_on_retry() -> Patches:
    """A request that is made again goes out under another client id."""
    placing = Life.placing

    def wrong(self: Life, quantity: Decimal, price: Decimal | None) -> Any:
        if self.tries:
            self.client_id = f"{self.client_id[:-2]}{self.tries:02d}"
        return placing(self, quantity, price)

    return [(Life, "placing", wrong)]


@bug
def sent_before_written() -> Patches:
    """Orders leave without waiting for the disk."""

    def wrong(self: LiveAccount, written: Any) -> None:
        done: Any = asyncio.get_running_loop().create_future()
        done.set_result(None)
        self._batches.append((self._noted, done))
        self._noted = []
        self._release()

    return [(LiveAccount, "dispatch", wrong)]


@bug
def stale_entries_are_sent() -> Patches:
    """An entry is sent however old it is."""
    return [(Shared, "fresh", lambda self, life: True)]


@bug
def exits_wait_like_entries() -> Patches:
    """What stops entries stops exits too."""
    send = Sending._send

    async def wrong(self: Sending, life: Life) -> None:
        if life.reduces and self._shared.blocks.reason(life.order.symbol):
            life.due = self._shared.now() + 1.0
            await asyncio.sleep(0.5)
            return
        await send(self, life)

    return [(Sending, "_send", wrong)]


@bug
def rest_of_an_entry_works_on() -> Patches:
    """An entry that has stalled is never called off."""
    return _timing(stall=80_000.0)


# fills and positions


@bug
def fee_is_forgotten() -> Patches:
    """What a fill cost in fees is not booked."""
    fill = Fills._fill

    def wrong(trade: Traded, order_id: str, quantity: Decimal, reason: str) -> Any:
        return msgspec.structs.replace(fill(trade, order_id, quantity, reason), fee=Decimal(0))

    return [(Fills, "_fill", staticmethod(wrong))]


@bug
def same_fill_twice() -> Patches:
    """A fill that was read before is told again after a restart."""

    def wrong(self: Fills, book: Any, instruments: Any, recorded: Any) -> None:
        made(self, book, instruments, lambda kind, name: False)

    made = Fills.__init__
    return [(Fills, "__init__", wrong)]


@bug
def funding_booked_twice() -> Patches:
    """Rows of funding are booked each time they are read."""
    return [(Upkeep, "_is_new", lambda self, kind, name, ts: True)]


@bug
def closed_by_hand_unnoticed() -> Patches:
    """Positions at the exchange are not compared with the book."""
    return [(Comparing, "one", lambda self, symbol, there, strays: None)]


@bug
def empty_snapshot_believed() -> Patches:
    """A list of positions that is empty once closes everything in the book."""
    compare = Comparing.one

    def wrong(self: Comparing, symbol: str, there: Any, strays: Any) -> None:
        position = self._book.positions.get(symbol)
        if position is None or there:
            compare(self, symbol, there, strays)
            return
        now = asyncio.get_running_loop().time()
        trade = Traded(
            id=f"gone-{now}",
            venue_id="gone",
            client_id="",
            symbol=symbol,
            side=-1 if position.side > 0 else 1,
            quantity=position.quantity,
            price=position.mark,
            fee=Decimal(0),
            ts=position.entry_ts + 1,
        )
        self._say(*self._fills.foreign(position, trade, position.quantity))

    return [(Comparing, "one", wrong)]


@bug
def late_order_ignored() -> Patches:
    """An order that was given up and turns up after all is nobody's."""
    return [(Settling, "revive", lambda self, life, reason: None), (Fills, "_entered", _entered_no_more())]


def _entered_no_more() -> Any:
    entered = Fills._entered

    def wrong(self: Fills, life: Life, trade: Traded) -> Any:
        return entered(self, life, trade) if (life.order.parent or life.order.id) in self._book.orders else []

    return wrong


@bug
def liquidation_unnoticed() -> Patches:
    """A liquidation is a close like any other."""
    halt = Shared.halt

    def wrong(self: Shared, reason: str) -> None:
        if "liquidation" not in reason and "adl" not in reason:
            halt(self, reason)

    return [(Shared, "halt", wrong)]


@bug
def another_instance_ignored() -> Patches:
    """Orders that another engine has sent are anybody's."""
    return [(Lives, "foreign", lambda self, client: False)]


# stops


@bug
def stop_not_resized() -> Patches:
    """A stop keeps its size when a target takes part of the position."""
    return [(Engine, "_stop_again", lambda self, fill, out: None)]


@bug
def stop_not_put_back() -> Patches:
    """A stop that somebody has cancelled stays cancelled."""
    ended = Engine._ended

    def wrong(self: Engine, report: Any, order: Order, out: Any) -> None:
        if order.purpose is not Purpose.STOP:
            ended(self, report, order, out)

    return [(Engine, "_ended", wrong), (Watching, "watch", _never)]


async def _never(self: Any) -> None:
    await asyncio.Event().wait()


@bug
def stop_on_the_wrong_side() -> Patches:
    """The stop of a short is one that falls."""
    placing = Life.placing

    def wrong(self: Life, quantity: Decimal, price: Decimal | None) -> Any:
        return msgspec.structs.replace(placing(self, quantity, price), falls=True)

    return [(Life, "placing", wrong)]


@bug
def stop_may_open() -> Patches:
    """Stops are sent without reduce-only."""
    placing = Life.placing

    def wrong(self: Life, quantity: Decimal, price: Decimal | None) -> Any:
        placed = placing(self, quantity, price)
        return msgspec.structs.replace(placed, reduce_only=False) if self.is_stop else placed

    return [(Life, "placing", wrong)]


@bug
def old_stop_goes_first() -> Patches:
    """A stop is cancelled before the one that replaces it is there."""
    return [(Lives, "wanted", lambda self, life: (life.order.parent or life.order.id) in self._book.orders)]


@bug
def trailing_stop_loosens() -> Patches:
    """A trailing stop follows the price in both directions."""
    manage = Engine._manage

    def wrong(self: Engine, symbol: str, *rest: Any) -> None:
        track = self._tracks[symbol]
        if track.rule:
            track.level -= 0.002 * abs(track.level)
        manage(self, symbol, *rest)

    return [(Engine, "_manage", wrong)]


@bug
def nobody_watches_protection() -> Patches:
    """A stop that cannot be placed is waited for, as long as it takes."""
    from enigma_exchange.account.protection import Protection

    return [(Protection, "overdue", lambda self, now, limit: [])]


# risk


@bug
def breaker_in_memory() -> Patches:
    """A restart forgets the losses in a row."""
    fold = Session._fold

    def wrong(self: Session, journal: Any) -> Any:
        found = fold(self, journal)
        self.book.losses_in_row = 0
        return found

    return [(Session, "_fold", wrong)]


@bug
def one_loss_too_many() -> Patches:
    """The breaker trips one loss too late: > where >= was meant."""
    return [(CircuitBreaker, "passes", lambda self, value: value <= self.max)]


@bug
def pending_entries_take_no_slot() -> Patches:
    """Slots count what has filled, and not what is on its way."""
    return [(Book, "slots", property(lambda self: len(self.positions)))]


@bug
def day_loss_counts_realised_only() -> Patches:
    """The day's loss leaves out what is held at a loss, and what was lost before it."""
    return [(Drawdown, "measure", lambda self, signal, account: 0.0)]


@bug
def halt_forgotten() -> Patches:
    """A restart trades on though it was halted."""
    fold = Session._fold

    def wrong(self: Session, journal: Any) -> Any:
        found = fold(self, journal)
        self.book.trading_state, self.book.flattening = "ACTIVE", False
        return found

    return [(Session, "_fold", wrong)]


@bug
def halt_leaves_entries() -> Patches:
    """The kill switch closes positions; what is on its way to one is not called off."""
    obey = Engine._obey

    def wrong(self: Engine, command: Any) -> Any:
        if not (isinstance(command, StateSet) and command.flatten):
            return obey(self, command)
        entries, self.book.entries = self.book.entries, {}
        try:
            return obey(self, command)
        finally:
            self.book.entries = entries
            self.book.flattening = False

    return [(Engine, "_obey", wrong)]


# alerts


@bug
def no_unique_key() -> Patches:
    """An alert that comes twice is worked twice."""

    return [(Waiting, "_look_up", lambda self, key: None)]


@bug
def acknowledged_before_written() -> Patches:
    """The sender is told that his alert is safe before it is on the disk."""

    def accept(self: Waiting, alerts: Any) -> Any:
        before = set(self._seen)
        found = asyncio.ensure_future(real(self, alerts))

        async def soon() -> list[str]:
            await asyncio.sleep(0)
            return ["duplicate" if alert.key in before else "accepted" for alert in alerts] if not found.done() else found.result()

        return soon()

    real = Waiting.accept
    return [(Waiting, "accept", accept)]


def find(name: str, seeds: int, first: int = 1) -> tuple[int, str] | None:
    """The first seed that fails with the bug `name` and not without it, and what it says of it."""
    from enigma_simulation.running import simulate

    for seed in range(first, first + seeds):
        with planted(name):
            outcome = simulate(seed)
        # what goes wrong anyway was not found
        if outcome.violations and not simulate(seed).violations:
            return seed, f"{outcome.violations[0].invariant}: {outcome.violations[0].text}"
    return None


def main(given: list[str]) -> int:
    """Look for the bugs named, all of them without names."""
    seeds = 2_000
    if "--seeds" in given:
        at = given.index("--seeds")
        seeds = int(given[at + 1])
        given = given[:at] + given[at + 2 :]
    missed = 0
    for name in given or BUGS:
        found = find(name, seeds)
        missed += found is None
        sys.stdout.write(f"{name}: {'NOT FOUND' if found is None else f'seed {found[0]}, {found[1]}'}\n")
        sys.stdout.flush()
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
