"""The report: every figure by hand, its laws by hypothesis, its empty cases as None."""

from __future__ import annotations

import csv
import io
import json
import math
from decimal import Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enigma_core import report
from enigma_core.model import Trade

HOUR = 3_600_000
DAY = 24 * HOUR
MONDAY = 1_741_564_800_000  # 2025-03-10 00:00 UTC


def trade(net: str = "1", **changes: object) -> Trade:
    fees, funding = Decimal("0.5"), Decimal("-0.1")
    fields: dict[str, object] = {
        "symbol": "BTC/USDT:USDT",
        "side": "long",
        "entry_ts": MONDAY,
        "entry_price": Decimal("50000.0"),
        "exit_ts": MONDAY + HOUR,
        "exit_price": Decimal("50100.0"),
        "quantity": Decimal(24),
        "leverage": 6,
        "gross": Decimal(net) + fees - funding,
        "fees": fees,
        "funding": funding,
        "net": Decimal(net),
        "exit_reason": "take_profit",
        "decision_id": "BTCUSDT-30m-1741564800",
    }
    return Trade(**{**fields, **changes})  # type: ignore[arg-type]


def figures(trades: list[Trade], values: list[float], days: int = 4, start: str = "1000") -> report.Metrics:
    ts = np.arange(1, len(values) + 1, dtype=np.int64) * DAY + MONDAY
    end = Decimal(start) + sum((t.net for t in trades), Decimal(0))
    return report.metrics(
        trades, Decimal(start), end, (ts, np.array(values, float)), (MONDAY, MONDAY + days * DAY), {"A": (10.0, 11.0)}
    )


def test_no_trades_give_none_where_there_is_nothing_to_say() -> None:
    got = figures([], [])
    assert got.trades == 0
    assert (got.win_rate, got.profit_factor, got.expectancy, got.sharpe, got.sortino, got.calmar) == (None,) * 6
    assert (got.max_drawdown, got.exposure, got.total_return) == (0.0, 0.0, 0.0)
    assert (got.fees, got.funding) == (0, 0)


def test_no_bars_at_all_still_give_a_report() -> None:
    nothing = (np.empty(0, np.int64), np.empty(0))
    got = report.metrics([], Decimal(1000), Decimal(1000), nothing, (0, 0), {})
    assert (got.sharpe, got.calmar, got.exposure, got.buy_and_hold) == (None,) * 4


def test_one_winning_trade_has_no_profit_factor() -> None:
    got = figures([trade("10")], [1010.0], days=1)
    assert got.win_rate == 1.0
    assert got.profit_factor is None
    assert got.expectancy == Decimal(10)
    assert got.sharpe is None  # one day is no sample
    assert got.calmar is None  # no drawdown to divide by


def test_counts_and_money_are_exact() -> None:
    got = figures([trade("10"), trade("-4"), trade("0"), trade("-1.5")], [])
    assert got.win_rate == 0.25  # a net of exactly 0 is no win
    assert got.profit_factor == pytest.approx(10 / 5.5)
    assert got.expectancy == Decimal("1.125")
    assert got.fees == Decimal("2.0")
    assert got.funding == Decimal("-0.4")
    assert got.total_return == pytest.approx(0.0045)


def test_ratios_of_a_worked_week() -> None:
    got = figures([trade()], [1010.0, 1000.0, 1020.0, 1010.0])
    returns = [0.01, 1000 / 1010 - 1, 0.02, 1010 / 1020 - 1]
    mean = sum(returns) / 4
    deviation = math.sqrt(sum((r - mean) ** 2 for r in returns) / 3)
    downside = math.sqrt(sum(min(r, 0) ** 2 for r in returns) / 4)
    assert got.sharpe == pytest.approx(mean / deviation * math.sqrt(365))
    assert got.sortino == pytest.approx(mean / downside * math.sqrt(365))
    assert got.max_drawdown == pytest.approx(10 / 1010)
    assert got.calmar == pytest.approx((1.001 ** (365 / 4) - 1) / (10 / 1010))


