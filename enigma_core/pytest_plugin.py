"""The pytest plugin: installed with the engine, it gives every test suite the contract kit.

A plugin's whole contract test::

    from my_package import MyIndicator

    def test_contract(check_part):
        check_part(MyIndicator)

Nothing heavy is imported until a test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def check_part() -> Callable[[Any], None]:
    """`enigma_core.testing.verify`: call it with a part or its class; it fails with the sentences its author needs."""
    from enigma_core.testing import verify

    return verify


@pytest.fixture
def make_candles() -> Callable[..., Any]:
    """`enigma_core.testing.candles`: seeded markets, ``make_candles(seed, n, "range")``."""
    from enigma_core.testing import candles

    return candles
