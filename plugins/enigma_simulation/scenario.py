"""What befalls a simulated world: a list of things by the second they happen at, all of them out of the seed."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any, Literal

import msgspec

from enigma_simulation.candles import DISORDERS
from enigma_simulation.moody import MOODS, PARTS
from enigma_simulation.network import CHANNELS
from enigma_simulation.prices import CONTRACTS
from enigma_simulation.settings import CHANGES

Weather = Literal["calm", "single", "storm"]

SYMBOLS = tuple(c.instrument.symbol for c in CONTRACTS)

SPELLS: tuple[dict[str, Any], ...] = (
    {"what": "timeout", "method": "POST", "path": "/api/v1/orders"},
    {"what": "drop", "method": "POST", "path": "/api/v1/orders"},
    {"what": "error", "method": "POST", "path": "/api/v1/orders"},
    {"what": "error_after", "method": "POST", "path": "/api/v1/orders"},
    {"what": "html", "method": "POST", "path": "/api/v1/orders", "status": 502},
    {"what": "half", "method": "POST", "path": "/api/v1/orders"},
    {"what": "throttle", "method": "POST", "path": "/api/v1/orders"},
    {"what": "reject", "code": "300003", "text": "Balance insufficient."},
    {"what": "late", "ms": 3_000},
    {"what": "late", "ms": 15_000},
    {"what": "partial", "share": 0.4},
    {"what": "timeout", "method": "DELETE"},
    {"what": "drop", "method": "DELETE"},
    {"what": "error", "method": "GET", "status": 503},
    {"what": "timeout", "method": "GET", "path": "/api/v1/fills"},
    {"what": "error", "method": "GET", "path": "/api/v1/orders"},
    {"what": "throttle", "method": "GET"},
    {"what": "latency", "ms": 1_500},
    {"what": "half", "method": "GET"},
)
"""Faults that meet some requests, each for a while."""

STATES: tuple[tuple[str, Any, Any], ...] = (
    ("duplicate", 0.5, 0.0),
    ("reorder", 0.5, 0.0),
    ("lose", 0.5, 0.0),
    ("push_delay", 3_000, 0),
    ("stalled_private", True, False),
    ("fills_late", 2_500, 0),
    ("empty_positions", 3, 0),
    ("zero_balance", 1, 0),
    ("skew", 1_700, 0),
)
"""Faults of a stream, and what they are without."""

OUTAGES = ("maintenance", "revoked", "unlisted")
HANDS = (
    "hand_close",
    "hand_reduce",
    "hand_cancel_stop",
    "hand_open",
    "hand_flip",
    "venue_cancels",
    "deposit",
    "withdraw",
    "liquidate",
    "deleverage",
)
ALGORITHMS = ("limit_chase", "twap", "iceberg", "vwap", "router")

RARE = "rare courses"
"""The engine takes them wherever it leaves one to chance."""


class Deed(msgspec.Struct, frozen=True):
    """Something that happens `at` so many seconds."""

    at: float
    what: str
    values: dict[str, Any] = {}


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One course of events. Trouble lasts until `ends`; then all faults are off until `over`."""

    seed: int
    weather: Weather
    faults: tuple[str, ...]
    deeds: tuple[Deed, ...]
    ends: float
    over: float
    rare: float
    """Chance of the rare course wherever the engine leaves one to chance, and this world is open to it."""
    crash_at: float | None
    """Seconds after which the process dies at a labelled point, None for at none of them."""
    algorithm: str
    candles: bool
    """Bars come as an exchange pushes and lists them."""
    kill: bool
    """The kill switch is pulled at the end."""
    start: int
    """Minutes before midnight UTC at which it begins."""


