"""One step of trading: an event goes in, what is to be recorded and done comes out. Pure, and the whole of it.

A report (fill, funding, end of an order) changes the book and may call for protective orders. A set of closed bars moves
the marks, then the stops of what is held, then decides on what is not. Nothing here waits, reads a clock or does IO.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Protocol

import msgspec
import numpy as np

from enigma_core.alert import Alert, AlertWorked
from enigma_core.answering import Answering
from enigma_core.book import Book, Position, Working
from enigma_core.deciding import Decider, asked_aim, asked_stop
from enigma_core.exiting import aims, closings, first_stops, shares, stop_lines, tightest
from enigma_core.gating import ask_market, clears_streak
from enigma_core.market import BarsClosed, Market, Voted
from enigma_core.matching import since_entry
from enigma_core.model import (
    ASKED,
    ZERO,
    Bar,
    Blocked,
    Cancel,
    CloseWanted,
    DayOpened,
    Decision,
    ExternalSeen,
    Fill,
    Instrument,
    Marked,
    Order,
    OrderEnded,
    OrderFound,
    OrderSeen,
    Purpose,
    Sliced,
    StateSet,
    StopMissing,
    Trade,
    Transferred,
)
from enigma_core.parts import Command, Holding, Note, Path, Report
from enigma_core.plan import Plan
from enigma_core.scoring import Evaluation
from enigma_core.timeframes import day_end

Record = Report | Command | Order | Cancel | Decision | Trade | DayOpened | Marked | Note | Voted | AlertWorked
"""What a step gives back: first what happened, then what is to be done."""


SILENT_BARS = 2
"""After so many bars without news nobody knows what a market is worth: no alert is entered on it."""


STOP_TRIES = 5
"""A stop that somebody takes away so often is not put back any more: the position is left."""

CLOSE_TRIES = 5
"""An order to close that ends without is sent again so often within a second. A venue that waits longer between its refusals is
asked again for as long as it takes."""


class Scorer(Protocol):
    """Scores one symbol as its bars close."""

    @property
    def primary_closed(self) -> bool:
        """True when the bar pushed last closed a bar of the primary timeframe."""
        ...

    @property
    def ready(self) -> bool:
        """True once there is something to evaluate."""
        ...

    @property
    def last_close(self) -> float:
        """The newest price there is: the close of the bar pushed last."""
        ...

    @property
    def last_bar(self) -> tuple[int, int] | None:
        """When the bar pushed last opened and closed, ms; None before the first."""
        ...

    def push(self, bar: Bar) -> None: ...
    def evaluate(self, market: Market | None, now: int) -> Evaluation:
        """The one row that has just closed."""
        ...


class Track:
    """A position's bars since entry, and the rule whose stop is in force."""

    __slots__ = ("_bars", "_n", "again", "closing", "holding", "level", "rule", "tried", "tries")

    def __init__(self, holding: Holding) -> None:
        self.holding = holding
        self.level = -np.inf
        """The stop in force, times the side."""
        self.rule = ""
        self.closing = False
        self.again = 0
        """How often its stop was put back after somebody had taken it away."""
        self.tried, self.tries = 0, 0
        """The second in which an order to close it ended last, and how many did."""
        self._bars = np.empty((5, 64))
        self._n = 0

    def append(self, bar: Bar, score: float) -> None:
        if self._n == self._bars.shape[1]:
            self._bars = np.concatenate([self._bars, np.empty_like(self._bars)], axis=1)
        self._bars[:, self._n] = bar.open, bar.high, bar.low, bar.close, score
        self._n += 1

    def follow(self, before: Track) -> None:
        """Go on from what was known of the same position when it was smaller: its bars, and its stop where that is tighter."""
        self._bars, self._n, self.again = before._bars, before._n, before.again
        if not before.level <= self.level:
            self.level, self.rule = before.level, before.rule

    @property
    def path(self) -> Path:
        shown = self._bars[:, : self._n]
        shown.flags.writeable = False
        return Path(*shown)


