"""The secret: who has it gets in, who has not learns nothing, and it is kept nowhere."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import logging
import math
import random
import statistics
import time
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from desks import NOW
from enigma_webhooks.front.buckets import Failures, TokenBucket
from enigma_webhooks.front.glimpse import MOST, glimpsed
from enigma_webhooks.front.keyring import Keyring
from enigma_webhooks.front.strength import weakness
from posting import JSON, OTHER, SECRET, TEXT, Answer, Door, buy, source

PLAIN = {"ticker": "BTCUSDT.P", "action": "buy"}

WRONG: list[Any] = [
    None,
    "",
    " ",
    "wrong",
    SECRET[:-1],
    SECRET[1:],
    f"{SECRET}x",
    SECRET.lower(),
    SECRET.swapcase(),
    SECRET[::-1],
    f"{SECRET}{SECRET}",
    f"{SECRET}\x00",
    f"\ufeff{SECRET}",
    "é",
    "пароль",
    "密码",
    "🔑",
    "\ud800",
    "\x00",
    "'; DROP TABLE secrets; --",
    "${jndi:ldap://x}",
    "../../etc/passwd",
    "{{secret}}",
    "***",
    "null",
    "None",
    "x" * 10_000,
    "é" * 2_000,
    0,
    True,
]


def posted(door: Door, *posts: tuple[Any, dict[str, Any]]) -> list[Answer]:
    async def each() -> list[Answer]:
        return [await door.post(body, **settings) for body, settings in posts]

    return asyncio.run(each())


@pytest.mark.parametrize("wrong", WRONG, ids=range(len(WRONG)))
def test_i19_every_wrong_secret_gets_the_same_answer(wrong: Any) -> None:
    door = Door()
    message = PLAIN if wrong is None else {"secret": wrong, **PLAIN}
    answer = posted(door, (message, {}))[0]
    assert (answer.status, answer.body) == (401, b'{"status":"unauthorized"}')
    assert not door.desk.alerts
    assert not door.desk.refusals


@pytest.mark.parametrize("wrong", [w for w in WRONG if isinstance(w, str) and w.strip() and w != "\ud800"])
def test_i19_in_the_address_and_in_headers_too(wrong: str) -> None:
    for settings in ({"to": f"tradingview/{wrong}"}, {"to": f"nobody/{wrong}"}, {"to": f"tradingview/{wrong}/{SECRET}"}):
        assert posted(Door(), (PLAIN, settings))[0].status == 401
    spelled = wrong.replace("\n", "").encode("utf-8").decode("latin-1")
    assert posted(Door(), (PLAIN, {"headers": {"X-Webhook-Secret": spelled}}))[0].status == 401


def test_i19_a_source_that_does_not_exist_answers_as_one_with_another_secret() -> None:
    door = Door()
    known, unknown = posted(door, (buy(secret="wrong"), {}), (buy(), {"to": "nobody"}))
    assert known == unknown


@given(st.text(max_size=200))
def test_i19_comparing_never_raises(given: str) -> None:
    assert not Keyring([SECRET]).holds(given)
    assert Keyring([SECRET, "é"]).holds("é")


def test_i20_every_comparison_does_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []

    def counting(a: bytes, b: bytes) -> bool:
        compared.append((len(a), len(b)))
        return False

    rings = [Keyring(), Keyring([SECRET]), Keyring([SECRET, OTHER])]
    monkeypatch.setattr(hmac, "compare_digest", counting)
    for ring in rings:
        for each in ("", "x", SECRET, "é" * 1000):
            ring.holds(each)
    assert compared == [(32, 32)] * (len(rings) * 4 * 2)


def welch(samples: int) -> float:
    """Student's t, by Welch, between comparing a secret that is wrong at once and one that is wrong at its end."""
    ring = Keyring([SECRET])
    given = (("y" + SECRET[1:]).encode(), (SECRET[:-1] + "y").encode())
    chance = random.Random(1)
    times: tuple[list[int], list[int]] = ([], [])
    clock = time.perf_counter_ns
    for _ in range(samples):
        # drawn by lot and made anew each time, so that neither turn nor place in memory belongs to one of them
        which = chance.getrandbits(1)
        text = given[which].decode()
        began = clock()
        ring.holds(text)
        times[which].append(clock() - began)
    trimmed = [sorted(each)[: int(len(each) * 0.9)] for each in times]
    means = [statistics.fmean(each) for each in trimmed]
    errors = [statistics.variance(each, mean) / len(each) for each, mean in zip(trimmed, means, strict=True)]
    return abs(means[0] - means[1]) / math.sqrt(sum(errors))


