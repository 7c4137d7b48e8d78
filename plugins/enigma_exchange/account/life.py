"""The life of one order at an exchange, as far as anybody knows. Pure: it is told what came of each request, and says what to do.

    noted -> sent -> working -> over
                  -> unknown -> working
                             -> absent -> (seen after all) working

An unclear answer makes it unknown; only looking it up gets it out of there.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Literal, NamedTuple

from enigma_core.chance import maybe
from enigma_core.model import ZERO, Order, Purpose
from enigma_exchange.account.timing import Timing, backoff
from enigma_exchange.port import OrderState, Placing

State = Literal["noted", "sent", "unknown", "working", "absent", "over"]
Ending = Literal["cancelled", "rejected", "expired"]

SOME_LOOKS = 3

REFUSED_LOOKS = 2
"""A refusal after an unclear answer counts once so many looks have missed the order."""

GONE_LOOKS = 2
GONE_SECONDS = 0.5
"""An exit that was seen and is missed so often, over so long, is gone: waiting longer would leave its position alone."""


def is_stop(order: Order) -> bool:
    """True for what rests among the exchange's stop orders until it is triggered."""
    return order.purpose is Purpose.STOP or (order.purpose is Purpose.TARGET and not order.resting)


class Do(NamedTuple):
    """The next thing to do about an order. `seconds` is of "rest": until then, None for until there is news."""

    what: Literal["send", "look", "cancel", "prove", "rest", "end", "over"]
    seconds: float | None = None
    ending: Ending = "cancelled"
    reason: str = ""


