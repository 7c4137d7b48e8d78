"""`enigma alert url`: what to enter at TradingView, and what stands between it and here."""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import rich_click as click

from enigma_core.cli import options

WHERE = "/webhooks/tradingview"
REACH = "docs/reach.md"


class Held(NamedTuple):
    """The secret, None where nobody has made one yet, and where it is kept."""

    value: str | None
    where: str


@click.command("url")
@click.option("--public", metavar="URL", help="The address the world knows, as in https://alerts.example.org.")
@click.option("--show-secret", is_flag=True, help="Print the secret though this is no terminal.")
@click.option("-c", "--config", type=click.Path(dir_okay=False), help="Configuration file. [default: strategy_config.json]")
@click.option("-s", "--strategy", metavar="NAME", help="Strategy laid over it.")
@options.json_option
@options.home_option
def url(public: str | None, show_secret: bool, config: str | None, strategy: str | None, as_json: bool, home: str | None) -> None:
    """Say what to enter at TradingView as the webhook URL, and what stands between it and this machine."""
    from enigma_webhooks.commands._kept import run_folder
    from enigma_webhooks.commands._server import server

    folder = run_folder(home)
    plan, _, _ = options.planned(config, strategy, (), {})
    service = plan.services.get("tradingview")
    runs = server(folder)
    now = None if runs is None else runs.url
    here = now or _configured(service)
    base = _public(public) if public is not None else here
    held = _held(service, folder, "" if runs is None else runs.secret)
    shown = held.value if show_secret or sys.stdout.isatty() else None
    between = list(_between(here, public is not None, now is not None, service is not None, folder))
    answer = {
        "url": base + WHERE,
        "url_with_token": f"{base}{WHERE}/{shown or '<secret>'}",
        "secret": shown,
        "secret_kept_in": held.where,
        "listening": now,
        "public": base if public is not None else None,
        "between": between,
    }
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(answer), indent=2))
    else:
        _show(answer, held, runs is not None and bool(runs.secret))


def _public(given: str) -> str:
    """The address without its end. Wrong usage where TradingView cannot call it."""
    parts = urlsplit(given.rstrip("/") if "://" in given else f"https://{given.rstrip('/')}")
    try:
        port = parts.port
    except ValueError:
        raise click.BadParameter("its port is no number", param_hint="--public") from None
    host = parts.hostname
    if parts.scheme not in ("https", "http") or not host or parts.username or parts.query or parts.fragment:
        raise click.BadParameter(f"{given!r} is no address like https://alerts.example.org", param_hint="--public")
    if parts.scheme == "http":
        raise click.BadParameter("over http the secret would travel in the clear; give an https address", param_hint="--public")
    if port not in (None, 443):
        raise click.BadParameter(f"TradingView calls ports 80 and 443 only, not {port}", param_hint="--public")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if host == "localhost" or "." not in host:
            raise click.BadParameter(f"{host} is a name of this machine alone", param_hint="--public") from None
    else:
        if address.version == 6:
            raise click.BadParameter("TradingView calls IPv4 addresses only", param_hint="--public")
        if not address.is_global:
            raise click.BadParameter(f"{host} cannot be reached from outside", param_hint="--public")
    return f"https://{host}{parts.path}"


def _configured(service: Any) -> str:
    """Where a run would listen; PORT where it takes any that is free."""
    host, port = getattr(service, "host", "127.0.0.1"), getattr(service, "port", 8080) or "PORT"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _held(service: Any, folder: Path, runs: str) -> Held:
    """`runs` is where the run under way has its secret from: another one found here is not the one it takes."""
    from enigma_webhooks.commands._server import credential
    from enigma_webhooks.front.credentials import WEBHOOK

    own = getattr(service, "secret", None)
    if own is not None and runs in ("", WEBHOOK.setting):
        return Held(own, WEBHOOK.setting)
    found = credential(WEBHOOK, folder)
    if runs and (found is None or found.where != runs):
        return Held(None, runs)
    return Held(None, str(folder / WEBHOOK.file)) if found is None else Held(found.value, found.where)


def _between(here: str, public: bool, runs: bool, served: bool, folder: Path) -> list[str]:
    """What TradingView needs and this run does not have by itself, a sentence each."""
    said = []
    if not served:
        said.append("The service tradingview is switched off in the settings: set services.tradingview.enabled to true.")
    if runs:
        said.append(f"The run of {folder} listens at {here}, for this machine alone.")
    else:
        said.append(f"Nothing listens at present: `enigma run` will, at {here}.")
    said += [
        "TradingView calls ports 80 and 443 only: something has to take what comes there and pass it on to this address.",
        "It calls https with a certificate that browsers accept; one signed by yourself is refused.",
        "It calls over IPv4 only: the name needs an A record, an AAAA record alone is not enough.",
        "It waits 3 seconds for an answer and sends again only after a 5xx.",
    ]
    if not public:
        said.append("Give the name the world knows with --public https://NAME to have the addresses written out with it.")
    said.append(f"How to get there, with a proxy or a tunnel, is told in {REACH}.")
    return said


def _show(answer: dict[str, Any], held: Held, runs: bool) -> None:
    from rich.text import Text

    from enigma_core.cli import display

    out = display.console()
    if answer["secret"] is not None:
        secret = answer["secret"]
    elif held.value is None and runs:
        secret = f"that of the run, which has it from {held.where}; it cannot be seen from here"
    elif held.value is None:
        secret = f"none yet: the first `enigma run` makes one and keeps it in {held.where}"
    else:
        secret = f"kept in {held.where} (not shown where this is no terminal; --show-secret shows it)"
    rows = {"URL": (answer["url"], "bold"), "secret": secret, "or, secret in the URL": answer["url_with_token"]}
    out.print(Text("Webhook URL to enter at TradingView", "bold"))
    for name, value in rows.items():
        text, style = value if isinstance(value, tuple) else (value, "")
        # whole, to be copied: a terminal may break it, we must not
        out.print(Text.assemble((name.ljust(22), "dim"), (text, style)), soft_wrap=True)
    out.print(
        'The first takes messages that carry the secret, as {"secret": "...", ...}; the second those that cannot.', soft_wrap=True
    )
    out.print()
    out.print(Text("Between TradingView and here", "bold"))
    for sentence in answer["between"]:
        display.say(out, Text(f"  {sentence}"), 2)