def test_i20_the_time_of_a_comparison_does_not_tell_where_the_difference_is() -> None:
    # another process in the way may bend one measurement, a leak bends them all
    assert min(welch(8_000) for _ in range(3)) < 4.5


@pytest.mark.soak
def test_i20_nor_does_it_over_many_samples() -> None:
    assert min(welch(200_000) for _ in range(3)) < 4.5


SPELLINGS = {
    "as it is": lambda s: json.dumps(buy(secret=s)),
    "escaped": lambda s: json.dumps(PLAIN)[:-1] + ', "secret": "' + "".join(f"\\u{ord(c):04X}" for c in s) + '"}',
    "in pairs": lambda s: f"SYMBOL=BTCUSDT;SIGNAL=BUY;TOKEN={s}",
    "in lines": lambda s: f"symbol=BTCUSDT\nsignal=BUY\ntoken={s}\n",
    "with blanks": lambda s: json.dumps(buy(secret=s))[:-2] + '   "}',
    "twice": lambda s: json.dumps({**buy(secret=s), "comment": f"see {s}"}),
    "unquoted": lambda s: json.dumps(PLAIN)[:-1] + f', "secret": {s}' + "}",
    "in an array": lambda s: json.dumps([buy(secret=s), buy(secret=s, ticker="ETHUSDT")]),
    "wrong symbol": lambda s: json.dumps(buy(secret=s, ticker=f"X{s}")),
    "wrong action": lambda s: json.dumps(buy(secret=s, action=s)),
    "broken": lambda s: json.dumps(buy(secret=s))[:-1] + f", {s} {s}",
    "conflict": lambda s: json.dumps(buy(secret=s, id=f"of-{s}")),
}


