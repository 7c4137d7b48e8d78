"""One public face: what is offered can be had, and nothing else has slipped in."""

from __future__ import annotations

import subprocess
import sys

import enigma_core


def test_every_public_name_can_be_had() -> None:
    for name in enigma_core.__all__:
        assert getattr(enigma_core, name) is not None


def test_the_list_and_the_rooms_agree() -> None:
    assert sorted(enigma_core.__all__) == sorted(enigma_core._ROOM_OF)


def test_a_public_name_says_the_same_as_its_room() -> None:
    from enigma_core.model import Candles
    from enigma_core.parts import Indicator

    assert enigma_core.Candles is Candles
    assert enigma_core.Indicator is Indicator


def test_importing_the_core_imports_nothing_heavy() -> None:
    code = "import sys, enigma_core; print([m for m in ('numpy', 'talib', 'msgspec', 'rich', 'sqlmodel') if m in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
