"""A backtest with alerts: what a run on paper makes of the same bars and alerts, to the last word."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import random
import tempfile
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from test_paper_agrees import HAPPENED, known, of_the_end
from test_shells_agree import SYMBOLS, cases

from enigma_core import cli
from enigma_core.alert import Alert, AlertWorked, Request
from enigma_core.cli.alert_file import AlertFile, Recorded
from enigma_core.errors import DataError
from enigma_core.home import Home
from enigma_core.journal import Memory
from enigma_core.market import MarketEvent, Voted
from enigma_core.model import Candles, Decision, StateSet
from enigma_core.parts import Inbox, Note, Ports, Service
from enigma_core.plan import Plan
from enigma_core.plugins import Catalogue
from enigma_core.shells import backtest, run
from enigma_core.shells.alerted import AlertedResult, backtest_alerts
from enigma_plugins.exits.stop_loss import StopLoss
from enigma_plugins.gates.score import Score
from enigma_plugins.gates.veto import Veto
from enigma_plugins.microstructure.tradingview import TradingView
from enigma_plugins.sizers.alert_quantity import AlertQuantity
from markets import START, instrument, plan, random_candles
from runs import Ending, Given, Ran, assert_same, on

BAR = 300_000
UNDONE = ("waiting", "the history ended before the position was left")
TOLD = (*HAPPENED, AlertWorked, Voted, StateSet, Note)


class Stage:
    """What the parts of a run in a test share: the wall's time, the desk, what the inbox answered."""

    def __init__(self, alerts: Sequence[Alert]) -> None:
        self.alerts = sorted(alerts, key=lambda alert: alert.ts)
        self.wall = START
        self.desk: Any = None
        self.receipts: list[str] = []


class Listening(Service, frozen=True, kw_only=True):
    """Gives its desk away."""

    name = "listening"

    stage: Any

    async def serve(self, inbox: Inbox, ports: Ports) -> None:
        self.stage.desk = ports.desk


class Alerting(Given, frozen=True, kw_only=True):
    """Bars as they close, by the wall's time, and between them the alerts, each at its moment."""

    simulated: ClassVar[bool] = False

    stage: Any

    def history(self, symbol: str, timeframe: str, start: int | None = None, end: int | None = None) -> Candles:
        return super().history(symbol, timeframe, start, START if start is None else end)

    async def stream(self, symbols: Sequence[str], timeframe: str, since: int | None) -> AsyncIterator[MarketEvent]:
        stage = self.stage
        async for event in super().stream(symbols, timeframe, since):
            while len(stage.receipts) < len(stage.alerts) and stage.alerts[len(stage.receipts)].ts < event.ts:
                alert = stage.alerts[len(stage.receipts)]
                stage.wall = alert.received
                stage.receipts += await stage.desk.accept([alert])
                while stage.desk.waiting:
                    await asyncio.sleep(0)
            stage.wall = event.ts
            yield event


def on_paper(settings: Plan, feed: Given, alerts: Sequence[Alert], home: Path) -> tuple[Ran, list[str]]:
    stage = Stage(alerts)
    live = Alerting(candles=feed.candles, instruments=feed.instruments, settled=feed.settled, stage=stage)
    traded = msgspec.structs.replace(on(settings, live), services={"listening": Listening(stage=stage)})
    records: list[Any] = []
    with Home.open(home) as held:
        going = run(traded, held, observer=records.append, clock=Ending(), wall=lambda: stage.wall)
        return Ran(asyncio.run(going), records), stage.receipts


def alert(number: int, ts: int, **changes: Any) -> Alert:
    own: dict[str, Any] = {
        "ts": ts,
        "received": ts,
        "id": f"A{number}",
        "key": f"key{number}",
        "source": "tradingview",
        "mode": "trigger",
    }
    taken = {name: changes.pop(name) for name in list(changes) if name in Alert.__struct_fields__}
    asked: dict[str, Any] = {"symbol": SYMBOLS[0], "sent": ts} | changes
    return Alert(**(own | taken | {"request": Request(**asked)}))


ASKED: list[dict[str, Any]] = [
    *({"action": word} for word in ("long", "short", "long", "short", "close", "reverse", "reduce", "cancel")),
    *({"position": stance} for stance in ("long", "short", "flat")),
    {"action": "long", "closes": "short"},
    {"position": "short", "previous": "long", "action": "short"},
]
AMOUNTS: list[dict[str, Any]] = [{}, {}, {"quantity": Decimal("0.05")}, {"quantity": Decimal(20), "unit": "percent"}]
DELAYS = [0, 0, 1_500, None, 59_000, 61_000, 1_000_000]
MODES = ["signal", "trigger", "signal", "vote", "veto"]


