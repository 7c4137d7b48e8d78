"""The OpenAPI document, and what thousands of requests made from it meet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from apis import Api, Client, TradedDesk, running

schemathesis = pytest.importorskip("schemathesis")

EXAMPLES = 5
"""Requests to each operation; `soak` sends a hundred times as many."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with running(Api(TradedDesk(tmp_path_factory.mktemp("run")))) as client:
        yield client


def document(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/api/v1/schema/openapi.json").json()
    return found


def test_every_operation_is_described_and_asks_for_a_token(client: Client) -> None:
    told = document(client)
    assert told["security"] == [{"token": []}]
    operations = [(p, m, o) for p, path in told["paths"].items() for m, o in path.items()]
    assert len(operations) > 18
    for path, method, operation in operations:
        assert path.startswith("/api/v1/"), path
        assert operation.get("description"), (method, path)
        assert operation.get("tags"), (method, path)
        assert "200" in operation["responses"]
        if path != "/api/v1/health":
            assert {"400" if operation.get("parameters") or operation.get("requestBody") else "401", "401", "403"} <= set(
                operation["responses"]
            ), path


def test_the_description_loads_nothing_from_elsewhere(client: Client) -> None:
    for path in ("/api/v1/schema", "/api/v1/schema/openapi.yaml", "/api/v1/schema/scalar", "/api/v1/schema/swagger"):
        answer = client.get(path)
        assert "text/html" not in answer.headers["Content-Type"] or answer.status_code == 404
        assert "cdn" not in answer.text
        assert "<script" not in answer.text


def test_money_is_text_everywhere(client: Client) -> None:
    names = {"equity", "cash", "margin", "net", "fees", "funding", "gross", "price", "quantity", "fee", "unrealised"}
    for name, schema in document(client)["components"]["schemas"].items():
        for field, kind in schema.get("properties", {}).items():
            if field in names and kind.get("type") != "array":
                assert "number" not in str(kind), (name, field, kind)


def fuzz(client: Client, examples: int) -> int:
    """Send what the document allows, and what it does not, to every operation; how many requests that were."""
    schema = schemathesis.openapi.from_dict(document(client))
    sent = 0
    for found in schema.get_all_operations():
        operation = found.ok()

        for mode in schemathesis.GenerationMode:

            @settings(
                max_examples=examples,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def meets(case: Any) -> None:
                nonlocal sent
                sent += 1
                answer = case.call(base_url=str(client.base_url), headers=dict(client.headers))
                assert answer.status_code < 500, (case.as_curl_command(), answer.text)
                if answer.status_code == 200:
                    case.operation.validate_response(answer)

            meets()
    return sent


def test_no_request_that_can_be_made_from_the_description_ends_in_a_defect(client: Client) -> None:
    assert fuzz(client, EXAMPLES) > 100


@pytest.mark.soak
def test_no_request_ends_in_a_defect_at_length(client: Client) -> None:
    assert fuzz(client, 100 * EXAMPLES) > 15_000


@given(st.binary(max_size=200))
@settings(max_examples=60, phases=[Phase.generate])
def test_no_body_whatever_ends_in_a_defect(bodies: Client, data: bytes) -> None:
    for path, method in (("/api/v1/signal-test", "POST"), ("/api/v1/config", "PUT"), ("/api/v1/risk/state", "POST")):
        assert bodies.request(method, path, content=data, headers={"Content-Type": "application/json"}).status_code < 500


@pytest.fixture(scope="module", name="bodies")
def _bodies(client: Client) -> Client:
    return client
