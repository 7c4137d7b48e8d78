"""What a person reads while a run goes on."""

from __future__ import annotations

import io
import re
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from rich.console import Console

from enigma_core import report
from enigma_core.cli import display
from enigma_core.model import (
    Blocked,
    Class,
    DayOpened,
    Decision,
    ExternalSeen,
    Fill,
    Funded,
    Marked,
    Order,
    OrderEnded,
    OrderFound,
    Purpose,
    Sizing,
    Trade,
    Verdict,
)

TS = 1_741_610_400_000  # 2025-03-10 12:40 UTC
BTC = "BTC/USDT:USDT"


def decision(klass: Class = Class.STRONG_BUY, score: float = 98.0, **changes: Any) -> Decision:
    fields: dict[str, Any] = {
        "id": "BTCUSDT-30m-1741610400",
        "ts": TS,
        "symbol": BTC,
        "timeframe": "30m",
        "source": "engine",
        "score": score,
        "klass": klass,
        "confidence": 0.94,
        "agreeing": 7,
        "voting": 10,
        "points": {},
        "scores": {},
        "verdicts": (),
        "sizing": None,
        "order_id": None,
        "reason": "",
    }
    return Decision(**{**fields, **changes})


def entered(score: float = 98.0) -> Decision:
    size = Sizing(quantity=Decimal(24), leverage=6, margin=Decimal("200.1"), bound="position_size_max")
    return decision(score=score, sizing=size, order_id="BTCUSDT-30m-1741610400-in")


def refused(*gates: str, klass: Class = Class.BUY) -> Decision:
    return decision(klass, 70.0, verdicts=tuple(Verdict(gate, 0.82, ">= 0.85", False) for gate in gates))


def order(quantity: int = 24) -> Order:
    return Order(
        id="BTCUSDT-30m-1741610400-in",
        decision_id="BTCUSDT-30m-1741610400",
        ts=TS,
        symbol=BTC,
        side=1,
        quantity=Decimal(quantity),
        purpose=Purpose.ENTRY,
    )


def fill(side: int, quantity: int, price: str = "50000.0") -> Fill:
    return Fill(
        id=f"f{side}{quantity}",
        order_id="BTCUSDT-30m-1741610400-in",
        ts=TS,
        symbol=BTC,
        side=side,  # type: ignore[arg-type]
        quantity=Decimal(quantity),
        price=Decimal(price),
        fee=Decimal("0.72"),
        reason="" if side > 0 else "take_profit",
    )


def trade(net: str = "28.542") -> Trade:
    return Trade(
        symbol=BTC,
        side="long",
        entry_ts=TS,
        entry_price=Decimal("50000.0"),
        exit_ts=TS + 12_600_000,
        exit_price=Decimal("51250.0"),
        quantity=Decimal(24),
        leverage=6,
        gross=Decimal(net) + Decimal("1.458"),
        fees=Decimal("1.458"),
        funding=Decimal(0),
        net=Decimal(net),
        exit_reason="take_profit",
        decision_id="BTCUSDT-30m-1741610400",
    )


def said(*records: Any, detail: bool = False, colour: bool = False) -> str:
    out = io.StringIO()
    console = Console(
        file=out, force_terminal=colour, color_system="standard" if colour else None, width=200, highlight=False, markup=False
    )
    stream = display.Stream(console, [BTC], detail=detail)
    for record in records:
        stream(record)
    return out.getvalue()


def test_an_entry_says_side_reasons_and_size() -> None:
    assert said(entered()) == (
        "2025-03-10 12:40  BTC/USDT:USDT  LONG    STRONG_BUY +98, confidence 0.94, 7 of 10 agree: "
        "24 contracts at 6x, margin 200.10, capped by position_size_max\n"
    )


def test_a_negative_score_that_enters_is_short() -> None:
    assert "  SHORT   " in said(entered(-98.0))


def test_a_refusal_names_gate_value_and_limit() -> None:
    assert "skip    BUY +70, confidence 0.94, 7 of 10 agree: confidence 0.82, needs >= 0.85\n" in said(refused("confidence"))


def test_a_refusal_is_said_once_until_something_changes() -> None:
    lines = said(
        refused("confidence"),
        refused("confidence"),
        refused("trend"),
        refused("trend"),
        refused("trend", klass=Class.STRONG_BUY),
        refused("trend"),
    )
    assert lines.count("\n") == 4


@pytest.mark.parametrize("klass", [Class.NEUTRAL, Class.BUY_WEAK, Class.SELL_WEAK])
def test_faint_decisions_are_counted_but_not_said(klass: Class) -> None:
    stream = display.Stream(None)
    stream(decision(klass, 3.0))
    assert stream.decisions == 1
    assert said(decision(klass, 3.0)) == ""
    assert said(decision(klass, 3.0), detail=True) != ""


