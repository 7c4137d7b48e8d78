"""A run on a venue that is somewhere else: what leaves is on disk, nothing is entered before all is reconciled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest

from alerts import alert
from enigma_core.alert import Alert, AlertWorked
from enigma_core.home import Home
from enigma_core.market import BarsClosed, MarketEvent, MarkSeen
from enigma_core.model import (
    Bar,
    Blocked,
    Candles,
    Fill,
    Instrument,
    Marked,
    Order,
    OrderEnded,
    OrderFound,
    Purpose,
    StateSet,
    Transferred,
)
from enigma_core.parts import Executor, Feed, Ports, RemoteVenue, Report, Tell
from enigma_core.reading import Reader
from enigma_core.records import Started
from enigma_core.shells import run, stream
from enigma_core.shells.control import halt
from enigma_core.shells.pulse import Pulse
from enigma_plugins.exits.stop_loss import StopLoss
from markets import START, plan
from told import Told

BTC = "BTC/USDT:USDT"
STEP = 300_000
NOW = START + 40 * STEP


class Script(Feed, frozen=True, kw_only=True):
    """Bars that all close at the moment the stream begins; then nothing more until the test ends it."""

    name = "script"

    more: Any = None
    bars: int = 40

    @property
    def pulse(self) -> float | None:
        return 10.0

    def symbols(self) -> tuple[str, ...]:
        return (BTC,)

    def instrument(self, symbol: str) -> Instrument:
        return Instrument(symbol=symbol)

    def base_timeframe(self) -> str:
        return "5m"

    def history(self, symbol: str, timeframe: str, start: int | None = None, end: int | None = None) -> Candles:
        return Candles.of(symbol, timeframe, [], [], [], [], [], [])

    async def stream(self, symbols: Sequence[str], timeframe: str, since: int | None) -> AsyncIterator[MarketEvent]:
        first = START if since is None else since
        for n in range(self.bars):
            end = first + (n + 1) * STEP
            yield BarsClosed(end, {BTC: Bar(BTC, end - STEP, end, 50_000.0, 50_010.0, 49_990.0, 50_000.0, 1.0)})
        if self.more is not None:
            async for event in self.more(first + self.bars * STEP):
                yield event
        await asyncio.Event().wait()


class Elsewhere(Executor, frozen=True, kw_only=True):
    """A venue of the test: `script` is its `serve`."""

    name = "elsewhere"
    remote: ClassVar[bool] = True

    script: Any
    account: str = "a"

    def identity(self) -> str:
        return f"elsewhere:{self.account}"

    def open(self, ports: Ports) -> RemoteVenue:
        return There(ports, self.script)


class There:
    """What is wanted of it, and what has been let go: each order with whether the journal held it by then."""

    def __init__(self, ports: Ports, script: Callable[[There, Tell, asyncio.Event], Any]) -> None:
        self.ports = ports
        self.sent: list[Order] = []
        self.cancelled: list[str] = []
        self.doubts: list[str] = []
        self.by_hand: list[Report] = []
        """What somebody did there that has not been told yet."""
        self.durable: list[bool] = []
        self.arrived = asyncio.Event()
        self._script = script
        self._noted: list[Order] = []

    def submit(self, order: Order) -> None:
        self._noted.append(order)

    def cancel(self, order_id: str) -> None:
        self.cancelled.append(order_id)

    def answers(self) -> Iterator[Report]:
        return iter(())

    def match(self, event: MarketEvent) -> Iterator[Report]:
        return iter(())

    def dispatch(self, written: Future[None]) -> None:
        orders, self._noted = self._noted, []
        loop = asyncio.get_running_loop()
        if orders:
            written.add_done_callback(lambda done: loop.call_soon_threadsafe(self._leave, orders, done))

    def _leave(self, orders: list[Order], done: Future[None]) -> None:
        if done.exception() is not None:
            return
        assert self.ports.desk is not None
        with Reader(self.ports.desk.journal) as reader:
            known = {order.id for order in reader.known_orders(0)}
        self.durable += [order.id in known for order in orders]
        self.sent += orders
        self.arrived.set()

    async def next(self, purpose: Purpose) -> Order:
        """The next order of this purpose that has left."""
        while True:
            for order in self.sent:
                if order.purpose is purpose:
                    self.sent.remove(order)
                    return order
            self.arrived.clear()
            await self.arrived.wait()

    def filled(self, order: Order, number: int = 1) -> Fill:
        return Fill(
            id=f"{order.symbol}#{order.id}-{number}",
            order_id=order.id,
            ts=order.ts + 50,
            symbol=order.symbol,
            side=order.side,
            quantity=order.quantity,
            price=order.price or Decimal(50_000),
            fee=Decimal("0.5"),
            reason=order.reason,
        )

    async def serve(self, tell: Tell, ready: asyncio.Event) -> None:
        await self._script(self, tell, ready)
        await asyncio.Event().wait()

    calm = True
    doubted = False

    def doubt(self, reason: str) -> None:
        self.doubts.append(reason)

    async def close(self) -> None:
        pass


def opened(there: There, tell: Tell, ready: asyncio.Event, wallet: str = "10000") -> None:
    """The account is what the venue says, and trading may begin."""
    assert there.ports.account is not None
    told: list[Any] = []
    if not there.ports.recorded("transferred", "opening"):
        told.append(Transferred(ts=START, id="opening", amount=Decimal(wallet), reason="opening balance"))
    tell([*told, Blocked(ts=START, symbol="", reason="")])
    ready.set()


def live(
    script: Any,
    home: Path,
    *,
    feed: Script | None = None,
    account: str = "a",
    seconds: float = 20.0,
    wall: Callable[[], int] = lambda: NOW,
) -> list[Any]:
    """A run until `script` is done with; what it recorded."""
    seen: list[Any] = []
    wrong: list[BaseException] = []

    async def session() -> None:
        stop = asyncio.Event()

        async def scripted(there: There, tell: Tell, ready: asyncio.Event) -> None:
            try:
                await asyncio.wait_for(script(there, tell, ready), seconds)
            except BaseException as error:  # noqa: BLE001 - told to the test
                wrong.append(error)
            stop.set()

        made = plan(
            mode="live",
            sandbox=True,
            feed=feed or Script(),
            executor=Elsewhere(script=scripted, account=account),
            indicators={"told": Told(table=(0.0, 0.0, 90.0, 0.0))},
            exits={"stop_loss": StopLoss()},
            services={},
        )
        with Home.open(home) as held:
            await run(made, held, stop=stop, observer=seen.append, wall=wall)

    asyncio.run(session())
    if wrong:
        raise wrong[0]
    return seen


def of(kind: type, records: list[Any]) -> list[Any]:
    return [record for record in records if type(record) is kind]


def test_inv19_an_order_leaves_only_once_it_is_on_disk_and_its_stop_follows_its_fill(tmp_path: Path) -> None:
    async def script(there: There, tell: Tell, ready: asyncio.Event) -> None:
        opened(there, tell, ready)
        entry = await there.next(Purpose.ENTRY)
        tell([there.filled(entry)])
        stop = await there.next(Purpose.STOP)
        assert stop.quantity == entry.quantity
        assert all(there.durable)
        assert len(there.durable) >= 2

    records = live(script, tmp_path / "home")
    assert of(Fill, records)
    with Reader(tmp_path / "home" / "sandbox.sqlite") as reader:
        told = reader.status()
    assert (told["mode"], told["market"], told["open_positions"]) == ("sandbox", "elsewhere:a", 1)


def test_a_real_account_holds_what_its_venue_says_and_not_what_is_configured(tmp_path: Path) -> None:
    async def script(there: There, tell: Tell, ready: asyncio.Event) -> None:
        opened(there, tell, ready, "1234.5")
        assert there.ports.account is not None
        assert there.ports.account.equity == there.ports.account.day_equity == Decimal("1234.5")

    records = live(script, tmp_path / "home")
    with Reader(tmp_path / "home" / "sandbox.sqlite") as reader:
        assert reader.status()["equity"] == Decimal("1234.5")
        assert reader.recorded("transferred", "opening")
        assert not reader.recorded("transferred", "other")
    assert not of(Started, records)


def test_i29_nothing_is_decided_before_the_account_is_reconciled(tmp_path: Path) -> None:
    async def script(there: There, tell: Tell, ready: asyncio.Event) -> None:
        assert there.ports.desk is not None
        assert there.ports.desk.state == "recovering"
        assert there.ports.account is not None
        assert "reconciled" in there.ports.account.blocked(BTC)
        for _ in range(50):
            await asyncio.sleep(0)
        assert not there.sent
        opened(there, tell, ready)
        await there.next(Purpose.ENTRY)
        assert there.ports.desk.state == "ready"

    live(script, tmp_path / "home")


def test_r08_a_halt_that_lies_there_at_the_start_is_obeyed_before_anything_is_reconciled(tmp_path: Path) -> None:
    async def enter(there: There, tell: Tell, ready: asyncio.Event) -> None:
        opened(there, tell, ready)
        tell([there.filled(await there.next(Purpose.ENTRY))])
        await there.next(Purpose.STOP)

    live(enter, tmp_path / "home")
    halt(tmp_path / "home", "by hand")

    async def script(there: There, tell: Tell, ready: asyncio.Event) -> None:
        # not ready, and never will be: the way out leaves all the same
        close = await there.next(Purpose.CLOSE)
        assert close.reason == "halted"
        assert close.quantity > 0

    records = live(script, tmp_path / "home")
    assert of(StateSet, records)[0].state == "HALTED"


def test_a_position_and_its_orders_are_known_again_after_a_restart(tmp_path: Path) -> None:
    ids: list[str] = []

    async def enter(there: There, tell: Tell, ready: asyncio.Event) -> None:
        opened(there, tell, ready)
        entry = await there.next(Purpose.ENTRY)
        tell([there.filled(entry)])
        ids.extend([entry.id, (await there.next(Purpose.STOP)).id])

    live(enter, tmp_path / "home")

    async def again(there: There, tell: Tell, ready: asyncio.Event) -> None:
        account = there.ports.account
        assert account is not None
        assert list(account.positions) == [BTC]
        assert ids[1] in account.orders
        assert {order.id for order in there.ports.known()} >= set(ids)
        assert there.ports.recorded("fill", f"{BTC}#{ids[0]}-1")
        opened(there, tell, ready)

    records = live(again, tmp_path / "home")
    assert not [order for order in of(Order, records) if order.purpose is Purpose.ENTRY]


def test_s21_the_journal_of_one_account_is_not_gone_on_with_by_another(tmp_path: Path) -> None:
    async def script(there: There, tell: Tell, ready: asyncio.Event) -> None:
        opened(there, tell, ready)

    live(script, tmp_path / "home")
    live(script, tmp_path / "home", account="b")
    kept = sorted(path.name for path in (tmp_path / "home").glob("sandbox*.sqlite"))
    assert len(kept) == 2
    with Reader(tmp_path / "home" / "sandbox.sqlite") as reader:
        assert reader.stamp.identity == "elsewhere:b"


@pytest.mark.parametrize(
    ("stamped", "asked"), [(("live", "a"), ("live", "b")), (("paper", "a"), ("live", "a")), (("sandbox", "a"), ("live", "a"))]
)
def test_s21_real_money_is_never_written_into_a_file_of_another_mode_or_account(
    stamped: tuple[str, str], asked: tuple[str, str], tmp_path: Path
) -> None:
    from enigma_core.errors import HomeError
    from enigma_core.journal import Journal

    with Home.open(tmp_path / "home") as home:
        Journal.open(home.live, *stamped).close()
        with pytest.raises(HomeError):
            home.journal(*asked)
        with Reader(home.live) as reader:
            assert (reader.stamp.mode, reader.stamp.identity) == stamped


def test_inv13_a_run_that_is_ended_while_an_entry_fills_waits_for_its_stop(tmp_path: Path) -> None:
    protected: list[Order] = []
    beside: list[asyncio.Task[None]] = []

    async def script(there: There, tell: Tell, ready: asyncio.Event) -> None:
        opened(there, tell, ready)
        entry = await there.next(Purpose.ENTRY)
        there.calm = False

        async def later() -> None:
            await asyncio.sleep(0.1)
            tell([there.filled(entry)])
            protected.append(await there.next(Purpose.STOP))
            there.calm = True

        beside.append(asyncio.create_task(later()))

    records = live(script, tmp_path / "home")
    assert [o.quantity for o in protected] == [f.quantity for f in of(Fill, records)]
    assert len(protected) == 1


def test_inv13_what_rests_of_an_entry_is_called_off_before_a_run_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "FILLING", 0.05)
    gone: list[str] = []
    beside: list[asyncio.Task[None]] = []

    async def script(there: There, tell: Tell, ready: asyncio.Event) -> None:
        opened(there, tell, ready)
        entry = await there.next(Purpose.ENTRY)
        there.calm = False

        async def later() -> None:
            while entry.id not in there.cancelled:
                await asyncio.sleep(0.01)
            gone.append(entry.id)
            tell([OrderEnded(ts=entry.ts + 60, order_id=entry.id, symbol=BTC, state="cancelled", reason="called off")])
            there.calm = True

        beside.append(asyncio.create_task(later()))

    records = live(script, tmp_path / "home")
    assert gone == [o.id for o in of(Order, records)] == [e.order_id for e in of(OrderEnded, records)]


def test_a_run_that_cannot_leave_its_account_safe_says_so_and_ends_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "PARTING", 0.1)

    async def script(there: There, tell: Tell, ready: asyncio.Event) -> None:
        opened(there, tell, ready)
        await there.next(Purpose.ENTRY)
        there.calm = False

    live(script, tmp_path / "home")


def test_r11_a_symbol_nobody_has_heard_of_for_long_takes_no_entries_until_there_is_news() -> None:
    now = [100.0]
    pulse = Pulse([BTC, "ETH/USDT:USDT"], 10.0, lambda: now[0])
    assert pulse.news(1) == []
    now[0] = 109.0
    pulse.feel(BTC)
    assert pulse.news(2) == []
    now[0] = 111.0
    (silent,) = pulse.news(3)
    assert (silent.symbol, silent.by) == ("ETH/USDT:USDT", "pulse")
    assert "11 s" in silent.reason
    assert pulse.news(4) == []
    pulse.feel("ETH/USDT:USDT")
    (heard,) = pulse.news(5)
    assert (heard.symbol, heard.reason) == ("ETH/USDT:USDT", "")


def test_r11_nothing_is_entered_while_nobody_knows_what_something_held_is_worth() -> None:
    now = [100.0]
    pulse = Pulse([BTC, "ETH/USDT:USDT"], 10.0, lambda: now[0])
    assert pulse.news(1) == []
    now[0] = 111.0
    pulse.feel("ETH/USDT:USDT")
    silent, everything = pulse.news(2, [BTC])
    assert (silent.symbol, everything.symbol) == (BTC, "")
    assert pulse.news(3, [BTC]) == []
    (lifted,) = pulse.news(4, [])
    assert (lifted.symbol, lifted.reason) == ("", "")
    assert [b.symbol for b in pulse.news(5, [BTC])] == [""]
    pulse.feel(BTC)
    assert [(b.symbol, b.reason) for b in pulse.news(6, [BTC])] == [(BTC, ""), ("", "")]


def test_r11_what_is_held_is_worth_what_its_mark_says_between_two_bars(tmp_path: Path) -> None:
    marks = asyncio.Event()

    async def more(ts: int) -> AsyncIterator[MarketEvent]:
        await marks.wait()
        yield MarkSeen(ts, BTC, 49_500.0, 49_500.0)

    worth: list[Decimal] = []

    async def script(there: There, tell: Tell, ready: asyncio.Event) -> None:
        opened(there, tell, ready)
        entry = await there.next(Purpose.ENTRY)
        tell([there.filled(entry)])
        assert there.ports.account is not None
        assert there.ports.desk is not None
        before = there.ports.account.equity
        told = asyncio.Event()

        def see(record: object) -> None:
            if isinstance(record, Marked) and record.prices[BTC] == Decimal(49_500):
                told.set()

        there.ports.desk.watch(see)
        marks.set()
        await told.wait()
        worth.extend([before, there.ports.account.equity])

    live(script, tmp_path / "home", feed=Script(more=more))
    assert worth[0] != worth[1]


async def doubted(there: There, tell: Tell, ready: asyncio.Event) -> None:
    """A long is held, and the machine has just stood still; meanwhile it was closed by hand, which nobody has read yet."""
    opened(there, tell, ready)
    entry = await there.next(Purpose.ENTRY)
    tell([there.filled(entry)])
    await there.next(Purpose.STOP)
    there.doubted = True
    order = Order(
        id="x-1",
        decision_id=entry.decision_id,
        ts=NOW,
        symbol=BTC,
        side=-1,
        quantity=entry.quantity,
        purpose=Purpose.CLOSE,
        reason="by hand",
    )
    there.by_hand = [OrderFound(ts=NOW, order=order), there.filled(order)]


async def told_of(there: There, *alerts: Alert) -> None:
    """Alerts that are written down and have had their turn."""
    assert there.ports.desk is not None
    assert set(await there.ports.desk.accept(alerts)) == {"accepted"}
    for _ in range(20):
        await asyncio.sleep(0)


def came(records: list[Any]) -> dict[str, tuple[str, str]]:
    return {r.id: (r.outcome, r.reason) for r in of(AlertWorked, records)}


def test_p22_an_entry_that_comes_while_the_account_is_in_doubt_is_judged_against_what_is_true(tmp_path: Path) -> None:
    async def script(there: There, tell: Tell, ready: asyncio.Event) -> None:
        await doubted(there, tell, ready)
        await told_of(there, alert("long", received=NOW), alert("long", id="A2", received=NOW))
        assert there.ports.desk is not None
        assert there.ports.desk.waiting == 2
        with Reader(there.ports.desk.journal) as reader:
            assert [a.id for a in reader.waiting_alerts()] == ["A1", "A2"]
        tell(there.by_hand)
        there.doubted = False
        entry = await there.next(Purpose.ENTRY)
        assert entry.decision_id == "A1"

    records = live(script, tmp_path / "home")
    assert {name: outcome for name, (outcome, _) in came(records).items()} == {"A1": "entered", "A2": "held"}


@pytest.mark.parametrize(("action", "outcome"), [("close", "closed"), ("reduce", "reduced"), ("halt", "halted")])
def test_p22_what_reduces_waits_for_no_doubt_and_calls_off_the_entry_that_does(tmp_path: Path, action: str, outcome: str) -> None:
    async def script(there: There, tell: Tell, ready: asyncio.Event) -> None:
        await doubted(there, tell, ready)
        less = {"quantity": Decimal(50), "unit": "percent"} if action == "reduce" else {}
        await told_of(there, alert("reverse", received=NOW), alert(action, id="A2", received=NOW, **less))
        assert there.ports.desk is not None
        assert there.ports.desk.waiting == 0
        await there.next(Purpose.CLOSE)

    found = came(live(script, tmp_path / "home"))
    assert found["A2"][0] == outcome
    assert found["A1"] == ("superseded", "alert A2 came while it waited for the account to be reconciled")


def test_p22_a_close_of_the_other_side_or_another_symbol_says_nothing_of_an_entry_that_waits(tmp_path: Path) -> None:
    async def script(there: There, tell: Tell, ready: asyncio.Event) -> None:
        await doubted(there, tell, ready)
        others = (
            alert("close", id="A2", received=NOW, closes="short"),
            alert("close", id="A3", received=NOW, symbol="ETH/USDT:USDT"),
        )
        await told_of(there, alert("long", received=NOW), *others)
        assert there.ports.desk is not None
        assert there.ports.desk.waiting == 1
        tell(there.by_hand)
        there.doubted = False
        await there.next(Purpose.ENTRY)

    assert came(live(script, tmp_path / "home"))["A1"][0] == "entered"


def test_p22_an_entry_that_grows_old_while_the_account_is_in_doubt_says_what_it_waited_for(tmp_path: Path) -> None:
    wall = [NOW]

    async def script(there: There, tell: Tell, ready: asyncio.Event) -> None:
        await doubted(there, tell, ready)
        await told_of(there, alert("long", received=NOW))
        wall[0] += 60_001
        assert there.ports.desk is not None
        while there.ports.desk.waiting:
            await asyncio.sleep(0.01)

    outcome, reason = came(live(script, tmp_path / "home", wall=lambda: wall[0]))["A1"]
    assert (outcome, reason) == (
        "expired",
        "it is 60 s old, and 60 s are allowed: it waited for the account to be reconciled with the venue",
    )


def test_p22_an_entry_that_waits_is_found_again_by_the_next_run(tmp_path: Path) -> None:
    async def script(there: There, tell: Tell, ready: asyncio.Event) -> None:
        await doubted(there, tell, ready)
        await told_of(there, alert("long", received=NOW))

    assert not came(live(script, tmp_path / "home"))

    async def again(there: There, tell: Tell, ready: asyncio.Event) -> None:
        assert there.ports.desk is not None
        opened(there, tell, ready)
        while there.ports.desk.waiting:
            await asyncio.sleep(0.01)

    assert came(live(again, tmp_path / "home"))["A1"][0] == "held"


def test_p22_nothing_is_judged_between_the_waking_and_the_look_at_the_clock() -> None:
    async def scenario() -> list[bool]:
        now = [0.0]
        pulse = Pulse([BTC], 10.0, lambda: now[0])
        found = [pulse.late]
        watching = asyncio.create_task(pulse.second())
        await asyncio.sleep(0)
        for second in (1.0, 55.0):
            now[0] = second
            found.append(pulse.late)
        watching.cancel()
        return found

    assert asyncio.run(scenario()) == [False, False, True]


def test_p22_a_machine_that_stood_still_has_the_account_reconciled(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> float:
        now = [0.0]
        pulse = Pulse([BTC], 10.0, lambda: now[0])

        async def slept(_: float) -> None:
            now[0] += 300.0

        monkeypatch.setattr("enigma_core.shells.pulse.asyncio.sleep", slept)
        return await pulse.second()

    assert asyncio.run(scenario()) == 300.0
