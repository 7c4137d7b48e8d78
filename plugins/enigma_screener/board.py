"""Where the newest scan stands for whoever asks."""

from __future__ import annotations

from enigma_screener.ranking import Scan


class Board:
    """`scan` is the newest, None before the first; `waiting` markets have no history yet; `trouble` says what is wrong now."""

    def __init__(self) -> None:
        self.scan: Scan | None = None
        self.waiting = 0
        self.left_out: dict[str, str] = {}
        self.trouble = ""
