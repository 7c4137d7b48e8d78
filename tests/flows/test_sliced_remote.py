"""Entries worked in slices at a venue that is somewhere else: on disk before they leave, and known again after a restart."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

from test_remote_venue import BTC, STEP, Elsewhere, Script, There, of, opened

from enigma_core.home import Home
from enigma_core.model import Fill, Order, OrderEnded, OrderSeen, Purpose, StateSet
from enigma_core.parts import Tell
from enigma_core.reading import Reader
from enigma_core.shells import run
from enigma_core.slicing import at_venue
from enigma_plugins.algorithms.twap import Twap
from enigma_plugins.exits.stop_loss import StopLoss
from markets import START, plan
from told import Told

BARS = 3
"""The third of them decides on an entry."""

LATER = START + BARS * STEP


def live(script: Any, home: Path, clock: list[int]) -> list[Any]:
    """A run until `script` is done with, at the time that `clock` says; what it recorded."""
    seen: list[Any] = []
    wrong: list[BaseException] = []

    async def session() -> None:
        stop = asyncio.Event()

        async def scripted(there: There, tell: Tell, ready: asyncio.Event) -> None:
            try:
                await asyncio.wait_for(script(there, tell, ready), 20.0)
            except BaseException as error:  # noqa: BLE001 - told to the test
                wrong.append(error)
            stop.set()

        made = plan(
            mode="live",
            sandbox=True,
            feed=Script(bars=BARS),
            executor=Elsewhere(script=scripted),
            indicators={"told": Told(table=(0.0, 0.0, 90.0, 0.0))},
            exits={"stop_loss": StopLoss()},
            algorithm=Twap(slices=3, seconds=60.0, jitter=0.0),
            services={},
        )
        with Home.open(home) as held:
            await run(made, held, stop=stop, observer=seen.append, wall=lambda: clock[0])

    asyncio.run(session())
    if wrong:
        raise wrong[0]
    return seen


def test_inv19_each_slice_leaves_only_once_it_is_on_disk_and_each_part_has_its_stop(tmp_path: Path) -> None:
    clock = [LATER]

    async def script(there: There, tell: Tell, ready: asyncio.Event) -> None:
        opened(there, tell, ready)
        held = Decimal(0)
        for number in (1, 2, 3):
            piece = await there.next(Purpose.ENTRY)
            assert piece.id == f"{piece.parent}-s{number}"
            tell([OrderSeen(ts=clock[0], order_id=piece.id, symbol=BTC, state="working"), there.filled(piece)])
            held += piece.quantity
            assert (await there.next(Purpose.STOP)).quantity == held
            clock[0] += 20_000
        account = there.ports.account
        assert account is not None
        assert not account.entries
        assert account.positions[BTC].quantity == held
        assert all(there.durable)

    records = live(script, tmp_path / "home", clock)
    (entry,) = [o for o in of(Order, records) if o.purpose is Purpose.ENTRY]
    fills = of(Fill, records)
    assert [f.order_id for f in fills] == [entry.id] * 3
    assert sum(f.quantity for f in fills) == entry.quantity
    assert [f.slice for f in fills] == [f"{entry.id}-s{n}" for n in (1, 2, 3)]


def test_p01_after_a_restart_the_venue_is_asked_for_slices_and_the_rest_is_worked_on(tmp_path: Path) -> None:
    clock = [LATER]
    sent: list[Order] = []

    async def begin(there: There, tell: Tell, ready: asyncio.Event) -> None:
        opened(there, tell, ready)
        piece = await there.next(Purpose.ENTRY)
        sent.append(piece)
        half = there.filled(piece)
        tell([Fill(**{f: getattr(half, f) for f in half.__struct_fields__} | {"quantity": piece.quantity // 2})])
        await there.next(Purpose.STOP)

    live(begin, tmp_path / "home", clock)

    async def go_on(there: There, tell: Tell, ready: asyncio.Event) -> None:
        account = there.ports.account
        assert account is not None
        given = at_venue([w.order for w in account.orders.values()], there.ports.slices)
        assert [o.id for o in given if o.purpose is Purpose.ENTRY] == [sent[0].id]
        opened(there, tell, ready)
        # while it was away the slice has ended
        tell([OrderEnded(ts=clock[0], order_id=sent[0].id, symbol=BTC, state="cancelled")])
        clock[0] += 25_000
        piece = await there.next(Purpose.ENTRY)
        parent = account.entries[BTC]
        assert piece.id == f"{parent.id}-s2"
        assert piece.quantity <= parent.quantity - sent[0].quantity // 2

    live(go_on, tmp_path / "home", clock)


def test_p01_an_entry_that_was_called_off_before_a_restart_is_not_worked_on(tmp_path: Path) -> None:
    clock = [LATER]
    sent: list[Order] = []

    async def begin(there: There, tell: Tell, ready: asyncio.Event) -> None:
        opened(there, tell, ready)
        sent.append(await there.next(Purpose.ENTRY))
        tell([StateSet(ts=clock[0], state="REDUCE_ONLY", reason="told to")])

    live(begin, tmp_path / "home", clock)

    async def go_on(there: There, tell: Tell, ready: asyncio.Event) -> None:
        account = there.ports.account
        assert account is not None
        opened(there, tell, ready)
        tell([StateSet(ts=clock[0], state="ACTIVE", reason="again")])
        clock[0] += 25_000
        # it filled before it could be cancelled: protected, and left
        tell([there.filled(sent[0])])
        assert (await there.next(Purpose.CLOSE)).reason == "called off"
        await asyncio.sleep(0.6)
        assert not [o for o in there.sent if o.purpose is Purpose.ENTRY and o.parent == sent[0].parent]
        assert sent[0].parent not in account.orders

    live(go_on, tmp_path / "home", clock)
    with Reader(tmp_path / "home" / "sandbox.sqlite") as reader:
        assert {o.id for o in reader.known_orders(0)} >= {sent[0].id}
