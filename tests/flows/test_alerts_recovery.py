"""A run that died between any two steps goes on with its alerts as if it had not: each worked once, exits first, none late."""

from __future__ import annotations

import asyncio
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts import SOURCE, Sending, alert, sent
from enigma_core.alert import Alert, AlertWorked
from enigma_core.market import BookSeen, MarkSeen
from enigma_core.model import Fill, Order, Purpose, StateSet, Trade
from enigma_core.plan import Plan
from enigma_core.reading import Reader
from enigma_plugins.exits.stop_loss import StopLoss
from enigma_plugins.gates.max_positions import MaxPositions
from enigma_plugins.gates.score import Score
from enigma_plugins.microstructure.tradingview import TradingView
from markets import START, instrument, plan, random_candles
from runs import Given, account, begun, facts, on, steps

BAR = 300_000
NAMES = ("AAA/USDT:USDT", "BBB/USDT:USDT")
A = NAMES[0]
WORDS: list[dict[str, Any]] = [
    {"action": "long"},
    {"action": "short"},
    {"action": "long", "position": "long"},
    {"action": "short", "position": "short", "previous": "long"},
    {"position": "flat"},
    {"action": "close", "closes": "long"},
    {"action": "reverse"},
    {"action": "reduce", "quantity": Decimal(10), "unit": "contracts"},
    {"action": "cancel"},
    {"action": "long", "leverage": Decimal(2), "stop": Decimal("90"), "take_profit": Decimal("180")},
]


def traded(seed: int = 1, bars: int = 60, seen: tuple[Any, ...] = (), names: tuple[str, ...] = NAMES, **changes: Any) -> Plan:
    """A market that only alerts enter: nobody's score is enough."""
    candles = {s: random_candles(s, bars, seed + i, volatility=0.002) for i, s in enumerate(names)}
    defaults: dict[str, Any] = {
        "market_gates": {"score": Score(min=150.0)},
        "microstructure": {"tradingview": TradingView()},
        "exits": {"stop_loss": StopLoss(roi=0.3)},
    }
    feed = Given(candles=candles, instruments={s: instrument(s) for s in candles}, seen=seen)
    return on(plan(**(defaults | changes)), feed)


@st.composite
def messages(draw: st.DrawFn) -> list[tuple[int, Alert]]:
    """Alerts at closes of bars, sometimes several at one."""
    found = []
    at = 10
    for n in range(draw(st.integers(1, 8))):
        at += draw(st.sampled_from([0, 0, 1, 2, 5]))
        word = draw(st.sampled_from(WORDS))
        moment = START + at * BAR
        mode: Any = draw(st.sampled_from(["signal", "signal", "trigger", "vote", "veto"]))
        symbol = draw(st.sampled_from(NAMES))
        found.append((moment, alert(**word, id=f"A{n}", symbol=symbol, mode=mode, sent=moment + n, received=moment)))
    return found


@settings(max_examples=8)
@given(acts=messages(), cuts=st.lists(st.floats(0, 1), min_size=1, max_size=4), seed=st.integers(0, 50))
def test_s01_p01_a_run_that_died_after_any_step_works_its_alerts_as_if_it_had_not(
    acts: list[tuple[int, Alert]], cuts: list[float], seed: int
) -> None:
    traded_plan = traded(seed)
    with tempfile.TemporaryDirectory() as folder:
        whole, again = Path(folder, "whole"), Path(folder, "again")
        sent(traded_plan, whole, acts)
        taken = steps(whole)
        # what is of interest happens around the alerts
        of_alerts = [i for i, (_, step) in enumerate(taken) if any(type(r) in (Alert, AlertWorked, Order, Fill) for r in step)]
        for number, share in enumerate(cuts):
            kept = of_alerts[int(share * (len(of_alerts) - 1))] + 1
            home = begun(again.with_name(f"again{number}"), "given", taken[:kept])
            # whoever sends has no answer, so he sends all of it again
            sent(traded_plan, home, acts)
            assert facts(home) == facts(whole)
            assert account(home) == account(whole)


