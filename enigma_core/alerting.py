"""What an alert comes to, given what is held and what was said before. Pure.

A target position wins over a word. What reduces is obeyed, unless a later message of the same sender shows that it was about
a position that is gone. An entry older than the newest word of its sender on the symbol is not wanted any more.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, NamedTuple

from enigma_core.alert import Alert, Mode, Outcome, Request
from enigma_core.model import Instrument, Side

SIDES: dict[str, Side] = {"long": 1, "short": -1}
NAMES = {1: "long", -1: "short"}


class Mark(NamedTuple):
    """The newest word of one sender on one symbol: its times (bar, sent), what it wants held, what it said was held before.

    `word` are the times of the message that spoke of a side, where a later one (reduce, cancel) did not.
    """

    bar: int | None
    sent: int | None
    stance: str
    previous: str | None
    word: tuple[int | None, int | None] | None = None

    @property
    def spoken(self) -> Mark:
        """The same with the times of the word on a side."""
        return self if self.word is None else Mark(*self.word, self.stance, self.previous)


class Wish(NamedTuple):
    """What is to be done: leave what is held, enter a side, take some off, cancel a working entry; or why nothing."""

    leave: bool = False
    enter: Side | Literal[0] = 0
    reduce: bool = False
    cancel: bool = False
    outcome: Outcome = "nothing"
    reason: str = ""


def order_of(request: Request, mark: Mark | None) -> int:
    """-1 where `request` is older than `mark`, 1 where it is newer or nobody knows, 0 where both are of one moment."""
    if mark is None:
        return 1
    for ours, theirs in ((request.bar, mark.bar), (request.sent, mark.sent)):
        if ours is not None and theirs is not None and ours != theirs:
            return 1 if ours > theirs else -1
    return 0 if (request.bar is not None and mark.bar is not None) or (request.sent is not None and mark.sent is not None) else 1


def stance_of(request: Request, held: int) -> str | None:
    """What `request` wants held: long, short or flat; None where it does not say."""
    if request.position is not None:
        return request.position
    match request.action:
        case "long" | "short":
            return request.action
        case "close":
            return "flat"
        case "reverse" if held:
            return NAMES[-held]
        case _:
            return None


def marked(request: Request, held: int, before: Mark | None) -> Mark | None:
    """The newest word once `request` was worked. One that closes the other side only leaves the word as it was.

    What says nothing of a side (reduce, cancel, a reversal of nothing) moves the time on: an entry sent before it comes too late.
    """
    if order_of(request, before) < 0 or _about_another(request, before):
        return before
    stance = stance_of(request, held)
    if stance is None:
        if request.action is None or (request.bar is None and request.sent is None):
            return before
        if before is None:
            return Mark(request.bar, request.sent, "flat", None)
        word = before.word or (before.bar, before.sent)
        return Mark(request.bar, request.sent, before.stance, None, word)
    return Mark(request.bar, request.sent, stance, request.previous)


def _closes(request: Request) -> str | None:
    """The side that a flat position is asked of; None where any is meant."""
    return request.closes or (request.previous if request.previous in SIDES else None)


def _about_another(request: Request, mark: Mark | None) -> bool:
    """True where `mark` shows that the position `request` speaks of is gone already."""
    if mark is None or order_of(request, mark) > 0:
        return False
    if request.position == "flat" or request.action == "close":
        about = _closes(request)
        if about is not None:
            return mark.stance in SIDES and about != mark.stance
    # of two messages of one moment, the one that ends where the other begins came first
    ends = "flat" if request.action == "close" and request.position is None else request.position
    return order_of(request, mark) == 0 and ends is not None and ends == mark.previous != mark.stance


def wish(request: Request, mode: Mode, held: int, mark: Mark | None) -> Wish:
    """What is to be done about `request` while `held` (1, -1, 0; an entry still working counts) is held."""
    if request.action == "cancel" and request.position is None:
        return Wish(cancel=True)
    if request.action == "reduce" and request.position is None:
        if held and request.closes is not None and SIDES[request.closes] != held:
            return Wish(reason=f"it takes some off a {request.closes}, and a {NAMES[held]} is held")
        return Wish(reduce=True) if held else Wish(reason="nothing is held that could be reduced")
    if _about_another(request, mark):
        return Wish(outcome="superseded", reason="a later message says that this position is gone already")
    if request.opposed and request.position is not None:
        if held == SIDES[request.position]:
            return Wish(reduce=True)
        if request.trims:
            return Wish(leave=bool(held), reason=f"it takes some off a {request.position}, and none is held")
    stance = stance_of(request, held)
    if stance is None:
        return Wish(reason="nothing is held that could be reversed" if request.action == "reverse" else "it asks for nothing")
    if stance == "flat":
        about = _closes(request)
        if not held:
            return Wish(reason="nothing is held")
        # a sender who is the first to speak of a side is believed about nothing but that side
        if about is not None and SIDES[about] != held:
            return Wish(reason=f"it closes a {about}, and a {NAMES[held]} is held")
        return Wish(leave=True)
    side = SIDES[stance]
    stated = request.position is not None or request.action == "reverse" or mode == "signal"
    if mark is not None and order_of(request, mark) < 0:
        # what it would have left is left, unless that is what the later message wants held
        leave = stated and mode != "veto" and held == -side and (mark.stance != NAMES[held] or order_of(request, mark.spoken) > 0)
        return Wish(leave=leave, outcome="superseded", reason="a later message of the same sender has come before it")
    if held == side:
        return Wish(enter=side, outcome="held", reason=f"a {stance} is held already")
    if held and not stated:
        return Wish(enter=side, outcome="held", reason=f"a {NAMES[held]} is held; the vote counts at the next evaluation")
    # a veto is about entries alone
    return Wish(leave=bool(held) and mode != "veto", enter=side)


def taken_off(request: Request, held: Decimal, price: float, equity: Decimal, instrument: Instrument) -> Decimal | None:
    """How many contracts of `held` go where some are to be taken off; None for all.

    A message that says how much it sells and how much it keeps means that share: what it trades need not be as large as what is
    held here. Percent are of the position.
    """
    rest = request.position_size
    if request.quantity is None or (request.action is None and rest is not None):
        return None if rest is None else max(held - instrument.contracts(rest), Decimal(0))
    if rest is not None and request.unit == "base":
        share = request.quantity / (request.quantity + rest)
    elif request.unit == "percent":
        if request.quantity >= 100:
            return held
        share = request.quantity / 100
    else:
        base = base_quantity(request, price, equity, instrument)
        return None if base is None else min(instrument.contracts(base), held)
    return min(held, held * share // instrument.lot * instrument.lot)


def calls_off(later: Request, earlier: Request) -> bool:
    """Whether `later`, which only reduces, says that the entry of `earlier` is not wanted: one of its symbol, or a halt.

    What closes the other side only says nothing of it.
    """
    if later.action == "halt":
        return True
    if later.symbol != earlier.symbol:
        return False
    return later.position is not None or later.closes is None or stance_of(earlier, 0) in (None, later.closes)


def too_old(alert: Alert, now: int) -> str:
    """Why the alert is not worked at `now` (wall, ms) any more; empty while it is fresh enough."""
    request = alert.request
    limit = alert.max_lag_exit if request.reduces else alert.max_lag
    if request.max_lag is not None:
        limit = min(limit, request.max_lag)
    age = now - (request.sent if request.sent is not None else alert.received)
    return "" if age <= limit else f"it is {age / 1000:.0f} s old, and {limit / 1000:g} s are allowed"


AMOUNTS = ("quantity", "leverage", "stop", "take_profit")


def no_amount(request: Request) -> str:
    """Which amount in `request` is none; empty where all are finite and above 0."""
    for name in AMOUNTS:
        value = getattr(request, name)
        if value is not None and not (value.is_finite() and value > 0):
            return f"its {name} of {value} is no amount; it must be a number above 0"
    return ""


def base_quantity(request: Request, price: float, equity: Decimal, instrument: Instrument) -> Decimal | None:
    """What the alert asks for, in base currency; None where it names no quantity. Percent are of the equity, as notional."""
    if request.quantity is None:
        return None
    match request.unit:
        case "base":
            return request.quantity
        case "contracts":
            return request.quantity * instrument.multiplier
        case "quote":
            return request.quantity / Decimal(repr(price))
        case "percent":
            return equity * request.quantity / 100 / Decimal(repr(price))
