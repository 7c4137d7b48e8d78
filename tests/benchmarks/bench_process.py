"""Whole processes, from start to exit: `enigma backtest` on W1 against backtesting.py, and `enigma --help`."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import tempfile
from pathlib import Path

import workload
from bench_history import bars
from measuring import Finding, Goal, children, in_turn, said, script, seconds


def process(quick: bool) -> Finding:
    """`enigma backtest --data W1.csv --json` from start to exit, against the same work in backtesting.py."""
    repeats = 1 if quick else 5
    n = bars(workload.W1_BARS, quick)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = workload.write_csv(folder / "BTCUSDT.csv", workload.market(workload.symbol_name(0), n, 1))
        ours, theirs = [*enigma(), *workload.arguments(file)], [*script("rival.py"), str(file)]
        said(ours, folder)  # the first process writes the bytecode
        told = json.loads(said(ours, folder, out=True))
        rival = importlib.util.find_spec("backtesting") is not None
        trades = int(said(theirs, folder, out=True).split()[-1]) if rival else 0
        subjects = {"enigma": lambda: said(ours, folder)}
        if rival:
            subjects["backtesting"] = lambda: said(theirs, folder)
        times = in_turn(repeats, subjects, processor=children)
    found = Finding(
        "process", f"enigma backtest on a csv file of {n:,} bars, start to exit, {len(told['trades']):,} trades", repeats
    )
    timing = told["timing"]
    found.figures |= {"bars": n, "trades": len(told["trades"]), **timing}
    if rival:
        found.title += f" (backtesting.py: {trades:,})"
        found.figures["backtesting_trades"] = trades
        found.tell(times, "enigma", "backtesting")
        faster = 1 / found.figures["enigma_to_backtesting_best"]
        found.figures["times_faster"] = faster
        found.goals.append(Goal("times faster than backtesting.py, best:", faster, 4.0, least=True))
    else:
        found.tell(times, "enigma")
        found.lines.append(
            "backtesting.py is not installed, so its goal (4 times faster) is not measured: pip install -e '.[bench]'"
        )
    rest = timing["total_s"] - timing["load_s"] - timing["indicators_s"] - timing["simulation_s"]
    found.lines.append(
        f"of {seconds(timing['total_s'])} from the command's start to its answer: settings, plugins and file "
        f"{seconds(timing['load_s'])}, indicators {seconds(timing['indicators_s'])}, simulation {seconds(timing['simulation_s'])}, "
        f"figures {seconds(rest)}"
    )
    return found


def help_(quick: bool) -> Finding:
    """`enigma --help` in a fresh process, against an interpreter that does nothing."""
    repeats = 2 if quick else 5
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours, bare = [*enigma(), "--help"], [sys.executable, "-c", "pass"]
        said(ours, folder)
        subjects = {"help": lambda: said(ours, folder), "python": lambda: said(bare, folder)}
        times = in_turn(repeats, subjects, processor=children)
    found = Finding("help", "enigma --help, a fresh process, beside python -c pass", repeats)
    found.tell(times, "help", "python")
    found.goals.append(Goal("enigma --help, best:", times["help"].best, 0.3, " s"))
    return found


def enigma() -> list[str]:
    """The installed command, or the same by its module."""
    beside = shutil.which("enigma", path=str(Path(sys.executable).parent))
    return [beside] if beside else [sys.executable, "-c", "from enigma_core.cli import main; main()"]
