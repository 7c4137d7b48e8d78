"""A whole run as a process of its own, with its receiver: what it acknowledges is in its database, once."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("bench_alerts")


def test_i01_of_alerts_sent_twice_to_a_run_none_is_lost_and_none_doubled(bench: ModuleType, tmp_path: Path) -> None:
    with bench.running(tmp_path) as url:
        found = bench.load(url, 1.5, rate=200, copies=2, name="a")
        counted = bench.counts(tmp_path, found["alerts"])
    assert found["alerts"] == 300
    assert found["statuses"] == {"200 accepted": 300, "200 duplicate": 300}
    assert counted == {"accepted": 300, "different": 300, "worked": 300, "worked_once": 300}
    assert not (tmp_path / "server.json").exists()
    said = (tmp_path / "said").read_text()
    assert bench.SECRET not in said
    assert "Traceback" not in said
