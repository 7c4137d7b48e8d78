"""Out when the score has turned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.parts import Bools, Exit, Holding, Path


class OppositeSignal(Exit, frozen=True, kw_only=True):
    """Closes at the next open once the primary timeframe scores at least `min` on the other side."""

    name = "opposite_signal"

    min: Annotated[float, Meta(gt=0, description="points the score must reach on the other side")] = 75.0

    def closes(self, position: Holding, path: Path) -> Bools | None:
        against: Bools = path.score * -position.side >= self.min
        return against


@hookimpl
def enigma_exits() -> Iterator[type[Exit]]:
    yield OppositeSignal
