"""Alerts at the door: once, in time, and every answer as it is promised."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desks import NOW, MemoryDesk
from enigma_core.alert import AlertRefused
from posting import JSON, SECRET, TEXT, Answer, Door, buy, source

SECOND = 1000


def iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def sent(door: Door, *messages: Any, **settings: Any) -> list[Answer]:
    async def each() -> list[Answer]:
        return [await door.post(message, **settings) for message in messages]

    return asyncio.run(each())


def one(door: Door, message: Any, **settings: Any) -> Answer:
    return sent(door, message, **settings)[0]


# identity


@given(st.dictionaries(st.integers(0, 20), st.integers(1, 6), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_i01_an_alert_delivered_many_times_at_once_is_taken_in_once(copies: dict[int, int], chance: random.Random) -> None:
    posts = [buy(id=f"a{n}", contracts="1") for n, k in copies.items() for _ in range(k)]
    chance.shuffle(posts)

    async def all_at_once() -> list[Answer]:
        door.desk.hold = asyncio.Event()
        tasks = [asyncio.create_task(door.post(p, parts=chance.randint(1, 3))) for p in posts]
        for _ in range(chance.randint(0, 3)):
            await asyncio.sleep(0)
        door.desk.hold.set()
        return await asyncio.gather(*tasks)

    door = Door()
    answers = asyncio.run(all_at_once())
    assert {a.status for a in answers} == {200}
    assert len(door.desk.alerts) == len({a.json["id"] for a in answers}) == len(copies)
    assert [a.json["status"] for a in answers].count("accepted") == len(copies)


def test_i01_the_answer_names_the_same_id_each_time() -> None:
    door = Door()
    first, *later = sent(door, *[buy(time=iso(NOW))] * 3)
    assert first.json == {"status": "accepted", "id": door.desk.alerts[0].id}
    assert [a.json for a in later] == [{"status": "duplicate", "id": first.json["id"]}] * 2


def test_i03_a_message_without_a_time_is_the_same_one_for_a_minute() -> None:
    door = Door()
    found = []
    for after in (0, 26, 59, 61):
        door.time = NOW + after * SECOND
        found.append(one(door, buy(contracts="1")).json["status"])
    assert found == ["accepted", "duplicate", "duplicate", "accepted"]
    assert len({a.id for a in door.desk.alerts}) == 2


def test_i03_a_message_with_a_time_is_the_same_one_for_ever() -> None:
    door = Door()
    found = []
    for after in (0, 61, 86_400, 90 * 86_400):
        door.time = NOW + after * SECOND
        found.append(one(door, buy(time=iso(NOW))).json["status"])
    assert found == ["accepted", "duplicate", "duplicate", "duplicate"]


@pytest.mark.parametrize("changed", [{"action": "sell"}, {"contracts": "2"}, {"ticker": "ETHUSDT.P"}, {"sl": "49000"}])
def test_i04_a_known_id_with_another_content_is_a_conflict_and_nothing_is_done(changed: dict[str, str]) -> None:
    door = Door()
    first, second = sent(door, buy(id="a1", contracts="1"), buy(id="a1", contracts="1") | changed)
    assert (first.status, second.status) == (200, 409)
    assert second.json["status"] == "refused"
    assert len(door.desk.alerts) == 1
    assert [(r.status, r.source) for r in door.desk.refusals] == [(409, "tradingview")]
    assert "'a1'" in door.desk.refusals[0].reason


def test_i04_of_an_array_with_a_conflict_nothing_is_done() -> None:
    door = Door()
    sent(door, buy(id="a1", contracts="1"))
    assert one(door, [buy(id="a2"), buy(id="a1", contracts="3")]).status == 409
    assert len(door.desk.alerts) == 1


def test_i04_the_same_message_with_the_next_secret_is_no_conflict() -> None:
    door = Door(sources={"tradingview": source("tradingview", SECRET, "another-one-8Kd03_lQp-27Zx")})
    first, second = sent(door, buy(id="a1"), buy(id="a1", secret="another-one-8Kd03_lQp-27Zx"))
    assert (first.json["status"], second.json["status"]) == ("accepted", "duplicate")


def test_i08_what_was_captured_yesterday_is_a_duplicate_today() -> None:
    door = Door()
    bodies = [json.dumps(buy(time=iso(NOW - n * SECOND), contracts=str(n + 1))) for n in range(1000)]
    assert {a.json["status"] for a in sent(door, *bodies)} == {"accepted"}
    door.time += 86_400 * SECOND
    assert {a.json["status"] for a in sent(door, *bodies)} == {"duplicate"}
    assert len(door.desk.alerts) == 1000


@pytest.mark.parametrize(("ahead", "status"), [(-3600, 200), (-61, 200), (0, 200), (29, 200), (30, 200), (31, 422), (86_400, 422)])
def test_i07_a_message_from_the_future_is_refused_and_told(ahead: int, status: int) -> None:
    door = Door()
    answer = one(door, buy(timestamp=iso(NOW + ahead * SECOND)))
    assert answer.status == status
    if status == 422:
        assert f"{ahead} s in the future" in answer.json["reason"]
        assert "clock" in door.desk.refusals[0].reason
        assert not door.desk.alerts


# arrays


def test_an_array_is_answered_as_one_and_each_order_has_its_own_id() -> None:
    door = Door()
    answer = one(door, [buy(ticker="BTCUSDT.P"), buy(ticker="ETHUSDT.P", action="sell"), buy(ticker="SOLUSDT.P", action="close")])
    ids = [a.id for a in door.desk.alerts]
    assert answer.json == {
        "status": "accepted",
        "id": ids[0],
        "alerts": [{"status": "accepted", "id": each} for each in ids],
    }
    assert len(set(ids)) == 3


def test_two_orders_alike_in_one_array_are_two_and_the_array_again_is_none() -> None:
    door = Door()
    message = [buy(time=iso(NOW)), buy(time=iso(NOW))]
    first, second = sent(door, message, message)
    assert len(door.desk.alerts) == 2
    assert [a["status"] for a in second.json["alerts"]] == ["duplicate", "duplicate"]
    assert [a["id"] for a in first.json["alerts"]] == [a["id"] for a in second.json["alerts"]]


def test_i04_two_orders_of_one_array_with_one_id_are_one_alert() -> None:
    door = Door()
    twice = one(door, [buy(id="a1", contracts="1"), buy(id="a1", contracts="1")])
    assert [a["status"] for a in twice.json["alerts"]] == ["accepted", "duplicate"]
    assert len({a["id"] for a in twice.json["alerts"]}) == len(door.desk.alerts) == 1
    alone = one(door, buy(id="a1", contracts="1")).json
    assert (alone["status"], alone["id"]) == ("duplicate", door.desk.alerts[0].id)


def test_i04_two_orders_of_one_array_with_one_id_that_differ_refuse_it() -> None:
    door = Door()
    answer = one(door, [buy(id="a1", contracts="1"), buy(id="a1", contracts="2")])
    assert answer.status == 409
    assert "'a1'" in answer.json["reason"]
    assert not door.desk.alerts


def test_a_duplicate_without_a_time_names_the_alert_that_is_written_down_or_none() -> None:
    door = Door()
    first = one(door, buy())
    door.time += 5 * SECOND
    assert one(door, buy()).json == {"status": "duplicate", "id": first.json["id"]}
    again = Door(door.desk)
    again.time = door.time
    assert one(again, buy()).json == {"status": "duplicate"}


def test_an_order_that_cannot_be_read_refuses_its_whole_array() -> None:
    door = Door()
    answer = one(door, [buy(), {**buy(), "action": "juggle"}])
    assert answer.status == 422
    assert "order 2 of 2" in answer.json["reason"]
    assert not door.desk.alerts


def test_every_order_of_an_array_needs_the_right_secret_where_it_has_one() -> None:
    assert one(Door(), [buy(), buy(secret="wrong")]).status == 401
    assert one(Door(), [buy(), {"ticker": "ETHUSDT.P", "action": "sell"}]).status == 200


# what is answered


def test_an_alert_is_written_down_whole_but_for_its_secret() -> None:
    door = Door(sources={"tradingview": source("tradingview", mode="vote", max_lag=5_000, max_lag_exit=7_000, ttl=9_000)})
    door.desk.time = NOW + 123
    one(door, buy(contracts="0.5", id="a1"))
    alert = door.desk.alerts[0]
    assert (alert.source, alert.mode, alert.received, alert.ts) == ("tradingview", "vote", NOW, NOW + 123)
    assert (alert.max_lag, alert.max_lag_exit, alert.ttl) == (5_000, 7_000, 9_000)
    assert json.loads(alert.body) == {**buy(contracts="0.5", id="a1"), "secret": "***"}
    assert alert.request.symbol == "BTC/USDT:USDT"


@pytest.mark.parametrize("trouble", ["full", "fail"])
def test_an_alert_sent_again_after_it_could_not_be_taken_in_is_as_old_as_its_last_coming(trouble: str) -> None:
    door = Door()
    setattr(door.desk, trouble, True)
    assert one(door, buy(id="a")).status == 503
    setattr(door.desk, trouble, False)
    door.time, door.desk.time = NOW + 3600 * SECOND, NOW + 3601 * SECOND
    assert one(door, buy(id="a")).status == 200
    (alert,) = door.desk.alerts
    assert (alert.received, alert.ts) == (NOW + 3600 * SECOND, NOW + 3601 * SECOND)


def test_a_message_known_by_its_bytes_comes_anew_each_time() -> None:
    door = Door()
    seen: list[tuple[int, int]] = []
    accept = door.desk.accept

    async def noting(alerts: Any) -> Any:
        seen.extend((a.received, a.ts) for a in alerts)
        return await accept(alerts)

    door.desk.accept = noting  # type: ignore[method-assign]
    for after in (0, 5, 10):
        door.time = door.desk.time = NOW + after * SECOND
        assert one(door, buy(id="a")).status == 200
    assert seen == [(NOW + n * SECOND,) * 2 for n in (0, 5, 10)]


@pytest.mark.parametrize("more", [{}, {"id": "h"}, {"time": iso(NOW)}], ids=["bare", "with an id", "with a time"])
def test_a_halt_is_obeyed_each_time_it_comes(more: dict[str, str]) -> None:
    door = Door()
    found = []
    for after in (0, 1, 30, 600):
        door.time = NOW + after * SECOND
        found.append(one(door, {"secret": SECRET, "action": "halt", **more}).json["status"])
    assert found == ["accepted"] * 4
    assert len({a.id for a in door.desk.alerts}) == 4


def test_an_alert_comes_by_either_address_with_the_secret_where_it_can_be() -> None:
    plain = {"ticker": "BTCUSDT.P", "action": "buy"}
    for settings in (
        {"to": f"tradingview/{SECRET}"},
        {"to": f"signals/{SECRET}/"},
        {"to": "signals", "headers": {"X-Webhook-Secret": SECRET}},
        {"to": "signals", "headers": {"Authorization": f"Bearer {SECRET}"}},
        {"to": "signals", "headers": {"authorization": f"bearer  {SECRET}"}},
    ):
        assert one(Door(), plain, **settings).json["status"] == "accepted"
    assert one(Door(), plain, to="signals").status == 401


def test_i26_the_content_counts_not_the_type_it_is_said_to_have() -> None:
    for kind in (JSON, TEXT, "application/x-www-form-urlencoded", "text/html", "", "application/vnd.sender+json"):
        assert one(Door(), json.dumps(buy()), kind=kind).status == 200
    assert one(Door(), f"BUY BTCUSDT secret={SECRET}", kind=JSON).status == 200


@pytest.mark.parametrize("kind", ["application/octet-stream", "image/png", "multipart/form-data; boundary=x", "application/zip"])
def test_what_is_no_text_is_refused(kind: str) -> None:
    door = Door()
    assert one(door, json.dumps(buy()), kind=kind).status == 415
    assert not door.desk.refusals, "nobody has shown a secret yet"
    assert one(door, json.dumps(buy()), kind=kind, to=f"tradingview/{SECRET}").status == 415
    assert [r.status for r in door.desk.refusals] == [415]


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "identity, gzip", "zstd", "GZIP"])
def test_i18_a_compressed_body_is_refused_and_not_opened(encoding: str) -> None:
    bomb = gzip.compress(b"0" * 10_000_000)
    door = Door(reads=unread)
    assert one(door, bomb[:10_000], headers={"Content-Encoding": encoding}).status == 415


def unread(body: bytes) -> Any:
    raise AssertionError("this should not be read")


@pytest.mark.parametrize(("size", "parts", "status"), [(16_384, 1, 200), (16_385, 1, 413), (16_384, 7, 200), (16_385, 7, 413)])
@pytest.mark.parametrize("declared", [True, False])
def test_sixteen_kibibytes_are_the_most(size: int, parts: int, status: int, declared: bool) -> None:
    text = json.dumps(buy())
    door = Door()
    headers = {} if declared else {"Content-Length": ""}
    answer = one(door, text + " " * (size - len(text)), parts=parts, headers=headers)
    assert answer.status == status
    if status == 413:
        assert answer.headers["connection"] == "close"
        assert not door.desk.refusals


def test_too_large_a_message_from_whoever_has_the_secret_is_told() -> None:
    door = Door()
    assert one(door, "x" * 20_000, to=f"tradingview/{SECRET}").status == 413
    assert [(r.status, r.reason) for r in door.desk.refusals] == [(413, "a message has at most 16 KiB")]


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (buy(test=True), "test"),
        ({"secret": SECRET, "symbol": "BTCUSDT", "rsi": 28.4, "macd": -3.1, "close": 50000}, "nothing"),
    ],
)
def test_what_asks_for_nothing_is_understood_and_ignored(message: dict[str, Any], why: str) -> None:
    door = Door()
    answer = one(door, message)
    assert (answer.status, answer.json["status"]) == (200, "ignored")
    assert why in answer.json["reason"]
    assert not door.desk.alerts


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ticker": "DOGEUSDT.P"}, "DOGE/USDT:USDT is not traded here"),
        ({"ticker": "BTCUSDX"}, "BTCUSDX"),
        ({"action": "juggle"}, "juggle"),
        ({"ticker": None}, "symbol"),
    ],
)
def test_i28_what_is_unknown_is_refused_by_name_and_told(changes: dict[str, Any], words: str) -> None:
    door = Door()
    answer = one(door, {k: v for k, v in buy(**changes).items() if v is not None})
    assert answer.status == 422
    assert words in answer.json["reason"]
    (refusal,) = door.desk.refusals
    assert type(refusal) is AlertRefused
    assert (refusal.status, refusal.reason) == (422, answer.json["reason"])
    assert not door.desk.alerts


def test_i28_a_source_that_is_switched_off_refuses_and_says_so() -> None:
    door = Door(sources={"tradingview": source("tradingview", enabled=False)})
    assert one(door, buy()).status == 422
    assert "switched off" in door.desk.refusals[0].reason
    assert one(door, buy(secret="wrong")).status == 401


def test_i28_the_nearest_symbols_are_named() -> None:
    assert "nearest are SOL/USDT:USDT" in one(Door(), buy(ticker="SOLLUSDT.P")).json["reason"]


def test_a_multiplier_that_differs_is_rescaled() -> None:
    door = Door()
    one(door, buy(ticker="10000CATUSDT", quantity="3", price="0.07"))
    request = door.desk.alerts[0].request
    assert (request.symbol, request.quantity, request.price) == ("1000CAT/USDT:USDT", Decimal(30), Decimal("0.007"))


def test_what_cannot_be_read_is_refused_with_its_place_to_whoever_has_the_secret_only() -> None:
    broken = '{"ticker": "BTCUSDT.P",\n "action": "buy", "price": 1e999999}'
    door = Door()
    answer = one(door, broken, to=f"tradingview/{SECRET}")
    assert answer.status == 422
    assert (answer.json["line"], answer.json["column"] > 0) == (2, True)
    assert one(door, broken).json == {"status": "unauthorized"}


def test_every_other_method_is_refused() -> None:
    for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"):
        answer = one(Door(reads=unread), buy(), method=method)
        assert (answer.status, answer.headers["allow"]) == (405, "POST")


# when it cannot be taken in


def test_i23_with_a_full_inbox_the_sender_is_asked_to_come_again_and_nothing_is_lost() -> None:
    """A sender that resends three times after a 5xx, as TradingView does, against an inbox of one."""
    door = Door(MemoryDesk(capacity=1))
    bodies = [buy(id=f"a{n}") for n in range(8)]

    async def resending(body: dict[str, Any]) -> int:
        for _ in range(20):
            answer = await door.post(body)
            if answer.status != 503:
                return answer.status
            assert answer.headers["retry-after"] == "5"
            door.desk.work()
        return 503

    async def all_of_them() -> list[int]:
        return await asyncio.gather(*(resending(body) for body in bodies))

    assert asyncio.run(all_of_them()) == [200] * 8
    assert {a.request.key for a in door.desk.alerts} == {f"a{n}" for n in range(8)}
    assert len(door.desk.alerts) == 8


@pytest.mark.parametrize("trouble", ["fail", "full", "stopping"])
def test_only_who_has_the_secret_is_asked_to_come_again(trouble: str) -> None:
    door = Door()
    if trouble == "stopping":
        door.desk.state = "stopping"
    else:
        setattr(door.desk, trouble, True)
    right, wrong, faulty = sent(door, buy(), buy(secret="wrong"), buy(action="juggle"))
    assert (right.status, right.headers["retry-after"]) == (503, "5")
    assert (wrong.status, faulty.status) == (401, 422)
    assert "retry-after" not in wrong.headers


def test_i29_while_recovering_alerts_are_taken_in() -> None:
    door = Door()
    door.desk.state = "recovering"
    assert one(door, buy()).json["status"] == "accepted"


def test_a_journal_that_hangs_is_answered_within_the_senders_patience() -> None:
    async def hanging() -> tuple[int, float]:
        door.desk.hold = asyncio.Event()
        door.seconds = 0.0
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(door.post(buy(id="a1")))
        while len(door.ticks) < 2:  # the deadline has been set
            await asyncio.sleep(0)
        began = loop.time()
        answer = await task
        return answer.status, loop.time() - began

    door = Hurried()
    status, took = asyncio.run(hanging())
    assert status == 503
    assert took < 0.5


class Hurried(Door):
    """A door whose clock is nearly at the deadline the second time it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.ticks: list[float] = []
        self.receiver.clock = self.tick

    def tick(self) -> float:
        self.ticks.append(0.0 if not self.ticks else 2.49)
        return self.ticks[-1]


def test_a13_a_fault_of_ours_says_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    def broken(body: bytes) -> Any:
        raise RuntimeError(f"inside /home/somebody/secret.py: {body!r}")

    door = Door(reads=broken)
    answer = one(door, buy())
    assert (answer.status, answer.json) == (500, {"status": "error"})
    assert "RuntimeError" in caplog.text
