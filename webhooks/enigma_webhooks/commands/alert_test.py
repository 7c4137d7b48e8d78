"""`enigma alert test`: what the running engine would do with a message, gate by gate. Nothing is traded."""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import rich_click as click
from click.exceptions import Exit

from enigma_core.alert import Mode
from enigma_core.cli import options
from enigma_core.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from enigma_webhooks.alerts import Reading

PATH = "/api/v1/signal-test"
CONFIG = "/api/v1/config"
PATIENCE = 10.0
"""Seconds."""

MOST = 1_000_000
"""Bytes of an answer."""


@click.command("test")
@click.argument("file", metavar="FILE|-")
@click.option("--mode", type=click.Choice(get_args(Mode)), help="How it would enter. [default: as the run has it]")
@options.json_option
@options.home_option
def test(file: str, mode: str | None, as_json: bool, home: str | None) -> None:
    """Ask the running engine what it would do with the message in FILE, or on standard input (-). Nothing is traded.

    Exits with 1 where the door would refuse the message.
    """
    from enigma_webhooks.alerts import read
    from enigma_webhooks.commands._kept import run_folder
    from enigma_webhooks.commands._server import credential, listening, started
    from enigma_webhooks.front.credentials import API

    message = _message(file)
    folder = run_folder(home)
    url = listening(folder)
    if url is None:
        raise started(folder)
    token = credential(API, folder)
    if token is None:
        raise ConfigError(
            f"there is no API token in {folder / API.file}: put that of the engine into {API.variable} or {API.variable}_FILE"
        )
    service = _service(asked(url + CONFIG, token.value, None, token.where))
    readings = read(message)
    tests = at_the_door(readings, service, time.time_ns() // 1_000_000)
    if not all(tests):
        question = {"message": message, "mode": mode or service.get("mode") or "trigger"}
        told = asked(url + PATH, token.value, question, token.where).get("tests")
        if not isinstance(told, list) or len(told) != len(tests):
            raise ConfigError(f"what answers at {url} is no engine of this version")
        tests = [mine or other for mine, other in zip(tests, told, strict=True)]
    if as_json:
        click.echo(json.dumps({"tests": tests}, indent=2, ensure_ascii=False))
    else:
        from enigma_core.cli.display import console

        out = console()
        for n, one in enumerate(tests):
            if n:
                out.rule(style="dim")
            _show(out, one or {})
        out.print("Nothing was traded.", style="dim")
    if any(one is not None and one["outcome"] == "rejected" for one in tests):
        raise Exit(1)


def _service(tree: dict[str, Any]) -> dict[str, Any]:
    """The settings of the service, as far as the run tells them."""
    services = tree.get("services")
    found = services.get("tradingview") if isinstance(services, dict) else None
    return found if isinstance(found, dict) else {}


def at_the_door(readings: Sequence[Reading], service: dict[str, Any], now: int) -> list[dict[str, Any] | None]:
    """What becomes of each order before any gate is asked, None where it is for the engine to say. `now` is the wall's, ms.

    The door takes all orders of a message or none; where one of them halts, the others come to nothing.
    """
    found = [_at_the_door(reading, service, now) for reading in readings]
    named = [(reading, *(word or ("", ""))) for reading, word in zip(readings, found, strict=True)]
    if any(outcome == "rejected" for _, outcome, _ in named):
        fallen = "another order of this message is refused, and with it all of them"
        named = [(r, outcome, why) if outcome == "rejected" else (r, "rejected", fallen) for r, outcome, why in named]
    elif any(outcome == "halted" for _, outcome, _ in named):
        named = [(r, outcome or "refused", why or "this message halts trading") for r, outcome, why in named]
    return [
        {"symbol": r.symbol, "outcome": outcome, "reason": why, "warnings": list(r.warnings), "decision": None} if outcome else None
        for r, outcome, why in named
    ]


def _at_the_door(reading: Reading, service: dict[str, Any], now: int) -> tuple[str, str] | None:
    from enigma_webhooks.front.receiver import MOST_AHEAD

    request = reading.request
    if not reading.ok:
        return "rejected", reading.error or "this cannot be read"
    if request is None or reading.test or not reading.asks:
        return "ignored", "this is a test alert" if reading.test else "it asks for nothing"
    if request.sent is not None and request.sent - now > MOST_AHEAD:
        return "rejected", f"the message was sent {(request.sent - now) // 1000} s in the future, 30 s is the most"
    if request.action == "halt":
        return "halted", "entries stop, working entries are called off, and what is held is closed"
    if request.sent is None:
        return None
    most = _ms(service, "max_lag_exit", 900) if request.reduces else _ms(service, "max_lag", 60)
    if request.max_lag is not None:
        most = min(most, request.max_lag)
    if now - request.sent > most:
        return "expired", f"it is {(now - request.sent) // 1000} s old, and {most / 1000:g} s are allowed"
    return None


def _ms(service: dict[str, Any], name: str, default: int) -> int:
    value = service.get(name)
    return round((value if isinstance(value, int | float) else default) * 1000)


def _message(file: str) -> str:
    try:
        body = sys.stdin.buffer.read(MOST) if file == "-" else Path(file).read_bytes()[:MOST]
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is no text in UTF-8; `enigma alert lint {file}` says where") from None
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror or error}") from None


