"""The page on the local exchange lists its buttons, word for word."""

from __future__ import annotations

import re
from pathlib import Path

from enigma_sandbox.exchange.buttons import BUTTONS

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8")


def test_the_page_lists_every_button_as_it_describes_itself() -> None:
    assert dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE, re.MULTILINE)) == dict(BUTTONS)
