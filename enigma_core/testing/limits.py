"""Settings at their own limits: a value that the part's declaration allows must work, or be refused with a `ConfigError`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
from msgspec import inspect as schema

from enigma_core.errors import ConfigError
from enigma_core.parts import Exit, Indicator, MarketGate, Part, Sizer
from enigma_core.testing.fakes import make_account, make_evaluation, make_holding, make_instrument, make_path, make_signal
from enigma_core.testing.finding import FAILED, Inspection
from enigma_core.testing.generators import candles

WORK: dict[type[Part], Callable[[Any], Any]] = {
    Indicator: lambda part: part.points(candles(11, 300)),
    MarketGate: lambda part: part.passes(part.measure(make_evaluation(n=50))),
    Sizer: lambda part: part.size(make_signal(), make_instrument(), make_account()),
    Exit: lambda part: (part.first_stop(make_holding()), part.stops(make_holding(), make_path(candles(11, 50)))),
}
"""One ordinary piece of work for each kind."""


def _bounds(of: schema.Type) -> Iterator[float]:
    while isinstance(of, schema.Metadata):
        of = of.type
    if not isinstance(of, schema.IntType | schema.FloatType):
        return
    near = 1 if isinstance(of, schema.IntType) else 1e-9
    for edge, inward in ((of.ge, 0), (of.gt, near), (of.le, 0), (of.lt, -near)):
        if edge is not None:
            yield int(edge + inward) if isinstance(of, schema.IntType) else float(edge + inward)


def inspect(inspection: Inspection, part: Part) -> None:
    """Set each bounded number to each of its limits, one at a time, and let the part work once."""
    work = next((work for base, work in WORK.items() if isinstance(part, base)), None)
    struct = schema.type_info(type(part))
    if work is None or inspection.findings or not isinstance(struct, schema.StructType):
        return
    for field in struct.fields:
        for edge in _bounds(field.type):
            try:
                other = msgspec.structs.replace(part, **{field.name: edge})
            except ConfigError:
                continue  # refused in a sentence, as it should be
            where = f"with {field.name}={edge}, which its limits allow, the part"
            answer = inspection.call(where, work, other)
            if isinstance(other, Indicator) and answer is not FAILED:
                sound = isinstance(answer, np.ndarray) and answer.shape == (300,) and answer.dtype == np.float64
                if not sound or (np.abs(answer) > other.max_points * (1 + 1e-9)).any():
                    inspection.found("limits", f"{where} gives points of the wrong shape or beyond max_points; narrow the limits")