def asked(url: str, token: str, question: dict[str, Any] | None, where: str) -> dict[str, Any]:
    """What is answered at `url`, to a `question` where there is one. Raises `ConfigError` with the engine's sentence, or with
    what keeps it from answering.
    """
    head = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Accept": "application/json"}
    body = None if question is None else json.dumps(question).encode()
    request = urllib.request.Request(url, body, head, method="GET" if body is None else "POST")
    url = "/".join(url.split("/")[:3])
    # this machine is never asked through a proxy, and the token goes nowhere else
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), Straight())
    try:
        with opener.open(request, timeout=PATIENCE) as answer:
            told = json.loads(answer.read(MOST))
    except urllib.error.HTTPError as error:
        if error.code == 401:
            raise ConfigError(
                f"the engine at {url} does not know the token in {where}: give it the one it was started with"
            ) from None
        raise ConfigError(f"the engine at {url} refuses this: {_detail(error)}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise ConfigError(f"the engine at {url} gives no answer ({reason}): is it running? `enigma run` starts one") from None
    if not isinstance(told, dict):
        raise ConfigError(f"what answers at {url} is no engine of this version")
    return told


class Straight(urllib.request.HTTPRedirectHandler):
    """Follows nobody to another place."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        told = json.loads(error.read(MOST))
        return str(told.get("detail") or told.get("reason") or error.reason)
    except (OSError, ValueError, AttributeError):
        return f"{error.code} {error.reason}"


def _show(out: Console, one: dict[str, Any]) -> None:
    from rich.text import Text

    from enigma_core.cli import display
    from enigma_webhooks.commands.alert_list import colour

    outcome = str(one.get("outcome"))
    said = display.ending(outcome, str(one.get("reason") or ""))
    out.print(Text.assemble((one.get("symbol") or "-", "bold"), "  ", (outcome, colour(outcome)), said.removeprefix(outcome)))
    for warning in one.get("warnings") or ():
        out.print(Text.assemble(("  warning: ", "yellow"), warning))
    decision = one.get("decision")
    if not decision:
        return
    said = f"{decision['class']}, score {decision['score']:+.1f}, confidence {decision['confidence']:.2f}"
    out.print(Text(f"  {said}, {decision['agreeing']} of {decision['voting']} indicators agree"))
    if decision["verdicts"]:
        rows = [
            (v["gate"], "-" if v["value"] is None else f"{v['value']:,.6g}", v["limit"], _verdict(v)) for v in decision["verdicts"]
        ]
        out.print(display.grid("Gates", ("gate", "measured", "limit", ""), rows))
    if (size := decision["sizing"]) is not None:
        bound = "no cap bound it" if size["bound"] == "none" else f"bound by {size['bound']}"
        out.print(f"  {size['quantity']} contracts at {size['leverage']}x, margin {size['margin']}, {bound}")


def _verdict(verdict: dict[str, Any]) -> tuple[str, str]:
    if verdict.get("error"):
        return f"blocks, it failed: {verdict['error']}", "bold red"
    if verdict.get("abstained"):
        return "abstains", "dim"
    return ("passes", "green") if verdict["passed"] else ("refuses", "bold red")
