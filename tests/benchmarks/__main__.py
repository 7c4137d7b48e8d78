"""Speed and memory, beside what they should be: ``python tests/benchmarks [--only NAME ...] [--quick] [--seconds S] [--json]``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict

from bench_alerts import alerts
from bench_history import w1, w2, w3
from bench_hundred import hundred
from bench_live import live, scan
from bench_live_order import live_order
from bench_order import order
from bench_process import help_, process
from bench_screener import screener
from measuring import Finding, machine

BENCHMARKS: dict[str, Callable[..., Finding]] = {
    "w1": w1,
    "w2": w2,
    "w3": w3,
    "process": process,
    "live": live,
    "scan": scan,
    "screener": screener,
    "help": help_,
    "alerts": alerts,
    "order": order,
    "live_order": live_order,
    "hundred": hundred,
}

LASTING = ("alerts", "hundred")
"""Those that go on for a time which may be chosen."""


def main() -> None:
    """Measure what is asked for and print it as it comes."""
    parser = argparse.ArgumentParser(
        prog="python tests/benchmarks",
        description="Measure speed and memory. Each thing and its reference are measured in turn, in one run.",
        epilog="; ".join(f"{name}: {(measure.__doc__ or '').rstrip('.')}" for name, measure in BENCHMARKS.items()),
    )
    parser.add_argument("--only", action="append", choices=BENCHMARKS, metavar="NAME", help="measure only this; repeatable")
    parser.add_argument("--quick", action="store_true", help="a fraction of the work, to see that it runs; its figures mean little")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long alerts are sent, and markets followed")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    options = parser.parse_args()
    found = []
    if not options.json:
        tell(", ".join(f"{name} {value}" for name, value in machine().items() if value is not None))
    for name, measure in BENCHMARKS.items():
        if options.only and name not in options.only:
            continue
        began = time.perf_counter()
        found.append(measure(options.quick, options.seconds) if name in LASTING else measure(options.quick))
        if not options.json:
            show(found[-1], time.perf_counter() - began)
    if options.json:
        findings = [{**asdict(f), "goals": [{**asdict(g), "met": g.met} for g in f.goals]} for f in found]
        tell(json.dumps({"machine": machine(), "quick": options.quick, "benchmarks": findings}, indent=2))


def show(found: Finding, spent: float) -> None:
    """One benchmark, as people read it."""
    tell(f"\n{found.name}: {found.title}\n    {found.repeats:,} repeats, in turn; measuring took {spent:.0f} s")
    for line in found.lines:
        tell(f"    {line}")
    for goal in found.goals:
        tell(f"  > {goal}")


def tell(text: str) -> None:
    """Print at once, so that a long run shows where it is."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
