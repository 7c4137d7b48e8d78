"""The paper shell on a recording gives what the backtest of the same bars gives, to the cent and to the last word."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_shells_agree import SYMBOLS, cases

from enigma_core.cli import options
from enigma_core.journal import Memory
from enigma_core.market import Funding
from enigma_core.model import Candles, DayOpened, Decision, Fill, Funded, Marked, Order, Trade
from enigma_core.plan import Plan
from enigma_core.shells import Result, backtest
from enigma_plugins.feeds.replay import Replay
from markets import START, instrument, plan, random_candles
from runs import Given, assert_same, csv_files, on, ran

HAPPENED = (DayOpened, Fill, Funded, Marked, Order, Trade)


class Backtested(msgspec.Struct):
    """The plain backtest, every record it made, and the jumping one's trades."""

    plainly: Result
    records: list[Any]
    jumping: Result

    def of(self, *kinds: type) -> list[Any]:
        return [r for r in self.records if type(r) in kinds and not of_the_end(r)]


def backtested(plan: Plan, candles: dict[str, Candles], instruments: dict[str, Any], funding: dict[str, Any]) -> Backtested:
    memory = Memory()
    plainly = backtest(plan, candles, instruments, funding, jump=False, journal=memory)
    return Backtested(plainly, list(memory.replay()), backtest(plan, candles, instruments, funding))


def of_the_end(record: Any) -> bool:
    """A backtest closes what is open at its last bar; a run goes on."""
    if isinstance(record, Trade):
        return record.exit_reason == "end"
    return isinstance(record, Order | Fill) and record.reason == "end"


def assert_agree(plan: Plan, home: Path, test: Backtested) -> None:
    run = ran(plan, home)
    assert run.summary.reason == "the feed has ended"
    assert_same(run.trades, [t for t in test.plainly.trades if t.exit_reason != "end"])
    assert_same(run.trades, [t for t in test.jumping.trades if t.exit_reason != "end"])
    assert_same([r for r in run.records if type(r) in HAPPENED], test.of(*HAPPENED))
    assert_same([known(d) for d in run.decisions], [known(d) for d in test.of(Decision)])
    assert run.summary.rejected == test.plainly.rejected
    assert run.summary.bars == test.plainly.bars
    if not run.summary.open_positions:
        assert run.summary.equity == test.plainly.end_equity == test.jumping.end_equity


def known(decision: Decision) -> Decision:
    """A decision without the votes that nobody cast: microstructure abstains on bars, a backtest does not ask it."""
    points = {name: value for name, value in decision.points.items() if value is not None}
    return msgspec.structs.replace(decision, points=points)


@settings(max_examples=20)
@given(cases())
def test_paper_on_a_stream_gives_the_trades_of_the_backtest_to_the_cent(case: tuple[Any, ...]) -> None:
    plan, candles, instruments, funding = case
    feed = Given(candles=candles, instruments=instruments, settled=funding)
    with tempfile.TemporaryDirectory() as home:
        assert_agree(on(plan, feed), Path(home), backtested(*case))


@settings(max_examples=8)
@given(cases())
def test_paper_on_replayed_files_gives_the_trades_of_the_backtest_to_the_cent(case: tuple[Any, ...]) -> None:
    plan, candles, _, _ = case
    listed = {"tick": "0.1", "lot": "1", "multiplier": "0.01", "min_quantity": "1"}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as home:
        feed = Replay(data=str(csv_files(Path(folder), candles)))
        plan = on(msgspec.structs.replace(plan, instruments=dict.fromkeys(candles, listed)), feed)
        history = {s: feed.history(s, feed.base_timeframe()) for s in plan.symbols}
        test = backtested(plan, history, {s: plan.instrument(s) for s in plan.symbols}, {})
        assert_agree(plan, Path(home), test)


@settings(max_examples=5)
@given(
    seeds=st.lists(st.integers(0, 10_000), min_size=1, max_size=2),
    gaps=st.sampled_from([0.0, 0.02, 0.2]),
    volatility=st.sampled_from([0.001, 0.004, 0.02]),
    timeframe=st.sampled_from(["5m", "1m"]),
    minimum=st.sampled_from([35.0, 75.0]),
    rates=st.lists(st.sampled_from([0.0, 0.0001, 0.0003, -0.0002, -0.0006, 0.001]), max_size=12),
)
def test_paper_with_the_built_in_parts_gives_the_trades_of_the_backtest(
    seeds: list[int], gaps: float, volatility: float, timeframe: str, minimum: float, rates: list[float]
) -> None:
    candles = {
        s: random_candles(s, 900, seed, gaps=gaps, volatility=volatility, timeframe=timeframe)
        for s, seed in zip(SYMBOLS, seeds, strict=False)
    }
    hours = np.cumsum([1, 1, 4, 8, 1, 8, 8, 1, 1, 8, 8, 8][: len(rates)], dtype=np.int64)
    settled = {SYMBOLS[0]: Funding(START + hours * 3_600_000, np.array(rates, np.float64))} if rates else {}
    feed = Given(candles=candles, instruments={s: instrument(s) for s in candles}, settled=settled)
    plan = on(built_in({"gates.score.min": minimum, "timeframes.primary": "15m"}), feed)
    with tempfile.TemporaryDirectory() as home:
        assert_agree(plan, Path(home), backtested(plan, candles, feed.instruments, settled))


@pytest.mark.parametrize("funded", [False, True], ids=["without funding", "with funding"])
def test_paper_and_backtest_of_real_candles_agree(market_data: Path, tmp_path: Path, funded: bool) -> None:
    everything = Replay(data=str(market_data / "candles/binance_usdm_5m"))
    end = START + 6 * 86_400_000
    candles = {s: everything.history(s, "5m", None, end) for s in everything.symbols()}
    feed = Replay(data=str(csv_files(tmp_path, candles)), funding_data=str(market_data / "funding") if funded else None)
    plan = on(built_in({}), feed)
    candles = {s: feed.history(s, "5m") for s in plan.symbols}
    instruments = {s: plan.instrument(s) for s in plan.symbols}
    test = backtested(plan, candles, instruments, {s: feed.funding(s) for s in plan.symbols})
    assert len(test.plainly.trades) > 10
    assert any(d.points.get("funding_rate") for d in test.of(Decision)) == funded
    assert_agree(plan, tmp_path / "home", test)


def built_in(flags: dict[str, Any]) -> Plan:
    """The configuration as it comes, with its defaults."""
    return options.planned(None, None, (), {"feed.use": "synthetic", "services.*": False} | flags)[0]


def test_these_cases_trade() -> None:
    market = {s: random_candles(s, 700, seed) for seed, s in enumerate(SYMBOLS)}
    assert len(backtest(plan(), market, {s: instrument(s) for s in market}).trades) > 20
    other = {s: random_candles(s, 700, 7) for s in SYMBOLS}
    feed = Given(candles=other, instruments={s: instrument(s) for s in other})
    test = backtested(plan(), market, feed.instruments, {})
    with tempfile.TemporaryDirectory() as home, pytest.raises(AssertionError):
        assert_agree(on(plan(), feed), Path(home), test)
