"""Where in a message something stands, and the sentence that says so."""

from __future__ import annotations

import re

PLACED = re.compile(r"line (\d+), column (\d+): ")

REPEATED = re.compile(r"(\w+)\.[0-9]+\.\1")
"""The key of a word that is said again: the first one keeps its own."""

NOWHERE = -1


class Unreadable(Exception):
    """A message, or one order of it, cannot be taken. `reason` says why, `at` is the character at fault, `NOWHERE` if none is."""

    def __init__(self, reason: str, at: int = NOWHERE, status: int = 422) -> None:
        super().__init__(reason)
        self.reason, self.at, self.status = reason, at, status


def line_column(text: str, at: int) -> tuple[int, int]:
    """Line and column of character `at`, both from 1."""
    at = min(at, len(text))
    return text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1


def sentence(text: str, at: int, reason: str) -> str:
    """`reason` with the place in front of it, where there is one."""
    if at < 0:
        return reason
    line, column = line_column(text, at)
    return f"line {line}, column {column}: {reason}"


def place_of(said: str) -> tuple[int, int] | None:
    """Line and column that a sentence begins with, None where it names none."""
    found = PLACED.match(said)
    return (int(found[1]), int(found[2])) if found else None


def spelt(key: str) -> str:
    """A key as a sentence names it: a word that was said twice in a sentence has the same key twice."""
    return clipped(key.rpartition(".")[2] if REPEATED.fullmatch(key) else key)


def clipped(token: object, most: int = 40) -> str:
    """A token as a sentence quotes it: on one line, printable, not longer than `most`."""
    text = token if isinstance(token, str) else str(token)
    cut = text[:most]
    if not cut.isprintable():
        cut = "".join(c if c.isprintable() else "?" for c in cut)
    return cut if len(text) <= most else cut + "..."