def scenario(seed: int) -> Scenario:
    """What seed `seed` stands for."""
    random = Random(f"scenario/{seed}")
    weather: Weather = random.choices(("calm", "single", "storm"), (2, 5, 4))[0]
    ends = random.uniform(110.0, 240.0)
    deeds = [*_market(random, ends), *_alerts(random, ends), *_resets(random, ends)]
    kinds = ["spell", "state", "outage", "clog", "hand", "process", "operator", "clock", "feed", RARE, "part", "settings", "bars"]
    weights = [7, 4, 2, 4, 4, 4, 2, 1, 2, 2, 2, 1, 1]
    names: list[str] = []
    crash_at = None
    for _ in range({"calm": 0, "single": 1, "storm": random.randint(2, 5)}[weather]):
        found, name, crash = _trouble(random.choices(kinds, weights)[0], random, ends)
        deeds += found
        names.append(name)
        crash_at = crash_at if crash is None else crash
    rare = random.choice((0.02, 0.05, 0.12, 0.25)) if RARE in names or (weather == "storm" and random.random() < 0.5) else 0.0
    siege = Random(f"siege/{seed}")
    if weather == "calm" and siege.random() < 0.5:
        weather = "single"
        found, name = _siege(siege, ends)
        deeds += found
        names.append(name)
    return Scenario(
        seed=seed,
        weather=weather,
        faults=tuple(names),
        deeds=tuple(sorted(deeds, key=lambda deed: deed.at)),
        ends=ends,
        over=ends + 75.0,
        rare=rare,
        crash_at=crash_at,
        algorithm=random.choices(("", *ALGORITHMS), (10, *(1 for _ in ALGORITHMS)))[0],
        candles="bars" in names,
        kill=random.random() < 0.3,
        start=random.choice((2, 3, 600)),
    )


def _market(random: Random, ends: float) -> Iterator[Deed]:
    for _ in range(random.randint(0, 5)):
        share = random.choice((-1, 1)) * random.choice((0.002, 0.006, 0.012, 0.03))
        yield Deed(random.uniform(20, ends), "gap", {"symbol": random.choice(SYMBOLS), "share": share})
    if random.random() < 0.3:
        yield Deed(
            random.uniform(5, ends / 2), "depth", {"symbol": random.choice(SYMBOLS), "depth": random.choice((1_500.0, 4_000.0))}
        )


def _resets(random: Random, ends: float) -> Iterator[Deed]:
    """An operator who wants to see trades closes the breaker by hand now and then."""
    at = random.uniform(20.0, 60.0)
    while at < ends:
        yield Deed(at, "reset")
        at += random.uniform(15.0, 90.0)


def _alerts(random: Random, ends: float) -> Iterator[Deed]:
    at = 6.0
    names = [f"a{i}" for i in range(40)]
    while at < ends:
        symbol = random.choice(SYMBOLS)
        action = random.choices(("long", "short", "close", "reverse", "reduce", "cancel"), (6, 6, 2, 1, 1, 1))[0]
        values: dict[str, Any] = {
            "symbol": symbol,
            "action": action,
            "key": random.choice(names),
            "age": random.choice((0, 0, 0, 0, 20, 90)),
        }
        if random.random() < 0.15:
            values["stop"] = random.choice((0.004, 0.008, 0.03))
        yield Deed(at, "alert", values)
        if random.random() < 0.25:
            # a copy, which may come at the same time
            yield Deed(at + random.choice((0.0, 0.0, 0.3, 5.0)), "alert", values)
        at += random.choice((0.05, 3.0, 9.0, 16.0)) * random.uniform(0.5, 1.5)


