"""What a person sees while a run goes on: a tidy line for each thing that matters, a banner before and a table after.

Text that comes from plugins or the market is never read as markup.
"""

from __future__ import annotations

import errno
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

from enigma_core import report
from enigma_core.alert import AlertRefused, AlertWorked
from enigma_core.model import (
    ZERO,
    Blocked,
    Class,
    CloseWanted,
    ConfigSet,
    DayOpened,
    Decision,
    ExternalSeen,
    Fill,
    Funded,
    Marked,
    Order,
    OrderEnded,
    OrderFound,
    OrderSeen,
    Purpose,
    StateSet,
    StreakReset,
    Trade,
    Transferred,
    Verdict,
)
from enigma_core.parts import Note

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.table import Table
    from rich.text import Text

Styled = tuple[str, str]

WORD = 6
"""Letters of the longest word for what happened that keeps its column."""

PLACES = 8
"""Of a price of nine digits as a venue writes it; more are those of a mean."""

ALERTS_A_SECOND = 20
"""Lines about alerts; a storm of them is counted, not printed."""

MEAN = Context(prec=9)
"""The digits of a mean price."""

FAINT = (Class.NEUTRAL, Class.BUY_WEAK, Class.SELL_WEAK)
"""Classes that nobody waits for."""


def console(*, stderr: bool = False) -> Console:
    """A rich console that keeps lines whole when nobody sees them (a pipe, a file); colour only on terminals without NO_COLOR.

    Raises `BrokenPipeError` when it prints to a reader that has gone.
    """
    from rich.console import Console

    class Pipe(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError(errno.EPIPE, "nobody reads")  # rich would end the process here, in the middle of a step

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or os.environ.get("COLUMNS", "").isdecimal() else 160
    no_color = bool(os.environ.get("NO_COLOR")) or None
    return Pipe(file=stream, highlight=False, markup=False, emoji=False, no_color=no_color, width=width)


def when(ts: int) -> str:
    """`ts` (ms) as a person reads it, UTC; a dash for before the market's first moment."""
    if ts <= 0:
        return f"{'-':<16}"
    try:
        return datetime.fromtimestamp(ts / 1000, UTC).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return str(ts)


def spell(seconds: float) -> str:
    """A duration in its two largest units: ``3 h 30 min``, ``2 d``, ``45 s``."""
    left = max(0, round(seconds))
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or f"{max(0.0, seconds):.1f} s"


def amount(value: Decimal | None) -> str:
    """Money for the eye: two places, thousands apart; more places where it would read as zero though it is not."""
    if value is None:
        return "-"
    for places in (2, 4, 6, 12):
        text = f"{value:,.{places}f}"
        if value == 0 or any(digit in text for digit in "123456789"):
            return text if value else f"{ZERO:,.2f}"
    return report.plain(value)


def gain(value: Decimal) -> str:
    """`amount` with its sign."""
    return f"+{amount(value)}" if value > 0 else amount(value)


def price(value: Decimal) -> str:
    """A price with all its places, thousands apart; a mean of several fills with the digits that tell it from others."""
    _, digits, exponent = value.as_tuple()
    mean = len(digits) > MEAN.prec and -exponent > PLACES  # type: ignore[operator]
    return f"{value.normalize(MEAN) if mean else value:,f}"


def percent(fraction: float | None, places: int = 1) -> str:
    """A fraction as percent, or a dash."""
    return "-" if fraction is None else f"{fraction * 100:.{places}f} %"


def figure(value: float | None) -> str:
    """A plain number with two places, or a dash."""
    return "-" if value is None else f"{value:.2f}"


def colour(value: Decimal | float | None) -> str:
    """The style of something won or lost."""
    return "green" if value and value > 0 else "red" if value and value < 0 else ""


def refusal(verdict: Verdict) -> str:
    """Why one gate said no."""
    if verdict.error:
        return f"{verdict.gate} failed: {verdict.error}"
    seen = "is not known yet" if verdict.value is None or verdict.value != verdict.value else f"{verdict.value:.4g}"
    end = f" until {when(verdict.until)}" if verdict.until else ""
    return f"{verdict.gate} {seen}, needs {verdict.limit}{end}"


def ending(outcome: str, reason: str) -> str:
    """What became of an alert and why; one word of it is not said twice."""
    return reason if reason.startswith(outcome) else f"{outcome}: {reason}" if reason else outcome


def sentence(decision: Decision) -> str:
    """A decision in one line: what the market said, then the order or what stood against it."""
    camp = f"{decision.agreeing} of {decision.voting} agree"
    said = f"{decision.klass} {decision.score:+.0f}, confidence {decision.confidence:.2f}, {camp}"
    if decision.order_id and decision.sizing:
        size = decision.sizing
        bound = "" if size.bound == "none" else f", capped by {size.bound}"
        return f"{said}: {report.plain(size.quantity)} contracts at {size.leverage}x, margin {amount(size.margin)}{bound}"
    against = [refusal(v) for v in decision.verdicts if not v.passed]
    if not against:
        return f"{said}: {decision.reason}"
    more = f" (and {len(against) - 2} more)" if len(against) > 2 else ""
    return f"{said}: {'; '.join(against[:2])}{more}"


def say(out: Console, text: Text, indent: int) -> None:
    """Print `text`: on a terminal broken between words, the lines after the first indented; elsewhere in one line."""
    out.print(hung(text, indent, out) if out.is_terminal else text, soft_wrap=True)


def hung(text: Text, indent: int, out: Console) -> Text:
    """`text` broken between words to fit the screen, the lines after the first indented."""
    from rich.text import Text

    if out.width < indent + 24:
        indent = 4
    first, *rest = text.wrap(out, out.width, overflow="fold")
    if not rest:
        return first
    left = text.divide([len(first.plain)])[1]
    while left.plain[:1].isspace():
        left = left[1:]
    more = left.wrap(out, out.width - indent, overflow="fold")
    return Text("\n").join([first, *(Text(" " * indent) + line for line in more)])


class Stream:
    """Turns records into lines, and counts.

    Sparse: what is neutral or weak is not said, and a refusal once until the symbol's class or the gates in its way change.
    `detail` says everything. Call it with each record; `lines` are what it would print.
    """

    def __init__(self, out: Console | None, symbols: Sequence[str] = (), *, equity: Decimal = ZERO, detail: bool = False) -> None:
        self._out = out
        self._detail = detail
        self._width = max([len(s) for s in symbols], default=13)
        self._refused: dict[str, tuple[object, ...]] = {}
        self._orders: dict[str, Order] = {}
        self._blocks: set[str] = set()
        """Who says that nothing is entered in any symbol."""
        self.held: dict[str, Decimal] = {}
        self.equity = equity
        self._base: Decimal | None = None
        """What the account began with, where it began without positions."""
        self._clock = time.monotonic
        self._second, self._in_second = -math.inf, 0
        self.ts = 0
        self.decisions = 0
        self.trades = 0
        self.won = 0
        self.net = ZERO

    def begin(self, symbols: Sequence[str], equity: Decimal, *, flat: bool) -> None:
        """What was not known when the stream was made: how wide symbols are, what the account is worth, whether it holds."""
        self._width = max(map(len, symbols), default=0)
        self.equity = equity
        self._base = equity if flat else None

    def __call__(self, record: Any) -> None:
        """Take in one record, print its line if it deserves one."""
        self.ts = max(self.ts, getattr(record, "ts", 0))
        words = self.words(record)
        if words is None or self._out is None:
            return
        say(self._out, self.line(record, *words), self._indent)

    @property
    def _indent(self) -> int:
        """Where the text of a line begins: after the time, the symbol and the word."""
        return len("2025-01-01 00:00") + self._width + WORD + 6

    def status(self) -> str:
        """Where the run stands, in one line."""
        held = f"{len(self.held)} open" if self.held else "flat"
        trades = f"{self.trades} {'trade' if self.trades == 1 else 'trades'} {gain(self.net)}"
        moment = when(self.ts) if self.ts else "waiting for the first bar"
        return f"{moment}  equity {amount(self.equity)}  {held}  {trades}  {self.decisions} decisions"

    def line(self, record: Any, what: Styled, why: Styled) -> Text:
        """Time, symbol, what, why."""
        from rich.text import Text

        ts = record.exit_ts if isinstance(record, Trade) else record.ts
        symbol = getattr(record, "symbol", "")
        head = (when(ts), "dim"), "  ", (f"{symbol:<{self._width}}", "bold" if what[1] else "")
        return Text.assemble(*head, "  ", (f"{what[0]:<{WORD}}", what[1]), "  ", why)

    def words(self, record: Any) -> tuple[Styled, Styled] | None:
        """What `record` is called, and why it happened, each with its style; None where it is not worth a line."""
        match record:
            case Decision():
                return self._decision(record)
            case Order():
                return self._order(record)
            case Fill():
                return self._fill(record)
            case Trade():
                return self._trade(record)
            case OrderEnded(state="rejected" | "expired"):
                return (record.state, "yellow"), (record.reason, "")
            case Funded():
                rate = f"{gain(record.amount)} at a rate of {report.plain(record.rate)}"
                return (("funded", "dim"), (rate, "dim")) if self._detail else None
            case DayOpened() | Marked():
                self.equity = record.equity
                if isinstance(record, DayOpened) and self._detail:
                    return ("day", "dim"), (f"a new risk day begins with an equity of {amount(record.equity)}", "dim")
            case StateSet():
                return (record.state, "bold yellow"), (record.reason, "")
            case StreakReset():
                return ("reset", "yellow"), (record.reason, "")
            case AlertWorked():
                return self._alert(record)
            case AlertRefused():
                return ("rejected", "yellow"), (f"a message to {record.source}: {record.reason}", "")
            case CloseWanted():
                return ("close", "yellow"), (record.reason, "")
            case ConfigSet():
                return ("config", "yellow"), ("; ".join(f"{path} = {value}" for path, value in record.changes.items()), "")
            case Note():
                return ("note", "yellow"), (f"{record.title}{': ' if record.text else ''}{record.text}", "")
            case ExternalSeen() | OrderFound() | Transferred() | Blocked() | OrderSeen():
                return self._venue(record)
        return None

    def _venue(self, record: Any) -> tuple[Styled, Styled] | None:
        """What a real venue says that nobody here asked for."""
        from enigma_core.shells.notes import note_of

        if isinstance(record, Blocked) and not record.symbol:
            if record.reason:
                self._blocks.add(record.by)
            elif record.by in self._blocks:
                self._blocks.remove(record.by)
                return None if self._blocks else (("venue", "yellow"), ("entries are taken again", ""))
        note = note_of(record)
        if note is None:
            return None
        # the line has the symbol already
        title = note.title.removeprefix(f"{getattr(record, 'symbol', '')}: ")
        return ("venue", "yellow"), (f"{title}: {note.text}", "")

    def _decision(self, decision: Decision) -> tuple[Styled, Styled] | None:
        self.decisions += 1
        if decision.order_id:
            self._refused.pop(decision.symbol, None)
            side, style = ("LONG", "bold green") if (decision.side or decision.score) > 0 else ("SHORT", "bold red")
            return (side, style), (sentence(decision), "")
        against = (decision.klass, *(v.gate for v in decision.verdicts if not v.passed))
        known = self._refused.get(decision.symbol) == against
        self._refused[decision.symbol] = against
        if not self._detail and (known or decision.klass in FAINT):
            return None
        return ("skip", "dim"), (sentence(decision), "dim")

    def _alert(self, worked: AlertWorked) -> tuple[Styled, Styled] | None:
        now = self._clock()
        if now - self._second >= 1.0:
            self._second, self._in_second, dropped = now, 0, self._in_second - ALERTS_A_SECOND
            more = f" ({dropped:,} more were not shown)" if dropped > 0 else ""
        else:
            more = ""
        self._in_second += 1
        if self._in_second > ALERTS_A_SECOND:
            return None
        style = {"entered": "bold", "refused": "dim", "nothing": "dim", "held": "dim"}.get(worked.outcome, "")
        return ("alert", style), (f"{ending(worked.outcome, worked.reason)} ({worked.source} {worked.id}){more}", style)

    def _order(self, order: Order) -> tuple[Styled, Styled] | None:
        self._orders[order.id] = order
        if not self._detail or order.purpose is Purpose.ENTRY:
            return None
        level = "at the market" if order.price is None else f"at {price(order.price)}"
        return (str(order.purpose), "dim"), (f"{report.plain(order.quantity)} contracts {level}", "dim")

    def _fill(self, fill: Fill) -> tuple[Styled, Styled] | None:
        order = self._orders.get(fill.order_id)
        text = f"{report.plain(fill.quantity)} contracts at {price(fill.price)}, fee {amount(fill.fee)}"
        held = self.held.get(fill.symbol, ZERO)
        left = held + fill.side * fill.quantity
        if left:
            self.held[fill.symbol] = left
        else:
            self.held.pop(fill.symbol, None)
        if abs(left) > abs(held):
            if order is not None and fill.quantity < order.quantity:
                text += f" (of {report.plain(order.quantity)} ordered)"
            return ("filled", "green" if fill.side > 0 else "red"), (text, "")
        # the last fill of a position says nothing that its trade does not say better
        return (("part", "dim"), (f"{text} ({fill.reason})", "")) if left else None

    def _trade(self, trade: Trade) -> tuple[Styled, Styled]:
        self.trades += 1
        self.won += trade.net > 0
        self.net += trade.net
        self.ts = max(self.ts, trade.exit_ts)
        self.held.pop(trade.symbol, None)
        if not self.held and self._base is not None:
            # marks come with the bars; a closed position is worth what it made
            self.equity = self._base + self.net
        text = (
            f"{gain(trade.net)}  {trade.exit_reason}: {trade.side} {price(trade.entry_price)} to {price(trade.exit_price)} "
            f"in {spell((trade.exit_ts - trade.entry_ts) / 1000)}, fees {amount(trade.fees)}"
        )
        return ("closed", f"bold {colour(trade.net)}".strip()), (text, colour(trade.net))


def facts(title: str, rows: Mapping[str, str | Styled]) -> Table:
    """Names and values in two columns under a title."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", title_style="bold", box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, Text(value) if isinstance(value, str) else Text(*value))
    return table


class Grid:
    """A table whose first column is text and whose others are numbers. Numbers are never cut: where the screen is narrow, the
    columns of `dispensable` are left out, the first of them first."""

    def __init__(
        self, title: str, heading: Sequence[str], rows: Sequence[Sequence[str | Styled]], dispensable: Sequence[str] = ()
    ) -> None:
        self.title, self.heading, self.rows, self.dispensable = title, heading, rows, dispensable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        from rich.measure import Measurement

        left = list(self.heading)
        for name in (None, *self.dispensable):
            if name is not None:
                left.remove(name)
            table = self._table(left)
            if Measurement.get(console, options.update(max_width=10_000), table).maximum <= options.max_width:
                break
        yield table

    def _table(self, names: Sequence[str]) -> Table:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        shown = [i for i, name in enumerate(self.heading) if name in names]
        table = Table(
            title=self.title,
            title_justify="left",
            title_style="bold",
            box=box.SIMPLE_HEAD,
            padding=(0, 1),
            header_style="dim",
        )
        for i in shown:
            table.add_column(self.heading[i], justify="right" if i else "left", no_wrap=i > 0, overflow="ellipsis" if i else "fold")
        for row in self.rows:
            cells = (row[i] for i in shown)
            table.add_row(*(Text(cell) if isinstance(cell, str) else Text(*cell) for cell in cells))
        return table


def grid(title: str, heading: Sequence[str], rows: Sequence[Sequence[str | Styled]], dispensable: Sequence[str] = ()) -> Grid:
    """A `Grid`, as a screen of any width can hold it."""
    return Grid(title, heading, rows, dispensable)


def breakdown(title: str, rows: Sequence[report.Row]) -> Grid:
    """Trades by what they share."""
    heading = ("", "trades", "won", "win rate", "profit factor", "held", "fees", "funding", "net")
    dispensable = ("profit factor", "won", "held", "funding", "fees")
    return grid(
        title,
        heading,
        [
            (
                row.key,
                str(row.trades),
                str(row.wins),
                percent(row.win_rate),
                figure(row.profit_factor),
                spell(row.mean_hours * 3600),
                amount(row.fees),
                gain(row.funding),
                (gain(row.net), colour(row.net)),
            )
            for row in rows
        ],
        dispensable,
    )
