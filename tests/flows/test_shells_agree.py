"""One engine, three shells: the same trades, to the cent."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from enigma_core.market import Funding
from enigma_core.plan import Costs, Timeframes
from enigma_core.shells import Result, backtest
from enigma_plugins.exits.atr_stop import AtrStop
from enigma_plugins.exits.break_even import BreakEven
from enigma_plugins.exits.milestones import Milestones
from enigma_plugins.exits.opposite_signal import OppositeSignal
from enigma_plugins.exits.stop_loss import StopLoss
from enigma_plugins.exits.take_profit import TakeProfit
from enigma_plugins.exits.trailing_stop import TrailingStop
from enigma_plugins.gates.circuit_breaker import CircuitBreaker
from enigma_plugins.gates.cooldown import Cooldown
from enigma_plugins.gates.day_risk import DayRisk
from enigma_plugins.gates.drawdown import Drawdown
from enigma_plugins.gates.exposure import Exposure
from enigma_plugins.gates.max_positions import MaxPositions
from enigma_plugins.gates.score import Score
from markets import START, instrument, plan, random_candles

SYMBOLS = ("AAA/USDT:USDT", "BBB/USDT:USDT", "CCC/USDT:USDT")

EXITS = {
    "take_profit": st.one_of(
        st.builds(TakeProfit, roi=st.sampled_from([0.01, 0.05, 0.15])),
        st.just(TakeProfit(ladder=((0.02, 0.5), (0.06, 0.5)))),
        st.just(TakeProfit(ladder=((0.02, 0.3), (0.04, 0.3)))),
    ),
    "break_even": st.builds(BreakEven, activation_roi=st.sampled_from([0.01, 0.02])),
    "trailing_stop": st.builds(
        TrailingStop, activation_roi=st.sampled_from([0.01, 0.04]), distance_roi=st.sampled_from([0.005, 0.02])
    ),
    "atr_stop": st.just(AtrStop()),
    "milestones": st.just(Milestones()),
    "opposite_signal": st.builds(OppositeSignal, min=st.sampled_from([20.0, 60.0])),
}
ACCOUNT_GATES = {
    "drawdown": st.builds(Drawdown, max=st.sampled_from([0.005, 0.03])),
    "day_risk": st.builds(DayRisk, max=st.sampled_from([0.002, 0.005, 0.01, 0.03])),
    "circuit_breaker": st.builds(CircuitBreaker, max=st.integers(1, 4)),
    "cooldown": st.builds(Cooldown, min=st.sampled_from([0, 900, 1800])),
    "max_positions": st.builds(MaxPositions, max=st.integers(1, 3)),
    "exposure": st.builds(Exposure, max=st.sampled_from([0.05, 0.5])),
}


@st.composite
def chosen(draw: st.DrawFn, offers: dict[str, st.SearchStrategy[object]]) -> dict[str, object]:
    return {name: draw(offer) for name, offer in offers.items() if draw(st.booleans())}


@st.composite
def cases(draw: st.DrawFn) -> tuple[object, dict[str, object], dict[str, object], dict[str, object]]:
    symbols = SYMBOLS[: draw(st.integers(1, 3))]
    n = draw(st.integers(1, 700))
    gaps = draw(st.sampled_from([0.0, 0.0, 0.05, 0.3]))
    volatility = draw(st.sampled_from([0.0, 0.002, 0.008, 0.03]))
    candles = {s: random_candles(s, n, draw(st.integers(0, 10_000)), volatility=volatility, gaps=gaps) for s in symbols}
    primary = draw(st.sampled_from(["5m", "5m", "15m"]))
    settings = plan(
        timeframes=Timeframes(primary=primary, secondary="1h", available=("5m", "15m")),
        costs=Costs(
            funding_rate=draw(st.sampled_from([Decimal(0), Decimal("0.0001"), Decimal("-0.003")])),
            funding_hours=draw(st.sampled_from([1, 8])),
            slippage=draw(st.sampled_from([Decimal(0), Decimal("0.0001")])),
        ),
        market_gates={"score": Score(min=draw(st.sampled_from([10.0, 30.0, 60.0])))},
        account_gates=draw(chosen(ACCOUNT_GATES)),
        exits={"stop_loss": StopLoss(roi=draw(st.sampled_from([0.005, 0.06, 0.3]))), **draw(chosen(EXITS))},
    )
    funding = dict.fromkeys(symbols)
    if draw(st.booleans()):
        ts = START + np.array([0, 3_600_000, 3_900_000, 7_230_000, 36_000_000], np.int64)
        funding[symbols[0]] = Funding(ts, np.array([0.001, -0.02, 0.0001, 0.003, -0.001]))
    return settings, candles, {s: instrument(s) for s in symbols}, funding


def told(result: Result) -> tuple[object, ...]:
    return result.trades, result.end_equity, dict(sorted(result.rejected.items())), result.decisions


@settings(max_examples=120)
@given(cases())
def test_jumping_and_plain_backtest_agree_to_the_cent(case: tuple[object, ...]) -> None:
    jumping = backtest(*case, jump=True)  # type: ignore[arg-type]
    plainly = backtest(*case, jump=False)  # type: ignore[arg-type]
    assert told(jumping) == told(plainly)
    assert jumping.end_equity - jumping.start_equity == sum((t.net for t in jumping.trades), Decimal(0))
    for trade in jumping.trades:
        assert trade.net == trade.gross - trade.fees + trade.funding


def test_the_generated_markets_are_traded_on() -> None:
    market = {SYMBOLS[0]: random_candles(SYMBOLS[0], 3000, 1)}
    result = backtest(plan(), market, {SYMBOLS[0]: instrument(SYMBOLS[0])})
    assert len(result.trades) > 100
    assert {t.side for t in result.trades} == {"long", "short"}
    assert {"stop_loss", "take_profit"} <= {t.exit_reason for t in result.trades}
