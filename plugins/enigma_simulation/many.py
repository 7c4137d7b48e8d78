"""Many seeds, on several processors, and what they come to together."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from enigma_simulation.running import Outcome, simulate


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """All seeds together. `trace` is one hash over those of the seeds, in order of the seeds."""

    seeds: int
    events: int
    faults: dict[str, int]
    """How many seeds each fault met."""
    violations: int
    failing: tuple[int, ...]
    trace: str
    courses: dict[str, int]
    """How often the engine took each rare course."""
    longest_unprotected: float
    longest_unprotected_seed: int
    longest_in_reach: float
    longest_in_calm: float
    """The longest unprotected time of the seeds without any fault."""
    longest_by_fault: dict[str, float]
    """The longest unprotected time in reach (s) of the seeds that met one kind of fault alone, by that fault."""
    kill: float
    """The longest that the kill switch took, in calm."""
    orders: int
    trades: int
    lives: int
    seconds: float
    """Of the processors."""
    virtual: float


def outcomes(seeds: Sequence[int], jobs: int = 1) -> Iterator[Outcome]:
    """What each seed came to, as they are done."""
    if jobs <= 1 or len(seeds) < 2:
        for seed in seeds:
            yield simulate(seed)
        return
    # a process is as good as new for each seed's sake: nothing of one may matter to another
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(simulate, seeds, chunksize=4)


def total(found: Iterable[Outcome], seen: Callable[[Outcome], None] = lambda _: None) -> Total:
    """What many seeds come to; `seen` is told of each."""
    every = []
    for outcome in found:
        seen(outcome)
        every.append(outcome)
    every.sort(key=lambda o: o.seed)
    courses = sum((Counter(outcome.taken) for outcome in every), Counter[str]())
    faults = Counter(name for outcome in every for name in dict.fromkeys(outcome.faults))
    worst = max(every, key=lambda o: o.longest_unprotected, default=None)
    return Total(
        seeds=len(every),
        events=sum(o.events for o in every),
        faults=dict(sorted(faults.items())),
        courses=dict(sorted(courses.items())),
        violations=sum(len(o.violations) for o in every),
        failing=tuple(o.seed for o in every if o.violations),
        trace=hashlib.blake2b("".join(o.trace for o in every).encode(), digest_size=16).hexdigest(),
        longest_unprotected=worst.longest_unprotected if worst is not None else 0.0,
        longest_unprotected_seed=worst.seed if worst is not None else 0,
        longest_in_reach=max((o.longest_in_reach for o in every), default=0.0),
        longest_in_calm=max((o.longest_unprotected for o in every if o.weather == "calm"), default=0.0),
        longest_by_fault=_by_fault(every),
        kill=max((took for o in every for took in o.kills), default=0.0),
        orders=sum(o.entries for o in every),
        trades=sum(o.trades for o in every),
        lives=sum(o.lives for o in every),
        seconds=round(sum(o.seconds for o in every), 3),
        virtual=round(sum(o.virtual for o in every), 1),
    )


def _by_fault(every: Iterable[Outcome]) -> dict[str, float]:
    longest: dict[str, float] = {}
    for outcome in every:
        if outcome.weather == "single":
            (name,) = outcome.faults
            longest[name] = max(longest.get(name, 0.0), outcome.longest_in_reach)
    return dict(sorted(longest.items()))
