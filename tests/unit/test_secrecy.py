"""Secrets in logs, errors and files: known values in every spelling, and the values of telling keys."""

from __future__ import annotations

import base64
import io
import json
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enigma_core import secrecy
from enigma_core.cli import trouble
from enigma_core.config import load, resolve
from enigma_core.plugins import Catalogue
from enigma_core.secrecy import RedactingFormatter, Secrets, guard_logging

CANARY = 'canary/+"ü\\&=?-7f3a9c'


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> Secrets:
    """The registry, empty: nothing stays known to the tests after it."""
    monkeypatch.setattr(secrecy._SECRETS, "_forms", ())
    return secrecy._SECRETS


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the root logger's one handler writes, guarded."""
    root, written = logging.getLogger(), io.StringIO()
    before, level = root.handlers[:], root.level
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    root.handlers[:], root.level = [handler], logging.DEBUG
    guard_logging()
    yield written
    root.handlers[:], root.level = before, level


@pytest.mark.parametrize(
    "spelt",
    [
        CANARY,
        quote(CANARY),
        quote(CANARY, safe=""),
        quote(CANARY, safe="").lower(),
        urlencode({"q": CANARY}).partition("=")[2],
        json.dumps(CANARY),
        json.dumps(CANARY, ensure_ascii=False),
        json.dumps(json.dumps({"inner": CANARY})),
        repr(CANARY),
        repr(CANARY.encode()),
        base64.b64encode(CANARY.encode()).decode(),
        base64.urlsafe_b64encode(CANARY.encode()).decode(),
        base64.b64encode(b"user:" + CANARY.encode()).decode(),
        base64.b64encode(b"a" + CANARY.encode() + b"z").decode(),
    ],
)
def test_i21_known_value_is_found_in_every_spelling(secrets: Secrets, spelt: str) -> None:
    secrets.hide(CANARY)
    clean = secrets.redacted(f"before {spelt} after")
    assert clean.startswith("before ")
    assert clean.endswith(" after")
    assert "***" in clean
    assert "7f3a9c" not in clean
    middle = clean.removeprefix("before ").removesuffix(" after")
    assert len(middle.replace("***", "")) < 20, "of base64, only the ends that belong to what stands beside may be left"


@given(st.text(min_size=6, max_size=40).filter(lambda s: len(s.strip()) >= 6), st.text(max_size=60), st.text(max_size=60))
def test_i21_whatever_is_hidden_is_nowhere_in_what_is_left(value: str, before: str, after: str) -> None:
    own = Secrets()
    own.hide(value)
    once = own.redacted(before + value + after)
    assert "***" in once
    if not set(value) <= set("*"):
        assert value not in once.replace("***", "\0")


def test_overlapping_secrets_leave_no_piece_of_either() -> None:
    own = Secrets()
    own.hide("abcdef123")
    own.hide("xyzabcdef")
    assert own.redacted("<xyzabcdef123>") == "<***>"


def test_short_values_are_ordinary_words(secrets: Secrets) -> None:
    secrets.hide("BTC")
    secrets.hide("")
    assert secrets.redacted("BTC long") == "BTC long"


