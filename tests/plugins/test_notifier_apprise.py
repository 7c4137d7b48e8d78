"""Notes by apprise: few messages, nothing in them that acts, nowhere they must not go."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from enigma_core import secrecy
from enigma_core.errors import ConfigError, EnigmaError
from enigma_core.parts import Note
from enigma_core.shells.notes import Notes
from enigma_core.testing import check
from enigma_plugins.notifiers import _channel, _text
from enigma_plugins.notifiers._sending import Aside, Undelivered
from enigma_plugins.notifiers.apprise import Apprise

TELEGRAM = "tgram://123456789:abcdefg_hijklmnop/12315544/"
DISCORD = "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"
SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general"
NOON = 1_735_819_200_000  # 2025-01-02 12:00 UTC


@pytest.fixture(autouse=True)
def _known_to_this_test_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrecy._SECRETS, "_forms", ())


class Sink(SimpleNamespace):
    """A local HTTP server: what it was sent, and what it answers with."""

    port: int
    got: list[dict[str, Any]]
    answers: list[bytes]

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/hook"


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
REFUSED = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@asynccontextmanager
async def sink(*answers: bytes) -> AsyncIterator[Sink]:
    told = Sink(got=[], answers=list(answers), port=0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(int(line.partition(":")[2]) for line in head.splitlines() if line.lower().startswith("content-length"))
        body = json.loads(await reader.readexactly(length))
        told.got.append({"path": head.split()[1], **body})
        writer.write(told.answers.pop(0) if told.answers else OK)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    told.port = server.sockets[0].getsockname()[1]
    async with server:
        yield told


@asynccontextmanager
async def black_hole() -> AsyncIterator[int]:
    """A server that takes the connection and never says a word."""
    held: list[asyncio.StreamWriter] = []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in held:
            writer.close()


def open_(url: str, **settings: Any) -> Apprise:
    return Apprise(urls=(url,), **{"private_addresses": True, **settings})


def note(event: str = "entry", title: str = "BTC/USDT:USDT long", text: str = "24 contracts at 6x", minute: int = 0) -> Note:
    return Note(NOON + 60_000 * minute, event, title, text)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.005)


# what goes out


def test_note_arrives_as_one_line() -> None:
    async def work() -> dict[str, Any]:
        async with sink() as server:
            await open_(server.url).send(note())
            return server.got[0]

    got = asyncio.run(work())
    assert got["title"] == "Miniature Enigma: entry"
    assert got["message"] == "01-02 12:00 entry: BTC/USDT:USDT long - 24 contracts at 6x"
    assert got["type"] == "info"


def test_notes_of_a_run_arrive_together_and_the_critical_at_once() -> None:
    async def work() -> list[dict[str, Any]]:
        async with sink() as server:
            notes = Notes({"apprise": open_(server.url, group=0.3, events={"exit": "off"})})
            for minute in range(3):
                notes.tell(note(minute=minute))
                notes.tell(note("exit", minute=minute))
            await until(lambda: len(server.got) == 1)
            notes.tell(note("halted", "trading is halted", "drawdown"))
            await until(lambda: len(server.got) == 2)
            notes.tell(note(minute=9))
            await notes.close()
            return server.got

    first, second, third = asyncio.run(work())
    assert first["message"].splitlines() == [
        f"01-02 12:0{minute} entry: BTC/USDT:USDT long - 24 contracts at 6x" for minute in range(3)
    ]
    assert (second["type"], second["message"]) == ("warning", "01-02 12:00 halted: trading is halted - drawdown")
    assert third["message"].startswith("01-02 12:09 entry")


def test_many_notes_are_a_digest_with_the_newest_lines() -> None:
    notes = [note("entry", minute=m) for m in range(20)] + [note("exit", minute=20 + m) for m in range(20)]
    notes += [note("alert_refused", "refused", "422", minute=40 + m) for m in range(2)]
    lines = _text.body(notes, {"day": 7}).splitlines()
    assert lines[0] == "37 more: 20 entries, 10 exits, 7 new days"
    assert len(lines) == 1 + _text.LINES
    assert lines[-1].startswith("01-02 12:41 refused")


@given(
    st.lists(
        st.builds(
            note, st.sampled_from(["entry", "exit", "own", "halted", "=cmd()"]), st.text(max_size=300), st.text(max_size=300)
        ),
        max_size=60,
    ),
    st.dictionaries(st.text(max_size=50), st.integers(1, 50), max_size=40),
    st.integers(60, 4000),
    st.booleans(),
)
def test_i30_message_fits_counts_everything_and_has_a_line_a_note(
    notes: list[Note], missed: dict[str, int], room: int, markdown: bool
) -> None:
    made = _text.body(notes, missed, room=room, markdown=markdown)
    lines = made.splitlines()
    assert len(made) <= min(room, _text.MESSAGE)
    assert len(lines) <= 1 + _text.LINES
    more = int(lines[0].split()[0]) if lines and " more" in lines[0] and not lines[0].startswith("01-02") else 0
    assert more + len(lines) - bool(more) == len(notes) + sum(missed.values())
    assert not any(line.startswith(("=", "+", "-", "@", "\t", "/")) for line in lines)


MARKUP = {
    "mentions": "@everyone @here <@1234> <!channel> <users/all> @**all**",
    "html": '<script>alert(1)</script><b>x</b><img src="http://evil/x.png">&lt;i&gt;',
    "markdown": "[win](https://evil.example) ![x](http://evil/t.gif) **b** `c` ~~s~~ ||sp|| > q # h",
    "lines": "one\ntwo\r\nthree\u2028four\x0bfive\x00six\x1b[31mred",
    "csv": '=HYPERLINK("http://evil","x")',
    "templates": "{{secret}} ${HOME}",
    "direction": "abc\u202ecba\u200bx",
}

PLAIN = {
    "mentions": "@\u200beveryone @\u200bhere <\u200b@\u200b1234> <\u200b!channel> <\u200busers/all> @\u200b**all**",
    "html": '<\u200bscript>alert(1)<\u200b/script><\u200bb>x<\u200b/b><\u200bimg src="http:\u200b//evil/x.png">&lt;i&gt;',
    "markdown": "[win]\u200b(https:\u200b//evil.example) ![x]\u200b(http:\u200b//evil/t.gif) **b** `c` ~~s~~ ||sp|| > q # h",
    "lines": "one two three four five six [31mred",
    "csv": '=HYPERLINK("http:\u200b//evil","x")',
    "templates": "{\u200b{secret}} $\u200b{HOME}",
    "direction": "abc cba x",
}


@pytest.mark.parametrize("kind", MARKUP)
def test_i30_markup_is_only_text_where_plain_text_is_sent(kind: str) -> None:
    assert _text.body([note(title=MARKUP[kind], text="")], {}) == f"01-02 12:00 entry: {PLAIN[kind]}"


def posted(url: str, title: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is posted to the service of `url` for a note of this title."""
    seen: list[Any] = []

    class Answer:
        status_code, text = requests.codes.ok, '{"ok": true}'
        content = b"ok" if url is SLACK else b'{"ok": true, "result": []}'
        headers: Mapping[str, str] = {}

    def request(*_: Any, **given: Any) -> Answer:
        assert given["allow_redirects"] is False
        seen.append(given.get("data") or given.get("json"))
        return Answer()

    monkeypatch.setattr(requests.Session, "request", request)
    asyncio.run(open_(url, private_addresses=False).send(note(title=title, text="")))
    (sent,) = seen
    body = json.loads(sent) if isinstance(sent, str) else sent
    text = body.get("text") or body.get("content") or body["attachments"][0]["text"]
    return str(text).partition("entry: ")[2]