class Engine:
    """The trading of one account. The state is the book's; tracks can be made again from history."""

    def __init__(
        self,
        plan: Plan,
        book: Book,
        instruments: Mapping[str, Instrument],
        scorers: Mapping[str, Scorer],
        markets: Mapping[str, Market] | None = None,
    ) -> None:
        self.plan = plan
        self.book = book
        self.decider = Decider(plan, instruments)
        self.rejected: dict[str, int] = {}
        """How often each gate refused a signal; "size" where nothing could be sized."""
        self.instruments = instruments
        self.markets = markets or {}
        self.answering = Answering(self)
        self.scorers = scorers
        self.spent: set[str] = set()
        """Orders that were to close: their ids are not used again, whatever became of them."""
        self._tracks: dict[str, Track] = {}
        self._given: dict[str, tuple[int, set[str]]] = {}
        """Ends of the ids of first stops by decision, and the second (of time) they were given in."""
        self._called_off: set[str] = set()
        """Entries whose cancelling was asked for: what still fills of them is not wanted."""

    def step(self, event: Report | BarsClosed | Command | Alert) -> list[Record]:
        """Take in one event; records in the order they belong to the journal. Orders and cancels among them are to be sent."""
        if type(event) is BarsClosed:
            return self._bars(event)
        if type(event) is Alert:
            return self.answering.work(event, event.ts)
        if isinstance(event, Command):
            return self._obey(event)
        return self._report(event)  # type: ignore[arg-type]

    def reconfigure(self, plan: Plan) -> None:
        """Trade by `plan` from here on. Its indicators, timeframes and symbols must be those of before."""
        self.plan = plan
        self.decider = Decider(plan, self.instruments)

    # commands

    def _obey(self, command: Command) -> list[Record]:
        out: list[Record] = [command]
        if isinstance(command, CloseWanted):
            self.answering.drop(command.ts, out, "it was closed by hand", command.symbol)
            self.leave(command.symbol, command.ts, "closed by hand", out)
            return out
        assert not isinstance(command, CloseWanted)
        self.book.apply(command)
        if type(command) is StateSet and command.state != "ACTIVE":
            self.answering.drop(command.ts, out, f"trading is {command.state}")
            if command.flatten:
                out += self.flatten(command.ts)
            else:
                out += self.withdraw(command.ts)
        return out

    def withdraw(self, ts: int) -> list[Record]:
        """Call off every entry; what is held stays."""
        out: list[Record] = []
        for symbol in self.book.entries:
            self._call_off(symbol, ts, out)
        return out

    def flatten(self, ts: int) -> list[Record]:
        """Cancel every entry and close every position. What is under way already is not begun again."""
        out: list[Record] = []
        for symbol in dict.fromkeys((*self.book.positions, *self.book.entries)):
            self.leave(symbol, ts, "halted", out)
        return out

    def leave(self, symbol: str, ts: int, reason: str, out: list[Record]) -> None:
        """Call off what still works of an entry, and close what is held."""
        self._call_off(symbol, ts, out)
        position, track = self.book.positions.get(symbol), self._tracks.get(symbol)
        if position is None or self.leaving(symbol):
            return
        if track is not None:
            track.closing = True
        self.place(self._close(position, ts, reason), out)

    def leaving(self, symbol: str) -> bool:
        """True while an order works whose rest closes all of what is held."""
        position = self.book.positions.get(symbol)
        return position is not None and any(
            w.order.purpose is Purpose.CLOSE and w.order.symbol == symbol and w.order.quantity - w.filled >= position.quantity
            for w in self.book.orders.values()
        )

    def cut(self, symbol: str, quantity: Decimal, name: str, ts: int, out: list[Record]) -> None:
        """Take `quantity` contracts off a position; its stop shrinks with it."""
        position = self.book.positions[symbol]
        self.place(_exit_order(position, f"cut{name[-6:]}", ts, Purpose.CLOSE, "alert", quantity, None), out)

    def evaluation(self, symbol: str, ts: int) -> Evaluation | None:
        """`symbol` as of `ts`: its newest primary bar, at the newest price; None before the first has closed."""
        scorer = self.scorers[symbol]
        if not scorer.ready:
            return None
        evaluation = scorer.evaluate(self.markets.get(symbol), ts)
        if evaluation.score[0] != evaluation.score[0]:
            return None
        return msgspec.structs.replace(evaluation, close=np.array([scorer.last_close]))

    def silence(self, symbol: str, ts: int) -> int:
        """How long (ms) nothing has been heard of `symbol`, where that is more than two bars; else 0."""
        last = self.scorers[symbol].last_bar
        if last is None or ts - last[1] <= SILENT_BARS * (last[1] - last[0]):
            return 0
        return ts - last[1]

    # reports

    def _report(self, report: Report) -> list[Record]:
        out: list[Record] = [report]
        if isinstance(report, OrderSeen | Sliced):
            return out
        if isinstance(report, OrderFound | ExternalSeen | Transferred | Blocked):
            self.book.apply(report)
            return out
        if isinstance(report, StopMissing):
            if report.symbol in self.book.positions:
                self._alarm(report.symbol, report.ts, f"{report.reason}: the position is being closed", out)
                self.leave(report.symbol, report.ts, "unprotected", out)
            return out
        symbol = report.symbol
        working = self.book.orders.get(report.order_id) if isinstance(report, Fill | OrderEnded) else None
        resting = [w.order for w in self.book.orders.values() if w.order.symbol == symbol and w.order.purpose is not Purpose.ENTRY]
        trade = self.book.apply(report)
        unwanted = isinstance(report, Fill) and report.order_id in self._called_off
        if isinstance(report, Fill) and report.order_id not in self.book.orders:
            self._called_off.discard(report.order_id)
        if trade is not None:
            self._tracks.pop(symbol, None)
            while len(self._given) > 64:
                del self._given[next(iter(self._given))]
            out.append(trade)
            filled = report.order_id if isinstance(report, Fill) else ""
            out.extend(Cancel(ts=report.ts, order_id=o.id, symbol=symbol) for o in resting if o.id != filled)
            self._call_off(symbol, report.ts, out)
            if trade.net < 0 and clears_streak(self.plan.account_gates, self.book):
                text = f"{self.book.losses_in_row} losing trades in a row: no entries before the next risk day"
                out.append(Note(report.ts, "halted", "the circuit breaker has tripped", text))
        elif isinstance(report, Fill) and working is not None:
            if working.order.purpose is Purpose.ENTRY:
                self._protect(report, working, out)
                if self.book.flattening:
                    # it was on its way when everything was called off
                    self.leave(symbol, report.ts, "halted", out)
                elif unwanted:
                    self.leave(symbol, report.ts, "called off", out)
            elif working.order.purpose is not Purpose.STOP or working.order.id not in self.book.orders:
                # a stop that has filled in part goes on filling: what is left of it is what is held
                self._stop_again(report, out)
        elif isinstance(report, OrderEnded) and working is not None:
            self._ended(report, working.order, out)
        if symbol in self.answering.awaited and not self.book.holds(symbol):
            self.answering.flat(symbol, report.ts, out)
        return out

    def _protect(self, fill: Fill, working: Working, out: list[Record]) -> None:
        """An entry has filled, perhaps in part: its stop goes out before anything else, then its targets."""
        entry = working.order
        position = self.book.positions[fill.symbol]
        instrument = self.instruments[fill.symbol]
        faults: list[str] = []
        track = Track(self.decider.holding(position.side, float(position.price), position.leverage, position.atr))
        firsts = first_stops(self.plan.exits, track.holding, instrument, faults)
        if entry.stop is not None:
            firsts |= asked_stop(entry.stop, position.side, float(position.price), instrument, faults)
        track.rule, track.level = tightest(firsts)
        if fill.symbol in self._tracks:
            track.follow(self._tracks[fill.symbol])
        self._tracks[fill.symbol] = track
        # a second part of one entry needs order ids of its own
        more = "" if working.filled == fill.quantity else _moment(position, working)
        # and so has a position that is opened once more within the second, by an order that was given up
        second, given = self._given.get(position.decision_id, (0, set()))
        given = given if second == fill.ts // 1000 else set()
        while more in given:
            more += "-b"
        given.add(more)
        self._given[position.decision_id] = (fill.ts // 1000, given)
        if track.rule:
            self.place(self._stop(position, track, fill.ts, more), out)
        else:
            track.closing = True
            self._call_off(fill.symbol, fill.ts, out)
            self.place(self._close(position, fill.ts, "unprotected"), out)
        self._tell(faults, fill.symbol, fill.ts, out)
        if fill.symbol not in self.book.entries:
            self._aim(position, track, entry, fill.ts, more, out)

    def _aim(self, position: Position, track: Track, entry: Order, ts: int, more: str, out: list[Record]) -> None:
        """An entry is over: the targets of all that it has filled go out, one set of them, however many fills there were."""
        instrument = self.instruments[position.symbol]
        faults: list[str] = []
        goals = asked_aim(entry, position.side, float(position.price), instrument, faults)
        goals = goals or aims(self.plan.exits, track.holding, instrument, faults)
        for number, (aim, share) in enumerate(zip(goals, shares(goals, position.quantity, instrument), strict=True), 1):
            if share:
                price = instrument.price(float(aim.level))
                part = f"tp{number}-{ts // 1000}{more}"
                order = _exit_order(position, part, ts, Purpose.TARGET, aim.rule, share, price)
                self.place(msgspec.structs.replace(order, resting=aim.resting), out)
        self._tell(faults, position.symbol, ts, out)

    def _ended(self, ended: OrderEnded, order: Order, out: list[Record]) -> None:
        """An order of ours is over without filling whole. What protects or closes a position that is still held is put back."""
        symbol = ended.symbol
        position, track = self.book.positions.get(symbol), self._tracks.get(symbol)
        if order.purpose is Purpose.ENTRY:
            self._called_off.discard(order.id)
        if position is None or track is None:
            return
        if order.purpose is Purpose.ENTRY and not track.closing and not self.leaving(symbol):
            self._aim(position, track, order, ended.ts, "-e", out)
        elif order.purpose is Purpose.STOP and not self.leaving(symbol):
            track.again += 1
            if ended.state == "rejected" or track.again > STOP_TRIES or not track.rule:
                self._alarm(symbol, ended.ts, f"its stop was {ended.state} ({ended.reason}): the position is being closed", out)
                self.leave(symbol, ended.ts, "unprotected", out)
            else:
                self._alarm(symbol, ended.ts, f"its stop was {ended.state} ({ended.reason}) and is put back", out)
                self.place(self._stop(position, track, ended.ts, f"-r{track.again}"), out)
        elif order.purpose is Purpose.TARGET and not self.leaving(symbol):
            text = (
                f"its target at {order.price} was {ended.state} ({ended.reason}) and is not put back; that does not touch its stop"
            )
            out.append(Note(ended.ts, "target_off", f"{symbol}: without a target", text))
        elif order.purpose is Purpose.CLOSE and track.closing and not self.leaving(symbol):
            self._alarm(symbol, ended.ts, f"the order that closes it was {ended.state} ({ended.reason})", out)
            second = ended.ts // 1000
            track.tried, track.tries = second, track.tries + 1 if second == track.tried else 1
            if track.tries <= CLOSE_TRIES:
                self.place(self._close(position, ended.ts, order.reason), out)

    def _alarm(self, symbol: str, ts: int, text: str, out: list[Record]) -> None:
        out.append(Note(ts, "unprotected", f"{symbol}: look at this position", text))

    def _stop_again(self, fill: Fill, out: list[Record]) -> None:
        """A target took part of the position: the stop shrinks with it."""
        position, track = self.book.positions[fill.symbol], self._tracks.get(fill.symbol)
        if track is not None and track.rule:
            # a position that still grows may come to the same size twice within a second
            entry = self.book.entries.get(fill.symbol)
            suffix = f"-q{position.quantity.normalize():f}" if entry is None else _moment(position, self.book.orders[entry.id])
            self.place(self._stop(position, track, fill.ts, suffix), out)

    # bars

    def _bars(self, event: BarsClosed) -> list[Record]:
        out: list[Record] = []
        scored: dict[str, Evaluation] = {}
        for symbol, bar in event.bars.items():
            scorer = self.scorers[symbol]
            scorer.push(bar)
            if scorer.primary_closed:
                scored[symbol] = scorer.evaluate(self.markets.get(symbol), event.ts)
            if symbol in self.book.positions:
                self.book.mark(symbol, self.instruments[symbol].price(bar.close))
        if self.book.positions:
            marks = {s: p.mark for s, p in self.book.positions.items()}
            out.append(Marked(ts=event.ts, equity=self.book.equity, prices=marks))
        if event.ts >= self.book.day_end:
            self._open_day(event.ts, out)
        for symbol, bar in event.bars.items():
            if symbol in self._tracks:
                evaluation = scored.get(symbol)
                self._manage(symbol, bar, float(evaluation.score[0]) if evaluation is not None else np.nan, event.ts, out)
        for symbol, evaluation in scored.items():
            if not self.book.holds(symbol):
                self._decide(evaluation, event.ts, out)
        return out

    def _open_day(self, ts: int, out: list[Record]) -> None:
        # an account's first day began with the account: what an alert has lost before the first bar counts in it
        first = self.book.day_end == 0
        equity = self.book.day_equity if first else self.book.equity
        cleared = not first and clears_streak(self.plan.account_gates, self.book)
        day = DayOpened(ts=ts, equity=equity, end=day_end(ts, self.plan.risk.zone), streak_cleared=cleared)
        self.book.apply(day)
        out.append(day)

    def _manage(self, symbol: str, bar: Bar, score: float, ts: int, out: list[Record]) -> None:
        """The stop of a position held, as of this close; it only tightens. Perhaps a wish to close."""
        position, track = self.book.positions[symbol], self._tracks[symbol]
        faults: list[str] = []
        seen = since_entry(bar, position.entry_ts, float(position.price))
        if seen is None:
            return
        track.append(seen, score)
        if track.closing:
            return
        path = track.path
        instrument = self.instruments[symbol]
        best, rule = track.level, ""
        for name, levels in stop_lines(self.plan.exits, track.holding, path, instrument, faults).items():
            if levels[-1] > best:
                best, rule = float(levels[-1]), name
        if rule:
            track.level, track.rule = best, rule
            self.place(self._stop(position, track, ts), out)
        for name, wanted in closings(self.plan.exits, track.holding, path, faults).items():
            if wanted[-1]:
                track.closing = True
                self._call_off(symbol, ts, out)
                self.place(self._close(position, ts, name), out)
                break
        self._tell(faults, symbol, ts, out)

    def _decide(self, evaluation: Evaluation, ts: int, out: list[Record]) -> None:
        if evaluation.score[0] != evaluation.score[0]:
            return
        measured = ask_market(self.plan.market_gates, evaluation)
        outcome = self.decider.decide(evaluation, 0, measured, self.book, ts)
        for gate in outcome.refused:
            self.rejected[gate] = self.rejected.get(gate, 0) + 1
        out.append(self.decider.record(evaluation, 0, measured, ts, outcome))
        if outcome.order is not None:
            self.place(outcome.order, out)

    # orders

    def place(self, order: Order, out: list[Record]) -> None:
        if order.purpose is Purpose.CLOSE:
            self.spent.add(order.id)
        self.book.apply(order)
        out.append(order)

    def _call_off(self, symbol: str, ts: int, out: list[Record]) -> None:
        """What has not filled of an entry is not wanted once its position is left."""
        if symbol in self.book.entries:
            entry = self.book.entries[symbol]
            self._called_off.add(entry.id)
            out.append(Cancel(ts=ts, order_id=entry.id, symbol=symbol))

    def _stop(self, position: Position, track: Track, ts: int, suffix: str = "") -> Order:
        price = self.instruments[position.symbol].price(track.level * position.side)
        return _exit_order(position, f"sl{ts // 1000}{suffix}", ts, Purpose.STOP, track.rule, position.quantity, price)

    def _close(self, position: Position, ts: int, reason: str) -> Order:
        order = _exit_order(position, "out", ts, Purpose.CLOSE, reason, position.quantity, None)
        again = 0
        while order.id in self.spent or order.id in self.book.orders:
            again += 1
            order = msgspec.structs.replace(order, id=f"{position.decision_id}-out-r{again}")
        return order

    @staticmethod
    def _tell(faults: Sequence[str], symbol: str, ts: int, out: list[Record]) -> None:
        for text in faults:
            if text.startswith(f"{ASKED}:"):
                out.append(Note(ts, "alert_refused", f"{symbol}: a wish of an alert is not granted", text))
            else:
                out.append(Note(ts, "exit_fault", f"{symbol}: an exit rule failed; the stop in force stays", text))

    # recovery

    def remember(self, record: object) -> None:
        """Take in a record of the journal before the book does: which ids are used up, and which entries were called off."""
        if type(record) is Cancel:
            entry = self.book.entries.get(record.symbol)
            if entry is not None and entry.id == record.order_id:
                self._called_off.add(entry.id)
        elif type(record) is Order:
            if record.purpose is Purpose.CLOSE:
                self.spent.add(record.id)
        elif isinstance(record, OrderEnded | Fill):
            working = self.book.orders.get(record.order_id)
            if working is None:
                return
            if isinstance(record, Fill) and working.filled + record.quantity < working.order.quantity:
                return
            if working.order.purpose is Purpose.ENTRY:
                self._called_off.discard(record.order_id)

    def resume(self, symbol: str, bars: Sequence[Bar]) -> None:
        """Make the track of a position again after a restart, from its bars since entry and the stop on record."""
        position = self.book.positions[symbol]
        track = Track(self.decider.holding(position.side, float(position.price), position.leverage, position.atr))
        for bar in bars:
            track.append(bar, np.nan)
        if position.stop is not None:
            track.level = float(position.stop) * position.side
        orders = [w.order for w in self.book.orders.values() if w.order.symbol == symbol]
        track.rule = next((o.reason for o in orders if o.purpose is Purpose.STOP), "")
        # one that only takes a part off leaves a position that is still looked after
        track.closing = self.leaving(symbol)
        self._tracks[symbol] = track


def _moment(position: Position, entry: Working) -> str:
    """What tells the moments of a position apart that is entered in parts: what it holds, and what has been entered so far."""
    return f"-q{position.quantity.normalize():f}-e{entry.filled.normalize():f}"


def _exit_order(
    position: Position, part: str, ts: int, purpose: Purpose, reason: str, quantity: Decimal, price: Decimal | None
) -> Order:
    return Order(
        id=f"{position.decision_id}-{part}",
        decision_id=position.decision_id,
        ts=ts,
        symbol=position.symbol,
        side=-1 if position.side > 0 else 1,
        quantity=quantity,
        purpose=purpose,
        price=price,
        leverage=position.leverage,
        margin=ZERO,
        reason=reason,
    )
