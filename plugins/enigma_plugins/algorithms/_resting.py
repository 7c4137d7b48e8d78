"""Which slices wait at a price."""

from __future__ import annotations

from enigma_core.parts import Work


def resting(work: Work) -> tuple[str, ...]:
    """The ids of slices that wait at their price."""
    return tuple(piece.order.id for piece in work.pieces if piece.working and piece.order.resting)