def test_a_gate_without_a_value_says_so() -> None:
    got = decision(Class.BUY, verdicts=(Verdict("trend", None, "< 25", False),))
    assert "trend is not known yet, needs < 25" in said(got)


def test_a_failed_gate_says_that_it_failed() -> None:
    got = decision(Class.BUY, verdicts=(Verdict("mine", None, "> 0", False, error="ZeroDivisionError: division by zero"),))
    assert "mine failed: ZeroDivisionError: division by zero" in said(got)


def test_a_trade_is_one_line_with_its_reason_and_what_it_made() -> None:
    lines = said(order(), fill(1, 24), fill(-1, 24, "51250.0"), trade()).splitlines()
    assert len(lines) == 2
    assert "filled  24 contracts at 50,000.0, fee 0.72" in lines[0]
    assert lines[1].startswith(
        "2025-03-10 16:10  BTC/USDT:USDT  closed  +28.54  take_profit: long 50,000.0 to 51,250.0 in 3 h 30 min"
    )


def test_partial_fills_in_and_out_are_told() -> None:
    lines = said(order(), fill(1, 10), fill(-1, 4)).splitlines()
    assert lines[0].endswith("(of 24 ordered)")
    assert "part    4 contracts at 50,000.0, fee 0.72 (take_profit)" in lines[1]


def test_held_positions_follow_the_fills() -> None:
    stream = display.Stream(None)
    for each, held in ((fill(-1, 10), -10), (fill(-1, 4), -14), (fill(1, 4), -10), (fill(1, 10), None)):
        stream(each)
        assert stream.held.get(BTC) == held


def test_the_status_line_has_equity_positions_trades_and_decisions() -> None:
    stream = display.Stream(None, equity=Decimal(10_000))
    assert stream.status().startswith("waiting for the first bar  equity 10,000.00  flat  0 trades 0.00  0 decisions")
    for each in (entered(), fill(1, 24), Marked(ts=TS, equity=Decimal("10010.5"), prices={})):
        stream(each)
    assert stream.status().startswith("2025-03-10 12:40  equity 10,010.50  1 open  0 trades 0.00  1 decisions")
    stream(trade())
    assert "flat  1 trade +28.54" in stream.status()


def test_equity_of_a_flat_account_is_what_it_began_with_and_its_trades() -> None:
    stream = display.Stream(None)
    stream.begin([BTC], Decimal(10_000), flat=True)
    for each in (fill(1, 24), Marked(ts=TS, equity=Decimal(9_990), prices={}), fill(-1, 24), trade()):
        stream(each)
    assert stream.equity == Decimal("10028.542")


def test_rejected_orders_are_told_and_cancelled_ones_are_not() -> None:
    ended = {"ts": TS, "order_id": "a", "symbol": BTC, "reason": "margin"}
    assert "rejected  margin" in said(OrderEnded(state="rejected", **ended))  # type: ignore[arg-type]
    assert said(OrderEnded(state="cancelled", **ended)) == ""  # type: ignore[arg-type]


def test_funding_and_new_days_are_for_those_who_ask_for_detail() -> None:
    records = (
        Funded(ts=TS, symbol=BTC, rate=Decimal("0.0001"), price=Decimal(50_000), amount=Decimal("-0.12")),
        DayOpened(ts=TS, equity=Decimal(10_000), end=TS + 1),
    )
    assert said(*records) == ""
    assert said(*records, detail=True).count("\n") == 2


def test_i30_text_from_outside_is_never_markup() -> None:
    got = decision(Class.BUY, verdicts=(Verdict("[red]mine[/red]", 1.0, ":smile: [bold]", False),))
    assert "[red]mine[/red] 1, needs :smile: [bold]" in said(got)


def test_colours_follow_the_side_and_the_result() -> None:
    green, red = "\x1b[1;32m", "\x1b[1;31m"
    assert green + "LONG" in said(entered(), colour=True)
    assert red + "SHORT" in said(entered(-98.0), colour=True)
    assert green + "closed" in said(trade(), colour=True)
    assert red + "closed" in said(trade("-5"), colour=True)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1234567.891", "1,234,567.89"),
        ("0", "0.00"),
        ("0.000001", "0.000001"),
        ("-0.004", "-0.0040"),
        ("0E-12", "0.00"),
        ("-0", "0.00"),
    ],
)
def test_amounts_that_are_not_zero_never_read_as_zero(value: str, text: str) -> None:
    assert display.amount(Decimal(value)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.2 s"), (45, "45 s"), (3600, "1 h"), (12_600, "3 h 30 min"), (90_000, "1 d 1 h"), (86_405, "1 d")],
)
def test_durations_have_at_most_two_units(seconds: float, text: str) -> None:
    assert display.spell(seconds) == text