def worked(home: Path) -> dict[str, Any]:
    """What became of each alert."""
    found: dict[str, Any] = {}
    for _, records in steps(home):
        for record in records:
            if type(record) is AlertWorked:
                assert record.id not in found
                found[record.id] = record
    return found


def waiting(home: Path) -> list[str]:
    with Reader(home / "paper.sqlite") as reader:
        return [a.id for a in reader.waiting_alerts()]


def died(plan: Plan, home: Path, last: int, *left: Alert) -> Path:
    """A run that ended at `last`, and the alerts it had acknowledged and not worked."""
    sent(plan, home, last=last)
    taken = steps(home)
    return begun(home.with_name("died"), "given", [*taken, *((taken[-1][0], [one]) for one in left)])


def test_s01_what_was_acknowledged_and_not_worked_is_worked_once(tmp_path: Path) -> None:
    moment = START + 20 * BAR
    home = died(traded(), tmp_path / "run", moment, alert("long", symbol=A, received=moment))
    assert waiting(home) == ["A1"]
    for _ in range(2):
        sent(traded(), home, last=moment + 3 * BAR, wall=moment)
    assert waiting(home) == []
    assert worked(home)["A1"].outcome == "entered"
    entries = [r for _, step in steps(home) for r in step if type(r) is Order and r.purpose is Purpose.ENTRY]
    assert [o.id for o in entries] == ["A1-in"]


@pytest.mark.parametrize(("late", "outcome"), [(-1, "entered"), (0, "entered"), (1, "expired")])
def test_i06_i29_what_waited_is_worked_after_a_restart_only_while_it_is_fresh(tmp_path: Path, late: int, outcome: str) -> None:
    moment = START + 20 * BAR
    home = died(traded(), tmp_path / "run", moment, alert("long", symbol=A, received=moment, sent=moment))
    sent(traded(), home, last=moment, wall=moment + 60_000 + late)
    assert worked(home)["A1"].outcome == outcome


@pytest.mark.parametrize(("late", "held"), [(899_999, False), (900_000, False), (900_001, True)])
def test_i06_an_exit_is_obeyed_for_longer(tmp_path: Path, late: int, held: bool) -> None:
    moment = START + 20 * BAR
    first = [(moment - 3 * BAR, alert("long", symbol=A, received=moment - 3 * BAR))]
    sent(traded(), tmp_path, first, last=moment)
    home = begun(tmp_path / "died", "given", [*steps(tmp_path), (moment, [alert("close", id="A2", symbol=A, received=moment)])])
    sent(traded(), home, last=moment + 2 * BAR, wall=moment + late)
    assert (A in account(home)["positions"]) is held
    assert worked(home)["A2"].outcome == ("expired" if held else "closed")


def test_i06_a_limit_of_the_messages_own_shortens_and_never_lengthens(tmp_path: Path) -> None:
    moment = START + 20 * BAR
    ours: dict[str, Any] = {"symbol": A, "received": moment, "sent": moment}
    shorter, longer = alert("long", id="A1", max_lag=60_000, **ours), alert("long", id="A2", max_lag=60_000, **ours)
    requests = [msgspec.structs.replace(one.request, max_lag=lag) for one, lag in ((shorter, 5_000), (longer, 900_000))]
    left = [msgspec.structs.replace(o, request=r) for o, r in zip((shorter, longer), requests, strict=True)]
    home = died(traded(), tmp_path / "run", moment, *left)
    sent(traded(), home, last=moment, wall=moment + 60_001)
    assert {w.outcome for w in worked(home).values()} == {"expired"}
    assert "5 s are allowed" in worked(home)["A1"].reason
    assert "60 s are allowed" in worked(home)["A2"].reason


def test_after_a_restart_exits_go_first(tmp_path: Path) -> None:
    moment = START + 20 * BAR
    plan = traded(account_gates={"max_positions": MaxPositions(max=1)})
    sent(plan, tmp_path, [(moment - 3 * BAR, alert("long", id="A0", symbol=A, received=moment))], last=moment)
    left = [alert("long", id="A1", symbol=NAMES[1], received=moment), alert("close", id="A2", symbol=A, received=moment)]
    home = begun(tmp_path / "died", "given", [*steps(tmp_path), *((moment, [one]) for one in left)])
    sent(plan, home, last=moment + BAR, wall=moment)
    assert list(worked(home)) == ["A0", "A2", "A1"]


