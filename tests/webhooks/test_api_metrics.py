"""What is counted, and who may see it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from litestar import get
from litestar.exceptions import TooManyRequestsException
from litestar.types import Receive, Scope, Send
from prometheus_client.parser import text_string_to_metric_families
from yaml import safe_load

from apis import Api, Client, TradedDesk, alerts, bearer, running
from desk import BTC
from enigma_core.alert import AlertWorked
from enigma_core.model import Order
from enigma_webhooks.api import Metrics


def values(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """(name, labels) to value, of a whole page."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


def seen(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return values(metrics.page().decode())


def of(found: Any, name: str, **labels: str) -> float:
    return float(found["enigma_" + name, tuple(sorted(labels.items()))])


def test_records_and_the_account_are_counted(tmp_path: Path) -> None:
    desk = TradedDesk(tmp_path)
    metrics = Metrics(desk)
    for record in desk.told:
        desk.publish(record)
    metrics.answered("tradingview", 200)
    metrics.answered("tradingview", 401)
    metrics.answered("tradingview", 401)
    metrics.unwritten()
    desk.lag = 2.5
    found = seen(metrics)
    assert of(found, "orders_total", purpose="entry") == 2
    assert of(found, "orders_total", purpose="stop") == 2
    assert of(found, "fills_total") == 3
    assert of(found, "trades_total", result="lost") == 1
    assert of(found, "decisions_total", outcome="entered") == 2
    assert of(found, "alerts_total", source="tradingview", outcome="refused") == 1
    assert of(found, "alerts_total", source="tradingview", outcome="rejected") == 1
    assert of(found, "alert_answers_total", source="tradingview", status="401") == 2
    assert of(found, "journal_failures_total") == 1
    assert of(found, "equity") == pytest.approx(float(desk.account.equity))
    assert of(found, "open_positions") == 1
    assert of(found, "day_drawdown_ratio") == pytest.approx(0.00141384)
    assert of(found, "feed_lag_seconds") == 2.5
    assert of(found, "ready") == 1
    assert [of(found, "trading_state", state=s) for s in ("ACTIVE", "REDUCE_ONLY", "HALTED")] == [1, 0, 0]
    metrics.close()
    desk.publish(desk.told[1])
    assert seen(metrics) == found


def test_the_time_from_an_alert_to_its_order_is_measured(tmp_path: Path) -> None:
    desk = TradedDesk(tmp_path)
    received = desk.time - 250
    metrics = Metrics(desk, clock=lambda: (received + 80) / 1000)
    alert, *_ = alerts(desk.time)
    order = next(r for r in desk.told if type(r) is Order)
    desk.publish(alert)
    desk.publish(msgspec.structs.replace(order, decision_id="BTCUSDT-alert-A1"))
    desk.publish(
        AlertWorked(ts=1, id="A1", source="tradingview", symbol=BTC, outcome="entered", reason="", decision_id="BTCUSDT-alert-A1")
    )
    found = seen(metrics)
    assert of(found, "alert_to_order_seconds_count") == 1
    assert of(found, "alert_to_order_seconds_sum") == pytest.approx(0.08)


def test_two_apps_of_one_process_count_for_themselves(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    first, second = (Api(TradedDesk(tmp_path / name)) for name in "ab")
    with running(first) as one, running(second) as two:
        one.get("/api/v1/portfolio")
        counted = ("enigma_http_requests_total", "/api/v1/portfolio")
        assert any(key[0] == counted[0] and ("path", counted[1]) in key[1] for key in values(one.get("/metrics").text))
        assert not any(("path", counted[1]) in key[1] for key in values(two.get("/metrics").text))


def requests_of(client: Client) -> dict[tuple[str, str], float]:
    found = values(client.get("/metrics").text)
    return {(dict(k)["path"], dict(k)["status_code"]): v for (n, k), v in found.items() if n == "enigma_http_requests_total"}


def test_requests_are_counted_by_route_with_the_status_they_were_answered_with(tmp_path: Path) -> None:
    @get("/broken", opt={"scope": "read"})
    async def broken() -> None:
        raise ValueError

    @get("/throttled", middleware=[refuses])
    async def throttled() -> None: ...

    with running(Api(TradedDesk(tmp_path), more=[broken, throttled])) as client:
        for n in range(3):
            client.get(f"/api/v1/decisions/d{n}")
        client.get("/api/v1/portfolio", headers={"Authorization": ""})
        client.put("/api/v1/config", headers=bearer("read"))
        client.get("/broken")
        assert client.get("/throttled").status_code == 429
        found = requests_of(client)
    assert found["/api/v1/decisions/{decision_id}", "404"] == 3
    assert found["/api/v1/portfolio", "401"] == 1
    assert found["/api/v1/config", "403"] == 1
    assert found["/broken", "500"] == 1
    assert found["/throttled", "429"] == 1


def refuses(app: Any) -> Any:
    """A middleware that lets nobody through."""

    async def refused(scope: Scope, receive: Receive, send: Send) -> None:
        raise TooManyRequestsException

    return refused


def test_behind_a_proxy_nobody_is_taken_for_somebody_on_this_machine(tmp_path: Path) -> None:
    api = Api(TradedDesk(tmp_path), trust_local=False)
    with running(api) as client:
        for path in ("/metrics", "/api/v1/schema/openapi.json"):
            assert client.get(path, headers={"Authorization": ""}).status_code == 401
            assert client.get(path).status_code == 200


def test_metrics_and_the_description_are_for_this_machine_or_a_token(tmp_path: Path) -> None:
    with running(Api(TradedDesk(tmp_path))) as client:
        client.headers.pop("Authorization")
        for path in ("/metrics", "/api/v1/schema/openapi.json", "/api/v1/schema/openapi.yaml"):
            assert client.get(path).status_code == 200
            for proxied in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
                assert client.get(path, headers={proxied: "127.0.0.1"}).status_code == 401
            assert client.get(path, headers=bearer("read", Forwarded="x")).status_code == (200 if path == "/metrics" else 403)
            assert client.get(path, headers=bearer("admin", Forwarded="x")).status_code == 200
        json, yaml = (client.get(f"/api/v1/schema/openapi.{kind}") for kind in ("json", "yaml"))
        assert safe_load(yaml.text) == json.json()
        assert client.get("/metrics").headers["Content-Type"] == "text/plain; version=1.0.0; charset=utf-8"