@st.composite
def alerts_of(draw: st.DrawFn, candles: dict[str, Candles]) -> list[Alert]:
    dice = draw(st.randoms(use_true_random=False))
    return thrown(dice, candles, draw(st.integers(0, 25)))


def thrown(dice: random.Random, candles: dict[str, Candles], count: int) -> list[Alert]:
    """`count` alerts by chance, within the bars."""
    first = min(int(c.ts[0]) for c in candles.values())
    last = max(int(c.ts[-1]) for c in candles.values()) + BAR
    found: list[Alert] = []
    for number in range(count):
        ts = first + dice.randrange((last - first) // BAR) * BAR + dice.choice([0, 1, 1000, 90_000, BAR - 1])
        delay = dice.choice(DELAYS)
        again = dice.choice(found) if found and dice.random() < 0.1 else None
        made = alert(
            number,
            ts,
            symbol=dice.choice([*candles, *candles, *candles, "ZZZ/USDT:USDT"]),
            mode=dice.choice(MODES),
            sent=None if delay is None else ts - delay,
            bar=dice.choice([None, ts - ts % BAR]),
            window=dice.choice([None, None, 60_000]),
            key=again.key if again else f"key{number}",
            **dice.choice(ASKED),
            **dice.choice(AMOUNTS),
        )
        if again is not None and dice.random() < 0.5:
            # the sender's own id, with another content
            made = msgspec.structs.replace(made, digest="other", request=msgspec.structs.replace(made.request, key="mine"))
        found.append(made)
    return found


@st.composite
def alerted_cases(draw: st.DrawFn) -> tuple[Plan, dict[str, Candles], dict[str, Any], dict[str, Any], list[Alert]]:
    chosen, candles, instruments, funding = draw(cases())
    assert isinstance(chosen, Plan)
    changes: dict[str, Any] = {}
    if draw(st.booleans()):
        changes["microstructure"] = {"tradingview": TradingView()}
    if draw(st.booleans()):
        changes["market_gates"] = chosen.market_gates | {"veto": Veto()}
    if draw(st.booleans()):
        changes["sizer"] = AlertQuantity()
    if draw(st.integers(0, 4)) == 0:
        changes["risk"] = msgspec.structs.replace(chosen.risk, entries_per_day=5)
    return (
        msgspec.structs.replace(chosen, **changes),
        candles,  # type: ignore[return-value]
        instruments,
        funding,
        draw(alerts_of(candles)),  # type: ignore[arg-type]
    )


def alerted(
    settings: Plan, candles: dict[str, Candles], instruments: Any, funding: Any, alerts: Sequence[Alert]
) -> tuple[AlertedResult, list[Any]]:
    memory = Memory()
    result = backtest_alerts(settings, candles, instruments, alerts, funding, journal=memory)
    return result, [record for record in memory.replay() if not of_the_end(record)]


def assert_agree(case: Any) -> AlertedResult:
    """The run and the backtest of `case`, which are the same; the backtest's result."""
    settings, candles, instruments, funding, alerts = case
    result, records = alerted(*case)
    feed = Given(candles=candles, instruments=instruments, settled=funding)
    with tempfile.TemporaryDirectory() as home:
        paper, receipts = on_paper(settings, feed, alerts, Path(home))
    assert_same(paper.trades, [t for t in result.trades if t.exit_reason != "end"])
    assert_same([r for r in paper.records if type(r) in TOLD], [r for r in records if type(r) in TOLD])
    assert_same(paper.decisions, [r for r in records if type(r) is Decision])
    assert paper.summary.rejected == result.rejected
    worked = {r.id: (r.outcome, r.reason) for r in paper.of(AlertWorked)}
    assert len(receipts) == len(result.came) == len(alerts)
    for came, receipt in zip(result.came, receipts, strict=True):
        assert came.outcome == receipt or (came.outcome, came.reason) == worked.get(came.alert.id, UNDONE)
        assert (receipt == "accepted") == (came.outcome not in ("duplicate", "conflict"))
    return result


@settings(max_examples=15, deadline=None)
@given(alerted_cases())
def test_a_run_and_a_backtest_make_the_same_of_the_same_bars_and_alerts(case: Any) -> None:
    assert_agree(case)


def test_the_alerts_thrown_are_worked_on_in_every_way() -> None:
    outcomes: set[str] = set()
    for seed in range(3):
        candles = {s: random_candles(s, 400, seed + 10 * n) for n, s in enumerate(SYMBOLS[:2])}
        settings = plan(
            market_gates={"score": Score(min=60.0), "veto": Veto()},
            microstructure={"tradingview": TradingView()},
            sizer=AlertQuantity(),
            exits={"stop_loss": StopLoss(roi=0.3)},
        )
        alerts = thrown(random.Random(seed), candles, 100)
        at = START + 200 * BAR + 1
        alerts.append(alert(200, at, position="long", mode="signal"))
        alerts.append(alert(201, at + 3 * BAR, action="reduce", quantity=Decimal("0.01")))
        result = assert_agree((settings, candles, {s: instrument(s) for s in candles}, {}, alerts))
        assert len({t.decision_id for t in result.trades} & {a.id for a in alerts}) >= 3
        outcomes |= set(result.outcomes)
    assert {"entered", "refused", "closed", "expired", "duplicate", "conflict", "held", "nothing"} <= outcomes
    assert {"voted", "vetoed", "reduced"} <= outcomes


@settings(max_examples=10, deadline=None)
@given(cases())
def test_without_alerts_the_trades_are_those_of_the_ordinary_backtest(case: Any) -> None:
    settings, candles, instruments, funding = case
    result, records = alerted(settings, candles, instruments, funding, [])
    memory = Memory()
    plainly = backtest(settings, candles, instruments, funding, jump=False, journal=memory)
    assert result.trades == plainly.trades
    assert (result.end_equity, result.rejected, result.bars) == (plainly.end_equity, plainly.rejected, plainly.bars)
    ordinary = [record for record in memory.replay() if not of_the_end(record)]
    assert [known(r) if type(r) is Decision else r for r in records] == [known(r) if type(r) is Decision else r for r in ordinary]


SECRET = "wH4-7qTzRk2LmXcVbN9pYs6JdGfA0eUo"
READER = importlib.metadata.EntryPoint("alerts.recorded", "enigma_webhooks.recorded", "enigma")
NOON = 1_741_262_400_000
"""2025-03-06 12:00 UTC."""


def recorded(folder: Path, *lines: str, delay: int = 0, mode: Any = None, readers: tuple[Any, ...] = (READER,)) -> Recorded:
    """The alerts of a file of these lines."""
    path = folder / "alerts.jsonl"
    path.write_text("\n".join(lines))
    catalogue = Catalogue.load(entry_points=readers)
    return AlertFile(catalogue, ("BTC/USDT:USDT",), delay=delay, bar=1_800_000, mode=mode).read(path)


CAME = '{"received":1741262400000,"message":%s}'
ORDER = '{"ticker":"BINANCE:BTCUSDT.P","action":"buy","contracts":0.10,"secret":"' + SECRET + '"}'


@pytest.mark.parametrize(
    ("line", "sent", "received"),
    [
        (CAME, None, NOON),
        ('{"received":"2025-03-06T12:00:00Z","time":1741262399,"message":%s}', NOON - 1000, NOON),
        ('{"ts":1741262400000,"message":%s}', NOON, NOON + 2000),
        ('{"time":"2025-03-06T13:00:00+01:00","message":%s}', NOON, NOON + 2000),
    ],
)
@pytest.mark.parametrize("quoted", [False, True])
def test_a_message_comes_when_its_line_says(tmp_path: Path, line: str, sent: int | None, received: int, quoted: bool) -> None:
    message = msgspec.json.encode(ORDER).decode() if quoted else ORDER
    (found,) = recorded(tmp_path, line.replace("%s", message), delay=2000).alerts
    assert (found.ts, found.received, found.request.sent) == (received, received, sent)
    assert (found.request.symbol, found.request.quantity, found.request.action) == ("BTC/USDT:USDT", Decimal("0.10"), "long")


def test_i21_the_secret_of_a_recorded_message_is_not_kept(tmp_path: Path) -> None:
    (found,) = recorded(tmp_path, CAME.replace("%s", ORDER)).alerts
    assert SECRET not in repr(found)
    with pytest.raises(DataError) as caught:
        recorded(tmp_path, CAME.replace("%s", ORDER.replace("buy", "dance")))
    assert SECRET not in str(caught.value)


def test_a_message_that_carries_its_time_needs_no_more(tmp_path: Path) -> None:
    (found,) = recorded(tmp_path, '{"ticker":"BTCUSDT","action":"sell","timestamp":"2025-03-06T12:00:00Z"}', delay=1500).alerts
    assert (found.request.sent, found.received) == (NOON, NOON + 1500)


def test_a_message_with_the_time_of_a_bar_comes_when_that_bar_is_over(tmp_path: Path) -> None:
    found = recorded(tmp_path, '{"ticker":"BTCUSDT","action":"sell","time":"2025-03-06T12:00:00Z"}')
    assert [alert.ts for alert in found.alerts] == [NOON + 1_800_000]
    assert found.notes == [
        "alerts: 1 message carries only the time of a bar, taken as sent when the primary bar from then on had closed"
    ]


def test_stored_alerts_are_read_back_from_lines_and_from_an_array_without_any_plugin(tmp_path: Path) -> None:
    kept = [alert(n, NOON + n, action="long", quantity=Decimal("0.5")) for n in range(3)]
    lines = [msgspec.json.encode(one).decode() for one in kept]
    refused = '{"id":"R4","received":1,"request":null}'
    assert recorded(tmp_path, *lines, "", refused, readers=()).alerts == kept
    listed = recorded(tmp_path, "[", ",\n".join([*lines, refused]), "]", readers=(), mode="veto")
    assert [one.id for one in listed.alerts] == ["A0", "A1", "A2"]
    assert {one.mode for one in listed.alerts} == {"veto"}
    assert listed.notes == ["alerts: 1 message that was refused unread, left out"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("BUY BTCUSDT", "does not say when it was sent"),
        ('{"time":"yesterday","message":"BUY BTCUSDT"}', "time is 'yesterday'; write milliseconds"),
        ('{"time":17,"message":"BUY BTCUSDT"}', "time is '17'"),
        ('{"time":1741262400000,"message":"BUY"}', "line 2: "),
        ('{"time":1741262400000,"received":1741262300000,"message":"BUY BTCUSDT"}', "it came 100 s before it was sent"),
        ('{"id":"A","received":1,"request":{"symbol":5}}', "this is no stored alert: "),
        ('{"time":1741262400000,"message":[1}', "line 2: "),
    ],
)
def test_what_cannot_be_read_is_named_by_its_line(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(DataError) as caught:
        recorded(tmp_path, "", line)
    assert str(caught.value).startswith(f"{tmp_path / 'alerts.jsonl'}, line 2: ")
    assert said in str(caught.value)


def test_messages_need_a_plugin_that_reads_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no installed plugin reads messages"):
        recorded(tmp_path, '{"time":1741262400000,"message":"BUY BTCUSDT"}', readers=())


def test_a_plugin_that_fails_to_read_is_passed_over_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "raising": "raise ZeroDivisionError('by zero')",
        "ending": "raise SystemExit",
        "odd": "return [message]",
        "shy": "return None",
    }
    points = []
    for name, answer in answers.items():
        source = f"from enigma_core.hookspecs import hookimpl\n@hookimpl\ndef enigma_read_alerts(message):\n    {answer}\n"
        (tmp_path / f"reader_{name}.py").write_text(source)
        points.append(importlib.metadata.EntryPoint(name, f"reader_{name}", "enigma"))
    monkeypatch.syspath_prepend(str(tmp_path))
    catalogue = Catalogue.load(entry_points=[*points, importlib.metadata.EntryPoint("z", READER.value, "enigma")])
    read = catalogue.read_alerts(ORDER, NOON, ("BTC/USDT:USDT",))
    assert read is not None
    assert [one.request.symbol for one in read] == ["BTC/USDT:USDT"]
    told = {fault.entry_point: fault.sentence for fault in catalogue.faults}
    assert "raised in enigma_read_alerts: ZeroDivisionError: by zero" in told["raising"]
    assert "SystemExit" in told["ending"]
    assert "something else than alerts" in told["odd"]
    assert "shy" not in told


