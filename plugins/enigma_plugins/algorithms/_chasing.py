"""Waiting at the best price of one's own side, and following it."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from enigma_core.market import Market
from enigma_core.model import ZERO
from enigma_core.parts import Advice, Slice, Work
from enigma_plugins.algorithms._quotes import bookless, fresh, own_side
from enigma_plugins.algorithms._resting import resting

GRACE = 600_000
"""ms after its time in which an entry may still be brought to an end; later (after a long pause) nobody wants it any more."""


class Chase(msgspec.Struct, frozen=True, kw_only=True):
    """How an order follows the market: times in seconds, `runaway` a share of the first price, `visible` the most at work."""

    visible: Decimal
    every: float
    patience: float
    runaway: float
    cross: bool
    max_age: float

    def advise(self, work: Work, market: Market, now: int) -> Advice:
        """What to do now. At the end of patience the rest goes to the market (`cross`), or is given up."""
        waiting = resting(work)
        end = work.order.ts + round(self.patience * 1000)
        if len(waiting) < sum(piece.working for piece in work.pieces):
            # the rest is on its way to the market already
            return Advice(cancel=waiting, over=True)
        blind = all(piece.order.price is None for piece in work.pieces) and bookless(market, now, work.order.ts, self.max_age)
        if now >= end or blind:
            return self._finish(work, waiting, late=now > end + GRACE)
        book = fresh(market, now, self.max_age)
        price = own_side(book, work.order.side, work.instrument) if book is not None else None
        soon = min(end, now + max(1, round(self.every * 1000)))
        if price is None:
            return Advice(again=soon)
        if self._away(work, price):
            return Advice(cancel=waiting, over=True)
        if waiting:
            return self._follow(work, price, now, end)
        ripe = self._ripe(work)
        if ripe > now:
            return Advice(again=min(end, ripe))
        return Advice(send=self._next(work, price), again=end, over=work.left < work.instrument.min_quantity)

    def _ripe(self, work: Work) -> int:
        """When the next may follow: at once after one that has filled, else as late as one that is outbid moves.

        One that the venue ended by itself would have traded: the same price at once would meet the same.
        """
        last = work.pieces[-1] if work.pieces else None
        if last is None or last.filled == last.order.quantity:
            return 0
        return last.order.ts + round(self.every * 1000)

    def _finish(self, work: Work, waiting: tuple[str, ...], *, late: bool) -> Advice:
        if waiting:
            # what is left is known once they have ended
            return Advice(cancel=waiting)
        if late or not self.cross or work.left < work.instrument.min_quantity:
            return Advice(over=True)
        return Advice(send=(Slice(quantity=work.left),), over=True)

    def _away(self, work: Work, price: Decimal) -> bool:
        first = next((piece.order.price for piece in work.pieces if piece.order.price is not None), None)
        return first is not None and work.order.side * (price - first) > first * Decimal(repr(self.runaway))

    def _follow(self, work: Work, price: Decimal, now: int, end: int) -> Advice:
        again, behind = end, []
        for piece in work.pieces:
            if not piece.working or piece.order.price is None or work.order.side * (price - piece.order.price) <= 0:
                continue
            ripe = piece.order.ts + round(self.every * 1000)
            if ripe <= now:
                behind.append(piece.order.id)
            else:
                again = min(again, ripe)
        return Advice(cancel=tuple(behind), again=again)

    def _next(self, work: Work, price: Decimal) -> tuple[Slice, ...]:
        left, least = work.left, work.instrument.min_quantity
        quantity = min(left, max(self.visible // work.instrument.lot * work.instrument.lot, least))
        if ZERO < left - quantity < least:
            quantity = left
        return (Slice(quantity=quantity, price=price, post_only=True),) if quantity >= least else ()
