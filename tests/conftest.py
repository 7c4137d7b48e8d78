"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("project", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")


@pytest.fixture(scope="session")
def market_data() -> Path:
    """The folder of real market data named by ENIGMA_TEST_DATA; skips where it is absent."""
    folder = os.environ.get("ENIGMA_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("real market data is absent: set ENIGMA_TEST_DATA to its folder")
    return Path(folder)