class Life:
    """One order of ours. Times are seconds of the loop's clock, but for `sent_ts` (ms of the wall)."""

    def __init__(self, order: Order, client_id: str, timing: Timing, at_work: dict[str, Life] | None = None) -> None:
        self.order = order
        self.client_id = client_id
        self.timing = timing
        self._at_work = {} if at_work is None else at_work
        """Where those stand that something may still come of, by order id."""
        self.state = "noted"
        self.venue_id = ""
        self.filled = ZERO
        """Contracts the engine has been told of."""
        self.venue_filled = ZERO
        """Contracts that a look at the order said were filled."""
        self.told_filled = True
        """`filled` holds every fill that is written down already."""
        self.open = True
        """As far as the last look said."""
        self.waits = is_stop(order)
        """A stop (or a target) that waits for its trigger."""
        self.seen = False
        """A look has found it at the exchange."""
        self.grown = 0
        """So many looks in a row have shown that the position has grown by its size."""
        self.guessed = False
        """That it has filled was taken from the position alone: nothing at the exchange shows the order."""
        self.overlooked = False
        """A look has missed it, whose request has been under way for long."""
        self.exists = False
        """The exchange has said that an order of this id exists."""
        self.refused = ""
        self.calling_off = False
        self.called_off = ""
        """Why, if not because the engine wished it."""
        self.tries = 0
        self.doubtful = False
        """A request may still have effects that nobody has seen."""
        self.sent_ts = 0
        self.due = 0.0
        self.cancel_due = 0.0
        self.cancels = 0
        self.moved = 0.0
        """When it was last seen to make progress."""
        self.lagging: float | None = None
        """Since when fills are known to be there that nobody has shown."""
        self.misses: list[float] = []
        self.resend = False

    @property
    def state(self) -> State:
        """Where it stands."""
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        self._state: State = state
        if state in ("over", "absent"):
            self._at_work.pop(self.order.id, None)
        else:
            self._at_work[self.order.id] = self

    @property
    def reduces(self) -> bool:
        return self.order.purpose is not Purpose.ENTRY

    @property
    def is_stop(self) -> bool:
        """True for what rests among the exchange's stop orders until it is triggered."""
        return is_stop(self.order)

    @property
    def in_flight(self) -> bool:
        """True for an order that should fill now: it is looked at every moment."""
        if self.is_stop:
            return not self.waits
        return not self.order.resting or self.order.lasts == "IOC"

    @property
    def unsettled(self) -> bool:
        """True while positions at the exchange may hold what the book does not, because of this order."""
        if self.state == "unknown":
            # one that only reduces is put right by its fills, whoever they are put down to
            return not self.reduces or len(self.misses) < SOME_LOOKS
        if self.state == "sent":
            return True
        return self.state == "working" and (self.in_flight or self.venue_filled > self.filled or not self.open)

    @property
    def left(self) -> Decimal:
        return self.order.quantity - self.filled

    def placing(self, quantity: Decimal, price: Decimal | None) -> Placing:
        """The order as it is sent."""
        order = self.order
        waits = self.is_stop
        # a stop is passed on the way to a loss, a target on the way to a profit
        falls = waits and (order.side < 0) == (order.purpose is Purpose.STOP)
        return Placing(
            client_id=self.client_id,
            symbol=order.symbol,
            side=order.side,
            quantity=quantity,
            kind="stop" if waits else "limit" if order.resting and price is not None else "market",
            price=price if waits or order.resting else None,
            falls=falls,
            lasts=order.lasts,
            post_only=order.post_only,
            reduce_only=self.reduces,
            leverage=order.leverage,
        )

    # what to do

    def next(self, now: float, *, fresh: bool) -> Do:
        """What to do about it at `now`. `fresh`: it is young enough to be sent, if it is an entry."""
        if self.state == "over":
            return Do("over")
        if self.state == "noted":
            if self.calling_off:
                return Do("end", reason=self.called_off or "called off before it was sent")
            if not self.reduces and not fresh:
                return Do("end", ending="expired", reason=f"older than {self.timing.fresh:g} s before it could be sent")
            return Do("send") if now >= self.due else Do("rest", self.due - now)
        if self.state == "unknown":
            return self._unknown(now)
        if self.state == "working":
            if self.calling_off and self.open and now >= self.cancel_due:
                return Do("cancel")
            if self.in_flight and self.open and not self.calling_off and self._stalled(now):
                self.call_off(f"it has not moved for {now - self.moved:.1f} s")
                return Do("cancel")
            if now >= self.due:
                return Do("prove") if self._gone(now) else Do("look")
            until = min(self.due, self.cancel_due if self.calling_off and self.open else math.inf)
            return Do("rest", None if until == math.inf else until - now)
        return Do("rest")

    def _stalled(self, now: float) -> bool:
        if maybe("order: one that fills is given up soon"):
            return now - self.moved > self.timing.in_flight
        return now - self.moved > self.timing.stall

    def _unknown(self, now: float) -> Do:
        proven = self.missed(self.timing.looks, self.timing.proof)
        if self.calling_off and now >= self.cancel_due and not proven:
            return Do("cancel")
        if now < self.due:
            return Do("rest", self.due - now)
        if self.refused and len(self.misses) >= REFUSED_LOOKS:
            return Do("end", ending="rejected", reason=self.refused)
        if self.resend and self.reduces and not self.calling_off and not self.exists:
            return Do("send")
        return Do("prove" if proven else "look")

    def _gone(self, now: float) -> bool:
        """It was accepted, and has been missed for long enough to ask everything else about it."""
        if self.seen and self.reduces:
            return self.missed(GONE_LOOKS, GONE_SECONDS)
        return self.missed(self.timing.looks, self.timing.proof)

    def missed(self, times: int, seconds: float) -> bool:
        return len(self.misses) >= times and self.misses[-1] - self.misses[0] >= seconds

    # what came of it

    def sending(self, now: float, wall: int) -> None:
        self.state = "sent"
        self.tries += 1
        self.overlooked = False
        self.resend = False
        self.sent_ts = self.sent_ts or wall
        self.moved = now

    def acknowledged(self, venue_id: str, now: float) -> None:
        """The exchange has it."""
        self.state, self.venue_id = "working", venue_id
        self.refused = ""
        self.misses.clear()
        self.moved = now
        # whether it can be seen is another matter
        self.due = now + (0.0 if self.in_flight else 0.1)

    def known(self, now: float) -> None:
        """The exchange says that it has an order of this id."""
        self.state, self.exists = "unknown", True
        self.due = now

    def unclear(self, now: float) -> None:
        self.state, self.doubtful = "unknown", True
        self.due = now + backoff(len(self.misses))

    def throttled(self, now: float, after: float) -> None:
        """It was not done; the same request may be made again."""
        self.state = "unknown" if self.doubtful or self.exists else "noted"
        self.due = now + after

    def refuse(self, reason: str, now: float) -> bool:
        """The exchange will not have it. False where an earlier request may have been done all the same."""
        if not self.doubtful:
            return True
        self.state, self.refused = "unknown", reason
        self.misses.clear()
        self.due = now + backoff(0)
        return False

    def missing(self, now: float) -> None:
        """A look did not find it."""
        self.misses.append(now)
        self.due = now + min(backoff(len(self.misses) - 1), 5.0 if self.reduces else 30.0)
        self.resend = self.state == "unknown" and not self.refused
        self.cancel_due = max(self.cancel_due, self.due)

    def unanswered(self, now: float) -> None:
        """A look got no answer: that says nothing."""
        self.due = now + max(self.timing.in_flight, 0.5)

    def found(self, state: OrderState, now: float) -> None:
        """A look has found it."""
        if state.filled > self.venue_filled or not self.seen or state.stop != self.waits:
            self.moved = now
        self.state, self.seen, self.refused, self.doubtful = "working", True, "", False
        self.venue_id = state.venue_id or self.venue_id
        self.venue_filled = state.filled if self.guessed else max(self.venue_filled, state.filled)
        if self.guessed and self.venue_filled <= self.filled:
            self.lagging = None
        self.guessed = False
        self.open, self.waits = state.open, state.stop
        self.misses.clear()
        if self.venue_filled > self.filled:
            self.lagging = now if self.lagging is None else self.lagging
        if self.lagging is not None:
            self.due = now + backoff(0)
        else:
            self.due = now + self.timing.in_flight if self.in_flight or not self.open else math.inf

    def guess(self, now: float) -> None:
        """Nothing shows it, and the position has grown by exactly its size."""
        self.state, self.open, self.guessed = "working", False, True
        self.venue_filled = self.order.quantity
        self.lagging = now - self.timing.protect
        self.due = now + self.timing.in_flight

    def fill(self, quantity: Decimal, now: float) -> None:
        self.filled += quantity
        self.moved = now
        if self.venue_filled <= self.filled:
            self.lagging = None

    @property
    def settled(self) -> bool:
        """Nothing more can come of it, and all that came is told."""
        if self.filled >= self.order.quantity:
            return True
        return self.state == "working" and not self.open and self.filled >= self.venue_filled

    def hidden(self, now: float) -> bool:
        """An order that was to reduce is over, and its last fills have not been shown for long: nobody waits for them any more."""
        lagging = self.lagging if self.lagging is not None and self.reduces and not self.open else now
        return now - lagging > self.timing.proof

    def call_off(self, reason: str = "") -> None:
        if not self.calling_off:
            self.calling_off, self.called_off, self.cancel_due = True, reason, 0.0

    def cancel_tried(self, now: float) -> None:
        self.cancels += 1
        self.cancel_due = now + backoff(self.cancels)
        self.due = min(self.due, now)
