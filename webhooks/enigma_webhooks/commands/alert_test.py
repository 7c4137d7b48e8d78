"""`enigma alert test`: what the running engine would do with a message, gate by gate. Nothing is traded."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import rich_click as click

from enigma_core.alert import Mode
from enigma_core.cli import options
from enigma_core.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

PATH = "/api/v1/signal-test"
PATIENCE = 10.0
"""Seconds."""

MOST = 1_000_000
"""Bytes of an answer."""


@click.command("test")
@click.argument("file", metavar="FILE|-")
@click.option("--mode", type=click.Choice(get_args(Mode)), default="trigger", show_default=True, help="How it would enter.")
@options.json_option
@options.home_option
def test(file: str, mode: str, as_json: bool, home: str | None) -> None:
    """Ask the running engine what it would do with the message in FILE, or on standard input (-). Nothing is traded."""
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
    answer = asked(url, token.value, {"message": message, "mode": mode}, token.where)
    if as_json:
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
        return
    from enigma_core.cli.display import console

    out = console()
    for n, one in enumerate(answer["tests"]):
        if n:
            out.rule(style="dim")
        _show(out, one)
    out.print("Nothing was traded.", style="dim")


def _message(file: str) -> str:
    try:
        body = sys.stdin.buffer.read(MOST) if file == "-" else Path(file).read_bytes()[:MOST]
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is no text in UTF-8; `enigma alert lint {file}` says where") from None
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror or error}") from None


def asked(url: str, token: str, question: dict[str, Any], where: str) -> dict[str, Any]:
    """What the engine at `url` answers. Raises `ConfigError` with its sentence, or with what keeps it from answering."""
    head = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Accept": "application/json"}
    request = urllib.request.Request(url + PATH, json.dumps(question).encode(), head, method="POST")
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
    if not isinstance(told, dict) or not isinstance(told.get("tests"), list):
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
    out.print(Text.assemble((one.get("symbol") or "-", "bold"), "  ", (outcome, colour(outcome)), f": {one.get('reason')}"))
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