def test_a_day_without_samples_returns_nothing_and_counts() -> None:
    ts = np.array([MONDAY + DAY, MONDAY + 3 * DAY], np.int64)
    got = report.daily_returns(ts, np.array([1100.0, 1210.0]), 1000.0, (MONDAY, MONDAY + 3 * DAY))
    assert got == pytest.approx([0.1, 0.0, 0.1])


def test_a_bar_that_closes_at_midnight_belongs_to_the_day_it_ends() -> None:
    got = report.daily_returns(np.array([MONDAY + DAY]), np.array([1100.0]), 1000.0, (MONDAY, MONDAY + DAY))
    assert got == pytest.approx([0.1])


def test_days_after_ruin_have_no_return() -> None:
    ts = np.arange(1, 4, dtype=np.int64) * DAY + MONDAY
    got = report.daily_returns(ts, np.array([500.0, 0.0, 0.0]), 1000.0, (MONDAY, MONDAY + 3 * DAY))
    assert got == pytest.approx([-0.5, -1.0])


def test_steady_growth_has_no_sharpe_rather_than_an_infinite_one() -> None:
    assert report.sharpe(np.zeros(10)) is None
    assert report.sharpe(np.full(10, 0.01)) is None
    assert report.sortino(np.full(10, 0.01)) is None


def test_exposure_counts_overlapping_trades_once_and_clips_to_the_span() -> None:
    trades = [
        trade(entry_ts=MONDAY, exit_ts=MONDAY + 6 * HOUR),
        trade(entry_ts=MONDAY + 3 * HOUR, exit_ts=MONDAY + 9 * HOUR),
        trade(entry_ts=MONDAY + 4 * HOUR, exit_ts=MONDAY + 5 * HOUR),
        trade(entry_ts=MONDAY + 21 * HOUR, exit_ts=MONDAY + 30 * HOUR),
    ]
    assert report.exposure(trades, (MONDAY, MONDAY + DAY)) == 0.5


def test_buy_and_hold_weighs_symbols_equally() -> None:
    assert report.buy_and_hold({"A": (10.0, 20.0), "B": (1000.0, 500.0)}) == pytest.approx(0.25)


def test_short_span_that_explodes_has_no_calmar_rather_than_infinity() -> None:
    ts = np.array([MONDAY + 1, MONDAY + 2], np.int64)
    got = report.metrics(
        [trade("9000")], Decimal(1000), Decimal(10_000), (ts, np.array([900.0, 10_000.0])), (MONDAY, MONDAY + 60_000), {}
    )
    assert got.calmar is None


def test_breakdown_sums_to_the_whole_and_puts_the_best_first() -> None:
    trades = [trade("-5", symbol="A"), trade("3", symbol="B"), trade("2", symbol="B", exit_reason="end"), trade("1", symbol="A")]
    rows = report.by_symbol(trades)
    assert [(row.key, row.trades, row.wins, row.net) for row in rows] == [("B", 2, 2, Decimal(5)), ("A", 2, 1, Decimal(-4))]
    assert rows[0].profit_factor is None
    assert rows[1].profit_factor == pytest.approx(0.2)
    assert {row.key: row.trades for row in report.by_exit_reason(trades)} == {"take_profit": 3, "end": 1}


def test_equity_between_entry_and_exit_is_marked_at_each_close() -> None:
    ends = np.arange(1, 6, dtype=np.int64) * HOUR + MONDAY
    closes = {"BTC/USDT:USDT": (ends, np.array([50_000.0, 49_000.0, 51_000.0, 51_250.0, 40_000.0]))}
    long = trade("28.542", entry_ts=MONDAY, exit_ts=MONDAY + 4 * HOUR)
    ts, equity = report.marked_equity(10_000.0, [long], closes, {"BTC/USDT:USDT": 0.001})
    assert ts.tolist() == ends.tolist()
    assert equity == pytest.approx([10_000.0, 9_976.0, 10_024.0, 10_028.542, 10_028.542])
    short = trade("5", side="short", entry_ts=MONDAY, exit_ts=MONDAY + 4 * HOUR)
    assert report.marked_equity(10_000.0, [short], closes, {"BTC/USDT:USDT": 0.001})[1][1] == pytest.approx(10_024.0)