def test_each_line_of_a_long_secret_is_hidden(secrets: Secrets) -> None:
    secrets.hide("first line of it\nsecond line of it")
    assert secrets.redacted("x second line of it x") == "x *** x"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("token=abc&x=1", "token=***&x=1"),
        ("https://h/p?api_key=abc&x=1", "https://h/p?api_key=***&x=1"),
        ('{"secret": "a\\"b", "x": 1}', '{"secret": "***", "x": 1}'),
        ("{'apiKey': 'abc', 'x': 1}", "{'apiKey': '***', 'x': 1}"),
        ('"{\\"token\\": \\"abc\\", \\"x\\": 1}"', '"{\\"token\\": \\"***\\", \\"x\\": 1}"'),
        ('{"pin": 1, "secret": 123456}', '{"pin": 1, "secret": ***}'),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: ***"),
        ("Cookie: a=b; c=d\nHost: x", "Cookie: ***\nHost: x"),
        ("KC-API-SIGN: abc=", "KC-API-SIGN: ***"),
        ("{'KC-API-KEY': 'abc', 'KC-API-SIGN': b'de'}", "{'KC-API-KEY': '***', 'KC-API-SIGN': b'***'}"),
        ("Venue(apiKey='abc', uid=5)", "Venue(apiKey='***', uid=5)"),
        ("password: hunter2", "password: ***"),
        ("authorization=Bearer abc.def", "authorization=***"),
        ("webhook-signature=v1,abc", "webhook-signature=***,abc"),
    ],
)
def test_i21_values_of_telling_keys_are_masked_unknown_as_they_are(text: str, clean: str) -> None:
    assert secrecy.redacted(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "SIGNAL=BUY; signals on 30m: 5",
        "gates.score passes: 66 >= 65, passed=True",
        "KeyError: 'BTC'",
        "line 3, column 9: unexpected token: } where a value was expected",
        "monkey=1 keyboard=2 tokens_left",
        'is a secret and must not stand here; refer to it: {"env": "TOKEN"}',
        "assignment=3 design=4 compass=5",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    assert secrecy.redacted(text) == text


@pytest.mark.parametrize("piece", ["a_", "a.", "token", "token=", '"', "\\", "'key': ", '"secret":"', "Cookie:", "aA", "Key"])
def test_no_text_takes_long(secrets: Secrets, piece: str) -> None:
    secrets.hide("a_a_a_a_a_")
    began = time.process_time()
    secrets.redacted(piece * (60_000 // len(piece)))
    assert time.process_time() - began < 2


def test_i21_canary_is_in_no_log_record(secrets: Secrets, log: io.StringIO) -> None:
    secrets.hide(CANARY)
    logger = logging.getLogger("enigma.test")
    logger.warning("plain " + CANARY)
    logger.warning("argument %s and %r", CANARY, {"x": CANARY})
    logger.warning("arguments %d that do not fit", CANARY)
    try:
        raise ValueError(CANARY)
    except ValueError as error:
        logger.exception("raised %s", error)
        logger.error("raised", exc_info=error)
    logger.warning("stack", stack_info=True)
    text = log.getvalue()
    assert text.count("***") >= 7
    assert "Traceback" in text
    assert "7f3a9c" not in text


def test_i21_record_itself_is_clean_for_handlers_that_do_not_format(secrets: Secrets, log: io.StringIO) -> None:
    secrets.hide(CANARY)
    kept: list[logging.LogRecord] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.append(record)

    logging.getLogger().addHandler(Keeping())
    guard_logging()
    try:
        raise ValueError(CANARY)
    except ValueError:
        logging.getLogger("x").exception("of %s", CANARY, extra={"place": CANARY})
    (record,) = kept
    assert (record.getMessage(), record.args, record.place) == ("of ***", None, "***")  # type: ignore[attr-defined]
    assert record.exc_text is not None
    assert "7f3a9c" not in record.exc_text


def test_records_without_secrets_keep_their_arguments(log: io.StringIO) -> None:
    kept: list[logging.LogRecord] = []

    def keep(record: logging.LogRecord) -> bool:
        kept.append(record)
        return True

    logging.getLogger().handlers[0].addFilter(keep)
    logging.getLogger("x").warning("%s and %d", "this", 5)
    assert kept[0].args == ("this", 5)
    assert log.getvalue() == "WARNING x: this and 5\n"


def test_guarding_twice_is_guarding_once(log: io.StringIO) -> None:
    handler = logging.getLogger().handlers[0]
    filters, formatter = handler.filters[:], handler.formatter
    guard_logging()
    assert (handler.filters, handler.formatter) == (filters, formatter)
    assert isinstance(handler.formatter, RedactingFormatter)


@pytest.mark.parametrize("name", ["ccxt", "httpx", "httpcore", "urllib3", "apprise", "uvicorn.access"])
def test_i21_talkative_libraries_are_quiet_at_any_verbosity(log: io.StringIO, name: str) -> None:
    logging.getLogger(name).debug("GET /webhooks/tradingview/abc")
    logging.getLogger(name).info("GET /webhooks/tradingview/abc")
    assert log.getvalue() == ""


def test_i21_canary_is_not_in_what_is_said_of_trouble(secrets: Secrets, capsys: pytest.CaptureFixture[str]) -> None:
    secrets.hide(CANARY)
    try:
        raise ValueError(CANARY)
    except ValueError as error:
        trouble.say(f"it was {CANARY}", error)
        trouble.defect(error, verbose=True)
    told = capsys.readouterr().err
    assert told.count("***") >= 4
    assert "7f3a9c" not in told


def test_i21_canary_is_not_in_the_file_of_a_defect(
    secrets: Secrets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENIGMA_HOME", str(tmp_path))
    secrets.hide(CANARY)
    try:
        raise ValueError(CANARY)
    except ValueError as error:
        trouble.defect(error, verbose=False)
    (file,) = (tmp_path / "logs").iterdir()
    assert "ValueError: ***" in file.read_text()
    assert "7f3a9c" not in file.read_text() + capsys.readouterr().err


def test_i21_what_a_setting_refers_to_is_known_from_then_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("strategies").mkdir()
    Path("strategies/pager.py").write_text(
        "from enigma_core.hookspecs import hookimpl\n"
        "from enigma_core.parts import Notifier\n\n\n"
        "class Pager(Notifier, frozen=True, kw_only=True):\n"
        '    """Secretive."""\n\n'
        '    name = "pager"\n'
        '    token: str = ""\n\n\n'
        "@hookimpl\n"
        "def enigma_notifiers():\n"
        "    yield Pager\n"
    )
    Path("strategy_config.json").write_text('{"notifiers": {"pager": {"token": {"env": "PAGER"}}}}')
    catalogue = Catalogue.load([Path("strategies")])
    plan = resolve(load(env={"PAGER": "canary-7f3a9c"}), catalogue)
    assert plan.notifiers["pager"].token == "canary-7f3a9c"  # type: ignore[attr-defined]
    assert secrecy.redacted("it is canary-7f3a9c") == "it is ***"


def test_stderr_of_the_command_is_guarded(secrets: Secrets, monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    monkeypatch.setattr(sys, "stderr", said := io.StringIO())
    secrets.hide(CANARY)
    try:
        trouble.log_to_stderr(2)
        logging.getLogger("enigma.x").debug("with %s", CANARY)
    finally:
        root.handlers[:], root.level = before, level
        logging.captureWarnings(False)
    assert said.getvalue() == "DEBUG enigma.x: with ***\n"
