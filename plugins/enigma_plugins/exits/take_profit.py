"""The profit at which to get out, at once or in steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated

from msgspec import Meta

from enigma_core.errors import ConfigError
from enigma_core.hookspecs import hookimpl
from enigma_core.parts import Exit, Holding, Target

Roi = Annotated[float, Meta(gt=0)]
Fraction = Annotated[float, Meta(gt=0, le=1)]


class TakeProfit(Exit, frozen=True, kw_only=True):
    """A target at ``e (1 + side * roi / leverage)``, or a ladder of them, each for a fraction of the quantity.

    Raises `ConfigError` for a ladder that gives away more than the whole position.
    """

    name = "take_profit"

    roi: Annotated[float, Meta(gt=0, description="profit on margin at which to take it all, unless a ladder is set")] = 0.15
    resting: Annotated[bool, Meta(description="wait at the level as a limit order, which pays the maker's fee")] = False
    ladder: Annotated[tuple[tuple[Roi, Fraction], ...], Meta(description="steps of (roi, fraction of the quantity)")] = ()

    def __post_init__(self) -> None:
        total = math.fsum(fraction for _, fraction in self.ladder)
        # decimals such as 0.7 + 0.2 + 0.1 need not add up to 1 in floats
        if not total <= 1 + 1e-9:
            raise ConfigError(f"exit take_profit: the fractions of ladder add up to {total:g}; they must not exceed 1")

    def targets(self, position: Holding) -> Sequence[Target]:
        steps = self.ladder or ((self.roi, 1.0),)
        return [
            Target(position.entry * (1 + position.side * roi / position.leverage), fraction, self.resting)
            for roi, fraction in steps
        ]


@hookimpl
def enigma_exits() -> Iterator[type[Exit]]:
    yield TakeProfit
