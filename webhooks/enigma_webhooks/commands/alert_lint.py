"""`enigma alert lint`: what is understood of a message, and what is wrong with it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from click.exceptions import Exit

from enigma_core.cli import options

if TYPE_CHECKING:
    from rich.console import Console

    from enigma_webhooks.alerts import Reading

WIDEST = 100
"""Letters of a line that are shown around the place at fault."""


MOST_NAMED = 6
"""Placeholders that are named in a sentence."""


@click.command()
@click.argument("file", metavar="FILE|-")
@options.json_option
def lint(file: str, as_json: bool) -> None:
    """Say what is understood of the message in FILE, or of standard input (-): offline, and nothing is sent.

    Exits with 1 where the message, or one order of it, would be refused.
    """
    from enigma_webhooks.alerts import json_of, read

    body = _body(file)
    readings = [_advised(reading) for reading in read(body)]
    if not all(reading.ok for reading in readings):
        readings = _as_template(body, readings)
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(json_of(readings), indent=2))
    else:
        _show(body, readings)
    if not all(reading.ok for reading in readings):
        raise Exit(1)


def _as_template(body: bytes, readings: list[Reading]) -> list[Reading]:
    """`readings` of a message whose only fault is that TradingView has not filled in its placeholders yet, told as that."""
    import msgspec

    from enigma_webhooks.alerts import filled, placeholders, read

    text = body.decode("utf-8", "replace")
    known = placeholders(text)
    if not known or not all(reading.ok for reading in read(filled(text))):
        return readings
    names = ", ".join(known[:MOST_NAMED]) + (" and others" if len(known) > MOST_NAMED else "")
    more = f"; TradingView fills in {names} when the alert goes off, and the rest was read: nothing else is wrong with it"
    return [r if r.error is None else msgspec.structs.replace(r, error=r.error + more) for r in readings]


def _advised(reading: Reading) -> Reading:
    """`reading` with a warning where no run could trade its symbol."""
    import msgspec

    symbol = reading.symbol
    if not symbol or symbol.endswith((":USDT", ":USDC")):
        return reading
    said = f"{symbol} is no perpetual in USDT or USDC: the engine trades BASE/USDT:USDT perpetuals, as in BTCUSDT.P"
    return msgspec.structs.replace(reading, warnings=(*reading.warnings, said))


def _body(file: str) -> bytes:
    """One byte more than a message may have is enough to say that it is too long."""
    from enigma_core.errors import ConfigError
    from enigma_webhooks.alerts import MOST_BYTES

    if file == "-":
        return sys.stdin.buffer.read(16 * MOST_BYTES)
    try:
        with Path(file).open("rb") as stream:
            return stream.read(16 * MOST_BYTES)
    except FileNotFoundError:
        raise ConfigError(f"there is no file {file}; write the message into one, or give it on standard input with -") from None
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror or error}") from None


def _show(body: bytes, readings: Sequence[Reading]) -> None:
    from rich.text import Text

    from enigma_core.cli import display
    from enigma_webhooks.alerts import blanked, repaired, stated

    out = display.console()
    secrets = sorted({reading.secret for reading in readings if reading.secret})
    plain = body.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    if not all(reading.ok for reading in readings):
        secrets += [found for found in stated(plain) if len(found) > 3]
    text = blanked(plain, secrets)
    for n, reading in enumerate(readings, 1):
        if n > 1:
            out.print()
        title = f"Order {n} of {len(readings)}" if len(readings) > 1 else ""
        if reading.ok:
            out.print(display.facts(title, _rows(reading)))
        elif title:
            out.print(Text(title, "bold"))
        for warning in reading.warnings:
            _say(out, "warning", "yellow", warning, plain, text)
        if reading.error is not None:
            _say(out, "refused", "bold red", reading.error, plain, text)
    mended = repaired(body)
    if mended is not None:
        out.print()
        out.print(Text("Read as", "bold"))
        out.print(Text(mended))


def _rows(reading: Reading) -> dict[str, Any]:
    from enigma_core import report

    shown = reading.shown()
    quantity = shown["quantity"]
    rows: dict[str, Any] = {
        "asks for": _asked(reading),
        "symbol": shown["symbol"],
        "exchange": shown["exchange"],
        "position wanted": shown["position"],
        "quantity": None if quantity is None else f"{report.plain(quantity)} {_UNITS[shown['quantity_unit']]}",
    }
    for name in ("price", "leverage", "stop", "take_profit"):
        rows[name.replace("_", " ")] = None if shown[name] is None else report.plain(shown[name])
    rows |= {
        "id": shown["id"],
        "time": shown["time"],
        "indicators": ", ".join(f"{name} {value:g}" for name, value in shown["indicators"].items()) or None,
        "secret": "*** (not shown)" if reading.secret else ("none: send it to the address that holds the token", "yellow"),
    }
    return {name: value for name, value in rows.items() if value is not None}


_UNITS = {"base": "in base units", "contracts": "contracts", "percent": "% of the equity", "quote": "in the quote currency"}


def _asked(reading: Reading) -> tuple[str, str]:
    if reading.test:
        return "nothing: it says that it is a test", "yellow"
    request = reading.request
    if request is None or not reading.asks:
        return "nothing: it only brings values", "yellow"
    if request.action in ("long", "short") and request.closes is not None:
        return f"close what is {request.closes}", "bold"
    of = f" what is {request.closes}" if request.closes is not None else ""
    styles = {"long": "bold green", "short": "bold red"}
    return f"{request.action or request.position}{of}", styles.get(request.action or "", "bold")


def _say(out: Console, label: str, style: str, said: str, plain: str, text: str) -> None:
    """A sentence, and below it the line it is about with a caret under the place."""
    from rich.text import Text

    from enigma_webhooks.alerts import place_of

    out.print(Text.assemble((f"{label}: ", style), said))
    place = place_of(said)
    lines = plain.split("\n")
    if place is None or place[0] > len(lines):
        return
    blank = text.split("\n")
    if len(blank) != len(lines):
        return  # a secret over several lines
    shown, caret = _aligned(lines[place[0] - 1], blank[place[0] - 1], place[1] - 1)
    out.print(Text(f"  {shown}", "dim"))
    out.print(Text("  " + " " * caret + "^", style))


def _aligned(line: str, blank: str, column: int) -> tuple[str, int]:
    """The line without its secrets, cut to a width, and where the caret stands in it."""
    same = 0
    while same < min(len(line), len(blank)) and line[same] == blank[same]:
        same += 1
    moved = len(blank) - len(line) if column > same else 0
    column = max(min(column + moved, len(blank)), 0)
    begin = max(0, min(column - WIDEST // 2, len(blank) - WIDEST))
    cut = blank[begin : begin + WIDEST]
    return "".join(c if c.isprintable() else "?" for c in cut), column - begin
