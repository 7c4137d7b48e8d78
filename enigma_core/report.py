"""What came of it: trades and an equity curve in, figures and tables out. Pure.

Figures that a set of trades does not have (a profit factor without losses, a Sharpe ratio of one day) are None, which is
null in JSON; no figure is ever NaN or infinite. Money stays `Decimal` and is written as text without exponent.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np

from enigma_core.lines import Floats
from enigma_core.model import ZERO, Trade, money

DAY = 86_400_000
DAYS_A_YEAR = 365
COLUMNS = Trade.__struct_fields__
"""The columns of a trade list, in JSON and in CSV."""


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one run. Fractions, not percent: a `win_rate` of 0.5 is half. None where there is nothing to say.

    ===============  =====================================================================================
    trades           how many positions were closed
    win_rate         trades with net > 0 / trades
    profit_factor    sum of the nets above 0 / |sum of the nets below 0|; None without a losing trade
    sharpe           mean(r) / std(r, ddof=1) * sqrt(365), r the daily returns of equity (see `daily_returns`), no
                     risk-free rate (W. F. Sharpe 1994); None with fewer than two days or a standard deviation of 0
    sortino          mean(r) / sqrt(mean(min(r, 0)^2)) * sqrt(365) (F. Sortino and R. van der Meer 1991, target 0);
                     None with fewer than two days or without a losing day
    calmar           annual return / max_drawdown, annual return = (end / start)^(365 days / span) - 1 (T. W. Young
                     1991, over the whole span); None without a drawdown or a span
    max_drawdown     the largest (peak - equity) / peak, the peak being the highest equity so far, start included
    expectancy       sum of the nets / trades, in the quote currency
    exposure         share of the span in which at least one position was open
    fees, funding    their sums; funding received is positive
    total_return     end equity / start equity - 1
    buy_and_hold     mean over symbols of last close / first price - 1: equal money in each, never touched, no costs
    ===============  =====================================================================================
    """

    trades: int
    win_rate: float | None
    profit_factor: float | None
    sharpe: float | None
    sortino: float | None
    calmar: float | None
    max_drawdown: float | None
    expectancy: Decimal | None
    exposure: float | None
    fees: Decimal
    funding: Decimal
    total_return: float | None
    buy_and_hold: float | None


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a breakdown: the trades that share `key`. `mean_hours` is how long they were held."""

    key: str
    trades: int
    wins: int
    win_rate: float
    profit_factor: float | None
    fees: Decimal
    funding: Decimal
    net: Decimal
    mean_hours: float


def metrics(
    trades: Sequence[Trade],
    start_equity: Decimal,
    end_equity: Decimal,
    equity: tuple[np.ndarray, Floats],
    span: tuple[int, int],
    prices: Mapping[str, tuple[float, float]],
) -> Metrics:
    """The figures of a run.

    `equity` is (ts int64 ms ascending, value float64), both (n,); n may be 0. `span` is when the run's first bar opened and
    its last closed, ms. `prices` gives each symbol's first price and last close.
    """
    nets = [trade.net for trade in trades]
    ts, values = equity
    start = float(start_equity)
    returns = daily_returns(ts, values, start, span)
    drawdown = max_drawdown(values, start)
    grown = _ratio(float(end_equity), start)
    return Metrics(
        trades=len(trades),
        win_rate=_ratio(sum(net > 0 for net in nets), len(nets)),
        profit_factor=profit_factor(nets),
        sharpe=sharpe(returns),
        sortino=sortino(returns),
        calmar=_calmar(grown, drawdown, span),
        max_drawdown=drawdown,
        expectancy=money(sum(nets, ZERO) / len(nets)) if nets else None,
        exposure=exposure(trades, span),
        fees=sum((trade.fees for trade in trades), ZERO),
        funding=sum((trade.funding for trade in trades), ZERO),
        total_return=None if grown is None else grown - 1,
        buy_and_hold=buy_and_hold(prices),
    )


def marked_equity(
    start: float, trades: Iterable[Trade], closes: Mapping[str, tuple[np.ndarray, Floats]], multipliers: Mapping[str, float]
) -> tuple[np.ndarray, Floats]:
    """Equity at every bar's close, open positions valued at it: (ts int64 ms, equity float64), both (n,).

    `closes` gives each symbol's bar ends (int64 ms, ascending) and closes; between a symbol's bars its last one counts. A
    trade counts with its whole quantity from the first close after its entry, and with its net, all costs in it, from its exit.
    """
    ends = [ts for ts, _ in closes.values() if len(ts)]
    if not ends:
        return np.empty(0, np.int64), np.empty(0)
    same = all(len(ts) == len(ends[0]) and np.array_equal(ts, ends[0]) for ts in ends[1:])
    grid = ends[0] if same else np.unique(np.concatenate(ends))
    steps = np.zeros(len(grid) + 1)
    held = {symbol: np.zeros(len(ts)) for symbol, (ts, _) in closes.items()}
    for trade in trades:
        steps[np.searchsorted(grid, trade.exit_ts)] += float(trade.net)
        ts, prices = closes[trade.symbol]
        part = slice(np.searchsorted(ts, trade.entry_ts, side="right"), np.searchsorted(ts, trade.exit_ts))
        size = (1 if trade.side == "long" else -1) * float(trade.quantity) * multipliers[trade.symbol]
        held[trade.symbol][part] += size * (prices[part] - float(trade.entry_price))
    equity = start + np.cumsum(steps[:-1])
    for symbol, (ts, _) in closes.items():
        if len(ts) == len(grid):
            equity += held[symbol]
        elif len(ts):
            at = np.searchsorted(ts, grid, side="right") - 1
            equity += np.where(at >= 0, held[symbol][at], 0.0)
    return grid, equity


def daily_returns(ts: np.ndarray, values: Floats, start: float, span: tuple[int, int]) -> Floats:
    """Return of each UTC day that `span` touches: equity at its end / equity at its start - 1, shape (days,).

    Equity at a day's end is the last sample not later than it; before the first sample it is `start`. A day after the
    account was lost (equity at its start not above 0) has no return and is left out.
    """
    first, last = span[0] // DAY, -(-span[1] // DAY)
    if last <= first:
        return np.empty(0)
    ends = np.arange(first + 1, last + 1, dtype=np.int64) * DAY
    at = np.searchsorted(ts, ends, side="right")
    curve = np.concatenate(([start, start], values))
    levels = curve[np.concatenate(([0], at + 1))]
    before, after = levels[:-1], levels[1:]
    alive = before > 0
    return after[alive] / before[alive] - 1.0


def sharpe(returns: Floats) -> float | None:
    """Annual Sharpe ratio of daily returns (formula in `Metrics`)."""
    if len(returns) < 2:
        return None
    deviation = float(np.std(returns, ddof=1))
    # the deviation of equal floats is not quite 0
    return _number(float(np.mean(returns)) / deviation * math.sqrt(DAYS_A_YEAR)) if deviation > 1e-15 else None


def sortino(returns: Floats) -> float | None:
    """Annual Sortino ratio of daily returns (formula in `Metrics`)."""
    if len(returns) < 2:
        return None
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2)))
    return _number(float(np.mean(returns)) / downside * math.sqrt(DAYS_A_YEAR)) if downside > 1e-15 else None


def max_drawdown(values: Floats, start: float) -> float | None:
    """The largest fall from a peak as a share of it, 0 for a curve that never falls; None for an account of nothing."""
    curve = np.concatenate(([start], values))
    peaks = np.maximum.accumulate(curve)
    return _number(float(np.max((peaks - curve) / peaks))) if start > 0 else None


def profit_factor(nets: Iterable[Decimal]) -> float | None:
    """Money won / money lost; None without a loss."""
    won = lost = ZERO
    for net in nets:
        if net > 0:
            won += net
        else:
            lost -= net
    return _ratio(won, lost)


def exposure(trades: Iterable[Trade], span: tuple[int, int]) -> float | None:
    """Share of `span` in which something was held: the union of the trades' times, so two at once count once."""
    held, covered = 0, span[0]
    for entry, out in sorted((trade.entry_ts, trade.exit_ts) for trade in trades):
        opened, closed = max(entry, covered), min(out, span[1])
        if closed > opened:
            held += closed - opened
            covered = closed
    return _ratio(held, span[1] - span[0])


