"""The loss at which a position is given up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta

from enigma_core.hookspecs import hookimpl
from enigma_core.parts import Exit, Holding


class StopLoss(Exit, frozen=True, kw_only=True):
    """A stop at ``e (1 - side * roi / leverage)`` from the moment of entry."""

    name = "stop_loss"

    roi: Annotated[float, Meta(gt=0, lt=1, description="loss on margin at which to get out")] = 0.06

    def first_stop(self, position: Holding) -> Any:
        return position.entry * (1 - position.side * self.roi / position.leverage)


@hookimpl
def enigma_exits() -> Iterator[type[Exit]]:
    yield StopLoss