def test_an_exit_that_waited_is_obeyed_though_a_later_entry_that_waited_too_has_expired(tmp_path: Path) -> None:
    moment = START + 20 * BAR
    sent(traded(), tmp_path, [(moment - 3 * BAR, alert("long", id="A0", symbol=A, received=moment))], last=moment)
    left = [
        alert("close", id="A1", closes="long", symbol=A, received=moment, sent=moment),
        alert("short", id="A2", symbol=A, received=moment, sent=moment + 1),
    ]
    home = begun(tmp_path / "died", "given", [*steps(tmp_path), *((moment, [one]) for one in left)])
    sent(traded(), home, last=moment + 2 * BAR, wall=moment + 120_000)
    assert {i: w.outcome for i, w in worked(home).items()} == {"A0": "entered", "A1": "closed", "A2": "expired"}
    assert A not in account(home)["positions"]


def test_what_expired_puts_nothing_out_of_order_after_a_restart_either(tmp_path: Path) -> None:
    moment = START + 20 * BAR
    acts = [
        (moment - 3 * BAR, alert("long", id="A0", symbol=A, received=moment)),
        (moment, alert("short", id="A1", symbol=A, received=moment, sent=moment - 61_000)),
    ]
    late = alert("close", id="A2", closes="long", symbol=A, received=moment, sent=moment - 62_000)
    sent(traded(), tmp_path / "again", acts, last=moment, wall=moment)
    sent(traded(), tmp_path / "again", [(0, late)], last=moment + 5 * BAR, wall=moment)
    assert worked(tmp_path / "again")["A1"].outcome == "expired"
    assert worked(tmp_path / "again")["A2"].outcome == "closed"


@pytest.mark.parametrize("word", [{"action": "short", "position": "short"}, {"action": "reverse"}], ids=str)
def test_a_flip_cut_anywhere_ends_the_same(tmp_path: Path, word: dict[str, Any]) -> None:
    moment = START + 20 * BAR
    acts = [
        (moment - 3 * BAR, alert("long", id="A0", symbol=A, received=moment, sent=moment - 3 * BAR)),
        (moment, alert(**word, id="A1", symbol=A, received=moment, sent=moment)),
    ]
    sent(traded(bars=30), tmp_path / "whole", acts)
    taken = steps(tmp_path / "whole")
    assert account(tmp_path / "whole")["positions"][A]["side"] == -1
    for kept in range(10, len(taken)):
        if any(type(r) in (Alert, AlertWorked, Order, Fill, Trade) for r in taken[kept - 1][1]):
            home = begun(tmp_path / str(kept), "given", taken[:kept])
            sent(traded(bars=30), home, acts)
            assert facts(home) == facts(tmp_path / "whole")


# in the middle of a bar


def middle(price: float, at: int) -> MarkSeen:
    """Time goes on within a bar."""
    return MarkSeen(at, A, price, price)


def fell(n: int = 30, drop: int = 20) -> Any:
    """A flat market but for one bar, which falls far at first and comes back before its end."""
    import numpy as np

    from enigma_core.model import Candles

    close = np.full(n, 100.0) + 0.1 * (np.arange(n) % 2)
    low = close - 0.2
    low[drop] = 60.0
    return Candles.of(A, "5m", START + np.arange(n) * BAR, close, close + 0.2, low, close, np.ones(n))