@pytest.mark.parametrize("kind", ["mentions", "html", "markdown"])
def test_i30_telegram_gets_no_tag_and_no_mention(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = posted(TELEGRAM, MARKUP[kind], monkeypatch)
    assert "<" not in text.replace("\r\n", "")
    assert "@e" not in text
    assert "http://" not in text
    assert "https://" not in text
    if kind == "html":
        assert text.startswith("&lt;\u200bscript&gt;alert(1)&lt;\u200b/script&gt;")


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("mentions", r"@​everyone @​here <​@​1234\> <​!channel\> <​users/all\> @​\*\*all\*\*"),
        ("markdown", r"\[win\]\(https:​//evil.example\) !\[x\]\(http:​//evil/t.gif\) \*\*b\*\* \`c\` \~\~s\~\~ \|\|sp\|\| \> q \# h"),
    ],
)
def test_i30_discord_shows_markdown_as_it_was_written(kind: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert posted(DISCORD, MARKUP[kind], monkeypatch) == told


def test_i30_slack_gets_no_channel_mention_and_no_link(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "<" not in posted(SLACK, MARKUP["mentions"], monkeypatch)
    assert "](" not in posted(SLACK, MARKUP["markdown"], monkeypatch)


# silence


@pytest.mark.parametrize(
    ("url", "attribute", "loud", "quiet"),
    [
        (TELEGRAM, "silent", False, True),
        (DISCORD, "flags", None, 4096),
        ("ntfy://a-topic-of-mine", "priority", "default", "low"),
        ("gotifys://push.example.com/tokentoken", "priority", 5, 3),
        ("pover://uuuuuuuuuuuuuuuuuuuuuuuuuuuuuu@tttttttttttttttttttttttttttttt", "priority", 0, -1),
        ("matrixs://user:password@matrix.example.com/#room", "msgtype", "text", "notice"),
        ("jsons://hook.example.com/x", "method", "POST", "POST"),
    ],
)
def test_silent_notes_ask_the_service_for_silence(url: str, attribute: str, loud: Any, quiet: Any) -> None:
    (channel,) = open_(url).channels().values()
    assert getattr(channel._service(silent=False), attribute) == loud
    assert getattr(channel._service(silent=True), attribute) == quiet


def test_every_service_that_is_known_to_be_quiet_exists() -> None:
    plugins = {plugin.__name__ for plugin in _channel._library().plugins.N_MGR.plugins()}
    assert {*_channel.QUIET, *_channel.READS_MARKDOWN} <= plugins


def test_message_is_silent_only_if_all_in_it_is() -> None:
    async def work(*events: str) -> bool:
        (channel,) = open_("jsons://hook.example.com/x", events={"own": "silent"}).channels().values()
        asked: list[bool] = []
        channel._post = lambda notes, missed, silent: asked.append(silent)  # type: ignore[method-assign]
        await channel.send_all([note(event) for event in events], {})
        return asked[0]

    assert asyncio.run(work("own", "day"))
    assert not asyncio.run(work("own", "entry"))


def test_events_that_nobody_has_named_are_on() -> None:
    (channel,) = open_("jsons://hook.example.com/x", events={"exit": "off", "day": "on"}).channels().values()
    assert [channel.wants(event) for event in ("entry", "exit", "day", "never_heard_of")] == [True, False, True, True]


# where to


REFUSED_URLS = [
    "jsons://127.0.0.1/x",
    "jsons://127.0.0.1:8443/x",
    "jsons://user:pass@127.9.9.9/x",
    "jsons://localhost/x",
    "jsons://localhost./x",
    "jsons://LOCALHOST/x",
    "jsons://api.localhost/x",
    "jsons://printer.local/x",
    "jsons://router/x",
    "jsons://metadata.google.internal/x",
    "jsons://0.0.0.0/x",
    "jsons://10.0.0.1/x",
    "jsons://172.16.5.4/x",
    "jsons://192.168.1.1/x",
    "jsons://169.254.169.254/latest/meta-data",
    "jsons://100.64.0.1/x",
    "jsons://224.0.0.1/x",
    "jsons://255.255.255.255/x",
    "jsons://0x7f000001/x",
    "jsons://2130706433/x",
    "jsons://[::1]/x",
    "jsons://[::]/x",
    "jsons://[::ffff:127.0.0.1]/x",
    "jsons://[::ffff:7f00:1]/x",
    "jsons://[::127.0.0.1]/x",
    "jsons://[64:ff9b::7f00:1]/x",
    "jsons://[2002:7f00:1::]/x",
    "jsons://[fe80::1]/x",
    "jsons://[fd00::1]/x",
    "jsons://example.com:80@127.0.0.1/x",
    "xmls://127.0.0.1/x",
    "forms://127.0.0.1/x",
    "gotifys://192.168.0.4/tokentoken",
    "ntfys://10.1.1.1/topic",
    "apprises://172.17.0.1/token",
    "mailtos://user:password@example.com?smtp=127.0.0.1",
    "matrixs://user:password@localhost/#room",
    "mmosts://10.0.0.9/tokentoken3412",
    "jsons://hook.example.com/x?logo=http://127.0.0.1/a",
    "jsons://hook.example.com/x?logo=http%3A%2F%2Fu%3Ap%40169.254.169.254%3A80%2Fa",
    "jsons://hook.example.com/x?a=b&key=https://[::1]:8080/a",
    "json://example.com/x",
    "xml://example.com/x",
    "form://example.com/x",
    "gotify://example.com/tokentoken",
    "ntfy://ntfy.example.com/topic",
    "json://8.8.8.8/x",
]


@pytest.mark.parametrize("url", REFUSED_URLS)
def test_a14_private_and_unencrypted_addresses_are_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_(url, private_addresses=False)
    told = str(caught.value)
    assert "set private_addresses to true" in told
    assert "no public address" in told or "not encrypted: write " in told
    assert url not in told
    assert "token" not in told
    assert "password" not in told


@pytest.mark.parametrize("url", ["json://127.1/x", "jsons://①②⑦.0.0.1/x", "http://127.0.0.1/", "file:///etc/passwd", "gopher://x"])
def test_a14_what_apprise_cannot_read_is_refused_too(url: str) -> None:
    with pytest.raises(ConfigError, match="address that apprise cannot read"):
        open_(url)


@pytest.mark.parametrize(
    "url",
    [
        TELEGRAM,
        DISCORD,
        SLACK,
        "https://discord.com/api/webhooks/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
        "mailto://user:password@gmail.com",
        "mailtos://user:password@example.com",
        "ntfy://a-topic-of-mine",
        "jsons://hook.example.com/x",
        "jsons://8.8.8.8/x",
        "jsons://hook.example.com/x?logo=https://www.example.com/a.png",
        "jsons://[2606:4700:4700::1111]/x",
    ],
)
def test_public_addresses_are_taken(url: str) -> None:
    assert len(open_(url, private_addresses=False).channels()) == 1


def test_every_address_in_the_guide_is_one() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "notifications.md").read_text(encoding="utf-8")
    found = [url for line in guide.splitlines() if line.startswith("|") for url in re.findall(r"`([a-z]+://[^`]+)`", line)]
    examples = {
        "BOT_TOKEN/CHAT_ID": "123456789:AbCdEfGhIjKlMnOpQrStUvWxYz/987654321",
        "services/...": "services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        "webhooks/...": "webhooks/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
        "TOKEN_A/TOKEN_B/TOKEN_C": "T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        "USER_KEY@TOKEN": "u" * 30 + "@" + "t" * 30,
        "HOST": "push.example.com",
    }
    for place, example in examples.items():
        found = [url.replace(place, example) for url in found]
    assert len(found) >= 12
    for url in found:
        assert len(open_(url, private_addresses=False).channels()) == 1, url


def test_a14_private_addresses_are_taken_where_the_user_says_so() -> None:
    assert list(open_("json://127.0.0.1:8080/x").channels()) == ["JSON at 127.0.0.1"]


def test_a14_name_that_has_come_to_lead_to_a_private_address_is_not_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def looked_up(host: str, *_: Any, flags: int = 0, **__: Any) -> list[Any]:
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror
        return [(0, 0, 0, "", ("93.184.215.14", 0)), (0, 0, 0, "", ("169.254.169.254", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    monkeypatch.setattr(requests.Session, "request", lambda *a, **k: pytest.fail("it was written to"))
    with pytest.raises(EnigmaError, match=r"hook.example.com leads to 169.254.169.254, which is no public address; nothing"):
        asyncio.run(open_("jsons://hook.example.com/x", private_addresses=False).send(note()))


@pytest.mark.parametrize("asked", ["", "?redirect=yes"])
def test_a14_redirects_are_not_followed(asked: str) -> None:
    async def work() -> tuple[int, str]:
        async with sink() as elsewhere:
            away = (
                f"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:{elsewhere.port}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            async with sink(away.encode()) as server:
                with pytest.raises(EnigmaError) as caught:
                    await open_(server.url + asked).send(note())
                return len(elsewhere.got), str(caught.value)

    count, told = asyncio.run(work())
    assert count == 0
    assert told.startswith("JSON at 127.0.0.1 did not take it")


# failures


def test_address_that_says_it_is_optional_fails_all_the_same() -> None:
    async def work() -> None:
        async with sink(REFUSED) as server:
            await open_(f"{server.url}?optional=yes&retry=5").send(note())

    with pytest.raises(EnigmaError, match=r"JSON at 127.0.0.1 did not take it"):
        asyncio.run(work())


def test_failed_message_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enigma_core.shells.courier.PAUSES", (0.01, 0.01))

    async def work() -> list[dict[str, Any]]:
        async with sink(REFUSED, REFUSED) as server:
            notes = Notes({"apprise": open_(server.url, group=0)})
            notes.tell(note())
            await until(lambda: len(server.got) == 3)
            await notes.close()
            return server.got

    assert len({got["message"] for got in asyncio.run(work())}) == 1


def test_two_addresses_fail_and_succeed_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enigma_core.shells.courier.PAUSES", (0.01, 0.01))

    async def work() -> tuple[int, int]:
        async with sink(REFUSED) as broken, sink() as sound:
            part = Apprise(urls=(f"{broken.url}, {sound.url}",), private_addresses=True, group=0)
            assert list(part.channels()) == ["JSON at 127.0.0.1", "JSON at 127.0.0.1 (2)"]
            notes = Notes({"apprise": part})
            notes.tell(note())
            await until(lambda: len(broken.got) == 2 and len(sound.got) == 1)
            await notes.close()
            return len(broken.got), len(sound.got)

    assert asyncio.run(work()) == (2, 1)


def test_p16_black_hole_neither_delays_a_note_nor_the_end_nor_the_loop() -> None:
    async def work() -> tuple[float, float, float]:
        async with black_hole() as port:
            notes = Notes({"apprise": open_(f"json://127.0.0.1:{port}/x?rto=60", group=0)})
            began = time.perf_counter()
            for minute in range(2_000):
                notes.tell(note("halted" if minute % 3 else "entry", minute=minute))
            telling = time.perf_counter() - began
            worst, beat = 0.0, time.perf_counter()
            for _ in range(60):
                await asyncio.sleep(0.005)
                worst, beat = max(worst, time.perf_counter() - beat - 0.005), time.perf_counter()
            began = time.perf_counter()
            await notes.close(0.3)
            return telling, worst, time.perf_counter() - began

    telling, worst, ending = asyncio.run(work())
    assert telling < 5
    assert worst < 2
    assert ending < 3
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "notification")


def test_p16_call_that_hangs_is_given_up_and_few_hang_at_once() -> None:
    release = threading.Event()

    async def work() -> list[str]:
        aside, told = Aside(most=2), []
        for _ in range(4):
            try:
                await aside.run(release.wait, 0.02)
            except Undelivered as fault:
                told.append(str(fault))
        release.set()
        await until(lambda: not any(thread.is_alive() for thread in aside._running))
        assert await aside.run(lambda: 5, 5) == 5
        return told

    assert asyncio.run(work()) == [*["no answer within 0.02 s"] * 2, *["2 earlier messages are still on their way"] * 2]


def test_call_that_ends_after_the_loop_harms_nobody() -> None:
    release, aside = threading.Event(), Aside()
    with pytest.raises(Undelivered):
        asyncio.run(aside.run(release.wait, 0.01))
    (thread,) = aside._running
    release.set()
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.parametrize("raised", [SystemExit(3), OSError("gone"), KeyboardInterrupt()])
def test_whatever_a_service_raises_comes_back_as_an_exception(raised: BaseException) -> None:
    def work() -> None:
        raise raised

    with pytest.raises((Undelivered, OSError)):
        asyncio.run(Aside().run(work, 5))


# secrets


def test_i21_address_is_in_no_sentence_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> str:
        async with sink(REFUSED) as server:
            url = f"json://user:canarypass@127.0.0.1:{server.port}/canary-path-7f3a9c00/?+X-Key=canaryheader"
            with caplog.at_level(logging.DEBUG), pytest.raises(EnigmaError) as caught:
                await open_(url).send(note())
            return str(caught.value)

    told = asyncio.run(work())
    logged = "\n".join(logging.Formatter().format(record) for record in caplog.records)
    assert "canary" not in told
    assert "canary" not in secrecy.redacted(logged)


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        (TELEGRAM, ["123456789:abcdefg_hijklmnop", "abcdefg_hijklmnop"]),
        (DISCORD, ["JHMHI8qBe7bk2ZwO5U711o3dV_js", "4174216298"]),
        ("https://discord.com/api/webhooks/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", ["JHMHI8qBe7bk2ZwO5U711o3dV_js"]),
        ("mailto://user:hunter22@gmail.com", ["hunter22"]),
        ("jsons://hook.example.com/1234567890abcdef/x?+Authorization=s3cr3t-header", ["1234567890abcdef", "s3cr3t-header"]),
        ("ntfy://a-topic-of-mine", ["a-topic-of-mine"]),
        ("gotifys://push.example.com/tokentoken", ["tokentoken"]),
        ("betterstack://canarytoken7f3a9c", ["canarytoken7f3a9c"]),
        ("jsons://user:hunter22@hook.example.com:8443/x", ["hunter22"]),
    ],
)
def test_i21_pieces_of_an_address_are_known_to_be_secret(url: str, secrets: list[str]) -> None:
    label = next(iter(open_(url).channels()))
    for secret in (url, *secrets):
        assert secret not in secrecy.redacted(f"it failed: {secret} :")
        assert secret not in label
    words = "discord telegram webhooks /webhooks/tradingview gmail.com hook.example.com overflow upstream optional"
    assert secrecy.redacted(words) == words


# settings


def test_several_addresses_in_one_text() -> None:
    part = Apprise(urls=(f" {TELEGRAM},\n {DISCORD}?avatar=no,jsons://a.example.com/b,c;", "ntfy://a-topic-of-mine"))
    assert list(part.channels()) == ["Telegram", "Discord", "JSON at a.example.com", "ntfy"]


@pytest.mark.parametrize("text", ["", "  ", "hunter2", "secret://", "tgram://", "tgram://canary", "://canary", "jsons://"])
def test_address_that_is_none_is_told_without_showing_it(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Apprise(urls=(text,))
    assert str(caught.value).startswith("urls holds ")
    assert "canary" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_configured_notifier_keeps_the_contract() -> None:
    assert check(Apprise(urls=(TELEGRAM,), events={"entry": "silent"})) == []


@pytest.mark.parametrize(
    "settings", [{"limit": 0}, {"limit": 61}, {"group": -1}, {"events": {"entry": "loud"}}, {"urls": TELEGRAM}]
)
def test_settings_have_limits(settings: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"urls": [TELEGRAM], **settings}, Apprise)


def test_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(importlib.import_module("sys").modules, "apprise", None)
    with pytest.raises(ConfigError, match="needs the library apprise: pip install apprise"):
        Apprise(urls=(TELEGRAM,))


def test_without_an_address_it_says_so_when_it_is_to_be_used() -> None:
    with pytest.raises(ConfigError, match="urls holds no address"):
        Apprise().channels()