def buy_and_hold(prices: Mapping[str, tuple[float, float]]) -> float | None:
    """Mean of each symbol's return from its first price to its last close."""
    returns = [last / first - 1.0 for first, last in prices.values() if first > 0]
    return _number(sum(returns) / len(returns)) if returns else None


def breakdown(trades: Iterable[Trade], key: Callable[[Trade], str]) -> list[Row]:
    """Trades grouped by `key`, the group that made the most first."""
    groups: dict[str, list[Trade]] = {}
    for trade in trades:
        groups.setdefault(key(trade), []).append(trade)
    rows = [_row(name, group) for name, group in groups.items()]
    return sorted(rows, key=lambda row: (-row.net, row.key))


def by_symbol(trades: Iterable[Trade]) -> list[Row]:
    """A row for each symbol."""
    return breakdown(trades, lambda trade: trade.symbol)


def by_exit_reason(trades: Iterable[Trade]) -> list[Row]:
    """A row for each way out."""
    return breakdown(trades, lambda trade: trade.exit_reason)


def _row(key: str, group: Sequence[Trade]) -> Row:
    nets = [trade.net for trade in group]
    wins = sum(net > 0 for net in nets)
    return Row(
        key=key,
        trades=len(group),
        wins=wins,
        win_rate=wins / len(group),
        profit_factor=profit_factor(nets),
        fees=sum((trade.fees for trade in group), ZERO),
        funding=sum((trade.funding for trade in group), ZERO),
        net=sum(nets, ZERO),
        mean_hours=sum(trade.exit_ts - trade.entry_ts for trade in group) / len(group) / 3_600_000,
    )