@pytest.mark.parametrize("book", [True, False], ids=["fills at once", "fills at the next open"])
def test_an_entry_in_the_middle_of_a_bar_is_not_stopped_by_what_the_bar_did_before_also_after_a_restart(
    tmp_path: Path, book: bool
) -> None:
    at = START + 20 * BAR + 200_000
    deep = BookSeen(at, A, ((99.9, 10_000.0),), ((100.1, 10_000.0),))
    seen = (deep,) if book else (middle(100.0, at),)
    feed = Given(candles={A: fell()}, instruments={A: instrument(A)}, seen=seen)
    settings = plan(market_gates={"score": Score(min=150.0)}, exits={"stop_loss": StopLoss(roi=0.3)})
    acts = [(at, alert("long", symbol=A, received=at))]
    sent(on(settings, feed), tmp_path / "whole", acts)
    held = account(tmp_path / "whole")["positions"][A]
    assert held["entry_ts"] == (at if book else START + 21 * BAR), "never at an open that was before it"
    taken = steps(tmp_path / "whole")
    first = next(i for i, (_, step) in enumerate(taken, 1) if any(type(r) is AlertWorked for r in step))
    for kept in range(first, len(taken)):
        home = begun(tmp_path / str(kept), "given", taken[:kept])
        sent(on(settings, feed), home, acts)
        assert account(home) == account(tmp_path / "whole")
        assert facts(home) == facts(tmp_path / "whole")


# while it recovers, and the kill switch


def test_i29_an_alert_that_comes_while_the_run_recovers_is_written_and_worked_once_it_is_ready(tmp_path: Path) -> None:
    from enigma_core.home import Home
    from enigma_core.shells.stream import Session

    async def done() -> list[str]:
        chosen = traded()
        assert chosen.feed is not None
        records: list[Any] = []
        with Home.open(tmp_path) as held:
            session = Session(chosen, chosen.feed, NAMES, {s: chosen.instrument(s) for s in NAMES}, records.append, None)
            session.wall = lambda: START
            opened = held.journal("paper", "given")
            session.recover(opened, (), held.path)
            desk = session._desk
            assert desk is not None
            assert desk.state == "recovering"
            fresh, stale = alert("long", id="A1", symbol=A), alert("long", id="A2", symbol=A, sent=START - 60_001)
            assert await desk.accept([fresh, stale]) == ["accepted", "accepted"]
            assert not [r for r in records if type(r) is AlertWorked]
            clock = Sending([])
            clock.desk = desk
            await session.trade(asyncio.Event(), clock)
            await session.close()
            opened.close()
        return [r.outcome for r in records if type(r) is AlertWorked]

    assert asyncio.run(done()) == ["refused", "expired"]


def test_p04_the_same_alert_on_two_hosts_has_the_same_client_order_ids(tmp_path: Path) -> None:
    moment = START + 20 * BAR
    found = []
    for host, seed in (("one", 1), ("two", 7)):
        sent(traded(seed), tmp_path / host, [(moment, alert("long", id="Axyz", symbol=A, received=moment, source=SOURCE))])
        found.append([r.id for _, step in steps(tmp_path / host) for r in step if type(r) is Order and r.purpose is Purpose.ENTRY])
    assert found == [["Axyz-in"]] * 2


def test_r08_a_halt_is_honoured_before_the_first_event_and_before_what_waits(tmp_path: Path) -> None:
    moment = START + 20 * BAR
    home = died(traded(), tmp_path / "run", moment, alert("long", symbol=A, received=moment))
    (home / "HALT").write_text("enough\n")
    found = sent(traded(), home, last=moment + 3 * BAR, wall=moment)
    first = next(r for r in found.records if type(r) in (StateSet, AlertWorked, Order))
    assert type(first) is StateSet
    assert (first.state, first.reason, first.flatten) == ("HALTED", "enough", True)
    assert worked(home)["A1"].reason == "refused by trading_state"
    assert not found.of(Order)


def test_all_that_waited_is_worked_before_the_first_event(tmp_path: Path) -> None:
    moment = START + 20 * BAR
    left = [alert("long", id=f"A{n}", symbol=NAMES[n % 2], received=moment) for n in range(600)]
    home = died(traded(), tmp_path / "run", moment, *left)
    found = sent(traded(), home, last=moment + 3 * BAR, wall=moment)
    before = [r for r in found.records[: next(i for i, r in enumerate(found.records) if type(r) is Fill)] if type(r) is AlertWorked]
    assert len(before) == 600
