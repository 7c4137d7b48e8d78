"""Positions at the exchange against the book: what is gone and by whose doing, what is held beside ours, how it is held."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

from enigma_core.book import Book
from enigma_core.chance import maybe
from enigma_core.model import ZERO, ExternalSeen, money
from enigma_core.parts import Command, Report
from enigma_exchange.account.blocks import Blocks
from enigma_exchange.account.fills import Fills
from enigma_exchange.account.lives import Lives
from enigma_exchange.account.positions import NOTHING, Beside, difference, explained
from enigma_exchange.port import Held, Traded

SOON = 0.25
"""Seconds until positions are looked at again after something was put right."""

AGAIN = 1.0
"""Seconds until a difference is looked at a second time."""


class Comparing:
    """Takes what was read and tells the engine what follows. It asks nothing itself.

    `say` tells the engine, `again` asks for another look in so many seconds, `lot` is a symbol's, `halt` stops all entries.
    """

    def __init__(
        self,
        book: Book,
        fills: Fills,
        lives: Lives,
        blocks: Blocks,
        *,
        say: Callable[..., object],
        again: Callable[[float], None],
        lot: Callable[[str], Decimal],
        halt: Callable[[str], None],
        ts: Callable[[], int],
    ) -> None:
        self._book, self._fills, self._lives, self._blocks = book, fills, lives, blocks
        self._say: Callable[..., object] = say
        self._again, self._lot, self._halt, self._ts = again, lot, halt, ts
        self.gone: dict[str, int] = {}
        """How often in a row a symbol's position was seen to be smaller than ours."""
        self._beside: dict[str, tuple[Beside, int]] = {}
        self.complete = False
        """Whether the last look was about all symbols: those that are moving are left out."""

    @property
    def pending(self) -> bool:
        """A difference that the next look may explain. One that it did not is blocked, and holds up nothing."""
        return any(not self._blocks.has(symbol, "position") for symbol in self.gone)

    def all(self, held: Sequence[Held], strays: Sequence[str], moving: Callable[[str], bool], traded: Iterable[str]) -> None:
        """Compare every symbol but those that are `moving`. `strays` are those that were known before the look."""
        there: dict[str, list[Held]] = {}
        for one in held:
            there.setdefault(one.symbol, []).append(one)
        odd = sorted({self._fills.strays[name].symbol for name in strays if name in self._fills.strays})
        self.complete = True
        for symbol in dict.fromkeys((*self._book.positions, *there, *self._book.external, *self.gone, *odd)):
            if moving(symbol) or maybe("comparing: a symbol is thought to be moving"):
                self.complete = False
            else:
                self.one(symbol, there.get(symbol, []), strays)
        for symbol in traded:
            if symbol not in self._book.positions:
                self._blocks.set(symbol, "held", "")

    def one(self, symbol: str, there: Sequence[Held], strays: Iterable[str]) -> None:
        """Compare one symbol."""
        position, lot = self._book.positions.get(symbol), self._lot(symbol)
        gone, beside = difference(position, there, lot)
        if position is None or not gone:
            self._agree(symbol, strays)
            self._note_beside(symbol, beside)
            if position is not None and not beside.quantity:
                self._check_held(symbol, there, position.leverage)
            return
        trades, missing = explained(self._fills.strays.values(), position, gone)
        if missing and missing <= lot and position.quantity > gone:
            # the exchange's rounding
            self._agree(symbol, ())
            return
        times = self.gone[symbol] = self.gone.get(symbol, 0) + 1
        if missing or times < 2 or maybe("comparing: what is gone is looked at once more"):
            # one look, and a difference that no fill explains, prove nothing
            self._again(AGAIN)
            if missing and times >= 2:
                left = position.quantity - gone
                text = f"the exchange holds {left} of our {position.quantity} contracts, and no fill says why"
                self._blocks.set(symbol, "position", text)
            return
        self._take_off(symbol, trades)
        self.gone.pop(symbol, None)
        self._blocks.set(symbol, "position", "")
        self._again(SOON)

    def _take_off(self, symbol: str, trades: Iterable[tuple[Traded, Decimal]]) -> None:
        """Tell of trades of nobody's order that took something off our position."""
        for trade, took in trades:
            holding = self._book.positions.get(symbol)
            if holding is None:
                return
            reports: list[Report | Command] = self._fills.foreign(holding, trade, min(took, holding.quantity))
            self._fills.done(trade)
            self._say(*reports)
            if trade.kind in ("liquidation", "adl"):
                self._halt(f"{symbol}: {trade.kind} of {took} contracts at {trade.price}: look at the account")

    def _agree(self, symbol: str, strays: Iterable[str]) -> None:
        self.gone.pop(symbol, None)
        self._blocks.set(symbol, "position", "")
        for name in strays:
            trade = self._fills.strays.get(name)
            if trade is not None and trade.symbol == symbol:
                # it was about what is held beside ours
                self._fills.leave(trade)

    def _note_beside(self, symbol: str, beside: Beside) -> None:
        known = self._book.external.get(symbol)
        before = (known.side, known.quantity) if known is not None else (NOTHING.side, NOTHING.quantity)
        if (beside.side if beside.quantity else NOTHING.side, beside.quantity) == before:
            self._beside.pop(symbol, None)
            self._beside_blocks(symbol, beside)  # a run before this one may have told of it
            return
        same, times = self._beside.get(symbol, (NOTHING, 0))
        times = times + 1 if (same.side, same.quantity) == (beside.side, beside.quantity) else 1
        self._beside[symbol] = (beside, times)
        entering = any(not life.reduces for life in self._lives.working(symbol))
        again = entering or beside.quantity < before[1] or maybe("comparing: what is held beside ours is looked at once more")
        if again and times < 2:
            # what one look does not show may be there, and what it shows may be ours before its fill is
            self._again(AGAIN)
            return
        del self._beside[symbol]
        side, quantity, margin = beside.side, beside.quantity, money(beside.margin)
        self._beside_blocks(symbol, beside)
        self._say(ExternalSeen(ts=self._ts(), symbol=symbol, side=side, quantity=quantity, price=beside.price, margin=margin))

    def _beside_blocks(self, symbol: str, beside: Beside) -> None:
        self._blocks.set(symbol, "external", "a position is held there that is not ours" if beside.quantity else "")

    def _check_held(self, symbol: str, there: Sequence[Held], leverage: int) -> None:
        one = next(iter(there), None)
        if one is None:
            return
        text = ""
        if not one.isolated:
            text = "its position is held with cross margin; set it to isolated at the exchange"
        elif one.tops_up:
            text = "its margin is added to from the whole account (auto-deposit): switch that off at the exchange"
        elif one.leverage and abs(one.leverage - leverage) > Decimal("0.5") + leverage * Decimal("0.1"):
            # the exchange works its leverage out of margin and worth: small differences are that
            text = f"its position is held at {one.leverage:.2f}x, not the {leverage}x that were ordered"
        self._blocks.set(symbol, "held", text)

    def agrees(self, symbol: str, there: Iterable[Held]) -> bool:
        """Whether the exchange holds what the book says, and what is known beside it."""
        ours = self._book.positions.get(symbol)
        net = any(h.quantity for h in there if h.symbol == symbol)
        return abs(self.excess(symbol, there)) <= (self._lot(symbol) if ours is not None and net else ZERO)

    def excess(self, symbol: str, there: Iterable[Held]) -> Decimal:
        """Signed contracts that the exchange holds beyond what the book says, and what is known beside it."""
        position, beside = self._book.positions.get(symbol), self._book.external.get(symbol)
        ours = position.side * position.quantity if position is not None else ZERO
        others = beside.side * beside.quantity if beside is not None else ZERO
        return sum((h.side * h.quantity for h in there if h.symbol == symbol), ZERO) - ours - others
