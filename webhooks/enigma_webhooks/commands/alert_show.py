"""`enigma alert show`: one alert whole, from its text to its fills."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import rich_click as click

from enigma_core.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from enigma_core.alert import AlertWorked
    from enigma_core.model import Fill


@click.command("show")
@click.argument("id", metavar="ID")
@options.json_option
@options.home_option
@click.option("--db-url", metavar="FILE", help="A journal elsewhere: a path or sqlite:///PATH.")
@click.pass_context
def show(context: click.Context, id: str, as_json: bool, home: str | None, db_url: str | None) -> None:
    """Show one alert: what came, what was understood of it, what it led to, and how long each step took."""
    from enigma_core.reading import journal_path
    from enigma_webhooks.commands._kept import Kept, run_folder

    with Kept(journal_path(run_folder(home), db_url)) as kept:
        told = kept.alert(id)
        worked = kept.worked(id)
        orders = kept.caused(id)
        fills = kept.filled(orders)
        if as_json:
            decision = kept.decision(told["decision_id"]) if told["decision_id"] else None
            _print_json(
                {**told, "delays_ms": _delays(told, worked, orders, fills), "decision": decision, "orders": orders, "fills": fills}
            )
            return
    from enigma_core.cli.display import console

    out = console()
    _show(out, told, _delays(told, worked, orders, fills))
    if told["decision_id"]:
        from enigma_core.cli.why import why

        out.rule(style="dim")
        context.invoke(why, decision_id=told["decision_id"], last=None, as_json=False, home=home, db_url=db_url)
    elif orders:
        _orders(out, orders)
    if fills:
        _fills(out, fills)


def _print_json(answer: dict[str, Any]) -> None:
    import msgspec

    from enigma_core import report

    told = {("outcome" if name == "state" else name): value for name, value in answer.items() if name != "seq"}
    click.echo(msgspec.json.format(msgspec.json.encode(report.ready(told)), indent=2))


def _delays(
    told: dict[str, Any], worked: AlertWorked | None, orders: Sequence[dict[str, Any]], fills: Sequence[Fill]
) -> dict[str, int | None]:
    """ms from sending to receiving by the wall, and from receiving on by the market's time; None for what has not happened."""
    request = told["request"]
    sent = None if request is None else request.sent
    return {
        "sent_to_received": None if sent is None else told["received"] - sent,
        "received_to_worked": None if worked is None else worked.ts - told["ts"],
        "received_to_ordered": orders[0]["ts"] - told["ts"] if orders else None,
        "received_to_filled": fills[0].ts - told["ts"] if fills else None,
    }


def _show(out: Console, told: dict[str, Any], delays: dict[str, int | None]) -> None:
    from rich.text import Text

    from enigma_core.cli import display
    from enigma_webhooks.commands._kept import second
    from enigma_webhooks.commands.alert_list import colour

    receipt = "refused unread" if told["state"] == "rejected" else "accepted"
    rows: dict[str, Any] = {
        "received": f"{second(told['received'])} UTC",
        "from": told["source"],
        "symbol": told["symbol"] or "-",
        "mode": told["mode"] or "-",
        "outcome": (f"{receipt} -> {told['state']}" if receipt == "accepted" else receipt, colour(told["state"])),
        "reason": told["reason"] or "-",
    }
    out.print(display.facts(f"Alert {told['id']}", rows))
    if told["request"] is not None:
        out.print()
        out.print(display.facts("What it asks for", _asked(told["request"])))
    for warning in told["warnings"]:
        out.print(Text.assemble(("  warning: ", "yellow"), warning))
    out.print()
    out.print(display.facts("How long it took", _spelled(delays)))
    out.print()
    if told["body"] is None:
        out.print(f"Of its text only the length is kept, {told['length']:,} bytes, and its SHA-256.")
    else:
        out.print(Text("As it came", "bold"))
        # whatever strangers wrote: one line stays one line, and nothing in it moves the cursor
        for line in told["body"].split("\n"):
            out.print(Text("  " + "".join(c if c.isprintable() or c == "\t" else "?" for c in line)), soft_wrap=True)


def _asked(request: Any) -> dict[str, str]:
    import msgspec

    from enigma_core import report
    from enigma_webhooks.commands._kept import second

    shown: dict[str, str] = {}
    for name, value in msgspec.structs.asdict(request).items():
        if value in (None, "", {}) or (name == "unit" and request.quantity is None):
            continue
        if name in ("sent", "bar"):
            shown[name] = f"{second(value)} UTC"
        elif name == "max_lag":
            shown["max lag"] = f"{value / 1000:g} s"
        elif isinstance(value, dict):
            shown[name] = ", ".join(f"{key} {number:g}" for key, number in value.items())
        else:
            shown[name.replace("_", " ")] = value if isinstance(value, str) else report.plain(value)
    return shown


def _spelled(delays: dict[str, int | None]) -> dict[str, str]:
    def spell(ms: int | None, otherwise: str) -> str:
        return otherwise if ms is None else f"{ms / 1000:.3f} s"

    return {
        "sent to received": spell(delays["sent_to_received"], "the message does not say when it was sent"),
        "received to worked": spell(delays["received_to_worked"], "it has not been worked"),
        "received to ordered": spell(delays["received_to_ordered"], "nothing was ordered"),
        "received to filled": spell(delays["received_to_filled"], "nothing has filled"),
        "": "from receiving on by the market's time",
    }


def _orders(out: Console, orders: Sequence[dict[str, Any]]) -> None:
    from enigma_core import report
    from enigma_core.cli import display

    rows = [
        (
            o["id"],
            o["purpose"],
            f"{report.plain(o['filled'])}/{report.plain(o['quantity'])}",
            "market" if o["price"] is None else display.price(o["price"]),
            o["state"],
            o["reason"],
        )
        for o in orders
    ]
    out.print()
    out.print(display.grid("Orders", ("order", "for", "filled", "price", "state", "reason"), rows))


def _fills(out: Console, fills: Sequence[Fill]) -> None:
    from enigma_core import report
    from enigma_core.cli import display

    rows = [
        (
            f.order_id,
            display.when(f.ts),
            "buy" if f.side > 0 else "sell",
            report.plain(f.quantity),
            display.price(f.price),
            f.reason,
        )
        for f in fills
    ]
    out.print(display.grid("Fills", ("order", "time", "side", "contracts", "price", "reason"), rows))
