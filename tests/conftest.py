"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from enigma_core import secrecy

settings.register_profile("project", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")


OTHERS = ("ENIGMA_", "KUCOIN_", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")


@pytest.fixture(autouse=True)
def no_secrets_of_others() -> Iterator[None]:
    """What a test has hidden is no secret to the next."""
    yield
    secrecy._SECRETS.__init__()  # type: ignore[misc]


@pytest.fixture(autouse=True)
def no_environment_of_others() -> None:
    """Account, keys and terminal of whoever runs the tests, or of a test before, are not those a test looks at."""
    for name in [n for n in os.environ if n.startswith(OTHERS) and n != "ENIGMA_TEST_DATA"]:
        del os.environ[name]


@pytest.fixture(scope="session")
def market_data() -> Path:
    """The folder of real market data named by ENIGMA_TEST_DATA; skips where it is absent."""
    folder = os.environ.get("ENIGMA_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("real market data is absent: set ENIGMA_TEST_DATA to its folder")
    return Path(folder)
