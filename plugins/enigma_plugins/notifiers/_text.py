"""Notes as a message: one line a note, with nothing in it that a service would act on."""

from __future__ import annotations

import re
import time
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

from enigma_core.parts import Note

LINES = 12
"""Notes a message shows, at most; the others are counted in its first line."""

LINE = 160
"""Characters of one line, before anything in it is escaped."""

MESSAGE = 1_900
"""Characters of a message, at most: the narrowest of the usual services takes 2,000."""

BREAK = "\u200b"
"""Has no width, and ends a name, a tag or an address."""

WORDS = {
    "entry": ("entry", "entries"),
    "exit": ("exit", "exits"),
    "alert_refused": ("refused", "refused"),
    "alert_conflict": ("conflict", "conflicts"),
    "day": ("new day", "new days"),
    "state": ("state", "states"),
    "exit_fault": ("exit fault", "exit faults"),
    "indicator_off": ("indicator off", "indicators off"),
}

_INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_ACTIVE = re.compile(r"[@<](?=\S)|\](?=\()|:(?=//)|\{(?=\{)|\$(?=\{)")
_MARKDOWN = re.compile(r"([\\`*_~|\[\]()#>])")


def body(notes: Sequence[Note], missed: Mapping[str, int], *, room: int = MESSAGE, markdown: bool = False) -> str:
    """A line a note, by time. Where not all can be shown within `room` characters, a first line counts the others by event,
    and the newest are shown. `markdown`: the service reads Markdown, so what would mean something in it is escaped.
    """
    room = min(room, MESSAGE)
    ordered = sorted(notes, key=lambda note: note.ts)
    lines = [_line(note, room, markdown=markdown) for note in ordered]
    if not missed and len(lines) <= LINES and len("\n".join(lines)) <= room:
        return "\n".join(lines)
    counts = Counter(note.event for note in ordered)
    shown: list[str] = []
    head = _more(counts + Counter(missed), room)
    for note, line in zip(reversed(ordered), reversed(lines), strict=True):
        rest = counts.copy()
        rest[note.event] -= 1
        first = _more(+rest + Counter(missed), room)
        if len(shown) >= LINES or len("\n".join([first, line, *shown])) > room:
            break
        counts, head, shown = rest, first, [line, *shown]
    return "\n".join([head, *shown] if head else shown)


def title(notes: Sequence[Note]) -> str:
    """What the message is about: the events in it."""
    events = list(dict.fromkeys(word(note.event, 1) for note in notes)) or ["notes"]
    return f"Miniature Enigma: {', '.join(events[:3])}{', ...' if len(events) > 3 else ''}"


def word(event: str, count: int) -> str:
    """`event` as a person would call `count` of them: of letters, digits and blanks only."""
    one, many = WORDS.get(event, ("", ""))
    named = (one if count == 1 else many) or re.sub(r"[^A-Za-z0-9]+", " ", event)[:40].strip()
    return named or "event"


def harmless(text: str) -> str:
    """`text` on one line: no control or invisible characters, no mention, tag, link or placeholder that is still one."""
    visible = "".join(" " if unicodedata.category(c) in _INVISIBLE else c for c in text)
    return _ACTIVE.sub(lambda found: found[0] + BREAK, " ".join(visible.split()))


def _line(note: Note, room: int, *, markdown: bool) -> str:
    at = time.strftime("%m-%d %H:%M ", time.gmtime(note.ts / 1000)) if 0 < note.ts < 32_503_680_000_000 else ""
    said = " ".join(f"{note.title}{' - ' if note.text else ''}{note.text}".split())
    text = f"{at}{word(note.event, 1)}: {said}"
    for most in (min(LINE, room), room // 2, room // 4):
        cut = text if len(text) <= most else f"{text[: most - 3]}..."
        made = harmless(_MARKDOWN.sub(r"\\\1", harmless(cut)).replace(BREAK, "")) if markdown else harmless(cut)
        if len(made) <= room:
            return made
    return made


def _more(counts: Counter[str], room: int) -> str:
    """``37 more: 20 entries, 15 exits, 2 refused``; nothing where there are none."""
    total = counts.total()
    if not total:
        return ""
    named: Counter[tuple[str, str]] = Counter()
    for event, count in counts.items():
        named[(word(event, 1), word(event, 2))] += count
    parts = [f"{count} {one if count == 1 else many}" for (one, many), count in named.most_common()]
    while parts and len(text := f"{total} more: {', '.join(parts)}") > max(room // 2, 40):
        parts = parts[:-1]
    return text if parts else f"{total} more"