def _calmar(grown: float | None, drawdown: float | None, span: tuple[int, int]) -> float | None:
    if grown is None or not drawdown or span[1] <= span[0]:
        return None
    try:
        annual = max(grown, 0.0) ** (DAYS_A_YEAR * DAY / (span[1] - span[0])) - 1.0
    except OverflowError:
        return None
    return _number(annual / drawdown)


def _ratio(part: float | Decimal, whole: float | Decimal) -> float | None:
    return _number(float(part) / float(whole)) if whole else None


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def plain(value: Decimal) -> str:
    """`value` exactly, without exponent and without zeros at its end: ``28.542``, ``0``, ``-0.000001``."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def ready(thing: Any) -> Any:
    """`thing` as JSON can take it: structs become objects, `Decimal` text, NaN and infinity null. Keys become text."""
    match thing:
        case Decimal():
            return plain(thing) if thing.is_finite() else None
        case float():
            return _number(thing)
        case msgspec.Struct():
            names = zip(thing.__struct_fields__, thing.__struct_encode_fields__, strict=True)
            return {told: ready(getattr(thing, name)) for name, told in names}
        case dict():
            return {str(key): ready(value) for key, value in thing.items()}
        case list() | tuple():
            return [ready(value) for value in thing]
        case np.ndarray():
            return [ready(value) for value in thing.tolist()]
        case np.generic():
            return ready(thing.item())
    return thing


def trade_rows(trades: Iterable[Trade]) -> list[dict[str, Any]]:
    """The trades as JSON objects: what `ready` gives, several times as fast."""
    return [
        {name: plain(value) if (value := getattr(trade, name)).__class__ is Decimal else value for name in COLUMNS}
        for trade in trades
    ]


def trades_csv(trades: Iterable[Trade]) -> str:
    """The trades as CSV with a heading, numbers exact, times in ms.

    A text that a spreadsheet would take for a formula (it begins with ``= + - @``) gets an apostrophe in front, and what
    cannot be printed becomes a space; numbers are left alone, so a loss stays a number.
    """
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(COLUMNS)
    for trade in trades:
        table.writerow([_cell(getattr(trade, name)) for name in COLUMNS])
    return out.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, Decimal):
        return plain(value)
    if not isinstance(value, str):
        return str(value)
    text = "".join(c if c.isprintable() else " " for c in value)
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) else text
