"""Measuring in turn, so that a busy machine slows subject and reference alike, and what is said of it afterwards."""

from __future__ import annotations

import gc
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Times:
    """The repeats of one thing, seconds each: by the clock on the wall, and of processor time."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def best(self) -> float:
        """The least disturbed repeat."""
        return min(self.wall)

    @property
    def median(self) -> float:
        return statistics.median(self.wall)

    @property
    def least_cpu(self) -> float:
        return min(self.cpu)


def in_turn(
    repeats: int,
    subjects: Mapping[str, Callable[[], Any]],
    *,
    processor: Callable[[], float] = time.process_time,
    before: Callable[[], Any] | None = None,
) -> dict[str, Times]:
    """Each of `subjects` `repeats` times, one after the other and round again. What is done `before` each round is not timed."""
    times = {name: Times() for name in subjects}
    for _ in range(repeats):
        if before is not None:
            before()
        for name, subject in subjects.items():
            gc.collect()
            cpu, wall = processor(), time.perf_counter()
            subject()
            times[name].wall.append(time.perf_counter() - wall)
            times[name].cpu.append(processor() - cpu)
    return times


def children() -> float:
    """Processor time of all child processes that have ended, seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def said(command: Sequence[str], folder: Path, *, out: bool = False) -> str:
    """Run a fresh process in `folder` from start to exit; what it said on stderr, or with `out` on stdout, which else is dropped.

    Settings of the project in this environment do not reach it. Bytecode is kept in the folder, so that from the second process
    on modules are loaded as an installed program loads them. Raises `RuntimeError` with what it said when it fails.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ENIGMA")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    stdout = subprocess.PIPE if out else subprocess.DEVNULL
    done = subprocess.run(command, cwd=folder, stdout=stdout, stderr=subprocess.PIPE, env=environment, check=False, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return done.stdout if out else done.stderr


@dataclass
class Goal:
    """A figure beside what it should be at most (or, with `least`, at least)."""

    what: str
    value: float
    limit: float
    unit: str = ""
    least: bool = False

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.least else self.value <= self.limit

    def __str__(self) -> str:
        sign = ">=" if self.least else "<="
        verdict = "met"
        if not self.met:
            times = self.limit / self.value if self.least else self.value / self.limit
            verdict = f"MISSED, {times:.2g} times"
        return f"{self.what} {number(self.value)}{self.unit} (goal {sign} {number(self.limit)}{self.unit}: {verdict})"


@dataclass
class Finding:
    """What one benchmark found. `figures` are seconds, bytes, counts and ratios by name; `lines` say the same to people."""

    name: str
    title: str
    repeats: int
    figures: dict[str, float] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)

    def tell(self, times: Mapping[str, Times], subject: str, reference: str | None = None) -> None:
        """The times of `subject`; with a `reference` also its, and the one as a multiple of the other."""
        names = [subject] if reference is None else [subject, reference]
        for name in names:
            t = times[name]
            self.figures |= {f"{name}_best_s": t.best, f"{name}_median_s": t.median, f"{name}_cpu_s": t.least_cpu}
            self.lines.append(
                f"{name:<12} best {seconds(t.best):>8}   median {seconds(t.median):>8}   processor {seconds(t.least_cpu):>8}"
            )
        if reference is not None:
            a, b = times[subject], times[reference]
            ratios = {"best": a.best / b.best, "median": a.median / b.median, "cpu": a.least_cpu / b.least_cpu}
            self.figures |= {f"{subject}_to_{reference}_{name}": ratio for name, ratio in ratios.items()}
            best, median, cpu = map(number, ratios.values())
            self.lines.append(f"{'ratio':<12} best {best:>8}   median {median:>8}   processor {cpu:>8}")


def number(value: float) -> str:
    """Three figures, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def seconds(value: float) -> str:
    """A duration in the unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def machine() -> dict[str, Any]:
    """What it ran on, in general terms."""
    import numpy
    import talib

    return {
        "cores": os.cpu_count(),
        "system": platform.system(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "talib": talib.__version__,
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def script(name: str) -> list[str]:
    """The command that runs `name` of this folder in a fresh process."""
    return [sys.executable, str(Path(__file__).with_name(name))]
