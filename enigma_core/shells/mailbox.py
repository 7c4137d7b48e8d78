"""What waits for one channel: bounded, the critical before the ordinary, and what had to give way is counted."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from enigma_core.parts import Note

CRITICAL = frozenset({"halted", "state", "journal", "close"})
"""Events that wait for nothing and give way to nothing ordinary."""

LONGEST = 2_000
"""Characters kept of a note's title, and of its text."""

EVENTS = 32
"""Kinds of event that are counted by name; what else gives way is ``other``."""

ROUNDS = 20
"""Times a critical note is tried anew before it counts as missed like any other."""


class Letter(NamedTuple):
    """A note, and how often it has come back."""

    note: Note
    rounds: int = 0

    @property
    def critical(self) -> bool:
        return self.note.event in CRITICAL

    @property
    def urgent(self) -> bool:
        """One that has come back takes its turn: it may be what the channel cannot take."""
        return self.critical and not self.rounds


class Mailbox:
    """At most `bound` notes. One too many displaces the oldest ordinary note, or the oldest critical one if there is no other."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._letters: deque[Letter] = deque()
        self.critical = 0
        """Critical notes that wait."""
        self.missed: Counter[str] = Counter()
        """What gave way, by event, and has not been told of yet."""

    def __len__(self) -> int:
        return len(self._letters)

    def put(self, note: Note) -> bool:
        """Take `note` in; False where another had to give way to it."""
        self._add(Letter(Note(note.ts, note.event[:LONGEST], note.title[:LONGEST], note.text[:LONGEST])))
        if len(self._letters) <= self._bound:
            return True
        at = next((i for i, letter in enumerate(self._letters) if not letter.critical), 0)
        self.critical -= self._letters[at].critical
        self._miss(self._letters[at].note.event, 1)
        del self._letters[at]
        return False

    def take(self, most: int) -> tuple[list[Letter], Counter[str]]:
        """Up to `most` letters, in order; if not all can be had, critical ones that are new. And what was missed before them."""
        if len(self._letters) <= most:
            taken, self._letters = list(self._letters), deque()
        else:
            places = set(sorted(range(len(self._letters)), key=lambda i: not self._letters[i].urgent)[:most])
            taken = [letter for i, letter in enumerate(self._letters) if i in places]
            self._letters = deque(letter for i, letter in enumerate(self._letters) if i not in places)
        self.critical -= sum(letter.critical for letter in taken)
        missed, self.missed = self.missed, Counter()
        return taken, missed

    def give_back(self, letters: Iterable[Letter], missed: Mapping[str, int]) -> None:
        """What could not be sent: critical notes wait again, behind the others; the rest counts as missed."""
        for event, count in missed.items():
            self._miss(event, count)
        for letter in letters:
            if letter.critical and letter.rounds < ROUNDS and len(self._letters) < self._bound:
                self._add(Letter(letter.note, letter.rounds + 1))
            else:
                self._miss(letter.note.event, 1)

    def _add(self, letter: Letter) -> None:
        self._letters.append(letter)
        self.critical += letter.critical

    def _miss(self, event: str, count: int) -> None:
        name = event[:40]
        self.missed[name if name in self.missed or len(self.missed) < EVENTS else "other"] += count
