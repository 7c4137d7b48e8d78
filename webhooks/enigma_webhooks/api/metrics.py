"""What the run counts, for Prometheus. One registry an app: two apps of one process do not meet in it."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

from litestar import Request, Response, Router, get
from litestar.di import NamedDependency
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.middleware.base import DefineMiddleware
from litestar.params import SkipValidation
from litestar.plugins.prometheus import PrometheusConfig, PrometheusMiddleware
from litestar.types import Message, Receive, Scope, Send
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from enigma_core.alert import Alert, AlertRefused, AlertWorked
from enigma_core.model import Decision, Fill, Order, Purpose, StateSet, Trade
from enigma_core.parts import Desk
from enigma_webhooks.api.account import drawdown
from enigma_webhooks.api.faults import FAULTS, HEADERS

STATES = ("ACTIVE", "REDUCE_ONLY", "HALTED")
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
CONTENT_TYPE = CONTENT_TYPE_LATEST.partition("; charset")[0]
"""Litestar adds the charset."""

KEPT = 4096
"""Alerts whose time of arrival is remembered until they are worked."""


M = TypeVar("M", Counter, Gauge, Histogram)


class Metrics:
    """The counters and gauges of one run. `clock` is the wall's seconds.

    The app takes `middleware`, and the receiver says what it answered with `answered`.
    """

    def __init__(self, desk: Desk, *, clock: Callable[[], float] = time.time) -> None:
        self.registry = CollectorRegistry()
        self._desk = desk
        self._clock = clock
        self._received: OrderedDict[str, int] = OrderedDict()
        self._ordered: OrderedDict[str, float] = OrderedDict()
        self._answers = self._counter("alert_answers", "Answers of the receiver.", "source", "status")
        self._alerts = self._counter("alerts", "Alerts by what became of them.", "source", "outcome")
        self._decisions = self._counter("decisions", "Decisions by what came of them.", "outcome")
        self._orders = self._counter("orders", "Orders by what they are for.", "purpose")
        self._fills = self._counter("fills", "Fills.")
        self._trades = self._counter("trades", "Closed trades.", "result")
        self._journal = self._counter("journal_failures", "Times that the journal could not be written or read.")
        self._halts = self._counter("halts", "Times that trading was halted.")
        self._delay = Histogram(
            "enigma_alert_to_order_seconds", "From an alert's arrival to its order.", registry=self.registry, buckets=SECONDS
        )
        self.clients = Gauge("enigma_stream_clients", "Clients of the event stream.", registry=self.registry)
        for name, text, value in (
            ("equity", "Equity, in the quote currency.", lambda: desk.account.equity),
            ("unrealised", "Unrealised profit, in the quote currency.", lambda: desk.account.unrealised),
            ("day_drawdown_ratio", "The risk day's loss, as a share of its opening equity.", lambda: drawdown(desk).day or 0.0),
            ("open_positions", "Open positions.", lambda: len(desk.account.positions)),
            ("working_orders", "Working orders.", lambda: len(desk.account.orders)),
            ("alerts_waiting", "Alerts written down and not yet worked.", lambda: desk.waiting),
            ("feed_lag_seconds", "Seconds since the feed was heard.", lambda: desk.lag),
            ("ready", "1 while the run takes and works alerts.", lambda: desk.state == "ready"),
        ):
            self._gauge(name, text, value)
        self._states = Gauge("enigma_trading_state", "1 for the state that trading is in.", ["state"], registry=self.registry)
        for state in STATES:
            self._states.labels(state).set_function(partial(self._is_in, state))
        self.config = _Config(
            app_name="enigma", prefix="enigma_http", group_path=True, scopes={ScopeType.HTTP}, registry=self.registry, kept={}
        )
        self._end = desk.watch(self.see)

    @property
    def middleware(self) -> DefineMiddleware:
        """Counts requests by route and status. Goes outermost, so that what other middleware refuses is counted as it is."""
        return self.config.middleware

    def answered(self, source: str, status: int) -> None:
        """The receiver has answered a message of `source` (a known one, or "unknown") with an HTTP `status`."""
        self._answers.labels(source, str(status)).inc()

    def unwritten(self) -> None:
        """The journal could not be written, or not read."""
        self._journal.inc()

    def see(self, record: Any) -> None:
        """Count one record of the run."""
        kind = type(record)
        if kind is Alert:
            _keep(self._received, record.id, record.received)
        elif kind is AlertWorked:
            self._worked(record)
        elif kind is AlertRefused:
            self._alerts.labels(record.source, "rejected").inc()
        elif kind is Decision:
            self._decisions.labels("entered" if record.order_id is not None else "refused").inc()
        elif kind is Order:
            self._orders.labels(str(record.purpose)).inc()
            if record.purpose in (Purpose.ENTRY, Purpose.CLOSE):
                _keep(self._ordered, record.decision_id, self._clock())
        elif kind is Fill:
            self._fills.inc()
        elif kind is Trade:
            self._trades.labels("won" if record.net > 0 else "lost" if record.net < 0 else "even").inc()
        elif kind is StateSet and record.state == "HALTED":
            self._halts.inc()

    def page(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self.registry)

    def close(self) -> None:
        """Count no more."""
        self._end()

    def _worked(self, worked: AlertWorked) -> None:
        self._alerts.labels(worked.source, worked.outcome).inc()
        received = self._received.pop(worked.id, None)
        ordered = self._ordered.pop(worked.decision_id or "", None)
        if received is not None and ordered is not None:
            self._delay.observe(max(ordered - received / 1000, 0.0))

    def _is_in(self, state: str) -> float:
        return float(self._desk.account.trading_state == state)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"enigma_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, value: Callable[[], Decimal | float]) -> None:
        Gauge(f"enigma_{name}", text, registry=self.registry).set_function(lambda: float(value()))


def _keep(kept: OrderedDict[str, Any], key: str, value: Any) -> None:
    kept[key] = value
    if len(kept) > KEPT:
        kept.popitem(last=False)


class _Requests(PrometheusMiddleware):
    """Litestar's, with the metrics of one registry, and the true status of what a middleware refuses."""

    def request_count(self, labels: dict[str, str | int | float]) -> Counter:
        return self._made(Counter, "requests_total", "Requests.", labels)

    def request_time(self, labels: dict[str, str | int | float]) -> Histogram:
        return self._made(Histogram, "request_duration_seconds", "How long requests took.", labels)

    def requests_in_progress(self, labels: dict[str, str | int | float]) -> Gauge:
        return self._made(Gauge, "requests_in_progress", "Requests being worked on.", labels)

    def requests_error_count(self, labels: dict[str, str | int | float]) -> Counter:
        return self._made(Counter, "requests_error_total", "Requests that failed for a reason of ours.", labels)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        labels = self._get_default_labels(Request(scope, receive))
        began, status = time.perf_counter(), 500

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        running = self.requests_in_progress(labels).labels(*labels.values())
        running.inc()
        try:
            await self.app(scope, receive, told)
        except HTTPException as error:
            status = error.status_code
            raise
        finally:
            running.dec()
            labels["status_code"] = status
            values = [*labels.values()]
            self.request_count(labels).labels(*values).inc()
            self.request_time(labels).labels(*values).observe(time.perf_counter() - began)
            if status >= 500:
                self.requests_error_count(labels).labels(*values).inc()

    def _made(self, kind: type[M], name: str, text: str, labels: dict[str, str | int | float]) -> M:
        config = self._config
        assert isinstance(config, _Config)
        if name not in config.kept:
            config.kept[name] = kind(f"{config.prefix}_{name}", text, [*labels], registry=config.registry)
        made = config.kept[name]
        assert isinstance(made, kind)
        return made


@dataclass
class _Config(PrometheusConfig):
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    kept: dict[str, Any] = field(default_factory=dict)
    middleware_class: type[PrometheusMiddleware] = _Requests


AtMetrics = NamedDependency[SkipValidation[Metrics]]


@get("/metrics", opt={"scope": "read", "local": True})
async def page(metrics: AtMetrics) -> Response[bytes]:
    """Everything the run counts."""
    return Response(metrics.page(), media_type=CONTENT_TYPE)


def measuring() -> Router:
    return Router("/", route_handlers=[page], response_headers=HEADERS, exception_handlers=FAULTS, include_in_schema=False)
