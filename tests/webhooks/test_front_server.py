"""The server as it is met over the wire: slow senders, large ones, hostile ones, and a stop in the midst of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from litestar import get

from desks import MemoryDesk
from enigma_core.errors import ConfigError
from enigma_webhooks.alerts import read
from enigma_webhooks.app import Application, application
from enigma_webhooks.front.deadlines import Limits
from enigma_webhooks.front.hosts import bare
from enigma_webhooks.front.receiver import Receiver
from enigma_webhooks.front.server import bound
from posting import OTHER, SECRET, buy, source
from serving import exchanged, one_answer, request, served, status_of

QUICK = Limits(idle=0.15, headers=0.15, body=0.1)
"""Deadlines that a test need not wait for long. That nothing is closed too early is for the real ones to show."""


@get("/broken", sync_to_thread=False)
def broken() -> None:
    raise RuntimeError("inside /home/somebody/secret.py")


@get("/fine", sync_to_thread=False)
def fine() -> str:
    return "fine"


def app(desk: MemoryDesk | None = None, **settings: Any) -> Application:
    receiver = Receiver(desk or MemoryDesk(), {name: source(name) for name in ("tradingview", "signals")}, read)
    return application(receiver, [broken, fine], openapi_config=None, **settings)


def post(body: Any = None, path: str = "/webhooks/tradingview", **headers: str) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(buy() if body is None else body).encode()
    return request("POST", path, data, {"Content-Type": "application/json", **headers})


def with_server(work: Callable[[int], Awaitable[Any]], desk: MemoryDesk | None = None, **settings: Any) -> Any:
    async def inside() -> Any:
        async with served(app(desk), **settings) as port:
            return await work(port)

    return asyncio.run(inside())


def answer_to(data: bytes, desk: MemoryDesk | None = None, *, close: bool = False, limits: Limits | None = None) -> bytes:
    async def work(port: int) -> bytes:
        return await asyncio.wait_for(exchanged(port, data, close=close), 8)

    found: bytes = with_server(work, desk, limits=limits)
    return found


def test_an_alert_over_the_wire_is_accepted() -> None:
    desk = MemoryDesk()
    answer = answer_to(post(), desk)
    assert status_of(answer) == 200
    assert b'"status":"accepted"' in answer
    assert len(desk.alerts) == 1
    assert b"server:" not in answer.lower()


def test_i02_a_sender_that_never_saw_the_answer_may_send_again() -> None:
    desk = MemoryDesk()

    async def work(port: int) -> bytes:
        for _ in range(3):
            desk.hold, known = asyncio.Event(), len(desk.alerts)
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(post(buy(id="a1")))
            await writer.drain()
            await asyncio.sleep(0.02)
            writer.transport.abort()
            desk.hold.set()
            while not desk.alerts and not known:
                await asyncio.sleep(0)
        desk.hold = None
        return await exchanged(port, post(buy(id="a1")), close=False)

    answer = with_server(work, desk)
    assert b'"status":"duplicate"' in answer
    assert len(desk.alerts) == 1


def test_a_connection_carries_many_alerts() -> None:
    desk = MemoryDesk()

    async def work(port: int) -> list[int]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"".join(post(buy(id=f"a{n}")) for n in range(20)))
        found = [status_of(await one_answer(reader)) for _ in range(20)]
        writer.close()
        return found

    assert with_server(work, desk) == [200] * 20
    assert [a.request.key for a in desk.alerts] == [f"a{n}" for n in range(20)]


@pytest.mark.parametrize("name", ["tradingview", "signals"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_alerts_are_only_posted(name: str, method: str) -> None:
    answer = answer_to(request(method, f"/webhooks/{name}", b"", {"Connection": "close"}), close=True)
    assert status_of(answer) == 405
    assert b"allow: POST" in answer


# I17


def test_i17_no_more_than_the_limit_is_kept_of_a_body_without_end() -> None:
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    head = b"POST /webhooks/tradingview HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def endless(port: int) -> tuple[int, int]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        sent, answer = 0, b""
        with contextlib.suppress(ConnectionError):
            writer.write(head)
            while sent < 50_000_000 and not writer.is_closing():
                writer.write(chunk)
                sent += len(chunk)
                await writer.drain()
                await asyncio.sleep(0)
        with contextlib.suppress(ConnectionError):
            answer = await reader.read()
        writer.close()
        return sent, status_of(answer)

    async def work(port: int) -> tuple[list[tuple[int, int]], int]:
        await endless(port)
        tracemalloc.start()
        base = tracemalloc.get_traced_memory()[0]
        found = [await endless(port) for _ in range(100)]
        peak = tracemalloc.get_traced_memory()[1] - base
        tracemalloc.stop()
        return found, peak

    found, peak = with_server(work)
    assert max(sent for sent, _ in found) < 10_000_000
    assert {status for _, status in found} <= {413, 0}
    assert peak < 1_000_000


def test_i17_a_length_that_is_too_large_is_refused_before_the_body_comes() -> None:
    head = b"POST /webhooks/tradingview HTTP/1.1\r\nHost: x\r\nContent-Length: 52428800\r\n\r\n"
    answer = answer_to(head, close=True)
    assert status_of(answer) == 413
    assert b"connection: close" in answer


# I24

STALLS = {
    "nothing": b"",
    "half a line": b"POST /webhooks/trad",
    "half its headers": b"POST /webhooks/tradingview HTTP/1.1\r\nHost: x\r\nContent-Le",
}


@pytest.mark.parametrize("stall", STALLS)
def test_i24_a_sender_that_stalls_in_its_headers_is_closed(stall: str) -> None:
    assert answer_to(STALLS[stall], close=True, limits=QUICK) == b""


@pytest.mark.parametrize("body", [b"", b'{"secret'])
def test_i24_a_sender_that_stalls_in_its_body_is_told_so_and_closed(body: bytes) -> None:
    desk = MemoryDesk()
    whole = post()
    head = whole[: whole.index(b"\r\n\r\n") + 4]
    assert status_of(answer_to(head + body, desk, close=True, limits=QUICK)) == 408
    assert not desk.alerts


@pytest.mark.parametrize("where", ["headers", "body"])
def test_i24_a_byte_now_and_then_is_no_progress(where: str) -> None:
    whole = post() if where == "headers" else post(b" " * 1000)
    start = 0 if where == "headers" else whole.index(b"\r\n\r\n") + 4

    async def work(port: int) -> float:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        began = asyncio.get_running_loop().time()
        writer.write(whole[:start])
        trickle = asyncio.create_task(trickled(writer, whole[start:]))
        with contextlib.suppress(ConnectionError):
            await reader.read()
        trickle.cancel()
        writer.close()
        return asyncio.get_running_loop().time() - began

    async def trickled(writer: asyncio.StreamWriter, rest: bytes) -> None:
        for i in range(len(rest)):
            writer.write(rest[i : i + 1])
            await asyncio.sleep(0.02)

    assert with_server(work, limits=QUICK) < 2


def test_i24_an_idle_connection_is_closed_after_its_last_answer() -> None:
    answer = answer_to(post(), close=True, limits=QUICK)
    assert status_of(answer) == 200


def test_i24_a_slow_start_of_the_next_request_is_closed_too() -> None:
    answer = answer_to(post() + b"POST /webhooks/tr", close=True, limits=QUICK)
    assert answer.count(b"HTTP/1.1 ") == 1


def test_i24_the_deadlines_are_five_five_and_two_seconds() -> None:
    assert (Limits().idle, Limits().headers, Limits().body) == (5, 5, 2)


def test_i24_two_hundred_stalled_senders_do_not_keep_a_real_one_waiting() -> None:
    desk = MemoryDesk()

    async def work(port: int) -> tuple[list[int], int]:
        stalled = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]
        for n, (_, writer) in enumerate(stalled):
            writer.write(list(STALLS.values())[n % 3])
        found = [status_of(await exchanged(port, post(buy(id=f"a{n}")), close=False)) for n in range(20)]
        closed = 0
        for reader, writer in stalled:
            # a reset is an end too
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 8) == b""
            closed += 1
            writer.close()
        return found, closed

    found, closed = with_server(work, desk, limits=Limits(headers=0.5))
    assert found == [200] * 20
    assert closed == 200
    assert len(desk.alerts) == 20


def test_i24_of_too_many_connections_the_one_that_asks_nothing_makes_room() -> None:
    async def work(port: int) -> tuple[int, bytes]:
        stalled = [await asyncio.open_connection("127.0.0.1", port) for _ in range(8)]
        await asyncio.sleep(0.05)
        status = status_of(await exchanged(port, post(), close=False))
        first = b""
        with contextlib.suppress(ConnectionError):
            first = await asyncio.wait_for(stalled[0][0].read(), 8)
        for _, writer in stalled:
            writer.close()
        return status, first

    assert with_server(work, limits=Limits(connections=8)) == (200, b"")


def test_headers_without_end_are_refused() -> None:
    async def work(port: int) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answer = b""
        with contextlib.suppress(ConnectionError):
            writer.write(b"POST /webhooks/tradingview HTTP/1.1\r\nHost: x\r\n")
            for n in range(100):
                writer.write(b"X-%d: %s\r\n" % (n, b"y" * 1000))
                await writer.drain()
                await asyncio.sleep(0)
            answer = await reader.read()
        writer.close()
        return status_of(answer)

    assert with_server(work) in (431, 0)


# I27

PLAIN = b"POST /webhooks/tradingview HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
CORPUS = {
    "length and chunks": PLAIN + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
    "chunks and length": PLAIN + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n",
    "two lengths": PLAIN + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "a signed length": PLAIN + b"Content-Length: +5\r\n\r\nhello",
    "a negative length": PLAIN + b"Content-Length: -5\r\n\r\nhello",
    "a length in hex": PLAIN + b"Content-Length: 0x5\r\n\r\nhello",
    "a list of lengths": PLAIN + b"Content-Length: 5, 5\r\n\r\nhello",
    "a giant length": PLAIN + b"Content-Length: 99999999999999999999\r\n\r\n",
    "a chunk that is none": PLAIN + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "a giant chunk": PLAIN + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    "chunked in disguise": PLAIN + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked twice": PLAIN + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked, then identity": PLAIN + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a blank before the colon": b"POST /webhooks/tradingview HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nhello",
    "a folded header": b"POST /webhooks/tradingview HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "a header without a colon": b"POST /webhooks/tradingview HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n",
    "a NUL in a header": b"POST /webhooks/tradingview HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
    "lines without CR": b"POST /webhooks/tradingview HTTP/1.1\nHost: x\nContent-Length: 0\n\n",
    "no host, HTTP/1.0": b"POST /webhooks/tradingview HTTP/1.0\r\nContent-Length: 0\r\n\r\n",
    "no host": b"POST /webhooks/tradingview HTTP/1.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "two hosts": b"POST /fine HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "an absolute address": b"GET http://evil.example/fine HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    "an absolute address without a path": b"GET http://evil.example HTTP/1.1\r\nHost: x\r\n\r\n",
    "a proxy request": b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n",
    "an asterisk": b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "an odd verb": b"BREW /webhooks/tradingview HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "a verb in small letters": b"post /webhooks/tradingview HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "a known odd verb": b"PROPFIND /webhooks/tradingview HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "HTTP/2 at once": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/3.7": b"GET /fine HTTP/3.7\r\nHost: x\r\nConnection: close\r\n\r\n",
    "TLS": bytes.fromhex("16030100a5010000a10303") + b"\x00" * 40,
    "noise": bytes(range(256)),
    "only line ends": b"\r\n\r\n\r\n",
    "a path that is no text": b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "a path with a NUL": b"GET /fine%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "an upgrade to h2c": b"GET /webhooks/tradingview HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n",
    "an upgrade to a socket": b"GET /webhooks/tradingview HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "an unknown expectation": PLAIN + b"Expect: 200-ok\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("case", CORPUS)
def test_i27_what_is_no_proper_request_is_refused_and_never_our_fault(case: str) -> None:
    desk = MemoryDesk()
    answer = answer_to(CORPUS[case] + SMUGGLED, desk, close=True, limits=QUICK)
    statuses = [int(part.split(b" ", 1)[0]) for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert all(400 <= status < 500 for status in statuses), answer
    assert not desk.alerts


# the rest of the app


def test_a13_no_trace_leaves_the_house() -> None:
    answer = answer_to(request("GET", "/broken"))
    assert status_of(answer) == 500
    assert b"Traceback" not in answer
    assert b"RuntimeError" not in answer
    assert b"somebody" not in answer


PATHS = [
    "/webhooks/../etc/passwd",
    "/webhooks/..%2f..%2fetc%2fpasswd",
    "/webhooks/%2e%2e/%2e%2e/etc/passwd",
    "/webhooks/tradingview/..%5c..%5cwindows",
    "/webhooks//etc/passwd",
    "/webhooks/tradingview/%00",
    "/webhooks/tradingview' OR 1=1--",
    "/webhooks/tradingview/'%20OR%20'1'='1",
    "/webhooks/%F0%9F%94%91/x",
    "/webhooks/tradingview/" + "x" * 4000,
    "/webhooks/",
    "/webhooks",
]


@pytest.mark.parametrize("path", PATHS)
def test_a12_a_path_is_only_ever_a_name_and_a_secret(path: str) -> None:
    desk = MemoryDesk()
    answer = answer_to(post({"ticker": "BTCUSDT", "action": "buy"}, path.replace(" ", "%20"), Connection="close"), desk, close=True)
    assert status_of(answer) in (400, 401, 404, 405)
    assert not desk.alerts


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:8080", 200),
        ("localhost:1", 200),
        ("LOCALHOST", 200),
        ("[::1]:8080", 200),
        ("desk.example", 200),
        ("desk.example:443", 200),
        ("evil.example", 400),
        ("127.0.0.1.evil.example", 400),
        ("localhost.evil.example:8080", 400),
        ("127.0.0.1@evil.example", 400),
        ("localhost:x", 400),
        ("", 400),
    ],
)
def test_the_api_is_asked_by_a_known_name_with_or_without_a_port(host: str, status: int) -> None:
    async def inside() -> bytes:
        async with served(app(hosts=["Desk.example"])) as port:
            return await exchanged(port, request("GET", "/fine", b"", {"Host": host}), close=False)

    answer = asyncio.run(inside())
    assert status_of(answer) == status
    if status == 200:
        for header in (b"x-content-type-options: nosniff", b"referrer-policy: no-referrer", b"cache-control: no-store"):
            assert header in answer
        assert b"frame-ancestors 'none'" in answer


def test_alerts_come_by_whatever_name_the_proxy_uses() -> None:
    assert status_of(answer_to(post(Host="hooks.example"))) == 200


@pytest.mark.parametrize(
    ("given", "expected"), [("a:1", "a"), ("A", "a"), ("[::1]:8", "[::1]"), ("a:b", "a:b"), ("[::1]x", "[::1]x")]
)
def test_a_port_is_no_part_of_a_name(given: str, expected: str) -> None:
    assert bare(given) == expected


def test_i22_a_flood_without_the_secret_does_not_keep_out_whoever_has_it() -> None:
    desk = MemoryDesk()
    wrong = post(buy(secret=OTHER))

    async def work(port: int) -> tuple[list[int], list[int]]:
        async def flood() -> list[int]:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            found = []
            for _ in range(100):
                writer.write(wrong)
                found.append(status_of(await one_answer(reader)))
            writer.close()
            return found

        floods = [asyncio.create_task(flood()) for _ in range(8)]
        good = [status_of(await exchanged(port, post(buy(id=f"a{n}")), close=False)) for n in range(30)]
        return good, [status for each in await asyncio.gather(*floods) for status in each]

    good, bad = with_server(work, desk)
    assert good == [200] * 30
    assert len(desk.alerts) == 30
    assert set(bad) == {401, 429}
    assert bad.count(401) <= 12


def test_stopping_lets_an_answer_under_way_be_given() -> None:
    desk = MemoryDesk()

    async def inside() -> bytes:
        desk.hold = asyncio.Event()
        async with served(app(desk)) as port:
            pending = asyncio.create_task(exchanged(port, post(buy(id="a1")), close=True))
            while not desk.asked:
                await asyncio.sleep(0.005)
            asyncio.get_running_loop().call_later(0.2, desk.hold.set)
        return await pending

    answer = asyncio.run(asyncio.wait_for(inside(), 10))
    assert b'"status":"accepted"' in answer
    assert len(desk.alerts) == 1


def test_a_port_in_use_is_one_sentence() -> None:
    taken = bound("127.0.0.1", 0)
    port = taken.getsockname()[1]
    try:
        with pytest.raises(ConfigError, match=rf"^127\.0\.0\.1:{port} is in use; .*services\.tradingview\.port"):
            bound("127.0.0.1", port)
    finally:
        taken.close()


def test_an_address_of_another_machine_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match=r"203\.0\.113\.1:0 cannot be listened on .*services\.tradingview\.host"):
        bound("203.0.113.1", 0)


def test_i21_a_secret_in_the_address_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    plain = {"ticker": "BTCUSDT.P", "action": "buy"}
    assert status_of(answer_to(post(plain, f"/webhooks/tradingview/{SECRET}"))) == 200
    assert status_of(answer_to(post(b"\xff", f"/webhooks/tradingview/{SECRET}?{SECRET}"))) == 415
    answer_to(b"POST /webhooks/tradingview/" + SECRET.encode() + b" NONSENSE\r\n\r\n", close=True)
    assert SECRET not in caplog.text


def test_many_alerts_sent_twice_at_once_are_each_taken_in_once() -> None:
    desk = MemoryDesk()

    async def work(port: int) -> list[bytes]:
        async def sender(keys: list[str]) -> list[bytes]:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            found = []
            for key in keys:
                writer.write(post(buy(id=key)))
                found.append(await one_answer(reader))
            writer.close()
            return found

        keys = [f"a{n}" for n in range(400)]
        return [answer for each in await asyncio.gather(*(sender(keys[n % 4 :: 4]) for n in range(8))) for answer in each]

    answers = with_server(work, desk)
    assert len(answers) == 800
    assert sum(b'"accepted"' in a for a in answers) == sum(b'"duplicate"' in a for a in answers) == 400
    assert sorted(a.request.key for a in desk.alerts) == sorted(f"a{n}" for n in range(400))
    assert SECRET not in "".join(a.body for a in desk.alerts)