def test_the_report_says_what_became_of_the_alerts(tmp_path: Path) -> None:
    opened = 1_735_689_600_000 + 2 * 86_400_000
    kept = [
        alert(1, opened + 60_000, symbol="BTC/USDT:USDT", action="long", mode="signal", sent=opened + 58_000),
        alert(1, opened + 61_000, symbol="BTC/USDT:USDT", action="long", mode="signal", sent=opened + 58_000),
        alert(2, opened + 62_000, symbol="DOGE/USDT:USDT", action="long", sent=None),
        alert(3, opened - 86_400_000 * 30, symbol="BTC/USDT:USDT", action="long"),
    ]
    path = tmp_path / "alerts.jsonl"
    path.write_text("\n".join(msgspec.json.encode(one).decode() for one in kept))
    arguments = [
        "--set",
        "feed.days=4",
        "--set",
        "feed.count=1",
        "--set",
        "feed.timeframe=30m",
        "--set",
        "gates.trend.enabled=false",
        "--alerts",
        str(path),
    ]
    done = CliRunner().invoke(cli.root, ["backtest", *arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["alerts"]
    assert found["count"] == 4
    assert found["outcomes"] == {"outside": 1, "entered": 1, "duplicate": 1, "refused": 1}
    assert (found["mean_delay_s"], found["max_delay_s"], found["late"]) == (pytest.approx(5 / 3), 3.0, 0)
    shown = CliRunner().invoke(cli.root, ["backtest", *arguments], catch_exceptions=False).stdout
    assert "DOGE/USDT:USDT is not traded by this run" in shown
    assert "1.7 s on average, 3.0 s at most" in shown


def test_options_about_alerts_without_alerts_are_wrong_usage() -> None:
    for option in (("--delay", "3"), ("--alert-mode", "veto")):
        assert CliRunner().invoke(cli.root, ["backtest", *option]).exit_code == 2