def test_a_symbol_without_a_bar_counts_at_its_last_close() -> None:
    a = np.array([1, 2, 3, 4], np.int64) * HOUR + MONDAY
    b = a[[1, 3]]
    closes = {"A": (a, np.full(4, 100.0)), "B": (b, np.array([110.0, 120.0]))}
    one = trade("0", symbol="B", entry_ts=MONDAY + HOUR, exit_ts=MONDAY + 9 * HOUR, entry_price=Decimal(100), quantity=Decimal(1))
    assert report.marked_equity(1_000.0, [one], closes, {"A": 1.0, "B": 1.0})[1].tolist() == [1_000.0, 1_010.0, 1_010.0, 1_020.0]


@given(st.lists(st.tuples(st.integers(0, 49), st.integers(0, 9), st.decimals(-100, 100, places=3)), max_size=20))
def test_the_last_of_the_curve_is_start_plus_all_nets_once_flat(rows: list[tuple[int, int, Decimal]]) -> None:
    ends = np.arange(1, 61, dtype=np.int64) * HOUR + MONDAY
    trades = [trade(str(net), symbol="A", entry_ts=MONDAY + at * HOUR, exit_ts=MONDAY + (at + n) * HOUR) for at, n, net in rows]
    curve = report.marked_equity(1_000.0, trades, {"A": (ends, np.linspace(1, 2, 60))}, {"A": 1.0})[1]
    assert curve[-1] == pytest.approx(1_000.0 + float(sum(net for *_, net in rows)))


moneys = st.decimals(min_value=-1000, max_value=1000, places=6)


@given(st.lists(moneys, max_size=30), st.lists(st.floats(1, 1e6), max_size=30))
def test_no_figure_is_ever_nan_or_infinite(nets: list[Decimal], curve: list[float]) -> None:
    got = report.ready(figures([trade(str(net)) for net in nets], curve, days=max(1, len(curve)), start="50000"))
    json.dumps(got, allow_nan=False)
    assert got["max_drawdown"] >= 0
    assert 0 <= got["exposure"] <= 1


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_plain_is_exact_and_has_no_exponent(value: Decimal) -> None:
    text = report.plain(value) if abs(value.adjusted()) < 50 else "0"
    assert "E" not in text
    assert text == "0" or Decimal(text) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [("28.542000000000", "28.542"), ("0E-12", "0"), ("-0", "0"), ("1E+3", "1000"), ("100", "100"), ("-1.50", "-1.5")],
)
def test_plain_reads_like_a_number_a_person_wrote(value: str, text: str) -> None:
    assert report.plain(Decimal(value)) == text


def test_ready_turns_nan_into_null_and_money_into_text() -> None:
    assert report.ready({"a": (Decimal("1.10"), math.nan, np.float64(2.0)), 1: [np.inf, np.arange(2)]}) == {
        "a": ["1.1", None, 2.0],
        "1": [None, [0, 1]],
    }


def test_trade_rows_are_what_ready_gives() -> None:
    trades = [trade("1.000000000001"), trade("-2", side="short")]
    assert report.trade_rows(trades) == report.ready(trades)
    order = "symbol side entry_ts entry_price exit_ts exit_price quantity leverage gross fees funding net exit_reason decision_id"
    assert " ".join(report.trade_rows(trades)[0]) == order


def test_csv_gives_back_the_very_trades() -> None:
    trades = [trade("-1.000000000001"), trade("123456789.123456", side="short")]
    rows = csv.DictReader(io.StringIO(report.trades_csv(trades)))
    assert [msgspec.convert(row, Trade, strict=False) for row in rows] == trades


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-2", "@SUM(A1)", "\t=1", "\r\n=1", "a\nb"])
def test_i30_csv_text_is_never_a_formula_nor_a_line_of_its_own(text: str) -> None:
    rows = list(csv.DictReader(io.StringIO(report.trades_csv([trade("-7", exit_reason=text)]))))
    assert len(rows) == 1
    assert rows[0]["exit_reason"][0] in "'a"
    assert rows[0]["exit_reason"].isprintable()
    assert rows[0]["net"] == "-7"
