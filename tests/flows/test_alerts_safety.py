"""The kill switch, the last slot and a storm: what no alert and no moment may get round."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_alerts_recovery import BAR, A, traded, worked

from alerts import AlertDesk, Sending, alert, alert_plan, sent
from desk import Contracts
from enigma_core.alert import AlertWorked
from enigma_core.home import Home
from enigma_core.market import BookSeen, MarkSeen
from enigma_core.matching import SimulatedVenue
from enigma_core.model import Candles, Fill, Instrument, Order, OrderEnded, Purpose, StateSet
from enigma_core.parts import Desk
from enigma_core.plan import Plan, Risk
from enigma_core.shells.stream import Session
from enigma_plugins.exits.stop_loss import StopLoss
from enigma_plugins.gates.max_positions import MaxPositions
from enigma_plugins.gates.score import Score
from enigma_plugins.gates.veto import Veto
from markets import START, instrument, plan
from runs import Given, account, begun, on, standing, steps

E = 50_000.0
SYMBOLS = tuple(f"{name}/USDT:USDT" for name in ("AAA", "BBB", "CCC", "DDD"))


# the last slot


def test_r05_alerts_that_race_for_the_last_slots_never_get_more_than_there_are(tmp_path: Path) -> None:
    """A thousand interleavings through the inbox and the engine."""
    rng = random.Random(5)
    chosen = traded(bars=20, names=SYMBOLS, account_gates={"max_positions": MaxPositions(max=2)})

    def work(session: Session, share: float = 1.0) -> None:
        assert session._waiting is not None
        while rng.random() < share and (one := session._waiting.next()) is not None:
            session.work(one)

    async def race(session: Session, desk: Desk, n: int) -> None:
        async def late(symbol: str, word: str) -> None:
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(0)
            await desk.accept([alert(word, id=f"A{n}-{symbol}", symbol=symbol, received=START)])
            work(session, 0.5)

        words = [(symbol, rng.choice(["long", "short"])) for symbol in SYMBOLS]
        rng.shuffle(words)
        await asyncio.gather(*(late(*word) for word in words))
        work(session)
        assert session.book.slots == 2
        await desk.accept([alert("cancel", id=f"A{n}-c{symbol}", symbol=symbol, received=START) for symbol in SYMBOLS])
        work(session)
        assert session.book.slots == 0

    async def done() -> None:
        assert chosen.feed is not None
        with Home.open(tmp_path) as held:
            session = Session(chosen, chosen.feed, SYMBOLS, {s: chosen.instrument(s) for s in SYMBOLS}, lambda _: None, None)
            session.wall = lambda: START
            session._governor.risk = Risk(entries_per_minute_symbol=10**6, entries_per_minute=10**6, entries_per_day=10**6)
            opened = held.journal("paper", "given", synchronous="OFF")
            session.recover(opened, (), held.path)
            assert session._desk is not None
            async for event in chosen.feed.stream(SYMBOLS, "5m", None):
                session.take(event)
                if event.ts >= START + 15 * BAR:
                    break
            for n in range(1000):
                await race(session, session._desk, n)
            await session.close()
            opened.close()

    asyncio.run(done())


def test_r06_opposite_signals_of_one_symbol_together_give_one_position_never_both(tmp_path: Path) -> None:
    moment = START + 20 * BAR
    for n, words in enumerate([("long", "short"), ("short", "long"), ("long", "short", "long", "short")]):

        async def together(clock: Sending, words: tuple[str, ...] = words) -> None:
            assert clock.desk is not None
            desk = clock.desk
            await asyncio.gather(
                *(desk.accept([alert(w, id=f"A{i}", symbol=A, source=f"s{i}", received=moment)]) for i, w in enumerate(words))
            )

        home = tmp_path / str(n)
        found = sent(traded(bars=40), home, [(moment, together)])
        assert len(worked(home)) == len(words)
        held = 0
        for fill in found.of(Fill):
            if fill.symbol == A:
                before, held = held, held + fill.side * int(fill.quantity)
                assert before * held >= 0, "it is flat before it is on the other side"
        assert {f.symbol for f in found.of(Fill)} == {A}


# the kill switch

DEEP = 10_000.0


def at_close(book: float) -> BookSeen:
    """A book at the close of bar 20 that has so many base units at its best price."""
    ts = START + 20 * BAR
    return BookSeen(ts, A, ((99.9, book),), ((100.0, book),))


def steady(n: int = 30) -> Candles:
    close = np.full(n, 100.0)
    return Candles.of(A, "5m", START + np.arange(n) * BAR, close, close + 0.1, close - 0.1, close, np.ones(n))


def steadily(book: float | None) -> Plan:
    feed = Given(
        candles={A: steady()},
        instruments={A: instrument(A)},
        seen=() if book is None else (at_close(book),),
    )
    gates = {"score": Score(min=150.0)}
    return on(plan(market_gates=gates, exits={"stop_loss": StopLoss(roi=0.3)}, sizer=Contracts(quantity=Decimal(24))), feed)


async def halted(clock: Sending) -> None:
    assert clock.desk is not None
    await clock.desk.tell(StateSet(ts=clock.desk.now(), state="HALTED", reason="enough", flatten=True))


@pytest.mark.parametrize("book", [None, 0.07, DEEP], ids=["next open", "filled in part", "filled at once"])
@pytest.mark.parametrize("when", [19, 20, 21, 22], ids=["before", "while it works", "held", "later"])
@pytest.mark.parametrize("closing", [False, True], ids=["", "already closing"])
def test_r07_the_kill_switch_ends_flat_at_every_step_of_an_entry_and_stays_so(
    tmp_path: Path, book: float | None, when: int, closing: bool
) -> None:
    moment = START + 20 * BAR
    acts: list[tuple[int, Any]] = [(moment, alert("long", id="A1", symbol=A, received=moment))]
    if closing:
        acts.append((START + max(when, 20) * BAR, alert("close", id="A2", symbol=A, received=moment)))
    acts += [(START + when * BAR, halted), (START + when * BAR, halted)]
    if when == 19:
        acts.insert(0, acts.pop())
        acts.insert(0, acts.pop())
    acts.append((START + 24 * BAR, alert("long", id="A9", symbol=A, received=START + 24 * BAR)))
    sent(steadily(book), tmp_path / "whole", acts)
    taken = steps(tmp_path / "whole")
    end = account(tmp_path / "whole")
    assert not end["positions"]
    assert not end["orders"]
    assert end["state"] == "HALTED"
    assert worked(tmp_path / "whole")["A9"].reason == "refused by trading_state"
    first = next(i for i, (_, step) in enumerate(taken, 1) if any(type(r) is StateSet for r in step))
    for kept in range(first, min(first + 5, len(taken))):
        home = begun(tmp_path / str(kept), "given", taken[:kept])
        sent(steadily(book), home)
        found = account(home)
        assert not found["positions"]
        assert not found["orders"]
        assert found["state"] == "HALTED"


class Late(SimulatedVenue):
    """Cannot cancel any more: what works fills all the same."""

    def cancel(self, order_id: str) -> None:
        if not order_id.endswith("-in"):
            super().cancel(order_id)


@pytest.mark.parametrize("times", [1, 3])
def test_r07_an_entry_that_fills_after_the_kill_switch_is_closed_at_once(times: int) -> None:
    desk = AlertDesk()
    desk.venue = Late(desk.instruments, desk.plan.costs, {})
    desk.bar(E)
    desk.told("long")
    for _ in range(times):
        desk.halted()
    desk.bar(E)
    desk.bar(E)
    assert desk.side == 0
    assert [f.side for f in desk.fills] == [1, -1]
    assert not desk.book.orders
    desk.told("long")
    desk.bar(E, score=100.0)
    desk.bar(E)
    assert len(desk.fills) == 2


def test_r07_what_is_called_off_by_a_venue_that_says_so_later_frees_its_slot_once() -> None:
    desk = AlertDesk()
    desk.bar(E)
    desk.told("long")
    desk.halted()
    assert len(desk.of(OrderEnded)) == 1
    assert not desk.book.entries


@pytest.mark.parametrize("state", ["HALTED", "REDUCE_ONLY"])
def test_an_entry_that_works_is_called_off_when_entries_stop(state: Any) -> None:
    desk = AlertDesk()
    desk.bar(E)
    desk.told("long")
    desk.commanded(StateSet(ts=desk.now, state=state, reason="told to"))
    desk.bar(E)
    assert desk.side == 0


# a veto within a bar


@pytest.mark.parametrize(("later", "outcome"), [(59_999, "refused"), (60_000, "entered")])
def test_i06_a_veto_that_has_ended_blocks_nobody_though_its_bar_has_not_closed(tmp_path: Path, later: int, outcome: str) -> None:
    moment = START + 20 * BAR
    seen = (MarkSeen(moment + later, A, 100.0, 100.0),)
    chosen = traded(bars=30, seen=seen, market_gates={"score": Score(min=150.0), "veto": Veto()})
    acts = [
        (moment, alert("long", id="A1", symbol=A, mode="veto", ttl=60_000, received=moment)),
        (moment + later, alert("short", id="A2", symbol=A, received=moment + later)),
    ]
    sent(chosen, tmp_path, acts, last=moment + BAR - 1)
    assert [w.outcome for w in worked(tmp_path).values()] == ["vetoed", outcome]


# a storm


@pytest.mark.parametrize("often", [400, pytest.param(10_000, marks=pytest.mark.soak)])
def test_r17_a_storm_of_alerts_halts_trading(tmp_path: Path, often: int) -> None:
    moment = START + 20 * BAR

    async def storm(clock: Sending) -> None:
        assert clock.desk is not None
        desk = clock.desk
        for n in range(often):
            word = {"action": "long"} if n % 2 else {"action": "cancel"}
            await desk.accept([alert(**word, id=f"A{n}", symbol=A, received=moment)])  # type: ignore[arg-type]

    found = sent(traded(bars=30), tmp_path, [(moment, storm)])
    entries = [o for o in found.of(Order) if o.purpose is Purpose.ENTRY]
    assert len(entries) == Risk().entries_per_minute_symbol
    assert account(tmp_path)["state"] == "HALTED"
    (halt,) = found.of(StateSet)
    assert halt.reason.startswith("governor: 6 entries in AAA/USDT:USDT within a minute")
    assert len(worked(tmp_path)) == often


def test_r17_signals_of_a_plugin_that_runs_away_halt_trading() -> None:
    from enigma_core.shells.governor import Governor

    names = tuple(f"S{n}/USDT:USDT" for n in range(40))
    desk = AlertDesk(alert_plan(), instruments={s: Instrument(symbol=s) for s in names}, at_once=True)
    governor = Governor(desk.plan.risk)
    for bar in range(250):
        wild = 100.0 if bar % 2 else -100.0
        for record in desk.bars(dict.fromkeys(names, (E, E, E, E)), score=wild):
            halt = governor.see(record) if type(record) is Order else None
            if halt is not None and desk.book.trading_state == "ACTIVE":
                desk.commanded(halt)
        if desk.book.trading_state != "ACTIVE":
            break
    assert desk.book.trading_state == "HALTED"
    assert len(desk.entries) == 40


# rehearsing

LATER = START + 60 * BAR


def known(session: Session) -> Any:
    """All that a run knows of its account, its senders and its markets."""
    answering = session.engine.answering
    tracks = {s: (t.level, t.rule, t.closing, t.path.close.tolist()) for s, t in session.engine._tracks.items()}
    markets = {s: (m.vote, m.veto) for s, m in session._markets.items()}
    counted = (dict(session.engine.rejected), list(session._governor._entries), session.book.trading_state)
    return standing(session.book), dict(answering._marks), dict(answering.awaited), tracks, markets, counted


def test_a_rehearsal_changes_nothing(tmp_path: Path) -> None:
    checked = []

    async def rehearsed(clock: Sending) -> None:
        desk: Any = clock.desk
        before = known(desk._session)
        for word in ("long", "short", "close", "reverse", "reduce", "cancel", "halt"):
            for mode in ("vote", "trigger", "signal", "veto"):
                for symbol in (A, "DOGE/USDT:USDT"):
                    outcome, _ = desk.rehearse(alert(word, symbol=symbol).request, mode)
                    assert type(outcome) is AlertWorked
                    checked.append(outcome.outcome)
        assert known(desk._session) == before

    acts: list[tuple[int, Any]] = [
        (START + 12 * BAR, rehearsed),
        (START + 13 * BAR, alert("long", id="A1", symbol=A, mode="vote", received=LATER)),
        (START + 13 * BAR, rehearsed),
        (START + 14 * BAR, alert("long", id="A2", symbol=A, received=LATER, sent=LATER)),
        (START + 14 * BAR, rehearsed),
        (START + 16 * BAR, rehearsed),
        (START + 16 * BAR, alert("short", id="A3", symbol=A, position="short", received=LATER, sent=LATER)),
        (START + 16 * BAR, rehearsed),
        (START + 18 * BAR, rehearsed),
    ]
    with_it = sent(traded(bars=30), tmp_path / "with", acts)
    without = sent(traded(bars=30), tmp_path / "without", [act for act in acts if act[1] is not rehearsed])
    assert len(checked) == 6 * 56
    assert {"entered", "closed", "voted", "vetoed", "nothing", "refused", "halted", "held", "cancelled"} <= set(checked)
    assert [r for r in with_it.records if hasattr(r, "ts")] == [r for r in without.records if hasattr(r, "ts")]


def test_a_rehearsal_says_what_then_happens(tmp_path: Path) -> None:
    said: list[tuple[str, str]] = []

    def both(word: str, n: int) -> list[tuple[int, Any]]:
        moment = START + (12 + 3 * n) * BAR

        async def rehearsed(clock: Sending) -> None:
            assert clock.desk is not None
            outcome, _ = clock.desk.rehearse(alert(word, symbol=A).request, "signal")
            said.append((outcome.outcome, outcome.reason))

        return [(moment, rehearsed), (moment, alert(word, id=f"A{n}", symbol=A, received=LATER))]

    words = ["close", "long", "long", "reduce", "short", "cancel", "close", "reverse"]
    sent(traded(bars=60), tmp_path, [act for n, word in enumerate(words) for act in both(word, n)])
    assert said == [(w.outcome, w.reason) for w in worked(tmp_path).values()]


def test_r17_a_restart_does_not_make_the_governor_forget(tmp_path: Path) -> None:
    moment = START + 20 * BAR
    risk = Risk(entries_per_day=3)
    for n in range(3):
        acts = [
            (moment, alert("long", id=f"A{n}", symbol=A, received=moment)),
            (moment, alert("cancel", id=f"C{n}", symbol=A, received=moment)),
        ]
        sent(traded(bars=30, risk=risk), tmp_path, acts, last=moment, wall=moment)
        moment += BAR
    assert account(tmp_path)["state"] == "HALTED"