@pytest.mark.parametrize("spelled", SPELLINGS)
@pytest.mark.parametrize("by", ["body", "address"])
def test_i21_the_secret_is_in_no_record_answer_log_or_representation(
    spelled: str, by: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    body = SPELLINGS[spelled](SECRET)
    door = Door()
    to = "tradingview" if by == "body" else f"tradingview/{SECRET}"
    answers = posted(door, (body, {"to": to}), (body.replace("buy", "sell").replace("BUY", "SELL"), {"to": to}))
    for kept in (*door.desk.alerts, *door.desk.refusals):
        assert SECRET not in msgspec.json.encode(kept).decode()
        assert quote(SECRET) not in repr(kept)
        assert "\\u00" + f"{ord(SECRET[0]):02X}" not in getattr(kept, "body", "")
    for answer in answers:
        assert SECRET not in answer.body.decode()
    assert SECRET not in caplog.text
    assert SECRET not in repr((door.receiver, door.sources))


WAYS: dict[str, dict[str, Any]] = {
    "address": {"to": f"tradingview/{SECRET}"},
    "header": {"headers": {"X-Webhook-Secret": SECRET}},
    "signature": {},
    "body": {},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("field", ["id", "order_id", "strategy", "exchange"])
def test_i21_a_secret_in_another_field_is_refused_whichever_way_it_was_shown(way: str, field: str) -> None:
    door = Door()
    message = {**(buy() if way == "body" else PLAIN), field: f"of-{SECRET}"}
    settings = dict(WAYS[way])
    if way == "signature":
        settings["headers"] = signed(json.dumps(message), SECRET.encode())
    answer = posted(door, (message, settings))[0]
    if way == "signature" and field == "id":  # the signature's own id stands in its place
        assert SECRET not in msgspec.json.encode(door.desk.alerts).decode()
        return
    assert answer.status == 422
    assert "the secret stands in another field of the message too" in answer.json["reason"]
    assert not door.desk.alerts
    assert SECRET not in msgspec.json.encode(door.desk.refusals).decode()


def test_i21_a_secret_in_capitals_is_refused_too() -> None:
    short = "k2Lpx9Qz7wT4vBn8rYcM"
    to = {"headers": {"X-Webhook-Secret": short}}
    for message in (
        {**PLAIN, "ticker": f"{short}USDT"},
        {**PLAIN, "ticker": f"{short}:BTCUSDT"},
        {**PLAIN, "ticker": f"{short}:BTCUSDT", "exchange": "BINANCE"},
        {**PLAIN, "exchange": short},
    ):
        door = Door(sources={"tradingview": source("tradingview", short)})
        answer = posted(door, (message, to))[0]
        assert answer.status == 422
        assert short.upper() not in answer.body.decode().upper()
        assert short.upper() not in msgspec.json.encode((door.desk.alerts, door.desk.refusals)).decode().upper()


def test_i21_an_encoded_secret_in_an_id_is_refused_too() -> None:
    odd = "k2Lp/x9Qz+7wT=4vBn 8rYc".replace(" ", "_")
    door = Door(sources={"tradingview": source("tradingview", odd)})
    answer = posted(door, ({**PLAIN, "id": quote(odd, safe="")}, {"headers": {"X-Webhook-Secret": odd}}))[0]
    assert answer.status == 422
    assert quote(odd, safe="") not in msgspec.json.encode(door.desk.refusals).decode()


def test_i21_a_conflict_found_later_is_told_without_the_secret() -> None:
    door = Door()
    to = {"to": f"tradingview/{SECRET}"}
    posted(door, ({**PLAIN, "id": "a"}, to))
    (known,) = door.receiver._made.values()
    known.alerts[:] = [
        msgspec.structs.replace(a, digest="other", request=msgspec.structs.replace(a.request, key=f"of-{SECRET}"), key=a.key)
        for a in known.alerts
        if not isinstance(a, str)
    ]
    answer = posted(door, ({**PLAIN, "id": "a"}, to))[0]
    assert answer.status == 409
    assert SECRET not in answer.body.decode()
    assert SECRET not in msgspec.json.encode(door.desk.refusals).decode()


def test_i21_a_wrong_secret_is_not_kept_either() -> None:
    door = Door()
    posted(door, ({"secret": OTHER, **PLAIN}, {"to": f"tradingview/{SECRET}"}))
    assert OTHER not in door.desk.alerts[0].body


def test_a16_two_secrets_are_good_until_the_old_one_is_taken_away() -> None:
    both = Door(sources={"tradingview": source("tradingview", SECRET, OTHER)})
    old, new = posted(both, (buy(id="a"), {}), (buy(id="b", secret=OTHER), {}))
    assert (old.status, new.status) == (200, 200)
    after = Door(sources={"tradingview": source("tradingview", OTHER)})
    old, new = posted(after, (buy(id="a"), {}), (buy(id="b", secret=OTHER), {}))
    assert (old.status, new.status) == (401, 200)


def test_each_source_has_its_own_secret() -> None:
    door = Door(sources={"tradingview": source("tradingview"), "desk-2": source("desk-2", OTHER)})
    answers = posted(
        door,
        (buy(), {}),
        (buy(secret=OTHER), {}),
        (buy(), {"to": "desk-2"}),
        (buy(secret=OTHER), {"to": "desk-2"}),
        (PLAIN, {"to": f"desk-2/{OTHER}"}),
    )
    assert [a.status for a in answers] == [200, 401, 401, 200, 200]


# signatures


def signed(body: str, *secrets: bytes, id: str = "msg_1", at: int = NOW // 1000) -> dict[str, str]:
    content = f"{id}.{at}.{body}".encode()
    given = " ".join("v1," + base64.b64encode(hmac.digest(s, content, "sha256")).decode() for s in secrets)
    return {"webhook-id": id, "webhook-timestamp": str(at), "webhook-signature": given}


def test_a_signed_message_needs_no_secret_in_it_and_its_id_is_the_alerts() -> None:
    door = Door()
    body = json.dumps({**PLAIN, "id": "another"})
    first, again = posted(door, *[(body, {"to": "signals", "headers": signed(body, SECRET.encode())})] * 2)
    assert (first.json["status"], again.json["status"]) == ("accepted", "duplicate")
    assert door.desk.alerts[0].request.key == "msg_1"


def test_one_of_several_signatures_is_enough_and_base64_secrets_are_decoded() -> None:
    raw = bytes(range(32))
    door = Door(sources={"signals": source("signals", "whsec_" + base64.b64encode(raw).decode())})
    body = json.dumps(PLAIN)
    found = posted(door, (body, {"to": "signals", "headers": signed(body, b"an old one", raw)}))
    assert found[0].status == 200


@pytest.mark.parametrize("off", [-86_400, -301, 301, 10**9])
def test_a_signature_is_good_for_five_minutes(off: int) -> None:
    body = json.dumps(PLAIN)
    found = posted(Door(), (body, {"to": "signals", "headers": signed(body, SECRET.encode(), at=NOW // 1000 + off)}))
    assert found[0].status == 401


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook-id": "msg_2"},
        {"webhook-timestamp": str(NOW // 1000 + 1)},
        {"webhook-timestamp": "1e9"},
        {"webhook-timestamp": "²"},
        {"webhook-timestamp": "9" * 400},
        {"webhook-timestamp": ""},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,####"},
        {"webhook-signature": "v2," + "A" * 44},
        {"webhook-signature": "v1," + "A" * 44},
        {"webhook-signature": " ".join(["v1,AAAA"] * 1000)},
    ],
)
def test_a_signature_that_does_not_fit_is_none(changes: dict[str, str]) -> None:
    body = json.dumps(PLAIN)
    headers = signed(body, SECRET.encode()) | changes
    assert posted(Door(), (body, {"to": "signals", "headers": headers}))[0].status == 401


def test_a_body_changed_on_the_way_is_not_signed() -> None:
    body = json.dumps(PLAIN)
    found = posted(Door(), (body.replace("buy", "sell"), {"to": "signals", "headers": signed(body, SECRET.encode())}))
    assert found[0].status == 401


# floods


def test_i22_the_eleventh_failure_of_a_minute_is_not_even_read() -> None:
    door = Door()
    answers = posted(door, *[(buy(secret="wrong"), {})] * 11)
    assert [a.status for a in answers] == [401] * 10 + [429]
    door.receiver.read = unread
    assert posted(door, (buy(secret="wrong"), {}), (PLAIN, {}))[1].status == 429


def unread(body: bytes) -> Any:
    raise AssertionError("this should not be read")


def test_i22_whoever_has_the_secret_gets_through_a_flood_from_his_own_address() -> None:
    door = Door()
    posted(door, *[(buy(secret="wrong"), {})] * 200)
    body = json.dumps(PLAIN)
    good: list[tuple[Any, dict[str, Any]]] = [
        (buy(id="1"), {}),
        (f"SYMBOL=BTCUSDT;SIGNAL=BUY;TOKEN={SECRET}", {"kind": TEXT}),
        ({**PLAIN, "id": "2"}, {"to": f"tradingview/{SECRET}"}),
        ({**PLAIN, "id": "3"}, {"headers": {"X-Webhook-Secret": SECRET}}),
        (body, {"to": "signals", "headers": signed(body, SECRET.encode()), "kind": JSON}),
    ]
    assert [a.status for a in posted(door, *good)] == [200] * 5
    assert len(door.desk.alerts) == 5


ODD = "Zx81/kq0Tr,5mPw;aa}7Vb3:Ye2Lq9=Gh4N==d6"
CLEAN = SECRET.replace("-", "_")
SHAPES: dict[str, str] = {
    "JSON": json.dumps({"secret": CLEAN, **PLAIN}),
    "another order": json.dumps({**PLAIN, "token": CLEAN}),
    "a name of its own": json.dumps({**PLAIN, "webhook_secret": CLEAN}),
    "after many fields": json.dumps({**PLAIN, **{f"key_number_{n}": f"value {n}" for n in range(60)}, "secret": CLEAN}),
    "escaped": json.dumps({"secret": CLEAN, **PLAIN}).replace("Zx", "\\u005ax"),
    "smart quotes": json.dumps({"secret": CLEAN, **PLAIN}).replace('"', "\u201c"),
    "single quotes": json.dumps({"secret": CLEAN, **PLAIN}).replace('"', "'"),
    "within a string": json.dumps({"message": json.dumps({"secret": CLEAN, **PLAIN})}),
    "escaped within a string": json.dumps({"message": json.dumps({"secret": CLEAN, **PLAIN}).replace("Zx", "\\u005ax")}),
    "lines within a string": json.dumps({"text": f"buy BTCUSDT\nsecret={CLEAN}"}),
    "text": f"BUY BTCUSDT secret {CLEAN}",
    "a tab": f"BUY BTCUSDT secret\t{CLEAN}",
    "pairs": f"SYMBOL=BTCUSDT;SIGNAL=BUY;TOKEN={CLEAN}",
    "lines": f"symbol: BTCUSDT\r\naction: buy\r\nsecret: {CLEAN}\r\n",
    "CSV": f"60123456789,buy,BTCUSDT,risk=1,secret={CLEAN}",
    "a form": f"symbol=BTCUSDT&action=buy&secret={quote(CLEAN)}",
    "signs within": json.dumps({"secret": ODD, **PLAIN}),
    "signs within, escaped": json.dumps({"secret": ODD, **PLAIN}).replace("/", "\\/"),
    "signs within, in a string": json.dumps({"message": json.dumps({"secret": ODD, **PLAIN})}),
    "signs within a form": f"symbol=BTCUSDT&action=buy&secret={quote(ODD, safe='')}",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_i22_a_right_secret_gets_through_a_flood_in_every_shape(shape: str) -> None:
    assert glimpsed(Keyring([CLEAN, ODD]), SHAPES[shape].encode())
    assert not glimpsed(Keyring([OTHER]), SHAPES[shape].encode())


@pytest.mark.parametrize("shape", [s for s in SHAPES if not s.startswith("after")])
def test_i22_a_flood_changes_nothing_for_whoever_has_the_secret(shape: str) -> None:
    calm, flooded = (Door(sources={"tradingview": source("tradingview", CLEAN, ODD)}) for _ in range(2))
    posted(flooded, *[(buy(secret="wrong"), {})] * 11)
    before, after = posted(calm, (SHAPES[shape], {}))[0], posted(flooded, (SHAPES[shape], {}))[0]
    assert after.status == before.status
    assert before.status == 200


@given(st.text(max_size=400) | st.text("\\\"'u{}[]=:,;%+ \n\u201cabcd0041", max_size=400))
def test_a_look_at_any_message_raises_nothing(message: str) -> None:
    assert not glimpsed(Keyring([SECRET]), message.encode("utf-8", "surrogatepass"))


class CountingRing(Keyring):
    """Counts what it is asked."""

    asked = 0

    def holds(self, given: str | bytes) -> bool:
        self.asked += 1
        return super().holds(given)


UNITS = [
    " ",
    "key ",
    '"',
    "'",
    "\\",
    '\\"',
    "\\u0041",
    "=",
    "a=",
    ":",
    "%",
    "%41",
    "+",
    "\n",
    "a",
    "abcdefg ",
    "\u201c",
    '"\\n',
    "{",
    "\\ud83d",
]


@pytest.mark.parametrize("unit", UNITS)
def test_i22_a_look_at_sixteen_kibibytes_is_soon_done(unit: str) -> None:
    body = ("key" + unit * 16_384).encode()[:16_384]
    ring = CountingRing([SECRET])
    began = time.process_time()
    for _ in range(3):
        glimpsed(ring, body)
    assert time.process_time() - began < 0.6
    assert ring.asked <= 3 * MOST


def test_i22_a_long_run_of_blanks_does_not_hold_up_the_door() -> None:
    door = Door()
    posted(door, *[({"a": 1}, {})] * 11)
    began = time.process_time()
    answers = posted(door, *[(b"key" + b" " * 16_380, {})] * 10)
    assert time.process_time() - began < 0.6
    assert {a.status for a in answers} == {429}


def test_i22_no_more_words_are_compared_than_the_most() -> None:
    ring = CountingRing([SECRET])
    body = " ".join(f"word-{n:06}" for n in range(1_300)).encode()
    assert not glimpsed(ring, body)
    assert ring.asked == MOST


def test_i22_what_was_taken_in_before_gets_through_a_flood_as_a_duplicate() -> None:
    door = Door()
    first = posted(door, (buy(id="a"), {}))[0]
    posted(door, *[(buy(secret="wrong"), {})] * 11)
    door.receiver.read = unread
    again = posted(door, (buy(id="a"), {}))[0]
    assert (again.status, again.json) == (200, {"status": "duplicate", "id": first.json["id"]})


def test_i22_another_address_is_not_made_to_pay_and_time_heals() -> None:
    door = Door()
    posted(door, *[(buy(secret="wrong"), {})] * 20)
    assert posted(door, (buy(secret="wrong"), {"peer": "203.0.113.1"}))[0].status == 401
    door.seconds += 60
    assert posted(door, (buy(secret="wrong"), {}))[0].status == 401


def test_i22_many_addresses_together_are_slowed_down_too() -> None:
    door = Door()
    posts = [(buy(secret="wrong"), {"peer": f"203.0.{n // 250}.{n % 250}"}) for n in range(700)]
    found = [a.status for a in posted(door, *posts)]
    assert found.count(401) == 600
    assert posted(door, (buy(), {"peer": "203.0.113.9"}))[0].status == 200


def test_senders_are_forgotten_before_they_fill_the_memory() -> None:
    failures = Failures(lambda: 0.0, overall=10**9, most=100)
    for n in range(1000):
        failures.count(n)
    assert len(failures._senders) == 100
    assert failures.total == 1000


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 20))
def test_a_bucket_never_gives_more_than_it_holds_and_gains(waits: list[float], capacity: int) -> None:
    clock = [0.0]
    bucket = TokenBucket(capacity, 0.5, lambda: clock[0])
    taken = 0
    for wait in waits:
        clock[0] += wait
        if not bucket.empty:
            bucket.take()
            taken += 1
    assert taken <= capacity + sum(waits) * 0.5 + 1e-6


# strength

WEAK = [
    "",
    " ",
    "changeme",
    "secret",
    "password",
    "password123",
    "P@ssw0rd!",
    "a" * 40,
    "ab" * 20,
    "changeme" * 4,
    "your-secret-here-your-secret-here",
    "replace_me_with_a_random_string_please",
    "<your-secret-token-goes-here-12345>",
    "12345678901234567890123456789012",
    "abcdefghijklmnopqrstuvwxyz0123456789",
    "x" * 32,
    "0" * 64,
    "tradingview-webhook-secret-token-2024",
    "hunter2" * 5,
    "qwertyuiopasdfghjklzxcvbnm123456",
    "letmein-letmein-letmein-letmein-42",
    "test-secret-test-secret-test-secret",
    "undefined",
    "null",
    "{{secret}}",
    "correct-horse-battery-staple-secret",
    "my-super-secret-webhook-token-please-change",
    "s3cr3t-p4ssw0rd-s3cr3t-p4ssw0rd-12",
    "deadbeefdeadbeefdeadbeefdeadbeef",
    "ThisIsMyVerySecretPassword1234567890",
    "short-x9Qz-k2Lp",
    "miniature-enigma-webhook-secret-1",
    f"{OTHER}\n",
]


@pytest.mark.parametrize("weak", WEAK)
def test_a08_a_weak_secret_is_named_as_such_without_being_shown(weak: str) -> None:
    fault = weakness(weak, reachable=True)
    assert fault is not None
    assert not weak.strip() or len(weak) < 7 or weak not in fault


@pytest.mark.parametrize("bits", [128, 192, 256])
def test_a_random_secret_will_do(bits: int) -> None:
    import hashlib

    for n in range(300):
        raw = hashlib.sha256(str(n).encode()).digest()[: bits // 8]
        for text in (raw.hex(), base64.urlsafe_b64encode(raw + raw[:8]).decode().rstrip("=")):
            assert weakness(text, reachable=True) is None


def test_on_ones_own_machine_a_short_secret_will_do_but_no_placeholder() -> None:
    assert weakness("k2Lp-x9Qz7", reachable=False) is None
    assert weakness("password1", reachable=False) is not None
