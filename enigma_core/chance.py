"""Places where a simulation may have things take another course: a longer wait, a crash. In production nothing ever does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_ask: Callable[[str], bool] | None = None


def maybe(label: str) -> bool:
    """True where the simulation in charge wants the rare course at `label`; always False without one."""
    return _ask is not None and _ask(label)


@contextmanager
def at_mercy_of(ask: Callable[[str], bool]) -> Iterator[None]:
    """Have `ask` answer every `maybe` meanwhile. One simulation at a time in a process."""
    global _ask
    before, _ask = _ask, ask
    try:
        yield
    finally:
        _ask = before
