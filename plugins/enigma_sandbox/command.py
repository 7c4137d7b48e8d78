"""`enigma sandbox`: the local exchange on its own, for any client of KuCoin Futures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

if TYPE_CHECKING:
    from enigma_sandbox.server import Sandbox

PATIENCE = 1.0
"""Seconds after which a person is told why nothing is seen yet."""


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=9000, show_default=True, help="Port on 127.0.0.1; 0: any that is free."
)
@click.option(
    "--feed", metavar="NAME", default="synthetic", show_default=True, help="Where prices come from; a live feed is mirrored."
)
@click.option("--data", type=click.Path(), metavar="DIR", help="Play these candles, moved to now, instead.")
@click.option(
    "-p", "--pairs", metavar="SYMBOL", multiple=True, help="Contracts, as in BTC/USDT:USDT. Repeatable. [default: the feed's]"
)
@click.option(
    "--symbols",
    "count",
    type=click.IntRange(1, 500),
    metavar="N",
    default=4,
    show_default=True,
    help="Contracts of a made-up market.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), metavar="N", default=1, show_default=True, help="Another seed, another made-up market."
)
@click.option("--days", type=click.IntRange(1, 3650), default=60, show_default=True, help="Days of history it begins with.")
@click.option(
    "--deposit",
    type=click.FloatRange(min=0, min_open=True, max=1e9),
    default=10_000.0,
    show_default=True,
    help="Money in a new account.",
)
@click.option(
    "--state", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Keep the account here, and go on with it."
)
@click.option("--for", "seconds", type=click.FloatRange(min=0), metavar="SECONDS", help="End by itself after so long.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object when it listens.")
def sandbox(
    port: int,
    feed: str,
    data: str | None,
    pairs: tuple[str, ...],
    count: int,
    seed: int,
    days: int,
    deposit: float,
    state: Path | None,
    seconds: float | None,
    as_json: bool,
) -> None:
    """Run a local exchange that speaks KuCoin Futures to any client of it, with money that is none.

    REST and WebSocket, public and private. It takes the key of KUCOIN_API_KEY, KUCOIN_API_SECRET and KUCOIN_PASSPHRASE, or makes
    one and prints it. Prices are made up, or those of --data moved to now, and go on in real time. Ctrl-C ends it; with --state the
    account is there again the next time. Every fault has its button: see the page it names.
    """
    import os
    from decimal import Decimal

    from enigma_sandbox.child import run
    from enigma_sandbox.credentials import given, kept, made
    from enigma_sandbox.markets import Setup
    from enigma_sandbox.server import Sandbox

    credentials = given(os.environ)
    fresh = credentials is None
    if credentials is None:
        credentials = kept(state.with_name(f"{state.name}.key")) if state is not None else made()
    symbols = tuple(pair for named in pairs for pair in named.replace(",", " ").split())
    setup = Setup(feed=feed, data=data, symbols=symbols, count=count, seed=seed, days=days)
    run(_served(Sandbox(setup, credentials, state=state, deposit=Decimal(repr(deposit))), port, seconds, as_json, fresh))


async def _served(sandbox: Sandbox, port: int, seconds: float | None, as_json: bool, fresh: bool) -> None:
    import asyncio
    import json
    import signal

    from enigma_sandbox.server import described, serving

    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ending.set)
    late = None if as_json else loop.call_later(PATIENCE, _patience)
    async with serving(sandbox, port):
        if late is not None:
            late.cancel()
        said = described(sandbox)
        if not fresh:
            # whoever set them knows them
            said = {name: value for name, value in said.items() if name not in ("secret", "passphrase")}
        click.echo(json.dumps(said) if as_json else _page(sandbox, said))
        waiting = asyncio.ensure_future(ending.wait())
        await asyncio.wait((waiting, sandbox.failed), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if sandbox.failed.done():
            sandbox.failed.result()
    if not as_json:
        kept = f"; its account is kept in {sandbox.state}" if sandbox.state is not None else ""
        click.echo(f"the exchange has ended{kept}")


def _patience() -> None:
    click.echo("the market is being made ...", err=True)


def _page(sandbox: Sandbox, said: dict[str, Any]) -> str:
    symbols = said["symbols"]
    more = f" and {len(symbols) - 6} more" if len(symbols) > 6 else ""
    lines = [
        " SANDBOX   no real money: a local exchange that speaks KuCoin Futures",
        f"market      {said['market']}",
        f"contracts   {', '.join(symbols[:6])}{more}",
        f"futures     {said['futures']}",
        f"spot        {said['spot']}",
        f"websocket   {said['websocket']}",
        f"buttons     {said['admin']}",
        *(f"  {line}" for line in said["told"]),
    ]
    if "secret" in said:
        if sandbox.state is not None:
            lines.append(f"key         {sandbox.credentials.origin}")
        lines += [
            f"export KUCOIN_API_KEY={said['key']}",
            f"export KUCOIN_API_SECRET={said['secret']}",
            f"export KUCOIN_PASSPHRASE={said['passphrase']}",
        ]
    else:
        lines.append(f"key         {said['key']}, {sandbox.credentials.origin}")
    return "\n".join((*lines, "Ctrl-C ends it."))
