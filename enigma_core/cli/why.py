"""`enigma why`: the whole chain from points to order, for one decision or the newest few."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import rich_click as click

from enigma_core.cli import options

if TYPE_CHECKING:
    from rich.console import Console

    from enigma_core.model import Decision, Trade, Verdict
    from enigma_core.reading import Reader


@click.command()
@click.argument("decision_id", required=False)
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="The newest N decisions instead, newest first.")
@options.json_option
@options.home_option
@click.option("--db-url", metavar="FILE", help="A journal elsewhere, as a backtest exports it: a path or sqlite:///PATH.")
def why(decision_id: str | None, last: int | None, as_json: bool, home: str | None, db_url: str | None) -> None:
    """Explain a decision: points, gates, size, order or the reason for none.

    DECISION_ID may also be the id of an order or a fill: what is explained then is the decision behind it; or that of an alert.
    """
    if (decision_id is None) == (last is None):
        raise click.UsageError("Name one decision, or ask for the newest: enigma why --last 5.")
    from enigma_core.home import home_path
    from enigma_core.reading import Reader, journal_path

    with Reader(journal_path(home_path(home), db_url)) as reader:
        if decision_id is not None and (alert := reader.undecided_alert(decision_id)) is not None:
            _tell(alert, as_json)
            return
        decisions = [reader.decision(decision_id)] if decision_id is not None else reader.last_decisions(last or 1)
        if as_json:
            stories = [_story(reader, d) for d in decisions]
            _print_json(stories if decision_id is None else stories[0])
            return
        from enigma_core.cli.display import console

        out = console()
        if not decisions:
            out.print(f"{reader.path} holds no decisions yet: one is made at each close of the primary timeframe.")
        for n, decision in enumerate(decisions):
            if n:
                out.rule(style="dim")
            _show(out, reader, decision)


def _print_json(answer: Any) -> None:
    import msgspec

    from enigma_core import report

    click.echo(msgspec.json.format(msgspec.json.encode(report.ready(answer)), indent=2))


def _tell(alert: dict[str, Any], as_json: bool) -> None:
    """An alert that led to no decision: what it asked for and what became of it."""
    if as_json:
        _print_json(alert)
        return
    from rich.text import Text

    from enigma_core.cli.display import console, when

    asked = " and ".join(filter(None, (alert["action"], alert["position"] and f"position {alert['position']}")))
    head = f"{when(alert['received'])} UTC, from {alert['source']}" + (f" in mode {alert['mode']}" if alert["mode"] else "")
    out = console()
    out.print(Text.assemble((alert["id"], "bold"), "  ", alert["symbol"], "  ", (head, "dim")))
    if asked:
        out.print(f"Asked: {asked}")
    out.print(Text.assemble((f"{alert['state'].capitalize()}: ", "bold"), alert["reason"] or "it has not been worked yet"))


def _story(reader: Reader, decision: Decision) -> dict[str, Any]:
    import msgspec

    trades = reader.trades(decision.id)
    return {
        **msgspec.structs.asdict(decision),
        "unfilled": (reader.unfilled(decision.order_id) if decision.order_id else "") or None,
        "orders": reader.orders(decision.id),
        "fills": reader.fills(decision.id),
        "trade": trades[0] if trades else None,
    }


def _show(out: Console, reader: Reader, d: Decision) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from enigma_core.cli import display

    unfilled = reader.unfilled(d.order_id) if d.order_id else ""
    style = "bold green" if d.score > 0 else "bold red"
    out.print(
        Text.assemble((d.id, "bold"), "  ", d.symbol, " ", d.timeframe, "  ", (f"{display.when(d.ts)} UTC, from {d.source}", "dim"))
    )
    said = f"  score {d.score:+.1f}, confidence {d.confidence:.2f}, {d.agreeing} of {d.voting} indicators agree"
    out.print(Text.assemble((str(d.klass), style), said))
    out.print(Text.assemble(("Done: " if d.order_id and not unfilled else "Not done: ", "bold"), _outcome(d, unfilled)))
    out.print()
    out.print(display.grid("Points", ("indicator", "points"), [_points(name, value) for name, value in _ranked(d.points)]))
    scores = [(t, ("not known", "dim") if s is None else (f"{s:+.1f}", display.colour(s))) for t, s in d.scores.items()]
    if scores:
        out.print(display.grid("Timeframes", ("timeframe", "score"), scores))
    if d.verdicts:
        out.print(_gates(d.verdicts))
    if d.sizing is not None:
        out.print(display.facts("Size", _size(d)))
        out.print()
    if d.order_id:
        _aftermath(out, reader, d)
    for fault in d.faults:
        out.print(Padding(Text.assemble(("fault: ", "yellow"), fault), (0, 0, 0, 1)))


def _outcome(d: Decision, unfilled: str) -> str:
    """What came of it, or why nothing did; `unfilled` tells how its order ended where nothing of it filled."""
    from enigma_core.cli.display import refusal

    if d.order_id:
        return f"order {d.order_id}" + (f" filled nothing, {unfilled}" if unfilled else "")
    against = [refusal(v) for v in d.verdicts if not v.passed]
    return "; ".join(against) or (f"no size: {d.sizing.bound}" if d.sizing is not None and not d.sizing.quantity else d.reason)


def _ranked(points: dict[str, float | None]) -> list[tuple[str, float | None]]:
    """The heaviest first, those that abstained last."""
    return sorted(points.items(), key=lambda item: (item[1] is None, -abs(item[1] or 0.0)))


def _points(name: str, value: float | None) -> tuple[Any, ...]:
    from enigma_core.cli.display import colour

    return (name, ("abstains", "dim")) if value is None else (name, (f"{value:+.2f}" if value else "0.00", colour(value)))


def _gates(verdicts: tuple[Verdict, ...]) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Gates", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1), header_style="dim")
    for name, justify in (("gate", "left"), ("measured", "right"), ("limit", "left"), ("", "left")):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for v in verdicts:
        table.add_row(Text(v.gate), Text(_measured(v.value)), Text(v.limit), Text(*_verdict(v)))
    return table


def _measured(value: float | None) -> str:
    """Six digits that count, never an exponent: turnovers run to billions, spreads to a hundred-thousandth."""
    if value is None:
        return "-"
    before = len(f"{abs(value):.0f}")
    places = max(0, 6 - before) if abs(value) >= 0.001 else 9
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _verdict(v: Verdict) -> tuple[str, str]:
    from enigma_core.cli.display import when

    if v.error:
        return f"blocks, it failed: {v.error}", "bold red"
    if v.abstained:
        return "abstains: not asked, or nothing to measure here", "dim"
    if v.passed:
        return "passes", "green"
    return "refuses" + (f" until {when(v.until)} UTC" if v.until else ""), "bold red"


def _size(d: Decision) -> dict[str, Any]:
    from enigma_core import report
    from enigma_core.cli import display

    assert d.sizing is not None
    bound = "no cap bound it" if d.sizing.bound == "none" else d.sizing.bound
    return {
        "quantity": f"{report.plain(d.sizing.quantity)} contracts",
        "leverage": f"{d.sizing.leverage}x",
        "margin": display.amount(d.sizing.margin),
        "bound by": bound,
    }


def _aftermath(out: Console, reader: Reader, d: Decision) -> None:
    """The orders that followed and what the trade came to."""
    from rich.text import Text

    from enigma_core import report
    from enigma_core.cli import display

    def price(order: dict[str, Any]) -> str:
        return "market" if order["price"] is None else display.price(order["price"])

    rows = [
        (o["id"], o["purpose"], f"{report.plain(o['filled'])}/{report.plain(o['quantity'])}", price(o), o["state"], o["reason"])
        for o in reader.orders(d.id)
    ]
    if rows:
        out.print(display.grid("Orders", ("order", "for", "filled", "price", "state", "reason"), rows))
    for trade in reader.trades(d.id):
        out.print(Text.assemble(("Trade  ", "bold"), (_result(trade), display.colour(trade.net))))


def _result(t: Trade) -> str:
    from enigma_core.cli import display

    way = f"{t.side} {display.price(t.entry_price)} to {display.price(t.exit_price)}"
    took = display.spell((t.exit_ts - t.entry_ts) / 1000)
    costs = f"gross {display.gain(t.gross)}, fees {display.amount(t.fees)}, funding {display.gain(t.funding)}"
    return f"{display.gain(t.net)} net: {way} in {took}, {t.exit_reason}; {costs}"
