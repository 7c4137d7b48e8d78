"""No look-ahead in the whole of trading: what came after a trade's exit cannot have changed it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_shells_agree import cases

from enigma_core.cli import options
from enigma_core.model import Candles, Trade
from enigma_core.shells import backtest
from enigma_core.timeframes import milliseconds
from markets import START, instrument, plan, random_candles


def until(candles: Mapping[str, Candles], ts: int) -> dict[str, Candles]:
    """The bars that had closed by `ts`."""
    return {s: c[: int((c.ts + milliseconds(c.timeframe) <= ts).sum())] for s, c in candles.items()}


def known(candles: Candles, exit_ts: int) -> int:
    """When an exit is known: one at a bar's open has the time of that open, and is known once the bar has closed."""
    opened = np.flatnonzero(candles.ts == exit_ts)
    return exit_ts + milliseconds(candles.timeframe) if len(opened) else exit_ts


def finished(trades: list[Trade], ts: int) -> list[Trade]:
    return [t for t in trades if t.exit_ts <= ts and t.exit_reason != "end"]


@settings(max_examples=40)
@given(cases(), st.lists(st.floats(0, 1), min_size=1, max_size=4), st.booleans())
def test_cutting_the_data_after_a_trades_exit_leaves_the_trade_unchanged(
    case: tuple[Any, ...], shares: list[float], jump: bool
) -> None:
    settings, candles, instruments, funding = case
    whole = backtest(settings, candles, instruments, funding, jump=jump)
    ended = [t for t in whole.trades if t.exit_reason != "end"]
    for share in shares:
        if not ended:
            return
        trade = ended[min(int(share * len(ended)), len(ended) - 1)]
        cut = known(candles[trade.symbol], trade.exit_ts)
        short = backtest(settings, until(candles, cut), instruments, funding, jump=jump)
        assert trade in short.trades
        before = trade.exit_ts - 1
        assert finished(short.trades, before) == finished(whole.trades, before)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(50, 600), st.integers(0, 10_000), st.booleans())
def test_another_future_leaves_the_past_unchanged(seed: int, cut: int, other: int, jump: bool) -> None:
    symbol = "AAA/USDT:USDT"
    first, second = random_candles(symbol, 700, seed), random_candles(symbol, 700, other, volatility=0.03)
    columns = ("ts", "open", "high", "low", "close", "volume")
    joined = [np.concatenate([getattr(first, name)[:cut], getattr(second, name)[cut:]]) for name in columns]
    changed = Candles.of(symbol, "5m", *joined)
    settings, instruments = plan(), {symbol: instrument(symbol)}
    now = START + cut * 300_000
    past = [finished(backtest(settings, {symbol: c}, instruments, jump=jump).trades, now - 300_000) for c in (first, changed)]
    assert past[0] == past[1]


@pytest.mark.parametrize("jump", [True, False])
def test_no_trade_on_real_candles_depends_on_what_came_after_it(market_data: Path, jump: bool) -> None:
    flags = {
        "feed.use": "csv",
        "feed.data": str(market_data / "candles" / "binance_usdm_5m"),
        "feed.funding": str(market_data / "funding"),
        "gates.score.min": 60,
        "gates.confidence.min": 0.7,
    }
    settings, _, _ = options.planned(None, None, (), flags)
    feed = settings.feed
    assert feed is not None
    names = feed.symbols()[:3]
    candles = {s: feed.history(s, "5m") for s in names}
    instruments = {s: settings.instrument(s) for s in names}
    funding = {s: feed.funding(s) for s in names}
    whole = backtest(settings, candles, instruments, funding, jump=jump)
    ended = [t for t in whole.trades if t.exit_reason != "end"]
    assert len(ended) > 10
    assert {t.side for t in ended} == {"long", "short"}
    for trade in ended[:: max(1, len(ended) // (6 if jump else 2))]:
        cut = known(candles[trade.symbol], trade.exit_ts)
        short = backtest(settings, until(candles, cut), instruments, funding, jump=jump)
        assert finished(short.trades, trade.exit_ts) == finished(whole.trades, trade.exit_ts)