@pytest.mark.parametrize("width", [60, 80, 110, 140])
def test_a_narrow_terminal_breaks_a_line_between_words_under_its_text(width: int) -> None:
    out = Console(file=io.StringIO(), width=width, force_terminal=True, no_color=True, highlight=False, markup=False)
    stream = display.Stream(out, [BTC])
    stream(trade())
    stream(decision(klass=Class.BUY, verdicts=refused("score", "a_gate_with_a_long_name", "trend").verdicts))
    assert isinstance(out.file, io.StringIO)
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in out.file.getvalue().splitlines()]
    whole = said(trade(), decision(klass=Class.BUY, verdicts=refused("score", "a_gate_with_a_long_name", "trend").verdicts))
    assert all(len(line) <= width for line in lines)
    assert " ".join(lines).split() == whole.split()
    indent = " " * (41 if width >= 80 else 4)
    assert len(lines) > 2 or width == 140
    assert all(line.startswith("2025-") or (line.startswith(indent) and line[len(indent)] != " ") for line in lines)


@pytest.mark.parametrize("width", [160, 80, 50])
def test_a_narrow_table_has_fewer_columns_and_whole_numbers(width: int) -> None:
    row = report.by_symbol([trade("1234567.89")])[0]
    out = Console(file=io.StringIO(), width=width)
    out.print(display.breakdown("By symbol", [row]))
    assert isinstance(out.file, io.StringIO)
    text = out.file.getvalue()
    assert "…" not in text
    assert "+1,234,567.89" in text
    assert max(map(len, text.splitlines())) <= width
    heads = ("trades", "won", "win rate", "profit factor", "held", "fees", "funding", "net")
    shown = [head for head in heads if head in text]
    assert {"trades", "net"} <= set(shown)
    assert (len(shown) == 8) is (width == 160)


@pytest.mark.parametrize(
    ("outcome", "reason", "said"),
    [
        ("entered", "entered", "entered"),
        ("refused", "refused by score", "refused by score"),
        ("held", "a long is held already", "held: a long is held already"),
        ("voted", "", "voted"),
    ],
)
def test_what_became_of_an_alert_is_not_said_twice(outcome: str, reason: str, said: str) -> None:
    assert display.ending(outcome, reason) == said


def test_a_line_of_the_venue_names_its_symbol_once() -> None:
    seen = ExternalSeen(ts=TS, symbol=BTC, side=1, quantity=Decimal(5), price=Decimal(50_000), margin=Decimal(40))
    stream = display.Stream(None)
    what, why = stream.words(seen) or (("", ""), ("", ""))
    assert stream.line(seen, what, why).plain.count(BTC) == 1
    assert why[0] == "held beside our own positions: long 5 contracts at 50,000"


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("by hand", "somebody else acts on our position: 1,136 contracts bought (by hand)"),
        ("liquidation", "somebody else acts on our position: 1,136 contracts bought (liquidation)"),
        ("unprotected", "an order of our own that the book did not have: 1,136 contracts bought (unprotected)"),
    ],
)
def test_an_order_of_our_own_that_the_book_did_not_have_is_nobody_elses(reason: str, said: str) -> None:
    found = msgspec.structs.replace(order(1_136), side=1, purpose=Purpose.CLOSE, reason=reason)
    _, why = display.Stream(None).words(OrderFound(ts=TS, order=found)) or (("", ""), ("", ""))
    assert why[0] == f"{BTC}: {said}"


def test_once_nothing_stands_against_entries_any_more_a_line_says_so() -> None:
    def blocked(by: str, reason: str) -> Blocked:
        return Blocked(ts=TS, symbol="", reason=reason, by=by)

    stream = display.Stream(None)
    told = [
        blocked("venue", ""),
        blocked("venue", "no answer"),
        blocked("pulse", "no price"),
        blocked("venue", ""),
        blocked("pulse", ""),
    ]
    said = [words and words[1][0] for words in map(stream.words, told)]
    assert said == [None, "no entries for now: no answer", "no entries for now: no price", None, "entries are taken again"]


def test_the_mean_price_of_several_fills_is_short() -> None:
    assert display.price(Decimal("4378.610294117647058823529412")) == "4,378.61029"
    assert display.price(Decimal("91645.312500000000")) == "91,645.3125"
    assert display.price(Decimal("4380.4964000000")) == "4,380.4964"
    assert display.price(Decimal("91729.600000000")) == "91,729.6"
    assert display.price(Decimal("0.00001234")) == "0.00001234"
    assert display.price(Decimal("2.20")) == "2.20"
