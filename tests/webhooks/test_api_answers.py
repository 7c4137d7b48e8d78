"""What the API answers: true to the account and the journal, exact, inert, and bounded."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from litestar import get
from litestar.exceptions import HTTPException

from apis import MARKUP, TREE, Api, Client, TradedDesk, running
from desk import BTC
from enigma_core.alert import Alert, AlertWorked
from enigma_core.errors import Busy, HomeError
from enigma_core.journal import Journal
from enigma_core.model import Blocked, Decision, ExternalSeen, Order, OrderEnded, Purpose, StateSet, StreakReset
from enigma_core.parts import Feed
from enigma_webhooks.api.account import thinned
from enigma_webhooks.api.ledger import Ledger, Reads

ETH = "ETH/USDT:USDT"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with running(Api(TradedDesk(tmp_path_factory.mktemp("run")))) as client:
        yield client


def got(client: httpx.Client, path: str, **params: Any) -> Any:
    answer = client.get(f"/api/v1{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_portfolio_is_the_book_to_the_last_digit(client: Client) -> None:
    book, told = client.api.desk.account, got(client, "/portfolio")
    for name in ("equity", "cash", "margin", "unrealised", "day_equity"):
        assert isinstance(told[name], str)
        assert Decimal(told[name]) == getattr(book, name)
    assert Decimal(told["day"]) == book.equity - book.day_equity
    assert told["drawdown"] == {"day": pytest.approx(14.1384 / 10_000), "limit": "< 0.03", "tripped": False}
    assert told["slots"] == {"used": 1, "limit": "< 5, one a symbol", "free": True}
    assert told["breaker"] == {"losses_in_row": 1, "limit": "< 3", "tripped": False}
    assert (told["trading_state"], told["trades"], told["open_positions"]) == ("ACTIVE", 1, 1)


def test_positions_and_working_orders_are_those_of_the_book(client: Client) -> None:
    (position,) = got(client, "/positions")
    assert (position["symbol"], position["side"], position["quantity"], position["stop"]) == (BTC, "long", "24", "48510")
    (order,) = got(client, "/orders")["items"]
    assert (order["purpose"], order["side"], order["price"], order["state"]) == ("stop", "sell", "48510", "working")
    assert (order["quantity"], order["filled"], order["left"]) == ("24", "0", "24")
    assert got(client, "/orders", symbol="ETHUSDT")["items"] == []
    assert got(client, "/orders", symbol="BTCUSDT")["items"] == [order]


def test_of_an_exit_no_more_is_left_than_is_held(tmp_path: Path) -> None:
    desk = TradedDesk(tmp_path)
    with running(Api(desk)) as client:
        desk.account.positions[BTC].quantity = Decimal(7)
        (order,) = got(client, "/orders")["items"]
        assert (order["quantity"], order["left"]) == ("24", "7")
        known = {o["id"]: (o["state"], o["left"]) for o in got(client, "/orders", state="all")["items"]}
        assert known.pop(order["id"]) == ("working", "7")
        assert set(known.values()) == {("filled", "0")}


def test_what_the_venue_blocks_and_what_others_hold_is_told(tmp_path: Path) -> None:
    desk = TradedDesk(tmp_path)
    with running(Api(desk)) as client:
        assert (got(client, "/risk")["blocked"], got(client, "/portfolio")["external"]) == ([], [])
        desk.account.apply(Blocked(ts=1, symbol=ETH, reason="paused"))
        desk.account.apply(ExternalSeen(ts=1, symbol=ETH, side=1, quantity=Decimal(5), price=Decimal(3_000), margin=Decimal(30)))
        assert got(client, "/risk")["blocked"] == [{"symbol": ETH, "reason": "paused"}]
        assert got(client, "/portfolio")["external"] == [ETH]


def test_an_entry_that_ended_without_a_fill_is_no_entry(tmp_path: Path) -> None:
    desk = TradedDesk(tmp_path)
    made = next(r for r in desk.told if type(r) is Decision)
    order = next(r for r in desk.told if type(r) is Order and r.purpose is Purpose.ENTRY)
    asked = next(r for r in desk.told if type(r) is Alert)
    with Journal.open(desk.journal, "paper", "test", "OFF") as journal:
        now = desk.time
        journal.write([msgspec.structs.replace(asked, id="Anone", key="Anone")], now)
        told = AlertWorked(ts=now, id="Anone", source="", symbol=BTC, outcome="entered", reason="entered", decision_id="Anone")
        entry = msgspec.structs.replace(order, id="Anone-in", decision_id="Anone")
        journal.write([msgspec.structs.replace(made, id="Anone", order_id="Anone-in"), entry, told], now)
        journal.write([OrderEnded(ts=now, order_id="Anone-in", symbol=BTC, state="expired", reason="too old to be sent")], now)
    with running(Api(desk)) as client:
        (alert,) = got(client, "/alerts", outcome="unfilled")["items"]
        assert (alert["id"], alert["state"], alert["reason"]) == ("Anone", "unfilled", "expired: too old to be sent")
        assert got(client, "/alerts/Anone")["state"] == "unfilled"
        assert "Anone" not in [a["id"] for a in got(client, "/alerts", outcome="entered")["items"]]
        newest, *others = got(client, "/decisions")["items"]
        assert newest["unfilled"] == got(client, "/decisions/Anone")["decision"]["unfilled"] == "expired: too old to be sent"
        assert {d["unfilled"] for d in others} == {None}


@pytest.mark.parametrize(("path", "more"), [("/orders", {"state": "all"}), ("/decisions", {}), ("/trades", {}), ("/alerts", {})])
def test_pages_of_one_give_what_one_page_of_all_gives(client: Client, path: str, more: dict[str, str]) -> None:
    whole = got(client, path, limit=500, **more)
    assert whole["next"] is None
    found: list[Any] = []
    before: dict[str, Any] = {}
    for _ in range(len(whole["items"])):
        page = got(client, path, limit=1, **before, **more)
        found += page["items"]
        before = {"before": page["next"]}
    assert found == whole["items"]
    assert got(client, path, limit=1, **before, **more)["items"] == []


def test_a_decision_is_told_with_all_that_followed_and_found_by_its_order_too(client: Client) -> None:
    newest, oldest = got(client, "/decisions")["items"]
    story = got(client, f"/decisions/{oldest['id']}")
    assert story["decision"] == oldest
    assert [o["purpose"] for o in story["orders"]] == ["entry", "stop"]
    assert [f["fee"] for f in story["fills"]] == ["0.72", "0.7128"]
    assert (story["trade"]["net"], story["trade"]["exit_reason"]) == ("-13.4328", "stop_loss")
    assert got(client, f"/decisions/{newest['order_id']}")["decision"] == newest
    assert got(client, "/decisions", symbol="ETH/USDT:USDT")["items"] == []
    for spelling in ("BTCUSDT", "XBTUSDTM", "BTC/USDT:USDT"):
        assert got(client, "/decisions", symbol=spelling)["items"] == [newest, oldest]
        assert len(got(client, "/trades", symbol=spelling)["items"]) == 1


def test_alerts_are_told_with_what_became_of_them(client: Client) -> None:
    states = {a["id"]: (a["state"], a["mode"], a["action"]) for a in got(client, "/alerts")["items"]}
    assert states.pop("A1") == ("refused", "signal", "long")
    assert states.pop("A2") == ("waiting", "signal", "long")
    assert list(states.values()) == [("rejected", None, None)]
    assert [a["id"] for a in got(client, "/alerts", outcome="refused")["items"]] == ["A1"]
    assert client.get("/api/v1/alerts", params={"outcome": "sold"}).status_code == 400
    assert got(client, "/alerts/A1")["request"]["quantity"] == "0.5"


def test_a11_markup_in_an_alert_comes_back_as_json_that_no_browser_takes_for_a_page(client: Client) -> None:
    answer = client.get("/api/v1/alerts/A1")
    assert answer.json()["body"] == MARKUP
    for path in ("/api/v1/alerts/A1", "/api/v1/alerts/<script>", "/api/v1/orders?limit=<script>alert(1)</script>", "/<script>"):
        answer = client.get(path)
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "text",
    [
        "../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/paper.sqlite",
        "' OR 1=1 --",
        "x'; DROP TABLE event; --",
        "A1' UNION SELECT * FROM meta --",
        "%00",
        "a" * 201,
        "é",
        "%ff",
        "\\..\\x",
        "%0d%0aSet-Cookie:a=b",
    ],
)
def test_a12_no_path_and_no_sql_in_what_is_asked_for(client: Client, text: str) -> None:
    for path in (f"/api/v1/decisions/{text}", f"/api/v1/alerts/{text}", f"/api/v1/schema/{text}"):
        answer = client.get(path)
        assert answer.status_code in (400, 404), (path, answer.text)
        assert "sqlite" not in answer.text.lower().replace("paper.sqlite", "")
        assert "set-cookie" not in answer.headers
    for path in ("/decisions", "/trades", "/orders", "/signals"):
        assert client.get(f"/api/v1{path}", params={"symbol": text}).status_code in (200, 400, 404)
    with closing(sqlite3.connect(client.api.desk.journal)) as db:
        assert db.execute("SELECT count(*) FROM event").fetchone()[0] == len(client.api.desk.told)  # type: ignore[attr-defined]


def test_a13_a_defect_of_ours_is_a_sentence_and_no_trace(tmp_path: Path) -> None:
    @get("/broken", opt={"scope": "read"})
    async def broken() -> None:
        raise ValueError("s3cret: /home/somebody/file.py")

    @get("/raised", opt={"scope": "read"})
    async def raised() -> None:
        raise HTTPException(status_code=500, detail="s3cret inside")

    api = Api(TradedDesk(tmp_path), more=[broken, raised])
    assert not api.litestar.debug
    with running(api) as client:
        for path in ("/broken", "/raised"):
            answer = client.get(path)
            assert (answer.status_code, list(answer.json())) == (500, ["status_code", "detail"])
            for leak in ("s3cret", "Traceback", "ValueError", ".py"):
                assert leak not in answer.text


@pytest.mark.parametrize(
    ("error", "status"), [(HomeError("/secret/path is full"), 503), (Busy("12 wait already"), 503), (RuntimeError("s3cret"), 500)]
)
def test_a13_what_an_engine_raises_is_a_sentence_without_paths(tmp_path: Path, error: Exception, status: int) -> None:
    desk = TradedDesk(tmp_path)

    async def tell(command: Any) -> Any:
        raise error

    desk.tell = tell  # type: ignore[method-assign]
    with running(Api(desk)) as client:
        answer = client.post("/admin/emergency-close")
        assert answer.status_code == status
        assert "secret" not in answer.text
        assert answer.headers.get("Retry-After") == ("5" if status == 503 else None)


def test_an_unreadable_journal_is_503_and_the_rest_goes_on(tmp_path: Path) -> None:
    desk = TradedDesk(tmp_path)
    with running(Api(desk)) as client:
        desk.journal.write_bytes(b"no database" * 100)
        for path in ("/decisions", "/decisions/x", "/alerts", "/alerts/A1", "/trades", "/performance", "/orders?state=all"):
            answer = client.get(f"/api/v1{path}")
            assert answer.status_code == 503, (path, answer.text)
            assert str(tmp_path) not in answer.text
        assert "enigma_journal_failures_total 7.0" in client.get("/metrics").text
        assert client.get("/api/v1/portfolio").status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        "[" * 60_000,
        '{"a":' * 9_000,
        '{"gates":' + '{"a":' * 40 + "1" + "}" * 41,
        "{",
        '{"a": 1e999}',
        '{"a": NaN}',
        "\ufeff{}",
        "null",
        '"x"',
        '{"changes": 5}',
        '{"changes": {}, "gates": {}}',
    ],
)
def test_bodies_that_cannot_be_are_refused_with_a_sentence(client: Client, body: str) -> None:
    for method, path in (("PUT", "/api/v1/config"), ("POST", "/api/v1/signal-test"), ("POST", "/api/v1/risk/reset")):
        answer = client.request(method, path, content=body.encode(), headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 413, 422), (path, answer.status_code, answer.text[:200])
        assert answer.json()["detail"]


def test_a_body_that_is_too_large_is_refused_and_its_connection_ended(client: Client) -> None:
    for body in (b"x" * 70_000, b"[" + b"1," * 40_000 + b"1]"):
        with httpx.Client(base_url=client.base_url, headers=client.headers) as fresh:
            assert fresh.put("/api/v1/config", content=body, headers={"Connection": "close"}).status_code == 413


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=501",
        "limit=-1",
        "limit=1e9",
        "limit=99999999999999999999999",
        "before=-5",
        "before=9223372036854775808",
        "before=x",
        "limit=",
        "symbol=",
    ],
)
def test_limits_and_cursors_have_bounds(client: Client, query: str) -> None:
    for path in ("/decisions", "/trades", "/alerts", "/orders?state=all"):
        if "symbol" in query and path == "/alerts":
            continue
        answer = client.get(f"/api/v1{path}{'&' if '?' in path else '?'}{query}")
        assert answer.status_code == 400, (path, query, answer.text)
    assert client.get("/api/v1/performance", params={"points": 2001}).status_code == 400


def test_signals_say_how_every_symbol_scores_and_which_gates_let_it_through(client: Client) -> None:
    (signal,) = got(client, "/signals")
    assert (signal["class"], signal["side"], signal["score"], signal["aligned"]) == ("STRONG_BUY", "long", 98.0, ["5m"])
    assert (signal["passed"], signal["asked"], signal["agreeing"], signal["voting"]) == (1, 1, 1, 1)
    assert signal["verdicts"][0]["limit"] == ">= 75"
    for spelling in ("BTCUSDT", "btc-usdt", "KUCOIN:XBTUSDTM", "BTC/USDT:USDT", "BTCUSDT.P"):
        assert got(client, "/signals", symbol=spelling) == [signal]
    assert got(client, "/signals", symbol="ETHUSDT") == []
    refused = client.get("/api/v1/signals", params={"symbol": "BTTUSDT"})
    assert (refused.status_code, "BTC/USDT:USDT" in refused.json()["detail"]) == (404, True)


def test_a_signal_test_reads_a_message_or_fields_and_changes_nothing(client: Client) -> None:
    before = len(client.api.desk.commands), len(client.api.desk.alerts)
    for body in ({"message": MARKUP}, {"symbol": "XBTUSDTM", "action": "long", "quantity": "0.5", "leverage": "3"}):
        (test,) = client.post("/api/v1/signal-test", json=body).json()["tests"]
        assert (test["symbol"], test["outcome"], test["reason"]) == (BTC, "refused", "refused by score")
        assert test["decision"]["verdicts"][0]["passed"] is False
    (unread,) = client.post("/api/v1/signal-test", json={"message": "hello there"}).json()["tests"]
    assert unread["outcome"] == "nothing"
    assert unread["decision"] is None
    for body in (
        {},
        {"message": MARKUP, "symbol": "BTCUSDT"},
        {"symbol": "NOPEUSDT", "action": "long"},
        {"symbol": BTC, "quantity": "0"},
    ):
        assert client.post("/api/v1/signal-test", json=body).status_code == 422
    assert (len(client.api.desk.commands), len(client.api.desk.alerts)) == before


def test_a_message_with_a_secret_does_not_come_back_with_it(client: Client) -> None:
    message = '{"secret":"hunter2-hunter2-hunter2","ticker":"BTCUSDT","action":"buy"}'
    for text in (message, message.replace('"action":"buy"', '"action":buy,,'), f"TOKEN=hunter2-hunter2;{message}"):
        assert "hunter2" not in client.post("/api/v1/signal-test", json={"message": text}).text


@pytest.mark.parametrize("symbol", ["BTCUSDT", "BTC%2FUSDT%3AUSDT", "BTC/USDT:USDT", "BTC-USDT", "XBTUSDTM"])
def test_a_position_is_closed_by_any_spelling_of_its_symbol(client: Client, symbol: str) -> None:
    answer = client.post(f"/api/v1/positions/{symbol}/close")
    assert answer.status_code == 200, answer.text
    assert (answer.json()["symbol"], answer.json()["closing"]) == (BTC, True)
    assert client.api.desk.commands[-1].symbol == BTC  # type: ignore[union-attr]


def test_closing_what_is_not_held_does_nothing_and_an_unknown_symbol_is_404(client: Client) -> None:
    before = len(client.api.desk.commands)
    assert client.post("/api/v1/positions/ETHUSDT/close").json()["closing"] is False
    assert client.post("/api/v1/positions/NOPEUSDT/close").status_code == 404
    assert len(client.api.desk.commands) == before


def test_the_emergency_close_may_be_pressed_again(tmp_path: Path) -> None:
    with running(Api(TradedDesk(tmp_path)), "trade") as client:
        for path in ("/admin/emergency-close", "/api/v1/admin/emergency-close", "/admin/emergency-close"):
            answer = client.post(path)
            assert (answer.status_code, answer.json()["state"], answer.json()["closing"]) == (200, "HALTED", [BTC])
        assert all(isinstance(c, StateSet) and c.flatten for c in client.api.desk.commands)


def test_a_reset_needs_its_word_and_closes_the_breaker_or_ends_the_halt(tmp_path: Path) -> None:
    with running(Api(TradedDesk(tmp_path))) as client:
        client.post("/admin/emergency-close")
        assert client.post("/api/v1/risk/reset", json={"what": "breaker", "confirm": "reset"}).json()["state"] == "HALTED"
        assert isinstance(client.api.desk.commands[-1], StreakReset)
        assert client.post("/api/v1/risk/reset", json={"what": "halt", "confirm": "reset"}).json()["state"] == "ACTIVE"


def test_settings_put_back_as_they_came_change_nothing_and_one_that_differs_is_the_only_change(tmp_path: Path) -> None:
    desk = TradedDesk(tmp_path)
    with running(Api(desk)) as client:
        assert client.put("/api/v1/config", json=got(client, "/config")).json() == {"now": [], "restart": []}
        tree = {**TREE, "gates": {"score": {"min": 60}, "drawdown": {"max": 0.03}}}
        assert client.put("/api/v1/config", json=tree).json()["now"] == ["gates.score.min"]
        assert client.put("/api/v1/config", json={"changes": {"gates.score.min": 61}}).status_code == 200
        assert desk.changes == {"gates.score.min": 61}
        secret = {"notifiers": {"telegram": {"token": {"env": "TELEGRAM"}}}}
        assert client.put("/api/v1/config", json=secret).json()["now"] == ["notifiers.telegram.token"]
        assert desk.changes["notifiers.telegram.token"] == {"env": "TELEGRAM"}
        refused = client.put("/api/v1/config", json={"gate": {"score": {"min": 1}}, "wat": 1})
        assert refused.status_code == 422
        assert "gate.score.min is no setting; wat is no setting" in refused.json()["detail"]
        assert client.put("/api/v1/config", json={f"gates.g{n}": 1 for n in range(501)}).status_code == 422


def test_the_plugins_are_those_of_the_plan_with_the_settings_in_force(client: Client) -> None:
    found = {(p["kind"], p["name"]): p["settings"] for p in got(client, "/plugins")}
    assert found["gate", "score"] == {"min": 75.0}
    assert {("sizer", "contracts"), ("exit", "stop_loss"), ("gate", "circuit_breaker")} <= set(found)


def test_performance_is_the_journals_with_a_curve_of_as_many_points_as_asked(client: Client) -> None:
    told = got(client, "/performance", points=2)
    assert (told["start_equity"], told["end_equity"]) == ("10000", "9985.8616")
    assert (told["start_ts"], told["end_ts"]) == (client.api.desk.told[1].ts, client.api.desk.time)  # type: ignore[attr-defined]
    assert (told["metrics"]["trades"], told["metrics"]["fees"], told["by_exit_reason"][0]["key"]) == (1, "1.4328", "stop_loss")
    assert [p["equity"] for p in told["equity"]] == ["10000", "9985.8616"]
    curve = [(n, Decimal(n)) for n in range(10_000)]
    thin = thinned(curve, 100)
    assert (len(thin), thin[0], thin[-1]) == (100, curve[0], curve[-1])


def test_health_is_open_tells_no_money_and_is_503_while_the_run_is_not_ready(tmp_path: Path) -> None:
    desk = TradedDesk(tmp_path)
    with running(Api(desk)) as client:
        client.headers.pop("Authorization")
        assert [client.get(p).status_code for p in ("/health", "/health/ready", "/health/live")] == [200] * 3
        desk.lag = 121.0
        answer = client.get("/health/ready")
        assert (answer.status_code, answer.json()["reasons"]) == (503, ["the feed has been silent for 121 s; 120 s are allowed"])
        desk.lag, desk.state = 0.0, "recovering"
        assert client.get("/health").json() == {"status": "unready", "reasons": ["the run is recovering"]}
        assert client.get("/health/live").status_code == 200


def test_a_feed_of_long_bars_may_be_silent_for_two_of_them(tmp_path: Path) -> None:
    import msgspec

    class Slow(Feed, frozen=True, kw_only=True):
        name = "slow"

        def base_timeframe(self) -> str:
            return "5m"

    desk = TradedDesk(tmp_path)
    desk.plan, desk.lag = msgspec.structs.replace(desk.plan, feed=Slow()), 599.0
    with running(Api(desk)) as client:
        assert client.get("/health").status_code == 200
        desk.lag = 601.0
        assert client.get("/health").status_code == 503


def test_reads_run_two_at_a_time_off_the_loop_and_end_at_their_limit(tmp_path: Path) -> None:
    import asyncio

    desk = TradedDesk(tmp_path)
    running_now, most, lock, pair = 0, 0, threading.Lock(), threading.Barrier(2)

    def slow(ledger: Ledger) -> str:
        nonlocal running_now, most
        with lock:
            running_now += 1
            most = max(most, running_now)
        pair.wait(5)
        with lock:
            running_now -= 1
        return threading.current_thread().name

    async def both() -> None:
        reads = Reads(desk, patience=30.0)
        waiting = [asyncio.ensure_future(reads(slow)) for _ in range(32)]
        await asyncio.sleep(0)
        with pytest.raises(HTTPException, match="wait already"):
            await reads(slow)
        names = await asyncio.gather(*waiting)
        assert most == 2
        assert all(name.startswith("reading") for name in names)
        assert await reads(lambda ledger: 1) == 1

        began = time.monotonic()
        hasty = Reads(desk, patience=0.2)
        endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
        ended = threading.Event()

        def forever(ledger: Ledger) -> None:
            try:
                ledger._rows(endless)
            finally:
                ended.set()

        with pytest.raises(HTTPException, match="took more than"):
            await hasty(forever)
        assert await asyncio.to_thread(ended.wait, 5)
        assert time.monotonic() - began < 5

    asyncio.run(both())


def test_the_newest_decision_of_the_desk_is_the_newest_of_the_api(client: Client) -> None:
    newest = next(r for r in reversed(client.api.desk.told) if type(r) is Decision)  # type: ignore[attr-defined]
    assert got(client, "/decisions", limit=1)["items"][0]["id"] == newest.id
