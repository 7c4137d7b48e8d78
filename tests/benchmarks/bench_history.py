"""Backtests in process: W1, W2 and W3, each against the bare TA-Lib calls over the same arrays."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import workload
from floor import floor
from measuring import Finding, Goal, in_turn, said, script, seconds

from enigma_core.model import Candles
from enigma_core.shells import backtest

TOLERANCE = 1.1
"""How much dearer a bar may look before it is called dearer: the same work measured twice differs by some hundredths."""


class Work(NamedTuple):
    """One backtest done: seconds by stage, and how many trades."""

    timing: dict[str, float]
    trades: int

    @property
    def total(self) -> float:
        return sum(self.timing.values())


def w1(quick: bool) -> Finding:
    """1 symbol, a year of 5 m, in process against bare TA-Lib."""
    found = measured("w1", workload.markets(1, bars(workload.W1_BARS, quick)), 3 if quick else 15)
    found.goals.append(Goal("engine / floor, best:", found.figures["engine_to_floor_best"], 4.0))
    return found


def w2(quick: bool) -> Finding:
    """1 symbol, a million bars, the same; and the memory it takes."""
    markets = workload.markets(1, bars(workload.W2_BARS, quick))
    found = measured("w2", markets, 1 if quick else 3, beside=bars(workload.W1_BARS, quick))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (candles,) = markets.values()
        workload.write_csv(folder / "BTCUSDT.csv", candles)
        columns = (candles.ts, candles.open, candles.high, candles.low, candles.close, candles.volume)
        np.save(folder / "columns.npy", np.array(columns, np.float64))
        for way, file, what in (("arrays", "columns.npy", "in process"), ("command", "BTCUSDT.csv", "enigma backtest")):
            peak = float(said([*script("memory.py"), way, file], folder).split()[-1])
            found.figures[f"{way}_peak_bytes"] = peak
            found.goals.append(Goal(f"peak memory, {what}:", peak / 1e9, 1.0, " GB"))
    return found


def w3(quick: bool) -> Finding:
    """20 symbols in one account, the same."""
    n = bars(workload.W1_BARS, quick)
    return measured("w3", workload.markets(3 if quick else workload.W3_SYMBOLS, n), 1 if quick else 3, beside=n)


def bars(number: int, quick: bool) -> int:
    """How many bars are measured."""
    return number // workload.QUICK if quick else number


def measured(name: str, markets: Mapping[str, Candles], repeats: int, beside: int = 0) -> Finding:
    """The backtest of `markets` against its floor; with `beside` also W1 of that many bars, to compare what a bar costs."""
    plan = workload.plan(*workload.OPEN)
    done: dict[str, list[Work]] = {"engine": [], "w1": []}

    def trade(which: str, candles: Mapping[str, Candles]) -> None:
        result = backtest(plan, candles, workload.instruments(candles))
        done[which].append(Work(result.timing, len(result.trades)))

    def bare() -> None:
        for candles in markets.values():
            floor(candles)

    subjects = {"engine": lambda: trade("engine", markets), "floor": bare}
    if beside:
        small = workload.markets(1, beside)
        subjects["w1"] = lambda: trade("w1", small)
    bare()
    times = in_turn(repeats, subjects)
    work = min(done["engine"], key=lambda each: each.total)
    n = sum(map(len, markets.values()))
    symbols = f"{len(markets)} symbol{'s' * (len(markets) > 1)}"
    found = Finding(name, f"{symbols}, {n:,} bars of 5m, {work.trades:,} trades, in process", repeats)
    found.tell(times, "engine", "floor")
    by_floor = {stage: spent / times["floor"].best for stage, spent in work.timing.items()}
    indicators, simulation = work.timing["indicators_s"], work.timing["simulation_s"]
    found.figures |= {"bars": n, "trades": work.trades, "symbols": len(markets)} | work.timing
    found.figures |= {"indicators_s_a_bar": indicators / n, "simulation_s_a_trade": simulation / max(1, work.trades)}
    found.lines += [
        f"indicators {seconds(indicators)} ({by_floor['indicators_s']:.1f} floors, {seconds(indicators / n)} a bar), "
        f"simulation {seconds(simulation)} ({by_floor['simulation_s']:.1f} floors, "
        f"{seconds(simulation / max(1, work.trades))} a trade)",
    ]
    if beside:
        mine, theirs = times["engine"].best / n, times["w1"].best / beside
        found.figures |= {"s_a_bar": mine, "w1_s_a_bar": theirs}
        found.lines.append(f"a bar {seconds(mine)}, of w1 in the same run {seconds(theirs)}")
        found.goals.append(Goal("a bar / a bar of w1, best:", mine / theirs, TOLERANCE))
    return found
