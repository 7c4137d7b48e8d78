"""A process that writes steps for as long as it lives and says after each which is safe. Run by the tests, then killed."""

from __future__ import annotations

import sys
from collections import deque
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from enigma_core.home import Home
from ledger import decision, entry, fill, marked


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(folder: str) -> None:
    with Home.open(folder) as home, home.journal("paper", "m") as journal:
        first = (journal.last_ts or 0) + 1
        say("ready")
        waiting = deque()
        for n in range(first, first + 1_000_000):
            waiting.append((n, journal.write([decision(n), entry(n), fill(n), marked(n)], n)))
            while waiting and (waiting[0][1].done() or len(waiting) > 300):
                done, written = waiting.popleft()
                written.result()
                say(str(done))


if __name__ == "__main__":
    main(sys.argv[1])