def _trouble(kind: str, random: Random, ends: float) -> tuple[list[Deed], str, float | None]:
    """Deeds of one kind of fault, its name, and the point at which the process dies if it does."""
    begins = random.uniform(5.0, ends * 0.7)
    lasts = random.uniform(5.0, ends - begins)
    if kind == "spell":
        spell: dict[str, Any] = dict(random.choice(SPELLS))
        spell["chance"] = random.choice((0.15, 0.4, 1.0))
        if spell["chance"] == 1.0:
            spell["times"] = random.randint(1, 3)
        if spell.get("path") == "/api/v1/orders" and spell.get("method") == "POST" and random.random() < 0.5:
            spell["reducing"] = random.random() < 0.6
        return [Deed(begins, "spell", {**spell, "lasts": lasts})], f"{spell['what']} {spell.get('method', '')}".strip(), None
    if kind == "state":
        name, on, off = random.choice(STATES)
        return [Deed(begins, "fault", {name: on}), Deed(begins + lasts, "fault", {name: off})], name, None
    if kind == "outage":
        name = random.choice(OUTAGES)
        lasts = min(lasts, random.choice((4.0, 20.0, 60.0)))
        return [Deed(begins, "outage", {name: True}), Deed(begins + lasts, "outage", {name: False})], name, None
    if kind == "clog":
        order = list(CHANNELS)
        random.shuffle(order)
        order = order[: random.randint(1, len(order))]
        deeds = [Deed(begins + i * 1.5, "clog", {"channel": channel}) for i, channel in enumerate(order)]
        until = begins + random.choice((3.0, 12.0, 45.0))
        random.shuffle(order)
        deeds += [Deed(until + i * 2.0, "free", {"channel": channel}) for i, channel in enumerate(order)]
        return deeds, "clog", None
    if kind == "hand":
        name = random.choice(HANDS)
        times = random.randint(1, 3) if name.startswith("hand") else 1
        return [Deed(random.uniform(15, ends), name, {"symbol": random.choice(SYMBOLS)}) for _ in range(times)], name, None
    if kind == "process":
        name = random.choices(("crash", "point", "restart", "freeze", "disk"), (4, 4, 2, 2, 1))[0]
        if name == "point":
            return [], "crash at a point", random.uniform(1.0, ends * 0.9)
        times = random.randint(1, 3) if name == "crash" else 1
        values = {"seconds": random.choice((8.0, 40.0, 300.0))} if name == "freeze" else {}
        return [Deed(random.uniform(8, ends), name, values) for _ in range(times)], name, None
    if kind == "operator":
        name = random.choice(("halt", "reduce_only", "close", "another", "pause", "halt_by_file"))
        deeds = [Deed(begins, name, {"symbol": random.choice(SYMBOLS)})]
        if name in ("halt", "reduce_only", "halt_by_file") and random.random() < 0.6:
            deeds.append(Deed(begins + random.uniform(20, 60), "resume"))
        if name == "pause":
            deeds.append(Deed(begins + lasts, "unpause", deeds[0].values))
        return deeds, name, None
    if kind == "part":
        return _out_of_order(random, begins, lasts)
    if kind == "settings":
        return _changes(random, ends)
    if kind == "bars":
        deeds = [Deed(at, "disorder", {"disorder": random.choice(DISORDERS)}) for at in (begins, begins + 0.5 * lasts)]
        return [*deeds, Deed(begins + lasts, "disorder", {"disorder": ""})], "bars", None
    if kind == RARE:
        return [], RARE, None
    if kind == "clock":
        jump = random.choice((-3_600_000, 3_600_000, -2_000, 2_000, 28_800_000))
        return [Deed(begins, "jump", {"ms": jump}), Deed(begins + min(lasts, 40), "jump", {"ms": -jump})], "clock", None
    return [Deed(begins, "stall"), Deed(begins + min(lasts, 40), "flow")], "stalled feed", None


def _out_of_order(random: Random, begins: float, lasts: float) -> tuple[list[Deed], str, None]:
    """A part of the plan, which its author has not tested."""
    mood = random.choice(MOODS)
    parts = random.sample(PARTS, random.randint(1, 2))
    deeds = [Deed(begins, "mood", {"part": part, "mood": mood}) for part in parts]
    name = "a part answers nonsense" if mood == "nonsense" else f"a part {mood}"
    return [*deeds, *(Deed(begins + lasts, "mood", {"part": part, "mood": None}) for part in parts)], name, None


def _changes(random: Random, ends: float) -> tuple[list[Deed], str, None]:
    """Somebody changes settings while the run is on."""
    deeds = []
    for _ in range(random.randint(1, 6)):
        changes = {path: random.choice(values) for path, values in random.sample(CHANGES, random.randint(1, 3))}
        deeds.append(Deed(random.uniform(8.0, ends), "configure", changes))
    return deeds, "settings", None


def _siege(random: Random, ends: float) -> tuple[list[Deed], str]:
    """One thing that goes wrong for long, without fail: only who gives up waiting gets through it."""
    begins = random.uniform(10.0, 50.0)
    until = begins + random.uniform(50.0, 60.0)
    kind = random.choice(("stops", "orders", "disk"))
    if kind == "disk":
        until = begins + 9.0
        deeds = [Deed(begins, "clog", {"channel": "disk"}), Deed(until, "crash"), Deed(until + 1.0, "free", {"channel": "disk"})]
        return deeds, "disk held up, then killed"
    if kind == "stops":
        what = random.choice(("error", "throttle", "timeout", "drop"))
        spell = {"what": what, "method": "POST", "path": "/api/v1/orders", "stops": True, "lasts": until - begins}
        return [Deed(begins, "spell", spell)], "no stops"
    return [Deed(begins, "clog", {"channel": "orders"}), Deed(until, "free", {"channel": "orders"})], "orders held up"
