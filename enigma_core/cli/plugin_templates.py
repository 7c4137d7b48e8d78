"""What `enigma plugins new` writes: an installable package of one module, a test of three lines, and how to go on."""

from __future__ import annotations

from string import Template

PYPROJECT = Template("""\
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "$distribution"
version = "0.1.0"
description = "The $kind $name for Miniature Enigma"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["miniature-enigma>=0.1"]

[project.entry-points.enigma]
"${kind}s.$name" = "$module"

[tool.hatch.build]
dev-mode-dirs = ["."]

[tool.hatch.build.targets.wheel]
only-include = ["$module.py"]
""")

README = Template("""\
# $distribution

The $kind `$name` for Miniature Enigma.

    pip install -e .                   # install it where the engine is; edits show at once
    enigma plugins check $name         # does it keep the contract of its kind?
    pytest                             # the same, as a test
    enigma plugins                     # there it is

$usage
""")

TEST = Template("""\
from $module import $cls


def test_contract(check_part):
    check_part($cls)
""")

USAGE = {
    "indicator": 'Switch it on in `strategy_config.json`: `"indicators": {"$name": {}}`, its settings between the braces.',
    "gate": 'Switch it on in `strategy_config.json`: `"gates": {"$name": {}}`, its settings between the braces.',
    "sizer": 'Use it in `strategy_config.json`: `"sizer": {"use": "$name"}`.',
    "exit": 'Switch it on in `strategy_config.json`: `"exits": {"$name": {}}`, its settings between the braces.',
    "notifier": 'Switch it on in `strategy_config.json`: `"notifiers": {"$name": {}}`.',
}

MODULES = {
    "indicator": Template('''\
"""Votes with the side of the average that the close is on."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.lines import Floats
from enigma_core.model import Candles
from enigma_core.parts import Indicator
from enigma_core.rules import first_match, negative, positive, price_noise


class $cls(Indicator, frozen=True, kw_only=True):
    """Bullish while the close is above the average of the last `period` closes, bearish while it is below."""

    name = "$name"
    streams = True  # its only memory is a line of candles.ta, so that the live path may feed it one bar at a time

    period: Annotated[int, Meta(ge=2, le=500, description="bars in the average")] = 20
    max_points: Annotated[float, Meta(ge=0, le=1000, description="points of the strongest vote")] = 10.0

    @property
    def warmup(self) -> int:
        return self.period

    def points(self, candles: Candles) -> Floats:
        average = candles.ta.SMA(candles.close, timeperiod=self.period)
        distance, noise = candles.close - average, price_noise(candles.close)
        bullish, bearish = positive(distance, noise), negative(distance, noise)
        return first_match((bullish, 1.0), (bearish, -1.0), known=average, scale=self.max_points)


@hookimpl
def enigma_indicators() -> Iterator[type[Indicator]]:
    yield $cls
'''),
    "gate": Template('''\
"""Lets a signal through while enough of the indicators agree."""

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.lines import Floats
from enigma_core.parts import Gate, MarketGate
from enigma_core.scoring import Evaluation


class $cls(MarketGate, frozen=True, kw_only=True):
    """Passes when the larger camp holds at least `min` of the indicators that voted."""

    name = "$name"

    min: Annotated[float, Meta(ge=0, le=1, description="share of the votes")] = 0.6

    @property
    def limit(self) -> str:
        return f">= {self.min:g}"

    def measure(self, evaluation: Evaluation) -> Floats:
        return evaluation.agreeing / np.maximum(evaluation.voting, 1)

    def passes(self, value: Any) -> Any:
        return np.isfinite(value) & (value >= self.min)


@hookimpl
def enigma_gates() -> Iterator[type[Gate]]:
    yield $cls
'''),
    "sizer": Template('''\
"""Puts the same share of the equity into each trade."""

import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.model import ZERO, Instrument, Signal, Sizing, money
from enigma_core.parts import Account, Sizer


class $cls(Sizer, frozen=True, kw_only=True):
    """``margin = equity * share``, rounded down to whole lots."""

    name = "$name"

    share: Annotated[float, Meta(gt=0, le=0.5, description="share of the equity that is one position's margin")] = 0.01

    def size(self, signal: Signal, instrument: Instrument, account: Account) -> Sizing:
        quantity, bound, price = ZERO, "price", ZERO
        if math.isfinite(signal.price) and signal.price > 0 and account.equity > 0:
            price = Decimal(repr(signal.price))
            quantity = instrument.contracts(account.equity * Decimal(repr(self.share)) * signal.leverage / price)
            bound = "share" if quantity else "min_quantity"
        margin = money(instrument.notional(quantity, price) / signal.leverage)
        return Sizing(quantity=quantity, leverage=signal.leverage, margin=margin, bound=bound)


@hookimpl
def enigma_sizers() -> Iterator[type[Sizer]]:
    yield $cls
'''),
    "exit": Template('''\
"""A stop that follows the best close."""

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.lines import Floats
from enigma_core.parts import Exit, Holding, Path


class $cls(Exit, frozen=True, kw_only=True):
    """A stop `distance` of the entry price behind the best close since entry."""

    name = "$name"

    distance: Annotated[float, Meta(gt=0, lt=1, description="part of the entry price")] = 0.02

    def first_stop(self, position: Holding) -> Any:
        return position.entry * (1 - position.side * self.distance)

    def stops(self, position: Holding, path: Path) -> Floats | None:
        best = position.side * np.maximum.accumulate(position.side * path.close, axis=-1)
        return best - position.side * self.distance * position.entry


@hookimpl
def enigma_exits() -> Iterator[type[Exit]]:
    yield $cls
'''),
    "notifier": Template('''\
"""Writes what is worth telling to a file."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.parts import Note, Notifier


class $cls(Notifier, frozen=True, kw_only=True):
    """Appends each note to `file`, a line each."""

    name = "$name"

    file: Annotated[str, Meta(min_length=1, description="where the notes go")] = "notes.txt"

    async def send(self, note: Note) -> None:
        await asyncio.to_thread(self._append, " ".join(f"{note.ts} {note.event}: {note.title} {note.text}".split()))

    def _append(self, line: str) -> None:
        with Path(self.file).open("a", encoding="utf-8") as notes:
            notes.write(line + "\\n")


@hookimpl
def enigma_notifiers() -> Iterator[type[Notifier]]:
    yield $cls
'''),
}
"""A module for each kind that can be begun this way; each keeps its contract as it stands."""


def package(kind: str, name: str) -> dict[str, str]:
    """The files of a new package by their path in it. `kind` is one of `MODULES`; `name` is a part's name."""
    words = {
        "kind": kind,
        "name": name,
        "module": f"enigma_{name}",
        "distribution": f"enigma-{name.replace('_', '-')}",
        "cls": "".join(word.capitalize() for word in name.split("_")),
    }
    words["usage"] = Template(USAGE[kind]).substitute(words)
    return {
        "pyproject.toml": PYPROJECT.substitute(words),
        "README.md": README.substitute(words),
        f"{words['module']}.py": MODULES[kind].substitute(words),
        f"tests/test_{name}.py": TEST.substitute(words),
    }
