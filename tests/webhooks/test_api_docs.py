"""docs/api.md can fail: it names every operation, and none that is not there."""

from __future__ import annotations

import re
from pathlib import Path

from apis import Api, TradedDesk, running

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")


def test_the_page_names_every_operation_and_no_other(tmp_path: Path) -> None:
    with running(Api(TradedDesk(tmp_path))) as client:
        told = client.get("/api/v1/schema/openapi.json").json()
    there = {(method.upper(), path) for path, operations in told["paths"].items() for method in operations}
    named = set(re.findall(r"^\| (GET|POST|PUT|DELETE) \| `([^`]+)` \|", PAGE, re.M))
    assert named == there


def test_the_page_names_metrics_that_there_are(tmp_path: Path) -> None:
    with running(Api(TradedDesk(tmp_path))) as client:
        metrics = client.get("/metrics").text
    for name in re.findall(r"`(enigma_(?!data)[a-z_]+)", PAGE):
        assert name.removesuffix("_") in metrics, name
